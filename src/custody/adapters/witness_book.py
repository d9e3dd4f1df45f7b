"""A witness's folder: its name and key, the logs it follows, and what it signed last for each of them.

    witness.json      {"format": "custody-witness/1", "name": ..., "origins": [every log it ever followed]}
    key.pem           its Ed25519 key, 0600
    lock              one request at a time, over all processes that serve this folder
    logs/HASH.json    {"origin": ..., "keys": [verifier keys], "size": ..., "root": ...}; HASH names the origin

A log's file is replaced as a whole, written and synchronised first, so that a crash leaves the old one or
the new one. A file that is gone or damaged is never begun anew: that would let one size be signed twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.core import strictjson
from custody.errors import InvalidInput, NotFound, Tampered, Unavailable
from custody.given import read_given
from custody.ledger.note import ED25519, VerifierKey, check_key_name, parse_vkey
from custody.ledger.witness import UNSEEN, Seen, Witness
from custody.seal.keys import LogKey, verify_ed25519

FORMAT = "custody-witness/1"
_MAX_FILE = 1024 * 1024
_MAX_KEYS = 16


@dataclass(frozen=True)
class Followed:
    """A log that the witness follows, with its keys and what was signed last."""

    origin: str
    keys: tuple[VerifierKey, ...]
    seen: Seen


class FileBook:
    """The book of one witness, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._thread = threading.Lock()

    @classmethod
    def create(cls, folder: Path, name: str, passphrase: str = "") -> FileBook:
        """Make the folder of a new witness with a new key; raises `InvalidInput` where one is already."""
        return cls(folder).begin(name, passphrase)

    def begin(self, name: str, passphrase: str = "") -> FileBook:
        """Make this folder that of a new witness with a new key; raises `InvalidInput` where one is already."""
        check_key_name(name)
        folder = self.folder
        if (folder / "witness.json").exists():
            raise InvalidInput(f"{folder} is the folder of a witness already", hint="custody witness status")
        try:
            (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise Unavailable(f"cannot make {folder}: {error.strerror}", hint="choose another --folder") from None
        LogKey.generate().save(folder / "key.pem", passphrase)
        _replace(folder / "witness.json", {"format": FORMAT, "name": name, "origins": []})
        return self

    def witness(self, passphrase: str = "") -> Witness:
        """Return the witness that lives here, with its key and the system's clock."""
        return Witness(self.name(), self.key(passphrase), self, lambda: int(time.time()))

    def name(self) -> str:
        """Return the witness's name."""
        return self._self()[0]

    def _self(self) -> tuple[str, list[str]]:
        """Return the witness's name, and every origin it ever followed: none of them is begun anew."""
        path = self.folder / "witness.json"
        if not path.exists():
            hint = "begin with: custody witness init NAME"
            raise NotFound(f"there is no witness in {self.folder}", hint=hint)
        try:
            body = _read(path)
            name, origins = body["name"], body["origins"]
            if body["format"] != FORMAT or not all(isinstance(text, str) for text in (name, *origins)):
                raise ValueError
            check_key_name(name)
        except (KeyError, TypeError, ValueError, InvalidInput):
            raise Tampered(f"{path} is damaged: it is not of the format {FORMAT!r}", hint="restore it") from None
        return name, origins

    def key(self, passphrase: str = "") -> LogKey:
        """Return the witness's key."""
        return LogKey.load(self.folder / "key.pem", passphrase)

    def follow(self, key: VerifierKey) -> Followed:
        """Follow the log that `key` names, or take one more key of it; what was signed stays."""
        if key.kind != ED25519:
            raise InvalidInput(
                "this is a witness's key, not a log's", hint="custody ledger anchors shows the log's key"
            )
        _check_strength(key.public)
        with self.turn():
            name, origins = self._self()
            known = self._log(key.name) if self._known(key.name) else Followed(key.name, (), UNSEEN)
            keys = known.keys if key in known.keys else (*known.keys, key)
            if len(keys) > _MAX_KEYS:
                raise InvalidInput(f"{key.name!r} has {_MAX_KEYS} keys already")
            _replace(self._path(key.name), _body(Followed(key.name, keys, known.seen)))
            if key.name not in origins:
                own = {"format": FORMAT, "name": name, "origins": [*origins, key.name]}
                _replace(self.folder / "witness.json", own)
            return self._log(key.name)

    def followed(self) -> list[Followed]:
        """Return all logs that are followed, by origin."""
        return [self._log(origin) for origin in sorted(self._self()[1])]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one request through at a time, over threads and processes alike."""
        with self._thread:
            try:
                descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise Unavailable(f"cannot lock {self.folder}: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    def keys(self, origin: str) -> Sequence[VerifierKey]:
        """Return the keys of a log that is followed; none for any other origin."""
        return self._log(origin).keys if self._known(origin) else ()

    def _known(self, origin: str) -> bool:
        """Tell whether a log was ever followed, even where its file is gone."""
        return self._path(origin).exists() or origin in self._self()[1]

    def last(self, origin: str) -> Seen:
        """Return what was last signed for a followed log; raises `Tampered` where that is lost or damaged."""
        return self._log(origin).seen

    def keep(self, origin: str, seen: Seen) -> None:
        """Keep what is about to be signed; returns once it is durable. Never goes back."""
        known = self._log(origin)
        if seen.size < known.seen.size or (seen.size == known.seen.size and seen != known.seen):
            raise Tampered(f"refusing to forget that {origin!r} had {known.seen.size} entries")
        _replace(self._path(origin), _body(Followed(origin, known.keys, seen)))

    def _path(self, origin: str) -> Path:
        return self.folder / "logs" / (hashlib.sha256(origin.encode()).hexdigest()[:32] + ".json")

    def _log(self, origin: str) -> Followed:
        found = _followed(self._path(origin))
        if found.origin != origin:
            raise Tampered(f"{self._path(origin)} is of another log than its name says")
        return found


def _followed(path: Path) -> Followed:
    try:
        body = _read(path)
        keys = tuple(parse_vkey(text) for text in body["keys"])
        size, root, origin = body["size"], bytes.fromhex(body["root"]), body["origin"]
        if type(size) is not int or size < 0 or len(root) != 32 or not isinstance(origin, str) or not keys:
            raise ValueError
        if any(key.name != origin for key in keys) or (size == 0 and root != UNSEEN.root):
            raise ValueError
    except (KeyError, TypeError, ValueError, InvalidInput):
        raise Tampered(
            f"{path} is damaged, and with it what this witness signed last",
            hint="sign nothing more with this key; tell the log's owners to name another witness",
        ) from None
    return Followed(origin, keys, Seen(size, root))


def _body(log: Followed) -> dict[str, Any]:
    keys = [str(key) for key in log.keys]
    return {"origin": log.origin, "keys": keys, "size": log.seen.size, "root": log.seen.root.hex()}


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = read_given(path, _MAX_FILE)
    except FileNotFoundError:
        raise Tampered(
            f"{path} is gone, and with it what this witness signed last",
            hint="restore it, or sign nothing more with this key",
        ) from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None
    return strictjson.parse_object(raw, max_bytes=_MAX_FILE, what=str(path))


def _replace(path: Path, body: dict[str, Any]) -> None:
    """Put a file in another's place, whole and durable: the bytes first, then the name, then the folder."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with half.open("xb") as file:
            file.write(strictjson.dump(body) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        raise Unavailable(
            f"cannot write {path}: {error.strerror}", hint="nothing was signed; free some space"
        ) from None


def _check_strength(public: bytes) -> None:
    """Refuse a key of small order: it would take anybody's signature for its own."""
    try:
        verify_ed25519(public, bytes(64), b"")
    except Tampered as error:
        if "small order" in error.message:
            raise InvalidInput("this key is of small order: it would accept forged signatures") from None
