"""The witness's folder: written whole or not at all, never begun anew, and sound after kill -9 at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from custody.adapters.witness_book import FileBook
from custody.errors import InvalidInput, NotFound, Tampered, Unavailable
from custody.ledger.checkpoint import Checkpoint, sign_checkpoint
from custody.ledger.merkle import leaf_hash, prove_consistency, root_of
from custody.ledger.note import COSIGNATURE, ED25519, VerifierKey
from custody.ledger.witness import UNSEEN, Request, Seen, Witness
from custody.seal.keys import LogKey

ORIGIN = "example.org/log"
KEY = LogKey.generate()
LOG = VerifierKey(ORIGIN, ED25519, KEY.public)


@pytest.fixture
def book(tmp_path: Path) -> FileBook:
    found = FileBook.create(tmp_path / "eye", "eye.example/one")
    found.follow(LOG)
    return found


def state(book: FileBook) -> Path:
    return next((book.folder / "logs").glob("*.json"))


def test_a_new_witness_has_a_name_a_key_and_no_log(tmp_path: Path) -> None:
    book = FileBook.create(tmp_path / "eye", "eye.example/one")
    assert book.name() == "eye.example/one"
    assert book.key().public == FileBook(tmp_path / "eye").key().public
    assert book.followed() == []
    assert (tmp_path / "eye" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_witness_is_never_overwritten(book: FileBook) -> None:
    with pytest.raises(InvalidInput, match="already"):
        FileBook.create(book.folder, "eye.example/two")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 300])
def test_an_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        FileBook.create(tmp_path / "eye", name)


def test_where_there_is_no_witness_the_first_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as error:
        FileBook(tmp_path).name()
    assert "custody witness init" in error.value.hint


def test_following_again_keeps_what_was_signed_and_adds_the_key(book: FileBook) -> None:
    seen = Seen(5, bytes(32))
    with book.turn():
        book.keep(ORIGIN, seen)
    again = VerifierKey(ORIGIN, ED25519, LogKey.generate().public)
    assert book.follow(again).seen == seen
    assert book.keys(ORIGIN) == (LOG, again)
    assert book.follow(LOG).keys == (LOG, again)
    assert [log.origin for log in book.followed()] == [ORIGIN]


def test_only_sound_log_keys_are_followed(book: FileBook) -> None:
    with pytest.raises(InvalidInput, match="small order"):
        book.follow(VerifierKey("weak", ED25519, bytes(32)))
    with pytest.raises(InvalidInput, match="not a log's"):
        book.follow(VerifierKey("eye", COSIGNATURE, KEY.public))


def test_a_log_that_is_not_followed_has_no_keys(book: FileBook) -> None:
    assert book.keys("example.org/else") == ()


def test_what_was_signed_is_never_taken_back(book: FileBook) -> None:
    book.keep(ORIGIN, Seen(5, bytes(32)))
    for older in (Seen(4, bytes(32)), Seen(5, b"x" * 32)):
        with pytest.raises(Tampered, match="refusing to forget"):
            book.keep(ORIGIN, older)
    assert FileBook(book.folder).last(ORIGIN) == Seen(5, bytes(32))


def test_a_state_that_is_gone_is_not_begun_anew(book: FileBook) -> None:
    book.keep(ORIGIN, Seen(5, bytes(32)))
    state(book).unlink()
    for look in (lambda: book.last(ORIGIN), lambda: book.keys(ORIGIN), lambda: book.follow(LOG), book.followed):
        with pytest.raises(Tampered, match="is gone"):
            look()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"origin":"x"}', "\xff", '{"keys":[],"origin":"example.org/log","root":"","size":0}'],
    ids=range(7),
)
def test_a_damaged_state_is_not_begun_anew(book: FileBook, text: str) -> None:
    state(book).write_text(text, "latin-1")
    with pytest.raises(Tampered, match="damaged"):
        book.last(ORIGIN)
    with pytest.raises(Tampered, match="damaged"):
        book.follow(LOG)


def test_a_state_of_another_log_is_noticed(book: FileBook) -> None:
    other = book.follow(VerifierKey("example.org/else", ED25519, KEY.public))
    paths = sorted((book.folder / "logs").glob("*.json"))
    texts = [path.read_bytes() for path in paths]
    for path, text in zip(paths, reversed(texts), strict=True):
        path.write_bytes(text)
    with pytest.raises(Tampered, match="another log"):
        book.last(other.origin)


def test_a_damaged_name_is_noticed(book: FileBook) -> None:
    (book.folder / "witness.json").write_text('{"format": "custody-witness/2", "name": "x", "origins": []}')
    with pytest.raises(Tampered, match="damaged"):
        book.name()


def test_a_full_disk_signs_nothing(book: FileBook, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        book.keep(ORIGIN, Seen(5, bytes(32)))
    monkeypatch.undo()
    assert book.last(ORIGIN) == UNSEEN
    assert [path.name for path in (book.folder / "logs").iterdir() if path.name.startswith(".")] == []


# Killed at any moment: one process signs, is killed, and another goes on with a forged history.

LEAVES = [leaf_hash(str(n).encode()) for n in range(400)]
SIGNER = """
import sys, time
from pathlib import Path
from custody.adapters.witness_book import FileBook
from custody.ledger.witness import Witness, parse_request

