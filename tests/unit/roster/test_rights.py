"""Rights that end: grants, broken glass, delegated tokens."""

from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.actor import Role

RISK = {"use_case": "l", "risk": "r", "title": "r", "status": "open", "reason": "", "expires": None}
ABORT = {"run": "r", "start": "", "reason": "x", "exit_code": 1}
DEPLOY = {"use_case": "l", "environment": "test", "admission": "", "copies": []}
SEGMENT = {"segment": "s", "count": 1, "root": "", "model": "", "environment": "test"}


# Grants


def test_a_grant_gives_roles_until_it_ends_by_the_statements_own_clock(town: Any) -> None:
    town.enrol("ann", "auditor")
    town.refused("ann may not say approval", "ann", kinds.APPROVAL, {"use_case": "l", "verdict": "a", "reason": ""})
    grant = town.grant("ann", "approver")
    said = town.approve("ann", minute=119)
    assert said.roles == {"auditor", "approver"}
    assert said.rests >= {grant.index}
    town.refused("may not say", "ann", kinds.APPROVAL, {"use_case": "l", "verdict": "a", "reason": ""}, minute=120)
    assert town.roles("ann") == {"auditor"}  # who is on record does not change with the hour
    assert town.roster.acting("ann", town.at(119)).roles == {Role.AUDITOR, Role.APPROVER}
    assert town.roster.acting("ann", town.at(120)).roles == {Role.AUDITOR}


def test_a_grant_is_withdrawn(town: Any) -> None:
    town.enrol("ann", "auditor")
    town.grant("ann", "approver", "validator")
    town.grant("ann", "approver", status="withdrawn")
    town.refused("may not say", "ann", kinds.APPROVAL, {"use_case": "l", "verdict": "a", "reason": ""})
    assert town.roster.acting("ann", town.at()).roles == {Role.AUDITOR, Role.VALIDATOR}


def test_a_grant_goes_with_the_name_it_was_for(town: Any) -> None:
    town.enrol("ann", "auditor")
    town.grant("ann", "approver")
    town.say("olga", kinds.ENROLMENT, town.card("ann", "auditor", status="revoked"))
    town.enrol("ann", "auditor", key="ann again")
    assert town.roster.acting("ann", town.at()).roles == {Role.AUDITOR}


def test_what_a_thief_granted_ends_when_the_theft_is_known(town: Any) -> None:
    town.enrol("bea", "owner")
    town.enrol("ann", "auditor")
    given = town.grant("ann", "approver", by="bea")
    said = town.approve("ann")
    kept = town.grant("ann", "validator")
    town.revoke("olga", "bea", since=given.index)
    assert town.roster.void == {given.index, said.index}
    assert town.roster.acting("ann", town.at()).roles == {Role.AUDITOR, Role.VALIDATOR}
    assert kept.index not in town.roster.void
    town.refused("may not say", "ann", kinds.APPROVAL, {"use_case": "l", "verdict": "a", "reason": ""})


def test_an_emergency_that_a_thief_called_gives_nothing_once_the_theft_is_known(town: Any) -> None:
    """The key was replaced before the theft was known: the name stays, what the thief took for later does not."""
    town.enrol("otto", "data_engineer")
    called = town.emergency("otto", "operator")
    town.enrol("otto", "data_engineer", key="otto again")
    town.revoke("olga", "otto", since=called.index)
    assert town.roster.void == {called.index}
    town.refused("may not say", "otto", kinds.DEPLOYMENT, DEPLOY, key="otto again")


def grant(**change: Any) -> dict[str, Any]:
    said = {"name": "ann", "roles": ["approver"], "status": "granted", "emergency": False, "reason": "x"}
    return {**said, "expires": "2026-01-01T02:00:00+00:00", **change}


BAD_GRANTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "by somebody who owns nothing": ("sam", {}, "owns nothing"),
    "of the role owner": ("olga", {"roles": ["owner"]}, "never granted"),
    "of the role custodian": ("olga", {"roles": ["custodian", "auditor"]}, "never granted"),
    "of no role": ("olga", {"roles": []}, "can be granted nothing"),
    "of a role that is none": ("olga", {"roles": ["king"]}, "unknown role"),
    "of a role that is no word": ("olga", {"roles": [["approver"]]}, "unknown role"),
    "to nobody": ("olga", {"name": "nobody"}, "can be granted nothing"),
    "without an end": ("olga", {"expires": ""}, "must end"),
    "that ends as it begins": ("olga", {"expires": "2026-01-01T00:00:00+00:00"}, "must end"),
    "with another status": ("olga", {"status": "given"}, "neither granted nor withdrawn"),
    "an emergency for another": ("sam", {"emergency": True, "roles": ["operator"]}, "for themself alone"),
    "an emergency that judges": ("ann", {"emergency": True, "roles": ["approver"]}, "no more than"),
    "an emergency of a day": (
        "ann", {"emergency": True, "roles": ["operator"], "expires": "2026-01-01T04:00:01+00:00"}, "at most 4 hours"
    ),
    "an emergency withdrawn": ("olga", {"emergency": True, "status": "withdrawn"}, "not withdrawn"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_GRANTS)
