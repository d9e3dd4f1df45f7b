"""What must not be called a manipulation: false alarms are counted like misses."""

from __future__ import annotations

from pathlib import Path

import pytest
from planting import Cases, Reason, World, case

from custody.core import predicates as kinds
from custody.core.subject import use_case_subject

CASES: Cases = {}


@case(CASES, Reason.ACCEPTED)
def nothing_was_done(world: World) -> None:
    pass


@case(CASES, Reason.ACCEPTED)
def a_reader_who_sees_it_for_the_first_time(world: World) -> None:
    world.forget()


@case(CASES, Reason.ACCEPTED)
def the_same_entries_written_anew(world: World) -> None:
    world.rewrite(world.envelopes)


@case(CASES, Reason.ACCEPTED)
def the_file_was_compacted(world: World) -> None:
    world.sql("VACUUM")


@case(CASES, Reason.ACCEPTED)
def predictions_were_logged_since(world: World) -> None:
    said = {"segment": "s", "count": 10, "root": "0" * 64, "model": world.model.sha256, "environment": "production"}
    world.say("otto", world.model, kinds.PREDICTIONS, said)


@case(CASES, Reason.ACCEPTED)
def somebody_was_refused_since(world: World) -> None:
    said = {"actor": "mel", "person": "mel", "action": "gate.approve", "reason": "mel is the trainer"}
    world.say("custodian", world.model, kinds.DENIAL, said)


@case(CASES, Reason.ACCEPTED)
def a_risk_was_treated_since(world: World) -> None:
    said = {"use_case": "loans", "risk": "new", "title": "new", "status": "treated", "reason": "x", "expires": None}
    world.say("sam", use_case_subject("loans"), kinds.RISK, said)


@case(CASES, Reason.ACCEPTED)
def an_incident_was_opened_and_closed(world: World) -> None:
    said = {"incident": "i1", "type": "drift", "reason": "seen", "affected": []}
    world.say("otto", world.model, kinds.INCIDENT, {**said, "status": "open"})
    world.say("sam", world.model, kinds.INCIDENT, {**said, "status": "closed"})


@case(CASES, Reason.ACCEPTED)
def a_newcomer_was_enrolled(world: World) -> None:
    from custody.seal.keys import PersonKey

    key = PersonKey.generate()
    said = {"name": "nia", "person": "nia", "roles": ["validator"], "key": key.public, "keyid": key.keyid}
    world.say("olga", use_case_subject("loans"), kinds.ENROLMENT, {**said, "status": "active"})


@case(CASES, Reason.ACCEPTED)
def a_signature_was_made_again(world: World) -> None:
    """ECDSA signatures differ each time; the statement is the same, and so is its leaf."""
    index, _envelope = world.of(kinds.APPROVAL)[0]
    world.replace(index, world.again(index, "ari"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_accepted(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)
