"""An anchor counts only for entries that lie before it."""

from __future__ import annotations

from custody.ledger.anchor import read_anchor
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.merkle import Frontier, leaf_hash
from custody.seal.keys import LogKey

ORIGIN = "example.org/log"


def test_an_anchor_is_about_entries_before_it() -> None:
    frontiers = {size: Frontier().extend([leaf_hash(bytes([n])) for n in range(size)]) for size in range(10)}
    root = frontiers[6].root
    note = sign_checkpoint(Checkpoint(ORIGIN, 6, root), LogKey.generate())
    said = {"size": 6, "root": root.hex(), "note": note, "tokens": []}
    for index in (6, 7, 9):
        assert read_anchor(index, said, ORIGIN, frontiers) is not None
    for index in (0, 5):
        assert read_anchor(index, said, ORIGIN, frontiers) is None
    assert read_anchor(7, {**said, "size": True}, ORIGIN, frontiers) is None
    assert read_anchor(7, said, "example.org/else", frontiers) is None
