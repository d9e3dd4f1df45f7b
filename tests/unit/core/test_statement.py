from __future__ import annotations

import json
from typing import Any

import pytest

from custody.core.statement import STATEMENT_TYPE, Statement
from custody.core.strictjson import dump
from custody.core.subject import Subject, run_subject, use_case_subject
from custody.errors import InvalidInput

SUBJECT = Subject("model", "ab" * 32)
SOUND = {
    "_type": STATEMENT_TYPE,
    "subject": [{"name": "model", "digest": {"sha256": "ab" * 32}}],
    "predicateType": "urn:x",
    "predicate": {"a": 1},
}


def test_a_statement_reads_back_as_it_was() -> None:
    statement = Statement(SUBJECT, "urn:x", {"b": [1, 2.5, None, "ü"], "a": {"c": True}})
    assert Statement.from_bytes(statement.to_bytes()) == statement
    assert json.loads(statement.to_bytes())["_type"] == "https://in-toto.io/Statement/v1"


def test_the_sound_one_is_accepted() -> None:
    assert Statement.from_bytes(dump(SOUND)).predicate == {"a": 1}
    with pytest.raises(InvalidInput, match="one form"):
        Statement.from_bytes(json.dumps(SOUND).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"_type": None},
        {"subject": []},
        {"subject": {}},
        {"subject": ["x"]},
        {"subject": SOUND["subject"] * 2},
        {"subject": [{"name": "model"}]},
        {"subject": [{"name": "model", "digest": {"sha256": "ab" * 32}, "uri": "x"}]},
        {"subject": [{"name": 7, "digest": {"sha256": "ab" * 32}}]},
        {"subject": [{"name": "model", "digest": {}}]},
        {"subject": [{"name": "model", "digest": {"sha256": "ab" * 32, "sha1": "x"}}]},
        {"subject": [{"name": "model", "digest": {"sha1": "x"}}]},
        {"subject": [{"name": "model", "digest": {"sha256": 7}}]},
        {"subject": [{"name": "model", "digest": {"sha256": "AB" * 32}}]},
        {"subject": [{"name": "model", "digest": {"sha256": "ab" * 31}}]},
        {"subject": [{"name": "model", "digest": {"sha256": "ab" * 32 + "\n"}}]},
        {"subject": [{"name": "model", "digest": "ab" * 32}]},
        {"predicateType": 7},
        {"predicate": []},
        {"predicate": None},
    ],
)
def test_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Statement.from_bytes(dump({**SOUND, **change}))


@pytest.mark.parametrize("field", list(SOUND))
def test_a_missing_field_is_refused(field: str) -> None:
    with pytest.raises(InvalidInput):
        Statement.from_bytes(dump({key: value for key, value in SOUND.items() if key != field}))


@pytest.mark.parametrize("sha256", ["", "ab", "AB" * 32, "gg" * 32, "ab" * 32 + "\n", "ab" * 33])
def test_a_subject_is_known_by_a_digest(sha256: str) -> None:
    with pytest.raises(InvalidInput):
        Subject("x", sha256)


def test_names_of_things_without_bytes_do_not_meet() -> None:
    assert use_case_subject("x").sha256 != run_subject("x").sha256
    assert use_case_subject("x") == use_case_subject("x")
    assert use_case_subject("x").name == "use-case:x"
    assert SUBJECT.short == "ab" * 6
