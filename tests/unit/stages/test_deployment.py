from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.desk import Desk, now
from custody.errors import InvalidInput, NotPermitted, OutOfOrder, Tampered
from custody.seal.digest import FileDigest, Manifest
from custody.seal.envelope import Envelope, pae
from custody.seal.keys import verify_p256
from custody.stages.deployment import admission_of, admit, check_decision, check_standing, deploy
from custody.stages.incident import close_incident, open_incident
from custody.testing import Life, digest


@dataclass
class Drawer:
    """A vault that holds one model and says when it was opened."""

    opened: list[str] = field(default_factory=list)

    def has(self, sha256: str) -> bool:
        return True

    def put(self, manifest: Manifest, files: Mapping[str, Path]) -> None:
        raise AssertionError("nothing is stored here")

    def open(self, sha256: str) -> dict[str, bytes]:
        self.opened.append(sha256)
        return {"model.bin": b"weights"}

    def materialise(self, sha256: str, folder: Path) -> Any:
        self.opened.append(sha256)
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"weights")

    def destroy(self, sha256: str) -> Any:
        raise AssertionError("nothing is destroyed here")


def get(life: Life, environment: str = "production", desk: Desk | None = None) -> Any:
    drawer = Drawer()
    try:
        return admit(desk or life.desk, drawer, "otto", "loans", environment)
    except Exception:
        assert drawer.opened == []  # a refused model is never decrypted
        raise


def later(life: Life, days: float) -> Desk:
    """Return the same desk on another day."""
    custody = life.custody
    return Desk(custody.desk.log, custody.config.owner_key, custody.signer, lambda: now() + timedelta(days=days))


def test_a_model_whose_chain_holds_is_handed_out_as_bytes(life: Life) -> None:
    found = get(life)
    assert found.files == {"model.bin": b"weights"}
    assert found.subject == life.model
    assert found.admission.kind == kinds.ADMISSION


def test_an_admission_is_for_one_environment_and_one_use_case(life: Life) -> None:
    with pytest.raises(OutOfOrder, match="admissions exist for: production"):
        get(life, "staging")
    with pytest.raises(OutOfOrder):
        admission_of(life.record, "other", "production")
    assert admission_of(life.record, "loans", "production", life.model.sha256[:12]).subject == life.model


@pytest.mark.parametrize("name", ["refused", "undecided", "trained"])
def test_a_refused_or_undecided_model_is_not_handed_out(lived: Any, name: str) -> None:
    with pytest.raises(OutOfOrder, match="no admission"):
        get(lived(name))


def test_only_an_operator_loads(life: Life) -> None:
    for who in ("mel", "val", "olga", "ari"):
        with pytest.raises(NotPermitted):
            admit(life.desk, Drawer(), who, "loans", "production")


def test_an_expired_admission_is_refused(life: Life) -> None:
    get(life, desk=later(life, 179))
    with pytest.raises(NotPermitted, match=r"the admission of .* expired"):
        get(life, desk=later(life, 181))


def admission(life: Life, **change: Any) -> dict[str, Any]:
    said = life.record.of_kind(kinds.ADMISSION)[0].predicate
    return {**said, **change}


def test_a_forged_admission_is_caught_though_its_signer_may_write_one(life: Life) -> None:
    decision = life.record.of_kind(kinds.DECISION)[-1].digest
    for change in (
        {"decision": digest("none")},
        {"decision": life.record.of_kind(kinds.SEAL)[0].digest},
        {"decision": life.record.of_kind(kinds.APPROVAL)[0].digest},
        {"expires": life.later(1000)},
        {"expires": ""},
    ):
        life.forge("val", life.model, kinds.ADMISSION, admission(life, **change))
        with pytest.raises(Tampered):
            get(life)
    life.forge("val", Subject("loans", digest("another model")), kinds.ADMISSION, admission(life, decision=decision))
    with pytest.raises(Tampered, match="no decision about this model"):
        get(life)


