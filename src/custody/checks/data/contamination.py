"""Were rows of the held-out set already seen in training?

A score on memorised rows says nothing. Rows are compared in canonical form (1, 1.0 and "1" are equal,
case, white space and the order of columns do not count) without label, entity and source, so that a
leaked row is found under a new name and with another label.

Twins also arise by chance: in coarse data two people share all answers. How many is known from the
training set itself: under the null hypothesis that held-out rows are fresh draws, a held-out row has a
twin in training as often as a training row has one among the other training rows. `excess_rate` is
contamination beyond that, with Newcombe's interval for the difference. Someone who repeats training rows
to make twins look natural is held to what the held-out set says of itself.

Near duplicates are looked for where sets of columns identify rows (continuous columns); the share of
columns that must be equal is the lowest at which the training set shows no natural near twins. A row of
which every column was changed a little is beyond this method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from custody.checks._intervals import Span, difference_span, proportion, rate_span
from custody.checks.data._twins import (
    Counter,
    Matcher,
    Near,
    blocks,
    hashes,
    identifying_sets,
    readings,
)
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of equal columns that may be asked of a near duplicate, lowest first."""
NATURAL = 0.002
"""Near duplicates are told from chance only where at most this share of rows has a natural one."""
_BASELINE = (20_000, 50_000)
_ENOUGH = 1000
"""From so many rows on, the held-out table itself says which columns identify its rows."""
_SHOWN = 5


@dataclass(frozen=True)
class _Twins:
    """What was found for each held-out row (first `held` places) and each baseline row (the rest)."""

    held: int
    train: int
    exact: NDArray[np.bool_]
    exact_row: NDArray[np.int64]
    exact_self: NDArray[np.bool_]
    near: Near
    near_self: Near
    sets: list[list[str]]
    share: float | None
    """The share of equal columns asked of near duplicates; None when they cannot be told from chance."""
    why_not: str

    def found(self, *, among: str) -> NDArray[np.bool_]:
        """Return which rows have an exact or near twin: of "held-out", "baseline", or held-out in "self"."""
        import numpy as np

        exact, near = (self.exact_self, self.near_self) if among == "self" else (self.exact, self.near)
        rows = slice(self.held, None) if among == "baseline" else slice(0, self.held)
        close = near.at_least(self.share) if self.share else np.zeros_like(exact)
        return (exact | close)[rows]


@check(
    stage=Stage.VALIDATION,
    measures={
        "exact_rate": Scale(0, 1, "lower", "share", "held-out rows that stand in training, canonical form"),
        "near_rate": Scale(0, 1, "lower", "share", "held-out rows with a near, but no exact, twin in training"),
        "contamination_rate": Scale(0, 1, "lower", "share", "held-out rows with an exact or near twin"),
        "excess_rate": Scale(-1, 1, "lower", "share", "contamination beyond what chance explains"),
        "entity_overlap_rate": Scale(0, 1, "lower", "share", "held-out entities that also stand in training"),
    },
    example=Example("excess_rate", clean=lambda: _example(leaked=0), caught=lambda: _example(leaked=60), at_most=0.01),
)
def contamination(target: Target) -> Result:
    """Stream the training rows past an index of the held-out rows and of a baseline of training rows."""
    import numpy as np

    train, held_out = target.need_train(), target.need_held_out()
    if not train.rows or not held_out.rows:
        raise Unmeasurable("a table without rows cannot be compared")
    twins = _search(train, held_out, _compared(train, held_out), target.seed)
    m = twins.held
    hit = twins.found(among="held-out")
    exact = twins.exact[:m]
    natural = _natural(twins, target.confidence)
    excess = difference_span(rate_span(int(hit.sum()), m, target.confidence), natural)
    measures = [
        Measure.exact("exact_rate", exact.sum() / m, m),
        Measure.exact("near_rate", (hit & ~exact).sum() / m, m)
        if twins.share
        else Measure.unknown("near_rate", twins.why_not),
        Measure.exact("contamination_rate", hit.sum() / m, m),
        Measure("excess_rate", excess.value, max(excess.low, -1.0), min(excess.high, 1.0), m),
        _entities(train, held_out),
    ]
    rows = np.flatnonzero(hit)
    details: dict[str, Any] = {
        "near_method": f"{len(twins.sets)} identifying sets of columns" if twins.share else twins.why_not,
        "near_share_of_equal_columns": twins.share,
        "column_sets": twins.sets,
        "natural_rate": {"value": natural.value, "low": natural.low, "high": natural.high},
        "contaminated_rows": [int(row) + 1 for row in rows[:1000]],
        "contaminated_rows_listed": min(int(rows.size), 1000),
    }
    return Result(measures, _findings(twins, hit, excess, natural, measures[-1]), details)


