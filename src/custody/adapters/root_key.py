"""The vault's root key in a file: it wraps the key of each model, and lies apart from the ciphertext.

    <root>           the key in force, 0600; sealed under a passphrase where one is given
    <root>.next      its successor while a rotation is under way
    <root>.old       its predecessor from the moment of the change until it is overwritten

A rotation is one rename between two sweeps over the wrapped keys: before the rename the old key opens
everything, after it the new one does, and whoever finds `.next` or `.old` knows which side it was on.
Other places for a root key (a hardware module, a cloud's key service) fit behind `custody.records.vault.RootKey`.
"""

from __future__ import annotations

import base64
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from custody.core.strictjson import b64decode, dump, parse_object
from custody.errors import CustodyError, InvalidInput, NotFound, NotPermitted, Tampered
from custody.seal import cipher
from custody.seal.digest import NEW_FILE
from custody.seal.files import FOLDER, Fingerprint, refusal, write_all, writing

_FORMAT = "custody-root-key/1"
_MOST_BYTES = 4096
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
"""About 0.1 s and 32 MiB for each try of a passphrase (RFC 7914)."""
_SEALED_FOR = b"custody root key v1"


class FileRoot:
    """A root key in a local file."""

    def __init__(self, path: Path, passphrase: str = "") -> None:
        self.path, self._passphrase = path, passphrase
        self._next, self._old = (path.with_name(path.name + end) for end in (".next", ".old"))
        self._known: tuple[Fingerprint, bytes] | None = None

    @property
    def place(self) -> str:
        """Return where the key is, for people."""
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Tell whether there is a key."""
        return self.path.is_file()

    @property
    def identity(self) -> str:
        """Return the commitment to the key in force."""
        return cipher.key_commitment(self._key())

    def create(self) -> None:
        """Make a key where none is; who comes second keeps the first one's."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            self._write(fresh, cipher.new_key())
            try:
                with suppress(FileExistsError):  # a link fails where a key already is, also when two begin at once
                    os.link(fresh, self.path)
            finally:
                fresh.unlink()
            sync_folder(self.path.parent)

    def wrap(self, key: bytes, about: bytes) -> bytes:
        """Encrypt a key under the key in force, bound to what it is for."""
        return cipher.wrap_key(key, self._key(), about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Open a wrapped key; `Tampered` when it is not genuine, not for this, or under another root."""
        return cipher.unwrap_key(wrapped, self._key(), about)

    @property
    def state(self) -> str:
        """Return how a rotation stands: "settled", "prepared" (still the old key) or "changed" (the new one)."""
        if self._next.exists():
            return "prepared"
        return "changed" if self._old.exists() else "settled"

    def prepare(self) -> FileRoot:
        """Make the successor; the key in force stays as it is."""
        with writing(self._next):
            self._write(self._next, cipher.new_key())
            sync_folder(self.path.parent)
        return FileRoot(self._next, self._passphrase)

    def abandon(self) -> None:
        """Give up a successor that never came into force."""
        with writing(self._next):
            self._old.unlink(missing_ok=True)  # before the change it is only another name of the key in force
            shred(self._next)

    def change(self) -> None:
        """Put the successor in force: the one moment on which a rotation turns."""
        with writing(self.path):
            os.link(self.path, self._old)
            sync_folder(self.path.parent)
            self._next.rename(self.path)
            sync_folder(self.path.parent)

    def finish(self) -> None:
        """Overwrite the predecessor."""
        with writing(self._old):
            shred(self._old)

    def _key(self) -> bytes:
        try:
            info = self.path.stat(follow_symlinks=False)
            if self._known is None or self._known[0] != Fingerprint.of(info):
                self._known = (Fingerprint.of(info), self._read())
        except FileNotFoundError:
            raise NotFound(f"{self.path} is gone; nothing in this vault can be opened", hint="restore it") from None
        except OSError as error:
            raise refusal(error, self.path) from None
        return self._known[1]

    def _read(self) -> bytes:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            info = os.fstat(descriptor)
            if stat.S_IMODE(info.st_mode) & 0o077:
                hint = f"chmod 600 {self.path}, and think about who read it"
                raise NotPermitted(f"{self.path} can be read by others", hint=hint)
            raw = os.read(descriptor, _MOST_BYTES + 1)
        finally:
            os.close(descriptor)
        return read_root(raw, self._passphrase, str(self.path))

    def _write(self, path: Path, key: bytes) -> None:
        write_synced(path, root_file(key, self._passphrase))


def root_file(key: bytes, passphrase: str) -> bytes:
    """Return the content of a root key's file, sealed where there is a passphrase."""
    if not passphrase:
        return dump({"format": _FORMAT, "key": _text(key)})
    salt = os.urandom(16)
    sealed = cipher.wrap_key(key, _stretched(passphrase, salt), _SEALED_FOR)
    return dump({"format": _FORMAT, "salt": _text(salt), "scrypt": _SCRYPT, "sealed": _text(sealed)})


def read_root(raw: bytes, passphrase: str, what: str) -> bytes:
    """Read a root key's file; raises `Tampered`, and `NotPermitted` without the right passphrase."""
    try:
        if len(raw) > _MOST_BYTES:
            raise InvalidInput("it is too long")
        body = parse_object(raw, what=what)
        if body.get("format") != _FORMAT:
            raise InvalidInput("it has another format")
        if set(body) == {"format", "key"}:
            return _sized(b64decode(body["key"], what=what))
        if set(body) != {"format", "salt", "scrypt", "sealed"} or body["scrypt"] != _SCRYPT:
            raise InvalidInput("it has other fields")
        salt, sealed = (b64decode(body[name], what=what) for name in ("salt", "sealed"))
    except (InvalidInput, TypeError) as error:
        reason = error.message if isinstance(error, CustodyError) else str(error)
        raise Tampered(f"{what} is not a root key: {reason}", hint="restore it from a backup") from None
    if not passphrase:
        raise NotPermitted(f"{what} is sealed under a passphrase", hint="set CUSTODY_PASSPHRASE")
    try:
        return cipher.unwrap_key(sealed, _stretched(passphrase, salt), _SEALED_FOR)
    except Tampered:
        raise NotPermitted(f"the passphrase does not open {what}", hint="set CUSTODY_PASSPHRASE to its own") from None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _stretched(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=cipher.KEY_BYTES, **_SCRYPT).derive(passphrase.encode())


def _sized(key: Any) -> bytes:
    if len(key) != cipher.KEY_BYTES:
        raise InvalidInput(f"the key has {len(key)} bytes instead of {cipher.KEY_BYTES}")
    return bytes(key)


def write_synced(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a new file and wait for the disk."""
    descriptor = os.open(path, NEW_FILE, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(path, FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shred(path: Path) -> None:
    """Overwrite in place, reach the disk, then remove; a file that is gone is done."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        write_all(descriptor, os.urandom(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    sync_folder(path.parent)
