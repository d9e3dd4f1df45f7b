"""What several tests of the adapters need."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "rename", "unlink", "mkdir", "link")


def _killed_anywhere(act: Callable[[], object]) -> Iterator[int]:
    """Run `act` in children killed at their first, second, third ... system call; yields after each."""
    for last in itertools.count(1):
        child = os.fork()
        if child == 0:
            left = last

            def call(real: Any, *args: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if not left:
                    os.kill(os.getpid(), 9)
                return real(*args, **options)

            for name in CALLS:
                setattr(os, name, functools.partial(call, getattr(os, name)))
            try:
                act()
            finally:
                os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return
        yield last


@pytest.fixture
def killed() -> Callable[[Callable[[], object]], Iterator[int]]:
    """Return a way to run something in children that are killed at each of its system calls in turn."""
    return _killed_anywhere
