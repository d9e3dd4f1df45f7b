"""Proofs that travel: an entry is in the log; an earlier state of the log is a beginning of a later one.

An inclusion proof is a https://c2sp.org/tlog-proof, whose extra data is what the leaf is the hash of: the
statement's kind, its sha256 and its signer's key id. A consistency proof has the form of a request to a
witness (https://c2sp.org/tlog-witness): the old size, the hashes, the checkpoint.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from custody.core import strictjson
from custody.errors import InvalidInput, Tampered
from custody.ledger.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, read_size
from custody.ledger.merkle import check_consistency, check_inclusion, leaf_hash
from custody.ledger.note import parse_note

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 64
"""As long as a path in a tree of 2^63 leaves can be."""
MAX_PROOF_BYTES = 256 * 1024
RECORD = "custody-entry/v1"


@dataclass(frozen=True)
class Inclusion:
    """Entry `index`, whose leaf is the hash of `record`, is in the tree of the checkpoint in `note`."""

    index: int
    path: tuple[bytes, ...]
    record: bytes
    note: str

    def to_text(self) -> str:
        """Write the proof as a file."""
        extra = base64.b64encode(self.record).decode()
        return f"{HEADER}\nextra {extra}\nindex {self.index}\n{_lines(self.path)}\n{self.note}"

    def check(self, origin: str, public: bytes) -> Checkpoint:
        """Return the checkpoint that vouches for the entry; raises `Tampered` or `InvalidInput`.

        (1) The log's key signed the checkpoint; (2) the path leads from the record's leaf to its root.
        """
        checkpoint = open_checkpoint(self.note, origin, public)  # (1)
        if not check_inclusion(leaf_hash(self.record), self.index, checkpoint.size, self.path, checkpoint.root):  # (2)
            raise Tampered(f"the proof does not lead from entry {self.index} to the checkpoint's root")
        return checkpoint

    def says(self) -> dict[str, str]:
        """Return what the record binds: kind, sha256 of the statement, key id of its signer."""
        lines = self.record.decode("utf-8", "replace").split("\n")
        if len(lines) != 5 or lines[0] != RECORD or lines[4] != "":
            raise InvalidInput("the proof is not about an entry of a Custody ledger")
        return {"kind": lines[1], "statement": lines[2], "keyid": lines[3]}


@dataclass(frozen=True)
class Consistency:
    """The tree of the checkpoint in `note` begins with the tree of `old` entries."""

    old: int
    path: tuple[bytes, ...]
    note: str

    def to_text(self) -> str:
        """Write the proof as a file."""
        return f"old {self.old}\n{_lines(self.path)}\n{self.note}"

    def check(self, origin: str, public: bytes, old_root: bytes) -> Checkpoint:
        """Return the newer checkpoint if its tree begins with `old_root` at size `old`; raises `Tampered`."""
        checkpoint = open_checkpoint(self.note, origin, public)
        if not check_consistency(self.old, checkpoint.size, self.path, old_root, checkpoint.root):
            raise Tampered(f"the log of {checkpoint.size} entries does not begin with those {self.old}")
        return checkpoint


def read_proof(raw: bytes) -> Inclusion | Consistency:
    """Read a proof strictly and within limits; raises `InvalidInput`. Nothing is verified by that."""
    if len(raw) > MAX_PROOF_BYTES:
        raise InvalidInput(f"the proof is {len(raw)} bytes long; the limit is {MAX_PROOF_BYTES}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the proof is not UTF-8 at byte {error.start}") from None
    head, blank, note = text.partition("\n\n")
    if not blank:
        raise InvalidInput("the proof carries no checkpoint")
    read_checkpoint(parse_note(note).text)
    lines = head.split("\n")
    if lines[0] == HEADER:
        record = b""
        if len(lines) > 1 and lines[1].startswith("extra "):
            record = strictjson.b64decode(lines.pop(1)[6:], what="the proof's extra data")
        if len(lines) < 2 or not lines[1].startswith("index "):
            raise InvalidInput("the proof names no entry")
        return Inclusion(read_size(lines[1][6:]), _hashes(lines[2:]), record, note)
    if lines[0].startswith("old "):
        return Consistency(read_size(lines[0][4:]), _hashes(lines[1:]), note)
    raise InvalidInput("this is neither a tlog-proof nor a consistency proof")


def _lines(path: tuple[bytes, ...]) -> str:
    return "".join(f"{base64.b64encode(one).decode()}\n" for one in path)


def _hashes(lines: list[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_HASHES:
        raise InvalidInput(f"the proof has {len(lines)} hashes; the limit is {MAX_HASHES}")
    found = tuple(strictjson.b64decode(line, what="a hash of the proof") for line in lines)
    if any(len(one) != 32 for one in found):
        raise InvalidInput("a hash of the proof does not have 32 bytes")
    return found
