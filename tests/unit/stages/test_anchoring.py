"""Outside eyes: what witnesses sign goes on record, and a second history or a rolled-back one meets them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from custody.adapters.witness_book import FileBook
from custody.config import read_config
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import witness_id
from custody.core.subject import Subject
from custody.desk import CUSTODIAN
from custody.errors import CustodyError, InvalidInput, OutOfOrder, Tampered, Unavailable, Unknown
from custody.ledger.checkpoint import Checkpoint, cosign, cosignatures, open_checkpoint, sign_checkpoint
from custody.ledger.note import ED25519, VerifierKey, parse_note
from custody.ledger.trust import Owner, Root, sign_root
from custody.ledger.trust import Witness as Named
from custody.ledger.witness import SIZE, Answer, Request, Witness
from custody.records.freshness import freshness
from custody.seal.keys import LogKey, raw_to_text
from custody.stages.anchoring import Panel, anchor, cover, request_for
from custody.stages.deployment import admit
from custody.testing import Life
from custody.wiring import Custody

Copy = Callable[[str], Life]


class Near:
    """A witness that is asked without a network, and may be made to fail."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.url = name, f"near:{name}"
        self.book = FileBook.create(folder / name.replace("/", "-"), name)
        self.key = self.book.key()
        self.now = 1_700_000_000
        self.asked: list[int] = []
        self.down, self.answer = False, None

    def follow(self, life: Life) -> None:
        public = life.custody.desk.log.public
        self.book.follow(VerifierKey(life.custody.config.origin, ED25519, public))

    def ask(self, request: Request) -> Answer:
        self.asked.append(request.old)
        if self.down:
            raise Unavailable("nobody there")
        if self.answer is not None:
            return self.answer
        return Witness(self.name, self.key, self.book, lambda: self.now).add_checkpoint(request.to_bytes())


def install(life: Life, eyes: list[Near], quorum: int, expires: str = "") -> None:
    """Put version 2 of the trust root on record, with these witnesses."""
    desk, config = life.desk, life.custody.config
    olga = desk.actor("olga")
    owner = Owner("olga", olga.person, olga.keyid, olga.key)
    named = tuple(Named(eye.name, raw_to_text(eye.key.public)) for eye in eyes)
    root = Root(2, expires, config.log_key, (owner,), 1, named, quorum)
    signer = life.custody.signer("olga")
    said = {**root.to_json(), "signatures": [sign_root(config.origin, root, signer)]}
    pen = desk.permit("olga", Action.SIGN_ROOT)
    pen.write(Subject("trust-root", olga.keyid), kinds.TRUST_ROOT, said)


@pytest.fixture
def eyes(tmp_path: Path) -> list[Near]:
    return [Near(tmp_path, f"eye.example/{letter}") for letter in "abc"]


@pytest.fixture
def watched(life: Life, eyes: list[Near]) -> Life:
    """Give an honest life whose trust root asks for two of three witnesses."""
    for eye in eyes:
        eye.follow(life)
        eye.now = int(life.desk._clock().timestamp())
    install(life, eyes, 2)
    return life


def panel_of(life: Life, eyes: list[Near]) -> Panel:
    return replace(life.custody.panel(), eyes=eyes)


