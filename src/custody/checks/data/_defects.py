"""What can be wrong with one column: each defect has a kind, a place and a number of rows.

Rules are written so that ordinary data stays silent: a defect is rare against a healthy majority
(few negative values among positive ones, few misspelt among frequent categories), or total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MISSING = 0.05
MOSTLY_MISSING = 0.5
RARE = 0.01
"""A defect of values is a minority of at most this share; a larger one is a property of the data."""
MOST_CATEGORIES = 1000
_SENTINELS = (999, 9999, 99999, 999999, 9999999, 99999999, -99, -999, -9999, -99999, 2147483647, -2147483648)
_NOTHING = ("n/a", "na", "null", "none", "nan", "nil", "-", "--", "#n/a", "missing", "undefined", "?", "")
_JUNK = "\ufffd|[\u0080-\u009f]|[\u0000-\u0008\u000b\u000c\u000e-\u001f]|Ã[\u0080-\u00bf]|â€|Â[\u00a0-\u00bf]"
_DATES = (
    ("%Y-%m-%d", r"^\d{4}-\d\d?-\d\d?$"),
    ("%Y-%m-%d %H:%M:%S", r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    ("%d.%m.%Y", r"^\d\d?\.\d\d?\.\d{4}$"),
    ("%m/%d/%Y", r"^\d\d?/\d\d?/\d{4}$"),
    ("%d/%m/%Y", r"^\d\d?/\d\d?/\d{4}$"),
)


@dataclass(frozen=True)
class Defect:
    """One defect: `rows` is how many rows show it, `where` names column or table."""

    kind: str
    severity: str
    what: str
    where: str
    rows: int
    fix: str


def inspect(column: pl.Series, *, named: bool, feature: bool) -> Iterator[Defect]:
    """Yield the defects of one column; `named` columns may be identifiers, only features may be id-like."""
    filled = column.drop_nulls()
    if column.dtype.is_float():
        filled = filled.drop_nans()
    yield from _missing(column)
    if not filled.len():
        return
    if filled.n_unique() == 1 and column.len() > 1:
        yield Defect(
            "constant", "warning", f"{column.name!r} has one value only", _at(column), filled.len(), "leave it out"
        )
        return
    if column.dtype.is_numeric():
        yield from _numbers(column)
    elif column.dtype.is_temporal():
        yield from _moments(column, column)
    else:
        yield from _texts(column)
    if feature and not named and _names_rows(filled):
        yield Defect(
            "identifier",
            "warning",
            f"{column.name!r} has another value in every row: it names rows and says nothing of them",
            _at(column),
            filled.len(),
            "declare it as entity, or ignore it",
        )


def _at(column: pl.Series, rows: pl.Series | None = None) -> str:
    """Return the place of a defect: the column, and up to five row numbers counted from 1."""
    if rows is None:
        return f"column {column.name!r}"
    shown = ", ".join(str(row + 1) for row in rows.arg_true().head(5))
    return f"column {column.name!r}, rows {shown}{' ...' if rows.sum() > 5 else ''}"


def _found(kind: str, severity: str, column: pl.Series, rows: pl.Series, says: str, fix: str) -> Iterator[Defect]:
    """Yield the defect when any row has it."""
    mask = rows.fill_null(value=False)
    count = int(mask.sum())
    if count:
        where = _at(column, mask)
        yield Defect(kind, severity, f"{column.name!r}: {count} {says}", where, count, fix)


def _missing(column: pl.Series) -> Iterator[Defect]:
    gone = column.null_count()
    if gone > MISSING * column.len():
        most = gone > MOSTLY_MISSING * column.len()
        yield Defect(
            "missing",
            "critical" if most else "warning",
            f"{column.name!r}: {gone} of {column.len()} values are missing ({gone / column.len():.1%})",
            _at(column),
            gone,
            "find out why; leave the column out" if most else "find out why, and whether it differs by group",
        )


def _numbers(column: pl.Series) -> Iterator[Defect]:
    """Find values that are no numbers, below zero, stand-ins, or absurdly far out."""
    import polars as pl

    values = column.cast(pl.Float64, strict=False)
    finite = values.filter(values.is_finite().fill_null(value=False))
    yield from _found("not finite", "critical", column, ~values.is_finite(), "values are NaN or infinite", "mend them")
    if finite.len() < 20:
        return
    below, above = finite.filter(finite < 0), finite.filter(finite > 0)
    # Negative values are wrong when they are rare and as large as the others, not the tail of a bell.
    if 0 < below.len() <= RARE * finite.len() and above.len() >= 0.5 * finite.len():
        usual, odd = above.median(), below.abs().median()
        if isinstance(usual, float) and isinstance(odd, float) and odd >= 0.5 * usual and odd not in _absolute():
            says = "values are negative among positive ones"
            yield from _found("negative", "warning", column, values < 0, says, "check the sign")
    low, high = finite.quantile(0.01) or 0.0, finite.quantile(0.99) or 0.0
    for stand_in in _SENTINELS:
        same = finite == stand_in
        rest = finite.filter(~same)
        if same.sum() < 3 or not rest.len():
            continue
        gap = stand_in - float(rest.max()) if stand_in > 0 else float(rest.min()) - stand_in  # type: ignore[arg-type]
        spread = float(rest.quantile(0.99) or 0) - float(rest.quantile(0.01) or 0)
        if gap > spread:
            says = f"values are {stand_in}, far from all others: probably a stand-in for missing"
            yield from _found("stand-in", "warning", column, values == stand_in, says, "make them missing")
    edge = float(finite.abs().quantile(0.999, "lower") or 0.0)
    if finite.len() >= 1000 and edge > 0 and high > low:
        says = "values are over a hundred times larger than 99.9 % of the others"
        far = (values.abs() > 100 * edge) & values.is_finite() & ~values.is_in([float(each) for each in _SENTINELS])
        yield from _found("out of range", "warning", column, far, says, "check unit and decimal point")


def _absolute() -> frozenset[float]:
    return frozenset(float(abs(each)) for each in _SENTINELS)


def _names_rows(filled: pl.Series) -> bool:
    """Say whether the values are names of rows: whole numbers or single words, all different."""
    if filled.len() < 100 or not (filled.dtype.is_integer() or str(filled.dtype) == "String"):
        return False
    if filled.n_unique() < filled.len():
        return False
    return filled.dtype.is_integer() or float((filled.str.count_matches(r"\s").mean()) or 0) < 1  # type: ignore[arg-type]


def _texts(column: pl.Series) -> Iterator[Defect]:
    """Find mixed types, dates, junk, stand-ins for missing, and spellings of one category."""
    import polars as pl

    text = column.cast(pl.String, strict=False)
    plain = text.str.strip_chars()
    nothing = plain.str.to_lowercase().is_in(list(_NOTHING))
    if nothing.sum() < text.len() - text.null_count():
        says = "values are words for missing, such as 'n/a'"
        yield from _found("words for missing", "warning", column, nothing, says, "make them missing")
    yield from _found(
        "encoding", "warning", column, text.str.contains(_JUNK), "values hold broken characters", "read it as UTF-8"
    )
    sound = plain.filter(~nothing.fill_null(value=True))
    if not sound.len():
        return
    numeric = plain.cast(pl.Float64, strict=False).is_not_null()
    share = float(numeric.filter(~nothing.fill_null(value=True)).sum()) / sound.len()
    if 0.5 <= share < 1:
        odd = ~numeric & plain.is_not_null() & ~nothing
        says = f"values are text among numbers, such as {str(plain.filter(odd)[0])[:20]!r}"
        yield from _found("mixed types", "critical", column, odd, says, "mend them, so that the column is numeric")
        return
    dates = _dates(plain, sound.len())
    if dates is not None:
        wrong = dates.is_null() & plain.is_not_null() & ~nothing
        yield from _found("malformed date", "warning", column, wrong, "values are no dates", "mend them")
        yield from _moments(column, dates)
        return
    yield from _spellings(column, text)


def _dates(plain: pl.Series, sound: int) -> pl.Series | None:
    """Return the column as dates when at least 80 % of its values look like dates of one form."""
    for form, pattern in _DATES:
        text = plain.str.replace("T", " ", literal=True) if "H" in form else plain
        looks = text.str.contains(pattern)
        if looks.sum() < 0.8 * sound:
            continue
        dates = text.str.slice(0, 19).str.to_datetime(form, strict=False, time_unit="us")
        if dates.len() - dates.null_count() >= 0.8 * sound:
            return dates
    return None


def _moments(column: pl.Series, dates: pl.Series) -> Iterator[Defect]:
    """Find dates that lie in the future (by today's clock) or before 1900."""
    import polars as pl

    if dates.dtype not in (pl.Date, pl.Datetime):
        return
    # Columns with a time zone and without are compared alike: a day more or less does not matter.
    moments = dates.cast(pl.Datetime("us"))
    soon = (datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=None)
    old = datetime(1900, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    yield from _found("future date", "warning", column, moments > soon, "dates lie in the future", "check them")
    yield from _found("ancient date", "warning", column, moments < old, "dates lie before 1900", "check them")


def _spellings(column: pl.Series, text: pl.Series) -> Iterator[Defect]:
    """Find categories that differ in case or space only, and rare ones one letter from a frequent one."""
    import polars as pl

    counts = text.drop_nulls().value_counts(sort=True)
    name = counts.columns[0]
    if counts.height > MOST_CATEGORIES or counts.height > 0.5 * text.len():
        return
    canonical = pl.col(name).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " ")
    groups = counts.with_columns(canonical.alias("canonical")).group_by("canonical", maintain_order=True)
    variants = groups.agg(pl.col(name), pl.col("count").sum()).filter(pl.col(name).list.len() > 1)
    if variants.height:
        spellings: list[str] = variants[name][0].to_list()
        odd = [value for several in variants[name].to_list() for value in several[1:]]
        says = f"values are other spellings of a category ({', '.join(repr(value[:30]) for value in spellings[:3])})"
        yield from _found("spelling variants", "warning", column, text.is_in(odd), says, "choose one spelling")
        return
    values: list[str] = counts[name].to_list()
    sizes: list[int] = counts["count"].to_list()
    frequent = [value for value, size in zip(values, sizes, strict=True) if size >= RARE * text.len()]
    typos = {
        value: right
        for value, size in zip(values, sizes, strict=True)
        if size <= 0.002 * text.len() + 3 and not any(letter.isdigit() for letter in value)
        for right in frequent
        if len(right) >= 5 and value not in frequent and _one_edit(value, right)
    }
    if typos:
        wrong, right = next(iter(typos.items()))
        says = f"values look misspelt ({wrong[:30]!r} for {right[:30]!r})"
        yield from _found("misspelt", "warning", column, text.is_in(list(typos)), says, "correct them")


def _one_edit(first: str, second: str) -> bool:
    """Say whether one letter was changed, added, lost, or two neighbours swapped."""
    if abs(len(first) - len(second)) > 1 or first == second:
        return False
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    a, b = first[start:], second[start:]
    swapped = len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or swapped
