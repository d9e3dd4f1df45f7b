"""Whom the gate believes: keys, emergency rights, second signatures, witnesses, spot checks."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.decision import Status, Verdict
from custody.core.evidence import Evidence, Record, void_of, witness_id
from custody.core.gate import criteria_of, judge_criterion
from custody.core.subject import Subject, use_case_subject


def _beside(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"trust_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


papers = _beside("papers")
honest, measures, put, into = papers.honest, papers.measures, papers.put, papers.into
MET, NOT_MET, UNKNOWN = Status.MET, Status.NOT_MET, Status.UNKNOWN
CASE = use_case_subject("loans").sha256


def entry(base: Any, kind: str, number: int = -1) -> Evidence:
    found: Evidence = base.of(kind)[number]
    return found


# process.keys

LINKS = [
    kinds.USE_CASE,
    kinds.SOURCING,
    kinds.DATASET,
    kinds.SEAL,
    kinds.TRAINING_START,
    kinds.TRAINING_FINISH,
]


@pytest.mark.parametrize("kind", LINKS)
def test_a_void_link_in_the_chain_is_named(kind: str) -> None:
    for link in honest().of(kind):
        ruling = honest().compromised(link.index).ruling("process.keys")
        assert (ruling.status, ruling.entries) == (NOT_MET, (link.index,))
        assert str(link.index) in ruling.reason


def test_what_is_void_and_no_link_of_the_chain_leaves_the_keys_alone() -> None:
    others = [e.index for e in honest().entries if e.kind not in LINKS]
    assert honest().compromised(*others).status("process.keys") is MET


def test_a_newer_record_of_the_data_by_a_thief_is_a_link_and_one_by_its_owner_mends_that() -> None:
    base = honest()
    old = entry(base, kinds.DATASET, 0)
    again = base.add(kinds.DATASET, dict(old.predicate), person="petra", about=old.subject.sha256)
    assert again.compromised(base.size).status("process.keys") is NOT_MET
    mended = again.add(kinds.DATASET, dict(old.predicate), person="petra", about=old.subject.sha256)
    assert mended.compromised(base.size).status("process.keys") is MET


def revocation(index: int, since: Any, keyid: str = "k") -> Evidence:
    said = {"name": "a", "keyid": keyid, "reason": "stolen", "compromised_since": since, "at": ""}
    return Evidence(index, f"{index:064}", Subject("a", "ab" * 32), kinds.KEY_REVOCATION, said, "o", "o", frozenset())


def signed(index: int, keyid: str) -> Evidence:
    return Evidence(index, f"{index:064}", Subject("a", "ab" * 32), "x", {}, "a", "a", frozenset(), keyid)


@pytest.mark.parametrize(
    ("since", "void"),
    [(2, {2, 4}), (1, {1, 2, 4}), (5, set()), (None, set()), (0, set()), (-1, set()), (6, set()), (True, set())],
)
def test_a_revocation_voids_what_its_key_signed_since(since: Any, void: set[int]) -> None:
    entries = [signed(0, "o"), signed(1, "k"), signed(2, "k"), signed(3, "other"), signed(4, "k"), revocation(5, since)]
    assert void_of(entries) == void


def test_the_earliest_of_several_revocations_counts() -> None:
    entries = [signed(0, "k"), signed(1, "k"), signed(2, "k"), revocation(3, 1), revocation(4, 2)]
    assert void_of(entries) == {1, 2}


def test_the_past_knows_only_the_revocations_of_its_own_time() -> None:
    entries = [signed(0, "k"), signed(1, "k"), revocation(2, 1)]
    now = Record(entries, 3, "", {}, void_of(entries), {1: frozenset({"w"}), 2: frozenset({"w"})})
    then = now.before(2, "ab")
    assert now.void == {1}
    assert (then.void, then.size, then.root, set(then.anchors)) == (frozenset(), 2, "ab", {1})
    assert list(then) == entries[:2]


# What is void cannot help


def test_void_approvals_do_not_count_and_void_rejections_do() -> None:
    base = honest()
    ari = entry(base, kinds.APPROVAL)
    assert base.compromised(ari.index).status("process.approvals") is UNKNOWN
    rejected = base.approved("ann", "reject")
    assert rejected.compromised(base.size).status("process.approvals") is NOT_MET
    back = rejected.approved("ann")
    assert back.status("process.approvals") is MET
    assert back.compromised(rejected.size).status("process.approvals") is NOT_MET


def test_a_void_waiver_does_not_count_and_still_takes_its_place() -> None:
    poor = honest().edit(kinds.CHECK_RESULT, measures(0.5), check="performance.classification")
    waived = poor.waived("P1")
    assert waived.status("P1") is Status.WAIVED
    stolen = waived.compromised(poor.size)
    assert stolen.status("P1") is NOT_MET
    assert "compromised" in stolen.ruling("P1").reason
    many = waived.waived("F1[sex]").waived("A1")
    assert many.status("process.waivers") is NOT_MET
    assert many.compromised(poor.size).status("process.waivers") is NOT_MET


def test_a_void_answer_to_a_risk_opens_it_again_and_a_void_opening_stays() -> None:
    base = honest()
    for answer in base.of(kinds.RISK)[2:]:
        ruling = base.compromised(answer.index).ruling("process.risks")
        assert ruling.status is NOT_MET
        assert "compromised" in ruling.reason
    said = {"use_case": "loans", "risk": "new", "title": "new", "status": "open", "reason": "", "expires": None}
    opened = base.add(kinds.RISK, said, person="sam", about=CASE)
    assert opened.compromised(base.size).status("process.risks") is NOT_MET


def test_a_void_closing_leaves_the_incident_open() -> None:
    said = {"incident": "i", "type": "evasion", "reason": "seen", "affected": []}
    base = honest().add(kinds.INCIDENT, {**said, "status": "open"}, person="otto", roles=["operator"])
    closed = base.add(kinds.INCIDENT, {**said, "status": "closed"}, person="sam", roles=["security_manager"])
    assert closed.status("process.standing") is MET
    assert closed.compromised(base.size).status("process.standing") is NOT_MET
    assert closed.compromised(honest().size).status("process.standing") is MET
    assert base.compromised(honest().size).status("process.standing") is NOT_MET


def test_a_void_result_is_no_reason_to_pass_and_still_a_reason_to_fail() -> None:
    base = honest()
    accuracy = next(e for e in base.of(kinds.CHECK_RESULT) if e.predicate["check"] == "performance.classification")
    alone = base.compromised(accuracy.index).ruling("P1")
    assert alone.status is UNKNOWN
    assert "compromised" in alone.reason
    again = base.again("performance.classification")
    assert again.compromised(accuracy.index).status("P1") is MET
    worse = base.again("performance.classification", measures(0.1))
    assert worse.compromised(base.size).status("P1") is NOT_MET


def test_a_result_under_a_void_opening_is_no_reason_to_pass() -> None:
    opening = entry(honest(), kinds.OPENING)
    spoilt = honest().compromised(opening.index)
    assert spoilt.status("P1") is UNKNOWN
    assert spoilt.status("B1") is UNKNOWN  # a scan names the opening of its validation, too
    assert spoilt.status("D1") is MET
    assert spoilt.status("process.budget") is MET


# process.access


def granted(base: Any, *, emergency: bool = True, status: str = "granted") -> tuple[Any, str]:
    said = {
        "name": "otto",
        "roles": ["security_manager"],
        "status": status,
        "emergency": emergency,
        "expires": base.days(0.1),
        "reason": "nobody else was there",
    }
    more = base.add(kinds.GRANT, said, person="otto", roles=["operator"])
    return more, entry(more, kinds.GRANT).digest


def reviewed(base: Any, of: str, verdict: str = "upheld", *, person: str = "sam", roles: Any = None) -> Any:
    said = {"of": of, "verdict": verdict, "findings": [], "reason": "looked at"}
    return base.add(kinds.ACCESS_REVIEW, said, person=person, roles=roles or ["security_manager"])


def test_an_emergency_right_is_unknown_until_it_was_reviewed() -> None:
    base, digest = granted(honest())
    waiting = base.ruling("process.access")
    assert (waiting.status, waiting.entries) == (UNKNOWN, (honest().size,))
    assert "otto" in waiting.reason
    fine = reviewed(base, digest).ruling("process.access")
    assert (fine.status, fine.entries) == (MET, (honest().size,))
    assert honest().ruling("process.access").entries == ()


def test_a_disputed_emergency_is_refused_until_a_later_review_upholds_it() -> None:
    base, digest = granted(honest())
    disputed = reviewed(base, digest, "disputed")
    assert disputed.ruling("process.access").status is NOT_MET
    assert disputed.verdict is Verdict.NO_GO
    assert reviewed(disputed, digest).status("process.access") is MET
    assert reviewed(reviewed(base, digest), digest, "disputed").status("process.access") is NOT_MET
    assert reviewed(base, digest, "whatever").status("process.access") is NOT_MET


def test_nobody_reviews_their_own_emergency_and_only_security_managers_do() -> None:
    base, digest = granted(honest())
    assert reviewed(base, digest, person="otto").status("process.access") is UNKNOWN
    assert reviewed(base, digest, roles=["owner"]).status("process.access") is UNKNOWN
    assert reviewed(base, "ab" * 32).status("process.access") is UNKNOWN
    one = reviewed(base, digest)
    assert one.compromised(base.size).status("process.access") is UNKNOWN
    disputed = reviewed(base, digest, "disputed")
    assert disputed.compromised(base.size).status("process.access") is NOT_MET


def test_a_review_that_is_older_than_the_right_reviews_nothing() -> None:
    late = honest().size + 5
    early = reviewed(honest(), f"{late!r:0>64}")
    said = {
        "name": "otto", "roles": [], "status": "granted", "emergency": True, "expires": honest().at, "reason": "x",
    }  # fmt: skip
    base = early.add(kinds.GRANT, said, person="otto", index=late)
    assert entry(base, kinds.GRANT).digest == f"{late!r:0>64}"
    assert base.status("process.access") is UNKNOWN


def test_ordinary_and_withdrawn_rights_need_no_review() -> None:
    assert granted(honest(), emergency=False)[0].status("process.access") is MET
    assert granted(honest(), status="withdrawn")[0].status("process.access") is MET


def test_each_emergency_right_is_named() -> None:
    base, _ = granted(honest())
    two, digest = granted(base)
    assert reviewed(two, digest).ruling("process.access").entries == (honest().size,)


# process.countersigned


def test_the_seal_is_countersigned_in_an_honest_life() -> None:
    ruling = honest().ruling("process.countersigned")
    second = entry(honest(), kinds.COUNTERSIGNATURE)
    assert (ruling.status, ruling.entries) == (MET, (entry(honest(), kinds.SEAL).index, second.index))
    assert "sam" in ruling.reason


def test_without_a_second_signature_that_counts_the_seal_is_not_countersigned() -> None:
    base = honest()
    second = entry(base, kinds.COUNTERSIGNATURE)
    start = entry(base, kinds.TRAINING_START)
    late = base.without(second.index).add(
        kinds.COUNTERSIGNATURE, dict(second.predicate), person="sam", roles=["security_manager"], about=CASE,
        index=start.index + 0.5,
    )  # fmt: skip
    early = base.edit(kinds.TRAINING_START, into("checkpoint", size=second.index))
    for spoilt in (
        base.drop(kinds.COUNTERSIGNATURE),
        base.signed(kinds.COUNTERSIGNATURE, person="dana"),
        base.signed(kinds.COUNTERSIGNATURE, roles=["operator"]),
        base.edit(kinds.COUNTERSIGNATURE, put(of="ab" * 32)),
        base.compromised(second.index),
        late,
        early,
    ):
        ruling = spoilt.ruling("process.countersigned")
        assert (ruling.status, ruling.entries) == (UNKNOWN, (entry(base, kinds.SEAL).index,))


@pytest.mark.parametrize("asked", [{"countersign": []}, {"countersign": None}, {"solo": True}])
def test_where_the_policy_asks_for_none_none_is_needed(asked: dict[str, Any]) -> None:
    base = honest().drop(kinds.COUNTERSIGNATURE).policy(**asked)
    ruling = base.ruling("process.countersigned")
    assert (ruling.status, ruling.entries) == (MET, ())


@pytest.mark.parametrize("asked", ["security_manager", True, {}, 1])
def test_a_policy_that_cannot_be_read_asks_for_what_nobody_can_give(asked: Any) -> None:
    assert honest().policy(countersign=asked).status("process.countersigned") is UNKNOWN
    assert honest().policy(countersign=[asked] if asked == {} else [7]).status("process.countersigned") is UNKNOWN


# Witnesses

WITNESSES = [{"name": "w1", "key": "a2V5MQ=="}, {"name": "w2", "key": "a2V5Mg=="}]
NAMES = [witness_id(item["name"], item["key"]) for item in WITNESSES]


def witnessed(quorum: Any = 2, *, who: tuple[int, ...] = (0, 1), named: bool = True, **anchor: Any) -> Any:
    """Let a trust root ask for witnesses, and the run's checkpoint name an anchor they cosigned."""
    base = honest()
    seal, start = entry(base, kinds.SEAL), entry(base, kinds.TRAINING_START)
    root = {
        "version": 2, "expires": "", "log_key": "", "owners": [], "threshold": 1, "witnesses": WITNESSES,
        "quorum": quorum, "signatures": [],
    }  # fmt: skip
    base = base.add(kinds.TRUST_ROOT, root, person="olga", roles=["owner"], index=seal.index + 0.1)
    checkpoint = start.predicate["checkpoint"]
    said = {"size": checkpoint["size"], "root": checkpoint["root"], "note": "", "tokens": [], **anchor}
    place = start.index - 0.5
    base = base.add(kinds.ANCHOR, said, person="custodian", roles=["custodian"], index=place)
    digest = entry(base, kinds.ANCHOR).digest
    if named:
        base = base.edit(kinds.TRAINING_START, into("checkpoint", anchor=digest))
    return replace(base, anchors={place: frozenset(NAMES[number] for number in who)})


