from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from custody.adapters.memory import FileMemory
from custody.adapters.sqlite import SqliteStore
from custody.core import predicates as kinds
from custody.core import strictjson
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import CustodyError, InvalidInput, Tampered, Unavailable
from custody.ledger.bundle import write_bundle, write_trust_root
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.log import Log, Moved, leaf_of
from custody.ledger.merkle import Frontier, root_of
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import LogKey, PersonKey

ORIGIN = "example.org/log"
KEY, PERSON = LogKey.generate(), PersonKey.generate()


def envelope(text: str) -> Envelope:
    said = {"use_case": "u", "verdict": "approve", "reason": text, "at": "2026-01-01T00:00:00+00:00"}
    return seal(Statement(Subject("model", "ab" * 32), kinds.APPROVAL, said), PERSON)


ENVELOPES = [envelope(text) for text in ("a", "b", "c", "d", "e")]
LEAVES = [leaf_of(one) for one in ENVELOPES]


class World:
    """One ledger file, and the clients that look at it; each remembers for itself."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "ledger.db"
        self.store = SqliteStore(self.path, create=True)
        self.log = self.client("me")
        for one in ENVELOPES[:4]:
            self.log.append([one])

    def client(self, name: str, key: LogKey | None = KEY) -> Log:
        return Log(self.store, FileMemory(self.folder / name), ORIGIN, KEY.public, key)

    def sql(self, *statements: str) -> None:
        """Edit the file as somebody with a shell could."""
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def checkpoint(self, leaves: list[bytes], key: LogKey = KEY, origin: str = ORIGIN) -> None:
        """Put a checkpoint over `leaves` in the place of the newest, as somebody with the log's key could."""
        frontier = Frontier().extend(leaves)
        note = sign_checkpoint(Checkpoint(origin, frontier.size, frontier.root), key)
        self.sql("DELETE FROM checkpoint")
        connection = sqlite3.connect(self.path)
        connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (frontier.size, note, frontier.to_bytes()))
        connection.commit()
        connection.close()

    def replace(self, index: int, one: Envelope, leaf: bytes | None = None) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute(
            "UPDATE entry SET envelope = ?, leaf = ? WHERE idx = ?", (one.to_bytes(), leaf or leaf_of(one), index)
        )
        connection.commit()
        connection.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_was_appended_is_read_back_under_a_checkpoint(world: World) -> None:
    reading = world.log.read()
    assert [one for _, one in reading.rows] == ENVELOPES[:4]
    assert [index for index, _ in reading.rows] == [0, 1, 2, 3]
    assert reading.checkpoint == Checkpoint(ORIGIN, 4, root_of(LEAVES[:4]))
    assert [reading.frontiers[size].root for size in range(5)] == [root_of(LEAVES[:size]) for size in range(5)]


def test_several_entries_go_in_together(world: World) -> None:
    index, note = world.log.append([ENVELOPES[4], envelope("f")])
    assert index == 4
    assert note == world.log.read().note
    assert world.log.read().checkpoint.size == 6


def test_first_contact_is_told_from_later_visits(world: World) -> None:
    stranger = world.client("stranger", None)
    assert not stranger.read().fresh
    assert stranger.read().fresh
    assert world.log.read().fresh


def test_a_known_reading_is_continued_not_repeated(world: World) -> None:
    known = world.log.read()
    world.log.append([ENVELOPES[4]])
    again = world.log.read(known)
    assert again.checkpoint.size == 5
    assert again.rows[:4] == known.rows
    assert [one for _, one in again.rows] == ENVELOPES
    assert world.log.read(again).rows == again.rows


# The five checks, one by one; a clean ledger passes all of them above.


def test_1_a_forged_checkpoint_is_caught(world: World) -> None:
    world.checkpoint(LEAVES[:4], key=LogKey.generate())
    with pytest.raises(Tampered, match="not signed by the log's key"):
        world.log.read()


