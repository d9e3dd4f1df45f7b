"""`custody keys`: whose keys are on record, where they lie, and the trust root that says who owns the ledger."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custody.cli.app import App, Group, face, writable
from custody.cli.root import export_trust, root, rotate_log

if TYPE_CHECKING:
    from custody.core.evidence import Evidence
    from custody.wiring import Custody


@click.group(cls=Group)
def keys() -> None:
    """Look after keys: who signs with what, new keys for old ones, and the trust root.

    \b
    custody keys list                     whose keys are on record, and where they lie
    custody keys new dana                 dana makes a key on her machine; an owner enrols the request
    custody keys rotate dana --key FILE   a new key for a name on record
    custody keys revoke dana --reason "the laptop was stolen" --compromised-since 40
    custody keys root show                who owns the ledger, and how many of them must agree
    """


keys.add_command(root)
keys.add_command(rotate_log)
keys.add_command(export_trust)


@keys.command("list")
@face
def list_keys(app: App) -> None:
    """Show whose keys are on record, since which entry, until when, and where the private ones lie."""
    custody = app.custody
    record, roster = custody.desk.read(), custody.desk.roster()
    since: dict[str, int] = {}
    for entry in record:
        for keyid in _named(entry):
            since.setdefault(keyid, entry.index)
    rows, bare = [], []
    for name, actor in sorted(roster.actors.items()):
        holder = roster.book.holders[name]
        place, encrypted = _place(custody, name)
        if encrypted is False:
            bare.append(name)
        rows.append(
            {
                "name": name,
                "person": actor.person,
                "account": holder.account,
                "roles": sorted(str(role) for role in actor.roles),
                "keyid": actor.keyid,
                "since": since.get(actor.keyid, 0),
                "expires": holder.expires,
                "private_key": place,
                "encrypted": encrypted,
            }
        )
    waiting = [_waiting(one) for one in roster.pending.values()]
    lines = [
        f"{row['name']:<14} {row['account']:<8} {str(row['keyid'])[:12]}  since entry {row['since']:<5} "
        + (f"until {row['expires']}  " if row["expires"] else "")
        + f"{row['private_key']}{'  NOT ENCRYPTED' if row['encrypted'] is False else ''}"
        for row in rows
    ]
    lines += [f"waits: {one['kind']} of {one['name']} in entry {one['entry']}" for one in waiting]
    if waiting:
        lines.append(f"next: another owner signs: custody gate countersign {waiting[0]['entry']} --reason WHY")
    if bare:
        lines.append(f"Whoever reads these files signs as {', '.join(bare)}. New keys are encrypted when")
        lines.append("CUSTODY_PASSPHRASE is set; custody keys rotate NAME replaces one that is not.")
    app.show({"keys": rows, "waiting": waiting, "not_encrypted": bare}, lines)


@keys.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The request; the default is NAME.request.json.")
@face
def new(app: App, name: str, output: Path | None) -> None:
    """Make a key for NAME on this machine, and a request that an owner enrols.

    The private key stays here: in the folder CUSTODY_KEYS, or with the project's keys. For a name on record the
    old key signs until an owner has put the new one in its place.
    """
    from custody.desk import check_name
    from custody.seal.request import write_request

    custody = app.custody
    check_name(name)
    target = writable(output or Path(f"{name}.request.json"))
    actor = custody.desk.roster().actors.get(name)
    key, place = replace(custody.key_files, passphrase=_passphrase(app)).make(name, actor.keyid if actor else "")
    target.write_bytes(write_request(custody.config.origin, name, key.public, key))
    todo = (
        f"custody keys rotate {name} --key {target}"
        if actor
        else f"custody init person {name} --role ROLE --key {target}"
    )
    lines = [f"The private key of {name} lies in {place}.", f"  key id {key.keyid}", f"next, by an owner: {todo}"]
    body = {"name": name, "keyid": key.keyid, "private_key": str(place), "request": str(target)}
    app.show(body, lines)


@keys.command()
@click.argument("name")
@click.option(
    "--key", type=click.Path(path_type=Path), help="The new public key, or the request; else one is made here."
)
@face
def rotate(app: App, name: str, key: Path | None) -> None:
    """Put a new key of NAME on record: from then on the old one signs nothing; what it signed stays good."""
    from custody.stages.people import rotate as replace_key
    from custody.wiring import brought_key

    custody = app.custody
    actor = custody.desk.actor(name)
    if key is not None:
        public = brought_key(custody, name, key)
    else:
        made, _ = replace(custody.key_files, passphrase=_passphrase(app)).make(name, actor.keyid)
        public = made.public
    said = replace_key(custody.desk, app.actor, name, public)
    waits = said.digest in custody.desk.roster().pending
    lines = [f"{name} has a new key, {said.predicate['keyid'][:12]} (entry {said.index})."]
    if waits:
        lines = [f"The new key of {name} waits in entry {said.index} for other owners."]
        lines.append(f"next: custody gate countersign {said.index} --reason WHY")
    app.show({"name": name, "keyid": said.predicate["keyid"], "entry": said.index, "waits": waits}, lines)


@keys.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why, in a sentence; it goes on record.")
@click.option(
    "--compromised-since", "since", type=int, metavar="ENTRY", help="What it signed from this entry on is void."
)
@click.option(
    "--key", "keyid", default="", metavar="KEYID", help="An older key of NAME; the default is the present one."
)
@face
def revoke(app: App, name: str, reason: str, since: int | None, keyid: str) -> None:
    """Revoke a key of NAME, at once. Void statements cannot help a model any more, and can still harm it."""
    from custody.stages.people import revoke_key

    desk = app.custody.desk
    said = revoke_key(desk, app.actor, name, reason, since, keyid)
    void = sorted(desk.read().void)
    lines = [f"The key {said.predicate['keyid'][:12]} of {name} is revoked (entry {said.index})."]
    if since is not None:
        lines.append(f"  {len(void)} entries are void: {', '.join(map(str, void[:20])) or 'none'}")
    if name not in desk.roster().actors:
        lines.append(f"next: custody keys new {name}, if they are to come back")
    app.show({"name": name, "keyid": said.predicate["keyid"], "entry": said.index, "void": void}, lines)


def _named(entry: Evidence) -> list[str]:
    """Return the key ids that an entry puts on record."""
    from custody.core import predicates as kinds

    if entry.kind == kinds.TRUST_ROOT:
        return [str(owner["keyid"]) for owner in entry.predicate["owners"]]
    return [str(entry.predicate["keyid"])] if entry.kind in (kinds.ENROLMENT, kinds.DELEGATION) else []


def _place(custody: Custody, name: str) -> tuple[str, bool | None]:
    """Return where a private key lies, and whether it is encrypted there; None where that is not for us to know."""
    uri = custody.config.signers.get(name)
    if uri is not None:
        return uri, None
    encrypted = custody.key_files.is_encrypted(name)
    return (str(custody.key_files.path(name)) if encrypted is not None else "not on this machine"), encrypted


def _waiting(one: Any) -> dict[str, Any]:
    from custody.core.predicates import short

    return {
        "entry": one.entry.index,
        "kind": short(one.entry.kind),
        "name": one.entry.predicate["name"],
        "owners": sorted(one.owners),
    }


def _passphrase(app: App) -> str:
    """Return the passphrase of new keys, asked for on a terminal where none is set; an empty one encrypts nothing."""
    known = app.custody.config.passphrase
    if known:
        return known
    if app.json or not sys.stdin.isatty():
        app.say("  the new key is not encrypted; set CUSTODY_PASSPHRASE to encrypt it")
        return ""
    prompt = "Passphrase of the new key (empty: not encrypted)"
    return str(
        click.prompt(prompt, default="", show_default=False, hide_input=True, confirmation_prompt=True, err=True)
    )
