"""The witness signs a checkpoint only if it contains all it saw before, and keeps that before it signs."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from custody.errors import InvalidInput, Tampered, Unavailable
from custody.ledger.checkpoint import Checkpoint, cosignatures, sign_checkpoint
from custody.ledger.merkle import EMPTY_ROOT, leaf_hash, prove_consistency, root_of
from custody.ledger.note import COSIGNATURE, ED25519, VerifierKey, parse_signatures, parse_vkey
from custody.ledger.witness import MAX_REQUEST_BYTES, SIZE, UNSEEN, Answer, Request, Seen, Witness, parse_request
from custody.seal.keys import LogKey

ORIGIN = "example.org/log"
KEY, OTHER = LogKey.generate(), LogKey.generate()
EYE = LogKey.generate()
NAME = "eye.example/one"
LEAVES = [leaf_hash(str(n).encode()) for n in range(40)]
FORGED = [leaf_hash(f"forged {n}".encode()) for n in range(40)]
NOW = 1_700_000_000


class Diary:
    """A book in memory that writes down what was kept, and may fail to keep it."""

    def __init__(self, keys: Sequence[VerifierKey] = (VerifierKey(ORIGIN, ED25519, KEY.public),)) -> None:
        self._keys, self.seen, self.kept = keys, UNSEEN, [UNSEEN][:0]
        self.lock, self.fails, self.forgets = threading.Lock(), False, False

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self.lock:
            yield

    def keys(self, origin: str) -> Sequence[VerifierKey]:
        return [key for key in self._keys if key.name == origin]

    def last(self, origin: str) -> Seen:
        return self.seen

    def keep(self, origin: str, seen: Seen) -> None:
        assert self.lock.locked()
        if self.fails:
            raise Unavailable("the disk is full")
        self.kept.append(seen)
        if not self.forgets:
            self.seen = seen


def note_of(leaves: Sequence[bytes], size: int, key: LogKey = KEY, origin: str = ORIGIN) -> str:
    return sign_checkpoint(Checkpoint(origin, size, root_of(leaves[:size])), key)


def ask(old: int, size: int, leaves: Sequence[bytes] = LEAVES, key: LogKey = KEY) -> bytes:
    proof = prove_consistency(leaves[:size], old) if 0 < old < size else []
    return Request(old, tuple(proof), note_of(leaves, size, key)).to_bytes()


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def witness(diary: Diary) -> Witness:
    return Witness(NAME, EYE, diary, lambda: NOW)


def signed(answer: Answer, note: str) -> dict[str, int]:
    assert answer.status == 200, answer
    parse_signatures(answer.body)
    return cosignatures(note + answer.body, {NAME: EYE.public})


def test_the_first_checkpoint_is_signed_on_trust(witness: Witness, diary: Diary) -> None:
    assert signed(witness.add_checkpoint(ask(0, 5)), note_of(LEAVES, 5)) == {NAME: NOW}
    assert diary.kept == [Seen(5, root_of(LEAVES[:5]))]


def test_what_grows_is_signed_step_by_step(witness: Witness, diary: Diary) -> None:
    sizes = [1, 2, 3, 7, 8, 9, 16, 31, 33, 40]
    for old, size in zip([0, *sizes], sizes, strict=False):
        assert signed(witness.add_checkpoint(ask(old, size)), note_of(LEAVES, size))
    assert [seen.size for seen in diary.kept] == sizes


def test_the_same_checkpoint_is_signed_again(witness: Witness, diary: Diary) -> None:
    witness.add_checkpoint(ask(0, 5))
    assert signed(witness.add_checkpoint(ask(5, 5)), note_of(LEAVES, 5))
    assert len(diary.kept) == 1


def test_go_vectors_of_another_witness(diary: Diary) -> None:
    """The vectors of github.com/transparency-dev/witness (Apache-2.0): trust on first use, then a proof from 5 to 8."""
    log = parse_vkey("monkeys+db4d9f7e+AULaJMvTtDLHPUcUrjdDad9vDlh/PTfC2VV60JUtCfWT")
    five = (
        "monkeys\n5\n41smjBUiAU70EtKlT6lIOIYtRTYxYXsDB+XHfcvu/BE=\n\n\u2014 monkeys "
        "202fftzGl3LVoqjXfwCFZZXs8I+5G22+Ek2K0AOyBuSJ/8/CZawNF+6fNlTKOCd622pbzJNkkJFWuw9DbicZCkEx9AY=\n"
    )
    eight = (
        "monkeys\n8\nV8K9aklZ4EPB+RMOk1/8VsJUdFZR77GDtZUQq84vSbo=\n\n\u2014 monkeys "
        "202ffoUEboiQYpHzICeaFmoy3RNviHTpAxYrq/eO4QQVQMvu9UebKBMX2MJC76NLthZaKsnKbCA8GxrjePZhvDCH7Ag=\n"
    )
    proof = [
        bytes.fromhex("b9e1d62618f7fee8034e4c5010f727ab24d8e4705cb296c374bf2025a87a10d2"),
        bytes.fromhex("aac66cd7a79ce4012d80762fe8eec3a77f22d1ca4145c3f4cee022e7efcd599d"),
        bytes.fromhex("89d0f753f66a290c483b39cd5e9eafb12021293395fad3d4a2ad053cfbcfdc9e"),
        bytes.fromhex("29e40bb79c966f4c6fe96aff6f30acfce5f3e8d84c02215175d6e018a5dee833"),
    ]
    witness = Witness(NAME, EYE, Diary([log]), lambda: NOW)
    assert signed(witness.add_checkpoint(Request(0, (), five).to_bytes()), five)
    assert witness.add_checkpoint(Request(5, tuple(proof[::-1]), eight).to_bytes()).status == 422
    assert signed(witness.add_checkpoint(Request(5, tuple(proof), eight).to_bytes()), eight)


def test_the_example_of_the_specification_is_read() -> None:
    """https://c2sp.org/tlog-witness, example request body (its leaves are not published)."""
    body = (
        "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
        "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "\u2014 example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    ).encode()
    found = parse_request(body)
    assert (found.old, len(found.proof)) == (20852014, 4)
    assert found.to_bytes() == body


