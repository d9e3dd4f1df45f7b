"""What a sealed run is: what may be seen, where it may write, and how it ended.

A sandbox shows a command its code, its declared inputs and one writable folder. Everything else does
not exist inside: no network, no keys, no other data. Paths are arranged so that a training script
written for the bare machine runs without changing a line:

| inside                      | is                                                              |
|-----------------------------|-----------------------------------------------------------------|
| `/custody/code`             | the working folder: captured code and declared inputs only       |
| `/custody/in/<name>`        | each declared input, read-only                                   |
| `/custody/out`              | the output folder, the only place that keeps what is written     |
| `/custody/transcript`       | a pipe to the outside: what is written there is recorded          |
| the original absolute paths | the working folder, inputs and output, for scripts that use them |
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from custody.errors import InvalidInput

CODE = "/custody/code"
IN = "/custody/in"
OUT = "/custody/out"
SITE = "/custody/site"
PIPE = "/custody/transcript"

Listener = Callable[[bytes, float], bool]
"""Takes what a run writes into its transcript, and the seconds since it began; true ends the run."""

DEFAULT_OUTPUT_LIMIT = 20 * 1024**3
"""Bytes a run may leave in its output folder unless the caller says otherwise."""

TIMED_OUT = 124
"""Exit code of an outcome whose command was stopped, as `timeout(1)` has it."""


@dataclass(frozen=True)
class Mount:
    """One file or folder that is shown read-only.

    `inside` is an absolute path in the sandbox, or a path relative to the working folder. With
    `sha256` (files only) the sandbox does not show the original but a private copy that it hashed
    while copying: what is read is what was hashed, whatever happens to the original meanwhile.
    """

    source: Path
    inside: str
    sha256: str = ""


@dataclass(frozen=True)
class Confinement:
    """How strongly a run is sealed: `kind` is "bubblewrap" or "none"; `network` says if it is reachable."""

    kind: str
    network: bool
    seccomp: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Return the form that is signed."""
        return {"kind": self.kind, "network": self.network, "seccomp": self.seccomp, "detail": self.detail}


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    `exit_code` is the command's own, 128 + n when signal n ended it, 124 when it was stopped at its
    time limit; `seconds` is wall time, `cpu_seconds` user and system time of the whole process tree,
    `max_rss` bytes of its largest process; `hint` says what to do after a failure. `enough`: it was ended
    because whoever listens to its transcript had heard enough.
    """

    exit_code: int
    timed_out: bool
    seconds: float
    cpu_seconds: float
    max_rss: int
    hint: str
    enough: bool = False
    opened: bool | None = None
    """Whether the run opened any of its inputs; None where nobody could see that."""
    early: Sequence[str] = ()
    """Files of the output folder that were written before any input was opened."""

    @property
    def succeeded(self) -> bool:
        """Return whether the command ended by itself and without complaint."""
        return self.exit_code == 0 and not self.timed_out


class Sandbox(Protocol):
    """Runs commands that are not trusted, or not trusted to be reproducible."""

    def describe(self) -> Confinement:
        """Return how strong the seal is; recorded with every run."""

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
        """Run `command` in `work` until it ends, or stop its whole process tree after `time_limit` seconds.

        Standard output and error go to `log`; `watch` is called with each new piece of it. `listener` hears
        what the run writes into its transcript; without one there is no such pipe inside.
        `memory_limit` is in bytes per process. Raises `InvalidInput` when the command or a mount
        cannot be used, `Tampered` when a mount's bytes are not those of its `sha256`.
        """

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
        """Start a long-lived `command` with pipes on standard input and output, errors to `log`.

        It can write nowhere that lasts. `kill()` ends its whole process tree. The child ends with the
        thread that started it.
        """


def layout(
    work: Path, code: Iterable[tuple[str, str]], inputs: Iterable[tuple[Path, str]], output: Path | None = None
) -> list[Mount]:
    """Arrange what a run sees: `code` as (relative path, sha256), `inputs` as (path, sha256 or "").

    All paths on the host are absolute. Raises `InvalidInput` when two inputs would have one name, or
    when the output folder would make code or an input writable.
    """
    mounts = [Mount(work / relative, relative, digest) for relative, digest in code]
    named: dict[str, Path] = {}
    for source, digest in inputs:
        if not source.is_absolute():
            raise InvalidInput(f"the input {source} is not an absolute path")
        other = named.setdefault(source.name, source)
        if other != source:
            raise InvalidInput(f"two inputs are named {source.name!r}: {other} and {source}", hint="rename one of them")
        mounts.append(Mount(source, f"{IN}/{source.name}", digest))
        if source.is_relative_to(work):
            mounts.append(Mount(source, source.relative_to(work).as_posix(), digest))
        else:
            mounts.append(Mount(source, source.as_posix(), digest))
    if output is not None:
        _refuse_writable(work, output, named.values())
    return mounts


def fixed_environment(*, seed: int | None = None, threads: int = 1) -> dict[str, str]:
    """Return the environment every run gets, so that two runs of the same inputs can agree bit by bit.

    `seed` reaches Python's hash, `random`, numpy, polars and torch; `threads` reaches the numerical libraries,
    whose sums depend on how many take part.
    """
    count = str(threads)
    fixed = {
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own /tmp, empty and gone afterwards
        "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "USER": "custody",
        "LOGNAME": "custody",
        "SOURCE_DATE_EPOCH": "315532800",
        "PYTHONHASHSEED": str((seed or 0) % 2**32),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
        "HF_HUB_OFFLINE": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        **dict.fromkeys(THREAD_VARIABLES, count),
    }
    if seed is not None:
        fixed["CUSTODY_SEED"] = str(seed)
    return fixed


THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
"""What the numerical libraries read to know how many threads to start."""


def _refuse_writable(work: Path, output: Path, inputs: Iterable[Path]) -> None:
    if work.is_relative_to(output):
        raise InvalidInput(
            f"the output folder {output} contains the code, which would make it writable",
            hint="name a folder of its own, such as --out model",
        )
    for source in inputs:
        if source.is_relative_to(output):
            raise InvalidInput(f"the input {source} is inside the output folder {output}")


def is_relative(inside: str) -> bool:
    """Return whether a mount lies in the working folder; refuses paths that climb out of it.

    Raises `InvalidInput` on `..`, empty parts and control characters.
    """
    path = PurePosixPath(inside)
    if not path.parts or ".." in path.parts or not inside.isprintable() or path.parts == ("/",):
        raise InvalidInput(f"{inside!r} is not a path that can be shown inside a sealed run")
    return not path.is_absolute()
