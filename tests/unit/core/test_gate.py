from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.decision import Status
from custody.core.gate import Criterion, compare, criteria_of


def _beside(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"core_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


papers = _beside("papers")
honest, measures, put, into = papers.honest, papers.measures, papers.put, papers.into
MET, NOT_MET, UNKNOWN, INCONCLUSIVE = Status.MET, Status.NOT_MET, Status.UNKNOWN, Status.INCONCLUSIVE
ACCURACY = "performance.classification"
RESULT = kinds.CHECK_RESULT


def criterion(at_least: float | None = None, at_most: float | None = None) -> Criterion:
    return Criterion("P1", "performance", "a.b", "c", {}, at_least, at_most, "model", waivable=True, why="x")


def answer(value: Any, low: Any, high: Any, n: Any = 100) -> dict[str, Any]:
    return {"name": "c", "at": {}, "value": value, "low": low, "high": high, "n": n}


@pytest.mark.parametrize(
    ("bounds", "interval", "status"),
    [
        ((0.8, None), (0.85, 0.8, 0.9), MET),
        ((0.8, None), (0.85, 0.7999, 0.9), INCONCLUSIVE),
        ((0.8, None), (0.75, 0.7, 0.8), INCONCLUSIVE),
        ((0.8, None), (0.75, 0.7, 0.7999), NOT_MET),
        ((None, 0.1), (0.05, 0.0, 0.1), MET),
        ((None, 0.1), (0.05, 0.0, 0.1001), INCONCLUSIVE),
        ((None, 0.1), (0.15, 0.1, 0.2), INCONCLUSIVE),
        ((None, 0.1), (0.15, 0.1001, 0.2), NOT_MET),
        ((0.2, 0.8), (0.5, 0.2, 0.8), MET),
        ((0.2, 0.8), (0.5, 0.1, 0.9), INCONCLUSIVE),
        ((0.2, 0.8), (0.9, 0.85, 0.95), NOT_MET),
        ((0.2, 0.8), (0.1, 0.05, 0.15), NOT_MET),
        ((None, None), (0.5, 0.5, 0.5), UNKNOWN),
        ((0.0, None), (0.0, 0.0, 0.0), MET),
    ],
)
def test_a_bound_is_compared_with_the_whole_interval(bounds: Any, interval: Any, status: Status) -> None:
    assert compare(criterion(*bounds), answer(*interval), 7)[0] is status


@pytest.mark.parametrize("field", ["value", "low", "high"])
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, "0.9", True, [0.9]])
def test_what_is_no_finite_number_is_unknown(field: str, bad: Any) -> None:
    status, reason = compare(criterion(0.1), {**answer(0.9, 0.8, 1.0), field: bad}, 7)
    assert status is UNKNOWN
    assert "entry 7" in reason


@pytest.mark.parametrize("n", [0, -1, None, 1.5, "9", True])
def test_a_measure_of_no_rows_is_unknown(n: Any) -> None:
    assert compare(criterion(0.1), answer(0.9, 0.8, 1.0, n), 7)[0] is UNKNOWN


@pytest.mark.parametrize("interval", [(0.9, 0.95, 1.0), (0.9, 0.5, 0.8), (0.9, 1.0, 0.8)])
def test_an_interval_that_lacks_its_own_estimate_is_unknown(interval: Any) -> None:
    assert compare(criterion(0.1), answer(*interval), 7)[0] is UNKNOWN


def test_a_missing_answer_gives_its_reason() -> None:
    assert "timed out" in compare(criterion(0.1), {"reason": "timed out"}, 7)[1]


def test_silence_denies() -> None:
    assert honest().drop(RESULT, check=ACCURACY).status("P1") is UNKNOWN


def test_every_result_counts() -> None:
    assert honest().again(ACCURACY).status("P1") is MET
    assert honest().again(ACCURACY, measures(0.5)).status("P1") is NOT_MET
    assert honest().again(ACCURACY, measures(None)).status("P1") is UNKNOWN
    assert honest().again(ACCURACY, measures(0.75, 0.7, 0.8)).status("P1") is INCONCLUSIVE