# What is refused


def test_another_history_is_never_signed(witness: Witness, diary: Diary) -> None:
    """A split view: the same log key, the same sizes, other entries."""
    witness.add_checkpoint(ask(0, 5))
    for old, size, status in [(5, 5, 409), (5, 8, 422), (0, 8, 409), (3, 8, 409), (5, 4, 400), (4, 4, 409)]:
        answer = witness.add_checkpoint(ask(old, size, FORGED))
        assert answer.status == status, (old, size)
        assert "\u2014" not in answer.body
    mixed = LEAVES[:4] + FORGED[4:]
    assert witness.add_checkpoint(ask(5, 9, mixed)).status == 422
    assert diary.kept == [Seen(5, root_of(LEAVES[:5]))]
    assert signed(witness.add_checkpoint(ask(5, 8)), note_of(LEAVES, 8))


def test_a_split_view_is_told_from_a_late_request(witness: Witness) -> None:
    witness.add_checkpoint(ask(0, 5))
    assert "ALARM" in witness.add_checkpoint(ask(5, 5, FORGED)).reason
    assert "ALARM" in witness.add_checkpoint(ask(5, 8, FORGED)).reason
    assert "ALARM" not in witness.add_checkpoint(ask(3, 8)).reason


def test_a_late_request_is_told_the_size(witness: Witness) -> None:
    witness.add_checkpoint(ask(0, 7))
    answer = witness.add_checkpoint(ask(3, 9))
    assert (answer.status, answer.body, answer.content_type) == (409, "7\n", SIZE)


def test_an_older_checkpoint_is_never_signed(witness: Witness) -> None:
    witness.add_checkpoint(ask(0, 9))
    for old in range(10):
        assert witness.add_checkpoint(ask(old, 5)).status in (400, 409)


def test_a_log_that_is_not_followed_is_unknown(witness: Witness) -> None:
    body = Request(0, (), sign_checkpoint(Checkpoint("example.org/else", 3, root_of(LEAVES[:3])), KEY)).to_bytes()
    assert witness.add_checkpoint(body).status == 404


def test_only_the_logs_own_key_opens_the_witness(witness: Witness, diary: Diary) -> None:
    assert witness.add_checkpoint(ask(0, 5, key=OTHER)).status == 403
    broken = ask(0, 5).decode().replace("\n5\n", "\n6\n", 1).encode()
    assert witness.add_checkpoint(broken).status == 403
    assert diary.kept == []


