"""A model's signature in the form of the OpenSSF: what `model_signing verify key` reads.

OpenSSF Model Signing (OMS): https://github.com/sigstore/model-transparency. One in-toto statement over the sha256 of
every file, in a sigstore bundle v0.3. Its subject is a digest over the files' digests without their names, so two
different models can share it; Custody's own statements use the digest of the manifest, which binds the names. This
signature is for people who have that tool and not Custody; it says which bytes, and nothing of how they came to be.
"""

from __future__ import annotations

import hashlib

from custody.core import strictjson
from custody.core.statement import STATEMENT_TYPE
from custody.seal.digest import Manifest
from custody.seal.envelope import Envelope, pae
from custody.seal.keys import Signer, canonical_pem

KIND = "https://model_signing/signature/v1.0"
IGNORED: tuple[str, ...] = ()
"""No path is ever left out: what is not signed must not lie beside what is."""


def oms_payload(manifest: Manifest, name: str) -> bytes:
    """Return the statement over the files of `manifest`, known as `name`."""
    root = hashlib.sha256(b"".join(bytes.fromhex(file.sha256) for file in manifest.files)).hexdigest()
    resources = [{"name": file.path, "algorithm": "sha256", "digest": file.sha256} for file in manifest.files]
    return strictjson.dump(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": root}}],
            "predicateType": KIND,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": list(IGNORED),
                },
                "resources": resources,
            },
        }
    )


def sign_oms(manifest: Manifest, name: str, signer: Signer, public: str) -> bytes:
    """Return the signature file: a sigstore bundle v0.3 with the statement in a DSSE envelope.

    `public` is the signer's key in PEM: that tool names a key by the sha256 of its PEM, Custody by that of its DER.
    """
    payload = oms_payload(manifest, name)
    hint = hashlib.sha256(canonical_pem(public).encode()).hexdigest()
    return Envelope(payload, hint, signer.sign(pae(payload))).to_bytes()
