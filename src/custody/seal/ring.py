"""The log's keys on this machine: the one in force signs, and no other, whatever keys lie beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from custody.errors import NotPermitted
from custody.seal.keys import LogKey


class LogRing:
    """Chooses the log's key by the newest trust root each time it signs.

    After a rotation the old key's file may still lie there, or the new one may lie on another machine. A
    checkpoint signed by any but the key in force would make the ledger unreadable, so none is made.
    """

    def __init__(self, folder: Path, passphrase: str, newest: Callable[[], bytes]) -> None:
        self._folder, self._passphrase, self._newest = folder, passphrase, newest
        self._found: LogKey | None = None

    @property
    def public(self) -> bytes:
        """Return the raw public key in force."""
        return self._newest()

    def sign(self, message: bytes) -> bytes:
        """Return an Ed25519 signature by the key in force; raises `NotPermitted` when it is not here."""
        return self.key().sign(message)

    def key(self) -> LogKey:
        """Return the private key in force; raises `NotPermitted` when it is not here."""
        wanted = self._newest()
        if self._found is None or self._found.public != wanted:
            self._found = next(
                (key for key in map(self._load, log_key_files(self._folder)) if key.public == wanted), None
            )
        if self._found is None:
            raise NotPermitted(
                f"no key in {self._folder} is the log's key of the newest trust root",
                hint="act on the machine that holds the log's key, or install a new one: custody keys rotate-log",
            )
        return self._found

    def _load(self, path: Path) -> LogKey:
        return LogKey.load(path, self._passphrase)


def log_key_files(folder: Path) -> list[Path]:
    """Return where keys of the log lie: `log.pem`, and those of later roots in the folder `log`."""
    return [path for path in (folder / "log.pem", *sorted((folder / "log").glob("*.pem"))) if path.exists()]
