"""A bundle: one file with the whole log up to a checkpoint, for a reader who trusts nobody.

It carries every envelope, because gates read complete records: a log with entries left out could turn
a refusal into a GO. The trust root travels separately; a bundle that brought its own would prove nothing.

    {"format": "custody-bundle/1", "origin": ..., "checkpoint": "<signed note>", "entries": [<envelope>, ...]}
"""

from __future__ import annotations

import os
from pathlib import Path

from custody.core import strictjson
from custody.errors import InvalidInput, Unavailable
from custody.ledger.log import Reading

FORMAT = "custody-bundle/1"
TRUST_FORMAT = "custody-trust/1"
MAX_BUNDLE_BYTES = 1024 * 1024 * 1024


def write_bundle(reading: Reading, path: Path) -> int:
    """Write a verified reading as one file, atomically; returns its size in bytes."""
    body = b"".join(
        [
            b'{"format":' + strictjson.dump(FORMAT),
            b',"origin":' + strictjson.dump(reading.checkpoint.origin),
            b',"checkpoint":' + strictjson.dump(reading.note),
            b',"entries":[\n',
            b",\n".join(envelope.to_bytes() for _, envelope in reading.rows),
            b"\n]}\n",
        ]
    )
    if len(body) > MAX_BUNDLE_BYTES:
        raise InvalidInput(f"the bundle would be {len(body)} bytes long; the limit is {MAX_BUNDLE_BYTES}")
    _write(path, body)
    return len(body)


def write_trust_root(path: Path, origin: str, log_key: str, owner_key: str) -> None:
    """Write what a verifier must get by another way than the bundle: the log's key and the owner's key id."""
    body = {"format": TRUST_FORMAT, "origin": origin, "log_key": log_key, "owner_key": owner_key}
    _write(path, strictjson.dump(body) + b"\n")


def _write(path: Path, body: bytes) -> None:
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
