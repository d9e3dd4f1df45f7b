"""What did the model answer, and how often was it right?

Scores become answers at one threshold everywhere: a row is called positive from 0.5 upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from custody.checks._entities import design_effect
from custody.checks._intervals import Span, auc_span, average_span, f1_span, mean_span, rate_span
from custody.checks.target import Unmeasurable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

THRESHOLD = 0.5


@dataclass(frozen=True)
class Outcomes:
    """Truth and score of every row, both of shape (rows,), and the four counts."""

    truth: NDArray[np.int8]
    scores: NDArray[np.float64]
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    entities: NDArray[np.intp] | None = None
    """Whose row it is, shape (rows,), where entities repeat; their rows then count for less."""

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return int(self.truth.size)

    @property
    def positives(self) -> int:
        """Return how many rows are positive in truth."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        """Return how many rows are negative in truth."""
        return self.false_positives + self.true_negatives

    @property
    def called(self) -> int:
        """Return how many rows the model called positive."""
        return self.true_positives + self.false_positives

    def accuracy(self, confidence: float) -> Span:
        """Return the share of right answers."""
        return self._rate(self._called == self.truth, None, confidence)

    def recall(self, confidence: float) -> Span:
        """Return the share of positives that were called positive."""
        return self._rate(self._called, self.truth == 1, confidence)

    def specificity(self, confidence: float) -> Span:
        """Return the share of negatives that were called negative."""
        return self._rate(~self._called, self.truth == 0, confidence)

    def false_positive_rate(self, confidence: float) -> Span:
        """Return the share of negatives that were called positive."""
        return self._rate(self._called, self.truth == 0, confidence)

    def precision(self, confidence: float) -> Span:
        """Return the share of called rows that are positive; unmeasurable when none was called."""
        if not self.called:
            raise Unmeasurable("the model called no row positive, so precision has no meaning")
        return self._rate(self.truth == 1, self._called, confidence)

    def balanced_accuracy(self, confidence: float) -> Span:
        """Return the mean of recall and specificity."""
        return average_span(self.recall(confidence), self.specificity(confidence))

    def f1(self, confidence: float) -> Span:
        """Return the harmonic mean of precision and recall; 0 when no positive was found."""
        found, tried = self._called & (self.truth == 1), self._called | (self.truth == 1)
        return f1_span(*self._counted(found, tried, confidence))

    def auc(self, confidence: float) -> Span:
        """Return the chance that a positive scores above a negative, ties counting half."""
        return auc_span(self.scores, self.truth, confidence, self.entities)

    def brier(self, confidence: float) -> Span:
        """Return the mean squared distance of the score from the truth."""
        import numpy as np

        errors = np.square(self.scores - self.truth)
        return mean_span(errors, confidence, design_effect(errors - errors.mean(), self.entities))

    @property
    def _called(self) -> NDArray[np.bool_]:
        return self.scores >= THRESHOLD

    def _rate(self, hit: NDArray[np.bool_], within: NDArray[np.bool_] | None, confidence: float) -> Span:
        return rate_span(*self._counted(hit, within, confidence))

    def _counted(
        self, hit: NDArray[np.bool_], within: NDArray[np.bool_] | None, confidence: float
    ) -> tuple[int, int, float, float]:
        """Return hits and rows of a rate, the confidence, and the design effect."""
        kept = hit if within is None else hit[within]
        hits, tried = int(kept.sum()), kept.size
        if self.entities is None:
            return hits, tried, confidence, 1.0
        return hits, tried, confidence, design_effect(hit.astype(float) - hits / tried, self.entities, within)


def read_outcomes(
    truth: NDArray[np.int8], scores: NDArray[np.float64], entities: NDArray[np.intp] | None = None
) -> Outcomes:
    """Count right and wrong answers in one pass.

    `truth` holds 1 and 0, shape (rows,); `entities` says whose rows they are. Raises `Unmeasurable`
    when the scores are not one finite number in [0, 1] for each row.
    """
    import numpy as np

    scores = sound_scores(scores, truth.size)
    cells = np.bincount(2 * truth.astype(np.intp) + (scores >= THRESHOLD), minlength=4)
    tn, fp, fn, tp = (int(count) for count in cells)
    return Outcomes(truth, scores, tp, fp, fn, tn, entities)


def sound_scores(scores: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return the scores as float64, or raise `Unmeasurable` when they cannot be scores of `rows` rows."""
    import numpy as np

    found = np.asarray(scores)
    if found.shape != (rows,):
        raise Unmeasurable(f"the model answered with shape {found.shape} for {rows} rows")
    if not np.issubdtype(found.dtype, np.number) and found.dtype != np.bool_:
        raise Unmeasurable(f"the model answered with {found.dtype} instead of numbers")
    found = found.astype(np.float64)
    if not np.isfinite(found).all():
        raise Unmeasurable(f"{int((~np.isfinite(found)).sum())} scores of the model are not finite")
    if rows and (found.min() < 0.0 or found.max() > 1.0):
        raise Unmeasurable(f"scores run from {found.min():g} to {found.max():g}; they must lie in [0, 1]")
    return found


class ScoreColumn:
    """A predictor for examples: each row carries the score that is answered for it."""

    def __init__(self, name: str = "score") -> None:
        self.name = name
        self.queries = 0

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Return the column."""
        self.queries += rows.height
        return rows[self.name].to_numpy()
