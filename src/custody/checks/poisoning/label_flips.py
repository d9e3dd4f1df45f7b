"""Does one source of the training data report labels that the others contradict?

Whoever delivers part of the data can flip labels in it: a bribed partner books frauds as honest. A model
trained by cross-validation on all sources says what a label should be; where it is sure and the label
disagrees, something is wrong with the label or with the model. Errors of the model fall on every source,
flipped labels on one. Compared is, for each source and each class, the share of rows that the model is
sure of but that carry the other label, against the same share over all other sources, with Newcombe's
interval for the difference, corrected for the number of comparisons (Bonferroni).

Confident disagreement: Northcutt et al., "Confident Learning" (JAIR 2021). What this cannot see: flips in
every source alike, flips of single targeted rows, and sources whose rows truly differ in what the
features do not tell; a finding is a reason to look, not a proof of intent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custody.checks._intervals import Span, difference_span, rate_span
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURE = 0.8
"""The model is sure of a class from this probability on, if its odds are also 4 times the class's usual odds.

Without the second condition it would be "sure" of every row of the common class, and a source that merely
has more of the rare class would look guilty.
"""
FLOOR = 0.02
"""A source is suspicious when its excess is surely above this."""
MOST_ROWS = 20_000
FOLDS = 3
FEWEST = 20
"""A class of a source is judged from so many sure rows on; smaller sources are judged together."""
SMALL = "(small sources together)"
_SHOWN = 8


@dataclass(frozen=True)
class _Comparison:
    """One source against all others, for the rows that the model is sure are of one class."""

    source: str
    should_be: int
    sure: int
    against: int
    """Rows whose label disagrees."""
    others_sure: int
    others_against: int
    excess: Span
    rows: tuple[int, ...]
    """The surest of the disagreeing rows, counted from 1 in the training table."""


@check(
    stage=Stage.DATA,
    measures={
        "max_excess_flip_rate": Scale(
            -1, 1, "lower", "share", "worst source: rows whose label the model surely contradicts, minus the others'"
        ),
        "suspicious_sources": Scale(0, 1e6, "lower", "sources", "sources whose excess is surely above 0.02"),
    },
    example=Example("max_excess_flip_rate", clean=lambda: _example(0.0), caught=lambda: _example(0.25), at_most=0.08),
)
def label_flips(target: Target) -> Result:
    """Predict every label out of fold and compare confident disagreement between sources."""
    import numpy as np

    table = target.need_train()
    column = table.columns.source
    if not column:
        raise Unmeasurable("no source column declared")
    if column not in table.frame.columns:
        raise Unmeasurable(f"{table.name} has no source column {column!r}")
    truth = table.truth
    names, source = _sources(table, column)
    if len(names) < 2:
        raise Unmeasurable("all rows come from one source, so there is nothing to compare it with")
    rows = _sample(2 * source + truth, target.seed)
    score = _out_of_fold(_matrix(table)[rows], truth[rows], source[rows], target.seed)
    compared = _compare(names, source[rows], truth[rows], score, rows, target.confidence)
    if not compared:
        raise Unmeasurable("the features do not predict the label surely enough to contradict any label")
    suspicious = sorted({each.source for each in compared if each.excess.low > FLOOR})
    measures = [
        Measure(
            "max_excess_flip_rate",
            max(each.excess.value for each in compared),
            max(each.excess.low for each in compared),
            max(each.excess.high for each in compared),
            int(rows.size),
        ),
        Measure.exact("suspicious_sources", len(suspicious), len(names)),
    ]
    worst = sorted(compared, key=lambda each: -each.excess.low)
    details = {
        "rows_used": int(rows.size),
        "sure_from": SURE,
        "sources": [
            {
                "source": each.source,
                "label_should_be": each.should_be,
                "sure_rows": each.sure,
                "contradicted": each.against,
                "rate": each.against / each.sure,
                "others_rate": each.others_against / each.others_sure,
                "excess": each.excess.value,
                "low": each.excess.low,
                "high": each.excess.high,
            }
            for each in worst[:100]
        ],
        "median_score": float(np.median(score)),
    }
    return Result(measures, [_finding(each, table) for each in worst if each.excess.low > FLOOR], details)


def _sources(table: Table, column: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the sources and each row's place in them; a missing source is one of them."""
    import numpy as np
    import polars as pl

    text = table.frame[column].cast(pl.String, strict=False).fill_null("(missing)").to_numpy()
    names, place = np.unique(text.astype(str), return_inverse=True)
    return [str(name) for name in names], place.astype(np.int64)


