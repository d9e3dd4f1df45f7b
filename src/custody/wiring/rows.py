"""Where the ledger's rows lie, and what is made from them and lies beside it."""

from __future__ import annotations

import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.adapters.nodes import NodeFiles
    from custody.adapters.postgres import PostgresStore
    from custody.adapters.sqlite import SqliteStore
    from custody.adapters.tiles import TileFolder
    from custody.ledger.log import Log
    from custody.ledger.prover import Prover


def open_store(path: Path, url: str, origin: str, *, create: bool = False) -> SqliteStore | PostgresStore:
    """Open the ledger's rows: in the database that `url` names, or in the file at `path` where it is empty."""
    if url:
        from custody.adapters.postgres import PostgresStore

        return PostgresStore(url, origin, create=create)
    from custody.adapters.sqlite import SqliteStore

    return SqliteStore(path, create=create)


def check_address(url: str) -> None:
    """Refuse an address that no store is reached by, or that holds a password."""
    from custody.adapters.postgres import check_url

    check_url(url)


class Derived:
    """What is made from a log, in its project's folder: the tree's nodes, proofs, tiles."""

    def __init__(self, log: Log, folder: Path) -> None:
        self._log, self._folder = log, folder

    @cached_property
    def nodes(self) -> NodeFiles:
        """Return the nodes of the tree, kept beside the ledger; in a passing folder where nothing can be written."""
        from custody.adapters.nodes import NodeFiles

        if os.access(self._folder, os.W_OK):
            return NodeFiles(self._folder / "nodes")
        self._passing = tempfile.TemporaryDirectory(prefix="custody-nodes-")
        return NodeFiles(Path(self._passing.name))

    @cached_property
    def prover(self) -> Prover:
        """Return what makes proofs about the log."""
        from custody.ledger.prover import Prover

        return Prover(self._log, self.nodes)

    def tiles(self, folder: Path | None = None) -> TileFolder:
        """Return the folder of tiles: `folder`, or the project's own."""
        from custody.adapters.tiles import TileFolder

        return TileFolder(folder or self._folder / "tiles")

    def publish(self, tiles: TileFolder, *, anew: bool = False) -> int:
        """Bring a folder of tiles up to the newest checkpoint; returns how many files were written."""
        checkpoint, note = self.prover.newest()
        write = tiles.rebuild if anew else tiles.refresh
        return write(checkpoint.size, note, self.prover.node, self.prover.records)
