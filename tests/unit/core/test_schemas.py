"""The published schemas and the code say the same about every statement."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, ValidationError

from custody.core import predicates as kinds
from custody.core.evidence import Evidence
from custody.core.predicates import FIELDS, check_predicate, short
from custody.errors import InvalidInput
from custody.testing import honest_life

DOCS = Path(__file__).parents[3] / "docs"
FOLDER = DOCS / "reference" / "predicates"
JSON_TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("custody_docs_generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def schema_of(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{short(kind)}-v1.json").read_text())
    return found


def expected_types(wanted: type | UnionType) -> set[str]:
    return {JSON_TYPES[one] for one in (get_args(wanted) or (wanted,))}


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> list[Evidence]:
    life = honest_life(tmp_path_factory.mktemp("life"))
    return list(life.record)


def test_the_files_on_disk_are_what_the_generator_writes() -> None:
    generator = _generator()
    files = generator.schema_files()
    assert {path.name for path in FOLDER.iterdir()} == set(files)
    for name, body in files.items():
        assert (FOLDER / name).read_text() == body, f"{name} fell behind: python docs/generate.py"
    assert (DOCS / "reference" / "predicates.md").read_text() == generator.predicates.page()


def test_every_kind_has_a_schema_and_every_schema_a_kind() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {f"{short(kind)}-v1" for kind in FIELDS}
    assert {schema_of(kind)["$id"] for kind in FIELDS} == set(FIELDS)


@pytest.mark.parametrize("kind", list(FIELDS), ids=short)
def test_a_schema_asks_for_the_fields_that_the_code_asks_for(kind: str) -> None:
    schema = schema_of(kind)
    Draft202012Validator.check_schema(schema)
    timed = set() if kind == kinds.TRAINING_FINISH else {"at"}
    assert set(schema["required"]) == set(FIELDS[kind]) | timed
    for name, wanted in FIELDS[kind].items():
        said = schema["properties"][name]["type"]
        assert set(said if isinstance(said, list) else [said]) == expected_types(wanted), name
        assert schema["properties"][name]["description"]


def test_what_a_whole_life_says_fits_its_schemas(statements: list[Evidence]) -> None:
    seen = {entry.kind for entry in statements}
    assert len(seen) > 12
    for entry in statements:
        Draft202012Validator(schema_of(entry.kind)).validate(entry.predicate)


def test_what_the_code_refuses_the_schema_refuses(statements: list[Evidence]) -> None:
    for kind in {entry.kind for entry in statements}:
        entry = next(entry for entry in statements if entry.kind == kind)
        for name in FIELDS[kind]:
            lacking = {key: value for key, value in entry.predicate.items() if key != name}
            wrong = {**entry.predicate, name: 3.5}
            for bad in (lacking, wrong):
                with pytest.raises(InvalidInput):
                    check_predicate(kind, bad)
                with pytest.raises(ValidationError):
                    Draft202012Validator(schema_of(kind)).validate(bad)
