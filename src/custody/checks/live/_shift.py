"""How far is one column of live rows from the same column of the training rows?

Population stability index over up to 20 bins; Kolmogorov-Smirnov distance for numbers, total variation
for categories; the constant factor between two distributions, which betrays a change of unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from custody.checks._intervals import Span, z_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 10
MOST_CATEGORIES = 18
MOST_ROWS = 200_000
UNITS = {
    1000.0: "thousands",
    100.0: "hundredths, such as cents",
    10.0: "tenths",
    60.0: "minutes against hours, or seconds against minutes",
    3600.0: "seconds against hours",
    24.0: "hours against days",
    7.0: "days against weeks",
    12.0: "months against years",
    2.2046: "pounds against kilograms",
    2.54: "centimetres against inches",
    1.6093: "kilometres against miles",
    3.2808: "feet against metres",
}
"""Factors between units that people confuse; the inverse counts as well."""


_NONE = Span(0.0, 0.0, 0.0)


@dataclass
class Shift:
    """What was seen of one feature; `effect` is in [0, 1], `p` before correction for many features."""

    column: str
    effect: float = 0.0
    p: float = 1.0
    psi: Span = _NONE
    kinds: list[str] = field(default_factory=list)
    """Plain sentences: what drifted in which way."""
    labels: list[str] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)
    start: str = ""


def numbers(column: pl.Series) -> Floats:
    """Return the finite values; of very many an even sample."""
    import numpy as np
    import polars as pl

    values: Floats = column.to_physical().cast(pl.Float64, strict=False).drop_nulls().to_numpy()
    values = values[np.isfinite(values)]
    if values.size > MOST_ROWS:
        values = values[np.linspace(0, values.size - 1, MOST_ROWS).astype(np.intp)]
    return values


def distance(first: Floats, second: Floats) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, in [0, 1]."""
    import numpy as np

    first, second = np.sort(first), np.sort(second)
    grid = np.concatenate([first, second])
    below = np.searchsorted(first, grid, "right") / first.size - np.searchsorted(second, grid, "right") / second.size
    return float(np.abs(below).max())


def distance_p(found: float, n: int, m: int) -> float:
    """Return how often two samples of one distribution are at least so far apart (Stephens 1970)."""
    import math

    from scipy.special import kolmogorov

    root = math.sqrt(n * m / (n + m))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * found))


def compare_numbers(shift: Shift, before: pl.Series, now: pl.Series, confidence: float) -> None:
    """Fill in distance, index and histograms of a numeric feature; missing values are a bin."""
    import numpy as np

    first, second = numbers(before), numbers(now)
    if not first.size or not second.size:
        shift.effect = 1.0 if first.size != second.size else 0.0
        shift.p = 0.0 if first.size != second.size else 1.0
        return
    shift.effect = distance(first, second)
    shift.p = distance_p(shift.effect, first.size, second.size)
    values = np.unique(first)
    edges = (
        (values[1:] + values[:-1]) / 2
        if values.size <= BINS
        else np.unique(np.quantile(first, np.linspace(0, 1, BINS + 1)[1:-1]))
    )
    counts = [
        np.bincount(np.searchsorted(edges, part, "right"), minlength=edges.size + 1).astype(float)
        for part in (first, second)
    ]
    ends = ["", *(f"{edge:.6g}" for edge in edges), ""]
    shift.labels = [f"{low} to {high}".strip() for low, high in pairwise(ends)]
    _fill(shift, counts[0], counts[1], confidence)


def compare_categories(shift: Shift, before: pl.Series, now: pl.Series, confidence: float) -> None:
    """Fill in total variation, chi-square, index and histograms of a categorical feature."""
    import numpy as np
    import polars as pl
    from scipy.special import chdtrc

    tables = [column.cast(pl.String, strict=False).drop_nulls().value_counts() for column in (before, now)]
    both = (
        tables[0]
        .rename({tables[0].columns[0]: "value", "count": "before"})
        .join(tables[1].rename({tables[1].columns[0]: "value", "count": "now"}), on="value", how="full", coalesce=True)
    )
    both = both.fill_null(0).sort(pl.col("before") + pl.col("now"), "value", descending=[True, False])
    first, second = (both[name].to_numpy().astype(float) for name in ("before", "now"))
    n, m = first.sum(), second.sum()
    if not n or not m:
        shift.effect, shift.p = (1.0, 0.0) if n != m else (0.0, 1.0)
        return
    shift.labels = both["value"].head(MOST_CATEGORIES).to_list()
    if first.size > MOST_CATEGORIES:
        shift.labels.append("(others)")
        first, second = (np.append(part[:MOST_CATEGORIES], part[MOST_CATEGORIES:].sum()) for part in (first, second))
    shift.effect = float(np.abs(first / n - second / m).sum() / 2)
    # Cells in which chance expects fewer than five rows are put together.
    expected = (first + second) * min(n, m) / (n + m)
    rare = expected < 5
    cells = [np.append(part[~rare], part[rare].sum()) for part in (first, second)]
    full = cells[0] + cells[1] > 0
    cells = [part[full] for part in cells]
    if cells[0].size > 1:
        share = (cells[0] + cells[1]) / (n + m)
        statistic = ((cells[0] - n * share) ** 2 / (n * share) + (cells[1] - m * share) ** 2 / (m * share)).sum()
        shift.p = float(chdtrc(cells[0].size - 1, statistic))
    _fill(shift, first, second, confidence)


def _fill(shift: Shift, first: Floats, second: Floats, confidence: float) -> None:
    """Compute the index with an interval by the delta method, less what two equal samples would show."""
    import numpy as np

    n, m, k = first.sum(), second.sum(), first.size
    shift.before, shift.now = [float(each) for each in first / n], [float(each) for each in second / m]
    p, q = (first + 0.5) / (n + 0.5 * k), (second + 0.5) / (m + 0.5 * k)
    log = np.log(p / q)
    value = float(((p - q) * log).sum())
    slopes = (log + 1 - q / p, -log + 1 - p / q)
    variance = sum(
        float((share * slope**2).sum() - (share * slope).sum() ** 2) / size
        for share, slope, size in ((p, slopes[0], n), (q, slopes[1], m))
    )
    chance = (k - 1) * (1 / n + 1 / m)
    half = z_of(confidence) * float(np.sqrt(max(variance, 0.0)))
    shift.psi = Span(value, max(0.0, value - float(chance) - half), value + half)


def factor(first: Floats, second: Floats) -> float | None:
    """Return the constant factor between two distributions, when it is far from 1; None otherwise."""
    import numpy as np

    if min(first.size, second.size) < 100:
        return None
    marks = np.linspace(0.1, 0.9, 9)
    a, b = np.quantile(first, marks), np.quantile(second, marks)
    used = (np.abs(a) > 1e-12) & (np.abs(b) > 1e-12)
    if used.sum() < 5 or np.unique(a[used]).size < 4 or (np.sign(a[used]) != np.sign(b[used])).any():
        return None
    logs = np.log(np.abs(b[used] / a[used]))
    middle = float(np.median(logs))
    if abs(middle) < np.log(1.5) or float(np.abs(logs - middle).max()) > 0.25:
        return None
    return float(np.exp(middle))


def unit(ratio: float) -> str:
    """Say which units a factor suggests, or only the factor."""
    import math

    for known, name in UNITS.items():
        for value in (known, 1 / known):
            if abs(math.log(ratio / value)) < 0.09:
                return f"unit changed: values are {value:.4g} times what they were ({name})"
    return f"values are {ratio:.3g} times what they were throughout"
