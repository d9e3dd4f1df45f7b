"""A disk that is full or read-only, and Ctrl-C half-way: nothing recorded is lost, the next attempt works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PERSON = ["init", "person", "ann", "--role", "validator"]


@pytest.fixture(scope="module")
def inside() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a shell script in a mount namespace of its own."""
    bwrap = shutil.which("bwrap")
    if bwrap is None or subprocess.run([bwrap, "--dev-bind", "/", "/", "true"], check=False).returncode:
        pytest.skip("mount namespaces are not available here, so no disk can be made small or read-only")

    def run(place: Any, mounts: list[str], script: str) -> subprocess.CompletedProcess[str]:
        words = [bwrap, "--dev-bind", "/", "/", *mounts, "bash", "-uc", script]
        env = {**place.environment(), "PY": sys.executable}
        return subprocess.run(
            words, cwd=place.folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def test_a_full_disk(solo: Any, inside: Any, tmp_path: Path) -> None:
    """Whatever write the disk refuses, in a person, a seal or a run: exit 6, and the ledger stays whole."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        cp -a {solo.folder} {disk}/p && cd {disk}/p && export CUSTODY_STATE={disk}/p/.state
        for free in 0 4 8 16 24 32 48 64 96; do
            cat /dev/zero > {disk}/fill 2>/dev/null
            truncate -s -${{free}}K {disk}/fill
            $PY -m custody init person "p$free" --role validator > /dev/null 2> {tmp_path}/err.$free
            echo "person $free $?"
            if [ $free != 0 ]; then
                $PY -m custody run --quiet -- $PY train.py > /dev/null 2> {tmp_path}/run.$free
                echo "run $free $?"
            fi
            rm {disk}/fill
            $PY -m custody audit verify > /dev/null 2> {tmp_path}/verify || cat {tmp_path}/verify
            echo "verify $free $?"
        done
        $PY -m custody init person ann --role validator > /dev/null; echo "after 0 $?"
        $PY -m custody run --quiet -- $PY train.py > /dev/null; echo "trained 0 $?"
        ls .custody/staging
    """
    said = inside(solo, ["--size", str(4 * 2**20), "--tmpfs", str(disk)], script)
    rows = [line.split() for line in said.stdout.splitlines()]
    assert len(rows) == 9 + 8 + 9 + 2, said.stdout + said.stderr
    codes = {(what, int(free)): int(code) for what, free, code in rows}
    assert codes["after", 0] == codes["trained", 0] == 0, said.stdout + said.stderr
    assert all(code == 0 for (what, _), code in codes.items() if what == "verify"), said.stdout
    assert codes["person", 0] == 6
    assert {code for (what, _), code in codes.items() if what == "person"} <= {0, 6}, said.stdout
    assert {code for (what, _), code in codes.items() if what == "run"} <= {0, 1, 6}, said.stdout
    for path in tmp_path.glob("*.[0-9]*"):
        words = path.read_text()
        assert "src/custody" not in words, words
        assert not words or "next:" in words, words


def test_a_limit_on_the_size_of_files(solo: Any) -> None:
    before = solo.sound()
    said = subprocess.run(
        ["bash", "-c", f"ulimit -f 8; exec {sys.executable} -m custody {' '.join(PERSON)}"],
        cwd=solo.folder,
        env=solo.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 6, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    assert "next:" in said.stderr
    assert solo.sound() == before
    assert solo.plain(*PERSON).code == 0


def test_a_read_only_folder(solo: Any, inside: Any) -> None:
    before = solo.sound()
    commands = {
        "person": " ".join(PERSON),
        "seal": "gate seal",
        "run": f"run -- {sys.executable} train.py",
        "export": "audit export",
        "begin": "init another",
    }
    for name, words in commands.items():
        said = inside(solo, ["--ro-bind", str(solo.folder), str(solo.folder)], f"$PY -m custody {words}")
        assert said.returncode in ((2,) if name == "begin" else (6,)), (name, said.stdout, said.stderr)
        assert "Traceback" not in said.stderr, said.stderr
        assert "next:" in said.stderr
    assert solo.sound() == before
    assert solo.plain(*PERSON).code == 0


def test_a_read_only_store_can_be_read(solo: Any, inside: Any) -> None:
    """Only the store is read-only, as on a backup that is mounted to look into it."""
    store = str(solo.folder / ".custody")
    said = inside(solo, ["--ro-bind", store, store], "$PY -m custody status")
    assert said.returncode in (0, 6), said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    said = inside(solo, ["--ro-bind", store, store], f"$PY -m custody {' '.join(PERSON)}")
    assert said.returncode == 6, said.stdout + said.stderr
    assert "next: " in said.stderr
    assert "writable" in said.stderr, said.stderr
    assert solo.plain(*PERSON).code == 0


def test_a_new_project_in_a_read_only_folder(solo: Any, inside: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    said = inside(solo, ["--ro-bind", str(folder), str(folder)], f"cd {folder} && $PY -m custody init mine --solo")
    assert said.returncode == 6, said.stderr
    assert "read-only" in said.stderr.lower(), said.stderr
    place = type(solo)(folder)
    assert place.plain("init", "mine", "--solo").code == 0


# --- Ctrl-C -----------------------------------------------------------------------------------------------


def interrupted(process: subprocess.Popen[bytes]) -> str:
    """Press Ctrl-C as a terminal does, to the whole foreground group; return what was said."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    said = (out + err).decode(errors="replace")
    assert process.returncode == 130, said
    assert "Traceback" not in said, said
    assert "interrupted" in said
    return said


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_ctrl_c_in_a_run(solo: Any) -> None:
    (solo.folder / "long.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(300)\n")
    process = solo.begin("run", "--", sys.executable, "long.py", start_new_session=True)
    runs = solo.folder / ".custody" / "runs"
    until(lambda: any(b"begun" in log.read_bytes() for log in runs.glob("*/log.txt")))
    interrupted(process)
    listed = solo.custody("run", "list").body["runs"]
    assert listed[-1]["state"].startswith("failed"), listed
    staging = solo.folder / ".custody" / "staging"
    assert not staging.exists() or not any(staging.iterdir()), "the private copy of the data is gone"
    solo.sound()
    assert solo.plain("run", "--", sys.executable, "train.py").code == 0


def test_ctrl_c_in_a_validation(solo: Any) -> None:
    fit = (
        "import joblib\nimport numpy as np\nfrom sklearn.linear_model import LogisticRegression\n"
        "rows = np.loadtxt('data/train.csv', delimiter=',', skiprows=1)\n"
        "joblib.dump(LogisticRegression().fit(rows[:, :2], rows[:, 2].astype(int)), 'model/model.joblib')\n"
    )
    (solo.folder / "fit.py").write_text(fit)
    assert solo.plain("run", "--", sys.executable, "fit.py").code == 0
    before = solo.sound()
    process = solo.begin("validate", start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if b"performance" in line or b"fairness" in line:
            break
    interrupted(process)
    staging = solo.folder / ".custody" / "staging"
    assert not any(staging.iterdir()), "no readable model is left behind"
    between = solo.sound()
    assert between > before, "what was measured until then is on record"
    assert solo.custody("gate", "decide").body["verdict"] != "GO"
    again = solo.custody("validate")
    assert again.code == 0, again.reason
    assert solo.sound() > between


def test_ctrl_c_at_once(solo: Any) -> None:
    """However early it comes, nothing but the exit code and at most a sentence is left."""
    before = solo.sound()
    for delay in (0.03, 0.06, 0.1, 0.15):
        process = solo.begin("init", "person", f"p{int(delay * 100)}", "--role", "validator", start_new_session=True)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), err
        ours = b"custody/" in out + err  # before our first line runs, the interpreter speaks for itself
        assert not (b"Traceback" in out + err and ours), err.decode()
    assert solo.sound() >= before
    assert solo.plain(*PERSON).code == 0
