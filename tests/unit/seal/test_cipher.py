from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from custody.errors import InvalidInput, NotFound, Tampered
from custody.seal import cipher
from custody.seal.bulk import NewFile
from custody.seal.cipher import CHUNK_BYTES, HEADER_BYTES

KEY = bytes(range(32))
CONTEXT = cipher.context("a" * 64, "weights.bin", 5)
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1024 * 1024 + 7]


def _sealed(plain: bytes, key: bytes = KEY, context: bytes = CONTEXT) -> bytes:
    return b"".join(cipher.encrypt_pieces(iter((plain,)), key, context))


def _file(tmp_path: Path, sealed: bytes) -> Path:
    path = tmp_path / "sealed"
    path.write_bytes(sealed)
    return path


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out(tmp_path: Path, size: int) -> None:
    plain = os.urandom(size)
    path = _file(tmp_path, _sealed(plain))
    assert cipher.decrypt_bytes(path, KEY, CONTEXT) == plain
    assert cipher.decrypt_range(path, KEY, CONTEXT, 0, size) == plain
    for start, length in ((0, 0), (0, min(size, 1)), (size // 2, size - size // 2), (size, 0)):
        assert cipher.decrypt_range(path, KEY, CONTEXT, start, length) == plain[start : start + length]


def test_the_format_is_that_of_the_specification() -> None:
    """One chunk, built from the steps of c2sp.org/chunked-encryption with an HKDF of our own."""
    import hmac

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = _sealed(b"plain")
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + sealed[:24] + CONTEXT
    first = hmac.new(KEY, info + b"\x01", hashlib.sha512).digest()
    okm = first + hmac.new(KEY, first + info + b"\x02", hashlib.sha512).digest()
    assert sealed[24:56] == okm[44:76]
    assert AESGCM(okm[:32]).decrypt(okm[32:44], sealed[56:], None) == b"plain"


def test_nothing_of_the_plaintext_shows_and_no_two_ciphertexts_are_alike() -> None:
    plain = b"secret weights " * 1000
    one, other = _sealed(plain), _sealed(plain)
    assert b"secret" not in one
    assert one[:24] != other[:24]
    assert one[HEADER_BYTES:] != other[HEADER_BYTES:]


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    sealed = _sealed(b"model")
    path = _file(tmp_path, sealed)
    with path.open("r+b", buffering=0) as file:
        for bit in range(len(sealed) * 8):
            os.pwrite(file.fileno(), bytes([sealed[bit // 8] ^ 1 << bit % 8]), bit // 8)
            with pytest.raises(Tampered):
                cipher.decrypt_bytes(path, KEY, CONTEXT)
            with pytest.raises(Tampered):
                cipher.decrypt_range(path, KEY, CONTEXT, 0, 1)
            os.pwrite(file.fileno(), sealed[bit // 8 : bit // 8 + 1], bit // 8)
    assert cipher.decrypt_bytes(path, KEY, CONTEXT) == b"model"


def test_every_truncation_and_extension_is_refused(tmp_path: Path) -> None:
    sealed = _sealed(b"m" * (2 * CHUNK_BYTES + 5))
    chunk = CHUNK_BYTES + 16
    cuts = [
        0,
        1,
        23,
        24,
        55,
        56,
        60,
        56 + 16,
        56 + chunk - 1,
        56 + chunk,
        56 + chunk + 16,
        56 + 2 * chunk,
        len(sealed) - 1,
    ]
    for forged in [*(sealed[:cut] for cut in cuts), sealed + b"\0", sealed + sealed[56:], sealed + bytes(chunk)]:
        path = _file(tmp_path, forged)
        with pytest.raises(Tampered):
            cipher.decrypt_bytes(path, KEY, CONTEXT)
        with pytest.raises(Tampered):
            cipher.decrypt_range(path, KEY, CONTEXT, 0, 1)


def test_reordered_and_repeated_chunks_are_refused(tmp_path: Path) -> None:
    sealed = _sealed(os.urandom(3 * CHUNK_BYTES + 5))
    chunk = CHUNK_BYTES + 16
    head, a, b, rest = (
        sealed[:56],
        sealed[56 : 56 + chunk],
        sealed[56 + chunk : 56 + 2 * chunk],
        sealed[56 + 2 * chunk :],
    )
    for forged in (head + b + a + rest, head + a + a + rest, head + a + rest, head + a + a + b + rest):
        path = _file(tmp_path, forged)
        with pytest.raises(Tampered):
            cipher.decrypt_bytes(path, KEY, CONTEXT)
        with pytest.raises(Tampered):
            cipher.decrypt_range(path, KEY, CONTEXT, 0, 2 * CHUNK_BYTES)


def test_another_key_name_model_or_size_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, _sealed(b"model"))
    assert cipher.decrypt_bytes(path, KEY, CONTEXT) == b"model"
    for key, context in (
        (bytes(32), CONTEXT),
        (KEY, cipher.context("b" * 64, "weights.bin", 5)),
        (KEY, cipher.context("a" * 64, "labels.bin", 5)),
        (KEY, cipher.context("a" * 64, "weights.bin", 6)),
        (KEY, b""),
    ):
        with pytest.raises(Tampered):
            cipher.decrypt_bytes(path, key, context)
        with pytest.raises(Tampered):
            cipher.decrypt_range(path, key, context, 0, 1)


def test_the_commitment_is_checked_before_anything_is_decrypted(tmp_path: Path) -> None:
    """A chunk that is genuine under another header must not be opened."""
    one, other = _sealed(b"m" * 100), _sealed(b"n" * 100)
    path = _file(tmp_path, one[:24] + other[24:56] + one[56:])
    with pytest.raises(Tampered):
        cipher.decrypt_bytes(path, KEY, CONTEXT)
    with pytest.raises(Tampered):
        cipher.decrypt_range(path, KEY, CONTEXT, 0, 1)


def test_a_range_reads_only_what_it_needs(tmp_path: Path) -> None:
    """Damage elsewhere does not matter to a range, but a missing end does."""
    plain = os.urandom(5 * CHUNK_BYTES + 3)
    sealed = bytearray(_sealed(plain))
    sealed[HEADER_BYTES + 10] ^= 1
    path = _file(tmp_path, bytes(sealed))
    start = 2 * CHUNK_BYTES - 10
    assert cipher.decrypt_range(path, KEY, CONTEXT, start, 20) == plain[start : start + 20]
    with pytest.raises(Tampered):
        cipher.decrypt_range(path, KEY, CONTEXT, 0, 20)


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 6), (6, 0), (0, -1), (5, 1)])
def test_a_range_outside_is_invalid(tmp_path: Path, start: int, length: int) -> None:
    path = _file(tmp_path, _sealed(b"model"))
    with pytest.raises(InvalidInput):
        cipher.decrypt_range(path, KEY, CONTEXT, start, length)


def test_a_file_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        cipher.decrypt_bytes(tmp_path / "none", KEY, CONTEXT)


def test_a_wrapped_key_opens_only_for_what_it_is_for() -> None:
    root, key = cipher.new_key(), cipher.new_key()
    wrapped = cipher.wrap_key(key, root, b"model a")
    assert key not in wrapped
    assert cipher.unwrap_key(wrapped, root, b"model a") == key
    for other, context, raw in (
        (cipher.new_key(), b"model a", wrapped),
        (root, b"model b", wrapped),
        (root, b"model a", wrapped[:-1]),
        (root, b"model a", b""),
        (root, b"model a", bytes([wrapped[0] ^ 1]) + wrapped[1:]),
    ):
        with pytest.raises(Tampered):
            cipher.unwrap_key(raw, other, context)
    short = b"".join(cipher.encrypt_pieces(iter((b"short",)), root, b"custody wrapped key v1\0model a"))
    with pytest.raises(Tampered):
        cipher.unwrap_key(short, root, b"model a")


def test_a_commitment_names_a_key_without_telling_it() -> None:
    assert cipher.key_commitment(KEY) == cipher.key_commitment(bytes(range(32)))
    assert cipher.key_commitment(KEY) != cipher.key_commitment(bytes(32))
    assert KEY.hex() not in cipher.key_commitment(KEY)


def test_short_keys_are_invalid() -> None:
    for act in (cipher.key_commitment, lambda key: cipher.wrap_key(key, KEY, b""), lambda key: _sealed(b"", key)):
        with pytest.raises(InvalidInput):
            act(b"short")


@pytest.mark.parametrize("size", [*SIZES, 9 * 1024 * 1024 + 4095])
def test_a_file_is_encrypted_as_a_stream_is_and_named_by_its_tags(tmp_path: Path, size: int) -> None:
    plain, path = os.urandom(size), tmp_path / "sealed"
    pieces = [plain[at : at + 1024 * 1024 - 1] for at in range(0, size, 1024 * 1024 - 1)]
    done = cipher.encrypt_file(pieces, path, KEY, CONTEXT, size)
    sealed = path.read_bytes()
    assert (done.size, done.sealed_size) == (size, len(sealed))
    assert cipher.decrypt_bytes(path, KEY, CONTEXT) == plain
    chunk = CHUNK_BYTES + 16
    body = sealed[HEADER_BYTES:]
    tags = b"".join(body[at : at + chunk][-16:] for at in range(0, len(body), chunk))
    assert done.seal == cipher.seal_of(path) == hashlib.sha256(sealed[:HEADER_BYTES] + tags).hexdigest()
    seen: list[bytes] = []
    with path.open("rb", buffering=0) as source, NewFile(tmp_path / "plain", expected=size) as sink:
        assert cipher.decrypt_into(sink, source, KEY, CONTEXT, lambda piece: seen.append(bytes(piece))) == size
    assert (tmp_path / "plain").read_bytes() == plain == b"".join(seen)


def test_another_ciphertext_has_another_name(tmp_path: Path) -> None:
    plain = os.urandom(3 * CHUNK_BYTES)
    names = set()
    for number in range(2):
        names.add(cipher.encrypt_file([plain], tmp_path / f"{number}", KEY, CONTEXT, len(plain)).seal)
    sealed = bytearray((tmp_path / "0").read_bytes())
    for at in (0, 30, HEADER_BYTES + CHUNK_BYTES, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[at] ^= 1
        names.add(cipher.seal_of(_file(tmp_path, bytes(changed))))
    assert len(names) == 6
    for cut in (0, 55, 60):
        with pytest.raises(Tampered):
            cipher.seal_of(_file(tmp_path, bytes(sealed[:cut])))


def test_what_was_changed_is_not_decrypted_into_a_file(tmp_path: Path) -> None:
    sealed = bytearray(_sealed(os.urandom(3 * CHUNK_BYTES)))
    sealed[HEADER_BYTES + 2 * CHUNK_BYTES + 100] ^= 1
    path = _file(tmp_path, bytes(sealed))
    with (
        pytest.raises(Tampered, match="plain"),
        path.open("rb", buffering=0) as source,
        NewFile(tmp_path / "plain", expected=10) as sink,
    ):
        cipher.decrypt_into(sink, source, KEY, CONTEXT)


def test_a_large_ciphertext_that_was_changed_is_refused_without_touching_other_files(tmp_path: Path) -> None:
    plain = os.urandom(20 * 1024 * 1024)
    pieces = [plain[at : at + 1024 * 1024] for at in range(0, len(plain), 1024 * 1024)]
    cipher.encrypt_file(pieces, tmp_path / "s", KEY, b"", len(plain))
    with (tmp_path / "s").open("r+b") as file:
        file.seek(10 * 1024 * 1024)
        file.write(b"changed")
    with (
        pytest.raises(Tampered),
        (tmp_path / "s").open("rb", buffering=0) as source,
        NewFile(tmp_path / "plain", expected=len(plain)) as sink,
    ):
        cipher.decrypt_into(sink, source, KEY, b"")
