"""What requests may contain: entity types, actions, and the attributes each brings.

Reads the part of Cedar's schema language (<https://docs.cedarpolicy.com/schema/human-readable-schema-grammar.html>)
that Custody's own schema uses: entities with parents and attributes, record types by name, actions with `appliesTo`;
`Bool`, `Long`, `String`, `Set<...>`, records, entity types. Policies are held against it by Cedar itself; requests by
`Schema.defects`, which is what makes an unknown action, an absent attribute or one of the wrong type a denial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core.cedar.engine import Entity, Request
from custody.core.cedar.read import Reader, refuse, tokens_of, unquoted
from custody.core.cedar.syntax import Uid


@dataclass(frozen=True)
class Type:
    """The type of a value: `kind` is Bool, Long, String, Set, Record or Entity."""

    kind: str
    of: Type | None = None
    """The type of a set's items."""
    fields: Mapping[str, tuple[Type, bool]] | None = None
    """A record's attributes: the type of each, and whether it must be there."""
    name: str = ""
    """An entity's type."""

    def fits(self, value: Any) -> bool:
        """Tell whether a value, as the engine keeps it, is of this type."""
        match self.kind:
            case "Bool":
                return isinstance(value, bool)
            case "Long":
                return isinstance(value, int) and not isinstance(value, bool)
            case "String":
                return isinstance(value, str)
            case "Set":
                return isinstance(value, frozenset) and all(self.of is not None and self.of.fits(v) for v in value)
            case "Record":
                return isinstance(value, Mapping) and not self.defects(value, "")
            case _:
                return isinstance(value, Uid) and value.type == self.name

    def defects(self, given: Mapping[str, Any], what: str) -> list[str]:
        """Return what is wrong with a record."""
        fields = self.fields or {}
        found = [f"{what} lacks {name!r}" for name, (_, must) in fields.items() if must and name not in given]
        for name, value in given.items():
            if name not in fields:
                found.append(f"{what} has {name!r}, which is not in the schema")
            elif not fields[name][0].fits(value):
                found.append(f"{what} has a {name!r} of the wrong type")
        return found


@dataclass(frozen=True)
class Applies:
    """To whom and what an action applies, and the context it needs."""

    principals: frozenset[str]
    resources: frozenset[str]
    context: Type


@dataclass(frozen=True)
class Schema:
    """A schema that was read."""

    entities: Mapping[str, Type]
    actions: Mapping[str, Applies]

    def defects(self, request: Request) -> list[str]:
        """Return why a request cannot be decided; an empty list says that it can."""
        applies = self.actions.get(request.action)
        if applies is None:
            return [f"{request.action!r} is not an action"]
        found: list[str] = []
        for entity, types in ((request.principal, applies.principals), (request.resource, applies.resources)):
            if entity.uid.type not in types:
                found.append(f"{request.action} does not apply to {entity.uid.type or 'nothing'}")
            else:
                found += self._entity(entity)
        return found + applies.context.defects(request.context, "the context")

    def _entity(self, entity: Entity) -> list[str]:
        return self.entities[entity.uid.type].defects(entity.attrs, str(entity.uid))


def read_schema(text: str) -> Schema:
    """Read a schema; raises `InvalidInput` with the line and the reason."""
    reader = _Reader(tokens_of(text))
    while not reader.ended:
        reader.declaration()
    for action, applies in reader.actions.items():
        for kind in sorted(applies.principals | applies.resources):
            if kind not in reader.entities:
                raise refuse(0, f"{action} applies to {kind!r}, which is not declared")
    return Schema(reader.entities, reader.actions)


class _Reader(Reader):
    """Goes through a schema's tokens; what is named must be declared before."""

    def __init__(self, tokens: Any) -> None:
        super().__init__(tokens)
        self.entities: dict[str, Type] = {}
        self.actions: dict[str, Applies] = {}
        self._types: dict[str, Type] = {"Bool": Type("Bool"), "Long": Type("Long"), "String": Type("String")}

    def declaration(self) -> None:
        """Take one declaration."""
        what = self.need("entity", "type", "action")
        match what.text:
            case "entity":
                names = self._names(lambda: self.word("the type of an entity"))
                if self.take("in"):
                    self._kinds()
                self.take("=")
                shape = self._record() if self.take("{") else Type("Record", fields={})
                self.entities |= dict.fromkeys(names, shape)
            case "type":
                name = self.word("the name of a type")
                self.need("=")
                self._types[name] = self._type()
            case _:
                names = self._names(lambda: unquoted(self.need_kind("text", "the name of an action")))
                self.need("appliesTo")
                self.need("{")
                found: dict[str, Any] = {"context": Type("Record", fields={})}
                while not self.take("}"):
                    part = self.need("principal", "resource", "context").text
                    self.need(":")
                    found[part] = self._type() if part == "context" else frozenset(self._kinds())
                    self.take(",")
                if not {"principal", "resource"} <= set(found):
                    raise refuse(what.line, "an action needs a principal and a resource")
                applies = Applies(found["principal"], found["resource"], found["context"])
                self.actions |= dict.fromkeys(names, applies)
        self.need(";")

    def _names(self, one: Any) -> list[str]:
        names = [one()]
        while self.take(","):
            names.append(one())
        return names

    def _kinds(self) -> list[str]:
        if not self.take("["):
            return [self.path()]
        kinds = self._names(self.path)
        self.need("]")
        return kinds

    def _type(self) -> Type:
        if self.take("{"):
            return self._record()
        name = self.path()
        if name == "Set":
            self.need("<")
            inner = self._type()
            self.need(">")
            return Type("Set", of=inner)
        if name in self._types:
            return self._types[name]
        if name in self.entities:
            return Type("Entity", name=name)
        raise refuse(self.token.line, f"the type {name!r} is not known")

    def _record(self) -> Type:
        fields: dict[str, tuple[Type, bool]] = {}
        while not self.take("}"):
            name = self.word("the name of an attribute")
            must = not self.take("?")
            self.need(":")
            fields[name] = self._type(), must
            if not self.take(","):
                self.need("}")
                break
        return Type("Record", fields=fields)