def test_running_a_check_again_buries_nothing() -> None:
    bad = honest().edit(RESULT, measures(0.5), check=ACCURACY)
    assert bad.again(ACCURACY, measures(0.99)).status("P1") is NOT_MET


def test_the_worst_result_gives_the_reason_and_all_are_named() -> None:
    twice = honest().again(ACCURACY, measures(0.5))
    ruling = twice.ruling("P1")
    assert "0.5" in ruling.reason
    assert len(ruling.entries) == 2
    assert ruling.answer["value"] == 0.5


def test_not_met_is_worse_than_unknown_and_unknown_worse_than_inconclusive() -> None:
    three = honest().again(ACCURACY, measures(None)).again(ACCURACY, measures(0.75, 0.7, 0.8))
    assert three.status("P1") is UNKNOWN
    assert three.again(ACCURACY, measures(0.1)).status("P1") is NOT_MET


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put(evaluator="other"), "another evaluator"),
        (into("inputs", held_out="ab" * 32), "another held-out set"),
        (lambda b: b["inputs"].pop("held_out"), "another held-out set"),
        (into("inputs", seal="ab" * 32), "another seal"),
        (into("inputs", record="ab" * 32), "another held-out set"),
        (into("inputs", opening="ab" * 32), "no opening"),
        (lambda b: b["inputs"].pop("opening"), "no opening"),
        (into("inputs", isolation="none"), "without a wall"),
        (put(stage="data"), "stage of that check"),
        (put(stage="runtime"), "no evidence"),
        (put(check="performance.other"), "no evidence"),
        (lambda b: b["measures"].clear(), "does not answer"),
        (lambda b: b["measures"].append(dict(b["measures"][0])), "answers twice"),
        (lambda b: b["measures"].append({"name": "balanced_accuracy", "value": None}), "answers twice"),
        (lambda b: b["measures"][0].update(name="accuracy"), "does not answer"),
        (lambda b: b["measures"][0].update(at={"by": "sex"}), "does not answer"),
        (lambda b: b["measures"].__setitem__(0, "0.84"), "does not answer"),
    ],
)
def test_a_result_that_is_not_the_one_asked_for_does_not_count(change: Any, why: str) -> None:
    ruling = honest().edit(RESULT, change, check=ACCURACY).ruling("P1")
    assert ruling.status is UNKNOWN
    assert why in ruling.reason


def test_a_result_by_somebody_else_than_a_validator_does_not_count() -> None:
    others = honest().signed(RESULT, roles=["data_engineer"])
    assert others.status("P1") is UNKNOWN
    assert others.status("D1") is MET  # data are measured by those who register them as well
    operators = honest().signed(RESULT, roles=["operator"])
    assert operators.status("D1") is UNKNOWN


def test_who_made_the_model_does_not_measure_its_data() -> None:
    for person in ("mel", "dana"):
        made = honest().signed(RESULT, person=person)
        assert made.status("D1") is UNKNOWN
        assert made.policy(solo=True).status("D1") is MET


def test_an_opening_is_of_this_set_for_this_model_by_this_person() -> None:
    base = honest()
    for change in (put(held_out="ab" * 32), put(model="ab" * 32), put(seal="ab" * 32)):
        assert "for something else" in base.edit(kinds.OPENING, change).ruling("P1").reason
    assert "somebody else's" in base.signed(kinds.OPENING, person="vic").ruling("P1").reason
    opening = base.of(kinds.OPENING)[0]
    late = base.without(opening.index).add(
        kinds.OPENING, dict(opening.predicate), person="val", roles=["validator"], about=opening.subject.sha256
    )
    digest = late.of(kinds.OPENING)[0].digest
    assert late.edit(RESULT, into("inputs", opening=digest), check=ACCURACY).status("P1") is UNKNOWN


