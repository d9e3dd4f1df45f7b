"""A key goes on record in one form, whatever form it was brought in; else strangers' tools would not read it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from custody.seal.keys import PersonKey, keyid_of
from custody.testing import Life
from custody.wiring import add_person
from custody_verify.curves import read_public_key


def compressed(pem: str) -> str:
    (x, y), _ = read_public_key(pem)
    point = bytes([2 + (y & 1)]) + x.to_bytes(32, "big")
    der = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"


FORMS = {
    "as made": lambda pem: pem,
    "compressed": compressed,
    "with words around it": lambda pem: f"my key:\n{pem}goodbye\n",
    "lines ended as on Windows": lambda pem: pem.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_recorded_in_one_form(tmp_path: Path, form: object) -> None:
    assert callable(form)
    life, key = Life(tmp_path / "life"), PersonKey.generate()
    brought = tmp_path / "key.pem"
    brought.write_text(form(key.public), newline="")
    add_person(life.custody, "olga", "mel", ["ml_engineer"], brought)
    recorded = life.desk.actor("mel").key
    assert recorded == key.public
    assert read_public_key(recorded)[1] == keyid_of(key.public)