def test_1_a_checkpoint_of_another_log_is_caught(world: World) -> None:
    world.checkpoint(LEAVES[:4], origin="example.org/other")
    with pytest.raises(Tampered, match="another log"):
        world.log.read()


@pytest.mark.parametrize("note", ["", "hello", "example.org/log\n4\nAAAA\n\n\u2014 x y\n", ORIGIN + "\n9\n\n"])
def test_1_a_note_that_is_none_is_caught(world: World, note: str) -> None:
    world.sql(f"UPDATE checkpoint SET note = '{note}' WHERE size = 4")
    with pytest.raises(Tampered):
        world.log.read()


def test_1_a_ledger_without_a_checkpoint_is_caught(world: World) -> None:
    world.sql("DELETE FROM checkpoint")
    with pytest.raises(Tampered, match="no checkpoint"):
        world.log.read()


def test_2_a_ledger_rolled_back_whole_is_caught_by_whoever_saw_more(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx >= 2")
    world.checkpoint(LEAVES[:2])
    with pytest.raises(Tampered, match="cut short: it has 2 entries, and 4 were seen"):
        world.log.read()
    assert world.client("stranger").read().checkpoint.size == 2  # who never saw more cannot know


def test_2_nobody_signs_on_top_of_a_ledger_that_was_cut_short(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx >= 2")
    world.checkpoint(LEAVES[:2])
    for _ in range(2):
        with pytest.raises(Tampered, match="refusing to sign"):
            world.log.append([ENVELOPES[4]])


@pytest.mark.parametrize("index", range(4))
def test_3_an_edited_entry_is_caught(world: World, index: int) -> None:
    world.replace(index, envelope("forged"), LEAVES[index])
    for client in ("me", "stranger"):
        with pytest.raises(Tampered, match=f"entry {index} was altered"):
            world.client(client).read()


@pytest.mark.parametrize("index", range(4))
def test_3_an_edited_leaf_is_caught(world: World, index: int) -> None:
    world.replace(index, ENVELOPES[index], bytes(32))
    with pytest.raises(Tampered, match=f"entry {index} was altered"):
        world.client("stranger").read()


def test_3_every_byte_of_an_entry_is_covered_or_is_the_signature(world: World) -> None:
    raw = ENVELOPES[1].to_bytes()
    at = raw.index(b'"sig":"') + 7
    signature = range(at, raw.index(b'"', at))
    connection = sqlite3.connect(world.path)
    for place in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[place] ^= 2
        connection.execute("UPDATE entry SET envelope = ? WHERE idx = 1", (bytes(changed),))
        connection.commit()
        if place in signature:  # the desk holds signatures against keys; see test_desk
            continue
        with pytest.raises(Tampered):
            world.log.read()
    connection.close()


@pytest.mark.parametrize("raw", ["x''", "x'7b7d'", "x'ff'"])
def test_3_an_entry_that_is_no_envelope_is_caught(world: World, raw: str) -> None:
    world.sql(f"UPDATE entry SET envelope = {raw} WHERE idx = 2")
    with pytest.raises(Tampered, match="entry 2"):
        world.log.read()


@pytest.mark.parametrize("index", range(4))
def test_4_a_replaced_entry_with_its_own_leaf_is_caught(world: World, index: int) -> None:
    world.replace(index, envelope("forged"))
    for client in ("me", "stranger"):
        with pytest.raises(Tampered, match="replaced or moved"):
            world.client(client).read()


def test_4_reordered_entries_are_caught(world: World) -> None:
    world.replace(1, ENVELOPES[2])
    world.replace(2, ENVELOPES[1])
    with pytest.raises(Tampered, match="replaced or moved"):
        world.client("stranger").read()


@pytest.mark.parametrize("index", range(4))
def test_4_a_missing_entry_is_caught(world: World, index: int) -> None:
    world.sql(f"DELETE FROM entry WHERE idx = {index}")
    for client in ("me", "stranger"):
        with pytest.raises(Tampered, match=f"entry {index} is missing"):
            world.client(client).read()


@pytest.mark.parametrize("index", [4, 5, 100])
def test_4_an_extra_entry_is_caught(world: World, index: int) -> None:
    world.sql(f"INSERT INTO entry SELECT {index}, leaf, envelope FROM entry WHERE idx = 0")
    for client in ("me", "stranger"):
        with pytest.raises(Tampered, match="no checkpoint covers"):
            world.client(client).read()


def test_4_an_entry_left_out_with_the_rest_moved_up_is_caught(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx = 1", "UPDATE entry SET idx = 1 WHERE idx = 2")
    with pytest.raises(Tampered):
        world.client("stranger").read()


def test_5_a_history_rewritten_with_the_logs_own_key_is_caught_by_whoever_saw_it(world: World) -> None:
    forged = envelope("forged")
    world.replace(1, forged)
    world.checkpoint([LEAVES[0], leaf_of(forged), *LEAVES[2:4]])
    with pytest.raises(Tampered, match="history was rewritten"):
        world.log.read()
    assert world.client("stranger").read().checkpoint.size == 4


def test_5_a_rewritten_history_that_grew_is_caught_as_well(world: World) -> None:
    forged = envelope("forged")
    world.replace(3, forged)
    leaves = [*LEAVES[:3], leaf_of(forged)]
    world.checkpoint(leaves)
    world.client("forger").append([ENVELOPES[4]])
    with pytest.raises(Tampered, match="history was rewritten"):
        world.log.read()


def test_5_a_running_client_catches_it_without_its_memory(world: World) -> None:
    known = world.log.read()
    forged = envelope("forged")
    world.replace(1, forged)
    world.checkpoint([LEAVES[0], leaf_of(forged), *LEAVES[2:4]])
    with pytest.raises(Tampered):
        world.client("without memory").read(known)
    world.sql("DELETE FROM entry WHERE idx >= 2")
    world.checkpoint(LEAVES[:2])
    with pytest.raises(Tampered):
        world.client("without memory either").read(known)


def test_a_refused_reading_is_not_remembered(world: World) -> None:
    forged = envelope("forged")
    world.replace(1, forged)
    for _ in range(2):
        with pytest.raises(Tampered):
            world.log.read()
    world.replace(1, ENVELOPES[1])
    assert world.log.read().checkpoint.size == 4


# Memory


def memory_file(world: World) -> Path:
    (path,) = (world.folder / "me").iterdir()
    return path


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"origin":"example.org/log","size":"4","root":"' + b"00" * 32 + b'"}',
        b'{"origin":"example.org/log","size":true,"root":"' + b"00" * 32 + b'"}',
        b'{"origin":"example.org/log","size":-1,"root":"' + b"00" * 32 + b'"}',
        b'{"origin":"example.org/log","size":4,"root":"00"}',
        b'{"origin":"example.org/log","size":4,"root":7}',
        b'{"origin":"example.org/other","size":4,"root":"' + b"00" * 32 + b'"}',
    ],
)
def test_a_damaged_memory_is_not_forgotten_silently(world: World, raw: bytes) -> None:
    memory_file(world).write_bytes(raw)
    with pytest.raises(Tampered, match="remembered checkpoint"):
        world.log.read()


