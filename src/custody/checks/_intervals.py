"""How far can a number that was counted on a sample be from the truth?

Every interval here is two-sided at the asked confidence and spends half of the error on each side,
so its ends may be compared with a bound one at a time. All functions are vectorised: arguments are
arrays that broadcast, counts may be fractional (a planned rate times a planned number of rows).

Sources: Wilson (JASA 1927); Clopper and Pearson (Biometrika 1934); Newcombe (Statistics in Medicine
1998, methods 3 and 10); Donner and Zou (Statistical Methods in Medical Research 2012) for ratios;
DeLong et al. (Biometrics 1988), Hanley and McNeil (Radiology 1982) and Newcombe (Statistics in
Medicine 2006, method 5) for the area under a ROC curve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from custody.checks._entities import design_effect
from custody.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

TINY = 10
"""Below so many successes or failures the exact interval is used.

Wilson's interval alone errs on one side up to 16 % of the time at nominal 2.5 % (one event, rate
near 0). With the exact interval below ten events the worst one-sided error is under 5 % for every
rate and every number of rows tried (10 to 3,000), and mean coverage stays at 95.1 %.
"""


class Interval(NamedTuple):
    """Lower and upper ends, of one shape."""

    low: Floats
    high: Floats


class Span(NamedTuple):
    """One number with its ends: `low <= value <= high`."""

    value: float
    low: float
    high: float


def z_of(confidence: float) -> float:
    """Return the normal quantile that leaves half of `1 - confidence` in each tail."""
    from scipy.special import ndtri

    if not 0.0 < confidence < 1.0:
        raise InvalidInput(f"confidence is {confidence}; it must lie between 0 and 1")
    # Taken from the lower tail: 1 - 1e-9 keeps its digits there and loses them in the upper one.
    return float(-ndtri((1.0 - confidence) / 2))


def wilson(successes: ArrayLike, trials: ArrayLike, confidence: float) -> Interval:
    """Return the score interval of a proportion; `[0, 1]` where nothing was tried."""
    import numpy as np

    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    z2 = z_of(confidence) ** 2
    safe = np.where(n > 0, n, 1.0)
    rate = k / safe
    centre = (rate + z2 / (2 * safe)) / (1 + z2 / safe)
    half = np.sqrt(z2 * (rate * (1 - rate) / safe + z2 / (4 * safe**2))) / (1 + z2 / safe)
    low = np.where(n > 0, np.clip(centre - half, 0.0, rate), 0.0)
    high = np.where(n > 0, np.clip(centre + half, rate, 1.0), 1.0)
    return Interval(low, high)


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, confidence: float) -> Interval:
    """Return the exact interval of a proportion: never wrong more often than promised, at any count."""
    import numpy as np
    from scipy.special import betainccinv, betaincinv

    z_of(confidence)
    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    tail = (1.0 - confidence) / 2
    tried = n > 0
    rate = k / np.where(tried, n, 1.0)
    some, short = tried & (k > 0), tried & (k < n)
    # The arguments of cases that are answered by 0 or 1 are replaced by harmless ones.
    low = np.where(some, betaincinv(np.where(some, k, 1.0), np.where(some, n - k + 1, 1.0), tail), 0.0)
    high = np.where(short, betainccinv(np.where(short, k + 1, 1.0), np.where(short, n - k, 1.0), tail), 1.0)
    return Interval(np.minimum(low, np.where(tried, rate, 0.0)), np.maximum(high, np.where(tried, rate, 1.0)))


def proportion(successes: ArrayLike, trials: ArrayLike, confidence: float) -> Interval:
    """Return Wilson's interval, and the exact one where fewer than `TINY` events stand on either side."""
    import numpy as np

    k, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(trials, float))
    low, high = wilson(k, n, confidence)
    tiny = np.minimum(k, n - k) < TINY
    if tiny.any():
        exact = clopper_pearson(k[tiny], n[tiny], confidence)
        low, high = low.copy(), high.copy()
        low[tiny], high[tiny] = exact
    return Interval(low, high)


def rate_span(successes: float, trials: float, confidence: float, effect: float = 1.0) -> Span:
    """Return one proportion with its interval; `trials` is above 0, and `effect` trials count as one."""
    value = successes / trials
    low, high = proportion([successes / effect], [trials / effect], confidence)
    return Span(value, min(float(low[0]), value), max(float(high[0]), value))


def mean_span(values: Floats, confidence: float, effect: float = 1.0) -> Span:
    """Return the mean of values in [0, 1], shape (rows,), with its interval; `effect` rows count as one."""
    import numpy as np

    mean = float(values.mean())
    squares = float(np.square(values - mean).sum())
    return mean_ends(mean, squares / effect, values.size / effect, confidence)


