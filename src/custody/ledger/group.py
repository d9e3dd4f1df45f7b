"""Group commit: appends that wait for one another go together, in one transaction under one checkpoint.

The first thread to get the turn leads: it takes what the others have brought meanwhile, commits all of it,
and hands each its place. Nobody is told of success before the covering checkpoint is durable, and nobody
sleeps on a signal that might not come: a thread waits for the turn alone, and finds its request done or
leads itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from custody.errors import CustodyError, Unavailable
from custody.ledger.store import Head

MAX_ROWS = 4096
MAX_BYTES = 64 * 1024 * 1024

Rows = Sequence[tuple[bytes, bytes]]
"""(leaf, envelope) pairs."""


class _Request:
    """What one thread wants appended, and what became of it."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.bytes = sum(len(envelope) for _, envelope in rows)
        self.done: tuple[int, Head] | BaseException | None = None


class Group:
    """The appends of one process to one log; `commit` makes rows durable and returns the first index and the head."""

    def __init__(self, commit: Callable[[Rows], tuple[int, Head]]) -> None:
        self._commit = commit
        self._waiting: deque[_Request] = deque()
        self._turn = threading.Lock()

    def append(self, rows: Rows) -> tuple[int, Head]:
        """Append rows, alone or with those of other threads; returns once they are durable."""
        request = _Request(rows)
        self._waiting.append(request)
        try:
            with self._turn:
                while request.done is None and self._waiting:
                    self._lead()
        except BaseException:
            with suppress(ValueError):  # interrupted before anybody took it: then nobody shall
                self._waiting.remove(request)
            raise
        if isinstance(request.done, BaseException):
            raise request.done
        if request.done is None:
            raise Unavailable("the append was given up", hint="try again")
        return request.done

    def _lead(self) -> None:
        """Commit the requests that wait, in the order in which they came."""
        taken: list[_Request] = []
        rows: list[tuple[bytes, bytes]] = []
        size = 0
        try:
            while self._waiting:
                one = self._waiting[0]
                if taken and (len(rows) + len(one.rows) > MAX_ROWS or size + one.bytes > MAX_BYTES):
                    break
                taken.append(self._waiting.popleft())
                rows.extend(one.rows)
                size += one.bytes
            first, head = self._commit(rows)
        except CustodyError as error:
            for request in taken:  # each thread raises an exception of its own
                request.done = type(error)(error.message, hint=error.hint)
            return
        except BaseException:
            for request in taken:
                request.done = Unavailable("the command that wrote for several was interrupted", hint="try again")
            raise
        for request in taken:
            request.done = (first, head)
            first += len(request.rows)
