"""Sensitive evidence at rest: encrypted under its subject's key, named by the commitment that is on record.

The commitment is HMAC-SHA256 of the content, keyed with a fresh salt that lies inside the ciphertext.
Without the salt nobody can try guesses at the content against the ledger; with it, anybody can check an
opening; and once the subject's key is destroyed, the entry still verifies and tells nothing more.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from custody.adapters.root_key import sync_folder, write_synced
from custody.core.strictjson import dump
from custody.errors import NotFound, Tampered
from custody.records.vault import Concealed
from custody.seal import cipher
from custody.seal.files import refusal, writing

SALT_BYTES = 32
_FOLDER = "evidence"


def conceal(place: Path, key: bytes, subject: str, content: bytes) -> Concealed:
    """Encrypt `content` into the subject's folder and return what may stand on record."""
    salt = os.urandom(SALT_BYTES)
    commitment = hmac.digest(salt, content, "sha256").hex()
    raw = b"".join(cipher.encrypt_pieces(iter((salt + content,)), key, _about(subject, commitment)))
    with writing(place):
        (place / _FOLDER).mkdir(exist_ok=True, mode=0o700)
        write_synced(place / _FOLDER / f"{commitment}.sealed", raw)
        sync_folder(place / _FOLDER)
    return Concealed(commitment, hashlib.sha256(raw).hexdigest())


def disclose(place: Path, key: bytes, subject: str, concealed: Concealed) -> tuple[bytes, bytes]:
    """Return salt and content; `Tampered` unless they are what was committed to."""
    path = place / _FOLDER / f"{concealed.commitment}.sealed"
    if not path.is_file():
        raise NotFound(f"this vault does not hold the concealed evidence {concealed.commitment[:12]}")
    if digest_of(path) != concealed.ciphertext:
        raise Tampered(f"{path} is not the ciphertext on record")
    plain = cipher.decrypt_bytes(path, key, _about(subject, concealed.commitment))
    salt, content = plain[:SALT_BYTES], plain[SALT_BYTES:]
    if not hmac.compare_digest(hmac.digest(salt, content, "sha256").hex(), concealed.commitment):
        raise Tampered(f"{path} does not open the commitment on record")
    return salt, content


def evidence_of(place: Path) -> list[Path]:
    """Return the ciphertexts about a subject."""
    try:
        return sorted((place / _FOLDER).glob("*.sealed"))
    except OSError as error:
        raise refusal(error, place) from None


def digest_of(path: Path) -> str:
    """Return the sha256 of a ciphertext."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refusal(error, path) from None


def try_to_open(path: Path, key: bytes, subject: str) -> None:
    """Open a ciphertext and forget it; raises `Tampered` when it does not open."""
    cipher.decrypt_bytes(path, key, _about(subject, path.stem))


def _about(subject: str, commitment: str) -> bytes:
    return dump({"custody": "evidence/v1", "subject": subject, "commitment": commitment})
