"""What every store of a ledger must do, proven for SQLite, for PostgreSQL and for a plain list in memory."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from custody.adapters.postgres import PostgresStore
from custody.adapters.sqlite import SqliteStore
from custody.errors import CustodyError, InvalidInput, Tampered, Unavailable
from custody.ledger.merkle import Frontier, leaf_hash, root_of
from custody.ledger.store import Head, Moved, Row, Sign, Snapshot, Store, check_cosigned

PROCESSES, APPENDS, KILLS = 2, 300, 20


class ListStore:
    """The contract in its plainest form: a list, a head, a lock."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.head: Head | None = None
        self.turn = threading.Lock()

    def read(self, start: int, stop: int | None = None) -> Snapshot:
        with self.turn:
            return Snapshot(self.head, self.rows[start:stop])

    def append(self, rows: Sequence[tuple[bytes, bytes]], sign: Sign) -> tuple[int, Head]:
        with self.turn:
            before = self.head.frontier if self.head else Frontier()
            after = before.extend(leaf for leaf, _ in rows)
            head = Head(sign(self.head, after), after)
            self.rows = [*self.rows, *(Row(before.size + n, leaf, body) for n, (leaf, body) in enumerate(rows))]
            self.head = head
            return before.size, head

    def cosign(self, size: int, note: str) -> None:
        with self.turn:
            if self.head is None or self.head.frontier.size != size:
                raise Moved("grown")
            check_cosigned(self.head.note, note)
            self.head = Head(note, self.head.frontier)

    def close(self) -> None:
        pass


class Open(Protocol):
    def __call__(self) -> Store: ...


