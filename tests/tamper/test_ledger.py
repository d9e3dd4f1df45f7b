"""The ledger's file, changed by somebody who can write it; with and without the log's key."""

from __future__ import annotations

from pathlib import Path

import pytest
from planting import Cases, Reason, World, case, edited

from custody.core import predicates as kinds
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.log import leaf_of
from custody.ledger.merkle import Frontier, root_of
from custody.seal.keys import LogKey

CASES: Cases = {}


def with_leaf(world: World, index: int, raw: bytes) -> None:
    world.sql("UPDATE entry SET envelope = ? WHERE idx = ?", raw, index)


# Without the log's key: the rows no longer fit the signed root.


@case(CASES, Reason.ALTERED)
def one_byte_of_a_payload_is_flipped(world: World) -> None:
    raw = bytearray(world.envelopes[7].to_bytes())
    raw[raw.index(b'"payload":"') + 40] ^= 1
    with_leaf(world, 7, bytes(raw))


@case(CASES, Reason.ALTERED)
def the_first_entry_is_altered(world: World) -> None:
    raw = bytearray(world.envelopes[0].to_bytes())
    raw[raw.index(b'"payload":"') + 60] ^= 2
    with_leaf(world, 0, bytes(raw))


@case(CASES, Reason.ALTERED)
def the_last_entry_is_altered(world: World) -> None:
    last = len(world.envelopes) - 1
    raw = bytearray(world.envelopes[last].to_bytes())
    raw[raw.index(b'"payload":"') + 60] ^= 4
    with_leaf(world, last, bytes(raw))


@case(CASES, Reason.ALTERED)
def an_entry_holds_another_entrys_statement(world: World) -> None:
    with_leaf(world, 5, world.envelopes[6].to_bytes())


@case(CASES, Reason.ALTERED, Reason.REWRITTEN)
def an_entry_and_its_leaf_are_exchanged_together(world: World) -> None:
    other = world.again(5, "olga", at="2020-01-01T00:00:00+00:00")
    world.sql("UPDATE entry SET envelope = ?, leaf = ? WHERE idx = 5", other.to_bytes(), leaf_of(other))


@case(CASES, Reason.ALTERED, Reason.ACCEPTED)
def a_stored_leaf_is_altered(world: World) -> None:
    """A bundle carries no leaves: its reader makes them anew, and the entries themselves are sound."""
    world.sql("UPDATE entry SET leaf = ? WHERE idx = 3", b"\x00" * 32)


