from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.errors import InvalidInput

SAMPLES: dict[object, Any] = {
    str: "x",
    int: 1,
    float: 1.0,
    dict: {},
    list: [],
    bool: True,
    str | None: None,
    int | None: None,
}
WRONG: dict[object, list[Any]] = {
    str: [None, 1, b"x"],
    int: ["1", True, 1.0, None],
    dict: [[], None, "x"],
    list: [{}, None, "x"],
    bool: [1, None, "true"],
    str | None: [1, []],
    int | None: ["1", 1.0, True, []],
}


def sound(kind: str) -> dict[str, Any]:
    return {"at": "2026-01-01T00:00:00+00:00", **{name: SAMPLES[kind_] for name, kind_ in kinds.FIELDS[kind].items()}}


CASES = [(kind, name, wanted) for kind, fields in kinds.FIELDS.items() for name, wanted in fields.items()]


@pytest.mark.parametrize("kind", list(kinds.FIELDS))
def test_a_sound_predicate_is_accepted(kind: str) -> None:
    kinds.check_predicate(kind, sound(kind))


@pytest.mark.parametrize(("kind", "name", "wanted"), CASES, ids=lambda value: str(value)[-30:])
def test_each_field_must_be_there_and_rightly_typed(kind: str, name: str, wanted: Any) -> None:
    body = sound(kind)
    del body[name]
    with pytest.raises(InvalidInput, match=name):
        kinds.check_predicate(kind, body)
    for wrong in WRONG[wanted]:
        with pytest.raises(InvalidInput, match=name):
            kinds.check_predicate(kind, {**sound(kind), name: wrong})


@pytest.mark.parametrize("kind", [kind for kind in kinds.FIELDS if kind != kinds.TRAINING_FINISH])
@pytest.mark.parametrize("at", [None, 7])
def test_every_predicate_of_our_own_says_when(kind: str, at: Any) -> None:
    with pytest.raises(InvalidInput, match="at"):
        kinds.check_predicate(kind, {**sound(kind), "at": at})


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a kind"):
        kinds.check_predicate("urn:custody:blessing:v1", {"at": "x"})


def test_kinds_have_short_names() -> None:
    assert kinds.short(kinds.SEAL) == "criteria-seal"
    assert kinds.short(kinds.TRAINING_FINISH) == "training-finish"


@pytest.mark.parametrize("broken", [{}, {"buildDefinition": 1}, {"buildDefinition": {"internalParameters": []}}])
def test_a_finish_without_a_start_names_none(broken: dict[str, Any]) -> None:
    assert kinds.start_of(broken) == ""
    assert kinds.finished_inputs(broken) == []


def test_a_finish_names_its_start_and_its_data() -> None:
    data = {"name": "data:b", "digest": {"sha256": "2"}}
    found = [data, {"name": "code", "digest": {"sha256": "0"}}, {**data, "name": "data:a"}, "x", {"name": "data:c"}]
    finish = {"buildDefinition": {"internalParameters": {"start": "d"}, "resolvedDependencies": found}}
    assert kinds.start_of(finish) == "d"
    assert kinds.finished_inputs(finish) == [("a", "2"), ("b", "2")]


@pytest.mark.parametrize("details", [None, {}, {"compromised": None}, {"compromised": "no"}])
def test_a_finish_that_does_not_say_is_compromised(details: Any) -> None:
    assert kinds.compromised({"runDetails": details})
    assert kinds.compromised({"runDetails": {"compromised": []}}) == []


def test_only_a_security_manager_closes_an_incident() -> None:
    assert kinds.closes({"status": "closed"}, frozenset({"security_manager"}))
    assert not kinds.closes({"status": "closed"}, frozenset({"operator"}))
    assert not kinds.closes({"status": "open"}, frozenset({"security_manager"}))
