from __future__ import annotations

import base64
import hashlib

import pytest

from custody.errors import CustodyError, InvalidInput, Tampered
from custody.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from custody.seal.keys import LogKey, verify_ed25519

ORIGIN = "example.org/log"
KEY = LogKey.generate()
OPEN = Checkpoint(ORIGIN, 8, bytes(range(32)))
NOTE = sign_checkpoint(OPEN, KEY)


def resigned(body: str, key: LogKey = KEY, name: str = ORIGIN) -> str:
    """Sign any text as the log's key would."""
    stamp = hashlib.sha256(name.encode() + b"\n\x01" + key.public).digest()[:4] + key.sign(body.encode())
    return f"{body}\n\u2014 {name} {base64.b64encode(stamp).decode()}\n"


def test_a_note_has_the_form_of_the_specification() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == [ORIGIN, "8", base64.b64encode(OPEN.root).decode(), ""]
    dash, name, stamp = lines[4].split(" ")
    assert (dash, name) == ("\u2014", ORIGIN)
    assert lines[5:] == [""]
    raw = base64.b64decode(stamp)
    assert len(raw) == 68
    assert raw[:4] == hashlib.sha256(ORIGIN.encode() + b"\n" + b"\x01" + KEY.public).digest()[:4]
    verify_ed25519(KEY.public, raw[4:], "\n".join(lines[:3]).encode() + b"\n")


def test_what_was_signed_is_opened() -> None:
    assert open_checkpoint(NOTE, ORIGIN, KEY.public) == OPEN
    empty = Checkpoint(ORIGIN, 0, hashlib.sha256(b"").digest())
    assert open_checkpoint(sign_checkpoint(empty, KEY), ORIGIN, KEY.public) == empty


def test_a_witness_beside_the_log_does_not_disturb() -> None:
    witness = LogKey.generate()
    line = resigned(OPEN.body(), witness, "witness").rpartition("\n\n")[2]
    assert open_checkpoint(NOTE + line, ORIGIN, KEY.public) == OPEN
    head, _, own = NOTE.partition("\n\n")
    assert open_checkpoint(f"{head}\n\n{line}{own}", ORIGIN, KEY.public) == OPEN
    with pytest.raises(Tampered, match="not signed"):
        open_checkpoint(f"{head}\n\n{line}", ORIGIN, KEY.public)


@pytest.mark.parametrize("place", range(len(NOTE)))
def test_no_character_of_a_note_can_be_changed(place: int) -> None:
    changed = "A" if NOTE[place] != "A" else "B"
    with pytest.raises((Tampered, InvalidInput)):
        open_checkpoint(NOTE[:place] + changed + NOTE[place + 1 :], ORIGIN, KEY.public)


@pytest.mark.parametrize("length", range(len(NOTE)))
def test_no_note_can_be_cut(length: int) -> None:
    with pytest.raises((Tampered, InvalidInput)):
        open_checkpoint(NOTE[:length], ORIGIN, KEY.public)


ROOT = base64.b64encode(OPEN.root).decode()


@pytest.mark.parametrize(
    "body",
    [
        f"{ORIGIN}\n08\n{ROOT}\n",
        f"{ORIGIN}\n-8\n{ROOT}\n",
        f"{ORIGIN}\n+8\n{ROOT}\n",
        f"{ORIGIN}\n8.0\n{ROOT}\n",
        f"{ORIGIN}\n 8\n{ROOT}\n",
        f"{ORIGIN}\n\u0668\n{ROOT}\n",
        f"{ORIGIN}\n\u00b2\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n8\n{ROOT}\nmore\n",
        f"{ORIGIN}\n8\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n8\n{ROOT}=\n",
        f"{ORIGIN}\n8\n\n",
        f"{ORIGIN}\n8\n",
        f"\n8\n{ROOT}\n",
    ],
)
def test_another_form_is_refused_though_the_log_signed_it(body: str) -> None:
    with pytest.raises(CustodyError):
        open_checkpoint(resigned(body), ORIGIN, KEY.public)


@pytest.mark.parametrize("line", ["x", "- a b", "\u2014 a", "\u2014 a b c d", "\u2014 a ???", ""])
def test_a_malformed_signature_line_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput):
        open_checkpoint(f"{OPEN.body()}\n{line}\n{NOTE.partition(chr(10) * 2)[2]}", ORIGIN, KEY.public)


def test_another_log_or_another_key_is_tampering() -> None:
    with pytest.raises(Tampered, match="another log"):
        open_checkpoint(NOTE, "example.org/other", KEY.public)
    with pytest.raises(Tampered, match="not signed"):
        open_checkpoint(NOTE, ORIGIN, LogKey.generate().public)


def test_the_right_key_hash_with_a_wrong_signature_is_tampering() -> None:
    stamp = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + KEY.public).digest()[:4] + bytes(64)
    with pytest.raises(Tampered, match="signature"):
        open_checkpoint(f"{OPEN.body()}\n\u2014 {ORIGIN} {base64.b64encode(stamp).decode()}\n", ORIGIN, KEY.public)
