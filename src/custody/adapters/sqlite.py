"""The ledger's rows in one SQLite file: write-ahead log, full synchronisation, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from custody.errors import Tampered, Unavailable
from custody.ledger.merkle import Frontier
from custody.ledger.store import Head, Moved, Sign, Snapshot, check_cosigned, read_head, read_row

WAIT_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    idx INTEGER PRIMARY KEY CHECK (idx >= 0),
    leaf BLOB NOT NULL CHECK (length(leaf) = 32),
    envelope BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS checkpoint (
    size INTEGER PRIMARY KEY CHECK (size >= 0),
    note TEXT NOT NULL,
    frontier BLOB NOT NULL
) STRICT;
"""

_NEWEST = "SELECT size, note, frontier FROM checkpoint ORDER BY size DESC LIMIT 1"
_FROM = "SELECT idx, leaf, envelope FROM entry WHERE idx >= ? ORDER BY idx"
_BETWEEN = "SELECT idx, leaf, envelope FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"


class SqliteStore:
    """One file and one connection to it; threads of a process take turns, and so do processes.

    `read_only` is true where the file or its folder cannot be written, as on a read-only mount: then the
    ledger can be read and verified, and nothing appended.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        self._turn = threading.Lock()
        if not create and not path.exists():
            raise Tampered(f"the ledger {path} is gone", hint="restore it from a backup")
        if path.exists() and not path.is_file():  # a pipe in its place would keep SQLite waiting
            raise Tampered(f"the ledger {path} is not a file", hint="restore it from a backup")
        self.read_only = not create and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        with self._errors():
            name = _reading(path) if self.read_only else str(path)
            self._connection = sqlite3.connect(
                name, uri=self.read_only, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            if create:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.executescript(_SCHEMA)
            if not self.read_only:
                self._connection.execute("PRAGMA synchronous=FULL")

    def read(self, start: int, stop: int | None = None) -> Snapshot:
        """Return the newest checkpoint and the stored rows from `start` to before `stop`, in order, of one moment."""
        with self._turn, self._errors():
            bounds = (start,) if stop is None else (start, stop)
            self._connection.execute("BEGIN")
            try:
                head = self._head()
                rows = self._connection.execute(_FROM if stop is None else _BETWEEN, bounds).fetchall()
            finally:
                self._connection.execute("COMMIT")
        return Snapshot(head, [read_row(*row) for row in rows])

    def append(self, rows: Sequence[tuple[bytes, bytes]], sign: Sign) -> tuple[int, Head]:
        """Append (leaf, envelope) pairs and their checkpoint in one durable transaction."""
        with self._turn, self._errors(), self._writing():
            before = self._head()
            frontier = before.frontier if before else Frontier()
            first = frontier.size
            after = frontier.extend(leaf for leaf, _ in rows)
            self._connection.executemany(
                "INSERT INTO entry (idx, leaf, envelope) VALUES (?, ?, ?)",
                [(first + offset, leaf, envelope) for offset, (leaf, envelope) in enumerate(rows)],
            )
            note = sign(before, after)
            # Only the newest is kept: older roots follow from the leaves.
            self._connection.execute("DELETE FROM checkpoint")
            self._connection.execute(
                "INSERT INTO checkpoint (size, note, frontier) VALUES (?, ?, ?)",
                (after.size, note, after.to_bytes()),
            )
        return first, Head(note, after)

    def cosign(self, size: int, note: str) -> None:
        """Replace the note of the newest checkpoint, of `size`, by one with more signatures; durable."""
        with self._turn, self._errors(), self._writing():
            head = self._head()
            if head is None or head.frontier.size != size:
                raise Moved(f"the newest checkpoint is no longer that of {size} entries", hint="try again")
            check_cosigned(head.note, note)
            self._connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note, size))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _head(self) -> Head | None:
        found = self._connection.execute(_NEWEST).fetchone()
        return read_head(*found) if found else None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Run the block as one durable transaction that waits for other writers, or leave nothing of it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in Custody's words what SQLite says in its own."""
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise Tampered(f"the ledger's rows do not fit its checkpoint: {error}") from None
        except sqlite3.OperationalError as error:
            text = str(error)
            if "no such" in text or "has no column" in text or "decode" in text:
                raise Tampered(f"{self._path} is not a ledger: {text}") from None
            hints = {
                "locked": "another command is writing; try again",
                "full": "free some space, then repeat the command; what was acknowledged is safe",
                "readonly": "the folder or the file is read-only; make it writable",
                "unable to open": "check that the folder exists and is readable and writable",
            }
            hint = next((advice for word, advice in hints.items() if word in text), "try again")
            raise Unavailable(f"the ledger {self._path} cannot be used: {text}", hint=hint) from None
        except sqlite3.DatabaseError as error:
            raise Tampered(f"{self._path} is damaged: {error}", hint="restore it from a backup") from None


def _reading(path: Path) -> str:
    """Return the address of a file that cannot be written.

    SQLite needs no lock file for one that nobody changes. While entries wait beside it in a write-ahead
    log, some of the ledger would be missing without them, so they are asked for as well.
    """
    waiting = path.with_name(path.name + "-wal")
    still = "" if waiting.exists() and waiting.stat().st_size else "&immutable=1"
    return f"file:{quote(str(path.resolve()))}?mode=ro{still}"