def sealed(base: Any) -> Status:
    status: Status = base.status("process.sealed_before_training")
    return status


def test_enough_witnesses_make_the_order_certain() -> None:
    assert sealed(witnessed()) is MET
    assert sealed(witnessed(1, who=(1,))) is MET
    assert sealed(witnessed(0, who=(), named=False)) is MET


@pytest.mark.parametrize(
    "base",
    [
        lambda: witnessed(who=(0,)),
        lambda: witnessed(who=()),
        lambda: witnessed(named=False),
        lambda: witnessed(size=3),
        lambda: witnessed(root="ab" * 32),
        lambda: witnessed(quorum=3),
        lambda: witnessed(quorum="some", who=()),
        lambda: witnessed().compromised(entry(honest(), kinds.TRAINING_START).index - 0.5),
        lambda: witnessed().edit(kinds.TRAINING_START, into("checkpoint", anchor=entry(honest(), kinds.SEAL).digest)),
        lambda: witnessed().edit(kinds.TRUST_ROOT, put(witnesses=[{"name": "w1", "key": "other"}, WITNESSES[1]])),
    ],
    ids=[
        "one of two",
        "none",
        "unnamed",
        "another size",
        "another root",
        "quorum",
        "unreadable",
        "void",
        "no anchor",
        "another key",
    ],
)
def test_without_them_it_is_unknown(base: Any) -> None:
    assert sealed(base()) is UNKNOWN


