"""What must hold, and whether it holds: criteria, and their judgement against the record.

Six rules, all of them in `judge_criterion`:

1. Silence denies: without a result there is no pass.
2. Every result counts: all results for this subject must satisfy; a second try buries nothing.
3. A bound is compared with the whole interval: inside is met, outside is not met, else inconclusive.
4. A result counts only if it was made by a validator, with the sealed evaluator, on the sealed
   held-out set under a recorded opening, after the training ended, with a wall around the model where
   the policy asks for one. Any other is set aside, and silence denies.
5. A result signed with a key that was compromised, or made under such an opening, must satisfy like any
   other, and is no reason to pass: at least one other has to satisfy.
6. Where several models were tried on one held-out set, intervals are widened by their number first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custody.core import predicates as kinds
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.selection import factor, widened

MAX_CRITERIA = 10_000


@dataclass(frozen=True)
class Criterion:
    """One measure, where it is taken, and its bound."""

    id: str
    klass: str
    check: str
    measure: str
    at: Mapping[str, str | int | float]
    at_least: float | None
    at_most: float | None
    on: str
    waivable: bool
    why: str

    @property
    def asks(self) -> str:
        """Return the question as people read it."""
        where = ", ".join(f"{key}={value}" for key, value in sorted(self.at.items()))
        return f"{self.check}.{self.measure}" + (f" [{where}]" if where else "")

    @property
    def bound(self) -> str:
        """Return the bound as people read it."""
        parts = []
        if self.at_least is not None:
            parts.append(f">= {self.at_least:g}")
        if self.at_most is not None:
            parts.append(f"<= {self.at_most:g}")
        return " and ".join(parts)


def criteria_of(document: Mapping[str, Any]) -> list[Criterion]:
    """Expand the sealed document: one criterion with `by` and `depth` asks about each combination.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` for a document that was not produced by the linter;
    callers treat that as evidence that cannot be read.
    """
    found: list[Criterion] = []
    for item in document["criterion"]:
        check, _, measure = str(item["measure"]).rpartition(".")
        spots = _spots(item)
        if len(found) + len(spots) > MAX_CRITERIA:
            raise ValueError(f"more than {MAX_CRITERIA} criteria")
        for spot in spots:
            suffix = f"[{spot['by']}]" if item.get("by") and len(spots) > 1 else ""
            found.append(
                Criterion(
                    id=str(item["id"]) + suffix,
                    klass=str(item["class"]),
                    check=check,
                    measure=measure,
                    at=spot,
                    at_least=_number(item.get("at_least")),
                    at_most=_number(item.get("at_most")),
                    on=str(item["on"]),
                    waivable=bool(item["waivable"]),
                    why=str(item["why"]),
                )
            )
    if not found:
        raise ValueError("a gate without criteria allows nothing")
    return found


def _spots(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return where the measure is taken: one place, or each combination of up to `depth` columns of `by`."""
    by = item.get("by")
    if not by:
        at = item.get("at", {})
        if not isinstance(at, Mapping):
            raise ValueError("'at' is not a table")
        return [dict(at)]
    depth = whole(item.get("depth"))
    if not isinstance(by, list) or not all(isinstance(name, str) for name in by) or depth is None or depth < 1:
        raise ValueError("'by' and 'depth' do not name groups")
    sizes = range(1, min(depth, len(by)) + 1)
    # Each sum in turn: of thousands of columns, the later terms are numbers that take hours to compute.
    if any(total > MAX_CRITERIA for total in itertools.accumulate(math.comb(len(by), size) for size in sizes)):
        raise ValueError(f"more than {MAX_CRITERIA} criteria")
    return [{"by": "*".join(chosen)} for size in sizes for chosen in itertools.combinations(sorted(by), size)]


def whole(value: object) -> int | None:
    """Return a whole number, and None for anything else, `true` included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"bound {value!r} is not a finite number")
    return float(value)


def judge_criterion(
    criterion: Criterion,
    record: Record,
    subjects: Sequence[str],
    seal: Evidence,
    finished: int,
    makers: Collection[str] = (),
    models: int = 1,
) -> Ruling:
    """Judge one criterion against all results about `subjects` (each must have at least one).

    `finished` is the ledger index of the training's finish statement; results about the model that
    are older than that are not about these bytes. `makers` are the persons who wrote the criteria or
    trained the model, `models` is how many models were tried on the held-out set.
    """
    models = models if criterion.on == "model" else 1
    times = factor(models, seal.predicate["criteria"].get("confidence"))
    judged: list[tuple[Status, str, int, Mapping[str, Any]]] = []
    for subject in subjects:
        set_aside = f"no evidence of {criterion.asks}" + (f" for {subject[:12]}" if len(subjects) > 1 else "")
        counted, sound = 0, 0
        for entry in record.about(subject, kinds.CHECK_RESULT):
            if entry.predicate["check"] != criterion.check or entry.predicate["stage"] == "runtime":
                continue
            if objection := _objection(criterion, record, entry, seal, finished, makers):
                set_aside = objection
                continue
            answer = _answer(criterion, entry)
            judged.append((*_compared(criterion, answer, entry.index, models, times), entry.index, answer))
            counted += 1
            sound += not _void(record, entry)
        if not counted:
            judged.append((Status.UNKNOWN, set_aside, -1, {}))
        elif not sound:
            why = f"every answer to {criterion.asks} was signed with a key that was compromised"
            judged.append((Status.UNKNOWN, why, -1, {}))
    if not judged:
        return Ruling(criterion.id, Status.UNKNOWN, f"there is nothing to measure {criterion.asks} on")
    worst = min(judged, key=lambda item: _RANK[item[0]])
    entries = tuple(sorted({index for _, _, index, _ in judged if index >= 0}))
    return Ruling(criterion.id, worst[0], worst[1], entries, _shown(worst[3]))


_RANK = {Status.NOT_MET: 0, Status.UNKNOWN: 1, Status.INCONCLUSIVE: 2, Status.WAIVED: 3, Status.MET: 4}


def _void(record: Record, result: Evidence) -> bool:
    """Tell whether a result, or the opening it was made under, was signed with a key that was compromised."""
    opening = record.by_digest(str(result.predicate["inputs"].get("opening")))
    if opening is not None and opening.kind != kinds.OPENING:
        opening = None  # whatever else it names is no opening, and `_objection` says so where one is needed
    return result.index in record.void or (opening is not None and opening.index in record.void)


def _compared(
    criterion: Criterion, answer: Mapping[str, Any], index: int, models: int, times: float | None
) -> tuple[Status, str]:
    """Compare the bound with the interval, widened by `times` where several models were tried."""
    status, text = compare(criterion, answer, index)
    if models <= 1 or status is Status.UNKNOWN or answer["low"] == answer["high"]:
        return status, text
    if times is None:
        return Status.UNKNOWN, f"{models} models were tried, and the sealed confidence cannot be read to adjust for it"
    status, text = compare(criterion, widened(answer, times), index)
    return status, f"{text}; widened {times:.3g} times: the best of {models} models tried"


def _objection(
    criterion: Criterion, record: Record, entry: Evidence, seal: Evidence, finished: int, makers: Collection[str]
) -> str:
    """Say why a result does not count, or ""."""
    said, inputs, policy = entry.predicate, entry.predicate["inputs"], seal.predicate["policy"]
    if said["evaluator"] != seal.predicate["evaluator"]:
        return f"entry {entry.index} was measured by another evaluator than the sealed one"
    if criterion.on == "training_data":
        if said["stage"] != "data" or not entry.roles & {"data_engineer", "validator"}:
            return f"entry {entry.index} is not a data check by a data engineer or validator"
        if entry.person in makers and not policy.get("solo"):
            return f"entry {entry.index} was measured by {entry.person}, who made the model"
        return ""
    artifact = criterion.check.startswith("artifact.")
    if said["stage"] != ("artifact" if artifact else "validation"):
        return f"entry {entry.index} was not made in the stage of that check"
    if "validator" not in entry.roles:
        return f"entry {entry.index} was not made by a validator"
    if entry.index < finished:
        return f"entry {entry.index} is older than the model"
    held_out = seal.predicate["held_out"]
    if inputs.get("held_out") != held_out.get("sha256") or inputs.get("record") != held_out.get("record"):
        return f"entry {entry.index} was measured on another held-out set than the sealed one"
    if inputs.get("seal") != seal.digest:
        return f"entry {entry.index} was measured under another seal"
    if artifact:
        return ""
    if policy.get("isolation") and inputs.get("isolation") != "bubblewrap":
        return f"entry {entry.index} was measured without a wall around the model"
    opening = record.by_digest(str(inputs.get("opening")))
    if opening is None or opening.kind != kinds.OPENING or opening.index > entry.index:
        return f"entry {entry.index} names no opening of the held-out set"
    wanted = (held_out.get("sha256"), entry.subject.sha256, seal.digest)
    if tuple(opening.predicate[key] for key in ("held_out", "model", "seal")) != wanted:
        return f"entry {entry.index} names an opening for something else"
    if opening.person != entry.person:
        return f"entry {entry.index} names somebody else's opening"
    return ""


def _answer(criterion: Criterion, entry: Evidence) -> Mapping[str, Any]:
    """Find the one measure that was asked for; two answers in one result are none.

    A measure that is unknown as a whole (no `at`, no value) answers every `at` with unknown.
    """
    found = []
    for measure in entry.predicate["measures"]:
        if not isinstance(measure, Mapping) or measure.get("name") != criterion.measure:
            continue
        at = measure.get("at") or {}
        if at == dict(criterion.at) or (not at and measure.get("value") is None):
            found.append(measure)
    if len(found) == 1:
        return found[0]
    return {"reason": "the result answers twice" if found else f"the result does not answer {criterion.asks}"}


def compare(criterion: Criterion, answer: Mapping[str, Any], index: int) -> tuple[Status, str]:
    """Compare the bound with the interval, never with the point."""
    value, low, high = (_finite(answer.get(name)) for name in ("value", "low", "high"))
    n = whole(answer.get("n"))
    if value is None or low is None or high is None or n is None or n <= 0:
        why = answer.get("reason") or "it is not a finite number with an interval"
        return Status.UNKNOWN, f"{criterion.asks} is unknown in entry {index}: {why}"
    if not low <= value <= high:
        return Status.UNKNOWN, f"the interval in entry {index} does not contain its own estimate"
    shown = f"{value:.4g}" if low == high else f"{value:.4g} (interval {low:.4g} to {high:.4g}, n {n})"
    text = f"{criterion.asks} is {shown}, asked {criterion.bound}"
    lower = -math.inf if criterion.at_least is None else criterion.at_least
    upper = math.inf if criterion.at_most is None else criterion.at_most
    if lower == -math.inf and upper == math.inf:
        return Status.UNKNOWN, f"{criterion.id} has no bound"
    if lower <= low and high <= upper:
        return Status.MET, text
    if high < lower or low > upper:
        return Status.NOT_MET, text
    return Status.INCONCLUSIVE, text + ": the interval crosses the bound, more rows would settle it"


def _finite(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None  # type: ignore[arg-type]


def _shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer.get(name) for name in ("value", "low", "high", "n")} if answer else {}
