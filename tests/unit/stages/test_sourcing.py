from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.core import predicates as kinds
from custody.errors import InvalidInput, NotFound, NotPermitted
from custody.stages.sourcing import DRIVERS, OPTIONS, RISKS, Comparison, Costs, answer_risk, compare, decide
from custody.testing import Life

COSTS = {"build": Costs(400_000, 60_000), "buy": Costs(20_000, 250_000, 80_000, 10_000), "open": Costs(0, 190_000)}
DRIVEN: dict[str, Any] = {"appetite": 0.3, "criticality": 0.9, "expertise": 0.8, "costs": COSTS}
unit = st.floats(0, 1)


def test_the_lowest_price_loses_over_three_years() -> None:
    found = compare(**DRIVEN, weights={"risk": 0.0, "criticality": 0.0, "expertise": 0.0, "cost": 1.0})
    assert COSTS["buy"].once < COSTS["build"].once
    assert found.totals == {"build": 580_000, "buy": 880_000, "open": 570_000}
    assert found.best == "open"
    dear = {**COSTS, "open": Costs(500_000, 190_000)}
    found = compare(**{**DRIVEN, "costs": dear}, weights={"risk": 0, "criticality": 0, "expertise": 0, "cost": 1})
    assert found.best == "build"
    one = compare(
        **{**DRIVEN, "costs": dear}, years=1, weights={"risk": 0, "criticality": 0, "expertise": 0, "cost": 1}
    )
    assert one.best == "buy"  # within a year the low price still wins


def test_leaving_and_incidents_are_part_of_the_cost() -> None:
    assert Costs(100, 10).total(3) == 130
    assert Costs(100, 10, 50, 5).total(3) == 195


def test_what_is_critical_and_well_understood_is_built() -> None:
    assert compare(**DRIVEN).best == "build"
    hurry = compare(appetite=1.0, criticality=0.0, expertise=0.0, costs=dict.fromkeys(OPTIONS, Costs(1, 1)))
    assert hurry.best == "buy"


@pytest.mark.parametrize("name", ["appetite", "criticality", "expertise"])
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_a_driver_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name):
        compare(**{**DRIVEN, name: value})


@pytest.mark.parametrize("name", OPTIONS)
def test_a_way_without_a_price_is_refused(name: str) -> None:
    costs = {option: cost for option, cost in COSTS.items() if option != name}
    with pytest.raises(InvalidInput, match=f"cost of {name} is missing"):
        compare(**{**DRIVEN, "costs": costs})


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("part", ["once", "yearly", "leave", "incident"])
def test_a_price_that_is_no_amount_is_refused(part: str, value: float) -> None:
    fields = {"once": 1.0, "yearly": 1.0, "leave": 0.0, "incident": 0.0, part: value}
    with pytest.raises(InvalidInput, match="buy"):
        compare(**{**DRIVEN, "costs": {**COSTS, "buy": Costs(**fields)}})


@pytest.mark.parametrize("years", [0, -1, 21])
def test_a_period_that_is_none_is_refused(years: int) -> None:
    with pytest.raises(InvalidInput, match="years"):
        compare(**DRIVEN, years=years)


@pytest.mark.parametrize(
    "weights",
    [
        dict.fromkeys(DRIVERS, 0.0),
        {**dict.fromkeys(DRIVERS, 1.0), "cost": -0.1},
        {**dict.fromkeys(DRIVERS, 1.0), "cost": math.nan},
        {**dict.fromkeys(DRIVERS, 1.0), "cost": math.inf},
        {"cost": 1.0},
        {**dict.fromkeys(DRIVERS, 1.0), "beauty": 1.0},
    ],
)
def test_weights_that_cannot_be_weighed_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="weights"):
        compare(**DRIVEN, weights=weights)


def test_weights_are_shares_and_free_of_charge_is_possible() -> None:
    found = compare(**DRIVEN, weights=dict.fromkeys(DRIVERS, 7.0))
    assert found.weights == dict.fromkeys(DRIVERS, 0.25)
    assert compare(**{**DRIVEN, "costs": dict.fromkeys(OPTIONS, Costs(0, 0))}).totals == dict.fromkeys(OPTIONS, 0)


def reweighted(found: Comparison, driver: str, share: float) -> dict[str, float]:
    """Give one driver a share of the whole; the others keep their proportions."""
    others = 1 - found.weights[driver]
    return {name: share if name == driver else found.weights[name] / others * (1 - share) for name in DRIVERS}


FLIP = re.compile(r"(\w+) weighted (above|below) ([\d.]+) \(now ([\d.]+)\) makes (\w+) the choice")


def hold(given: dict[str, Any], found: Comparison) -> None:
    """Apply every flip that is claimed, and look."""
    for text in found.flips:
        match = FLIP.fullmatch(text)
        assert match, text
        driver, way, tie, now, rival = match.groups()
        assert abs(float(now) - found.weights[driver]) < 0.006
        step = 0.012 if way == "above" else -0.012
        beyond, before = float(tie) + step, float(tie) - step
        if 0 <= beyond <= 1:
            flipped = compare(**given, weights=reweighted(found, driver, beyond))
            gain = flipped.scores[rival] - flipped.scores[found.best]
            assert gain > -1e-9, text
        nearer = min(before, found.weights[driver]) if way == "below" else max(before, found.weights[driver])
        if abs(nearer - float(tie)) > 0.011 and 0 <= nearer <= 1:
            kept = compare(**given, weights=reweighted(found, driver, nearer))
            assert kept.scores[found.best] >= kept.scores[rival] - 1e-9, text


