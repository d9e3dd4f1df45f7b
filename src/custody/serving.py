"""Serving: a model in memory, handed out only while its whole chain holds, logging what it predicts."""

from __future__ import annotations

import io
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.core.model_file import model_file
from custody.errors import InvalidInput, NotPermitted, OutOfOrder, Unavailable, Unknown
from custody.wiring import Custody, open_custody

if TYPE_CHECKING:
    from custody.stages.deployment import Admitted
    from custody.stages.runtime import PredictionLog

LOOK_AGAIN_SECONDS = 5.0
"""How often a served model looks at the ledger for an incident, an expiry or a retirement."""
HALF = 0.5
"""From which probability on a row is called positive: the threshold at which the model was measured."""


class AdmittedModel:
    """A model whose whole chain held when it was loaded; it logs what it predicts.

    `freshness` says in a sentence how it is known that the ledger was not cut short before that.
    `predict_proba` writes to the prediction log before it answers, and looks at the ledger again every
    few seconds: an incident stops a model that is already in memory, too.
    """

    def __init__(
        self, custody: Custody, admitted: Admitted, estimator: Any, log: PredictionLog, actor: str, positive: str
    ) -> None:
        self.subject, self.admission, self.freshness = admitted.subject, admitted.admission, admitted.freshness
        self._custody, self._estimator, self._log, self._actor = custody, estimator, log, actor
        self._column = _column(estimator, positive)
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._closed = False

    def predict_proba(self, rows: Any) -> Any:
        """Return the estimator's probabilities, shape (rows, classes), after logging those of the positive class.

        `rows` is a pandas or polars frame, a two-dimensional array or a list of rows. From a frame the
        columns that the model names are taken, in its order; an array must have just these columns.
        Raises `NotPermitted` as soon as the model is quarantined, expired, overruled or retired,
        `OutOfOrder` after `close`, and `InvalidInput` for rows that do not fit the model.
        """
        with self._lock:
            if self._closed:
                raise OutOfOrder("the model was closed and its prediction log sealed", hint="custody.load it again")
            self._look_again()
            table = table_for(self._estimator, rows)
            if not callable(getattr(self._estimator, "predict_proba", None)):
                kind = type(self._estimator).__name__
                raise Unknown(f"the model, a {kind}, gives no probabilities", hint="train one with predict_proba")
            answers = self._estimator.predict_proba(table)
            values = table.to_numpy() if hasattr(table, "to_numpy") else table
            self._log.add([repr(row).encode() for row in values.tolist()], answers[:, self._column])
        return answers

    def predict(self, rows: Any) -> Any:
        """Return a label for each row, logged like `predict_proba`: positive from a probability of one half."""
        import numpy as np

        answers = self.predict_proba(rows)
        chosen = np.where(answers[:, self._column] >= HALF, self._column, answers.argmax(axis=1))
        return np.asarray(self._estimator.classes_)[chosen]

    def close(self) -> None:
        """Seal the prediction log on the ledger; the model answers no more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
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


def table_for(estimator: Any, rows: Any) -> Any:
    """Return `rows` as the estimator was fitted on them: a data frame where it knows names, else an array.

    Raises `InvalidInput` for rows without two dimensions and for columns that are missing or too many.
    """
    import numpy as np

    named = getattr(estimator, "feature_names_in_", None)
    wanted = None if named is None else [str(name) for name in named]
    if hasattr(rows, "columns"):
        present = [str(name) for name in rows.columns]
        if wanted is None:
            return _counted(estimator, rows.to_numpy())
        if missing := [name for name in wanted if name not in present]:
            raise InvalidInput(f"the rows lack the column {missing[0]!r}", hint=f"the model takes: {_few(wanted)}")
        return _pandas(rows[wanted])
    try:
        array = np.asarray(rows)
        if array.dtype.kind not in "biuf":  # text beside numbers: each cell keeps its own type
            array = np.asarray(rows, dtype=object)
    except ValueError:
        raise InvalidInput("the rows are not all of the same length") from None
    if array.ndim != 2:
        raise InvalidInput(
            f"rows have two dimensions; these have {array.ndim}", hint="for one row: [[...]], or a frame of one row"
        )
    if wanted is None:
        return _counted(estimator, array)
    if array.shape[1] != len(wanted):
        raise InvalidInput(
            f"the rows have {array.shape[1]} columns, the model takes {len(wanted)}",
            hint=f"in this order: {_few(wanted)}",
        )
    import pandas as pd

    return pd.DataFrame(array, columns=wanted).infer_objects()


def _pandas(frame: Any) -> Any:
    """Return a pandas frame of a pandas or polars one."""
    if type(frame).__module__.partition(".")[0] != "polars":
        return frame
    import pandas as pd

    return pd.DataFrame(frame.to_dict(as_series=False))


def _counted(estimator: Any, array: Any) -> Any:
    """Return the array unless the estimator says that it takes another number of columns."""
    count = getattr(estimator, "n_features_in_", None)
    if count is not None and array.shape[1] != count:
        raise InvalidInput(f"the rows have {array.shape[1]} columns, the model takes {count} without names")
    return array


def _few(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


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
