"""What to do after a run failed: the end of its log, read for the mistakes everyone makes first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from custody.core.sandbox import CODE, IN, OUT

_TAIL = 64 * 1024

_QUOTED = r"""['"]?(?P<path>[^'"\n]{1,400}?)['"]?"""
_MISSING = (
    re.compile(rf"FileNotFoundError: \[Errno 2\] [^\n:]*: {_QUOTED}\s*$", re.MULTILINE),
    re.compile(rf"No such file or directory \(os error 2\)[^\n:]*: {_QUOTED}\s*$", re.MULTILINE),
    re.compile(r"Unable to open file .*name = '(?P<path>[^'\n]+)'", re.MULTILINE),
    re.compile(
        r"^(?:\w+: )+(?:cannot (?:open|access) )?'?(?P<path>[^\s:']+)'?: No such file or directory", re.MULTILINE
    ),
)
_READ_ONLY = re.compile(rf"Read-only file system(?: \(os error 30\))?(?::? {_QUOTED})?\s*$", re.MULTILINE)
_REFUSED = re.compile(rf"PermissionError: \[Errno (?:1|13)\] [^\n:]*(?:: {_QUOTED})?\s*$", re.MULTILINE)
_NETWORK = re.compile(
    r"Network is unreachable|socket\.gaierror|Temporary failure in name resolution|Could not resolve host"
    r"|Name or service not known|failed to lookup address information"
)
_MODULE = re.compile(r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'")
_EXISTS = re.compile(rf"FileExistsError: \[Errno 17\] [^\n:]*: {_QUOTED}\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a run took place, as the user sees it."""

    work: Path
    output: Path
    python: str
    sealed: bool

    def outside(self, inside: str) -> Path:
        """Return the host's path for a path that the command used."""
        for root, host in ((CODE, self.work), (OUT, self.output)):
            if inside == root or inside.startswith(f"{root}/"):
                return host / inside[len(root) :].lstrip("/")
        return self.work / inside

    def shown(self, path: Path) -> str:
        """Return the shortest name of a path that the user can type."""
        return str(path.relative_to(self.work)) if path.is_relative_to(self.work) else str(path)


def read_tail(log: Path) -> str:
    """Return the last 64 KiB of a log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def explain(tail: str, place: Place) -> str:
    """Return what to do about the last recognised complaint in `tail`; empty when there is none."""
    explanations: Sequence[tuple[Sequence[re.Pattern[str]], Callable[[re.Match[str], Place], str]]] = (
        (_MISSING, _missing),
        ((_READ_ONLY,), _read_only),
        ((_NETWORK,), _network),
        ((_MODULE,), _module),
        ((_REFUSED,), _refused),
        ((_EXISTS,), _exists),
        ((re.compile(r"No space left on device"),), lambda *_: "the disk (or the run's /tmp) is full"),
        (
            (re.compile(r"^MemoryError", re.MULTILINE),),
            lambda *_: "the command ran out of memory; raise the memory limit",
        ),
        ((re.compile(r"File too large"),), lambda *_: "one file grew beyond the limit of the output folder"),
    )
    found = [
        (match.start(), answer(match, place))
        for patterns, answer in explanations
        for pattern in patterns
        for match in list(pattern.finditer(tail))[-1:]
    ]
    return max(found, default=(0, ""))[1]


def _missing(match: re.Match[str], place: Place) -> str:
    inside = match["path"].strip()
    path = place.outside(inside)
    shown = place.shown(path)
    if inside.startswith(f"{IN}/"):
        return f"the script opened {inside}, but no declared input has that name"
    if not place.sealed or not path.exists():
        return f"the script opened {shown}, which does not exist"
    return f"the script opened {shown}, which was not declared; add --data {shown}"


def _read_only(match: re.Match[str], place: Place) -> str:
    out = place.shown(place.output)
    wrote = f"the script wrote to {place.shown(place.outside(match['path']))}" if match["path"] else "the script wrote"
    return f"{wrote} outside its output folder; write below {out}, or name another folder with --out"


def _network(_: re.Match[str], place: Place) -> str:
    if not place.sealed:
        return "the network did not answer"
    return "the script tried to use the network, which a sealed run does not have; fetch the file first and add --data"


def _module(match: re.Match[str], place: Place) -> str:
    name = match["module"].split(".")[0]
    if place.sealed and ((place.work / name).is_dir() or (place.work / f"{name}.py").exists()):
        return f"the script imports {name} from {place.work}, which was not captured as code"
    return f"{name} is not installed for {place.python}"


def _refused(match: re.Match[str], place: Place) -> str:
    if not match["path"]:
        return "the script made a system call that a sealed run refuses"
    path = place.outside(match["path"])
    return f"the script may not open {place.shown(path)}; check the owner and mode of the file"


def _exists(match: re.Match[str], place: Place) -> str:
    shown = place.shown(place.outside(match["path"]))
    return f"{shown} already exists; in the script, make folders with exist_ok=True"
