"""What somebody enrolled might write so that one reader accepts the ledger and the other refuses it for ever."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.decision import Decision
from custody.core.statement import MAX_PARTS
from custody.core.subject import Subject, run_subject
from custody.errors import InvalidInput, NotPermitted
from custody.stages.people import revoke_key
from custody.testing import Life, digest, honest_life, prepared_life
from custody_verify.__main__ import verify

ABORT = {"run": "r9", "start": "x", "reason": "it broke", "exit_code": 1}
REVIEW = {"of": "", "verdict": "upheld", "findings": [], "reason": "looked at all"}


def answer(life: Life, folder: Path) -> str:
    """Return what the independent verifier says; raises where it refuses."""
    bundle, trust = life.export(folder)
    return str(verify([str(bundle)], str(trust), "", "", "")["answer"])


def decided(life: Life, seal: Any, **start: Any) -> Decision:
    life.finish(life.start(seal, **start))
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    return life.decide()


def test_a_review_without_a_verdict_is_not_recorded_because_no_verifier_accepts_it(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    life.say("sam", Action.REVIEW_ACCESS, life.case, kinds.ACCESS_REVIEW, REVIEW)
    size = life.record.size
    with pytest.raises(NotPermitted, match="neither upheld nor disputed"):
        life.say("sam", Action.REVIEW_ACCESS, life.case, kinds.ACCESS_REVIEW, {**REVIEW, "verdict": "hm"})
    assert life.record.size == size
    assert answer(life, tmp_path / "out") == "GO"


def test_a_statement_of_a_million_parts_is_not_recorded_because_no_verifier_reads_it(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    run, size = run_subject("r9"), life.record.size
    with pytest.raises(InvalidInput, match="the limit is"):
        life.say("mel", Action.START_RUN, run, kinds.TRAINING_ABORT, {**ABORT, "reason": "," * MAX_PARTS})
    assert life.record.size == size
    life.say("mel", Action.START_RUN, run, kinds.TRAINING_ABORT, {**ABORT, "reason": "," * (MAX_PARTS // 2)})
    assert answer(life, tmp_path / "out") == "GO"


@pytest.mark.parametrize("by", ["trainer", "nobody"])
def test_data_that_name_something_else_on_record_are_ruled_alike(tmp_path: Path, by: str) -> None:
    life, seal = prepared_life(tmp_path / "life")
    said = {"incident": "i", "type": "leak", "status": "open", "reason": "seen", "affected": []}
    odd = life.say("otto", Action.OPEN_INCIDENT, Subject("x", digest("x")), kinds.INCIDENT, said)
    revoke_key(life.desk, "olga", "otto", "it was stolen", odd.index)
    named = odd.digest if by == "trainer" else life.registered(life.train_data)
    inputs = [{"name": "train", "sha256": life.train_data, "record": named}]
    decision = decided(life, seal, inputs=inputs)
    assert decision.verdict == ("INCONCLUSIVE" if by == "trainer" else "GO")
    assert answer(life, tmp_path / "out") == decision.verdict


def test_a_dataset_registered_again_and_again_costs_its_files_once(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path / "life")
    first = life.record.about(life.train_data, kinds.DATASET)[0].predicate
    files = [{"path": f"{n}.csv", "size": 9, "sha256": digest(f"file {n}")} for n in range(300)]
    said = {key: value for key, value in first.items() if key not in ("at", "id")}
    for number in range(120):
        body = {**said, "files": [*files, *said["files"]], "id": str(number)}
        life.forge("petra", Subject("train", life.train_data), kinds.DATASET, body)
    record = life.record
    began = time.process_time()
    assert decided(life, seal).verdict == "GO"
    assert time.process_time() - began < 3
    assert len(record.contents) <= len({entry.subject.sha256 for entry in record.of_kind(kinds.DATASET)})
