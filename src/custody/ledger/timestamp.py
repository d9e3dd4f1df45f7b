"""RFC 3161 time stamps of a checkpoint: asking for one, reading what came back, verifying it.

A request is 70 bytes of DER and a reply is read as far as its status, imprint, time and nonce without any
library. That is a claim. Only `verify_reply` makes it count, with `rfc3161-client` and the roots of authorities that
the reader trusts; where the library is not installed nothing is verified and nothing counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from custody.errors import InvalidInput, Tampered, Unavailable

MAX_REPLY_BYTES = 64 * 1024
_SHA256 = bytes.fromhex("608648016503040201")
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_INTEGER, _OCTETS, _NULL, _OID, _TIME, _SEQUENCE, _FIRST = 0x02, 0x04, 0x05, 0x06, 0x18, 0x30, 0xA0


@dataclass(frozen=True)
class Stamp:
    """What a reply says, unverified: the sha256 it is about, the moment, the nonce it repeats (None without one)."""

    imprint: bytes
    at: datetime
    nonce: int | None


def request_for(body: bytes, nonce: int) -> bytes:
    """Return a TimeStampReq (RFC 3161, 2.4.1) over the sha256 of `body`, asking for the signer's certificate."""
    algorithm = _der(_SEQUENCE, _der(_OID, _SHA256) + _der(_NULL, b""))
    imprint = _der(_SEQUENCE, algorithm + _der(_OCTETS, hashlib.sha256(body).digest()))
    number = nonce.to_bytes(nonce.bit_length() // 8 + 1, "big")
    return _der(_SEQUENCE, b"\x02\x01\x01" + imprint + _der(_INTEGER, number) + b"\x01\x01\xff")


def read_reply(reply: bytes) -> Stamp:
    """Read a TimeStampResp, or a bare TimeStampToken; raises `InvalidInput` unless it was granted and is whole."""
    response, signed = _opened(reply)
    try:
        return _stamp(response, signed)
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"this is not the reply of a time-stamping authority: {error}") from None


def check_reply(reply: bytes, body: bytes, nonce: int) -> Stamp:
    """Return what a fresh reply says if it answers this very request; raises `InvalidInput`."""
    stamp = read_reply(reply)
    if stamp.imprint != hashlib.sha256(body).digest():
        raise InvalidInput("the time stamp is about something else")
    if stamp.nonce != nonce:
        raise InvalidInput("the time stamp answers another request: its nonce differs")
    return stamp


def verify_reply(reply: bytes, body: bytes, roots: bytes) -> datetime:
    """Return the moment to which an authority under `roots` (certificates in PEM) attests that `body` existed.

    Raises `Tampered` for a stamp that does not hold, `InvalidInput` for what is none, and `Unavailable` where
    the library is not installed.
    """
    try:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    except ModuleNotFoundError:
        raise Unavailable(
            "time stamps cannot be verified here: rfc3161-client is not installed",
            hint="pip install 'custody[timestamp]'",
        ) from None
    from cryptography.x509 import load_pem_x509_certificates

    stamp = read_reply(reply)
    if stamp.imprint != hashlib.sha256(body).digest():
        raise Tampered("the time stamp is about something else")
    try:
        trusted = load_pem_x509_certificates(roots)
    except ValueError:
        raise InvalidInput("the roots of time-stamping authorities are not certificates in PEM") from None
    try:
        found = decode_timestamp_response(in_der_order(reply))
        VerifierBuilder(roots=list(dict.fromkeys(trusted))).build().verify_message(found, body)
        return found.tst_info.gen_time
    except (VerificationError, ValueError) as error:
        raise Tampered(f"the time stamp does not hold: {str(error)[:200]}") from None


def in_der_order(reply: bytes) -> bytes:
    """Return the reply as a TimeStampResp with its certificates in the order DER asks for.

    OpenSSL writes a chain leaf first, which DER does not allow for a SET and strict readers refuse. The
    certificates are not under the signature, so that their order may be mended.
    """
    response, signed = _opened(reply)
    for part in signed:
        if part.tag == _FIRST:
            # A SET's parts in ascending order; a permutation of the same bytes changes no length around them.
            parts = sorted(response[one.begin : one.stop] for one in _parts(response, part))
            return response[: part.start] + b"".join(parts) + response[part.stop :]
    return response


