"""Legal hold: while a matter is open, nothing that may be evidence in it is destroyed."""

from __future__ import annotations

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound
from custody.records.retired import open_holds

SHORTEST_REASON = 5


def place(desk: Desk, actor: str, use_case: str, subject: Subject, matter: str, reason: str) -> Evidence:
    """Hold a model, a dataset or the whole use case for a matter."""
    _need(matter, reason)
    pen = desk.permit(actor, Action.HOLD)
    if _held(desk, use_case, subject, matter):
        raise InvalidInput(f"{subject.name} is held for {matter} already", hint="custody retire holds")
    said = {"use_case": use_case, "matter": matter.strip(), "status": "placed", "reason": reason}
    return pen.write(subject, kinds.LEGAL_HOLD, said)


def lift(desk: Desk, actor: str, use_case: str, subject: Subject, matter: str, reason: str) -> Evidence:
    """End a hold; raises `NotFound` where there is none for that matter about that subject."""
    _need(matter, reason)
    pen = desk.permit(actor, Action.HOLD)
    if not _held(desk, use_case, subject, matter):
        raise NotFound(f"{subject.name} is not held for {matter!r}", hint="custody retire holds")
    said = {"use_case": use_case, "matter": matter.strip(), "status": "lifted", "reason": reason}
    return pen.write(subject, kinds.LEGAL_HOLD, said)


def _held(desk: Desk, use_case: str, subject: Subject, matter: str) -> bool:
    return any(
        entry.subject.sha256 == subject.sha256 and entry.predicate["matter"] == matter.strip()
        for entry in open_holds(desk.read(), use_case, [subject.sha256])
    )


def _need(matter: str, reason: str) -> None:
    if not matter.strip() or not matter.isprintable() or len(matter) > 200:
        raise InvalidInput("name the matter in up to 200 printable characters", hint='--matter "case 4711"')
    if len(reason.strip()) < SHORTEST_REASON:
        raise InvalidInput(f"say in at least {SHORTEST_REASON} characters why", hint='add --reason "..."')
