"""A checkpoint: the log's signed word on its size and root, as a C2SP signed note.

https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note, Ed25519 (algorithm byte 1).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from custody.core import strictjson
from custody.errors import InvalidInput, Tampered
from custody.seal.keys import LogKey, verify_ed25519

_DASH = "\u2014"


@dataclass(frozen=True)
class Checkpoint:
    """Origin, number of entries and root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, key: LogKey) -> str:
    """Return the note: body, blank line, one signature line."""
    body = checkpoint.body()
    stamp = _key_hash(checkpoint.origin, key.public) + key.sign(body.encode())
    return f"{body}\n{_DASH} {checkpoint.origin} {base64.b64encode(stamp).decode()}\n"


def open_checkpoint(note: str, origin: str, public: bytes) -> Checkpoint:
    """Return the checkpoint if the log's key signed it; raises `Tampered` or `InvalidInput`."""
    body, separator, signatures = note.partition("\n\n")
    body += "\n"
    lines = body.split("\n")
    if not separator or len(lines) != 4 or lines[3] != "" or not signatures.endswith("\n"):
        raise InvalidInput("the checkpoint does not have the form of a signed note")
    if lines[0] != origin:
        raise Tampered(f"the checkpoint is of another log, {lines[0]!r}, not of {origin!r}")
    if (
        len(lines[1]) > 16
        or not lines[1].isascii()
        or not lines[1].isdigit()
        or (lines[1] != "0" and lines[1].startswith("0"))
    ):
        raise InvalidInput("the checkpoint's size is not a number")
    root = strictjson.b64decode(lines[2], what="root hash")
    if len(root) != 32:
        raise InvalidInput("the checkpoint's root hash does not have 32 bytes")
    for line in signatures.splitlines():
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != _DASH:
            raise InvalidInput("the checkpoint has a malformed signature line")
        stamp = strictjson.b64decode(parts[2], what="signature")
        if parts[1] == origin and stamp[:4] == _key_hash(origin, public):
            verify_ed25519(public, stamp[4:], body.encode())
            return Checkpoint(origin, int(lines[1]), root)
    raise Tampered("the checkpoint is not signed by the log's key")


def _key_hash(origin: str, public: bytes) -> bytes:
    return hashlib.sha256(origin.encode() + b"\n\x01" + public).digest()[:4]
