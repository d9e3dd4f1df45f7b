"""One HTML page that needs nothing else: what happened, what was measured, what was caught.

The page holds no script, loads nothing and says so to the browser (a content security policy allows its
own inline style and nothing more). Whatever comes from outside is escaped; charts are let in only if
they are drawings and nothing else (`_admit.drawing`). The same page serves the demonstration and an audit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from custody.errors import InvalidInput
from custody.report._admit import drawing
from custody.report._draw import GLYPHS, clean, number
from custody.report._style import STYLE
from custody.report.charts import interval_strip
from custody.report.notices import notices_of
from custody.report.rows import (
    CriterionRow,
    Fact,
    FaultRow,
    Figure,
    Notice,
    Report,
    RuleRow,
    StageRow,
    report_from,
)

__all__ = [
    "CriterionRow",
    "Fact",
    "FaultRow",
    "Figure",
    "Notice",
    "Report",
    "RuleRow",
    "StageRow",
    "render_report",
    "report_from",
]

_GLOSSARY = (
    ("met", "Met", "The whole interval lies inside the bound. The promise holds at the sealed confidence."),
    ("not met", "Not met", "The whole interval lies outside the bound. The promise is broken; no waiver is implied."),
    (
        "inconclusive",
        "Inconclusive",
        "The interval crosses the bound. More rows would settle it; until then it is no pass.",
    ),
    ("unknown", "Unknown", "It could not be measured: missing, stale, crashed or not a number. Unknown never passes."),
    ("waived", "Waived", "Not met, and accepted by named people for a limited time, for a stated reason."),
)
_VERDICTS = (
    ("GO", "Every criterion and every rule is met or waived. Exit code 0."),
    ("NO-GO", "At least one criterion or rule is not met. Exit code 1."),
    ("INCONCLUSIVE", "Nothing is proven wrong, but something is unknown or undecided. Exit code 3."),
    ("Evidence", "A statement that was signed, logged and read back from the ledger; it is cited by its entry number."),
    ("Sealed", "Signed and logged before training began, so that no result could shape what was asked."),
)


_COMMANDS = (
    ("custody audit verify", "re-check every signature, hash and decision of the ledger this page was made from"),
    ("custody audit show N", "read entry N in full: who signed it, and what it says"),
    ("custody audit export", "write the evidence to one file, for somebody who trusts neither this page nor its maker"),
    ("python -m custody_verify bundle.json --trust trust.json", "recompute the decisions from that file, offline"),
)
_GATE = {"GO": "met", "NO-GO": "not met", "INCONCLUSIVE": "inconclusive"}
_ASKED = re.compile(r"([a-z0-9_]+\.[a-z0-9_]+)\.([a-z0-9_]+)(?: \[([^\[\]]*)\])?")
_SPELLED = {"auc": "AUC", "by": "by", "ece": "ECE", "psi": "PSI"}


def render_report(report: Report | Mapping[str, Any]) -> str:
    """Return the page as HTML text.

    Raises `InvalidInput` for a report that lacks fields, for verdicts that do not exist and for charts
    that are more than drawings.
    """
    shown = report if isinstance(report, Report) else report_from(report)
    sections = [
        ("faults", "Faults and what caught them", _faults(shown.faults)),
        ("life", "The life of the model", _life(shown)),
        ("criteria", "What was promised, and what was measured", _criteria(shown.criteria)),
        ("rules", "The rules of the process", _rules(shown.rules)),
        ("measurements", "Measurements", _figures(shown.charts)),
        ("check", "Check it yourself", _check()),
        ("words", "What the words mean", _glossary()),
    ]
    kept = [section for section in sections if section[2]]
    contents = "".join(f'<a href="#{name}">{clean(title)}</a>' for name, title, _ in kept)
    body = "".join(f'<section id="{name}"><h2>{clean(title)}</h2>{inner}</section>' for name, title, inner in kept)
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>{clean(shown.title)}</title><style>{STYLE}</style></head><body>"
        f'{_header(shown)}<nav aria-label="Contents">{contents}</nav><main>{body}</main>'
        "<footer>Written by Custody. Every entry number refers to the ledger this report was made from; "
        "the report itself proves nothing, the ledger does.</footer></body></html>\n"
    )


def _header(report: Report) -> str:
    pills = ""
    if report.verdict:
        if report.verdict not in _GATE:
            raise InvalidInput(f"{report.verdict!r} is no verdict of a gate")
        pills = _pill(_GATE[report.verdict], report.verdict)
    pills += "".join(f'<span class="mark">{clean(mark)}</span>' for mark in report.marks)
    facts = "".join(
        f"<div><dt>{clean(fact.label)}</dt><dd>{clean(fact.value)}{_detail(fact.detail)}</dd></div>"
        for fact in report.facts
    )
    return (
        f'<header><p class="brand"><span>Custody</span><span>{clean(_moment(report.generated))}</span></p>'
        f"<h1>{clean(report.title)}</h1>{f'<p class=verdict>{pills}</p>' if pills else ''}"
        f'<p class="lead">{clean(report.headline)}</p>{_notices(notices_of(report))}'
        f"{f'<dl class=facts>{facts}</dl>' if facts else ''}</header>"
    )


def _detail(text: str) -> str:
    """Show what is too long for a large figure; a digest in even strokes, so that it can be compared."""
    if not text:
        return ""
    digest = " class=digest" if re.fullmatch("[0-9a-f]{64}", text) else ""
    return f"<small{digest}>{clean(text)}</small>"


def _notices(notices: Sequence[Notice]) -> str:
    """Show what must not be overlooked above everything else; nothing when there is nothing to say."""
    if not notices:
        return ""
    shown = ""
    for notice in notices:
        kind = _kind(notice.status)
        lines = "".join(f"<li>{clean(line)}</li>" for line in notice.lines)
        shown += (
            f'<div class="notice {kind.replace(" ", "-")}"><p><i aria-hidden="true">{GLYPHS[kind]}</i>'
            f"<strong>{clean(notice.title)}</strong></p>{f'<ul>{lines}</ul>' if lines else ''}</div>"
        )
    return f'<div class="notices" role="note" aria-label="Read this first">{shown}</div>'


def _faults(rows: Sequence[FaultRow]) -> str:
    if not rows:
        return ""
    caught = sum(row.caught for row in rows)
    silent = sum(row.clean_silent for row in rows)
    body = []
    for index, row in enumerate(rows, 1):
        outcome = _pill("met", "caught") if row.caught else _pill("not met", "missed")
        where = f"entry {row.entry}" if row.entry is not None else "no entry"
        quiet = _pill("met", "silent") if row.clean_silent else _pill("not met", "also alarmed")
        body.append(
            f'<tr><td class="count">{index}</td><td><strong>{clean(row.name)}</strong><p>{clean(row.story)}</p>'
            f'<p class="planted">{clean(row.planted)}</p></td>'
            f"<td>{outcome} <strong>{_breakable(row.caught_by)}</strong><p>{clean(row.reason)}</p>"
            f'<p class="next"><code>{clean(row.next_command)}</code></p></td>'
            f'<td class="where"><p>{clean(where)}</p><p>exit {row.exit_code}</p><p>{number(row.seconds)} s</p></td>'
            f"<td>{quiet}</td></tr>"
        )
    return (
        f'<p class="note">{caught} of {len(rows)} caught. The same rules stayed silent without the fault in '
        f"{silent} of {len(rows)} lives. \u201cNo entry\u201d means that the command refused on the spot "
        "and wrote nothing.</p>"
        '<table class="faults"><thead><tr><th></th><th>Fault</th><th>Caught by, and the next command</th>'
        f"<th>Evidence</th><th>Without it</th></tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _life(report: Report) -> str:
    if not report.stages:
        return ""
    strip = f'<div class="strip">{drawing(report.timeline)}</div>' if report.timeline else ""
    rows = "".join(
        f'<tr><td>{_pill(row.status)}</td><th scope="row">{clean(row.name)}</th><td>{clean(row.sentence)}</td>'
        f"<td>{_entries(row.entries)}</td></tr>"
        for row in report.stages
    )
    return f'{strip}<table class="life"><tbody>{rows}</tbody></table>'


def _rules(rows: Sequence[RuleRow]) -> str:
    if not rows:
        return ""
    body = "".join(
        f'<tr><td>{_pill(row.status)}</td><th scope="row"><code>{_breakable(row.id)}</code></th>'
        f"<td>{clean(row.sentence)}</td><td>{_entries(row.entries)}</td></tr>"
        for row in rows
    )
    return (
        '<p class="note">These ask how the model came to be, not how good it is. The answer is read off the '
        "ledger: there is nothing to estimate, so there is no interval.</p>"
        f'<table class="life rules"><tbody>{body}</tbody></table>'
    )


def _criteria(rows: Sequence[CriterionRow]) -> str:
    if not rows:
        return ""
    body = []
    for row in rows:
        measured = "not measured"
        if row.value is not None and row.low is not None and row.high is not None:
            measured = f"<strong>{number(row.value)}</strong><br>{number(row.low)} to {number(row.high)}"
        strip = interval_strip(
            row.value,
            row.low,
            row.high,
            row.status,
            at_least=row.at_least,
            at_most=row.at_most,
            title=f"{row.id} {row.asks}, asked {row.bound}",
        )
        rows_seen = f"<br>{row.n:,} rows" if row.n else ""
        why = f"<p>{clean(row.why)}</p>" if row.why else ""
        reason = (
            f'<p class="reason {_kind(row.status).replace(" ", "-")}">{clean(row.reason)}</p>' if row.reason else ""
        )
        body.append(
            f'<tr><td>{_pill(row.status)}<p class="id">{_breakable(row.id)}</p></td>'
            f"<td>{_question(row)}{why}{reason}</td><td>{strip}</td>"
            f'<td class="numbers">{measured}{rows_seen}{_entries(row.entries)}</td></tr>'
        )
    return (
        '<p class="note">The shaded side of the tick is what was promised. A bound is compared with the whole '
        "interval, never with the estimate alone.</p>"
        '<table class="criteria"><thead><tr><th>Verdict</th><th>Asked, and why</th><th>Bound and interval</th>'
        f"<th>Measured</th></tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _question(row: CriterionRow) -> str:
    """Show what is asked in words, and below it the exact name; other text is shown as it is."""
    bound = f' <span class="bound">{clean(row.bound)}</span>' if row.bound else ""
    found = _ASKED.fullmatch(row.asks)
    if found is None:
        return f"<strong>{_breakable(row.asks)}</strong>{bound}"
    check, measure, spot = found.groups()
    words = " ".join(_SPELLED.get(word, word) for word in measure.split("_"))
    where = ", " + spot.replace("by=", "by ").replace("=", " ").replace("*", " and ") if spot else ""
    exact = f"{check}.{measure}" + (f" [{spot}]" if spot else "")
    title = clean(words[:1].upper() + words[1:] + where)
    return f'<strong>{title}</strong>{bound}<br><code class="exact">{_breakable(exact)}</code>'


def _figures(figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    drawn = "".join(
        f"<figure{' class=wide' if figure.wide else ''}><h3>{clean(figure.title)}</h3>"
        f'<div class="plot">{drawing(figure.svg)}</div><figcaption>{clean(figure.caption)}</figcaption></figure>'
        for figure in figures
    )
    return f'<div class="figures">{drawn}</div>'


def _check() -> str:
    rows = "".join(f"<div><dt><code>{clean(run)}</code></dt><dd>{clean(does)}</dd></div>" for run, does in _COMMANDS)
    return (
        '<p class="note">This page is a reading of the ledger. Whoever doubts a number of it can ask the ledger '
        f'instead.</p><dl class="commands">{rows}</dl>'
    )


def _glossary() -> str:
    words = "".join(f"<div><dt>{_pill(kind, word)}</dt><dd>{clean(told)}</dd></div>" for kind, word, told in _GLOSSARY)
    words += "".join(f"<div><dt>{clean(word)}</dt><dd>{clean(told)}</dd></div>" for word, told in _VERDICTS)
    return f'<dl class="glossary">{words}</dl>'


def _entries(entries: Sequence[int]) -> str:
    """Cite entries: `entry 27` or `entries 27, 28, 30`."""
    if not entries:
        return ""
    told = ", ".join(f"{int(entry)}" for entry in entries)
    return f'<p class="entries">{"entry" if len(entries) == 1 else "entries"} {told}</p>'


def _moment(text: str) -> str:
    """Write an ISO 8601 moment as people read it, in UTC; other text is shown as it is."""
    try:
        found = datetime.fromisoformat(text)
        return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.tzinfo else text
    except (ValueError, OverflowError):
        return text


def _breakable(name: str) -> str:
    """Let a long dotted name break where a reader would."""
    return clean(name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def _kind(status: str) -> str:
    """Return the verdict as it is written, `not_met` and `not met` alike; unknown words are refused."""
    kind = status.replace("_", " ").lower()
    if kind not in GLYPHS:
        raise InvalidInput(f"{status!r} is no verdict; known are {', '.join(GLYPHS)}")
    return kind


def _pill(status: str, word: str = "") -> str:
    """Show a verdict by shape, word and colour."""
    kind = _kind(status)
    return f'<span class="pill {kind.replace(" ", "-")}"><i>{GLYPHS[kind]}</i>{clean(word or kind)}</span>'
