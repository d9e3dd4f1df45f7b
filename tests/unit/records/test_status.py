"""What `custody next` prints can be done as it is printed, by the people it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.actor import Role
from custody.core.stage import Stage
from custody.errors import NotPermitted
from custody.records.review import review
from custody.records.rights import moment_of
from custody.records.status import Step, standing
from custody.stages.access import break_glass, grant, make_token
from custody.stages.countersigning import countersign
from custody.testing import Life, honest_life, prepared_life
from custody.wiring import add_person


def steps(life: Life) -> dict[str, Step]:
    found = standing(life.record, life.use_case, list(life.desk.roster().actors.values()), life.desk.time())
    return {step.command: step for step in found.steps}


def test_only_those_whose_signature_the_policy_takes_are_asked_to_countersign(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.enrol_all()
    add_person(life.custody, "olga", "dana", [Role.DATA_SCIENTIST, Role.SECURITY_MANAGER])
    life.decide_source()
    life.register_data()
    seal = life.seal(countersigned=False)
    step = steps(life)["custody gate countersign"]
    assert step.roles == ("security_manager",)
    assert step.persons == ("sam",), "not the author, and nobody whose signature would not count"
    with pytest.raises(NotPermitted):
        countersign(life.desk, "ari", seal.digest, "I looked at it")
    countersign(life.desk, "sam", seal.digest, "I looked at it")
    assert "custody gate countersign" not in steps(life)


def test_nobody_is_asked_for_a_part_that_their_earlier_part_keeps_them_from(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    everything = [Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.VALIDATOR, Role.APPROVER]
    for name in ("dana", "mel", "val"):
        add_person(life.custody, "olga", name, everything)
    assert steps(life)["custody run -- python train.py"].persons == ("mel", "val")
    life.train(seal)
    assert steps(life)["custody validate"].persons == ("val",)
    life.validate(seal)
    command = f"custody gate approve {life.model.short}"
    assert steps(life)[command].persons == ("ari", "cora")
    life.approve("ari")
    assert steps(life)[command].persons == ("cora",), "an approval counts once"


def test_in_solo_mode_one_person_is_asked_for_everything(tmp_path: Path) -> None:
    life = Life(tmp_path, solo=True)
    assert {step.persons for step in steps(life).values()} == {("olga",)}


def test_an_emergency_is_reviewed_by_somebody_else(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.enrol_all()
    entry = break_glass(life.desk, "sam", "operator", "the model leaks names")
    command = f'custody access review --of {entry.index} --verdict upheld --reason "..."'
    assert steps(life)[command].persons == ()
    add_person(life.custody, "olga", "sue", [Role.SECURITY_MANAGER])
    assert steps(life)[command].persons == ("sue",)


def test_what_ends_soon_comes_with_a_command_that_prolongs_it(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.enrol_all()
    grant(life.desk, "olga", "sam", ["operator"], life.later(3), "otto is on leave")
    make_token(life.desk, "mel", "nightly", ["ml_engineer"], life.later(3), tmp_path / "nightly.pem", "")

    def ending() -> dict[str, str]:
        found = review(moment_of(life.desk), life.desk.rules)
        return {one.who: one.command for one in found if one.kind == "ending"}

    assert ending() == {
        "sam": 'custody access grant sam operator --until DAY --reason "..."',
        "nightly": "custody access delegate NAME --role ml_engineer --until DAY --as mel",
    }
    grant(life.desk, "olga", "sam", ["operator"], life.later(60), "otto is still on leave")
    assert set(ending()) == {"nightly"}, "what was prolonged ends no more"


def test_an_open_incident_comes_first_and_takes_the_go_back(tmp_path: Path) -> None:
    life = honest_life(tmp_path)
    people = list(life.desk.roster().actors.values())

    def release() -> tuple[str, str]:
        found = standing(life.record, life.use_case, people, life.desk.time())
        return next((s.state, s.sentence) for s in found.stages if s.stage is Stage.RELEASE)

    assert release() == ("met", "GO")
    before = list(steps(life))
    opened = {"incident": "i1", "type": "evasion", "reason": "seen", "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, opened)
    assert release() == ("not_met", "GO when it was decided, not today: incident i1 (evasion) is open")
    assert list(steps(life)) == ['custody incident close i1 --reason "..."', *before]
