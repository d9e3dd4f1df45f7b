"""Leakage: eight seeded leaks are named, and clean tables are silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from custody.checks.data.leakage import leakage
from custody.checks.target import Columns, Table, Target, Unmeasurable

if TYPE_CHECKING:
    from custody.core.measure import Measure, Result

COLUMNS = Columns(target="late", positive="yes", entity="person", time="when")
Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]
START = datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def frame(rows: int, seed: int, first_day: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    late = rng.random(rows) < 0.2
    return pl.DataFrame(
        {
            "income": rng.lognormal(10, 0.5, rows) * np.where(late, 0.8, 1.0),
            "age": rng.integers(18, 80, rows),
            "job": [(None, "clerk", "nurse", "smith")[place] for place in rng.integers(0, 4, rows)],
            "score": rng.normal(0, 1, rows) + late,
            "person": rng.integers(0, 10**9, rows),
            "when": [START + timedelta(days=first_day, minutes=minute) for minute in range(rows)],
            "late": np.where(late, "yes", "no"),
        }
    )


def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return frame(4000, 1, 0), frame(2000, 2, 30)


def measured(
    train: pl.DataFrame, held_out: pl.DataFrame, columns: Columns = COLUMNS
) -> tuple[Result, dict[str, Measure]]:
    result = leakage(Target(train=Table("train", train, columns), held_out=Table("held-out", held_out, columns)))
    return result, {measure.name: measure for measure in result.measures}


def late(table: pl.DataFrame) -> np.ndarray:
    return (table["late"] == "yes").to_numpy()


def copied(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return table.with_columns(pl.Series("leak", np.where(late(table), 0, 7)))


def noisy_copy(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return table.with_columns(pl.Series("leak", 5 - 3 * late(table) + rng.normal(0, 0.3, table.height)))


def not_monotone(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    outside = rng.uniform(2, 3, table.height) * rng.choice([-1, 1], table.height)
    return table.with_columns(pl.Series("leak", np.where(late(table), outside, rng.uniform(-1.9, 1.9, table.height))))


def proxy(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    told = late(table) & (rng.random(table.height) < 0.96)
    return table.with_columns(pl.Series("leak", np.where(told, rng.choice(["D1", "D2", "D7"], table.height), "none")))


def missing(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    value = pl.Series("leak", rng.normal(0, 1, table.height))
    return table.with_columns(pl.when(pl.col("late") == "yes").then(None).otherwise(value).alias("leak"))


def ordered_ids(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return table.with_columns(
        pl.Series("leak", np.where(late(table), 900_000, 100_000) + rng.permutation(table.height))
    )


def dates_of_outcome(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    later = [
        when + timedelta(days=int(day))
        for when, day in zip(table["when"], rng.integers(1, 60, table.height), strict=True)
    ]
    return table.with_columns(pl.Series("leak", later))


def test_clean_tables_are_silent_and_the_power_is_the_held_out_auc() -> None:
    train, held_out = tables()
    result, by = measured(train, held_out)
    assert result.findings == []
    assert by["leaky_features"].value == 0
    strongest = by["max_single_feature_auc"]
    assert strongest.value is not None
    assert strongest.low is not None
    assert strongest.high is not None
    whole = roc_auc_score(late(held_out), held_out["score"].to_numpy())
    assert abs(strongest.value - whole) < 0.02
    assert strongest.low < whole < strongest.high
    assert result.details["columns"][0]["column"] == "score"


@pytest.mark.parametrize("change", [copied, noisy_copy, not_monotone, proxy, missing, ordered_ids])
def test_a_column_that_tells_the_label_is_named(change: Change) -> None:
    rng = np.random.default_rng(4)
    train, held_out = tables()
    result, by = measured(change(train, rng), change(held_out, rng))
    assert by["leaky_features"].value == 1
    assert [finding.where for finding in result.findings] == ["column 'leak'"]
    assert result.findings[0].severity == "critical"
    value = by["max_single_feature_auc"].value
    assert value is not None
    assert value > 0.95


def test_dates_after_the_event_are_named() -> None:
    rng = np.random.default_rng(4)
    train, held_out = tables()
    result, _ = measured(dates_of_outcome(train, rng), dates_of_outcome(held_out, rng))
    assert [finding.where for finding in result.findings] == ["column 'leak', compared with 'when'"]


def test_training_rows_later_than_held_out_rows_are_counted() -> None:
    result, _ = measured(frame(4000, 1, 0), frame(2000, 2, 2))
    assert [finding.what for finding in result.findings] == [
        "1119 of 4000 training rows are later than the earliest held-out row"
    ]


def test_scaling_fitted_on_both_tables_is_seen_and_sound_scaling_is_not() -> None:
    train, held_out = tables()
    both = pl.concat([train, held_out])["income"]
    wrong = [(table.with_columns((pl.col("income") - both.mean()) / both.std())) for table in (train, held_out)]
    own = train["income"]
    sound = [(table.with_columns((pl.col("income") - own.mean()) / own.std())) for table in (train, held_out)]
    assert [finding.where for finding in measured(*wrong)[0].findings] == ["columns 'income'"]
    each = [
        table.with_columns((pl.col("income") - pl.col("income").mean()) / pl.col("income").std(ddof=0))
        for table in (train, held_out)
    ]
    assert measured(*sound)[0].findings == []
    assert measured(*each)[0].findings == []


def test_entities_that_are_always_positive_are_counted() -> None:
    train, held_out = tables()
    person = [
        table.with_columns(pl.Series("person", np.where(late(table), 7, np.arange(table.height) + 100 * at)))
        for at, table in ((100, train), (900, held_out))
    ]
    result, by = measured(*person)
    assert by["leaky_features"].value == 0
    assert [finding.where for finding in result.findings] == ["column 'person'"]


def test_columns_of_noise_are_not_leaky_over_many_seeds() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noise = [
            table.with_columns(
                *(pl.Series(f"n{place}", rng.normal(0, 1, table.height)) for place in range(10)),
                pl.Series("many", rng.integers(0, 3000, table.height).astype(str)),
            )
            for table in (frame(1500, 2 * seed + 10, 0), frame(800, 2 * seed + 11, 30))
        ]
        result, by = measured(noise[0], noise[1])
        assert result.findings == []
        high = by["max_single_feature_auc"].high
        assert high is not None
        assert high < 0.9


def test_one_class_only_is_unknown() -> None:
    train, held_out = tables()
    with pytest.raises(Unmeasurable, match="one class only"):
        measured(train, held_out.with_columns(pl.lit("no").alias("late")))