def test_a_second_admission_by_the_same_decision_opens_the_same_model(life: Life) -> None:
    again = admission(life, decision=life.record.of_kind(kinds.DECISION)[-1].digest)
    life.forge("val", life.model, kinds.ADMISSION, {**again, "at": life.later(-0.001)})
    assert get(life).subject == life.model


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "GO"},
        {"size": 3},
        {"size": 0},
        {"size": -1},
        {"size": 10**6},
        {"outcome": digest("x")},
        {"at": "2020-01-01T00:00:00+00:00"},
        {"use_case": "other"},
    ],
)
def test_a_typed_verdict_is_recomputed(lived: Any, change: dict[str, Any]) -> None:
    life = lived("refused")
    said = {**life.record.of_kind(kinds.DECISION)[-1].predicate, "verdict": "GO", **change}
    index = life.forge("val", life.model, kinds.DECISION, said)
    decision = life.record.entries[index]
    body = {"use_case": "loans", "environment": "production", "decision": decision.digest, "expires": said["expires"]}
    life.forge("val", life.model, kinds.ADMISSION, body)
    with pytest.raises(Tampered):
        get(life)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("honest", {"outcome": digest("x")}, "says GO; the record gives GO"),
        ("refused", {"verdict": "GO"}, "says GO; the record gives NO-GO"),
        ("refused", {}, "does not follow from its decision"),
    ],
)
def test_each_word_of_a_decision_is_held_against_the_record(
    lived: Any, name: str, change: dict[str, Any], match: str
) -> None:
    from custody.core.release import decide

    life = lived(name)
    decision = decide(life.record, life.model.sha256, "loans", life.desk.time())
    index = life.forge("val", life.model, kinds.DECISION, {**decision.to_predicate(), **change})
    body = {"use_case": "loans", "environment": "production", "expires": decision.expires}
    life.forge("val", life.model, kinds.ADMISSION, {**body, "decision": life.record.entries[index].digest})
    with pytest.raises(Tampered, match=match):
        get(life)


