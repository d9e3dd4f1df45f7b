"""Keys: ECDSA P-256 for people's statements, Ed25519 for the log's checkpoints.

Private keys are PEM files readable by their owner alone; with a passphrase they are encrypted.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.given import read_given

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_PEM_BYTES = 64 * 1024


class Signer(Protocol):
    """Something that signs: a file today, a token or a service tomorrow."""

    @property
    def keyid(self) -> str:
        """Return the sha256 of the public key's DER."""

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 / SHA-256 signature in DER."""


class CheckpointSigner(Protocol):
    """Something that signs checkpoints for the log."""

    @property
    def public(self) -> bytes:
        """Return the raw Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Return an Ed25519 signature, 64 bytes."""


class PersonKey:
    """A P-256 key held in memory."""

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = _public_pem(private)
        self.keyid = keyid_of(self.public)

    @classmethod
    def generate(cls) -> PersonKey:
        """Make a new key."""
        from cryptography.hazmat.primitives.asymmetric import ec

        return cls(ec.generate_private_key(ec.SECP256R1()))

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 / SHA-256 signature in DER."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._private.sign(message, ec.ECDSA(SHA256()))

    def save(self, path: Path, passphrase: str = "") -> None:
        """Write the key once, 0600; refuses to overwrite."""
        _write_private(path, _private_pem(self._private, passphrase))

    @classmethod
    def load(cls, path: Path, passphrase: str = "") -> PersonKey:
        """Read a key; raises `NotFound`, `NotPermitted` or `InvalidInput`."""
        from cryptography.hazmat.primitives.asymmetric import ec

        private = _load_private(path, passphrase)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise InvalidInput(f"{path} is not a P-256 key")
        return cls(private)


class LogKey:
    """The log's Ed25519 key; it signs checkpoints and nothing else."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def generate(cls) -> LogKey:
        """Make a new key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    def sign(self, message: bytes) -> bytes:
        """Return an Ed25519 signature, 64 bytes."""
        return self._private.sign(message)

    def save(self, path: Path, passphrase: str = "") -> None:
        """Write the key once, 0600; refuses to overwrite."""
        _write_private(path, _private_pem(self._private, passphrase))

    @classmethod
    def load(cls, path: Path, passphrase: str = "") -> LogKey:
        """Read a key; raises `NotFound`, `NotPermitted` or `InvalidInput`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = _load_private(path, passphrase)
        if not isinstance(private, Ed25519PrivateKey):
            raise InvalidInput(f"{path} is not an Ed25519 key")
        return cls(private)


def keyid_of(public_pem: str) -> str:
    """Return the sha256 of the DER inside a public key PEM; refuses anything but P-256."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _load_public(public_pem)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def recorded_keyid(public_pem: str) -> str:
    """Return the key id of a key that stands on record: P-256, and in the one form that goes there."""
    if canonical_pem(public_pem) != public_pem:
        raise InvalidInput("the public key is not in the one form that goes on record")
    return keyid_of(public_pem)


def canonical_pem(public_pem: str) -> str:
    """Write a P-256 public key in the one form that goes on record: uncompressed, nothing around it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return _load_public(public_pem).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def verify_p256(public_pem: str, signature: bytes, message: bytes) -> None:
    """Raise `Tampered` unless `signature` is by that key over `message`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        _load_public(public_pem).verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise Tampered("the signature does not fit the statement") from None


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    """Raise `Tampered` unless `signature` is by that raw public key over `message`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        check_ed25519(public, "the log's key")
    except InvalidInput as error:
        raise Tampered(error.message) from None
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Tampered("the checkpoint's signature is not by the log's key") from None


def check_ed25519(public: bytes, what: str = "this key") -> None:
    """Raise `InvalidInput` unless `public` is a raw Ed25519 key that is not of small order.

    A key of order 1, 2, 4 or 8 accepts signatures that nobody made. The points are told by their y coordinate
    modulo p, so that non-canonical encodings are found as well (RFC 8032 section 5.1.3; Cremers and Jackson,
    "Prime, Order Please!", 2019).
    """
    if len(public) != 32:
        raise InvalidInput(f"{what} does not have 32 bytes")
    if (int.from_bytes(public, "little") & ~(1 << 255)) % _P25519 in _SMALL_ORDER:
        raise InvalidInput(f"{what} is of small order: it would accept forged signatures")


_P25519 = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    }
)
"""The y coordinates of the points of order 4, 1, 2 and 8."""


def _load_public(pem: str) -> EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput("this is not a public key in PEM") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise InvalidInput("this key is not ECDSA P-256", hint="make one with: custody init person NAME")
    return public


def _public_pem(private: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _private_pem(private: EllipticCurvePrivateKey | Ed25519PrivateKey, passphrase: str) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    scheme: s.KeySerializationEncryption = (
        s.BestAvailableEncryption(passphrase.encode()) if passphrase else s.NoEncryption()
    )
    return private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, scheme)


def _write_private(path: Path, pem: bytes) -> None:
    """Write a key whole or not at all: a link fails where a key already is, and an interrupt leaves no half."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if path.exists():
            raise InvalidInput(f"{path} exists already; a key is never overwritten")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(fresh)
    except OSError as error:
        if path.exists():
            raise InvalidInput(f"{path} exists already; a key is never overwritten") from None
        raise Unavailable(
            f"cannot write the key {path}: {error.strerror}", hint="make that folder writable, then repeat the command"
        ) from None
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _load_private(path: Path, passphrase: str) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        pem = read_given(path, MAX_PEM_BYTES)
    except FileNotFoundError:
        raise NotFound(
            f"there is no key {path.name} in {path.parent}",
            hint="restore it, or name the folder it lies in: CUSTODY_KEYS=FOLDER custody ...",
        ) from None
    except OSError as error:
        raise NotPermitted(f"cannot read the key {path}: {error.strerror}") from None
    encrypted = b"ENCRYPTED" in pem
    if encrypted and not passphrase:
        raise NotPermitted(f"the key {path.name} is encrypted", hint="set CUSTODY_PASSPHRASE")
    try:
        return load_pem_private_key(pem, passphrase.encode() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise NotPermitted(f"the passphrase does not open {path.name}") from None
        raise InvalidInput(f"{path} is not a private key in PEM") from None


def raw_to_text(public: bytes) -> str:
    """Write a raw public key as base64."""
    return base64.b64encode(public).decode()
