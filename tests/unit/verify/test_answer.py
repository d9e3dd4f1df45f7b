"""What people read first: the verdict, and on the next line whether it still holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.testing import Life, honest_life, refused_life, undecided_life
from custody_verify.__main__ import main


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return honest_life(tmp_path_factory.mktemp("honest"))


def read(life: Life, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    bundle, trust = life.export(folder / "export")
    code = main([str(bundle), "--trust", str(trust), *words])
    return code, capsys.readouterr().out.splitlines()


def open_incident(life: Life) -> None:
    said = {"incident": "i1", "type": "evasion", "reason": "seen", "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, said)


def test_a_go_that_holds_says_so_in_two_lines(honest: Life, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = honest.record.of_kind(kinds.DECISION)[-1].index
    for words in ((), ("--require-today",)):
        code, lines = read(honest, tmp_path, capsys, *words)
        assert code == 0
        assert lines[:2] == [
            f"GO, freshness unproven (decided in entry {entry})  {honest.model.sha256}",
            "TODAY: nothing stands against it",
        ]
        assert any("nothing stands against it today" in line for line in lines[2:])


def test_an_expired_go_says_so_in_the_second_line(
    honest: Life, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = honest.later(400)
    code, lines = read(honest, tmp_path, capsys, "--at", at)
    assert code == 0
    assert lines[0].startswith("GO, freshness unproven (decided in entry ")
    assert lines[1].startswith("TODAY: NOT MET, the decision expired at ")
    assert not any("nothing stands against it" in line for line in lines)
    assert read(honest, tmp_path, capsys, "--at", at, "--require-today")[0] == 1


def test_a_quarantined_and_a_retired_model_say_so_in_the_second_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life = honest_life(tmp_path / "life")
    open_incident(life)
    code, lines = read(life, tmp_path, capsys)
    assert code == 0
    assert lines[0].startswith("GO, freshness unproven (decided in entry ")
    assert lines[1].startswith("TODAY: NOT MET, incident i1 (evasion) is open")
    assert read(life, tmp_path, capsys, "--require-today")[0] == 1
    code, lines = read(life, tmp_path, capsys, "--require-today", "--json")
    report = json.loads("\n".join(lines))
    assert (code, report["answer"], report["exit"]) == (1, "GO", 1)
    assert "is open" in report["today"][0]
    assert report["reasons"][0] == report["today"][0]
    assert report["today"][0] not in json.loads("\n".join(read(life, tmp_path, capsys, "--json")[1]))["reasons"]
    said = {"use_case": "loans", "reason": "old", "key_commitment": "", "ciphertexts": {}, "canary": {}, "copies": {}}
    life.say("otto", Action.RETIRE, life.model, kinds.RETIREMENT, said)
    assert read(life, tmp_path, capsys)[1][1].startswith("TODAY: NOT MET, the model is retired")


def test_nothing_stands_against_it_is_said_of_a_go_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    life = refused_life(tmp_path / "life")
    code, lines = read(life, tmp_path, capsys)
    assert code == 1
    assert lines[0].startswith("NO-GO, freshness unproven (decided in entry ")
    assert not any("nothing stands" in line or line.startswith("TODAY") for line in lines)
    assert read(life, tmp_path, capsys, "--require-today")[0] == 1
    open_incident(life)
    assert read(life, tmp_path, capsys)[1][1].startswith("TODAY: NOT MET, incident i1")


def test_without_a_decision_there_is_no_entry_to_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = read(undecided_life(tmp_path / "life"), tmp_path, capsys, "--require-today")
    assert (code, lines[0]) == (3, "UNKNOWN, freshness unproven")


def test_bounds_and_policy_are_written_for_people(
    honest: Life, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "\n".join(read(honest, tmp_path, capsys)[1])
    assert "asked >= 0.75, in entry" in text
    assert "asked <= 0.1, in entry" in text
    assert "inf" not in text.replace("inference", "")
    assert "isolation required" in text
    for python in ("True", "False", "None", "['"):
        assert python not in text


def test_where_no_wall_is_asked_for_it_is_not_required(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    life = Life(tmp_path / "life")
    opened = life.record.of_kind(kinds.USE_CASE)[-1]
    policy = {**opened.predicate["policy"], "isolation": False, "approvals": 1}
    life.forge("olga", opened.subject, kinds.USE_CASE, {**opened.predicate, "policy": policy})
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.check_data()
    seal = life.seal()
    life.finish(life.start(seal, isolation={"kind": "none"}))
    life.validate(seal)
    life.approve("ari")
    assert str(life.decide().verdict) == "GO"
    code, lines = read(life, tmp_path, capsys)
    assert code == 0
    assert any("isolation not required, approvals 1," in line for line in lines)


def test_a_decision_dated_after_the_asked_moment_is_refused(
    honest: Life, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decided = honest.record.of_kind(kinds.DECISION)[-1].at
    assert read(honest, tmp_path, capsys, "--at", decided)[0] == 0
    code, lines = read(honest, tmp_path, capsys, "--at", honest.later(-1))
    assert (code, lines[0]) == (4, "REFUSED")
    assert f"is dated {decided}, later than" in lines[1]
