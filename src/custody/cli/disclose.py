"""`custody audit disclose`: open what an entry conceals, and check what somebody opened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from custody.cli.app import App, face, writable
from custody.cli.results import finding_lines
from custody.core.strictjson import MAX_BYTES


@click.command()
@click.argument("entry", type=int, required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the opening there, for your eyes only.")
@click.option(
    "--check", "opening", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Check this one."
)
@face
def disclose(app: App, entry: int | None, output: Path | None, opening: Path | None) -> None:
    """Open what ENTRY conceals for those who may read it, or check an opening that somebody handed over."""
    from custody.errors import InvalidInput
    from custody.given import read_given
    from custody.stages import disclosure

    if (entry is None) == (opening is None):
        raise InvalidInput("name either an ENTRY to open or an opening to check", hint="custody audit disclose --help")
    desk = app.custody.desk
    if opening is not None:
        found = disclosure.check(desk.read(), read_given(opening, MAX_BYTES))
        told = f"This is what entry {found.entry.index} committed to."
        app.show({"entry": found.entry.index, "genuine": True}, [told])
        return
    found = disclosure.disclose(desk, app.custody.vault, app.actor, int(entry or 0))
    body = found.to_json()
    if output is not None:
        _write_private(writable(output), json.dumps(body, indent=2, sort_keys=True) + "\n")
        body = {"entry": found.entry.index, "opening": str(output)}
        app.show(body, [f"{output} holds what entry {found.entry.index} conceals; it is in the clear there."])
    lines = [f"{found.entry.predicate['check']} about {found.entry.subject.name} {found.entry.subject.short}"]
    lines += [f"  {line}" for line in finding_lines(found.content.get("findings", []))]
    lines += [f"  {name}: {json.dumps(value)}" for name, value in sorted(found.content.get("details", {}).items())]
    app.show(body, lines)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
