from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from custody.core import predicates as kinds
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder, Tampered, Unavailable
from custody.ledger.merkle import leaf_hash, root_of
from custody.stages.runtime import PredictionLog, _judge, trace, verify_log, watch
from custody.testing import Life


def log_of(life: Life, folder: Path) -> PredictionLog:
    return PredictionLog(folder, life.model, "production", b"k" * 32)


def predicted(life: Life, folder: Path) -> tuple[Path, list[str]]:
    """Log three predictions and seal them."""
    log = log_of(life, folder)
    ids = log.add([b"one", b"two"], np.array([0.25, 0.5])) + log.add([b"three"], np.array([1.0]))
    assert log.close(life.desk, "otto")
    return folder / f"{log.segment}.jsonl", ids


def test_predictions_are_logged_before_they_are_handed_out_and_sealed(life: Life, tmp_path: Path) -> None:
    path, ids = predicted(life, tmp_path / "log")
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids
    assert [json.loads(line)["score"] for line in lines] == [0.25, 0.5, 1.0]
    said = life.record.of_kind(kinds.PREDICTIONS)[0].predicate
    assert (said["count"], said["root"]) == (3, root_of([leaf_hash(line) for line in lines]).hex())
    (state,) = verify_log(life.record, tmp_path / "log")
    assert (state.count, state.status) == (3, "sealed")


def test_inputs_are_recognised_but_not_given_away(life: Life, tmp_path: Path) -> None:
    log = log_of(life, tmp_path / "a")
    log.add([b"secret row", b"secret row", b"other"], np.array([0.1, 0.1, 0.1]))
    raw = (tmp_path / "a" / f"{log.segment}.jsonl").read_bytes()
    inputs = [json.loads(line)["input"] for line in raw.splitlines()]
    assert b"secret" not in raw
    assert inputs[0] == inputs[1] != inputs[2]
    other = PredictionLog(tmp_path / "b", life.model, "production", b"j" * 32)
    other.add([b"secret row"], np.array([0.1]))
    assert json.loads((tmp_path / "b" / f"{other.segment}.jsonl").read_bytes())["input"] != inputs[0]


def test_an_open_segment_is_told_from_a_sealed_one(life: Life, tmp_path: Path) -> None:
    log = log_of(life, tmp_path / "log")
    log.add([b"one"], np.array([0.5]))
    (state,) = verify_log(life.record, tmp_path / "log")
    assert (state.status, state.entry) == ("open", None)


def test_nothing_predicted_leaves_nothing(life: Life, tmp_path: Path) -> None:
    assert log_of(life, tmp_path / "log").close(life.desk, "otto") is None
    assert verify_log(life.record, tmp_path / "log") == []
    assert verify_log(life.record, tmp_path / "no folder") == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw.replace(b"0.25", b"0.75"),
        lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1],
        lambda raw: raw + raw.splitlines(keepends=True)[0],
        lambda raw: b"".join(sorted(raw.splitlines(keepends=True), reverse=True)),
        lambda raw: b"",
    ],
)
def test_an_edited_log_is_tampering(life: Life, tmp_path: Path, edit: Any) -> None:
    path, _ = predicted(life, tmp_path / "log")
    verify_log(life.record, tmp_path / "log")
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(Tampered, match=path.stem):
        verify_log(life.record, tmp_path / "log")


def test_lost_lines_are_counted(life: Life, tmp_path: Path) -> None:
    path, _ = predicted(life, tmp_path / "log")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(Tampered, match=r"has 2 lines; entry .* sealed 3"):
        verify_log(life.record, tmp_path / "log")


def test_a_segment_that_is_gone_is_tampering(life: Life, tmp_path: Path) -> None:
    path, _ = predicted(life, tmp_path / "log")
    path.unlink()
    with pytest.raises(Tampered, match="gone"):
        verify_log(life.record, tmp_path / "log")


def test_only_an_operator_seals_a_log(life: Life, tmp_path: Path) -> None:
    log = log_of(life, tmp_path / "log")
    log.add([b"one"], np.array([0.5]))
    with pytest.raises(NotPermitted):
        log.close(life.desk, "mel")


def test_a_log_that_cannot_be_written_hands_out_nothing(life: Life, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        log_of(life, tmp_path / "file")
    log = log_of(life, tmp_path / "log")
    log._file.close()
    log._file = Path("/dev/full").open("wb")  # noqa: SIM115
    with pytest.raises(Unavailable, match="prediction log"):
        log.add([b"one"], np.array([0.5]))


def test_a_prediction_is_followed_back_to_its_data(life: Life, tmp_path: Path) -> None:
    _, ids = predicted(life, tmp_path / "log")
    found = trace(life.record, tmp_path / "log", ids[1])
    assert found["prediction"]["score"] == 0.5
    assert found["model"]["sha256"] == life.model.sha256
    assert found["run"]["id"] == "run1"
    assert found["data"] == [{"name": "train", "sha256": life.train_data, "record": life.registered(life.train_data)}]
    assert found["sealed_in"] == [life.record.size - 1]
    assert life.record.entries[found["criteria"]].kind == kinds.SEAL


@pytest.mark.parametrize(
    "name", ["", "x", "-", "../../etc/passwd-0", "{0}-3", "{0}--1", "{0}-\u00b2", "{0}-" + "9" * 5000]
)
def test_a_prediction_that_is_not_there_is_not_found(life: Life, tmp_path: Path, name: str) -> None:
    path, _ = predicted(life, tmp_path / "log")
    with pytest.raises(NotFound):
        trace(life.record, tmp_path / "log", name.format(path.stem))


def test_a_prediction_of_a_model_nobody_trained_is_said(life: Life, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log", Subject("stranger", "ab" * 32), "production", b"k" * 32)
    (name,) = log.add([b"one"], np.array([0.5]))
    with pytest.raises(OutOfOrder, match="no run on record"):
        trace(life.record, tmp_path / "log", name)


def test_only_runtime_checks_watch_and_only_operators(life: Life) -> None:
    from custody.checks.target import Target

    with pytest.raises(InvalidInput, match="not a runtime check"):
        watch(life.desk, "otto", life.model, ["performance.classification"], Target(), [], {})
    with pytest.raises(InvalidInput, match="not a runtime check"):
        watch(life.desk, "otto", life.model, ["weather"], Target(), [], {})
    with pytest.raises(NotPermitted):
        watch(life.desk, "val", life.model, [], Target(), [], {})


@pytest.mark.parametrize(
    ("measure", "status"),
    [
        ({"value": 0.0, "low": 0.0, "high": 0.0, "n": 9}, "met"),
        ({"value": 2.0, "low": 2.0, "high": 2.0, "n": 9}, "not_met"),
        ({"value": 0.0, "low": 0.0, "high": 2.0, "n": 9}, "inconclusive"),
        ({"value": None, "low": None, "high": None, "n": 0}, "unknown"),
        (None, "unknown"),
    ],
)
def test_live_measures_are_judged_by_the_sealed_bounds(life: Life, measure: Any, status: str) -> None:
    from custody.core.access import Action

    measures = [] if measure is None else [{"name": "drifted_features", "at": {}, **measure}]
    said = {**life.result("live.drift", {}, {}, stage="runtime"), "measures": measures}
    entry = life.say("otto", Action.WATCH, life.model, kinds.CHECK_RESULT, said)
    item = {"id": "R1", "measure": "live.drift.drifted_features", "at_most": 0.0}
    ruling = _judge(item, entry)
    assert ruling
    assert str(ruling.status) == status
    assert ruling.entries == (entry.index,)
    assert _judge({**item, "measure": "live.performance.recall_drop"}, entry) is None
