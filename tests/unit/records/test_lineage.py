from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from custody.checks.registry import evaluator_digest
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage
from custody.core.subject import Subject, run_subject
from custody.errors import NotFound, OutOfOrder
from custody.records.datasets import dataset, datasets
from custody.records.lineage import chain_of, descendants, find_model, models, open_incidents, sealed_chain_of
from custody.records.results import write_result
from custody.records.status import Standing, standing
from custody.stages.incident import close_incident, open_incident
from custody.testing import Life, digest, honest_life, prepared_life


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return honest_life(tmp_path)


def second(life: Life) -> Subject:
    """Train another model under the same seal."""
    first, seal = life.model, life.record.of_kind(kinds.SEAL)[0]
    life.model = Subject("loans", digest("model 2"))
    life.train(seal, "run2")
    made, life.model = life.model, first
    return made


def test_a_model_is_found_by_digest_by_run_or_as_the_newest(life: Life) -> None:
    newer = second(life)
    record = life.record
    assert [entry.subject for entry in models(record, "loans")] == [life.model, newer]
    assert find_model(record, "loans").subject == newer
    assert find_model(record, "loans", "latest").subject == newer
    assert find_model(record, "loans", life.model.sha256[:6]).subject == life.model
    assert find_model(record, "loans", "run1").subject == life.model
    for name in (life.model.sha256[:5], "run3", "zzzzzz"):
        with pytest.raises(NotFound, match="not on record"):
            find_model(record, "loans", name)
    with pytest.raises(OutOfOrder):
        find_model(record, "other")


def test_two_models_of_one_run_are_told_apart(life: Life) -> None:
    start = life.record.of_kind(kinds.TRAINING_START)[0]
    first, life.model = life.model, Subject("loans", digest("model 3"))
    life.finish(start)
    with pytest.raises(NotFound, match="more than one"):
        find_model(life.record, "loans", "run1")
    assert find_model(life.record, "loans", first.sha256[:12]).subject == first


def test_the_chain_leads_back_to_the_seal(life: Life) -> None:
    chain, seal = sealed_chain_of(life.record, find_model(life.record, "loans"))
    assert chain.inputs == [life.train_data]
    assert seal.kind == kinds.SEAL
    assert chain.seal == seal


