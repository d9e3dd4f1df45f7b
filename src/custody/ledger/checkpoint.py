"""A checkpoint: the log's signed word on its size and root, and what witnesses say to it.

https://c2sp.org/tlog-checkpoint, signed by the log with Ed25519 (signature type 1), and cosigned by
witnesses as https://c2sp.org/tlog-cosignature says (cosignature/v1, signature type 4). A cosignature says:
at that moment this was the largest tree of this log that I have seen, and it contains all I saw before.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from custody.core import strictjson
from custody.errors import InvalidInput, Tampered
from custody.ledger.note import COSIGNATURE, ED25519, Note, Signature, key_id, merged, parse_note
from custody.seal.keys import CheckpointSigner, verify_ed25519

_LATEST = 2**53
"""The last moment, in seconds since 1970, that is read as one; later ones would not survive JSON."""


@dataclass(frozen=True)
class Checkpoint:
    """Origin, number of entries and root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, key: CheckpointSigner) -> str:
    """Return the note: body, blank line, one signature line."""
    body = checkpoint.body()
    signature = Signature(checkpoint.origin, key_id(checkpoint.origin, ED25519, key.public), key.sign(body.encode()))
    return Note(body, (signature,)).to_text()


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint, three lines; raises `InvalidInput`. Extension lines are refused."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] != "" or not lines[0]:
        raise InvalidInput("the checkpoint does not have the form of a signed note")
    size = read_size(lines[1])
    root = strictjson.b64decode(lines[2], what="root hash")
    if len(root) != 32:
        raise InvalidInput("the checkpoint's root hash does not have 32 bytes")
    return Checkpoint(lines[0], size, root)


def read_size(text: str) -> int:
    """Read a number of entries: decimal digits, no leading zero, at most 16; raises `InvalidInput`."""
    plain = 0 < len(text) <= 16 and text.isascii() and text.isdigit()
    if not plain or (text != "0" and text.startswith("0")):
        raise InvalidInput("the checkpoint's size is not a number")
    return int(text)


def open_checkpoint(note: str, origin: str, public: bytes) -> Checkpoint:
    """Return the checkpoint if the log's key signed it; raises `Tampered` or `InvalidInput`.

    Signature lines of other keys are ignored, as the specification asks; malformed ones are refused.
    """
    found = parse_note(note)
    if not found.text.startswith(f"{origin}\n"):
        shown = found.text.partition("\n")[0]
        raise Tampered(f"the checkpoint is of another log, {shown!r}, not of {origin!r}")
    checkpoint = read_checkpoint(found.text)
    wanted = key_id(origin, ED25519, public)
    for signature in found.signatures:
        if signature.name == origin and signature.key_id == wanted:
            verify_ed25519(public, signature.value, found.text.encode())
            return checkpoint
    raise Tampered("the checkpoint is not signed by the log's key")


def cosign(note: str, name: str, key: CheckpointSigner, timestamp: int) -> Signature:
    """Return a witness's cosignature of a note's text at `timestamp`, in seconds since 1970.

    It says nothing of whether the note deserves one: that is `custody.ledger.witness`'s to find out.
    """
    text = parse_note(note).text
    value = timestamp.to_bytes(8, "big") + key.sign(_cosigned(text, timestamp))
    return Signature(name, key_id(name, COSIGNATURE, key.public), value)


def cosignatures(note: str, witnesses: Mapping[str, bytes]) -> dict[str, int]:
    """Return the witnesses whose cosignature of this note is valid, each with its moment (seconds since 1970).

    `witnesses` maps names to raw Ed25519 public keys. Lines of other keys and lines that do not verify are
    not counted, and neither is one key under two names. Raises `InvalidInput` for what is no signed note.
    """
    found = parse_note(note)
    valid: dict[str, int] = {}
    used: set[bytes] = set()
    for signature in found.signatures:
        public = witnesses.get(signature.name)
        if public is None or public in used or signature.key_id != key_id(signature.name, COSIGNATURE, public):
            continue
        timestamp = int.from_bytes(signature.value[:8], "big")
        if timestamp > _LATEST:
            continue
        try:
            verify_ed25519(public, signature.value[8:], _cosigned(found.text, timestamp))
        except Tampered:
            continue
        used.add(public)
        valid[signature.name] = timestamp
    return valid


def with_cosignatures(note: str, more: Iterable[Signature], witnesses: Mapping[str, bytes]) -> str:
    """Return the note with the log's own signature first and then every valid cosignature, by name.

    What is not by one of `witnesses` is left out: a note has one form for one set of witnesses, so that
    whoever carries it can put nothing into it unnoticed. A newer line of a witness replaces its older one.
    """
    found = parse_note(note)
    origin = found.text.partition("\n")[0]
    own = [signature for signature in found.signatures if signature.name == origin and len(signature.value) == 64]
    # Each line by itself: an outsider's bad line must not take the place of another witness's good one.
    good = [line for line in more if cosignatures(Note(found.text, (line,)).to_text(), witnesses)]
    found = merged(found, sorted(good, key=lambda line: line.value[:8]))
    valid = cosignatures(found.to_text(), witnesses)
    theirs = [
        signature
        for name in sorted(valid)
        for signature in found.signatures
        if signature.name == name and signature.key_id == key_id(name, COSIGNATURE, witnesses[name])
    ]
    return Note(found.text, (*own, *theirs)).to_text()


def _cosigned(text: str, timestamp: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
