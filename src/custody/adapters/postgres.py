"""The ledger's rows in a PostgreSQL database: one row lock makes writers wait for one another.

Several ledgers share a database; each finds its rows by its origin. The row of the newest checkpoint is
locked before anything else, so that writers of one ledger take turns, whatever machine they are on. Reads
are one snapshot. An append is acknowledged after its commit, which a server that does not sync to disk
would make worthless: such a server is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from custody.errors import InvalidInput, Tampered, Unavailable
from custody.ledger.merkle import Frontier
from custody.ledger.store import Head, Moved, Sign, Snapshot, check_cosigned, read_head, read_row

if TYPE_CHECKING:
    import psycopg

WAIT_SECONDS = 30

_SCHEMA = """
CREATE TABLE IF NOT EXISTS custody_checkpoint (
    origin TEXT PRIMARY KEY,
    size BIGINT NOT NULL CHECK (size >= 0),
    note TEXT NOT NULL,
    frontier BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS custody_entry (
    origin TEXT NOT NULL REFERENCES custody_checkpoint (origin),
    idx BIGINT NOT NULL CHECK (idx >= 0),
    leaf BYTEA NOT NULL CHECK (length(leaf) = 32),
    envelope BYTEA NOT NULL,
    PRIMARY KEY (origin, idx)
);
"""

_HEAD = "SELECT size, note, frontier FROM custody_checkpoint WHERE origin = %s"
_FROM = "SELECT idx, leaf, envelope FROM custody_entry WHERE origin = %s AND idx >= %s ORDER BY idx"
_BETWEEN = "SELECT idx, leaf, envelope FROM custody_entry WHERE origin = %s AND idx >= %s AND idx < %s ORDER BY idx"
_COPY = "COPY custody_entry (origin, idx, leaf, envelope) FROM STDIN (FORMAT BINARY)"
_FEW = 8
"""Up to so many rows are inserted one by one; more go by COPY."""


class PostgresStore:
    """One ledger in one database, over one connection that is opened when needed and opened anew after a loss."""

    read_only = False

    def __init__(self, url: str, origin: str, *, create: bool = False) -> None:
        check_url(url)
        self._url, self._origin = url, origin
        self._turn = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._psycopg = _driver()
        if create:
            with self._turn, self._using() as connection, connection.transaction():
                # Two projects that begin at once would both find no table and both make one.
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('custody'))")
                connection.execute(_SCHEMA, prepare=False)
                connection.execute(
                    "INSERT INTO custody_checkpoint VALUES (%s, 0, '', '') ON CONFLICT DO NOTHING", (origin,)
                )

    def read(self, start: int, stop: int | None = None) -> Snapshot:
        """Return the newest checkpoint and the stored rows from `start` to before `stop`, in order, of one moment."""
        with self._turn, self._using() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            head = self._head(connection, _HEAD)
            where = (self._origin, start) if stop is None else (self._origin, start, stop)
            found = connection.execute(_FROM if stop is None else _BETWEEN, where, binary=True).fetchall()
        return Snapshot(head, [read_row(*row) for row in found])

    def append(self, rows: Sequence[tuple[bytes, bytes]], sign: Sign) -> tuple[int, Head]:
        """Append (leaf, envelope) pairs and their checkpoint in one durable transaction."""
        with self._turn, self._using() as connection:
            with connection.transaction():
                before = self._head(connection, _HEAD + " FOR UPDATE")
                frontier = before.frontier if before else Frontier()
                first = frontier.size
                after = frontier.extend(leaf for leaf, _ in rows)
                new = [(self._origin, first + offset, *row) for offset, row in enumerate(rows)]
                with connection.cursor() as cursor:
                    if len(new) <= _FEW:
                        cursor.executemany("INSERT INTO custody_entry VALUES (%s, %s, %s, %s)", new)
                    else:
                        with cursor.copy(_COPY) as copy:
                            copy.set_types(["text", "int8", "bytea", "bytea"])
                            for row in new:
                                copy.write_row(row)
                note = sign(before, after)
                connection.execute(
                    "UPDATE custody_checkpoint SET size = %s, note = %s, frontier = %s WHERE origin = %s",
                    (after.size, note, after.to_bytes(), self._origin),
                )
            return first, Head(note, after)

    def cosign(self, size: int, note: str) -> None:
        """Replace the note of the newest checkpoint, of `size`, by one with more signatures; durable."""
        with self._turn, self._using() as connection, connection.transaction():
            head = self._head(connection, _HEAD + " FOR UPDATE")
            if head is None or head.frontier.size != size:
                raise Moved(f"the newest checkpoint is no longer that of {size} entries", hint="try again")
            check_cosigned(head.note, note)
            connection.execute("UPDATE custody_checkpoint SET note = %s WHERE origin = %s", (note, self._origin))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _head(self, connection: psycopg.Connection[Any], query: str) -> Head | None:
        found = connection.execute(query, (self._origin,), binary=True).fetchone()
        if found is None:
            raise Tampered("the ledger is gone from the database", hint="restore it from a backup")
        return None if found[:2] == (0, "") else read_head(*found)

    def _open(self) -> psycopg.Connection[Any]:
        """Return the connection, made anew where there is none; refuses a server that forgets on power loss."""
        if self._connection is None or self._connection.closed:
            connection = self._psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=10,
                prepare_threshold=0,
                application_name="custody",
                keepalives_idle=10,
                tcp_user_timeout=WAIT_SECONDS * 1000,
                options=f"-c synchronous_commit=on -c lock_timeout={WAIT_SECONDS}s -c statement_timeout=600s "
                f"-c idle_in_transaction_session_timeout={2 * WAIT_SECONDS}s",
            )
            settled = connection.execute("SELECT name, setting FROM pg_settings WHERE name = 'fsync'").fetchone()
            if settled is None or settled[1] != "on":
                connection.close()
                raise Unavailable(
                    "this PostgreSQL server runs with fsync off: it would acknowledge what a power loss takes back",
                    hint="set fsync = on in postgresql.conf",
                )
            self._connection = connection
        return self._connection

    @contextmanager
    def _using(self) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection; say in Custody's words what the database says in its own."""
        pg = self._psycopg
        try:
            yield self._open()
        except (pg.errors.LockNotAvailable, pg.errors.QueryCanceled):
            raise Unavailable("the ledger is busy: others write to it", hint="try again") from None
        except (pg.errors.UniqueViolation, pg.errors.CheckViolation) as error:
            raise Tampered(f"the ledger's rows do not fit its checkpoint: {_first_line(error)}") from None
        except (pg.errors.UndefinedTable, pg.errors.UndefinedColumn, pg.errors.DataError) as error:
            raise Tampered(f"this database holds no ledger: {_first_line(error)}") from None
        except pg.OperationalError as error:
            self._drop()
            raise Unavailable(
                f"the ledger's database cannot be used: {_first_line(error)}",
                hint="check that the server runs and lets you in (PGPASSWORD, ~/.pgpass or a service file), "
                "then repeat the command; what was acknowledged is safe",
            ) from None
        except pg.Error as error:
            self._drop()
            raise Unavailable(f"the ledger's database refused: {_first_line(error)}", hint="try again") from None

    def _drop(self) -> None:
        with suppress(self._psycopg.Error):
            self.close()
        self._connection = None


def check_url(url: str) -> None:
    """Refuse an address that is not PostgreSQL's, or that carries a password: files are copied and committed."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise InvalidInput(f"{parts.scheme or url!r} is no kind of ledger", hint="known: postgresql://host/database")
    if parts.password is not None or "password=" in parts.query:
        raise InvalidInput(
            "the ledger's address holds a password",
            hint="leave it out and use PGPASSWORD, ~/.pgpass or a service file",
        )


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise Unavailable(
            "psycopg is not installed; a ledger in PostgreSQL needs it", hint="pip install 'custody[postgres]'"
        ) from None
    return psycopg


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
