from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest

from custody.errors import CustodyError, InvalidInput, Tampered
from custody.ledger.checkpoint import (
    Checkpoint,
    cosign,
    cosignatures,
    open_checkpoint,
    read_checkpoint,
    sign_checkpoint,
    with_cosignatures,
)
from custody.ledger.note import COSIGNATURE, ED25519, Note, Signature, key_id, parse_note, parse_vkey
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


# What witnesses say to a checkpoint

# https://c2sp.org/tlog-cosignature, the example at its top (the witness's key is not published with it).
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
# https://github.com/transparency-dev/witness, a test of its omniwitness: log key and a checkpoint of size 5.
MONKEYS = "monkeys+db4d9f7e+AULaJMvTtDLHPUcUrjdDad9vDlh/PTfC2VV60JUtCfWT"
FIVE = (
    "monkeys\n5\n41smjBUiAU70EtKlT6lIOIYtRTYxYXsDB+XHfcvu/BE=\n\n"
    "\u2014 monkeys 202fftzGl3LVoqjXfwCFZZXs8I+5G22+Ek2K0AOyBuSJ/8/CZawNF+6fNlTKOCd622pbzJNkkJFWuw9DbicZCkEx9AY=\n"
)
EYES = {name: LogKey.generate() for name in ("eye.example/a", "eye.example/b")}
PUBLIC = {name: key.public for name, key in EYES.items()}
MOMENT = 1679315147


def cosigned(*names: str, note: str = NOTE, at: int = MOMENT) -> str:
    return with_cosignatures(note, [cosign(note, name, EYES[name], at) for name in names], PUBLIC)


def test_a_checkpoint_of_another_log_software_is_opened() -> None:
    found = open_checkpoint(FIVE, "monkeys", parse_vkey(MONKEYS).public)
    assert (found.origin, found.size) == ("monkeys", 5)
    with pytest.raises(Tampered):
        open_checkpoint(FIVE.replace("\n5\n", "\n6\n"), "monkeys", parse_vkey(MONKEYS).public)


def test_the_example_of_the_specification_is_read() -> None:
    log, witness = parse_note(EXAMPLE).signatures
    assert read_checkpoint(parse_note(EXAMPLE).text).size == 20852163
    assert int.from_bytes(witness.value[:8], "big") == MOMENT
    assert (len(log.value), len(witness.value)) == (64, 72)


def test_what_a_witness_signs_has_the_form_of_the_specification() -> None:
    line = cosign(NOTE, "eye.example/a", EYES["eye.example/a"], MOMENT)
    assert line.key_id == hashlib.sha256(b"eye.example/a\n\x04" + PUBLIC["eye.example/a"]).digest()[:4]
    assert line.value[:8] == MOMENT.to_bytes(8, "big")
    said = f"cosignature/v1\ntime {MOMENT}\n{OPEN.body()}"
    verify_ed25519(PUBLIC["eye.example/a"], line.value[8:], said.encode())


def test_cosignatures_are_counted_by_witness() -> None:
    assert cosignatures(NOTE, PUBLIC) == {}
    assert cosignatures(cosigned("eye.example/a"), PUBLIC) == {"eye.example/a": MOMENT}
    both = cosigned("eye.example/b", "eye.example/a")
    assert cosignatures(both, PUBLIC) == dict.fromkeys(PUBLIC, MOMENT)
    assert open_checkpoint(both, ORIGIN, KEY.public) == OPEN


def test_what_is_not_by_the_witness_does_not_count() -> None:
    both = cosigned(*EYES)
    assert cosignatures(both, {"eye.example/c": PUBLIC["eye.example/a"]}) == {}
    swapped = {"eye.example/a": PUBLIC["eye.example/b"], "eye.example/b": PUBLIC["eye.example/a"]}
    assert cosignatures(both, swapped) == {}
    changed = Checkpoint(ORIGIN, 9, OPEN.root)
    assert cosignatures(both.replace(OPEN.body(), changed.body()), PUBLIC) == {}


