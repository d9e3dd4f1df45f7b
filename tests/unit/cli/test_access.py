"""`custody access` and `custody who-can`, as people type them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from custody.cli.main import custody
from custody.testing import PEOPLE, Life

Say = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("team")
    life = Life(folder)
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.check_data()
    life.train(life.seal())
    return folder


@pytest.fixture
def say(lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Return a way to run a command in a copy of the project; gives the exit code and the JSON answer."""
    shutil.copytree(lived, tmp_path / "team")
    monkeypatch.chdir(tmp_path / "team")
    monkeypatch.setenv("CUSTODY_STATE", str(tmp_path / "state"))  # copies go on in different ways

    def run(*words: str, who: str = "olga") -> tuple[int, dict[str, Any]]:
        said = CliRunner().invoke(custody, [*words, "--as", who, "--json"])
        assert said.stdout, (said.output, said.exception)
        plain = CliRunner().invoke(custody, [*words[:1], "--help"])
        assert plain.exit_code == 0
        return said.exit_code, json.loads(said.stdout)

    return run


def names(body: dict[str, Any]) -> list[str]:
    return [row["name"] for row in body["who"]]


def test_who_can_start_a_run_and_did_they(say: Say) -> None:
    code, body = say("who-can", "run.start")
    assert code == 0
    (row,) = body["who"]
    assert (row["name"], row["until"], len(row["used"])) == ("mel", "", 2)
    assert row["rights"][0].startswith("ml_engineer by enrolment of olga [")


def test_who_could_at_an_earlier_entry(say: Say) -> None:
    assert names(say("who-can", "run.start", "--at", "1")[1]) == []
    assert say("who-can", "run.start", "--at", "999")[0] == 3
    assert say("who-can", "run.start", "--at", "lately")[0] == 2


def test_who_can_change_which_data(say: Say) -> None:
    assert names(say("who-can", "data.modify", "train@v1")[1]) == []
    assert names(say("who-can", "data.read", "train")[1]) == ["dana", "petra", "val"]
    assert names(say("who-can", "data.read", "held-out", "--purpose", "evaluation")[1]) == ["val"]
    assert say("who-can", "data.read", "moon")[0] == 3
    assert say("who-can", "data.fly")[0] == 2


def test_a_decision_is_explained_with_its_rule(say: Say) -> None:
    code, body = say("access", "explain", "mel", "run.start")
    assert (code, body["allowed"], body["rule"]) == (0, True, "ml_engineer.run")
    assert body["context"]["tier"] == "high"
    code, body = say("access", "explain", "val", "data.read", "held-out")
    assert (code, body["allowed"], body["rule"]) == (5, False, "data.held_out")
    assert "purpose" in body["missing"]
    code, body = say("access", "explain", "bo", "run.start")
    assert code == 5
    code, body = say("access", "explain", "mel", "train.start")
    assert (code, body["reason"]) == (5, "'train.start' is not an action")
    assert say("access", "explain", "mel", "run.start", "--with", "mfa")[0] == 2


def test_explaining_records_nothing_and_asking_records_a_refusal(say: Say) -> None:
    before = say("status")[1]["entries"]
    say("access", "explain", "dana", "weights.read")
    say("who-can", "weights.read")
    assert say("status")[1]["entries"] == before
    assert say("access", "ask", "metrics.read", who="dana")[0] == 0
    code, body = say("access", "ask", "weights.read", who="dana")
    assert (code, body["error"]) == (5, "NotPermitted")
    assert say("access", "ask", "logs.read", who="dana")[0] == 5
    assert say("status")[1]["entries"] == before + 2
    assert say("access", "ask", "gate.approve", who="ari")[0] == 2


def test_the_matrix_counts_what_each_may_touch(say: Say) -> None:
    code, body = say("access", "matrix", "data.read", "run.start")
    assert code == 0
    assert [(row["name"], row["action"], len(row["things"])) for row in body["rights"]] == [
        ("dana", "data.read", 1),
        ("petra", "data.read", 1),
        ("val", "data.read", 1),
        ("mel", "run.start", 1),
    ]
    assert len(say("access", "matrix")[1]["rights"]) > 40
    assert say("access", "matrix", "data.fly")[0] == 2


