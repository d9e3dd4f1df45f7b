"""The folder a sealed run stands in: copies of the captured code, and empty places for what is mounted."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from custody.core.sandbox import CODE, Mount, is_relative
from custody.errors import InvalidInput, Tampered

_PIECE = 1024 * 1024
_TAKEN = frozenset(
    {
        *("/", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/dev", "/sys", "/tmp"),  # noqa: S108
        *("/var", "/run", "/home", "/root", "/custody", "/opt"),
    }
)
"""Folders that keep their own meaning inside: a working folder of that name is seen at /custody/code only."""


class View:
    """Builds the view; `binds` lists what must be mounted: (inside, source, writable)."""

    def __init__(self, mounts: Sequence[Mount], work: Path | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="custody-view-"))
        self.code = self.folder / "code"
        self._store = self.folder / "store"
        self.binds: list[tuple[str, Path, bool]] = []
        self.roots = [CODE]
        if work is not None and str(work) not in _TAKEN:
            self.roots.append(str(work))
        try:
            self.code.mkdir()
            self._store.mkdir()
            copies: dict[tuple[Path, str], Path] = {}
            for mount in mounts:
                self._place(mount, copies)
        except BaseException:
            self.close()
            raise

    def bind(self, inside: str, source: Path, *, writable: bool = False) -> None:
        """Show `source` at the absolute path `inside`."""
        self.binds.append((inside, source, writable))

    def bind_relative(self, relative: str, source: Path, *, writable: bool = False) -> None:
        """Show `source` in the working folder, under each of its names."""
        for root in self.roots:
            self.bind(f"{root}/{relative}", source, writable=writable)

    def finish(self) -> list[tuple[str, Path, bool]]:
        """Make the empty places for what is mounted into the view and return all mounts, outermost first."""
        for inside, source, _ in self.binds:
            for root in self.roots:
                if inside.startswith(f"{root}/"):
                    _make_place(self.code / inside[len(root) + 1 :], folder=source.is_dir())
        roots = [(root, self.code, False) for root in self.roots]
        unique = {inside: (inside, source, writable) for inside, source, writable in [*roots, *self.binds]}
        return sorted(unique.values(), key=lambda bind: bind[0].count("/"))

    def close(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _place(self, mount: Mount, copies: dict[tuple[Path, str], Path]) -> None:
        relative = is_relative(mount.inside)
        source = mount.source.resolve()
        if not source.exists():
            raise InvalidInput(f"{mount.source} does not exist", hint="check the path given with --data")
        if not (source.is_file() or source.is_dir()):
            raise InvalidInput(f"{mount.source} is neither a file nor a folder")
        if mount.sha256:
            key = (source, mount.sha256)
            if key not in copies:
                copies[key] = self._store / str(len(copies))
                copy_verified(source, copies[key], mount.sha256, str(mount.source))
            source = copies[key]
            if relative:
                place = self.code / mount.inside
                place.parent.mkdir(parents=True, exist_ok=True)
                place.hardlink_to(source)
                return
        if relative:
            self.bind_relative(mount.inside, source)
        else:
            self.bind(mount.inside, source)


def copy_verified(source: Path, target: Path, sha256: str, name: str) -> None:
    """Copy a file while hashing it; raises `Tampered` when it is not what was promised."""
    whole = hashlib.sha256()
    try:
        with source.open("rb", buffering=0) as stream, target.open("xb", buffering=0) as copy:
            while piece := stream.read(_PIECE):
                whole.update(piece)
                rest = memoryview(piece)
                while rest:
                    rest = rest[copy.write(rest) :]
            mode = os.fstat(stream.fileno()).st_mode
    except IsADirectoryError:
        raise InvalidInput(f"{name} is a folder, and a folder has no sha256") from None
    if whole.hexdigest() != sha256:
        raise Tampered(
            f"{name} has changed: its sha256 is {whole.hexdigest()[:12]}..., recorded was {sha256[:12]}...",
            hint="nothing was run; find out who changed the file, or register it anew",
        )
    target.chmod(0o555 if mode & 0o111 else 0o444)


def _make_place(place: Path, *, folder: bool) -> None:
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        place.mkdir()
    else:
        place.touch()
