"""Admissions, deployments and time: from a real GO to where it does not lead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from planting import Cases, Reason, World, case, moved

from custody.core import predicates as kinds
from custody.core.subject import Subject
from custody.desk import now

CASES: Cases = {}
OTHER = Subject("loans", "ab" * 32)


def admission(world: World, **changes: Any) -> dict[str, Any]:
    _, envelope = world.of(kinds.ADMISSION)[-1]
    return {**envelope.statement.predicate, "id": "again", "at": now().isoformat(), **changes}


@case(CASES, Reason.ACCEPTED)
def an_admission_to_a_second_environment(world: World) -> None:
    world.say("val", world.model, kinds.ADMISSION, admission(world, environment="staging"))


@case(CASES, Reason.FORGED)
def an_admission_of_other_bytes(world: World) -> None:
    world.say("val", OTHER, kinds.ADMISSION, admission(world))


@case(CASES, Reason.FORGED)
def an_admission_of_another_name(world: World) -> None:
    world.say("val", Subject("credit", world.model.sha256), kinds.ADMISSION, admission(world))


@case(CASES, Reason.FORGED)
def an_admission_without_a_decision(world: World) -> None:
    world.say("val", world.model, kinds.ADMISSION, admission(world, decision="0" * 64))


@case(CASES, Reason.FORGED)
def an_admission_that_names_something_else(world: World) -> None:
    world.say("val", world.model, kinds.ADMISSION, admission(world, decision=world.envelopes[3].digest))


@case(CASES, Reason.FORGED)
def an_admission_that_lasts_longer_than_the_decision(world: World) -> None:
    found = admission(world)
    world.say("val", world.model, kinds.ADMISSION, {**found, "expires": moved(found["expires"], 1)})


@case(CASES, Reason.FORGED)
def an_admission_that_never_ends(world: World) -> None:
    world.say("val", world.model, kinds.ADMISSION, admission(world, expires=""))


@case(CASES, Reason.NOT_ALLOWED)
def the_operator_admits(world: World) -> None:
    world.say("otto", world.model, kinds.ADMISSION, admission(world))


@case(CASES, Reason.NOT_ALLOWED)
def the_trainer_deploys(world: World) -> None:
    _, envelope = world.of(kinds.ADMISSION)[-1]
    said = {"use_case": "loans", "environment": "production", "admission": envelope.digest, "copies": []}
    world.say("mel", world.model, kinds.DEPLOYMENT, said)


@case(CASES, Reason.ACCEPTED, Reason.FORGED)
def a_deployment_without_an_admission(world: World) -> None:
    """Loading asks for an admission of its own and finds a sound one; the auditor's verifier reads every deployment."""
    said = {"use_case": "loans", "environment": "production", "admission": "0" * 64, "copies": []}
    world.say("otto", world.model, kinds.DEPLOYMENT, said)


@case(CASES, Reason.ACCEPTED, Reason.FORGED)
def a_deployment_to_another_environment(world: World) -> None:
    _, envelope = world.of(kinds.ADMISSION)[-1]
    said = {"use_case": "loans", "environment": "elsewhere", "admission": envelope.digest, "copies": []}
    world.say("otto", world.model, kinds.DEPLOYMENT, said)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_model_is_retired(world: World) -> None:
    said = {"use_case": "loans", "reason": "replaced", "key_commitment": "0" * 64, "ciphertexts": {}}
    world.say("otto", world.model, kinds.RETIREMENT, {**said, "canary": {"before": True, "after": False}, "copies": {}})


@case(CASES, Reason.ACCEPTED)
def a_month_has_passed(world: World) -> None:
    world.later = timedelta(days=30)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_decision_has_expired(world: World) -> None:
    world.later = timedelta(days=400)


@case(CASES, Reason.FORGED)
def a_decision_is_dated_before_what_it_covers(world: World) -> None:
    """Stepping over an expiry: the record itself says that later things were known."""
    from test_gates import rebuilt

    rebuilt(world, lambda kind, said: {**said, "at": "2020-01-01T00:00:00+00:00"} if kind == kinds.DECISION else said)


@case(CASES, Reason.FORGED)
def a_decision_is_dated_tomorrow(world: World) -> None:
    from test_gates import rebuilt

    tomorrow = moved(now().isoformat(), 1)
    rebuilt(world, lambda kind, said: {**said, "at": tomorrow} if kind == kinds.DECISION else said)


@case(CASES, Reason.FORGED)
def a_decision_has_no_readable_date(world: World) -> None:
    from test_gates import rebuilt

    rebuilt(world, lambda kind, said: {**said, "at": "yesterday"} if kind == kinds.DECISION else said)


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)