def test_a_run_without_a_seal_has_no_sealed_chain(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    said = {**life.started(seal), "seal": ""}
    life.finish(life.say("mel", Action.START_RUN, run_subject("run1"), kinds.TRAINING_START, said))
    finish = find_model(life.record, "loans")
    assert chain_of(life.record, finish).seal is None
    with pytest.raises(OutOfOrder, match="before any criteria"):
        sealed_chain_of(life.record, finish)


def test_descendants_follow_data_to_models_and_what_became_of_them(life: Life) -> None:
    newer = second(life)
    found = descendants(life.record, life.train_data)
    assert [item.kind for item in found] == ["run", "model", "admission", "run", "model"]
    assert [item.sha256 for item in found if item.kind == "model"] == [life.model.sha256, newer.sha256]
    assert [item.index for item in found] == sorted(item.index for item in found)
    assert [item.kind for item in descendants(life.record, life.model.sha256)] == ["admission"]
    assert descendants(life.record, newer.sha256) == []
    assert descendants(life.record, digest("unknown")) == []


def test_data_that_a_run_read_without_declaring_it_taints_the_model(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    start = life.start(seal)
    life.finish(start, data=digest("smuggled"))
    assert [item.kind for item in descendants(life.record, digest("smuggled"))] == ["model"]


def test_a_model_whose_finish_hides_its_data_still_descends_from_it(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    life.finish(life.start(seal), data=digest("something harmless"))
    assert [item.kind for item in descendants(life.record, life.train_data)] == ["run", "model"]


def test_a_model_used_as_data_has_descendants_too(life: Life) -> None:
    life.train_data = life.model.sha256
    newer = second(life)
    assert [i.sha256 for i in descendants(life.record, life.model.sha256) if i.kind == "model"] == [newer.sha256]


def test_open_incidents_are_those_nobody_closed(life: Life) -> None:
    subjects = [life.model.sha256, life.train_data]
    assert open_incidents(life.record, subjects) == []
    one, _ = open_incident(life.desk, "otto", "loans", "", "drift", "seen here")
    two, _ = open_incident(life.desk, "otto", "loans", "train", "leak", "seen there")
    assert [e.predicate["incident"] for e in open_incidents(life.record, subjects)] == [one, two]
    close_incident(life.desk, "sam", one, "trained again on new data")
    assert [e.predicate["incident"] for e in open_incidents(life.record, subjects)] == [two]
    assert open_incidents(life.record, [life.held_out]) == []


def test_datasets_are_found_by_name_the_newest_first(life: Life) -> None:
    assert [entry.subject.name for entry in datasets(life.record)] == ["train", "held-out"]
    assert dataset(life.record, "train").subject.sha256 == life.train_data
    before = dataset(life.record, "train").index
    life.register_data(rows=20_000)
    assert dataset(life.record, "train").index > before
    assert [entry.predicate["rows"] for entry in datasets(life.record)] == [20_000, 20_000]
    with pytest.raises(NotFound) as caught:
        dataset(life.record, "nothing")
    assert caught.value.hint == "known: held-out, train"


def test_a_result_is_recorded_under_the_evaluator_that_made_it(life: Life) -> None:
    pen = life.desk.permit("val", Action.VALIDATE)
    measured = [Measure("auc", 0.7, 0.6, 0.8, 9), Measure("accuracy", float("nan"), 0, 1, 9)]
    result = Result(measured, [Finding("warning", "odd")], {"series": (1, 2)})
    entry = write_result(pen, life.model, "performance.classification", Stage.VALIDATION, result, {"seal": "x"})
    said = entry.predicate
    assert said["evaluator"] == evaluator_digest()
    assert said["stage"] == "validation"
    assert [measure["value"] for measure in said["measures"]] == [0.7, None]
    assert said["measures"][1]["reason"]
    assert said["findings"][0]["what"] == "odd"
    assert said["details"] == {"series": [1, 2]}
    assert said["inputs"] == {"seal": "x"}


# How a use case stands


def status(life: Life) -> Standing:
    return standing(life.record, "loans", list(life.desk.roster().actors.values()), life.desk.time())


def stands(life: Life) -> dict[str, str]:
    found = status(life)
    assert [state.stage for state in found.stages] == list(Stage)
    return {str(state.stage): state.state for state in found.stages}


def steps(life: Life) -> list[str]:
    found = status(life)
    return [str(step.action) for step in found.steps]


def test_a_new_use_case_is_unknown_at_every_stage(tmp_path: Path) -> None:
    life = Life(tmp_path)
    early = ("sourcing", "data", "criteria", "training", "validation", "release")
    assert {stands(life)[name] for name in early} == {"unknown"}
    assert steps(life)[0] == "source.decide"
    assert status(life).model == ""
    assert status(life).tier == "high"


def test_each_step_is_named_for_those_who_may_take_it(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    found = status(life)
    (step,) = [step for step in found.steps if step.action is Action.START_RUN]
    assert step.persons == ("mel",)
    assert step.roles == ("ml_engineer",)
    assert step.command.startswith("custody run")
    life.train(seal)
    assert steps(life) == ["validation.run"]
    life.validate(seal)
    assert "gate.approve" in steps(life)
    for who in ("ari", "cora"):
        life.approve(who)
    assert steps(life) == ["gate.decide"]
    life.decide()
    assert steps(life) == ["deployment.deploy"]


def test_a_life_up_to_go_is_met_stage_by_stage(life: Life) -> None:
    found = stands(life)
    for name in ("sourcing", "data", "criteria", "training", "validation", "release", "incident"):
        assert found[name] == "met", name
    assert found["deployment"] == "unknown"
    assert found["retirement"] == "not_applicable"


@pytest.mark.parametrize(
    ("spoil", "stage"),
    [
        (lambda life: life.risk("more", "open", ""), "sourcing"),
        (lambda life: open_incident(life.desk, "otto", "loans", "", "drift", "seen here"), "incident"),
        (lambda life: (life.approve("cora", "reject", "no"), life.decide()), "release"),
    ],
)
def test_what_went_wrong_shows_at_its_stage(life: Life, spoil: Any, stage: str) -> None:
    assert stands(life)[stage] == "met"
    spoil(life)
    assert stands(life)[stage] == "not_met"


def test_after_a_refusal_the_next_step_is_another_model(tmp_path: Path) -> None:
    from custody.testing import undecided_life

    life = undecided_life(tmp_path, balanced_accuracy=(0.7, 0.68, 0.72))
    found = status(life)
    (step,) = [step for step in found.steps if step.action is Action.START_RUN]
    assert "P1" in step.why
    assert "attempt 2 of 3" in step.why
    assert "gate.approve" not in steps(life)


def test_an_open_decision_is_followed_by_a_look_at_what_is_open(tmp_path: Path) -> None:
    from custody.testing import undecided_life

    assert not any(step.startswith("run.") for step in steps(undecided_life(tmp_path)))


def test_results_without_a_criterion_that_could_be_judged_are_not_met(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    unsealed = {**life.started(seal), "seal": ""}
    start = life.say("mel", Action.START_RUN, run_subject("run1"), kinds.TRAINING_START, unsealed)
    life.finish(start)
    pen = life.desk.permit("val", Action.VALIDATE)
    result = Result([Measure("auc", 0.9, 0.8, 0.95, 9)])
    write_result(pen, life.model, "performance.classification", Stage.VALIDATION, result, {})
    assert stands(life)["validation"] == "unknown"


def test_an_open_risk_is_no_reason_to_train_again(tmp_path: Path) -> None:
    from custody.testing import undecided_life

    life = undecided_life(tmp_path)
    life.risk("theft", "open", "")
    assert "run.start" not in steps(life)
    assert "risk.treat" in steps(life)
