"""The log as static files that anyone can fetch: https://c2sp.org/tlog-tiles.

    checkpoint                      the newest signed note
    tile/<L>/<N>[.p/<W>]            256 (or W) hashes of level 8 * L, one after the other
    tile/entries/<N>[.p/<W>]        the records of 256 (or W) entries, each behind its length (2 bytes, big-endian)

A record is what the leaf is the hash of; the statements themselves are not published this way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from custody.errors import InvalidInput

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_RECORD_BYTES = 65_535
ENTRIES = -1
"""The level of entry bundles."""


@dataclass(frozen=True, order=True)
class Tile:
    """Tile `index` of a level, with `width` hashes (1 to 256); level -1 holds entry bundles."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return where the tile lies below the log's prefix."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        groups = [f"{self.index % 1000:03}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"


def read_path(path: str) -> Tile:
    """Return the tile that lies at a path; raises `InvalidInput` for a path that is not written canonically."""
    name, partial, width = path.partition(".p/")
    parts = name.split("/")
    try:
        if len(parts) < 3 or len(parts) > 9 or parts[0] != "tile" or len(path) > 100 or not path.isascii():
            raise ValueError
        level = ENTRIES if parts[1] == "entries" else int(parts[1])
        digits = [part.removeprefix("x") for part in parts[2:]]
        index = int("".join(digits))
        tile = Tile(level, index, int(width) if partial else WIDTH)
    except ValueError:
        raise InvalidInput(f"{path[:100]!r} is not the path of a tile") from None
    if tile.path != path or not ENTRIES <= level <= 63 or not 0 < tile.width <= WIDTH or index < 0:
        raise InvalidInput(f"{path[:100]!r} is not the path of a tile")
    return tile


def tiles_of(size: int, start: int = 0) -> Iterator[Tile]:
    """Yield the tiles of a tree of `size`, entry bundles included, that are not whole in one of `start` leaves."""
    for level in range(ENTRIES, 64 // HEIGHT):
        count = size >> HEIGHT * max(level, 0)
        if not count:
            return
        before = start >> HEIGHT * max(level, 0)
        for index in range(before // WIDTH, count // WIDTH):
            yield Tile(level, index)
        if count % WIDTH:
            yield Tile(level, count // WIDTH, count % WIDTH)


def write_bundle(records: Sequence[bytes]) -> bytes:
    """Return an entry bundle; raises `InvalidInput` for a record that is too long for one."""
    for record in records:
        if len(record) > MAX_RECORD_BYTES:
            raise InvalidInput(f"a record of {len(record)} bytes is too long for a tile")
    return b"".join(struct.pack(">H", len(record)) + record for record in records)


def read_bundle(raw: bytes) -> list[bytes]:
    """Return the records of an entry bundle; raises `InvalidInput` where it is cut short or holds too many."""
    found: list[bytes] = []
    place = 0
    while place < len(raw):
        if len(found) == WIDTH:
            raise InvalidInput(f"the entry bundle holds more than {WIDTH} records")
        (length,) = struct.unpack(">H", raw[place : place + 2].ljust(2, b"\0"))
        record = raw[place + 2 : place + 2 + length]
        if place + 2 > len(raw) or len(record) != length:
            raise InvalidInput(f"the entry bundle is cut short in record {len(found)}")
        found.append(record)
        place += 2 + length
    return found


def read_hashes(raw: bytes, width: int = WIDTH) -> list[bytes]:
    """Return the hashes of a tile; raises `InvalidInput` unless there are exactly `width`."""
    if len(raw) != 32 * width:
        raise InvalidInput(f"the tile is {len(raw)} bytes long; {32 * width} belong there")
    return [raw[place : place + 32] for place in range(0, len(raw), 32)]