def _compared(train: Table, held_out: Table) -> list[str]:
    """Return the columns to compare: features of both, without the names of rows and their origin."""
    apart = {train.columns.entity, train.columns.source}
    columns = sorted(set(train.features) & set(held_out.features) - apart)
    if not columns:
        raise Unmeasurable("the training and the held-out table share no feature column")
    return columns


def _search(train: Table, held_out: Table, columns: list[str], seed: int) -> _Twins:
    """Index the held-out rows and a baseline sample of training rows; stream both tables past them."""
    import numpy as np

    n, m = train.rows, held_out.rows
    rng = np.random.default_rng(seed)
    size = min(n, max(min(m, _BASELINE[1]), _BASELINE[0]))
    baseline = np.sort(rng.choice(n, size, replace=False))
    plan = readings(train.frame, held_out.frame, columns)
    held = hashes(held_out.frame, plan)
    index = np.hstack([held, hashes(train.frame[baseline], plan)])
    telling = np.flatnonzero((index != index[:, :1]).any(axis=1))
    # Judged within one table: rows that stand in both are what is looked for, not a fault of the columns.
    sets = identifying_sets(held if m >= _ENOUGH else index[:, m:], telling, seed)
    whole = index.sum(axis=0)
    counter, matcher = Counter(whole), Matcher(index, telling, sets)
    near, near_self = matcher.nothing(), matcher.nothing()
    for start, stop in blocks(n):
        block = hashes(train.frame[start:stop], plan)
        counter.add(block.sum(axis=0), start)
        matcher.near(block, start, near)
    for start, stop in blocks(m):
        matcher.near(held[:, start:stop], start, near_self)
    seen = counter.counts[counter.inverse]
    # A baseline row stands in training anyway; it has a twin when it is seen twice.
    exact = np.concatenate([seen[:m] > 0, seen[m:] > 1])
    again = np.unique(whole[:m], return_inverse=True, return_counts=True)
    exact_self = np.concatenate([again[2][again[1]] > 1, np.zeros(size, dtype=np.bool_)])

    share, why = _share(near, near_self, exact, exact_self, m, len(sets) - len(matcher.dropped))
    named = [[columns[int(c)] for c in chosen] for p, chosen in enumerate(sets) if p not in matcher.dropped]
    first = counter.first[counter.inverse]
    return _Twins(m, n, exact, first, exact_self, near, near_self, named, share, why)


def _share(
    near: Near,
    near_self: Near,
    exact: NDArray[np.bool_],
    exact_self: NDArray[np.bool_],
    m: int,
    sets: int,
) -> tuple[float | None, str]:
    """Choose how alike near duplicates must be so that the data has (next to) no natural ones."""
    import numpy as np

    if not sets:
        return None, "no set of columns identifies rows: near duplicates cannot be told from chance"
    natural = {}
    for share in SHARES:
        apart = near.at_least(share)[m:] & ~exact[m:]
        own = near_self.at_least(share)[:m] & ~exact_self[:m]
        natural[share] = float(max(np.mean(apart), np.mean(own)))
    for limit in (0.0, NATURAL):
        for share in SHARES:
            if natural[share] <= limit:
                return share, ""
    return None, f"near duplicates occur naturally: {natural[SHARES[-1]]:.2%} of rows have one in their own table"


