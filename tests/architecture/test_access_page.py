"""The page about access says what the rules say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from custody.core.access import Action
from custody.gates import access_schema, access_text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "access.md"


def test_the_table_on_the_page_is_what_the_rules_give() -> None:
    spec = importlib.util.spec_from_file_location("docs_generate_access", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = PAGE.read_text().partition("<!-- table -->\n")[2].partition("<!-- end of table -->")[0]
    assert table == module.rights_table(), "run: python docs/generate.py"
    assert all(f"| `{action}` |" in table for action in Action)


def test_every_separation_that_is_shipped_is_on_the_page() -> None:
    shipped = {line.split('"')[1] for line in access_text().splitlines() if line.startswith('@id("separation.')}
    page = PAGE.read_text()
    assert shipped
    assert all(f"`{rule}`" in page for rule in shipped)


def test_every_circumstance_of_the_schema_is_on_the_page() -> None:
    context = access_schema().partition("type Context = {")[2].partition("};")[0]
    names = {line.strip().split(":")[0].rstrip("?") for line in context.strip().splitlines()}
    assert len(names) > 8
    page = PAGE.read_text()
    assert {name for name in names if f"`{name}`" not in page} == set()
