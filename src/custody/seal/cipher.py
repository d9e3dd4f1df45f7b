"""Files that are of no use without their key: C2SP chunked encryption, Cobblestone-256.

https://c2sp.org/chunked-encryption with HKDF-Expand-SHA-512 and AES-256-GCM: a random salt, a
commitment to the key that is checked before anything is decrypted, then chunks of 16 KiB numbered in
their nonces, the last of them short. Changed, cut, reordered or exchanged ciphertext, another key and
another context all end in `Tampered`. Whole streams use the implementation in `cryptography`; a range
is opened here, chunk by chunk, and both are held against each other by the tests.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from custody.core.strictjson import dump
from custody.errors import InvalidInput, NotFound, Tampered
from custody.seal.bulk import NewFile, pieces_of
from custody.seal.files import refusal

FORMAT = "c2sp.org/chunked-encryption@v1 Cobblestone-256"
KEY_BYTES = 32
CHUNK_BYTES = 16 * 1024
HEADER_BYTES = 24 + 32
_TAG_BYTES = 16
_SEALED_CHUNK = CHUNK_BYTES + _TAG_BYTES
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class Sealed:
    """What one encryption left: bytes in, bytes out, and the digest of the ciphertext's header and tags."""

    size: int
    sealed_size: int
    seal: str


def new_key() -> bytes:
    """Draw a fresh key of 256 bits from the system."""
    return os.urandom(KEY_BYTES)


def context(model: str, name: str, size: int) -> bytes:
    """Bind a file to its model's digest, its name and its bytes, so that no other file can stand in."""
    return dump({"custody": "file/v1", "model": model, "name": name, "size": size})


def key_commitment(key: bytes) -> str:
    """Name a key without telling it: 32 bytes of HKDF-Expand as hex, the same for ever."""
    return _expand(_sound(key), b"custody key commitment v1", 32).hex()


def encrypt_file(pieces: Iterable[memoryview | bytes], path: Path, key: bytes, context: bytes, expected: int) -> Sealed:
    """Encrypt pieces of at most 1 MiB into a new file; durable when this returns.

    `expected` is the number of bytes that are to come, for choosing how to write; it is not checked here.
    The ciphertext is not hashed whole, which would cost five times the encryption: see `seal_of`.
    """
    from cryptography.cobblestone import Cobblestone256Encryptor

    encryptor, tags = Cobblestone256Encryptor(_sound(key), context), _Tags()
    size = 0
    with NewFile(path, expected=expected) as file:
        for piece in chain((b"",), pieces):  # the header comes out first, also where nothing follows
            room = file.room()
            count = encryptor.update_into(piece, room)
            size += len(piece)
            tags.see(room[:count])
            file.filled(count)
        last = encryptor.finalize()  # the last, short chunk and nothing else
        file.room()[: len(last)] = last
        file.filled(len(last))
        sealed_size = file.size
    return Sealed(size, sealed_size, tags.end(last))


def decrypt_into(
    file: NewFile, source: RawIOBase, key: bytes, context: bytes, see: Callable[[memoryview], object] = lambda _: None
) -> int:
    """Decrypt a stream into a new file, showing each verified piece to `see`; returns the bytes written.

    On `Tampered` the file holds a verified beginning only: throw it away.
    """
    from cryptography.cobblestone import Cobblestone256Decryptor
    from cryptography.exceptions import InvalidTag

    decryptor = Cobblestone256Decryptor(_sound(key), context)
    try:
        for piece in pieces_of(source):
            room = file.room()
            count = decryptor.update_into(piece, room)
            see(room[:count])
            file.filled(count)
        last = decryptor.finalize()
    except InvalidTag:
        raise _forged(str(file.path)) from None
    see(memoryview(last))
    file.room()[: len(last)] = last
    file.filled(len(last))
    return file.size


def seal_of(path: Path) -> str:
    """Name a ciphertext without reading all of it: sha256 over its header and the tag of each chunk.

    Whoever has the file can compute it, with no key. A tag covers its whole chunk, and who lacks the key
    cannot make another chunk for it; who has the key could, so this names a ciphertext and does not
    replace the digest of the plaintext. Raises `NotFound` and, for what is no ciphertext, `Tampered`.
    """
    with _open(path) as source:
        total = os.fstat(source.fileno()).st_size - HEADER_BYTES
        last, short = divmod(total, _SEALED_CHUNK)
        if total < _TAG_BYTES or short < _TAG_BYTES:
            raise _forged(str(path))
        descriptor, digest = source.fileno(), hashlib.sha256(source.read(HEADER_BYTES))
        for number in range(1, last + 1):
            digest.update(os.pread(descriptor, _TAG_BYTES, HEADER_BYTES + number * _SEALED_CHUNK - _TAG_BYTES))
        digest.update(os.pread(descriptor, _TAG_BYTES, HEADER_BYTES + total - _TAG_BYTES))
    return digest.hexdigest()


