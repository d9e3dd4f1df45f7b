"""Files stay readable, say where things are, and speak of this project alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
LINES = 450
VERIFIER_LINES = 1_500
"""Lines that say something to the machine, and all lines of the folder: the second is to shrink to the first."""

# A folder of somebody's machine; what a sealed run mounts for itself is named in the second pattern.
MACHINE = re.compile(r"(?<![\w.<>}*-])/(?:(?:home|root|work|mnt|Users)/[\w.]|opt/\w*(?:wheel|pypi))")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|raise NotImplemented" + "Error")
UNHOMED = {"utils", "util", "helpers", "helper", "manager", "common", "base", "misc", "models"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def ours() -> list[Path]:
    """Return every text file that git knows, or would know once it is added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        names = [str(path.relative_to(ROOT)) for top in ("src", "docs", "tests") for path in (ROOT / top).rglob("*")]
    else:
        names = listed.stdout.split("\0")
    kinds = {".py", ".md", ".toml", ".sh", ".html", ".css", ".js", ""}
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.suffix in kinds and path.is_file() and path != Path(__file__)]


def offences(pattern: re.Pattern[str], text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


def test_no_module_is_longer_than_one_sitting() -> None:
    long = {str(path.relative_to(ROOT)): n for path in modules() if (n := len(path.read_text().splitlines())) > LINES}
    assert long == {}


def test_no_module_is_named_after_having_no_home() -> None:
    homeless = [path for path in modules() if path.stem.strip("_") in UNHOMED]
    assert homeless == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in ours()
        if (lines := offences(MACHINE, path.read_text(errors="replace")))
    }
    assert found == {}


def test_nothing_is_left_unfinished() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in ours()
        if (lines := offences(UNFINISHED, path.read_text(errors="replace")))
    }
    assert found == {}


@pytest.mark.parametrize("line", ["see /home/" + "ann/model.pkl", "cd /wo" + "rk/main", "'/root/" + ".cache'"])
def test_the_search_for_machine_paths_finds_one(line: str) -> None:
    assert offences(MACHINE, line)


@pytest.mark.parametrize("line", ["https://example.org/home/page", "/usr/lib/x", "a/opt/b", "--bind x /output/model"])
def test_the_search_for_machine_paths_leaves_others_alone(line: str) -> None:
    assert not offences(MACHINE, line)


def test_the_search_for_unfinished_work_finds_it() -> None:
    assert offences(UNFINISHED, "# TO" + "DO later")
    assert offences(UNFINISHED, "raise NotImplemented" + "Error")


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text(errors="replace")))]
    assert silent == []


def imported(path: Path) -> set[str]:
    """Return the top-level names a file imports, wherever in the file it does so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(errors="replace"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_verifier_needs_the_standard_library_only() -> None:
    files = sorted((SOURCE / "custody_verify").glob("**/*.py"))
    assert files
    strangers = {
        path.name: odd for path in files if (odd := imported(path) - set(sys.stdlib_module_names) - {"custody_verify"})
    }
    assert strangers == {}


def test_the_verifier_can_be_read_in_an_afternoon() -> None:
    files = sorted((SOURCE / "custody_verify").glob("**/*.py"))
    assert 0 < sum(len(path.read_text().splitlines()) for path in files) < VERIFIER_LINES


def test_the_verifier_runs_where_custody_is_not_installed(tmp_path: Path) -> None:
    """-S hides installed packages; the folder on the path holds nothing but the verifier."""
    (tmp_path / "custody_verify").symlink_to(SOURCE / "custody_verify")
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "custody_verify", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
