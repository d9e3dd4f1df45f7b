"""Watching over a running command: its time, its processes, what it writes, and its certain end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from custody.core.sandbox import TIMED_OUT, Listener, Outcome

PROCESSES = 1024
"""Processes at once that a run may have before it is taken for a fork bomb."""

LOG_LIMIT = 256 * 1024**2
_TICK = 0.05
_BREATH = 0.005
"""Seconds between two looks into the transcript: many short lines are taken at once."""
_PIPE_BYTES = 1024**2


class Group(subprocess.Popen[bytes]):
    """A process in a session of its own; `kill` ends all of it."""

    def kill(self) -> None:
        """Kill the process and everything of its session that has not left it.

        Never collects the process: its account of time and memory is still to be read.
        """
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Limits:
    """What a run may use: seconds, bytes per process, bytes in its output folder."""

    seconds: float
    memory: int | None
    output: int

    def apply(self, pid: int) -> None:
        """Set the kernel's own limits on process `pid`; its children inherit them."""
        wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: self.output}
        if self.memory is not None:
            wanted[resource.RLIMIT_DATA] = self.memory
        for kind, limit in wanted.items():
            with contextlib.suppress(ProcessLookupError):
                _, most = resource.prlimit(pid, kind)
                bound = limit if most == resource.RLIM_INFINITY else min(limit, most)
                resource.prlimit(pid, kind, (bound, bound))


def supervise(
    process: subprocess.Popen[bytes],
    *,
    first: int | None,
    limits: Limits,
    output: Path,
    log: Path,
    watch: Callable[[bytes], None] | None,
    ear: Ear | None = None,
) -> Outcome:
    """Wait for `process`, or end its whole tree when it exceeds a limit or the caller is interrupted.

    Or when `ear`, which hears the run's transcript, has heard enough.
    `first` is the first process of the run's own process namespace: when it ends, the kernel ends all
    others. Without one (None) the process group is killed, which a daemon can leave.
    """
    start = time.monotonic()
    reason, late, enough = "", False, False
    with contextlib.ExitStack() as stack:
        handle = os.pidfd_open(process.pid)
        stack.callback(os.close, handle)
        inner = os.pidfd_open(first) if first is not None else None
        if inner is not None:
            stack.callback(os.close, inner)
        reader = stack.enter_context(log.open("rb"))
        next_measure, next_look = start + 1.0, start
        try:
            while not _ended(handle, max(0.001, min(_TICK, limits.seconds - (time.monotonic() - start))), ear):
                now = time.monotonic()
                if ear is not None and ear.hears(now - start):
                    enough = True
                    end(process, inner)
                    break
                if now < next_look and now - start < limits.seconds:
                    continue
                next_look = now + 0.8 * _TICK
                _forward(reader.read(LOG_LIMIT), watch)
                if now - start >= limits.seconds:
                    late = True
                    reason = f"stopped at its time limit of {limits.seconds:g} s; raise it with --time-limit"
                elif first is not None and _processes(first) > PROCESSES:
                    reason = f"stopped because it started more than {PROCESSES} processes"
                elif now >= next_measure:
                    reason = _too_large(output, limits.output, log)
                    next_measure = now + max(1.0, 20 * (time.monotonic() - now))
                if reason:
                    end(process, inner)
                    break
        except BaseException:
            end(process, inner)
            process.wait()
            _adopted(first)
            raise
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if first is not None:
            usage = _adopted(first) or usage
        else:
            # What outlived its leader in the same session is still part of the run.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        seconds = time.monotonic() - start
        if ear is not None and not enough:
            ear.hears(seconds)
        _forward(reader.read(LOG_LIMIT), watch)
    reason = reason or _too_large(output, limits.output, log)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Outcome(
        exit_code=TIMED_OUT if late else (code or 1 if reason else code),
        timed_out=late,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        max_rss=usage.ru_maxrss * 1024,
        hint=reason,
        enough=enough,
    )


