"""Intervals keep their promise: textbook values, independent oracles and exact error rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from sklearn.metrics import roc_auc_score

from custody.checks import _intervals as intervals
from custody.checks._intervals import (
    Span,
    auc_span,
    average_span,
    clopper_pearson,
    difference_span,
    f1_span,
    mean_span,
    proportion,
    wilson,
)
from custody.errors import InvalidInput

counts = st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.5, 0.9, 0.95, 0.99, 1 - 1e-9])


# Newcombe, Statistics in Medicine 1998, tables I and II.
@pytest.mark.parametrize(
    ("k", "n", "score", "exact"),
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_published_intervals_are_met(k: int, n: int, score: tuple[float, float], exact: tuple[float, float]) -> None:
    assert [float(end) for end in wilson(k, n, 0.95)] == pytest.approx(score, abs=6e-5)
    assert [float(end) for end in clopper_pearson(k, n, 0.95)] == pytest.approx(exact, abs=6e-5)


def test_a_published_difference_is_met() -> None:
    first, second = (Span(k / n, *map(float, wilson(k, n, 0.95))) for k, n in ((56, 70), (48, 80)))
    assert difference_span(first, second) == pytest.approx((0.2, 0.0524, 0.3339), abs=6e-5)


@given(counts, confidences)
def test_scipy_gives_the_same_ends(cell: tuple[int, int], confidence: float) -> None:
    k, n = cell
    for ours, name in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = binomtest(k, n).proportion_ci(confidence, method=name)
        low, high = ours(k, n, confidence)
        assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-8)


@given(counts, confidences)
def test_an_interval_holds_its_own_estimate(cell: tuple[int, int], confidence: float) -> None:
    k, n = cell
    for method in (wilson, clopper_pearson, proportion):
        low, high = (float(end) for end in method(k, n, confidence))
        assert 0 <= low <= k / n <= high <= 1
        assert low < high


def test_nothing_tried_means_anything_is_possible() -> None:
    for method in (wilson, clopper_pearson, proportion):
        assert [float(end) for end in method(0, 0, 0.95)] == [0, 1]


@pytest.mark.parametrize("confidence", [0, 1, -1, 2, float("nan")])
def test_a_confidence_outside_its_range_is_refused(confidence: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        wilson(1, 2, confidence)


def errors(n: int) -> tuple[float, float, list[float]]:
    """Return the worst error below and above, and coverages, exactly, over rates from 0.005 to 0.995."""
    k = np.arange(n + 1)
    low, high = proportion(k, np.full(n + 1, n), 0.95)
    below = above = 0.0
    coverage = []
    for rate in np.linspace(0.005, 0.995, 199):
        mass = binom.pmf(k, n, rate)
        below, above = max(below, mass[low > rate].sum()), max(above, mass[high < rate].sum())
        if n * rate * (1 - rate) > 5:
            coverage.append(float(mass[(low <= rate) & (rate <= high)].sum()))
    return below, above, coverage


@pytest.mark.parametrize("n", [10, 20, 35, 100, 300, 1_000, 3_000])
def test_neither_end_of_a_proportion_errs_more_than_one_time_in_twenty(n: int) -> None:
    below, above, _ = errors(n)
    assert max(below, above) <= 0.05


def test_wilson_alone_would_err_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "TINY", 0)
    assert max(errors(100)[:2]) > 0.05


def test_mean_coverage_of_a_proportion_is_what_was_promised() -> None:
    coverage = np.concatenate([errors(n)[2] for n in (50, 100, 200, 500, 1_000, 3_000)])
    assert 0.945 <= coverage.mean() <= 0.96


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_f1_and_its_ends_are_ordered(tp: int, fp: int, fn: int) -> None:
    if tp + fp + fn == 0:
        return
    value, low, high = f1_span(tp, tp + fp + fn, 0.95)
    assert value == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert 0 <= low <= value <= high <= 1


def test_an_average_of_certain_numbers_is_certain() -> None:
    assert average_span(Span(0.2, 0.2, 0.2), Span(0.8, 0.8, 0.8)) == (0.5, 0.5, 0.5)


def share_covered(span: object, truth: float, repetitions: int) -> float:
    assert callable(span)
    held = [one.low <= truth <= one.high for one in (span() for _ in range(repetitions))]
    return sum(held) / repetitions


@pytest.mark.parametrize("n", [60, 1_000])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_of_an_auc_covers(n: int, shift: float) -> None:
    from scipy.stats import norm

    draw = np.random.default_rng(5)
    truth = (np.arange(n) % 3 == 0).astype(np.int8)

    def span() -> Span:
        return auc_span(draw.normal(size=n) + shift * truth, truth, 0.95)

    assert 0.93 <= share_covered(span, float(norm.cdf(shift / np.sqrt(2))), 600) <= 0.985


def test_the_interval_of_an_auc_near_one_covers() -> None:
    from scipy.stats import norm

    draw = np.random.default_rng(8)
    truth = (np.arange(200) % 4 == 0).astype(np.int8)

    def span() -> Span:
        return auc_span(draw.normal(size=200) + 3.6 * truth, truth, 0.95)

    assert share_covered(span, float(norm.cdf(3.6 / np.sqrt(2))), 500) >= 0.95


def test_the_interval_of_a_mean_covers() -> None:
    draw = np.random.default_rng(6)
    span = lambda: mean_span(draw.beta(0.3, 2.0, 400), 0.95)  # noqa: E731
    assert 0.94 <= share_covered(span, 0.3 / 2.3, 1_500) <= 0.975


def test_equal_values_do_not_make_a_mean_certain() -> None:
    value, low, high = mean_span(np.zeros(5), 0.95)
    assert (value, low) == (0, 0)
    assert high > 0.2
    assert mean_span(np.zeros(100_000), 0.95).high < 0.001


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_auc_equals_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], float) / 5
    truth = np.array([label for _, label in rows], np.int8)
    if truth.min() == truth.max():
        return
    value, low, high = auc_span(scores, truth, 0.95)
    assert value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert 0 <= low <= value <= high <= 1


def test_a_perfect_auc_on_few_rows_stays_uncertain() -> None:
    truth = np.array([0] * 10 + [1] * 10, np.int8)
    value, low, high = auc_span(truth.astype(float), truth, 0.95)
    assert (value, high) == (1, 1)
    assert low < 0.9


def test_an_auc_needs_both_classes() -> None:
    with pytest.raises(InvalidInput, match="both classes"):
        auc_span(np.array([0.1, 0.2]), np.array([1, 1], np.int8), 0.95)