@pytest.fixture(params=["list", "sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Give a way to open one and the same store again and again."""
    kept, made = ListStore(), []
    path, origin = tmp_path / "ledger.db", f"test {uuid.uuid4()}"
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None

    def open_again() -> Store:
        if request.param == "list":
            return kept
        if server is None:
            store: Store = SqliteStore(path, create=not path.exists())
        else:
            store = PostgresStore(server.url, origin, create=not made)
        made.append(store)
        return store

    yield open_again
    for store in made:
        store.close()


def note(_: Head | None, frontier: Frontier) -> str:
    return f"note {frontier.size} {frontier.root.hex()}"


def row(text: str) -> tuple[bytes, bytes]:
    return leaf_hash(text.encode()), text.encode()


def check(snapshot: Snapshot) -> list[bytes]:
    """Return the envelopes of a whole snapshot, after holding every part against every other."""
    assert [r.index for r in snapshot.rows] == list(range(len(snapshot.rows)))
    assert [r.leaf for r in snapshot.rows] == [leaf_hash(r.envelope) for r in snapshot.rows]
    assert snapshot.head
    assert snapshot.head.frontier.size == len(snapshot.rows)
    assert snapshot.head.frontier.root == root_of([r.leaf for r in snapshot.rows])
    assert snapshot.head.note == note(None, snapshot.head.frontier)
    return [r.envelope for r in snapshot.rows]


def test_a_new_store_is_empty(opened: Open) -> None:
    assert opened().read(0) == Snapshot(None, [])


def test_what_was_appended_is_read_in_order_by_anybody(opened: Open) -> None:
    store = opened()
    assert store.append([row("a")], note)[0] == 0
    index, head = store.append([row("b"), row("c")], note)
    assert index == 1
    assert head.frontier.size == 3
    for reader in (store, opened()):
        assert check(reader.read(0)) == [b"a", b"b", b"c"]


def test_a_reader_may_begin_anywhere(opened: Open) -> None:
    store = opened()
    store.append([row(str(number)) for number in range(5)], note)
    for start in range(7):
        snapshot = store.read(start)
        assert [r.envelope for r in snapshot.rows] == [str(number).encode() for number in range(start, 5)]
        assert snapshot.head
        assert snapshot.head.frontier.size == 5


def test_a_reader_may_stop_anywhere(opened: Open) -> None:
    store = opened()
    store.append([row(str(number)) for number in range(5)], note)
    for start in range(7):
        for stop in range(7):
            snapshot = store.read(start, stop)
            assert [r.index for r in snapshot.rows] == list(range(start, min(stop, 5)))
            assert snapshot.head
            assert snapshot.head.frontier.size == 5


@pytest.mark.parametrize("rows", [1, 3])
def test_an_append_that_is_not_signed_leaves_nothing(opened: Open, rows: int) -> None:
    store = opened()
    store.append([row("a")], note)

    def refuse(_: Head | None, __: Frontier) -> str:
        raise Tampered("no")

    with pytest.raises(Tampered, match="no"):
        store.append([row(f"b{number}") for number in range(rows)], refuse)
    assert check(store.read(0)) == [b"a"]
    assert check(opened().read(0)) == [b"a"]
    store.append([row("c")], note)
    assert check(opened().read(0)) == [b"a", b"c"]


def test_an_interrupted_append_leaves_nothing(opened: Open) -> None:
    store = opened()
    store.append([row("a")], note)

    def interrupt(_: Head | None, __: Frontier) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.append([row("b")], interrupt)
    store.append([row("c")], note)
    assert check(store.read(0)) == [b"a", b"c"]


def test_what_is_signed_is_what_is_stored(opened: Open) -> None:
    store, seen = opened(), []

    def watch(before: Head | None, frontier: Frontier) -> str:
        seen.append((before, frontier))
        return note(before, frontier)

    heads = [store.append([row(text)], watch)[1] for text in "abc"]
    assert seen == [(before, head.frontier) for before, head in zip([None, *heads], heads, strict=False)]
    assert [head.frontier.size for head in heads] == [1, 2, 3]


def signed(_: Head | None, frontier: Frontier) -> str:
    return f"origin\n{frontier.size}\n{frontier.root.hex()}\n\n\u2014 log AAAA\n"


def test_a_cosigned_note_takes_the_place_of_the_newest(opened: Open) -> None:
    store = opened()
    store.append([row("a")], signed)
    head = store.append([row("b")], signed)[1]
    for line in ("\u2014 witness BBBB\n", "\u2014 other CCCC\n"):
        head = Head(head.note + line, head.frontier)
        store.cosign(2, head.note)
        assert store.read(0).head == opened().read(0).head == head
    store.append([row("c")], signed)
    assert [r.envelope for r in store.read(0).rows] == [b"a", b"b", b"c"]
    assert store.read(0).head != head


def test_nothing_but_signatures_can_be_added(opened: Open) -> None:
    store = opened()
    head = store.append([row("a")], signed)[1]
    store.cosign(1, head.note + "\u2014 witness BBBB\n")
    kept = store.read(0)
    other = signed(None, Frontier().extend([leaf_hash(b"b")]))
    for wrong in (
        other,
        head.note,
        head.note + "\u2014 other CCCC\n",
        "",
        "x\n\n",
        kept.head.note[:-1],
        "y" + kept.head.note,
    ):  # type: ignore[union-attr]
        with pytest.raises(Tampered):
            store.cosign(1, wrong)
        assert store.read(0) == opened().read(0) == kept


def test_a_checkpoint_that_is_not_the_newest_is_not_cosigned(opened: Open) -> None:
    store = opened()
    with pytest.raises(Moved):
        store.cosign(0, "n\n\n\u2014 a A\n")
    first = store.append([row("a")], signed)[1]
    store.append([row("b")], signed)
    kept = store.read(0)
    for size in (0, 1, 3):
        with pytest.raises(Moved):
            store.cosign(size, first.note + "\u2014 witness BBBB\n")
    assert store.read(0) == kept


def test_threads_take_turns_and_lose_nothing(opened: Open) -> None:
    store, failed = opened(), []

    def write(name: int) -> None:
        try:
            for number in range(25):
                store.append([row(f"{name}-{number}")], note)
                check(store.read(0))
        except BaseException as error:  # noqa: BLE001 - a thread's failure must fail the test
            failed.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = check(store.read(0))
    for name in range(4):
        assert [body for body in found if body.startswith(b"%d-" % name)] == [b"%d-%d" % (name, n) for n in range(25)]
    assert len(found) == 100


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of a new store that several processes can open, as words on a command line."""
    if request.param == "sqlite":
        SqliteStore(tmp_path / "ledger.db", create=True).close()
        return str(tmp_path / "ledger.db")
    server, origin = request.getfixturevalue("postgres"), f"test {uuid.uuid4()}"
    PostgresStore(server.url, origin, create=True).close()
    return f"{server.url}#{origin}"


def open_at(address: str) -> Store:
    url, _, origin = address.partition("#")
    return PostgresStore(url, origin) if origin else SqliteStore(Path(address))


def _append_many(address: str, name: str, count: int) -> None:
    """Append for ever, or `count` rows; says each place once it is acknowledged."""
    store = open_at(address)
    for number in itertools.count() if count < 0 else range(count):
        index, _ = store.append([row(f"{name}-{number}")], note)
        print(index, f"{name}-{number}", flush=True)
    store.close()


def begin(address: str, name: str, count: int) -> subprocess.Popen[str]:
    # The file itself is the writers' program: a pickled function would need the tests to be importable.
    words = [sys.executable, __file__, address, name, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE if count < 0 else subprocess.DEVNULL, text=True)


def test_processes_take_turns_and_lose_nothing(address: str) -> None:
    reader = open_at(address)
    writers = [begin(address, f"w{n}", APPENDS) for n in range(PROCESSES)]
    sizes = []
    while any(writer.poll() is None for writer in writers):
        snapshot = reader.read(0)
        if snapshot.head:
            sizes.append(len(check(snapshot)))  # every look sees one whole moment
        time.sleep(0.02)
    assert [writer.returncode for writer in writers] == [0] * PROCESSES
    found = check(reader.read(0))
    assert sizes == sorted(sizes)
    assert len(found) == PROCESSES * APPENDS
    for n in range(PROCESSES):
        own = [body for body in found if body.startswith(b"w%d-" % n)]
        assert own == [b"w%d-%d" % (n, number) for number in range(APPENDS)]
    reader.close()


def test_kill_9_in_the_middle_of_appends_loses_nothing_that_was_acknowledged(address: str) -> None:
    chance = random.Random(7)
    acknowledged: dict[int, str] = {}
    for turn in range(KILLS):
        child = begin(address, f"t{turn}", -1)
        assert child.stdout
        said = [child.stdout.readline()]  # it is at work
        time.sleep(chance.uniform(0, 0.04))
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.readlines()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        for line in said:
            if line.endswith("\n"):
                index, body = line.split()
                assert int(index) not in acknowledged
                acknowledged[int(index)] = body
        store = open_at(address)
        place, _ = store.append([row(f"between {turn}")], note)
        acknowledged[place] = f"between {turn}"
        found = check(store.read(0))
        store.close()
        assert len(found) == place + 1
        assert all(found[index] == body.encode() for index, body in acknowledged.items())
    assert len(acknowledged) > 2 * KILLS


# What only a server can suffer


def new_ledger(server: Any) -> tuple[PostgresStore, str]:
    origin = f"test {uuid.uuid4()}"
    store = PostgresStore(server.url, origin, create=True)
    store.append([row("a"), row("b")], note)
    return store, origin


def run_sql(server: Any, statement: str, *values: object) -> None:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement, values)


def test_a_server_that_crashes_loses_nothing_that_was_acknowledged(postgres: Any) -> None:
    store, origin = new_ledger(postgres)
    postgres.stop(signal.SIGQUIT)
    try:
        for attempt in (lambda: store.read(0), lambda: store.append([row("c")], note)):
            with pytest.raises(Unavailable, match="database cannot be used") as caught:
                attempt()
            assert "safe" in caught.value.hint
        with pytest.raises(Unavailable):
            PostgresStore(postgres.url, origin).read(0)
    finally:
        postgres.start()
    assert check(store.read(0)) == [b"a", b"b"]
    assert store.append([row("c")], note)[0] == 2
    store.close()


def test_a_connection_cut_in_the_middle_of_an_append_leaves_nothing(postgres: Any) -> None:
    store, _origin = new_ledger(postgres)

    def cut(_: Head | None, frontier: Frontier) -> str:
        run_sql(
            postgres,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
            " AND application_name = 'custody' AND state = 'idle in transaction'",
        )
        return note(None, frontier)

    with pytest.raises(Unavailable):
        store.append([row("c")], cut)
    assert check(store.read(0)) == [b"a", b"b"]
    assert store.append([row("d")], note)[0] == 2
    store.close()


def test_ledgers_of_one_database_know_nothing_of_each_other(postgres: Any) -> None:
    one, _ = new_ledger(postgres)
    other, _ = new_ledger(postgres)
    other.append([row("c")], note)
    assert check(one.read(0)) == [b"a", b"b"]
    assert check(other.read(0)) == [b"a", b"b", b"c"]
    one.close()
    other.close()


def test_a_ledger_that_is_gone_from_the_database_is_tampering(postgres: Any) -> None:
    store = PostgresStore(postgres.url, f"test {uuid.uuid4()}")
    for attempt in (lambda: store.read(0), lambda: store.append([row("c")], note), lambda: store.cosign(1, "n")):
        with pytest.raises(Tampered, match="gone"):
            attempt()
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE custody_checkpoint SET frontier = '\\x00' WHERE origin = %s",
        "UPDATE custody_checkpoint SET size = 3 WHERE origin = %s",
        "UPDATE custody_checkpoint SET size = 0 WHERE origin = %s",
        "DELETE FROM custody_entry WHERE idx = 0 AND origin = %s",
        "UPDATE custody_entry SET envelope = 'x' WHERE idx = 1 AND origin = %s",
        "INSERT INTO custody_entry SELECT origin, 2, leaf, envelope FROM custody_entry WHERE idx = 1 AND origin = %s",
    ],
)
def test_an_edited_database_is_noticed(statement: str, postgres: Any) -> None:
    store, origin = new_ledger(postgres)
    run_sql(postgres, statement, origin)
    with pytest.raises((Tampered, AssertionError)):
        check(store.read(0))
    store.close()


def test_rows_beyond_the_checkpoint_block_further_appends_in_a_database(postgres: Any) -> None:
    store, origin = new_ledger(postgres)
    run_sql(postgres, "INSERT INTO custody_entry VALUES (%s, 2, %s, 'x')", origin, leaf_hash(b"x"))
    for count in (1, 20):
        with pytest.raises(Tampered, match="do not fit"):
            store.append([row(str(number)) for number in range(count)], note)
    store.close()


def test_commits_reach_the_servers_disk_whatever_its_default(postgres: Any) -> None:
    store, _ = new_ledger(postgres)
    run_sql(postgres, "ALTER ROLE custody SET synchronous_commit = off")
    try:
        other, _ = new_ledger(postgres)
        for one in (store, other):
            assert one._open().execute("SHOW synchronous_commit").fetchone() == ("on",)
            one.close()
    finally:
        run_sql(postgres, "ALTER ROLE custody RESET synchronous_commit")


def test_a_server_that_does_not_sync_is_refused(postgres: Any) -> None:
    store, origin = new_ledger(postgres)
    run_sql(postgres, "ALTER SYSTEM SET fsync = off")
    run_sql(postgres, "SELECT pg_reload_conf()")
    try:
        time.sleep(0.5)
        with pytest.raises(Unavailable, match="fsync off"):
            PostgresStore(postgres.url, origin).append([row("c")], note)
    finally:
        run_sql(postgres, "ALTER SYSTEM RESET fsync")
        run_sql(postgres, "SELECT pg_reload_conf()")
        time.sleep(0.5)
    assert check(store.read(0)) == [b"a", b"b"]
    store.close()


@pytest.mark.parametrize("url", ["mysql://h/d", "", "h/d", "postgresql://u:secret@h/d", "postgresql://h/d?password=x"])
def test_addresses_that_are_none_or_hold_a_password_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PostgresStore(url, "o")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_said_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable, match="not installed") as caught:
        PostgresStore("postgresql://h/d", "o")
    assert "custody[postgres]" in caught.value.hint


# What only a file can suffer


def filled(path: Path) -> None:
    store = SqliteStore(path, create=True)
    store.append([row("a"), row("b")], note)
    store.append([row("c")], note)
    store.close()


def sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_ledger_that_is_gone_is_tampering(tmp_path: Path) -> None:
    with pytest.raises(Tampered, match="gone"):
        SqliteStore(tmp_path / "ledger.db")


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open") as caught:
        SqliteStore(tmp_path / "no" / "ledger.db", create=True)
    assert "folder" in caught.value.hint


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(CustodyError):
        SqliteStore(tmp_path).read(0)


@pytest.mark.parametrize("raw", [b"", b"hello" * 1000, bytes(4096)], ids=["empty", "text", "zeros"])
def test_what_is_no_ledger_is_tampering(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(raw)
    with pytest.raises(Tampered):
        SqliteStore(path).read(0)


def test_a_torn_file_is_never_read_as_something_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 1024):
        path.write_bytes(whole[:size])
        with pytest.raises(CustodyError):
            check(SqliteStore(path).read(0))


def test_a_file_with_a_smashed_page_is_never_read_as_something_else(tmp_path: Path) -> None:
    path, chance = tmp_path / "ledger.db", random.Random(3)
    filled(path)
    whole = path.read_bytes()
    refused = 0
    for _ in range(60):
        raw = bytearray(whole)
        at = chance.randrange(len(raw))
        raw[at : at + 1500] = chance.randbytes(len(raw[at : at + 1500]))
        path.write_bytes(raw)
        try:
            assert check(SqliteStore(path).read(0)) == [b"a", b"b", b"c"]
        except (CustodyError, AssertionError):
            refused += 1
    assert 10 < refused < 60


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkpoint SET frontier = x'00' WHERE size = 3",
        "UPDATE checkpoint SET size = 4 WHERE size = 3",
        "DROP TABLE entry",
        "DROP TABLE checkpoint",
        "ALTER TABLE entry RENAME COLUMN leaf TO leef",
        "CREATE TABLE more AS SELECT * FROM entry; DROP TABLE entry",
    ],
)
def test_an_edited_file_is_tampering(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    sql(path, *statement.split(";"))
    with pytest.raises(Tampered):
        check(SqliteStore(path).read(0))


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("entry (idx, leaf, envelope)", "('x', x'00', x'00')"),
        ("entry (idx, leaf, envelope)", "(3, NULL, x'00')"),
        ("entry (idx, leaf, envelope)", "(3, x'00', 'text')"),
        ("entry (idx, leaf, envelope)", "(3, x'00', NULL)"),
        ("checkpoint (size, note, frontier)", "('9', 'n', x'00')"),
        ("checkpoint (size, note, frontier)", "(9, x'00', x'00')"),
        ("checkpoint (size, note, frontier)", "(9, 'n', NULL)"),
        ("checkpoint (size, note, frontier)", "(9.5, 'n', x'00')"),
        ("checkpoint (size, note, frontier)", "(9, cast(x'ff' as text), x'00')"),
    ],
)
def test_values_of_another_type_are_tampering_though_the_schema_was_edited(
    table: str, values: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    name = table.partition(" ")[0]
    columns = table.partition("(")[2].rstrip(")")
    sql(
        path,
        f"CREATE TABLE loose AS SELECT * FROM {name}",
        f"DROP TABLE {name}",
        f"CREATE TABLE {name} ({columns})",
        f"INSERT INTO {name} SELECT * FROM loose",
    )
    assert check(SqliteStore(path).read(0)) == [b"a", b"b", b"c"]
    sql(path, f"INSERT INTO {table} VALUES {values}")
    with pytest.raises(Tampered):
        SqliteStore(path).read(0)


def test_rows_beyond_the_checkpoint_block_further_appends(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    sql(path, f"INSERT INTO entry VALUES (3, x'{leaf_hash(b'd').hex()}', x'64')")
    with pytest.raises(Tampered, match="do not fit"):
        SqliteStore(path).append([row("e")], note)


def test_commits_reach_the_disk_before_they_are_acknowledged(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db", create=True)
    for opened in (store, SqliteStore(tmp_path / "ledger.db")):
        assert opened._connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        assert opened._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        opened.close()


def test_only_the_newest_checkpoint_is_kept(tmp_path: Path) -> None:
    filled(tmp_path / "ledger.db")
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("SELECT size FROM checkpoint").fetchall() == [(3,)]
    connection.close()


def test_a_ledger_of_earlier_days_with_a_checkpoint_for_each_append_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    sql(path, "INSERT INTO checkpoint VALUES (1, 'old', x'" + leaf_hash(b"a").hex() + "')")
    assert check(SqliteStore(path).read(0)) == [b"a", b"b", b"c"]
    SqliteStore(path).append([row("d")], note)
    assert check(SqliteStore(path).read(0)) == [b"a", b"b", b"c", b"d"]


def test_a_busy_ledger_says_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    monkeypatch.setattr("custody.adapters.sqlite.WAIT_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked") as caught:
        SqliteStore(path).append([row("d")], note)
    assert "try again" in caught.value.hint
    assert check(SqliteStore(path).read(0)) == [b"a", b"b", b"c"]  # readers are not held up
    other.execute("ROLLBACK")
    other.close()
    SqliteStore(path).append([row("d")], note)


def test_a_full_disk_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    filled(path)
    store = SqliteStore(path)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(Unavailable, match="full") as caught:
        store.append([(leaf_hash(b"big"), bytes(100_000))], note)
    assert "safe" in caught.value.hint
    assert check(store.read(0)) == [b"a", b"b", b"c"]
    assert store.append([row("d")], note)[0] == 3


@contextmanager
def powerless() -> Iterator[None]:
    """Act as nobody for a moment: root may write everywhere, whatever the permissions say."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("what", "file", "folder"), [("file", 0o444, 0o777), ("folder", 0o666, 0o555)])
def test_a_read_only_place_says_so(what: str, file: int, folder: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.db"
        filled(path)
        path.chmod(file)
        path.parent.chmod(folder)
        with powerless(), pytest.raises(Unavailable) as caught:
            SqliteStore(path).append([row("d")], note)
        assert "writ" in caught.value.hint
        path.parent.chmod(0o777)
        assert check(SqliteStore(path).read(0)) == [b"a", b"b", b"c"]


if __name__ == "__main__":
    _append_many(sys.argv[1], sys.argv[2], int(sys.argv[3]))
