"""What this client remembers of each ledger, in the user's state folder, apart from the ledger.

Three small files for each origin: the newest checkpoint seen, the newest one that others vouch for, and how
many entries were verified to the last signature. The third only saves work, and only while nobody but the
user can have written it; a client that lost it verifies everything again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custody.core import strictjson
from custody.errors import CustodyError, InvalidInput, Tampered, Unavailable
from custody.given import read_given

_MAX_BYTES = 4096
_SEEN, _ANCHORED, _VERIFIED = ".json", ".anchored.json", ".verified.json"


class FileMemory:
    """Three small files for each origin."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, origin: str) -> tuple[int, bytes] | None:
        """Return the size and root of the newest checkpoint seen, or None on first contact."""
        return self._recall(origin, _SEEN)

    def remember(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer checkpoint; an older one never replaces it."""
        self._keep(origin, _SEEN, size, root)

    def anchored(self, origin: str) -> tuple[int, bytes] | None:
        """Return the size and root of the newest checkpoint that a witness or a time stamp vouches for."""
        return self._recall(origin, _ANCHORED)

    def remember_anchor(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer anchored checkpoint; an older one never replaces it."""
        self._keep(origin, _ANCHORED, size, root)

    def verified(self, origin: str) -> tuple[int, bytes] | None:
        """Return how many entries were verified to the last signature, and the sha256 of their bytes.

        A file that another user owns or could have written counts as none.
        """
        try:
            found = self._path(origin, _VERIFIED).stat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return None
            return self._recall(origin, _VERIFIED)
        except (OSError, CustodyError):
            return None

    def remember_verified(self, origin: str, size: int, digest: bytes) -> None:
        """Keep that more entries were verified."""
        self._keep(origin, _VERIFIED, size, digest, forgiving=True)

    def _path(self, origin: str, suffix: str) -> Path:
        return self._folder / (hashlib.sha256(origin.encode()).hexdigest()[:32] + suffix)

    def _recall(self, origin: str, suffix: str) -> tuple[int, bytes] | None:
        path = self._path(origin, suffix)
        try:
            raw = read_given(path, _MAX_BYTES)
        except FileNotFoundError:
            return None
        except InvalidInput:
            raw = b""
        except OSError as error:
            raise Unavailable(f"cannot read the remembered checkpoint {path}: {error.strerror}") from None
        try:
            body = strictjson.parse_object(raw, max_bytes=_MAX_BYTES)
            root = bytes.fromhex(body["root"])
            if body["origin"] != origin or type(body["size"]) is not int or body["size"] < 0 or len(root) != 32:
                raise ValueError
            return body["size"], root
        except (CustodyError, KeyError, TypeError, ValueError):
            raise Tampered(
                f"the remembered checkpoint {path} is damaged",
                hint="compare the ledger with an exported bundle, then delete that file",
            ) from None

    def _keep(self, origin: str, suffix: str, size: int, root: bytes, *, forgiving: bool = False) -> None:
        """Replace a smaller remembered size by a larger one; `forgiving` writes over what cannot be read."""
        try:
            known = self._recall(origin, suffix)
        except Tampered:
            if not forgiving:
                raise
            known = None
        if known and known[0] >= size and not forgiving:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone():
                known = None if forgiving else self._recall(origin, suffix)
                if known and known[0] >= size:
                    return
                descriptor, name = tempfile.mkstemp(dir=self._folder)
                with os.fdopen(descriptor, "w") as file:
                    json.dump({"origin": origin, "size": size, "root": root.hex()}, file)
                Path(name).replace(self._path(origin, suffix))
        except OSError as error:
            raise Unavailable(
                f"cannot remember the checkpoint in {self._folder}: {error.strerror}",
                hint="set CUSTODY_STATE to a folder you can write to",
            ) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock: two commands at once must not put back what the other has replaced."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class ForgivingMemory(FileMemory):
    """A memory for ledgers on read-only media: where nothing can be kept, it says so instead of refusing."""

    forgot = False
    """Whether a checkpoint could not be kept."""

    def remember(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer checkpoint where that is possible."""
        try:
            super().remember(origin, size, root)
        except Unavailable:
            self.forgot = True

    def remember_verified(self, origin: str, size: int, digest: bytes) -> None:
        """Keep that more entries were verified, where that is possible."""
        try:
            super().remember_verified(origin, size, digest)
        except Unavailable:
            self.forgot = True
