"""Proofs are made from files that anybody could have damaged, and are right or are not given."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from custody.adapters.memory import FileMemory
from custody.adapters.nodes import NodeFiles
from custody.adapters.sqlite import SqliteStore
from custody.adapters.tiles import TileFolder
from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotFound, Tampered
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.log import Log, leaf_of
from custody.ledger.merkle import Frontier, leaf_hash, root_of
from custody.ledger.proof import Consistency, Inclusion, read_proof
from custody.ledger.prover import Prover
from custody.ledger.tiles import Tile, read_bundle, read_hashes, tiles_of
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import LogKey, PersonKey

ORIGIN, SIZE = "example.org/log", 300
KEY, PERSON = LogKey.generate(), PersonKey.generate()


def envelope(number: int) -> Envelope:
    said = {"use_case": "u", "verdict": "approve", "reason": str(number), "at": "2026-01-01T00:00:00+00:00"}
    return seal(Statement(Subject("model", "ab" * 32), kinds.APPROVAL, said), PERSON)


ENVELOPES = [envelope(number) for number in range(SIZE + 40)]
LEAVES = [leaf_of(one) for one in ENVELOPES]


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SqliteStore(folder / "ledger.db", create=True)
        self.log = Log(self.store, FileMemory(folder / "state"), ORIGIN, KEY.public, KEY)
        self.log.append(ENVELOPES[:SIZE])
        self.nodes = NodeFiles(folder / "nodes")
        self.tiles = TileFolder(folder / "tiles")

    @property
    def prover(self) -> Prover:
        self.nodes.close()
        return Prover(self.log, self.nodes)

    def stranger(self) -> Prover:
        return Prover(Log(self.store, FileMemory(self.folder / "none"), ORIGIN, KEY.public), self.nodes)

    def sql(self, statement: str, *values: Any) -> None:
        connection = sqlite3.connect(self.folder / "ledger.db")
        connection.execute(statement, values)
        connection.commit()
        connection.close()

    def publish(self, *, anew: bool = False) -> int:
        prover = self.prover
        checkpoint, note = prover.newest()
        write = self.tiles.rebuild if anew else self.tiles.refresh
        return write(checkpoint.size, note, prover.node, prover.records)

    def files(self) -> dict[str, bytes]:
        root = self.folder / "tiles"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("index", [0, 1, 127, 128, 255, 256, SIZE - 1])
def test_a_proof_says_what_it_proves_and_holds_for_a_stranger(world: World, index: int) -> None:
    proof = world.prover.inclusion(index)
    read = read_proof(proof.to_text().encode())
    assert read == proof
    assert isinstance(read, Inclusion)
    assert read.check(ORIGIN, KEY.public) == Checkpoint(ORIGIN, SIZE, root_of(LEAVES[:SIZE]))
    one = ENVELOPES[index]
    assert read.says() == {"kind": kinds.APPROVAL, "statement": one.digest, "keyid": one.keyid}


def test_any_other_proof_is_refused(world: World) -> None:
    proof = world.prover.inclusion(7)
    other = world.prover.inclusion(8)
    for wrong in (
        Inclusion(8, proof.path, proof.record, proof.note),
        Inclusion(7, proof.path[:-1], proof.record, proof.note),
        Inclusion(7, (*proof.path, bytes(32)), proof.record, proof.note),
        Inclusion(7, proof.path[::-1], proof.record, proof.note),
        Inclusion(7, other.path, proof.record, proof.note),
        Inclusion(7, proof.path, other.record, proof.note),
        Inclusion(7, proof.path, b"", proof.note),
        Inclusion(SIZE, proof.path, proof.record, proof.note),
        Inclusion(7, proof.path, proof.record, proof.note.replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n")),
    ):
        with pytest.raises(Tampered):
            wrong.check(ORIGIN, KEY.public)
    with pytest.raises(Tampered):
        proof.check(ORIGIN, LogKey.generate().public)
    with pytest.raises(Tampered):
        proof.check("example.org/other", KEY.public)


@pytest.mark.parametrize("old", [1, 2, 128, 255, 256, 257, SIZE])
def test_the_log_is_proven_to_begin_as_it_was(world: World, old: int) -> None:
    proof, root = world.prover.consistency(old)
    assert root == root_of(LEAVES[:old])
    read = read_proof(proof.to_text().encode())
    assert isinstance(read, Consistency)
    assert read.check(ORIGIN, KEY.public, root).size == SIZE
    for wrong in (bytes(32), root_of(LEAVES[1 : old + 1])):
        with pytest.raises(Tampered):
            read.check(ORIGIN, KEY.public, wrong)


@pytest.mark.parametrize("index", [-1, SIZE, 10**9])
def test_what_is_not_there_is_not_proven(world: World, index: int) -> None:
    with pytest.raises(NotFound):
        world.prover.inclusion(index)
    with pytest.raises(NotFound):
        world.prover.consistency(index + 1 if index > 0 else 0)


def test_proofs_follow_the_log_as_it_grows(world: World) -> None:
    world.prover.inclusion(0)
    before = world.nodes.size
    world.log.append(ENVELOPES[SIZE:])
    assert world.prover.inclusion(SIZE + 3).check(ORIGIN, KEY.public).size == len(ENVELOPES)
    assert (before, world.nodes.size) == (SIZE, len(ENVELOPES))


# Damage


def test_any_damage_to_the_nodes_is_noticed_and_mended(world: World) -> None:
    world.prover.newest()
    folder, chance = world.folder / "nodes", random.Random(5)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for _ in range(40):
        path = folder / chance.choice(sorted(whole))
        raw = bytearray(path.read_bytes())
        how = chance.choice(["flip", "cut", "grow", "zero", "gone"])
        at = chance.randrange(len(raw))
        if how == "gone":
            path.unlink()
        else:
            raw = {
                "flip": raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :],
                "cut": raw[:at],
                "grow": raw + bytes(64),
                "zero": bytearray(len(raw)),
            }[how]
            path.write_bytes(raw)
        for index in (0, 100, SIZE - 1):
            assert world.prover.inclusion(index).check(ORIGIN, KEY.public).size == SIZE
        world.prover.rebuild()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_nodes_that_were_dropped_are_rebuilt_to_the_same_bytes(world: World) -> None:
    for end in range(SIZE, len(ENVELOPES), 7):
        world.log.append(ENVELOPES[end : end + 7])
        world.prover.newest()
    folder = world.folder / "nodes"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    world.prover.rebuild()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    world.nodes.drop()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("index", [0, 77, SIZE - 1])
def test_an_altered_entry_is_not_proven_and_is_named(world: World, index: int) -> None:
    world.prover.newest()
    forged = seal(
        Statement(Subject("other", "ab" * 32), kinds.APPROVAL, dict(ENVELOPES[0].statement.predicate)), PERSON
    )
    world.sql("UPDATE entry SET envelope = ? WHERE idx = ?", forged.to_bytes(), index)
    with pytest.raises(Tampered, match=f"entry {index} was altered"):
        world.prover.inclusion(index)
    world.sql("UPDATE entry SET leaf = ? WHERE idx = ?", leaf_of(forged), index)
    assert world.prover.first_altered() == index
    with pytest.raises(Tampered, match="one was replaced or moved"):
        world.prover.inclusion(index)
    with pytest.raises(Tampered, match="one was replaced or moved"):
        world.prover.rebuild()


def test_without_nodes_the_first_altered_entry_is_not_known(world: World) -> None:
    assert world.prover.first_altered() is None
    world.prover.newest()
    assert world.prover.first_altered() is None


def test_a_log_cut_short_or_rewritten_is_proven_to_nobody_who_saw_more(world: World) -> None:
    world.prover.newest()
    world.sql("DELETE FROM entry WHERE idx >= 200")
    frontier = Frontier().extend(LEAVES[:200])
    note = sign_checkpoint(Checkpoint(ORIGIN, 200, frontier.root), KEY)
    world.sql("UPDATE checkpoint SET size = 200, note = ?, frontier = ?", note, frontier.to_bytes())
    with pytest.raises(Tampered, match="cut short"):
        world.prover.inclusion(0)
    assert world.stranger().inclusion(0).check(ORIGIN, KEY.public).size == 200
    frontier = Frontier().extend([*LEAVES[:199], LEAVES[201], *LEAVES[:200]])
    for number, one in enumerate([ENVELOPES[201], *ENVELOPES[:200]]):
        world.sql("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", 199 + number, leaf_of(one), one.to_bytes())
    note = sign_checkpoint(Checkpoint(ORIGIN, 400, frontier.root), KEY)
    world.sql("UPDATE checkpoint SET size = 400, note = ?, frontier = ?", note, frontier.to_bytes())
    frontier = Frontier().extend([*LEAVES[:199], LEAVES[201], *LEAVES[:200]])
    with pytest.raises(Tampered, match="history was rewritten"):
        world.prover.inclusion(0)


def test_a_missing_entry_is_said(world: World) -> None:
    world.sql("DELETE FROM entry WHERE idx = 150")
    with pytest.raises(Tampered, match="missing"):
        world.prover.newest()


def test_two_writers_of_one_folder_add_nothing_twice(world: World) -> None:
    world.prover.newest()
    other = NodeFiles(world.folder / "nodes")
    other.extend(0, LEAVES[:5])
    other.extend(SIZE - 1, LEAVES[SIZE - 1 :])
    assert other.size == SIZE
    other.close()


# Tiles


def tile(files: dict[str, bytes], level: int, index: int, width: int = 256) -> list[bytes]:
    return read_hashes(files[Tile(level, index, width).path], width)


def test_the_tiles_hold_the_tree_and_the_records(world: World) -> None:
    world.publish()
    files = world.files()
    assert tile(files, 0, 0) + tile(files, 0, 1, SIZE - 256) == LEAVES[:SIZE]
    assert tile(files, 1, 0, 1) == [root_of(LEAVES[:256])]
    records = read_bundle(files["tile/entries/000"]) + read_bundle(files[f"tile/entries/001.p/{SIZE - 256}"])
    assert [leaf_hash(record) for record in records] == LEAVES[:SIZE]
    assert files["checkpoint"].decode() == world.log.read().note
    assert set(files) == {"checkpoint", *(one.path for one in tiles_of(SIZE))}


def test_partial_tiles_stay_until_the_full_one_is_there(world: World) -> None:
    world.publish()
    assert world.publish() <= 4
    world.log.append(ENVELOPES[SIZE : SIZE + 4])
    world.publish()
    assert {f"tile/0/001.p/{SIZE - 256}", f"tile/0/001.p/{SIZE - 252}"} <= set(world.files())
    for number in range(5):
        world.log.append([envelope(1000 * number + n) for n in range(60)])
    world.publish()
    assert not [name for name in world.files() if name.startswith("tile/0/001.p")]
    assert "tile/0/001" in world.files()


def test_tiles_that_were_dropped_are_rebuilt_to_the_same_bytes(world: World) -> None:
    world.publish()
    world.log.append(ENVELOPES[SIZE:])
    world.publish()
    whole = world.files()
    (world.folder / "tiles" / "tile/0/000").write_bytes(b"damaged")
    (world.folder / "tiles" / "tile/0/001.p/9").mkdir(parents=True)
    (world.folder / "tiles" / "tile/odd.p").mkdir(parents=True)
    (world.folder / "tiles" / "tile/odd.p/x").write_bytes(b"")
    world.publish(anew=True)
    assert world.files() == whole


def test_tiles_written_by_halves_are_completed(world: World) -> None:
    world.publish()
    whole = world.files()
    for name in sorted(whole):
        (world.folder / "tiles" / name).unlink()
        (world.folder / "tiles" / ".half-abc").write_bytes(b"half")
        if name != "checkpoint":
            (world.folder / "tiles" / "checkpoint").unlink()  # it is written last
        world.publish()
        assert world.files() == whole


# Proof files


NOTE = f"{ORIGIN}\n5\n{'A' * 43}=\n\n\u2014 {ORIGIN} AAAAAAAA\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", NOTE, "c2sp.org/tlog-proof@v1\n\n" + NOTE, "c2sp.org/tlog-proof@v1\nindex 01\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nindex -1\n\n" + NOTE, "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nindex 1\n" + ("A" * 43 + "=\n") * 65 + "\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\n" + NOTE, "c2sp.org/tlog-proof@v2\nindex 1\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nindex 1\n\n", "c2sp.org/tlog-proof@v1\nindex 1\n\nhello\n", "old x\n\n" + NOTE,
        "old 5\n" + "A" * 42 + "B=\n\n" + NOTE, "c2sp.org/tlog-proof@v1\r\nindex 1\r\n\r\n" + NOTE, "x" * 300_000,
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA\n\n" + NOTE,
    ],
)  # fmt: skip
def test_what_is_no_proof_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_proof(text.encode())
    assert caught.value.message


def test_a_proof_that_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_proof(b"\xff\xfe")


@pytest.mark.parametrize("record", [b"", b"other/v1\na\nb\nc\n", b"custody-entry/v1\na\nb\n", b"\xff"])
def test_a_proof_about_something_else_says_so(record: bytes) -> None:
    with pytest.raises(InvalidInput, match="not about an entry"):
        Inclusion(0, (), record, NOTE).says()
