"""One run at a time in one folder; a killed run's leftovers go, nobody else's do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from custody.errors import InvalidInput, Unavailable
from custody.records.output import claimed

KILLED = """
import os, sys
from pathlib import Path
from custody.records.output import claimed
root = Path(sys.argv[1])
with claimed(root, "model", root / "runs") as out:
    out.mkdir()
    (out / "half").write_text("written")
    os.kill(os.getpid(), 9)
"""


def test_a_folder_is_taken_by_one(tmp_path: Path) -> None:
    with claimed(tmp_path, "model", tmp_path / "runs") as out:
        out.mkdir()
        (out / "weights").write_text("mine")
        with pytest.raises(Unavailable, match="another run"), claimed(tmp_path, "model", tmp_path / "runs"):
            pass
        assert (out / "weights").exists(), "a run that is alive keeps what it wrote"
        with claimed(tmp_path, "other", tmp_path / "runs"):
            pass


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "model" / "half").exists()
    with claimed(tmp_path, "model", tmp_path / "runs") as out:
        assert not out.exists()


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claimed(tmp_path, "model", tmp_path / "runs"):
        raise ZeroDivisionError
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis").write_text("years of work")
    with pytest.raises(InvalidInput, match="not empty"), claimed(tmp_path, "model", tmp_path / "runs"):
        pass
    assert (tmp_path / "model" / "thesis").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "/tmp/x", "a/../.."])
def test_a_folder_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="below"), claimed(tmp_path, name, tmp_path / "runs"):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(InvalidInput, match="is a file"), claimed(tmp_path, "model", tmp_path / "runs"):
        pass
