from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.decision import Status, Verdict
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder, Tampered
from custody.seal.envelope import Envelope
from custody.stages.release import approve, decide, summary, waive
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


def test_a_waiver_too_many_and_one_renewed_too_often_are_denied_on_record(lived: Any) -> None:
    life = lived("inaccurate")
    for _ in range(2):  # as often as the policy allows waivers
        waive(life.desk, "ari", "loans", "", "P1", days=10, **WHY)
    with pytest.raises(NotPermitted, match="waived 2 times already"):
        waive(life.desk, "ari", "loans", "", "P1", days=10, **WHY)
    assert life.record.entries[-1].kind == kinds.DENIAL
    waive(life.desk, "ari", "loans", "", "A1", days=10, **WHY)
    with pytest.raises(NotPermitted, match="2 criteria are waived already"):
        waive(life.desk, "ari", "loans", "", "F1[sex]", days=10, **WHY)
    assert decide(life.desk, "val", "loans")[0].verdict is Verdict.GO


def test_a_decision_gives_its_account(lived: Any) -> None:
    life = lived("inaccurate")
    life.approve("ari", "reject", "too many are turned away")
    life.approve("ari")
    waive(life.desk, "ari", "loans", "", "P1", days=10, **WHY)
    decision, said, _ = decide(life.desk, "val", "loans")
    assert decision.verdict is Verdict.GO
    account = said.predicate["account"]
    assert account == decision.account
    parts = {(signer["part"], signer["person"]) for signer in account["signers"]}
    assert parts == {
        ("author", "dana"), ("countersigner", "sam"), ("trainer", "mel"), ("validator", "val"),
        ("approver", "ari"), ("approver", "cora"),
    }  # fmt: skip
    (dissent,) = account["dissent"]
    assert (dissent["person"], dissent["reason"], dissent["stands"]) == ("ari", "too many are turned away", False)
    (waiver,) = account["waivers"]
    assert (waiver["criterion"], waiver["counts"], waiver["control"]) == ("P1", True, WHY["control"])
    assert (account["unknown"], account["amended"]) == ([], None)
    (approvals,) = [ruling for ruling in decision.rulings if ruling.id == "process.approvals"]
    assert "ari had rejected it" in approvals.reason


def test_a_waiver_that_does_not_count_says_why_in_the_decision(lived: Any) -> None:
    life = lived("inaccurate")
    life.waive("P1", days=90)
    life.waive("S1")
    decision, _, _ = decide(life.desk, "val", "loans")
    assert decision.verdict is Verdict.NO_GO
    why = {waiver["criterion"]: waiver["why_not"] for waiver in decision.account["waivers"]}
    assert "longer than the 30 days" in why["P1"]
    assert why["S1"] == "S1 cannot be waived"
    (accuracy,) = [ruling for ruling in decision.rulings if ruling.id == "P1"]
    assert "does not count: it runs longer" in accuracy.reason


SUMMARY = {
    "type": "object",
    "required": [
        "verifier", "timeVerified", "resourceUri", "policy", "inputAttestations", "verificationResult",
        "verifiedLevels",
    ],
    "properties": {
        "verifier": {"type": "object", "required": ["id"], "properties": {"id": {"const": "custody"}}},
        "timeVerified": {"type": "string", "format": "date-time"},
        "resourceUri": {"type": "string", "pattern": "^custody:[A-Za-z0-9_-]+@[0-9a-f]{64}$"},
        "policy": {"$ref": "#/$defs/resource"},
        "inputAttestations": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"$ref": "#/$defs/resource"}},
        "verificationResult": {"enum": ["PASSED", "FAILED"]},
        "verifiedLevels": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[A-Z_]+$"}},
    },
    "$defs": {
        "resource": {
            "type": "object",
            "required": ["uri", "digest"],
            "properties": {
                "digest": {
                    "type": "object",
                    "required": ["sha256"],
                    "properties": {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
                },
            },
        },
    },
}  # fmt: skip
"""The fields of a verification summary, as https://slsa.dev/spec/v1.0/verification_summary names them."""


