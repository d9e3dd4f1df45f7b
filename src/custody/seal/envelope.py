"""A signed statement: DSSE in a sigstore bundle v0.3, signed with ECDSA P-256.

DSSE: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md. The signature covers the
payload's bytes as they are; nothing is parsed, sorted or written anew between signing and checking.
The identity of a statement is the sha256 of its payload, never of the envelope: ECDSA signatures
can be altered without becoming invalid.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from custody.core import strictjson
from custody.core.statement import MAX_STATEMENT_BYTES, PAYLOAD_TYPE, Statement
from custody.errors import InvalidInput, Tampered
from custody.seal.keys import Signer, keyid_of, verify_p256

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order n of the curve P-256 (FIPS 186-4, D.1.2.3)."""
MAX_ENVELOPE_BYTES = 2 * MAX_STATEMENT_BYTES
_AS_WRITTEN = re.compile(
    b'{"dsseEnvelope":{"payload":"([A-Za-z0-9+/=]*)","payloadType":"%s","signatures":'
    b'\\[{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/=]*)"}\\]},"mediaType":"%s",'
    b'"verificationMaterial":{"publicKey":{"hint":"\\2"}}}'
    % (re.escape(PAYLOAD_TYPE.encode()), re.escape(BUNDLE_TYPE.encode()))
)
"""The form that `to_bytes` writes: read without a JSON parser, which would find the same."""


@dataclass(frozen=True)
class Envelope:
    """A payload and one signature, not yet verified."""

    payload: bytes
    keyid: str
    signature: bytes
    held: bool = field(default=False, compare=False, repr=False)
    """Whether this client verified exactly these bytes before; then `verify` looks at the key alone."""

    @property
    def digest(self) -> str:
        """Return the sha256 of the payload: the statement's identity."""
        return hashlib.sha256(self.payload).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the sigstore bundle."""
        # Written out: the form `strictjson.dump` gives, at a tenth of its price; base64 needs no escapes.
        keyid = strictjson.dump(self.keyid)
        return b"".join(
            (
                b'{"dsseEnvelope":{"payload":"',
                base64.b64encode(self.payload),
                b'","payloadType":"' + PAYLOAD_TYPE.encode() + b'","signatures":[{"keyid":' + keyid + b',"sig":"',
                base64.b64encode(self.signature),
                b'"}]},"mediaType":"' + BUNDLE_TYPE.encode() + b'","verificationMaterial":{"publicKey":{"hint":',
                keyid + b"}}}",
            )
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Envelope:
        """Read a bundle strictly: these fields, one signature, one key hint, byte for byte as `to_bytes` writes it."""
        found = _AS_WRITTEN.fullmatch(raw) if len(raw) <= MAX_ENVELOPE_BYTES else None
        if found:
            payload = strictjson.b64decode(found[1].decode(), what="payload")
            return cls(payload, found[2].decode(), strictjson.b64decode(found[3].decode(), what="signature"))
        body = strictjson.parse_object(raw, max_bytes=MAX_ENVELOPE_BYTES, what="envelope")
        try:
            if set(body) != {"mediaType", "verificationMaterial", "dsseEnvelope"} or body["mediaType"] != BUNDLE_TYPE:
                raise InvalidInput("envelope is not a sigstore bundle v0.3 with a DSSE envelope")
            material, dsse = body["verificationMaterial"], body["dsseEnvelope"]
            if set(dsse) != {"payload", "payloadType", "signatures"} or dsse["payloadType"] != PAYLOAD_TYPE:
                raise InvalidInput("envelope does not carry an in-toto statement")
            if set(material) != {"publicKey"} or set(material["publicKey"]) != {"hint"}:
                raise InvalidInput("envelope must name its key by a hint")
            (signature,) = dsse["signatures"]
            if set(signature) != {"sig", "keyid"} or signature["keyid"] != material["publicKey"]["hint"]:
                raise InvalidInput("envelope names two different keys")
            keyid = signature["keyid"]
            if not isinstance(keyid, str):
                raise InvalidInput("envelope's key id is not text")
            payload = strictjson.b64decode(dsse["payload"], what="payload")
            envelope = cls(payload, keyid, strictjson.b64decode(signature["sig"], what="signature"))
        except (TypeError, KeyError, ValueError, AttributeError):
            raise InvalidInput("envelope has the wrong shape") from None
        if envelope.to_bytes() != raw:
            raise InvalidInput("envelope is not in the one form in which envelopes are written")
        return envelope

    @cached_property
    def statement(self) -> Statement:
        """Return what the payload says, read once; it counts only after `verify`."""
        return Statement.from_bytes(self.payload)

    def verify(self, public_key: str) -> Statement:
        """Return the statement if `public_key` (PEM) signed it; raises `Tampered` otherwise."""
        if self.held:
            if _keyid(public_key) != self.keyid:
                raise Tampered("the statement is signed by another key")
        else:
            verify_p256(public_key, self.signature, pae(self.payload))
        return self.statement

    def hold(self) -> None:
        """Say that this client verified exactly these bytes before; only the log's memory may."""
        object.__setattr__(self, "held", True)


@lru_cache(maxsize=256)
def _keyid(public_key: str) -> str:
    return keyid_of(public_key)


def seal(statement: Statement, signer: Signer) -> Envelope:
    """Sign a statement."""
    payload = statement.to_bytes()
    if len(payload) > MAX_STATEMENT_BYTES:
        raise InvalidInput(f"the statement is {len(payload)} bytes long; the limit is {MAX_STATEMENT_BYTES}")
    envelope = in_one_form(Envelope(payload, signer.keyid, signer.sign(pae(payload))))
    _ = envelope.statement  # read once, here: what could not be read back is not handed out
    return envelope


def in_one_form(envelope: Envelope) -> Envelope:
    """Return the envelope with the lower of the two valid forms of its signature, (r, s) and (r, n - s).

    Anybody can turn one into the other, and not every signer makes the lower. What leaves Custody has one form, so
    that no bit of it can be changed unnoticed.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    try:
        r, s = decode_dss_signature(envelope.signature)
    except ValueError:
        return envelope  # no signature at all, which `verify` finds out
    return replace(envelope, signature=encode_dss_signature(r, _ORDER - s)) if s > _ORDER // 2 else envelope


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
