"""Group commit: appends that wait for one another go together, in one transaction under one checkpoint.

A thread that finds nobody committing leads: it takes what the others have brought meanwhile, commits all of
it, and hands each its place. Nobody is told of success before the covering checkpoint is durable. Whoever
led, and however that ended, wakes all others, so that one of them leads next.
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
        self._change = threading.Condition()
        self._led = False

    def append(self, rows: Rows) -> tuple[int, Head]:
        """Append rows, alone or with those of other threads; returns once they are durable."""
        request = _Request(rows)
        try:
            with self._change:
                self._waiting.append(request)
            while not self._answered(request):
                try:
                    self._lead()
                finally:
                    with self._change:
                        self._led = False
                        self._change.notify_all()
        except BaseException:
            with suppress(ValueError):  # interrupted before anybody took it: then nobody shall
                self._waiting.remove(request)
            raise
        if isinstance(request.done, BaseException):
            raise request.done
        if request.done is None:
            raise Unavailable("the append was given up", hint="try again")
        return request.done

    def _answered(self, request: _Request) -> bool:
        """Wait until a request is answered, or until nobody leads; then this thread does, and must say when it ends."""
        with self._change:
            while request.done is None and self._led:
                self._change.wait()
            if request.done is not None or request not in self._waiting:
                return True
            self._led = True
            return False

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
