"""What the page shows, as plain data: rows, figures, notices, and the report that holds them."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from custody.errors import InvalidInput

Row = TypeVar("Row")


@dataclass(frozen=True)
class StageRow:
    """A stage of the life: what happened there, and the ledger entries that prove it."""

    name: str
    sentence: str
    entries: Sequence[int] = ()
    status: str = "met"


@dataclass(frozen=True)
class CriterionRow:
    """A criterion as it was sealed, and the answer. Unknown answers have no `value`, and a reason."""

    id: str
    asks: str
    bound: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    status: str
    reason: str = ""
    at_least: float | None = None
    at_most: float | None = None
    entries: Sequence[int] = ()
    why: str = ""


@dataclass(frozen=True)
class RuleRow:
    """A rule of the process, what was found, and the entries it rests on. It has no interval."""

    id: str
    sentence: str
    status: str
    entries: Sequence[int] = ()


@dataclass(frozen=True)
class Notice:
    """What a reader must not overlook: a verdict's shape, a headline and the particulars."""

    status: str
    title: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """A chart from `custody.report.charts` with its title and a sentence that reads it out."""

    title: str
    svg: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class FaultRow:
    """A planted fault and what caught it.

    `entry` is the ledger entry of the evidence, or None where the command refused and wrote nothing;
    `clean_silent` tells whether the same rule said nothing when the fault was absent.
    """

    name: str
    story: str
    planted: str
    caught_by: str
    reason: str
    entry: int | None
    exit_code: int
    next_command: str
    seconds: float
    clean_silent: bool
    caught: bool = True


@dataclass(frozen=True)
class Fact:
    """A labelled figure under the headline: few words large, whatever is long (a digest) small below."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """Everything the page shows. Only `title` and `headline` are needed; empty sections are left out."""

    title: str
    headline: str
    generated: str = ""
    verdict: str = ""
    stages: Sequence[StageRow] = ()
    criteria: Sequence[CriterionRow] = ()
    charts: Sequence[Figure] = ()
    faults: Sequence[FaultRow] = ()
    facts: Sequence[Fact] = ()
    rules: Sequence[RuleRow] = ()
    notices: Sequence[Notice] = ()
    """What the rows do not tell by themselves; what they do tell is added by `notices.notices_of`."""
    marks: Sequence[str] = ()
    """Words beside the verdict that change what it means, such as "retired"."""
    timeline: str = ""
    """The drawing of the stages, from `charts.timeline`; empty leaves the list of stages alone."""


_ROWS: Mapping[str, type[Any]] = {
    "stages": StageRow,
    "criteria": CriterionRow,
    "charts": Figure,
    "faults": FaultRow,
    "facts": Fact,
    "rules": RuleRow,
    "notices": Notice,
}


def report_from(document: Mapping[str, Any]) -> Report:
    """Read a report from plain JSON data; raises `InvalidInput` naming the field that is wrong."""
    found = dict(document)
    for name, kind in _ROWS.items():
        rows = found.get(name, ())
        if isinstance(rows, str) or not isinstance(rows, Sequence):
            raise InvalidInput(f"report.{name} is not a list")
        found[name] = [_row(kind, row, f"report.{name}[{index}]") for index, row in enumerate(rows)]
    return _row(Report, found, "report")


def _row(kind: type[Row], value: Any, where: str) -> Row:
    """Make a dataclass of type `kind` from a mapping, every field checked against its annotation."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} is not an object")
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    for name, item in value.items():
        if name not in known:
            raise InvalidInput(f"{where} has an unknown field {name!r}")
        if not _fits(item, hints[name]):
            raise InvalidInput(f"{where}.{name} cannot be {str(item)[:60]!r}")
    missing = [name for name, item in known.items() if name not in value and item.default is MISSING]
    if missing:
        raise InvalidInput(f"{where} lacks {', '.join(missing)}")
    return kind(**value)


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is what the annotation says; an integer may stand for a float."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return listed and all(_fits(item, get_args(hint)[0]) for item in value)
    return isinstance(value, hint)
