"""Do live rows still look like the rows the model was trained on?

Each feature of the live table is compared with the training table: Kolmogorov-Smirnov for numbers,
chi-square for categories, with Holm's correction over all features. With enough rows every difference is
significant, so a feature counts as drifted only when the difference is also large: distance (or total
variation) above 0.1. Named as well: values never seen in training, more (or fewer) missing values,
columns that vanished or changed type, and constant factors, such as euros that became cents, also when
they concern one source only. With a model, the distance between its scores on both tables is bounded by
the Dvoretzky-Kiefer-Wolfowitz inequality (Massart 1990).

Drift says that the world or the pipeline changed, not that the model is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from custody.checks._intervals import difference_span, rate_span
from custody.checks._outcomes import ScoreColumn, sound_scores
from custody.checks.live._shift import (
    Shift,
    compare_categories,
    compare_numbers,
    distance,
    factor,
    numbers,
    unit,
)
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import polars as pl

FLOOR = 0.1
"""Smallest distance between distributions that counts as drift."""
MISSING_FLOOR = 0.05
"""Smallest change in the share of missing values that counts as drift."""
NEW_FLOOR = 0.01
"""Smallest share of never-seen categories that counts as drift."""
SCORED = 20_000
BLOCKS = 10
_PLOTTED = 40


@check(
    stage=Stage.RUNTIME,
    measures={
        "drifted_features": Scale(0, 1e6, "lower", "features", "features that moved, significantly and by much"),
        "max_psi": Scale(0, 1e3, "lower", "PSI", "population stability index of the feature that moved most"),
        "score_drift": Scale(0, 1, "lower", "distance", "Kolmogorov-Smirnov distance of the model's scores"),
    },
    example=Example("score_drift", clean=lambda: _example(0.0), caught=lambda: _example(1.0), at_most=0.1),
)
def drift(target: Target) -> Result:
    """Compare every feature, then the scores where there is a model."""
    train, live = target.need_train(), target.need_live()
    apart = {train.columns.entity, train.columns.time}
    columns = [name for name in train.features if name not in apart]
    if not columns or not train.rows or not live.rows:
        raise Unmeasurable("there are no feature columns, or no rows, to compare")
    shifts = [_compare(name, train, live, target.confidence) for name in columns]
    _settle(shifts, 1 - target.confidence)
    moved = sorted((shift for shift in shifts if shift.kinds), key=lambda shift: -shift.effect)
    for shift in moved:
        shift.start = _start(shift.column, train, live)
    psi = max(shifts, key=lambda shift: shift.psi.value).psi
    # The interval is that of the highest index; another feature's upper end may reach further.
    measures = [
        Measure.exact("drifted_features", len(moved), len(columns)),
        Measure("max_psi", psi.value, psi.low, max(shift.psi.high for shift in shifts), live.rows),
        _scores(target, train, live),
    ]
    findings = [_finding(shift, train.rows, live.rows) for shift in moved]
    score = measures[2]
    if score.low is not None and score.low > FLOOR:
        findings.append(
            Finding(
                "critical",
                f"the model's scores moved: distance {score.value:.3f} (at least {score.low:.3f}) from training",
                "scores",
                "the model now answers differently from what was approved",
                "compare performance on labelled live rows before relying on it",
            )
        )
    return Result(measures, findings, _details(shifts))


def _compare(name: str, train: Table, live: Table, confidence: float) -> Shift:
    """Compare one feature; `kinds` holds what needs no correction for multiple looks."""
    import polars as pl

    shift = Shift(name)
    if name not in live.frame.columns:
        shift.effect, shift.p = 1.0, 0.0
        shift.kinds.append("the column is missing in live data")
        return shift
    before, now = train.frame[name], live.frame[name]
    missing = _missing(before, now, confidence)
    if missing:
        shift.kinds.append(missing)
    if _is_number(before) and not _is_number(now):
        if now.null_count() < now.len():
            shift.effect, shift.p = 1.0, 0.0
            shift.kinds.append(f"the type changed from {before.dtype} to {now.dtype}")
        return shift
    if _is_number(before):
        compare_numbers(shift, before, now, confidence)
        shift.kinds += _factors(name, train, live)
        return shift
    if before.cast(pl.String, strict=False).n_unique() > max(100, before.len() // 2):
        return shift  # a name for each row: there is no distribution to compare
    compare_categories(shift, before, now, confidence)
    new = _new_values(before, now, confidence)
    if new:
        shift.kinds.append(new)
    return shift


def _is_number(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype.is_temporal()


def _missing(before: pl.Series, now: pl.Series, confidence: float) -> str:
    """Say when the share of missing values surely changed by more than the floor."""
    then, today = (
        rate_span(column.null_count() + _not_a_number(column), column.len(), confidence) for column in (before, now)
    )
    change = difference_span(today, then)
    if change.low > MISSING_FLOOR or change.high < -MISSING_FLOOR:
        return f"missing values went from {then.value:.1%} to {today.value:.1%}"
    return ""


def _not_a_number(column: pl.Series) -> int:
    return int(column.is_nan().sum()) if column.dtype.is_float() else 0


def _new_values(before: pl.Series, now: pl.Series, confidence: float) -> str:
    """Say when more rows carry a never-seen category than training leads to expect."""
    import polars as pl

    known, today = (column.cast(pl.String, strict=False).drop_nulls() for column in (before, now))
    if not known.len() or not today.len():
        return ""
    fresh = today.filter(~today.is_in(known.unique().implode()))
    # Good and Turing: the chance of a new value is the share of values seen once.
    once = known.value_counts().filter(pl.col("count") == 1).height / known.len()
    share = rate_span(fresh.len(), today.len(), confidence)
    if share.low <= max(NEW_FLOOR, 3 * once):
        return ""
    shown = ", ".join(repr(str(value)[:30]) for value in fresh.unique().sort().head(3))
    return f"{share.value:.1%} of the rows carry values never seen in training, such as {shown}"


def _factors(name: str, train: Table, live: Table) -> list[str]:
    """Find a constant factor between training and live values, in the whole or in one source."""
    import polars as pl

    whole = factor(numbers(train.frame[name]), numbers(live.frame[name]))
    if whole is not None:
        return [unit(whole)]
    source = train.columns.source
    if not source or name == source or source not in train.frame.columns or source not in live.frame.columns:
        return []
    found = []
    for value in live.frame[source].drop_nulls().unique().sort().head(50):
        parts = [table.frame.filter(pl.col(source) == value)[name] for table in (train, live)]
        ratio = factor(numbers(parts[0]), numbers(parts[1]))
        if ratio is not None:
            found.append(f"{unit(ratio)} where {source} is {value!r}")
    return found


def _settle(shifts: Sequence[Shift], level: float) -> None:
    """Decide by Holm's procedure which distributions moved, and keep large moves only."""
    compared = sorted((shift for shift in shifts if shift.before), key=lambda shift: shift.p)
    for place, shift in enumerate(compared):
        if shift.p * (len(shifts) - place) > level:
            break
        if shift.effect > FLOOR:
            shift.kinds.insert(0, f"the distribution moved by {shift.effect:.2f} (PSI {shift.psi.value:.2f})")


