from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.decision import Status, Verdict
from custody.core.seed import derive_seed
from custody.core.subject import use_case_subject


def _beside(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"core_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


papers = _beside("papers")
honest, measures, put, into = papers.honest, papers.measures, papers.put, papers.into
MET, NOT_MET, UNKNOWN = Status.MET, Status.NOT_MET, Status.UNKNOWN
ACCURACY = "performance.classification"
FAIR = "fairness.group_gaps"
POLICY = "policy"


def policy(**fields: Any) -> Any:
    return honest().policy(**fields)


def test_an_honest_record_is_go_and_every_ruling_is_met() -> None:
    decision = honest().decide()
    assert decision.verdict is Verdict.GO
    assert {ruling.status for ruling in decision.rulings} == {MET}
    assert decision.failing() == []
    assert decision.assurance == "separated"


def test_the_same_record_gives_the_same_outcome_and_another_moment_another() -> None:
    assert honest().decide().outcome == honest().decide().outcome
    assert honest().decide().outcome != honest().later(1).decide().outcome


def test_what_was_decided_can_be_written_and_says_why() -> None:
    said = honest().edit(kinds.CHECK_RESULT, measures(0.5), check=ACCURACY).decide().to_predicate()
    assert said["verdict"] == "NO-GO"
    (against,) = [ruling for ruling in said["rulings"] if ruling["status"] == "not_met"]
    assert against["id"] == "P1"
    assert against["answer"]["value"] == 0.5
    assert "0.5" in against["reason"]


# process.chain


def test_a_model_nobody_trained_is_unknown() -> None:
    decision = honest().drop(kinds.TRAINING_FINISH).decide()
    assert [(r.id, r.status) for r in decision.rulings] == [("process.chain", UNKNOWN)]
    assert decision.verdict is Verdict.INCONCLUSIVE


def again(base: Any, *, seal: str = "", start: str = "") -> Any:
    """Let a second run end in the same bytes, under the same seal or another."""
    first, finish = base.of(kinds.TRAINING_START)[0], base.of(kinds.TRAINING_FINISH)[0]
    said = {**first.predicate, **({"seal": seal} if seal else {})}
    more = base.add(kinds.TRAINING_START, said, person="mel", about="ab" * 32, index=finish.index + 0.1)
    started = start or more.of(kinds.TRAINING_START)[-1].digest
    internal = {**finish.predicate["buildDefinition"]["internalParameters"], "start": started}
    definition = {**finish.predicate["buildDefinition"], "internalParameters": internal}
    body = {**finish.predicate, "buildDefinition": definition}
    return more.add(kinds.TRAINING_FINISH, body, person="mel", roles=["ml_engineer"], index=finish.index + 0.2)


def test_a_second_run_that_gives_the_same_bytes_is_fine_under_the_same_seal() -> None:
    assert again(honest()).verdict is Verdict.GO
    assert again(again(honest())).status("process.budget") is MET


def test_bytes_that_were_made_under_another_seal_as_well_are_refused() -> None:
    base = honest()
    seal = base.of(kinds.SEAL)[0]
    older = base.add(kinds.SEAL, dict(seal.predicate), person="dana", about=seal.subject.sha256, index=seal.index - 0.5)
    other = older.of(kinds.SEAL)[0].digest
    assert again(older, seal=other).status("process.chain") is NOT_MET
    assert again(base, start="ab" * 32).status("process.chain") is NOT_MET


def test_every_run_that_ended_in_these_bytes_is_looked_at() -> None:
    twice = again(honest())
    spoilt = twice.edit(kinds.TRAINING_FINISH, into("runDetails", compromised=["swapped"]), last=True)
    assert spoilt.status("process.run") is NOT_MET
    seeded = twice.edit(kinds.TRAINING_START, put(seed=1), last=True)
    assert seeded.status("process.sealed_before_training") is NOT_MET
    fed = twice.edit(kinds.TRAINING_START, put(inputs=[]), last=True)
    assert fed.status("process.data") is UNKNOWN


def test_a_finish_that_names_no_start_is_refused() -> None:
    lost = honest().edit(kinds.TRAINING_FINISH, lambda b: b["buildDefinition"]["internalParameters"].pop("start"))
    assert lost.status("process.chain") is NOT_MET


def test_a_finish_that_names_something_else_than_a_start_is_refused() -> None:
    seal = honest().of(kinds.SEAL)[0].digest
    wrong = honest().edit(
        kinds.TRAINING_FINISH, lambda b: b["buildDefinition"]["internalParameters"].update(start=seal)
    )
    assert wrong.status("process.chain") is NOT_MET


def test_what_only_looks_like_a_start_is_none() -> None:
    base = honest()
    start, finish = base.of(kinds.TRAINING_START)[0], base.of(kinds.TRAINING_FINISH)[0]
    said = dict(start.predicate)
    posed = base.add(kinds.TRAINING_ABORT, said, person=start.person, about="ab" * 32, index=finish.index - 0.5)
    digest = posed.of(kinds.TRAINING_ABORT)[0].digest
    named = posed.edit(kinds.TRAINING_FINISH, lambda b: b["buildDefinition"]["internalParameters"].update(start=digest))
    assert named.status("process.chain") is NOT_MET


def test_a_start_cannot_come_after_its_finish() -> None:
    base = honest()
    start, finish = base.of(kinds.TRAINING_START)[0], base.of(kinds.TRAINING_FINISH)[0]
    from dataclasses import replace

    swapped = {start.index: replace(finish, index=start.index), finish.index: replace(start, index=finish.index)}
    turned = base.with_entries([swapped.get(entry.index, entry) for entry in base.entries])
    assert turned.status("process.chain") is NOT_MET


def test_one_person_starts_and_another_finishes_is_refused() -> None:
    assert honest().signed(kinds.TRAINING_FINISH, person="eve").status("process.chain") is NOT_MET


def test_a_run_without_a_seal_is_refused_for_ever() -> None:
    unsealed = honest().edit(kinds.TRAINING_START, put(seal=""))
    assert unsealed.status("process.sealed_before_training") is NOT_MET
    assert unsealed.verdict is Verdict.NO_GO


def test_a_seal_must_be_a_seal() -> None:
    other = honest().of(kinds.SOURCING)[0].digest
    assert honest().edit(kinds.TRAINING_START, put(seal=other)).status("process.sealed_before_training") is NOT_MET


@pytest.mark.parametrize("kind", [kinds.TRAINING_START, kinds.SEAL])
def test_model_run_and_seal_belong_to_one_use_case(kind: str) -> None:
    assert honest().edit(kind, put(use_case="other")).status("process.chain") is NOT_MET


def test_sealed_criteria_that_cannot_be_read_are_unknown() -> None:
    for broken in ({}, {"criterion": []}, {"criterion": [{"id": "P1"}]}, {"criterion": 7}, {"criterion": ["x"]}):
        decision = honest().edit(kinds.SEAL, put(criteria=broken)).decide()
        assert decision.verdict is Verdict.INCONCLUSIVE
        assert [ruling.id for ruling in decision.rulings] == ["process.criteria"]


# process.sourcing and process.risks


def test_no_sourcing_decision_is_unknown() -> None:
    assert honest().drop(kinds.SOURCING).status("process.sourcing") is UNKNOWN


def test_a_sourcing_decision_after_the_seal_is_too_late() -> None:
    base = honest()
    said = dict(base.of(kinds.SOURCING)[0].predicate)
    late = base.drop(kinds.SOURCING).add(
        kinds.SOURCING, said, person="sam", about=use_case_subject(base.use_case).sha256
    )
    assert late.status("process.sourcing") is UNKNOWN


def risk(base: Any, *, person: str = "sam", **fields: Any) -> Any:
    said = {
        "use_case": base.use_case,
        "risk": "theft",
        "title": "theft",
        "status": "open",
        "reason": "",
        "expires": None,
    }
    return base.add(kinds.RISK, {**said, **fields}, person=person, about=use_case_subject(base.use_case).sha256)


def test_no_risk_on_record_is_unknown() -> None:
    assert honest().drop(kinds.RISK).status("process.risks") is UNKNOWN


def test_an_open_risk_is_not_met_and_its_treatment_mends_it() -> None:
    opened = risk(honest())
    assert opened.status("process.risks") is NOT_MET
    assert risk(opened, status="treated").status("process.risks") is MET


def test_an_unheard_of_status_of_a_risk_is_not_met() -> None:
    assert risk(honest(), status="fine").status("process.risks") is NOT_MET


def test_a_risk_accepted_by_somebody_who_made_the_model_is_not_met() -> None:
    for person, wanted in (("mel", NOT_MET), ("dana", NOT_MET), ("ari", MET)):
        base = honest()
        accepted = risk(base, person=person, status="accepted", expires=base.days(10))
        assert accepted.status("process.risks") is wanted


@pytest.mark.parametrize("expires", [None, "", "soon", "2999-01-01", "2999-01-01T00:00:00"])
def test_an_acceptance_without_a_readable_end_is_not_met(expires: str | None) -> None:
    assert risk(honest(), status="accepted", expires=expires).status("process.risks") is NOT_MET


def test_an_expired_acceptance_is_not_met() -> None:
    base = honest()
    assert base.later(179).status("process.risks") is MET
    assert base.later(181).status("process.risks") is NOT_MET


# process.sealed_before_training


@pytest.mark.parametrize("size", [0, -1, 10**6, None, "12", True])
def test_the_checkpoint_lies_between_seal_and_start(size: Any) -> None:
    edited = honest().edit(kinds.TRAINING_START, into("checkpoint", size=size))
    assert edited.status("process.sealed_before_training") is NOT_MET


def test_a_checkpoint_taken_before_the_seal_is_refused() -> None:
    base = honest()
    seal = base.of(kinds.SEAL)[0]
    root = "ab" * 32
    from dataclasses import replace

    inputs = [("train", item["sha256"]) for item in base.of(kinds.TRAINING_START)[0].predicate["inputs"]]
    early = replace(base, roots={**base.roots, seal.index: root}).edit(
        kinds.TRAINING_START,
        put(checkpoint={"size": seal.index, "root": root}, seed=derive_seed(root, seal.digest, inputs)),
    )
    assert early.status("process.sealed_before_training") is NOT_MET


def test_a_checkpoint_taken_after_the_start_is_refused() -> None:
    from dataclasses import replace

    base = honest()
    seal, start = base.of(kinds.SEAL)[0], base.of(kinds.TRAINING_START)[0]
    inputs = [("train", item["sha256"]) for item in start.predicate["inputs"]]
    late = start.index + 1
    for size, wanted in ((late, NOT_MET), (start.index, MET)):
        root = base.roots.get(size, "ab" * 32)
        checkpoint = {"size": size, "root": root}
        seed = derive_seed(root, seal.digest, inputs)
        turned = replace(base, roots={**base.roots, size: root})
        edited = turned.edit(kinds.TRAINING_START, put(checkpoint=checkpoint, seed=seed))
        assert edited.status("process.sealed_before_training") is wanted


def test_a_checkpoint_of_another_ledger_is_refused() -> None:
    base = honest()
    seal, start = base.of(kinds.SEAL)[0], base.of(kinds.TRAINING_START)[0]
    inputs = [("train", item["sha256"]) for item in start.predicate["inputs"]]
    seed = derive_seed("ab" * 32, seal.digest, inputs)
    forged = base.edit(kinds.TRAINING_START, lambda b: (b["checkpoint"].update(root="ab" * 32), b.update(seed=seed)))
    assert forged.status("process.sealed_before_training") is NOT_MET


def test_a_checkpoint_without_root_is_refused_even_where_no_root_is_known() -> None:
    from dataclasses import replace

    bare = replace(honest(), roots={}).edit(kinds.TRAINING_START, lambda b: b["checkpoint"].pop("root"))
    assert bare.status("process.sealed_before_training") is NOT_MET


def test_another_seed_is_refused() -> None:
    assert honest().edit(kinds.TRAINING_START, put(seed=1)).status("process.sealed_before_training") is NOT_MET


# process.time and process.policy


def test_a_decision_is_not_dated_before_what_it_covers() -> None:
    assert honest().status("process.time") is MET
    assert honest().later(-1).status("process.time") is UNKNOWN
    ahead = honest().edit(kinds.APPROVAL, put(at=honest().days(1)), last=True)
    assert ahead.status("process.time") is UNKNOWN


@pytest.mark.parametrize("at", ["", "now", "2999-01-01", "2999-01-01T00:00:00"])
def test_a_decision_of_no_moment_is_unknown(at: str) -> None:
    from dataclasses import replace

    assert replace(honest(), at=at).status("process.time") is UNKNOWN


def test_the_sealed_policy_is_the_owners() -> None:
    assert honest().status("process.policy") is MET
    lax = honest().edit(kinds.SEAL, into("policy", approvals=1))
    assert lax.status("process.policy") is NOT_MET
    assert lax.verdict is Verdict.NO_GO
    assert honest().policy(approvals=1).status("process.policy") is MET
    assert honest().edit(kinds.SEAL, into("criteria", tier="low")).status("process.policy") is NOT_MET


def test_the_policys_own_criteria_cannot_be_left_out() -> None:
    for change in (
        lambda b: b["criteria"]["criterion"].pop(),
        lambda b: b["criteria"]["criterion"][-1].update(at_most=9.0),
    ):
        assert honest().edit(kinds.SEAL, change).status("process.policy") is NOT_MET


def test_a_use_case_must_have_been_opened_before_the_seal() -> None:
    base = honest()
    opened = base.of(kinds.USE_CASE)[0]
    none = base.drop(kinds.USE_CASE)
    assert none.status("process.policy") is UNKNOWN
    late = none.add(kinds.USE_CASE, dict(opened.predicate), person="olga", about=opened.subject.sha256)
    assert late.status("process.policy") is UNKNOWN


def test_the_seal_names_the_record_of_its_held_out_set() -> None:
    base = honest()
    training = base.of(kinds.DATASET)[0].digest
    assert base.edit(kinds.SEAL, into("held_out", record=training)).status("process.policy") is NOT_MET
    held_out = base.of(kinds.DATASET)[1]
    late = base.add(kinds.DATASET, dict(held_out.predicate), person="petra", about=held_out.subject.sha256)
    again = late.of(kinds.DATASET)[-1].digest
    assert late.edit(kinds.SEAL, into("held_out", record=again)).status("process.policy") is UNKNOWN
    for record in ("", "ab" * 32, base.of(kinds.SOURCING)[0].digest):
        assert base.edit(kinds.SEAL, into("held_out", record=record)).status("process.policy") is UNKNOWN


# process.not_post_hoc and process.budget


def opening(base: Any, index: float | None = None, held_out: str = "") -> Any:
    said = dict(base.of(kinds.OPENING)[0].predicate)
    return base.add(kinds.OPENING, {**said, **({"held_out": held_out} if held_out else {})}, person="val", index=index)


def test_criteria_sealed_after_the_held_out_set_was_opened_are_post_hoc() -> None:
    base = honest()
    seal = base.of(kinds.SEAL)[0].index
    assert opening(base, seal - 0.5).status("process.not_post_hoc") is NOT_MET
    assert "post-hoc" in opening(base, seal - 0.5).ruling("process.not_post_hoc").reason
    assert opening(base, seal - 0.5, held_out="other").status("process.not_post_hoc") is MET
    assert opening(base, seal + 0.5).status("process.not_post_hoc") is MET


def test_more_openings_than_sealed_exhaust_the_budget() -> None:
    two = opening(opening(honest()))
    assert two.status("process.budget") is MET
    assert opening(two).status("process.budget") is UNKNOWN
    assert opening(two, held_out="other").status("process.budget") is MET


def test_more_attempts_than_sealed_exhaust_the_budget() -> None:
    base = honest()
    said = dict(base.of(kinds.TRAINING_START)[0].predicate)
    for attempts, wanted in ((2, MET), (3, UNKNOWN)):
        tried = base
        for _ in range(attempts):
            tried = tried.add(kinds.TRAINING_START, said, person="mel", about="ab" * 32)
        assert tried.status("process.budget") is wanted


@pytest.mark.parametrize("limit", ["max_openings", "max_attempts"])
@pytest.mark.parametrize("value", [None, "20", 1e9])
def test_a_budget_that_is_no_number_is_unknown(limit: str, value: Any) -> None:
    assert honest().edit(kinds.SEAL, into("criteria", **{limit: value})).status("process.budget") is UNKNOWN


# process.run and process.data


def test_a_compromised_run_is_not_met() -> None:
    run = honest().edit(kinds.TRAINING_FINISH, into("runDetails", compromised=["the data changed during the run"]))
    assert run.status("process.run") is NOT_MET
    assert "data changed" in run.ruling("process.run").reason


def test_a_run_that_does_not_say_whether_it_was_compromised_is_not_met() -> None:
    for broken in (None, {}, "no"):
        run = honest().edit(kinds.TRAINING_FINISH, into("runDetails", compromised=broken))
        assert run.status("process.run") is NOT_MET


def test_start_and_finish_name_the_same_data() -> None:
    run = honest().edit(
        kinds.TRAINING_FINISH,
        lambda b: b["buildDefinition"]["resolvedDependencies"][0]["digest"].update(sha256="ab" * 32),
    )
    assert run.status("process.run") is NOT_MET


def test_isolation_is_asked_for_by_the_policy() -> None:
    bare = honest().edit(kinds.TRAINING_START, put(isolation={"kind": "none"}))
    assert bare.status("process.run") is NOT_MET
    assert bare.edit(kinds.SEAL, into("policy", isolation=False)).status("process.run") is MET


@pytest.mark.parametrize("field", ["code", "environment"])
def test_a_run_without_code_or_environment_is_unknown(field: str) -> None:
    assert honest().edit(kinds.TRAINING_START, put(**{field: {}})).status("process.run") is UNKNOWN


def test_a_run_without_data_is_unknown() -> None:
    bare = honest().edit(kinds.TRAINING_START, put(inputs=[]))
    assert bare.status("process.data") is UNKNOWN
    assert bare.verdict is not Verdict.GO


def test_a_model_trained_on_its_own_exam_is_not_met() -> None:
    base = honest()
    train, held_out = (entry.predicate for entry in base.of(kinds.DATASET))
    copied = base.edit(kinds.DATASET, lambda b: b.update(files=held_out["files"]))
    assert copied.status("process.data") is NOT_MET
    assert "exam" in copied.ruling("process.data").reason
    assert train["files"] != held_out["files"]
    renamed = base.edit(kinds.DATASET, put(purpose="held_out"))
    assert renamed.status("process.data") is NOT_MET


def test_an_exam_that_calls_itself_something_else_is_the_exam() -> None:
    held_out = honest().of(kinds.DATASET)[1].predicate
    shared = honest().edit(kinds.DATASET, lambda b: b.update(files=held_out["files"], purpose="training"))
    assert shared.status("process.data") is NOT_MET
    apart = honest().edit(kinds.DATASET, put(purpose="training"))
    assert apart.status("process.data") is MET


def test_what_is_said_about_data_is_no_registration() -> None:
    base = honest()
    train = base.of(kinds.DATASET)[0]
    measured = next(e for e in base.of(kinds.CHECK_RESULT) if e.subject.sha256 == train.subject.sha256)
    named = base.edit(kinds.TRAINING_START, lambda b: b["inputs"][0].update(record=measured.digest))
    assert named.status("process.data") is UNKNOWN


def test_an_exam_opened_under_another_name_is_opened() -> None:
    base = honest()
    held_out = base.of(kinds.DATASET)[1]
    seal = base.of(kinds.SEAL)[0].index
    copy = base.add(kinds.DATASET, dict(held_out.predicate), person="petra", about="cd" * 32, index=seal - 0.6)
    assert copy.verdict is Verdict.GO
    assert opening(copy, seal - 0.5, held_out="cd" * 32).status("process.not_post_hoc") is NOT_MET


@pytest.mark.parametrize("record", ["", "ab" * 32, None])
def test_data_registered_after_the_run_is_unknown(record: Any) -> None:
    base = honest()
    unnamed = base.edit(kinds.TRAINING_START, lambda b: b["inputs"][0].update(record=record))
    assert unnamed.status("process.data") is UNKNOWN
    train = base.of(kinds.DATASET)[0]
    late = base.add(kinds.DATASET, dict(train.predicate), person="petra", about=train.subject.sha256)
    digest = late.of(kinds.DATASET)[-1].digest
    assert (
        late.edit(kinds.TRAINING_START, lambda b: b["inputs"][0].update(record=digest)).status("process.data")
        is UNKNOWN
    )
    other = base.of(kinds.DATASET)[1].digest
    swapped = base.edit(kinds.TRAINING_START, lambda b: b["inputs"][0].update(record=other))
    assert swapped.status("process.data") is UNKNOWN


def test_data_nobody_registered_is_unknown() -> None:
    assert honest().drop(kinds.DATASET).status("process.data") is UNKNOWN


def test_untrusted_data_is_not_met() -> None:
    assert honest().edit(kinds.DATASET, put(trust="untrusted")).status("process.data") is NOT_MET
    assert policy(trust=[]).status("process.data") is NOT_MET


@pytest.mark.parametrize("field", ["licence", "owner"])
def test_data_without_licence_or_owner_is_unknown(field: str) -> None:
    assert honest().edit(kinds.DATASET, put(**{field: ""})).status("process.data") is UNKNOWN


def test_an_expired_source_is_not_met() -> None:
    base = honest()
    dated = base.edit(kinds.DATASET, put(source_expires=base.days(1)))
    assert dated.status("process.data") is MET
    assert dated.later(2).status("process.data") is NOT_MET


# process.separation and process.approvals


def test_the_author_may_not_train() -> None:
    assert honest().signed(kinds.SEAL, person="mel").status("process.separation") is NOT_MET


@pytest.mark.parametrize("person", ["mel", "dana"])
def test_a_maker_may_not_validate(person: str) -> None:
    assert honest().signed(kinds.CHECK_RESULT, person=person).status("process.separation") is NOT_MET


def test_solo_mode_allows_it_and_says_so() -> None:
    alone = honest()
    for kind in (kinds.SEAL, kinds.OPENING, kinds.CHECK_RESULT, kinds.APPROVAL):
        alone = alone.signed(kind, person="mel")
    assert alone.verdict is Verdict.NO_GO
    solo = alone.policy(solo=True, approvals=1).decide()
    assert solo.assurance == "solo"
    assert solo.verdict is Verdict.GO


def test_one_approval_of_two_is_pending() -> None:
    one = honest().without(honest().of(kinds.APPROVAL)[-1].index)
    assert one.status("process.approvals") is UNKNOWN
    assert "1 of 2" in one.ruling("process.approvals").reason


def test_persons_count_not_approvals() -> None:
    assert honest().signed(kinds.APPROVAL, person="ari").status("process.approvals") is UNKNOWN


@pytest.mark.parametrize("person", ["mel", "dana", "val"])
def test_nobody_involved_counts_as_an_approver(person: str) -> None:
    one = honest().without(honest().of(kinds.APPROVAL)[-1].index)
    assert one.approved(person).status("process.approvals") is UNKNOWN
    assert one.approved("ann").status("process.approvals") is MET


def test_an_approval_needs_the_role() -> None:
    assert honest().signed(kinds.APPROVAL, roles=["auditor"]).status("process.approvals") is UNKNOWN


def test_an_approval_before_the_last_result_does_not_count() -> None:
    base = honest()
    body = dict(next(e for e in base.of(kinds.CHECK_RESULT) if e.predicate["check"] == ACCURACY).predicate)
    newer = base.add(kinds.CHECK_RESULT, body, person="val", roles=["validator"])
    assert newer.status("process.approvals") is UNKNOWN
    assert newer.approved("ari").approved("cora").status("process.approvals") is MET


def test_a_runtime_result_does_not_undo_approvals() -> None:
    base = honest()
    body = dict(next(e for e in base.of(kinds.CHECK_RESULT) if e.predicate["check"] == ACCURACY).predicate)
    watched = base.add(kinds.CHECK_RESULT, {**body, "stage": "runtime"}, person="otto", roles=["operator"])
    assert watched.verdict is Verdict.GO


def test_approvals_of_a_model_never_measured_do_not_count() -> None:
    assert honest().drop(kinds.CHECK_RESULT).status("process.approvals") is UNKNOWN


def test_a_rejection_outweighs_approvals_until_it_is_taken_back() -> None:
    rejected = honest().approved("ann", "reject")
    assert rejected.status("process.approvals") is NOT_MET
    assert "ann" in rejected.ruling("process.approvals").reason
    assert rejected.approved("ann").status("process.approvals") is MET


def test_the_trainer_may_reject() -> None:
    assert honest().approved("mel", "reject").status("process.approvals") is NOT_MET


def test_an_approval_for_another_use_case_does_not_count() -> None:
    assert honest().edit(kinds.APPROVAL, put(use_case="other")).status("process.approvals") is UNKNOWN


@pytest.mark.parametrize("needed", [None, 0, -1, "2", 0.5])
def test_a_policy_without_a_number_of_approvals_is_unknown(needed: Any) -> None:
    assert policy(approvals=needed).status("process.approvals") is UNKNOWN


# process.standing


def incident(base: Any, status: str, *, about: str = "", name: str = "i1", roles: Any = ("security_manager",)) -> Any:
    said = {"incident": name, "type": "poisoning", "status": status, "reason": "seen", "affected": []}
    return base.add(kinds.INCIDENT, said, person="sam", roles=roles, about=about)


def data_of(base: Any) -> str:
    return str(base.of(kinds.TRAINING_START)[0].predicate["inputs"][0]["sha256"])


def test_an_open_incident_is_not_met_and_closing_it_mends_that() -> None:
    for about in ("", data_of(honest())):
        opened = incident(honest(), "open", about=about)
        assert opened.status("process.standing") is NOT_MET
        assert incident(opened, "closed", about=about).status("process.standing") is MET


def test_an_unheard_of_status_of_an_incident_is_open() -> None:
    assert incident(honest(), "resolved").status("process.standing") is NOT_MET


def test_only_a_security_manager_closes_an_incident() -> None:
    opened = incident(honest(), "open")
    assert incident(opened, "closed", roles=["operator"]).status("process.standing") is NOT_MET


def test_an_incident_of_another_subject_with_the_same_number_closes_nothing() -> None:
    base = honest()
    elsewhere = incident(base, "closed", about=data_of(base))
    assert incident(elsewhere, "open").status("process.standing") is NOT_MET
    assert incident(incident(base, "open"), "closed", about=data_of(base)).status("process.standing") is NOT_MET


def test_an_incident_about_something_else_does_not_matter() -> None:
    assert incident(honest(), "open", about="ab" * 32).verdict is Verdict.GO


def test_a_retired_model_never_comes_back() -> None:
    said = {"use_case": "loans", "reason": "old", "key_commitment": "", "ciphertexts": {}, "canary": {}, "copies": {}}
    assert honest().add(kinds.RETIREMENT, said, person="otto").status("process.standing") is NOT_MET


# waivers


def failing(check: str = FAIR) -> Any:
    return honest().edit(kinds.CHECK_RESULT, measures(0.2, 0.17, 0.23), check=check)


WAIVABLE = "F1[sex]"


def test_a_waiver_sets_aside_a_criterion_that_is_not_met() -> None:
    base = failing()
    assert base.status(WAIVABLE) is NOT_MET
    waived = base.waived(WAIVABLE)
    assert waived.status(WAIVABLE) is Status.WAIVED
    assert waived.status("F1[region]") is NOT_MET
    assert waived.of(kinds.WAIVER)[0].index in waived.ruling(WAIVABLE).entries


def test_a_waiver_sets_aside_an_inconclusive_criterion() -> None:
    unsure = honest().edit(kinds.CHECK_RESULT, measures(0.09, 0.05, 0.13), check=FAIR)
    assert unsure.status(WAIVABLE) is Status.INCONCLUSIVE
    assert unsure.verdict is Verdict.INCONCLUSIVE
    assert unsure.waived(WAIVABLE).status(WAIVABLE) is Status.WAIVED


def test_unknown_cannot_be_waived() -> None:
    unknown = honest().edit(kinds.CHECK_RESULT, measures(None, reason="timed out"), check=FAIR)
    assert unknown.waived(WAIVABLE).status(WAIVABLE) is UNKNOWN


def test_a_waived_model_is_go_and_expires_with_its_waiver() -> None:
    base = honest().edit(kinds.CHECK_RESULT, measures(0.5), check=ACCURACY).waived("P1")
    decision = base.decide()
    assert decision.verdict is Verdict.GO
    assert decision.expires == base.days(20)
    assert base.later(21).verdict is Verdict.NO_GO


def test_an_end_in_another_notation_is_still_the_earliest() -> None:
    from datetime import datetime, timedelta, timezone

    base = honest().edit(kinds.CHECK_RESULT, measures(0.5), check=ACCURACY)
    east = datetime.fromisoformat(base.days(20)).astimezone(timezone(timedelta(hours=14))).isoformat()
    hour_later = base.days(20 + 1 / 24)
    assert east > hour_later  # as text, not as a moment
    waived = base.edit(kinds.RISK, lambda b: b.update(expires=b["expires"] and hour_later)).waived("P1", expires=east)
    assert waived.decide().expires == east


@pytest.mark.parametrize(
    "change",
    [
        {"days": -1},
        {"days": 0},
        {"days": 31},
        {"expires": "next year"},
        {"expires": "2999-01-01T00:00:00"},
        {"person": "mel"},
        {"person": "dana"},
        {"roles": ["security_manager"]},
        {"use_case": "other"},
        {"at": "2999-01-01T00:00:00+00:00", "expires": "2999-01-02T00:00:00+00:00"},
        {"at": "yesterday"},
    ],
)
def test_a_waiver_that_breaks_a_rule_does_not_count(change: dict[str, Any]) -> None:
    assert failing().waived(WAIVABLE, **change).status(WAIVABLE) is NOT_MET
    assert failing().waived(WAIVABLE).status(WAIVABLE) is Status.WAIVED


def test_a_class_the_policy_never_waives_stays() -> None:
    unsafe = honest().edit(kinds.CHECK_RESULT, measures(0.9), check="privacy.membership_inference")
    assert unsafe.waived("S1").status("S1") is NOT_MET


def test_a_criterion_that_is_not_waivable_stays() -> None:
    sealed = failing().edit(kinds.SEAL, lambda b: b["criteria"]["criterion"][1].update(waivable=False))
    assert sealed.waived(WAIVABLE).status(WAIVABLE) is NOT_MET


def test_a_waiver_of_the_whole_does_not_waive_each_group() -> None:
    assert failing().waived("F1").status(WAIVABLE) is NOT_MET


def test_more_waivers_than_allowed_count_for_nothing() -> None:
    two = failing().waived(WAIVABLE).waived("F1[region]")
    assert two.status(WAIVABLE) is Status.WAIVED
    three = two.waived("F1[region*sex]")
    assert three.status(WAIVABLE) is NOT_MET
    assert three.status("process.waivers") is NOT_MET


def test_the_same_criterion_waived_twice_counts_once() -> None:
    assert failing().waived(WAIVABLE).waived(WAIVABLE).waived(WAIVABLE).status(WAIVABLE) is Status.WAIVED


def test_a_policy_that_says_nothing_about_waivers_allows_none() -> None:
    none = failing().edit(kinds.SEAL, lambda b: b["policy"].pop("max_waivers")).waived(WAIVABLE)
    assert none.status("process.waivers") is NOT_MET
    endless = failing().edit(kinds.SEAL, lambda b: b["policy"].pop("waiver_days")).waived(WAIVABLE)
    assert endless.status(WAIVABLE) is NOT_MET


def test_in_solo_mode_one_may_waive_for_oneself() -> None:
    solo = failing().edit(kinds.SEAL, into("policy", solo=True)).waived(WAIVABLE, person="mel")
    assert solo.status(WAIVABLE) is Status.WAIVED


def test_a_go_ends_with_the_acceptance_of_a_risk_or_by_age() -> None:
    base = honest()
    accepted = next(e for e in base.of(kinds.RISK) if e.predicate["status"] == "accepted")
    assert base.decide().expires == accepted.predicate["expires"]
    treated = base.edit(kinds.RISK, put(status="treated"))
    assert treated.decide().expires == base.days(365)
    timeless = treated.edit(kinds.SEAL, lambda b: b["policy"].pop("go_days"))
    assert timeless.decide().expires == ""


def test_criteria_about_the_training_data_are_judged_for_each_dataset() -> None:
    base = honest()
    assert base.status("D1") is MET
    assert base.drop(kinds.CHECK_RESULT, check="data.contamination").status("D1") is UNKNOWN
    other = {"name": "more", "sha256": "ab" * 32}
    two = base.edit(kinds.TRAINING_START, lambda b: b["inputs"].append(other))
    assert two.status("D1") is UNKNOWN


def test_a_result_about_data_by_another_evaluator_does_not_count() -> None:
    foreign = honest().edit(kinds.CHECK_RESULT, put(evaluator="other"), check="data.contamination")
    assert foreign.status("D1") is UNKNOWN
