"""The wrapped keys of a vault: one for each model or dataset, under the root key; and their rotation.

    <place>/key          a subject's key, wrapped under the root key
    <place>/key.next     the same key under the next root key, while a rotation is under way
    <place>/file-keys    the data keys of a model's files, wrapped under its key

Each wrapped key names the root key it is under by its commitment, so that a reader takes the right one of
two while the root key changes, and never needs a lock.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from custody.adapters.root_key import shred, sync_folder, write_synced
from custody.core.strictjson import b64decode, dump, parse_object
from custody.errors import InvalidInput, NotFound, Tampered
from custody.given import read_given
from custody.records.vault import RootKey
from custody.seal import cipher
from custody.seal.files import refusal, writing

_KEY_FORMAT, _FILE_KEYS_FORMAT = "custody-wrapped-key/1", "custody-file-keys/1"
KEY, NEXT, FILE_KEYS = "key", "key.next", "file-keys"
_MOST_KEY_BYTES = 4096
_MOST_FILE_KEYS_BYTES = 256 * 1024 * 1024


class Keyring:
    """The keys below a vault's folder."""

    def __init__(self, root: RootKey, folders: Sequence[Path]) -> None:
        self.root, self._folders = root, folders

    def make(self, place: Path, subject: str) -> bytes:
        """Draw a key for a subject and write it wrapped into its folder."""
        key = cipher.new_key()
        with writing(place):
            write_synced(place / KEY, wrapped_key(self.root, key, subject))
        return key

    def key(self, place: Path, subject: str) -> bytes:
        """Unwrap the key of a subject.

        Raises `Tampered` when it is missing, changed, for another subject or under another root key.
        """
        trouble: Tampered | None = None
        for _ in range(2):  # a rotation may move the key on between two looks
            for name in (KEY, NEXT):
                try:
                    found = self._read(place / name)
                    if found is not None and found["root"] == self.root.identity:
                        return self._unwrap(found, subject, place / name)
                except Tampered as error:
                    trouble = error
        if trouble is not None:
            raise trouble
        if not (place / KEY).exists() and not (place / NEXT).exists():
            raise Tampered(f"{place / KEY} is missing, and no destruction is on record")
        raise Tampered(
            f"the key of {subject[:12]} is not under the root key {self.root.place}",
            hint="restore the root key this vault was made with",
        )

    def destroy(self, place: Path) -> None:
        """Overwrite every wrapped key in the folder of a subject."""
        for name in (KEY, NEXT, FILE_KEYS):
            with writing(place / name):
                shred(place / name)

    def rotate(self) -> tuple[str, str, int]:
        """Put a new root key in force and wrap every key under it; no ciphertext is touched.

        Returns the commitments to the old and the new root key and the number of keys. The caller holds the
        vault's lock. Killed at any step, everything still opens, and `settle` completes or undoes it.
        """
        self.settle()
        old = self.root.identity
        successor = self.root.prepare()
        places = list(self._places())
        for place in places:
            wrapped = wrapped_key(successor, self.key(place, place.name), place.name)
            with writing(place):
                write_synced(place / NEXT, wrapped)
                sync_folder(place)
        self.root.change()
        self.settle()
        return old, self.root.identity, len(places)

    def settle(self) -> None:
        """Complete a rotation that was interrupted after the change, or undo one from before it."""
        state = self.root.state
        if state == "prepared":
            for place in self._places():
                with writing(place):
                    shred(place / NEXT)
            self.root.abandon()
        elif state == "changed":
            for place in self._places():
                if (place / NEXT).exists():
                    with writing(place):
                        shred(place / KEY)  # under the old root key, which somebody may have
                        (place / NEXT).rename(place / KEY)
                        sync_folder(place)
            self.root.finish()

    def wrapped(self, place: Path) -> Mapping[Path, bytes]:
        """Return the files of a subject's wrapped key, and the text by which a copy of each is found elsewhere."""
        found: dict[Path, bytes] = {}
        for name in (KEY, NEXT):
            with suppress(Tampered):
                body = self._read(place / name)
                if body is not None:
                    found[place / name] = str(body["wrapped"]).encode()
        return found

    def _places(self) -> Iterator[Path]:
        for folder in self._folders:
            try:
                places = sorted(folder.iterdir())
            except FileNotFoundError:
                continue
            except OSError as error:
                raise refusal(error, folder) from None
            yield from (place for place in places if (place / KEY).exists() or (place / NEXT).exists())

    def _read(self, path: Path) -> Mapping[str, Any] | None:
        try:
            return read_wrapped_key(read_given(path, _MOST_KEY_BYTES), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refusal(error, path) from None

    def _unwrap(self, found: Mapping[str, Any], subject: str, path: Path) -> bytes:
        key = self.root.unwrap(b64decode(found["wrapped"], what=str(path)), _about(subject))
        if cipher.key_commitment(key) != found["commitment"]:
            raise Tampered(f"{path} does not hold the key it names")
        return key


def wrapped_key(root: RootKey, key: bytes, subject: str) -> bytes:
    """Return the content of a subject's key file."""
    wrapped = base64.b64encode(root.wrap(key, _about(subject))).decode()
    commitment = cipher.key_commitment(key)
    return dump({"format": _KEY_FORMAT, "root": root.identity, "commitment": commitment, "wrapped": wrapped})


def read_wrapped_key(raw: bytes, what: str) -> dict[str, Any]:
    """Read a key file; raises `Tampered` for anything that `wrapped_key` does not write."""
    try:
        body = parse_object(raw, max_bytes=_MOST_KEY_BYTES, what=what)
        if set(body) != {"format", "root", "commitment", "wrapped"} or body["format"] != _KEY_FORMAT:
            raise InvalidInput("it has other fields")
        if not all(isinstance(value, str) for value in body.values()):
            raise InvalidInput("a field is no text")
        b64decode(body["wrapped"], what=what)
    except InvalidInput as error:
        raise Tampered(f"{what} is not a wrapped key: {error.message}") from None
    return body


def file_keys(keys: Sequence[bytes], model_key: bytes, contexts: Sequence[bytes]) -> bytes:
    """Return the content of a model's `file-keys`: each data key wrapped for its file alone."""
    wrapped = [cipher.wrap_key(key, model_key, about) for key, about in zip(keys, contexts, strict=True)]
    return dump({"format": _FILE_KEYS_FORMAT, "wrapped": [base64.b64encode(raw).decode() for raw in wrapped]})


def read_file_keys(raw: bytes, count: int, what: str) -> list[bytes]:
    """Read a model's `file-keys`, still wrapped; raises `Tampered` unless there are `count` of them."""
    try:
        body = parse_object(raw, max_bytes=_MOST_FILE_KEYS_BYTES, what=what)
        if set(body) != {"format", "wrapped"} or body["format"] != _FILE_KEYS_FORMAT:
            raise InvalidInput("it has other fields")
        wrapped = body["wrapped"]
        if not isinstance(wrapped, list) or len(wrapped) != count:
            raise InvalidInput(f"it does not hold the keys of {count} files")
        return [b64decode(text, what=what) for text in wrapped]
    except InvalidInput as error:
        raise Tampered(f"{what} is not what was written: {error.message}") from None


def load_file_keys(place: Path, count: int) -> list[bytes]:
    """Read the wrapped data keys of a model from its folder."""
    path = place / FILE_KEYS
    try:
        return read_file_keys(read_given(path, _MOST_FILE_KEYS_BYTES), count, str(path))
    except FileNotFoundError:
        raise Tampered(f"{path} is missing, and no destruction is on record") from None
    except OSError as error:
        raise refusal(error, path) from None


def need_root(root: RootKey, folders: Sequence[Path]) -> None:
    """Make the root key of an empty vault; raises `NotFound` when keys are there and their root key is not."""
    if root.exists:
        return
    for folder in folders:
        try:
            held = any(folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise refusal(error, folder) from None
        if held:
            raise NotFound(
                f"{root.place} is gone; what is in this vault cannot be opened",
                hint="restore it, or name where it is: [vault] root in custody.toml",
            )
    root.create()


def _about(subject: str) -> bytes:
    return dump({"custody": "subject-key/v1", "subject": subject})
