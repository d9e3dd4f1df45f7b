"""Runtime: every prediction logged, inputs and outputs held against the training data, labels when they come."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.checks.registry import registry
from custody.checks.target import Predictor, Table, Target
from custody.core import predicates as kinds
from custody.core import strictjson
from custody.core.access import Action
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.gate import Criterion, compare
from custody.core.stage import Stage
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, OutOfOrder, Tampered, Unavailable
from custody.given import open_given
from custody.ledger.merkle import Frontier, leaf_hash
from custody.records.results import write_result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_LINE_BYTES = 64 * 1024


@dataclass
class PredictionLog:
    """One open segment: a file of lines, one for each prediction; sealed by its Merkle root on the ledger.

    A line holds an id, the model's digest, a commitment to the input (HMAC-SHA256 under a key that
    stays on this machine: the same row can be recognised, a stranger learns nothing) and the score.
    """

    folder: Path
    model: Subject
    environment: str
    key: bytes

    def __post_init__(self) -> None:
        self.segment = secrets.token_hex(8)
        self._frontier = Frontier()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = (self.folder / f"{self.segment}.jsonl").open("xb")
        except OSError as error:
            raise Unavailable(f"cannot write the prediction log in {self.folder}: {error.strerror}") from None

    def add(self, rows: list[bytes], scores: NDArray[np.float64]) -> list[str]:
        """Log predictions durably before they are handed out; returns their ids."""
        first = self._frontier.size
        lines = []
        for offset, (row, score) in enumerate(zip(rows, scores.tolist(), strict=True)):
            commitment = hmac.new(self.key, row, hashlib.sha256).hexdigest()
            body = {"id": f"{self.segment}-{first + offset}", "input": commitment, "score": score}
            lines.append(json.dumps({**body, "model": self.model.sha256}, sort_keys=True).encode())
        try:
            self._file.write(b"".join(line + b"\n" for line in lines))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Unavailable(f"cannot write the prediction log: {error.strerror}") from None
        self._frontier = self._frontier.extend(leaf_hash(line) for line in lines)
        return [f"{self.segment}-{first + offset}" for offset in range(len(lines))]

    def close(self, desk: Desk, actor: str) -> Evidence | None:
        """Seal the segment: its count and root go on the ledger. None when nothing was predicted."""
        self._file.close()
        if not self._frontier.size:
            (self.folder / f"{self.segment}.jsonl").unlink(missing_ok=True)
            return None
        pen = desk.permit(actor, Action.WATCH)
        return pen.write(
            self.model,
            kinds.PREDICTIONS,
            {
                "segment": self.segment,
                "count": self._frontier.size,
                "root": self._frontier.root.hex(),
                "model": self.model.sha256,
                "environment": self.environment,
            },
        )


def rows_of(table: Table) -> list[bytes]:
    """Return each row as bytes, features in order, for its commitment."""
    return [repr(row).encode() for row in table.frame.select(table.features).iter_rows()]


@dataclass(frozen=True)
class LogState:
    """How a prediction segment stands: sealed and whole, still open, or altered."""

    segment: str
    count: int
    status: str
    entry: int | None


def verify_log(record: Record, folder: Path) -> list[LogState]:
    """Recompute every segment against the ledger. Raises `Tampered` naming the segment and what is wrong."""
    sealed = {str(entry.predicate["segment"]): entry for entry in record.of_kind(kinds.PREDICTIONS)}
    present = {path.stem: path for path in folder.glob("*.jsonl")} if folder.exists() else {}
    states: list[LogState] = []
    for segment, entry in sealed.items():
        path = present.get(segment)
        if path is None:
            raise Tampered(f"prediction segment {segment}, sealed in entry {entry.index}, is gone")
        frontier = Frontier().extend(leaf_hash(line) for line in _lines(path))
        if frontier.size != entry.predicate["count"]:
            raise Tampered(
                f"prediction segment {segment} has {frontier.size} lines; "
                f"entry {entry.index} sealed {entry.predicate['count']}"
            )
        if frontier.root.hex() != entry.predicate["root"]:
            raise Tampered(f"a line of prediction segment {segment} was altered since entry {entry.index}")
        states.append(LogState(segment, frontier.size, "sealed", entry.index))
    for segment, path in present.items():
        if segment not in sealed:
            states.append(LogState(segment, sum(1 for _ in _lines(path)), "open", None))
    return states


def predict(
    desk: Desk, actor: str, log: PredictionLog, model: Predictor, table: Table
) -> tuple[list[str], NDArray[np.float64], Evidence | None]:
    """Score a table through the log: rows are logged before anybody sees an answer."""
    scores = model.scores(table.frame.select(table.features))
    ids = log.add(rows_of(table), scores)
    return ids, scores, log.close(desk, actor)


def trace(record: Record, folder: Path, prediction: str) -> dict[str, Any]:
    """Follow one prediction back: line, model, run, seal, data."""
    segment, _, number = prediction.rpartition("-")
    path = folder / f"{segment}.jsonl"
    if not segment.isalnum() or not path.is_file() or not (number.isdecimal() and len(number) < 16):
        raise NotFound(f"no prediction {prediction!r} is in the log")
    text = next(itertools.islice(_lines(path), int(number), None), None)
    if text is None:
        raise NotFound(f"segment {segment} has no line {number}")
    try:
        line = strictjson.parse_object(text, what=f"line {number} of prediction segment {segment}")
        model = str(line["model"])
    except (InvalidInput, KeyError) as error:
        raise Tampered(f"line {number} of prediction segment {segment} is not what was written: {error}") from None
    finish = record.about(model, kinds.TRAINING_FINISH)
    start = record.by_digest(kinds.start_of(finish[0].predicate)) if finish else None
    if not finish or start is None:
        raise OutOfOrder(f"the model of prediction {prediction} has no run on record")
    sealed = [e.index for e in record.of_kind(kinds.PREDICTIONS) if e.predicate["segment"] == segment]
    seal = record.by_digest(str(start.predicate["seal"]))
    return {
        "prediction": line,
        "sealed_in": sealed,
        "model": {"sha256": model, "entry": finish[0].index},
        "run": {"id": start.predicate["run"], "entry": start.index},
        "criteria": seal.index if seal else None,
        "data": start.predicate["inputs"],
    }


def watch(
    desk: Desk,
    actor: str,
    model: Subject,
    checks: list[str],
    target: Target,
    policy: list[dict[str, Any]],
    inputs: dict[str, Any],
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[list[Evidence], list[Ruling]]:
    """Measure live data and judge it by the sealed runtime bounds; both are recorded or derived."""
    pen = desk.permit(actor, Action.WATCH)
    found: list[Evidence] = []
    rulings: list[Ruling] = []
    for check_id in checks:
        check = registry().get(check_id)
        if check is None or check.stage is not Stage.RUNTIME:
            raise InvalidInput(f"{check_id!r} is not a runtime check")
        progress(check_id)
        entry = write_result(pen, model, check_id, Stage.RUNTIME, check.run(target), inputs)
        found.append(entry)
        rulings += [ruling for item in policy if (ruling := _judge(item, entry)) is not None]
    return found, rulings


def _lines(path: Path) -> Iterator[bytes]:
    """Read a segment line by line: a busy model's log does not fit into memory. Raises `Tampered`."""
    try:
        with open_given(path) as file:
            while line := file.readline(_MOST_LINE_BYTES + 1):
                if len(line) > _MOST_LINE_BYTES:
                    raise Tampered(f"prediction segment {path.stem} has a line longer than {_MOST_LINE_BYTES} bytes")
                yield line.removesuffix(b"\n")
    except (InvalidInput, OSError) as error:
        raise Tampered(f"prediction segment {path.stem} cannot be read: {error}") from None


def _judge(item: dict[str, Any], entry: Evidence) -> Ruling | None:
    check, _, measure = str(item["measure"]).rpartition(".")
    if check != entry.predicate["check"]:
        return None
    bound = Criterion(
        str(item["id"]), "runtime", check, measure, {}, item.get("at_least"), item.get("at_most"), "model", False, ""
    )
    answers = [m for m in entry.predicate["measures"] if m["name"] == measure and not m["at"]]
    if len(answers) != 1:
        return Ruling(bound.id, Status.UNKNOWN, f"no single answer to {bound.asks}", (entry.index,))
    status, reason = compare(bound, answers[0], entry.index)
    return Ruling(bound.id, status, reason, (entry.index,))