book = FileBook(Path(sys.argv[1]))
witness = Witness(book.name(), book.key(), book, lambda: int(time.time()))
print("ready", flush=True)
for line in sys.stdin:
    answer = witness.add_checkpoint(bytes.fromhex(line))
    print(answer.status, flush=True)
"""


def ask(old: int, size: int, salt: bytes = b"") -> bytes:
    leaves = [leaf_hash(leaf + salt) for leaf in LEAVES[:size]] if salt else LEAVES[:size]
    proof = prove_consistency(leaves, old) if 0 < old < size else []
    note = sign_checkpoint(Checkpoint(ORIGIN, size, root_of(leaves)), KEY)
    return Request(old, tuple(proof), note).to_bytes()


def test_kill_9_at_any_moment_never_lets_one_size_be_signed_twice(book: FileBook) -> None:
    """30 signers are killed after a random bit of work; no acknowledged size may ever be signed with another root."""
    acknowledged = 0
    for turn in range(30):
        process = subprocess.Popen(
            [sys.executable, "-c", SIGNER, str(book.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        start = book.last(ORIGIN).size
        for step in range(3):
            process.stdin.write(ask(start + step, start + step + 1).hex() + "\n")
        process.stdin.flush()
        time.sleep(0.0004 * turn)
        process.send_signal(signal.SIGKILL)
        answers = process.stdout.read().split()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        acknowledged = max(acknowledged, start + answers.count("200"))
        seen = FileBook(book.folder).last(ORIGIN)
        assert seen.size >= acknowledged
        assert seen.root == root_of(LEAVES[: seen.size])
    witness = Witness(book.name(), book.key(), book, lambda: 0)
    for size in range(1, acknowledged + 1):
        assert witness.add_checkpoint(ask(0, size, b"forged")).status == 409
        assert witness.add_checkpoint(ask(acknowledged, acknowledged + size, b"forged")).status in (409, 422)
    assert acknowledged > 0


def test_whoever_comes_second_waits_for_the_first(book: FileBook) -> None:
    order: list[str] = []

    def second() -> None:
        with FileBook(book.folder).turn():
            order.append("second")

    thread = threading.Thread(target=second)
    with book.turn():
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_two_processes_take_turns(book: FileBook) -> None:
    """Both are offered different histories at once; each size is signed for one of them only."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SIGNER, str(book.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = []
    for process, salt in zip(processes, (b"", b"forged"), strict=True):
        assert process.stdin is not None
        process.stdin.write("".join(ask(0, 3, salt).hex() + "\n" for _ in range(5)))
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        answers.append(set(out.split()))
    assert sorted("200" in one for one in answers) in ([False, True],)
