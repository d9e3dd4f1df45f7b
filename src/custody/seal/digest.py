"""Which bytes are these? One digest for a file or a folder, and copies made of the very bytes hashed.

The digest is the sha256 of a `SHA256SUMS` text: one line of hex, two spaces and the name per file,
sorted by name. That is in-toto's `dirHash1` and Go's `h1:`, it binds names as well as contents, and
`sha256sum -c` accepts it. Links, devices, odd names and names that differ only in case are refused,
never followed and never skipped. Folders without files leave no trace in the digest and are not copied.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from custody.core.subject import Subject
from custody.errors import InvalidInput, Tampered
from custody.seal.files import (
    FOLDER,
    LIMITS,
    Fingerprint,
    Limits,
    Odd,
    Source,
    entries,
    reading,
    refuse_odd_name,
    sources,
    write_all,
    writing,
)

_HEX = re.compile(r"[0-9a-f]{64}\Z")
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file: its path inside the folder with `/` between parts, its bytes counted, their sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All files of a model or dataset, sorted by path; unsafe, repeated or colliding paths are refused."""

    files: tuple[FileDigest, ...]

    def __post_init__(self) -> None:
        if not self.files:
            raise InvalidInput("a manifest needs at least one file")
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda file: file.path)))
        for file in self.files:
            for part in file.path.split("/"):
                refuse_odd_name(part, file.path)
            if file.path == "-":
                raise InvalidInput("a file named '-' cannot stand in a manifest", hint="rename it")
            if not _HEX.match(file.sha256) or file.size < 0:
                raise InvalidInput(f"{file.path!r} has no valid size and sha256")
        _refuse_collisions([file.path for file in self.files])

    def text(self) -> str:
        """Return the SHA256SUMS text that `sha256sum -c` reads."""
        return "".join(f"{file.sha256}  {file.path}\n" for file in self.files)

    @cached_property
    def sha256(self) -> str:
        """Return the digest that names these files: the sha256 of `text()`."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    @cached_property
    def by_path(self) -> Mapping[str, FileDigest]:
        """Return the files by their path."""
        return {file.path: file for file in self.files}

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(file.size for file in self.files)

    def subject(self, name: str) -> Subject:
        """Return the subject that statements about these files name."""
        return Subject(name, self.sha256)

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored and signed."""
        files = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in self.files]
        return {"sha256": self.sha256, "files": files}

    @classmethod
    def from_json(cls, value: Any) -> Manifest:
        """Read `to_json` back; raises `InvalidInput` for another shape, `Tampered` for another digest."""
        try:
            named, rows = value["sha256"], value["files"]
            files = tuple(FileDigest(row["path"], row["size"], row["sha256"]) for row in rows)
            sound = all(
                isinstance(file.path, str) and type(file.size) is int and isinstance(file.sha256, str) for file in files
            )
        except (TypeError, KeyError):
            sound = False
        if not sound:
            raise InvalidInput("this is not a manifest: it needs sha256 and files with path, size, sha256")
        manifest = cls(files)
        if manifest.sha256 != named:
            raise Tampered(f"the manifest says {named} and its files give {manifest.sha256}")
        return manifest


class Change(NamedTuple):
    """One difference between what was recorded and what is there: changed, added or missing."""

    kind: str
    path: str


def walk(path: Path, *, limits: Limits = LIMITS) -> Manifest:
    """Digest one file or every file of a folder, in one read.

    Raises `InvalidInput` for a missing path, a folder without files, links, devices, pipes and odd
    names, and `Tampered` for a file or folder that changes meanwhile.
    """
    return _manifest([_digest(source) for source in sources(path, limits)], path)


def fingerprints(path: Path, *, limits: Limits = LIMITS) -> dict[str, Fingerprint]:
    """Look at each file without reading it: equal fingerprints mean that no ordinary write happened.

    Who can set the clock or write to the disk beneath can forge one; `verify` is the proof.
    """
    found = {}
    for folder, name, relative in entries(path, limits):
        with reading(path, relative):
            found[relative] = Fingerprint.of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    return found


def verify(path: Path, expected: Manifest, *, limits: Limits = LIMITS) -> list[Change]:
    """Compare what is at `path` with what was recorded; an empty list says that every byte is the same.

    Raises `Tampered` when something stands there that no manifest can hold, such as a planted link.
    """
    try:
        found = [_digest(source) for source in sources(path, limits)]
    except Odd as odd:
        raise Tampered(f"{path} is not what was recorded: {odd.message}") from None
    return _changes(expected, {file.path: file.sha256 for file in found})


