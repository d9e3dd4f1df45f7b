"""Does the training data hold personal data or secrets that nobody declared?

Every text column is searched, in full, for e-mail addresses, telephone numbers, IP addresses, bank
accounts, payment cards, national numbers and secrets; numbers with check digits count only when their
digits check more often than chance explains, so that a column of random numbers stays silent. Whole
columns of names and dates of birth are recognised by their heading and their values. Whole numbers are
searched for cards and national numbers.

Findings show the shape of a value, never the value. What this cannot see: names in running text, places,
and people who can be recognised by a combination of ordinary columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custody.checks.data._identifiers import FIRST_NAMES, KINDS, Identifier, always
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import polars as pl

MOST_VALUES = 200_000
"""Different values of one column that are examined for one kind; of more, an even sample."""
_WORTH = r"[@\d]|-----BEGIN|eyJ|gh[pousr]_|xox|[A-Za-z]{6}\d|AKIA"
_NAME = re.compile(
    r"(^|_)(first|last|sur|given|family|full|middle|maiden|customer|client|patient|employee|person|holder|card ?holder)"
    r"[ _-]?names?$|^(sur|fore)?name$|^(vor|nach)name$|^(pre)?nom$|^apellidos?$|^nombre$|^cognome$",
    re.IGNORECASE,
)
_BIRTH = re.compile(
    r"(^|[ _-])(dob|birth|born)|birth[ _-]?(date|day)|geburt|naissance|nacimiento|nascita", re.IGNORECASE
)
_PHONE = re.compile(r"(^|[ _-])(phone|telephone|tel|mobile|cell|fax|handy)([ _-]?(no|number|nr))?$", re.IGNORECASE)
_DATE = r"^\d{4}-\d\d?-\d\d?|^\d\d?[./]\d\d?[./]\d{4}"


@dataclass(frozen=True)
class _Seen:
    """One kind of personal data in one column."""

    column: str
    kind: str
    severity: str
    cells: int
    """Rows in which it was found among those examined."""
    shape: str
    examined: float
    """Share of the column's values that was examined, above 0 and at most 1."""


@check(
    stage=Stage.DATA,
    sensitive=True,
    measures={
        "columns_with_personal_data": Scale(0, 1e6, "lower", "columns", "columns that hold personal data or secrets"),
        "values_found": Scale(0, 1e12, "lower", "cells", "cells that hold personal data or secrets"),
    },
    example=Example(
        "columns_with_personal_data",
        clean=lambda: _example(planted=False),
        caught=lambda: _example(planted=True),
        at_most=0.0,
    ),
)
def personal_data(target: Target) -> Result:
    """Search every column of the training table."""
    table = target.need_train()
    if not table.rows:
        raise Unmeasurable(f"{table.name} has no rows")
    seen: list[_Seen] = []
    cells, examined = 0, 1.0
    for name in table.frame.columns:
        found, flagged, share = _search(table.frame[name])
        seen += found
        cells += flagged
        examined = min(examined, share)
    hit = {each.column for each in seen}
    width, total = table.frame.width, table.rows * table.frame.width
    if examined == 1.0:
        measures = [
            Measure.exact("columns_with_personal_data", len(hit), width),
            Measure.exact("values_found", cells, total),
        ]
    else:
        # Some values were not looked at: what was found is a lower end, and no more is known.
        measures = [
            Measure("columns_with_personal_data", len(hit), len(hit), width, width),
            Measure("values_found", cells, cells, total, total),
        ]
    findings = [_finding(each, table) for each in sorted(seen, key=lambda each: (each.severity, -each.cells))]
    details = {
        "columns": [
            {"column": each.column, "kind": each.kind, "cells": each.cells, "examined": each.examined} for each in seen
        ],
        "rows": table.rows,
        "smallest_share_of_values_examined": examined,
    }
    return Result(measures, findings, details)


def _search(column: pl.Series) -> tuple[list[_Seen], int, float]:
    """Return what was found in one column, in how many cells, and the share of values examined."""
    import polars as pl

    born = _born(column)
    if born is not None:
        return [born], born.cells, 1.0
    if column.dtype.is_float():
        # Numbers of people never have fractions; a column of whole numbers with gaps may be one.
        whole = column.drop_nulls().drop_nans()
        if not whole.len() or (whole != whole.floor()).any() or whole.max() >= 2**53:  # type: ignore[operator]
            return [], 0, 1.0
        column = column.fill_nan(None).cast(pl.Int64, strict=False)
    if column.dtype.is_integer():
        numeric = True
        # Shorter numbers are no card, no national number and no telephone number.
        text = (
            column.filter(column.abs() >= 10**6).cast(pl.String)
            if column.dtype.is_signed_integer()
            else (column.filter(column >= 10**6).cast(pl.String))
        )
    elif column.dtype == pl.String:
        numeric, text = False, column.drop_nulls()
    else:
        return [], 0, 1.0
    if not text.len():
        return [], 0, 1.0
    counts = text.value_counts()
    sizes: Mapping[str, int] = dict(zip(counts[text.name].to_list(), counts["count"].to_list(), strict=True))
    named = None if numeric else _named(column.name, sizes)
    if named is not None:
        return [named], named.cells, 1.0
    values = pl.Series(column.name, list(sizes), dtype=pl.String)
    values = values.filter(values.str.contains(_WORTH))
    found: list[_Seen] = []
    flagged: set[str] = set()
    least = 1.0
    for kind in KINDS:
        hits, share = _matches(kind, values, numeric=numeric, heading=column.name)
        least = min(least, share)
        # A number that is already explained (a card is also eleven digits) is not counted twice.
        fresh = {value: shown for value, shown in hits.items() if value not in flagged}
        if fresh:
            flagged |= fresh.keys()
            shown = next(iter(fresh.values()))
            rows = sum(sizes[value] for value in fresh)
            found.append(_Seen(column.name, kind.kind, kind.severity, rows, _shape(shown), share))
    return found, sum(sizes[value] for value in flagged), least


