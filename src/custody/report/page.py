"""One HTML page that needs nothing else: what happened, what was measured, what was caught.

The page holds no script, loads nothing and says so to the browser (a content security policy allows its
own inline style and nothing more). Whatever comes from outside is escaped; charts are let in only if
they are drawings and nothing else (`_drawing`). The same page serves the demonstration and an audit.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from xml.parsers import expat

from custody.errors import InvalidInput
from custody.report._draw import GLYPHS, clean, number
from custody.report._style import STYLE
from custody.report.charts import interval_strip

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
class Figure:
    """A chart from `custody.report.charts` with its title and a sentence that reads it out."""

    title: str
    svg: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class FaultRow:
    """A planted fault and what caught it.

    `entry` is the ledger entry of the evidence, or None where the ledger itself was attacked;
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
    """A small labelled figure under the headline."""

    label: str
    value: str


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
    timeline: str = ""
    """The drawing of the stages, from `charts.timeline`; empty leaves the list of stages alone."""


_ROWS: Mapping[str, type[Any]] = {
    "stages": StageRow,
    "criteria": CriterionRow,
    "charts": Figure,
    "faults": FaultRow,
    "facts": Fact,
}
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


def report_from(document: Mapping[str, Any]) -> Report:
    """Read a report from plain JSON data; raises `InvalidInput` naming the field that is wrong."""
    found = dict(document)
    for name, kind in _ROWS.items():
        rows = found.get(name, ())
        if isinstance(rows, str) or not isinstance(rows, Sequence):
            raise InvalidInput(f"report.{name} is not a list")
        found[name] = [_row(kind, row, f"report.{name}[{index}]") for index, row in enumerate(rows)]
    return _row(Report, found, "report")


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
        ("measurements", "Measurements", _figures(shown.charts)),
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
        f"{_header(shown)}<nav>{contents}</nav><main>{body}</main>"
        "<footer>Written by Custody. Every entry number refers to the ledger this report was made from; "
        "the report itself proves nothing, the ledger does.</footer></body></html>\n"
    )


def _header(report: Report) -> str:
    verdict = ""
    if report.verdict:
        words = {"GO": "met", "NO-GO": "not met", "INCONCLUSIVE": "inconclusive"}
        if report.verdict not in words:
            raise InvalidInput(f"{report.verdict!r} is no verdict of a gate")
        verdict = f'<p class="verdict">{_pill(words[report.verdict], report.verdict)}</p>'
    facts = "".join(f"<div><dt>{clean(fact.label)}</dt><dd>{clean(fact.value)}</dd></div>" for fact in report.facts)
    return (
        f'<header><p class="brand"><span>Custody</span><span>{clean(report.generated)}</span></p>'
        f"<h1>{clean(report.title)}</h1>{verdict}"
        f'<p class="lead">{clean(report.headline)}</p>{f"<dl class=facts>{facts}</dl>" if facts else ""}</header>'
    )


