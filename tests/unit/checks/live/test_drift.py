"""Drift: each kind is named with its feature, and ordinary months are silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from custody.checks._outcomes import ScoreColumn
from custody.checks.live._shift import distance, distance_p, factor, unit
from custody.checks.live.drift import drift
from custody.checks.target import Columns, Table, Target, Unmeasurable

if TYPE_CHECKING:
    from custody.core.measure import Measure, Result

COLUMNS = Columns(target="fraud", positive="1", entity="customer", time="day", source="bank")
Change = Callable[[pl.DataFrame], pl.DataFrame]


def month(seed: int, rows: int = 4000) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 8, rows)
    return pl.DataFrame(
        {
            "amount": rng.lognormal(3, 1, rows),
            "age": rng.integers(18, 90, rows),
            "heat": rng.normal(20, 5, rows),
            "shop": [f"s{each}" for each in np.minimum(rng.zipf(1.6, rows), 300)],
            "channel": rng.choice(["chip", "online"], rows, p=[0.7, 0.3]),
            "note": [None if gone else "x" for gone in rng.random(rows) < 0.1],
            "bank": rng.choice(["north", "south", "west"], rows),
            "customer": rng.integers(0, 10**9, rows) + 10**9 * seed,
            "day": np.arange(rows),
            "score": score,
            "fraud": rng.integers(0, 2, rows),
        }
    )


def measured(
    live: pl.DataFrame, model: ScoreColumn | None = None, train: pl.DataFrame | None = None
) -> tuple[Result, dict[str, Measure]]:
    first = Table("train", month(0) if train is None else train, COLUMNS)
    result = drift(Target(train=first, live=Table("live", live, COLUMNS), model=model))
    return result, {measure.name: measure for measure in result.measures}


def test_an_ordinary_month_is_silent_over_60_seeds() -> None:
    train = month(0)
    alarms = 0
    for seed in range(1, 61):
        result, by = measured(month(seed, 1500), train=train)
        alarms += bool(result.findings)
        assert by["max_psi"].high is not None
        assert by["max_psi"].high < 0.2
        assert by["max_psi"].low == 0
    assert alarms == 0


def test_many_rows_do_not_make_a_tiny_difference_drift() -> None:
    train, live = month(1, 150_000), month(2, 150_000).with_columns(pl.col("heat") + 0.3)
    result, by = measured(live, train=train)
    feature = next(each for each in result.details["features"] if each["feature"] == "heat")
    assert distance_p(feature["distance"], 150_000, 150_000) < 1e-6
    assert by["drifted_features"].value == 0


def test_a_few_rows_drift_by_chance_no_more_often_than_promised() -> None:
    alarms = sum(bool(measured(month(seed, 60))[0].findings) for seed in range(1, 41))
    # 5 % of 40 are 2; P(more than 6) is 0.3 %.
    assert alarms <= 6


def scaled(column: str, by: float, where: pl.Expr | None = None) -> Change:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        wanted = pl.lit(value=True) if where is None else where
        return frame.with_columns(pl.when(wanted).then(pl.col(column) * by).otherwise(pl.col(column)).alias(column))

    return change


def with_new_shop(frame: pl.DataFrame) -> pl.DataFrame:
    new = pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("brand new")).otherwise(pl.col("shop"))
    return frame.with_columns(new.alias("shop"))


def with_gaps(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.when(pl.int_range(pl.len()) % 4 == 0).then(None).otherwise(pl.col("age")).alias("age"))


def swapped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("channel").replace({"chip": "online", "online": "chip"}))


@pytest.mark.parametrize(
    ("change", "column", "says"),
    [
        (scaled("amount", 100), "amount", "unit changed: values are 100 times"),
        (scaled("heat", 1 / 2.54), "heat", "centimetres against inches"),
        (scaled("amount", 100, pl.col("bank") == "west"), "amount", "where bank is 'west'"),
        (scaled("amount", 3), "amount", "times what they were throughout"),
        (lambda frame: frame.with_columns(pl.col("heat") + 4), "heat", "the distribution moved by 0.3"),
        (swapped, "channel", "the distribution moved by 0.4"),
        (with_new_shop, "shop", "such as 'brand new'"),
        (with_gaps, "age", "missing values went from 0.0% to 25.0%"),
        (lambda frame: frame.drop("heat"), "heat", "the column is missing"),
        (lambda frame: frame.with_columns(pl.col("age").cast(pl.String) + " years"), "age", "the type changed"),
    ],
)
def test_each_kind_of_drift_is_named_with_its_feature(change: Change, column: str, says: str) -> None:
    result, by = measured(change(month(5)))
    assert by["drifted_features"].value == 1
    assert [finding.what.split("'")[1] for finding in result.findings] == [column]
    assert says in result.findings[0].what


def test_the_start_of_a_drift_is_named() -> None:
    live = month(5).with_columns(
        pl.when(pl.col("day") >= 2400).then(pl.col("heat") + 8).otherwise(pl.col("heat")).alias("heat")
    )
    assert measured(live)[0].findings[0].what.endswith("; since 2400")


def test_moved_scores_are_measured_with_an_interval() -> None:
    same = measured(month(5), ScoreColumn())[1]["score_drift"]
    moved_result, by = measured(month(5).with_columns(pl.col("score") ** 0.3), ScoreColumn())
    moved = by["score_drift"]
    assert same.value is not None
    assert moved.low is not None
    assert same.low == 0
    assert same.value < 0.04
    assert moved.low > 0.3
    assert any("the model's scores moved" in finding.what for finding in moved_result.findings)


def test_scores_are_unknown_without_a_model_or_with_a_broken_one() -> None:
    assert measured(month(5))[1]["score_drift"].reason == "no model was given"
    broken = month(5).with_columns(pl.lit(float("nan")).alias("score"))
    by = measured(broken, ScoreColumn())[1]
    assert by["score_drift"].value is None
    assert "finite" in by["score_drift"].reason
    assert by["drifted_features"].value is not None


def test_the_details_can_be_plotted() -> None:
    details = measured(month(5))[0].details
    assert {each["feature"] for each in details["features"]} >= {"amount", "channel", "shop"}
    for each in details["histograms"]:
        assert len(each["bins"]) == len(each["training"]) == len(each["live"]) <= 20
        assert abs(sum(each["training"]) - 1) < 1e-9


def test_distance_and_its_p_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.1, 0.5):
        first, second = rng.normal(0, 1, 700).round(1), rng.normal(shift, 1, 900).round(1)
        wanted = ks_2samp(first, second, method="asymp")
        assert abs(distance(first, second) - wanted.statistic) < 1e-12
        assert abs(distance_p(wanted.statistic, 700, 900) - wanted.pvalue) < 0.05


def test_a_factor_is_only_named_where_it_is_constant() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(3, 1, 3000)
    assert factor(values, values * 1.2) is None
    assert factor(values, values**1.5) is None
    assert factor(values, rng.normal(0, 1, 3000)) is None
    found = factor(values, values / 1000)
    assert found is not None
    assert unit(found).startswith("unit changed: values are 0.001 times")


def test_no_rows_or_no_columns_are_unknown() -> None:
    with pytest.raises(Unmeasurable):
        measured(month(5).head(0))
