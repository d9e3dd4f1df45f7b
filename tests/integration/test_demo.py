"""The demonstration runs on real commands: what it says was caught was caught."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the demonstration needs custody[demo]")

from custody.demo import attacks
from custody.demo.life import Project, Step
from custody.demo.programme import ATTACKS


def demo(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "custody", "demo", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


def test_the_demo_lives_the_whole_life_and_catches_what_is_planted(tmp_path: Path) -> None:
    chosen = [
        "a tampered cell",
        "sealed after training",
        "a typed verdict",
        "ledger cut short",
        "retired model revived",
    ]
    words = [word for name in chosen for word in ("--only", name)]
    done = demo("--json", "--folder", "here", *words, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    body = json.loads(done.stdout)
    assert sorted(row["name"] for row in body["attacks"]) == sorted(chosen)
    assert all(row["caught"] and row["clean_silent"] for row in body["attacks"])
    page = (tmp_path / "here/report.html").read_text("utf-8")
    assert "5 of 5 planted attacks were caught" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_an_attack_that_is_not_caught_is_told_so() -> None:
    step = Step(
        ["gate", "decide"], 0, {"rulings": [{"id": "D1", "status": "met", "reason": "", "entries": []}]}, "", 0.1
    )
    assert not attacks._ruling(step, "D1", 1).caught
    assert not attacks._refusal(step, 5, "no such words", "a guard").caught


def test_another_rule_cannot_claim_a_catch() -> None:
    rulings = [{"id": "P1", "status": "not_met", "reason": "low", "entries": [3]}]
    step = Step(["gate", "decide"], 1, {"rulings": rulings}, "", 0.1)
    assert attacks._ruling(step, "P1", 1).caught
    assert not attacks._ruling(step, "D1", 1).caught


def test_every_attack_has_a_name_of_its_own_and_a_next_command() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names)) == 24
    assert all(attack.next_command and attack.story for attack in ATTACKS)


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    done = demo("--folder", "mine", folder=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_an_unknown_attack_is_named_with_those_there_are(tmp_path: Path) -> None:
    done = demo("--only", "nothing", folder=tmp_path)
    assert done.returncode == 2
    assert "poisoned labels" in done.stderr


def test_a_broken_step_stops_the_demo_with_what_was_said(tmp_path: Path) -> None:
    from custody.demo.life import Broken

    (tmp_path / "empty").mkdir()
    with pytest.raises(Broken, match="ended with"):
        Project(tmp_path / "empty").must("status", "status")
