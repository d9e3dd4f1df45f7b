"""Proofs made from kept nodes are those of the slow functions, whatever the tree and however it grew."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from custody.adapters.nodes import NodeFiles
from custody.core.strictjson import dump
from custody.errors import InvalidInput
from custody.ledger.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
    span_root,
)
from custody.ledger.proof import Consistency, Inclusion, read_proof
from custody.ledger.tiles import Tile, read_bundle, read_path, tiles_of, write_bundle

LEAVES = [leaf_hash(b"%d" % number) for number in range(600)]
ROOTS = {size: root_of(LEAVES[:size]) for size in range(601)}
steps = st.lists(st.integers(1, 90), min_size=1, max_size=8)


def grown(folder: Path, steps: list[int]) -> tuple[NodeFiles, int]:
    nodes, size = NodeFiles(folder), 0
    for step in steps:
        nodes.extend(size, LEAVES[size : size + step])
        size = min(size + step, 600)
        assert nodes.size == size
    return nodes, size


@given(steps, st.data())
def test_paths_from_nodes_are_those_from_leaves(steps: list[int], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        nodes, size = grown(Path(name), steps)
        for _ in range(4):
            part = data.draw(st.integers(1, size))  # a store behind its nodes is served as well
            index, old = data.draw(st.integers(0, part - 1)), data.draw(st.integers(1, part))
            path = inclusion_path(nodes.node, index, part)
            assert path == prove_inclusion(LEAVES[:part], index)
            assert check_inclusion(LEAVES[index], index, part, path, ROOTS[part])
            path = consistency_path(nodes.node, old, part)
            assert path == prove_consistency(LEAVES[:part], old)
            assert check_consistency(old, part, path, ROOTS[old], ROOTS[part])
            assert span_root(nodes.node, 0, part) == ROOTS[part]
        nodes.close()


@given(steps)
def test_nodes_have_the_same_bytes_however_the_tree_grew(steps: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        nodes, size = grown(Path(name) / "a", steps)
        other, _ = grown(Path(name) / "b", [size])
        for folder in (nodes, other):
            folder.close()
        a, b = ({p.name: p.read_bytes() for p in (Path(name) / which).iterdir()} for which in "ab")
        assert a == b
        assert sum(map(len, a.values())) == 32 * (2 * size - size.bit_count())


@given(steps, st.integers(0, 5), st.integers(0, 3000))
def test_a_write_cut_short_anywhere_is_completed(steps: list[int], level: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        nodes, size = grown(Path(name), steps)
        whole = {p.name: p.read_bytes() for p in Path(name).iterdir()}
        path = Path(name) / f"{level:02}"
        if path.exists():
            path.write_bytes(path.read_bytes()[: -cut or None])
        again = NodeFiles(Path(name))
        done = again.size
        assert done <= size
        if done:
            assert span_root(again.node, 0, done) == ROOTS[done]
        middle = (done + size) // 2
        again.extend(done, LEAVES[done:middle])
        fresh, _ = grown(Path(name) / "fresh", [middle] if middle else [])
        here = {p.name: p.read_bytes() for p in Path(name).iterdir() if p.is_file()}
        assert middle == done or here == {p.name: p.read_bytes() for p in (Path(name) / "fresh").iterdir()}
        fresh.drop()
        if middle:
            (Path(name) / "fresh").rmdir()
        again.extend(middle, LEAVES[middle:size])
        assert {p.name: p.read_bytes() for p in Path(name).iterdir()} == whole
        for folder in (nodes, again):
            folder.close()


@given(st.integers(0, 2**40), st.integers(-1, 7), st.integers(1, 256))
def test_a_tile_is_found_at_its_path(index: int, level: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert read_path(tile.path) == tile


@given(st.text(alphabet="tile/entriesx0123456789.p", max_size=30))
def test_a_path_is_read_in_one_way_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert read_path(text).path == text


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_tiles_hold_every_complete_hash_once(size: int, start: int) -> None:
    tiles = list(tiles_of(size))
    assert len({(tile.level, tile.index) for tile in tiles}) == len(tiles)
    for level in range(-1, 3):
        assert sum(t.width for t in tiles if t.level == level) == size >> 8 * max(level, 0)
    if start <= size:  # what a folder published at `start` has in full need not be written again
        new = set(tiles_of(size, start))
        assert set(tiles) - new <= {tile for tile in tiles_of(start) if tile.width == 256}


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_is_read_as_it_was_written(records: list[bytes]) -> None:
    raw = write_bundle(records)
    assert read_bundle(raw) == records
    if raw:
        for wrong in (raw[:-1], raw + b"\0"):
            with contextlib.suppress(InvalidInput):
                assert read_bundle(wrong) != records


hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=64).map(tuple)
NOTE = "log\n5\n" + "A" * 43 + "=\n\n\u2014 log AAAAAAAA\n"


@given(st.integers(0, 2**50), hashes, st.binary(max_size=200))
def test_proofs_are_read_as_they_were_written(index: int, path: tuple[bytes, ...], record: bytes) -> None:
    one = Inclusion(index, path, record, NOTE)
    assert read_proof(one.to_text().encode()) == one
    other = Consistency(index, path, NOTE)
    assert read_proof(other.to_text().encode()) == other


@given(st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
def test_what_is_no_proof_is_refused(raw: bytes) -> None:
    for begin in (b"", b"c2sp.org/tlog-proof@v1\n", b"old 5\n", dump({})):
        with contextlib.suppress(InvalidInput):
            read_proof(begin + raw)


@given(st.integers(1, 600))
def test_the_root_over_a_span_is_that_of_a_frontier(size: int) -> None:
    kept: dict[tuple[int, int], bytes] = {(0, n): leaf for n, leaf in enumerate(LEAVES[:size])}
    level = 0
    while any(key[0] == level for key in kept):
        for index in range((size >> level) // 2):
            pair = kept[level, 2 * index] + kept[level, 2 * index + 1]
            kept[level + 1, index] = hashlib.sha256(b"\x01" + pair).digest()
        level += 1
    assert span_root(lambda level, index: kept[level, index], 0, size) == Frontier().extend(LEAVES[:size]).root
