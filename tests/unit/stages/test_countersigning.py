from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.decision import Status, Verdict
from custody.core.release import decide
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder
from custody.stages.countersigning import countersign, find_entry, newest_seal, told
from custody.testing import Life


@pytest.fixture
def sealed(lived: Any) -> tuple[Life, Any]:
    """Give a life whose newest seal nobody countersigned yet."""
    life = lived("prepared")
    return life, life.seal(countersigned=False)


def test_a_security_manager_countersigns_and_that_is_what_the_gate_asked_for(sealed: Any) -> None:
    life, seal = sealed
    said = countersign(life.desk, "sam", seal.digest, "read line by line")
    assert (said.kind, said.predicate["of"], said.subject) == (kinds.COUNTERSIGNATURE, seal.digest, seal.subject)
    life.train(seal)
    rulings = decide(life.record, life.model.sha256, "loans", life.desk.time()).rulings
    (ruling,) = [ruling for ruling in rulings if ruling.id == "process.countersigned"]
    assert (ruling.status, ruling.entries) == (Status.MET, (seal.index, said.index))


def test_countersigned_after_the_run_is_too_late(sealed: Any) -> None:
    life, seal = sealed
    life.train(seal)
    countersign(life.desk, "sam", seal.digest, "better late")
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    assert life.decide().verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("who", ["ari", "otto", "olga", "cora"])
def test_criteria_are_countersigned_by_whom_the_policy_names_and_others_are_denied_on_record(
    sealed: Any, who: str
) -> None:
    life, seal = sealed
    with pytest.raises(NotPermitted, match="countersigned by a security_manager"):
        countersign(life.desk, who, seal.digest, "looks fine to me")
    assert life.record.entries[-1].kind == kinds.DENIAL


def test_nobody_countersigns_their_own_words(sealed: Any) -> None:
    life, _ = sealed
    risk = life.risk("theft", "treated", "locked away")
    with pytest.raises(NotPermitted, match="another person"):
        countersign(life.desk, "sam", risk.digest, "I said so")
    assert countersign(life.desk, "ari", risk.digest, "so it is").predicate["of"] == risk.digest
    with pytest.raises(NotPermitted):
        countersign(life.desk, "mel", risk.digest, "an engineer may not")


def test_a_reason_is_needed_and_once_is_enough(sealed: Any) -> None:
    life, seal = sealed
    size = life.record.size
    with pytest.raises(InvalidInput, match="reason"):
        countersign(life.desk, "sam", seal.digest, "ok")
    with pytest.raises(NotFound):
        countersign(life.desk, "sam", "ab" * 32, "read and understood")
    assert life.record.size == size
    countersign(life.desk, "sam", seal.digest, "read and understood")
    with pytest.raises(InvalidInput, match="already"):
        countersign(life.desk, "sam", seal.digest, "read and understood")


def test_a_statement_is_found_by_its_entry_or_the_first_digits_of_its_digest(sealed: Any) -> None:
    life, seal = sealed
    record = life.record
    assert find_entry(record, str(seal.index)) == seal
    assert find_entry(record, seal.digest[:20]) == seal
    assert newest_seal(record, "loans") == seal
    digits = replace(seal, digest="0012" + seal.digest[4:])
    beside = replace(record, entries=(*record.entries[:-1], digits))
    assert find_entry(beside, "0012") == digits
    for name in ("999999", "zzzz", "00a", "007", "", "²"):
        with pytest.raises(NotFound):
            find_entry(record, name)
    with pytest.raises(OutOfOrder):
        newest_seal(record, "other")


def test_who_signs_is_shown_criteria_bounds_budgets_policy_and_what_does_not_apply(lived: Any) -> None:
    from custody.testing import criteria_document

    life = lived("prepared")
    document = {**criteria_document("loans"), "not_applicable": {"compliance": "no law asks"}}
    text = "\n".join(told(life.seal(document=document)))
    for words in (
        "by dana",
        "P1 (performance): performance.classification.balanced_accuracy >= 0.75",
        "F1[region*sex]",
        "B1 (security, never waived)",
        "3 openings, 3 training attempts",
        "NOT APPLICABLE compliance: no law asks",
        "approvals 2",
        "held-out, 10000 rows",
    ):
        assert words in text
    risk = "\n".join(told(life.risk("theft", "treated", "locked away")))
    assert "risk in entry" in risk
    assert "reason: locked away" in risk