def test_the_trust_root_in_force_at_the_start_asks() -> None:
    later = witnessed(who=())
    root = entry(later, kinds.TRUST_ROOT)
    calm = {**root.predicate, "quorum": 0}
    place = entry(honest(), kinds.SEAL).index + 0.2
    assert sealed(later.add(kinds.TRUST_ROOT, calm, person="olga", index=place)) is MET
    assert sealed(later.add(kinds.TRUST_ROOT, calm, person="olga")) is UNKNOWN


def test_an_anchor_of_another_checkpoint_is_refused_though_the_run_has_the_right_one() -> None:
    base = witnessed()
    place = entry(base, kinds.TRAINING_START).index + 0.5
    moved = base.with_entries(
        sorted((replace(e, index=place) if e.kind == kinds.ANCHOR else e for e in base.entries), key=lambda e: e.index)
    )
    assert sealed(replace(moved, anchors={place: frozenset(NAMES)})) is UNKNOWN


# process.transcript


def transcribed(steps: Any = 100) -> Any:
    said = {"steps": steps, "sha256": "ab" * 32, "head": "", "tolerance": "exact"}
    return honest().policy(transcript=True).edit(kinds.TRAINING_FINISH, into("runDetails", transcript=said))


def spot(base: Any, verdict: str = "agrees", person: str = "val", index: float | None = None, **more: Any) -> Any:
    start = entry(base, kinds.TRAINING_START)
    said = {"run": "run1", "start": start.digest, "steps": 10, "verdict": verdict, "cause": "", "isolation": {}, **more}
    return base.add(kinds.SPOT_CHECK, said, person=person, roles=["validator"], about=start.subject.sha256, index=index)


