"""`custody retire`: destroy a model for ever."""

from __future__ import annotations

import json
from pathlib import Path

import click

from custody.cli.app import App, face, writable


@click.command()
@click.argument("model", default="")
@click.option("--reason", required=True)
@click.option(
    "--search", multiple=True, type=click.Path(path_type=Path, exists=True), help="Also look for copies there."
)
@click.option("--certificate", type=click.Path(path_type=Path), help="Write the certificate there, as JSON.")
@click.option("--yes", is_flag=True, help="Do not ask: there is no way back.")
@face
def retire(app: App, model: str, reason: str, search: tuple[Path, ...], certificate: Path | None, yes: bool) -> None:
    """Destroy the key of MODEL. Deployments are listed first; readable copies must be gone."""
    from custody.records.lineage import find_model
    from custody.stages.retirement import dependants
    from custody.stages.retirement import retire as destroy

    if certificate is not None:
        writable(certificate)
    custody = app.custody
    record = custody.desk.read()
    finish = find_model(record, app.use_case, model)
    for entry in dependants(record, finish.subject.sha256):
        app.say(f"  deployed to {entry.predicate['environment']} (entry {entry.index})")
    if not yes and not app.json:
        click.confirm(f"Destroy model {finish.subject.short} for ever?", abort=True, err=True)
    places = [custody.config.root, *search]
    said = destroy(custody.desk, custody.vault, app.actor, app.use_case, finish.subject.sha256, reason, places)
    body = {**said.predicate, "model": said.subject.sha256, "entry": said.index, "statement": said.digest}
    if certificate is not None:
        certificate.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    canary = said.predicate["canary"]
    lines = [
        f"Model {said.subject.short} is retired (entry {said.index}).",
        f"  its key {said.predicate['key_commitment'][:12]} is destroyed: opened before: {_yes(canary['before'])}, "
        f"opens now: {_yes(canary['after'])}",
        f"  no readable copy below {', '.join(said.predicate['copies']['searched'])}",
        f"  not searched: {said.predicate['copies']['not_searched']}",
    ]
    app.show(body, lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
