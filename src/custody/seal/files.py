"""Reading files that may not be what they seem, and saying what went wrong.

A walk goes down by descriptors, so that no folder can be exchanged on the way. Links, devices, pipes and
odd names are refused, never followed and never skipped; a file or folder that changes while it is read
is `Tampered`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from custody.errors import CustodyError, InvalidInput, NotFound, NotPermitted, Tampered, Unavailable

BUFFER_BYTES = 1024 * 1024

# Control characters break the manifest's lines, backslashes its escapes, half surrogates are names
# that are not UTF-8, and the rest would let a name look like another one.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\\\\\u2028\u2029\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# O_NONBLOCK: a pipe put in a file's place must not make the reader wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Limits:
    """How much a walk accepts before it refuses: files, bytes of one relative path, folders in folders."""

    files: int = 1_000_000
    path_bytes: int = 1024
    depth: int = 64


LIMITS = Limits()


class Odd(InvalidInput):
    """Something stands in the folder that no manifest can hold."""


class Fingerprint(NamedTuple):
    """What the file system says of a file; any write changes at least one of these."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Fingerprint:
        """Take it from a stat result."""
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


class Source:
    """One file open for reading; `pieces` ends in `Tampered` if the file moved since it was opened."""

    __slots__ = ("_buffer", "_view", "descriptor", "fingerprint", "path", "size")

    def __init__(self, path: str, descriptor: int, info: os.stat_result, buffer: bytearray) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = info.st_size
        self.fingerprint = Fingerprint.of(info)
        self._buffer = [buffer]
        self._view = memoryview(buffer)

    def pieces(self) -> Iterator[memoryview]:
        """Yield all bytes in order, at most 1 MiB each; each is overwritten by the next one."""
        at = 0
        while at < self.size:
            try:
                count = os.preadv(self.descriptor, self._buffer, at)
            except OSError as error:
                raise refusal(error, self.path) from None
            at += count
            if count == 0 or at > self.size:
                break
            yield self._view[:count]
        if not self.size and os.pread(self.descriptor, 1, 0):
            raise Odd(f"{self.path} has no size, as the files of the kernel", hint="make an ordinary copy")
        if at != self.size or Fingerprint.of(os.fstat(self.descriptor)) != self.fingerprint:
            raise Tampered(f"{self.path} changed while it was being read")


def sources(path: Path, limits: Limits = LIMITS) -> Iterator[Source]:
    """Open each file under `path` in the order of the manifest; a single file goes by its own name.

    Raises `InvalidInput` for what is missing or of an odd kind or name, `Tampered` for what changes
    meanwhile, `NotPermitted` for what may not be read.
    """
    buffer = bytearray(BUFFER_BYTES)
    for folder, name, relative in entries(path, limits):
        with reading(path, relative):
            descriptor = os.open(name, _FILE, dir_fd=folder)
            try:
                info = os.fstat(descriptor)
                if not stat.S_ISREG(info.st_mode):
                    raise Tampered(f"{relative} became something else than a file while it was being read")
                yield Source(relative, descriptor, info, buffer)
            finally:
                os.close(descriptor)


def entries(path: Path, limits: Limits) -> Iterator[tuple[int, str, str]]:
    """Yield (descriptor of the folder, name in it, relative path) of each file, sorted by path."""
    try:
        mode = os.lstat(path).st_mode
        single = stat.S_ISREG(mode)
        if stat.S_ISLNK(mode):
            raise InvalidInput(f"{path} is a link", hint=f"name the place itself: {os.path.realpath(path)}")
        if not single and not stat.S_ISDIR(mode):
            raise InvalidInput(f"{path} is neither a file nor a folder")
        root = os.open(path.parent if single else path, FOLDER & ~os.O_NOFOLLOW if single else FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"there is no file or folder at {path}") from None
    except ValueError as error:
        raise InvalidInput(f"{str(path)!r} is not a path: {error}") from None
    except OSError as error:
        raise refusal(error, path) from None
    try:
        if single:
            refuse_odd_name(path.name, path.name)
            yield root, path.name, path.name
        else:
            yield from _inside(root, "", path, limits, [0])
    finally:
        os.close(root)