def _faults(rows: Sequence[FaultRow]) -> str:
    if not rows:
        return ""
    caught = sum(row.caught for row in rows)
    silent = sum(row.clean_silent for row in rows)
    body = []
    for index, row in enumerate(rows, 1):
        outcome = _pill("met", "caught") if row.caught else _pill("not met", "missed")
        where = f"entry {row.entry}" if row.entry is not None else "the ledger itself"
        quiet = _pill("met", "silent") if row.clean_silent else _pill("not met", "also alarmed")
        body.append(
            f'<tr><td class="count">{index}</td><td><strong>{clean(row.name)}</strong><p>{clean(row.story)}</p>'
            f'<p class="planted">{clean(row.planted)}</p></td>'
            f"<td>{outcome} <strong>{_breakable(row.caught_by)}</strong><p>{clean(row.reason)}</p>"
            f'<p class="next"><code>{clean(row.next_command)}</code></p></td>'
            f'<td class="where"><p>{clean(where)}</p><p>exit {row.exit_code}</p><p>{number(row.seconds)} s</p></td>'
            f'<td class="where">{quiet}</td></tr>'
        )
    return (
        f'<p class="note">{caught} of {len(rows)} caught. The same rules stayed silent without the fault in '
        f"{silent} of {len(rows)} lives.</p>"
        '<table class="faults"><thead><tr><th></th><th>Fault</th><th>Caught by, and the next command</th>'
        f"<th>Evidence</th><th>Without it</th></tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _life(report: Report) -> str:
    if not report.stages:
        return ""
    strip = f'<div class="strip">{_drawing(report.timeline)}</div>' if report.timeline else ""
    rows = "".join(
        f"<tr><td>{_pill(row.status)}</td><th>{clean(row.name)}</th><td>{clean(row.sentence)}</td>"
        f'<td class="where">{_entries(row.entries)}</td></tr>'
        for row in report.stages
    )
    return f'{strip}<table class="life"><tbody>{rows}</tbody></table>'


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
        reason = f'<p class="reason">{clean(row.reason)}</p>' if row.reason else ""
        body.append(
            f'<tr><td class="count">{clean(row.id)}</td><td><code>{_breakable(row.asks)}</code>'
            f' <span class="bound">{clean(row.bound)}</span>{why}</td><td>{strip}</td>'
            f'<td class="numbers">{measured}{rows_seen}</td>'
            f"<td>{_pill(row.status)}{reason}{_entries(row.entries)}</td></tr>"
        )
    return (
        '<p class="note">The shaded side of the tick is what was promised. A bound is compared with the whole '
        "interval, never with the estimate alone.</p>"
        '<table class="criteria"><thead><tr><th></th><th>Asked</th><th>Bound and interval</th><th>Measured</th>'
        f"<th>Verdict</th></tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _figures(figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    drawn = "".join(
        f"<figure{' class=wide' if figure.wide else ''}><h3>{clean(figure.title)}</h3>{_drawing(figure.svg)}"
        f"<figcaption>{clean(figure.caption)}</figcaption></figure>"
        for figure in figures
    )
    return f'<div class="figures">{drawn}</div>'


def _glossary() -> str:
    words = "".join(f"<div><dt>{_pill(kind, word)}</dt><dd>{clean(told)}</dd></div>" for kind, word, told in _GLOSSARY)
    words += "".join(f"<div><dt>{clean(word)}</dt><dd>{clean(told)}</dd></div>" for word, told in _VERDICTS)
    return f'<dl class="glossary">{words}</dl>'


def _entries(entries: Sequence[int]) -> str:
    if not entries:
        return ""
    return '<p class="entries">' + " ".join(f"<span>entry {int(entry)}</span>" for entry in entries) + "</p>"


def _breakable(name: str) -> str:
    """Let a long dotted name break where a reader would."""
    return clean(name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def _pill(status: str, word: str = "") -> str:
    """Show a verdict by shape, word and colour; a verdict that does not exist is refused."""
    kind = status.replace("_", " ").lower()
    if kind not in GLYPHS:
        raise InvalidInput(f"{status!r} is no verdict; known are {', '.join(GLYPHS)}")
    return f'<span class="pill {kind.replace(" ", "-")}"><i>{GLYPHS[kind]}</i>{clean(word or kind)}</span>'


_TAGS = {"svg", "g", "title", "text", "line", "rect", "circle", "path"}
_ATTRIBUTES = {
    "xmlns", "role", "aria-label", "viewBox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r",
    "rx", "d", "style", "transform", "text-anchor",
}  # fmt: skip


def _drawing(svg: str) -> str:
    """Return the SVG if it is well-formed and made of nothing but strokes, shapes and words.

    No comment, declaration or entity of its own, no link, no script, no handler, no foreign content:
    an HTML parser then reads it exactly as the XML parser here does.
    """
    if "<!" in svg or "<?" in svg:
        raise InvalidInput("a chart may hold no declaration, comment or CDATA")
    outermost: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        outermost.append(tag)
        if tag not in _TAGS or (tag == "svg") != (len(outermost) == 1):
            raise InvalidInput(f"a chart may not hold <{tag}>")
        for name, value in attributes.items():
            if name not in _ATTRIBUTES or (name == "style" and ("url" in value.lower() or "\\" in value)):
                raise InvalidInput(f"a chart may not hold {name}={value[:40]!r}")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        parser.Parse(svg.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise InvalidInput(f"a chart cannot be read: {error}") from None
    return svg


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
