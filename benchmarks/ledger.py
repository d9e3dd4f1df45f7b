"""Durable appends: batched, from many threads, from eight processes at once, on SQLite and PostgreSQL; kill -9.

    python benchmarks/ledger.py [--kills 1000] [--appends 1000] [--read 2000 20000] [--only batched kills ...]

Envelopes of about 1.6 KB are signed before the clock runs. Each append is acknowledged after its rows and the
signed checkpoint that covers them are on disk (SQLite: WAL, synchronous=FULL; PostgreSQL: synchronous_commit=on,
fsync=on). The peer is PostgreSQL itself: one INSERT of the same bytes for each transaction, as an audit table is
usually written, from one client and from 32. After everything the ledger is read and verified whole: every
acknowledged entry must be there, each writer's in order.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _postgres import PostgresServer

from custody.adapters.memory import FileMemory
from custody.adapters.nodes import NodeFiles
from custody.adapters.postgres import PostgresStore
from custody.adapters.sqlite import SqliteStore
from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.ledger.log import Log
from custody.ledger.prover import Prover
from custody.ledger.store import Store
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import LogKey, PersonKey

ORIGIN, PROCESSES, BATCH, BATCHES, THREADS = "bench", 8, 1000, 20, 32
PERSON = PersonKey.generate()


def envelope(name: str, number: int) -> Envelope:
    said = {
        "use_case": "u",
        "verdict": "approve",
        "reason": f"{name} {number} " + "because it holds " * 34,
        "at": "2026-01-01T00:00:00+00:00",
    }
    return seal(Statement(Subject("model", "ab" * 32), kinds.APPROVAL, said), PERSON)


def open_store(place: str, *, create: bool = False) -> Store:
    if "://" in place:
        url, _, origin = place.partition("#")
        return PostgresStore(url, origin, create=create)
    return SqliteStore(Path(place), create=create)


def open_log(place: str, state: Path, *, create: bool = False) -> Log:
    key = LogKey.load(state / "log.pem")
    return Log(open_store(place, create=create), FileMemory(state), ORIGIN, key.public, key)


def new_log(place: str, state: Path) -> Log:
    LogKey.generate().save(state / "log.pem")
    return open_log(place, state, create=True)


def rate(count: int, work: Callable[[], object]) -> tuple[float, float]:
    """Return how many per second of wall time, and of CPU time of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


def batched(place: str, state: Path) -> float:
    log, count = new_log(place, state), BATCH * BATCHES
    ready = [envelope("batch", number) for number in range(count)]

    def work() -> None:
        for start in range(0, count, BATCH):
            log.append(ready[start : start + BATCH])

    wall, cpu = rate(count, work)
    print(
        f"  batches of {BATCH}: {wall:,.0f}/s, {cpu:,.0f} per CPU s  (bar: 20,000/s; {len(ready[0].to_bytes())} bytes)"
    )
    assert len(log.read().rows) == count
    return wall


def threaded(place: str, state: Path) -> float:
    log, each = new_log(place, state), 50
    ready = [[envelope(f"thread {name}", number) for number in range(each)] for name in range(THREADS)]
    notes: set[str] = set()

    def write(mine: Sequence[Envelope]) -> None:
        for one in mine:
            notes.add(log.append([one])[1])

    def work() -> None:
        threads = [threading.Thread(target=write, args=(mine,)) for mine in ready]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    wall, cpu = rate(THREADS * each, work)
    shared = THREADS * each / len(notes)
    print(
        f"  {THREADS} threads, one entry each time: {wall:,.0f}/s, {cpu:,.0f} per CPU s, {shared:.1f} entries a commit"
    )
    assert len(log.read().rows) == THREADS * each
    return wall


def single(place: str, state: Path) -> None:
    log = new_log(place, state)
    ready = [envelope("single", number) for number in range(300)]
    wall, cpu = rate(len(ready), lambda: [log.append([one]) for one in ready])
    print(f"  one at a time: {wall:,.0f}/s, {cpu:,.0f} per CPU s")


