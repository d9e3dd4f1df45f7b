"""What the record tells about a request: what it is about, who asks, what they did before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import parts_of
from custody.core.evidence import Evidence, Record
from custody.core.permission import Resource, stage_of


def opened(record: Record) -> Evidence | None:
    """Return how the use case stands, or None before it was opened."""
    found = record.of_kind(kinds.USE_CASE)
    return found[-1] if found else None


def project_of(record: Record) -> str:
    """Return the name of the ledger's use case; "" before it was opened."""
    use_case = opened(record)
    return str(use_case.predicate["use_case"]) if use_case else ""


def context_of(
    record: Record, person: str, action: str, model: str, at: datetime, told: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the circumstances of a request by `person` about `model` (sha256, "" for none).

    `told` adds what the record cannot know: environment, purpose, mfa, clearance, second_person; a stage as well.
    """
    use_case = opened(record)
    context: dict[str, Any] = {
        "time": int(at.timestamp()),
        "stage": str(stage_of(action)),
        "tier": str(use_case.predicate["tier"]) if use_case else "",
        "project": project_of(record),
        "solo": bool(use_case and use_case.predicate["solo"]),
        "parts": sorted(played(record, person, model)),
    }
    return {**told, **context, "stage": told.get("stage", context["stage"])}


def played(record: Record, person: str, model: str = "") -> set[str]:
    """Return which parts a person played: for one model, or anywhere in the project where none is named."""
    if model:
        found = {part for part, persons in parts_of(record, model).items() if person in persons}
    else:
        started = any(entry.person == person for entry in record.of_kind(kinds.TRAINING_START))
        found = {"trainer"} if started else set()
    if any(entry.person == person for entry in record.of_kind(kinds.DATASET)):
        found.add("data")
    return found


def describe(record: Record, kind: str, sha256: str) -> Resource:
    """Return what an action is done to, as the record knows it; one that is not on record is new and plain."""
    project = project_of(record)
    if kind != "Dataset":
        return Resource(kind, sha256, {"project": project})
    said: Mapping[str, Any] = next((e.predicate for e in reversed(record.about(sha256, kinds.DATASET))), {})
    sensitivity = said.get("sensitivity", 0)
    attributes = {
        "project": project,
        "purpose": str(said.get("purpose", "")),
        "held_out": said.get("purpose") == "held_out" or sha256 in _held_out(record),
        "sealed": sha256 in _held_out(record) | _trained_on(record),
        "approved": any(e.predicate["verdict"] == "approve" for e in record.about(sha256, kinds.APPROVAL)),
        "sensitivity": sensitivity if isinstance(sensitivity, int) else 1,
    }
    return Resource(kind, sha256, attributes)


def _held_out(record: Record) -> set[str]:
    return {str(entry.predicate["held_out"].get("sha256")) for entry in record.of_kind(kinds.SEAL)}


def _trained_on(record: Record) -> set[str]:
    starts = record.of_kind(kinds.TRAINING_START)
    return {str(item.get("sha256")) for start in starts for item in start.predicate["inputs"]}