@pytest.mark.parametrize("place", range(72))
def test_no_byte_of_a_cosignature_can_be_changed(place: int) -> None:
    line = cosign(NOTE, "eye.example/a", EYES["eye.example/a"], MOMENT)
    value = bytearray(line.value)
    value[place] ^= 1
    note = Note(OPEN.body(), (replace(line, value=bytes(value)),)).to_text()
    assert cosignatures(note, PUBLIC) == {}


@pytest.mark.parametrize("length", [1, 8, 64, 71, 73, 200])
def test_a_cosignature_of_another_length_does_not_count(length: int) -> None:
    line = cosign(NOTE, "eye.example/a", EYES["eye.example/a"], MOMENT)
    note = Note(OPEN.body(), (replace(line, value=(line.value * 3)[:length]),)).to_text()
    assert cosignatures(note, PUBLIC) == {}


def test_a_cosignature_under_another_key_id_does_not_count() -> None:
    line = cosign(NOTE, "eye.example/a", EYES["eye.example/a"], MOMENT)
    for other in (b"abcd", key_id("eye.example/a", ED25519, PUBLIC["eye.example/a"])):
        assert cosignatures(Note(OPEN.body(), (replace(line, key_id=other),)).to_text(), PUBLIC) == {}


def test_a_plain_signature_by_a_witness_is_no_cosignature() -> None:
    key = EYES["eye.example/a"]
    plain = Signature("eye.example/a", key_id("eye.example/a", ED25519, key.public), key.sign(OPEN.body().encode()))
    assert cosignatures(Note(OPEN.body(), (plain,)).to_text(), PUBLIC) == {}


def test_a_moment_beyond_reading_does_not_count() -> None:
    for at in (2**53 + 1, 2**63, 2**64 - 1):
        line = cosign(NOTE, "eye.example/a", EYES["eye.example/a"], at)
        assert cosignatures(Note(OPEN.body(), (line,)).to_text(), PUBLIC) == {}


def test_one_key_under_two_names_is_one_witness() -> None:
    key = EYES["eye.example/a"]
    names = {"eye.example/a": key.public, "eye.example/twin": key.public}
    lines = tuple(cosign(NOTE, name, key, MOMENT) for name in names)
    assert len(cosignatures(Note(OPEN.body(), lines).to_text(), names)) == 1


def test_a_witness_of_small_order_signs_nothing() -> None:
    weak = bytes(32)
    line = Signature("weak", key_id("weak", COSIGNATURE, weak), bytes(72))
    assert cosignatures(Note(OPEN.body(), (line,)).to_text(), {"weak": weak}) == {}


def test_a_note_with_cosignatures_has_one_form() -> None:
    assert cosigned("eye.example/b", "eye.example/a") == cosigned("eye.example/a", "eye.example/b")
    stranger = Signature("stranger", b"abcd", bytes(72))
    assert with_cosignatures(NOTE, [stranger], PUBLIC) == NOTE
    assert with_cosignatures(cosigned(*EYES), [], {}) == NOTE


def test_a_bad_line_takes_no_good_ones_place() -> None:
    good = cosigned("eye.example/a")
    line = parse_note(good).signatures[1]
    bad = replace(line, value=line.value[:-1] + bytes([line.value[-1] ^ 1]))
    assert with_cosignatures(good, [bad], PUBLIC) == good
    assert with_cosignatures(NOTE, [bad, line], PUBLIC) == good
    assert with_cosignatures(NOTE, [line, bad], PUBLIC) == good
    own = parse_note(NOTE).signatures[0]
    assert with_cosignatures(NOTE, [replace(own, value=bytes(64))], PUBLIC) == NOTE


def test_the_newer_word_of_a_witness_stays() -> None:
    older, newer = cosigned("eye.example/a"), cosigned("eye.example/a", at=MOMENT + 60)
    lines = parse_note(older).signatures[1:]
    assert with_cosignatures(NOTE, [*parse_note(newer).signatures, *lines], PUBLIC) == newer
