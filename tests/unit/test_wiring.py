from __future__ import annotations

import stat
from pathlib import Path

import pytest

from custody.core import predicates as kinds
from custody.core.actor import Role
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.seal.keys import LogKey, PersonKey
from custody.wiring import add_person, create, open_custody


def begun(folder: Path, **more: object) -> object:
    return create(folder, "loans", "olga", environment=env(folder), **more)  # type: ignore[arg-type]


def env(folder: Path) -> dict[str, str]:
    return {"CUSTODY_STATE": str(folder / "state")}


def test_a_project_begins_with_owner_custodian_and_use_case(tmp_path: Path) -> None:
    begun(tmp_path, purpose="who gets a loan")
    custody = open_custody(tmp_path, env(tmp_path))
    record = custody.desk.read()
    assert [entry.kind for entry in record] == [kinds.ENROLMENT, kinds.ENROLMENT, kinds.USE_CASE]
    assert record.entries[2].predicate["purpose"] == "who gets a loan"
    actors = custody.desk.roster().actors
    assert {name: actor.roles for name, actor in actors.items()} == {
        "olga": {Role.OWNER},
        "custodian": {Role.CUSTODIAN},
    }
    assert custody.config.owner_key == actors["olga"].keyid
    for path in (custody.config.folder, custody.config.keys):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_project_is_begun_once(tmp_path: Path) -> None:
    begun(tmp_path)
    before = (tmp_path / "custody.toml").read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        begun(tmp_path)
    assert (tmp_path / "custody.toml").read_bytes() == before


def test_an_interrupted_beginning_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "custody.toml").unlink()
    begun(tmp_path)
    assert open_custody(tmp_path, env(tmp_path)).desk.read().size == 3
    assert len(list(tmp_path.glob(".custody.unfinished-*"))) == 1


def test_names_and_tiers_are_checked_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("", "a b", "../x", 'x"y'):
        with pytest.raises(InvalidInput):
            create(tmp_path, name, "olga", environment=env(tmp_path))
    with pytest.raises(InvalidInput, match="tier"):
        begun(tmp_path, tier="huge")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        begun(tmp_path / "file" / "below")


def test_a_person_gets_a_key_or_brings_one(tmp_path: Path) -> None:
    begun(tmp_path)
    custody = open_custody(tmp_path, env(tmp_path))
    add_person(custody, "olga", "ann", ["approver"])
    assert (custody.config.keys / "ann.pem").exists()
    own = PersonKey.generate()
    (tmp_path / "bob.pub").write_text(own.public)
    add_person(custody, "olga", "bob", ["validator"], tmp_path / "bob.pub")
    assert not (custody.config.keys / "bob.pem").exists()
    assert custody.desk.actor("bob").keyid == own.keyid
    before = custody.desk.actor("ann").keyid
    add_person(custody, "olga", "ann", ["auditor"])
    assert (custody.desk.actor("ann").keyid, custody.desk.actor("ann").roles) == (before, {Role.AUDITOR})
    with pytest.raises(InvalidInput, match="unknown role"):
        add_person(custody, "olga", "eve", ["wizard"])
    with pytest.raises(InvalidInput, match="cannot be read"):
        add_person(custody, "olga", "eve", ["auditor"], tmp_path / "no.pub")
    with pytest.raises(NotPermitted):
        add_person(custody, "ann", "eve", ["auditor"])
    assert not (custody.config.keys / "eve.pem").exists()


def write_public(folder: Path) -> Path:
    path = folder / "ann.pub"
    path.write_text(PersonKey.generate().public)
    return path


def test_keys_are_encrypted_when_there_is_a_passphrase(tmp_path: Path) -> None:
    closed = {**env(tmp_path), "CUSTODY_PASSPHRASE": "correct horse"}
    create(tmp_path, "loans", "olga", environment=closed)
    assert b"ENCRYPTED" in (tmp_path / ".custody" / "keys" / "olga.pem").read_bytes()
    assert open_custody(tmp_path, closed).desk.read().size == 3
    reader = open_custody(tmp_path, env(tmp_path))
    assert reader.desk.read().size == 3  # whoever only reads needs no passphrase
    with pytest.raises(NotPermitted, match="encrypted"):
        add_person(reader, "olga", "ann", ["approver"], write_public(tmp_path))


def test_a_key_that_is_not_the_logs_is_noticed(tmp_path: Path) -> None:
    begun(tmp_path)
    path = tmp_path / ".custody" / "keys" / "log.pem"
    path.unlink()
    reader = open_custody(tmp_path, env(tmp_path))
    assert reader.desk.read().size == 3  # whoever has no log key may still read
    LogKey.generate().save(path)
    reader = open_custody(tmp_path, env(tmp_path))
    with pytest.raises(NotPermitted, match="is the log's key"):
        add_person(reader, "olga", "ann", ["approver"], write_public(tmp_path))
    assert open_custody(tmp_path, env(tmp_path)).desk.read().size == 3  # no checkpoint was signed by another key


def test_a_ledger_that_was_swapped_is_tampering(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        begun(folder)
    for suffix in ("", "-wal", "-shm"):
        (mine / ".custody" / f"ledger.db{suffix}").unlink(missing_ok=True)
    with pytest.raises(Tampered, match="gone"):
        open_custody(mine, env(mine)).desk.read()
    (mine / ".custody" / "ledger.db").write_bytes((other / ".custody" / "ledger.db").read_bytes())
    with pytest.raises(Tampered):
        open_custody(mine, env(mine)).desk.read()


def test_no_project_no_custody(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_custody(tmp_path, env(tmp_path))


def test_the_key_of_commitments_is_made_once_and_kept(tmp_path: Path) -> None:
    begun(tmp_path)
    custody = open_custody(tmp_path, env(tmp_path))
    key = custody._commitment_key()
    assert len(key) == 32
    assert custody._commitment_key() == key
    path = custody.config.keys / "commitments.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    with pytest.raises(InvalidInput, match="damaged"):
        custody._commitment_key()
