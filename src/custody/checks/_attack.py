"""What every attack needs: a model asked with suspicion, and a model made from a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from custody.checks.target import Predictor, Unmeasurable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


class FromFunction:
    """A predictor made from a function, for the tiny examples that each check carries."""

    def __init__(self, function: Callable[[pl.DataFrame], NDArray[np.float64]]) -> None:
        self._function = function
        self._queries = 0

    @property
    def queries(self) -> int:
        """Return how many rows have been scored so far."""
        return self._queries

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Return the function's answer; one score per row."""
        self._queries += rows.height
        return self._function(rows)


def sound(scores: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return `scores` as float64 of shape (rows,), all finite and within [0, 1].

    An attack that took a NaN for "not flagged" would call a broken model evaded, or robust;
    so anything else raises `Unmeasurable`, whatever the predictor promised.
    """
    import numpy as np

    found = np.asarray(scores, dtype=np.float64)
    if found.shape != (rows,):
        raise Unmeasurable(f"the model answered with shape {found.shape} for {rows} rows")
    broken = int((~np.isfinite(found)).sum())
    if broken:
        raise Unmeasurable(f"the model's score is not a finite number for {broken} rows")
    if found.size and (found.min() < 0.0 or found.max() > 1.0):
        raise Unmeasurable(f"the model's scores leave [0, 1]: {found.min():.4g} to {found.max():.4g}")
    return found


def ask(model: Predictor, rows: pl.DataFrame) -> NDArray[np.float64]:
    """Return checked scores for `rows`, all in one call; shape (rows,)."""
    return sound(model.scores(rows), rows.height)
