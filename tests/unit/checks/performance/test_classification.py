"""Performance figures equal those of scikit-learn and come with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from custody.checks._outcomes import ScoreColumn
from custody.checks.performance.classification import CURVE_POINTS
from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target
from custody.core.measure import Measure
from custody.core.strictjson import dump

COLUMNS = Columns(target="y", positive="1")


def target(scores: Any, truth: Any) -> Target:
    frame = pl.DataFrame({"score": np.asarray(scores, float), "y": np.asarray(truth)})
    return Target(held_out=Table("held-out", frame, COLUMNS), model=ScoreColumn())


def measured(found: Target) -> dict[str, Measure]:
    return {one.name: one for one in registry()["performance.classification"].run(found).measures}


def sample(rows: int, skill: float = 0.3, seed: int = 0) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    truth = (draw.random(rows) < 0.3).astype(int)
    return np.clip(draw.normal(0.4 + skill * truth, 0.2), 0, 1).round(3), truth


@pytest.mark.parametrize("rows", [40, 3_000])
def test_scikit_learn_finds_the_same(rows: int) -> None:
    scores, truth = sample(rows)
    called = (scores >= 0.5).astype(int)
    expected = {
        "accuracy": metrics.accuracy_score(truth, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, called),
        "precision": metrics.precision_score(truth, called),
        "recall": metrics.recall_score(truth, called),
        "f1": metrics.f1_score(truth, called),
        "auc": metrics.roc_auc_score(truth, scores),
        "false_positive_rate": 1 - metrics.recall_score(truth, called, pos_label=0),
        "brier": metrics.brier_score_loss(truth, scores),
    }
    found = measured(target(scores, truth))
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected, abs=1e-9)
    assert all(one.low < one.value < one.high for one in found.values())  # type: ignore[operator]


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc", "brier"])
def test_intervals_cover_the_figure_of_the_whole_population(name: str) -> None:
    scores, truth = sample(400_000)
    whole = measured(target(scores, truth))[name].value
    check = registry()["performance.classification"].function
    held = 0
    for i in range(300):
        rows = slice(1_000 * i, 1_000 * (i + 1))
        one = next(m for m in check(target(scores[rows], truth[rows])).measures if m.name == name)
        assert one.low is not None
        assert one.high is not None
        held += one.low <= whole <= one.high  # type: ignore[operator]
    # 95 % within three standard errors of 300 repetitions.
    assert 0.912 <= held / 300 <= 0.988


def test_a_lucky_small_sample_stays_uncertain() -> None:
    found = measured(target([0.1] * 5 + [0.9] * 5, [0] * 5 + [1] * 5))
    assert found["accuracy"].value == 1
    assert found["accuracy"].low < 0.75  # type: ignore[operator]
    assert found["auc"].low < 0.8  # type: ignore[operator]


def test_a_model_that_never_says_yes_has_no_precision() -> None:
    result = registry()["performance.classification"].run(target([0.1, 0.2, 0.3], [0, 1, 0]))
    found = {one.name: one for one in result.measures}
    assert found["precision"].value is None
    assert "no row positive" in found["precision"].reason
    assert (found["recall"].value, found["f1"].value) == (0, 0)
    assert any("calls every row negative" in one.what for one in result.findings)


def test_scores_of_the_wrong_class_are_noticed() -> None:
    scores, truth = sample(1_000)
    wrong = registry()["performance.classification"].run(target(1 - scores, truth))
    right = registry()["performance.classification"].run(target(scores, truth))
    assert [one.severity for one in wrong.findings] == ["critical"]
    assert right.findings == []


@pytest.mark.parametrize(
    ("scores", "truth"),
    [([0.1, float("nan")], [0, 1]), ([0.1, 3.0], [0, 1]), ([0.1, 0.2], [1, 1]), ([], [])],
)
def test_what_cannot_be_measured_is_unknown(scores: list[float], truth: list[int]) -> None:
    found = measured(target(scores, truth))
    assert len(found) == 8
    assert all(one.value is None and one.reason for one in found.values())


def test_details_can_be_drawn_and_signed() -> None:
    scores, truth = sample(20_000)
    scores = scores + np.random.default_rng(1).random(20_000) * 1e-6
    details = registry()["performance.classification"].run(target(np.clip(scores, 0, 1), truth)).details
    dump(details)
    x, y = details["roc"]["false_positive_rate"], details["roc"]["recall"]
    assert len(x) == len(y) <= CURVE_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(x) >= 0)
    assert np.all(np.diff(y) >= 0)
    area = metrics.roc_auc_score(truth, scores)
    assert float(np.trapezoid(y, x)) == pytest.approx(area, abs=1e-3)
    assert sum(band["rows"] for band in details["calibration"]) == 20_000
    assert sum(details["confusion"].values()) == 20_000