@pytest.mark.parametrize("at", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2999-01-01T00:00:00+00:00"])
def test_a_decision_of_no_time_or_of_the_future_opens_nothing(life: Life, at: str) -> None:
    from custody.core.release import decide

    record = life.record
    decision = decide(record, life.model.sha256, "loans", at)
    said = {**decision.to_predicate(), "verdict": str(decision.verdict)}
    index = life.forge("val", life.model, kinds.DECISION, said)
    body = {
        "use_case": "loans",
        "environment": "production",
        "decision": life.record.entries[index].digest,
        "expires": decision.expires,
    }
    life.forge("val", life.model, kinds.ADMISSION, body)
    with pytest.raises(Tampered):
        get(life)


def test_a_decision_of_the_future_does_not_outlast_its_evidence(life: Life) -> None:
    from custody.core.release import decide

    life.risk("theft", "treated", "weights are encrypted at rest")
    decision = decide(life.record, life.model.sha256, "loans", "2999-01-01T00:00:00+00:00")
    assert (str(decision.verdict), decision.expires[:4]) == ("GO", "3000")  # the gate itself knows no clock
    index = life.forge("val", life.model, kinds.DECISION, decision.to_predicate())
    body = {"use_case": "loans", "environment": "production", "expires": decision.expires}
    life.forge("val", life.model, kinds.ADMISSION, {**body, "decision": life.record.entries[index].digest})
    with pytest.raises(Tampered, match="says a later time"):
        get(life)


def test_a_typed_go_over_a_part_of_the_record_is_caught(life: Life) -> None:
    from custody.core.evidence import Record
    from custody.core.release import decide

    life.approve("cora", "reject", "a complaint came in")
    whole = life.record
    size = whole.size - 1  # leaves the rejection out
    part = Record(whole.entries[:size], size, life.desk.reading.frontiers[size].root.hex(), whole.roots)
    decision = decide(part, life.model.sha256, "loans", life.desk.time())
    assert str(decision.verdict) == "GO"
    index = life.forge("val", life.model, kinds.DECISION, decision.to_predicate())
    body = {"use_case": "loans", "environment": "production", "expires": decision.expires}
    life.forge("val", life.model, kinds.ADMISSION, {**body, "decision": life.record.entries[index].digest})
    with pytest.raises(Tampered, match="what it was based on"):
        get(life)


def test_one_person_alone_cannot_admit_to_production_past_the_stage(lived: Any) -> None:
    from custody.core.release import decide

    life = lived("solo")
    decision = decide(life.record, life.model.sha256, "loans", life.desk.time())
    assert (str(decision.verdict), decision.assurance) == ("GO", "solo")
    index = life.forge("val", life.model, kinds.DECISION, decision.to_predicate())
    for environment in ("staging", "production"):
        body = {"use_case": "loans", "environment": environment, "expires": decision.expires}
        life.forge("val", life.model, kinds.ADMISSION, {**body, "decision": life.record.entries[index].digest})
    assert get(life, "staging").files
    with pytest.raises(Tampered, match="one person alone"):
        get(life)


def test_an_incident_quarantines_at_once_and_until_it_is_closed(life: Life) -> None:
    for name in (life.model.sha256[:12], "train"):
        incident, _ = open_incident(life.desk, "otto", "loans", name, "poisoning", "seen in the news")
        with pytest.raises(NotPermitted, match="quarantined"):
            get(life)
        close_incident(life.desk, "sam", incident, "the source was checked row by row")
        get(life)


def test_an_operator_cannot_close_an_incident_past_the_stage(life: Life) -> None:
    incident, said = open_incident(life.desk, "otto", "loans", "", "drift", "seen this month")
    life.forge("otto", life.model, kinds.INCIDENT, {**said.predicate, "status": "closed"})
    with pytest.raises(NotPermitted, match="quarantined"):
        get(life)
    close_incident(life.desk, "sam", incident, "trained again on this month's data")
    get(life)


def test_a_retired_model_is_refused(life: Life) -> None:
    said = {"use_case": "loans", "reason": "old", "key_commitment": "", "ciphertexts": {}, "canary": {}, "copies": {}}
    life.forge("otto", life.model, kinds.RETIREMENT, said)
    with pytest.raises(NotPermitted, match=r"is retired \(entry"):
        get(life)


def test_what_speaks_against_the_model_today_counts_without_a_new_decision(life: Life) -> None:
    life.approve("cora", "reject", "a complaint came in")
    with pytest.raises(NotPermitted, match="today the record gives NO-GO: process"):
        get(life)


def test_a_later_refusal_overrides_an_admission(life: Life) -> None:
    incident, _ = open_incident(life.desk, "otto", "loans", "", "drift", "seen this month")
    life.decide()
    close_incident(life.desk, "sam", incident, "trained again on this month's data")
    with pytest.raises(NotPermitted, match="later decision"):
        get(life)
    life.decide()  # and a new GO admits again
    assert get(life).subject == life.model


def test_a_signature_for_strangers_lies_beside_the_files_and_is_never_overwritten(life: Life, tmp_path: Path) -> None:
    served, signature = tmp_path / "served", tmp_path / "served.sig"
    deploy(
        life.desk,
        Drawer(),
        "otto",
        "loans",
        "production",
        reason="as agreed",
        folder=served,
        signature=signature,
    )
    envelope = Envelope.from_bytes(signature.read_bytes())
    verify_p256(life.desk.actor("otto").key, envelope.signature, pae(envelope.payload))
    assert json.loads(envelope.payload)["predicate"]["resources"] == [
        {"name": "model.bin", "algorithm": "sha256", "digest": hashlib.sha256(b"weights").hexdigest()}
    ]
    size = life.record.size
    for place in (signature, tmp_path / "again" / "model.sig"):
        with pytest.raises(InvalidInput):
            deploy(
                life.desk,
                Drawer(),
                "otto",
                "loans",
                "production",
                reason="as agreed",
                folder=tmp_path / "again",
                signature=place,
            )
    with pytest.raises(InvalidInput):
        life.desk.permit("sam", Action.OPEN_INCIDENT).sign_files(Manifest((FileDigest("a", 1, "0" * 64),)), "x")
    assert life.record.size == size
    assert not (tmp_path / "again").exists()


def test_deploying_leaves_evidence_and_the_copies_it_made(life: Life, tmp_path: Path) -> None:
    admitted, said = deploy(
        life.desk, Drawer(), "otto", "loans", "production", reason="as agreed", folder=tmp_path / "served"
    )
    assert said.predicate["admission"] == admitted.admission.digest
    assert said.predicate["copies"] == [str(tmp_path / "served")]
    assert (tmp_path / "served" / "model.bin").read_bytes() == b"weights"
    _, said = deploy(life.desk, Drawer(), "otto", "loans", "production")
    assert said.predicate["copies"] == []
    with pytest.raises(NotPermitted):
        deploy(life.desk, Drawer(), "mel", "loans", "production")
    with pytest.raises(OutOfOrder):
        deploy(life.desk, Drawer(), "otto", "loans", "staging", reason="as agreed", folder=tmp_path / "staging")
    assert not (tmp_path / "staging").exists()


def stolen(life: Life, name: str, since: int) -> None:
    """Let the owner say that somebody's key was in other hands since an entry."""
    actor = life.desk.actor(name)
    said = {"name": name, "keyid": actor.keyid, "reason": "the laptop was stolen", "compromised_since": since}
    life.say("olga", Action.REVOKE_KEY, Subject(f"actor:{name}", actor.keyid), kinds.KEY_REVOCATION, said)


def first(life: Life, kind: str) -> int:
    return life.record.of_kind(kind)[0].index


@pytest.mark.parametrize(
    ("name", "kind", "match"),
    [
        ("dana", kinds.SEAL, "process.keys"),
        ("mel", kinds.TRAINING_START, "process.keys"),
        ("petra", kinds.DATASET, "process.keys"),
        ("sam", kinds.COUNTERSIGNATURE, "process.countersigned"),
        ("ari", kinds.APPROVAL, "process.approvals"),
        ("val", kinds.OPENING, "signed with a key that was compromised"),
        ("val", kinds.DECISION, "signed with a key that was compromised"),
    ],
)
def test_a_key_that_was_compromised_closes_the_door_today(life: Life, name: str, kind: str, match: str) -> None:
    assert get(life).subject == life.model
    stolen(life, name, first(life, kind))
    with pytest.raises(NotPermitted, match=match):
        get(life)
    with pytest.raises(NotPermitted):
        deploy(life.desk, Drawer(), "otto", "loans", "production")


def test_a_key_that_was_compromised_later_changes_nothing(life: Life) -> None:
    for name in ("dana", "mel", "ari", "val"):
        stolen(life, name, life.record.size)
    assert get(life).subject == life.model


def test_the_decision_of_then_is_judged_by_the_keys_of_then(life: Life) -> None:
    stolen(life, "ari", first(life, kinds.APPROVAL))
    admission = life.record.of_kind(kinds.ADMISSION)[0]
    check_decision(life.desk, life.record, admission)  # it did follow from what was known
    with pytest.raises(NotPermitted):
        get(life)


def test_an_emergency_right_that_nobody_reviewed_closes_the_door(life: Life) -> None:
    said = {
        "name": "otto", "roles": ["security_manager"], "status": "granted", "emergency": True,
        "expires": life.later(0.1), "reason": "an incident at night",
    }  # fmt: skip
    actor = life.desk.actor("otto")
    taken = life.say("otto", Action.BREAK_GLASS, Subject("actor:otto", actor.keyid), kinds.GRANT, said)
    with pytest.raises(NotPermitted, match=r"process\.access"):
        get(life)
    review = {"of": taken.digest, "verdict": "upheld", "findings": [], "reason": "it was needed"}
    life.say("sam", Action.REVIEW_ACCESS, taken.subject, kinds.ACCESS_REVIEW, review)
    assert get(life).subject == life.model


@pytest.mark.parametrize(("minutes", "runs"), [(4, True), (6, False)])
def test_a_clock_that_runs_a_little_ahead_takes_no_model_down(life: Life, minutes: int, runs: bool) -> None:
    said = {"run": "r9", "start": "x", "reason": "it broke", "exit_code": 1}
    ahead = (now() + timedelta(minutes=minutes)).isoformat()
    life.forge("mel", Subject("run:r9", digest("r9")), kinds.TRAINING_ABORT, {**said, "at": ahead})
    admission = admission_of(life.record, "loans", "production")
    if runs:
        check_standing(life.record, admission, now().isoformat())
        late = (now() + timedelta(days=400)).isoformat()
        with pytest.raises(NotPermitted, match="expired"):
            check_standing(life.record, admission, late)
    else:
        with pytest.raises(NotPermitted, match="dated before evidence"):
            check_standing(life.record, admission, now().isoformat())