def _start(name: str, train: Table, live: Table) -> str:
    """Return the time from which on every tenth of the live rows is off; empty when that cannot be said."""
    time = live.columns.time or train.columns.time
    if not time or time not in live.frame.columns or name not in live.frame.columns:
        return ""
    if live.rows < 20 * BLOCKS or live.frame[time].null_count():
        return ""
    ordered = live.frame.select(time, name).sort(time)
    size = math.ceil(live.rows / BLOCKS)
    first = None
    for at in reversed(range(0, live.rows, size)):
        block = Shift(name)
        part, before = ordered[at : at + size][name], train.frame[name]
        if _is_number(before):
            compare_numbers(block, before, part, 0.95)
        else:
            compare_categories(block, before, part, 0.95)
        if block.effect <= FLOOR or block.p > 0.001:
            break
        first = at
    return "" if first is None else str(ordered[time][first])


def _scores(target: Target, train: Table, live: Table) -> Measure:
    """Compare the model's scores on even samples of both tables."""
    name = "score_drift"
    if target.model is None:
        return Measure.unknown(name, "no model was given")
    parts = []
    for table in (train, live):
        wanted = [column for column in train.features if column in table.frame.columns]
        rows = table.frame.select(wanted)
        if table.rows > SCORED:
            rows = rows.sample(SCORED, seed=target.seed)
        try:
            parts.append(sound_scores(target.model.scores(rows), rows.height))
        except Unmeasurable as error:
            return Measure.unknown(name, str(error))
    found = distance(parts[0], parts[1])
    # Each sample's distribution is within its band with half of the error: the distance with all of it.
    tail = (1 - target.confidence) / 2
    band = sum(math.sqrt(math.log(2 / tail) / (2 * part.size)) for part in parts)
    return Measure(name, found, max(0.0, found - band), min(1.0, found + band), min(part.size for part in parts))


def _finding(shift: Shift, trained: int, seen: int) -> Finding:
    """Name the feature, the kind of drift and since when."""
    since = f"; since {shift.start}" if shift.start else ""
    broken = any(word in kind for kind in shift.kinds for word in ("missing", "type", "unit", "times"))
    return Finding(
        "critical" if broken else "warning",
        f"{shift.column!r}: {'; '.join(shift.kinds)}{since}",
        f"column {shift.column!r}, {seen} live rows against {trained} training rows",
        "the pipeline that fills it seems to have changed" if broken else "the model meets rows it was not trained on",
        "ask who delivers the column what changed"
        if broken
        else "check performance on recent labels; retrain if it fell",
    )


def _details(shifts: Sequence[Shift]) -> dict[str, Any]:
    """Return the table of all features and the histograms of those that moved most."""
    ranked = sorted(shifts, key=lambda shift: (-shift.psi.value, shift.column))
    return {
        "features": [
            {
                "feature": shift.column,
                "psi": shift.psi.value,
                "low": shift.psi.low,
                "high": shift.psi.high,
                "distance": shift.effect,
                "drifted": bool(shift.kinds),
                "kinds": list(shift.kinds),
                "since": shift.start,
            }
            for shift in ranked
        ],
        "histograms": [
            {"feature": shift.column, "bins": shift.labels, "training": shift.before, "live": shift.now}
            for shift in ranked[:_PLOTTED]
            if shift.before
        ],
    }


def _example(moved: float) -> Target:
    """Make 12,000 training and live rows; `moved` shifts the live scores."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(6)
    tables = []
    for name, by in (("train", 0.0), ("live", moved)):
        amount = rng.normal(by, 1, 12_000)
        frame = pl.DataFrame(
            {
                "amount": amount,
                "town": rng.choice(["a", "b"], 12_000),
                "score": 1 / (1 + np.exp(-amount)),
                "label": rng.integers(0, 2, 12_000),
            }
        )
        tables.append(Table(name, frame, Columns(target="label", positive="1")))
    return Target(train=tables[0], live=tables[1], model=ScoreColumn())
