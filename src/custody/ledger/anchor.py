"""An anchor: a checkpoint of this ledger that was shown to outside eyes, put on record with what they said.

The note carries witnesses' cosignatures, the tokens are RFC 3161 time stamps of its text. An anchor counts
only if its size and root are those of this very ledger; who it counts for is decided by the trust root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from custody.core import predicates as kinds
from custody.core import strictjson
from custody.core.evidence import Evidence, witness_id
from custody.errors import InvalidInput
from custody.ledger.checkpoint import Checkpoint, cosignatures
from custody.ledger.merkle import Frontier
from custody.ledger.note import parse_note


@dataclass(frozen=True)
class Token:
    """A time stamp as it was received: the authority's URL and its TimeStampResp in DER. A claim until verified."""

    tsa: str
    reply: bytes


@dataclass(frozen=True)
class Anchor:
    """An anchor that is of this ledger; `index` is its own place, below it lie the `size` entries it is about."""

    index: int
    checkpoint: Checkpoint
    note: str
    tokens: tuple[Token, ...]

    def cosigned(self, witnesses: Mapping[str, bytes]) -> dict[str, int]:
        """Return which of these witnesses (name to raw key) signed it, each with its moment in seconds since 1970."""
        return cosignatures(self.note, witnesses)


def read_anchor(index: int, said: Mapping[str, Any], origin: str, frontiers: Mapping[int, Frontier]) -> Anchor | None:
    """Return the anchor that the entry at `index` says, or None where it does not count for this ledger.

    It has to be about entries before it, with the very root this ledger has at that size, and its note's
    text has to be the checkpoint of just that.
    """
    size = said["size"]
    if isinstance(size, bool) or not 0 < size <= index or size not in frontiers:
        return None
    checkpoint = Checkpoint(origin, size, frontiers[size].root)
    try:
        text = parse_note(said["note"]).text
        tokens = tuple(_token(item) for item in said["tokens"])
    except InvalidInput:
        return None
    if said["root"] != checkpoint.root.hex() or text != checkpoint.body():
        return None
    return Anchor(index, checkpoint, said["note"], tokens)


def anchored(entries: Sequence[Evidence], origin: str, frontiers: Mapping[int, Frontier]) -> dict[int, frozenset[str]]:
    """Return the anchors among a ledger's entries that count, by index, with who validly cosigned each.

    Everybody whom any trust root on record names is looked for; which of them a rule asks for is its own
    affair. They are named as `witness_id` does: a name may stand in several roots with several keys.
    """
    found = [entry for entry in entries if entry.kind == kinds.ANCHOR]
    if not found:
        return {}
    listed = {
        (str(item.get("name")), str(item.get("key")))
        for entry in entries
        if entry.kind == kinds.TRUST_ROOT
        for item in entry.predicate["witnesses"]
        if isinstance(item, Mapping)
    }
    anchors = {entry.index: read_anchor(entry.index, entry.predicate, origin, frontiers) for entry in found}
    return {
        index: frozenset(witness_id(name, key) for name, key in listed if _signed(one.note, name, key))
        for index, one in anchors.items()
        if one is not None
    }


@lru_cache(maxsize=4096)
def _signed(note: str, name: str, key: str) -> bool:
    """Tell whether a witness signed a note; a ledger is read many times, and each signature checked once."""
    try:
        return bool(cosignatures(note, {name: strictjson.b64decode(key, what="witness key")}))
    except InvalidInput:
        return False


def _token(item: Any) -> Token:
    if not isinstance(item, Mapping) or not isinstance(item.get("tsa"), str):
        raise InvalidInput("the anchor has a token that names no authority")
    return Token(item["tsa"], strictjson.b64decode(item.get("token"), what="token"))
