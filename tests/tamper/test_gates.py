"""A GO that somebody wants: typed, forged, helped along afterwards; each word signed by a real key of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planting import Cases, Reason, World, case, moved

from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.core.subject import Subject, run_subject, use_case_subject
from custody.desk import now
from custody.seal.envelope import Envelope
from custody.seal.envelope import seal as sign

CASES: Cases = {}
OTHER = Subject("loans", "ab" * 32)


def rebuilt(world: World, change: Any) -> None:
    """Replay the life from its first entry, with `change(kind, predicate) -> predicate | None`, under the real keys.

    Digests that later statements refer to are renewed, so that the chain still holds; the reader is new.
    """
    keys = {
        world.key(path.stem).keyid: path.stem
        for path in (world.folder / ".custody" / "keys").glob("*.pem")
        if path.stem not in ("log", "commitments")
    }
    renewed: dict[str, str] = {}
    made: list[Envelope] = []
    for envelope in world.envelopes:
        old = envelope.statement
        said = change(old.kind, renew(dict(old.predicate), renewed))
        if said is None:
            continue
        fresh = sign(Statement(old.subject, old.kind, said), world.key(keys[envelope.keyid]))
        renewed[envelope.digest] = fresh.digest
        made.append(fresh)
    world.forget()
    world.rewrite(made)


def renew(value: Any, renewed: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: renew(item, renewed) for key, item in value.items()}
    if isinstance(value, list):
        return [renew(item, renewed) for item in value]
    return renewed.get(value, value) if isinstance(value, str) else value


def only(kind: str, **changes: Any) -> Any:
    """Return a change of every statement of one kind."""
    return lambda found, said: {**said, **changes} if found == kind else said


def without(kind: str) -> Any:
    return lambda found, said: None if found == kind else said


def decision(world: World) -> tuple[int, dict[str, Any]]:
    index, envelope = world.of(kinds.DECISION)[-1]
    return index, dict(envelope.statement.predicate)


def decide_again(world: World, who: str = "val", about: Subject | None = None, **changes: Any) -> None:
    """Append a decision that says what the newest one says, but for the changes, at the end of the log."""
    _, said = decision(world)
    size = len(world.envelopes)
    world.say(
        who, about or world.model, kinds.DECISION, {**said, "size": size, "at": now().isoformat(), "id": "x", **changes}
    )


@case(CASES, Reason.ACCEPTED)
def the_same_life_told_again(world: World) -> None:
    """The control of the cases that follow: telling a life again under the real keys is no forgery in itself."""
    rebuilt(world, lambda kind, said: said)


# A typed decision.


@case(CASES, Reason.FORGED)
def a_go_is_typed_for_a_model_nobody_trained(world: World) -> None:
    decide_again(world, about=OTHER)
    _, envelope = world.of(kinds.DECISION)[-1]
    said = {"use_case": "loans", "environment": "production", "decision": envelope.digest, "expires": ""}
    world.say("val", OTHER, kinds.ADMISSION, said)


@case(CASES, Reason.FORGED)
def a_decisions_rulings_are_shortened(world: World) -> None:
    rebuilt(world, lambda kind, said: {**said, "rulings": said["rulings"][:3]} if kind == kinds.DECISION else said)


@case(CASES, Reason.FORGED)
def a_decision_runs_longer_than_it_may(world: World) -> None:
    rebuilt(
        world, lambda kind, said: {**said, "expires": moved(said["expires"], 900)} if kind == kinds.DECISION else said
    )


@case(CASES, Reason.FORGED)
def a_decision_was_made_from_less_than_there_was(world: World) -> None:
    rebuilt(world, lambda kind, said: {**said, "size": said["size"] - 1} if kind == kinds.DECISION else said)


@case(CASES, Reason.FORGED)
def a_decision_names_another_root(world: World) -> None:
    rebuilt(world, only(kinds.DECISION, root="0" * 64))


@case(CASES, Reason.FORGED)
def a_solo_decision_calls_itself_separated(world: World) -> None:
    rebuilt(world, only(kinds.DECISION, assurance="solo"))


@case(CASES, Reason.NOT_ALLOWED)
def the_trainer_decides(world: World) -> None:
    decide_again(world, "mel")


# Evidence that is missing, weaker, or somebody else's; the decision stays as it was.


@case(CASES, Reason.FORGED)
def an_approval_is_left_out(world: World) -> None:
    rebuilt(world, without(kinds.APPROVAL))


@case(CASES, Reason.FORGED)
def an_approval_was_a_rejection(world: World) -> None:
    rebuilt(world, only(kinds.APPROVAL, verdict="reject"))


@case(CASES, Reason.FORGED)
def all_results_are_left_out(world: World) -> None:
    rebuilt(world, without(kinds.CHECK_RESULT))


def _worse(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    if kind == kinds.CHECK_RESULT and said["check"] == "performance.classification":
        said["measures"] = [{**item, "value": 0.5, "low": 0.48, "high": 0.52} for item in said["measures"]]
    return said


@case(CASES, Reason.FORGED)
def a_result_is_worse_than_the_decision_says(world: World) -> None:
    rebuilt(world, _worse)


def _wide(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    if kind == kinds.CHECK_RESULT and said["check"] == "performance.classification":
        said["measures"] = [{**item, "low": 0.1, "high": 1.0} for item in said["measures"]]
    return said


@case(CASES, Reason.FORGED)
def an_interval_is_too_wide_to_tell(world: World) -> None:
    rebuilt(world, _wide)


def _unknown(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    if kind == kinds.CHECK_RESULT and said["check"] == "performance.classification":
        said["measures"] = [{**item, "value": None, "low": None, "high": None} for item in said["measures"]]
    return said


@case(CASES, Reason.FORGED)
def a_measure_is_unknown(world: World) -> None:
    rebuilt(world, _unknown)


@case(CASES, Reason.FORGED)
def results_are_of_another_evaluator(world: World) -> None:
    rebuilt(world, only(kinds.CHECK_RESULT, evaluator="0" * 64))


@case(CASES, Reason.FORGED)
def results_name_another_held_out_set(world: World) -> None:
    rebuilt(
        world,
        lambda kind, said: (
            {**said, "inputs": {**said["inputs"], "held_out": "0" * 64}}
            if kind == kinds.CHECK_RESULT and "held_out" in said["inputs"]
            else said
        ),
    )


@case(CASES, Reason.FORGED)
def the_held_out_set_was_never_opened_on_record(world: World) -> None:
    rebuilt(world, without(kinds.OPENING))


@case(CASES, Reason.FORGED)
def the_sourcing_decision_is_left_out(world: World) -> None:
    rebuilt(world, without(kinds.SOURCING))


@case(CASES, Reason.FORGED)
def the_risks_are_left_out(world: World) -> None:
    rebuilt(world, without(kinds.RISK))


@case(CASES, Reason.FORGED)
def a_risk_is_open(world: World) -> None:
    rebuilt(world, only(kinds.RISK, status="open"))


# The seal and the run.


def _looser(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    if kind == kinds.SEAL:
        criteria = [dict(item) for item in said["criteria"]["criterion"]]
        for item in criteria:
            item["id"] = item["id"]
            if item["id"] == "P1":
                item["at_least"] = 0.1
        said["criteria"] = {**said["criteria"], "criterion": criteria}
    return said


@case(CASES, Reason.FORGED)
def the_seal_is_loosened_afterwards(world: World) -> None:
    """Every digest is renewed, and still the run's checkpoint and seed are not those of the new seal."""
    rebuilt(world, _looser)