def stranger(life: Life, tmp_path: Path, store: Path | None = None) -> Life:
    """Give the same project to a client that never saw it, with the log's key, and maybe another store."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(life.custody.config.root, folder)
    if store is not None:
        for part in folder.glob(".custody/ledger.db*"):
            part.unlink()
        shutil.copy(store, folder / ".custody" / "ledger.db")
    found = Life.__new__(Life)
    found.__dict__ = dict(life.__dict__)
    found.custody = Custody(read_config(folder / "custody.toml", {"CUSTODY_STATE": str(tmp_path / "new state")}))
    found.desk = found.custody.desk
    return found


def backup(life: Life, path: Path) -> Path:
    """Copy the store as it stands, the write-ahead log brought in."""
    import sqlite3

    source = sqlite3.connect(life.custody.config.ledger)
    target = sqlite3.connect(path)
    source.backup(target)
    target.close()
    source.close()
    return path


def test_what_the_witnesses_signed_is_on_record(watched: Life, eyes: list[Near]) -> None:
    before = watched.record
    found = anchor(watched.desk, panel_of(watched, eyes))
    said = found.entry.predicate
    assert (said["size"], said["root"]) == (before.size, before.root)
    assert found.entry.actor == CUSTODIAN
    assert set(found.cosigned) == set(found.covered) == {eye.name for eye in eyes}
    opened = open_checkpoint(said["note"], watched.custody.config.origin, watched.desk.log.public)
    assert opened == Checkpoint(watched.custody.config.origin, before.size, bytes.fromhex(before.root))
    names = {witness_id(eye.name, raw_to_text(eye.key.public)) for eye in eyes}
    assert watched.record.anchors == {found.entry.index: names}


def test_the_anchor_itself_is_covered(watched: Life, eyes: list[Near]) -> None:
    anchor(watched.desk, panel_of(watched, eyes))
    watched.desk.read()
    reading = watched.desk.reading
    witnesses = {eye.name: eye.key.public for eye in eyes}
    assert set(cosignatures(reading.note, witnesses)) == set(witnesses)
    assert {eye.book.last(watched.custody.config.origin).size for eye in eyes} == {reading.checkpoint.size}
    fresh = freshness(watched.record, reading, watched.desk.time())
    assert fresh.state == "witnessed"
    assert fresh.size == reading.checkpoint.size


def test_the_next_anchor_begins_where_the_witnesses_are(watched: Life, eyes: list[Near]) -> None:
    anchor(watched.desk, panel_of(watched, eyes))
    for eye in eyes:
        eye.asked.clear()
    watched.approve("cora")
    second = anchor(watched.desk, panel_of(watched, eyes))
    assert all(len(eye.asked) == 2 for eye in eyes), "one request for the anchor, one to cover it"
    assert len(second.cosigned) == 3


def test_a_witness_that_is_elsewhere_tells_its_size_and_is_asked_again(watched: Life, eyes: list[Near]) -> None:
    cover(watched.desk, panel_of(watched, eyes[:1]))
    size = watched.record.size
    watched.approve("cora")
    found = anchor(watched.desk, panel_of(watched, eyes))
    assert set(found.cosigned) == {eye.name for eye in eyes}
    assert eyes[0].asked[1:3] == [0, size]


def test_one_witness_that_is_down_does_not_matter(watched: Life, eyes: list[Near]) -> None:
    eyes[1].down = True
    found = anchor(watched.desk, panel_of(watched, eyes))
    assert set(found.cosigned) == {"eye.example/a", "eye.example/c"}
    assert [outcome.state for outcome in found.outcomes] == ["signed", "silent", "signed"]


def test_too_few_witnesses_are_unknown_and_nothing_is_recorded(watched: Life, eyes: list[Near]) -> None:
    eyes[0].down = eyes[1].down = True
    size = watched.record.size
    with pytest.raises(Unknown, match="1 of 2 witnesses signed") as error:
        anchor(watched.desk, panel_of(watched, eyes))
    assert "near:eye.example/a: nobody there" in error.value.message
    assert "near:eye.example/b: nobody there" in error.value.message
    assert watched.record.size == size


def test_nobody_to_ask_says_how_to_name_somebody(life: Life) -> None:
    with pytest.raises(OutOfOrder) as error:
        anchor(life.desk, Panel())
    assert "--witness URL" in error.value.hint


def test_a_witness_whom_the_root_does_not_name_does_not_count(watched: Life, eyes: list[Near], tmp_path: Path) -> None:
    other = Near(tmp_path, "eye.example/d")
    other.follow(watched)
    with pytest.raises(Unknown, match=r"1 of 2 witnesses signed.*no witness whom the trust root names"):
        anchor(watched.desk, panel_of(watched, [eyes[0], other]))


def test_a_witness_with_another_key_does_not_count(watched: Life, eyes: list[Near]) -> None:
    eyes[0].key = LogKey.generate()
    found = anchor(watched.desk, panel_of(watched, eyes))
    assert "eye.example/a" not in found.cosigned


def test_one_witness_asked_twice_counts_once(watched: Life, eyes: list[Near]) -> None:
    with pytest.raises(Unknown, match="1 of 2"):
        anchor(watched.desk, panel_of(watched, [eyes[0], eyes[0]]))


def test_a_witness_that_follows_another_key_says_so(life: Life, eyes: list[Near]) -> None:
    eyes[0].book.follow(VerifierKey(life.custody.config.origin, ED25519, LogKey.generate().public))
    install(life, eyes, 1)
    with pytest.raises(Unknown, match="knows another key"):
        anchor(life.desk, panel_of(life, eyes[:1]))
    with pytest.raises(Unknown, match="does not follow this ledger"):
        anchor(life.desk, panel_of(life, eyes[1:2]))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, ""),
        Answer(200, "\u2014 a b\n"),
        Answer(200, "hello"),
        Answer(409, "many\n", SIZE),
        Answer(409, "", SIZE),
        Answer(409, "5\n", "text/html"),
        Answer(409, "3\n", SIZE),
        Answer(500, "sorry"),
        Answer(302, ""),
        Answer(422, ""),
    ],
    ids=range(10),
)
def test_an_odd_answer_counts_for_nothing(watched: Life, eyes: list[Near], answer: Answer) -> None:
    eyes[0].answer = answer
    found = anchor(watched.desk, panel_of(watched, eyes))
    assert set(found.cosigned) == {"eye.example/b", "eye.example/c"}
    assert found.outcomes[0].state == "refused"
    assert len(eyes[0].asked) <= 8


def test_one_witness_cannot_spoil_anothers_word(watched: Life, eyes: list[Near]) -> None:
    """An evil one adds a broken line in another's name, and one in the log's."""
    lines = ""
    for name, key in [("eye.example/b", eyes[1].key), (watched.custody.config.origin, LogKey.generate())]:
        line = cosign(watched.desk.reading.note, name, key, 5)
        lines += replace(line, value=line.value[:-1] + b"x").line()
    own = cosign(watched.desk.reading.note, eyes[0].name, eyes[0].key, 1_700_000_000)
    eyes[0].answer = Answer(200, own.line() + lines)
    found = anchor(watched.desk, panel_of(watched, eyes))
    assert set(found.cosigned) == {eye.name for eye in eyes}
    open_checkpoint(found.entry.predicate["note"], watched.custody.config.origin, watched.desk.log.public)


# Another history


def test_a_rewritten_history_finds_no_witness_and_no_reader(watched: Life, eyes: list[Near], tmp_path: Path) -> None:
    """Whoever holds the log's key, everybody's keys and the disk makes a second history behind the trust root."""
    store = backup(watched, tmp_path / "before.db")
    watched.approve("cora")
    anchor(watched.desk, panel_of(watched, eyes))
    seen = {eye.name: eye.book.last(watched.custody.config.origin) for eye in eyes}

    evil = stranger(watched, tmp_path, store)
    for _ in range(6):
        evil.approve("ari")
    assert evil.record.size > watched.record.size, "the second history is sound in itself"
    with pytest.raises(Tampered, match="history was rewritten") as error:
        anchor(evil.desk, panel_of(evil, eyes))
    assert error.value.exit_code == 4
    assert seen == {eye.name: eye.book.last(watched.custody.config.origin) for eye in eyes}

    fresh = freshness(evil.record, evil.desk.reading, evil.desk.time())
    assert not fresh.enough
    victim = stranger(evil, tmp_path / "victim")
    with pytest.raises(Unknown, match="freshness unproven, and the trust root asks for 2 witnesses"):
        admit(victim.desk, victim.custody.vault, "otto", victim.use_case, "production")


def test_the_same_size_with_another_root_is_told_as_two_histories(
    watched: Life, eyes: list[Near], tmp_path: Path
) -> None:
    store = backup(watched, tmp_path / "before.db")
    watched.approve("cora")
    cover(watched.desk, panel_of(watched, eyes))
    evil = stranger(watched, tmp_path, store)
    evil.approve("ari")
    assert evil.record.size == watched.record.size
    with pytest.raises(Tampered, match="two histories of this ledger"):
        anchor(evil.desk, panel_of(evil, eyes))


def test_a_store_rolled_back_below_the_anchor_is_cut_short(watched: Life, eyes: list[Near], tmp_path: Path) -> None:
    store = backup(watched, tmp_path / "before.db")
    anchor(watched.desk, panel_of(watched, eyes))
    old = stranger(watched, tmp_path, store)
    assert not old.desk.reading.fresh, "this client has no memory that could tell"
    with pytest.raises(Tampered, match="the ledger was cut short"):
        anchor(old.desk, panel_of(old, eyes))


def test_a_conflict_is_told_though_the_quorum_is_reached(watched: Life, eyes: list[Near]) -> None:
    eyes[2].answer = Answer(409, "999999\n", SIZE)
    found = anchor(watched.desk, panel_of(watched, eyes))
    assert found.outcomes[2].state == "conflict"
    assert len(found.cosigned) == 2


def test_a_command_that_wrote_meanwhile_is_no_conflict(watched: Life, eyes: list[Near], tmp_path: Path) -> None:
    """Another process anchored a longer ledger between our reading and our asking."""
    reading_first = watched.desk.read()
    twin = Custody(read_config(watched.custody.config.root / "custody.toml", {"CUSTODY_STATE": str(tmp_path / "t")}))
    other = Life.__new__(Life)
    other.__dict__ = {**watched.__dict__, "custody": twin, "desk": twin.desk}
    done = threading.Event()
    plain = [Via(eye.url, eye.ask) for eye in eyes]

    def meanwhile(request: Request) -> Answer:
        if not done.is_set():
            other.approve("cora")
            cover(other.desk, replace(panel_of(other, []), eyes=plain[1:]))
            done.set()
        return plain[0].ask(request)

    def after(which: Via, request: Request) -> Answer:
        assert done.wait(30)
        return which.ask(request)

    asked = [Via(plain[0].url, meanwhile), *(Via(one.url, partial(after, one)) for one in plain[1:])]
    found = anchor(watched.desk, replace(panel_of(watched, []), eyes=asked))
    assert found.checkpoint.size == reading_first.size + 1
    assert len(found.cosigned) == 3


@dataclass(frozen=True)
class Via:
    """A witness that is asked by way of a function."""

    url: str
    ask: Callable[[Request], Answer]


# By file


def test_a_note_that_came_by_file_is_anchored(watched: Life, eyes: list[Near]) -> None:
    request = request_for(watched.desk)
    notes = []
    for eye in eyes[:2]:
        answer = eye.ask(request)
        notes.append(request.note + answer.body)
    size = watched.record.size
    watched.approve("cora")
    found = anchor(watched.desk, replace(watched.custody.panel(), eyes=()), notes)
    assert found.checkpoint.size == size
    assert set(found.cosigned) == {"eye.example/a", "eye.example/b"}
    assert found.entry.index in watched.record.anchors


def test_a_request_by_file_begins_where_it_is_told(watched: Life, eyes: list[Near]) -> None:
    cover(watched.desk, panel_of(watched, eyes))
    size = watched.record.size
    watched.approve("cora")
    assert eyes[0].ask(request_for(watched.desk, size)).status == 200
    for wrong in (-1, size + 2):
        with pytest.raises(InvalidInput):
            request_for(watched.desk, wrong)


def test_a_note_of_another_history_is_refused(watched: Life, eyes: list[Near]) -> None:
    origin = watched.custody.config.origin
    log = LogKey.load(watched.custody.config.keys / "log.pem")
    size = watched.record.size
    for checkpoint in (Checkpoint(origin, 3, bytes(32)), Checkpoint(origin, size + 5, bytes(32))):
        note = sign_checkpoint(checkpoint, log)
        note += "".join(cosign(note, eye.name, eye.key, 5).line() for eye in eyes)
        with pytest.raises(Tampered):
            anchor(watched.desk, watched.custody.panel(), [note])
    forged = sign_checkpoint(Checkpoint(origin, size, bytes.fromhex(watched.record.root)), LogKey.generate())
    with pytest.raises(Tampered, match="not signed by the log's key"):
        anchor(
            watched.desk,
            watched.custody.panel(),
            [forged + "".join(cosign(forged, eye.name, eye.key, 5).line() for eye in eyes)],
        )
    for text in ("", "hello", watched.desk.reading.note[:-1]):
        with pytest.raises(InvalidInput):
            anchor(watched.desk, watched.custody.panel(), [text])
    assert watched.record.size == size


def test_a_note_without_enough_witnesses_is_unknown(watched: Life, eyes: list[Near]) -> None:
    with pytest.raises(Unknown, match="0 of 2 witnesses signed"):
        anchor(watched.desk, watched.custody.panel(), [watched.desk.reading.note])


# What does not count


@pytest.mark.parametrize("spoil", ["size", "root", "note", "token", "future", "zero"])
def test_an_anchor_that_is_not_of_this_ledger_does_not_count(watched: Life, eyes: list[Near], spoil: str) -> None:
    found = anchor(watched.desk, panel_of(watched, eyes))
    said = {name: value for name, value in found.entry.predicate.items() if name not in ("at", "id")}
    changes: dict[str, dict[str, object]] = {
        "size": {"size": said["size"] - 1},
        "root": {"root": "0" * 64},
        "note": {"note": said["note"].replace(str(said["size"]), str(said["size"] - 1), 1)},
        "token": {"tokens": ["not a token"]},
        "future": {"size": said["size"] + 50},
        "zero": {"size": 0},
    }
    pen = watched.desk.permit(CUSTODIAN, Action.ANCHOR)
    bad = pen.write(found.entry.subject, kinds.ANCHOR, {**said, **changes[spoil]})
    good = pen.write(found.entry.subject, kinds.ANCHOR, said)
    assert bad.index not in watched.record.anchors
    assert good.index in watched.record.anchors


def test_only_the_custodian_anchors(watched: Life, eyes: list[Near]) -> None:
    found = anchor(watched.desk, panel_of(watched, eyes))
    said = {name: value for name, value in found.entry.predicate.items() if name not in ("at", "id")}
    with pytest.raises(CustodyError):
        watched.desk.permit("olga", Action.ANCHOR).write(found.entry.subject, kinds.ANCHOR, said)


def test_without_a_root_that_names_witnesses_nobody_counts(life: Life, eyes: list[Near]) -> None:
    eyes[0].follow(life)
    with pytest.raises(Unknown, match="nobody outside signed"):
        anchor(life.desk, panel_of(life, eyes[:1]))
    assert parse_note(life.desk.reading.note).signatures
