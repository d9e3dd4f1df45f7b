"""Contamination: planted rows are found in every disguise, and chance is not called a leak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from custody.checks.data import _twins
from custody.checks.data.contamination import contamination
from custody.checks.target import Columns, Table, Target, Unmeasurable

if TYPE_CHECKING:
    from custody.core.measure import Measure, Result

COLUMNS = Columns(target="label", positive="1", entity="person", source="origin")


def smooth(rows: int, seed: int) -> pl.DataFrame:
    """Rows with 16 continuous columns, three coarse ones, a name and an origin."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {f"x{place}": rng.normal(0, 10, rows).round(3) for place in range(16)}
        | {"age": rng.integers(18, 80, rows), "town": rng.choice(["Ulm", "Bonn", "Kiel"], rows)}
        | {"sex": rng.choice(["f", "m"], rows), "label": rng.integers(0, 2, rows)}
        | {"person": rng.integers(0, 10**6, rows), "origin": rng.choice(["a", "b"], rows)}
    )


def coarse(rows: int, seed: int) -> pl.DataFrame:
    """Rows of five small integers: about one in a thousand has a twin by chance."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {f"x{place}": rng.integers(0, 25, rows) for place in range(5)} | {"label": rng.integers(0, 2, rows)}
    )


def measured(
    train: pl.DataFrame, held_out: pl.DataFrame, columns: Columns = COLUMNS
) -> tuple[Result, dict[str, Measure]]:
    target = Target(train=Table("train", train, columns), held_out=Table("held-out", held_out, columns))
    result = contamination(target)
    return result, {measure.name: measure for measure in result.measures}


def planted(change: Any, count: int = 40) -> tuple[Result, dict[str, Measure]]:
    """Replace the first `count` of 2,000 held-out rows by changed copies of training rows."""
    train, held_out = smooth(8000, 1), smooth(2000, 2)
    return measured(train, pl.concat([change(train[100 : 100 + count]), held_out[count:]]))


def test_clean_tables_give_zero_and_no_finding() -> None:
    result, by = measured(smooth(8000, 1), smooth(2000, 2))
    assert by["contamination_rate"].value == 0
    assert by["near_rate"].value == 0
    assert by["excess_rate"].value == 0
    assert [finding for finding in result.findings if finding.severity != "info"] == []


def relabelled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        (1 - pl.col("label")).alias("label"), pl.col("person") + 5_000_000, pl.lit("c").alias("origin")
    )


def spelled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns((pl.lit(" ") + pl.col("town").str.to_uppercase()).alias("town"))


@pytest.mark.parametrize("change", [lambda frame: frame, relabelled, spelled], ids=["copied", "relabelled", "spelled"])
def test_copies_are_exact_whatever_their_label_name_origin_or_spelling(change: Any) -> None:
    result, by = planted(change)
    assert by["exact_rate"].value == 40 / 2000
    assert by["near_rate"].value == 0
    low = by["excess_rate"].low
    assert low is not None
    assert low > 0.01
    assert result.findings[0].severity == "critical"
    assert "held-out row 1 is training row 101" in result.findings[0].where
    assert result.details["contaminated_rows"] == list(range(1, 41))


def test_types_and_the_order_of_columns_do_not_count() -> None:
    train, held_out = smooth(8000, 1), smooth(2000, 2)
    leaked = pl.concat([train[:40], held_out[40:]])
    changed = leaked.select(reversed(leaked.columns)).with_columns(
        pl.col("age").cast(pl.Float32), pl.col("x0").cast(pl.String), pl.col("sex").cast(pl.Categorical)
    )
    assert measured(train, changed)[1]["exact_rate"].value == 40 / 2000
    single = leaked.with_columns(pl.col("x1").cast(pl.Float32))
    assert measured(train, single)[1]["exact_rate"].value == 40 / 2000


def jittered(columns: int) -> Any:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col(f"x{place}") + 0.5 for place in range(columns))

    return change


def half_copied(frame: pl.DataFrame) -> pl.DataFrame:
    fresh = smooth(frame.height, 9)
    return frame.with_columns(fresh[f"x{place}"] for place in range(8))


@pytest.mark.parametrize("change", [jittered(1), jittered(4), half_copied], ids=["1 jittered", "4 jittered", "half"])
def test_near_copies_are_found(change: Any) -> None:
    result, by = planted(change)
    assert by["exact_rate"].value == 0
    assert by["near_rate"].value == 40 / 2000
    assert "held-out row 1 is nearly training row 101" in result.findings[0].where
    assert result.findings[0].severity == "critical"


def test_twins_by_chance_are_reported_and_explained() -> None:
    result, by = measured(coarse(20_000, 1), coarse(8000, 2), Columns(target="label"))
    excess = by["excess_rate"]
    assert by["exact_rate"].value
    assert excess.low is not None
    assert excess.high is not None
    assert excess.low <= 0 <= excess.high < 0.003
    assert {finding.severity for finding in result.findings} == {"info"}


def test_false_alarms_on_coarse_data_stay_under_their_rate() -> None:
    alarms = 0
    for seed in range(60):
        _, by = measured(coarse(6000, 2 * seed), coarse(3000, 2 * seed + 1), Columns(target="label"))
        low = by["excess_rate"].low
        assert low is not None
        alarms += low > 0
    # 2.5 % are expected; P(more than 6 of 60) is 0.1 %.
    assert alarms <= 6


def test_a_leak_in_coarse_data_stands_out_from_chance() -> None:
    train, held_out = coarse(20_000, 1), coarse(8000, 2)
    _, by = measured(train, pl.concat([train[:80], held_out[80:]]), Columns(target="label"))
    low = by["excess_rate"].low
    assert low is not None
    assert low > 0.005


def test_repeating_training_rows_does_not_hide_a_leak() -> None:
    train, held_out = smooth(4000, 1), smooth(3000, 2)
    twice = pl.concat([train, train])
    _, clean = measured(twice, held_out)
    _, leaked = measured(twice, pl.concat([train[:60], held_out[60:]]))
    assert clean["excess_rate"].low is not None
    assert clean["excess_rate"].low <= 0
    assert leaked["excess_rate"].low is not None
    assert leaked["excess_rate"].low > 0.005


def test_near_duplicates_that_cannot_be_told_from_chance_are_unknown() -> None:
    result, by = measured(
        coarse(20_000, 1).select("x0", "x1", "label"),
        coarse(500, 2).select("x0", "x1", "label"),
        Columns(target="label"),
    )
    assert by["near_rate"].value is None
    assert "near duplicates" in by["near_rate"].reason
    assert any("were not looked for" in finding.what for finding in result.findings)


def of_customers(rows: int, seed: int) -> pl.DataFrame:
    """Rows of 4,000 customers in turn; eight columns are the customer's, eight change with every row."""
    rng = np.random.default_rng(seed)
    constant = np.random.default_rng(0).normal(0, 1, (4000, 8))[np.arange(rows) % 4000]
    frame = {f"c{place}": constant[:, place] for place in range(8)}
    return pl.DataFrame(frame | {f"x{place}": rng.normal(0, 1, rows) for place in range(8)})


