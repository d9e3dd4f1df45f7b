"""The witness: an outside eye that signs a log's checkpoint only if it contains all it saw before.

https://c2sp.org/tlog-witness, without HTTP: a request comes in as bytes, an answer with an HTTP status goes
out. For each log the witness keeps one size and one root. What it is about to sign is kept durably first,
so that not even a crash between the two lets it sign two roots for one size.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from custody.core import strictjson
from custody.errors import InvalidInput, Tampered
from custody.ledger.checkpoint import Checkpoint, cosign, open_checkpoint, read_size
from custody.ledger.merkle import EMPTY_ROOT, check_consistency
from custody.ledger.note import ED25519, VerifierKey
from custody.seal.keys import LogKey

MAX_REQUEST_BYTES = 64 * 1024
MAX_PROOF = 63
"""A consistency proof has no more lines: a tree of 2^63 leaves needs none."""
SIZE = "text/x.tlog.size"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Seen:
    """The last checkpoint that the witness signed for a log; size 0 before the first."""

    size: int
    root: bytes


UNSEEN = Seen(0, EMPTY_ROOT)


class Book(Protocol):
    """What a witness knows of the logs it follows, kept where a crash cannot undo it."""

    def turn(self) -> AbstractContextManager[None]:
        """Let one request through at a time, over threads and processes alike."""

    def keys(self, origin: str) -> Sequence[VerifierKey]:
        """Return the keys of a log that is followed; none for any other origin."""

    def last(self, origin: str) -> Seen:
        """Return what was last signed for a followed log; raises `Tampered` where that is lost or damaged."""

    def keep(self, origin: str, seen: Seen) -> None:
        """Keep what is about to be signed; returns once it is durable."""


@dataclass(frozen=True)
class Answer:
    """An HTTP status with its body; `reason` is for the witness's own eyes."""

    status: int
    body: str
    content_type: str = TEXT
    reason: str = ""


@dataclass(frozen=True)
class Request:
    """What a log asks: a cosignature of `note`, proven to contain the tree of `old` entries."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def to_bytes(self) -> bytes:
        """Return the body of POST /add-checkpoint."""
        lines = [f"old {self.old}", *(base64.b64encode(node).decode() for node in self.proof), "", self.note]
        return "\n".join(lines).encode()


def parse_request(body: bytes) -> Request:
    """Read the body of POST /add-checkpoint; raises `InvalidInput`."""
    if len(body) > MAX_REQUEST_BYTES:
        raise InvalidInput(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the request is not UTF-8 at byte {error.start}") from None
    head, blank, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if not blank or not first.startswith("old ") or len(lines) > MAX_PROOF:
        raise InvalidInput("the request is not an old size, a proof of at most 63 lines, a blank line and a note")
    proof = tuple(strictjson.b64decode(line, what="proof line") for line in lines)
    if any(len(node) != 32 for node in proof):
        raise InvalidInput("a line of the proof is not a hash of 32 bytes")
    return Request(read_size(first.removeprefix("old ")), proof, note)


class Witness:
    """A name, a key and a book; answers requests for cosignatures."""

    def __init__(self, name: str, key: LogKey, book: Book, clock: Callable[[], int]) -> None:
        self.name, self._key, self._book, self._clock = name, key, book, clock

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one request.

        (1) It has the right form, else 400. (2) The log is followed, else 404. (3) One of its keys signed,
        else 403. (4) The old size is not above the new, else 400. (5) It is the size signed last, else 409
        with that size. (6) Nothing was rewritten: at the same size the same root, else 409; at a larger size
        a consistency proof, else 422. (7) The new state is durable before (8) it is signed.
        """
        try:
            request = parse_request(body)  # (1)
            origin = request.note.partition("\n")[0]
            keys = self._book.keys(origin)  # (2)
            if not keys:
                return Answer(
                    404, "this witness does not follow that log\n", reason=f"{origin[:120]!r} is not followed"
                )
            checkpoint = _signed_by_one(request.note, origin, keys)  # (3)
        except InvalidInput as error:
            return Answer(400, f"{error.message}\n", reason=error.message)
        if checkpoint is None:
            return Answer(403, "no key of that log signed this\n", reason=f"{origin!r}: not signed by a key of the log")
        if request.old > checkpoint.size:  # (4)
            return Answer(
                400, "the old size is above the new one\n", reason=f"{origin!r}: the old size is above the new"
            )
        with self._book.turn():
            seen = self._book.last(origin)
            if request.old != seen.size:  # (5)
                why = f"{origin!r}: asked from {request.old}, signed {seen.size} last"
                return Answer(409, f"{seen.size}\n", SIZE, why)
            if problem := _rewritten(request, seen, checkpoint):  # (6)
                return problem
            fresh = Seen(checkpoint.size, checkpoint.root)
            if fresh != seen:
                self._book.keep(origin, fresh)  # (7)
            # The last line of defence against a book that does not keep: what is signed is what it holds.
            if self._book.last(origin) != fresh:
                raise Tampered(f"the state of {origin!r} is not what was just kept")
            line = cosign(request.note, self.name, self._key, self._clock()).line()  # (8)
        return Answer(200, line, reason=f"{origin!r}: signed size {checkpoint.size}")


def _signed_by_one(note: str, origin: str, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    """Return the checkpoint if any of a log's keys signed it, else None; raises `InvalidInput` for another form."""
    for key in keys:
        if key.kind != ED25519 or key.name != origin:
            continue
        try:
            return open_checkpoint(note, origin, key.public)
        except Tampered:
            continue
    return None


def _rewritten(request: Request, seen: Seen, checkpoint: Checkpoint) -> Answer | None:
    """Return the refusal of a checkpoint that does not contain what was signed last, or None."""
    origin = checkpoint.origin
    if checkpoint.size == seen.size and checkpoint.root != seen.root:
        return Answer(409, f"{seen.size}\n", SIZE, f"ALARM {origin!r}: another root at size {seen.size}: a split view")
    if seen.size == 0:
        sound = not request.proof
    else:
        sound = check_consistency(seen.size, checkpoint.size, request.proof, seen.root, checkpoint.root)
    if not sound:
        why = f"ALARM {origin!r}: size {checkpoint.size} is not proven to contain the {seen.size} entries signed before"
        return Answer(422, "the consistency proof does not hold\n", reason=why)
    return None