def test_a_transcript_is_checked_by_somebody_else() -> None:
    start, finish = entry(honest(), kinds.TRAINING_START), entry(honest(), kinds.TRAINING_FINISH)
    asked = transcribed()
    assert asked.ruling("process.transcript").entries == (start.index, finish.index)
    assert asked.status("process.transcript") is UNKNOWN
    checked = spot(asked).ruling("process.transcript")
    assert (checked.status, checked.entries) == (MET, (start.index, finish.index, honest().size))
    assert spot(asked).verdict is Verdict.GO


def test_a_spot_check_that_does_not_count_leaves_it_unknown() -> None:
    asked = transcribed()
    finish = entry(honest(), kinds.TRAINING_FINISH).index
    for lacking in (
        spot(asked, person="mel"),
        spot(asked, steps=0),
        spot(asked, "unsure"),
        spot(asked, start="ab" * 32),
        spot(asked).compromised(honest().size),
        spot(asked, index=finish - 0.5),
        spot(transcribed(steps=0)),
        spot(transcribed(steps=None)),
        spot(honest().policy(transcript=True)),
    ):
        assert lacking.status("process.transcript") is UNKNOWN


def test_steps_that_differ_are_refused_whoever_says_so() -> None:
    for differing in (spot(spot(transcribed()), "differs", "mel"), spot(honest().policy(transcript=True), "differs")):
        ruling = differing.ruling("process.transcript")
        assert ruling.status is NOT_MET
        assert ruling.entries == (differing.size - 1,)
    void = spot(spot(transcribed()), "differs")
    assert void.compromised(void.size - 1).status("process.transcript") is NOT_MET


