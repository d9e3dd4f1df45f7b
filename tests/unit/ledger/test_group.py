"""Appends of several threads go together; each is told of its own place, and only when all is durable."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from custody.errors import Tampered, Unavailable
from custody.ledger.group import MAX_ROWS, Group, Rows
from custody.ledger.merkle import Frontier
from custody.ledger.store import Head


class Disk:
    """Commits slowly, and writes down what each commit held."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.commits: list[list[bytes]] = []
        self.seconds, self.fails = seconds, list[BaseException]()

    def __call__(self, rows: Rows) -> tuple[int, Head]:
        time.sleep(self.seconds)
        if self.fails:
            raise self.fails.pop(0)
        first = sum(len(commit) for commit in self.commits)
        self.commits.append([envelope for _, envelope in rows])
        return first, Head(f"note {first + len(rows)}", Frontier())


def rows(*texts: str) -> Sequence[tuple[bytes, bytes]]:
    return [(bytes(32), text.encode()) for text in texts]


def all_at_once(group: Group, count: int, each: int = 1) -> list[object]:
    """Append from `count` threads at once; returns what each was told, in the order of the threads."""
    told: list[object] = [None] * count

    def write(number: int) -> None:
        try:
            told[number] = group.append(rows(*(f"{number}.{n}" for n in range(each))))
        except BaseException as error:  # noqa: BLE001 - what a thread was told is what is looked at
            told[number] = error

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return told


def test_one_alone_is_committed_alone() -> None:
    disk = Disk(0)
    assert Group(disk).append(rows("a", "b")) == (0, Head("note 2", Frontier()))
    assert disk.commits == [[b"a", b"b"]]


def test_many_share_few_commits_and_each_learns_its_own_place() -> None:
    disk = Disk()
    told = all_at_once(Group(disk), 40, each=2)
    assert len(disk.commits) <= 8
    flat = [body.decode() for commit in disk.commits for body in commit]
    for number, answer in enumerate(told):
        assert isinstance(answer, tuple)
        first, head = answer
        assert flat[first : first + 2] == [f"{number}.0", f"{number}.1"]
        assert int(head.note.split()[1]) >= first + 2, "the checkpoint covers it"


def test_a_group_has_a_limit() -> None:
    disk = Disk()
    all_at_once(Group(disk), 6, each=MAX_ROWS // 2)
    assert max(len(commit) for commit in disk.commits) <= MAX_ROWS
    huge = rows(*("x" * (MAX_ROWS + 1)))
    assert Group(disk).append(huge)[0] > 0  # what one thread brings stays together


def test_a_failure_reaches_everybody_in_the_group_and_nobody_else() -> None:
    disk = Disk()
    disk.fails = [Tampered("no", hint="ask")]
    told = all_at_once(Group(disk), 20)
    failed = [answer for answer in told if isinstance(answer, Tampered)]
    assert failed
    assert len(set(map(id, failed))) == len(failed), "each thread raises an exception of its own"
    assert {(error.message, error.hint) for error in failed} == {("no", "ask")}
    assert len(failed) + sum(len(commit) for commit in disk.commits) == 20


def test_a_leader_that_is_interrupted_leaves_nobody_waiting() -> None:
    disk = Disk()
    disk.fails = [KeyboardInterrupt()]
    told = all_at_once(Group(disk), 20)
    interrupted = [answer for answer in told if isinstance(answer, KeyboardInterrupt)]
    refused = [answer for answer in told if isinstance(answer, Unavailable)]
    assert len(interrupted) == 1
    assert all("interrupted" in error.message for error in refused)
    assert len(refused) + 1 + sum(len(commit) for commit in disk.commits) == 20


def test_what_failed_can_be_tried_again() -> None:
    disk = Disk(0)
    disk.fails = [Unavailable("busy")]
    group = Group(disk)
    with pytest.raises(Unavailable):
        group.append(rows("a"))
    assert group.append(rows("a"))[0] == 0
    assert disk.commits == [[b"a"]]