class Ear:
    """The outer end of a run's transcript: a named pipe that only the run writes to."""

    def __init__(self, folder: Path, listener: Listener) -> None:
        self.path = folder / "transcript"
        os.mkfifo(self.path, 0o600)
        # Open for both, so that it never reads as ended while no process of the run has it open.
        self.handle = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._listener, self._heard = listener, 0.0
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(self.handle, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)
        self.path.unlink(missing_ok=True)

    def hears(self, seconds: float) -> bool:
        """Take what has come; returns whether it is enough."""
        try:
            piece = os.read(self.handle, _PIPE_BYTES)  # all that a pipe holds
        except BlockingIOError:
            return False
        self._heard = time.monotonic()
        return self._listener(piece, seconds)

    def pause(self) -> float:
        """Return for how many seconds the pipe should be left alone, so that lines are taken many at a time."""
        return max(0.0, self._heard + _BREATH - time.monotonic())


class Adopting:
    """While open, processes whose parent ends become children of this process (`prctl(2)`).

    bubblewrap's monitor ends without waiting for the run; adopting the run is how its processor time
    and memory become known, and how its end is awaited. Counted, because runs may overlap.
    """

    _lock = threading.Lock()
    _open = 0

    def __enter__(self) -> Adopting:
        with self._lock:
            Adopting._open += 1
            if Adopting._open == 1:
                _adopt(wanted=True)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            Adopting._open -= 1
            if Adopting._open == 0:
                _adopt(wanted=False)


def _adopt(*, wanted: bool) -> None:
    import ctypes

    set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, int(wanted), 0, 0, 0)


def end(process: subprocess.Popen[bytes], first: int | None) -> None:
    """Kill the whole tree and return when it is gone; `first` is a pidfd of the namespace's first process."""
    if first is None:
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(first, signal.SIGKILL)
    _ended(first, 10.0)
    # The monitor reports and ends by itself; it is killed only if it does not.
    own = os.pidfd_open(process.pid)
    try:
        if not _ended(own, 2.0):
            process.kill()
    finally:
        os.close(own)


def _adopted(first: int | None) -> resource.struct_rusage | None:
    """Collect the first process after its monitor ended, with the account of all its descendants."""
    if first is None:
        return None
    try:
        _, _, usage = os.wait4(first, 0)
    except ChildProcessError:
        return None
    return usage


def _ended(handle: int, seconds: float, ear: Ear | None = None) -> bool:
    """Wait up to `seconds`, or until there is something to hear; tells whether the process has ended."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    if ear is not None:
        pause = min(ear.pause(), seconds)
        if pause and poll.poll(pause * 1000):
            return True
        poll.register(ear.handle, select.POLLIN)
        seconds -= pause
    return any(ready == handle for ready, _ in poll.poll(seconds * 1000))


def _processes(first: int) -> int:
    """Count the processes of the namespace that `first` began, through its own view of /proc.

    Until that view is set up, and where it cannot be read, the answer is 0.
    """
    view = f"/proc/{first}/root/proc"
    try:
        os.readlink(f"{view}/self")  # noqa: PTH115
    except FileNotFoundError:
        # Asked from outside, another namespace's /proc knows no self: this is the run's own.
        with contextlib.suppress(OSError):
            return sum(name.isdigit() for name in os.listdir(view))  # noqa: PTH208 - half the cost
    except OSError:
        return 0
    return 0


def _too_large(output: Path, limit: int, log: Path) -> str:
    if log.stat().st_size > LOG_LIMIT:
        return f"stopped because it printed more than {LOG_LIMIT // 1024**2} MiB"
    total = 0
    for folder, _, names in os.walk(output):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_blocks * 512
        if total > limit:
            return f"stopped because its output folder grew beyond {limit} bytes"
    return ""


def _forward(piece: bytes, watch: Callable[[bytes], None] | None) -> None:
    if piece and watch is not None:
        watch(piece)
