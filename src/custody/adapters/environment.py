"""What a run was made of besides its data: the interpreter, its packages, the machine and the code.

Nothing here is asked of the program that will run: files, the kernel and the interpreter's own
metadata are read, so a training script cannot say that it was something else.
"""

# ruff: noqa: PTH100, PTH110, PTH120, PTH122, PTH123, PTH208 - thousands of names; links must stay links

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from custody.core.sandbox import THREAD_VARIABLES
from custody.errors import InvalidInput

CODE_SUFFIXES = frozenset(
    {
        *(".py", ".pyi", ".pyx", ".ipynb", ".r", ".R", ".jl", ".sh", ".bash", ".sql", ".mk"),
        *(".toml", ".yaml", ".yml", ".json", ".cfg", ".ini", ".c", ".h", ".cpp", ".cu", ".rs"),
    }
)
CODE_NAMES = frozenset({"Makefile", "Dockerfile", "Pipfile", "Snakefile", "LICENSE"})
CODE_LIMIT = 5 * 1024**2
"""Bytes; a larger file is data, whatever its name."""

FILES_LIMIT = 20_000
"""Code files; beyond this the folder is not a project but somebody's home."""

_IGNORED = frozenset(
    {
        *(".git", ".hg", ".svn", ".custody", ".venv", "venv", ".tox", ".nox", "__pycache__", "node_modules"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints", "site-packages", ".idea", ".vscode"),
    }
)

_SPOKEN = frozenset(
    {
        *THREAD_VARIABLES,
        *("LANG", "LC_ALL", "TZ", "PYTHONHASHSEED", "SOURCE_DATE_EPOCH", "CUSTODY_SEED", "CUDA_VISIBLE_DEVICES"),
        *("CUBLAS_WORKSPACE_CONFIG", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "MPLBACKEND", "HF_HUB_OFFLINE"),
    }
)
"""Environment variables whose values are recorded; of all others only the name is."""

# Runs in any Python from 3.8 on, without a library.
_QUESTION = """
import json, os, platform, site, sys
from importlib import metadata
found = sorted({(d.metadata["Name"] or "", d.version or "") for d in metadata.distributions()})
base = site.getuserbase() or ""
print(json.dumps({"executable": sys.executable, "prefix": sys.prefix, "base_prefix": sys.base_prefix,
 "paths": [p for p in sys.path if p], "user_base": base, "user_site": site.getusersitepackages() or "",
 "version": platform.python_version(), "implementation": platform.python_implementation(),
 "distributions": [list(pair) for pair in found if pair[0]]}))
"""


def interpreter(python: str) -> Mapping[str, Any]:
    """Return what the interpreter `python` says of itself: prefixes, paths, version, distributions.

    The interpreter that runs this is not asked but looked at; another one is started once per
    (path, modification time). Raises `InvalidInput` when it cannot be started.
    """
    path = _located(python)
    if _is_own(path):
        return _own(_site_stamp(sys.executable))
    return _asked(path, Path(path).stat().st_mtime_ns, _site_stamp(path))


def capture_environment(python: str = sys.executable) -> dict[str, Any]:
    """Describe the interpreter, its packages, the machine and the variables; JSON-able, no secret values.

    `digest` in `packages` is the sha256 over the sorted lines `name==version`, so that two
    environments compare by one word.
    """
    found = interpreter(python)
    packages = [{"name": name, "version": version} for name, version in found["distributions"]]
    lines = "".join(f"{name}=={version}\n" for name, version in found["distributions"])
    system = os.uname()
    return {
        "python": {
            "version": found["version"],
            "implementation": found["implementation"],
            "executable": found["executable"],
        },
        "packages": {"digest": hashlib.sha256(lines.encode()).hexdigest(), "list": packages},
        "machine": {
            "system": system.sysname,
            "kernel": system.release,
            "architecture": system.machine,
            "cpu": _cpu_model(),
            "cpus": len(os.sched_getaffinity(0)),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "gpu": _gpu(),
            "container": _container(),
        },
        "variables": capture_variables(os.environ),
    }


def capture_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the names of all variables, and the values of those known to change results but hide nothing."""
    return {name: environment[name] if name in _SPOKEN else "(not recorded)" for name in sorted(environment)}


def capture_code(folder: Path, exclude: Iterable[Path] = ()) -> dict[str, Any]:
    """List the code below `folder` with a sha256 each, whether or not it is committed.

    Code is text of a known kind up to 5 MiB, outside of `exclude` (the run's data and output) and of
    tool folders. Returns `files` (path, sha256, bytes), `digest` (sha256 over `sha256sum` lines), and
    `git` (commit, dirty, diff digest; None outside a repository). Raises `InvalidInput` when the
    folder is missing or holds more than 20,000 code files.
    """
    if not folder.is_dir():
        raise InvalidInput(f"the code folder {folder} is not a folder")
    banned = {str(path.absolute()) for path in exclude}
    files = []
    for path in _walk(str(folder.absolute()), banned):
        raw = Path(path).read_bytes()
        if b"\0" in raw[:8192]:
            continue
        digest = hashlib.sha256(raw).hexdigest()
        files.append({"path": os.path.relpath(path, folder.absolute()), "sha256": digest, "bytes": len(raw)})
        if len(files) > FILES_LIMIT:
            raise InvalidInput(
                f"{folder} holds more than {FILES_LIMIT} code files", hint="start the run in the folder of the project"
            )
    files.sort(key=lambda entry: str(entry["path"]))
    lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in files)
    return {
        "folder": str(folder.absolute()),
        "files": files,
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
        "git": _git(folder),
    }


def _walk(root: str, banned: set[str]) -> Iterable[str]:
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.path in banned or entry.name in _IGNORED or not entry.name.isprintable():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if not (Path(entry.path) / "pyvenv.cfg").exists():
                        pending.append(entry.path)
                elif _is_code(entry.name) and entry.is_file() and entry.stat().st_size <= CODE_LIMIT:
                    yield entry.path


def _is_code(name: str) -> bool:
    suffix = os.path.splitext(name)[1]
    return suffix in CODE_SUFFIXES or name in CODE_NAMES or bool(re.fullmatch(r"requirements[\w.-]*\.(txt|in)", name))


def _git(folder: Path) -> dict[str, Any] | None:
    """Return commit, whether the tree differs from it, and the sha256 of the difference."""
    commit = _git_says(folder, "rev-parse", "--verify", "-q", "HEAD")
    status = _git_says(folder, "status", "--porcelain", "-z", "--untracked-files=normal", "--", ".")
    if commit is None or status is None:
        return None
    found: dict[str, Any] = {"commit": commit.decode().strip(), "dirty": bool(status), "diff_sha256": ""}
    if status:
        difference = _git_says(folder, "diff", "--no-ext-diff", "--no-textconv", "HEAD", "--", ".") or b""
        found["diff_sha256"] = hashlib.sha256(difference).hexdigest()
    return found


def _git_says(folder: Path, *words: str) -> bytes | None:
    program = shutil.which("git")
    if program is None:
        return None
    # Looking must start nothing: no hook, no file monitor, no external diff that the repository names.
    quiet = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external=")
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *quiet, "-C", str(folder), *words], capture_output=True, check=False, timeout=30, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _located(python: str) -> str:
    found = shutil.which(python)
    if found is None:
        raise InvalidInput(f"the interpreter {python!r} was not found")
    return os.path.abspath(found)


def _is_own(path: str) -> bool:
    if path == sys.executable:
        return True
    same_folder = os.path.realpath(os.path.dirname(path)) == os.path.realpath(os.path.dirname(sys.executable))
    return same_folder and os.path.realpath(path) == os.path.realpath(sys.executable)


@cache
def _own(stamp: int) -> Mapping[str, Any]:
    del stamp  # it only makes the answer expire
    import platform
    import site

    return {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "paths": [path for path in sys.path if path],
        "user_base": site.getuserbase() or "",
        "user_site": site.getusersitepackages() or "",
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "distributions": _distributions(),
    }


def _distributions() -> list[tuple[str, str]]:
    """Return (name, version) of every installed distribution, as `importlib.metadata` would, without its parser."""
    found: set[tuple[str, str]] = set()
    for folder in dict.fromkeys(path for path in sys.path if path):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                found.add(_named(f"{folder}/{name}/METADATA", name))
            elif name.endswith(".egg-info"):
                inner = f"{folder}/{name}/PKG-INFO"
                found.add(_named(inner if os.path.exists(inner) else f"{folder}/{name}", name))
    return sorted(pair for pair in found if pair[0])


def _named(path: str, fallback: str) -> tuple[str, str]:
    """Read Name and Version from the head of a metadata file."""
    values = {"name": "", "version": ""}
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                key, colon, value = line.partition(":")
                if not colon and not line.strip():
                    break
                if key.lower() in values and not values[key.lower()]:
                    values[key.lower()] = value.strip()
                if all(values.values()):
                    break
    except OSError:
        stem = fallback.rsplit(".", 1)[0]
        name, _, version = stem.partition("-")
        return name, version
    return values["name"], values["version"]


def _site_stamp(python: str) -> int:
    """Return when the packages beside `python` last changed, so that an answer does not outlive an install."""
    prefix = Path(python).parent.parent
    folders = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")]
    return max((folder.stat().st_mtime_ns for folder in folders), default=0)


@cache
def _asked(path: str, modified: int, stamp: int) -> Mapping[str, Any]:
    del modified, stamp  # they only make the answer expire
    try:
        done = subprocess.run([path, "-I", "-c", _QUESTION], capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidInput(f"the interpreter {path} cannot be asked about itself: {error}") from None
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise InvalidInput(f"the interpreter {path} cannot be asked about itself: {' '.join(last)}")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise InvalidInput(f"{path} does not answer like a Python interpreter") from None
    answer["distributions"] = [(name, version) for name, version in answer["distributions"]]
    return answer


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "Processor", "cpu model", "CPU part"}:
            return value.strip()
    return "unknown"


def _gpu() -> str:
    version = re.search(r"Kernel Module[^\d]*(\d[\d.]*)", _read("/proc/driver/nvidia/version"))
    if version:
        count = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
        return f"{count} NVIDIA, driver {version[1]}"
    return "AMD (kfd present)" if Path("/dev/kfd").exists() else "none"


def _container() -> str:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    return os.environ.get("container", "none")  # noqa: SIM112 - systemd and podman write it so


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
