from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.seal.keys import (
    LogKey,
    PersonKey,
    check_ed25519,
    keyid_of,
    raw_to_text,
    verify_ed25519,
    verify_p256,
)

KINDS: list[Any] = [PersonKey, LogKey]


def verify(key: Any, signature: bytes, message: bytes) -> None:
    if isinstance(key, PersonKey):
        verify_p256(key.public, signature, message)
    else:
        verify_ed25519(key.public, signature, message)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("passphrase", ["", "correct horse", "\u00fcber"])
def test_a_saved_key_is_the_same_key(kind: Any, passphrase: str, tmp_path: Path) -> None:
    key, path = kind.generate(), tmp_path / "keys" / "ann.pem"
    key.save(path, passphrase)
    again = kind.load(path, passphrase)
    assert again.public == key.public
    verify(key, again.sign(b"x"), b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (b"ENCRYPTED" in path.read_bytes()) == bool(passphrase)


@pytest.mark.parametrize("kind", KINDS)
def test_signatures_are_bound_to_key_and_message(kind: Any) -> None:
    key = kind.generate()
    signature = key.sign(b"x")
    verify(key, signature, b"x")
    for other, message in ((key, b"y"), (key, b""), (kind.generate(), b"x")):
        with pytest.raises(Tampered):
            verify(other, signature, message)
    for broken in (b"", signature[:-1], signature + b"\0"):
        with pytest.raises(Tampered):
            verify(key, broken, b"x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_never_overwritten(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "ann.pem"
    kind.generate().save(path)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="never overwritten"):
        kind.generate().save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_or_missing_passphrase_opens_nothing(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "ann.pem"
    kind.generate().save(path, "right")
    for wrong in ("", "wrong"):
        with pytest.raises(NotPermitted):
            kind.load(path, wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_passphrase_does_not_hurt_a_key_that_has_none(kind: Any, tmp_path: Path) -> None:
    kind.generate().save(tmp_path / "ann.pem")
    kind.load(tmp_path / "ann.pem", "anything")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff"]
)
def test_what_is_no_key_is_refused(kind: Any, raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "ann.pem").write_bytes(raw)
    with pytest.raises(InvalidInput):
        kind.load(tmp_path / "ann.pem")


def test_one_kind_of_key_is_not_the_other(tmp_path: Path) -> None:
    PersonKey.generate().save(tmp_path / "p256.pem")
    LogKey.generate().save(tmp_path / "ed25519.pem")
    with pytest.raises(InvalidInput, match="P-256"):
        PersonKey.load(tmp_path / "ed25519.pem")
    with pytest.raises(InvalidInput, match="Ed25519"):
        LogKey.load(tmp_path / "p256.pem")


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_is_not_there_is_not_found(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        kind.load(tmp_path / "ann.pem")
    with pytest.raises(InvalidInput, match="not a regular file"):
        kind.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotPermitted):
        kind.load(tmp_path / "file" / "ann.pem")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file/ann.pem", "file/below/ann.pem"):
        with pytest.raises(Unavailable):
            PersonKey.generate().save(tmp_path / place)


def test_a_key_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "ann.pem"
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            PersonKey.generate().save(path)
    assert list(tmp_path.iterdir()) == []
    PersonKey.generate().save(path)
    PersonKey.load(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ann.pem"]


def test_the_key_id_is_the_digest_of_the_der() -> None:
    import hashlib

    key = PersonKey.generate()
    der = base64.b64decode("".join(key.public.splitlines()[1:-1]))
    assert keyid_of(key.public) == hashlib.sha256(der).hexdigest() == key.keyid
    assert keyid_of("\n" + key.public + "\n") == key.keyid


def foreign() -> list[str]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    keys = [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ]
    return [k.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for k in keys]


UNKNOWN_KIND = bytes([0x30, 42, 0x30, 5, 6, 3, 0x2B, 0x65, 0x77, 3, 33, 0]) + bytes(32)


def test_only_p256_may_sign_statements() -> None:
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(UNKNOWN_KIND).decode()}\n-----END PUBLIC KEY-----\n"
    for public in (*foreign(), pem, "", "hello", "\ud800", PersonKey.generate().public[:-40]):
        with pytest.raises(InvalidInput):
            keyid_of(public)
        with pytest.raises(InvalidInput):
            verify_p256(public, b"", b"")


P = 2**255 - 19
EIGHT = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
SMALL = [(y | sign << 255).to_bytes(32, "little") for y in (0, 1, P - 1, EIGHT, P - EIGHT, P, P + 1) for sign in (0, 1)]


def test_a_log_key_of_small_order_is_refused() -> None:
    identity = SMALL[2]
    assert identity == bytes([1]) + bytes(31)
    forged = identity + bytes(32)  # R is the identity and s is 0: valid for any message under such a key
    assert len(set(SMALL)) == 14  # the five y coordinates, p + 0 and p + 1 among them, with either sign
    for public in SMALL:
        with pytest.raises(Tampered, match="small order"):
            verify_ed25519(public, forged, b"anything")
        with pytest.raises(InvalidInput, match="small order"):
            check_ed25519(public)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33)])
def test_a_log_key_of_another_length_is_refused(public: bytes) -> None:
    with pytest.raises(Tampered):
        verify_ed25519(public, bytes(64), b"x")


def test_a_raw_key_is_written_as_base64() -> None:
    key = LogKey.generate()
    assert base64.b64decode(raw_to_text(key.public)) == key.public
    assert len(key.public) == 32


def test_keys_are_new_each_time() -> None:
    assert len({PersonKey.generate().keyid for _ in range(5)}) == 5
    assert len({LogKey.generate().public for _ in range(5)}) == 5
