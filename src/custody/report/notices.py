"""What must stand before everything else on the page, read off its rows.

The page works these out itself, so that no caller can forget one: attacks that were missed, and each
criterion or rule that is not met, unknown, inconclusive or waived. A row that is met says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from custody.report.rows import CriterionRow, FaultRow, Notice, Report, RuleRow

_TOLD = {
    "not met": "a single one keeps the model out",
    "unknown": "unknown never passes",
    "inconclusive": "more rows are needed, and until then it is no pass",
    "waived": "not met, and accepted by a named person for a limited time",
}
"""The statuses that a reader must see, worst first, and what each means in half a line."""

_LINES = 8


def notices_of(report: Report) -> list[Notice]:
    """Return every notice of a report: its own and those its rows call for, worst first."""
    rows: list[CriterionRow | RuleRow] = [*report.criteria, *report.rules]
    found = [*_missed(report.faults), *report.notices]
    for status, meaning in _TOLD.items():
        hits = [row for row in rows if row.status.replace("_", " ").lower() == status]
        if hits:
            title = f"{len(hits)} of {len(rows)} answers {_are(len(hits))} {status}: {meaning}"
            found.append(Notice(status, title, _some([_line(row) for row in hits])))
    order = list(_TOLD)
    return sorted(found, key=lambda notice: order.index(notice.status) if notice.status in order else -1)


def _missed(faults: Sequence[FaultRow]) -> list[Notice]:
    """Return what went wrong in a demonstration: attacks nobody noticed, and rules that cried wolf."""
    missed = [f"{row.name}: {row.reason}" if row.reason else row.name for row in faults if not row.caught]
    false = [f"{row.name}: {row.caught_by}" for row in faults if not row.clean_silent]
    found = []
    if missed:
        attacks = "attack was" if len(missed) == 1 else "attacks were"
        found.append(Notice("not met", f"{len(missed)} {attacks} missed", _some(missed)))
    if false:
        found.append(
            Notice("not met", f"{len(false)} of {len(faults)} rules also alarmed without a fault", _some(false))
        )
    return found


def _line(row: CriterionRow | RuleRow) -> str:
    told = row.sentence if isinstance(row, RuleRow) else row.reason or f"{row.asks} {row.bound}"
    if not row.entries or "entry " in told:
        return f"{row.id}: {told}"
    return f"{row.id}: {told} (entry {', '.join(str(entry) for entry in row.entries[:4])})"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _some(lines: Sequence[str]) -> list[str]:
    """Keep the first lines and say how many more there are: a cut that is not named would be a lie."""
    if len(lines) <= _LINES:
        return list(lines)
    return [*lines[:_LINES], f"and {len(lines) - _LINES} more, listed below"]
