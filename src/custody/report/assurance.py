"""An assurance statement as one HTML page or as Markdown: claims, gaps, and how to check them.

Like the passport, the page holds no script and loads nothing; every word from outside is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from custody.report._draw import clean
from custody.report._style import STYLE

_WIDTHS = (
    "@media screen and (min-width:761px){.said th:first-child{width:250px}.said th:last-child{width:180px}"
    ".said.columns-3 th:nth-child(3){width:210px}}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SECTIONS = (
    ("What weakens it", "gaps", (("kind", "Kind"), ("says", "What a reader must know"))),
    ("Who signed", "signers", (("part", "Part"), ("person", "Person"))),
    (
        "What is claimed, as of the decision",
        "claims",
        (("id", "Rule"), ("says", "What was found"), ("confidence", "How sure")),
    ),
)
"""The tables of the statement: heading, where its rows are, and the columns before the entries."""
_FACTS = (
    ("Model", "model"),
    ("Decided", "decided_at"),
    ("Ends", "expires"),
    ("Trust root", "trust_root"),
    ("Freshness", "freshness"),
    ("Statement made", "made"),
    ("Bundle sha256", "bundle"),
    ("Log", "origin"),
    ("Root of its tree", "root"),
)


def render_assurance(said: Mapping[str, Any]) -> str:
    """Return the statement (`Assurance.to_json`) as an HTML page."""
    facts = "".join(
        f"<div><dt>{clean(label)}</dt><dd><small>{clean(said[key])}</small></dd></div>" for label, key in _FACTS
    )
    today = "".join(f"<li>{clean(sentence)}</li>" for sentence in said["today"])
    against = (
        '<div class="notices"><div class="notice not-met"><p><i>\u2715</i><strong>Today this model is not to be used'
        f"</strong></p><ul>{today}</ul></div></div>"
        if today
        else ""
    )
    sections = "".join(
        f"<section><h2>{title}</h2>{_table(said[rows], columns)}</section>" for title, rows, columns in _SECTIONS
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>Assurance of {clean(said['use_case'])}</title><style>{STYLE}{_WIDTHS}</style></head><body><header>"
        f'<p class="brand"><span>Custody</span><span>{clean(said["made"])}</span></p>'
        f"<h1>Assurance statement of {clean(said['use_case'])}</h1>"
        f'<p class="lead">{clean(said["headline"])}.</p><p class="note">Decided in entry '
        f"{clean(said['decided_in'])}, from a ledger that now has {clean(said['entries'])} entries.</p>"
        f'{against}<dl class="facts">{facts}</dl></header><main>{sections}'
        "<section><h2>Check it yourself</h2><p>The statement itself proves nothing. The bundle with the sha256 above, "
        "and a trust root that you got by another way, do; no network and none of Custody is needed.</p>"
        f'<p class="commands"><code>{clean(said["check"])}</code></p></section>'
        "</main></body></html>\n"
    )


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return "<p>Nothing.</p>"
    heads = "".join(f'<th scope="col">{title}</th>' for _, title in (*columns, ("", "Evidence")))
    lines = []
    for row in rows:
        cells = "".join(f"<td>{clean(row[name])}</td>" for name, _ in columns)
        lines.append(f'<tr>{cells}<td class="entries">{clean(_cited(row["entries"]))}</td></tr>')
    kind = f"said columns-{len(columns)}"
    return f'<table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _cited(entries: Sequence[int]) -> str:
    """Name the entries; of many the first and last few, since each claim can be recomputed anyway."""
    if not entries:
        return ""
    shown = list(map(str, entries if len(entries) <= 12 else [*entries[:8], "...", *entries[-3:]]))
    return ("entry " if len(entries) == 1 else "entries ") + ", ".join(shown)


def markdown_assurance(said: Mapping[str, Any]) -> str:
    """Return the statement as Markdown in which no word from outside can be anything but text."""
    lines = [f"# Assurance statement of {_plain(said['use_case'])}", "", f"**{_plain(said['headline'])}**", ""]
    lines += [f"- {label}: {_plain(said[key])}" for label, key in _FACTS]
    for title, rows, columns in _SECTIONS:
        lines += ["", f"## {title}", ""]
        for row in said[rows]:
            told = ": ".join(_plain(row[name]) for name, _ in columns)
            cited = f" ({_cited(row['entries'])})" if row["entries"] else ""
            lines.append(f"- {told}{cited}")
    return "\n".join([*lines, "", "## Check it yourself", "", f"    {_plain(said['check'])}", ""])


def _plain(value: object) -> str:
    """Return text without meaning to a Markdown reader or a terminal."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value))
    return escape(re.sub(r"([\\`*_{}\[\]#|!~])", r"\\\1", text), quote=False)
