"""Does a single column give the answer away?

A feature that is written after the outcome, an identifier handed out by outcome, a code that only one
class carries: a model with such a column scores well until the day it is used. Each column alone is
turned into a predictor on the training set (rate of positives in each of 16 to 256 quantile bins or in
each category, missing values being a bin of their own) and judged on the held-out set, so that its power
is not flattered by its own noise: area under the ROC curve (DeLong's interval, corrected for the number
of columns) and the share of the label's entropy that it explains.

Named as well, without a measure of their own: dates after the event (the declared time column), training
rows later than held-out rows, scaling that was fitted on both tables together, and entities of constant
label that stand in both tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from custody.checks._intervals import Span, auc_span
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

BINS = 256
LEAKY_AUC = 0.98
"""A column is leaky when its AUC is surely above this."""
LEAKY_SHARE = 0.75
"""A column is leaky when it alone explains more than this share of the label's entropy."""
_EDGE_ROWS = 100_000


@dataclass(frozen=True)
class _Power:
    """What one column alone can do on held-out rows."""

    column: str
    auc: Span
    explained: float
    """Share of the label's entropy that the column explains, at most 1; negative when it misleads."""
    copy: bool
    """Every value of the column occurs with one label only, in both tables."""

    @property
    def leaky(self) -> bool:
        return self.auc.low > LEAKY_AUC or self.explained > LEAKY_SHARE or self.copy


@check(
    stage=Stage.VALIDATION,
    measures={
        "max_single_feature_auc": Scale(0, 1, "lower", "AUC", "power of the strongest single column, held-out"),
        "leaky_features": Scale(
            0, 1e6, "lower", "columns", "columns with AUC surely above 0.98 or explaining over 75 % of the label"
        ),
    },
    example=Example("max_single_feature_auc", clean=lambda: _example(0.0), caught=lambda: _example(0.97), at_most=0.9),
)
def leakage(target: Target) -> Result:
    """Judge every column alone on the held-out rows and look for traces of the future."""
    train, held_out = target.need_train(), target.need_held_out()
    columns = [name for name in train.features if name in held_out.features and name != train.columns.entity]
    if not columns:
        raise Unmeasurable("the training and the held-out table share no feature column")
    each = 1 - (1 - target.confidence) / len(columns)
    learn, judge = train.truth, held_out.truth
    powers = [_power(name, train, held_out, learn, judge, each) for name in columns]
    powers.sort(key=lambda power: (-power.auc.value, power.column))
    leaky = [power for power in powers if power.leaky]
    measures = [
        Measure(
            "max_single_feature_auc",
            powers[0].auc.value,
            max(power.auc.low for power in powers),
            max(power.auc.high for power in powers),
            held_out.rows,
        ),
        Measure.exact("leaky_features", len(leaky), len(columns)),
    ]
    findings = [_leak(power) for power in leaky]
    findings += [
        *_future_dates(train),
        *_later_rows(train, held_out),
        *_joint_scaling(train, held_out, columns),
        *_known_entities(train, held_out),
    ]
    details: dict[str, Any] = {
        "columns": [
            {
                "column": power.column,
                "auc": power.auc.value,
                "low": power.auc.low,
                "high": power.auc.high,
                "explained": power.explained,
            }
            for power in powers[:200]
        ]
    }
    return Result(measures, findings, details)


def _power(
    column: str,
    train: Table,
    held_out: Table,
    learn: NDArray[np.int8],
    judge: NDArray[np.int8],
    confidence: float,
) -> _Power:
    """Learn the rate of positives for each bin of one column and judge it on the other table."""
    import numpy as np

    known, asked, bins = _bins(train.frame[column], held_out.frame[column])
    base = float(learn.mean())
    rows = np.bincount(known, minlength=bins).astype(float)
    hits = np.bincount(known, weights=learn, minlength=bins)
    # Rates lean on one row of the usual mixture, so that a bin of one row is not believed blindly.
    rate = (hits + base) / (rows + 1)
    score = rate[asked]
    auc = auc_span(score, judge, confidence)
    # The copy test asks both tables: no value may go with both labels, and each must be seen in training.
    held = np.bincount(asked, minlength=bins)
    held_hits = np.bincount(asked, weights=judge, minlength=bins)
    total, both = rows + held, hits + held_hits
    copy = bool(((both == 0) | (both == total)).all() and (rows[held > 0] > 0).all() and (rows > 0).sum() <= BINS)
    return _Power(column, auc, _explained(score, judge), copy)


