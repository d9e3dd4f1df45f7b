from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.decision import Status, Verdict
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder
from custody.stages.release import approve, decide, waive
from custody.wiring import add_person

WHY = {"reason": "for a short while", "control": "a person looks at each"}


def test_go_admits_to_the_environment_that_was_asked_for(lived: Any) -> None:
    life = lived("undecided")
    decision, said, none = decide(life.desk, "val", "loans")
    assert decision.verdict is Verdict.GO
    assert none is None
    assert said.predicate["verdict"] == "GO"
    assert said.predicate["size"] == said.index
    decision, said, admission = decide(life.desk, "val", "loans", environment="staging")
    assert admission
    assert admission.predicate["environment"] == "staging"
    assert admission.predicate["decision"] == said.digest
    assert admission.predicate["expires"] == decision.expires


def test_a_refusal_is_recorded_and_admits_nowhere(lived: Any) -> None:
    life = lived("refused")
    decision, said, admission = decide(life.desk, "val", "loans", environment="production")
    assert (decision.verdict, admission) == (Verdict.NO_GO, None)
    assert said.predicate["verdict"] == "NO-GO"
    assert life.record.of_kind(kinds.ADMISSION) == []


def test_without_evidence_the_answer_is_inconclusive(lived: Any) -> None:
    life = lived("trained")
    decision, _, admission = decide(life.desk, "val", "loans", environment="production")
    assert (decision.verdict, admission) == (Verdict.INCONCLUSIVE, None)


def test_solo_goes_everywhere_but_to_production(lived: Any) -> None:
    life = lived("solo")
    decision, _, admission = decide(life.desk, "val", "loans", environment="staging")
    assert (decision.verdict, decision.assurance) == (Verdict.GO, "solo")
    assert admission
    with pytest.raises(OutOfOrder, match="by one person alone"):
        decide(life.desk, "val", "loans", environment="production")
    assert [e.predicate["environment"] for e in life.record.of_kind(kinds.ADMISSION)] == ["staging"]


def test_the_owner_may_not_decide_and_there_must_be_a_model(lived: Any) -> None:
    life = lived("trained")
    with pytest.raises(NotPermitted):
        decide(life.desk, "olga", "loans")
    with pytest.raises(OutOfOrder):
        decide(life.desk, "val", "other")
    with pytest.raises(NotFound):
        decide(life.desk, "val", "loans", "abcdef")


def test_approval_and_rejection_go_on_record(lived: Any) -> None:
    life = lived("trained")
    life.validate(life.record.of_kind(kinds.SEAL)[0])
    assert approve(life.desk, "ari", "loans", "", reject=False, reason="").predicate["verdict"] == "approve"
    with pytest.raises(InvalidInput, match="needs a reason"):
        approve(life.desk, "cora", "loans", "", reject=True, reason="no")
    said = approve(life.desk, "cora", "loans", "", reject=True, reason="not explained")
    assert (said.predicate["verdict"], said.subject) == ("reject", life.model)
    with pytest.raises(NotPermitted):
        approve(life.desk, "mel", "loans", "", reject=False, reason="")


@pytest.mark.parametrize("who", ["mel", "dana", "val"])
def test_one_more_role_does_not_let_the_involved_approve_or_waive(lived: Any, who: str) -> None:
    life = lived("undecided")
    add_person(life.custody, "olga", who, [*map(str, life.desk.actor(who).roles), "approver"])
    with pytest.raises(NotPermitted, match="of this model and may not"):
        approve(life.desk, who, "loans", "", reject=False, reason="")
    with pytest.raises(NotPermitted, match="of this model and may not"):
        waive(life.desk, who, "loans", "", "P1", days=10, **WHY)


def test_a_waiver_keeps_to_the_sealed_policy(lived: Any) -> None:
    life = lived("inaccurate")
    said = waive(life.desk, "ari", "loans", "", "P1", days=10, **WHY)
    assert said.predicate["criterion"] == "P1"
    assert decide(life.desk, "val", "loans")[0].verdict is Verdict.GO
    assert Status.WAIVED in {ruling.status for ruling in decide(life.desk, "val", "loans")[0].rulings}
    for days in (0, 31):
        with pytest.raises(InvalidInput, match="1 to 30 days"):
            waive(life.desk, "ari", "loans", "", "P1", days=days, **WHY)
    for blank in ({**WHY, "reason": "x"}, {**WHY, "control": "x"}):
        with pytest.raises(InvalidInput, match="compensating control"):
            waive(life.desk, "ari", "loans", "", "P1", days=10, **blank)
    with pytest.raises(NotFound, match="no criterion"):
        waive(life.desk, "ari", "loans", "", "P9", days=10, **WHY)
    with pytest.raises(NotPermitted):
        waive(life.desk, "mel", "loans", "", "P1", days=10, **WHY)


@pytest.mark.parametrize("criterion", ["S1", "D1", "B1"])
def test_what_may_never_be_waived_is_denied_on_record(lived: Any, criterion: str) -> None:
    life = lived("undecided")
    with pytest.raises(NotPermitted, match="cannot be waived"):
        waive(life.desk, "ari", "loans", "", criterion, days=10, **WHY)
    assert life.record.entries[-1].kind == kinds.DENIAL
