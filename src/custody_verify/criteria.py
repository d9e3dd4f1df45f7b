"""Step 5, first half: what the sealed criteria ask, and whether the results on record answer it.

Silence denies; every result counts and the worst one rules; a bound is compared with the whole interval, widened by
the number of models that saw the exam; a result about the model counts only by a validator, after training, with the
sealed evaluator, under this seal, on the sealed held-out set, opened for it on record, and behind a wall where asked.
"""

import itertools
import math
from collections import namedtuple
from typing import Any

from custody_verify.ledger import Past
from custody_verify.roster import Entry
from custody_verify.strict import whole

MET, WAIVED, INCONCLUSIVE, UNKNOWN, NOT_MET = "met", "waived", "inconclusive", "unknown", "not_met"
_WORST_FIRST = (NOT_MET, UNKNOWN, INCONCLUSIVE, WAIVED, MET)
MAX_CRITERIA = 10_000

Ruling = namedtuple("Ruling", "id status entries reason")
"""One rule or criterion: how it stands, on which entries, and why."""

Criterion = namedtuple("Criterion", "id klass check measure at low high on waivable asks")
"""One measure and its bound; `asks` is the question as people read it."""
def read_criteria(document: dict[str, Any]) -> list[Criterion]:
    """Expand the sealed document; raises `ValueError` for what the product's linter would not have sealed."""
    items = document.get("criterion")
    if not isinstance(items, list) or not items: raise ValueError("a gate without criteria allows nothing")
    found: list[Criterion] = []
    for item in items:
        if not isinstance(item, dict) or not item.keys() >= {"id", "class", "measure", "on", "waivable", "why"}:
            raise ValueError("a criterion lacks a key")
        check, _, measure = str(item["measure"]).rpartition(".")
        bounds = [item.get("at_least"), item.get("at_most")]
        if any(bound is not None and _number(bound) is None for bound in bounds):
            raise ValueError(f"a bound of {str(item['id'])[:40]!r} is not a finite number")
        spots = _spots(item, MAX_CRITERIA - len(found))
        for at in spots:
            name = str(item["id"]) + (f"[{at['by']}]" if item.get("by") and len(spots) > 1 else "")
            where = ", ".join(f"{key}={value}" for key, value in sorted(at.items()))
            asked = [name, str(item["class"]), check, measure, at, *map(_number, bounds), str(item["on"])]
            asks = f"{check}.{measure}" + f" [{where}]" * bool(where)
            found.append(Criterion._make([*asked, bool(item["waivable"]), asks]))
    return found
def _spots(item: dict[str, Any], room: int) -> list[dict[str, Any]]:
    """Where the measure is taken: one place, or every combination of up to `depth` of the columns in `by`."""
    by, depth, at = item.get("by"), whole(item.get("depth")), item.get("at", {})
    if not by and isinstance(at, dict) and room > 0: return [at]
    if not by or not isinstance(by, list) or not all(isinstance(name, str) for name in by) or (depth or 0) < 1:
        raise ValueError("it is not said where a criterion is measured")
    sizes = range(1, min(depth or 0, len(by)) + 1)
    if any(total > room for total in itertools.accumulate(math.comb(len(by), size) for size in sizes)):
        raise ValueError(f"there are more than {MAX_CRITERIA} criteria")
    return [{"by": "*".join(chosen)} for size in sizes for chosen in itertools.combinations(sorted(by), size)]
def _number(value: object) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else None  # type: ignore[arg-type]
def judge(
    asked: Criterion, past: Past, subjects: list[str], seal: Entry, finished: int, makers: set[str], tried: int
) -> Ruling:
    """Judge one criterion by every result about every subject; `tried` models saw the held-out set."""
    judged: list[tuple[str, int, str]] = []
    for subject in subjects:
        silence, sound = f"no evidence of {asked.asks}", False
        for entry in past.about(subject, "check-result"):
            if entry.said["check"] != asked.check or entry.said["stage"] == "runtime": continue
            opening = past.find(entry.said["inputs"].get("opening"), "held-out-opening")
            if objection := _objection(asked, opening, entry, seal, finished, makers):
                silence = f"entry {entry.index} {objection}"
                continue
            status, reason = _compare(asked, _answer(asked, entry), tried, seal.said["criteria"].get("confidence"))
            judged.append((status, entry.index, f"{asked.asks} {reason}, in entry {entry.index}"))
            if past.void.isdisjoint({entry.index, opening.index if opening else entry.index}):
                sound = True
            elif not sound:
                silence = f"every answer to {asked.asks} was signed with a key that was compromised"
        if not sound: judged.append((UNKNOWN, -1, silence))
    if not judged: return Ruling(asked.id, UNKNOWN, (), f"there is nothing to measure {asked.asks} on")
    status, _, reason = min(judged, key=lambda item: _WORST_FIRST.index(item[0]))
    return Ruling(asked.id, status, tuple(sorted({index for _, index, _ in judged if index >= 0})), reason)
