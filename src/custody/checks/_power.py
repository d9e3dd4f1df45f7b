"""Can the held-out set settle this criterion at all?

Asked when criteria are sealed, before anything is trained: a bound that a model without any skill
would meet promises nothing (vacuous), and a bound that even a perfect model could not be shown to meet
on so few rows can only end inconclusive (unprovable). The judgement uses the very intervals that the
checks use later, and needs counts only: no model, no row of the held-out set leaves its vault.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from custody.checks._gaps import worst_difference, worst_ratio
from custody.checks._groups import count_jointly, intersections, join_names, read_attribute
from custody.checks._intervals import Span, auc_ends, average_span, f1_span, mean_ends, rate_span
from custody.checks.target import Table, Unmeasurable
from custody.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_TIMES = 2.0**30
"""Where the search for a sufficient number of rows gives up: so many times the rows there are."""

ROUNDING = 1e-9
"""A share of one fifth is not 0.2 to the last bit."""

BOTH_SIDES = {
    "recall": ("precision", "false_positive_rate", "accuracy", "balanced_accuracy", "f1", "auc"),
    "false_positive_rate": ("recall", "accuracy", "balanced_accuracy", "f1", "auc"),
}
"""Measures that some constant model meets perfectly, and those that rule that model out."""


@dataclass(frozen=True)
class HeldOutCounts:
    """How many rows and positives the held-out set has, whole and by group.

    `groups` maps an attribute or intersection (`sex`, `race*sex`) to its groups, and each group to
    (rows, positives). `unread` says why a sensitive column could not be counted.
    """

    rows: int
    positives: int
    groups: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = [cell for groups in self.groups.values() for cell in groups.values()]
        if any(not 0 <= positives <= rows for rows, positives in [(self.rows, self.positives), *cells]):
            raise InvalidInput("held-out counts need 0 <= positives <= rows, for the whole and every group")

    def to_json(self) -> dict[str, Any]:
        """Return the form that is sealed."""
        groups = {by: {group: list(cell) for group, cell in found.items()} for by, found in self.groups.items()}
        return {
            "rows": self.rows,
            "positives": self.positives,
            "groups": groups,
            "unread": dict(self.unread),
        }

    @classmethod
    def from_json(cls, body: Any) -> HeldOutCounts:
        """Read the sealed form; raises `InvalidInput` when it is not that."""
        try:
            groups = {
                by: {group: (_count(n), _count(k)) for group, (n, k) in found.items()}
                for by, found in body["groups"].items()
            }
            unread = {name: str(why) for name, why in body.get("unread", {}).items()}
            return cls(_count(body["rows"]), _count(body["positives"]), groups, unread)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"held-out counts are malformed: {type(error).__name__}: {error}") from None


@dataclass(frozen=True)
class PowerDefect:
    """Why a criterion would promise nothing, or could not be shown to hold."""

    kind: Literal["vacuous", "unprovable"]
    message: str


def count_held_out(table: Table, depth: int | None = None) -> HeldOutCounts:
    """Count a held-out table by every sensitive column and their intersections, as the check will.

    `depth` None counts as deep as the check looks. Raises `Unmeasurable` when the table has no usable
    target.
    """
    import numpy as np

    truth = table.truth.astype(np.intp)
    attributes, unread = [], {}
    for name in sorted(set(table.columns.sensitive)):
        try:
            attributes.append(read_attribute(table, name))
        except Unmeasurable as error:
            unread[name] = str(error)
    joint = count_jointly(attributes, truth, 2)
    groups = {}
    readable = {attribute.name for attribute in attributes}
    for names in intersections(table.columns.sensitive, depth):
        if readable.issuperset(names):
            labels, counts = joint.by(names)
            groups[join_names(names)] = {
                label: (int(cell.sum()), int(cell[1])) for label, cell in zip(labels, counts, strict=True)
            }
    return HeldOutCounts(table.rows, int(truth.sum()), groups, unread)


def judge_power(
    measure: str,
    at: Mapping[str, str | int | float],
    at_least: float | None,
    at_most: float | None,
    counts: HeldOutCounts,
    confidence: float,
    *,
    beside: Collection[str] | None = None,
) -> list[PowerDefect]:
    """Say whether a criterion on the held-out set is vacuous or unprovable; empty when it is neither.

    `measure` is the full name, `performance.classification.recall`; measures of other checks do not
    rest on held-out counts and are not judged. `beside` names the other measures of the same set of
    criteria: recall alone, for one, is met by a model that calls every row positive. Where it is
    None, a criterion is judged as if the rest of the set ruled constant models out.
    """
    check, _, name = measure.rpartition(".")
    asked = _Asked(name, str(at.get("by", "")), at_least, at_most, counts, confidence)
    if check in {"", "performance.classification"} and name in _IDLE:
        return _judge_performance(asked, beside)
    if check in {"", "fairness.group_gaps"} and name in _RATES:
        return _judge_gap(asked)
    return []


@dataclass(frozen=True)
class _Asked:
    """A criterion and the rows it will be judged on."""

    name: str
    by: str
    at_least: float | None
    at_most: float | None
    counts: HeldOutCounts
    confidence: float


def _judge_performance(asked: _Asked, beside: Collection[str] | None) -> list[PowerDefect]:
    name, counts, confidence = asked.name, asked.counts, asked.confidence
    if not 0 < counts.positives < counts.rows:
        seen = f"{counts.positives:,} of {counts.rows:,} held-out rows are positive"
        return [_unprovable(f"{seen}, and {name} needs rows of both classes")]
    defects = []
    idle, model = _IDLE[name](counts.positives / counts.rows)
    low_is_good = name in {"false_positive_rate", "brier"}
    met = f"is met by {model}, which reaches {idle:.4g}"
    floor, ceiling = (0.0, idle) if low_is_good else (idle, 1.0)
    if asked.at_least is not None and asked.at_least <= floor + ROUNDING:
        defects.append(_vacuous(f"{name} of at least {asked.at_least:g} {met}"))
    if asked.at_most is not None and asked.at_most >= ceiling - ROUNDING:
        defects.append(_vacuous(f"{name} of at most {asked.at_most:g} {met}"))
    if name in BOTH_SIDES and beside is not None and not defects:
        company = {other.rpartition(".")[2] for other in beside if other.startswith("performance.")}
        if company.isdisjoint(BOTH_SIDES[name]):
            constant = "negative" if low_is_good else "positive"
            rest = " or ".join(BOTH_SIDES[name][:3])
            message = f"{name} alone is met by a model that calls every row {constant}"
            defects.append(_vacuous(f"{message}; ask for {rest} as well"))

    def reach(times: float) -> Span:
        return _perfect(name, counts.rows * times, counts.positives * times, confidence)

    return [*defects, *_out_of_reach(asked, reach, "even for a perfect model")]


def _perfect(name: str, rows: float, positives: float, confidence: float) -> Span:
    """Return the interval of a model that makes no mistake at all."""
    negatives = rows - positives
    found = rate_span(positives, positives, confidence)
    if name == "accuracy":
        return rate_span(rows, rows, confidence)
    if name == "balanced_accuracy":
        return average_span(found, rate_span(negatives, negatives, confidence))
    if name == "f1":
        return f1_span(positives, positives, confidence)
    if name == "auc":
        return Span(1.0, *auc_ends(1.0, positives, negatives, confidence))
    if name == "false_positive_rate":
        return rate_span(0, negatives, confidence)
    if name == "brier":
        return mean_ends(0.0, 0.0, rows, confidence)
    # Precision rests on as many called rows as there are positives, and so does recall.
    return found


def _judge_gap(asked: _Asked) -> list[PowerDefect]:
    name, by, counts = asked.name, asked.by, asked.counts
    if (asked.at_most is not None and asked.at_most >= 1) or (asked.at_least is not None and asked.at_least <= 0):
        return [_vacuous(f"every model keeps {name} within this bound")]
    groups = counts.groups.get(by)
    if groups is None:
        unread = [counts.unread[part] for part in by.split("*") if part in counts.unread]
        why = "; ".join(unread) or f"known are {', '.join(sorted(counts.groups)) or 'none'}"
        return [_unprovable(f"the held-out set was not counted by {by!r}: {why}")]
    if len(groups) < 2:
        return [_unprovable(f"the held-out set has one group of {by}, and a gap needs two")]
    for rate in _RATES[name]:
        lacking = [group for group, (n, k) in groups.items() if not {"rows": n, "positives": k}.get(rate, n - k)]
        if lacking:
            named = ", ".join(repr(group) for group in lacking[:5])
            return [_unprovable(f"{name} by {by}: the held-out set has no {rate} for {named}")]

    def reach(times: float) -> Span:
        return _no_gap(asked, times)

    smallest = min(groups, key=lambda group: groups[group][0])
    who = f"even without any gap (smallest group {smallest!r}: {groups[smallest][0]:,} rows)"
    return _out_of_reach(asked, reach, who)


_RATES = {
    "demographic_parity_difference": ("rows",),
    "demographic_parity_ratio": ("rows",),
    "equal_opportunity_difference": ("positives",),
    "false_positive_rate_difference": ("negatives",),
    "equalized_odds_difference": ("positives", "negatives"),
}
"""What the rate behind each gap is a share of."""


def _no_gap(asked: _Asked, times: float) -> Span:
    """Return the interval of a model that treats all groups exactly alike, and as rightly as it can."""
    import numpy as np

    cells = np.asarray(list(asked.counts.groups[asked.by].values()), float) * times
    rows, positives = cells[:, 0], cells[:, 1]
    share = asked.counts.positives / asked.counts.rows
    # Selected: everyone at the share of positives. Found: every positive. Alarmed: no negative.
    rates = {
        "rows": (rows * share, rows),
        "positives": (positives, positives),
        "negatives": (np.zeros_like(rows), rows - positives),
    }
    if asked.name == "demographic_parity_ratio":
        worst = worst_ratio(*rates["rows"], asked.confidence)
        return Span(worst.value, worst.low, worst.high)
    needed = _RATES[asked.name]
    found = [worst_difference(*rates[rate], asked.confidence, looks=len(needed)) for rate in needed]
    return Span(0.0, 0.0, max(worst.high for worst in found))


def _out_of_reach(asked: _Asked, reach: Callable[[float], Span], who: str) -> list[PowerDefect]:
    """Report each bound that the best possible result does not clear with its whole interval."""
    least, most, best, defects = asked.at_least, asked.at_most, reach(1.0), []
    if least is not None and best.low < least:
        enough = _enough(lambda times: reach(times).low >= least)
        defects.append(_too_few(asked, f"at least {least:g}", best.low, enough, who))
    if most is not None and best.high > most and asked.name not in _HIGHER:
        enough = _enough(lambda times: reach(times).high <= most)
        defects.append(_too_few(asked, f"at most {most:g}", best.high, enough, who))
    return defects


_HIGHER = {"accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc", "demographic_parity_ratio"}
"""Where 1 is best, so that an upper bound can always be met by a worse model."""


def _too_few(asked: _Asked, bound: str, end: float, enough: float | None, who: str) -> PowerDefect:
    rows = asked.counts.rows
    where = f"{asked.name} by {asked.by}" if asked.by else asked.name
    more = f"about {_rounded(rows * enough):,} rows of the same mix would do" if enough else "no number would do"
    return _unprovable(
        f"{where} of {bound} cannot be shown on {rows:,} held-out rows: {who} the interval ends at {end:.4g}; {more}"
    )


def _enough(clears: Callable[[float], bool]) -> float | None:
    """Return about the smallest multiple of the rows that clears the bound, or None."""
    low, high = 1.0, 2.0
    while not clears(high):
        low, high = high, 2 * high
        if high > MOST_TIMES:
            return None
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if clears(middle) else (middle, high)
    return high


def _rounded(rows: float) -> int:
    """Round up to two digits, for more are not known."""
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return int(-(-rows // step) * step)


def _vacuous(message: str) -> PowerDefect:
    return PowerDefect("vacuous", message)


def _unprovable(message: str) -> PowerDefect:
    return PowerDefect("unprovable", message)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"held-out counts need whole numbers, not {value!r}")
    return value


_MAJORITY = "a model that always gives the more frequent answer"
_ALWAYS = "a model that calls every row positive"
_IDLE: dict[str, Callable[[float], tuple[float, str]]] = {
    "accuracy": lambda share: (max(share, 1 - share), _MAJORITY),
    "balanced_accuracy": lambda _: (0.5, "any constant model"),
    "precision": lambda share: (share, _ALWAYS),
    "recall": lambda _: (0.0, "every model"),
    "f1": lambda share: (2 * share / (1 + share), _ALWAYS),
    "auc": lambda _: (0.5, "a coin"),
    "false_positive_rate": lambda _: (1.0, "every model"),
    "brier": lambda share: (share * (1 - share), "a model that scores every row alike"),
}
"""What a model without skill reaches, given the share of positives, and which model that is."""