def _matches(kind: Identifier, values: pl.Series, *, numeric: bool, heading: str) -> tuple[dict[str, str], float]:
    """Return the values that hold this kind, each with the part that matched, and the share examined."""
    if numeric and kind.kind == "telephone number":
        if not _PHONE.search(heading):
            return {}, 1.0
        return {value: value for value in values if 7 <= len(value) <= 15}, 1.0
    candidates = values.filter(values.str.contains(kind.pattern))
    if kind.valid is always and candidates.len():
        # The pattern alone decides, so nothing needs to be examined one by one.
        found = re.search(kind.pattern, candidates[0])
        return dict.fromkeys(candidates, found.group() if found else ""), 1.0
    share = 1.0
    if candidates.len() > MOST_VALUES:
        share = MOST_VALUES / candidates.len()
        candidates = candidates.gather_every(math.ceil(1 / share))
    pattern = re.compile(kind.pattern)
    hits: dict[str, str] = {}
    tried = valid = 0
    for value in candidates:
        for match in pattern.finditer(value):
            verdict = kind.valid(match.group())
            tried += verdict is not None
            if verdict:
                valid += 1
                hits.setdefault(value, match.group())
    # Check digits of random numbers are right now and then: expected plus four deviations, and two more.
    expected = tried * kind.chance
    surprising = valid > expected + 4 * math.sqrt(expected) + 2
    if kind.chance and not (valid >= 0.5 * tried and (not numeric or valid >= 5)) and not surprising:
        return {}, share
    return hits, share


def _named(heading: str, sizes: Mapping[str, int]) -> _Seen | None:
    """Recognise a column of people's names by its heading, or by first names in its values."""
    words = [value.strip().split() for value in list(sizes)[:20_000]]
    wordy = [
        each for each in words if 0 < len(each) <= 4 and all(re.fullmatch(r"[^\W\d_][^\d_]*", part) for part in each)
    ]
    if len(sizes) < 10 or len(wordy) < 0.8 * len(words):
        return None
    first = [part.strip(",.").lower() for each in wordy for part in (each[0], each[-1])]
    common = {name for name in first if name in FIRST_NAMES}
    known = sum(any(part.strip(",.").lower() in FIRST_NAMES for part in each) for each in wordy)
    if not _NAME.search(heading) and not (len(common) >= 10 and known >= 0.3 * len(words)):
        return None
    return _Seen(heading, "names of people", "warning", sum(sizes.values()), _shape(next(iter(sizes))), 1.0)


def _born(column: pl.Series) -> _Seen | None:
    """Recognise a column of dates of birth by its heading and its values."""
    import polars as pl

    if not _BIRTH.search(column.name):
        return None
    filled = column.drop_nulls()
    if column.dtype in (pl.Date, pl.Datetime):
        dates = filled.len()
    elif column.dtype == pl.String:
        dates = int(filled.str.contains(_DATE).sum())
    else:
        return None
    if not dates or dates < 0.8 * filled.len():
        return None
    return _Seen(column.name, "dates of birth", "warning", dates, "", 1.0)


def _shape(text: str) -> str:
    """Show what a value looks like without showing it: every letter and digit becomes a dot."""
    return re.sub(r"[^\W_]", "•", text)[:40]


def _finding(seen: _Seen, table: Table) -> Finding:
    """Name column, kind and number; show the shape only."""
    shape = f", shaped like {seen.shape}" if seen.shape else ""
    declared = seen.column in (table.columns.entity, *table.columns.ignore)
    return Finding(
        seen.severity,
        f"column {seen.column!r} holds {seen.kind} in {seen.cells} rows{shape}",
        f"column {seen.column!r}",
        "a model can memorise it and give it away; keeping it needs a legal basis"
        + ("; the column is no feature, but it is in the data set" if declared else ""),
        "remove the column, or replace its values by keyed pseudonyms before training",
    )


def _example(*, planted: bool) -> Target:
    """Make 400 rows with a note each; planted notes name an e-mail address."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(4)
    notes = [
        f"called at {hour}:15, order {order}"
        for hour, order in zip(rng.integers(8, 18, 400), rng.integers(10**8, 10**9, 400), strict=True)
    ]
    if planted:
        notes[17] = "please answer to jo.doe@example.org"
    frame = pl.DataFrame({"note": notes, "amount": rng.normal(0, 1, 400), "label": rng.integers(0, 2, 400)})
    return Target(train=Table("train", frame, Columns(target="label", positive="1")))
