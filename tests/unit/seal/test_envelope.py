from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custody.core import strictjson
from custody.core.statement import PAYLOAD_TYPE, Statement
from custody.core.subject import Subject
from custody.errors import InvalidInput, Tampered
from custody.seal.envelope import Envelope, in_one_form, pae, seal
from custody.seal.keys import PersonKey

KEY = PersonKey.generate()
STATEMENT = Statement(Subject("model", "ab" * 32), "urn:x", {"value": 0.5, "why": "because"})
SEALED = seal(STATEMENT, KEY)
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "dsse.json").read_text())


def body() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SEALED.to_bytes())
    return found


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    found = body()
    change(found)
    return strictjson.dump(found)


@pytest.mark.parametrize("case", VECTORS["cases"])
def test_the_encoding_that_is_signed_is_that_of_dsse(case: dict[str, str]) -> None:
    assert VECTORS["type"] == PAYLOAD_TYPE
    assert pae(case["payload"].encode()) == case["pae"].encode()


def test_payloads_that_look_alike_are_encoded_apart() -> None:
    assert pae(b"a b") != pae(b"a") + b" b"
    assert len({pae(raw) for raw in (b"", b" ", b"0", b"0 ", b"1 a")}) == 5


def test_a_sealed_statement_reads_back_and_verifies() -> None:
    found = Envelope.from_bytes(SEALED.to_bytes())
    assert found == SEALED
    assert found.verify(KEY.public) == STATEMENT
    assert found.digest == hashlib.sha256(STATEMENT.to_bytes()).hexdigest()
    assert found.keyid == KEY.keyid


def test_an_envelope_is_written_as_every_other_json() -> None:
    for keyid in (KEY.keyid, "", 'a"b\\c\u00e9\n'):
        one = Envelope(SEALED.payload, keyid, SEALED.signature)
        assert one.to_bytes() == strictjson.dump(json.loads(one.to_bytes()))
        assert Envelope.from_bytes(one.to_bytes()) == one


def test_an_envelope_that_is_not_as_it_was_written_is_refused() -> None:
    raw = SEALED.to_bytes()
    at = raw.index(b'"sig":"') + 7
    for wrong in (
        b" " + raw,
        raw + b"\n",
        raw.replace(b":", b": ", 1),
        raw.replace(b"dsse", b"\\u0064sse", 1),
        raw[:at] + b"=" + raw[at:],
        raw.replace(KEY.keyid.encode(), b"0" * 64, 1),
        raw + b"\n}",
        raw.replace(b'"payload":"', b'"payload":"=', 1),
        raw[:-1],
    ):
        with pytest.raises(InvalidInput):
            Envelope.from_bytes(wrong)


def test_what_was_held_before_needs_no_signature_check_but_the_same_key() -> None:
    one = Envelope(SEALED.payload, KEY.keyid, b"not a signature")
    with pytest.raises(Tampered):
        one.verify(KEY.public)
    one.hold()
    assert one.verify(KEY.public) == STATEMENT
    assert one == Envelope(SEALED.payload, KEY.keyid, b"not a signature")
    with pytest.raises(Tampered, match="another key"):
        one.verify(PersonKey.generate().public)


