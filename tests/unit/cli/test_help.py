"""The command line explains itself: every command has help, misspelt ones a suggestion, shells completion."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from custody.cli.main import VERBS, custody


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """List every command that is shown, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


EVERY = sorted(commands(custody))


def test_fifteen_verbs_at_most() -> None:
    assert len(VERBS) <= 15
    assert len(EVERY) > 30


def test_the_first_page_reads_as_the_lifecycle() -> None:
    said = CliRunner().invoke(custody, ["--help"])
    assert said.exit_code == 0
    places = [said.output.index(f"\n  {verb} ") for verb in VERBS]
    assert places == sorted(places)
    text = " ".join(said.output.split())
    for meaning in ("0 met or GO", "1 not met or NO-GO", "2 bad input", "3 unknown", "4 tampered", "5 access denied"):
        assert meaning in text
    assert "6 try again" in text


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(custody, [*words, "--help"])
    assert said.exit_code == 0, said.output
    about = said.output.split("\n\n")[1].strip()
    assert "." in about, f"no sentence: {about!r}"
    assert about[0].isupper()
    for line in said.output.splitlines():
        assert len(line) <= 120
    assert "..." not in said.output.partition("\nCommands:\n")[2], "a command's line is cut short"


@pytest.mark.parametrize(
    ("wrong", "right"), [("statsu", "status"), ("validat", "validate"), ("dta", "data"), ("retier", "retire")]
)
def test_a_misspelt_verb_names_the_nearest(wrong: str, right: str) -> None:
    said = CliRunner().invoke(custody, [wrong])
    assert said.exit_code == 2
    assert f"Did you mean '{right}'?" in said.output


def test_nonsense_names_no_verb() -> None:
    said = CliRunner().invoke(custody, ["xyzzyx"])
    assert said.exit_code == 2
    assert "Did you mean" not in said.output


@pytest.mark.parametrize(
    ("words", "right"),
    [(["gate", "aprove"], "approve"), (["data", "registr"], "register"), (["audit", "verfy"], "verify")],
)
def test_a_misspelt_command_below_a_verb_names_the_nearest(words: list[str], right: str) -> None:
    said = CliRunner().invoke(custody, words)
    assert said.exit_code == 2
    assert right in said.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    source = run({"_CUSTODY_COMPLETE": f"{shell}_source"})
    assert source.returncode == 0, source.stderr
    assert "custody" in source.stdout
    assert "_CUSTODY_COMPLETE" in source.stdout


def test_completion_of_a_word() -> None:
    done = run({"_CUSTODY_COMPLETE": "bash_complete", "COMP_WORDS": "custody va", "COMP_CWORD": "1"})
    assert done.stdout.split() == ["plain,validate"]
    done = run({"_CUSTODY_COMPLETE": "bash_complete", "COMP_WORDS": "custody gate s", "COMP_CWORD": "2"})
    assert set(done.stdout.split()) == {"plain,seal", "plain,show", "plain,summary"}


def test_help_takes_a_quarter_of_a_second_at_most() -> None:
    """Processor time, so that a busy machine does not count; the median of five."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run({}, "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(seconds) <= 0.25, seconds


def test_version() -> None:
    said = CliRunner().invoke(custody, ["--version"])
    assert said.exit_code == 0
    assert said.output.startswith("custody, version ")


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    # The name a shell completes is that of the program, as an installed one has it.
    source = "import sys; sys.argv[0] = 'custody'; from custody.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", source, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