def test_a_memory_of_something_else_is_caught(world: World) -> None:
    path = memory_file(world)
    path.write_text(path.read_text().replace(root_of(LEAVES[:4]).hex(), "00" * 32))
    with pytest.raises(Tampered, match="rewritten"):
        world.log.read()


def test_memory_never_goes_back(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "state")
    assert memory.last(ORIGIN) is None
    memory.remember(ORIGIN, 5, bytes(32))
    memory.remember(ORIGIN, 4, bytes([1]) * 32)
    memory.remember(ORIGIN, 5, bytes([1]) * 32)
    assert memory.last(ORIGIN) == (5, bytes(32))
    memory.remember(ORIGIN, 6, bytes([1]) * 32)
    assert memory.last(ORIGIN) == (6, bytes([1]) * 32)
    assert memory.last("another") is None
    memory.remember("another", 1, bytes(32))
    assert memory.last(ORIGIN) == (6, bytes([1]) * 32)


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = FileMemory(tmp_path / "file")
    with pytest.raises(Unavailable):
        memory.last(ORIGIN)
    with pytest.raises(Unavailable):
        FileMemory(tmp_path / "file" / "below").remember(ORIGIN, 1, bytes(32))


# Appending


def test_a_log_without_its_key_is_for_reading(world: World) -> None:
    reader = world.client("reader", None)
    with pytest.raises(InvalidInput, match="for reading"):
        reader.append([ENVELOPES[4]])
    with pytest.raises(InvalidInput, match="for reading"):
        reader.append([Envelope(b"not even a statement", "", b"")])  # said before anything else is looked at
    assert reader.read().checkpoint.size == 4


