from __future__ import annotations

from typing import Any

import pytest

from custody.core.cedar.engine import Entity, Request, value_of
from custody.core.cedar.schema import read_schema
from custody.core.cedar.syntax import Uid
from custody.errors import InvalidInput

TEXT = """
entity Role;
entity Actor in [Role] = { person: String, "rank"?: Long, };
entity Thing in Role { open: Bool, tags: Set<String>, at?: { place: String, owner?: Actor } };
type Context = { time: Long, who?: Actor };
action "read" appliesTo { principal: Actor, resource: [Thing], context: Context };
action "poke" appliesTo { principal: [Actor], resource: [Thing, Role], };
""".replace('"rank"', "rank")
SCHEMA = read_schema(TEXT)


def defects(action: str = "read", *, context: Any = None, actor: Any = None, **thing: Any) -> list[str]:
    fields = {"open": True, "tags": ["a"], **thing}
    resource = {name: value_of(value) for name, value in fields.items() if value is not ...}
    told = {name: value_of(value) for name, value in ({"time": 1} if context is None else context).items()}
    principal = actor or Entity(Uid("Actor", "a"), {"person": "p"})
    return SCHEMA.defects(Request(principal, action, Entity(Uid("Thing", "t"), resource), told))


def test_a_whole_request_has_no_defect() -> None:
    assert defects() == []
    assert defects(at={"place": "x", "owner": Uid("Actor", "b")}, context={"time": 1, "who": Uid("Actor", "b")}) == []
    assert defects("poke", context={}) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"action": "fly"}, "'fly' is not an action"),
        ({"context": {}}, "the context lacks 'time'"),
        ({"context": {"time": True}}, "'time' of the wrong type"),
        ({"context": {"time": "1"}}, "'time' of the wrong type"),
        ({"context": {"time": 1, "more": 1}}, "not in the schema"),
        ({"context": {"time": 1, "who": Uid("Role", "b")}}, "'who' of the wrong type"),
        ({"open": ...}, "lacks 'open'"),
        ({"open": 1}, "'open' of the wrong type"),
        ({"tags": [1]}, "'tags' of the wrong type"),
        ({"tags": [True]}, "'tags' of the wrong type"),
        ({"tags": "a"}, "'tags' of the wrong type"),
        ({"at": {}}, "'at' of the wrong type"),
        ({"at": {"place": "x", "more": 1}}, "'at' of the wrong type"),
        ({"at": "x"}, "'at' of the wrong type"),
        ({"actor": Entity(Uid("Thing", "a"))}, "read does not apply to Thing"),
        ({"actor": Entity(Uid("", ""))}, "read does not apply to nothing"),
        ({"actor": Entity(Uid("Actor", "a"))}, "lacks 'person'"),
    ],
)
def test_each_defect_is_said(given: dict[str, Any], why: str) -> None:
    assert any(why in defect for defect in defects(**given))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("namespace X {}", "'entity' or 'type' or 'action'"),
        ("entity A { a: Nothing };", "the type 'Nothing' is not known"),
        ('action "a" appliesTo { principal: [A], resource: [B] };', "not declared"),
        ('entity A; action "a" appliesTo { principal: [A] };', "a principal and a resource"),
        ("entity A { a: Long b: Long };", "'}'"),
        ("entity A", "the text ends"),
        ("type A = Set<A>;", "not known"),
    ],
)
def test_another_schema_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_schema(text)
