"""Private keys in files: NAME.pem, and beside it the key that is to replace it, until the ledger says it has."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from custody.errors import NotPermitted, Unavailable
from custody.given import read_given
from custody.seal.keys import MAX_PEM_BYTES, LogKey, PersonKey


@dataclass(frozen=True)
class KeyFiles:
    """The key files of one project, and of the user's own folder where they keep one."""

    folder: Path
    own: Path | None
    passphrase: str
    _told: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def path(self, name: str) -> Path:
        """Return where somebody's key file is, or would be."""
        own = self.own / f"{name}.pem" if self.own else None
        return own if own is not None and own.exists() else self.folder / f"{name}.pem"

    def load(self, name: str, keyid: str = "") -> PersonKey:
        """Return somebody's key; with `keyid`, the newer one if that is the key on record by now.

        A new key lies beside the old one until the ledger has taken it, which may need other owners' signatures.
        Whoever uses it first puts it in its place.
        """
        path = self.path(name)
        fresh = self._next(path)
        if keyid and fresh.exists():
            newer = self._open(fresh)
            if newer.keyid == keyid:
                self._settle(path, fresh)
                return newer
        return self._open(path)

    def make(self, name: str, keyid: str = "") -> tuple[PersonKey, Path]:
        """Make a new key for somebody, beside the old one if there is one; returns where it lies.

        One that was made before and is not on record yet is taken again; `keyid` is the key on record.
        """
        place = self.own / f"{name}.pem" if self.own else self.folder / f"{name}.pem"
        if place.exists():
            fresh = self._next(place)
            if fresh.exists():
                newer = self._open(fresh)
                if newer.keyid != keyid:
                    return newer, fresh
                self._settle(place, fresh)
            place = fresh
        key = PersonKey.generate()
        key.save(place, self.passphrase)
        return key, place

    def put_aside(self, name: str) -> None:
        """Rename somebody's key file, whose key signs nothing any more, so that a new one can be made."""
        path = self.path(name)
        if path.exists():
            self._rename(path, self._old(path))

    def make_log_key(self) -> tuple[LogKey, Path]:
        """Make a new key for the log; it signs once a trust root names it."""
        key = LogKey.generate()
        place = self.folder / "log" / f"{key.public.hex()[:16]}.pem"
        key.save(place, self.passphrase)
        return key, place

    def is_encrypted(self, name: str) -> bool | None:
        """Tell whether somebody's key file is encrypted; None where there is none to look at."""
        return self._encrypted(self.path(name))

    def _encrypted(self, path: Path) -> bool | None:
        try:
            return b"ENCRYPTED" in read_given(path, MAX_PEM_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotPermitted(f"{path} cannot be read: {error.strerror}") from None

    def _open(self, path: Path) -> PersonKey:
        """Read a key; on a terminal, and nowhere else, the passphrase of an encrypted one is asked for, once."""
        passphrase = self.passphrase or self._told.get(path.stem, "")
        try:
            return PersonKey.load(path, passphrase)
        except NotPermitted:
            if passphrase or not self._encrypted(path) or not sys.stdin.isatty():
                raise
        import getpass

        passphrase = getpass.getpass(f"Passphrase of {path.name}: ")
        key = PersonKey.load(path, passphrase)
        self._told[path.stem] = passphrase
        return key

    def _settle(self, path: Path, fresh: Path) -> None:
        if path.exists():
            self._rename(path, self._old(path))
        self._rename(fresh, path)

    def _next(self, path: Path) -> Path:
        # A name cannot begin with a dot, so these are nobody's key files.
        return path.with_name(f".{path.stem}.next.pem")

    def _old(self, path: Path) -> Path:
        number = 1
        while (old := path.with_name(f".{path.stem}.old-{number}.pem")).exists():
            number += 1
        return old

    def _rename(self, path: Path, to: Path) -> None:
        try:
            path.rename(to)
        except OSError as error:
            raise Unavailable(f"cannot rename {path}: {error.strerror}", hint="make that folder writable") from None