def test_an_append_after_a_known_size_gives_way_to_others(world: World) -> None:
    with pytest.raises(Moved):
        world.log.append([ENVELOPES[4]], after=3)
    with pytest.raises(Moved):
        world.log.append([ENVELOPES[4]], after=5)
    assert world.log.read().checkpoint.size == 4
    assert world.log.append([ENVELOPES[4]], after=4)[0] == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda: Envelope(b"{}", PERSON.keyid, b""),
        lambda: Envelope(Statement(Subject("m", "ab" * 32), "urn:unknown", {}).to_bytes(), PERSON.keyid, b""),
        lambda: Envelope(Statement(Subject("m", "ab" * 32), kinds.APPROVAL, {}).to_bytes(), PERSON.keyid, b""),
    ],
)
def test_what_could_not_be_read_back_is_not_appended(world: World, change: Callable[[], Envelope]) -> None:
    with pytest.raises(InvalidInput):
        world.log.append([change()])
    assert world.log.read().checkpoint.size == 4


def test_the_leaf_binds_statement_kind_and_key_but_not_the_signature() -> None:
    one = ENVELOPES[0]
    assert leaf_of(Envelope(one.payload, one.keyid, b"other")) == leaf_of(one)
    assert leaf_of(Envelope(one.payload, "other", one.signature)) != leaf_of(one)
    assert leaf_of(ENVELOPES[1]) != leaf_of(one)


def test_nothing_is_not_appended(world: World) -> None:
    with pytest.raises(InvalidInput, match="nothing"):
        world.log.append([])


def test_threads_share_checkpoints_and_each_is_told_one_that_covers_its_entry(world: World) -> None:
    told: dict[int, tuple[int, str]] = {}
    notes = 0

    def write(number: int) -> None:
        told[number] = world.log.append([envelope(f"thread {number}")])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = world.client("stranger").read().rows
    assert len(rows) == 28
    for number, (index, note) in told.items():
        assert rows[index][1].statement.predicate["reason"] == f"thread {number}"
        assert int(note.split("\n")[1]) > index
    notes = len({note for _, note in told.values()})
    assert notes < 24, "some went together"


def test_nobody_signs_on_a_head_that_the_log_did_not_sign(world: World) -> None:
    """A store that offers another frontier would have the log sign a root that nobody could prove anything to."""
    fresh = world.client("fresh")
    frontier = Frontier().extend([*LEAVES[:3], bytes(32)])
    connection = sqlite3.connect(world.path)
    connection.execute("UPDATE checkpoint SET frontier = ?", (frontier.to_bytes(),))
    connection.commit()
    connection.close()
    for client in (fresh, world.log, world.client("me")):
        with pytest.raises(Tampered, match="refusing to sign"):
            client.append([ENVELOPES[4]])
    assert len(world.store.read(0).rows) == 4


def test_a_writer_builds_on_what_another_writer_of_the_log_signed(world: World) -> None:
    other = world.client("other")
    other.append([ENVELOPES[4]])
    assert world.log.append([envelope("f")])[0] == 5
    assert other.append([envelope("g")])[0] == 6
    assert world.client("stranger").read().checkpoint.size == 7


