"""A bundle: one file with the whole log up to a checkpoint, for a reader who trusts nobody.

It carries every envelope, because gates read complete records: a log with entries left out could turn
a refusal into a GO. The trust root travels separately; a bundle that brought its own would prove nothing.

    {"format": "custody-bundle/1", "origin": ..., "checkpoint": "<signed note>", "entries": [<envelope>, ...]}

One content has one form, byte for byte, so that a reader notices any change: signatures are written with the lower
s, and the note carries the log's signature line, then those of the newest trust root's witnesses, by name.
"""

from __future__ import annotations

import os
from pathlib import Path

from custody.core import strictjson
from custody.core.predicates import TRUST_ROOT
from custody.errors import InvalidInput, Unavailable
from custody.ledger.checkpoint import cosignatures
from custody.ledger.log import Reading
from custody.ledger.note import COSIGNATURE, ED25519, Note, key_id, parse_note
from custody.seal.envelope import in_one_form

FORMAT = "custody-bundle/1"
TRUST_FORMAT = "custody-trust/1"
MAX_BUNDLE_BYTES = 256 * 1024 * 1024


def bundle_bytes(reading: Reading) -> bytes:
    """Return a verified reading in the one form of a bundle."""
    body = b"".join(
        [
            b'{"format":' + strictjson.dump(FORMAT),
            b',"origin":' + strictjson.dump(reading.checkpoint.origin),
            b',"checkpoint":' + strictjson.dump(_note(reading)),
            b',"entries":[\n',
            b",\n".join(in_one_form(envelope).to_bytes() for _, envelope in reading.rows),
            b"\n]}\n",
        ]
    )
    if len(body) > MAX_BUNDLE_BYTES:
        raise InvalidInput(f"the bundle would be {len(body)} bytes long; the limit is {MAX_BUNDLE_BYTES}")
    return body


def write_bundle(reading: Reading, path: Path) -> int:
    """Write a verified reading as one file, atomically; returns its size in bytes."""
    body = bundle_bytes(reading)
    write_file(path, body)
    return len(body)


def _note(reading: Reading) -> str:
    """Return the checkpoint with the signatures that a reader can check: whose keys they know or find in the log."""
    roots = [e.statement.predicate for _, e in reading.rows if e.statement.kind == TRUST_ROOT]
    listed = roots[-1]["witnesses"] if roots else []
    witnesses = {str(item["name"]): strictjson.b64decode(item["key"], what="witness key") for item in listed}
    note, signed = parse_note(reading.note), cosignatures(reading.note, witnesses)
    ids = {key_id(name, COSIGNATURE, witnesses[name]): name for name in signed}
    others = [line for line in note.signatures if ids.get(line.key_id) == line.name]
    public = strictjson.b64decode(roots[-1]["log_key"], what="log key") if roots else b""
    origin = reading.checkpoint.origin
    ours = [line for line in note.signatures if line.name == origin and line not in others]
    if public:
        ours = [line for line in ours if line.key_id == key_id(origin, ED25519, public)]
    return Note(note.text, (*ours[:1], *sorted(others, key=lambda line: line.name))).to_text()


def trust_root_bytes(origin: str, log_key: str, owner_key: str) -> bytes:
    """Return what a verifier must get by another way than the bundle: the log's key and the owner's key id."""
    body = {"format": TRUST_FORMAT, "origin": origin, "log_key": log_key, "owner_key": owner_key}
    return strictjson.dump(body) + b"\n"


def write_trust_root(path: Path, origin: str, log_key: str, owner_key: str) -> None:
    """Write the trust root to a file, atomically."""
    write_file(path, trust_root_bytes(origin, log_key, owner_key))


def write_file(path: Path, body: bytes) -> None:
    """Write a file whole or not at all; raises `Unavailable`."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with half.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="name another place with -o") from None