def _natural(twins: _Twins, confidence: float) -> Span:
    """Estimate how many held-out rows would have a twin by chance."""
    baseline = twins.found(among="baseline")
    rate = rate_span(int(baseline.sum()), baseline.size, confidence)
    # Chance finds a twin among n rows at most n/m times as often as among m.
    own = twins.found(among="self")
    high = float(proportion([int(own.sum())], [own.size], confidence).high[0])
    most = min(1.0, high * max(1.0, twins.train / twins.held))
    return Span(min(rate.value, most), min(rate.low, most), min(rate.high, most))


def _entities(train: Table, held_out: Table) -> Measure:
    """Count the held-out entities that the training table knows."""
    import polars as pl

    column = held_out.columns.entity
    name = "entity_overlap_rate"
    if not column:
        return Measure.unknown(name, "no entity column was declared")
    if column not in train.frame.columns or column not in held_out.frame.columns:
        return Measure.unknown(name, f"one of the tables has no entity column {column!r}")
    known = train.frame[column].cast(pl.String).drop_nulls().unique()
    asked = held_out.frame[column].cast(pl.String).drop_nulls().unique()
    if not asked.len():
        return Measure.unknown(name, f"the entity column {column!r} is empty")
    return Measure.exact(name, int(asked.is_in(known.implode()).sum()) / asked.len(), asked.len())


def _findings(twins: _Twins, hit: NDArray[np.bool_], excess: Span, natural: Span, entities: Measure) -> list[Finding]:
    """Say which rows, and whether chance explains them."""
    import numpy as np

    found: list[Finding] = []
    rows = np.flatnonzero(hit)
    if rows.size:
        # Rows that chance hardly explains come first.
        shown = [
            f"held-out row {row + 1} is {'' if twins.exact[row] else 'nearly '}training row "
            f"{(twins.exact_row if twins.exact[row] else twins.near.row)[row] + 1}"
            for row in rows[:_SHOWN]
        ]
        expected = natural.value * twins.held
        beyond = excess.low > 0
        found.append(
            Finding(
                "critical" if beyond else "info",
                f"{rows.size} of {twins.held} held-out rows stand in training "
                f"({int(twins.exact[: twins.held].sum())} exactly); chance explains about {expected:.0f}",
                "; ".join(shown),
                "the model has seen these answers, so its score on them says nothing"
                if beyond
                else "coarse data has twins by chance; their number is what this data's own twins predict",
                "draw the held-out set again and remove these rows from training" if beyond else "",
            )
        )
    if not twins.share:
        found.append(Finding("info", f"near duplicates were not looked for: {twins.why_not}"))
    if entities.value:
        found.append(
            Finding(
                "info",
                f"{entities.value:.1%} of the held-out entities also stand in training",
                why="a model may recognise an entity instead of the pattern",
                fix="split by entity when the model will meet new ones",
            )
        )
    return found


def _example(leaked: int) -> Target:
    """Make 3,000 training and 1,000 held-out rows; the first `leaked` of the latter are training rows."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(11)
    whole = pl.DataFrame(
        {
            "income": rng.lognormal(10, 1, 4000).round(2),
            "age": rng.integers(18, 90, 4000),
            "region": rng.choice(["north", "south", "east"], 4000),
            "balance": rng.normal(0, 5000, 4000).round(2),
            "default": rng.integers(0, 2, 4000),
        }
    )
    train, held_out = whole[:3000], whole[3000:]
    held_out = pl.concat([train[:leaked], held_out[leaked:]])
    columns = Columns(target="default", positive="1")
    return Target(train=Table("train", train, columns), held_out=Table("held-out", held_out, columns))
