"""How results of checks and rulings are shown, everywhere alike."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from custody.cli.app import counted, word
from custody.core.decision import Decision, Ruling
from custody.core.evidence import Evidence

WIDE = 100
"""From this width on, in characters, a ruling's reason stands beside its name, else below it."""


def results_body(found: Sequence[Evidence]) -> dict[str, Any]:
    """Return results as JSON-able data."""
    return {
        "results": [
            {
                "check": entry.predicate["check"],
                "entry": entry.index,
                "measures": entry.predicate["measures"],
                "findings": entry.predicate["findings"],
                **({"concealed": entry.predicate["concealed"]} if "concealed" in entry.predicate else {}),
            }
            for entry in found
        ]
    }


def result_lines(found: Iterable[Evidence]) -> list[str]:
    """Return results as lines: each check, its measures, its findings."""
    lines: list[str] = []
    for entry in found:
        lines.append(
            click.style(entry.predicate["check"], bold=True) + click.style(f"  [entry {entry.index}]", dim=True)
        )
        lines += [f"    {measure_line(measure)}" for measure in entry.predicate["measures"]]
        lines += [f"    {line}" for line in finding_lines(entry.predicate["findings"])]
        lines += [f"    {line}" for line in concealed_lines(entry)]
    return lines


def concealed_lines(entry: Evidence) -> list[str]:
    """Return the line that stands for what is concealed: how much it is, and who opens it how."""
    hidden = entry.predicate.get("concealed")
    if hidden is None:
        return []
    counts = ", ".join(f"{count} {severity}" for severity, count in sorted(hidden.get("severities", {}).items()))
    return [f"concealed ({counts or 'no finding'}): custody audit disclose {entry.index}"]


def measure_line(measure: dict[str, Any]) -> str:
    """Return one measure as a line."""
    at = ", ".join(f"{key}={value}" for key, value in measure["at"].items())
    name = measure["name"] + (f" [{at}]" if at else "")
    if measure["value"] is None:
        return f"{name:<44} " + click.style("unknown", fg="magenta") + f"  {measure.get('reason', '')}"
    value, low, high = measure["value"], measure["low"], measure["high"]
    interval = "" if low == high else f"   {low:.4g} to {high:.4g}"
    return f"{name:<44} {value:>9.4g}{interval}   n {measure['n']}"


def finding_lines(findings: Iterable[dict[str, Any]]) -> list[str]:
    """Return findings as lines: what, where, why, and what to do."""
    colours = {"critical": "red", "warning": "yellow", "info": "blue"}
    lines = []
    for finding in findings:
        severity = click.style(finding["severity"], fg=colours.get(finding["severity"], "white"))
        where = f" in {finding['where']}" if finding["where"] else ""
        lines.append(f"{severity}: {finding['what']}{where}")
        lines += [f"    {finding[key]}" for key in ("why", "fix") if finding[key]]
    return lines


def exit_of_findings(found: Iterable[Evidence]) -> int:
    """Return 1 for a critical finding, 3 when something could not be measured, else 0."""
    code = 0
    for entry in found:
        hidden = entry.predicate.get("concealed", {}).get("severities", {})
        if hidden.get("critical") or any(f["severity"] == "critical" for f in entry.predicate["findings"]):
            return 1
        if all(measure["value"] is None for measure in entry.predicate["measures"]):
            code = 3
    return code


def ruling_lines(rulings: Iterable[Ruling], width: int = 0) -> list[str]:
    """Return rulings as lines, with the entries they rest on, wrapped with a hanging indent.

    `width` is in characters; 0 asks the terminal, and wraps nothing where there is none.
    """
    width = width or _width()
    lines: list[str] = []
    for ruling in rulings:
        entries = ", ".join(map(str, ruling.entries[:6])) + (" ..." if len(ruling.entries) > 6 else "")
        tail = f"  [{entries}]" if entries else ""
        if not width:
            lines.append(f"  {word(ruling.status)} {ruling.id:<30} {ruling.reason}{click.style(tail, dim=True)}")
            continue
        indent = " " * (42 if width >= WIDE else 11)
        parts = textwrap.wrap(ruling.reason + tail, max(20, width - len(indent)))
        head = f"  {word(ruling.status)} {ruling.id:<30}"
        if width >= WIDE and len(ruling.id) <= 30:
            lines.append(f"{head} {parts[0] if parts else ''}".rstrip())
            parts = parts[1:]
        else:
            lines.append(head.rstrip())
        lines += [indent + part for part in parts]
    return lines


def _width() -> int:
    """Return the terminal's width, 0 where the output goes elsewhere."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return 0
    return shutil.get_terminal_size((80, 24)).columns


def decision_lines(decision: Decision, entry: int) -> list[str]:
    """Return a decision: the answer first, then every reason."""
    against = decision.failing()
    head = word(decision.verdict).strip()
    lines = [f"{head}  model {decision.model[:12]}  decided in entry {entry}, from {decision.size} entries"]
    if decision.assurance == "solo":
        lines.append(
            click.style("  SOLO: one person played every part; there was no separation of duties.", fg="yellow")
        )
    lines += ruling_lines(against)
    lines += ruling_lines(ruling for ruling in decision.rulings if ruling not in against)
    return lines + account_lines(decision.account)


def account_lines(account: Mapping[str, Any]) -> list[str]:
    """Return who signed and dissented, what was waived and tried, and what the criteria replace."""
    if not account:
        return []
    tried = account["tried"]
    best = f", best-of-{tried['models']} adjusted" if tried["adjusted"] else ""
    lines = [
        "",
        f"  tried     {counted(tried['started'], 'attempt')} ({tried['aborted']} aborted), "
        f"{counted(tried['models'], 'model')} measured in {counted(tried['openings'], 'opening')}{best}",
        "  signed    "
        + "; ".join(_signed(part, account["signers"]) for part in _PARTS if _signed(part, account["signers"])),
    ]
    for waiver in account["waivers"]:
        state = f"until {waiver['expires']}" if waiver["counts"] else f"does not count: {waiver['why_not']}"
        lines.append(f"  waiver    {waiver['criterion']} by {waiver['person']} (entry {waiver['entry']}), {state}")
        lines.append(f"            because {waiver['reason']}; meanwhile {waiver['control']}")
    for dissent in account["dissent"]:
        state = "" if dissent["stands"] else ", taken back since"
        lines.append(f"  dissent   {dissent['person']} (entry {dissent['entry']}{state}): {dissent['reason']}")
    if account["amended"] is not None:
        lines.append(f"  amended   the criteria replace earlier ones; {counted(len(account['amended']), 'change')}")
        lines += [f"            {change}" for change in account["amended"]]
    return lines


_PARTS = ("author", "countersigner", "trainer", "validator", "approver")


def _signed(part: str, signers: Sequence[Mapping[str, Any]]) -> str:
    names = [f"{s['person']}{' (void)' if s['void'] else ''}" for s in signers if s["part"] == part]
    return f"{part} {', '.join(names)}" if names else ""
