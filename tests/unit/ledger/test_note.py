"""Signed notes and verifier keys, held against the vectors of Go's sumdb/note and of C2SP's pages."""

from __future__ import annotations

import base64
import time

import pytest

from custody.errors import InvalidInput, Tampered
from custody.ledger.note import (
    COSIGNATURE,
    ED25519,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Note,
    Signature,
    VerifierKey,
    merged,
    parse_note,
    parse_signatures,
    parse_vkey,
)
from custody.seal.keys import verify_ed25519

# golang.org/x/mod/sumdb/note, note_test.go (BSD-3-Clause), TestSign and TestOpen.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
BY_PETER = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
BY_ENOCH = (
    "\u2014 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
GO = f"{TEXT}\n{BY_PETER}{BY_ENOCH}"

# https://c2sp.org/signed-note, the example at the top: its text has an empty line of its own.
QUASIMODO = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u00e8 subito sera.\n\n"
    "\u2014 quasimodo.example/salvatore "
    "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)


@pytest.mark.parametrize(("number", "text"), [(0, PETER), (1, ENOCH)], ids=["peter", "enoch"])
def test_what_go_signed_is_verified(number: int, text: str) -> None:
    note, key = parse_note(GO), parse_vkey(text)
    signature = note.signatures[number]
    assert note.text == TEXT
    assert (signature.name, signature.key_id) == (key.name, key.key_id)
    verify_ed25519(key.public, signature.value, note.text.encode())
    with pytest.raises(Tampered):
        verify_ed25519(key.public, signature.value, note.text.replace("answer", "Answer").encode())


@pytest.mark.parametrize("note", [GO, QUASIMODO], ids=["go", "c2sp"])
def test_a_note_is_written_as_it_was_read(note: str) -> None:
    assert parse_note(note).to_text() == note


def test_the_last_empty_line_parts_text_from_signatures() -> None:
    found = parse_note(QUASIMODO)
    assert found.text.endswith("\n\ned \u00e8 subito sera.\n")
    assert found.signatures[0].key_id.hex() == "367ba04b"


@pytest.mark.parametrize("text", [PETER, ENOCH], ids=["peter", "enoch"])
def test_a_verifier_key_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_vkey(text)) == text


def test_no_part_of_a_verifier_key_is_one() -> None:
    for start in range(len(PETER)):
        for end in range(start + 1, len(PETER) + 1):
            if (start, end) != (0, len(PETER)):
                with pytest.raises(InvalidInput):
                    parse_vkey(PETER[start:end])


def test_no_character_of_a_verifier_key_can_be_changed() -> None:
    for place in range(len(PETER)):
        with pytest.raises(InvalidInput):
            parse_vkey(PETER[:place] + chr(ord(PETER[place]) + 1) + PETER[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        # Go's own: a key of another length, an unknown algorithm, both with a hash that fits.
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER.upper(),
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER.replace("PeterNeumann", "Peter Neumann"),
        PETER + "\n",
        PETER + "=" * 2000,
        "",
        "++",
    ],
    ids=["length", "algorithm", "upper", "upper-hash", "space", "newline", "long", "empty", "nothing"],
)
def test_another_form_of_a_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_vkey(text)


def test_a_witness_key_is_another_key_than_a_plain_one() -> None:
    plain = parse_vkey(PETER)
    witness = VerifierKey(plain.name, COSIGNATURE, plain.public)
    assert witness.key_id != plain.key_id
    assert parse_vkey(str(witness)) == witness
    assert plain.kind == ED25519


@pytest.mark.parametrize(
    "note",
    [
        # Go's list of malformed messages.
        TEXT,
        TEXT + "\n",
        f"{TEXT}\n{BY_PETER[:-1]}",
        f"\x01{TEXT}\n{BY_PETER}",
        f"{TEXT}\n\u2014 Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6K",
        f"{TEXT}\n{BY_PETER}Unexpected line.\n",
        # Ours.
        f"{TEXT}\n{BY_PETER * 2}",
        f"{TEXT}\n{BY_PETER}\n",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', '')}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', 'Peter+Neumann')}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', 'Peter' + chr(0xA0) + 'Neumann')}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', 'Peter' + chr(0x2028) + 'Neumann')}",
        f"{TEXT}\n{BY_PETER.replace('JnAM=', 'JnAN=')}",
        f"{TEXT}\n{BY_PETER.replace('=', '')}",
        f"{TEXT}\n\u2014 a AAAAAA==\n",
        f"{TEXT}\n{BY_PETER.replace(chr(0x2014), '-')}",
        f"{TEXT}\ud800\n{BY_PETER}",
        f"{TEXT}\t\n{BY_PETER}",
        f"{TEXT}\r\n{BY_PETER}",
        "",
        "\n\n",
        f"\n\n{BY_PETER}"[1:],
    ],
    ids=lambda note: f"{len(note)}-{sum(note.encode('utf-8', 'surrogatepass')) % 9973}",
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(InvalidInput):
        parse_note(note)


def lines(count: int) -> str:
    return "".join(Signature(f"key{n}", bytes(4), b"x" * 64).line() for n in range(count))


def test_there_is_a_limit_to_signatures_and_size() -> None:
    assert len(parse_note(f"{TEXT}\n{lines(MAX_SIGNATURES)}").signatures) == MAX_SIGNATURES
    with pytest.raises(InvalidInput, match="more than 100"):
        parse_note(f"{TEXT}\n{lines(MAX_SIGNATURES + 1)}")
    fits = "x" * (MAX_NOTE_BYTES - len(f"\n\n{BY_PETER}".encode()))
    assert parse_note(f"{fits}\n\n{BY_PETER}").text == fits + "\n"
    with pytest.raises(InvalidInput, match="longer than"):
        parse_note(f"x{fits}\n\n{BY_PETER}")
    with pytest.raises(InvalidInput, match="longer than"):
        parse_note(f"{chr(0xE8)}{fits[:-1]}\n\n{BY_PETER}")


@pytest.mark.parametrize("piece", ["\n", "\u2014 a b\n", "\n\n", "a", "\u2014", BY_PETER], ids=range(6))
def test_what_is_too_large_is_refused_at_once(piece: str) -> None:
    note = piece * (50_000_000 // len(piece))
    start = time.process_time()
    with pytest.raises(InvalidInput):
        parse_note(note)
    assert time.process_time() - start < 0.5


def test_lines_are_merged_and_a_newer_one_takes_the_older_ones_place() -> None:
    note = parse_note(GO)
    peter = note.signatures[0]
    again = Signature(peter.name, peter.key_id, b"newer")
    other = Signature(peter.name, b"\0\0\0\0", b"another key")
    found = merged(note, [again, other])
    assert found == Note(TEXT, (again, note.signatures[1], other))


@pytest.mark.parametrize("text", ["", "\n", BY_PETER[:-1], BY_PETER + "\n", "x\n"], ids=range(5))
def test_signature_lines_alone_are_read_as_strictly(text: str) -> None:
    assert parse_signatures(BY_PETER + BY_ENOCH) == parse_note(GO).signatures
    with pytest.raises(InvalidInput):
        parse_signatures(text)


def test_a_signature_line_is_the_base64_of_id_and_value() -> None:
    line = Signature("a", b"1234", b"5678").line()
    assert line == f"\u2014 a {base64.b64encode(b'12345678').decode()}\n"
