"""What a training script asks of its run, alone: the order, the lines it writes, and silence outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from custody.core.seed import order_of
from custody.core.transcript import Recorder, read_transcript

SOURCE = Path(__file__).parents[3] / "src" / "custody_run" / "__init__.py"
KEY = "5a" * 32


def run(script: str, folder: Path, *, piped: bool = True, key: str = KEY) -> tuple[Any, list[dict[str, str]]]:
    """Run a script as a sealed run would: with the module as a file of its own, and a pipe to write to."""
    (folder / "custody_run.py").write_bytes(SOURCE.read_bytes())
    (folder / "script.py").write_text("import custody_run\n" + script)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    handle = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    environment = {"CUSTODY_TRANSCRIPT": str(pipe) if piped else "", "CUSTODY_ORDER": key}
    words = [sys.executable, "-S", "script.py"] if "numpy" not in script else [sys.executable, "script.py"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    try:
        raw = os.read(handle, 2**20)
    except BlockingIOError:
        raw = b""
    os.close(handle)
    recorder, kept = Recorder("ab" * 32, 1, (lines := []).append), lines
    recorder.take(raw, 0.5)
    assert recorder.anomalies == [] or "nan" in script or "inf" in script, recorder.anomalies
    return done, [dict(line.values) for line in read_transcript(b"".join(kept), "ab" * 32, 1).lines]


@pytest.mark.parametrize(("rows", "epoch"), [(0, 0), (1, 0), (7, 3), (1000, 2**33)])
def test_with_and_without_numpy_the_order_is_the_one_that_is_documented(tmp_path: Path, rows: int, epoch: int) -> None:
    wanted = order_of(KEY, rows, epoch)
    plain, _ = run(f"print(custody_run.order({rows}, {epoch}))", tmp_path)
    assert json.loads(plain.stdout) == wanted
    (tmp_path / "two").mkdir()
    fast = f"import numpy\nfound = custody_run.order({rows}, {epoch})\nprint(type(found).__name__, found.tolist())"
    done, _ = run(fast, tmp_path / "two")
    name, _, numbers = done.stdout.partition(" ")
    assert (name, json.loads(numbers)) == ("ndarray", wanted), done.stderr


def test_each_step_is_a_line_and_each_lone_call_too(tmp_path: Path) -> None:
    script = (
        "for n in custody_run.steps(range(3)):\n"
        "    custody_run.log(loss=1 / (n + 3))\n"
        "    custody_run.log(grad_norm=n)\n"
        "custody_run.log(loss=2.5e-320, weights=custody_run.digest(b'w'))\n"
    )
    done, lines = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.get("grad_norm") for line in lines] == ["0", "1", "2", None]
    assert [float(line["loss"]) for line in lines] == [1 / 3, 1 / 4, 1 / 5, 2.5e-320]
    assert len(lines[3]["weights"]) == 64


def test_a_step_that_is_left_in_the_middle_is_still_said(tmp_path: Path) -> None:
    script = "for n in custody_run.steps(range(9)):\n    custody_run.log(loss=n)\n    if n == 2: break\n"
    script += "custody_run.log(loss=7)\n"
    _, lines = run(script, tmp_path)
    assert [line["loss"] for line in lines] == ["0", "1", "2", "7"]


def test_steps_within_steps_count_once(tmp_path: Path) -> None:
    script = "for a in custody_run.steps([1, 2]):\n    for b in custody_run.steps([3, 4]): custody_run.log(loss=b)\n"
    _, lines = run(script, tmp_path)
    assert [line["loss"] for line in lines] == ["4", "4"]


def test_numbers_of_numpy_are_said_exactly_and_nan_too(tmp_path: Path) -> None:
    script = "import numpy as np\ncustody_run.log(a=np.float32(0.1), b=np.int64(-3), c=np.float64('nan'), d=-np.inf)"
    done, lines = run(script, tmp_path)
    assert lines == [{"a": "0.10000000149011612", "b": "-3", "c": "nan", "d": "-inf"}], done.stderr


@pytest.mark.parametrize(
    "call",
    ["x='fine'", "x=True", "x=None", "x=[1]", "x=10**30", "x='AB' * 32", "**{f'n{i}': i for i in range(33)}"],
)
def test_what_cannot_be_kept_is_an_error_in_the_script(tmp_path: Path, call: str) -> None:
    done, lines = run(f"custody_run.log({call})", tmp_path)
    assert done.returncode == 1
    assert ("TypeError" in done.stderr) or ("ValueError" in done.stderr)
    assert lines == []


def test_a_line_that_is_too_long_is_an_error_in_the_script(tmp_path: Path) -> None:
    call = "custody_run.log(**{'n' * 60 + str(i): custody_run.digest(b'') for i in range(32)})"
    done, lines = run(call, tmp_path)
    assert "ValueError" in done.stderr
    assert lines == []


def test_outside_of_a_run_nothing_is_recorded_and_a_note_says_so_once(tmp_path: Path) -> None:
    script = "for n in custody_run.steps(range(3)): custody_run.log(loss=n)\n"
    script += "print(custody_run.order(8), custody_run.sealed())"
    done, lines = run(script, tmp_path, piped=False, key="")
    assert done.returncode == 0
    assert done.stderr.count("this is not a sealed run") == 1
    assert lines == []
    assert done.stdout == f"{order_of('00' * 32, 8)} False\n"


def test_it_is_there_for_scripts_that_run_beside_custody() -> None:
    import custody_run

    assert not custody_run.sealed()
    assert custody_run.digest(b"a") != custody_run.digest(b"b")
