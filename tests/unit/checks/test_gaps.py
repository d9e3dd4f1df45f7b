"""The worst gap over many groups: safe to pass on, safe to fail on."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from custody.checks import _gaps as gaps
from custody.checks._gaps import worst_difference, worst_ratio
from custody.checks._intervals import Span, clopper_pearson, difference_span, proportion
from custody.errors import InvalidInput

cells = st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
tables = st.lists(cells, min_size=2, max_size=12).map(lambda found: np.array(found, float).T)


@given(tables, st.sampled_from([0.8, 0.95, 0.999]))
def test_an_interval_holds_its_own_estimate(table: np.ndarray, confidence: float) -> None:
    k, n = table
    worst = worst_difference(k, n, confidence)
    assert 0 <= worst.low <= worst.value <= worst.high <= 1
    assert worst.value == pytest.approx(max(k / n) - min(k / n))
    if k.any():
        ratio = worst_ratio(k, n, confidence)
        assert 0 <= ratio.low <= ratio.value <= ratio.high <= 1
        assert ratio.value == pytest.approx(min(k / n) / max(k / n))


@given(tables)
@settings(max_examples=30)
def test_all_pairs_are_looked_at(table: np.ndarray) -> None:
    k, n = table
    pairs = len(k) * (len(k) - 1) / 2
    loose, tight = proportion(k, n, 0.95), clopper_pearson(k, n, 1 - 0.05 / pairs)

    def spans(ends: object) -> list[Span]:
        return [Span(k[i] / n[i], ends.low[i], ends.high[i]) for i in range(len(k))]  # type: ignore[attr-defined]

    highs = [difference_span(a, b).high for a, b in permutations(spans(loose), 2)]
    lows = [difference_span(a, b).low for a, b in permutations(spans(tight), 2)]
    worst = worst_difference(k, n, 0.95)
    assert worst.high == pytest.approx(min(max(highs), 1.0))
    assert worst.low == pytest.approx(max(*lows, 0.0))


def test_counting_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    n = draw.integers(1, 400, 37).astype(float)
    k = draw.binomial(n.astype(int), 0.3).astype(float)
    whole = worst_difference(k, n, 0.95), worst_ratio(k, n, 0.95)
    monkeypatch.setattr(gaps, "BLOCK", 100)
    assert (worst_difference(k, n, 0.95), worst_ratio(k, n, 0.95)) == whole


def test_a_group_is_never_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # Against itself the tiny group would reach further than against any of the others.
    k, n = np.array([5e5, 5e5, 2.0]), np.array([1e6, 1e6, 4.0])
    for block in (gaps.BLOCK, 1):
        monkeypatch.setattr(gaps, "BLOCK", block)
        difference, ratio = worst_difference(k, n, 0.95), worst_ratio(k, n, 0.95)
        assert difference.high < 0.5
        assert ratio.low > 0.12
        for worst in (difference, ratio):
            assert worst.widest[0] != worst.widest[1]


@pytest.mark.parametrize("swap", [1, -1])
def test_the_deciding_groups_are_named(swap: int) -> None:
    k, n = np.array([300.0, 100.0, 4.0])[::swap], np.array([1_000.0, 1_000.0, 20.0])[::swap]
    worst = worst_difference(k, n, 0.95)
    names = ["many", "few", "tiny"][::swap]
    assert [names[place] for place in worst.pair] == ["many", "few"]
    assert "tiny" in {names[place] for place in worst.widest}


def passes_at_the_bound(first: int, second: int, rate: float, other: float, bound: float, kind: str) -> float:
    """Return the exact chance that two groups whose true gap equals the bound are passed."""
    k1, k2 = np.arange(first + 1.0), np.arange(second + 1.0)
    p1, p2 = k1 / first, k2 / second
    a, b = proportion(k1, np.full(first + 1, first), 0.95), proportion(k2, np.full(second + 1, second), 0.95)
    mass = binom.pmf(k1, first, rate)[:, None] * binom.pmf(k2, second, other)
    if kind == "difference":
        up = (p1[:, None] - p2) + np.hypot((a.high - p1)[:, None], p2 - b.low)
        down = (p2 - p1[:, None]) + np.hypot(b.high - p2, (p1 - a.low)[:, None])
        passed = np.maximum(up, down) <= bound
    else:
        passed = np.zeros_like(mass, bool)
        for i, j in np.argwhere(mass > 1e-7):
            if k1[i] or k2[j]:
                found = worst_ratio(np.array([k1[i], k2[j]]), np.array([first, second], float), 0.95)
                passed[i, j] = found.low >= bound
    return float(mass[passed].sum())


@pytest.mark.parametrize("first", [10, 30, 100, 1_000, 3_000])
@pytest.mark.parametrize("bound", [0.05, 0.1, 0.2])
def test_a_gap_at_the_tolerance_is_passed_at_most_one_time_in_twenty(first: int, bound: float) -> None:
    worst = max(
        passes_at_the_bound(first, second, rate, rate - bound, bound, "difference")
        for second in (10, 30, 100, 300)
        for rate in (bound, bound + 0.01, 0.3, 0.5, 0.9, 0.99, 1.0)
        if rate >= bound
    )
    assert worst <= 0.05


@pytest.mark.parametrize(("first", "second"), [(10, 10), (30, 100), (100, 40), (200, 150)])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_a_ratio_at_four_fifths_is_passed_at_most_one_time_in_twenty(first: int, second: int, rate: float) -> None:
    assert passes_at_the_bound(first, second, rate, 0.8 * rate, 0.8, "ratio") <= 0.05


def test_large_groups_without_a_gap_do_pass() -> None:
    passed = [
        worst_difference(np.random.default_rng(i).binomial(4_000, [0.3, 0.3]).astype(float), np.full(2, 4e3), 0.95)
        for i in range(200)
    ]
    assert sum(worst.high <= 0.05 for worst in passed) >= 190


@pytest.mark.parametrize(
    ("groups", "rate", "repetitions"), [(2, 0.3, 2_000), (6, 0.05, 1_500), (30, 0.5, 800), (300, 0.1, 250)]
)
def test_equal_groups_are_failed_at_most_one_time_in_twenty(groups: int, rate: float, repetitions: int) -> None:
    draw = np.random.default_rng(groups)
    failed = short = 0
    for _ in range(repetitions):
        n = np.exp(draw.uniform(np.log(2), np.log(3_000), groups)).round()
        k = draw.binomial(n.astype(int), rate).astype(float)
        failed += worst_difference(k, n, 0.95).low > 0
        short += bool(k.any()) and worst_ratio(k, n, 0.95).high < 1
    assert max(failed, short) / repetitions <= 0.05


def test_without_correction_equal_groups_would_be_failed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "_rates", lambda k, n: (k / n, 1))
    draw = np.random.default_rng(3)
    found = [worst_difference(draw.binomial(500, 0.3, 30).astype(float), np.full(30, 500.0), 0.95) for _ in range(200)]
    assert sum(worst.low > 0 for worst in found) > 150


@pytest.mark.parametrize("seen", [0.2, 0.5])
def test_the_interval_covers_a_true_spread(seen: float) -> None:
    draw = np.random.default_rng(9)
    rates = np.linspace(seen, seen + 0.05, 5)
    n = np.array([80, 300, 1_000, 3_000, 500])
    held = 0
    for _ in range(1_000):
        worst = worst_difference(draw.binomial(n, rates).astype(float), n.astype(float), 0.95)
        held += worst.low <= 0.05 <= worst.high
    assert held >= 950


def test_a_clear_gap_is_shown_even_among_many_groups() -> None:
    rates = np.full(300, 0.2)
    rates[17] = 0.6
    k = np.random.default_rng(2).binomial(400, rates).astype(float)
    worst = worst_difference(k, np.full(300, 400.0), 0.95)
    assert worst.low > 0.2
    assert worst.pair[0] == 17


def test_two_looks_widen_the_end_that_a_fail_needs() -> None:
    k, n = np.array([300.0, 200.0]), np.array([1_000.0, 1_000.0])
    once, twice = worst_difference(k, n, 0.95), worst_difference(k, n, 0.95, looks=2)
    assert twice.low < once.low
    assert twice.high == once.high


def test_what_has_no_rate_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two groups"):
        worst_difference(np.array([1.0]), np.array([2.0]), 0.95)
    with pytest.raises(InvalidInput, match="single trial"):
        worst_difference(np.array([1.0, 0.0]), np.array([2.0, 0.0]), 0.95)
    with pytest.raises(InvalidInput, match="above 0"):
        worst_ratio(np.array([0.0, 0.0]), np.array([2.0, 2.0]), 0.95)
