from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from custody.adapters.memory import FileMemory
from custody.adapters.sqlite import SqliteStore
from custody.core import predicates as kinds
from custody.core.access import GRANTS, WRITES, Action
from custody.core.actor import Role
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.desk import Desk, begin, check_name
from custody.errors import CustodyError, InvalidInput, NotPermitted, Tampered
from custody.ledger.log import Log, Moved
from custody.roster import read_actor
from custody.seal.envelope import Envelope, seal
from custody.seal.keys import LogKey, PersonKey
from custody.stages.people import enrol, revoke
from custody.testing import honest_life

AT = "2026-01-01T00:00:00+00:00"
MODEL = Subject("loans", "ab" * 32)
APPROVAL = {"use_case": "loans", "verdict": "approve", "reason": "seen"}

CUSTODIANS = {action for action, roles in GRANTS.items() if roles == {Role.CUSTODIAN}}
"""What Custody does by itself, and nobody else."""


class Office:
    """A desk with an owner, a custodian and whoever is hired; keys lie in a drawer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log_key = folder, LogKey.generate()
        self.keys = {name: PersonKey.generate() for name in ("olga", "custodian")}
        self.store = SqliteStore(folder / "ledger.db", create=True)
        begin(self.log("olga"), "olga", self.keys["olga"].public, frozenset({Role.OWNER}), self.keys["olga"], AT)
        self.desk = self.open()
        self.hire("custodian", Role.CUSTODIAN)

    def log(self, client: str) -> Log:
        return Log(self.store, FileMemory(self.folder / client), "log", self.log_key.public, self.log_key)

    def open(self, client: str = "me", owner: str = "") -> Desk:
        return Desk(
            self.log(client),
            owner or self.keys["olga"].keyid,
            self.keys.__getitem__,
            lambda: datetime(2026, 1, 2, tzinfo=UTC),
        )

    def hire(self, name: str, *roles: Role, person: str = "") -> None:
        key = self.keys.setdefault(name, PersonKey.generate())
        enrol(self.desk, "olga", name, person or name, frozenset(roles), key.public)

    def forge(self, kind: str, said: dict[str, Any], key: PersonKey, about: Subject = MODEL) -> None:
        """Append past the desk, as somebody with a shell and the log's key could."""
        body = said if kind == kinds.TRAINING_FINISH else {"at": AT, **said}
        self.log("forger").append([seal(Statement(about, kind, body), key)])

    def enrolment(self, name: str, **change: Any) -> dict[str, Any]:
        key = self.keys.setdefault(name, PersonKey.generate())
        said = {"name": name, "person": name, "roles": ["approver"], "key": key.public, "keyid": key.keyid}
        return {**said, "status": "active", **change}

    def count(self) -> int:
        return self.desk.read().size


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


# Writing


def test_an_allowed_action_leaves_evidence_of_who_did_it(office: Office) -> None:
    office.hire("ann", Role.APPROVER, person="Ann Smith")
    found = office.desk.permit("ann", Action.APPROVE).write(MODEL, kinds.APPROVAL, APPROVAL)
    assert (found.actor, found.person, found.roles) == ("ann", "Ann Smith", frozenset({"approver"}))
    assert found.at == "2026-01-02T00:00:00+00:00"
    assert found.subject == MODEL
    assert office.open("another").read().entries[found.index] == found


def test_a_denial_is_recorded_and_refused(office: Office) -> None:
    office.hire("ann", Role.AUDITOR)
    with pytest.raises(NotPermitted, match="needs approver or compliance_officer"):
        office.desk.permit("ann", Action.APPROVE)
    last = office.desk.read().entries[-1]
    assert last.kind == kinds.DENIAL
    assert last.actor == "custodian"
    assert last.predicate["actor"] == "ann"
    assert last.predicate["action"] == "gate.approve"


def test_a_pen_writes_only_what_its_action_covers(office: Office) -> None:
    office.hire("ann", *[role for role in Role if role is not Role.CUSTODIAN])
    size = office.count()
    for action in Action:
        if action in CUSTODIANS:
            continue
        pen = office.desk.permit("ann", action)
        for kind in set(kinds.FIELDS) - WRITES[action]:
            with pytest.raises(InvalidInput, match="does not cover"):
                pen.write(MODEL, kind, {})
    assert office.count() == size


