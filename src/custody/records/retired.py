"""What stands in the way of a destruction, what allows it, and what is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from custody.core import predicates as kinds
from custody.core.data_rules import contents_of
from custody.core.evidence import Evidence, Record
from custody.core.subject import use_case_subject
from custody.errors import NotPermitted
from custody.records.lineage import chain_of, models
from custody.roster.book import PERSON

CONFIRMERS = frozenset({"operator", "security_manager", "compliance_officer", "owner"})
"""Roles of which the second person of a retirement needs one."""


@dataclass(frozen=True)
class Authority:
    """By whose word a model may be destroyed: the persons it takes, the order, and its confirmations."""

    needed: int
    order: Evidence | None
    confirmations: Sequence[Evidence]

    @property
    def persons(self) -> list[str]:
        """Return the distinct persons who signed, in order."""
        entries = ([self.order] if self.order else []) + list(self.confirmations)
        return list(dict.fromkeys(entry.person for entry in entries))

    @property
    def suffices(self) -> bool:
        """Tell whether enough persons signed; where one is enough, whoever destroys is that one."""
        return self.needed <= 1 or len(self.persons) >= self.needed


def persons_needed(record: Record, use_case: str, finish: Evidence | None = None) -> int:
    """Return how many persons a destruction takes: the most that the use case or the sealed policy asks for.

    A policy from before this was asked counts by its tier: two persons in tier high, unless in solo mode.
    """
    opened = record.latest(kinds.USE_CASE, use_case=use_case)
    policies = [opened.predicate["policy"]] if opened else []
    solo = bool(opened and opened.predicate["solo"])
    default = 2 if not solo and (opened is None or opened.predicate["tier"] == "high") else 1
    seal = chain_of(record, finish).seal if finish is not None else None
    if seal is not None:
        policies.append(seal.predicate["policy"])
    asked = [policy.get("retire_persons", default) for policy in policies] or [default]
    return max(value if isinstance(value, int) and not isinstance(value, bool) else default for value in asked)


def authority(record: Record, use_case: str, subject: str, finish: Evidence | None = None) -> Authority:
    """Return the newest order about a subject that enough persons stand behind, else the newest there is."""
    needed = persons_needed(record, use_case, finish)
    newest: Authority | None = None
    for order in reversed(record.about(subject, kinds.RETIREMENT_ORDER)):
        if order.index in record.void or order.account != PERSON or order.predicate["use_case"] != use_case:
            continue
        found = Authority(needed, order, _confirmations(record, order))
        if found.suffices:
            return found
        newest = newest or found
    return newest or Authority(needed, None, ())


def _confirmations(record: Record, order: Evidence) -> list[Evidence]:
    return [
        entry
        for entry in record.about(order.subject.sha256, kinds.COUNTERSIGNATURE)
        if entry.predicate["of"] == order.digest
        and entry.index > order.index
        and entry.index not in record.void
        and entry.person != order.person
        and entry.roles & CONFIRMERS
        and entry.account == PERSON  # a program answers for nothing, whoever stands behind it
    ]


def open_holds(record: Record, use_case: str, subjects: Iterable[str]) -> list[Evidence]:
    """Return the legal holds in force about any of the subjects or the whole use case.

    A hold ends by a later word about the same matter and the same subject. One that was placed with a key
    that was compromised still holds; one that was lifted with such a key was not.
    """
    found: dict[tuple[str, str], Evidence] = {}
    for subject in dict.fromkeys((*subjects, use_case_subject(use_case).sha256)):
        for entry in record.about(subject, kinds.LEGAL_HOLD):
            if entry.predicate["status"] == "placed":
                found.setdefault((subject, str(entry.predicate["matter"])), entry)
            elif entry.index not in record.void:
                found.pop((subject, str(entry.predicate["matter"])), None)
    return list(found.values())


def held_with(record: Record, sha256: str, inputs: Iterable[str] = ()) -> list[str]:
    """Return all subjects by whose hold a model or dataset is held: no other name and no half of it evades one.

    With a model, the `inputs` it was trained on; with a dataset, each model that was trained or examined on it;
    with each dataset, every other that shares a file with it.
    """
    named = [sha256, *inputs]
    contents = frozenset[str]().union(*(contents_of(record, one) for one in named))
    registered = dict.fromkeys(entry.subject.sha256 for entry in record.of_kind(kinds.DATASET))
    same = [one for one in registered if contents & contents_of(record, one)]
    learnt = [
        finish.subject.sha256
        for finish in record.of_kind(kinds.TRAINING_FINISH)
        if sha256 in same and not frozenset(same).isdisjoint(_data_of(record, finish))
    ]
    return list(dict.fromkeys([*named, *same, *learnt]))


def _data_of(record: Record, finish: Evidence) -> set[str]:
    """Return the datasets a model was trained and examined on, by sha256."""
    start = record.by_digest(kinds.start_of(finish.predicate))
    if start is None or start.kind != kinds.TRAINING_START:
        return set()
    seal = record.by_digest(str(start.predicate["seal"]))
    held_out = {str(seal.predicate["held_out"].get("sha256"))} if seal and seal.kind == kinds.SEAL else set()
    return {str(item.get("sha256")) for item in start.predicate["inputs"] if isinstance(item, Mapping)} | held_out


def refuse_retired_contents(record: Record, use_case: str, files: Iterable[str]) -> None:
    """Raise `NotPermitted` when one of `files`, by sha256, is the weights of a retired model.

    A retired model that comes back from a copy may not be the beginning of another.
    """
    present = set(files)
    for finish in models(record, use_case):
        retired = record.about(finish.subject.sha256, kinds.RETIREMENT)
        details = finish.predicate.get("runDetails")
        if not retired or not isinstance(details, Mapping):
            continue
        for file in details.get("files", []):
            # Files under 64 bytes are too common to mean anything, as for the search for copies.
            if int(file["size"]) >= 64 and file["sha256"] in present:
                raise NotPermitted(
                    f"{file['path']} is of model {finish.subject.short}, which was retired in entry {retired[0].index}",
                    hint="a retired model does not come back; begin without its files",
                )
