"""What an amended seal changes: which promises were loosened, tightened, added or removed.

Read off the two sealed documents, never off what somebody typed about them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from custody.core import predicates as kinds
from custody.core.evidence import Evidence, Record

_PLACES = ("class", "measure", "by", "depth", "at", "on")
_BUDGETS = ("max_openings", "max_attempts")


def former_seal(record: Record, use_case: object, before: int) -> Evidence | None:
    """Return the newest criteria of the use case that are older than entry `before`."""
    seals = [e for e in record.of_kind(kinds.SEAL) if e.predicate["use_case"] == use_case and e.index < before]
    return seals[-1] if seals else None


def amended(record: Record, seal: Evidence) -> list[str] | None:
    """Return what a seal changes of the one before it; None when it is the first."""
    former = former_seal(record, seal.predicate["use_case"], seal.index)
    return None if former is None else changes(former.predicate, seal.predicate)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return each change between two seals' predicates as a sentence that begins with its kind.

    The kinds are loosened, tightened, added, removed and changed, where it cannot be told which way.
    """
    found = [*_criteria(_items(old), _items(new)), *_document(old["criteria"], new["criteria"])]
    if old["held_out"].get("sha256") != new["held_out"].get("sha256"):
        names = (old["held_out"].get("name"), new["held_out"].get("name"))
        found.append(f"changed: the held-out set is {names[1]}, was {names[0]}")
    for name, what in (("policy", "the owner's policy"), ("evaluator", "the evaluator")):
        if old[name] != new[name]:
            found.append(f"changed: {what}")
    return found


def _items(seal: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    written = seal["criteria"].get("criterion")
    items = [item for item in written if isinstance(item, Mapping)] if isinstance(written, list) else []
    return {str(item.get("id")): item for item in items}


def _criteria(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name in sorted(old.keys() - new.keys()):
        yield f"removed: {name} ({_asks(old[name])})"
    for name in sorted(new.keys() - old.keys()):
        yield f"added: {name} ({_asks(new[name])})"
    for name in sorted(old.keys() & new.keys()):
        was, now = old[name], new[name]
        for place in _PLACES:
            if was.get(place) != now.get(place):
                yield f"changed: {name} {place} is {now.get(place)}, was {was.get(place)}"
        for bound, sign in (("at_least", 1.0), ("at_most", -1.0)):
            if was.get(bound) != now.get(bound):
                yield f"{_way(was.get(bound), now.get(bound), sign)}: {name} {_bound(bound, was, now)}"
        if was.get("waivable") != now.get("waivable"):
            yield f"{'loosened' if now.get('waivable') else 'tightened'}: {name} may{_may(now)} be waived"


def _may(item: Mapping[str, Any]) -> str:
    return " now" if item.get("waivable") else " no longer"


def _asks(item: Mapping[str, Any]) -> str:
    words = {"at_least": ">=", "at_most": "<="}
    bounds = [f"{sign} {item[name]}" for name, sign in words.items() if item.get(name) is not None]
    return " ".join([str(item.get("measure")), *bounds])


def _bound(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    shown = ["none" if item.get(name) is None else item.get(name) for item in (now, was)]
    return f"{name} is {shown[0]}, was {shown[1]}"


def _way(was: Any, now: Any, sign: float) -> str:
    """Tell which way a bound moved; `sign` is 1 where more is stricter."""
    if now is None or was is None:
        return "loosened" if now is None else "tightened"
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (was, now)):
        return "changed"
    return "tightened" if (now - was) * sign > 0 else "loosened"


def _document(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name, sign in (("confidence", 1.0), *((budget, -1.0) for budget in _BUDGETS)):
        if old.get(name) != new.get(name):
            yield f"{_way(old.get(name), new.get(name), sign)}: {_bound(name, old, new)}"
    before, after = (
        found if isinstance(found := document.get("not_applicable"), Mapping) else {} for document in (old, new)
    )
    for klass in sorted(after.keys() - before.keys()):
        yield f"loosened: {klass} is said not to apply: {after[klass]}"
    for klass in sorted(before.keys() - after.keys()):
        yield f"tightened: {klass} applies again"
