"""What the documentation says is true: its links lead somewhere, its commands exist, its example check works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```(?:sh|console|text)?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:uv run )?custody((?: [a-z][a-z-]*)+)", re.MULTILINE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def broken_links(page: Path, text: str) -> list[str]:
    local = [link for link in LINK.findall(text) if not re.match(r"[a-z]+:|#", link)]
    return [link for link in local if not (page.parent / link.split("#")[0]).exists()]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    assert broken_links(ROOT / "README.md", "[x](docs/nowhere.md) [y](CHANGELOG.md) [z](https://a.example/b)") == [
        "docs/nowhere.md"
    ]


def test_every_page_is_linked_from_the_index() -> None:
    """A page nobody can find is not documentation. Decisions are listed in their own index."""
    reached: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = [link.split("#")[0] for link in LINK.findall(page.read_text()) if not re.match(r"[a-z]+:|#", link)]
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert [page_id(page) for page in (ROOT / "docs").rglob("*.md") if page not in reached] == []


def commands_in(text: str) -> set[tuple[str, ...]]:
    """Return every `custody ...` command a page shows: its words up to the first that is no plain word."""
    found: set[tuple[str, ...]] = set()
    for block, span in CODE.findall(text):
        found |= {tuple(words.split()) for words in COMMAND.findall(block or span)}
    return found


def unknown_words(words: tuple[str, ...]) -> str:
    """Walk the command line's groups; return the first word that is neither a command nor an argument."""
    from custody.cli.main import custody

    command: click.Command = custody
    for number, word in enumerate(words):
        if words[:number] in (("init",), ("run",)):
            return ""  # `init USE_CASE` and `run -- COMMAND` take more than the names of sub-commands
        if not isinstance(command, click.Group):
            return ""  # arguments follow
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            return word
        command = inner
    return ""


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    shown = commands_in(page.read_text())
    assert {words: odd for words in shown if (odd := unknown_words(words))} == {}


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert commands_in("`custody frobnicate now`") == {("frobnicate", "now")}
    assert unknown_words(("frobnicate", "now")) == "frobnicate"
    assert unknown_words(("gate", "frobnicate")) == "frobnicate"
    assert unknown_words(("status",)) == ""


def test_the_criteria_that_are_shown_have_no_defect() -> None:
    from custody.checks.registry import vocabulary
    from custody.core.criteria import read_criteria

    blocks = [block for page in PAGES for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)]
    files = [block for block in blocks if "[[criterion]]" in block]
    assert files
    for file in files:
        assert [str(defect) for defect in read_criteria(file.encode(), vocabulary()).defects] == []


def test_the_check_of_the_how_to_is_one_file_and_keeps_every_promise(tmp_path: Path) -> None:
    """Only the file is added; the contract suite finds it and is content with it."""
    page = (ROOT / "docs" / "how-to" / "add-a-check.md").read_text()
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert source is not None
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "contract", tmp_path / "tests" / "contract")
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src" / "custody" / "checks" / "data" / "rare_labels.py").write_text(source.group(1))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/contract/test_checks.py",
            "-k",
            "rare_labels",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PYTEST_XDIST_WORKER": "", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"1[0-9] passed", done.stdout), done.stdout
