"""Answers and refusals: JSON that parses, words for people, one exit code for each kind of error."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from custody import errors
from custody.cli.app import App, face, refuse
from custody.cli.main import custody
from custody.cli.results import exit_of_findings, finding_lines, measure_line

READS = [
    ["status"],
    ["next"],
    ["data", "list"],
    ["run", "list"],
    ["incident", "list"],
    ["watch", "log"],
    ["audit", "verify"],
    ["audit", "log"],
    ["audit", "log", "--about", "enrolment"],
    ["audit", "show", "0"],
    ["audit", "people"],
    ["audit", "who-can", "gate.approve"],
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = CliRunner().invoke(custody, ["init", "tiny", "--solo", "--owner", "olga", "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["solo"] is True
    return folder


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_every_answer_is_json_when_asked(inside: Path, words: list[str]) -> None:
    said = CliRunner().invoke(custody, [*words, "--json"])
    assert said.exit_code == 0, said.output
    body = json.loads(said.stdout)
    assert isinstance(body, dict)
    assert body
    plain = CliRunner().invoke(custody, words)
    assert plain.exit_code == 0
    assert plain.stdout.strip()


def test_a_source_comparison_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["source", "compare", "--appetite", "0.3", "--criticality", "0.9", "--expertise", "0.8", "--json"]
    for way in ("build", "buy", "open"):
        words += ["--cost", f"{way}=1000,500"]
    said = CliRunner().invoke(custody, words)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["validate"], "OutOfOrder", 3),
        (["audit", "show", "99"], "NotFound", 3),
        (["audit", "who-can", "fly"], "InvalidInput", 2),
        (["init", "person", "a b", "--role", "validator"], "InvalidInput", 2),
        (["init", "person", "ann", "--role", "validator", "--as", "nobody"], "NotPermitted", 5),
        (["deploy", "--env", "production"], "OutOfOrder", 3),
    ],
)
def test_a_refusal_as_json(inside: Path, words: list[str], kind: str, code: int) -> None:
    said = CliRunner().invoke(custody, [*words, "--json"])
    assert said.exit_code == code, said.output
    body = json.loads(said.stdout)
    assert set(body) == {"error", "message", "hint", "exit_code"}
    assert (body["error"], body["exit_code"]) == (kind, code)
    assert body["message"]
    assert body["hint"], "what to do next is always said"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.InvalidInput("bad file"), 2, ["refused: bad file", "next: "]),
        (errors.NotFound("none", hint="look there"), 3, ["refused: none", "next: look there"]),
        (errors.OutOfOrder("too early"), 3, ["custody next"]),
        (errors.Unknown("not measured"), 3, ["not measured", "next: "]),
        (errors.Tampered("changed"), 4, ["custody audit verify"]),
        (errors.NotPermitted("not you"), 5, ["custody audit people"]),
        (errors.Unavailable("busy"), 6, ["try again"]),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 6, ["No space left on device (x)", "free some space"]),
        (OSError(errno.EROFS, "Read-only file system", "x"), 6, ["read-only"]),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 6, ["permissions"]),
        (OSError(errno.EMFILE, "Too many open files"), 6, ["ulimit"]),
        (MemoryError(), 6, ["not enough memory"]),
        (RuntimeError("a bug"), 3, ["unknown: ", "concludes nothing", "a bug", "CUSTODY_DEBUG"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_is_said_of_an_error(
    error: BaseException, code: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert refuse(error) == code
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said


def test_a_bug_shows_its_trace_only_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTODY_DEBUG", "1")
    assert refuse(RuntimeError("a bug")) == 3
    assert "RuntimeError: a bug" in capsys.readouterr().err


def test_a_bug_is_no_traceback_for_the_user(tmp_path: Path) -> None:
    source = (
        "import sys, custody.wiring\n"
        "def broken(*_): raise ZeroDivisionError('somewhere deep')\n"
        "custody.wiring.open_custody = broken\n"
        "sys.argv = ['custody', 'status']\n"
        "from custody.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "somewhere deep" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unmeasured_value_is_called_unknown() -> None:
    row: dict[str, Any] = {"name": "auc", "at": {}, "value": None, "reason": "the model is silent"}
    line = click.unstyle(measure_line(row))
    assert "unknown" in line
    assert "the model is silent" in line


def test_findings_set_the_exit_code() -> None:
    class Entry:
        def __init__(self, severity: str, value: float | None) -> None:
            found = [{"severity": severity, "what": "x", "where": "", "why": "", "fix": ""}] if severity else []
            self.predicate = {"findings": found, "measures": [{"value": value}]}

    def code(*entries: Entry) -> int:
        return exit_of_findings(entries)  # type: ignore[arg-type]

    assert code(Entry("", 1.0)) == 0
    assert code(Entry("warning", 1.0)) == 0
    assert code(Entry("", None)) == 3
    assert code(Entry("", None), Entry("critical", 1.0)) == 1
    assert finding_lines([{"severity": "critical", "what": "x", "where": "y", "why": "z", "fix": ""}])[1] == "    z"


def test_progress_is_for_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    App("", as_json=True).progress()("auc")
    assert capsys.readouterr().err == ""
    App("", as_json=False).progress()("auc")
    assert "auc" in capsys.readouterr().err


def test_a_face_lets_other_errors_through() -> None:
    @click.command()
    @face
    def command(app: App) -> None:
        raise errors.Tampered("it was changed")

    said = CliRunner().invoke(command, ["--json"])
    assert (said.exit_code, json.loads(said.stdout)["error"]) == (4, "Tampered")
    said = CliRunner().invoke(command, [])
    assert isinstance(said.exception, errors.Tampered)