def copy_verified(
    source: Path, destination: Path, expected: Manifest | None = None, *, limits: Limits = LIMITS
) -> Manifest:
    """Copy into a fresh private folder and digest in the same pass: what is handed on is what was hashed.

    `destination` must not exist or be an empty folder; it ends as 0700 with files 0400, or is removed
    again. Raises `Tampered` naming each file that differs from `expected`, `Unavailable` when the
    destination cannot be written.
    """
    fresh = fresh_folder(destination)
    try:
        try:
            files, changes = _copy(source, destination, fresh, expected, limits)
        except Odd as odd:
            if expected is None:
                raise
            raise Tampered(f"{source} is not what was recorded: {odd.message}") from None
        if changes:
            raise Tampered(f"{source} is not what was recorded: {describe(changes)}")
        return _manifest(files, source)
    except BaseException:
        _clear(destination)
        raise
    finally:
        os.close(fresh)


def describe(changes: list[Change], *, most: int = 8) -> str:
    """Put changes into words: `changed: a.bin; missing: b.bin and 3 more`."""
    phrases = []
    for kind in ("changed", "added", "missing"):
        paths = [change.path for change in changes if change.kind == kind]
        more = f" and {len(paths) - most} more" if len(paths) > most else ""
        if paths:
            phrases.append(f"{kind}: {', '.join(paths[:most])}{more}")
    return "; ".join(phrases)


def _manifest(files: list[FileDigest], path: Path) -> Manifest:
    if not files:
        raise InvalidInput(f"{path} holds no files", hint="an empty folder has no digest")
    return Manifest(tuple(files))


def _digest(source: Source) -> FileDigest:
    digest = hashlib.sha256()
    for piece in source.pieces():
        digest.update(piece)
    return FileDigest(source.path, source.size, digest.hexdigest())


def _changes(expected: Manifest, found: Mapping[str, str]) -> list[Change]:
    """Compare by path; `found` gives the sha256 of each file, "" where it was not worth reading."""
    recorded = {file.path: file.sha256 for file in expected.files}
    changes = [
        Change("missing" if path not in found else "changed", path)
        for path, sha256 in recorded.items()
        if found.get(path) != sha256
    ]
    changes += [Change("added", path) for path in found if path not in recorded]
    return sorted(changes, key=lambda change: change.path)


def _copy(
    source: Path, destination: Path, fresh: int, expected: Manifest | None, limits: Limits
) -> tuple[list[FileDigest], list[Change]]:
    """Copy file by file; one that cannot match by name or size is not read at all."""
    files: list[FileDigest] = []
    found: dict[str, str] = {}
    made: set[str] = set()
    for opened in sources(source, limits):
        if expected is not None:
            recorded = expected.by_path.get(opened.path)
            if recorded is None or recorded.size != opened.size:
                found[opened.path] = ""
                continue
        target = destination / opened.path
        with writing(target):
            make_parents(opened.path, fresh, made)
            sink = os.open(opened.path, NEW_FILE, 0o400, dir_fd=fresh)
        try:
            digest = hashlib.sha256()
            for piece in opened.pieces():
                digest.update(piece)
                with writing(target):
                    write_all(sink, piece)
        finally:
            os.close(sink)
        files.append(FileDigest(opened.path, opened.size, digest.hexdigest()))
        found[opened.path] = files[-1].sha256
    return files, _changes(expected, found) if expected is not None else []


def make_parents(path: str, folder: int, made: set[str]) -> None:
    """Make the folders above `path` inside an open folder; `made` remembers those that exist."""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        parent = "/".join(parts[:depth])
        if parent not in made:
            os.mkdir(parent, 0o700, dir_fd=folder)
            made.add(parent)


def fresh_folder(path: Path) -> int:
    """Make an empty folder that only its owner can enter (0700) and return its descriptor."""
    with writing(path):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            folder = os.open(path, FOLDER)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise InvalidInput(f"{path} is not a folder of its own") from None
            raise
        with os.scandir(folder) as listing:
            occupied = any(True for _ in listing)
        if occupied:
            os.close(folder)
            raise InvalidInput(f"{path} is not empty", hint="name a folder that does not exist yet")
        os.fchmod(folder, 0o700)
    return folder


def _clear(path: Path) -> None:
    """Leave nothing unverified behind; the first error is the one to tell."""
    shutil.rmtree(path, ignore_errors=True)


def _refuse_collisions(paths: list[str]) -> None:
    """Refuse repeated paths, files inside files, and two paths that some disks take for the same."""
    places: dict[str, str] = {}
    folders: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            _claim(places, parent)
            parent = parent.rpartition("/")[0]
    for path in paths:
        _claim(places, path)


def _claim(places: dict[str, str], path: str) -> None:
    folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
    folded = folded if folded.isascii() else unicodedata.normalize("NFC", folded)
    if folded in places:
        raise Odd(f"{places[folded]!r} and {path!r} are the same name on some disks", hint="rename one of them")
    places[folded] = path
