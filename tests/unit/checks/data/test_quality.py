"""Data quality: every seeded defect yields exactly its finding, and sound data yields none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from custody.checks.data._defects import _one_edit
from custody.checks.data.quality import quality
from custody.checks.target import Columns, Table, Target, Unmeasurable

COLUMNS = Columns(target="late", positive="yes", entity="person", time="opened")
Seed = Callable[[pl.DataFrame], pl.DataFrame]


def sound(seed: int = 1, rows: int = 3000) -> pl.DataFrame:
    """Rows with bells, skews, counts, categories, dates, free text and a rare class of 6 %."""
    rng = np.random.default_rng(seed)
    start = date(2023, 1, 1)
    return pl.DataFrame(
        {
            "amount": rng.lognormal(3, 1.2, rows).round(2),
            "heat": rng.normal(3, 1, rows),
            "zero_mean": rng.normal(0, 1, rows),
            "visits": rng.poisson(2, rows),
            "price": rng.choice([49, 199, 499, 999, 1299], rows),
            "town": rng.choice(["Aachen", "Bremen", "Chemnitz", "Dortmund", "Bremerhaven"], rows),
            "shop": [f"shop {each}" for each in rng.integers(0, 200, rows)],
            "opened": [start + timedelta(days=int(day)) for day in rng.integers(0, 500, rows)],
            "closed": [(start + timedelta(days=int(day))).isoformat() for day in rng.integers(0, 500, rows)],
            "note": [
                None if gone else "seen before" if twice else "new here"
                for gone, twice in rng.random((rows, 2)) < (0.02, 0.3)
            ],
            "person": rng.permutation(10 * rows)[:rows],
            "late": np.where(rng.random(rows) < 0.06, "yes", "no"),
        }
    )


def kinds(frame: pl.DataFrame, columns: Columns = COLUMNS) -> list[str]:
    return [each["kind"] for each in quality(Target(train=Table("train", frame, columns))).details["defects"]]


def put(column: str, value: object, rows: int = 12) -> Seed:
    """Put a value into the first rows of a column."""
    return lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) < rows).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )


def mapped(column: str, expression: pl.Expr, rows: int = 12) -> Seed:
    return lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) < rows).then(expression).otherwise(pl.col(column)).alias(column)
    )


def repeated(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame[:60]])


def contradicted(frame: pl.DataFrame) -> pl.DataFrame:
    other = frame[:60].with_columns(late=pl.when(pl.col("late") == "yes").then(pl.lit("no")).otherwise(pl.lit("yes")))
    return pl.concat([frame, other])


def rarer(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(late=pl.Series(["yes"] * 20 + ["no"] * (frame.height - 20)))


DEFECTS: dict[str, tuple[Seed, str]] = {
    "a fifth of the values missing": (put("amount", None, 600), "missing"),
    "nearly all values missing": (put("heat", None, 2900), "missing"),
    "one value only": (lambda frame: frame.with_columns(town=pl.lit("Aachen")), "constant"),
    "infinite": (put("heat", float("inf")), "not finite"),
    "not a number": (put("zero_mean", float("nan")), "not finite"),
    "negative amounts": (mapped("amount", -pl.col("amount") - 20), "negative"),
    "a stand-in": (put("visits", 9999), "stand-in"),
    "a lost decimal point": (mapped("amount", pl.col("amount") * 1e6, 2), "out of range"),
    "text among numbers": (
        lambda frame: put("visits", "many")(frame.with_columns(pl.col("visits").cast(pl.String))),
        "mixed types",
    ),
    "broken characters": (put("town", "DÃ¼ren"), "encoding"),
    "replacement characters": (put("town", "D\ufffdren"), "encoding"),
    "words for missing": (put("town", "N/A"), "words for missing"),
    "other case": (put("town", "AACHEN"), "spelling variants"),
    "other spaces": (put("town", " Aachen "), "spelling variants"),
    "misspelt": (put("town", "Chemnizt", 3), "misspelt"),
    "no dates": (put("closed", "2023-13-45"), "malformed date"),
    "future dates as text": (put("closed", "2199-01-01"), "future date"),
    "future dates": (put("opened", date(2199, 1, 1)), "future date"),
    "ancient dates": (put("opened", date(1815, 12, 10)), "ancient date"),
    "an identifier": (lambda frame: frame.with_columns(row=pl.int_range(pl.len())), "identifier"),
    "an identifier as text": (
        lambda frame: frame.with_columns(row=pl.lit("id-") + pl.int_range(pl.len()).cast(pl.String)),
        "identifier",
    ),
    "missing labels": (put("late", None), "missing label"),
    "unexpected labels": (put("late", "yess"), "unexpected label"),
    "a rare class": (rarer, "imbalance"),
    "repeated rows": (repeated, "repeated rows"),
    "contradicting labels": (contradicted, "conflicting labels"),
}


def test_sound_data_is_silent_over_20_seeds() -> None:
    for seed in range(20):
        assert kinds(sound(seed)) == []


@pytest.mark.parametrize("name", DEFECTS)
def test_a_seeded_defect_yields_exactly_its_finding(name: str) -> None:
    seed, kind = DEFECTS[name]
    assert kinds(seed(sound())) == [kind]


def test_two_defects_yield_both() -> None:
    both = put("late", None)(put("heat", float("inf"))(sound()))
    result = quality(Target(train=Table("train", both, COLUMNS)))
    by = {measure.name: measure.value for measure in result.measures}
    assert by["critical_findings"] == 2
    assert {each["kind"] for each in result.details["defects"]} == {"not finite", "missing label"}


def test_rates_are_exact_counts() -> None:
    frame = pl.DataFrame({"a": [1, 1, 1, 2, None], "b": ["x", "x", "x", "y", "z"], "y": [0, 0, 1, 1, 0]})
    result = quality(Target(train=Table("train", frame, Columns(target="y", positive="1"))))
    by = {measure.name: measure.value for measure in result.measures}
    assert by["duplicate_rate"] == 1 / 5
    assert by["conflicting_label_rate"] == 3 / 5
    assert by["missing_rate"] == 1 / 15


def test_findings_name_the_rows() -> None:
    result = quality(Target(train=Table("train", put("heat", float("inf"), 2)(sound()), COLUMNS)))
    assert result.findings[0].where == "column 'heat', rows 1, 2"
    assert result.findings[0].fix


def test_the_declared_positive_label_must_occur() -> None:
    assert kinds(sound(), Columns(target="late", positive="1", entity="person", time="opened")) == ["unexpected label"]


def test_without_a_label_conflicts_are_unknown() -> None:
    result = quality(Target(train=Table("train", sound().drop("late"), Columns(entity="person"))))
    assert {measure.name for measure in result.measures if measure.value is None} == {"conflicting_label_rate"}
    with pytest.raises(Unmeasurable, match="no rows"):
        quality(Target(train=Table("train", sound().head(0), COLUMNS)))


def test_one_edit_is_one_letter() -> None:
    for wrong in ("Bremn", "Bremenn", "Brimen", "Bermen"):
        assert _one_edit(wrong, "Bremen")
    for other in ("Bremen", "Barmen-Nord", "Brman", "nemerB"):
        assert not _one_edit(other, "Bremen")
