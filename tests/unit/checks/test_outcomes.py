"""Scores that are no scores are never counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from custody.checks._outcomes import read_outcomes
from custody.checks.target import Unmeasurable

TRUTH = np.array([0, 1, 1], np.int8)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1, 0.2], "shape"),
        ([[0.1], [0.2], [0.3]], "shape"),
        ([0.1, float("nan"), 0.3], "not finite"),
        ([0.1, float("inf"), 0.3], "not finite"),
        ([0.1, 1.2, 0.3], "must lie in"),
        ([0.1, -0.2, 0.3], "must lie in"),
        (["a", "b", "c"], "instead of numbers"),
    ],
)
def test_unsound_scores_are_unmeasurable(scores: Any, message: str) -> None:
    with pytest.raises(Unmeasurable, match=message):
        read_outcomes(TRUTH, np.array(scores))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_any_kind_of_number_will_do(dtype: Any) -> None:
    found = read_outcomes(TRUTH, np.array([0, 1, 0]).astype(dtype))
    assert (found.true_positives, found.false_negatives, found.true_negatives) == (1, 1, 1)


def test_a_score_on_the_threshold_is_a_yes() -> None:
    assert read_outcomes(TRUTH, np.array([0.5, 0.5, 0.4999])).called == 2
