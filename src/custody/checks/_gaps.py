"""How far apart are the best and the worst treated group, and how surely?

The worst gap over many pairs of groups is not one pair: looking for the largest inflates it, and a
bootstrap of "largest minus smallest" never covers the truth when groups are equal. So the two ends
of the interval answer two questions.

- The far end is the largest of the far ends of all pairs. It lies inside a tolerance only if every
  pair's does, which needs no correction for the number of pairs (intersection-union test, Berger
  1982): if one pair truly is at the tolerance, that pair alone keeps the error.
- The near end is the nearest end of the clearest pair, after dividing the allowed error by the number
  of pairs (Bonferroni, which is the first step of Holm's method and so all that a largest gap can use).

Pairs are compared by Newcombe's square-and-add for differences and Donner and Zou's form of it for
ratios; the corrected end stands on exact intervals, for far tails are where approximations fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from custody.checks._intervals import clopper_pearson, proportion
from custody.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.float64] | NDArray[np.int64]

BLOCK = 1 << 20
"""Pairs compared at a time, so that memory stays at a few tens of megabytes."""


class Worst(NamedTuple):
    """The worst gap over all pairs, its ends, and the groups behind value and far end."""

    value: float
    low: float
    high: float
    pair: tuple[int, int]
    """Positions of the groups with the highest and the lowest rate."""
    widest: tuple[int, int]
    """Positions of the pair that decides the end which a PASS needs."""


def worst_difference(
    successes: Counts, trials: Counts, confidence: float, *, looks: int = 1, effect: float = 1.0
) -> Worst:
    """Return the largest difference of rates between two groups; shape of both arguments: (groups,).

    Every group needs at least one trial. `looks` is the number of such gaps among which the caller
    will take the largest (equalised odds takes two); it corrects the near end. `effect` trials count
    as one where trials of one entity hang together.
    """
    import numpy as np

    rate, shares = _rates(successes, trials)
    successes, trials = successes / effect, trials / effect
    loose = proportion(successes, trials, confidence)
    tight = clopper_pearson(successes, trials, 1 - (1 - confidence) / (looks * shares))
    far, near = (-1.0, (0, 0)), (0.0, (0, 0))
    for rows in _blocks(rate.size):
        gap = rate[rows, None] - rate
        reach = gap + np.hypot((loose.high - rate)[rows, None], rate - loose.low)
        _forget_self(reach, rows, -1.0)
        far = max(far, _largest(reach, rows))
        sure = gap - np.hypot((rate - tight.low)[rows, None], tight.high - rate)
        near = max(near, _largest(sure, rows))
    value = float(rate.max() - rate.min())
    return Worst(
        value,
        min(max(near[0], 0.0), value),
        min(max(far[0], value), 1.0),
        (int(rate.argmax()), int(rate.argmin())),
        far[1],
    )


def worst_ratio(successes: Counts, trials: Counts, confidence: float, *, effect: float = 1.0) -> Worst:
    """Return the smallest ratio of rates between two groups, in [0, 1]; at least one rate is above 0."""
    import numpy as np

    rate, shares = _rates(successes, trials)
    if not rate.max() > 0:
        raise InvalidInput("a ratio of rates needs one rate above 0")
    successes, trials = successes / effect, trials / effect
    loose = proportion(successes, trials, confidence)
    tight = clopper_pearson(successes, trials, 1 - (1 - confidence) / shares)
    far, near = (-2.0, (0, 0)), (-1.0, (0, 0))
    for rows in _blocks(rate.size):
        product = rate[rows, None] * rate
        # The ratio r at which p1 - r * p2 touches 0, both with their ends; see Donner and Zou, 2012.
        ours = (loose.low * (2 * rate - loose.low))[rows, None]
        theirs = loose.high * (2 * rate - loose.high)
        root = product + np.sqrt(np.maximum(product**2 - ours * theirs, 0.0))
        least = np.divide(ours, root, out=np.zeros_like(root), where=root > 0)
        _forget_self(least, rows, 2.0)
        far = max(far, _largest(-least, rows))
        ours = (tight.high * (2 * rate - tight.high))[rows, None]
        theirs = tight.low * (2 * rate - tight.low)
        root = product + np.sqrt(np.maximum(product**2 - ours * theirs, 0.0))
        most = np.divide(root, theirs, out=np.ones_like(root), where=theirs > root * 1e-12)
        near = max(near, _largest(-np.minimum(most, 1.0), rows))
    value = float(rate.min() / rate.max())
    return Worst(
        value,
        max(min(-far[0], value), 0.0),
        min(max(-near[0], value), 1.0),
        (int(rate.argmax()), int(rate.argmin())),
        far[1],
    )


def _rates(successes: Counts, trials: Counts) -> tuple[Floats, int]:
    """Return the rates and the number of pairs; refuses fewer than two groups and empty groups."""
    if successes.size < 2 or successes.shape != trials.shape:
        raise InvalidInput("a gap needs at least two groups")
    if not (trials > 0).all():
        raise InvalidInput("a group without a single trial has no rate")
    return successes / trials, successes.size * (successes.size - 1) // 2


def _blocks(groups: int) -> list[slice]:
    step = max(1, BLOCK // groups)
    return [slice(start, start + step) for start in range(0, groups, step)]


def _forget_self(table: Floats, rows: slice, by: float) -> None:
    """A group is no pair with itself."""
    import numpy as np

    here = np.arange(table.shape[0])
    table[here, here + rows.start] = by


def _largest(table: Floats, rows: slice) -> tuple[float, tuple[int, int]]:
    first, second = divmod(int(table.argmax()), table.shape[1])
    return float(table[first, second]), (first + rows.start, second)