# Anchors


def restored(world: World) -> None:
    """Put back the copy of the ledger of two entries, as a restored backup would."""
    world.sql("DELETE FROM entry WHERE idx >= 2")
    world.checkpoint(LEAVES[:2])


@pytest.mark.parametrize("rows", [1, 5])
def test_nobody_signs_below_the_newest_anchor_known(world: World, rows: int) -> None:
    world.log.anchored(4, root_of(LEAVES[:4]))
    restored(world)
    (seen,) = [path for path in (world.folder / "me").iterdir() if path.name.count(".") == 1]
    seen.unlink()
    client = world.client("me")
    with pytest.raises(Tampered, match="refusing to sign: the ledger has 2 entries, and 4 were seen"):
        client.append([envelope(str(number)) for number in range(rows)])
    with pytest.raises(Tampered, match="cut short: it has 2 entries, and 4 were seen"):
        client.read()
    world.client("who knows of no anchor").append([ENVELOPES[2]])


@pytest.mark.parametrize("rows", [1, 5])
def test_nobody_signs_on_a_restored_copy(world: World, rows: int) -> None:
    restored(world)
    with pytest.raises(Tampered, match="refusing to sign"):
        world.client("me").append([envelope(str(number)) for number in range(rows)])


def test_a_history_that_is_not_the_anchored_one_is_caught(world: World) -> None:
    other = world.client("other")
    other.anchored(3, bytes(32))
    with pytest.raises(Tampered, match="the first 3 entries are not those seen before"):
        other.read()
    other = world.client("another")
    other.anchored(4, bytes(32))
    with pytest.raises(Tampered, match="newest root is not the one seen"):
        other.append([ENVELOPES[4]])


def test_an_older_anchor_replaces_no_newer_one(world: World) -> None:
    world.log.anchored(4, root_of(LEAVES[:4]))
    world.log.anchored(2, root_of(LEAVES[:2]))
    assert FileMemory(world.folder / "me").anchored(ORIGIN) == (4, root_of(LEAVES[:4]))


# What was verified before


def test_what_was_verified_is_held_on_the_next_visit_and_only_there(world: World) -> None:
    reading = world.log.read()
    assert reading.verified == 0
    assert not any(one.held for _, one in reading.rows)
    world.log.every_signature_held(reading)
    world.log.append([ENVELOPES[4]])
    again = world.client("me").read()
    assert again.verified == 4
    assert [one.held for _, one in again.rows] == [True] * 4 + [False]
    assert world.client("stranger").read().verified == 0
    assert world.client("me").read(thorough=True).verified == 0
    assert not any(one.held for _, one in world.client("me").read(thorough=True).rows)


def test_one_other_byte_of_a_signature_and_everything_is_verified_again(world: World) -> None:
    world.log.every_signature_held(world.log.read())
    other = Envelope(ENVELOPES[1].payload, ENVELOPES[1].keyid, bytes([*ENVELOPES[1].signature[:-1], 0]))
    assert leaf_of(other) == LEAVES[1]
    world.replace(1, other)
    reading = world.client("me").read()
    assert reading.verified == 0
    assert not any(one.held for _, one in reading.rows)


def verified_file(world: World) -> Path:
    world.log.every_signature_held(world.log.read())
    (path,) = (world.folder / "me").glob("*.verified.json")
    return path


@pytest.mark.parametrize("raw", [b"", b"{", b'{"origin":"example.org/log","size":4,"root":"' + b"00" * 32 + b'"}'])
def test_a_mark_that_cannot_be_right_saves_nothing_and_does_no_harm(world: World, raw: bytes) -> None:
    path = verified_file(world)
    path.write_bytes(raw)
    reading = world.client("me").read()
    assert reading.verified == 0
    world.log.every_signature_held(reading)
    assert world.client("me").read().verified == 4


