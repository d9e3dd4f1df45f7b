"""Signed notes: text with one or more signature lines, as C2SP and Go's sumdb/note write them.

https://c2sp.org/signed-note. A note is read strictly and within limits; who signed it is another question,
answered by whoever knows the keys. Verifier keys are written `NAME+HASH+BASE64` as Go writes them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from custody.core import strictjson
from custody.errors import InvalidInput

ED25519 = 0x01
"""Signature type of a plain Ed25519 signature over the text."""
COSIGNATURE = 0x04
"""Signature type of a witness's timestamped Ed25519 cosignature (https://c2sp.org/tlog-cosignature)."""

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 100
"""As many signature lines as Go's reader takes."""
_DASH = "\u2014"


@dataclass(frozen=True)
class Signature:
    """One signature line: the key's name, its id (4 bytes) and what that key put there."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """Return the line as it stands in a note, with its newline."""
        return f"{_DASH} {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text that ends in a newline, and its signature lines; nothing here has been verified."""

    text: str
    signatures: tuple[Signature, ...]

    def to_text(self) -> str:
        """Return the note as it travels."""
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}"


@dataclass(frozen=True)
class VerifierKey:
    """A name with a raw Ed25519 public key (32 bytes) and the type of signature it makes."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which signature lines name this key."""
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        """Return `NAME+HASH+BASE64`."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"


def parse_note(note: str) -> Note:
    """Read a note; raises `InvalidInput`.

    Refused: more than 64 KiB or 100 signature lines, control characters, a missing blank line, a line that
    is no signature line, a name with spaces or a plus, base64 in another than its one form, and two lines of
    one key. (Go drops the second line of a key in silence; two readers could then see two notes.)
    """
    # Counting characters first keeps a huge text from being encoded at all.
    if len(note) > MAX_NOTE_BYTES or len(note.encode("utf-8", "surrogatepass")) > MAX_NOTE_BYTES:
        raise InvalidInput(f"the note is longer than {MAX_NOTE_BYTES} bytes")
    if any((letter < " " and letter != "\n") or "\ud800" <= letter <= "\udfff" for letter in note):
        raise InvalidInput("the note holds a control character")
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise InvalidInput("this does not have the form of a signed note")
    return Note(text + "\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Read signature lines, one or more, each with its newline; raises `InvalidInput`."""
    found = lines.split("\n")
    if found.pop() != "" or not found:
        raise InvalidInput("the note has no whole signature line")
    if len(found) > MAX_SIGNATURES:
        raise InvalidInput(f"the note has more than {MAX_SIGNATURES} signature lines")
    signatures = tuple(_signature(line) for line in found)
    if len({(signature.name, signature.key_id) for signature in signatures}) < len(signatures):
        raise InvalidInput("the note has two signature lines of one key")
    return signatures


def merged(note: Note, more: Sequence[Signature]) -> Note:
    """Return the note with further signature lines; a newer line of a key takes the older one's place."""
    lines = {(signature.name, signature.key_id): signature for signature in (*note.signatures, *more)}
    return Note(note.text, tuple(lines.values()))


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return SHA-256(name, newline, type, public key), cut to four bytes."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def parse_vkey(text: str) -> VerifierKey:
    """Read `NAME+HASH+BASE64` of an Ed25519 key of either type; raises `InvalidInput`."""
    if len(text) > 1024:
        raise InvalidInput("this is too long for a verifier key")
    name, _, rest = text.partition("+")
    shown, _, coded = rest.partition("+")
    check_key_name(name)
    raw = strictjson.b64decode(coded, what="verifier key")
    if len(raw) != 33 or raw[0] not in (ED25519, COSIGNATURE):
        raise InvalidInput("this is not the verifier key of an Ed25519 key", hint="it has the form NAME+HASH+BASE64")
    found = VerifierKey(name, raw[0], raw[1:])
    if shown != found.key_id.hex():
        raise InvalidInput(f"the verifier key of {name!r} is damaged: its hash does not fit")
    return found


def check_key_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` can name a key in a note: not empty, no white space, no plus."""
    if not name or "+" in name or len(name.encode("utf-8", "surrogatepass")) > 255:
        raise InvalidInput(f"{name[:60]!r} cannot name a key: it is empty, too long or has a plus")
    # isspace() is what Go's unicode.IsSpace is, and the few separators beyond it are not printable either.
    if not all(letter.isprintable() and not letter.isspace() for letter in name):
        raise InvalidInput(f"{name[:60]!r} cannot name a key: it has a space or a control character")


def _signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH:
        raise InvalidInput("the note has a malformed signature line")
    check_key_name(parts[1])
    raw = strictjson.b64decode(parts[2], what="signature")
    if len(raw) < 5:
        raise InvalidInput("the note has a signature line without a signature")
    return Signature(parts[1], raw[:4], raw[4:])