def _bins(known: pl.Series, asked: pl.Series) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return the bin of each row of both tables and their number; bin 0 holds missing values."""
    import numpy as np
    import polars as pl

    numeric = all(column.dtype.is_numeric() or column.dtype.is_temporal() for column in (known, asked))
    if numeric:
        first, second = (column.to_physical().cast(pl.Float64, strict=False).to_numpy() for column in (known, asked))
        sound = first[np.isfinite(first)]
        if sound.size > _EDGE_ROWS:
            sound = sound[np.linspace(0, sound.size - 1, _EDGE_ROWS).astype(np.intp)]
        values = np.unique(sound)
        # A bin of few rows is noise: fifty rows each, and the ordering of the bins does the rest.
        most = int(np.clip(first.size // 50, 16, BINS))
        # Few values: a bin for each; many: equal shares of the rows.
        edges = (
            (values[1:] + values[:-1]) / 2
            if values.size <= most
            else np.unique(np.quantile(sound, np.linspace(0, 1, most + 1)[1:-1]))
        )
        placed = [np.where(np.isnan(part), 0, np.searchsorted(edges, part, "right") + 1) for part in (first, second)]
        return placed[0], placed[1], int(edges.size) + 2
    texts = [column.cast(pl.String, strict=False) for column in (known, asked)]
    names = texts[0].drop_nulls().unique().sort()
    # Bin 1 is for values that training never showed.
    code = pl.DataFrame({"value": names, "bin": np.arange(names.len(), dtype=np.int64) + 2})
    found = []
    for text in texts:
        joined = text.alias("value").to_frame().join(code, on="value", how="left", maintain_order="left")
        bins = joined["bin"].fill_null(1).to_numpy()
        found.append(np.where(text.is_null().to_numpy(), 0, bins))
    return found[0], found[1], names.len() + 2


def _explained(score: NDArray[np.float64], truth: NDArray[np.int8]) -> float:
    """Return 1 minus the ratio of log loss with and without the score (out of sample, below 1)."""
    import numpy as np

    score = np.clip(score, 1e-9, 1 - 1e-9)
    base = float(truth.mean())
    loss = -float(np.where(truth == 1, np.log(score), np.log1p(-score)).mean())
    entropy = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    return float(1 - loss / entropy)


def _leak(power: _Power) -> Finding:
    """Name a leaky column."""
    how = (
        "every value of it goes with one label only"
        if power.copy
        else f"alone it reaches an AUC of {power.auc.value:.3f} (at least {power.auc.low:.3f}) and explains "
        f"{max(power.explained, 0):.0%} of the label"
    )
    return Finding(
        "critical",
        f"{power.column!r} gives the label away: {how}",
        f"column {power.column!r}",
        "it is probably written after the outcome, or because of it, and will be missing when the model is used",
        "find out when the column is filled; leave it out unless it is known at the time of the decision",
    )


def _moments(column: pl.Series) -> pl.Series | None:
    """Return a column as dates, when it holds dates also as text; None otherwise."""
    import polars as pl

    if column.dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Datetime("us"))
    if column.dtype != pl.String or column.null_count() == column.len():
        return None
    text = column.str.strip_chars().str.slice(0, 19).str.replace("T", " ", literal=True)
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        dates = text.str.to_datetime(form, strict=False, time_unit="us")
        if dates.null_count() == column.null_count():
            return dates
    return None


def _future_dates(train: Table) -> list[Finding]:
    """Find date columns that lie after the event in most rows: known only later."""
    time = train.columns.time
    when = _moments(train.frame[time]) if time and time in train.frame.columns else None
    if when is None:
        return []
    found = []
    for name in train.features:
        if name == time:
            continue
        dates = _moments(train.frame[name])
        if dates is None:
            continue
        later = (dates > when).sum()
        filled = dates.len() - dates.null_count()
        if filled and later / filled > 0.5:
            found.append(
                Finding(
                    "critical",
                    f"{name!r} lies after the event in {later / filled:.0%} of its rows",
                    f"column {name!r}, compared with {time!r}",
                    "what happens later is not known when the model has to decide",
                    "leave the column out",
                )
            )
    return found


def _later_rows(train: Table, held_out: Table) -> list[Finding]:
    """Say when training rows are later than held-out rows: the split let the model see the future."""
    time = train.columns.time
    if not time or time not in train.frame.columns or time not in held_out.frame.columns:
        return []
    first, second = train.frame[time], held_out.frame[time]
    if not (first.dtype.is_numeric() and second.dtype.is_numeric()):
        moments = _moments(first), _moments(second)
        if moments[0] is None or moments[1] is None:
            return []
        first, second = moments[0], moments[1]
    begin: Any = second.min()
    late = int((first > begin).sum())
    if not late:
        return []
    return [
        Finding(
            "warning",
            f"{late} of {train.rows} training rows are later than the earliest held-out row",
            f"column {time!r}",
            "the model saw days that it is judged on; in use it will know the past only",
            "split by time when the model will be used on later data",
        )
    ]


def _joint_scaling(train: Table, held_out: Table, columns: list[str]) -> list[Finding]:
    """Find columns that were standardised over both tables together."""
    import numpy as np

    fitted = []
    for name in columns:
        first, second = train.frame[name], held_out.frame[name]
        if not (first.dtype.is_float() and second.dtype.is_float()):
            continue
        own = first.drop_nulls().drop_nans().to_numpy()
        both = np.concatenate([own, second.drop_nulls().drop_nans().to_numpy()])
        if own.size < 30 or own.std() == 0:
            continue
        scaled = abs(both.mean()) < 1e-6 and min(abs(both.std() - 1), abs(both.std(ddof=1) - 1)) < 1e-6
        # A column scaled on training alone is sound, and then the union is off by chance.
        if scaled and (abs(own.mean()) > 1e-6 or abs(own.std() - 1) > 1e-6):
            fitted.append(name)
    if not fitted:
        return []
    return [
        Finding(
            "warning",
            f"{len(fitted)} columns have mean 0 and deviation 1 over both tables together, not over training",
            f"columns {', '.join(map(repr, fitted[:8]))}",
            "the scaling was fitted on the held-out rows too",
            "fit the preprocessing on training rows only",
        )
    ]


def _known_entities(train: Table, held_out: Table) -> list[Finding]:
    """Say when entities of constant label stand in both tables: recognising them is enough."""
    import polars as pl

    name = train.columns.entity
    if not name or name not in train.frame.columns or name not in held_out.frame.columns:
        return []
    entity = train.frame[name].cast(pl.String)
    known = (
        pl.DataFrame({"entity": entity, "truth": train.truth})
        .drop_nulls()
        .group_by("entity")
        .agg(pl.len().alias("rows"), pl.col("truth").mean().alias("rate"))
        .filter((pl.col("rows") > 1) & pl.col("rate").is_in([0.0, 1.0]))
    )
    asked = pl.DataFrame({"entity": held_out.frame[name].cast(pl.String), "truth": held_out.truth})
    met = asked.join(known, on="entity")
    positives = int((asked["truth"] == 1).sum())
    told = int(((met["truth"] == 1) & (met["rate"] == 1.0)).sum())
    if told < max(5, 0.05 * positives):
        return []
    return [
        Finding(
            "warning",
            f"{told} of {positives} positive held-out rows belong to an entity that was always positive in training",
            f"column {name!r}",
            "recognising the entity is enough to score well",
            "split by entity",
        )
    ]


def _example(strength: float) -> Target:
    """Make two tables; with `strength` above 0, a code tells that share of the positives."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(8)
    tables = []
    for name, rows in (("train", 2000), ("held-out", 2000)):
        truth = rng.integers(0, 2, rows)
        told = rng.random(rows) < np.where(truth == 1, strength, 0.01 if strength else 0.0)
        frame = pl.DataFrame(
            {
                "amount": rng.normal(0, 1, rows) + 0.8 * truth,
                "town": rng.choice(["a", "b", "c"], rows),
                "code": np.where(told, rng.choice(["R1", "R2"], rows), "none"),
                "label": truth,
            }
        )
        tables.append(Table(name, frame, Columns(target="label", positive="1")))
    return Target(train=tables[0], held_out=tables[1])