class _Part(NamedTuple):
    """One DER element: its tag, where it begins, where its content starts, where both end."""

    tag: int
    begin: int
    start: int
    stop: int


def _opened(reply: bytes) -> tuple[bytes, list[_Part]]:
    """Return a granted TimeStampResp and the parts of the SignedData in it; raises `InvalidInput`."""
    if len(reply) > MAX_REPLY_BYTES:
        raise InvalidInput(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
    try:
        whole = _one(reply, _Part(0, 0, 0, len(reply)), _SEQUENCE)
        first, *rest = _parts(reply, whole)
        if first.tag == _OID:  # a bare token: a response is put around it
            reply = _der(_SEQUENCE, _der(_SEQUENCE, _der(_INTEGER, b"\0")) + reply)
            whole = _one(reply, _Part(0, 0, 0, len(reply)), _SEQUENCE)
            first, *rest = _parts(reply, whole)
        status = _parts(reply, first)[0] if first.tag == _SEQUENCE else first
        if status.tag != _INTEGER or _content(reply, status) not in (b"\0", b"\1"):
            raise ValueError("the authority did not grant it")
        if len(rest) != 1:
            raise ValueError("it holds no time stamp")
        kind, wrapped = _two(reply, rest[0])
        if _content(reply, kind) != _SIGNED_DATA or wrapped.tag != _FIRST:
            raise ValueError("it is not signed")
        return reply, _parts(reply, _one(reply, wrapped, _SEQUENCE))
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"this is not the reply of a time-stamping authority: {error}") from None


def _stamp(response: bytes, signed: list[_Part]) -> Stamp:
    """Read the TSTInfo (RFC 3161, 2.4.2) inside the SignedData."""
    kind, wrapped = _two(response, _first(signed, _SEQUENCE))
    if _content(response, kind) != _TST_INFO or wrapped.tag != _FIRST:
        raise ValueError("it holds no time stamp")
    info = _one(response, _one(response, wrapped, _OCTETS), _SEQUENCE)
    _version, _policy, imprint, _serial, at, *rest = _parts(response, info)
    algorithm, digest = _two(response, imprint)
    if _content(response, _parts(response, algorithm)[0]) != _SHA256 or digest.tag != _OCTETS or at.tag != _TIME:
        raise ValueError("its imprint is not a SHA-256, or it has no time")
    nonces = [int.from_bytes(_content(response, part), "big") for part in rest if part.tag == _INTEGER]
    return Stamp(_content(response, digest), _moment(_content(response, at)), nonces[0] if nonces else None)


def _moment(text: bytes) -> datetime:
    """Read a GeneralizedTime in UTC; fractions of a second are dropped."""
    whole, _, fraction = text.decode("ascii").removesuffix("Z").partition(".")
    if not text.endswith(b"Z") or len(whole) != 14 or not whole.isdigit() or not (fraction or "0").isdigit():
        raise ValueError("its time cannot be read")
    return datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _content(raw: bytes, part: _Part) -> bytes:
    return raw[part.start : part.stop]


def _one(raw: bytes, part: _Part, tag: int) -> _Part:
    """Return the only element inside another, of that tag."""
    found = _parts(raw, part)
    if len(found) != 1 or found[0].tag != tag:
        raise ValueError("it does not have the form of one")
    return found[0]


def _first(parts: list[_Part], tag: int) -> _Part:
    for part in parts:
        if part.tag == tag:
            return part
    raise ValueError("it does not have the form of one")


def _two(raw: bytes, part: _Part) -> tuple[_Part, _Part]:
    found = _parts(raw, part)
    if part.tag != _SEQUENCE or len(found) != 2:
        raise ValueError("it does not have the form of one")
    return found[0], found[1]


def _parts(raw: bytes, part: _Part) -> list[_Part]:
    """Return the elements inside another; tags of one byte and definite lengths only."""
    found: list[_Part] = []
    at = part.start
    while at < part.stop:
        tag, length, start = raw[at], raw[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            if not 0 < count <= 4 or tag & 0x1F == 0x1F:
                raise ValueError("it is not DER")
            length, start = int.from_bytes(raw[start : start + count], "big"), start + count
        if start + length > part.stop:
            raise ValueError("it is cut short")
        found.append(_Part(tag, at, start, start + length))
        at = start + length
    return found


def _der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
