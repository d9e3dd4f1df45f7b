"""The log's tiles in a folder, ready to be served by any web server. A projection: see `ledger/tiles.py`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from custody.errors import CustodyError, Unavailable
from custody.given import read_given
from custody.ledger.checkpoint import read_checkpoint
from custody.ledger.note import MAX_NOTE_BYTES, parse_note
from custody.ledger.tiles import ENTRIES, HEIGHT, WIDTH, Tile, read_path, tiles_of, write_bundle

Node = Callable[[int, int], bytes]
Records = Callable[[int, int], Iterator[bytes]]


class TileFolder:
    """Writes tiles; each file appears whole, and the checkpoint only after all it needs.

    A tile that is full never changes. Partial tiles stay until the full one is there, because somebody may
    hold a checkpoint that needs them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def size(self) -> int:
        """Return how many entries the published checkpoint covers; 0 where there is none that can be read."""
        try:
            return read_checkpoint(
                parse_note(read_given(self.folder / "checkpoint", MAX_NOTE_BYTES).decode()).text
            ).size
        except (OSError, UnicodeDecodeError, CustodyError):
            return 0

    def refresh(self, size: int, note: str, node: Node, records: Records) -> int:
        """Bring the folder up to a checkpoint; returns how many files were written."""
        start = self.size
        written = self._write(tiles_of(size, start if start <= size else 0), node, records)
        self._keep(Path("checkpoint"), note.encode())
        self._tidy()
        return written

    def rebuild(self, size: int, note: str, node: Node, records: Records) -> int:
        """Drop everything and write it anew, with the partial tiles of earlier checkpoints that were there."""
        old = [tile for tile in self._partial() if _start(tile) + tile.width * _span(tile) <= size]
        shutil.rmtree(self.folder / "tile", ignore_errors=True)
        (self.folder / "checkpoint").unlink(missing_ok=True)
        wanted = sorted({*tiles_of(size), *old})
        written = self._write(iter(wanted), node, records)
        self._keep(Path("checkpoint"), note.encode())
        self._tidy()
        return written

    def _write(self, tiles: Iterator[Tile], node: Node, records: Records) -> int:
        written = 0
        for tile in tiles:
            first, last = tile.index * WIDTH, tile.index * WIDTH + tile.width
            if tile.level == ENTRIES:
                body = write_bundle(list(records(first, last)))
            else:
                body = b"".join(node(tile.level * HEIGHT, index) for index in range(first, last))
            self._keep(Path(tile.path), body)
            written += 1
        return written

    def _keep(self, name: Path, body: bytes) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor, half = tempfile.mkstemp(dir=self.folder, prefix=".half-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
            Path(half).chmod(0o644)  # for whatever serves the folder
            Path(half).replace(path)
        except OSError as error:
            raise Unavailable(
                f"cannot write the tile {path}: {error.strerror}",
                hint="make that folder writable and free some space, then repeat the command",
            ) from None

    def _partial(self) -> list[Tile]:
        found = []
        for path in self.folder.glob("tile/**/*.p/*"):
            if not path.is_file():
                continue
            try:
                found.append(read_path(path.relative_to(self.folder).as_posix()))
            except CustodyError:  # not one of ours
                continue
        return found

    def _tidy(self) -> None:
        """Remove what a write that was cut short left, and partial tiles whose full tile is there."""
        for half in self.folder.glob(".half-*"):
            half.unlink(missing_ok=True)
        for tile in self._partial():
            if (self.folder / Tile(tile.level, tile.index).path).exists():
                shutil.rmtree((self.folder / tile.path).parent, ignore_errors=True)


def _span(tile: Tile) -> int:
    """Return how many leaves one hash of the tile stands for."""
    return 1 << HEIGHT * max(tile.level, 0)


def _start(tile: Tile) -> int:
    return tile.index * WIDTH * _span(tile)
