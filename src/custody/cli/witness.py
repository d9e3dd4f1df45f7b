"""`custody witness`: be the outside eye of somebody else's ledger. Needs no project of its own."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click

from custody.cli.app import App, Group, counted, face, writable

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), help="The witness's folder; the default is CUSTODY_WITNESS or yours."
)


def _place(folder: Path | None) -> Path:
    from custody.config import witness_folder

    return folder or witness_folder(os.environ)


def _passphrase() -> str:
    return os.environ.get("CUSTODY_PASSPHRASE", "")


@click.group(cls=Group)
def witness() -> None:
    """Be the outside eye of somebody's ledger: sign what it shows only if nothing was cut or rewritten.

    \b
    custody witness init eye.example/one      make its key; give the verifier key to the ledger's owners
    custody witness follow ORIGIN LOGKEY      which ledger it may sign for
    custody witness serve --port 7411         answer over HTTP
    """


@witness.command()
@click.argument("name")
@_FOLDER
@face
def init(app: App, name: str, folder: Path | None) -> None:
    """Make the witness NAME, with a key of its own; a name such as eye.example/one is never taken twice."""
    from custody.ledger.note import COSIGNATURE, VerifierKey
    from custody.seal.keys import raw_to_text
    from custody.wiring import witness_book

    place = _place(folder)
    book = witness_book(place).begin(name, _passphrase())
    public = book.key(_passphrase()).public
    vkey = str(VerifierKey(name, COSIGNATURE, public))
    lines = [
        f"Witness {name} lives in {place}.",
        f"  verifier key   {vkey}",
        f"  as raw key     {raw_to_text(public)}",
        "  Give it to the owners of the ledgers you will follow, by a way that cannot be forged.",
    ]
    if not _passphrase():
        lines.append("  The key is not encrypted; set CUSTODY_PASSPHRASE before init to encrypt it.")
    lines.append("next: custody witness follow ORIGIN LOGKEY")
    app.show({"name": name, "folder": str(place), "vkey": vkey, "key": raw_to_text(public)}, lines)


@witness.command()
@click.argument("origin")
@click.argument("logkey")
@_FOLDER
@face
def follow(app: App, origin: str, logkey: str, folder: Path | None) -> None:
    """Follow the ledger ORIGIN, whose checkpoints LOGKEY signs: as in its custody.toml, or a verifier key.

    Given again with another key, both are good: that is how a ledger changes its key. What was signed stays.
    """
    from custody.core.strictjson import b64decode
    from custody.errors import InvalidInput
    from custody.ledger.note import ED25519, VerifierKey, check_key_name, parse_vkey
    from custody.wiring import witness_book

    check_key_name(origin)
    if "+" in logkey and logkey.startswith(f"{origin}+"):
        key = parse_vkey(logkey)
    else:
        public = b64decode(logkey, what="LOGKEY")
        if len(public) != 32:
            raise InvalidInput(
                "LOGKEY is no Ed25519 key: 32 bytes in base64", hint="it stands in custody.toml, log_key"
            )
        key = VerifierKey(origin, ED25519, public)
    book = witness_book(_place(folder))
    book.name()
    log = book.follow(key)
    lines = [f"{origin} is followed, {counted(len(log.keys), 'key')}; {log.seen.size} entries signed so far."]
    app.show({"origin": origin, "keys": [str(one) for one in log.keys], "size": log.seen.size}, lines)


@witness.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; loopback unless told otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@_FOLDER
@face
def serve(app: App, host: str, port: int, folder: Path | None) -> None:
    """Answer requests over HTTP (POST /add-checkpoint, as c2sp.org/tlog-witness says) until interrupted."""
    import json

    from custody.wiring import witness_book, witness_server

    eye = witness_book(_place(folder)).witness(_passphrase())
    server = witness_server(eye, host, port, lambda line: click.echo(f"  {line}", err=True))
    if app.json:
        click.echo(json.dumps({"name": eye.name, "url": server.url}))
    else:
        click.echo(f"Witness {eye.name} answers at {server.url}")
        if host not in ("127.0.0.1", "::1", "localhost"):
            click.echo("  Others can reach it; put TLS in front of it, and let nobody else write its folder.", err=True)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        app.say("stopped; what was signed is kept")
    finally:
        server.server_close()


@witness.command()
@_FOLDER
@face
def status(app: App, folder: Path | None) -> None:
    """Show who this witness is, which ledgers it follows, and what it signed last for each."""
    from custody.ledger.note import COSIGNATURE, VerifierKey
    from custody.wiring import witness_book

    book = witness_book(_place(folder))
    name = book.name()
    vkey = str(VerifierKey(name, COSIGNATURE, book.key(_passphrase()).public))
    logs = [
        {
            "origin": log.origin,
            "keys": [str(key) for key in log.keys],
            "size": log.seen.size,
            "root": log.seen.root.hex(),
        }
        for log in book.followed()
    ]
    lines = [f"Witness {name} in {book.folder}", f"  verifier key   {vkey}"]
    lines += [f"  {log['origin']}: {log['size']} entries signed, root {str(log['root'])[:16]}" for log in logs]
    lines += [] if logs else ["  follows no ledger yet: custody witness follow ORIGIN LOGKEY"]
    app.show({"name": name, "vkey": vkey, "folder": str(book.folder), "logs": logs}, lines)


@witness.command()
@click.argument("request", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default="cosigned.note", show_default=True)
@_FOLDER
@face
def cosign(app: App, request: Path, output: Path, folder: Path | None) -> None:
    """Sign the REQUEST file of a ledger that no network reaches, and write the cosigned note.

    The ledger's owner makes it with `custody ledger anchor --request FILE`, and takes the note back with
    `custody ledger anchor --cosigned FILE`.
    """
    from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unknown
    from custody.given import read_given
    from custody.ledger.note import merged, parse_note, parse_signatures
    from custody.ledger.witness import MAX_REQUEST_BYTES, parse_request
    from custody.wiring import witness_book

    writable(output)
    try:
        body = read_given(request, MAX_REQUEST_BYTES)
    except OSError as error:
        raise InvalidInput(f"{request} cannot be read: {error.strerror}", hint="check the file's name") from None
    eye = witness_book(_place(folder)).witness(_passphrase())
    answer = eye.add_checkpoint(body)
    if answer.status == 409 and not answer.reason.startswith("ALARM"):
        hint = f"ask the owner for: custody ledger anchor --request FILE --from {answer.body.strip()}"
        raise Unknown(f"nothing was signed: {answer.reason}", hint=hint)
    if answer.status != 200:
        kind = {400: InvalidInput, 403: NotPermitted, 404: NotFound}.get(answer.status, Tampered)
        hints = {404: "custody witness follow ORIGIN LOGKEY", 403: "the ledger's owner must sign with a key you know"}
        raise kind(f"nothing was signed: {answer.reason}", hint=hints.get(answer.status, ""))
    note, signed = parse_note(parse_request(body).note), parse_signatures(answer.body)
    output.write_text(merged(note, signed).to_text(), encoding="utf-8")
    origin, size, *_ = note.text.split("\n")
    at = datetime.fromtimestamp(int.from_bytes(signed[0].value[:8], "big"), UTC).isoformat()
    lines = [f"{output}: {eye.name} signed {size} entries of {origin} at {at}."]
    app.show({"cosigned": str(output), "origin": origin, "size": int(size), "at": at}, lines)
