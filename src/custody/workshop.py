"""The workshop: where runs happen, what they see, and how their private copies are removed again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custody.core.evidence import Evidence
from custody.core.sandbox import IN, Listener, Mount, Outcome, Sandbox, fixed_environment, layout
from custody.errors import InvalidInput, Tampered
from custody.records.datasets import check_bytes, manifest_of
from custody.records.vault import ModelVault
from custody.seal.digest import copy_verified

TRANSCRIPT = "transcript.jsonl"
"""The file in a run's folder that keeps what it said of its steps."""


@dataclass(frozen=True)
class Workshop:
    """Where runs happen: the sandbox, the folders, and the eyes that describe code and environment."""

    root: Path
    runs: Path
    staging: Path
    find_sandbox: Callable[[], Sandbox]
    vault: ModelVault
    capture_code: Callable[[Path, Sequence[Path]], dict[str, Any]]
    capture_environment: Callable[[str], dict[str, Any]]
    hidden: Sequence[Path] = ()
    """Folders that are never code, wherever they lie: stores, keys, what the client remembers."""

    @property
    def sandbox(self) -> Sandbox:
        """Return the sandbox; waits for its trial where that is still under way."""
        return self.find_sandbox()


@dataclass(frozen=True)
class Order:
    """What to run: the command, the datasets by name, the output folder, limits and parameters."""

    command: Sequence[str]
    data: Sequence[str] = ()
    out: str = "model"
    time_limit: float = 3600.0
    memory_limit: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    keep: bool = False
    unsealed: bool = False
    watch: Callable[[bytes], None] | None = None
    tolerance: str = "exact"
    """How far a spot check's numbers may lie from the transcript's: exact, or relative up to 1e-3."""


@contextmanager
def staged_data(workshop: Workshop, run_id: str, inputs: Sequence[Evidence]) -> Iterator[dict[str, Path]]:
    """Copy each dataset while hashing it; what the run reads are the very bytes that were verified.

    Raises `Tampered` where the data on disk are not those on record, saying which rows, and `InvalidInput`.
    """
    folder = private_folder(workshop.staging) / run_id
    staged: dict[str, Path] = {}
    try:
        for number, entry in enumerate(inputs):
            place = folder / str(number)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            source = workshop.root / str(entry.predicate["path"])
            try:
                copy_verified(source, place, manifest_of(entry.predicate))
            except (Tampered, InvalidInput):
                check_bytes(workshop.root, entry)
                raise
            staged[entry.subject.name] = place
        yield staged
    finally:
        discard(folder)


def run_sealed(
    workshop: Workshop,
    order: Order,
    inputs: Sequence[Evidence],
    staged: Mapping[str, Path],
    code: Mapping[str, Any],
    seed: int,
    out: Path,
    log: Path,
    *,
    order_key: str,
    listener: Listener,
) -> Outcome:
    """Run an order sealed: the captured code, and the private copies of the data where the originals stood.

    `seed` and `order_key` are the run's chance; `listener` hears its transcript.
    """
    mounts = layout(workshop.root, [(file["path"], file["sha256"]) for file in code["files"]], [], out)
    for entry in inputs:
        copy = staged[entry.subject.name]
        path = str(entry.predicate["path"])
        whole = workshop.root / path
        if whole.is_file():
            copy /= whole.name
        mounts += [Mount(copy, f"{IN}/{whole.name}"), Mount(copy, path)]
    return workshop.sandbox.run(
        list(order.command),
        mounts=mounts,
        output=out,
        work=workshop.root,
        environment={**fixed_environment(seed=seed), "CUSTODY_ORDER": order_key, **dict(order.parameters)},
        time_limit=order.time_limit,
        log=log,
        memory_limit=order.memory_limit,
        watch=order.watch,
        listener=listener,
    )


def differences(said: Mapping[str, Any], code: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    """Name what is not as a start statement has it, code first: code, packages, interpreter, machine."""
    found: list[str] = []
    then = {file["path"]: file["sha256"] for file in said["code"]["files"]}
    now = {file["path"]: file["sha256"] for file in code["files"]}
    found += [f"code: {path} differs" for path in sorted(then.keys() | now.keys()) if then.get(path) != now.get(path)]
    old = {p["name"]: p["version"] for p in said["environment"]["packages"]["list"]}
    new = {p["name"]: p["version"] for p in environment["packages"]["list"]}
    found += [
        f"library: {name} {old.get(name, 'absent')} then, {new.get(name, 'absent')} now"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    for part in ("python", "machine"):
        for key, value in said["environment"][part].items():
            if environment[part].get(key) != value:
                found.append(f"{part}: {key} {value} then, {environment[part].get(key)} now")
    return found


def python_of(command: Sequence[str]) -> str:
    """Return the interpreter to describe: the command's own when it is a Python, else this one."""
    name = Path(command[0]).name if command else ""
    if name.startswith("python") and (found := shutil.which(command[0])):
        return found
    return sys.executable


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can read."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def discard(folder: Path) -> None:
    """Remove a private copy; its files are read-only, its folders must become writable first."""
    if not folder.exists():
        return
    for place in [folder, *folder.rglob("*")]:
        if place.is_dir() and not place.is_symlink():
            place.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
