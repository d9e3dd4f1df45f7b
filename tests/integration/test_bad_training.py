"""Training scripts and models that fail: on record, never GO, and the next attempt works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest


def train(place: Any, script: str, *words: str, env: dict[str, str] | None = None) -> Any:
    (place.folder / "bad.py").write_text(script)
    return place.plain("run", *words, "--", sys.executable, "bad.py", env=env)


def aborted(place: Any) -> None:
    """The attempt is on record as failed, the ledger is whole, and the next attempt works."""
    runs = place.custody("run", "list").body["runs"]
    assert runs[-1]["state"].startswith("failed"), runs
    place.sound()
    again = place.custody("run", "--", sys.executable, "train.py")
    assert again.code == 0, again.reason


SCRIPTS: dict[str, tuple[str, list[str], int, list[str]]] = {
    "fails": ("raise SystemExit('no such thing as a free model')", [], 1, ["no such thing as a free model"]),
    "throws": ("import nothing_of_that_name", [], 1, ["nothing_of_that_name"]),
    "killed": ("import os; os.kill(os.getpid(), 9)", [], 1, []),
    "hangs": ("import time; time.sleep(600)", ["--time-limit", "1"], 6, ["time limit"]),
    "hangs and ignores": (
        "import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(600)",
        ["--time-limit", "1"],
        6,
        ["time limit"],
    ),
    "spins": ("while True: pass", ["--time-limit", "1"], 6, ["time limit"]),
    "writes nothing": ("print('done')", [], 1, ["model"]),
    "fills memory": ("x = bytearray(3 * 2**30)", ["--memory-limit", "0.5"], 1, ["memory"]),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_training(solo: Any, case: str) -> None:
    script, words, code, said = SCRIPTS[case]
    result = train(solo, script, *words)
    assert result.code == code, result.both
    assert "next:" in result.both, result.both
    # What the script itself prints is the script's; Custody's own words hold no traceback.
    assert "src/custody" not in result.both.partition("Traceback")[2], result.both
    for word in said:
        assert word in result.both, result.both
    aborted(solo)


def test_a_run_that_prints_fifty_megabytes(solo: Any) -> None:
    script = "for n in range(50): print('x' * 1_000_000)\n" + (solo.folder / "train.py").read_text()
    result = train(solo, script, "--quiet")
    assert result.code == 0, result.both[-2000:]
    log = next((solo.folder / ".custody" / "runs").glob("*/log.txt"))
    assert log.stat().st_size < 52_000_000
    solo.sound()


def test_a_run_cannot_write_outside_its_folder(solo: Any) -> None:
    from custody.adapters.bubblewrap import detect

    if detect().describe().kind != "bubblewrap":
        pytest.skip(f"runs cannot be sealed here: {detect().describe().detail}")
    target = solo.folder.parent / "escaped"
    before = (solo.folder / "criteria.toml").read_text()
    result = train(solo, f"open({str(target)!r}, 'w').write('x')")
    assert result.code == 1
    assert not target.exists()
    result = train(solo, "open('criteria.toml', 'w').write('x')")
    assert result.code == 1
    assert (solo.folder / "criteria.toml").read_text() == before
    result = train(solo, "open('data/train.csv', 'a').write('1,1,1')")
    assert result.code == 1
    assert solo.custody("data", "verify").code == 0
    aborted(solo)


def test_a_command_that_does_not_exist(solo: Any) -> None:
    before = solo.sound()
    solo.plain("run", "--", "no-such-program").refused(2, "no-such-program")
    solo.plain("run", "--time-limit", "-1", "--", "true").refused(2, "--time-limit")
    solo.plain("run", "--memory-limit", "nan", "--", "true").refused(2, "--memory-limit")
    solo.plain("run", "--memory-limit", "-1", "--", "true").refused(2, "--memory-limit")
    solo.plain("run", "--set", "x", "--", "true").refused(2, "--set")
    solo.plain("run", "--data", "nothing", "--", "true").refused(3, "nothing")
    solo.plain("run", "--out", "../up", "--", "true").refused(2, "../up")
    solo.plain("run", "--out", ".", "--", "true").refused(2)
    solo.plain("run", "--out", "data", "--", "true").refused(2, "data")
    assert solo.sound() >= before
    assert solo.plain("run", "--", sys.executable, "train.py").code == 0


# --- models --------------------------------------------------------------------------------------------

FIT = """\
import joblib, warnings
import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression
rows = np.loadtxt("data/train.csv", delimiter=",", skiprows=1)
x, y = rows[:, :2], rows[:, 2].astype(int)
model = LogisticRegression().fit(x, y)
{spoil}
joblib.dump(model, "model/model.joblib")
"""

MODELS = {
    "throws": ("model = LogisticRegression()", []),
    "returns NaN": ("model.coef_ = model.coef_ * np.nan", []),
    "returns the wrong shape": ("model = LinearRegression().fit(x, np.column_stack([y, y, y]))", []),
    "wants other columns": ("model = LogisticRegression().fit(np.column_stack([x, x]), y)", []),
    "is an array": ("model = np.zeros(3)", []),
    "hangs": (
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "model = KNeighborsClassifier(p=2.5, algorithm='brute').fit(np.tile(x, (2000, 1)), np.tile(y, 2000))",
        ["--time-limit", "1"],
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_models(solo: Any, case: str) -> None:
    """A model that cannot be measured is unknown, and unknown is not GO."""
    spoil, words = MODELS[case]
    assert train(solo, FIT.format(spoil=spoil)).code == 0
    result = solo.custody("validate", *words)
    assert "Traceback" not in result.text
    assert result.code == 3, result.body
    asked = {ruling["id"]: ruling for ruling in result.body["rulings"]}
    assert asked["P1"]["status"] == "unknown", asked["P1"]
    assert "unknown" in asked["P1"]["reason"] or "model" in asked["P1"]["reason"], asked["P1"]
    shown = solo.plain("gate", "decide", "--env", "staging")
    assert shown.code != 0
    assert not shown.out.startswith("GO")
    assert "Traceback" not in shown.both
    solo.sound()


def test_a_model_that_is_no_pickle(solo_of: Any, tmp_path: Path) -> None:
    place = solo_of("trained", tmp_path)
    result = place.plain("validate")
    assert result.code in (1, 3), result.both
    assert "Traceback" not in result.both
    place.plain("deploy", "--env", "staging").refused(3, "admission")
    place.sound()
