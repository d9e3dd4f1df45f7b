"""Models at rest: encrypted per file, opened only whole and verified, destroyed by destroying keys.

    models/<digest>/entry.json       manifest, commitments to the keys, what names each ciphertext
    models/<digest>/key              the model's key, wrapped under the root key
    models/<digest>/file-keys        a data key for each file, wrapped under the model's key
    models/<digest>/<number>.sealed  one file of the manifest (C2SP chunked encryption)
    models/<digest>/evidence/        sensitive evidence about the model, under its key
    subjects/<digest>/               the same for a dataset: a key, and evidence
    destroyed/<digest>.json          what was destroyed; from the moment this exists the subject is gone

The root key lies elsewhere (`root_key.py`). Every change becomes visible by one rename, so a crash leaves
the old state or the new one. Destroying overwrites and removes the wrapped keys; old blocks on a
solid-state disk, snapshots and backups are beyond its reach, and who holds such a copy and the root key
of that time can still open the model.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from custody.adapters import concealed
from custody.adapters.keyring import FILE_KEYS, KEY, NEXT, Keyring, file_keys, load_file_keys, need_root
from custody.adapters.root_key import FileRoot, sync_folder, write_synced
from custody.core.strictjson import MAX_BYTES, dump, parse_object
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.given import read_given
from custody.records.vault import Concealed, Destruction, RootKey
from custody.seal import cipher
from custody.seal.bulk import NewFile
from custody.seal.digest import Change, Manifest, describe, fresh_folder, make_parents
from custody.seal.files import refusal, sources, writing

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
FORMAT = "custody-vault/2"
_MOST_WAIT_SECONDS = 20.0
_CANARIES = 64
"""How many files are opened to show that a model opens."""


class Vault:
    """A folder of encrypted models, each known by the sha256 of its manifest."""

    def __init__(self, folder: Path, root: RootKey | None = None) -> None:
        """Open the vault, or make one where none is; without `root`, its root key lies beside the folder.

        Raises `NotFound` when models are there but their root key is not, `NotPermitted` when others
        could read the root key, `Unavailable` when the folder cannot be written.
        """
        self._folder = folder
        self._models = folder / "models"
        self._subjects = folder / "subjects"
        self._gone = folder / "destroyed"
        self._tmp = folder / "tmp"
        root = root or FileRoot(folder.with_name(folder.name + ".key"))
        self._ring = Keyring(root, [self._models, self._subjects])
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        need_root(root, [self._models, self._subjects])
        self.root = root
        _ = root.identity  # a key that others can read, or that is none, is refused now

    def has(self, sha256: str) -> bool:
        """Tell whether the model can still be opened."""
        place = self._place(sha256)
        return self.destroyed(sha256) is None and any((place / name).is_file() for name in (KEY, NEXT))

    def destroyed(self, sha256: str) -> Destruction | None:
        """Return what is on record about the destruction of a model, if it was destroyed."""
        path = self._gone / f"{self._place(sha256).name}.json"
        try:
            body = parse_object(read_given(path, MAX_BYTES), what=str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refusal(error, path) from None
        return Destruction.from_json(body, str(path))

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
                    sync_folder(self._models)
            finally:
                shutil.rmtree(half, ignore_errors=True)

    def open(self, sha256: str) -> dict[str, bytes]:
        """Decrypt a model into memory: path to bytes, each re-hashed against the manifest of that digest.

        Raises `NotFound`, `NotPermitted` when its key was destroyed, `Tampered` when anything differs.
        """
        manifest, keys = self._opened(sha256)
        found: dict[str, str] = {}
        opened: dict[str, bytes] = {}
        for number, file in enumerate(manifest.files):
            digest, sink = hashlib.sha256(), io.BytesIO()
            with self._ciphertext(manifest, number) as source:
                for piece in cipher.decrypt_pieces(source, keys[number], _about(manifest, number), what=file.path):
                    digest.update(piece)
                    sink.write(piece)
            found[file.path], opened[file.path] = digest.hexdigest(), sink.getvalue()
        self._compare(manifest, found)
        return opened

    def read_range(self, sha256: str, path: str, start: int, length: int) -> bytes:
        """Decrypt `length` bytes of one file from `start`, reading only the chunks they lie in.

        Every byte is authenticated by the file's key and bound to model, name, size and position; it is not
        hashed against the manifest, which takes the whole file. Raises what `open` raises, and `InvalidInput`
        for a range outside the file.
        """
        manifest, keys = self._opened(sha256, only=path)
        number = _number(manifest, path)
        bound = _about(manifest, number)
        return cipher.decrypt_range(self._place(sha256) / f"{number}.sealed", keys[number], bound, start, length)

    def materialise(self, sha256: str, folder: Path) -> Manifest:
        """Decrypt a model into a fresh private folder (0700, files 0400), or leave no folder at all.

        Raises what `open` raises, and `InvalidInput` when the folder is there and not empty.
        """
        manifest, keys = self._opened(sha256)
        fresh = fresh_folder(folder)
        try:
            found: dict[str, str] = {}
            made: set[str] = set()
            for number, file in enumerate(manifest.files):
                digest = hashlib.sha256()
                with writing(folder / file.path):
                    make_parents(file.path, fresh, made)
                with (
                    self._ciphertext(manifest, number) as source,
                    NewFile(Path(file.path), expected=file.size, mode=0o400, folder=fresh, durable=False) as sink,
                ):
                    cipher.decrypt_into(sink, source, keys[number], _about(manifest, number), digest.update)
                found[file.path] = digest.hexdigest()
            self._compare(manifest, found)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(fresh)
        return manifest

    def destroy(self, sha256: str) -> Destruction:
        """Destroy the keys of a model, or of what is concealed about a dataset; the ciphertext may stay.

        A destruction that was interrupted is completed by calling again; one that is complete is
        returned as it was recorded. Raises `NotFound` when the vault never held the subject.
        """
        with self._changing():
            done = self.destroyed(sha256)
            if done is None:
                done = self._destruction(sha256)
                # The point of no return: after this rename the model counts as destroyed.
                self._record(sha256, done)
            if done.canary_after:
                self._ring.destroy(self._held(sha256))
                done = replace(done, canary_after=self._canary(sha256))
                self._record(sha256, done)
            return done

    def wrapped(self, sha256: str) -> Mapping[Path, bytes]:
        """Return the files of a subject's wrapped key, and the text by which a copy of each is found elsewhere."""
        return self._ring.wrapped(self._held(sha256))

    def rotate(self) -> tuple[str, str, int]:
        """Change the root key; returns the commitments to the old and the new one, and the keys wrapped anew."""
        with self._changing():
            return self._ring.rotate()

    def conceal(self, sha256: str, content: bytes) -> Concealed:
        """Keep sensitive evidence under its subject's key, made where it has none, and commit to it.

        Raises `NotPermitted` for a subject whose key was destroyed.
        """
        with self._changing():
            self._refuse_destroyed(sha256)
            place = self._held(sha256)
            if not place.is_dir():
                half = self._tmp / sha256
                with writing(half):
                    half.mkdir(parents=True, mode=0o700)
                self._ring.make(half, sha256)
                with writing(place):
                    self._subjects.mkdir(exist_ok=True, mode=0o700)
                    half.rename(place)
                    sync_folder(self._subjects)
                    sync_folder(self._folder)
            return concealed.conceal(place, self._ring.key(place, sha256), sha256, content)

    def disclose(self, sha256: str, hidden: Concealed) -> tuple[bytes, bytes]:
        """Return the salt and the content behind a commitment.

        Raises `NotPermitted` when the subject's key was destroyed, `Tampered` when the content is not what
        was committed to, `NotFound` when this vault does not hold it.
        """
        self._refuse_destroyed(sha256)
        place = self._held(sha256)
        if not place.is_dir():
            raise NotFound(f"nothing about {sha256[:12]} is in the vault {self._folder}")
        return concealed.disclose(place, self._ring.key(place, sha256), sha256, hidden)

    def _destruction(self, sha256: str) -> Destruction:
        """Say what is about to be destroyed, and whether it opens."""
        place = self._held(sha256)
        evidence = tuple(concealed.digest_of(path) for path in concealed.evidence_of(place))
        if place.parent == self._models:
            manifest, entry = self._entry(sha256)
            rows = zip(manifest.files, entry["files"], strict=True)
            there = {
                file.path: row for number, (file, row) in enumerate(rows) if (place / f"{number}.sealed").is_file()
            }
            return Destruction(
                entry["key_commitment"],
                {name: row["seal"] for name, row in there.items()},
                self._canary(sha256),
                canary_after=True,
                keys={file.path: row["key"] for file, row in zip(manifest.files, entry["files"], strict=True)},
                evidence=evidence,
            )
        if not (place / KEY).exists():
            raise NotFound(f"nothing about {sha256[:12]} is in the vault {self._folder}")
        commitment = cipher.key_commitment(self._ring.key(place, sha256))
        return Destruction(commitment, {}, self._canary(sha256), canary_after=True, evidence=evidence)

    def _place(self, sha256: str) -> Path:
        if not _DIGEST.match(sha256):
            raise InvalidInput(f"{sha256!r} is not a sha256")
        return self._models / sha256

    def _held(self, sha256: str) -> Path:
        """Return the folder of a subject: of its model where there is one, else of what is concealed about it."""
        place = self._place(sha256)
        return place if place.is_dir() else self._subjects / sha256

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
            return read_entry(read_given(path, MAX_BYTES), sha256, str(path))
        except FileNotFoundError:
            if place.is_dir():
                raise Tampered(f"{path} is missing") from None
            raise NotFound(f"no model {sha256[:12]} in the vault {self._folder}") from None
        except OSError as error:
            raise refusal(error, path) from None

    def _key(self, sha256: str, commitment: str) -> bytes:
        key = self._ring.key(self._place(sha256), sha256)
        if cipher.key_commitment(key) != commitment:
            raise Tampered(f"the key of model {sha256[:12]} is not the one it was encrypted with")
        return key

    def _opened(self, sha256: str, only: str = "") -> tuple[Manifest, dict[int, bytes]]:
        """Return the manifest and the data key of each file, or of one, by number."""
        self._refuse_destroyed(sha256)
        manifest, entry = self._entry(sha256)
        key = self._key(sha256, entry["key_commitment"])
        wanted = [_number(manifest, only)] if only else range(len(manifest.files))
        wrapped = load_file_keys(self._place(sha256), len(manifest.files))
        return manifest, {
            number: cipher.unwrap_key(wrapped[number], key, _about(manifest, number)) for number in wanted
        }

    @contextmanager
    def _ciphertext(self, manifest: Manifest, number: int) -> Iterator[io.FileIO]:
        path = self._place(manifest.sha256) / f"{number}.sealed"
        try:
            with path.open("rb", buffering=0) as source:
                yield source
        except FileNotFoundError:
            raise Tampered(f"{path} is missing: the ciphertext of {manifest.files[number].path}") from None
        except OSError as error:
            raise refusal(error, path) from None

    def _compare(self, manifest: Manifest, found: Mapping[str, str]) -> None:
        changes = [Change("changed", file.path) for file in manifest.files if found[file.path] != file.sha256]
        if changes:
            raise Tampered(f"model {manifest.sha256[:12]} is not what was stored: {describe(changes)}")

    def _canary(self, sha256: str) -> bool:
        """Try to open the beginning and the end of the files, as a thief of this folder would.

        Of very many files the largest are tried; all have their keys under the one that is tried first.
        """
        place = self._held(sha256)
        try:
            key = self._ring.key(place, sha256)
            for path in concealed.evidence_of(place)[:_CANARIES]:
                concealed.try_to_open(path, key, sha256)
            if place.parent != self._models:
                return True
            manifest, entry = self._entry(sha256)
            key = self._key(sha256, entry["key_commitment"])
            wrapped = load_file_keys(place, len(manifest.files))
            sizes = sorted(range(len(manifest.files)), key=lambda number: -manifest.files[number].size)
            for number in sizes[:_CANARIES]:
                about, file = _about(manifest, number), manifest.files[number]
                data_key = cipher.unwrap_key(wrapped[number], key, about)
                cipher.decrypt_range(place / f"{number}.sealed", data_key, about, 0, min(file.size, 1))
        except (Tampered, NotFound, InvalidInput, FileNotFoundError):
            return False
        return True

    def _fill(self, half: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
        """Write everything of a model into a folder that nobody looks at yet."""
        rows: list[dict[str, Any]] = []
        keys: list[bytes] = []
        for number, file in enumerate(manifest.files):
            if files[file.path].is_dir():
                raise InvalidInput(f"{files[file.path]} is a folder, not the file {file.path}")
            plain, path, key = hashlib.sha256(), half / f"{number}.sealed", cipher.new_key()
            for source in sources(files[file.path]):
                pieces = _passing(source.pieces(), plain)
                sealed = cipher.encrypt_file(pieces, path, key, _about(manifest, number), file.size)
            if plain.hexdigest() != file.sha256:
                raise Tampered(f"{file.path} is not what its manifest says; the model was not stored")
            rows.append({"key": cipher.key_commitment(key), "size": sealed.sealed_size, "seal": sealed.seal})
            keys.append(key)
        key = self._ring.make(half, manifest.sha256)
        contexts = [_about(manifest, number) for number in range(len(manifest.files))]
        entry = {
            "format": FORMAT,
            "manifest": manifest.to_json(),
            "key_commitment": cipher.key_commitment(key),
            "files": rows,
        }
        with writing(half):
            write_synced(half / FILE_KEYS, file_keys(keys, key, contexts))
            write_synced(half / "entry.json", dump(entry))
            sync_folder(half)

    def _record(self, sha256: str, destruction: Destruction) -> None:
        path = self._gone / f"{sha256}.json"
        half = self._tmp / f"{sha256}.json"
        with writing(path):
            self._gone.mkdir(exist_ok=True, mode=0o700)
            self._tmp.mkdir(exist_ok=True, mode=0o700)
            half.unlink(missing_ok=True)
            write_synced(half, dump(destruction.to_json()))
            half.rename(path)
            sync_folder(self._gone)
            sync_folder(self._folder)

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
            self._ring.settle()
            yield
        finally:
            os.close(lock)


def _passing(pieces: Iterator[memoryview], digest: Any) -> Iterator[memoryview]:
    """Hash what passes, so that what is stored is what was hashed."""
    for piece in pieces:
        digest.update(piece)
        yield piece


def read_entry(raw: bytes, sha256: str, what: str) -> tuple[Manifest, dict[str, Any]]:
    """Read what is written about a model; raises `Tampered` unless it is of the model of that digest."""
    try:
        entry = parse_object(raw, what=what)
        manifest = Manifest.from_json(entry["manifest"])
        sound = isinstance(entry["key_commitment"], str) and _sound_rows(entry["files"], manifest)
    except (InvalidInput, KeyError, TypeError):
        sound = False
    if not sound or entry.get("format") != FORMAT or manifest.sha256 != sha256:
        raise Tampered(f"{what} is not what was written for model {sha256[:12]}")
    return manifest, entry


def _about(manifest: Manifest, number: int) -> bytes:
    file = manifest.files[number]
    return cipher.context(manifest.sha256, file.path, file.size)


def _number(manifest: Manifest, path: str) -> int:
    for number, file in enumerate(manifest.files):
        if file.path == path:
            return number
    raise NotFound(f"model {manifest.sha256[:12]} has no file {path!r}")


def _sound_rows(rows: Any, manifest: Manifest) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == len(manifest.files)
        and all(isinstance(row, dict) and set(row) == {"key", "size", "seal"} for row in rows)
        and all(isinstance(row["key"], str) and isinstance(row["seal"], str) for row in rows)
    )
