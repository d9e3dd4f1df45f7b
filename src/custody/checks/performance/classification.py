"""How often is the model right, and how surely do we know?

Every figure comes with a two-sided interval at the sealed confidence: score and exact intervals for
proportions (Wilson 1927, Clopper and Pearson 1934), DeLong et al. (1988) for the area under the ROC
curve, square-and-add (Newcombe 1998) for balanced accuracy. F1 is a monotone function of one
proportion, TP / (TP + FP + FN), and takes its interval from it. Answers are cut at a score of 0.5.
Where the declared entity repeats, intervals allow for rows of one entity being alike (`_entities.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from custody.checks._entities import entity_codes
from custody.checks._intervals import Span, proportion
from custody.checks._outcomes import THRESHOLD, Outcomes, ScoreColumn, read_outcomes
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CURVE_POINTS = 200
BINS = 10


def _example(shift: float) -> Target:
    """Scores of the positives lie `shift` above those of the negatives."""
    import numpy as np
    import polars as pl

    rows = 2_000
    draw = np.random.default_rng(7)
    truth = np.arange(rows) % 2
    score = np.clip(0.5 + shift * (truth - 0.5) + draw.normal(0, 0.1, rows), 0, 1)
    columns = Columns(target="y", positive="1")
    return Target(held_out=Table("held-out", pl.DataFrame({"score": score, "y": truth}), columns), model=ScoreColumn())


@check(
    stage=Stage.VALIDATION,
    measures={
        "accuracy": Scale(0, 1, "higher", "share of rows", "Rows answered rightly."),
        "balanced_accuracy": Scale(0, 1, "higher", "share", "Mean of recall and true negative rate."),
        "precision": Scale(0, 1, "higher", "share of called rows", "Rows called positive that are."),
        "recall": Scale(0, 1, "higher", "share of positives", "Positives that were called positive."),
        "f1": Scale(0, 1, "higher", "share", "Harmonic mean of precision and recall."),
        "auc": Scale(0, 1, "higher", "probability", "A positive scores above a negative."),
        "false_positive_rate": Scale(0, 1, "lower", "share of negatives", "Negatives called positive."),
        "brier": Scale(0, 1, "lower", "squared error", "Mean squared distance of score and truth."),
    },
    example=Example(measure="auc", at_least=0.9, clean=lambda: _example(0.5), caught=lambda: _example(0.1)),
)
def classification(target: Target) -> Result:
    """Compare scores with truth on the whole held-out table."""
    table = target.need_held_out()
    outcomes = read_outcomes(table.truth, target.held_out_scores(), entity_codes(table))
    measured: list[tuple[str, Callable[[float], Span], int]] = [
        ("accuracy", outcomes.accuracy, outcomes.rows),
        ("balanced_accuracy", outcomes.balanced_accuracy, outcomes.rows),
        ("precision", outcomes.precision, outcomes.called),
        ("recall", outcomes.recall, outcomes.positives),
        ("f1", outcomes.f1, outcomes.rows - outcomes.true_negatives),
        ("auc", outcomes.auc, outcomes.rows),
        ("false_positive_rate", outcomes.false_positive_rate, outcomes.negatives),
        ("brier", outcomes.brier, outcomes.rows),
    ]
    measures = [_measure(name, span, n, target.confidence) for name, span, n in measured]
    return Result(measures, _findings(outcomes, measures), _details(outcomes, target.confidence))


def _measure(name: str, span: Callable[[float], Span], n: int, confidence: float) -> Measure:
    try:
        return Measure(name, *span(confidence), n)
    except Unmeasurable as error:
        return Measure.unknown(name, str(error), n=n)


def _findings(outcomes: Outcomes, measures: list[Measure]) -> list[Finding]:
    found = []
    if outcomes.called in (0, outcomes.rows):
        only = "positive" if outcomes.called else "negative"
        found.append(
            Finding(
                "warning",
                f"the model calls every row {only}",
                f"{outcomes.rows} held-out rows, threshold {THRESHOLD}",
                "A constant answer needs no model, and several measures flatter it.",
                "Look at the scores; calibrate them or balance the training.",
            )
        )
    area = next(measure for measure in measures if measure.name == "auc")
    if area.high is not None and area.high < 0.5:
        found.append(
            Finding(
                "critical",
                f"scores rank the wrong way round: AUC {area.value:.3f}",
                "held-out",
                "Negatives score above positives, as when the positive label was swapped.",
                "Check which label is declared positive and which class the model scores.",
            )
        )
    return found


def _details(outcomes: Outcomes, confidence: float) -> dict[str, Any]:
    return {
        "threshold": THRESHOLD,
        "confusion": {
            "true_positives": outcomes.true_positives,
            "false_positives": outcomes.false_positives,
            "false_negatives": outcomes.false_negatives,
            "true_negatives": outcomes.true_negatives,
        },
        "roc": _curve(outcomes),
        "calibration": _calibration(outcomes.truth, outcomes.scores, confidence),
    }


def _curve(outcomes: Outcomes) -> dict[str, list[float]]:
    """Return at most `CURVE_POINTS` points of the ROC curve, from (0, 0) to (1, 1)."""
    import numpy as np

    order = np.argsort(-outcomes.scores, kind="stable")
    scores = outcomes.scores[order]
    hits = np.cumsum(outcomes.truth[order], dtype=np.int64)
    # Rows of equal score can only be told apart together.
    ends = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)
    recall = np.concatenate([[0.0], hits[ends] / outcomes.positives])
    alarms = np.concatenate([[0.0], (ends + 1 - hits[ends]) / outcomes.negatives])
    if recall.size > CURVE_POINTS:
        # Evenly along the length of the curve, so that its steep part keeps its shape.
        along = recall + alarms
        picked = np.searchsorted(along, np.linspace(0, 2, CURVE_POINTS))
        picked = np.unique(np.clip(picked, 0, along.size - 1))
        recall, alarms = recall[picked], alarms[picked]
    return {
        "false_positive_rate": [round(float(x), 6) for x in alarms],
        "recall": [round(float(y), 6) for y in recall],
    }


def _calibration(truth: NDArray[np.int8], scores: NDArray[np.float64], confidence: float) -> list[dict[str, float]]:
    """Return, for ten bands of the score, how often rows were positive; empty bands are left out."""
    import numpy as np

    band = np.minimum((scores * BINS).astype(np.intp), BINS - 1)
    rows = np.bincount(band, minlength=BINS)
    hits = np.bincount(band, weights=truth, minlength=BINS)
    means = np.bincount(band, weights=scores, minlength=BINS)
    low, high = proportion(hits, rows, confidence)
    return [
        {
            "rows": int(rows[i]),
            "mean_score": round(float(means[i] / rows[i]), 6),
            "positive_share": round(float(hits[i] / rows[i]), 6),
            "low": round(float(low[i]), 6),
            "high": round(float(high[i]), 6),
        }
        for i in np.flatnonzero(rows)
    ]
