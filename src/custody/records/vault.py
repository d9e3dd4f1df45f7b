"""What stages need of the place where models lie encrypted; wiring brings the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from custody.seal.digest import Manifest


class Destroyed(Protocol):
    """Proof that a key is gone."""

    @property
    def canary_before(self) -> bool:
        """Return whether the model opened just before."""

    @property
    def canary_after(self) -> bool:
        """Return whether it still opens."""

    @property
    def key_commitment(self) -> str:
        """Return the commitment to the key that was destroyed."""

    @property
    def ciphertexts(self) -> Mapping[str, str]:
        """Return the sha256 of each ciphertext that stays behind."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes on record."""


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

    def destroy(self, sha256: str) -> Destroyed:
        """Destroy the key for ever."""
