"""What the stack of the abstract unpickler holds: only as much as a name or an array's length needs.

Text, bytes, numbers, None and tuples stand for themselves.
"""

from __future__ import annotations

from typing import Any


class Global:
    """An imported name."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Made:
    """An instance or the result of a call of `kind`; `known` holds entries put into it, as into an OrderedDict."""

    __slots__ = ("args", "kind", "known", "state")

    def __init__(self, kind: Global | None, args: Any = ()) -> None:
        self.kind = kind
        self.args = args
        self.state: Any = None
        self.known: dict[str, Any] | None = None


class Items:
    """A list, set or frozenset; the items were judged when they were made."""

    __slots__ = ()


class Pairs:
    """A dictionary; entries with text keys are kept."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}


class Blob:
    """Many bytes or a long text, left where they are in the file."""

    __slots__ = ("head", "size", "start", "text")

    def __init__(self, start: int, size: int, head: bytes, text: bool = False) -> None:
        self.start = start
        self.size = size
        self.head = head
        self.text = text


class Persistent:
    """What a loader returned for a persistent id."""

    __slots__ = ("identity",)

    def __init__(self, identity: Any) -> None:
        self.identity = identity


class Unresolved:
    """A value of which nothing is known."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


def keep_pairs(known: dict[str, Any], items: list[Any]) -> None:
    """Remember the entries with text keys out of keys and values in turn."""
    pairs = zip(items[::2], items[1::2], strict=True)
    known.update((key, value) for key, value in pairs if isinstance(key, str))


def spell(value: Any) -> str:
    """Name a value for a reader, in few words."""
    if isinstance(value, Global):
        return str(value)
    if isinstance(value, Made):
        return f"the object made by {value.kind}" if value.kind else "an object made by the pickle"
    if isinstance(value, Persistent):
        return "the object behind a persistent id"
    if isinstance(value, Unresolved):
        return f"something undetermined ({value.why})"
    if isinstance(value, str | int | float | bool | bytes) or value is None:
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return {Items: "a list", Pairs: "a dictionary", Blob: "a long text"}.get(type(value), "an object")
