"""The workshop: where runs happen, what they see, and how their private copies are removed again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custody.core.evidence import Evidence
from custody.core.sandbox import IN, Mount, Outcome, Sandbox, fixed_environment, layout
from custody.records.vault import ModelVault


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


def run_sealed(
    workshop: Workshop,
    order: Order,
    inputs: Sequence[Evidence],
    staged: Mapping[str, Path],
    code: Mapping[str, Any],
    seed: int,
    out: Path,
    log: Path,
) -> Outcome:
    """Run an order sealed: the captured code, and the private copies of the data where the originals stood."""
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
        environment={**fixed_environment(seed=seed), **dict(order.parameters)},
        time_limit=order.time_limit,
        log=log,
        memory_limit=order.memory_limit,
        watch=order.watch,
    )


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