def test_the_bundle_has_the_fields_of_sigstore() -> None:
    found = body()
    assert found["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert found["verificationMaterial"] == {"publicKey": {"hint": KEY.keyid}}
    assert set(found["dsseEnvelope"]) == {"payload", "payloadType", "signatures"}
    assert base64.b64decode(found["dsseEnvelope"]["payload"]) == STATEMENT.to_bytes()


def test_the_signature_is_an_ordinary_ecdsa_signature_over_the_encoding() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    public = load_pem_public_key(KEY.public.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(SEALED.signature, pae(SEALED.payload), ec.ECDSA(SHA256()))


def dsse(found: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = found["dsseEnvelope"]
    return inner


STRICT: list[Callable[[dict[str, Any]], object]] = [
    lambda b: b.update(extra=1),
    lambda b: b.pop("mediaType"),
    lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
    lambda b: b.update(mediaType=None),
    lambda b: b.pop("verificationMaterial"),
    lambda b: b.update(verificationMaterial=["publicKey"]),
    lambda b: b["verificationMaterial"].update(tlogEntries=[]),
    lambda b: b["verificationMaterial"].update(publicKey="x"),
    lambda b: b["verificationMaterial"]["publicKey"].pop("hint"),
    lambda b: b["verificationMaterial"]["publicKey"].update(hint="other"),
    lambda b: b["verificationMaterial"]["publicKey"].update(rawBytes="x"),
    lambda b: b.pop("dsseEnvelope"),
    lambda b: b.update(dsseEnvelope=["payload", "payloadType", "signatures"]),
    lambda b: b.update(dsseEnvelope=None),
    lambda b: dsse(b).update(extra=1),
    lambda b: dsse(b).pop("payload"),
    lambda b: dsse(b).update(payloadType="text/plain"),
    lambda b: dsse(b).update(payload=7),
    lambda b: dsse(b).update(payload=dsse(b)["payload"] + "\n"),
    lambda b: dsse(b).update(payload="*"),
    lambda b: dsse(b).update(signatures=[]),
    lambda b: dsse(b).update(signatures=dsse(b)["signatures"] * 2),
    lambda b: dsse(b).update(signatures={}),
    lambda b: dsse(b).update(signatures=None),
    lambda b: dsse(b).update(signatures=["sig"]),
    lambda b: dsse(b)["signatures"][0].pop("keyid"),
    lambda b: dsse(b)["signatures"][0].update(keyid="other"),
    lambda b: dsse(b)["signatures"][0].update(extra=1),
    lambda b: dsse(b)["signatures"][0].update(sig=dsse(b)["signatures"][0]["sig"].rstrip("=") + " "),
    lambda b: dsse(b)["signatures"][0].update(sig=None),
    lambda b: (b["verificationMaterial"]["publicKey"].update(hint=7), dsse(b)["signatures"][0].update(keyid=7)),
]


@pytest.mark.parametrize("number", range(len(STRICT)))
def test_a_bundle_of_another_form_is_refused(number: int) -> None:
    assert Envelope.from_bytes(changed(lambda _: None)) == SEALED
    with pytest.raises(InvalidInput):
        Envelope.from_bytes(changed(STRICT[number]))


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}", b'{"mediaType":1,"mediaType":2}', SEALED.to_bytes()[:-1]])
def test_what_is_no_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        Envelope.from_bytes(raw)


def test_no_byte_of_the_payload_can_be_changed() -> None:
    for place in range(len(SEALED.payload)):
        raw = bytearray(SEALED.payload)
        raw[place] ^= 1
        with pytest.raises(Tampered):
            Envelope(bytes(raw), SEALED.keyid, SEALED.signature).verify(KEY.public)


def test_no_byte_of_the_signature_can_be_changed() -> None:
    for place in range(len(SEALED.signature)):
        raw = bytearray(SEALED.signature)
        raw[place] ^= 1
        with pytest.raises(Tampered):
            Envelope(SEALED.payload, SEALED.keyid, bytes(raw)).verify(KEY.public)


@pytest.mark.parametrize(
    "signature",
    [b"", b"\0", b"0" * 70, SEALED.signature + b"\0", SEALED.signature[:-1]],
    ids=["empty", "a byte", "noughts", "a byte more", "a byte less"],  # each process signs anew
)
def test_what_is_no_signature_is_tampering(signature: bytes) -> None:
    with pytest.raises(Tampered):
        Envelope(SEALED.payload, SEALED.keyid, signature).verify(KEY.public)


def test_another_key_is_tampering() -> None:
    with pytest.raises(Tampered):
        SEALED.verify(PersonKey.generate().public)


def test_a_signature_over_the_bare_payload_does_not_count() -> None:
    with pytest.raises(Tampered):
        Envelope(SEALED.payload, KEY.keyid, KEY.sign(SEALED.payload)).verify(KEY.public)


def test_bytes_that_are_signed_but_no_statement_are_refused() -> None:
    payload = b'{"hello": 1}'
    with pytest.raises(InvalidInput):
        Envelope(payload, KEY.keyid, KEY.sign(pae(payload))).verify(KEY.public)


def test_bytes_that_say_the_same_in_another_form_are_no_statement() -> None:
    spaced = json.dumps(json.loads(STATEMENT.to_bytes()), indent=1).encode()
    found = Envelope.from_bytes(Envelope(spaced, KEY.keyid, KEY.sign(pae(spaced))).to_bytes())
    assert found.payload == spaced
    with pytest.raises(InvalidInput, match="one form"):
        found.verify(KEY.public)


def test_signatures_leave_with_the_lower_s_whichever_the_signer_made() -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for _ in range(20):
        sealed = seal(STATEMENT, KEY)
        r, s = decode_dss_signature(sealed.signature)
        assert s <= order // 2
        other = Envelope(sealed.payload, sealed.keyid, encode_dss_signature(r, order - s))
        assert other.verify(KEY.public) == STATEMENT
        assert in_one_form(other) == in_one_form(sealed) == sealed
    broken = Envelope(SEALED.payload, KEY.keyid, b"none")
    assert in_one_form(broken) is broken


def test_a_statement_that_is_too_large_is_not_signed() -> None:
    with pytest.raises(InvalidInput, match="limit"):
        seal(Statement(STATEMENT.subject, "urn:x", {"x": "y" * (16 * 1024 * 1024)}), KEY)
