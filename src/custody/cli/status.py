"""`custody status` and `custody next`: how it stands, and who does what now."""

from __future__ import annotations

from dataclasses import asdict

import click

from custody.cli.app import App, face, word


@click.command()
@click.argument("use_case", default="")
@face
def status(app: App, use_case: str) -> None:
    """Show how the newest model stands, stage by stage, with the evidence behind each line."""
    from custody.records.status import standing

    name = use_case or app.use_case
    desk = app.custody.desk
    record = desk.read()
    found = standing(record, name, list(desk.roster().actors.values()), desk.time())
    if not found.tier:
        from custody.errors import NotFound

        raise NotFound(f"use case {name!r} is not on record", hint="custody init")
    fresh = app.custody.freshness()
    solo = "   SOLO: no separation of duties" if found.solo else ""
    lines = [f"{name}  tier {found.tier}   model {found.model[:12] or '-'}   {record.size} entries{solo}", ""]
    for state in found.stages:
        entries = ", ".join(map(str, state.entries[-3:]))
        tail = click.style(f"  [{'...' if len(state.entries) > 3 else ''}{entries}]" if entries else "", dim=True)
        lines.append(f"  {state.stage:<11} {word(state.state)} {state.sentence}{tail}")
    entries = ", ".join(map(str, found.access.entries[-3:]))
    tail = click.style(f"  [{entries}]" if entries else "", dim=True)
    lines += ["", f"  {'access':<11} {word(found.access.state)} {found.access.sentence}{tail}"]
    lines += ["", f"  {fresh.sentence[0].upper()}{fresh.sentence[1:]}"]
    if found.steps:
        step = found.steps[0]
        lines += ["", f"next: {step.command}   ({_who(step.persons, step.roles)})"]
    app.show({**asdict(found), "entries": record.size, "fresh": fresh.proven, "freshness": fresh.to_json()}, lines)


@click.command("next")
@click.argument("use_case", default="")
@click.option("--role", default="", help="Only what this role has to do.")
@face
def next_(app: App, use_case: str, role: str) -> None:
    """List what is to be done now, by whom, with the exact command and the reason."""
    from custody.cli.init import ROLES
    from custody.errors import InvalidInput
    from custody.records.status import standing

    if role and role not in ROLES:
        raise InvalidInput(f"{role!r} is not a role", hint=f"roles: {', '.join(ROLES)}")
    desk = app.custody.desk
    name = use_case or app.use_case
    found = standing(desk.read(), name, list(desk.roster().actors.values()), desk.time())
    steps = [step for step in found.steps if not role or role in step.roles]
    lines: list[str] = []
    for step in steps:
        lines.append(click.style(step.command, bold=True))
        lines.append(f"    {_who(step.persons, step.roles)}: {step.why}")
    app.show({"steps": [asdict(step) for step in steps]}, lines or ["Nothing is waiting."])


def _who(persons: tuple[str, ...], roles: tuple[str, ...]) -> str:
    return " or ".join(persons) if persons else f"nobody yet: needs {' or '.join(roles)}"
