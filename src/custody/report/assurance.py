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

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_FACTS = (
    ("Model", "model"),
    ("Decided", "decided_at"),
    ("Ends", "expires"),
    ("Parts", "assurance"),
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
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>Assurance of {clean(said['use_case'])}</title><style>{STYLE}</style></head><body><header>"
        f'<p class="brand"><span>Custody</span><span>{clean(said["made"])}</span></p>'
        f"<h1>Assurance statement of {clean(said['use_case'])}</h1>"
        f'<p class="lead">{clean(said["headline"])}, decided in entry {clean(said["decided_in"])} of '
        f'{clean(said["entries"])}.</p><dl class="facts">{facts}</dl></header><main>'
        f"<section><h2>What weakens it</h2>{_table(said['gaps'], ('kind', 'says'))}</section>"
        f"<section><h2>What is claimed</h2>{_table(said['claims'], ('id', 'says', 'confidence'))}</section>"
        "<section><h2>Check it yourself</h2><p>The statement itself proves nothing. The bundle with the sha256 above, "
        "and a trust root that you got by another way, do; no network and none of Custody is needed.</p>"
        f'<p class="commands"><code>{clean(said["check"])}</code></p></section>'
        "</main></body></html>\n"
    )


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    lines = []
    for row in rows:
        cells = "".join(f"<td>{clean(row[name])}</td>" for name in names)
        lines.append(f"<tr>{cells}<td>{clean(_cited(row['entries']))}</td></tr>")
    return f"<table><tbody>{''.join(lines)}</tbody></table>" if lines else "<p>Nothing.</p>"


def _cited(entries: Sequence[int]) -> str:
    return "entries " + ", ".join(map(str, entries)) if entries else ""


def markdown_assurance(said: Mapping[str, Any]) -> str:
    """Return the statement as Markdown in which no word from outside can be anything but text."""
    lines = [f"# Assurance statement of {_plain(said['use_case'])}", "", f"**{_plain(said['headline'])}**", ""]
    lines += [f"- {label}: {_plain(said[key])}" for label, key in _FACTS]
    for title, rows, names in (
        ("What weakens it", said["gaps"], ("kind", "says")),
        ("What is claimed", said["claims"], ("id", "says", "confidence")),
    ):
        lines += ["", f"## {title}", ""]
        for row in rows:
            told = ": ".join(_plain(row[name]) for name in names)
            cited = f" ({_cited(row['entries'])})" if row["entries"] else ""
            lines.append(f"- {told}{cited}")
    return "\n".join([*lines, "", "## Check it yourself", "", f"    {_plain(said['check'])}", ""])


def _plain(value: object) -> str:
    """Return text without meaning to a Markdown reader or a terminal."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value))
    return escape(re.sub(r"([\\`*_{}\[\]#|!~])", r"\\\1", text), quote=False)