class _Tags:
    """Gathers a ciphertext's header and tags as it passes, in pieces of any size."""

    def __init__(self) -> None:
        self._digest, self._at = hashlib.sha256(), 0

    def see(self, piece: memoryview | bytes) -> None:
        """Take the next piece; the tag of the last, short chunk is left to `end`."""
        start, end = self._at, self._at + len(piece)
        self._at = end
        if start < HEADER_BYTES:
            self._digest.update(piece[: HEADER_BYTES - start])
        number = max(0, start - HEADER_BYTES) // _SEALED_CHUNK + 1
        while (tag := HEADER_BYTES + number * _SEALED_CHUNK - _TAG_BYTES) < end:
            self._digest.update(piece[max(tag - start, 0) : tag + _TAG_BYTES - start])
            number += 1

    def end(self, last: bytes) -> str:
        """Return the digest; `last` is what came last, at least a tag."""
        self._digest.update(last[-_TAG_BYTES:])
        return self._digest.hexdigest()


def encrypt_pieces(pieces: Iterator[bytes] | Iterator[memoryview], key: bytes, context: bytes) -> Iterator[bytes]:
    """Encrypt a stream of pieces of any size; the ciphertext is all that is yielded, in order."""
    from cryptography.cobblestone import Cobblestone256Encryptor

    encryptor = Cobblestone256Encryptor(_sound(key), context)
    for piece in pieces:
        yield encryptor.update(piece)
    yield encryptor.finalize()


def decrypt_pieces(
    source: BinaryIO | RawIOBase, key: bytes, context: bytes, *, what: str = "ciphertext"
) -> Iterator[bytes]:
    """Decrypt a stream, yielding only bytes that were verified.

    That the stream is whole is known only at its end: on `Tampered`, throw away what came before.
    """
    from cryptography.cobblestone import Cobblestone256Decryptor
    from cryptography.exceptions import InvalidTag

    decryptor = Cobblestone256Decryptor(_sound(key), context)
    try:
        while piece := source.read(_PIECE):
            yield decryptor.update(piece)
        yield decryptor.finalize()
    except InvalidTag:
        raise _forged(what) from None


def decrypt_bytes(path: Path, key: bytes, context: bytes) -> bytes:
    """Decrypt a whole file into memory; nothing is returned unless all of it was verified.

    Raises `NotFound` when the file is gone and `Tampered` when it, the key or the context is another.
    """
    with _open(path) as source:
        sink = io.BytesIO()
        for piece in decrypt_pieces(source, key, context, what=str(path)):
            sink.write(piece)
        return sink.getvalue()


def decrypt_range(path: Path, key: bytes, context: bytes, start: int, length: int) -> bytes:
    """Decrypt `length` bytes from `start` without reading the rest; the end of the file is verified too.

    Raises `InvalidInput` for a range outside the file, `Tampered` for anything that is not genuine.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with _open(path) as source:
        total = source.seek(0, io.SEEK_END) - HEADER_BYTES
        last, short = divmod(total, _SEALED_CHUNK)
        if total < _TAG_BYTES or short < _TAG_BYTES:
            raise _forged(str(path))
        source.seek(0)
        header = source.read(HEADER_BYTES)
        okm = _expand(_sound(key), _INFO + header[:24] + context, 32 + 12 + 32)
        if not hmac.compare_digest(okm[44:], header[24:]):
            raise _forged(str(path))
        cipher, base = AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big")

        def chunk(number: int) -> bytes:
            source.seek(HEADER_BYTES + number * _SEALED_CHUNK)
            nonce = (base ^ number).to_bytes(12, "big")
            try:
                return cipher.decrypt(nonce, source.read(_SEALED_CHUNK), None)
            except InvalidTag:
                raise _forged(str(path)) from None

        size = last * CHUNK_BYTES + len(chunk(last))
        if start < 0 or length < 0 or start + length > size:
            raise InvalidInput(f"{path} holds {size} bytes; {start} to {start + length} is outside")
        first = start // CHUNK_BYTES
        until = -(-(start + length) // CHUNK_BYTES)
        plain = b"".join(chunk(number) for number in range(first, until))
        return plain[start - first * CHUNK_BYTES :][:length]


def wrap_key(key: bytes, root: bytes, context: bytes) -> bytes:
    """Encrypt a key under the root key, bound to what it is for."""
    return b"".join(encrypt_pieces(iter((_sound(key),)), root, b"custody wrapped key v1\0" + context))


def unwrap_key(wrapped: bytes, root: bytes, context: bytes) -> bytes:
    """Open a wrapped key; `Tampered` when it, the root key or the context is another."""
    pieces = decrypt_pieces(io.BytesIO(wrapped), root, b"custody wrapped key v1\0" + context, what="the wrapped key")
    key = b"".join(pieces)
    if len(key) != KEY_BYTES:
        raise _forged("the wrapped key")
    return key


def _sound(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise InvalidInput(f"a key has {KEY_BYTES} bytes; this one has {len(key)}")
    return key


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-512 (RFC 5869, section 2.3)."""
    from cryptography.hazmat.primitives.hashes import SHA512
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    return HKDFExpand(SHA512(), length, info).derive(key)


def _forged(what: str) -> Tampered:
    return Tampered(
        f"{what} cannot be decrypted: it was changed or cut off, or the key is not its own",
        hint="compare with a backup; the plaintext was not released",
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"{path} is gone") from None
    except OSError as error:
        raise refusal(error, path) from None