def test_what_only_looks_like_an_opening_is_none() -> None:
    base = honest()
    opening = base.of(kinds.OPENING)[0]
    posed = base.add(
        kinds.DENIAL, dict(opening.predicate), person="val", roles=["validator"], index=opening.index + 0.5
    )
    named = posed.edit(RESULT, into("inputs", opening=posed.of(kinds.DENIAL)[0].digest), check=ACCURACY)
    assert "no opening" in named.ruling("P1").reason


@pytest.mark.parametrize("stage", ["validation", "artifact", "training"])
def test_data_are_measured_as_data(stage: str) -> None:
    assert honest().edit(RESULT, put(stage=stage), check="data.contamination").status("D1") is UNKNOWN


def test_where_the_policy_asks_for_no_wall_none_is_needed() -> None:
    bare = honest().edit(RESULT, into("inputs", isolation="none"), check=ACCURACY)
    assert bare.status("P1") is UNKNOWN
    assert bare.policy(isolation=False).status("P1") is MET


def test_a_result_older_than_the_model_does_not_count() -> None:
    base = honest()
    old = next(e for e in base.of(RESULT) if e.predicate["check"] == ACCURACY)
    finish = base.of(kinds.TRAINING_FINISH)[0].index
    early = base.without(old.index).add(
        RESULT, dict(old.predicate), person="val", roles=["validator"], index=finish - 0.5
    )
    assert early.status("P1") is UNKNOWN
    assert "older" in early.ruling("P1").reason


def test_a_measure_unknown_as_a_whole_answers_every_place_with_unknown() -> None:
    whole = [{"name": "equal_opportunity_difference", "at": {}, "value": None, "n": 0, "reason": "no columns"}]
    base = honest().edit(RESULT, put(measures=whole), check="fairness.group_gaps")
    for place in ("sex", "region", "region*sex"):
        ruling = base.ruling(f"F1[{place}]")
        assert ruling.status is UNKNOWN
        assert "no columns" in ruling.reason


def test_each_combination_of_groups_is_asked_for() -> None:
    document = {
        "criterion": [
            {
                "id": "F",
                "class": "fairness",
                "measure": "fairness.group_gaps.gap",
                "by": ["sex", "age", "race"],
                "depth": 2,
                "at_most": 0.1,
                "on": "model",
                "waivable": True,
                "why": "x",
            }
        ]
    }
    asked = criteria_of(document)
    assert [c.at["by"] for c in asked] == ["age", "race", "sex", "age*race", "age*sex", "race*sex"]
    assert asked[0].id == "F[age]"
    assert asked[0].check == "fairness.group_gaps"
    assert asked[0].bound == "<= 0.1"
    assert asked[0].asks == "fairness.group_gaps.gap [by=age]"
    document["criterion"][0].update(by=["sex"], depth=1)
    assert [c.id for c in criteria_of(document)] == ["F"]


@pytest.mark.parametrize(
    "broken",
    [
        {"depth": 0},
        {"depth": "2"},
        {"depth": True},
        {"by": "sex"},
        {"by": [1, 2]},
        {"by": [f"c{i}" for i in range(60)], "depth": 30},
        {"at_most": math.nan},
        {"at_most": math.inf},
        {"at_most": "0.1"},
        {"at_most": True},
    ],
)
def test_a_sealed_criterion_that_names_no_question_is_refused(broken: dict[str, Any]) -> None:
    item = {
        "id": "F",
        "class": "fairness",
        "measure": "fairness.group_gaps.gap",
        "by": ["sex", "age"],
        "depth": 2,
        "at_most": 0.1,
        "on": "model",
        "waivable": True,
        "why": "x",
    }
    assert len(criteria_of({"criterion": [item]})) == 3
    with pytest.raises(ValueError):
        criteria_of({"criterion": [item, {**item, **broken}]})


def test_an_empty_gate_allows_nothing() -> None:
    with pytest.raises(ValueError, match="allows nothing"):
        criteria_of({"criterion": []})


def test_bounds_read_aloud() -> None:
    assert criterion(0.5, 0.9).bound == ">= 0.5 and <= 0.9"
