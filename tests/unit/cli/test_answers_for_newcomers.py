"""What the command line says to somebody who is stuck: places to write to, width, the next step."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from custody.cli.main import custody
from custody.cli.results import ruling_lines
from custody.core.decision import Ruling, Status
from custody.errors import InvalidInput, NotFound

LONG = "balanced accuracy is 0.6123 (0.5987 to 0.6260) on 6000 rows, and at least 0.7000 was promised before training"
RULINGS = [Ruling("P1", Status.NOT_MET, LONG, (17,)), Ruling("process.sealed_before_training", Status.MET, LONG, (4,))]


def say(*words: str) -> Result:
    return CliRunner().invoke(custody, list(words))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTODY_STATE", str(tmp_path / "state"))
    assert say("init", "loans", "--solo", "--owner", "olga").exit_code == 0
    return tmp_path


@pytest.mark.parametrize("verb", ["export", "trust-root", "report", "bom"])
def test_a_place_nothing_can_be_written_to_is_named(project: Path, verb: str) -> None:
    for place, words in ((str(project), "is a folder"), ("nowhere/file.json", "there is no folder nowhere")):
        said = say("audit", verb, "-o", place)
        assert isinstance(said.exception, InvalidInput), said.output
        assert words in said.exception.message


def test_a_place_that_can_be_written_to_is(project: Path) -> None:
    assert say("audit", "trust-root", "-o", "trust.json").exit_code == 0
    assert (project / "trust.json").is_file()


def test_a_certificate_that_could_not_be_written_destroys_nothing(project: Path) -> None:
    said = say("retire", "--reason", "replaced", "--yes", "--certificate", str(project))
    assert isinstance(said.exception, InvalidInput)
    assert "is a folder" in said.exception.message


@pytest.mark.parametrize("width", [60, 80, 120])
def test_rulings_fit_the_terminal_and_lose_no_word(width: int) -> None:
    lines = [click.unstyle(line) for line in ruling_lines(RULINGS, width)]
    assert max(map(len, lines)) <= width
    assert " ".join(LONG.split()) in " ".join(" ".join(lines).split())
    assert all(line.startswith("  ") for line in lines)


def test_rulings_are_not_wrapped_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert len(ruling_lines(RULINGS)) == 2
    monkeypatch.setenv("COLUMNS", "80")
    assert max(len(click.unstyle(line)) for line in ruling_lines(RULINGS)) <= 80


def test_the_first_step_is_a_whole_command(project: Path) -> None:
    step = json.loads(say("next", "--json").stdout)["steps"][0]
    words = shlex.split(step["command"])
    assert words[:4] == ["custody", "source", "decide", "build"]
    done = say(*words[1:])
    assert done.exit_code == 0, done.output


def test_an_unknown_role_is_refused(project: Path) -> None:
    said = say("next", "--role", "foo")
    assert isinstance(said.exception, InvalidInput)
    assert "validator" in said.exception.hint
    assert say("next", "--role", "validator").exit_code == 0


def test_an_incident_about_nothing_known_says_so(project: Path) -> None:
    said = say("incident", "open", "typo", "--type", "leak", "--reason", "a list was found")
    assert isinstance(said.exception, NotFound)
    assert "no dataset or model named 'typo'" in said.exception.message
