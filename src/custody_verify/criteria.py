"""Step 6, first half: what the sealed criteria ask, and whether the results on record answer it.

Silence denies; every result counts and the worst one rules; a bound is compared with the whole interval;
a result about the model counts only by a validator, after training, with the sealed evaluator, under this seal, on
the sealed held-out set, opened for it on record, and behind a wall where the policy asks for one.
"""

import itertools
import math
from typing import Any, NamedTuple

from custody_verify import vocabulary as say
from custody_verify.ledger import Entry, Past
from custody_verify.strict import whole

MET, WAIVED, INCONCLUSIVE, UNKNOWN, NOT_MET = "met", "waived", "inconclusive", "unknown", "not_met"
_WORST_FIRST = (NOT_MET, UNKNOWN, INCONCLUSIVE, WAIVED, MET)
MAX_CRITERIA = 10_000


class Ruling(NamedTuple):
    """One rule or criterion: how it stands, on which entries, and why."""

    id: str
    status: str
    entries: tuple[int, ...]
    reason: str


class Criterion(NamedTuple):
    """One measure and its bound."""

    id: str
    klass: str
    check: str
    measure: str
    at: dict[str, Any]
    low: float | None
    high: float | None
    on: str
    waivable: bool

    @property
    def asks(self) -> str:
        """Return the question as people read it."""
        where = ", ".join(f"{key}={value}" for key, value in sorted(self.at.items()))
        return f"{self.check}.{self.measure}" + (f" [{where}]" if where else "")


def read_criteria(document: dict[str, Any]) -> list[Criterion]:
    """Expand the sealed document; raises `ValueError` for what the product's linter would not have sealed."""
    items = document.get("criterion")
    if not isinstance(items, list) or not items:
        raise ValueError("a gate without criteria allows nothing")
    found: list[Criterion] = []
    for item in items:
        if not isinstance(item, dict):
            raise ValueError("a criterion is not an object")
        if not item.keys() >= {"id", "class", "measure", "on", "waivable", "why"}:
            raise ValueError("a criterion lacks a key")
        check, _, measure = str(item["measure"]).rpartition(".")
        bounds = item.get("at_least"), item.get("at_most")
        if any(bound is not None and _number(bound) is None for bound in bounds):
            raise ValueError(f"a bound of {str(item['id'])[:40]!r} is not a finite number")
        spots = _spots(item, MAX_CRITERIA - len(found))
        for spot in spots:
            name = str(item["id"]) + (f"[{spot['by']}]" if item.get("by") and len(spots) > 1 else "")
            where = (check, measure, spot, _number(bounds[0]), _number(bounds[1]), str(item["on"]))
            found.append(Criterion(name, str(item["class"]), *where, bool(item["waivable"])))
    return found


def _spots(item: dict[str, Any], room: int) -> list[dict[str, Any]]:
    """Where the measure is taken: one place, or every combination of up to `depth` of the columns in `by`."""
    by, depth, at = item.get("by"), whole(item.get("depth")), item.get("at", {})
    if not by and isinstance(at, dict) and room > 0:
        return [at]
    if not isinstance(by, list) or not all(isinstance(name, str) for name in by) or depth is None or depth < 1:
        raise ValueError("it is not said where a criterion is measured")
    sizes = range(1, min(depth, len(by)) + 1)
    if sum(math.comb(len(by), size) for size in sizes) > room:
        raise ValueError(f"there are more than {MAX_CRITERIA} criteria")
    return [{"by": "*".join(chosen)} for size in sizes for chosen in itertools.combinations(sorted(by), size)]


def _number(value: object) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else None  # type: ignore[arg-type]