def writer(place: str, state: Path, name: str, count: int) -> None:
    """Append one entry after another; print the place of each once it is acknowledged."""
    log = open_log(place, state)
    for number in itertools.count() if count < 0 else range(count):
        index, _ = log.append([envelope(name, number)])
        if count < 0:
            print(index, name, number, flush=True)


def start(place: str, state: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "writer", place, str(state), name, str(count)])


def processes(place: str, state: Path, appends: int) -> None:
    log = new_log(place, state)
    wall, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    writers = [start(place, state, f"w{number}", appends) for number in range(PROCESSES)]
    assert [one.wait() for one in writers] == [0] * PROCESSES
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    seen: dict[str, list[int]] = {}
    for _, one in log.read().rows:
        name, number = one.statement.predicate["reason"].split()[:2]
        seen.setdefault(name, []).append(int(number))
    assert seen == {f"w{number}": list(range(appends)) for number in range(PROCESSES)}, "none lost, each in order"
    total = PROCESSES * appends
    print(f"  {PROCESSES} processes x {appends:,}: {total / wall:,.0f}/s, {total / spent:,.0f} per CPU s with signing;")
    print(f"    {total:,} of {total:,} on record, one history, root {log.read().checkpoint.root.hex()[:16]}")


def forked(role: str, place: str, state: Path, name: str) -> tuple[int, int]:
    """Start a writer as a child of this process, which has imported everything; returns its id and its output."""
    out, into = os.pipe()
    child = os.fork()
    if child:
        os.close(into)
        return child, out
    try:
        os.dup2(into, 1)
        ROLES[role](place, state, name, -1)
    finally:
        os._exit(1)


