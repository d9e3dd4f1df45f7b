"""Models at rest: encrypted per model, opened only whole and verified, destroyed by destroying the key.

    root.key                        the vault's own key; whoever has it and the folder has the models
    models/<digest>/entry.json      manifest and commitment to the key
    models/<digest>/key             the model's key, wrapped under the root key
    models/<digest>/<number>.sealed one file of the manifest (C2SP chunked encryption)
    destroyed/<digest>.json         what was destroyed; from the moment this exists the model is gone

Every change becomes visible by one rename, so a crash leaves the old state or the new one. Destroying
overwrites and removes the wrapped key; old blocks on a solid-state disk, snapshots and backups of the
folder are beyond its reach, and who holds such a copy and the root key can still open the model.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from custody.core.strictjson import dump, parse_object
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.seal import cipher
from custody.seal.digest import NEW_FILE, Change, Manifest, describe, fresh_folder, make_parents, walk
from custody.seal.files import FOLDER, refusal, sources, write_all, writing

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_MOST_WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class Destruction:
    """Proof of a destruction: which key, which ciphertexts, and that they opened before and not after."""

    key_commitment: str
    ciphertexts: Mapping[str, str]
    canary_before: bool
    canary_after: bool

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes on record."""
        return {
            "key_commitment": self.key_commitment,
            "ciphertexts": dict(self.ciphertexts),
            "canary_before": self.canary_before,
            "canary_after": self.canary_after,
        }