def test_rights_are_given_handed_on_and_taken_back(say: Say) -> None:
    code, body = say("access", "grant", "sam", "operator", "--until", "2099-01-01", "--reason", "holiday")
    assert (code, body["pending"]) == (0, False)
    assert names(say("who-can", "deployment.deploy")[1]) == ["otto", "sam"]
    assert say("access", "withdraw", "sam", "--reason", "back")[0] == 0
    assert names(say("who-can", "deployment.deploy")[1]) == ["otto"]
    assert say("access", "delegate", "pipe", "--role", "operator", "--until", "2099-01-01", who="otto")[0] == 0
    assert names(say("who-can", "deployment.deploy")[1]) == ["otto", "pipe"]
    assert say("access", "revoke-token", "pipe", who="otto")[0] == 0
    assert names(say("who-can", "deployment.deploy")[1]) == ["otto"]
    assert say("access", "grant", "sam", "operator", "--until", "2099-01-01", "--reason", "x", who="dana")[0] == 5


def test_broken_glass_stands_first_in_status_until_it_is_reviewed(say: Say) -> None:
    code, body = say("access", "break-glass", "operator", "--reason", "fire", who="mel")
    entry = body["entry"]
    status = say("status")[1]
    assert (status["access"]["state"], status["access"]["entries"]) == ("unknown", [entry])
    assert status["steps"][0]["persons"] == ["sam"]
    code, body = say("access", "review")
    assert (code, [row["kind"] for row in body["findings"]]) == (1, ["emergency"])
    assert say("access", "review", "--of", str(entry), who="sam")[0] == 2
    words = ("access", "review", "--of", str(entry), "--verdict", "upheld", "--reason", "seen")
    assert say(*words, who="mel")[0] == 5
    assert say(*words, who="sam")[0] == 0
    assert say("status")[1]["access"]["state"] == "met"
    assert say("access", "review", "--sign", who="sam")[0] == 0
    assert say("access", "review", "--sign", who="dana")[0] == 5
    assert say("access", "review", "--sign", "--at", "3", who="sam")[0] == 2


def test_the_rules_are_printed_and_those_of_a_project_checked(say: Say) -> None:
    shown = say("access", "policy")[1]
    assert '@id("separation.approve")' in shown["text"]
    assert "entity Actor" in say("access", "policy", "--schema")[1]["text"]
    assert say("access", "check")[0] == 2  # there is none
    rule = '@id("no") forbid (principal, action == Action::"run.start", resource);'
    Path("access.cedar").write_text(rule)
    assert say("access", "check")[1]["rules"] == ["no"]
    assert say("access", "policy")[1]["own"] == ["no"]
    code, body = say("access", "explain", "mel", "run.start")
    assert (code, body["rule"]) == (5, "no")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('@id("x") permit (principal, action, resource);', "line 1: the permit 'x' is a wildcard"),
        ('\n@id("x") forbid (principal, action, resource) when { context.colour == 1 };', "line 2, 'x'"),
        ("forbid (principal, action, resource);", "has no name"),
        ('@id("x") forbid (principal, action, resource) when { 1 + 1 == 2 };', "line 1"),
        ("\udcff", "not UTF-8"),
        ("/" * 300_000, "the limit is 262144"),
    ],
    ids=["wildcard", "schema", "nameless", "subset", "bytes", "long"],
)
def test_rules_that_cannot_be_trusted_stop_every_decision(say: Say, text: str, why: str) -> None:
    Path("access.cedar").write_bytes(text.encode("utf-8", "surrogateescape"))
    for words in (("access", "check"), ("access", "explain", "mel", "run.start"), ("who-can", "run.start")):
        code, body = say(*words)
        assert (code, body["error"]) == (2, "InvalidInput")
        assert why in body["message"]
    code, body = say("incident", "open", "train", "--type", "leak", "--reason", "x", who="otto")
    assert code == 2


def test_a_link_to_nowhere_is_no_absence_of_rules(say: Say) -> None:
    Path("access.cedar").symlink_to("nowhere")
    assert say("who-can", "run.start")[0] == 2


def test_everybody_of_the_team_is_explained_in_words(say: Say) -> None:
    for name in PEOPLE:
        said = CliRunner().invoke(custody, ["access", "explain", name, "gate.approve"])
        assert said.exit_code == (0 if name in ("ari", "cora") else 5)
        assert said.stdout.startswith(("ALLOW", "DENY"))
        assert "because" in said.stdout
