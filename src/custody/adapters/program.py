"""What a command means: its program, the Python environment around it, and the variables it gets."""

# ruff: noqa: PTH100, PTH112, PTH113, PTH119, PTH120, PTH123 - text paths, because links must stay links

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from custody.adapters.environment import interpreter
from custody.core.sandbox import CODE, fixed_environment
from custody.errors import InvalidInput

INSIDE: Mapping[str, Path] = {
    "sitecustomize.py": Path(__file__).parent / "inside" / "sitecustomize.py",
    "custody_run.py": Path(__file__).parents[2] / "custody_run" / "__init__.py",
}
"""What every run can import without having installed it: the file that seeds it, and the one it may ask."""

_PYTHON = re.compile(r"python(\d+(\.\d+)*)?t?\Z")


@dataclass(frozen=True)
class Program:
    """A command made runnable: its words, and what must be visible for it to start."""

    words: tuple[str, ...]
    python: str
    folders: tuple[Path, ...]
    path: str
    user_base: str


def resolve(command: Sequence[str], work: Path) -> Program:
    """Find the program and the Python environment a command means, as the user's shell would.

    Raises `InvalidInput` when it is empty, not found or not executable.
    """
    if not command or not command[0]:
        raise InvalidInput("no command was given", hint="for example: custody run -- python train.py")
    word, *rest = command
    if any("\0" in each for each in command):
        raise InvalidInput("the command holds a zero byte")
    found = os.path.abspath(work / word) if "/" in word else shutil.which(word)
    if found is None or not os.path.isfile(found):
        raise InvalidInput(f"the command {word!r} was not found")
    if not os.access(found, os.X_OK):
        raise InvalidInput(f"{word} is not executable", hint=f"run it by its interpreter: python {word}")
    own = Path(found).is_relative_to(work)
    if _PYTHON.match(os.path.basename(found)):
        python = interpreter(found)
        first = str(python["executable"])
    else:
        python = interpreter(_python_of(found))
        first = f"{CODE}/{Path(found).relative_to(work)}" if own else found
    folders = list(_visible(python, work))
    if not own and not _PYTHON.match(os.path.basename(found)):
        folders += [Path(found)] if not _within(found, ["/usr", "/bin", *map(str, folders)]) else []
    binaries = dict.fromkeys([os.path.dirname(str(python["executable"])), "/usr/local/bin", "/usr/bin", "/bin"])
    user_base = str(python["user_base"]) if _has_user_site(python) else ""
    return Program((first, *rest), str(python["executable"]), tuple(folders), ":".join(binaries), user_base)


def sealed_environment(
    environment: Mapping[str, str], program: Program, *, out: str, inputs: str, site: str
) -> dict[str, str]:
    """Return all variables a run sees: the fixed ones, the caller's, and nothing of the host's."""
    text = environment.get("CUSTODY_SEED")
    if text is not None and not re.fullmatch(r"\d{1,20}", text):
        raise InvalidInput(f"CUSTODY_SEED is {text!r}, not a whole number")
    seed = None if text is None else int(text)
    paths = [site, *filter(None, environment.get("PYTHONPATH", "").split(":"))]
    inner = fixed_environment(seed=seed, threads=len(os.sched_getaffinity(0))) | dict(environment)
    inner |= {"PATH": program.path, "PYTHONPATH": ":".join(paths)}
    places = {"CUSTODY_OUT": out, "CUSTODY_IN": inputs, "PYTHONUSERBASE": program.user_base}
    return inner | {name: value for name, value in places.items() if value}


def _visible(python: Mapping[str, object], work: Path) -> list[Path]:
    """Return the folders of a Python environment that must be visible, and nothing that lies beside it."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(str(python["executable"]))))
    prefixes = [str(python["prefix"]), str(python["base_prefix"])]
    folders: list[Path] = []
    for prefix in dict.fromkeys([*prefixes, *map(os.path.realpath, prefixes), home]):
        root = Path(prefix)
        if _within(prefix, ["/usr", "/nix/store"]):
            continue
        # A virtual environment may share its folder with a project, whose data stays hidden.
        parts = ("bin", "lib", "lib64", "include", "share", "etc", "pyvenv.cfg", "ssl")
        if (root / "pyvenv.cfg").exists() or work.is_relative_to(root) or len(root.parts) < 3:
            folders += [root / part for part in parts if (root / part).exists() and root != Path("/")]
        else:
            folders.append(root)
    paths = python["paths"]
    assert isinstance(paths, list)
    known = ["/usr", "/nix/store", *map(str, folders)]
    own = str(Path(__file__).parents[2])
    for path in paths:
        # Folders of packages installed in place. The project's own lie in the view; Custody is not needed.
        beside = not Path(path).is_relative_to(work) and not work.is_relative_to(path)
        if beside and path != own and os.path.isdir(path) and not _within(path, known):
            folders.append(Path(path))
    if _has_user_site(python):
        folders.append(Path(str(python["user_site"])))
    return folders


def _has_user_site(python: Mapping[str, object]) -> bool:
    return python["prefix"] == python["base_prefix"] and os.path.isdir(str(python["user_site"]))


def _python_of(found: str) -> str:
    """Return the interpreter a program's first line names, else the one a user would get by typing `python`."""
    with open(found, "rb") as stream:
        words = stream.readline(512).decode("utf-8", "replace").split()
    named = words[0][2:] if words and words[0].startswith("#!") and len(words[0]) > 2 else ""
    if _PYTHON.match(os.path.basename(named)) and os.access(named, os.X_OK):
        return named
    return shutil.which("python3") or shutil.which("python") or sys.executable


def _within(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)