@case(CASES, Reason.FORGED)
def the_seal_carries_another_policy(world: World) -> None:
    rebuilt(
        world, lambda kind, said: {**said, "policy": {**said["policy"], "approvals": 1}} if kind == kinds.SEAL else said
    )


@case(CASES, Reason.FORGED)
def the_seal_leaves_out_what_the_policy_demands(world: World) -> None:
    rebuilt(
        world,
        lambda kind, said: (
            {**said, "criteria": {**said["criteria"], "criterion": said["criteria"]["criterion"][:2]}}
            if kind == kinds.SEAL
            else said
        ),
    )


@case(CASES, Reason.FORGED)
def the_run_names_no_seal(world: World) -> None:
    rebuilt(world, only(kinds.TRAINING_START, seal=""))


@case(CASES, Reason.FORGED)
def the_seed_was_chosen(world: World) -> None:
    rebuilt(world, only(kinds.TRAINING_START, seed=42))


@case(CASES, Reason.FORGED)
def the_checkpoint_is_older_than_the_seal(world: World) -> None:
    rebuilt(
        world,
        lambda kind, said: (
            {**said, "checkpoint": {**said["checkpoint"], "size": 2}} if kind == kinds.TRAINING_START else said
        ),
    )


@case(CASES, Reason.FORGED)
def the_run_had_no_wall(world: World) -> None:
    rebuilt(world, only(kinds.TRAINING_START, isolation={"kind": "none"}))


@case(CASES, Reason.FORGED)
def the_run_was_compromised(world: World) -> None:
    def change(kind: str, said: dict[str, Any]) -> dict[str, Any]:
        if kind == kinds.TRAINING_FINISH:
            said["runDetails"] = {**said["runDetails"], "compromised": ["code changed during the run"]}
        return said

    rebuilt(world, change)


