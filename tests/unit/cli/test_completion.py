"""Shell completion, as docs/how-to/complete-commands-in-the-shell.md promises it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "complete-commands-in-the-shell.md"
CALL = "import sys; sys.argv[0] = 'custody'; from custody.cli.main import main; main()"


def asked(folder: Path, instruction: str, **more: str) -> str:
    environment = {**os.environ, "_CUSTODY_COMPLETE": instruction, **more}
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_produced(tmp_path: Path, shell: str) -> None:
    script = asked(tmp_path, f"{shell}_source")
    assert f"_CUSTODY_COMPLETE={shell}_complete" in script
    assert f"_CUSTODY_COMPLETE={shell}_source custody" in PAGE.read_text()


def test_verbs_and_options_are_completed_without_a_project(tmp_path: Path) -> None:
    assert "plain,audit" in asked(tmp_path, "bash_complete", COMP_WORDS="custody aud", COMP_CWORD="1")
    options = asked(tmp_path, "bash_complete", COMP_WORDS="custody data register --sens", COMP_CWORD="3")
    assert "plain,--sensitive" in options
    assert list(tmp_path.iterdir()) == []


def test_the_page_names_the_line_for_bash() -> None:
    assert 'eval "$(_CUSTODY_COMPLETE=bash_source custody)"' in PAGE.read_text()
