"""Label flips: the source that lies is named, and honest sources are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from custody.checks.poisoning import label_flips as module
from custody.checks.poisoning.label_flips import label_flips
from custody.checks.target import Columns, Table, Target, Unmeasurable

if TYPE_CHECKING:
    from custody.core.measure import Measure, Result

COLUMNS = Columns(target="fraud", positive="1", source="partner", entity="customer", time="when")


def target(
    seed: int, *, rows: int = 12_000, share: float = 0.05, hidden: float = 0.0, invented: float = 0.0, sources: int = 3
) -> Target:
    """Make payments of several partners; partner 1 hides a share of its frauds or invents some."""
    rng = np.random.default_rng(seed)
    fraud = (rng.random(rows) < share).astype(int)
    partner = rng.integers(0, sources, rows)
    values = rng.normal(0, 1, (rows, 4))
    values[:, :3] += 2.5 * fraud[:, None]
    label = fraud.copy()
    for value, part in ((1, hidden), (0, invented)):
        places = np.flatnonzero((partner == 1) & (fraud == value))
        label[rng.choice(places, round(places.size * part), replace=False)] = 1 - value
    frame = pl.DataFrame(
        {f"x{place}": values[:, place] for place in range(4)}
        | {"kind": np.array(["a", "b", "c"])[rng.integers(0, 3, rows)], "partner": [f"p{each}" for each in partner]}
        | {"customer": np.arange(rows), "when": np.arange(rows), "fraud": label}
    )
    return Target(train=Table("train", frame, COLUMNS))


def measured(target: Target) -> tuple[Result, dict[str, Measure]]:
    result = label_flips(target)
    return result, {measure.name: measure for measure in result.measures}


def test_a_partner_hiding_15_percent_of_its_frauds_is_named() -> None:
    for seed in range(3):
        result, by = measured(target(seed, hidden=0.15))
        assert by["suspicious_sources"].value == 1
        assert [finding.where.split("'")[3] for finding in result.findings] == ["p1"]
        assert "not '1'" in result.findings[0].what


def test_the_rows_it_shows_are_flipped_ones() -> None:
    built = target(7, hidden=0.3)
    honest = target(7, hidden=0.0)
    assert built.train is not None
    assert honest.train is not None
    flipped = np.flatnonzero(built.train.truth != honest.train.truth) + 1
    shown = [int(row) for row in label_flips(built).findings[0].where.split("rows ")[1].split(", ")]
    assert len(shown) == 8
    assert np.isin(shown, flipped).mean() >= 0.75


def test_a_partner_inventing_frauds_is_named_with_the_direction() -> None:
    result, by = measured(target(3, invented=0.06))
    assert by["suspicious_sources"].value == 1
    assert "as '1' that look surely like not '1'" in result.findings[0].what
    assert "'p1'" in result.findings[0].where


def test_honest_sources_are_silent_over_20_seeds() -> None:
    alarms = 0
    for seed in range(20):
        result, by = measured(target(seed, rows=5000, share=0.1))
        alarms += bool(result.findings)
        high = by["max_excess_flip_rate"].high
        assert high is not None
        assert high < 0.2
    assert alarms == 0


def test_a_source_with_more_fraud_is_not_suspicious_for_that() -> None:
    for seed in range(4):
        one, other = target(seed, rows=6000, share=0.03).train, target(seed + 50, rows=3000, share=0.09).train
        assert one is not None
        assert other is not None
        frame = pl.concat([one.frame, other.frame.with_columns(pl.lit("risky").alias("partner"))])
        assert label_flips(Target(train=Table("train", frame, COLUMNS))).findings == []


def test_a_small_source_is_judged_together_with_other_small_ones() -> None:
    built = target(1, rows=4000, share=0.3, sources=3)
    assert built.train is not None
    tiny = pl.Series("partner", [f"t{row}" if row < 60 else "big" if row % 2 else "huge" for row in range(4000)])
    frame = built.train.frame.with_columns(
        tiny, pl.when(pl.int_range(pl.len()) < 60).then(1 - pl.col("fraud")).otherwise(pl.col("fraud")).alias("fraud")
    )
    result = label_flips(Target(train=Table("train", frame, COLUMNS)))
    assert result.findings
    assert all(module.SMALL in finding.where for finding in result.findings)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (Columns(target="fraud", positive="1"), "no source column declared"),
        (Columns(target="fraud", positive="1", source="no"), "has no source column 'no'"),
        (Columns(target="fraud", positive="1", source="one"), "all rows come from one source"),
        (Columns(target="fraud", positive="1", source="partner", ignore=("x0", "x1", "x2", "x3")), "surely enough"),
    ],
)
def test_what_cannot_be_compared_is_unknown(columns: Columns, says: str) -> None:
    built = target(1, rows=1500).train
    assert built is not None
    frame = built.frame.drop("customer", "when").with_columns(pl.lit("only").alias("one"))
    with pytest.raises(Unmeasurable, match=says):
        label_flips(Target(train=Table("train", frame, columns)))


def test_large_tables_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3000)
    result, by = measured(target(2, rows=9000, share=0.3, hidden=0.3))
    assert by["max_excess_flip_rate"].n == 3000
    assert by["suspicious_sources"].value == 1
    assert "'p1'" in result.findings[0].where
