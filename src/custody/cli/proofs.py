"""`custody ledger verify | prove | check | rebuild | tiles | status`: the log's own machinery."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from custody.cli.app import App, counted, face, writable
from custody.errors import InvalidInput, Tampered
from custody.given import read_given


def _progress(app: App, what: str) -> Callable[[int, int], None]:
    """Say every hundred thousand entries how far the work is."""

    def say(done: int, of: int) -> None:
        if done % 100_000 == 0 and of > 100_000:
            app.say(f"  {what} {done:,} of {of:,} entries")

    return say


@click.command()
@face
def verify(app: App) -> None:
    """Verify every entry, hash and signature, whatever was verified before; name the first bad entry."""
    desk = app.custody.desk.thoroughly()
    try:
        record = desk.read()
    except Tampered as error:
        altered = app.custody.derived.prover.first_altered() if "replaced or moved" in error.message else None
        if altered is None:
            raise
        raise Tampered(f"entry {altered} was replaced or moved: {error.message}", hint=error.hint) from None
    fresh = desk.reading.fresh
    lines = [
        f"{record.size} entries, every hash and signature checked.",
        f"  root {record.root}",
        "  consistent with what this machine saw before"
        if fresh
        else "  freshness unproven: this machine had not seen this ledger before",
    ]
    app.show({"entries": record.size, "root": record.root, "fresh": fresh}, lines)


@click.command()
@click.argument("entry", type=int, required=False)
@click.option("--consistency", type=int, metavar="OLD", help="Prove instead that the log begins with its first OLD.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the proof to a file.")
@face
def prove(app: App, entry: int | None, consistency: int | None, output: Path | None) -> None:
    """Prove that ENTRY is in the ledger, in a form anyone can check offline (C2SP tlog-proof)."""
    if (entry is None) == (consistency is None):
        raise InvalidInput("name one entry, or an earlier size with --consistency", hint="custody ledger prove 12")
    prover, say = app.custody.derived.prover, _progress(app, "taking in")
    body: dict[str, Any]
    if consistency is not None:
        proof, root = prover.consistency(consistency, say)
        text, body = proof.to_text(), {"old": consistency, "old_root": root.hex()}
    else:
        found = prover.inclusion(entry or 0, say)
        text, body = found.to_text(), {"entry": found.index, **found.says()}
    body["proof"] = text
    if output is None:
        app.show(body, text.splitlines())
        return
    writable(output).write_text(text, encoding="utf-8")
    app.show({**body, "file": str(output)}, [f"{output} is written.", f"next: custody ledger check {output}"])


@click.command()
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--trust", type=click.Path(path_type=Path), help="The trust file; without it, this project's own.")
@click.option("--log-key", default="", metavar="BASE64", help="The log's newest key, where it was changed since.")
@click.option("--old-root", default="", metavar="HEX", help="The root you know of the earlier state.")
@face
def check(app: App, proof: Path, trust: Path | None, log_key: str, old_root: str) -> None:
    """Check a PROOF offline: that the log's key vouches for the entry, or that nothing before was rewritten."""
    from custody.core import strictjson
    from custody.ledger.proof import MAX_PROOF_BYTES, Consistency, read_proof
    from custody.ledger.trust import read_trust

    try:
        found = read_proof(read_given(proof, MAX_PROOF_BYTES))
    except OSError as error:
        raise InvalidInput(f"{proof} cannot be read: {error.strerror}", hint="check the file's name") from None
    if trust is None:
        log = app.custody.desk.log
        origin, public = log.origin, log.learn_key()
    else:
        origin, text = read_trust(trust).origin, log_key or read_trust(trust).log_key
        public = strictjson.b64decode(text, what="the log's key")
        if len(public) != 32:
            raise InvalidInput("the log's key does not have 32 bytes")
    if isinstance(found, Consistency):
        known = _root(old_root) or _own_root(app, trust, found.old)
        checkpoint = found.check(origin, public, known)
        lines = [f"The log of {checkpoint.size} entries begins with the {found.old} you know."]
        app.show({"old": found.old, "entries": checkpoint.size, "root": checkpoint.root.hex()}, lines)
        return
    checkpoint = found.check(origin, public)
    said = found.says()
    lines = [
        f"Entry {found.index} is in the log {origin} of {checkpoint.size} entries.",
        f"  it is the statement {said['statement']}",
        f"  of kind {said['kind']}, by the key {said['keyid'][:16]}",
    ]
    app.show({"entry": found.index, "entries": checkpoint.size, "root": checkpoint.root.hex(), **said}, lines)


def _root(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        raise InvalidInput("the old root is not hexadecimal") from None
    if text and len(found) != 32:
        raise InvalidInput("the old root does not have 32 bytes")
    return found


def _own_root(app: App, trust: Path | None, size: int) -> bytes:
    """Return the root of an earlier size from this project's own verified ledger."""
    if trust is None and size in app.custody.desk.reading.frontiers:
        return app.custody.desk.reading.frontiers[size].root
    raise InvalidInput("the root of the earlier state must be known", hint="give it with --old-root")


@click.command()
@face
def rebuild(app: App) -> None:
    """Drop what is derived from the ledger (the tree's nodes, the tiles) and make it anew."""
    custody = app.custody
    checkpoint = custody.derived.prover.rebuild(_progress(app, "hashing"))
    files = 0
    if custody.derived.tiles().folder.exists():
        files = custody.derived.publish(custody.derived.tiles(), anew=True)
    lines = [f"Nodes of {counted(checkpoint.size, 'entry').replace('entrys', 'entries')} made anew."]
    lines += [f"  {files:,} tile files written anew"] if files else []
    app.show({"entries": checkpoint.size, "root": checkpoint.root.hex(), "tile_files": files}, lines)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder; the default is .custody/tiles.")
@face
def tiles(app: App, output: Path | None) -> None:
    """Publish the log as static files that anyone can fetch and check (C2SP tlog-tiles)."""
    folder = app.custody.derived.tiles(output)
    files = app.custody.derived.publish(folder)
    lines = [f"{folder.folder}: {folder.size} entries, {files:,} files written; serve this folder with any web server."]
    app.show({"folder": str(folder.folder), "entries": folder.size, "files": files}, lines)


@click.command()
@face
def status(app: App) -> None:
    """Show where the ledger lies, how far it goes, and what this machine knows of it."""
    custody = app.custody
    log = custody.desk.log
    checkpoint, note = log.newest()
    seen = {"remembered": 0, "anchored": 0}
    for name, found in zip(seen, log.marks(), strict=True):
        seen[name] = found[0] if found else 0
    place = custody.config.ledger_url or str(custody.config.ledger)
    body = {
        "place": place,
        "origin": checkpoint.origin,
        "entries": checkpoint.size,
        "root": checkpoint.root.hex(),
        "log_key": base64.b64encode(log.learn_key()).decode(),
        "signatures": sum(line.startswith("\u2014 ") for line in note.splitlines()),
        **seen,
        "nodes": custody.derived.nodes.size,
        "tiles": custody.derived.tiles().size,
    }
    lines = [
        f"{checkpoint.size} entries in {place}",
        f"  origin     {checkpoint.origin}",
        f"  root       {checkpoint.root.hex()}",
        f"  seen here  up to {seen['remembered']}; others vouch for the first {seen['anchored']}",
        f"  derived    nodes up to {body['nodes']}, tiles up to {body['tiles']}",
    ]
    app.show(body, lines)
