"""A check is one file: its id is its path, it leans on no other check, and its page is up to date."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from custody.checks.registry import registry

ROOT = Path(__file__).parents[2]
CHECKS = ROOT / "src" / "custody" / "checks"
PAGE = ROOT / "docs" / "reference" / "checks.md"


def files() -> dict[str, Path]:
    """Return every check file by the id its path gives it; underscored files are shared parts, not checks."""
    return {
        ".".join(path.relative_to(CHECKS).with_suffix("").parts): path
        for path in sorted(CHECKS.glob("*/**/*.py"))
        if not any(part.startswith("_") for part in path.relative_to(CHECKS).parts)
    }


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def neighbours(text: str, own: str, checks: set[str]) -> set[str]:
    """Return the other checks that a check's source imports, by id."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named.add(node.module)
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("custody.checks.") for name in named} & (checks - {own})


def test_every_check_file_is_a_check_and_every_check_is_its_file() -> None:
    assert set(registry()) == set(files())


@pytest.mark.parametrize("name", sorted(registry()))
def test_a_check_leans_on_no_other_check(name: str) -> None:
    assert neighbours(files()[name].read_text(), name, set(registry())) == set()


def test_leaning_on_another_check_is_noticed() -> None:
    checks = {"a.one", "b.two"}
    for line in (
        "import custody.checks.b.two",
        "from custody.checks.b import two",
        "from custody.checks.b.two import f",
    ):
        assert neighbours(line, "a.one", checks) == {"b.two"}
    assert neighbours("from custody.checks._intervals import wilson", "a.one", checks) == set()


def test_the_page_of_checks_is_up_to_date() -> None:
    assert PAGE.read_text() == generator().checks_page(), "run: python docs/generate.py"


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_check_and_measure_has_its_line_on_the_page(name: str) -> None:
    page = PAGE.read_text()
    assert f"### `{name}`" in page
    for measure in registry()[name].measures:
        assert f"| `{name}.{measure}` |" in page


def test_the_table_of_exit_codes_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text()
    for line in generator().error_lines():
        assert line in page, "run: python docs/generate.py"
