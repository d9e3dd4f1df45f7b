"""Is the model still as good in use as it was when it was approved?

Live rows whose true labels have arrived are compared with the held-out set of the approval. A drop is
the held-out figure minus the live one, with Newcombe's interval (Statistics in Medicine 1998, method 10)
over two independent samples: a drop is shown only when its lower end is above 0. Rows whose label is
still missing are left out and counted, for late labels need not be a fair sample of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from custody.checks._entities import entity_codes
from custody.checks._intervals import Span, difference_span
from custody.checks._outcomes import THRESHOLD, Outcomes, ScoreColumn, read_outcomes
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

NAMES = ("recall", "precision", "accuracy", "auc")
DROPS = ("recall", "auc")
LABELLED = 0.9
"""Below this share of labelled rows a finding warns of selective labels."""


def _example(live_recall: float) -> Target:
    """A held-out set with a recall of 0.8, and live rows with another."""
    import numpy as np
    import polars as pl

    columns = Columns(target="y", positive="1")

    def rows(recall: float, seed: int) -> pl.DataFrame:
        draw = np.random.default_rng(seed)
        truth = np.arange(6_000) % 2
        called = draw.random(6_000) < np.where(truth == 1, recall, 0.1)
        return pl.DataFrame({"score": np.where(called, 0.9, 0.1), "y": truth})

    return Target(
        held_out=Table("held-out", rows(0.8, 3), columns),
        live=Table("live", rows(live_recall, 4), columns),
        model=ScoreColumn(),
    )


@check(
    stage=Stage.RUNTIME,
    measures={
        "recall": Scale(0, 1, "higher", "share of positives", "Live positives that were called positive."),
        "precision": Scale(0, 1, "higher", "share of called rows", "Live rows called positive that are."),
        "accuracy": Scale(0, 1, "higher", "share of rows", "Live rows answered rightly."),
        "auc": Scale(0, 1, "higher", "probability", "A live positive scores above a live negative."),
        "recall_drop": Scale(-1, 1, "lower", "share", "Held-out recall minus live recall."),
        "auc_drop": Scale(-1, 1, "lower", "probability", "Held-out AUC minus live AUC."),
    },
    example=Example(measure="recall_drop", at_most=0.05, clean=lambda: _example(0.8), caught=lambda: _example(0.65)),
)
def performance(target: Target) -> Result:
    """Compare live scores with the labels that have arrived, and with the held-out set."""
    live, unlabelled = _labelled(target.need_live())
    scores = target.need_model().scores(live.frame.select(live.features))
    outcomes = read_outcomes(live.truth, scores, entity_codes(live))
    spans = {name: _span(getattr(outcomes, name), target.confidence) for name in NAMES}
    sizes = {
        "recall": outcomes.positives,
        "precision": outcomes.called,
        "accuracy": outcomes.rows,
        "auc": outcomes.rows,
    }
    measures = [_measure(name, spans[name], sizes[name]) for name in NAMES]
    before = _before(target)
    for name in DROPS:
        now = spans[name]
        if isinstance(before, str):
            measures.append(Measure.unknown(f"{name}_drop", before, n=sizes[name]))
        elif isinstance(now, str):
            measures.append(Measure.unknown(f"{name}_drop", now, n=sizes[name]))
        else:
            then = getattr(before, name)(target.confidence)
            measures.append(Measure(f"{name}_drop", *difference_span(then, now), sizes[name]))
    details: dict[str, Any] = {
        "threshold": THRESHOLD,
        "labelled": outcomes.rows,
        "unlabelled": unlabelled,
        "positive_share": outcomes.positives / outcomes.rows,
        "called_share": outcomes.called / outcomes.rows,
    }
    return Result(measures, _findings(measures, outcomes.rows, unlabelled), details)


def _labelled(live: Table) -> tuple[Table, int]:
    """Return the rows whose label has arrived, and how many are left waiting."""
    name = live.columns.target
    if name not in live.frame.columns:
        raise Unmeasurable(f"{live.name} has no labels yet: no column {name!r}")
    arrived = live.frame.filter(live.frame[name].is_not_null())
    if not arrived.height:
        raise Unmeasurable(f"none of the {live.rows} rows of {live.name} has a label yet")
    return replace(live, frame=arrived), live.rows - arrived.height


def _before(target: Target) -> Outcomes | str:
    """Return the outcomes on the held-out table, or why there are none."""
    try:
        table = target.need_held_out()
        return read_outcomes(table.truth, target.held_out_scores(), entity_codes(table))
    except Unmeasurable as error:
        return f"nothing to compare with: {error}"


def _span(measured: Callable[[float], Span], confidence: float) -> Span | str:
    try:
        return measured(confidence)
    except Unmeasurable as error:
        return str(error)


def _measure(name: str, span: Span | str, n: int) -> Measure:
    return Measure.unknown(name, span, n=n) if isinstance(span, str) else Measure(name, *span, n)


def _findings(measures: list[Measure], labelled: int, unlabelled: int) -> list[Finding]:
    found = [
        Finding(
            "warning",
            f"{measure.name.removesuffix('_drop')} fell by {measure.value:.3f} "
            f"({measure.low:.3f} to {measure.high:.3f}) since approval",
            f"{labelled} labelled live rows",
            "The model does worse in use than what it was approved for.",
            "Look for drift in the inputs; open an incident if the bound is broken.",
        )
        for measure in measures
        if measure.name.endswith("_drop") and measure.low is not None and measure.low > 0
    ]
    if labelled < LABELLED * (labelled + unlabelled):
        found.append(
            Finding(
                "info",
                f"{unlabelled} of {labelled + unlabelled} live rows have no label yet",
                "live",
                "Labels that arrive first may come from easier or from suspected cases.",
                "Measure again when the labels are in, or label a random sample.",
            )
        )
    return found