def test_a_mark_that_others_could_have_written_is_none(world: World) -> None:
    path = verified_file(world)
    assert world.client("me").read().verified == 4
    path.chmod(0o622)
    assert world.client("me").read().verified == 0
    if os.geteuid() == 0:
        path.chmod(0o600)
        os.chown(path, 65534, -1)
        assert world.client("me").read().verified == 0


# Cosignatures and the log's keys


COSIGNATURE = "\u2014 witness.example/one AAAAAAAAAAAA\n"


def test_cosignatures_stand_behind_the_logs_own_signature(world: World) -> None:
    note = world.log.read().note + COSIGNATURE
    world.log.cosign(note)
    assert world.log.read().note == note
    assert world.log.read().checkpoint.size == 4
    world.log.append([ENVELOPES[4]])
    assert COSIGNATURE not in world.log.read().note


def test_cosignatures_come_late_when_the_log_has_grown(world: World) -> None:
    note = world.log.read().note + COSIGNATURE
    world.log.append([ENVELOPES[4]])
    with pytest.raises(Moved):
        world.log.cosign(note)


@pytest.mark.parametrize("wrong", ["", "hello", "example.org/other\n4\nAAAA\n\n", ORIGIN + "\nfour\nAAAA\n\n"])
def test_what_is_no_checkpoint_of_this_log_is_not_cosigned(world: World, wrong: str) -> None:
    note = world.log.read().note
    with pytest.raises(InvalidInput, match="not a checkpoint of this log"):
        world.log.cosign(wrong)
    with pytest.raises(Tampered):
        world.log.cosign(note.replace(ORIGIN + "\n4\n", ORIGIN + "\n4\nA", 1) + COSIGNATURE)
    assert world.log.read().note == note


def test_the_newest_checkpoint_is_opened_with_the_key_that_the_rows_lead_to(world: World) -> None:
    new, seen = LogKey.generate(), []

    def newest(rows: Sequence[tuple[int, Envelope]]) -> bytes:
        seen.append([one for _, one in rows])
        return new.public if ENVELOPES[4] in seen[-1] else KEY.public

    memory = FileMemory(world.folder / "rotating")
    assert Log(world.store, memory, ORIGIN, KEY.public, KEY, newest).read().checkpoint.size == 4
    Log(world.store, memory, ORIGIN, KEY.public, new, newest).append([ENVELOPES[4]])
    known = Log(world.store, memory, ORIGIN, KEY.public, None, newest).read()
    assert known.checkpoint.size == 5
    assert seen == [ENVELOPES[:4], ENVELOPES]
    with pytest.raises(Tampered, match="not signed by the log's key"):
        world.log.read()  # it knows of no rotation
    Log(world.store, memory, ORIGIN, KEY.public, KEY, newest).append([envelope("f")])
    for reading in (None, known):
        with pytest.raises(Tampered, match="not signed by the log's key"):
            Log(world.store, memory, ORIGIN, KEY.public, None, newest).read(reading)


# Bundles


def test_a_bundle_carries_every_entry_and_nothing_brings_its_own_trust(world: World, tmp_path: Path) -> None:
    import json

    path = tmp_path / "bundle.json"
    size = write_bundle(world.log.read(), path)
    assert path.stat().st_size == size
    bundle = json.loads(path.read_text())
    assert set(bundle) == {"format", "origin", "checkpoint", "entries"}
    assert bundle["checkpoint"] == world.log.read().note
    assert [Envelope.from_bytes(strictjson.dump(e)) for e in bundle["entries"]] == ENVELOPES[:4]
    write_trust_root(tmp_path / "trust.json", ORIGIN, "key", "owner")
    assert json.loads((tmp_path / "trust.json").read_text())["log_key"] == "key"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_bundle_that_cannot_be_written_leaves_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    with pytest.raises(Unavailable):
        write_bundle(world.log.read(), tmp_path / "no" / "bundle.json")
    with pytest.raises(CustodyError):
        write_bundle(world.log.read(), tmp_path)
    assert (tmp_path / "old.json").read_text() == "old"
