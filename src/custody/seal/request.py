"""A request to be enrolled: a public key, and proof that whoever asks holds the private one.

Made on the machine of the person it is for; an owner enrols it on theirs. Without proof of possession somebody could
have another person's key enrolled under their own name, and claim what that person signed.
"""

from __future__ import annotations

import base64

from custody.core import strictjson
from custody.errors import InvalidInput, Tampered
from custody.seal.keys import Signer, canonical_pem, keyid_of, verify_p256

FORMAT = "custody-key-request/1"
MAX_REQUEST_BYTES = 16 * 1024
_CONTEXT = b"custody-key-request/v1\n"


def write_request(origin: str, name: str, public: str, signer: Signer) -> bytes:
    """Return the request of `name`, for the ledger with that origin and no other."""
    proof = signer.sign(_message(origin, name, signer.keyid))
    body = {"format": FORMAT, "origin": origin, "name": name, "key": canonical_pem(public)}
    return strictjson.dump({**body, "proof": base64.b64encode(proof).decode()}) + b"\n"


def read_request(raw: bytes, origin: str, name: str) -> str:
    """Return the public key (PEM) a request brings; raises `InvalidInput`, or `Tampered` for a false proof."""
    body = strictjson.parse_object(raw, max_bytes=MAX_REQUEST_BYTES, what="key request")
    wanted = ("format", "origin", "name", "key", "proof")
    if set(body) != set(wanted) or not all(isinstance(body[field], str) for field in wanted):
        raise InvalidInput(f"a key request has exactly {', '.join(wanted)}, as text")
    if body["format"] != FORMAT:
        raise InvalidInput(f"the key request is of the format {body['format'][:40]!r}, not {FORMAT}")
    if body["origin"] != origin:
        raise InvalidInput("the key request is for another ledger", hint="repeat: custody keys new NAME")
    if body["name"] != name:
        raise InvalidInput(f"the key request is by {body['name'][:64]!r}, not by {name}")
    try:
        verify_p256(
            body["key"],
            strictjson.b64decode(body["proof"], what="proof"),
            _message(origin, name, keyid_of(body["key"])),
        )
    except Tampered:
        raise Tampered("whoever made the key request does not hold its private key") from None
    return canonical_pem(body["key"])


def _message(origin: str, name: str, keyid: str) -> bytes:
    return _CONTEXT + strictjson.dump({"origin": origin, "name": name, "keyid": keyid})