def test_a_grant_that_gives_too_much_does_not_count(town: Any, case: str) -> None:
    town.enrol("ann", "validator")
    town.enrol("sam", "security_manager")
    by, change, match = BAD_GRANTS[case]
    town.refused(match, by, kinds.GRANT, grant(**change))
    town.say("olga", kinds.GRANT, grant())


def test_an_owner_grants_themself_nothing_while_there_is_another(town: Any) -> None:
    town.grant("olga", "approver")
    assert town.approve("olga").roles == {"owner", "approver"}
    town.enrol("bea", "owner")
    town.refused("grants themself nothing", "olga", kinds.GRANT, grant(name="olga"))
    town.grant("olga", "validator", by="bea")
    town.enrol("olga-2", "auditor", person="olga")
    town.refused("grants themself nothing", "olga", kinds.GRANT, grant(name="olga-2"))


def test_under_a_threshold_a_grant_waits(two: Any) -> None:
    said = two.grant("sam", "approver")
    two.refused("may not say", "sam", kinds.APPROVAL, {"use_case": "l", "verdict": "a", "reason": ""})
    two.countersign("bea", said)
    assert two.approve("sam").roles == {"security_manager", "approver"}


# Emergencies


def test_broken_glass_is_for_one_statement(town: Any) -> None:
    town.enrol("val", "validator")
    said = town.emergency("val", "operator")
    assert [case.grant.index for case in town.roster.unreviewed()] == [said.index]
    used = town.say("val", kinds.DEPLOYMENT, DEPLOY)
    assert used.roles == {"validator", "operator"}
    assert town.roster.unreviewed()[0].used == used.index
    town.refused("may not say", "val", kinds.DEPLOYMENT, DEPLOY)


def test_programs_break_no_glass(town: Any) -> None:
    town.enrol("mel", "ml_engineer")
    town.enrol("robot", "ml_engineer", person="mel", account="service")
    town.delegate("mel", "mel-ci", "ml_engineer")
    for name in ("robot", "mel-ci"):
        said = grant(name=name, emergency=True, roles=["operator"])
        town.refused("for themself alone|can be granted nothing", name, kinds.GRANT, said)
    town.refused("service account cannot hold", "olga", kinds.GRANT, grant(name="robot"))
    town.refused("can be granted nothing", "olga", kinds.GRANT, grant(name="mel-ci", roles=["operator"]))
    town.say("olga", kinds.GRANT, grant(name="robot", roles=["operator"]))


def test_glass_is_not_spent_on_what_was_allowed_anyway(town: Any) -> None:
    town.enrol("otto", "operator")
    town.emergency("otto", "operator", "security_manager")
    assert town.say("otto", kinds.DEPLOYMENT, DEPLOY).roles == {"operator"}
    assert town.say("otto", kinds.RISK, RISK).roles == {"operator", "security_manager"}
    town.refused("may not say", "otto", kinds.RISK, RISK)


def test_glass_mends_itself_after_four_hours(town: Any) -> None:
    town.enrol("val", "validator")
    town.emergency("val", "operator", expires=town.at(240))
    town.refused("may not say", "val", kinds.DEPLOYMENT, DEPLOY, minute=240)
    assert town.say("val", kinds.DEPLOYMENT, DEPLOY, minute=239).actor == "val"


def test_the_oldest_glass_is_spent_first_and_each_waits_for_review(town: Any) -> None:
    town.enrol("val", "validator")
    town.enrol("sam", "security_manager")
    first, second = town.emergency("val", "operator"), town.emergency("val", "operator")
    town.say("val", kinds.DEPLOYMENT, DEPLOY)
    assert [case.used is not None for case in town.roster.unreviewed()] == [True, False]
    town.say("sam", kinds.ACCESS_REVIEW, {"of": first.digest, "verdict": "upheld", "findings": [], "reason": "x"})
    assert [case.grant.index for case in town.roster.unreviewed()] == [second.index]


def test_nobody_reviews_their_own_emergency(town: Any) -> None:
    town.enrol("sam", "security_manager")
    town.enrol("tom", "security_manager")
    said = town.emergency("sam", "operator")
    review = {"of": said.digest, "verdict": "upheld", "findings": [], "reason": "x"}
    town.say("sam", kinds.ACCESS_REVIEW, review)
    assert town.roster.unreviewed()
    town.say("tom", kinds.ACCESS_REVIEW, {**review, "verdict": "disputed"})
    assert town.roster.rights.emergencies[said.digest].verdict == "disputed"
    town.refused("neither upheld nor disputed", "tom", kinds.ACCESS_REVIEW, {**review, "verdict": "fine"})


# Tokens


def test_a_token_does_the_delegators_work_until_it_ends(town: Any) -> None:
    town.enrol("otto", "operator", "validator")
    entry = town.delegate("otto", "otto-ci", "operator")
    said = town.say("otto-ci", kinds.DEPLOYMENT, DEPLOY, minute=59)
    assert (said.actor, said.person, said.roles) == ("otto-ci", "otto", {"operator"})
    assert said.rests == {entry.index}
    town.refused("ended", "otto-ci", kinds.DEPLOYMENT, DEPLOY, minute=60)
    assert town.roster.acting("otto-ci", town.at(60)).roles == frozenset()


