"""Results of the real checks become figures; anything else becomes none, and never an error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.checks.registry import registry
from custody.core.strictjson import plain
from custody.report import figures
from custody.report.figures import figures_of
from custody.report.page import Report, render_report


def recorded(name: str) -> dict[str, Any]:
    """Run a check on its own clean example and return what would be signed."""
    check = registry()[name]
    assert check.example is not None
    result = check.run(check.example.clean())
    measures = [measure.to_json() for measure in result.measures]
    return {"check": name, "measures": measures, "details": plain(result.details)}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    return {name: recorded(name) for name in figures._DRAWN}


@pytest.mark.parametrize("name", sorted(figures._DRAWN))
def test_every_known_check_gives_a_figure_that_the_page_accepts(name: str, results: dict[str, dict[str, Any]]) -> None:
    found = figures_of([results[name]])
    assert found
    assert all(figure.title and figure.caption for figure in found)
    assert render_report(Report("t", "h", charts=found)).count("<figure") == len(found)


@pytest.mark.parametrize("name", sorted(figures._DRAWN))
def test_a_result_that_lost_its_series_gives_no_figure(name: str, results: dict[str, dict[str, Any]]) -> None:
    assert figures_of([{**results[name], "details": {}}]) == []
    assert figures_of([{**results[name], "details": None}]) == []
    for key in results[name]["details"]:
        figures_of([{**results[name], "details": {**results[name]["details"], key: "nonsense"}}])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("roc", "confusion", "groups", "attacks", "curve", "sources", "columns", "members")


@given(
    st.sampled_from([*figures._DRAWN, "some.other_check"]),
    JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    JSON,
)
def test_no_details_stop_the_report(name: str, details: Any, measures: Any) -> None:
    figures_of([{"check": name, "details": details, "measures": measures}])


def test_a_group_without_positives_has_no_bar() -> None:
    row = {"n": 50, "selection_rate": 0.1, "low": 0.05, "high": 0.2, "fpr": 0.1}
    groups = [
        {**row, "group": "a", "positives": 20, "tpr": 0.5},
        {**row, "group": "b", "positives": 20, "tpr": 0.6},
        {**row, "group": "c", "positives": 0, "tpr": None},
    ]
    found = figures_of([{"check": "fairness.group_gaps", "measures": [], "details": {"groups": {"sex": groups}}}])
    assert [figure.title for figure in found] == ["Share of positives found, by sex", "Share called positive, by sex"]
    assert "<title>c:" not in found[0].svg
    assert "<title>c:" in found[1].svg


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_wilsons_interval_holds_its_estimate(rate: float, n: int) -> None:
    low, high = figures._wilson(rate, n)
    assert 0 <= low <= rate <= high <= 1


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    assert figures._wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