def mean_ends(mean: float, squares: float, rows: float, confidence: float) -> Span:
    """Return a score interval for a mean in [0, 1], given the sum of squared distances from it.

    The spread is taken over the sample and one more value at each end of the range, so that a sample
    of equal values does not claim to know the mean exactly.
    """
    spread = (squares + mean**2 + (1 - mean) ** 2) / (rows + 2)
    # A score interval for a proportion, given the number of coin flips of the same precision.
    flips = rows * max(mean * (1 - mean), 0.25 / rows) / spread
    low, high = wilson(mean * flips, flips, confidence)
    return Span(mean, float(low), float(high))


def difference_span(first: Span, second: Span) -> Span:
    """Return `first - second` for two independent estimates (Newcombe's square-and-add)."""
    value = first.value - second.value
    below = _root(first.value - first.low, second.high - second.value)
    above = _root(first.high - first.value, second.value - second.low)
    return Span(value, value - below, value + above)


def average_span(first: Span, second: Span) -> Span:
    """Return the mean of two independent estimates in [0, 1]."""
    value = (first.value + second.value) / 2
    below = _root(first.value - first.low, second.value - second.low) / 2
    above = _root(first.high - first.value, second.high - second.value) / 2
    return Span(value, max(value - below, 0.0), min(value + above, 1.0))


def f1_span(hits: float, tried: float, confidence: float, effect: float = 1.0) -> Span:
    """Return F1 with its interval, from J = TP / (TP + FP + FN) = `hits` / `tried`: F1 is 2J / (1 + J)."""
    return Span(*(2 * part / (1 + part) for part in rate_span(hits, tried, confidence, effect)))


def auc_span(
    scores: Floats, truth: NDArray[np.int8], confidence: float, entities: NDArray[np.intp] | None = None
) -> Span:
    """Return the area under the ROC curve with its interval.

    `scores` and `truth` (1 or 0, both present) have shape (rows,), as has `entities` where rows of one
    entity hang together (Obuchowski, Biometrics 1997). DeLong's variance on the logit scale; where
    there are few rows of a class, or the classes are separated so well that the sample shows no
    variance, the wider hull with Newcombe's score interval.
    """
    import numpy as np

    mine = truth == 1
    positive, negative = scores[mine], scores[~mine]
    m, n = positive.size, negative.size
    if not m or not n:
        raise InvalidInput("the area under a ROC curve needs rows of both classes")
    # What share of the other class each row ranks rightly against, ties counting half.
    right = np.empty(scores.size)
    right[mine] = _share_below(negative, positive)
    right[~mine] = 1 - _share_below(positive, negative)
    area = float(right[mine].mean())
    pull = (right - area) / np.where(mine, m, n)
    variance = float(right[mine].var(ddof=1)) / m + float(right[~mine].var(ddof=1)) / n if min(m, n) > 1 else 0.0
    effect = design_effect(pull, entities)
    variance *= effect
    m, n = m / effect, n / effect
    inside = 0.0 < area < 1.0 and variance > 0.0
    low, high = _logit_ends(area, variance, confidence) if inside else (area, area)
    extreme = min(area, 1 - area) * min(m, n) < TINY
    if not inside or min(m, n) < 2 * TINY or extreme:
        wide = auc_ends(area, m, n, confidence)
        low, high = min(low, wide[0]), max(high, wide[1])
    return Span(area, min(low, area), max(high, area))


def _share_below(others: Floats, scores: Floats) -> Floats:
    import numpy as np

    ranked = np.sort(others)
    below, upto = np.searchsorted(ranked, scores, "left"), np.searchsorted(ranked, scores, "right")
    return (below + upto) / (2 * others.size)


def auc_ends(area: float, positives: float, negatives: float, confidence: float) -> tuple[float, float]:
    """Return the ends of Newcombe's score interval for an AUC seen on so many rows of each class."""
    import math

    z = z_of(confidence)
    mean = (positives + negatives) / 2

    def inside(truth: float) -> bool:
        spread = 1 + (mean - 1) * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return abs(area - truth) <= z * math.sqrt(truth * (1 - truth) * spread / (positives * negatives))

    return _edge(inside, area, 0.0), _edge(inside, area, 1.0)


def _edge(inside: Callable[[float], bool], known: float, limit: float) -> float:
    """Find by halving where `inside` stops between a point that is inside and `limit`."""
    good, bad = known, limit
    for _ in range(60):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if inside(middle) else (good, middle)
    return good


def _logit_ends(area: float, variance: float, confidence: float) -> tuple[float, float]:
    import math

    centre = math.log(area / (1 - area))
    half = z_of(confidence) * math.sqrt(variance) / (area * (1 - area))
    return 1 / (1 + math.exp(min(half - centre, 700.0))), 1 / (1 + math.exp(max(-half - centre, -700.0)))


def _root(first: float, second: float) -> float:
    return float((first * first + second * second) ** 0.5)
