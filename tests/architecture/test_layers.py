"""Calls point down: the import contracts of pyproject.toml hold, and would notice if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of `folder` over its own `src`."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())",
            "--cache-dir",
            str(cache),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the project that a test may spoil."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_contract_is_kept(tmp_path: Path) -> None:
    answer = lint(ROOT, tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 broken" in answer.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("custody/core/subject.py", "import custody.wiring", "Calls point down"),
        ("custody/brand_new.py", "VALUE = 1", "Calls point down"),
        ("custody/core/subject.py", "import numpy", "The heart needs nothing but the standard library"),
        ("custody/checks/target.py", "import custody.ledger", "A check sees only its target"),
        ("custody_verify/__main__.py", "import custody.errors", "The verifier imports nothing of Custody"),
        ("custody/cli/main.py", "import custody.adapters", "Only wiring names adapters"),
    ],
)
def test_a_planted_import_is_refused(copy: Path, file: str, line: str, contract: str) -> None:
    spoiled = copy / "src" / file
    text = spoiled.read_text() if spoiled.exists() else ""
    spoiled.write_text(f"{text}\n\n{line}\n")
    answer = lint(copy, copy / "cache")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"{contract} BROKEN" in answer.stdout