@pytest.mark.parametrize("asked", [False, None, "yes", 1])
def test_a_policy_that_does_not_ask_takes_any_run(asked: Any) -> None:
    ruling = spot(honest().policy(transcript=asked), "differs").ruling("process.transcript")
    assert (ruling.status, ruling.entries) == (MET, ())


def test_an_honest_record_stays_go_with_one_of_each_new_statement() -> None:
    base, digest = granted(witnessed())
    full = spot(reviewed(base, digest))
    said = {"name": "x", "roles": [], "status": "granted", "emergency": False, "expires": "", "reason": ""}
    full = full.add(kinds.GRANT, said, person="olga", roles=["owner"])
    hold = {"use_case": "loans", "matter": "m", "status": "placed", "reason": "asked"}
    full = full.add(kinds.LEGAL_HOLD, hold, person="cora", roles=["compliance_officer"])
    assert full.verdict is Verdict.GO


def test_a_result_that_names_a_void_entry_that_is_no_opening_is_not_void_by_that() -> None:
    base = honest()
    risk, seal = entry(base, kinds.RISK), entry(base, kinds.SEAL)
    data = next(e for e in base.of(kinds.CHECK_RESULT) if e.predicate["stage"] == "data")
    said = {**data.predicate, "inputs": {**data.predicate["inputs"], "opening": risk.digest}}
    entries = [replace(e, predicate=said) if e is data else e for e in base.record]
    criterion = next(one for one in criteria_of(seal.predicate["criteria"]) if one.on != "model")
    for void, status in ((risk.index, MET), (data.index, UNKNOWN)):
        record = Record(entries, base.record.size, base.record.root, void=frozenset({void}))
        assert judge_criterion(criterion, record, [data.subject.sha256], seal, 0).status is status
