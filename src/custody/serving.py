"""Serving: a model in memory, handed out only while its whole chain holds, logging what it predicts."""

from __future__ import annotations

import io
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.core.model_file import model_file
from custody.errors import NotPermitted, Unavailable, Unknown
from custody.wiring import Custody, open_custody

if TYPE_CHECKING:
    from custody.stages.deployment import Admitted
    from custody.stages.runtime import PredictionLog

LOOK_AGAIN_SECONDS = 5.0
"""How often a served model looks at the ledger for an incident, an expiry or a retirement."""


class AdmittedModel:
    """A model whose whole chain held when it was loaded; it logs what it predicts.

    `predict_proba` writes to the prediction log before it answers, and looks at the ledger again every
    few seconds: an incident stops a model that is already in memory, too.
    """

    def __init__(
        self, custody: Custody, admitted: Admitted, estimator: Any, log: PredictionLog, actor: str, positive: str
    ) -> None:
        self.subject, self.admission = admitted.subject, admitted.admission
        self._custody, self._estimator, self._log, self._actor = custody, estimator, log, actor
        self._column = _column(estimator, positive)
        self._lock = threading.Lock()
        self._looked = time.monotonic()

    def predict_proba(self, rows: Any) -> Any:
        """Return the estimator's probabilities for a data frame, after logging those of the positive class.

        Raises `NotPermitted` as soon as the model is quarantined, expired, overruled or retired.
        """
        with self._lock:
            self._look_again()
            answers = self._estimator.predict_proba(rows)
            self._log.add([repr(row).encode() for row in rows.to_numpy().tolist()], answers[:, self._column])
        return answers

    def close(self) -> None:
        """Seal the prediction log on the ledger."""
        self._log.close(self._custody.desk, self._actor)

    def _look_again(self) -> None:
        from custody.stages.deployment import check_standing

        if time.monotonic() - self._looked < LOOK_AGAIN_SECONDS:
            return
        desk = self._custody.desk
        check_standing(desk.read(), self.admission, desk.time())
        self._looked = time.monotonic()

    def __enter__(self) -> AdmittedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(
    use_case: str = "", *, environment: str = "production", actor: str = "", start: Path | None = None, model: str = ""
) -> AdmittedModel:
    """Return a model only if its chain holds: ledger, admission, recomputed decision, standing, bytes.

    The bytes are scanned once more, here, before anything is deserialised from them. Raises `Tampered`,
    `NotPermitted`, `OutOfOrder` or `Unknown`; there is no way to get the model anyway.
    """
    from custody.records.datasets import columns_of
    from custody.records.lineage import find_model, sealed_chain_of
    from custody.stages.deployment import admit

    custody = open_custody(start)
    who = actor or custody.config.actor
    admitted = admit(custody.desk, custody.vault, who, use_case or custody.config.use_case, environment, model)
    name = model_file(admitted.files)
    _scan(admitted)
    record = custody.desk.read()
    _, seal = sealed_chain_of(record, find_model(record, admitted.subject.name, admitted.subject.sha256))
    held_out = record.by_digest(str(seal.predicate["held_out"]["record"]))
    if held_out is None:
        raise Unknown("the seal names no record of its held-out set, so the positive class is not known")
    try:
        import joblib

        estimator = joblib.load(io.BytesIO(admitted.files[name]))
    except ModuleNotFoundError as error:
        raise Unavailable(f"{error.name} is not installed", hint="pip install 'custody[checks]'") from None
    positive = columns_of(held_out.predicate).positive
    log = custody.prediction_log(admitted.subject, environment)
    return AdmittedModel(custody, admitted, estimator, log, who, positive)


def _scan(admitted: Admitted) -> None:
    """Look into the very bytes that will be opened; what may run code, or cannot be read, is not opened."""
    from custody.checks.artifact.scan import scan_files

    with tempfile.TemporaryDirectory(prefix="custody-load-") as folder:
        files: dict[str, Path] = {}
        for number, (name, raw) in enumerate(sorted(admitted.files.items())):
            files[name] = Path(folder) / f"{number}{Path(name).suffix}"
            files[name].write_bytes(raw)
        result = scan_files(files)
    for measure in result.measures:
        if measure.name in ("critical_findings", "unread_files") and measure.value != 0:
            what = result.findings[0].what if result.findings else measure.reason or measure.name
            raise NotPermitted(
                f"opening model {admitted.subject.short} could run code: {what}", hint="custody incident open"
            )


def _column(estimator: Any, positive: str) -> int:
    """Return the column of the positive class; raises `Unknown` when the model does not name it."""
    classes = [str(label) for label in getattr(estimator, "classes_", [])]
    if positive in classes:
        return classes.index(positive)
    numbers = [_number(label) for label in classes]
    wanted = _number(positive)
    if wanted is not None and wanted in numbers:
        return numbers.index(wanted)
    raise Unknown(f"the model's classes {classes} do not include the positive label {positive!r}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