def test_a_log_may_change_its_key() -> None:
    keys = [VerifierKey(ORIGIN, ED25519, key.public) for key in (OTHER, KEY)]
    witness = Witness(NAME, EYE, Diary(keys), lambda: NOW)
    assert witness.add_checkpoint(ask(0, 5, key=OTHER)).status == 200
    assert witness.add_checkpoint(ask(5, 8, key=KEY)).status == 200


def test_a_witness_key_opens_no_log() -> None:
    witness = Witness(NAME, EYE, Diary([VerifierKey(ORIGIN, COSIGNATURE, KEY.public)]), lambda: NOW)
    assert witness.add_checkpoint(ask(0, 5)).status == 403


def test_a_proof_where_none_belongs_is_refused(witness: Witness) -> None:
    spare = Request(0, (LEAVES[0],), note_of(LEAVES, 5)).to_bytes()
    assert witness.add_checkpoint(spare).status == 422
    witness.add_checkpoint(ask(0, 5))
    assert witness.add_checkpoint(Request(5, (LEAVES[0],), note_of(LEAVES, 5)).to_bytes()).status == 422
    assert witness.add_checkpoint(Request(5, (), note_of(LEAVES, 8)).to_bytes()).status == 422


def test_an_empty_log_has_the_empty_root(witness: Witness) -> None:
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY)
    odd = sign_checkpoint(Checkpoint(ORIGIN, 0, LEAVES[0]), KEY)
    assert witness.add_checkpoint(Request(0, (), odd).to_bytes()).status == 409
    assert witness.add_checkpoint(Request(0, (), empty).to_bytes()).status == 200
    assert witness.add_checkpoint(ask(0, 5)).status == 200


GOOD = ask(3, 5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"",
        lambda body: body[:10],
        lambda body: body.replace(b"old 3", b"old 03"),
        lambda body: body.replace(b"old 3", b"old -3"),
        lambda body: body.replace(b"old 3", b"old  3"),
        lambda body: body.replace(b"old 3", b"old "),
        lambda body: body.replace(b"old 3", b"old " + b"9" * 5000),
        lambda body: body.replace(b"old 3", b"new 3"),
        lambda body: body.replace(b"old 3\n", b"old 3\n" + base64.b64encode(bytes(31)) + b"\n"),
        lambda body: body.replace(b"old 3\n", b"old 3\nnot base64\n"),
        lambda body: body.replace(b"old 3\n", b"old 3\n" + (base64.b64encode(bytes(32)) + b"\n") * 64),
        lambda body: body.replace(b"\n5\n", b"\n05\n"),
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: body + b"\xff",
        lambda body: body[:-1],
        lambda body: body + b"x" * MAX_REQUEST_BYTES,
        lambda body: b"\n" * 60_000,
    ],
    ids=range(17),
)
def test_a_malformed_request_is_400_or_unknown(witness: Witness, diary: Diary, spoil: Callable[[bytes], bytes]) -> None:
    assert witness.add_checkpoint(spoil(GOOD)).status in (400, 404)
    assert diary.kept == []
    if len(spoil(GOOD)) > MAX_REQUEST_BYTES:
        with pytest.raises(InvalidInput, match="longer"):
            parse_request(spoil(GOOD))


# Kept before it is signed


def test_what_could_not_be_kept_is_not_signed(witness: Witness, diary: Diary) -> None:
    diary.fails = True
    with pytest.raises(Unavailable):
        witness.add_checkpoint(ask(0, 5))
    diary.fails = False
    assert witness.add_checkpoint(ask(0, 6, FORGED)).status == 200


def test_a_book_that_forgets_is_noticed_before_signing(witness: Witness, diary: Diary) -> None:
    diary.forgets = True
    with pytest.raises(Tampered):
        witness.add_checkpoint(ask(0, 5))


def offer(witness: Witness, leaves: Sequence[bytes], answers: list[int]) -> None:
    answers.append(witness.add_checkpoint(ask(0, 9, leaves)).status)


def test_of_two_histories_at_once_one_is_signed() -> None:
    for _ in range(20):
        witness = Witness(NAME, EYE, Diary(), lambda: NOW)
        answers: list[int] = []
        threads = [threading.Thread(target=offer, args=(witness, leaves, answers)) for leaves in (LEAVES, FORGED)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, 409]
