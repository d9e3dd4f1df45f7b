"""Sealed runs by bubblewrap: empty namespaces, read-only inputs, one writable folder, a system call filter.

What a run cannot do inside: reach a host or a socket, see another process, read a file that was not
declared, write anywhere but its output folder and a /tmp that disappears, gain a privilege, make a
namespace, trace, or use io_uring. Where the kernel or a container forbids namespaces, `detect` returns
`Bare`, which isolates nothing and says so: whether that may pass is a gate's decision.
"""

# ruff: noqa: PTH100, PTH110, PTH115 - text paths, because links must stay links

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from custody.adapters import hints, seccomp
from custody.adapters.bare import Bare
from custody.adapters.observe import Eye
from custody.adapters.program import INSIDE, Program, resolve, sealed_environment
from custody.adapters.supervise import LOG_LIMIT, Adopting, Ear, Group, Limits, supervise
from custody.adapters.view import View
from custody.core.sandbox import (
    CODE,
    DEFAULT_OUTPUT_LIMIT,
    IN,
    OUT,
    PIPE,
    SITE,
    Confinement,
    Listener,
    Mount,
    Outcome,
)
from custody.errors import CustodyError, InvalidInput, Unavailable

_SCRATCH = 8 * 1024**3
"""Bytes that /tmp inside may hold; it lies in memory."""

_SYSTEM_FILES = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime", "nsswitch.conf")
_PROC_READ_ONLY = ("sys", "irq", "bus", "fs", "acpi", "scsi", "pressure")
_PROC_HIDDEN = (
    *("kcore", "kmsg", "keys", "kpagecgroup", "kpagecount", "kpageflags", "mtrr", "slabinfo", "sysrq-trigger"),
    *("timer_list", "vmallocinfo"),
)
_PASSWD = b"custody:x:1000:1000::/tmp:/bin/sh\n"
_GROUP = b"custody:x:1000:\n"
_HOSTS = b"127.0.0.1 localhost custody\n::1 localhost custody\n"
_READY_SECONDS = 20.0