def killed(place: str, state: Path, kills: int) -> None:
    """Kill writers, some with commits that threads share, some with nodes half written; hold all against the end."""
    chance = random.Random(11)
    new_log(place, state).append([envelope("first", 0)])
    acknowledged: dict[int, str] = {}
    notes: list[tuple[int, bytes]] = []
    began = time.perf_counter()
    for turn in range(kills):
        child, out = forked(chance.choice(sorted(ROLES)), place, state, f"k{turn}")
        with os.fdopen(out) as pipe:
            said = [pipe.readline()]
            time.sleep(chance.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
            said += pipe.readlines()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        for line in said:
            if line.endswith("\n") and line.strip():
                index, name, number = line.split()
                assert int(index) not in acknowledged
                acknowledged[int(index)] = f"{name} {number}"
        if turn % 10 == 9:
            checkpoint, _ = open_log(place, state).newest()
            notes.append((checkpoint.size, checkpoint.root))
    log = open_log(place, state)
    rows = log.read().rows
    lost = [
        n for n, text in acknowledged.items() if not rows[n][1].statement.predicate["reason"].startswith(f"{text} ")
    ]
    prover = Prover(log, NodeFiles(state / "nodes"))
    public, unprovable = LogKey.load(state / "log.pem").public, 0
    for size, root in notes:
        proof, old = prover.consistency(size)
        unprovable += old != root or proof.check(ORIGIN, public, root).size != len(rows)
    for index in acknowledged:
        prover.inclusion(index).check(ORIGIN, public)
    seconds = time.perf_counter() - began
    print(f"  {kills} kill -9 in {seconds:.0f} s: {len(acknowledged):,} acknowledged and proven, {len(lost)} lost;")
    print(
        f"    {len(notes)} signed checkpoints on the way, {unprovable} unprovable; {len(rows):,} entries in one history"
    )
    assert not lost
    assert not unprovable


def threads_writer(place: str, state: Path, name: str, _count: int) -> None:
    """Append from four threads for ever, so that a kill meets commits that several share."""
    log, turn = open_log(place, state), threading.Lock()

    def write(number: int) -> None:
        for again in itertools.count():
            index, _ = log.append([envelope(f"{name}.{number}", again)])
            with turn:
                print(index, f"{name}.{number}", again, flush=True)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def prover_writer(place: str, state: Path, name: str, _count: int) -> None:
    """Append, then write the nodes and prove, again and again."""
    log = open_log(place, state)
    prover = Prover(log, NodeFiles(state / "nodes"))
    for number in itertools.count():
        index, _ = log.append([envelope(name, number)])
        print(index, name, number, flush=True)
        if number % 5 == 4:
            prover.rebuild()
        prover.inclusion(index)


PARTS = ["batched", "single", "threaded", "processes", "kills", "reading"]
ROLES = {"writer": writer, "threads": threads_writer, "prover": prover_writer}


def peer(server: PostgresServer) -> tuple[float, float]:
    """Return inserts per second of plain PostgreSQL, one a transaction, from one client and from 32."""
    import psycopg

    body = envelope("peer", 0).to_bytes()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE audit (id BIGSERIAL PRIMARY KEY, body BYTEA NOT NULL)")
        one, _ = rate(
            300, lambda: [connection.execute("INSERT INTO audit (body) VALUES (%s)", (body,)) for _ in range(300)]
        )

    def write() -> None:
        with psycopg.connect(server.url, autocommit=True) as mine:
            for _ in range(60):
                mine.execute("INSERT INTO audit (body) VALUES (%s)", (body,))

    def many() -> None:
        threads = [threading.Thread(target=write) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    most, _ = rate(32 * 60, many)
    print(f"peer, plain PostgreSQL, one insert a transaction: {one:,.0f}/s from one client, {most:,.0f}/s from 32")
    return one, most


def reading(state: Path, count: int) -> None:
    """How long a command reads and verifies: on first contact, and when this client verified it before."""
    from custody.testing import Life

    life = Life(state / f"life{count}")
    custodian = PersonKey.load(life.custody.config.keys / "custodian.pem")
    said = {"actor": "x", "person": "x", "action": "seal", "reason": "n" * 500, "at": "2026-01-01T00:00:00+00:00"}
    ready = [
        seal(Statement(Subject("model", "ab" * 32), kinds.DENIAL, {**said, "id": str(n)}), custodian)
        for n in range(count)
    ]
    for begin in range(0, count, BATCH):
        life.desk.log.append(ready[begin : begin + BATCH])
    script = (
        "import time,sys;from pathlib import Path;from custody.wiring import open_custody;"
        "c=open_custody(Path(sys.argv[1]));d=c.desk;d=d.thoroughly() if sys.argv[2]=='all' else d;"
        "b=time.process_time();d.read();print(time.process_time()-b)"
    )
    found = {}
    for how in ("all", "first", "again"):
        environment = {**os.environ, "CUSTODY_STATE": str(state / "eyes")}
        words = [sys.executable, "-c", script, str(state / f"life{count}"), how]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        found[how] = float(done.stdout)
    print(f"reading {count:,} entries: {found['all']:.2f} CPU s; verified before: {found['again']:.2f} CPU s")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--kills", type=int, default=100)
    words.add_argument("--appends", type=int, default=200)
    words.add_argument("--read", type=int, nargs="*", default=[2000])
    words.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CUSTODY_BENCH")) as name:
        folder, server = Path(name), PostgresServer()
        numbers = itertools.count()

        def state() -> Path:
            path = folder / str(next(numbers))
            path.mkdir()
            return path

        try:
            server.start()
            one, most = peer(server) if {"batched", "threaded"} & set(given.only) else (1.0, 1.0)
            for title in ("SQLite", "PostgreSQL"):
                print(title)

                def place(title: str = title) -> str:
                    number = next(numbers)
                    return f"{folder / str(number)}.db" if title == "SQLite" else f"{server.url}#bench {number}"

                if "batched" in given.only:
                    best = batched(place(), state())
                    print(f"    {best / most:.1f} times plain PostgreSQL from 32 clients")
                if "single" in given.only:
                    single(place(), state())
                if "threaded" in given.only:
                    shared = threaded(place(), state())
                    print(f"    {shared / one:.1f} times plain PostgreSQL from one client")
                if "processes" in given.only:
                    processes(place(), state(), given.appends)
                if "kills" in given.only:
                    killed(place(), state(), given.kills)
            for count in given.read if "reading" in given.only else ():
                reading(folder, count)
        finally:
            server.remove()
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    print(json.dumps({"cpu_seconds": round(time.process_time(), 1)}))


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "writer":
        writer(sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        main()
