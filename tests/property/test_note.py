"""Notes, keys and requests: whatever can be made is read back as it was, whatever is changed is noticed."""

from __future__ import annotations

import contextlib
import random

from hypothesis import given
from hypothesis import strategies as st

from custody.errors import InvalidInput, Tampered
from custody.ledger.checkpoint import (
    Checkpoint,
    cosign,
    cosignatures,
    open_checkpoint,
    sign_checkpoint,
    with_cosignatures,
)
from custody.ledger.merkle import leaf_hash, prove_consistency, root_of
from custody.ledger.note import COSIGNATURE, ED25519, Note, Signature, VerifierKey, parse_note, parse_vkey
from custody.ledger.witness import Request, Seen, parse_request
from custody.seal.keys import LogKey

KEY = LogKey.generate()
EYES = {f"eye.example/{n}": LogKey.generate() for n in range(4)}
PUBLIC = {name: key.public for name, key in EYES.items()}

names = st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters="+"), min_size=1, max_size=20)
lines = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
texts = st.lists(lines, min_size=1, max_size=6).map(lambda found: "\n".join(found) + "\n")
signatures = st.builds(Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
origins = names.map(lambda name: f"example.org/{name}")
sizes = st.integers(0, 2**53)
roots = st.binary(min_size=32, max_size=32)


@given(texts, st.lists(signatures, min_size=1, max_size=8, unique_by=lambda one: (one.name, one.key_id)))
def test_a_note_is_read_as_it_was_written(text: str, found: list[Signature]) -> None:
    note = Note(text, tuple(found))
    assert parse_note(note.to_text()) == note


@given(names, st.sampled_from([ED25519, COSIGNATURE]), roots)
def test_a_verifier_key_is_read_as_it_was_written(name: str, kind: int, public: bytes) -> None:
    key = VerifierKey(name, kind, public)
    assert parse_vkey(str(key)) == key


@given(origins, sizes, roots)
def test_a_checkpoint_is_opened_as_it_was_signed(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)
    assert open_checkpoint(sign_checkpoint(checkpoint, KEY), origin, KEY.public) == checkpoint


@given(origins, sizes, roots, st.sets(st.sampled_from(sorted(EYES))), st.sets(st.sampled_from(sorted(EYES))), sizes)
def test_just_those_who_signed_and_are_asked_for_count(
    origin: str, size: int, root: bytes, signed: set[str], asked: set[str], at: int
) -> None:
    note = sign_checkpoint(Checkpoint(origin, size, root), KEY)
    note = with_cosignatures(note, [cosign(note, name, EYES[name], at) for name in signed], PUBLIC)
    assert cosignatures(note, {name: PUBLIC[name] for name in asked}) == dict.fromkeys(sorted(signed & asked), at)


@given(st.integers(0, 10**9))
def test_no_change_of_a_cosigned_note_adds_or_keeps_a_witness(seed: int) -> None:
    chance = random.Random(seed)
    checkpoint = Checkpoint("example.org/log", 7, bytes(32))
    plain = sign_checkpoint(checkpoint, KEY)
    note = with_cosignatures(plain, [cosign(plain, name, EYES[name], 5) for name in list(EYES)[:2]], PUBLIC)
    body = bytearray(note.encode())
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    try:
        text = body.decode()
        counted = cosignatures(text, PUBLIC)
        assert set(counted) <= set(list(EYES)[:2])
        assert all(at == 5 for at in counted.values())
        intact = parse_note(text).text == checkpoint.body()
        assert intact or not counted
        assert not intact or len(counted) >= 1
        open_checkpoint(text, "example.org/log", KEY.public)
        assert intact
    except (InvalidInput, Tampered, UnicodeDecodeError):
        pass


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_request_is_read_as_it_was_written(old: int, size: int) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(size)]
    proof = prove_consistency(leaves, old) if 0 < old < size else []
    note = sign_checkpoint(Checkpoint("example.org/log", size, root_of(leaves)), KEY)
    request = Request(old, tuple(proof), note)
    assert parse_request(request.to_bytes()) == request
    assert Seen(size, root_of(leaves)).size == size


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read_back(raw: bytes) -> None:
    text = raw.decode("latin-1")
    for read, write in ((parse_note, Note.to_text), (parse_vkey, str)):
        try:
            assert write(read(text)) == text  # type: ignore[arg-type, operator]
        except InvalidInput:
            continue
    with contextlib.suppress(InvalidInput):
        assert parse_request(raw).to_bytes() == raw
