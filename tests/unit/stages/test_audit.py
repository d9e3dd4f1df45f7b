"""The passport says what the ledger says, and nothing that weakens it can be overlooked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.report.notices import notices_of
from custody.report.page import render_report
from custody.report.rows import Report
from custody.stages.audit import passport
from custody.testing import Life, digest, honest_life, prepared_life, refused_life, undecided_life


def titles(report: Report) -> list[str]:
    return [notice.title for notice in notices_of(report)]


def shown(life: Life, model: str = "") -> Report:
    """Make the passport and draw it: whatever it says must also be drawable."""
    report = passport(life.desk, life.use_case, model)
    assert render_report(report).count("<h1>") == 1
    return report


def retire(life: Life) -> None:
    said = {
        "use_case": life.use_case,
        "reason": "replaced",
        "key_commitment": digest("key"),
        "ciphertexts": {},
        "canary": {},
        "copies": {},
    }
    life.say("otto", Action.RETIRE, life.model, kinds.RETIREMENT, said)


def test_an_honest_life_has_no_notice_and_no_mark(tmp_path: Path) -> None:
    report = shown(honest_life(tmp_path))
    assert report.verdict == "GO"
    assert report.headline.startswith("GO, decided in entry ")
    assert report.headline.endswith("Nothing stands against it today.")
    assert titles(report) == []
    assert list(report.marks) == []
    assert {row.status for row in [*report.criteria, *report.rules]} == {"met"}
    assert all(row.value is not None and row.bound for row in report.criteria)
    assert all(row.id.startswith("process.") for row in report.rules)


def test_a_refused_model_names_what_stood_against_it(tmp_path: Path) -> None:
    report = shown(refused_life(tmp_path))
    assert report.verdict == "NO-GO"
    assert "3 answers stood against it, first F1[region]: fairness.group_gaps" in report.headline
    answers = [*report.criteria, *report.rules]
    assert len([row for row in answers if row.status == "not met"]) == 3
    assert titles(report) == [f"3 of {len(answers)} answers are not met: a single one keeps the model out"]


def test_what_nobody_decided_wears_no_verdict(tmp_path: Path) -> None:
    """Everything would allow it, and still no GO is shown: nobody has decided."""
    report = shown(undecided_life(tmp_path))
    assert report.verdict == ""
    assert list(report.marks) == ["not decided"]
    assert report.headline.startswith("Not decided yet. Nothing stands against it")


def test_a_retired_model_says_so_first(tmp_path: Path) -> None:
    life = honest_life(tmp_path)
    retire(life)
    report = shown(life)
    assert (report.verdict, list(report.marks)) == ("GO", ["retired"])
    assert f"Retired in entry {life.record.size - 1}" in report.headline
    assert len(titles(report)) == 1


def test_a_go_that_no_longer_holds_says_so(tmp_path: Path) -> None:
    life = honest_life(tmp_path)
    said = {"incident": "i1", "type": "supply-chain", "status": "open", "reason": "odd weights", "affected": []}
    life.say("sam", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, said)
    report = shown(life)
    assert (report.verdict, list(report.marks)) == ("GO", ["today NO-GO"])
    assert "Today the record says NO-GO, first process.standing: incident i1" in report.headline
    assert len(titles(report)) == 1


def test_a_waiver_is_announced_and_so_is_one_that_covers_nothing(tmp_path: Path) -> None:
    life = undecided_life(tmp_path, balanced_accuracy=(0.7, 0.68, 0.72))
    life.waive("P1")
    life.decide()
    report = shown(life)
    assert report.verdict == "GO"
    assert "1 of them by waiver" in report.headline
    (notice,) = notices_of(report)
    assert notice.status == "waived"
    assert "by ari" in notice.lines[0]
    assert [fact.value for fact in report.facts if fact.label == "Waivers"] == ["1"]
    life.waive("S1")
    assert "Waivers on record that cover nothing today" in titles(shown(life))


def test_a_missing_answer_is_announced(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    life.train(seal)
    report = shown(life)
    assert any("unknown never passes" in title for title in titles(report))
    assert "against it so far, first " in report.headline


def test_solo_is_announced(tmp_path: Path) -> None:
    life = Life(tmp_path, solo=True)
    solo, separated = passport_of_one(life), shown(honest_life(tmp_path / "other"))
    assert "solo" in solo.marks
    assert "Solo: one person may have played every part" in titles(solo)
    assert "solo" not in separated.marks


def passport_of_one(life: Life) -> Report:
    """Let the owner alone train something."""
    start = life.say("olga", Action.START_RUN, Subject("run1", digest("run1")), kinds.TRAINING_START, unsealed(life))
    life.say("olga", Action.START_RUN, life.model, kinds.TRAINING_FINISH, life.finished(start))
    return shown(life)


def unsealed(life: Life) -> dict[str, object]:
    """Return a start statement that refers to no seal."""
    any_entry = life.record.entries[0]
    return {**life.started(any_entry), "seal": digest("nothing")}


def test_a_run_without_isolation_is_announced(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    life.finish(life.start(seal, isolation={"kind": "none"}))
    report = shown(life)
    assert "The run was not isolated (isolation: none)" in titles(report)
    assert [fact.detail for fact in report.facts if fact.label == "Run"] == ["isolation: none"]


def test_a_model_without_sealed_criteria_still_has_a_passport(tmp_path: Path) -> None:
    report = passport_of_one(Life(tmp_path, solo=True))
    assert list(report.criteria) == []
    assert [row.status for row in report.rules] == ["not met"]
    assert [row.status for row in report.stages if row.name == "Criteria"] == ["not met"]


def test_an_older_model_shows_its_own_life(tmp_path: Path) -> None:
    life = honest_life(tmp_path)
    old, seal = life.model, life.record.of_kind(kinds.SEAL)[0]
    life.model = Subject(life.use_case, digest("model 2"))
    life.train(seal, "run2")
    older, newer = shown(life, old.short), shown(life)
    assert older.verdict == "GO"
    assert newer.verdict == ""
    assert "This is not the newest model" in titles(older)
    assert "This is not the newest model" not in titles(newer)
    assert [row.status for row in older.stages if row.name == "Release"] == ["met"]
    assert [row.status for row in newer.stages if row.name == "Release"] == ["unknown"]


def test_a_run_that_diverged_is_announced(tmp_path: Path) -> None:
    life = honest_life(tmp_path)
    for verdict, told in (("bit-identical", False), ("diverged", True)):
        said = {"run": "run1", "verdict": verdict, "cause": "other packages", "isolation": {"kind": "bubblewrap"}}
        life.say("val", Action.REPRODUCE, life.model, kinds.REPRODUCTION, said)
        assert ("The run could not be reproduced" in titles(shown(life))) is told


@pytest.mark.parametrize(("days", "expired"), [(1, False), (4000, True)])
def test_a_decision_that_has_ended_is_announced(tmp_path: Path, days: float, expired: bool) -> None:
    life = honest_life(tmp_path)
    then = life.later(days)
    life.desk.time = lambda: then  # type: ignore[method-assign]
    report = shown(life)
    assert ("The decision has expired" in titles(report)) is expired
    assert ("expired" in report.marks) is expired
    assert replace(report, marks=[]).verdict == "GO"
