"""Data are known by their contents: another name, another record or another folder makes no other data."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.data_rules import contents_of, inputs_of, listed, openings_of, purposes_of, source_expiries
from custody.core.decision import Status, Verdict


def _beside(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"data_rules_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


papers = _beside("papers")
honest, put = papers.honest, papers.put
MET, NOT_MET, UNKNOWN = Status.MET, Status.NOT_MET, Status.UNKNOWN
OTHER, FRESH = "cd" * 32, "ef" * 32


def exam_again(base: Any, *, purpose: str = "training", files: Any = None, about: str = OTHER) -> Any:
    """Register the held-out files once more before the seal, in another folder and for another purpose."""
    held_out = base.of(kinds.DATASET)[1]
    said = {**held_out.predicate, "name": "spare", "purpose": purpose}
    said["files"] = said["files"] if files is None else files
    return base.add(kinds.DATASET, said, person="petra", about=about, index=base.of(kinds.SEAL)[0].index - 0.6)


def opened(base: Any, held_out: str, index: float | None = None) -> Any:
    said = {**base.of(kinds.OPENING)[0].predicate, "held_out": held_out}
    return base.add(kinds.OPENING, said, person="val", roles=["validator"], about=held_out, index=index)


def test_a_dataset_is_its_own_digest_and_those_of_its_files() -> None:
    base = honest()
    held_out = base.of(kinds.DATASET)[1]
    (file,) = held_out.predicate["files"]
    assert contents_of(base.record, held_out.subject.sha256) == {held_out.subject.sha256, file["sha256"]}
    assert contents_of(base.record, FRESH) == {FRESH}


@pytest.mark.parametrize("files", [[None], [{}], [{"sha256": None}], [{"sha256": ["x"]}], ["x"], []])
def test_files_that_say_nothing_are_no_contents(files: Any) -> None:
    assert contents_of(exam_again(honest(), files=files).record, OTHER) == {OTHER}


def test_every_record_of_a_dataset_adds_to_its_contents() -> None:
    both = exam_again(exam_again(honest(), files=[{"sha256": "x"}]), files=[{"sha256": "y"}])
    assert contents_of(both.record, OTHER) == {OTHER, "x", "y"}


def test_an_opening_under_another_name_spends_the_budget() -> None:
    base = exam_again(honest())
    limit = base.of(kinds.SEAL)[0].predicate["criteria"]["max_openings"]
    for _ in range(limit - 1):
        base = opened(base, OTHER)
    assert base.status("process.budget") is MET
    assert opened(base, OTHER).status("process.budget") is UNKNOWN
    assert opened(base, FRESH).status("process.budget") is MET
    assert len(openings_of(base.record, base.of(kinds.SEAL)[0])) == limit


def test_criteria_sealed_after_a_twin_of_the_exam_was_opened_are_post_hoc() -> None:
    base = honest()
    seal = base.of(kinds.SEAL)[0].index
    assert opened(exam_again(base), OTHER, seal - 0.5).status("process.not_post_hoc") is NOT_MET
    assert opened(exam_again(base, files=[]), OTHER, seal - 0.5).status("process.not_post_hoc") is MET


def trained_on(base: Any, sha256: str) -> Any:
    """Let the run declare another dataset, by its newest record."""
    record = [entry for entry in base.of(kinds.DATASET) if entry.subject.sha256 == sha256][-1]
    item = {"name": "spare", "sha256": sha256, "record": record.digest}
    return base.edit(kinds.TRAINING_START, put(inputs=[item]))


def test_the_exam_by_another_name_is_no_training_data() -> None:
    assert trained_on(exam_again(honest()), OTHER).status("process.data") is NOT_MET
    assert "its own exam" in trained_on(exam_again(honest()), OTHER).ruling("process.data").reason
    fresh = [{"path": "a.csv", "size": 1, "sha256": FRESH}]
    assert trained_on(exam_again(honest(), files=fresh), OTHER).status("process.data") is MET


def test_one_file_of_the_exam_among_others_is_enough() -> None:
    base = honest()
    (file,) = base.of(kinds.DATASET)[1].predicate["files"]
    mixed = exam_again(base, files=[{"path": "a.csv", "size": 1, "sha256": FRESH}, file])
    assert trained_on(mixed, OTHER).status("process.data") is NOT_MET


def test_what_was_ever_held_out_for_whatever_model_is_no_training_data() -> None:
    base = honest()
    train = base.of(kinds.DATASET)[0]
    assert purposes_of(base.record, train.subject.sha256) == {"training"}
    kept = exam_again(base, purpose="held_out", files=train.predicate["files"])
    assert purposes_of(kept.record, train.subject.sha256) == {"training", "held_out"}
    assert kept.status("process.data") is NOT_MET
    assert exam_again(base, purpose="training", files=train.predicate["files"]).status("process.data") is MET


def test_an_input_is_named_with_its_record() -> None:
    base = honest()
    start = base.of(kinds.TRAINING_START)[0]
    assert inputs_of(start) == [("train", start.predicate["inputs"][0]["sha256"])]
    odd = base.edit(kinds.TRAINING_START, put(inputs=["x", None]))
    assert inputs_of(odd.of(kinds.TRAINING_START)[0]) == [("None", "None"), ("None", "None")]
    assert odd.verdict is not Verdict.GO


def test_a_go_ends_with_the_approval_of_a_source() -> None:
    base = honest()
    assert base.decide().expires != base.days(3)
    dated = base.edit(kinds.DATASET, put(source_expires=base.days(3)))
    assert dated.verdict is Verdict.GO
    assert dated.decide().expires == base.days(3)
    assert dated.later(2.9).verdict is Verdict.GO
    assert dated.later(3).verdict is Verdict.NO_GO
    east = datetime.fromisoformat(base.days(2)).astimezone(timezone(timedelta(hours=14))).isoformat()
    assert base.edit(kinds.DATASET, put(source_expires=east)).decide().expires == east


def test_only_the_newest_word_on_a_source_counts_and_only_of_data_that_were_used() -> None:
    base = honest()
    train, held_out = base.of(kinds.DATASET)
    inputs = [("train", train.subject.sha256)]
    assert source_expiries(base.record, inputs) == []
    soon = {**train.predicate, "source_expires": base.days(1)}
    renewed = {**train.predicate, "source_expires": base.days(9)}
    sha256 = train.subject.sha256
    twice = base.add(kinds.DATASET, soon, person="petra", about=sha256)
    twice = twice.add(kinds.DATASET, renewed, person="petra", about=sha256)
    assert source_expiries(twice.record, inputs) == [base.days(9)]
    exam = {**held_out.predicate, "source_expires": base.days(1)}
    unused = base.add(kinds.DATASET, exam, person="petra", about=held_out.subject.sha256)
    assert source_expiries(unused.record, inputs) == []


@pytest.mark.parametrize("value", [None, "trusted", {"trusted": 1}, 3])
def test_what_is_no_list_lists_nothing(value: Any) -> None:
    assert listed({"trust": value}, "trust") == []
    assert listed({}, "trust") == []
    assert honest().policy(trust=value).status("process.data") is NOT_MET
