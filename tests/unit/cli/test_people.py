"""Who may what, as the command line says it: roles that change, people who leave, denials that help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custody.cli.app import refuse
from custody.cli.main import custody
from custody.errors import CustodyError, InvalidInput, NotPermitted

DECIDE = ["source", "decide", "build", "--appetite", "0.3", "--criticality", "0.9", "--expertise", "0.8"]
DECIDE += [word for way in ("build", "buy", "open") for word in ("--cost", f"{way}=9,4")]


def say(*words: str) -> Result:
    return CliRunner().invoke(custody, list(words))


@pytest.fixture(autouse=True)
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTODY_STATE", str(tmp_path / "state"))
    for words in (["init", "loans", "--owner", "olga"], ["init", "person", "ann", "--role", "approver"]):
        said = say(*words)
        assert said.exit_code == 0, said.output


def test_a_change_of_roles_says_what_they_were() -> None:
    first = say("init", "person", "sam", "--role", "security_manager")
    assert "sam is enrolled as security_manager" in first.output
    then = say("init", "person", "sam", "--role", "auditor")
    assert "sam was security_manager, now auditor" in then.output


def test_who_was_revoked_signs_nothing_any_more() -> None:
    assert say(*DECIDE, "--as", "ann").exit_code == 0
    assert "ann is revoked" in say("init", "revoke", "ann").output
    late = say(*DECIDE, "--as", "ann")
    assert isinstance(late.exception, NotPermitted)
    people = json.loads(say("audit", "people", "--json").stdout)["people"]
    assert "ann" not in [person["name"] for person in people]
    assert say("audit", "verify").exit_code == 0, "what they said before still counts"


def test_only_the_owner_revokes_and_never_the_owner() -> None:
    say("init", "person", "sam", "--role", "security_manager")
    assert isinstance(say("init", "revoke", "ann", "--as", "sam").exception, NotPermitted)
    assert isinstance(say("init", "revoke", "olga").exception, InvalidInput)


def test_a_denial_names_who_may(capsys: pytest.CaptureFixture[str]) -> None:
    denied = say(*DECIDE, "--as", "olga")
    assert isinstance(denied.exception, CustodyError)
    assert refuse(denied.exception) == 5
    assert "ann may: --as ann" in capsys.readouterr().err


def test_a_denial_of_what_nobody_may_says_so() -> None:
    denied = say("gate", "seal", "--as", "olga")
    assert isinstance(denied.exception, CustodyError)
    say("init", "revoke", "ann")
    nobody = say(*DECIDE, "--as", "olga", "--json")
    assert "nobody on record may" in json.loads(nobody.stdout)["hint"]


@pytest.mark.parametrize(("verb", "option"), [("run", "--time-limit"), ("init", "--solo")])
def test_help_of_a_group_shows_the_options_of_its_main_command(verb: str, option: str) -> None:
    said = say(verb, "--help")
    assert said.exit_code == 0
    assert option in said.output
    assert said.output.count("--help") == 1