def test_a_flip_is_where_the_answer_changes() -> None:
    given = {**DRIVEN, "criticality": 0.5}
    found = compare(**given)
    assert found.flips
    hold(given, found)
    for text in found.flips:
        match = FLIP.fullmatch(text)
        assert match
        driver, way, tie, _, rival = match.groups()
        beyond = float(tie) + (0.02 if way == "above" else -0.02)
        assert compare(**given, weights=reweighted(found, driver, beyond)).best == rival


@given(unit, unit, unit, st.lists(st.floats(0, 1e6), min_size=6, max_size=6), st.lists(unit, min_size=4, max_size=4))
def test_every_flip_holds_when_it_is_applied(
    appetite: float, criticality: float, expertise: float, money: list[float], weights: list[float]
) -> None:
    costs = {name: Costs(money[n], money[n + 3]) for n, name in enumerate(OPTIONS)}
    given = {"appetite": appetite, "criticality": criticality, "expertise": expertise, "costs": costs}
    shares = {name: weight + 0.05 for name, weight in zip(DRIVERS, weights, strict=True)}
    found = compare(**given, weights=shares)
    assert found.best == max(OPTIONS, key=lambda name: found.scores[name])
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in found.scores.values())
    hold(given, found)


def test_a_narrow_lead_is_not_called_stable() -> None:
    assert compare(**DRIVEN).stable
    found = compare(**{**DRIVEN, "criticality": 0.5})
    flip = next(FLIP.fullmatch(text) for text in found.flips)
    assert flip
    assert not compare(**{**DRIVEN, "criticality": 0.5}, weights=reweighted(found, flip[1], float(flip[3]))).stable


# On record


@pytest.fixture
def life(tmp_path: Path) -> Life:
    made = Life(tmp_path)
    made.enrol_all()
    return made


def test_the_choice_and_its_risks_go_on_record(life: Life) -> None:
    for chosen in OPTIONS:
        said, *risks = decide(life.desk, "sam", "loans", chosen, compare(**DRIVEN), "because it fits us best")
        assert said.kind == kinds.SOURCING
        assert said.predicate["chosen"] == chosen
        assert said.predicate["flips"] == list(compare(**DRIVEN).flips)
        assert [entry.predicate["risk"] for entry in risks] == [name for name, _ in RISKS[chosen]]
        assert {entry.predicate["status"] for entry in risks} == {"open"}


def test_another_choice_than_the_best_needs_a_reason(life: Life) -> None:
    with pytest.raises(InvalidInput, match="favours build"):
        decide(life.desk, "sam", "loans", "buy", compare(**DRIVEN), "no")
    decide(life.desk, "sam", "loans", "build", compare(**DRIVEN), "")
    with pytest.raises(InvalidInput, match="none of"):
        decide(life.desk, "sam", "loans", "steal", compare(**DRIVEN), "it is cheapest")


def test_who_may_not_decide_is_refused(life: Life) -> None:
    with pytest.raises(NotPermitted):
        decide(life.desk, "mel", "loans", "build", compare(**DRIVEN), "")
    decide_first(life)
    with pytest.raises(NotPermitted):
        answer_risk(life.desk, "mel", "loans", "expertise", accept_days=None, reason="we hired somebody")


def decide_first(life: Life) -> None:
    decide(life.desk, "sam", "loans", "build", compare(**DRIVEN), "")


def test_a_risk_is_treated_or_accepted_for_a_while(life: Life) -> None:
    decide_first(life)
    treated = answer_risk(life.desk, "sam", "loans", "expertise", accept_days=None, reason="we hired somebody")
    assert (treated.predicate["status"], treated.predicate["expires"]) == ("treated", None)
    accepted = answer_risk(
        life.desk,
        "ari",
        "loans",
        "training-environment",
        accept_days=30,
        reason="small enough",
        clock="2026-01-01T00:00:00+00:00",
    )
    assert accepted.predicate["expires"] == "2026-01-31T00:00:00+00:00"
    assert accepted.predicate["title"] == dict(RISKS["build"])["training-environment"]


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_risk_is_not_accepted_for_ever(life: Life, days: int) -> None:
    decide_first(life)
    with pytest.raises(InvalidInput, match="365"):
        answer_risk(life.desk, "sam", "loans", "expertise", accept_days=days, reason="small enough")


def test_a_risk_must_exist_and_its_answer_say_something(life: Life) -> None:
    decide_first(life)
    with pytest.raises(NotFound):
        answer_risk(life.desk, "sam", "loans", "lock-in", accept_days=None, reason="small enough")
    with pytest.raises(InvalidInput):
        answer_risk(life.desk, "sam", "loans", "expertise", accept_days=None, reason="fine")