@case(CASES, Reason.FORGED)
def the_data_are_not_those_declared(world: World) -> None:
    def change(kind: str, said: dict[str, Any]) -> dict[str, Any]:
        if kind == kinds.TRAINING_FINISH:
            other = {"name": "data:train", "digest": {"sha256": "0" * 64}}
            said["buildDefinition"] = {**said["buildDefinition"], "resolvedDependencies": [other]}
        return said

    rebuilt(world, change)


@case(CASES, Reason.FORGED)
def the_data_come_from_an_untrusted_source(world: World) -> None:
    rebuilt(world, only(kinds.DATASET, trust="untrusted"))


def _laundered(world: World, *levels: str) -> None:
    """Tell the life again with the data registered at these trust levels: before the run, then after it."""
    first, second = levels
    seen: list[str] = []

    def change(kind: str, said: dict[str, Any]) -> dict[str, Any]:
        if kind == kinds.DATASET and said["name"] == "train":
            seen.append(said["name"])
            return {**said, "trust": first}
        return said

    rebuilt(world, change)
    assert seen
    _, envelope = world.of(kinds.DATASET)[0]
    again = {**envelope.statement.predicate, "trust": second, "id": "again", "at": now().isoformat()}
    world.say("petra", envelope.statement.subject, kinds.DATASET, again)


@case(CASES, Reason.FORGED)
def untrusted_data_are_trusted_afterwards(world: World) -> None:
    _laundered(world, "untrusted", "trusted")


@case(CASES, Reason.FORGED)
def a_criterion_asks_nothing(world: World) -> None:
    """A list of no columns and a place that is none: the criterion must not vanish."""

    def change(kind: str, said: dict[str, Any]) -> dict[str, Any]:
        if kind == kinds.SEAL:
            criteria = [dict(item) for item in said["criteria"]["criterion"]]
            criteria[0] |= {"by": [], "depth": 1, "at": "x"}
            said["criteria"] = {**said["criteria"], "criterion": criteria}
        return said

    rebuilt(world, change)


@case(CASES, Reason.FORGED)
def the_data_have_no_licence(world: World) -> None:
    rebuilt(world, only(kinds.DATASET, licence=""))


@case(CASES, Reason.FORGED)
def the_security_manager_never_countersigned(world: World) -> None:
    rebuilt(world, without(kinds.COUNTERSIGNATURE))


# After the GO: nothing on record is forged, and the model must stop all the same.


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def an_incident_is_open(world: World) -> None:
    said = {"incident": "i1", "type": "poisoning", "reason": "seen", "affected": [], "status": "open"}
    world.say("otto", world.model, kinds.INCIDENT, said)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def an_incident_is_closed_by_who_may_not(world: World) -> None:
    said = {"incident": "i1", "type": "poisoning", "reason": "seen", "affected": []}
    world.say("otto", world.model, kinds.INCIDENT, {**said, "status": "open"})
    world.say("otto", world.model, kinds.INCIDENT, {**said, "status": "closed"})


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def an_approver_withdraws(world: World) -> None:
    said = {"use_case": "loans", "verdict": "reject", "reason": "I was wrong"}
    world.say("ari", world.model, kinds.APPROVAL, said)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_data_are_poisoned(world: World) -> None:
    _index, envelope = world.of(kinds.DATASET)[0]
    said = {"incident": "i2", "type": "poisoning", "reason": "seen", "affected": [], "status": "open"}
    world.say("otto", envelope.statement.subject, kinds.INCIDENT, said)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def a_risk_comes_back(world: World) -> None:
    said = {"use_case": "loans", "risk": "theft", "title": "theft", "status": "open", "reason": "x", "expires": None}
    world.say("sam", use_case_subject("loans"), kinds.RISK, said)


@case(CASES, Reason.FALLEN, Reason.NO_LONGER)
def the_same_bytes_came_out_of_an_unsealed_run(world: World) -> None:
    _, start = world.of(kinds.TRAINING_START)[0]
    _, finish = world.of(kinds.TRAINING_FINISH)[0]
    said = {**start.statement.predicate, "run": "run9", "seal": "", "id": "y"}
    world.say("mel", run_subject("run9"), kinds.TRAINING_START, {**said, "at": now().isoformat()})
    digest = world.envelopes[-1].digest
    body = dict(finish.statement.predicate)
    internal = {**body["buildDefinition"]["internalParameters"], "start": digest, "run": "run9"}
    body["buildDefinition"] = {**body["buildDefinition"], "internalParameters": internal}
    world.say("mel", world.model, kinds.TRAINING_FINISH, body)


@pytest.mark.parametrize("name", CASES)
def test_it_is_noticed(name: str, tmp_path: Path) -> None:
    CASES[name].judge(tmp_path)
