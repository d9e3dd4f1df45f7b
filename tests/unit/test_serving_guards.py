"""What is served was looked into once more, and is let go of as soon as its chain breaks."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.errors import NotPermitted, Unknown
from custody.serving import LOOK_AGAIN_SECONDS, AdmittedModel, _column, _scan
from custody.stages.deployment import Admitted
from custody.testing import honest_life


class _Payload:
    def __reduce__(self) -> Any:
        return os.getcwd, ()


class _Estimator:
    classes_ = ("no", "yes")

    def predict_proba(self, rows: Any) -> Any:
        import numpy as np

        return np.full((len(rows), 2), 0.5)


class _Log:
    def __init__(self) -> None:
        self.added = 0

    def add(self, rows: list[bytes], scores: Any) -> list[str]:
        self.added += len(rows)
        return [str(number) for number, _ in enumerate(scores)]


def admitted(files: dict[str, bytes]) -> Admitted:
    return Admitted(Subject("loans", "0" * 64), None, files)  # type: ignore[arg-type]


def test_bytes_that_run_code_are_not_opened() -> None:
    with pytest.raises(NotPermitted, match="could run code"):
        _scan(admitted({"model.pkl": pickle.dumps(_Payload())}))


def test_bytes_that_cannot_be_read_are_not_opened() -> None:
    with pytest.raises(NotPermitted, match="could run code"):
        _scan(admitted({"model.pkl": b"7z\xbc\xaf\x27\x1c" + bytes(64)}))


def test_plain_bytes_are_opened() -> None:
    _scan(admitted({"model.pkl": pickle.dumps({"weights": [1.0, 2.0]}), "metrics.json": b"{}"}))


def test_the_positive_class_is_found_by_its_name() -> None:
    assert _column(_Estimator(), "yes") == 1
    with pytest.raises(Unknown):
        _column(_Estimator(), "maybe")


def test_an_incident_stops_a_model_that_is_in_memory(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    admission = life.record.of_kind(kinds.ADMISSION)[-1]
    log = _Log()
    handed = Admitted(life.model, admission, {})
    model = AdmittedModel(life.custody, handed, _Estimator(), log, "otto", "yes")  # type: ignore[arg-type]
    model._looked -= LOOK_AGAIN_SECONDS
    model.predict_proba([[1.0], [2.0]])
    assert log.added == 2
    said = {"incident": "i1", "type": "evasion", "status": "open", "reason": "a ring", "affected": []}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, said)
    model._looked -= LOOK_AGAIN_SECONDS
    with pytest.raises(NotPermitted, match="quarantined"):
        model.predict_proba([[1.0]])
    assert log.added == 2
