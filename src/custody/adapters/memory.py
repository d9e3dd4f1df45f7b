"""What this client remembers of each ledger, in the user's state folder, apart from the ledger."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from custody.core import strictjson
from custody.errors import CustodyError, Tampered, Unavailable


class FileMemory:
    """One small file for each origin."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, origin: str) -> Path:
        return self._folder / (hashlib.sha256(origin.encode()).hexdigest()[:32] + ".json")

    def last(self, origin: str) -> tuple[int, bytes] | None:
        """Return the size and root of the newest checkpoint seen, or None on first contact."""
        path = self._path(origin)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read the remembered checkpoint {path}: {error.strerror}") from None
        try:
            body = strictjson.parse_object(raw, max_bytes=4096)
            root = bytes.fromhex(body["root"])
            if body["origin"] != origin or type(body["size"]) is not int or body["size"] < 0 or len(root) != 32:
                raise ValueError
            return body["size"], root
        except (CustodyError, KeyError, TypeError, ValueError):
            raise Tampered(
                f"the remembered checkpoint {path} is damaged",
                hint="compare the ledger with an exported bundle, then delete that file",
            ) from None

    def remember(self, origin: str, size: int, root: bytes) -> None:
        """Keep a newer checkpoint; an older one never replaces it."""
        known = self.last(origin)
        if known and known[0] >= size:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"origin": origin, "size": size, "root": root.hex()}, file)
            Path(name).replace(self._path(origin))
        except OSError as error:
            raise Unavailable(
                f"cannot remember the checkpoint in {self._folder}: {error.strerror}",
                hint="set CUSTODY_STATE to a folder you can write to",
            ) from None


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
