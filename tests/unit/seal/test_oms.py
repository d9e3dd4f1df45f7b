"""The form of the OpenSSF's signature; that its tool accepts it is shown in tests/interop."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from custody.errors import Tampered
from custody.seal.digest import walk
from custody.seal.envelope import Envelope, pae
from custody.seal.keys import PersonKey, verify_p256
from custody.seal.oms import KIND, oms_payload, sign_oms


def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    return tmp_path


def test_the_subject_is_the_digest_over_the_files_digests(tmp_path: Path) -> None:
    body = json.loads(oms_payload(walk(folder(tmp_path)), "loans"))
    digests = [hashlib.sha256(raw).digest() for raw in (b"one", b"two")]
    assert body["predicateType"] == KIND
    assert body["subject"] == [{"name": "loans", "digest": {"sha256": hashlib.sha256(b"".join(digests)).hexdigest()}}]
    assert [item["name"] for item in body["predicate"]["resources"]] == ["a", "b"]
    assert [item["digest"] for item in body["predicate"]["resources"]] == [digest.hex() for digest in digests]


def test_the_signature_fits_the_key_and_no_other(tmp_path: Path) -> None:
    key = PersonKey.generate()
    manifest = walk(folder(tmp_path))
    signed = Envelope.from_bytes(sign_oms(manifest, "loans", key, key.public))
    assert signed.payload == oms_payload(manifest, "loans")
    assert signed.keyid == hashlib.sha256(key.public.encode()).hexdigest()
    verify_p256(key.public, signed.signature, pae(signed.payload))
    with pytest.raises(Tampered):
        verify_p256(PersonKey.generate().public, signed.signature, pae(signed.payload))
