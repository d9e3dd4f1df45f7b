"""Paths and shapes of tiles, with the examples of https://c2sp.org/tlog-tiles."""

from __future__ import annotations

import pytest

from custody.errors import InvalidInput
from custody.ledger.tiles import ENTRIES, Tile, read_bundle, read_hashes, read_path, tiles_of, write_bundle


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(0, 1000), "tile/0/x001/000"),
        (Tile(2, 0, 1), "tile/2/000.p/1"),
        (Tile(1, 1234067, 8), "tile/1/x001/x234/067.p/8"),
        (Tile(ENTRIES, 1234067, 8), "tile/entries/x001/x234/067.p/8"),
        (Tile(ENTRIES, 5), "tile/entries/005"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert read_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/00/000", "tile/-1/000",
        "tile/64/000", "tile/0/001/000", "tile/0/x001/x000", "tile/0/x000/001", "tile/0/000.p/0", "tile/0/000.p/256",
        "tile/0/000.p/08", "tile/0/000.p/", "tile/0/000.p/1/2", "tile/0/../000", "tile/0/\u0663\u0663\u0663",
        "/tile/0/000",
        "tile/entry/000", "tile/0/" + "x001/" * 9 + "000",
    ],
)  # fmt: skip
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        read_path(path)


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    tiles = list(tiles_of(70_000))
    assert [t for t in tiles if t.level == 0 and t.width == 256] == [Tile(0, n) for n in range(273)]
    assert [t for t in tiles if t.level == 0 and t.width < 256] == [Tile(0, 273, 112)]
    assert [t for t in tiles if t.level == 1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert [t for t in tiles if t.level == 2] == [Tile(2, 0, 1)]
    assert len([t for t in tiles if t.level == ENTRIES]) == 274
    assert len(tiles) == 2 * 274 + 3


def test_a_tree_of_256_has_a_full_tile_and_one_above() -> None:
    assert [t for t in tiles_of(256) if t.level >= 0] == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


def test_a_bundle_is_length_and_record() -> None:
    assert write_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    assert read_bundle(b"\x00\x02ab\x00\x00") == [b"ab", b""]


def test_a_record_that_does_not_fit_is_refused() -> None:
    assert len(write_bundle([bytes(65_535)])) == 65_537
    with pytest.raises(InvalidInput, match="too long"):
        write_bundle([bytes(65_536)])


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\x02a", b"\x00\x00\x00", b"\x00\x00" * 257])
def test_damaged_bundles_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="bundle"):
        read_bundle(raw)


def test_a_tile_has_exactly_its_width() -> None:
    assert read_hashes(bytes(64), 2) == [bytes(32), bytes(32)]
    for raw in (b"", bytes(63), bytes(65), bytes(96)):
        with pytest.raises(InvalidInput, match="belong there"):
            read_hashes(raw, 2)
