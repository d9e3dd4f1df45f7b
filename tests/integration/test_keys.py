"""Keys and the trust root by ordinary commands; the thief of one key; and ten years later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject
from custody.errors import Tampered
from custody.ledger.bundle import write_bundle
from custody.ledger.trust import check_pin, read_trust, sign_root
from custody.roster import Roster
from custody.seal.envelope import seal
from custody.seal.keys import PersonKey
from custody.testing import PEOPLE, Life, digest
from custody.wiring import Custody, open_custody


def run(folder: Path, *words: str, code: int = 0, **more: str) -> Any:
    """Run a command; return its JSON. It exits by `code`, without a traceback."""
    environment = {**os.environ, "CUSTODY_STATE": str(folder / "state"), **more}
    for name in ("CUSTODY_PASSPHRASE", "CUSTODY_KEYS", "CUSTODY_ACTOR"):
        if name not in more:
            environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "custody", *words, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    run(tmp_path, "init", "loans", "--owner", "olga")
    for name, role in (("bea", "security_manager"), ("cas", "auditor")):
        run(tmp_path, "init", "person", name, "--role", role)
    return tmp_path


def agree(project: Path, *signers: str, by: str = "olga") -> Any:
    for name in signers:
        run(project, "keys", "root", "sign", "root.json", "--as", name)
    return run(project, "keys", "root", "apply", "root.json", "--as", by)


def test_owners_agree_on_a_root_by_file_and_then_on_people(project: Path) -> None:
    run(project, "keys", "root", "propose", "--add-owner", "bea", "--threshold", "2")
    found = run(project, "keys", "root", "apply", "root.json", code=5)
    assert "0 signed" in found["message"]
    assert agree(project, "olga", "bea")["version"] == 2
    entry = run(project, "init", "person", "eve", "--role", "approver")["entry"]
    listed = run(project, "keys", "list")
    assert [one["name"] for one in listed["waiting"]] == ["eve"]
    assert "eve" not in {row["name"] for row in listed["keys"]}
    run(project, "gate", "countersign", str(entry), "--reason", "I know her", "--as", "bea")
    listed = run(project, "keys", "list")
    assert "eve" in {row["name"] for row in listed["keys"]}
    assert listed["waiting"] == []
    found = run(project, "init", "person", "eve", "--role", "owner", code=5)
    assert "new trust root makes owners" in found["message"]


def test_the_logs_key_is_replaced_and_every_reader_follows(project: Path) -> None:
    before = run(project, "keys", "root", "show")["root"]["log_key"]
    assert run(project, "keys", "rotate-log")["version"] == 2
    after = run(project, "keys", "root", "show")["root"]["log_key"]
    assert before != after
    run(project, "init", "person", "ann", "--role", "approver")
    (project / ".custody" / "keys" / "log.pem").unlink()  # the old key is not needed any more
    run(project, "init", "person", "ann", "--role", "auditor")
    assert run(project, "audit", "verify")["entries"] == 8
    new = next((project / ".custody" / "keys" / "log").iterdir())
    new.unlink()
    assert "log" in run(project, "init", "person", "ann", "--role", "operator", code=2)["message"]
    assert run(project, "audit", "verify")["entries"] == 8


def test_a_person_makes_their_own_key_and_an_owner_enrols_the_request(project: Path, tmp_path: Path) -> None:
    mine = tmp_path / "at home"
    mine.mkdir()
    made = run(project, "keys", "new", "dana", CUSTODY_KEYS=str(mine), CUSTODY_PASSPHRASE="correct horse")
    assert b"ENCRYPTED" in (mine / "dana.pem").read_bytes()
    said = run(project, "init", "person", "dana", "--role", "data_scientist", "--key", made["request"])
    assert said["keyid"] == made["keyid"]
    row = next(row for row in run(project, "keys", "list")["keys"] if row["name"] == "dana")
    assert (row["private_key"], row["encrypted"]) == ("not on this machine", None)
    found = run(project, "init", "person", "eve", "--role", "auditor", "--key", made["request"], code=2)
    assert "is by 'dana'" in found["message"]


def test_a_new_key_takes_over_when_an_owner_has_put_it_on_record(project: Path) -> None:
    old = next(row for row in run(project, "keys", "list")["keys"] if row["name"] == "cas")["keyid"]
    made = run(project, "keys", "new", "cas")
    assert run(project, "keys", "rotate", "cas", "--key", made["request"])["keyid"] == made["keyid"]
    row = next(row for row in run(project, "keys", "list")["keys"] if row["name"] == "cas")
    assert row["keyid"] == made["keyid"] != old
    again = run(project, "keys", "rotate", "cas")
    assert again["keyid"] not in (old, made["keyid"])
    found = run(project, "keys", "rotate", "olga", code=5)
    assert "new trust root changes" in found["message"]


def test_a_stolen_key_is_revoked_since_when_it_was_stolen(project: Path) -> None:
    found = run(project, "keys", "revoke", "cas", "--reason", "the laptop is gone", "--compromised-since", "99", code=2)
    assert "no entry 99" in found["message"]
    said = run(project, "keys", "revoke", "cas", "--reason", "the laptop is gone", "--compromised-since", "3")
    assert said["void"] == []
    found = run(project, "init", "person", "cas", "--role", "auditor", "--key", write_key(project, "cas"), code=5)
    assert "revoked or replaced" in found["message"]
    assert run(project, "init", "person", "cas", "--role", "auditor")["keyid"] != said["keyid"]
    run(project, "keys", "revoke", "olga", "--reason", "she wants to", code=5)
    run(project, "keys", "revoke", "nobody", "--reason", "x", code=5)
    run(project, "keys", "revoke", "cas", "--reason", "x", code=2)


def write_key(project: Path, name: str) -> str:
    (project / f"{name}.pub").write_text(PersonKey.load(project / ".custody" / "keys" / f"{name}.pem").public)
    return f"{name}.pub"


def test_files_that_are_no_proposals_are_refused(project: Path) -> None:
    run(project, "keys", "root", "propose", "--add-owner", "bea")
    good = json.loads((project / "root.json").read_text())
    changes: tuple[dict[str, Any], ...] = (
        {"format": "x"}, {"origin": "x"}, {"more": 1}, {"owners": []}, {"signatures": [1]}
    )  # fmt: skip
    for broken in ({}, [], *({**good, **change} for change in changes)):
        (project / "root.json").write_text(json.dumps(broken))
        for word in ("sign", "apply"):
            run(project, "keys", "root", word, "root.json", code=2)
    run(project, "keys", "root", "sign", "no.json", code=2)
    (project / "root.json").write_text(json.dumps(good))
    run(project, "keys", "root", "sign", "root.json", "--as", "cas", code=5)
    run(project, "keys", "root", "propose", "--add-owner", "nobody", code=3)
    run(project, "keys", "root", "propose", "--drop-owner", "olga", code=2)
    run(project, "keys", "root", "propose", "--threshold", "2", code=2)
    run(project, "keys", "root", "propose", "--add-witness", "x", code=2)


def test_what_is_exported_pins_the_newest_root(project: Path) -> None:
    run(project, "keys", "root", "propose", "--add-owner", "bea")
    agree(project, "olga", "bea")
    run(project, "keys", "export-trust")
    trust = read_trust(project / "trust.json")
    custody = open_custody(project, {"CUSTODY_STATE": str(project / "state")})
    assert (trust.version, trust.seen_size) == (2, custody.desk.read().size)
    check_pin(trust, [root for _, root in custody.desk.roster().roots])


# The thief of one key


class Thief:
    """Holds one owner's key, the log's key and the disk: appends whatever they like, past the desk."""

    def __init__(self, folder: Path, threshold: int) -> None:
        self.life = Life(folder)
        self.life.enrol_all()
        self.custody: Custody = self.life.custody
        owner = "sam"
        if threshold > 1:
            from custody.stages.roots import Edit, install, propose, sign

            made = propose(self.custody.desk, Edit(add=[owner], threshold=threshold))
            for name in ("olga", owner):
                made = sign(self.custody.desk, made, self.custody.signer(name))
            install(self.custody.desk, "olga", made)
        self.stolen = PersonKey.load(self.custody.config.keys / "olga.pem")

    def say(self, about: Subject, kind: str, said: dict[str, Any], key: PersonKey | None = None) -> int:
        body = {"at": self.life.later(0), **said}
        index, _ = self.custody.desk.log.append([seal(Statement(about, kind, body), key or self.stolen)])
        return index

    def card(self, name: str, key: PersonKey, *roles: str) -> dict[str, Any]:
        said = {"name": name, "person": name, "roles": list(roles), "key": key.public, "keyid": key.keyid}
        return {**said, "status": "active"}

    def enrol(self, name: str, *roles: str) -> PersonKey:
        key = PersonKey.generate()
        self.say(Subject(f"actor:{name}", key.keyid), kinds.ENROLMENT, self.card(name, key, *roles))
        return key

    def stranger(self) -> Any:
        """Read the ledger as somebody who has only custody.toml."""
        return open_custody(
            self.custody.config.root, {"CUSTODY_STATE": str(self.custody.config.root / "elsewhere")}
        ).desk


APPROVAL = {"use_case": "loans", "verdict": "approve", "reason": "looks fine to me"}


def test_with_two_owners_who_must_agree_a_thief_of_one_key_enrols_nobody(tmp_path: Path) -> None:
    thief = Thief(tmp_path, 2)
    before = set(thief.custody.desk.roster().actors)
    puppet = thief.enrol("puppet", "approver", "validator", "data_scientist", "ml_engineer")
    assert set(thief.stranger().roster().actors) == before
    thief.say(Subject("m", digest("m")), kinds.APPROVAL, APPROVAL, puppet)
    with pytest.raises(Tampered, match="not on record"):  # whatever the puppet says spoils the copy, visibly
        thief.stranger().read()


def test_a_thief_of_one_key_gives_themself_no_role_and_no_policy(tmp_path: Path) -> None:
    thief = Thief(tmp_path, 2)
    olga = thief.stolen
    roles = [*sorted(set(PEOPLE.values())), "owner"]
    thief.say(Subject("actor:olga", olga.keyid), kinds.ENROLMENT, thief.card("olga", olga, *roles))
    grant = {"name": "olga", "roles": ["approver"], "status": "granted", "emergency": False, "reason": "x"}
    thief.say(Subject("actor:olga", olga.keyid), kinds.GRANT, {**grant, "expires": thief.life.later(1)})
    with pytest.raises(Tampered, match="grants themself nothing"):
        thief.stranger().read()


@pytest.mark.parametrize("what", ["policy", "own key", "approval", "root", "root signed twice", "revoked co-owner"])
def test_what_else_a_thief_of_one_key_tries_spoils_the_copy(tmp_path: Path, what: str) -> None:
    thief = Thief(tmp_path, 2)
    desk, fresh = thief.custody.desk, PersonKey.generate()
    root = desk.roster().root
    if what == "policy":
        said = {**desk.read().of_kind(kinds.USE_CASE)[-1].predicate, "solo": True, "id": "x"}
        thief.say(thief.life.case, kinds.USE_CASE, said)
    elif what == "own key":
        thief.say(Subject("actor:olga", fresh.keyid), kinds.ENROLMENT, thief.card("olga", fresh, "owner"))
    elif what == "approval":
        thief.say(Subject("m", digest("m")), kinds.APPROVAL, APPROVAL)
    elif what == "revoked co-owner":  # alone, the thief could then sign what two should
        sam = root.owners[1]
        said = {"name": "sam", "keyid": sam.keyid, "reason": "x", "compromised_since": None}
        thief.say(Subject("actor:sam", sam.keyid), kinds.KEY_REVOCATION, said)
    else:
        from dataclasses import replace

        alone = replace(root, version=3, owners=root.owners[:1], threshold=1)
        signed = [sign_root(desk.log.origin, alone, thief.stolen)] * (2 if what == "root signed twice" else 1)
        thief.say(Subject("trust-root:3", digest("x")), kinds.TRUST_ROOT, {**alone.to_json(), "signatures": signed})
    with pytest.raises(Tampered):
        thief.stranger().read()


def test_with_one_owner_the_thief_of_that_key_is_the_owner(tmp_path: Path) -> None:
    """What a threshold of one gives away, as docs/explanation/threat-model.md says."""
    thief = Thief(tmp_path, 1)
    puppet = thief.enrol("puppet", "approver")
    thief.say(Subject("m", digest("m")), kinds.APPROVAL, APPROVAL, puppet)
    assert thief.stranger().read().entries[-1].actor == "puppet"


# R154: the record outlives its keys


def test_a_ledger_verifies_after_every_key_was_replaced_and_ten_years_on(tmp_path: Path) -> None:
    from custody.stages.people import revoke_key, rotate
    from custody.stages.roots import Edit, install, propose, sign

    life = Life(tmp_path)
    life.enrol_all()
    life.decide_source()
    life.register_data()
    custody = life.custody
    before = custody.desk.read()
    for name in [*PEOPLE, "custodian"]:
        made, _ = custody.key_files.make(name)
        rotate(custody.desk, "olga", name, made.public)
        old = custody.desk.roster().book.keys_of(name)[0]
        revoke_key(custody.desk, "olga", name, "it is replaced each year", None, old)
    fresh, _ = custody.key_files.make("olga")
    log_key, _ = custody.key_files.make_log_key()
    from custody.seal.keys import raw_to_text

    edit = Edit(keys={"olga": fresh.public}, log_key=raw_to_text(log_key.public), expires=life.later(30))
    proposal = propose(custody.desk, edit)
    for signer in (custody.signer("olga"), fresh):
        proposal = sign(custody.desk, proposal, signer)
    install(custody.desk_under(log_key), "olga", proposal)
    for path in (tmp_path / ".custody" / "keys").glob("*.pem"):
        if path.name != "olga.pem":
            path.unlink()  # no private key of that time is needed to read what it signed

    late = open_custody(tmp_path, {"CUSTODY_STATE": str(tmp_path)})
    record = late.desk.thoroughly().read()
    assert record.entries[: before.size] == before.entries
    assert record.void == frozenset()
    assert len({entry.keyid for entry in before}) == 3  # olga, sam and petra
    stranger = open_custody(tmp_path, {"CUSTODY_STATE": str(tmp_path / "another")})
    assert stranger.desk.read().size == record.size
    write_bundle(stranger.desk.reading, tmp_path / "bundle.json")
    write_trust_of(tmp_path, stranger)
    words = ["bundle", "bundle.json", "--trust", "trust.json", "--at", life.later(3650)]
    done = subprocess.run(
        [sys.executable, "-m", "custody_verify", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: there is no decision to confirm
    assert "Traceback" not in done.stderr
    assert "refused" not in (done.stdout + done.stderr).lower()


def write_trust_of(folder: Path, custody: Custody) -> None:
    from custody.ledger.trust import write_trust

    write_trust(folder / "trust.json", custody.trust)


def test_ten_years_change_nothing_the_roster_says(tmp_path: Path) -> None:
    """The replay reads no clock: a desk whose clock is ten years ahead rules on the past alike."""
    from custody.desk import Desk, now

    life = Life(tmp_path)
    life.enrol_all()
    later = Desk(
        life.desk.log, life.custody.config.owner_key, life.custody.signer, lambda: now() + timedelta(days=3650)
    )
    assert list(later.read()) == list(life.desk.read())
    fresh = Roster(life.custody.config.owner_key, life.desk.log.origin, life.custody.config.log_key)
    for index, envelope in life.desk.reading.rows:
        fresh.take(fresh.admit(index, envelope))
    assert fresh.actors == life.desk.roster().actors
