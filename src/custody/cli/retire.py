"""`custody retire`: order, confirm and carry out the destruction of a model; hold it; change the root key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from custody.cli.app import App, Group, counted, face, show_options_of, writable
from custody.errors import InvalidInput

REASON = click.option("--reason", required=True, help="Why; it goes on record.")
DATA = click.option("--data", is_flag=True, help="The name is that of a dataset.")
SEARCH = click.option(
    "--search", multiple=True, type=click.Path(path_type=Path, exists=True), help="Also look for copies there."
)
CERTIFICATE = click.option("--certificate", type=click.Path(path_type=Path), help="Write the certificate there.")
YES = click.option("--yes", is_flag=True, help="Do not ask: there is no way back.")


class _Retire(Group):
    """`retire MODEL` destroys; the other commands prepare it, hold it back, or change the root key."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read anything that is not a command of its own as a model to destroy."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["destroy", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `retire MODEL` as well: that is what most people come for."""
        show_options_of(self.commands["destroy"], ctx, formatter, "retire [MODEL]")
        super().format_options(ctx, formatter)


@click.group(cls=_Retire, no_args_is_help=True)
def retire() -> None:
    """Destroy the key of a model for ever, with a certificate. Readable copies must be gone first.

    \b
    custody retire order MODEL --reason "..."     in tier high one person orders it
    custody retire confirm MODEL --as NAME        and another confirms
    custody retire MODEL --reason "..."           then it is carried out
    """


@retire.command(hidden=True)
@click.argument("model", default="")
@REASON
@SEARCH
@CERTIFICATE
@YES
@face
def destroy(app: App, model: str, reason: str, search: tuple[Path, ...], certificate: Path | None, yes: bool) -> None:
    """Destroy the key of MODEL. Deployments are listed first; readable copies must be gone."""
    from custody.records.lineage import find_model
    from custody.stages.retirement import dependants
    from custody.stages.retirement import retire as carry_out

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
    said = carry_out(custody.desk, custody.vault, app.actor, app.use_case, finish.subject.sha256, reason, places)
    _certified(app, said, f"Model {said.subject.short} is retired", certificate)


@retire.command()
@click.argument("name")
@REASON
@SEARCH
@CERTIFICATE
@YES
@face
def data(app: App, name: str, reason: str, search: tuple[Path, ...], certificate: Path | None, yes: bool) -> None:
    """Erase the dataset NAME: delete its files yourself first; what checks concealed about it is destroyed."""
    from custody.stages.retirement import retire_data

    if certificate is not None:
        writable(certificate)
    custody = app.custody
    if not yes and not app.json:
        click.confirm(f"Destroy what is concealed about {name} for ever?", abort=True, err=True)
    places = [custody.config.root, *search]
    said = retire_data(custody.desk, custody.vault, app.actor, app.use_case, name, reason, places)
    _certified(app, said, f"Dataset {name} is erased", certificate)


@retire.command()
@click.argument("model", default="")
@REASON
@DATA
@click.option("--dispose", multiple=True, metavar="ASSET=WHAT", help="retain, archive or erase what belongs to it.")
@click.option("--due", default="", help="From when on it is to be done: a date and time with a time zone.")
@face
def order(app: App, model: str, reason: str, data: bool, dispose: tuple[str, ...], due: str) -> None:
    """Order that MODEL be destroyed, and say what becomes of its data and logs."""
    from custody.stages.retirement import order as give_order

    pairs = [text.partition("=") for text in dispose]
    if any(not sign or not asset for asset, sign, _ in pairs):
        raise InvalidInput("--dispose must be of the form ASSET=WHAT", hint="--dispose prediction-logs=archive")
    wanted = {asset: what for asset, _, what in pairs}
    said = give_order(app.custody.desk, app.actor, app.use_case, model, reason, wanted, due, data=data)
    rows = said.predicate["dispositions"]
    lines = [f"The retirement of {said.subject.name} {said.subject.short} is ordered (entry {said.index})."]
    lines += [f"  {row['asset']}: {row['disposition']}" for row in rows]
    lines.append("next: another person confirms it: custody retire confirm --as NAME")
    app.show(
        {"entry": said.index, "order": said.digest, "subject": said.subject.sha256, "dispositions": rows, "due": due},
        lines,
    )


@retire.command()
@click.argument("model", default="")
@click.option("--reason", default="seen, and agreed to", show_default=True, help="Why; it goes on record.")
@DATA
@face
def confirm(app: App, model: str, reason: str, data: bool) -> None:
    """Sign the newest order about MODEL as a second person."""
    from custody.stages.countersigning import countersign
    from custody.stages.retirement import order_to_confirm

    desk = app.custody.desk
    ordered = order_to_confirm(desk, app.actor, app.use_case, model, data=data)
    app.say(f"  ordered by {ordered.person} (entry {ordered.index}): {ordered.predicate['reason']}")
    said = countersign(desk, app.actor, ordered.digest, reason)
    lines = [f"The order in entry {ordered.index} is confirmed by {said.person} (entry {said.index})."]
    app.show({"entry": said.index, "order": ordered.digest, "by": [ordered.person, said.person]}, lines)


@retire.command()
@click.argument("model", default="")
@click.option("--matter", required=True, help="The case, audit or request it is for.")
@REASON
@DATA
@face
def hold(app: App, model: str, matter: str, reason: str, data: bool) -> None:
    """Forbid to destroy MODEL, or without MODEL anything of this use case, while a matter is open."""
    from custody.stages.legal_hold import place

    subject = _subject(app, model, data=data)
    said = place(app.custody.desk, app.actor, app.use_case, subject, matter, reason)
    line = f"{subject.name} is held for {matter} (entry {said.index}): nothing of it is destroyed."
    app.show({"entry": said.index, "matter": matter, "subject": subject.sha256}, [line])


@retire.command()
@click.argument("model", default="")
@click.option("--matter", required=True, help="The matter that has ended.")
@REASON
@DATA
@face
def lift(app: App, model: str, matter: str, reason: str, data: bool) -> None:
    """End the hold on MODEL, or without MODEL that on the use case."""
    from custody.stages.legal_hold import lift as end

    subject = _subject(app, model, data=data)
    said = end(app.custody.desk, app.actor, app.use_case, subject, matter, reason)
    app.show({"entry": said.index, "matter": matter}, [f"The hold for {matter} is lifted (entry {said.index})."])


@retire.command()
@face
def holds(app: App) -> None:
    """List the holds that are open."""
    from custody.core import predicates as kinds
    from custody.records.retired import open_holds

    record = app.custody.desk.read()
    subjects = [entry.subject.sha256 for entry in record.of_kind(kinds.LEGAL_HOLD)]
    found = open_holds(record, app.use_case, subjects)
    rows = [{"entry": e.index, "matter": e.predicate["matter"], "about": e.subject.name, "by": e.person} for e in found]
    lines = [f"  {row['matter']}: {row['about']}, by {row['by']}  [entry {row['entry']}]" for row in rows]
    app.show({"holds": rows}, lines or ["Nothing is held."])


@retire.command("root-key")
@REASON
@face
def root_key(app: App, reason: str) -> None:
    """Change the vault's root key: every model key is wrapped anew, and the old root key is overwritten."""
    from custody.stages.retirement import retire_root

    custody = app.custody
    said = retire_root(custody.desk, custody.vault, app.actor, app.use_case, reason)
    old, new = said.predicate["key_commitment"], said.predicate["successor"]
    lines = [
        f"The root key {old[:12]} is destroyed, {new[:12]} is in force (entry {said.index}).",
        f"  {counted(said.predicate['rewrapped'], 'key')} wrapped anew; no ciphertext was touched",
        "  back up the new root key apart from the vault; backups of the old one are for you to destroy",
    ]
    app.show({"entry": said.index, "old": old, "new": new, "rewrapped": said.predicate["rewrapped"]}, lines)


def _subject(app: App, name: str, *, data: bool) -> Any:
    from custody.core.subject import use_case_subject
    from custody.records.datasets import dataset
    from custody.records.lineage import find_model

    record = app.custody.desk.read()
    if data:
        return dataset(record, name).subject
    return find_model(record, app.use_case, name).subject if name else use_case_subject(app.use_case)


def _certified(app: App, said: Any, headline: str, certificate: Path | None) -> None:
    body: Mapping[str, Any] = {
        **said.predicate,
        "model": said.subject.sha256,
        "entry": said.index,
        "statement": said.digest,
    }
    if certificate is not None:
        certificate.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    canary = said.predicate["canary"]
    lines = [f"{headline} (entry {said.index})."]
    if said.predicate["key_commitment"]:
        lines.append(
            f"  its key {said.predicate['key_commitment'][:12]} is destroyed: opened before: "
            f"{_yes(canary['before'])}, opens now: {_yes(canary['after'])}"
        )
    lines += [f"  {row['asset']}: {row['disposition']}" for row in said.predicate.get("dispositions", [])]
    lines += [
        f"  no readable copy below {', '.join(said.predicate['copies']['searched'])}",
        f"  not searched: {said.predicate['copies']['not_searched']}",
    ]
    app.show(dict(body), lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