class Bubblewrap:
    """The full seal. `seal` is the filter for system calls; without it the run is recorded as weaker."""

    def __init__(self, program: str = "/usr/bin/bwrap", *, seal: bytes | None = None, devices: Sequence[Path] = ()):
        self._program = program
        self._seal = seccomp.build() if seal is None else seal
        self._devices = tuple(devices)

    def describe(self) -> Confinement:
        """Return how strong the seal is."""
        detail = "no network, no host files or processes, read-only inputs, one output folder"
        if not self._seal:
            detail += "; no system call filter for this architecture"
        if self._devices:
            detail += f"; devices: {', '.join(map(str, self._devices))}"
        return Confinement("bubblewrap", network=False, seccomp=bool(self._seal), detail=detail)

    def run(
        self,
        command: Sequence[str],
        *,
        mounts: Sequence[Mount],
        output: Path,
        work: Path,
        environment: Mapping[str, str],
        time_limit: float,
        log: Path,
        memory_limit: int | None = None,
        output_limit: int = DEFAULT_OUTPUT_LIMIT,
        watch: Callable[[bytes], None] | None = None,
        listener: Listener | None = None,
    ) -> Outcome:
        """Run `command` sealed; see `Sandbox.run`."""
        work, output = Path(os.path.abspath(work)), Path(os.path.abspath(output))
        program = resolve(command, work)
        output.mkdir(parents=True, exist_ok=True)
        limits = Limits(time_limit, memory_limit, output_limit)
        with contextlib.ExitStack() as stack:
            view, stream = stack.enter_context(View(mounts, work)), stack.enter_context(log.open("wb"))
            stack.enter_context(Adopting())
            ear = stack.enter_context(Ear(view.folder, listener)) if listener else None
            if ear:
                view.bind(PIPE, ear.path, writable=True)
                environment = {**environment, "CUSTODY_TRANSCRIPT": PIPE}
            view.bind(OUT, output, writable=True)
            if output.is_relative_to(work):
                view.bind_relative(output.relative_to(work).as_posix(), output, writable=True)
            else:
                view.bind(str(output), output, writable=True)
            eye = stack.enter_context(Eye([mount.source for mount in mounts if not mount.sha256], output))
            started = self._start(program, view, environment, stream, limits, piped=False)
            try:
                outcome = supervise(
                    started.process, first=started.first, limits=limits, output=output, log=log, watch=watch, ear=ear
                )
                reported = started.exit_code()
                seen = eye.seen()
            finally:
                started.close()
        outcome = replace(outcome, opened=seen.opened, early=seen.early)
        tail = hints.read_tail(log)
        if reported is None and not outcome.hint and not outcome.enough:
            raise _setup_failure(tail, program)
        if outcome.exit_code and not outcome.hint and not outcome.enough:
            place = hints.Place(work, output, program.python, sealed=True)
            outcome = replace(outcome, hint=hints.explain(tail, place))
        return outcome

    def popen(
        self,
        command: Sequence[str],
        *,
        mounts: Sequence[Mount],
        environment: Mapping[str, str],
        log: Path,
        work: Path | None = None,
        memory_limit: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a long-lived `command` sealed; see `Sandbox.popen`."""
        program = resolve(command, work or Path("/"))
        view = View(mounts, work)
        try:
            with log.open("wb") as stream:
                limits = Limits(0, memory_limit, LOG_LIMIT)
                started = self._start(program, view, environment, stream, limits, piped=True)
        except BaseException:
            view.close()
            raise
        weakref.finalize(started.process, view.close)
        # Held as long as the process: bubblewrap would die of writing its report to nobody.
        weakref.finalize(started.process, os.close, started.status)
        return started.process

    def _start(
        self,
        program: Program,
        view: View,
        environment: Mapping[str, str],
        log: IO[bytes],
        limits: Limits,
        *,
        piped: bool,
    ) -> _Started:
        """Start bubblewrap, wait for its namespaces, set the limits, and let the command begin."""
        for folder in program.folders:
            view.bind(str(folder), folder)
        for name, source in INSIDE.items():
            view.bind(f"{SITE}/{name}", source)
        inner = sealed_environment(environment, program, out=OUT, inputs=IN, site=SITE)
        with contextlib.ExitStack() as handles:

            def data(content: bytes) -> str:
                handle = os.memfd_create("custody")
                handles.callback(os.close, handle)
                os.write(handle, content)
                os.lseek(handle, 0, os.SEEK_SET)
                return str(handle)

            status_read, status_write = os.pipe()
            started = handles.enter_context(contextlib.ExitStack())
            started.callback(os.close, status_read)
            writing = handles.enter_context(contextlib.ExitStack())
            writing.callback(os.close, status_write)
            block_read, block_write = os.pipe()
            handles.callback(os.close, block_read)
            handles.callback(os.close, block_write)
            words = ["--json-status-fd", str(status_write), "--block-fd", str(block_read)]
            words += _namespaces()
            words += _system(data)
            for device in self._devices:
                words += ["--dev-bind", str(device), str(device)]
            for inside, source, writable in view.finish():
                words += ["--bind" if writable else "--ro-bind", str(source), inside]
            words += ["--remount-ro", "/", "--chdir", CODE]
            if self._seal:
                words += ["--seccomp", data(self._seal)]
            arguments = data(b"".join(word.encode() + b"\0" for word in words))
            passed = [int(handle) for handle in {arguments, *_numbers(words)}]
            process = Group(
                [self._program, "--args", arguments, "--", *program.words],
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                env=inner,
                cwd="/",
                start_new_session=True,
                pass_fds=passed,
                close_fds=True,
            )
            try:
                writing.close()
                first = _first_process(status_read)
                if first is not None:
                    limits.apply(first)
                with contextlib.suppress(BrokenPipeError):
                    os.write(block_write, b"go")
                started.pop_all()
                return _Started(process, first, status_read)
            except BaseException:
                process.kill()
                process.wait()
                raise


@dataclass(frozen=True)
class _Started:
    process: Group
    first: int | None
    status: int

    def exit_code(self) -> int | None:
        """Return what bubblewrap reports once it has ended; None when the command never began."""
        text = b""
        while piece := os.read(self.status, 65536):
            text += piece
        found = re.search(rb'"exit-code": (\d+)', text)
        return int(found[1]) if found else None

    def close(self) -> None:
        os.close(self.status)


def detect(program: str | None = None) -> Bubblewrap | Bare:
    """Return the strongest sandbox that works here, tried once; what `Bare.describe` says tells why not."""
    if sys.platform != "linux":
        return Bare(f"bubblewrap needs Linux, this is {sys.platform}")
    found = program or shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if found is None:
        return Bare("bubblewrap is not installed (Debian and Fedora: the package bubblewrap)")
    sandbox = Bubblewrap(found)
    with tempfile.TemporaryDirectory(prefix="custody-probe-") as folder:
        place = Path(folder)
        try:
            # This interpreter, not `true`: it is known, where the one on PATH would have to be asked first.
            outcome = sandbox.run(
                [sys.executable, "-I", "-S", "-c", ""],
                mounts=[],
                output=place / "out",
                work=place,
                environment={},
                time_limit=_READY_SECONDS,
                log=place / "log",
            )
        except (CustodyError, OSError) as error:
            return Bare(f"bubblewrap does not work here: {error}")
        if not outcome.succeeded:
            return Bare(f"bubblewrap does not work here: {hints.read_tail(place / 'log').strip()[:300]}")
    return sandbox


def _namespaces() -> list[str]:
    user = ["--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"]
    return ["--unshare-all", *user, "--hostname", "custody", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]


def _system(data: Callable[[bytes], str]) -> list[str]:
    """Show the operating system read-only, and of /etc only what programs need to start."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    if Path("/nix/store").is_dir():
        words += ["--ro-bind", "/nix/store", "/nix/store"]
    for name in _SYSTEM_FILES:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name, content in (("passwd", _PASSWD), ("group", _GROUP), ("hosts", _HOSTS)):
        words += ["--perms", "0444", "--ro-bind-data", data(content), f"/etc/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", *_kernel()]
    words += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    return [*words, "--size", str(_SCRATCH), "--perms", "1777", "--tmpfs", "/tmp", "--symlink", "/tmp", "/var/tmp"]  # noqa: S108


def _kernel() -> list[str]:
    """Close what /proc offers to the owner of its files, who is the real root when root starts a run.

    bubblewrap asks whether the folder /proc/sys is writable; the files in it are, and
    /proc/sys/kernel/core_pattern names a program that the kernel starts outside of every namespace.
    """
    words: list[str] = []
    for name in _PROC_READ_ONLY:
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for name in _PROC_HIDDEN:
        if os.path.exists(f"/proc/{name}"):
            words += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    return words


def _first_process(status: int) -> int | None:
    """Read the number of the namespace's first process; None when bubblewrap ended before."""
    text = b""
    poll = select.poll()
    poll.register(status, select.POLLIN)
    while b"}" not in text:
        if not poll.poll(_READY_SECONDS * 1000):
            raise Unavailable("bubblewrap did not start in time")
        piece = os.read(status, 4096)
        if not piece:
            return None
        text += piece
    return int(json.loads(text[: text.index(b"}") + 1])["child-pid"])


def _setup_failure(tail: str, program: Program) -> CustodyError:
    lines = [line for line in tail.splitlines() if line.startswith("bwrap: ")]
    reason = (lines or ["bwrap: it gave no reason"])[-1].removeprefix("bwrap: ")
    if reason.startswith("execvp"):
        return InvalidInput(f"the command {program.words[0]!r} cannot be started: {reason}")
    return Unavailable(f"the sealed run could not be set up: {reason}")


def _numbers(words: Sequence[str]) -> set[str]:
    """Return the descriptors named in bubblewrap's arguments."""
    taking = {"--json-status-fd", "--block-fd", "--seccomp", "--ro-bind-data"}
    return {words[place + 1] for place, word in enumerate(words) if word in taking}