def test_a_finish_counts_its_starts_clock(town: Any) -> None:
    town.enrol("mel", "ml_engineer")
    town.delegate("mel", "mel-ci", "ml_engineer")
    start = {
        "run": "r",
        "use_case": "l",
        "seal": "",
        "checkpoint": {},
        "seed": 1,
        "command": [],
        "out": "",
        "inputs": [],
    }
    start |= {name: {} for name in ("code", "parameters", "environment", "isolation")}
    early = town.say("mel-ci", kinds.TRAINING_START, start, minute=59)
    late = town.say("mel", kinds.TRAINING_START, {**start, "run": "s"}, minute=61)

    def finish(of: str) -> dict[str, Any]:
        return {"buildDefinition": {"internalParameters": {"start": of}}, "runDetails": {}}

    assert town.say("mel-ci", kinds.TRAINING_FINISH, finish(early.digest)).person == "mel"
    for of in (late.digest, "00" * 32, ""):
        town.refused("ended", "mel-ci", kinds.TRAINING_FINISH, finish(of))


BAD_TOKENS: dict[str, tuple[str, dict[str, Any], str]] = {
    "more than the delegator has": ("otto", {"roles": ["operator", "ml_engineer"]}, "cannot delegate ml_engineer"),
    "a role that judges": ("otto", {"roles": ["approver"]}, "cannot delegate approver"),
    "nothing": ("otto", {"roles": []}, "cannot delegate nothing"),
    "a name in use": ("otto", {"name": "ann"}, "on record as"),
    "a key in use": ("otto", {"key": "ann"}, "same key as ann"),
    "without an end": ("otto", {"expires": "never"}, "must end"),
    "with another status": ("otto", {"status": "new"}, "neither active nor revoked"),
    "by a token": ("otto-ci", {}, "a token cannot delegate"),
    "a granted role": ("ann", {"roles": ["operator"]}, "cannot delegate operator"),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_a_token_with_too_much_does_not_count(town: Any, case: str) -> None:
    town.enrol("otto", "operator", "approver")
    town.enrol("ann", "validator")
    town.grant("ann", "operator")
    town.delegate("otto", "otto-ci", "operator")
    by, change, match = BAD_TOKENS[case]
    found = town.key(change.pop("key") if "key" in change else "fresh")
    said = {"name": "fresh", "key": found.public, "keyid": found.keyid, "roles": ["operator"], "status": "active"}
    town.refused(match, by, kinds.DELEGATION, {**said, "expires": town.at(60), **change})
    town.delegate("otto", "fresh", "operator")


def test_a_tokens_name_is_never_used_again(town: Any) -> None:
    town.enrol("otto", "operator")
    town.delegate("otto", "otto-ci", "operator")
    found = town.key("fresh")
    said = {"name": "otto-ci", "key": found.public, "keyid": found.keyid, "roles": ["operator"], "status": "active"}
    town.refused("was used before", "otto", kinds.DELEGATION, {**said, "expires": town.at(60)})
    town.revoke("olga", "otto-ci")
    town.refused("was used before", "otto", kinds.DELEGATION, {**said, "expires": town.at(60)})


def test_a_token_dies_with_the_role_it_came_from_and_stays_dead(town: Any) -> None:
    town.enrol("otto", "operator", "validator")
    town.delegate("otto", "both", "operator", "validator")
    town.delegate("otto", "one", "operator")
    town.enrol("otto", "validator")
    assert town.roles("both") == {"validator"}
    assert "one" not in town.on_record()
    town.enrol("otto", "operator", "validator")
    assert town.roles("both") == {"validator"}
    town.refused("not on record", "one", kinds.DEPLOYMENT, DEPLOY)
    town.revoke("olga", "otto")
    assert town.on_record() == {"olga"}


def test_a_token_is_revoked_by_its_delegator_or_an_owner_alone(town: Any) -> None:
    town.enrol("otto", "operator")
    town.enrol("ann", "operator")
    for name, by in (("a", "otto"), ("b", "olga")):
        town.delegate("otto", name, "operator")
        said = {"name": name, "key": "", "keyid": town.key(name).keyid, "roles": [], "expires": "", "status": "revoked"}
        town.refused("did not delegate|may not say", "ann", kinds.DELEGATION, said)
        if by == "otto":
            town.say(by, kinds.DELEGATION, said)
        else:
            town.revoke("olga", name)
        town.refused("not on record", name, kinds.DEPLOYMENT, DEPLOY)
        town.refused("no token", "otto", kinds.DELEGATION, said)


def test_a_token_whose_delegation_is_void_is_gone(town: Any) -> None:
    town.enrol("otto", "operator")
    entry = town.delegate("otto", "otto-ci", "operator")
    said = town.say("otto-ci", kinds.DEPLOYMENT, DEPLOY)
    town.enrol("otto", "operator", key="otto again")
    town.revoke("olga", "otto", since=entry.index)
    assert town.roster.void == {entry.index, said.index}
    assert town.on_record() == {"olga", "otto"}