@case(CASES, Reason.CUT_SHORT)
def the_last_entry_is_gone(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx = ?", len(world.envelopes) - 1)


@case(CASES, Reason.CUT_SHORT)
def an_entry_in_the_middle_is_gone(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx = 9")


@case(CASES, Reason.CUT_SHORT)
def the_first_entry_is_gone(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx = 0")


@case(CASES, Reason.CUT_SHORT)
def all_entries_are_gone(world: World) -> None:
    world.sql("DELETE FROM entry")


@case(CASES, Reason.ALTERED, Reason.REWRITTEN)
def two_entries_changed_places(world: World) -> None:
    first, second = world.envelopes[4], world.envelopes[5]
    with_leaf(world, 4, second.to_bytes())
    with_leaf(world, 5, first.to_bytes())


@case(CASES, Reason.REWRITTEN)
def two_entries_changed_places_with_their_leaves(world: World) -> None:
    first, second = world.envelopes[4], world.envelopes[5]
    for index, envelope in ((4, second), (5, first)):
        world.sql(
            "UPDATE entry SET envelope = ?, leaf = ? WHERE idx = ?", envelope.to_bytes(), leaf_of(envelope), index
        )


@case(CASES, Reason.REWRITTEN, Reason.CUT_SHORT)
def an_entry_is_added_that_no_checkpoint_covers(world: World) -> None:
    found = world.envelopes
    extra = world.again(len(found) - 1, "val", at="2026-01-01T00:00:00+00:00")
    world.sql("INSERT INTO entry (idx, leaf, envelope) VALUES (?, ?, ?)", len(found), leaf_of(extra), extra.to_bytes())


@case(CASES, Reason.NOT_THE_LOG)
def the_checkpoint_is_signed_by_another_key(world: World) -> None:
    found = world.envelopes
    root = root_of([leaf_of(envelope) for envelope in found])
    note = sign_checkpoint(Checkpoint(world.origin, len(found), root), LogKey.generate())
    world.sql("UPDATE checkpoint SET note = ? WHERE size = ?", note, len(found))


@case(CASES, Reason.NOT_THE_LOG)
def the_checkpoint_is_of_another_log(world: World) -> None:
    found = world.envelopes
    root = root_of([leaf_of(envelope) for envelope in found])
    note = sign_checkpoint(Checkpoint("custody.other.1", len(found), root), world.log_key)
    world.sql("UPDATE checkpoint SET note = ? WHERE size = ?", note, len(found))


@case(CASES, Reason.NOT_THE_LOG, Reason.REWRITTEN)
def the_checkpoints_root_was_typed(world: World) -> None:
    lines = world.note.split("\n")
    lines[2] = "A" * 43 + "="
    world.sql("UPDATE checkpoint SET note = ?", "\n".join(lines))


@case(CASES, Reason.NOT_THE_LOG)
def the_checkpoints_signature_is_gone(world: World) -> None:
    world.sql("UPDATE checkpoint SET note = ?", world.note.partition("\n\n")[0] + "\n\n")


@case(CASES, Reason.NOT_THE_LOG)
def one_bit_of_the_checkpoints_signature_is_flipped(world: World) -> None:
    note = world.note
    place = len(note) - 12
    world.sql("UPDATE checkpoint SET note = ?", note[:place] + ("A" if note[place] != "A" else "B") + note[place + 1 :])


# With the log's key and the disk: whoever remembers, or whoever checks signatures, notices.


@case(CASES, Reason.CUT_SHORT)
def history_is_cut_and_signed_again(world: World) -> None:
    world.rewrite(world.envelopes[:-2])


@case(CASES, Reason.CUT_SHORT, Reason.CUT_SHORT)
def a_refusal_is_cut_off_by_the_logs_holder(world: World) -> None:
    world.rewrite([envelope for envelope in world.envelopes if envelope.statement.kind != kinds.RISK])


@case(CASES, Reason.REWRITTEN)
def two_entries_are_exchanged_and_signed_again(world: World) -> None:
    found = world.envelopes
    found[10], found[11] = found[11], found[10]
    world.rewrite(found)


@case(CASES, Reason.REWRITTEN)
def a_statement_is_replaced_by_its_own_signer(world: World) -> None:
    (index, _), *_ = world.of(kinds.DATASET)
    world.replace(index, world.again(index, "petra", rows=99))


@case(CASES, Reason.REWRITTEN)
def old_entries_are_replaced_and_new_ones_added(world: World) -> None:
    found = world.envelopes
    found[12] = world.again(12, "petra", note="as it should have been")
    world.rewrite([*found, world.again(len(found) - 1, "val", at="2026-01-01T00:00:00+00:00")])


@case(CASES, Reason.REPLAYED)
def an_entry_stands_twice(world: World) -> None:
    world.append(world.of(kinds.APPROVAL)[0][1])


@case(CASES, Reason.ALTERED, Reason.REWRITTEN)
def the_leaves_are_of_other_statements(world: World) -> None:
    found = world.envelopes
    leaves = [leaf_of(envelope) for envelope in found]
    leaves[8] = leaf_of(world.again(8, "petra", rows=5))
    world.rewrite(found, leaves)


@case(CASES, Reason.NOT_THE_LOG)
def the_size_in_the_checkpoint_is_larger(world: World) -> None:
    lines = world.note.split("\n")
    lines[1] = str(int(lines[1]) + 1)
    world.sql("UPDATE checkpoint SET note = ?", "\n".join(lines))


@case(CASES, Reason.NOT_SIGNED)
def a_signature_is_of_another_statement(world: World) -> None:
    found = world.envelopes
    world.replace(6, edited(found[6], signature=found[7].signature))


@case(CASES, Reason.ALTERED, Reason.ACCEPTED)
def the_frontier_is_damaged(world: World) -> None:
    """A bundle carries no frontier."""
    world.sql("UPDATE checkpoint SET frontier = ?", Frontier().to_bytes() + b"\x00" * 5)


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)
