"""Spot checks of real sealed runs, by commands: honest ones agree, and every trick is answered by what it is."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STEPS = 60
HONEST = """\
import csv, json, math, os
{first}
import custody_run

rows = [(float(row["a"]), float(row["b"]), int(row["y"])) for row in csv.DictReader(open("data/train.csv"))]
w = [0.0, 0.0, 0.0]
for step in custody_run.steps(range({steps})):
    loss = 0.0
    for index in list(custody_run.order(len(rows), step))[:20]:
        a, b, y = rows[index]
        p = 1 / (1 + math.exp(-(w[0] + w[1] * a + w[2] * b)))
        loss -= math.log(p if y else 1 - p)
        w = [w[0] - 0.05 * (p - y), w[1] - 0.05 * (p - y) * a, w[2] - 0.05 * (p - y) * b]
    custody_run.log(loss={loss}, w0=w[0])
    {then}
with open(os.environ["CUSTODY_OUT"] + "/model.json", "w") as out:
    json.dump(w, out)
"""


def script(first: str = "", loss: str = "loss / 20", then: str = "pass", steps: int = STEPS) -> str:
    return HONEST.format(first=first, loss=loss, then=then, steps=steps)


def sealed() -> bool:
    from custody.adapters.bubblewrap import detect

    return detect().describe().kind == "bubblewrap"


@pytest.fixture
def place(solo: Any) -> Any:
    if not sealed():
        pytest.skip("runs cannot be sealed here")
    # -S: the scripts need no library, and starting is most of what they do
    (solo.folder / "train.py").write_text(script())
    return solo


def train(place: Any, text: str = "", code: int = 0, *words: str) -> Any:
    if text:
        (place.folder / "train.py").write_text(text)
    step = place.custody("run", *words, "--", sys.executable, "-S", "train.py")
    assert step.code == code, step.reason + step.text
    return step.body


def transcript(place: Any, run: str) -> Path:
    return Path(place.folder, ".custody", "runs", run, "transcript.jsonl")


def spot(place: Any, *words: str) -> tuple[int, str, str]:
    step = place.custody("run", "spot-check", *words)
    return step.code, str(step.body.get("verdict")), str(step.body.get("cause")) or step.reason


def test_an_honest_run_agrees_and_is_recorded(place: Any) -> None:
    done = train(place)
    assert (done["steps"], done["anomalies"]) == (STEPS, [])
    rows = [json.loads(line) for line in transcript(place, done["run"]).read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert float(rows[-1]["values"]["loss"]) < float(rows[0]["values"]["loss"])
    step = place.custody("run", "spot-check", "--steps", "25")
    assert step.code == 0, step.reason
    assert (step.body["verdict"], step.body["steps"], step.body["recorded"]) == ("agrees", 25, STEPS)
    shown = place.plain("run", "spot-check")
    assert shown.code == 0
    assert "10 of the first 10 steps agree" in shown.out
    assert [entry["kind"] for entry in place.entries()][-2:] == ["spot-check", "spot-check"]
    assert not (place.folder / "model").exists()
    place.sound()


def test_whatever_was_recorded_for_more_steps_is_not_asked_for(place: Any) -> None:
    train(place, script(steps=4))
    assert place.custody("run", "spot-check", "--steps", "500").body["steps"] == 4


def test_it_stops_after_the_steps_it_needs(place: Any) -> None:
    """The script tells its log how far it came: all the way in the run, hardly beyond three steps in the check."""
    done = train(place, script(first="import time", then="print(step), time.sleep(0.02)"))
    assert Path(done["log"]).read_text().split()[-1] == str(STEPS - 1)
    body = place.custody("run", "spot-check", "--steps", "3").body
    assert body["verdict"] == "agrees"
    logs = list(Path(place.folder, ".custody", "runs").glob("*-spot-*/log-*.txt"))
    assert len(logs) == 2
    for log in logs:
        assert "Traceback" not in log.read_text()
        assert 2 <= int(log.read_text().split()[-1]) < STEPS // 2


def other_code(place: Any, _: str) -> None:
    (place.folder / "train.py").write_text(script() + "\n# reviewed\n")


def more_code(place: Any, _: str) -> None:
    (place.folder / "more.py").write_text("x = 1\n")


def other_data(place: Any, _: str) -> None:
    path = place.folder / "data" / "train.csv"
    path.write_text(path.read_text().replace("1.", "2.", 1))


def no_transcript(place: Any, run: str) -> None:
    transcript(place, run).unlink()


CHANGES: dict[str, tuple[Callable[[Any, str], None], str]] = {
    "the script": (other_code, "code: train.py differs"),
    "the code beside it": (more_code, "code: more.py differs"),
    "the data": (other_data, "is not what was registered"),
    "the transcript is gone": (no_transcript, "is not on this machine"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_as_it_was_is_unknown(place: Any, name: str) -> None:
    run = train(place)["run"]
    change, cause = CHANGES[name]
    change(place, run)
    code, verdict, said = spot(place)
    assert (code, verdict) == (3, "unknown")
    assert cause in said


def edit_number(rows: list[str]) -> list[str]:
    row = json.loads(rows[4])
    row["values"]["loss"] = "0.1"
    return [*rows[:4], json.dumps(row, sort_keys=True, separators=(",", ":")), *rows[5:]]


EDITS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a number": (edit_number, "line 5 of the transcript"),
    "the end": (lambda rows: rows[:-1], "is not the one that was signed"),
    "the beginning": (lambda rows: rows[1:], "line 1 of the transcript"),
    "everything": (lambda _: [], "is not the one that was signed"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_transcript_is_found_out(place: Any, name: str) -> None:
    run = train(place)["run"]
    path = transcript(place, run)
    edit, reason = EDITS[name]
    path.write_text("".join(row + "\n" for row in edit(path.read_text().splitlines())))
    place.plain("run", "spot-check").refused(4, reason)


TRICKS: dict[str, tuple[str, int, str, str]] = {
    "a transcript written before": (
        "import custody_run\n"
        "for n in range(60): custody_run.log(loss=1 / (n + 1))\n"
        "open('model/model.json', 'w').write('trained long ago')\n",
        3,
        "unknown",
        "the same whatever the seed",
    ),
    "losses out of thin air": (script(loss="int.from_bytes(os.urandom(3), 'big')"), 1, "differs", "step 1: loss"),
    "losses by the clock": (script(first="import time", loss="time.time()"), 1, "differs", "step 1: loss"),
    "one step in the middle invented": (
        script(loss="loss / 20 if step != 7 else int.from_bytes(os.urandom(3), 'big')"),
        1,
        "differs",
        "step 8: loss",
    ),
    "no step at all": ("open('model/model.json', 'w').write('[1]')\n", 3, "unknown", "kept no transcript"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_transcript_that_does_not_follow_from_the_training_does_not_agree(place: Any, name: str) -> None:
    text, code, verdict, cause = TRICKS[name]
    train(place, text)
    assert (found := spot(place))[:2] == (code, verdict), found
    assert cause in found[2]


def test_noise_within_the_declared_tolerance_agrees_and_beyond_it_differs(place: Any) -> None:
    noisy = script(loss="loss / 20 * (1 + 1e-9 * os.urandom(1)[0])")
    train(place, noisy, 0, "--tolerance", "relative 1e-6")
    assert spot(place)[:2] == (0, "agrees")
    train(place, noisy)
    assert spot(place)[:2] == (1, "differs")
    place.plain("run", "--tolerance", "relative 1", "--", "true").refused(2, "tolerance")


def test_the_pipe_cannot_be_taken_back_replaced_or_flooded_unnoticed(place: Any) -> None:
    tricky = script(then="step == 3 and open('/custody/transcript', 'w').write('nonsense\\n' * 3)")
    body = train(place, tricky)
    assert body["steps"] == STEPS
    assert len(body["anomalies"]) == 3
    assert "was not taken" in body["anomalies"][0]
    for attempt in ("os.unlink('/custody/transcript')", "os.rename('/custody/transcript', '/custody/x')"):
        failed = train(place, script(then=f"step == 3 and {attempt}"), 1)
        assert failed["steps"] == 4
    assert place.plain("run", "list").code == 0


def test_a_loss_that_explodes_is_shown(place: Any) -> None:
    body = train(place, script(loss="loss / 20 if step < 50 else float('nan') if step > 55 else 1e6"))
    assert [line.partition(" at ")[0].split(" from")[0] for line in body["anomalies"]] == ["loss leaps", "loss is nan"]
    finish = next(e for e in reversed(place.entries()) if e["kind"] == "training-finish")
    assert finish["entry"] == body["entry"]


COPIES = {
    "from the code": ("import shutil; shutil.copy('ready.json', 'model/model.json')", "the code file ready.json"),
    "from the data": ("import shutil; shutil.copy('data/train.csv', 'model/model.pkl')", "the dataset tiny-train"),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_model_that_was_there_before_the_run_is_no_model_of_it(place: Any, name: str) -> None:
    (place.folder / "ready.json").write_text('{"slope": 2}')
    text, where = COPIES[name]
    (place.folder / "train.py").write_text(text + "\n")
    refused = place.plain("run", "--", sys.executable, "-S", "train.py")
    refused.refused(4, "was not made by this run", where)
    assert place.custody("run", "list").body["runs"][-1]["state"] == "compromised"


DRAFT = "open('model/model.pkl', 'w').write('x'); open('data/train.csv').read(); "
NO_DATA = {
    "never": ("open('model/model.pkl', 'w').write('x')", ["the run opened none of its data"]),
    "too late": (
        DRAFT,
        ["model.pkl was written before the run opened any of its data"],
    ),
    "a first draft, written again": (
        DRAFT + "open('model/model.pkl', 'w').write('y')",
        [],
    ),
    "settings first": (
        DRAFT.replace("model.pkl", "settings.json") + "open('model/m.pkl', 'w').write('y')",
        [],
    ),
}


@pytest.mark.parametrize("name", NO_DATA)
def test_a_run_that_makes_its_model_without_looking_at_the_data_is_flagged(place: Any, name: str) -> None:
    text, anomalies = NO_DATA[name]
    assert train(place, text + "\n")["anomalies"] == anomalies


def test_a_configuration_copied_beside_a_model_is_fine(place: Any) -> None:
    (place.folder / "settings.json").write_text('{"depth": 2}')
    train(place, script() + "import shutil\nshutil.copy('settings.json', 'model/settings.json')\n")


def test_a_model_from_an_undeclared_file_does_not_exist_inside(place: Any) -> None:
    (place.folder / "ready.bin").write_bytes(b"trained long ago")
    body = train(place, "import shutil; shutil.copy('ready.bin', 'model/model.bin')\n", 1)
    assert body["model"] is None


def test_a_model_of_a_run_under_an_older_seal_is_none_of_the_new_one(place: Any) -> None:
    fixed = "open('model/model.pkl', 'w').write('weights')\nopen('model/notes.txt', 'w').write('{}')\n"
    train(place, fixed.format("first"))
    again = train(place, fixed.format("the same seal, a second time"))
    assert again["model"]
    place.must("seal", "gate", "seal")
    (place.folder / "train.py").write_text(fixed.format("a new seal"))
    place.plain("run", "--", sys.executable, "-S", "train.py").refused(4, "which began under another seal")


def test_only_somebody_else_may_check(life: Callable[[str, Path], Any], tmp_path: Path) -> None:
    if not sealed():
        pytest.skip("runs cannot be sealed here")
    project = life("trained", tmp_path)
    shutil.rmtree(project.folder / "model", ignore_errors=True)
    denied = project.custody("run", "spot-check", who="mel")
    assert denied.code == 5
    assert "takes another person" in denied.reason
    other = project.custody("run", "spot-check", who="val")
    assert (other.code, other.body["verdict"]) == (3, "unknown")
    project.custody("run", "spot-check", who="otto")
    assert project.custody("run", "spot-check", "000000000000", who="val").code == 3


def test_the_order_of_a_real_run_is_the_one_anybody_can_compute(place: Any) -> None:
    from custody.core.seed import derive_order

    body = train(place, "import custody_run\nprint(*custody_run.order(9, 4))\nopen('model/m.txt', 'w').write('m')\n")
    said = place.custody("run", "show", body["run"]).body
    inputs = [(item["name"], item["sha256"]) for item in said["inputs"]]
    wanted = derive_order(said["checkpoint"]["root"], said["seal"], inputs, 4, 9)
    assert Path(body["log"]).read_text().split() == [str(row) for row in wanted]


def test_a_reproduction_goes_through_the_rows_in_the_same_order(place: Any) -> None:
    train(place)
    again = place.custody("run", "reproduce")
    assert (again.code, again.body["verdict"]) == (0, "bit-identical"), again.body
    other = place.custody("run", "reproduce", "--seed", "1")
    assert (other.code, other.body["verdict"]) == (1, "diverged")
    assert "seed" in other.body["cause"]
