"""Group gaps: right by hand, unknown where undefined, and not to be fooled by leaving groups out."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from custody.checks import _groups
from custody.checks._outcomes import ScoreColumn
from custody.checks.fairness.group_gaps import NAMES
from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target
from custody.core.measure import Measure, Result
from custody.core.strictjson import dump


def table(rows: dict[tuple[str, ...], tuple[int, int, int, int]], *names: str, title: str = "held-out") -> Table:
    """Build rows from counts per group: true negatives, false positives, misses, true positives."""
    groups, score, truth = [], [], []
    for group, cell in rows.items():
        for place, count in enumerate(cell):
            groups += [group] * count
            truth += [place // 2] * count
            score += [0.9 if place % 2 else 0.1] * count
    frame = pl.DataFrame(
        {name: [group[i] for group in groups] for i, name in enumerate(names)} | {"score": score, "y": truth}
    )
    return Table(title, frame, Columns(target="y", positive="1", sensitive=names))


def run(held_out: Table, train: Table | None = None) -> Result:
    return registry()["fairness.group_gaps"].run(Target(train=train, held_out=held_out, model=ScoreColumn()))


def named(result: Result) -> dict[tuple[str, Any], Measure]:
    return {(one.name, one.at.get("by")): one for one in result.measures}


BY_HAND = table({("F",): (60, 20, 12, 8), ("M",): (100, 60, 10, 30)}, "sex")


def test_the_five_gaps_are_those_computed_by_hand() -> None:
    found = named(run(BY_HAND))
    expected = {
        "demographic_parity_difference": 90 / 200 - 28 / 100,
        "demographic_parity_ratio": (28 / 100) / (90 / 200),
        "equal_opportunity_difference": 30 / 40 - 8 / 20,
        "false_positive_rate_difference": 60 / 160 - 20 / 80,
        "equalized_odds_difference": 30 / 40 - 8 / 20,
    }
    assert {name: found[name, "sex"].value for name in NAMES} == pytest.approx(expected, abs=1e-12)
    for one in found.values():
        assert one.low < one.value < one.high  # type: ignore[operator]


def test_every_row_is_counted_once() -> None:
    found = named(run(BY_HAND))
    assert [found[name, "sex"].n for name in NAMES] == [300, 300, 60, 240, 300]
    first, second = run(BY_HAND).details["groups"]["sex"]
    assert first | {"low": 0, "high": 0} == {
        "group": "F", "n": 100, "positives": 20, "selection_rate": 0.28, "low": 0, "high": 0, "tpr": 0.4, "fpr": 0.25,
    }  # fmt: skip
    assert second["n"] == 200


def slow(frame: pl.DataFrame, by: list[str]) -> dict[str, float]:
    """Compute the gaps row by row, another way than the check does."""
    frame = frame.with_columns((pl.col("score") >= 0.5).alias("called"))
    rates = frame.group_by(by).agg(
        pl.col("called").mean().alias("selected"),
        pl.col("called").filter(pl.col("y") == 1).mean().alias("found"),
        pl.col("called").filter(pl.col("y") == 0).mean().alias("alarmed"),
    )
    gaps = {rate: float(rates[rate].max() - rates[rate].min()) for rate in ("selected", "found", "alarmed")}  # type: ignore[operator]
    return {
        "demographic_parity_difference": gaps["selected"],
        "demographic_parity_ratio": float(rates["selected"].min() / rates["selected"].max()),  # type: ignore[operator]
        "equal_opportunity_difference": gaps["found"],
        "false_positive_rate_difference": gaps["alarmed"],
        "equalized_odds_difference": max(gaps["found"], gaps["alarmed"]),
    }


def crowd(rows: int = 20_000, seed: int = 0, **gap: float) -> Table:
    draw = np.random.default_rng(seed)
    columns = {name: draw.choice(list(values), rows) for name, values in (("a", "xyz"), ("b", "pq"), ("c", "uvw"))}
    truth = draw.random(rows) < 0.4
    chance = np.where(truth, 0.6, 0.2)
    for group, shift in gap.items():
        there = np.all([columns[name] == value for name, value in zip("abc", group, strict=False)], axis=0)
        chance = chance + shift * there
    score = np.where(draw.random(rows) < chance, 0.9, 0.1)
    frame = pl.DataFrame({**columns, "score": score, "y": truth.astype(int)})
    return Table("held-out", frame, Columns(target="y", positive="1", sensitive=("c", "a", "b")))


def test_every_column_and_intersection_equals_the_slow_way() -> None:
    people = crowd()
    found = named(run(people))
    places = {by for _, by in found}
    assert places == {"a", "b", "c", "a*b", "a*c", "b*c", "a*b*c"}
    for by in places:
        expected = slow(people.frame, by.split("*"))
        assert {name: found[name, by].value for name in NAMES} == pytest.approx(expected, abs=1e-12)


def test_a_gap_that_only_an_intersection_shows_is_found() -> None:
    found = named(run(crowd(60_000, xp=0.15, xq=-0.15, yp=-0.15, yq=0.15, zp=-0.15, zq=0.15)))
    gap = "demographic_parity_difference"
    assert found[gap, "a"].low < 0.10  # type: ignore[operator]
    assert found[gap, "b"].high < 0.15  # type: ignore[operator]
    assert found[gap, "a*b"].low > 0.20  # type: ignore[operator]


def test_alike_treatment_is_shown_and_not_merely_undisproved() -> None:
    found = named(run(crowd(60_000)))
    for by in ("a", "b", "c", "a*b"):
        assert found["demographic_parity_difference", by].low == 0
        assert found["demographic_parity_difference", by].high < 0.05  # type: ignore[operator]


def test_equalised_odds_takes_each_end_from_the_gap_that_decides_it() -> None:
    # Many positives with a clear gap of 0.2, few negatives with an uncertain one of 0.3.
    found = named(run(table({("F",): (7, 3, 4_000, 6_000), ("M",): (10, 0, 2_000, 8_000)}, "sex")))
    odds = found["equalized_odds_difference", "sex"]
    assert odds.value == pytest.approx(0.3)
    assert odds.low > 0.15  # type: ignore[operator]
    assert odds.high == found["false_positive_rate_difference", "sex"].high
    # The smaller gap decides the far end where it is the less certain one.
    found = named(run(table({("F",): (9, 1, 4_000, 6_000), ("M",): (10, 0, 2_000, 8_000)}, "sex")))
    odds = found["equalized_odds_difference", "sex"]
    assert odds.value == pytest.approx(0.2)
    assert odds.high == found["false_positive_rate_difference", "sex"].high > 0.3  # type: ignore[operator]


def test_a_group_without_positives_makes_its_measures_unknown_and_is_named() -> None:
    found = named(run(table({("F",): (60, 20, 0, 0), ("M",): (100, 60, 10, 30)}, "sex")))
    for name in ("equal_opportunity_difference", "equalized_odds_difference"):
        assert found[name, "sex"].value is None
        assert "no positives" in found[name, "sex"].reason
        assert "'F'" in found[name, "sex"].reason
    assert found["demographic_parity_difference", "sex"].value is not None
    assert found["false_positive_rate_difference", "sex"].value is not None


def test_a_group_without_negatives_likewise() -> None:
    found = named(run(table({("F",): (0, 0, 5, 5), ("M",): (100, 60, 10, 30)}, "sex")))
    assert "no negatives" in found["false_positive_rate_difference", "sex"].reason
    assert found["equal_opportunity_difference", "sex"].value is not None


def test_a_ratio_of_nothing_is_unknown() -> None:
    found = named(run(table({("F",): (60, 0, 5, 0), ("M",): (100, 0, 10, 0)}, "sex")))
    assert found["demographic_parity_ratio", "sex"].value is None
    assert found["demographic_parity_difference", "sex"].value == 0


def test_a_group_that_is_never_selected_has_ratio_zero() -> None:
    found = named(run(table({("F",): (60, 0, 5, 0), ("M",): (100, 60, 10, 30)}, "sex")))
    assert found["demographic_parity_ratio", "sex"].value == 0


def test_one_group_has_no_gap() -> None:
    found = named(run(table({("F",): (60, 20, 12, 8)}, "sex")))
    assert all(one.value is None and "needs two" in one.reason for one in found.values())


def test_ten_rows_cannot_show_that_groups_are_treated_alike() -> None:
    found = named(run(table({("F",): (3, 2, 2, 3), ("M",): (300, 200, 200, 300)}, "sex")))
    one = found["demographic_parity_difference", "sex"]
    assert one.value == 0
    assert one.high > 0.2  # type: ignore[operator]


def test_a_missing_value_is_a_group_and_not_left_out() -> None:
    people = crowd(4_000)
    hidden = people.frame.with_columns(
        pl.when((pl.col("b") == "q") & (pl.col("score") < 0.5)).then(None).otherwise(pl.col("b")).alias("b")
    )
    result = run(Table("held-out", hidden, people.columns))
    assert "(missing)" in [row["group"] for row in result.details["groups"]["b"]]
    assert named(result)["demographic_parity_difference", "b"].low > 0.5  # type: ignore[operator]


TRAIN = {("F",): (60, 20, 12, 8), ("M",): (100, 60, 10, 30), ("X",): (30, 10, 10, 10)}


def test_a_group_that_vanished_from_the_held_out_data_is_critical_and_unknown() -> None:
    result = run(BY_HAND, table(TRAIN, "sex", title="train"))
    assert [(one.severity, "'X'" in one.what) for one in result.findings if "vanished" in one.what] == [
        ("critical", True)
    ]
    assert all(one.value is None and "'X'" in one.reason for one in result.measures)


def test_relabelling_a_group_does_not_hide_it() -> None:
    renamed = table({("F",): (60, 20, 12, 8), ("other",): (130, 70, 20, 40)}, "sex")
    result = run(renamed, table({("F",): (60, 20, 12, 8), ("M",): (100, 60, 10, 30)}, "sex"))
    assert any(one.severity == "critical" and "'M'" in one.what for one in result.findings)
    assert all(one.value is None for one in result.measures)


def test_the_same_groups_in_training_are_no_finding() -> None:
    result = run(BY_HAND, table({("F",): (60, 20, 12, 8), ("M",): (1, 1, 1, 1)}, "sex"))
    assert [one for one in result.findings if one.severity != "info"] == []
    assert all(one.value is not None for one in result.measures)


def test_a_rare_intersection_missing_by_chance_is_a_warning() -> None:
    both = ("a", "b")
    train = {("x", "p"): (500, 5, 5, 500), ("x", "q"): (500, 5, 5, 500), ("y", "p"): (500, 5, 5, 500)}
    held_out = table(
        {group: tuple(n // 5 for n in cell) for group, cell in train.items()} | {("y", "r"): (5, 5, 5, 5)}, *both
    )  # type: ignore[arg-type]
    rare = run(held_out, table(train | {("x", "r"): (1, 0, 0, 0), ("y", "r"): (20, 20, 20, 20)}, *both))
    planted = run(held_out, table(train | {("x", "r"): (60, 60, 0, 0), ("y", "r"): (20, 20, 20, 20)}, *both))
    assert {one.severity for one in rare.findings if "vanished" in one.what} == {"warning"}
    assert {one.severity for one in planted.findings if "vanished" in one.what} == {"critical"}
    for result in (rare, planted):
        assert named(result)["demographic_parity_difference", "a*b"].value is None
        assert named(result)["demographic_parity_difference", "a"].value is not None


def test_a_vanished_group_is_told_once_and_not_at_each_intersection() -> None:
    held_out = table({("x", "p"): (50, 5, 5, 50), ("x", "q"): (50, 5, 5, 50)}, "a", "b")
    train = table({("x", "p"): (50, 5, 5, 50), ("x", "q"): (50, 5, 5, 50), ("y", "p"): (50, 5, 5, 50)}, "a", "b")
    result = run(held_out, train)
    assert [one.where for one in result.findings if "vanished" in one.what] == ["a"]
    assert named(result)["demographic_parity_difference", "a*b"].value is None


def test_ages_are_compared_in_bands_with_their_edges_named() -> None:
    draw = np.random.default_rng(0)
    age = draw.integers(18, 90, 4_000)
    score = np.where(draw.random(4_000) < np.where(age < 30, 0.1, 0.5), 0.9, 0.1)
    frame = pl.DataFrame({"age": age, "score": score, "y": draw.integers(0, 2, 4_000)})
    columns = Columns(target="y", positive="1", sensitive=("age",))
    result = run(Table("held-out", frame, columns), Table("train", frame.head(3_000), columns))
    assert len(result.details["bands"]["age"]) == 3
    assert len(result.details["groups"]["age"]) == 4
    assert named(result)["demographic_parity_difference", "age"].low > 0.1  # type: ignore[operator]
    assert all("vanished" not in one.what for one in result.findings)


def test_a_column_that_is_not_there_is_unknown_and_the_others_are_measured() -> None:
    people = crowd(2_000)
    columns = Columns(target="y", positive="1", sensitive=("a", "age"))
    found = named(run(Table("held-out", people.frame, columns)))
    assert found["demographic_parity_difference", "a"].value is not None
    for by in ("age", "a*age"):
        assert "no column 'age'" in found["demographic_parity_difference", by].reason


@pytest.mark.parametrize("sensitive", [(), ("id",)])
def test_nothing_to_compare_is_unknown(sensitive: tuple[str, ...]) -> None:
    frame = pl.DataFrame({"id": [f"c{i}" for i in range(2_500)], "score": 0.1, "y": [0, 1] * 1_250})
    result = run(Table("held-out", frame, Columns(target="y", positive="1", sensitive=sensitive)))
    assert {one.name for one in result.measures} == set(NAMES)
    assert all(one.value is None and one.reason for one in result.measures)


def test_a_model_that_answers_nonsense_is_unknown() -> None:
    frame = BY_HAND.frame.with_columns(score=pl.lit(float("nan")))
    result = run(Table("held-out", frame, BY_HAND.columns))
    assert all(one.value is None and "not finite" in one.reason for one in result.measures)


def test_the_number_of_rows_that_would_settle_it_does_settle_it() -> None:
    cells = {("F",): (35, 15, 15, 35), ("M",): (35, 15, 15, 35)}
    result = run(table(cells, "sex"))
    needed = result.details["settling"]["sex"]["demographic_parity_difference"]["rows_needed"]["0.05"]
    assert needed > 200
    times = -(-needed // 200)
    more = run(table({group: tuple(times * n for n in cell) for group, cell in cells.items()}, "sex"))  # type: ignore[misc]
    assert named(more)["demographic_parity_difference", "sex"].high <= 0.0505  # type: ignore[operator]


def test_a_small_group_is_named_with_the_rows_it_would_take() -> None:
    result = run(table({("F",): (5, 2, 4, 6), ("M",): (300, 100, 100, 300)}, "sex"))
    assert any("only 17 rows" in one.what and "settle" in one.fix for one in result.findings)


def test_details_can_be_signed_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame({
        "city": draw.choice([f"c{i}" for i in range(1_500)], 60_000),
        "score": draw.random(60_000),
        "y": draw.integers(0, 2, 60_000),
    })  # fmt: skip
    result = run(Table("held-out", frame, Columns(target="y", positive="1", sensitive=("city",))))
    assert len(result.details["groups"]["city"]) == 200
    assert len(dump(result.details)) < 100_000
    assert named(result)["demographic_parity_difference", "city"].low == 0
    monkeypatch.setattr(_groups, "MOST_GROUPS", 1_000)
    assert (
        "more than 1000"
        in run(Table("t", frame, Columns(target="y", positive="1", sensitive=("city",)))).measures[0].reason
    )