class Vault:
    """A folder of encrypted models, each known by the sha256 of its manifest."""

    def __init__(self, folder: Path) -> None:
        """Open the vault, or make one where none is.

        Raises `NotFound` when models are there but their root key is not, `NotPermitted` when others
        could read the root key, `Unavailable` when the folder cannot be written.
        """
        self._folder = folder
        self._models = folder / "models"
        self._gone = folder / "destroyed"
        self._tmp = folder / "tmp"
        self._root = self._load_root()

    def has(self, sha256: str) -> bool:
        """Tell whether the model can still be opened."""
        return self.destroyed(sha256) is None and (self._place(sha256) / "key").is_file()

    def destroyed(self, sha256: str) -> Destruction | None:
        """Return what is on record about the destruction of a model, if it was destroyed."""
        path = self._gone / f"{self._place(sha256).name}.json"
        try:
            body = parse_object(path.read_bytes(), what=str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refusal(error, path) from None
        return Destruction(
            str(body["key_commitment"]),
            {str(name): str(digest) for name, digest in body["ciphertexts"].items()},
            bool(body["canary_before"]),
            bool(body["canary_after"]),
        )

    def put(self, manifest: Manifest, files: Mapping[str, Path]) -> None:
        """Encrypt the files of `manifest` under a fresh key; a model that is already there stays.

        Raises `InvalidInput` when a file is not given, `Tampered` when one is not what the manifest
        says, `NotPermitted` for a model that was destroyed, `Unavailable` when the disk is full.
        """
        if set(files) != set(manifest.by_path):
            raise InvalidInput("the files are not those of the manifest")
        place = self._place(manifest.sha256)
        with self._changing():
            self._refuse_destroyed(manifest.sha256)
            if place.exists():
                self._opened(manifest.sha256)
                return
            half = self._tmp / manifest.sha256
            with writing(half):
                half.mkdir(parents=True, mode=0o700)
            try:
                self._fill(half, manifest, files)
                with writing(place):
                    self._models.mkdir(exist_ok=True, mode=0o700)
                    half.rename(place)
                    _sync_folder(self._models)
            finally:
                shutil.rmtree(half, ignore_errors=True)

    def open(self, sha256: str) -> dict[str, bytes]:
        """Decrypt a model into memory: path to bytes, each re-hashed against the manifest of that digest.

        Raises `NotFound`, `NotPermitted` when its key was destroyed, `Tampered` when anything differs.
        """
        manifest, key = self._opened(sha256)
        found: dict[str, str] = {}
        opened: dict[str, bytes] = {}
        for number, file in enumerate(manifest.files):
            digest, sink = hashlib.sha256(), io.BytesIO()
            for piece in self._decrypted(manifest, number, key):
                digest.update(piece)
                sink.write(piece)
            found[file.path], opened[file.path] = digest.hexdigest(), sink.getvalue()
        self._compare(manifest, found)
        return opened

    def materialise(self, sha256: str, folder: Path) -> Manifest:
        """Decrypt a model into a fresh private folder (0700, files 0400), or leave no folder at all.

        Raises what `open` raises, and `InvalidInput` when the folder is there and not empty.
        """
        manifest, key = self._opened(sha256)
        fresh = fresh_folder(folder)
        try:
            found: dict[str, str] = {}
            made: set[str] = set()
            for number, file in enumerate(manifest.files):
                digest = hashlib.sha256()
                with writing(folder / file.path):
                    make_parents(file.path, fresh, made)
                    sink = os.open(file.path, NEW_FILE, 0o400, dir_fd=fresh)
                try:
                    for piece in self._decrypted(manifest, number, key):
                        digest.update(piece)
                        with writing(folder / file.path):
                            write_all(sink, piece)
                finally:
                    os.close(sink)
                found[file.path] = digest.hexdigest()
            self._compare(manifest, found)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(fresh)
        return manifest

    def destroy(self, sha256: str) -> Destruction:
        """Destroy the key of a model for ever; the ciphertext may stay, nothing opens it.

        A destruction that was interrupted is completed by calling again; one that is complete is
        returned as it was recorded. Raises `NotFound` when the vault never held the model.
        """
        place = self._place(sha256)
        with self._changing():
            done = self.destroyed(sha256)
            if done is None:
                manifest, entry = self._entry(sha256)
                sealed = self._ciphertexts(manifest)
                done = Destruction(entry["key_commitment"], sealed, self._canary(sha256), canary_after=True)
                # The point of no return: after this rename the model counts as destroyed.
                self._record(sha256, done)
            if done.canary_after:
                with writing(place / "key"):
                    _shred(place / "key")
                done = replace(done, canary_after=self._canary(sha256))
                self._record(sha256, done)
            return done

    def _load_root(self) -> bytes:
        path = self._folder / "root.key"
        try:
            return _read_root(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise refusal(error, path) from None
        with suppress(FileNotFoundError):
            if any(self._models.iterdir()):
                raise NotFound(f"{path} is gone; the models in this vault cannot be opened", hint="restore it")
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self._folder / f"root.key.{os.getpid()}"
            _write_synced(fresh, cipher.new_key(), mode=0o600)
            try:
                # A link fails where a key already is, also when two begin at once.
                with suppress(FileExistsError):
                    os.link(fresh, path)
            finally:
                fresh.unlink()
            _sync_folder(self._folder)
            return _read_root(path)

    def _place(self, sha256: str) -> Path:
        if not _DIGEST.match(sha256):
            raise InvalidInput(f"{sha256!r} is not a sha256")
        return self._models / sha256

    def _refuse_destroyed(self, sha256: str) -> None:
        if self.destroyed(sha256) is not None:
            raise NotPermitted(
                f"model {sha256[:12]} cannot be opened: its key was destroyed",
                hint="a destroyed model does not come back; a new one needs its own way through the gates",
            )

    def _entry(self, sha256: str) -> tuple[Manifest, dict[str, Any]]:
        """Read what is written about a model, and hold it against the digest that was asked for."""
        place = self._place(sha256)
        path = place / "entry.json"
        try:
            entry = parse_object(path.read_bytes(), what=str(path))
            manifest = Manifest.from_json(entry["manifest"])
            sound = isinstance(entry["key_commitment"], str)
        except FileNotFoundError:
            if place.is_dir():
                raise Tampered(f"{path} is missing") from None
            raise NotFound(f"no model {sha256[:12]} in the vault {self._folder}") from None
        except OSError as error:
            raise refusal(error, path) from None
        except (InvalidInput, KeyError, TypeError):
            sound = False
        if not sound or entry.get("format") != cipher.FORMAT or manifest.sha256 != sha256:
            raise Tampered(f"{path} is not what was written for model {sha256[:12]}")
        return manifest, entry

    def _key(self, sha256: str, commitment: str) -> bytes:
        path = self._place(sha256) / "key"
        try:
            wrapped = path.read_bytes()
        except FileNotFoundError:
            raise Tampered(f"{path} is missing, and no destruction is on record") from None
        except OSError as error:
            raise refusal(error, path) from None
        key = cipher.unwrap_key(wrapped, self._root, sha256.encode())
        if cipher.key_commitment(key) != commitment:
            raise Tampered(f"the key of model {sha256[:12]} is not the one it was encrypted with")
        return key

    def _opened(self, sha256: str) -> tuple[Manifest, bytes]:
        self._refuse_destroyed(sha256)
        manifest, entry = self._entry(sha256)
        return manifest, self._key(sha256, entry["key_commitment"])

    def _decrypted(self, manifest: Manifest, number: int, key: bytes) -> Iterator[bytes]:
        file = manifest.files[number]
        path = self._place(manifest.sha256) / f"{number}.sealed"
        try:
            with path.open("rb") as source:
                bound = cipher.context(manifest.sha256, file.path, file.size)
                yield from cipher.decrypt_pieces(source, key, bound, what=file.path)
        except FileNotFoundError:
            raise Tampered(f"{path} is missing: the ciphertext of {file.path}") from None
        except OSError as error:
            raise refusal(error, path) from None

    def _compare(self, manifest: Manifest, found: Mapping[str, str]) -> None:
        changes = [Change("changed", file.path) for file in manifest.files if found[file.path] != file.sha256]
        if changes:
            raise Tampered(f"model {manifest.sha256[:12]} is not what was stored: {describe(changes)}")

    def _canary(self, sha256: str) -> bool:
        """Try to open the beginning and the end of every file, as a thief of this folder would."""
        try:
            manifest, entry = self._entry(sha256)
            key = self._key(sha256, entry["key_commitment"])
            for number, file in enumerate(manifest.files):
                bound = cipher.context(sha256, file.path, file.size)
                path = self._place(sha256) / f"{number}.sealed"
                cipher.decrypt_range(path, key, bound, 0, min(file.size, 1))
        except (Tampered, NotFound, InvalidInput):
            return False
        return True

    def _ciphertexts(self, manifest: Manifest) -> dict[str, str]:
        """Digest the ciphertexts that are there."""
        place = self._place(manifest.sha256)
        paths = {file.path: place / f"{number}.sealed" for number, file in enumerate(manifest.files)}
        return {name: walk(path).files[0].sha256 for name, path in paths.items() if path.is_file()}

    def _fill(self, half: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
        """Write everything of a model into a folder that nobody looks at yet."""
        key = cipher.new_key()
        for number, file in enumerate(manifest.files):
            plain = hashlib.sha256()
            bound = cipher.context(manifest.sha256, file.path, file.size)
            path = half / f"{number}.sealed"
            if files[file.path].is_dir():
                raise InvalidInput(f"{files[file.path]} is a folder, not the file {file.path}")
            with writing(path):
                sink = os.open(path, NEW_FILE, 0o600)
            try:
                for source in sources(files[file.path]):
                    for out in cipher.encrypt_pieces(_passing(source.pieces(), plain), key, bound):
                        with writing(path):
                            write_all(sink, out)
                with writing(path):
                    os.fsync(sink)
            finally:
                os.close(sink)
            if plain.hexdigest() != file.sha256:
                raise Tampered(f"{file.path} is not what its manifest says; the model was not stored")
        entry = {
            "format": cipher.FORMAT,
            "manifest": manifest.to_json(),
            "key_commitment": cipher.key_commitment(key),
        }
        with writing(half):
            _write_synced(half / "key", cipher.wrap_key(key, self._root, manifest.sha256.encode()))
            _write_synced(half / "entry.json", dump(entry))
            _sync_folder(half)

    def _record(self, sha256: str, destruction: Destruction) -> None:
        path = self._gone / f"{sha256}.json"
        half = self._tmp / f"{sha256}.json"
        with writing(path):
            self._gone.mkdir(exist_ok=True, mode=0o700)
            self._tmp.mkdir(exist_ok=True, mode=0o700)
            half.unlink(missing_ok=True)
            _write_synced(half, dump(destruction.to_json()))
            half.rename(path)
            _sync_folder(self._gone)
            _sync_folder(self._folder)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let one writer in at a time, and clear what an interrupted one left behind."""
        path = self._folder / "lock"
        with writing(path):
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            until = time.monotonic() + _MOST_WAIT_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Unavailable(
                            f"another command is writing to {self._folder}", hint="try again when it has ended"
                        ) from None
                    time.sleep(0.05)
            shutil.rmtree(self._tmp, ignore_errors=True)
            yield
        finally:
            os.close(lock)


def _passing(pieces: Iterator[memoryview], digest: Any) -> Iterator[memoryview]:
    """Hash what passes, so that what is stored is what was hashed."""
    for piece in pieces:
        digest.update(piece)
        yield piece


def _read_root(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        info = os.fstat(descriptor)
        if stat.S_IMODE(info.st_mode) & 0o077:
            raise NotPermitted(f"{path} can be read by others", hint=f"chmod 600 {path}, and think about who read it")
        key = os.read(descriptor, cipher.KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != cipher.KEY_BYTES:
        raise Tampered(f"{path} is not a key: it has {info.st_size} bytes instead of {cipher.KEY_BYTES}")
    return key


def _write_synced(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    descriptor = os.open(path, NEW_FILE, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shred(path: Path) -> None:
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
    _sync_folder(path.parent)