def _sample(strata: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """Choose at most `MOST_ROWS` rows, the same share of every source and label; sorted."""
    import numpy as np

    if strata.size <= MOST_ROWS:
        return np.arange(strata.size)
    rng = np.random.default_rng(seed)
    order = rng.permutation(strata.size)
    order = order[np.argsort(strata[order], kind="stable")]
    # Even steps through rows sorted by stratum take the same share of each.
    return np.sort(order[np.linspace(0, strata.size - 1, MOST_ROWS).astype(np.intp)])


def _matrix(table: Table) -> NDArray[np.float64]:
    """Return the features as numbers; text becomes its place in the sorted values, missing NaN."""
    import numpy as np
    import polars as pl

    apart = {table.columns.source, table.columns.entity, table.columns.time}
    columns = [name for name in table.features if name not in apart]
    if not columns:
        raise Unmeasurable(f"{table.name} has no feature column")
    parts = []
    for name in columns:
        values = table.frame[name]
        if not (values.dtype.is_numeric() or values.dtype == pl.Boolean or values.dtype.is_temporal()):
            text = values.cast(pl.String, strict=False)
            values = text.rank("dense")
        parts.append(values.cast(pl.Float64, strict=False).to_numpy())
    whole = np.column_stack(parts)
    return np.where(np.isinf(whole), np.nan, whole)


def _out_of_fold(
    features: NDArray[np.float64], truth: NDArray[np.int8], source: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Return for each row the positive class's probability from models that did not see the row."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    if np.bincount(truth, minlength=2).min() < FOLDS:
        raise Unmeasurable("one class has too few rows for cross-validation")
    strata = 2 * source + truth
    # Folds are balanced by source and label where each such cell has enough rows, else by label.
    if np.bincount(strata)[np.unique(strata)].min() < FOLDS:
        strata = truth.astype(np.int64)
    score = np.empty(truth.size)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    # One thread: at this size more of them wait for each other longer than they work.
    with threadpool_limits(1):
        for learn, judge in folds.split(features, strata):
            model = HistGradientBoostingClassifier(
                max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed
            )
            score[judge] = model.fit(features[learn], truth[learn]).predict_proba(features[judge])[:, 1]
    return score


def _compare(
    names: Sequence[str],
    source: NDArray[np.int64],
    truth: NDArray[np.int8],
    score: NDArray[np.float64],
    rows: NDArray[np.intp],
    confidence: float,
) -> list[_Comparison]:
    """Compare each source with the others, for rows that should be positive and negative."""
    import numpy as np

    cells: list[tuple[str, int, NDArray[np.bool_], NDArray[np.bool_]]] = []
    usual = float(truth.mean())
    lift = SURE / (1 - SURE)
    for should_be in (1, 0):
        belief, prior = (score, usual) if should_be else (1 - score, 1 - usual)
        sure = (belief >= SURE) & (belief * (1 - prior) >= lift * prior * (1 - belief))
        counts = np.bincount(source[sure], minlength=len(names))
        large = np.flatnonzero(counts >= FEWEST)
        groups = [(names[int(place)], source == place) for place in large]
        rest = ~np.isin(source, large)
        if (sure & rest).sum() >= FEWEST:
            groups.append((SMALL, rest))
        cells += [(name, should_be, sure & own, sure & ~own) for name, own in groups]
    cells = [cell for cell in cells if cell[3].sum() >= FEWEST]
    if not cells:
        return []
    each = 1 - (1 - confidence) / len(cells)
    found = []
    for name, should_be, own, others in cells:
        against = truth != should_be
        mine, theirs = int((own & against).sum()), int((others & against).sum())
        excess = difference_span(rate_span(mine, int(own.sum()), each), rate_span(theirs, int(others.sum()), each))
        guilty = np.flatnonzero(own & against)
        surest = guilty[np.argsort(-np.abs(score[guilty] - 0.5), kind="stable")][:_SHOWN]
        shown = tuple(int(rows[place]) + 1 for place in surest)
        clipped = Span(excess.value, max(excess.low, -1.0), min(excess.high, 1.0))
        found.append(_Comparison(name, should_be, int(own.sum()), mine, int(others.sum()), theirs, clipped, shown))
    return found


def _finding(found: _Comparison, table: Table) -> Finding:
    """Name the source, the direction and rows to look at first."""
    positive = repr(table.columns.positive)
    should, instead = (positive, f"not {positive}") if found.should_be else (f"not {positive}", positive)
    return Finding(
        "critical",
        f"source {found.source!r} labels rows as {instead} that look surely like {should}: "
        f"{found.against} of {found.sure} ({found.against / found.sure:.1%}), "
        f"other sources {found.others_against / found.others_sure:.1%}",
        f"column {table.columns.source!r} = {found.source!r}; for example rows {', '.join(map(str, found.rows))}",
        "labels flipped in one source teach the model to look away from what that source wants hidden",
        f"ask {found.source} about these rows; train without the source until it is explained",
    )


def _example(flipped: float) -> Target:
    """Make 3,000 rows of three sources; `flipped` of the positives of one are labelled negative."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 3000)
    source = rng.choice(["north", "south", "west"], 3000)
    features = rng.normal(0, 1, (3000, 3)) + 1.8 * truth[:, None]
    label = np.where((source == "west") & (rng.random(3000) < flipped), 0, truth)
    frame = pl.DataFrame({"a": features[:, 0], "b": features[:, 1], "c": features[:, 2], "source": source})
    columns = Columns(target="label", positive="1", source="source")
    return Target(train=Table("train", frame.with_columns(pl.Series("label", label)), columns))