def _inside(folder: int, prefix: str, root: Path, limits: Limits, seen: list[int]) -> Iterator[tuple[int, str, str]]:
    """Go down one folder by its descriptor, so that no parent can be exchanged on the way."""
    if prefix.count("/") > limits.depth:
        raise Odd(f"{prefix} is nested more than {limits.depth} folders deep")
    before = Fingerprint.of(os.fstat(folder))
    with reading(root, prefix):
        listing = _listing(folder, prefix, limits, seen)
    for name in listing:
        if not name.endswith("/"):
            yield folder, name, prefix + name
            continue
        with reading(root, prefix + name):
            child = os.open(name[:-1], FOLDER, dir_fd=folder)
        try:
            yield from _inside(child, prefix + name, root, limits, seen)
        finally:
            os.close(child)
    if Fingerprint.of(os.fstat(folder)) != before:
        raise Tampered(f"files came or went in {root / prefix} while it was being read")


def _listing(folder: int, prefix: str, limits: Limits, seen: list[int]) -> list[str]:
    """List one folder in the order of whole paths; a folder's name ends in a slash."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            refuse_odd_name(name, prefix + name)
            if len((prefix + name).encode()) > limits.path_bytes:
                raise Odd(f"{prefix + name} is longer than {limits.path_bytes} bytes")
            if entry.is_file(follow_symlinks=False):
                names.append(name)
            elif entry.is_dir(follow_symlinks=False):
                names.append(name + "/")
            else:
                kind = "a link" if entry.is_symlink() else "neither a file nor a folder"
                raise Odd(f"{prefix + name} is {kind}", hint="put a real file there, or leave it out")
            seen[0] += 1
            if seen[0] > limits.files:
                raise Odd(f"there are more than {limits.files} files and folders")
    names.sort()
    return names


def refuse_odd_name(name: str, path: str) -> None:
    """Refuse one part of a path that a manifest, a terminal or another system could misread."""
    if _ODD.search(name) or name in ("", ".", ".."):
        raise Odd(
            f"{path!r} has a name that cannot be recorded",
            hint="rename it: no line breaks, backslashes, control or invisible characters, UTF-8 only",
        )


def refusal(error: OSError, path: Path | str, *, to_write: bool = False) -> CustodyError:
    """Say what a failed system call means for the caller, who was reading or writing `path`."""
    what = f"{path}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Unavailable(what, hint="free some space and try again; nothing recorded was lost")
    if error.errno == errno.EROFS or (to_write and error.errno in (errno.EACCES, errno.EPERM)):
        return Unavailable(what, hint="it cannot be written; choose another folder or change its access rights")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(what, hint="check who owns it and its access rights")
    if error.errno == errno.ENOENT:
        return NotFound(what)
    return Unavailable(what, hint="the disk refused; try again, or look at the system log")


def write_all(descriptor: int, data: memoryview | bytes) -> None:
    """Write every byte, also where the system takes only a part at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class writing:  # noqa: N801  a phrase in a with statement
    """Turn what the disk refuses into an error that names the path."""

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin to write."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate an `OSError`; everything else passes."""
        if isinstance(error, OSError):
            raise refusal(error, self._path, to_write=True) from None


class reading:  # noqa: N801  a phrase in a with statement
    """Turn what happens to a file between listing and reading it into the right refusal."""

    def __init__(self, root: Path, relative: str) -> None:
        self._root, self._relative = root, relative

    def __enter__(self) -> None:
        """Begin to read."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate an `OSError`; everything else passes."""
        if isinstance(error, OSError):
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise Tampered(f"{self._relative} was replaced while it was being read") from None
            raise refusal(error, self._root / self._relative) from None
