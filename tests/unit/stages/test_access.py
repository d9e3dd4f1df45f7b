from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.actor import Role
from custody.core.evidence import Evidence
from custody.core.permission import Resource, Rules
from custody.core.subject import Subject
from custody.errors import CustodyError, InvalidInput, NotFound, NotPermitted, OutOfOrder
from custody.gates import access_schema, access_text
from custody.records.review import access_state, review
from custody.records.rights import ABOUT_A_MODEL, decide_for, holdings, matrix, moment_of, what, who_can
from custody.records.status import standing
from custody.seal.keys import PersonKey
from custody.stages import access as rights
from custody.stages.people import enrol, revoke, revoke_key
from custody.testing import Life
from custody.wiring import add_person

INCIDENT = {"incident": "i1", "type": "leak", "status": "open", "reason": "seen", "affected": []}


class House(Life):
    """A project with its people, whose clock a test can turn."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.days = 0.0
        self.desk._clock = lambda: datetime.now(UTC).replace(microsecond=0) + timedelta(days=self.days)
        self.enrol_all()

    def grant(self, name: str, role: str, days: float = 30) -> Evidence:
        return rights.grant(self.desk, "olga", name, [role], self.until(days), "holiday")

    def until(self, days: float) -> str:
        return (datetime.now(UTC) + timedelta(days=self.days + days)).replace(microsecond=0).isoformat()

    def token(self, by: str, name: str, role: str, days: float = 2) -> Evidence:
        path = self.custody.config.keys / f"{name}.pem"
        return rights.make_token(self.desk, by, name, [role], self.until(days), path, "")

    def open_incident(self, who: str) -> Evidence:
        return self.say(who, Action.OPEN_INCIDENT, self.model, kinds.INCIDENT, INCIDENT)

    def names(self, action: str, thing: str = "", at: str = "", **told: Any) -> list[str]:
        then = moment_of(self.desk, at)
        where, about = what(then, self.desk.rules.type_of(action), self.use_case, thing)
        return [able.name for able in who_can(self.desk, then, action, where, about, told)]

    def denials(self) -> list[str]:
        return [str(entry.predicate["reason"]) for entry in self.record.of_kind(kinds.DENIAL)]

    def found(self, kind: str, days: int = 90) -> list[str]:
        return [item.what for item in review(moment_of(self.desk), self.desk.rules, days) if item.kind == kind]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# Grants


def test_a_granted_role_counts_until_its_end_and_who_can_tells_how(house: House) -> None:
    assert house.names("deployment.deploy") == ["otto"]
    said = house.grant("sam", "operator", days=5)
    assert house.names("deployment.deploy") == ["otto", "sam"]
    then = moment_of(house.desk)
    able = who_can(house.desk, then, "deployment.deploy", Resource("Deployment", "", {"project": "loans"}), None, {})[1]
    assert [(h.how, h.entry, h.until) for h in able.holdings] == [("grant", said.index, said.predicate["expires"])]
    assert able.until == said.predicate["expires"]
    house.desk.permit("sam", Action.WATCH)
    house.days = 6
    assert house.names("deployment.deploy") == ["otto"]
    with pytest.raises(NotPermitted, match="needs operator"):
        house.desk.permit("sam", Action.WATCH)


def test_a_grant_is_withdrawn_before_its_time(house: House) -> None:
    house.grant("sam", "operator")
    said = rights.withdraw(house.desk, "olga", "sam", [], "back already")
    assert said.predicate["roles"] == ["operator"]
    assert house.names("deployment.deploy") == ["otto"]
    with pytest.raises(OutOfOrder, match="was not granted"):
        rights.withdraw(house.desk, "olga", "sam", ["operator"], "again")


def test_only_an_owner_grants_and_a_refusal_is_recorded(house: House) -> None:
    with pytest.raises(NotPermitted, match="needs owner"):
        rights.grant(house.desk, "sam", "sam", ["operator"], house.until(1), "me")
    assert house.denials() == ["access.grant needs owner; sam has security_manager"]
    assert house.record.entries[-1].predicate["rule"] == "table"


@pytest.mark.parametrize(
    ("role", "until", "reason", "why"),
    [
        ("owner", "2099-01-01", "x", "never granted"),
        ("custodian", "2099-01-01", "x", "never granted"),
        ("emperor", "2099-01-01", "x", "unknown role"),
        ("operator", "2001-01-01", "x", "passed already"),
        ("operator", "soon", "x", "no moment"),
        ("operator", "2099-01-01", " ", "needs a reason"),
    ],
)
def test_a_grant_that_could_not_count_is_refused_before_it_is_signed(
    house: House, role: str, until: str, reason: str, why: str
) -> None:
    size = house.record.size
    with pytest.raises(InvalidInput, match=why):
        rights.grant(house.desk, "olga", "sam", [role], until, reason)
    assert house.record.size == size


# Broken glass


def test_broken_glass_works_once_is_seen_at_once_and_waits_for_its_review(house: House) -> None:
    with pytest.raises(NotPermitted):
        house.open_incident("mel")
    said = rights.break_glass(house.desk, "mel", "operator", "fire")
    shown = standing(house.record, "loans", list(house.desk.roster().actors.values()), house.desk.time())
    assert shown.access.state == "unknown"
    assert shown.steps[0].persons == ("sam",)
    assert shown.steps[0].why == "mel broke the glass as operator: fire (not reviewed)"
    assert house.open_incident("mel").roles == {"ml_engineer", "operator"}
    with pytest.raises(NotPermitted):
        house.open_incident("mel")
    with pytest.raises(NotPermitted):
        house.desk.permit("mel", Action.LOAD)
    assert house.found("emergency")
    rights.review_emergency(house.desk, "sam", said.index, "upheld", "there was a fire")
    assert not house.found("emergency")
    assert access_state(house.record, house.desk.time()).state == "met"


def test_a_disputed_emergency_is_not_met(house: House) -> None:
    said = rights.break_glass(house.desk, "mel", "operator", "fire")
    rights.review_emergency(house.desk, "sam", said.index, "disputed", "there was none")
    found = access_state(house.record, house.desk.time())
    assert (found.state, found.entries) == ("not_met", (said.index,))


def test_who_broke_the_glass_does_not_review_it_under_any_name(house: House) -> None:
    key = PersonKey.generate()
    enrol(house.desk, "olga", "sam-2", "sam", frozenset({Role.SECURITY_MANAGER}), key.public)
    key.save(house.custody.config.keys / "sam-2.pem", "")
    said = rights.break_glass(house.desk, "sam", "operator", "fire")
    for name in ("sam", "sam-2"):
        with pytest.raises(NotPermitted, match="broke the glass and does not review it"):
            rights.review_emergency(house.desk, name, said.index, "upheld", "fine")
    with pytest.raises(NotFound, match="no emergency"):
        rights.review_emergency(house.desk, "sam", said.index - 1, "upheld", "fine")


@pytest.mark.parametrize(
    ("role", "hours", "reason", "why"),
    [
        ("approver", 1, "fire", "gives no approver"),
        ("operator", 5, "fire", "at most 4 hours"),
        ("operator", 0, "fire", "at most 4 hours"),
        ("operator", 1, "", "needs a reason"),
    ],
)
def test_an_emergency_has_limits(house: House, role: str, hours: float, reason: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        rights.break_glass(house.desk, "mel", role, reason, hours)


def test_broken_glass_gives_nothing_that_leaves_no_trace(house: House) -> None:
    rights.break_glass(house.desk, "mel", "security_manager", "fire")
    for action in (Action.ROLL_BACK, Action.VIEW_TRAFFIC, Action.READ_HELD_OUT_METRICS):
        with pytest.raises(NotPermitted):
            house.desk.permit("mel", action)


# Tokens


def test_a_token_works_for_its_person_until_its_end(house: House) -> None:
    said, path = house.token("mel", "pipe", "ml_engineer"), house.custody.config.keys / "pipe.pem"
    assert path.exists()
    assert path.stat().st_mode & 0o077 == 0
    assert house.desk.permit("pipe", Action.START_RUN).actor.person == "mel"
    (held,) = holdings(moment_of(house.desk), name="pipe")
    assert (held.how, held.by, held.entry, held.until) == ("delegation", "mel", said.index, said.predicate["expires"])
    house.days = 3
    with pytest.raises(NotPermitted, match="the token pipe ended"):
        house.desk.permit("pipe", Action.START_RUN)
    assert house.names("run.start") == ["mel"]


def test_a_token_gets_no_more_than_its_person_has(house: House) -> None:
    public = PersonKey.generate().public
    with pytest.raises(NotPermitted, match="does not hold operator"):
        rights.delegate(house.desk, "mel", "pipe", ["operator"], house.until(1), public)
    with pytest.raises(InvalidInput, match="never delegated"):
        rights.delegate(house.desk, "mel", "pipe", ["approver"], house.until(1), public)
    with pytest.raises(NotPermitted, match="needs data_engineer or"):
        rights.delegate(house.desk, "dana", "pipe", ["validator"], house.until(1), public)
    with pytest.raises(InvalidInput, match="on record already"):
        rights.delegate(house.desk, "mel", "val", ["ml_engineer"], house.until(1), public)


def test_a_token_passes_nothing_on(house: House) -> None:
    house.token("mel", "pipe", "ml_engineer", 2)
    with pytest.raises(NotPermitted, match=r"token\.no_rights|account\.service"):
        house.token("pipe", "pipe-2", "ml_engineer", 1)
    with pytest.raises(NotPermitted, match=r"token\.no_rights|account\.service"):
        rights.break_glass(house.desk, "pipe", "operator", "fire")


@pytest.mark.parametrize("who", ["mel", "olga", "sam"])
def test_a_token_is_ended_by_its_person_or_whoever_may_revoke_keys(house: House, who: str) -> None:
    house.token("mel", "pipe", "ml_engineer", 2)
    rights.revoke_token(house.desk, who, "pipe")
    assert "pipe" not in house.desk.roster().actors
    with pytest.raises(NotPermitted, match="not enrolled"):
        house.desk.permit("pipe", Action.START_RUN)
    with pytest.raises(NotFound, match="no token"):
        rights.revoke_token(house.desk, who, "pipe")


def test_nobody_else_ends_a_token(house: House) -> None:
    house.token("mel", "pipe", "ml_engineer", 2)
    with pytest.raises(NotPermitted, match="needs owner or security_manager"):
        rights.revoke_token(house.desk, "dana", "pipe")


def test_a_leaver_leaves_with_everything(house: House) -> None:
    """Roles, granted roles and tokens end with the entry that takes somebody off the list."""
    house.grant("mel", "operator")
    house.token("mel", "pipe", "ml_engineer", 20)
    pen = house.desk.permit("pipe", Action.START_RUN)
    gone = revoke(house.desk, "olga", "mel")
    assert set(house.desk.roster().actors) & {"mel", "pipe"} == set()
    for name in ("mel", "pipe"):
        with pytest.raises(NotPermitted, match="not enrolled"):
            house.desk.permit(name, Action.START_RUN)
    with pytest.raises(NotPermitted, match="nothing was recorded"):
        pen.write(
            Subject("run", "ab" * 32), kinds.TRAINING_ABORT, {"run": "r", "start": "s", "reason": "", "exit_code": 1}
        )
    assert house.names("run.start") == []
    assert house.names("run.start", at=str(gone.index - 1)) == ["mel", "pipe"]
    key = PersonKey.generate()
    enrol(house.desk, "olga", "mel", "mel", frozenset({Role.AUDITOR}), key.public)
    assert house.names("deployment.deploy") == ["otto"]


# Separation of duties follows the person


def signs(house: House, name: str) -> CustodyError | None:
    """Try to approve the model as `name`."""
    try:
        house.desk.permit(name, Action.APPROVE, house.model)
    except NotPermitted as refusal:
        return refusal
    return None


@pytest.fixture
def trained(house: House) -> House:
    house.decide_source()
    house.register_data()
    house.check_data()
    house.train(house.seal())
    return house


def test_the_trainer_signs_under_no_second_name_or_key(trained: House) -> None:
    key = PersonKey.generate()
    enrol(trained.desk, "olga", "melanie", "mel", frozenset({Role.APPROVER}), key.public)
    refusal = signs(trained, "melanie")
    assert refusal is not None
    assert refusal.exit_code == 5
    assert refusal.message == "mel is the trainer of this model and may not gate.approve"
    assert trained.record.entries[-1].predicate["rule"] == "separation.approve"
    assert signs(trained, "ari") is None


def test_the_trainer_signs_under_no_alias_with_the_same_key(trained: House) -> None:
    mel = trained.desk.roster().actors["mel"]
    with pytest.raises(NotPermitted, match="has the same key as mel"):
        enrol(trained.desk, "olga", "melanie", "melanie", frozenset({Role.APPROVER}), mel.key)


def test_the_trainer_signs_by_no_granted_role_and_no_token(trained: House) -> None:
    trained.grant("mel", "approver")
    refusal = signs(trained, "mel")
    assert refusal is not None
    assert "trainer of this model" in refusal.message
    add_person(trained.custody, "olga", "mel", ["ml_engineer", "validator"])
    trained.token("mel", "pipe", "validator", 2)
    with pytest.raises(NotPermitted, match=r"mel is the trainer of this model and may not validation\.run"):
        trained.desk.permit("pipe", Action.VALIDATE, trained.model)


def test_a_service_account_counts_as_its_sponsor(trained: House) -> None:
    key = PersonKey.generate()
    said = {"name": "bot", "person": "mel", "roles": ["validator", "operator"], "key": key.public, "keyid": key.keyid}
    pen = trained.desk.permit("olga", Action.ENROL)
    pen.write(Subject("actor:bot", key.keyid), kinds.ENROLMENT, {**said, "status": "active", "account": "service"})
    key.save(trained.custody.config.keys / "bot.pem", "")
    with pytest.raises(NotPermitted, match=r"mel is the trainer of this model and may not validation\.run"):
        trained.desk.permit("bot", Action.VALIDATE, trained.model)
    with pytest.raises(NotPermitted, match="mel is the trainer"):
        trained.desk.permit("bot", Action.DEPLOY)
    with pytest.raises(NotPermitted, match=r"account\.two_places"):
        trained.desk.permit("bot", Action.LOAD)


def test_who_made_the_data_does_not_train_and_the_other_way_round(trained: House) -> None:
    add_person(trained.custody, "olga", "petra", ["data_engineer", "ml_engineer"])
    with pytest.raises(NotPermitted, match="made the data starts no training"):
        trained.desk.permit("petra", Action.START_RUN)
    add_person(trained.custody, "olga", "mel", ["data_engineer", "ml_engineer"])
    with pytest.raises(NotPermitted, match="trained changes no data"):
        trained.desk.permit("mel", Action.REGISTER_DATA)
    trained.desk.permit("mel", Action.START_RUN)


# Who can


def test_who_can_change_data_and_whether_they_did(trained: House) -> None:
    then = moment_of(trained.desk)
    where, about = what(then, "Dataset", "loans", "train@v1")
    assert where.attributes["sealed"] is True
    assert where.id == trained.train_data
    (able,) = who_can(trained.desk, then, "data.register", where, about, {})
    assert able.name == "petra"
    assert [trained.record.entries[index].subject.name for index in able.used or ()] == ["train"]
    assert who_can(trained.desk, then, "data.modify", where, about, {}) == []
    assert trained.names("data.read", "train") == ["dana", "petra", "val"]
    assert trained.names("data.read", "held-out") == []
    assert trained.names("data.read", "held-out", purpose="evaluation") == ["val"]
    with pytest.raises(NotFound, match="has 1 versions"):
        what(then, "Dataset", "loans", "train@v2")
    with pytest.raises(NotFound, match="not on record"):
        what(then, "Dataset", "loans", "nothing")


def test_who_can_at_an_earlier_entry_and_day(house: House) -> None:
    before = house.record.size - 1
    add_person(house.custody, "olga", "max", ["operator"])
    assert house.names("deployment.deploy") == ["max", "otto"]
    assert house.names("deployment.deploy", at=str(before)) == ["otto"]
    assert house.names("deployment.deploy", at="0") == []
    assert house.names("deployment.deploy", at=house.until(0)) == ["max", "otto"]
    with pytest.raises(NotFound, match="begins after"):
        moment_of(house.desk, "2001-01-01")
    with pytest.raises(NotFound, match="no entry 999"):
        moment_of(house.desk, "999")
    with pytest.raises(InvalidInput, match="no moment"):
        moment_of(house.desk, "yesterday")


def test_the_matrix_is_what_single_questions_give(trained: House) -> None:
    add_person(trained.custody, "olga", "max", ["data_engineer", "ml_engineer", "operator"])
    trained.grant("sam", "operator")
    trained.token("mel", "pipe", "ml_engineer")
    then = moment_of(trained.desk)
    found = matrix(trained.desk, then, "loans", sorted(Action))
    for action in sorted(Action):
        kind = trained.desk.rules.type_of(action)
        names = {"Dataset": ["train", "held-out"]}.get(kind, [trained.model.sha256] if kind in ABOUT_A_MODEL else [""])
        for thing in names:
            where, about = what(then, kind, "loans", thing)
            for name in sorted(set(then.roster.actors) - {"custodian"}):
                alone, _ = decide_for(trained.desk, then, name, action, where, about, {})
                assert alone.allowed == (where in found.get((name, action), [])), (name, action, thing)
    assert ("mel", "run.start") in found
    assert ("mel", "deployment.deploy") not in found


def test_output_classes_are_four_rights(trained: House) -> None:
    model = trained.model.sha256[:12]
    assert trained.names("weights.read", model) == ["otto", "val"]
    assert trained.names("logs.read", model) == ["mel", "sam"]
    assert trained.names("metrics.read", model) == ["ari", "cora", "dana", "mel", "sam", "val"]
    assert trained.names("held_out_metrics.read", model) == ["ari", "cora", "sam", "val"]


# Review


def test_an_honest_team_has_no_findings_and_a_campaign_is_signed(house: House) -> None:
    assert review(moment_of(house.desk), house.desk.rules) == []
    rights.sign_campaign(house.desk, "sam", [], 90, "")
    assert house.record.entries[-1].predicate["verdict"] == "upheld"
    with pytest.raises(NotPermitted):
        rights.sign_campaign(house.desk, "dana", [], 90, "")


def test_a_campaign_is_due_every_ninety_days(house: House) -> None:
    assert access_state(house.record, house.desk.time()).state == "met"
    house.days = 91
    late = access_state(house.record, house.desk.time())
    assert (late.state, late.findings[0].command) == ("not_met", "custody access review --sign")
    assert house.found("review")
    rights.sign_campaign(house.desk, "sam", [{"kind": "unused", "what": "much"}], 90, "seen")
    found = access_state(house.record, house.desk.time())
    assert found.state == "met"
    assert "reviewed by sam" in found.sentence
    assert house.record.entries[-1].predicate["findings"] == ["unused: much"]
    house.days = 182
    assert access_state(house.record, house.desk.time()).state == "not_met"


def test_rights_that_lie_unused_are_found_and_those_in_use_are_not(house: House) -> None:
    house.days = 80
    house.register_data()
    house.days = 91
    unused = " ".join(house.found("unused"))
    assert "mel did nothing as ml_engineer" in unused
    assert "petra" not in unused
    assert "olga did" not in unused
    house.days = 80 + 91
    assert "petra did nothing as data_engineer" in " ".join(house.found("unused"))


def test_what_one_person_should_not_hold_together_is_found_across_names(house: House) -> None:
    assert house.found("conflict") == []
    key = PersonKey.generate()
    enrol(house.desk, "olga", "melanie", "mel", frozenset({Role.APPROVER}), key.public)
    (found,) = house.found("conflict")
    assert found.startswith("mel is approver and ml_engineer: run.start and gate.approve (separation.approve)")
    house.grant("dana", "validator")
    assert any(line.startswith("dana is data_scientist and validator") for line in house.found("conflict"))


def test_a_service_account_that_trains_and_serves_is_found(house: House) -> None:
    key = PersonKey.generate()
    said = {"name": "bot", "person": "sam", "roles": ["ml_engineer"], "key": key.public, "keyid": key.keyid}
    for roles, count in ((["ml_engineer"], 0), (["ml_engineer", "operator"], 1)):
        pen = house.desk.permit("olga", Action.ENROL)
        body = {**said, "roles": roles, "status": "active", "account": "service"}
        pen.write(Subject("actor:bot", key.keyid), kinds.ENROLMENT, body)
        assert len(house.found("account")) == count
    add_person(house.custody, "olga", "max", ["ml_engineer", "operator"])
    assert len(house.found("account")) == 1  # a person with both is a conflict, and no account of a machine
    assert any(line.startswith("max is ml_engineer and operator") for line in house.found("conflict"))


def test_grants_that_end_soon_or_ended_are_found(house: House) -> None:
    house.grant("sam", "operator", days=10)
    house.grant("val", "operator", days=40)
    assert [line.split()[0] for line in house.found("ending")] == ["sam"]
    house.days = 11
    assert len(house.found("ended")) == 1
    assert house.found("ending") == []
    rights.sign_campaign(house.desk, "sam", [], 90, "")
    assert house.found("ended") == []


# A project's own rules


def test_a_projects_own_rule_decides_and_is_recorded(house: House) -> None:
    own = '@id("freeze") @reason("no releases in December") forbid (principal, action == Action::"deployment.load",'
    own += ' resource) unless { context has environment && context.environment == "staging" };'
    house.desk.rules = Rules(access_text(), access_schema(), own)
    with pytest.raises(NotPermitted, match=r"no releases in December \(rule freeze\)"):
        house.desk.permit("otto", Action.LOAD)
    denied = house.record.entries[-1].predicate
    assert (denied["rule"], denied["policy"], denied["missing"]) == ("freeze", house.desk.rules.digest, ["environment"])
    house.desk.permit("otto", Action.LOAD, context={"environment": "staging"})
    said = house.open_incident("otto").predicate
    assert said["access"] == {"rule": "operator.incident", "policy": house.desk.rules.digest}


def test_without_rules_of_its_own_statements_carry_none(house: House) -> None:
    assert "access" not in house.open_incident("otto").predicate


def test_who_broke_the_glass_three_times_waits_for_a_review(house: House) -> None:
    first, *_ = [rights.break_glass(house.desk, "mel", "operator", "fire") for _ in range(rights.MOST_WAITING)]
    with pytest.raises(NotPermitted, match="nobody has reviewed"):
        rights.break_glass(house.desk, "mel", "operator", "fire")
    assert len(house.record.of_kind(kinds.GRANT)) == rights.MOST_WAITING
    assert "nobody has reviewed" in house.denials()[-1]
    rights.break_glass(house.desk, "val", "operator", "fire")
    rights.review_emergency(house.desk, "sam", first.index, "upheld", "there was a fire")
    rights.break_glass(house.desk, "mel", "operator", "fire")


@pytest.mark.parametrize("name", ["../../evil", "x\x1b[31m", "", "log", "custodian", "a" * 65])
def test_a_token_has_a_name_that_a_key_file_can_have(house: House, name: str) -> None:
    size = house.record.size
    with pytest.raises(InvalidInput, match="name"):
        rights.delegate(house.desk, "mel", name, ["ml_engineer"], house.until(1), PersonKey.generate().public)
    assert house.record.size == size


def test_a_right_ends_within_the_calendar() -> None:
    now = "2026-01-01T00:00:00+00:00"
    assert rights.read_until("9999-12-31T23:59:59+00:00", now) == "9999-12-31T23:59:59+00:00"
    with pytest.raises(InvalidInput, match="beyond the calendar"):
        rights.read_until("9999-12-31T23:59:59-14:00", now)


def test_a_service_account_whose_sponsor_left_is_found(house: House) -> None:
    enrol(
        house.desk, "olga", "bot", "mel", frozenset({Role.ML_ENGINEER}), PersonKey.generate().public, account="service"
    )
    assert house.found("account") == []
    revoke(house.desk, "olga", "mel")
    assert house.found("account") == ["the service account bot still acts, and mel, who answers for it, left the list"]


def test_a_review_by_a_thief_leaves_the_emergency_open(house: House) -> None:
    taken = rights.break_glass(house.desk, "mel", "operator", "fire")
    rights.review_emergency(house.desk, "sam", taken.index, "upheld", "there was a fire")
    assert house.found("emergency") == []
    revoke_key(house.desk, "olga", "sam", "it was stolen", taken.index + 1)
    assert len(house.found("emergency")) == 1
