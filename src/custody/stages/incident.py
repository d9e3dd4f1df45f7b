"""Incidents: quarantine at once, and the list of everything that is affected."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence, Record
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, OutOfOrder
from custody.records.datasets import dataset
from custody.records.lineage import Descendant, descendants, find_model

PLAYBOOKS: Mapping[str, Sequence[str]] = {
    "poisoning": (
        "custody incident blast NAME: which models learnt from the data",
        "custody data check NAME: which rows and which source",
        "train again without the source, through the same gate",
    ),
    "evasion": ("custody validate: measure the attack on the model", "harden, train again, through the same gate"),
    "extraction": ("revoke the caller's access", "custody watch log: how many queries, from when on"),
    "leak": ("stop answers that give people away", "tell the people and the authority within the legal time"),
    "injection": ("withdraw the tools the model may call", "custody validate with the injected input as a case"),
    "harm": ("put people back in charge of the decisions", "custody watch performance by group"),
    "supply-chain": ("custody incident blast NAME: what was built with it", "custody scan the artifact again"),
    "drift": ("custody watch drift: which features", "train again on recent data, through the same gate"),
}
"""First steps for each type of incident."""


def affected_by(record: Record, use_case: str, name: str) -> tuple[Subject, list[Descendant]]:
    """Find what `name` is, a dataset or a model, and everything downstream of it."""
    try:
        subject = dataset(record, name).subject
    except NotFound as unknown:
        try:
            subject = find_model(record, use_case, name).subject
        except (NotFound, OutOfOrder) as error:
            if not name:
                raise
            known = f"{unknown.hint}; {error.hint}" if isinstance(error, NotFound) else unknown.hint
            raise NotFound(f"there is no dataset or model named {name!r}", hint=known) from None
    return subject, descendants(record, subject.sha256)


def open_incident(desk: Desk, actor: str, use_case: str, name: str, kind: str, reason: str) -> tuple[str, Evidence]:
    """Open an incident about a model or dataset: from this entry on, nothing downstream is handed out."""
    if kind not in PLAYBOOKS:
        raise InvalidInput(f"{kind!r} is not a type of incident", hint=f"types: {', '.join(PLAYBOOKS)}")
    if len(reason.strip()) < 5:
        raise InvalidInput("say what happened, in at least 5 characters", hint='add --reason "..."')
    subject, found = affected_by(desk.read(), use_case, name)
    pen = desk.permit(actor, Action.OPEN_INCIDENT)
    incident = secrets.token_hex(4)
    said = pen.write(
        subject,
        kinds.INCIDENT,
        {
            "incident": incident,
            "type": kind,
            "status": "open",
            "reason": reason,
            "affected": [item.to_json() for item in found],
        },
    )
    return incident, said


def close_incident(desk: Desk, actor: str, incident: str, reason: str) -> Evidence:
    """Close an incident with the reason why it is over."""
    if len(reason.strip()) < 10:
        raise InvalidInput(
            "say in at least 10 characters what was done, so that it does not happen again", hint='add --reason "..."'
        )
    opened = desk.read().latest(kinds.INCIDENT, incident=incident)
    if opened is None or kinds.closes(opened.predicate, opened.roles):
        raise NotFound(f"no open incident {incident!r} is on record", hint="custody incident list")
    pen = desk.permit(actor, Action.CLOSE_INCIDENT)
    said = {**opened.predicate, "status": "closed", "reason": reason}
    del said["at"]
    return pen.write(opened.subject, kinds.INCIDENT, said)
