"""`custody keys root`: who owns the ledger, how many must agree, who witnesses it, whose key signs checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custody.cli.app import App, Group, face, writable

if TYPE_CHECKING:
    from custody.stages.roots import Proposal
    from custody.wiring import Custody

_FILE = click.Path(path_type=Path)


@click.group(cls=Group)
def root() -> None:
    """Show and change the trust root: owners, threshold, witnesses, the log's key.

    \b
    custody keys root propose --add-owner bea --add-owner cas --threshold 2 -o root.json
    custody keys root sign root.json --as bea      each owner, old and new, as many as the thresholds ask for
    custody keys root apply root.json              the ledger follows it from the next entry on
    """


@root.command()
@face
def show(app: App) -> None:
    """Show the trust root in force, and the versions before it."""
    roster = app.custody.desk.roster()
    now = roster.root
    lines = [
        f"root {now.version} of {app.custody.config.origin}",
        *(f"  owner    {owner.name} ({owner.person}), key {owner.keyid[:12]}" for owner in now.owners),
        f"  agree    {now.threshold} of {len(now.persons)}",
        *(f"  witness  {witness.name}" for witness in now.witnesses),
        f"  cosign   {now.quorum} of {len(now.witnesses)}",
        f"  log key  {now.log_key}",
        f"  ends     {now.expires or 'never'}",
    ]
    if now.version > 1:
        lines.append(f"  digest   {now.digest}")
    versions = [{"version": one.version, "entry": index, "digest": one.digest} for index, one in roster.roots]
    app.show({"root": now.to_json(), "digest": now.digest, "versions": versions}, lines)


@root.command()
@click.option("--add-owner", "add", multiple=True, metavar="NAME", help="Make NAME, who is on record, an owner.")
@click.option("--drop-owner", "drop", multiple=True, metavar="NAME", help="NAME is an owner no longer.")
@click.option(
    "--owner-key", "owner_keys", multiple=True, metavar="NAME=FILE", help="A new key for an owner: request or PEM."
)
@click.option("--threshold", type=int, help="How many owners, counted as persons, must agree.")
@click.option("--add-witness", "witnesses", multiple=True, metavar="VKEY", help="A witness's verifier key.")
@click.option("--drop-witness", "forget", multiple=True, metavar="NAME", help="Believe this witness no longer.")
@click.option("--quorum", type=int, help="How many witnesses must cosign a checkpoint.")
@click.option("--log-key", default="", metavar="BASE64", help="The log's new public key; see custody keys rotate-log.")
@click.option("--expires", metavar="MOMENT", help='ISO 8601 with a time zone; "" for never.')
@click.option("-o", "--output", type=_FILE, default="root.json", show_default=True)
@face
def propose(
    app: App,
    add: tuple[str, ...],
    drop: tuple[str, ...],
    owner_keys: tuple[str, ...],
    threshold: int | None,
    witnesses: tuple[str, ...],
    forget: tuple[str, ...],
    quorum: int | None,
    log_key: str,
    expires: str | None,
    output: Path,
) -> None:
    """Write a new trust root for the owners to sign. Nothing is in force yet."""
    from custody.errors import InvalidInput
    from custody.stages.roots import Edit, told
    from custody.stages.roots import propose as make
    from custody.wiring import brought_key

    custody = app.custody
    target = writable(output)
    brought: dict[str, str] = {}
    for pair in owner_keys:
        name, equals, file = pair.partition("=")
        if not equals:
            raise InvalidInput(f"{pair!r} is not NAME=FILE", hint="--owner-key olga=olga.request.json")
        brought[name] = brought_key(custody, name, Path(file))
    edit = Edit(add, drop, brought, threshold, witnesses, forget, quorum, log_key, expires)
    proposal = make(custody.desk, edit)
    _write(custody, target, proposal)
    lines = [*told(proposal, custody.desk.roster().root), f"next: custody keys root sign {target} --as OWNER"]
    app.show({"proposal": str(target), "root": proposal.root.to_json(), "digest": proposal.root.digest}, lines)


@root.command()
@click.argument("file", type=_FILE)
@face
def sign(app: App, file: Path) -> None:
    """Show what a proposed root changes, and add your signature to it."""
    from custody.stages.roots import missing, told
    from custody.stages.roots import sign as put

    custody = app.custody
    proposal = put(custody.desk, _read(custody, file), custody.signer(app.actor))
    _write(custody, file, proposal)
    why = missing(custody.desk, proposal)
    lines = told(proposal, custody.desk.roster().root)
    lines.append(f"next: {why}" if why else f"next: custody keys root apply {file}")
    app.show({"proposal": str(file), "signatures": len(proposal.signatures), "missing": why}, lines)


@root.command()
@click.argument("file", type=_FILE)
@face
def apply(app: App, file: Path) -> None:
    """Put a proposed root in force once enough owners, old and new, have signed it."""
    custody = app.custody
    _show_applied(app, _install(custody, app.actor, _read(custody, file)))


@click.command("rotate-log")
@click.option("-o", "--output", type=_FILE, default="root.json", show_default=True)
@face
def rotate_log(app: App, output: Path) -> None:
    """Make a new key for the log, and a trust root that puts it in force.

    With a threshold of one it is in force at once; else the other owners sign the file first.
    """
    from custody.seal.keys import raw_to_text
    from custody.stages.roots import Edit, missing, propose, sign

    custody = app.custody
    target = writable(output)
    signer = custody.signer(app.actor)
    if custody.desk.roster().root.owner(signer.keyid) is None:
        from custody.core.access import Action

        custody.desk.permit(app.actor, Action.SIGN_ROOT)
    key, place = custody.key_files.make_log_key()
    proposal = sign(custody.desk, propose(custody.desk, Edit(log_key=raw_to_text(key.public))), signer)
    if why := missing(custody.desk, proposal):
        _write(custody, target, proposal)
        body = {"proposal": str(target), "private_key": str(place), "missing": why}
        app.show(
            body, [f"The log's new key lies in {place}.", f"next: {why}: custody keys root sign {target} --as OWNER"]
        )
    _show_applied(app, _install(custody, app.actor, proposal))


@click.command("export-trust")
@click.option("-o", "--output", type=_FILE, default="trust.json", show_default=True)
@face
def export_trust(app: App, output: Path) -> None:
    """Write what a reader must know by another way than the bundle, with the newest root and size as pins.

    A reader who holds it refuses a ledger that was rolled back behind it.
    """
    from dataclasses import replace

    from custody.ledger.trust import write_trust

    custody = app.custody
    record, newest = custody.desk.read(), custody.desk.roster().root
    trust = replace(
        custody.trust, version=newest.version, digest=newest.digest, seen_size=record.size, seen_root=record.root
    )
    write_trust(writable(output), trust)
    lines = [f"{output}: trust root of {trust.origin}, root {trust.version}, {record.size} entries seen."]
    app.show({"trust": str(output), "root": trust.version, "digest": trust.digest, "size": record.size}, lines)


def _install(custody: Custody, by: str, proposal: Proposal) -> Any:
    """Install a root; when it names a new key for the log, under that key, which must be here."""
    from custody.stages.roots import install

    present = custody.desk.roster().root
    if proposal.root.log_key == present.log_key:
        return install(custody.desk, by, proposal)
    return install(custody.desk_under(custody.log_key(proposal.root.log_key)), by, proposal)


def _show_applied(app: App, entry: Any) -> None:
    said = entry.predicate
    lines = [
        f"Root {said['version']} is in force (entry {entry.index}).",
        f"  {said['threshold']} owners must agree; the log's key is {said['log_key']}",
        "next: custody keys export-trust -o trust.json, for readers to pin",
    ]
    app.show({"version": said["version"], "entry": entry.index, "digest": entry.subject.sha256}, lines)


def _read(custody: Custody, file: Path) -> Proposal:
    from custody.errors import InvalidInput
    from custody.given import read_given
    from custody.stages.roots import MAX_PROPOSAL_BYTES, read_proposal

    try:
        raw = read_given(file, MAX_PROPOSAL_BYTES)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", hint="check the file's name") from None
    return read_proposal(raw, custody.config.origin)


def _write(custody: Custody, file: Path, proposal: Proposal) -> None:
    from custody.errors import Unavailable
    from custody.stages.roots import write_proposal

    try:
        file.write_bytes(write_proposal(custody.config.origin, proposal))
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error.strerror}", hint="name another place with -o") from None