def _objection(
    asked: Criterion, opening: Entry | None, entry: Entry, seal: Entry, finished: int, makers: set[str]
) -> str:
    """Return why a result does not count, or ""."""
    stage, inputs, policy, exam = entry.said["stage"], entry.said["inputs"], seal.said["policy"], seal.said["held_out"]
    if entry.said["evaluator"] != seal.said["evaluator"]: return "was measured by another evaluator than the sealed one"
    if asked.on == "training_data":
        fits = stage == "data" and not entry.roles.isdisjoint({"data_engineer", "validator"})
        if not fits: return "is not a data check by a data engineer or validator"
        return "was measured by a maker" if entry.person in makers and not policy.get("solo") else ""
    artifact = asked.check.startswith("artifact.")
    if stage != ("artifact" if artifact else "validation"): return "was not made in the stage of that check"
    if "validator" not in entry.roles: return "was not made by a validator"
    if entry.index < finished: return "is older than the model"
    if inputs.get("held_out") != exam.get("sha256") or inputs.get("record") != exam.get("record"):
        return "was measured on another held-out set than the sealed one"
    if inputs.get("seal") != seal.digest: return "was measured under another seal"
    if artifact: return ""
    if policy.get("isolation") and inputs.get("isolation") != "bubblewrap":
        return "was measured without a wall around the model"
    if opening is None or opening.index > entry.index or opening.person != entry.person:
        return "names no opening of the held-out set by its own signer"
    opened = (opening.said["held_out"], opening.said["model"], opening.said["seal"])
    return "" if opened == (exam.get("sha256"), entry.about, seal.digest) else "names an opening for something else"
def _answer(asked: Criterion, entry: Entry) -> dict[str, Any]:
    """The one measure asked for. Unknown as a whole answers for each place; two answers are none."""
    named = [m for m in entry.said["measures"] if isinstance(m, dict) and m.get("name") == asked.measure]
    found = [m for m in named if (m.get("at") or {}) == asked.at or (not m.get("at") and m.get("value") is None)]
    return found[0] if len(found) == 1 else {}
def _compare(asked: Criterion, answer: dict[str, Any], tried: int, confidence: object) -> tuple[str, str]:
    value, low, high = (_number(answer.get(name)) for name in ("value", "low", "high"))
    rows = whole(answer.get("n"))
    if value is None or low is None or high is None or rows is None or rows <= 0:
        return UNKNOWN, "is not a finite number with an interval"
    if not low <= value <= high: return UNKNOWN, "has an interval without its own estimate"
    bounds, of = ((">=", asked.low), ("<=", asked.high)), ""
    wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
    if not wanted: return UNKNOWN, "has no bound"
    if asked.on == "model" and tried > 1 and low < high:
        wider = _widening(tried, confidence)
        low, high = value - (value - low) * wider, value + (high - value) * wider
        of = f", the best of {tried} models tried, widened {wider:.3g} times"
    if not math.isfinite(low) or not math.isfinite(high):
        return UNKNOWN, "cannot be adjusted to the number of models tried"
    text = f"is {value:.4g} ({low:.4g} to {high:.4g}{of}), asked {wanted}"
    floor, ceiling = -math.inf if asked.low is None else asked.low, math.inf if asked.high is None else asked.high
    if floor <= low and high <= ceiling: return MET, text
    return (NOT_MET if high < floor or low > ceiling else INCONCLUSIVE), text
def _widening(tried: int, confidence: object) -> float:
    """The best of several looks better than it is: intervals as if all were asked at once (Bonferroni); NaN if none."""
    from statistics import NormalDist  # costs as much as everything else, and is rarely needed
    sure = _number(confidence)
    one, many = (1 - (1 - sure) / 2, 1 - (1 - sure) / (2 * tried)) if sure is not None else (0.0, 0.0)
    if not (0.5 < one < 1 and 0.5 < many < 1): return math.nan
    return NormalDist().inv_cdf(many) / NormalDist().inv_cdf(one)
