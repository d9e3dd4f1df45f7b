"""A run without isolation: a plain process where it stands, with the same environment, limits and log.

Used where bubblewrap cannot work, and recorded as such: whether that may pass is a gate's decision.
"""

# ruff: noqa: PTH100 - text paths, because links must stay links

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from custody.adapters import hints
from custody.adapters.program import INSIDE, Program, resolve, sealed_environment
from custody.adapters.supervise import LOG_LIMIT, Ear, Group, Limits, supervise
from custody.adapters.view import copy_verified
from custody.core.sandbox import DEFAULT_OUTPUT_LIMIT, Confinement, Listener, Mount, Outcome, is_relative
from custody.errors import InvalidInput


class Bare:
    """No isolation: a plain process in the real folder, with the same environment, limits and log."""

    def __init__(self, reason: str = "asked for") -> None:
        self._reason = reason

    def describe(self) -> Confinement:
        """Say that nothing is isolated, and why."""
        return Confinement("none", network=True, seccomp=False, detail=f"not isolated: {self._reason}")

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
        """Run `command` where it stands; see `Sandbox.run`."""
        work, output = Path(os.path.abspath(work)), Path(os.path.abspath(output))
        program = resolve(command, work)
        output.mkdir(parents=True, exist_ok=True)
        limits = Limits(time_limit, memory_limit, output_limit)
        with (
            tempfile.TemporaryDirectory(prefix="custody-home-") as home,
            log.open("wb") as stream,
            contextlib.ExitStack() as stack,
        ):
            _verify(mounts, Path(home))
            ear = stack.enter_context(Ear(Path(home), listener)) if listener else None
            if ear:
                environment = {**environment, "CUSTODY_TRANSCRIPT": str(ear.path)}
            process = Group(
                [_outside(word, mounts) for word in program.words],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=self._environment(environment, program, mounts, home, str(output)),
                cwd=work,
                start_new_session=True,
            )
            limits.apply(process.pid)
            outcome = supervise(process, first=None, limits=limits, output=output, log=log, watch=watch, ear=ear)
        if outcome.exit_code and not outcome.hint and not outcome.enough:
            place = hints.Place(work, output, program.python, sealed=False)
            outcome = replace(outcome, hint=hints.explain(hints.read_tail(log), place))
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
        """Start a long-lived `command` where it stands; see `Sandbox.popen`."""
        program = resolve(command, work or Path("/"))
        home = tempfile.mkdtemp(prefix="custody-home-")
        _verify(mounts, Path(home))
        with log.open("wb") as stream:
            process = Group(
                [_outside(word, mounts) for word in program.words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=self._environment(environment, program, mounts, home, ""),
                cwd=work or home,
                start_new_session=True,
            )
        Limits(0, memory_limit, LOG_LIMIT).apply(process.pid)
        weakref.finalize(process, shutil.rmtree, home, ignore_errors=True)
        return process

    def _environment(
        self, environment: Mapping[str, str], program: Program, mounts: Sequence[Mount], home: str, out: str
    ) -> dict[str, str]:
        site = f"{home}/site"
        Path(site).mkdir()
        for name, source in INSIDE.items():
            shutil.copyfile(source, f"{site}/{name}")
        inner = sealed_environment(environment, program, out=out, inputs="", site=site)
        return {name: _outside(value, mounts) for name, value in inner.items()} | {"HOME": home, "TMPDIR": home}


def _verify(mounts: Sequence[Mount], scratch: Path) -> None:
    """Compare what has a digest with its digest, once; without isolation nothing holds it in place afterwards."""
    for number, mount in enumerate(mounts):
        is_relative(mount.inside)
        if not mount.source.exists():
            raise InvalidInput(f"{mount.source} does not exist", hint="check the path given with --data")
        if mount.sha256:
            copy = scratch / f"verify-{number}"
            copy_verified(mount.source, copy, mount.sha256, str(mount.source))
            copy.unlink()


def _outside(word: str, mounts: Sequence[Mount]) -> str:
    """Translate a path of the sandbox to the host's, for a run without one."""
    for mount in mounts:
        if mount.inside.startswith("/") and (word == mount.inside or word.startswith(f"{mount.inside}/")):
            return str(mount.source) + word[len(mount.inside) :]
    return word
