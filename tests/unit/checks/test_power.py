"""Criteria that promise nothing, or that nobody could show to hold, are told apart from sound ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from custody.checks._outcomes import ScoreColumn
from custody.checks._power import HeldOutCounts, count_held_out, judge_power
from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.strictjson import dump, parse
from custody.errors import InvalidInput

COUNTS = HeldOutCounts(
    10_000,
    2_000,
    {
        "sex": {"F": (4_000, 800), "M": (6_000, 1_200)},
        "race": {"A": (9_950, 1_990), "B": (50, 10)},
        "city": {"here": (10_000, 2_000)},
        "plan": {"old": (5_000, 0), "new": (5_000, 2_000)},
    },
)
PERFORMANCE = "performance.classification."
FAIRNESS = "fairness.group_gaps."


def kinds(measure: str, at_least: float | None = None, at_most: float | None = None, **more: Any) -> list[str]:
    by = {"by": more.pop("by")} if "by" in more else {}
    return [one.kind for one in judge_power(measure, by, at_least, at_most, COUNTS, 0.95, **more)]


@pytest.mark.parametrize(
    ("name", "vacuous", "sound"),
    [
        ("accuracy", 0.80, 0.81),
        ("balanced_accuracy", 0.5, 0.6),
        ("precision", 0.2, 0.3),
        ("f1", 0.33, 0.4),
        ("auc", 0.5, 0.6),
        ("recall", 0.0, 0.5),
    ],
)
def test_a_bound_that_a_model_without_skill_meets_is_vacuous(name: str, vacuous: float, sound: float) -> None:
    assert kinds(PERFORMANCE + name, vacuous) == ["vacuous"]
    assert kinds(PERFORMANCE + name, sound) == []


@pytest.mark.parametrize(("name", "vacuous", "sound"), [("brier", 0.16, 0.15), ("false_positive_rate", 1.0, 0.1)])
def test_the_same_where_low_is_good(name: str, vacuous: float, sound: float) -> None:
    assert kinds(PERFORMANCE + name, at_most=vacuous) == ["vacuous"]
    assert kinds(PERFORMANCE + name, at_most=sound) == []


def test_recall_alone_is_met_by_a_model_that_says_always_yes() -> None:
    assert kinds(PERFORMANCE + "recall", 0.7, beside=[]) == ["vacuous"]
    assert kinds(PERFORMANCE + "recall", 0.7, beside=["fairness.group_gaps.equalized_odds_difference"]) == ["vacuous"]
    assert kinds(PERFORMANCE + "recall", 0.7, beside=[PERFORMANCE + "precision"]) == []
    assert kinds(PERFORMANCE + "false_positive_rate", at_most=0.1, beside=[]) == ["vacuous"]
    assert kinds(PERFORMANCE + "false_positive_rate", at_most=0.1, beside=[PERFORMANCE + "recall"]) == []


@pytest.mark.parametrize(
    ("name", "at_least", "at_most"),
    [
        ("accuracy", 0.9999, None),
        ("recall", 0.999, None),
        ("precision", 0.999, None),
        ("f1", 0.9999, None),
        ("balanced_accuracy", 0.9995, None),
        ("auc", 0.9999, None),
        ("false_positive_rate", None, 0.0001),
        ("brier", None, 0.0001),
    ],
)
def test_a_bound_that_even_a_perfect_model_cannot_be_shown_to_meet_is_unprovable(
    name: str, at_least: float | None, at_most: float | None
) -> None:
    found = judge_power(PERFORMANCE + name, {}, at_least, at_most, COUNTS, 0.95)
    assert [one.kind for one in found] == ["unprovable"]
    assert "rows of the same mix would do" in found[0].message


def test_certainty_is_never_provable() -> None:
    found = judge_power(PERFORMANCE + "accuracy", {}, 1.0, None, COUNTS, 0.95)
    assert "no number would do" in found[0].message


@pytest.mark.parametrize(
    ("name", "by", "at_least", "at_most", "expected"),
    [
        ("demographic_parity_difference", "sex", None, 0.05, []),
        ("demographic_parity_difference", "sex", None, 0.01, ["unprovable"]),
        ("demographic_parity_difference", "race", None, 0.05, ["unprovable"]),
        ("demographic_parity_difference", "sex", None, 1.0, ["vacuous"]),
        ("demographic_parity_ratio", "sex", 0.8, None, []),
        ("demographic_parity_ratio", "race", 0.8, None, ["unprovable"]),
        ("demographic_parity_ratio", "sex", 0.0, None, ["vacuous"]),
        ("equal_opportunity_difference", "sex", None, 0.05, []),
        ("equal_opportunity_difference", "plan", None, 0.05, ["unprovable"]),
        ("false_positive_rate_difference", "plan", None, 0.05, []),
        ("equalized_odds_difference", "plan", None, 0.05, ["unprovable"]),
        ("equalized_odds_difference", "sex", None, 0.05, []),
        ("demographic_parity_difference", "city", None, 0.05, ["unprovable"]),
        ("demographic_parity_difference", "age", None, 0.05, ["unprovable"]),
    ],
)
def test_gaps_are_judged_by_their_smallest_groups(
    name: str, by: str, at_least: float | None, at_most: float | None, expected: list[str]
) -> None:
    assert kinds(FAIRNESS + name, at_least, at_most, by=by) == expected


def test_the_lacking_group_is_named() -> None:
    (found,) = judge_power(FAIRNESS + "equal_opportunity_difference", {"by": "plan"}, None, 0.1, COUNTS, 0.95)
    assert "no positives for 'old'" in found.message


def test_other_checks_are_not_judged() -> None:
    assert kinds("privacy.membership_inference.auc", at_most=0.0001) == []
    assert kinds("live.performance.recall", 0.9999) == []


def test_one_class_only_settles_nothing() -> None:
    found = judge_power(PERFORMANCE + "auc", {}, 0.7, None, HeldOutCounts(100, 0), 0.95)
    assert [one.kind for one in found] == ["unprovable"]


def people(rows: int) -> Table:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({
        "sex": draw.choice(["F", "M", None], rows, p=[0.4, 0.59, 0.01]),
        "age": draw.integers(18, 90, rows),
        "score": (truth := draw.random(rows) < 0.3).astype(float),
        "y": truth.astype(int),
    })  # fmt: skip
    return Table("held-out", frame, Columns(target="y", positive="1", sensitive=("sex", "age", "shoe")))


def test_groups_are_those_of_the_check() -> None:
    table = people(5_000)
    counts = count_held_out(table)
    result = registry()["fairness.group_gaps"].run(Target(held_out=table, model=ScoreColumn()))
    assert set(counts.groups) == set(result.details["groups"]) == {"sex", "age", "age*sex"}
    for by, rows in result.details["groups"].items():
        assert {row["group"]: (row["n"], row["positives"]) for row in rows} == counts.groups[by]
    assert "no column 'shoe'" in counts.unread["shoe"]
    assert "no column 'shoe'" in judge_power(FAIRNESS + NAME, {"by": "shoe"}, None, 0.1, counts, 0.95)[0].message
    assert max(map(len, (by.split("*") for by in count_held_out(table, depth=1).groups))) == 1


NAME = "demographic_parity_difference"


@pytest.mark.parametrize("bound", [0.999, 0.9995])
def test_what_is_called_unprovable_does_end_inconclusive_and_the_named_rows_suffice(bound: float) -> None:
    def shown(rows: int) -> bool:
        result = registry()["performance.classification"].run(Target(held_out=people(rows), model=ScoreColumn()))
        low = next(one.low for one in result.measures if one.name == "accuracy")
        return low is not None and low >= bound

    (found,) = judge_power(PERFORMANCE + "accuracy", {}, bound, None, count_held_out(people(2_000)), 0.95)
    needed = int(found.message.split("about ")[1].split(" rows")[0].replace(",", ""))
    assert not shown(2_000)
    assert not shown(needed * 9 // 10)
    assert shown(needed)


def test_counts_survive_being_sealed() -> None:
    counts = count_held_out(people(500))
    assert HeldOutCounts.from_json(parse(dump(counts.to_json()))) == counts


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"rows": 10, "positives": 11, "groups": {}},
        {"rows": 10, "positives": -1, "groups": {}},
        {"rows": 10.5, "positives": 1, "groups": {}},
        {"rows": True, "positives": 1, "groups": {}},
        {"rows": 10, "positives": 1, "groups": []},
        {"rows": 10, "positives": 1, "groups": {"sex": {"F": [1]}}},
        {"rows": 10, "positives": 1, "groups": {"sex": {"F": [1, 2]}}},
        {"rows": 10, "positives": 1, "groups": {"sex": {"F": ["1", "0"]}}},
    ],
)
def test_malformed_counts_are_refused(body: Any) -> None:
    with pytest.raises(InvalidInput, match="held-out counts"):
        HeldOutCounts.from_json(body)


def test_a_table_without_labels_cannot_be_counted() -> None:
    with pytest.raises(Unmeasurable, match="no target"):
        count_held_out(Table("t", pl.DataFrame({"a": [1]}), Columns(target="y", positive="1")))