def judge(
    criterion: Criterion, past: Past, subjects: list[str], seal: Entry, finished: int, makers: set[str]
) -> Ruling:
    """Judge one criterion by every result about every subject."""
    judged: list[tuple[str, int, str]] = []
    for subject in subjects:
        silence, counted = f"no evidence of {criterion.asks}", False
        for entry in past.about(subject, say.RESULT):
            if entry.said["check"] != criterion.check or entry.said["stage"] == "runtime":
                continue
            if objection := _objection(criterion, past, entry, seal, finished, makers):
                silence = f"entry {entry.index} {objection}"
                continue
            counted = True
            status, reason = _compare(criterion, _answer(criterion, entry))
            judged.append((status, entry.index, f"{criterion.asks} {reason}, in entry {entry.index}"))
        if not counted:
            judged.append((UNKNOWN, -1, silence))
    if not judged:
        return Ruling(criterion.id, UNKNOWN, (), f"there is nothing to measure {criterion.asks} on")
    status, _, reason = min(judged, key=lambda item: _WORST_FIRST.index(item[0]))
    return Ruling(criterion.id, status, tuple(sorted({index for _, index, _ in judged if index >= 0})), reason)


def _objection(criterion: Criterion, past: Past, entry: Entry, seal: Entry, finished: int, makers: set[str]) -> str:
    stage, inputs = entry.said["stage"], entry.said["inputs"]
    policy, held_out = seal.said["policy"], seal.said["held_out"]
    if entry.said["evaluator"] != seal.said["evaluator"]:
        return "was measured by another evaluator than the sealed one"
    if criterion.on == "training_data":
        if stage != "data" or entry.roles.isdisjoint({"data_engineer", "validator"}):
            return "is not a data check by a data engineer or validator"
        return "was measured by a maker" if entry.person in makers and not policy.get("solo") else ""
    artifact = criterion.check.startswith("artifact.")
    if stage != ("artifact" if artifact else "validation"):
        return "was not made in the stage of that check"
    if "validator" not in entry.roles:
        return "was not made by a validator"
    if entry.index < finished:
        return "is older than the model"
    if inputs.get("held_out") != held_out.get("sha256") or inputs.get("record") != held_out.get("record"):
        return "was measured on another held-out set than the sealed one"
    if inputs.get("seal") != seal.digest:
        return "was measured under another seal"
    if artifact:
        return ""
    if policy.get("isolation") and inputs.get("isolation") != "bubblewrap":
        return "was measured without a wall around the model"
    opening = past.find(inputs.get("opening"), say.OPENING)
    if opening is None or opening.index > entry.index or opening.person != entry.person:
        return "names no opening of the held-out set by its own signer"
    opened = (opening.said["held_out"], opening.said["model"], opening.said["seal"])
    return "" if opened == (held_out.get("sha256"), entry.about, seal.digest) else "names an opening for something else"


def _answer(criterion: Criterion, entry: Entry) -> dict[str, Any]:
    """The one measure asked for. Unknown as a whole answers for each place; two answers are none."""
    named = [m for m in entry.said["measures"] if isinstance(m, dict) and m.get("name") == criterion.measure]
    found = [m for m in named if (m.get("at") or {}) == criterion.at or (not m.get("at") and m.get("value") is None)]
    return found[0] if len(found) == 1 else {}


def _compare(criterion: Criterion, answer: dict[str, Any]) -> tuple[str, str]:
    value, low, high = (_number(answer.get(name)) for name in ("value", "low", "high"))
    rows = whole(answer.get("n"))
    if value is None or low is None or high is None or rows is None or rows <= 0:
        return UNKNOWN, "is not a finite number with an interval"
    if not low <= value <= high:
        return UNKNOWN, "has an interval without its own estimate"
    floor = -math.inf if criterion.low is None else criterion.low
    ceiling = math.inf if criterion.high is None else criterion.high
    bounds = ((">=", criterion.low), ("<=", criterion.high))
    asked = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
    text = f"is {value:.4g} ({low:.4g} to {high:.4g}), asked {asked}"
    if not asked:
        return UNKNOWN, "has no bound"
    if floor <= low and high <= ceiling:
        return MET, text
    return (NOT_MET if high < floor or low > ceiling else INCONCLUSIVE), text