def test_a_statement_that_lacks_a_field_is_not_written(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    size = office.count()
    for broken in ({}, {**APPROVAL, "verdict": 1}, {**APPROVAL, "reason": float("nan")}, {**APPROVAL, "x": b""}):
        with pytest.raises(InvalidInput):
            office.desk.permit("ann", Action.APPROVE).write(MODEL, kinds.APPROVAL, broken)
    assert office.count() == size


def test_nobody_in_particular_may_do_nothing(office: Office) -> None:
    with pytest.raises(NotPermitted, match="not known who acts"):
        office.desk.permit("", Action.APPROVE)
    with pytest.raises(NotPermitted, match="'eve' is not enrolled"):
        office.desk.permit("eve", Action.APPROVE)


def test_the_key_in_the_drawer_must_be_the_one_on_record(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    office.keys["ann"] = PersonKey.generate()
    with pytest.raises(NotPermitted, match="not the one on record"):
        office.desk.permit("ann", Action.APPROVE)


def test_without_a_custodian_a_denial_is_still_a_denial(tmp_path: Path) -> None:
    office = Office.__new__(Office)
    office.folder, office.log_key = tmp_path, LogKey.generate()
    office.keys = {"olga": PersonKey.generate()}
    office.store = SqliteStore(tmp_path / "ledger.db", create=True)
    begin(office.log("olga"), "olga", office.keys["olga"].public, frozenset({Role.OWNER}), office.keys["olga"], AT)
    office.desk = office.open()
    with pytest.raises(NotPermitted):
        office.desk.permit("olga", Action.APPROVE)
    assert office.count() == 1


# What readers would refuse is never appended


def test_a_role_taken_away_meanwhile_stops_the_pen_and_spares_the_ledger(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    pen = office.desk.permit("ann", Action.APPROVE)
    office.hire("ann", Role.AUDITOR)
    size = office.count()
    with pytest.raises(NotPermitted, match="nothing was recorded"):
        pen.write(MODEL, kinds.APPROVAL, APPROVAL)
    assert office.count() == size == office.open("another").read().size


def test_a_person_revoked_meanwhile_writes_nothing(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    pen = office.desk.permit("ann", Action.APPROVE)
    revoke = office.open("another").permit("olga", Action.ENROL)
    revoke.write(Subject("actor:ann", "ab" * 32), kinds.ENROLMENT, office.enrolment("ann", status="revoked"))
    with pytest.raises(NotPermitted, match="nothing was recorded"):
        pen.write(MODEL, kinds.APPROVAL, APPROVAL)
    assert office.open("third").read().size == office.count()
    with pytest.raises(NotPermitted, match="not enrolled"):
        office.desk.permit("ann", Action.APPROVE)


def test_a_writer_who_was_overtaken_reads_again_before_it_writes(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    other = office.open("another")
    pens = [desk.permit("ann", Action.APPROVE) for desk in (office.desk, other)]
    for pen in pens * 3:
        pen.write(MODEL, kinds.APPROVAL, APPROVAL)
    assert len(office.desk.read().of_kind(kinds.APPROVAL)) == 6


def test_overtaken_in_the_last_moment_means_one_more_turn(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.hire("ann", Role.APPROVER)
    other = office.open("another").permit("ann", Action.APPROVE)
    append, turns = Log.append, []

    def overtaken(log: Log, envelopes: Any, after: int | None = None) -> Any:
        if log is office.desk.log and not turns:
            turns.append(1)
            other.write(MODEL, kinds.APPROVAL, APPROVAL)
        return append(log, envelopes, after)

    monkeypatch.setattr(Log, "append", overtaken)
    found = office.desk.permit("ann", Action.APPROVE).write(MODEL, kinds.APPROVAL, {**APPROVAL, "reason": "late"})
    assert turns
    assert [e.predicate["reason"] for e in office.desk.read().of_kind(kinds.APPROVAL)] == ["seen", "late"]
    assert found.index == office.count() - 1


def test_a_statement_about_a_moment_is_written_right_behind_it_or_not_at_all(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    pen, size = office.desk.permit("ann", Action.APPROVE), office.count()
    for after in (size - 1, size + 1):
        with pytest.raises(Moved):
            pen.write(MODEL, kinds.APPROVAL, APPROVAL, after=after)
    assert pen.write(MODEL, kinds.APPROVAL, APPROVAL, after=size).index == size


@pytest.mark.parametrize("name", ["log", "commitments"])
def test_names_of_custodys_own_keys_are_reserved(name: str) -> None:
    check_name("ann")
    with pytest.raises(InvalidInput, match="uses itself"):
        check_name(name)


def test_revoked_in_the_last_moment_means_nothing_is_appended(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.hire("ann", Role.APPROVER)
    pen, other = office.desk.permit("ann", Action.APPROVE), office.open("another")
    append, turns = Log.append, []

    def overtaken(log: Log, envelopes: Any, after: int | None = None) -> Any:
        if log is office.desk.log and not turns:
            turns.append(1)
            revoke(other, "olga", "ann")
        return append(log, envelopes, after)

    monkeypatch.setattr(Log, "append", overtaken)
    with pytest.raises(NotPermitted, match="nothing was recorded"):
        pen.write(MODEL, kinds.APPROVAL, APPROVAL)
    assert turns
    assert office.open("third").read().of_kind(kinds.APPROVAL) == []


def test_what_was_appended_is_read_back_and_compared(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.hire("ann", Role.APPROVER)
    append = Log.append

    def elsewhere(log: Log, envelopes: Any, after: int | None = None) -> Any:
        return append(log, envelopes, after)[0] - 1, ""

    monkeypatch.setattr(Log, "append", elsewhere)
    with pytest.raises(Tampered, match="not what was written"):
        office.desk.permit("ann", Action.APPROVE).write(MODEL, kinds.APPROVAL, APPROVAL)


@pytest.mark.parametrize(
    "change",
    [{"roles": ["wizard"]}, {"roles": [["approver"]]}, {"status": "asleep"}, {"keyid": "00"}, {"key": "no key"}],
)
def test_an_enrolment_readers_would_refuse_is_not_written(office: Office, change: dict[str, Any]) -> None:
    size = office.count()
    pen = office.desk.permit("olga", Action.ENROL)
    with pytest.raises(CustodyError):
        pen.write(Subject("actor:x", "ab" * 32), kinds.ENROLMENT, office.enrolment("x", **change))
    assert office.open("another").read().size == size


# Enrolment


def test_one_key_one_person(office: Office) -> None:
    office.hire("ann", Role.ML_ENGINEER)
    office.keys["ann-2"] = office.keys["ann"]
    with pytest.raises(NotPermitted, match="same key as ann"):
        office.hire("ann-2", Role.APPROVER)
    pen = office.desk.permit("olga", Action.ENROL)
    with pytest.raises(NotPermitted, match="same key"):
        pen.write(Subject("actor:x", "ab" * 32), kinds.ENROLMENT, office.enrolment("ann-2"))


def test_roles_can_be_changed_and_keys_replaced(office: Office) -> None:
    office.hire("ann", Role.AUDITOR)
    office.hire("ann", Role.APPROVER)
    assert office.desk.actor("ann").roles == {Role.APPROVER}
    old = office.keys.pop("ann")
    with pytest.raises(NotPermitted, match="another key"):
        office.hire("ann", Role.APPROVER)
    office.keys.pop("ann")
    revoke(office.desk, "olga", "ann")
    office.hire("ann", Role.APPROVER)
    assert office.desk.actor("ann").keyid != old.keyid
    office.forge(kinds.APPROVAL, APPROVAL, old)
    with pytest.raises(Tampered, match="not on record"):
        office.open("another").read()


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "a/b", "a\n"])
def test_a_name_must_be_usable(office: Office, name: str) -> None:
    with pytest.raises(InvalidInput, match="usable name"):
        office.hire(name, Role.AUDITOR)


@pytest.mark.parametrize("name", ["log", "commitments"])
def test_names_of_custodys_own_keys_are_not_given_away(office: Office, name: str) -> None:
    size = office.count()
    with pytest.raises(InvalidInput, match="Custody uses itself"):
        office.hire(name, Role.AUDITOR)
    assert office.count() == size
    office.hire(f"{name}-2", Role.AUDITOR)


def test_nobody_is_enrolled_without_a_role_or_by_somebody_else(office: Office) -> None:
    with pytest.raises(InvalidInput, match="at least one role"):
        office.hire("ann")
    office.hire("ann", Role.APPROVER)
    with pytest.raises(NotPermitted, match="needs owner"):
        enrol(office.desk, "ann", "bob", "bob", frozenset({Role.APPROVER}), PersonKey.generate().public)


def test_an_enrolment_reads_back() -> None:
    key = PersonKey.generate()
    said = {"name": "ann", "person": "ann", "roles": ["auditor"], "key": key.public, "keyid": key.keyid}
    assert read_actor({**said, "status": "active"}).roles == {Role.AUDITOR}


# Reading: whoever writes past the desk spoils the ledger, and everybody sees it


def spoiled(office: Office, match: str) -> None:
    for desk in (office.desk, office.open("stranger")):
        for _ in range(2):  # and it stays so
            with pytest.raises(Tampered, match=match):
                desk.read()


def test_an_unenrolled_key_counts_for_nothing(office: Office) -> None:
    office.forge(kinds.APPROVAL, APPROVAL, PersonKey.generate())
    spoiled(office, "signed by a key that is not on record")


def test_nobody_enrols_themselves(office: Office) -> None:
    eve = office.keys["eve"] = PersonKey.generate()
    office.forge(kinds.ENROLMENT, office.enrolment("eve"), eve)
    spoiled(office, "not on record")


def test_nobody_gives_themselves_a_role(office: Office) -> None:
    office.hire("ann", Role.ML_ENGINEER)
    office.forge(kinds.ENROLMENT, office.enrolment("ann", roles=["owner"]), office.keys["ann"])
    spoiled(office, "ann may not say actor-enrolment")


@pytest.mark.parametrize("kind", sorted(set(kinds.FIELDS) - {kinds.TRAINING_START, kinds.TRAINING_ABORT}))
def test_nobody_says_what_their_role_does_not_cover(office: Office, kind: str) -> None:
    sample: dict[Any, Any] = {str: "x", int: 1, dict: {}, list: [], bool: True, str | None: None, int | None: 1}
    office.hire("ann", Role.AUDITOR)
    said = {name: sample[wanted] for name, wanted in kinds.FIELDS[kind].items()}
    office.forge(kind, said, office.keys["ann"])
    spoiled(office, "ann may not say")


def test_a_revoked_key_counts_for_nothing(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    office.forge(kinds.APPROVAL, APPROVAL, office.keys["ann"])
    assert office.desk.read().entries[-1].actor == "ann"
    pen = office.desk.permit("olga", Action.ENROL)
    pen.write(Subject("actor:ann", "ab" * 32), kinds.ENROLMENT, office.enrolment("ann", status="revoked"))
    assert office.desk.read().of_kind(kinds.APPROVAL)  # what was said before still stands
    office.forge(kinds.APPROVAL, {**APPROVAL, "reason": "once more"}, office.keys["ann"])
    spoiled(office, "not on record")


def test_nobody_repeats_what_somebody_said_before(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    said = office.desk.permit("ann", Action.APPROVE).write(MODEL, kinds.APPROVAL, APPROVAL)
    again = office.desk.permit("ann", Action.APPROVE).write(MODEL, kinds.APPROVAL, APPROVAL)
    assert again.index == said.index + 1  # saying it again is another statement
    office.log("forger").append([envelope for _, envelope in office.desk.reading.rows[said.index : said.index + 1]])
    spoiled(office, "word for word")


def test_a_revoked_person_signs_nothing_and_can_come_back_with_another_key(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    revoke(office.desk, "olga", "ann")
    with pytest.raises(NotPermitted, match="not enrolled"):
        office.desk.permit("ann", Action.APPROVE)
    office.keys.pop("ann")
    office.hire("ann", Role.APPROVER)
    office.desk.permit("ann", Action.APPROVE)


@pytest.mark.parametrize("name", ["olga", "custodian"])
def test_who_holds_the_ledger_together_is_not_revoked(office: Office, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be revoked"):
        revoke(office.desk, "olga", name)
    office.hire("ann", Role.APPROVER)
    with pytest.raises(NotPermitted):
        revoke(office.desk, "ann", name)


@pytest.mark.parametrize("person", ["Ann Smith", "ann-smith", "ANN.SMITH", "\uff41nn smith"])
def test_one_person_is_not_enrolled_in_two_spellings(office: Office, person: str) -> None:
    office.hire("ann", Role.ML_ENGINEER, person="ann smith")
    with pytest.raises(NotPermitted, match="reads like"):
        office.hire("ann-2", Role.APPROVER, person=person)
    office.keys.pop("ann-2")
    office.hire("ann-2", Role.APPROVER, person="ann smith")  # the same person under a second name is known as such
    office.hire("ann-3", Role.APPROVER, person="ann smythe")


def test_a_second_name_for_a_key_counts_for_nothing(office: Office) -> None:
    office.hire("ann", Role.ML_ENGINEER)
    office.keys["ann-2"] = office.keys["ann"]
    office.forge(kinds.ENROLMENT, office.enrolment("ann-2"), office.keys["olga"])
    spoiled(office, "same key as ann")


def test_a_signature_that_does_not_fit_counts_for_nothing(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    sealed = seal(Statement(MODEL, kinds.APPROVAL, {"at": AT, **APPROVAL}), office.keys["olga"])
    office.log("forger").append([Envelope(sealed.payload, office.keys["ann"].keyid, sealed.signature)])
    spoiled(office, "signature does not fit")


def test_a_ledger_of_another_owner_is_refused(office: Office) -> None:
    with pytest.raises(Tampered, match="not the one in custody"):
        office.open("stranger", PersonKey.generate().keyid).read()


def test_a_ledger_must_begin_with_its_owner(tmp_path: Path) -> None:
    key, log_key = PersonKey.generate(), LogKey.generate()
    store = SqliteStore(tmp_path / "ledger.db", create=True)
    log = Log(store, FileMemory(tmp_path / "m"), "log", log_key.public, log_key)
    said = {"at": AT, **APPROVAL, "key": key.public, "keyid": key.keyid}
    log.append([seal(Statement(MODEL, kinds.APPROVAL, said), key)])
    with pytest.raises(Tampered, match="begin with its owner"):
        Desk(log, key.keyid, lambda _: key).read()


def test_an_owner_signed_in_by_another_key_is_refused(tmp_path: Path) -> None:
    key, other, log_key = PersonKey.generate(), PersonKey.generate(), LogKey.generate()
    said = {"name": "o", "person": "o", "roles": ["owner"], "key": key.public, "keyid": key.keyid}
    statement = Statement(MODEL, kinds.ENROLMENT, {**said, "status": "active", "at": AT})
    renamed = Envelope(statement.to_bytes(), other.keyid, seal(statement, key).signature)
    unsigned = Envelope(statement.to_bytes(), key.keyid, b"x")
    foreign = Statement(
        MODEL, kinds.ENROLMENT, {**statement.predicate, "key": other.public, "keyid": other.keyid, "name": "x"}
    )
    borrowed = Envelope(foreign.to_bytes(), key.keyid, seal(foreign, other).signature)
    for number, forged in enumerate((seal(statement, other), renamed, unsigned, borrowed)):
        store = SqliteStore(tmp_path / f"{number}.db", create=True)
        log = Log(store, FileMemory(tmp_path / str(number)), "log", log_key.public, log_key)
        log.append([forged])
        with pytest.raises(Tampered):
            Desk(log, key.keyid, lambda _: key).read()


# Separation of duties, at the desk


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return honest_life(tmp_path_factory.mktemp("life"))


@pytest.mark.parametrize(
    ("who", "role", "action"),
    [
        ("mel", "approver", Action.APPROVE),
        ("dana", "approver", Action.APPROVE),
        ("val", "approver", Action.APPROVE),
        ("mel", "validator", Action.VALIDATE),
        ("dana", "validator", Action.VALIDATE),
        ("dana", "ml_engineer", Action.START_RUN),
        ("val", "approver", Action.WAIVE),
    ],
)
def test_more_roles_do_not_let_one_person_play_two_parts(lived: Any, who: str, role: str, action: Action) -> None:
    from custody.wiring import add_person

    before = [str(held) for held in lived.desk.actor(who).roles]
    add_person(lived.custody, "olga", who, [*before, role])
    with pytest.raises(NotPermitted, match="of this model and may not"):
        lived.desk.permit(who, action, lived.model)
    assert lived.record.entries[-1].kind == kinds.DENIAL
    lived.desk.permit(who, action, Subject("another model", "cd" * 32))
    add_person(lived.custody, "olga", who, before)


def test_in_solo_mode_the_trainer_may_approve(tmp_path: Path) -> None:
    from custody.testing import Life
    from custody.wiring import add_person

    life = Life(tmp_path, solo=True)
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.train(life.seal())
    add_person(life.custody, "olga", "mel", ["ml_engineer", "approver"])
    life.approve("mel")
    life.desk.permit("mel", Action.APPROVE, life.model)


def test_in_solo_mode_one_person_plays_every_part(tmp_path: Path) -> None:
    from custody.testing import Life

    life = Life(tmp_path, solo=True)
    assert life.desk.solo()
    for action in set(Action) - CUSTODIANS:
        life.desk.permit("olga", action, life.model)
    for action in sorted(CUSTODIANS):
        with pytest.raises(NotPermitted):
            life.desk.permit("olga", action)


# Nothing can be taken out of a ledger, whatever the gate would have made of the rest


Edit = Callable[[sqlite3.Connection, int], object]
EDITS: dict[str, Edit] = {
    "taken out": lambda db, index: db.execute("DELETE FROM entry WHERE idx = ?", (index,)),
    "emptied": lambda db, index: db.execute("UPDATE entry SET envelope = x'' WHERE idx = ?", (index,)),
    "replaced": lambda db, index: db.execute(
        "UPDATE entry SET (leaf, envelope) = (SELECT leaf, envelope FROM entry WHERE idx = ?) WHERE idx = ?",
        ((index + 1) % 4, index),
    ),
    "cut off": lambda db, index: (
        db.execute("DELETE FROM entry WHERE idx >= ?", (index,)),
        db.execute("DELETE FROM checkpoint WHERE size > ?", (index,)),
    ),
}


@pytest.mark.parametrize("how", EDITS)
def test_no_entry_of_a_life_can_be_edited(lived: Any, how: str, tmp_path: Path) -> None:
    ledger, state = lived.custody.config.ledger, lived.custody.config.state
    plain = tmp_path / "plain.db"
    source, target = sqlite3.connect(ledger), sqlite3.connect(plain)
    source.backup(target)
    source.close()
    target.close()

    def desk(path: Path) -> Desk:
        config = lived.custody.config
        key = LogKey.load(config.keys / "log.pem")
        memory = FileMemory(state)
        return Desk(Log(SqliteStore(path), memory, config.origin, key.public), config.owner_key, lived.custody.signer)

    size = desk(plain).read().size
    assert size == lived.record.size
    for index in range(size):
        path = tmp_path / "edited.db"
        shutil.copy(plain, path)
        connection = sqlite3.connect(path)
        EDITS[how](connection, index)
        connection.commit()
        connection.close()
        with pytest.raises(Tampered):
            desk(path).read()


def test_no_signature_of_a_life_can_be_edited(lived: Any, tmp_path: Path) -> None:
    config = lived.custody.config
    key = LogKey.load(config.keys / "log.pem")
    rows = list(lived.desk.reading.rows)
    for index, envelope in rows:
        store = SqliteStore(tmp_path / f"{index}.db", create=True)
        log = Log(store, FileMemory(tmp_path / str(index)), config.origin, key.public, key)
        broken = Envelope(
            envelope.payload, envelope.keyid, envelope.signature[:-1] + bytes([envelope.signature[-1] ^ 1])
        )
        log.append([*(one for _, one in rows[:index]), broken, *(one for _, one in rows[index + 1 :])])
        with pytest.raises(Tampered, match=f"entry {index} does not count"):
            Desk(log, config.owner_key, lived.custody.signer).read()
        store.close()


def test_nothing_is_recorded_that_is_dated_ahead_of_the_clock(office: Office) -> None:
    office.hire("ann", Role.APPROVER)
    pen, size = office.desk.permit("ann", Action.APPROVE), office.count()
    clock = datetime.fromisoformat(office.desk.time())
    with pytest.raises(InvalidInput, match="ahead of this machine's clock"):
        pen.write(MODEL, kinds.APPROVAL, {**APPROVAL, "at": (clock + timedelta(minutes=6)).isoformat()})
    assert office.count() == size
    pen.write(MODEL, kinds.APPROVAL, {**APPROVAL, "at": (clock + timedelta(minutes=4)).isoformat()})
    assert office.count() == size + 1
