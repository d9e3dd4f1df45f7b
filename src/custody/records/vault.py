"""What stages need of the place where models lie encrypted; wiring brings the adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from custody.errors import Tampered
from custody.seal.digest import Manifest


class RootKey(Protocol):
    """Where the key lies that wraps all others: a local file, a hardware module, a cloud's key service.

    An implementation keeps the root key to itself and is asked to wrap and unwrap 32-byte keys, each
    bound to what it is for. `prepare`, `change` and `finish` are the steps of a rotation; each must be
    durable when it returns, `change` must be atomic, and until `finish` both keys must be kept.
    """

    @property
    def place(self) -> str:
        """Return where it is, for people."""

    @property
    def exists(self) -> bool:
        """Tell whether there is a key."""

    @property
    def identity(self) -> str:
        """Return the commitment to the key in force; it names the key and tells nothing of it."""

    @property
    def state(self) -> str:
        """Return how a rotation stands: "settled", "prepared" (still the old key) or "changed" (the new one)."""

    def create(self) -> None:
        """Make a key where none is."""

    def wrap(self, key: bytes, about: bytes) -> bytes:
        """Encrypt a key."""

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Open a wrapped key; `Tampered` when it is not genuine, not for this, or under another root."""

    def prepare(self) -> RootKey:
        """Make the successor and return it."""

    def abandon(self) -> None:
        """Give up a successor that never came into force."""

    def change(self) -> None:
        """Put the successor in force."""

    def finish(self) -> None:
        """Destroy the predecessor."""


@dataclass(frozen=True)
class Concealed:
    """What stands on record in place of sensitive findings: the commitment, and the ciphertext's sha256."""

    commitment: str
    ciphertext: str


@dataclass(frozen=True)
class Destruction:
    """Proof of a destruction: which keys, which ciphertexts stay behind, and that they opened before and not after.

    `ciphertexts` names each file's ciphertext by the sha256 over its header and tags, `keys` the data key of
    each file by its commitment, `evidence` the ciphertexts of sensitive evidence by their sha256.
    """

    key_commitment: str
    ciphertexts: Mapping[str, str]
    canary_before: bool
    canary_after: bool
    keys: Mapping[str, str] = field(default_factory=dict)
    evidence: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the form in which the vault remembers it."""
        return {
            "key_commitment": self.key_commitment,
            "ciphertexts": dict(self.ciphertexts),
            "canary_before": self.canary_before,
            "canary_after": self.canary_after,
            "keys": dict(self.keys),
            "evidence": list(self.evidence),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], what: str) -> Destruction:
        """Read `to_json` back; raises `Tampered` for another shape."""
        texts = [body.get("ciphertexts"), body.get("keys")]
        lists = [body.get("evidence"), [body.get("key_commitment")]]
        flags = [body.get("canary_before"), body.get("canary_after")]
        if (
            not all(isinstance(item, dict) and _all_text(item.values()) for item in texts)
            or not all(isinstance(item, list) and _all_text(item) for item in lists)
            or not all(isinstance(item, bool) for item in flags)
        ):
            raise Tampered(f"{what} is not what was written about a destruction")
        return cls(
            body["key_commitment"],
            body["ciphertexts"],
            body["canary_before"],
            body["canary_after"],
            body["keys"],
            tuple(body["evidence"]),
        )


def _all_text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


class ModelVault(Protocol):
    """Models at rest, encrypted under a key of their own."""

    def has(self, sha256: str) -> bool:
        """Tell whether the model can still be opened."""

    def put(self, manifest: Manifest, files: Mapping[str, Path]) -> None:
        """Encrypt the files of a manifest under a fresh key."""

    def open(self, sha256: str) -> dict[str, bytes]:
        """Decrypt and verify into memory."""

    def materialise(self, sha256: str, folder: Path) -> Manifest:
        """Decrypt and verify into a fresh private folder."""

    def read_range(self, sha256: str, path: str, start: int, length: int) -> bytes:
        """Decrypt a part of one file."""

    def destroy(self, sha256: str) -> Destruction:
        """Destroy the key for ever."""

    def wrapped(self, sha256: str) -> Mapping[Path, bytes]:
        """Return the files of the wrapped key, and the text by which a copy of each is found elsewhere."""

    def rotate(self) -> tuple[str, str, int]:
        """Change the root key; returns the commitments to the old and the new one, and the keys wrapped anew."""

    def conceal(self, sha256: str, content: bytes) -> Concealed:
        """Keep sensitive evidence about a subject under its key, and commit to it."""

    def disclose(self, sha256: str, concealed: Concealed) -> tuple[bytes, bytes]:
        """Return the salt and the content behind a commitment."""