@pytest.mark.parametrize(("name", "result"), [("undecided", "PASSED"), ("refused", "FAILED"), ("trained", "FAILED")])
def test_each_decision_leaves_a_summary_that_strangers_read(lived: Any, name: str, result: str) -> None:
    import jsonschema

    life = lived(name)
    decision, said, _ = decide(life.desk, "val", "loans")
    found, raw = summary(life.desk, "loans")
    body = found.predicate
    jsonschema.Draft202012Validator(SUMMARY).validate(body)
    assert found.index == said.index + 1
    assert body["verificationResult"] == result
    assert body["timeVerified"] == decision.at
    assert body["resourceUri"] == f"custody:loans@{life.model.sha256}"
    assert body["policy"]["digest"]["sha256"] == decision.seal
    assert [item["digest"]["sha256"] for item in body["inputAttestations"]] == [said.digest, decision.outcome]
    assert body["verifiedLevels"] == ["CUSTODY_GATE_HIGH", "CUSTODY_SEPARATED"]
    statement = Envelope.from_bytes(raw).verify(life.desk.actor("val").key)  # with the signer's key and nothing else
    assert (statement.kind, statement.subject, statement.predicate) == (found.kind, life.model, body)
    with pytest.raises(Tampered):
        Envelope.from_bytes(raw).verify(life.desk.actor("ari").key)


def test_a_solo_summary_says_so(lived: Any) -> None:
    life = lived("solo")
    decide(life.desk, "val", "loans", environment="staging")
    assert summary(life.desk, "loans")[0].predicate["verifiedLevels"][1] == "CUSTODY_SOLO"


def test_without_a_decision_there_is_no_summary_and_a_typed_one_is_not_handed_out(lived: Any) -> None:
    life = lived("undecided")
    with pytest.raises(OutOfOrder, match="no decision"):
        summary(life.desk, "loans")
    decide(life.desk, "val", "loans")
    found, _ = summary(life.desk, "loans")
    life.forge("val", life.model, kinds.VERIFICATION_SUMMARY, {**found.predicate, "verificationResult": "FAILED"})
    with pytest.raises(Tampered, match="not that of the newest decision"):
        summary(life.desk, "loans")


def test_a_decision_that_came_in_between_leaves_the_older_one_unsummed(
    lived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custody.stages import release

    life = lived("undecided")
    record = life.desk.read
    judged = release._judged

    def overtaken(desk: Any, pen: Any, model: Any, use_case: str) -> Any:
        mine = judged(desk, pen, model, use_case)
        monkeypatch.setattr(release, "_judged", judged)
        life.approve("ari", "reject", "on second thoughts")
        decide(desk, "val", use_case)
        return mine

    monkeypatch.setattr(release, "_judged", overtaken)
    decision, _, _ = decide(life.desk, "val", "loans")
    assert decision.verdict is Verdict.GO
    found = record().of_kind(kinds.VERIFICATION_SUMMARY)
    assert [entry.predicate["verificationResult"] for entry in found] == ["FAILED"]


@pytest.mark.parametrize("field", ["verifier", "timeVerified", "resourceUri", "policy", "verifiedLevels"])
def test_a_summary_that_says_more_than_its_decision_is_not_handed_out(lived: Any, field: str) -> None:
    life = lived("honest")
    found, _ = summary(life.desk, "loans")
    more = {"verifiedLevels": ["CUSTODY_GATE_HIGH", "CUSTODY_SEPARATED", "SLSA_BUILD_LEVEL_3"]}
    said = {**found.predicate, field: more.get(field, {"id": "x"} if field != "timeVerified" else "x"), "id": "again"}
    said["resourceUri"] = "custody:cards@x" if field == "resourceUri" else said["resourceUri"]
    life.forge("val", life.model, kinds.VERIFICATION_SUMMARY, said)
    with pytest.raises(Tampered, match="is not that of the newest decision"):
        summary(life.desk, "loans")
