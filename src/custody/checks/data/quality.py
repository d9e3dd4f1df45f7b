"""Is the training data fit to learn from?

Every column is inspected for missing, constant, infinite, negative, far-out and stand-in values, mixed
types, broken characters, malformed and future dates, spellings and misspellings of one category, and
identifiers posing as features; the label for missing and unexpected values and imbalance; the table for
repeated rows and for equal rows with different labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from custody.checks.data._defects import RARE, Defect, inspect
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import polars as pl

REPEATED = 0.005
"""Share of repeated rows, or of rows with contradicting labels, from which it is a finding."""
FEWEST = 50
"""Rows of the rarer class below which there is too little to learn from."""


@check(
    stage=Stage.DATA,
    measures={
        "critical_findings": Scale(0, 1e6, "lower", "findings", "defects that make the data unfit for training"),
        "duplicate_rate": Scale(0, 1, "lower", "share", "rows equal to an earlier row in features and label"),
        "missing_rate": Scale(0, 1, "lower", "share", "cells without a value"),
        "conflicting_label_rate": Scale(0, 1, "lower", "share", "rows with a twin of another label"),
    },
    example=Example(
        "critical_findings",
        clean=lambda: _example(broken=False),
        caught=lambda: _example(broken=True),
        at_most=0.0,
    ),
)
def quality(target: Target) -> Result:
    """Inspect every column, then the label, then the table as a whole."""
    table = target.need_train()
    if not table.rows:
        raise Unmeasurable(f"{table.name} has no rows")
    frame = table.frame
    columns = table.columns
    defects: list[Defect] = []
    for name in frame.columns:
        if name != columns.target:
            named = name in (columns.entity, columns.time, columns.source)
            defects += inspect(frame[name], named=named, feature=name in table.features)
    if columns.target in frame.columns:
        defects += _label(frame[columns.target], columns.positive)
    identifiers = {defect.where.split("'")[1] for defect in defects if defect.kind == "identifier"}
    features = [name for name in table.features if name not in identifiers]
    repeated = _repeated(table, features)
    conflicting = _conflicting(table, features)
    defects += _whole(table, repeated, conflicting)
    empty = sum(frame[name].null_count() + _not_a_number(frame[name]) for name in frame.columns)
    cells = frame.height * frame.width
    conflict = (
        Measure.exact("conflicting_label_rate", conflicting / table.rows, table.rows)
        if conflicting is not None
        else Measure.unknown("conflicting_label_rate", "no target column was declared")
    )
    critical = sum(defect.severity == "critical" for defect in defects)
    measures = [
        Measure.exact("critical_findings", critical, table.rows),
        Measure.exact("duplicate_rate", repeated / table.rows, table.rows),
        Measure.exact("missing_rate", empty / cells, cells),
        conflict,
    ]
    order = {"critical": 0, "warning": 1, "info": 2}
    defects.sort(key=lambda defect: (order[defect.severity], -defect.rows))
    findings = [Finding(each.severity, each.what, each.where, each.kind, each.fix) for each in defects]
    listed = [{"kind": each.kind, "where": each.where, "rows": each.rows} for each in defects]
    return Result(measures, findings, {"defects": listed, "rows": table.rows, "columns": frame.width})


def _not_a_number(column: pl.Series) -> int:
    return int(column.is_nan().sum()) if column.dtype.is_float() else 0


def _label(label: pl.Series, positive: str) -> Iterator[Defect]:
    """Find missing labels, values that are no label, and classes too rare to learn."""
    import polars as pl

    where = f"column {label.name!r}"
    gone = label.null_count()
    if gone:
        yield Defect(
            "missing label", "critical", f"{gone} labels are missing", where, gone, "remove or label these rows"
        )
    text = label.drop_nulls().cast(pl.String, strict=False)
    counts = text.value_counts(sort=True)
    values: list[str] = counts[counts.columns[0]].to_list()
    sizes: list[int] = counts["count"].to_list()
    if positive and values and not any(_same(value, positive) for value in values):
        yield Defect(
            "unexpected label",
            "critical",
            f"the positive label {positive!r} never occurs; there are {', '.join(repr(v[:30]) for v in values[:5])}",
            where,
            label.len(),
            "correct the declared positive label",
        )
        return
    if positive and len(values) > 2:
        # With two classes declared, rare further values are mistakes; frequent ones are classes.
        odd = [
            (value, size)
            for value, size in list(zip(values, sizes, strict=True))[2:]
            if size <= RARE * label.len() and not _same(value, positive)
        ]
        if odd:
            yield Defect(
                "unexpected label",
                "critical",
                f"{sum(size for _, size in odd)} rows have labels such as {odd[0][0][:30]!r} beside "
                f"{values[0][:30]!r} and {values[1][:30]!r}",
                where,
                sum(size for _, size in odd),
                "correct these labels",
            )
    wanted = sum(size for value, size in zip(values, sizes, strict=True) if _same(value, positive))
    rare = min(wanted, text.len() - wanted) if positive else 0
    if positive and wanted and rare < max(FEWEST, 0.002 * text.len()):
        yield Defect(
            "imbalance",
            "warning",
            f"the rarer class has {rare} of {text.len()} rows",
            where,
            rare,
            "collect more of it",
        )


def _same(value: str, positive: str) -> bool:
    """Say whether a label is the positive one, as text or as a number."""
    if value.strip() == positive:
        return True
    try:
        return float(value) == float(positive)
    except ValueError:
        return False


def _repeated(table: Table, features: list[str]) -> int:
    """Count rows that repeat an earlier row in all features and the label."""
    names = [*features, *([table.columns.target] if table.columns.target in table.frame.columns else [])]
    if not names:
        return 0
    return table.rows - int(table.frame.select(names).n_unique())


def _conflicting(table: Table, features: list[str]) -> int | None:
    """Count rows that share all features with a row of another label; None without a label."""
    import polars as pl

    target = table.columns.target
    apart = {table.columns.entity, table.columns.time, table.columns.source}
    names = [name for name in features if name not in apart]
    if target not in table.frame.columns:
        return None
    if not names:
        return 0
    labels = table.frame.select(*names, pl.col(target).alias("\0label")).drop_nulls("\0label")
    groups = labels.group_by(names).agg(pl.len().alias("\0rows"), pl.col("\0label").n_unique().alias("\0labels"))
    return int(groups.filter(pl.col("\0labels") > 1)["\0rows"].sum())


def _whole(table: Table, repeated: int, conflicting: int | None) -> Iterator[Defect]:
    """Find repeated rows and contradicting labels."""
    if repeated > REPEATED * table.rows:
        yield Defect(
            "repeated rows",
            "warning",
            f"{repeated} of {table.rows} rows repeat an earlier row ({repeated / table.rows:.1%})",
            table.name,
            repeated,
            "remove repetitions that are no events of their own",
        )
    if conflicting is not None and conflicting > REPEATED * table.rows:
        yield Defect(
            "conflicting labels",
            "warning",
            f"{conflicting} of {table.rows} rows share all features with a row of another label",
            table.name,
            conflicting,
            "find out which label is right",
        )


def _example(*, broken: bool) -> Target:
    """Make 500 sound rows, or the same with infinite amounts and missing labels."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(2)
    frame = pl.DataFrame(
        {
            "amount": rng.lognormal(3, 0.5, 500),
            "town": rng.choice(["Aachen", "Bremen", "Chemnitz"], 500),
            "label": rng.integers(0, 2, 500),
        }
    )
    if broken:
        some = pl.int_range(pl.len()) < 5
        frame = frame.with_columns(
            pl.when(some).then(float("inf")).otherwise(pl.col("amount")).alias("amount"),
            pl.when(some).then(None).otherwise(pl.col("label")).alias("label"),
        )
    return Target(train=Table("train", frame, Columns(target="label", positive="1")))
