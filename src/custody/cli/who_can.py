"""`custody who-can`: the answer to who may change the data, start a run, read the weights."""

from __future__ import annotations

from typing import Any

import click

from custody.cli.app import App, face


def told(pairs: tuple[str, ...], **given: str) -> dict[str, Any]:
    """Read circumstances: true, false, a whole number, or text."""
    from custody.errors import InvalidInput

    found: dict[str, Any] = {name: value for name, value in given.items() if value}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{pair!r} is no circumstance", hint="--with mfa=true, --with clearance=2")
        if value in ("true", "false"):
            found[name] = value == "true"
        else:
            found[name] = int(value) if value.lstrip("-").isdigit() and len(value) < 19 else value
    return found


@click.command("who-can")
@click.argument("action")
@click.argument("resource", default="")
@click.option("--at", default="", metavar="WHEN", help="An earlier time: an entry's number, a date, or a moment.")
@click.option("--stage", default="", help="Assume this stage of the model's life.")
@click.option("--environment", default="", help="Assume this environment, such as production.")
@click.option("--purpose", default="", help="Assume that this purpose is named, such as evaluation.")
@click.option("--with", "pairs", multiple=True, metavar="NAME=VALUE", help="Assume more, as mfa=true.")
@face
def who_can(
    app: App,
    action: str,
    resource: str,
    at: str,
    stage: str,
    environment: str,
    purpose: str,
    pairs: tuple[str, ...],
) -> None:
    """List exactly who may do ACTION to RESOURCE, by what right, until when, and whether they used it.

    \b
    custody who-can data.modify fraud-train@v3 --at 2026-03-01
    custody who-can run.start
    custody who-can weights.read
    """
    from custody.core.access import Action
    from custody.errors import InvalidInput
    from custody.records import rights

    if action not in list(Action):
        raise InvalidInput(f"{action!r} is not an action", hint=f"actions: {', '.join(sorted(Action))}")
    desk = app.custody.desk
    then = rights.moment_of(desk, at)
    where, about = rights.what(then, desk.rules.type_of(action), app.use_case, resource)
    assumed = told(pairs, stage=stage, environment=environment, purpose=purpose)
    found = rights.who_can(desk, then, action, where, about, assumed)
    rows = [
        {
            "name": able.name,
            "person": able.person,
            "rule": able.access.rule,
            "until": able.until,
            "rights": [holding.sentence() for holding in able.holdings],
            "used": None if able.used is None else list(able.used),
        }
        for able in found
    ]
    thing = f"{where.type} {resource or '(a new one)'}"
    lines = [f"{action} on {thing}, after {then.size} entries: {len(rows) or 'nobody'}"]
    for row, able in zip(rows, found, strict=True):
        person = f" ({able.person})" if able.person != able.name else ""
        lines.append(f"  {able.name}{person}  {'; '.join(holding.sentence() for holding in able.holdings)}")
        lines.append(f"      {_used(able.used)}; rule {row['rule']}")
    body = {"action": action, "type": where.type, "resource": where.id, "entries": then.size, "who": rows}
    app.show(body, lines)


def _used(entries: Any) -> str:
    if entries is None:
        return "use leaves no entry"
    if not entries:
        return "never used"
    shown = ", ".join(str(entry) for entry in entries[-5:])
    return f"used {len(entries)} times: [{shown}]" if len(entries) > 1 else f"used once: [{shown}]"
