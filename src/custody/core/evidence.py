"""A statement that was signed, logged and read back under a verified checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custody.core import predicates as kinds
from custody.core.subject import Subject


@dataclass(frozen=True)
class Evidence:
    """One verified ledger entry.

    Only the desk makes it, after it has checked the signature against the key on record at that
    index and the leaf against the tree. `digest` is the sha256 of the signed payload and is how
    other statements refer to this one.
    """

    index: int
    digest: str
    subject: Subject
    kind: str
    predicate: Mapping[str, Any]
    actor: str
    person: str
    roles: frozenset[str]
    keyid: str = ""
    """The key that signed it: sha256 of its DER, as in the envelope."""
    rests: frozenset[int] = frozenset()
    """The entries its signer's right rests on: enrolment or delegation, what confirmed it, grants in effect."""

    account: str = "person"
    """What kind of account signed: "person", "service" or "token"."""

    @property
    def at(self) -> str:
        """Return the signer's own clock, as claimed; empty where the kind has none."""
        return str(self.predicate.get("at", ""))


@dataclass(frozen=True)
class Record:
    """All evidence of a ledger up to one verified checkpoint, in order. Complete, or not made."""

    entries: Sequence[Evidence]
    size: int
    root: str
    roots: Mapping[int, str] = field(default_factory=dict)
    """Tree roots (hex) at the earlier sizes that run statements refer to."""
    void: frozenset[int] = frozenset()
    """Entries signed with a key that was, by a later word on record, compromised when it signed them.

    They cannot help a model any more, and can still harm it: a revocation must not bury a bad result.
    """
    anchors: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """By the index of an anchor that is of this ledger: who validly cosigned its note, as `witness_id` names them."""
    contents: dict[str, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    """Remembered by `data_rules.contents_of`: a dataset that was registered often is looked through once."""
    _digests: dict[str, Evidence] = field(default_factory=dict, repr=False, compare=False)
    _subjects: dict[str, list[Evidence]] = field(default_factory=dict, repr=False, compare=False)
    _kinds: dict[str, list[Evidence]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for entry in self.entries:
            self._digests.setdefault(entry.digest, entry)
            self._subjects.setdefault(entry.subject.sha256, []).append(entry)
            self._kinds.setdefault(entry.kind, []).append(entry)

    def __iter__(self) -> Iterator[Evidence]:
        return iter(self.entries)

    def by_digest(self, digest: str) -> Evidence | None:
        """Return the entry with that payload digest."""
        return self._digests.get(digest)

    def before(self, size: int, root: str) -> Record:
        """Return the record as it stood with `size` entries and the tree root `root` (hex), void entries too."""
        past = self.entries[:size]
        anchors = {index: who for index, who in self.anchors.items() if index < size}
        return Record(past, size, root, self.roots, void_of(past), anchors)

    def of_kind(self, kind: str) -> list[Evidence]:
        """Return the entries of one kind, in order."""
        return list(self._kinds.get(kind, ()))

    def about(self, sha256: str, kind: str | None = None) -> list[Evidence]:
        """Return the entries about one subject, in order."""
        found = self._subjects.get(sha256, ())
        return [entry for entry in found if kind is None or entry.kind == kind]

    def latest(self, kind: str, **fields: object) -> Evidence | None:
        """Return the newest entry of a kind whose predicate has the given values."""
        for entry in reversed(self._kinds.get(kind, [])):
            if all(entry.predicate.get(name) == value for name, value in fields.items()):
                return entry
        return None


def void_of(entries: Iterable[Evidence]) -> frozenset[int]:
    """Return the entries that the revocations among `entries` make void.

    A revocation with `compromised_since` c voids what its key signed with index c or later; a c that is
    not in 1 to the revocation's own index voids nothing. Whatever rests on a void entry is void as well, so
    that a thief's sock puppets fall with the thief. `entries` come in the ledger's order.
    """
    since: dict[str, int] = {}
    known = list(entries)
    for entry in known:
        if entry.kind != kinds.KEY_REVOCATION:
            continue
        first, keyid = entry.predicate["compromised_since"], str(entry.predicate["keyid"])
        if isinstance(first, int) and not isinstance(first, bool) and 0 < first <= entry.index:
            since[keyid] = min(first, since.get(keyid, first))
    if not since:
        return frozenset()
    void: set[int] = set()
    for entry in known:
        if entry.index >= since.get(entry.keyid, entry.index + 1) or not entry.rests.isdisjoint(void):
            void.add(entry.index)
    return frozenset(void)


def witness_id(name: str, key: str) -> str:
    """Name a witness by name and raw Ed25519 key (base64): a new key under the old name is another witness."""
    return f"{name} {key}"