def test_rows_of_one_customer_are_not_copies_of_each_other() -> None:
    train, held_out = of_customers(8000, 1), of_customers(1500, 2)
    result, by = measured(train, held_out, Columns())
    assert by["near_rate"].value == 0
    assert result.details["near_share_of_equal_columns"] == 0.6
    copies = train[:30].with_columns(pl.col("x0") + 1, pl.col("x1") + 1)
    assert measured(train, pl.concat([copies, held_out[30:]]), Columns())[1]["near_rate"].value == 30 / 1500


def test_entities_in_both_tables_are_counted() -> None:
    train, held_out = smooth(2000, 1), smooth(1000, 2)
    shared = held_out.with_columns(
        pl.when(pl.int_range(pl.len()) < 100).then(train["person"][:1000]).otherwise(pl.col("person")).alias("person")
    )
    overlap = measured(train, shared)[1]["entity_overlap_rate"].value
    assert overlap is not None
    assert 0.09 < overlap < 0.11
    assert measured(train, held_out, Columns(target="label"))[1]["entity_overlap_rate"].value is None


def test_nulls_and_nan_are_values_like_others() -> None:
    train = smooth(3000, 1).with_columns(pl.when(pl.col("age") > 60).then(None).otherwise(pl.col("town")).alias("town"))
    train = train.with_columns(pl.when(pl.col("age") < 30).then(float("nan")).otherwise(pl.col("x0")).alias("x0"))
    assert measured(train, train[:50])[1]["exact_rate"].value == 1


def test_tables_are_streamed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = planted(jittered(3))[0].details["contaminated_rows"]
    monkeypatch.setattr(_twins, "BLOCK", 777)
    assert planted(jittered(3))[0].details["contaminated_rows"] == whole == list(range(1, 41))


def test_tables_without_a_common_column_cannot_be_compared() -> None:
    one = Table("train", pl.DataFrame({"a": [1, 2], "y": [0, 1]}), Columns(target="y"))
    other = Table("held-out", pl.DataFrame({"b": [1, 2], "y": [0, 1]}), Columns(target="y"))
    with pytest.raises(Unmeasurable, match="share no feature column"):
        contamination(Target(train=one, held_out=other))
