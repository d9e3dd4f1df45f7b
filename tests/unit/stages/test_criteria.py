from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from custody.checks.registry import evaluator_digest
from custody.checks.target import Columns
from custody.core import predicates as kinds
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder, Tampered
from custody.stages.criteria import lint, power, seal, template
from custody.stages.data import register
from custody.testing import Life

TEXT = """\
custody = "criteria/1"
use_case = "loans"
tier = "high"

[held_out]
dataset = "later"

[[criterion]]
id = "P1"
class = "performance"
measure = "performance.classification.balanced_accuracy"
at_least = 0.70
why = "better than guessing"

[[criterion]]
id = "F1"
class = "fairness"
measure = "fairness.group_gaps.equal_opportunity_difference"
by = ["sex"]
at_most = 0.25
why = "nobody is left behind"

[[criterion]]
id = "A1"
class = "robustness"
measure = "robustness.evasion.success_rate"
at = { features = 1 }
at_most = 0.50
why = "one field is not enough"

[[criterion]]
id = "S1"
class = "security"
measure = "privacy.membership_inference.auc"
at_most = 0.60
why = "no better than a coin"
"""


def table(rows: int) -> str:
    chance = random.Random(1)
    lines = ["income,sex,paid"]
    lines += [f"{chance.randint(1, 99)},{chance.choice('fm')},{chance.randint(0, 1)}" for _ in range(rows)]
    return "\n".join(lines) + "\n"


class Bureau:
    """A life with real held-out rows on record and a criteria file to seal."""

    def __init__(self, life: Life, rows: int = 4000) -> None:
        self.life, self.root = life, life.custody.config.root
        (self.root / "later.csv").write_text(table(rows))
        register(
            life.desk, "petra", self.root, "later", self.root / "later.csv", life.custody.read_table,
            source="s", owner="petra", licence="contract", trust="trusted", purpose="held_out",
            columns=Columns(target="paid", positive="1", sensitive=("sex",)),
        )  # fmt: skip

    def write(self, text: str) -> Path:
        path = self.root / "criteria.toml"
        path.write_text(text)
        return path

    def seal(self, text: str = TEXT, who: str = "dana", use_case: str = "loans") -> Any:
        return seal(self.life.desk, who, use_case, self.root, self.write(text), self.life.custody.read_table)

    def weak(self, text: str) -> list[tuple[int, str]]:
        found = lint(self.write(text))
        assert found.defects == ()
        weak = power(found, self.root, self.life.record, self.life.custody.read_table)
        return [(defect.line, defect.kind) for defect in weak]


@pytest.fixture
def bureau(lived: Any) -> Bureau:
    return Bureau(lived("prepared"))


def test_sound_criteria_are_sealed_with_policy_evaluator_and_held_out_set(bureau: Bureau) -> None:
    said = bureau.seal().predicate
    held_out = bureau.life.record.latest(kinds.DATASET, name="later")
    assert held_out
    assert said["held_out"] == {
        "name": "later",
        "sha256": held_out.subject.sha256,
        "record": held_out.digest,
        "rows": 4000,
    }
    assert said["evaluator"] == evaluator_digest()
    assert said["policy"]["approvals"] == 2
    assert [item["id"] for item in said["criteria"]["criterion"]] == [
        *("P1", "F1", "A1", "S1"),
        *(item["id"] for item in said["policy"]["baseline"]),
    ]
    assert bureau.weak(TEXT) == []


def test_defects_are_listed_with_their_lines_and_nothing_is_sealed(bureau: Bureau) -> None:
    size = bureau.life.record.size
    with pytest.raises(InvalidInput, match="line 12") as caught:
        bureau.seal(TEXT.replace("at_least = 0.70", "at_least = 70").replace('why = "no better than a coin"', ""))
    assert "line 31" in caught.value.message
    assert bureau.life.record.size == size


def test_criteria_for_another_use_case_or_tier_are_refused(bureau: Bureau) -> None:
    with pytest.raises(InvalidInput, match="these criteria are for 'cards'"):
        bureau.seal(TEXT.replace('"loans"', '"cards"'))
    with pytest.raises(InvalidInput, match="opened as tier high"):
        bureau.seal(TEXT.replace('tier = "high"', 'tier = "low"'))


def test_ids_of_the_policy_are_reserved(bureau: Bureau) -> None:
    with pytest.raises(InvalidInput, match="B1 are ids of the policy"):
        bureau.seal(TEXT.replace('"P1"', '"B1"'))


def test_who_is_no_data_scientist_seals_nothing(bureau: Bureau) -> None:
    with pytest.raises(NotPermitted):
        bureau.seal(who="mel")


def test_a_held_out_set_that_is_not_on_record_is_not_found(bureau: Bureau) -> None:
    with pytest.raises(NotFound, match="no dataset 'sooner'"):
        bureau.seal(TEXT.replace('"later"', '"sooner"'))


def test_a_held_out_set_that_was_swapped_is_tampering(bureau: Bureau) -> None:
    (bureau.root / "later.csv").write_text(table(4001))
    with pytest.raises(Tampered, match="later"):
        bureau.seal()


def test_criteria_come_after_sourcing(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.enrol_all()
    said = life.custody.config.root / "later.csv"
    said.write_text(table(4000))
    body = {"name": "later", "path": "later.csv", "columns": {"target": "paid", "positive": "1", "sensitive": ["sex"]}}
    from custody.core.access import Action
    from custody.seal.digest import walk

    manifest = walk(said)
    files = [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in manifest.files]
    rest = {"purpose": "held_out", "source": "s", "owner": "p", "licence": "l", "trust": "trusted", "schema": []}
    life.say(
        "petra", Action.REGISTER_DATA, Subject("later", manifest.sha256), kinds.DATASET,
        {**body, **rest, "files": files, "blocks": [], "rows": 4000},
    )  # fmt: skip
    path = life.custody.config.root / "criteria.toml"
    path.write_text(TEXT)
    with pytest.raises(OutOfOrder, match="build, buy or adopt"):
        seal(life.desk, "dana", "loans", life.custody.config.root, path, life.custody.read_table)


# Power: what the held-out set could never show


def test_a_bound_that_guessing_passes_is_named_with_its_line(bureau: Bureau) -> None:
    assert bureau.weak(TEXT.replace("at_least = 0.70", "at_least = 0.30")) != []
    assert {line for line, _ in bureau.weak(TEXT.replace("at_least = 0.70", "at_least = 0.30"))} == {8}


def test_a_group_nobody_declared_is_named_with_its_line(bureau: Bureau) -> None:
    assert bureau.weak(TEXT.replace('by = ["sex"]', 'by = ["age"]')) == [(15, "unknown-group")]


def test_a_held_out_set_that_is_too_small_is_named(lived: Any) -> None:
    weak = Bureau(lived("prepared"), rows=30).weak(TEXT.replace("at_most = 0.25", "at_most = 0.05"))
    assert 15 in {line for line, _ in weak}


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        lint(tmp_path / "criteria.toml")
    with pytest.raises(InvalidInput, match="cannot be read"):
        lint(tmp_path)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"tier = 7", b"tier = [", b"a = " + b"9" * 5000, b"a = " + b"[" * 5000])
def test_any_file_is_linted(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "criteria.toml").write_bytes(raw)
    assert lint(tmp_path / "criteria.toml").defects


def test_the_template_can_be_linted_as_it_is(bureau: Bureau) -> None:
    held_out = bureau.life.record.latest(kinds.DATASET, name="later")
    assert held_out
    assert lint(bureau.write(template("loans", "high", held_out))).defects == ()


# Post-hoc: the exam was seen before the criteria were written


def opened(bureau: Bureau) -> int:
    from custody.core.access import Action

    held_out = bureau.life.record.latest(kinds.DATASET, name="later")
    assert held_out
    said = {"held_out": held_out.subject.sha256, "model": "0" * 64, "seal": "0" * 64, "purpose": "validation"}
    return bureau.life.say("val", Action.VALIDATE, held_out.subject, kinds.OPENING, said).index


def test_criteria_after_the_exam_are_refused_unless_that_is_said(bureau: Bureau) -> None:
    bureau.seal()
    entry = opened(bureau)
    size = bureau.life.record.size
    with pytest.raises(OutOfOrder, match=f"opened in entry {entry}: .* no decision under them can be GO"):
        bureau.seal()
    assert bureau.life.record.size == size
    path = bureau.write(TEXT)
    said = seal(bureau.life.desk, "dana", "loans", bureau.root, path, bureau.life.custody.read_table, post_hoc=True)
    assert said.kind == kinds.SEAL


def test_the_standing_shows_criteria_after_the_exam(bureau: Bureau) -> None:
    from custody.records.status import standing

    def criteria() -> tuple[str, str]:
        found = standing(bureau.life.record, "loans", [], bureau.life.desk.time())
        state = next(state for state in found.stages if state.stage == "criteria")
        return state.state, state.sentence

    said = bureau.seal()
    assert criteria() == (
        "unknown",
        f"{len(said.predicate['criteria']['criterion'])} criteria sealed, not countersigned",
    )
    bureau.life.countersign(said)
    opened(bureau)
    assert criteria()[0] == "met"
    seal(
        bureau.life.desk, "dana", "loans", bureau.root, bureau.write(TEXT), bureau.life.custody.read_table,
        post_hoc=True,
    )  # fmt: skip
    state, sentence = criteria()
    assert state == "not_met"
    assert "post-hoc" in sentence


def test_a_held_out_set_without_usable_labels_is_a_defect(lived: Any) -> None:
    life = lived("prepared")
    (life.custody.config.root / "later.csv").write_text("income,sex,paid\n1,f,1\n2,m,0\n3,m,\n")
    register(
        life.desk, "petra", life.custody.config.root, "later", life.custody.config.root / "later.csv",
        life.custody.read_table, source="s", owner="petra", licence="contract", trust="trusted", purpose="held_out",
        columns=Columns(target="paid", positive="1", sensitive=("sex",)),
    )  # fmt: skip
    path = life.custody.config.root / "criteria.toml"
    path.write_text(TEXT)
    found = power(lint(path), life.custody.config.root, life.record, life.custody.read_table)
    assert [defect.kind for defect in found] == ["unmeasurable"]
    with pytest.raises(InvalidInput, match="labels are missing"):
        seal(life.desk, "dana", "loans", life.custody.config.root, path, life.custody.read_table)


# The template: evasion is asked for where somebody said what an attacker can change


@pytest.mark.parametrize(
    ("tier", "mutable", "asked", "told"),
    [
        ("low", [], False, "Evasion is left out"),
        ("medium", ["amount"], True, "taken to be able to change: amount"),
        ("high", ["amount"], True, "taken to be able to change: amount"),
        ("high", [], True, "Register the data with"),
    ],
)
def test_the_template_asks_for_evasion_as_the_data_and_the_tier_say(
    bureau: Bureau, tier: str, mutable: list[str], asked: bool, told: str
) -> None:
    from dataclasses import replace

    held_out = bureau.life.record.latest(kinds.DATASET, name="later")
    assert held_out
    columns = {**held_out.predicate["columns"], "mutable": mutable}
    text = template("loans", tier, replace(held_out, predicate={**held_out.predicate, "columns": columns}))
    assert ('id = "A1"' in text) is asked
    assert told in text
    assert lint(bureau.write(text)).defects == ()


def test_new_criteria_name_those_they_replace_and_what_they_change(bureau: Bureau) -> None:
    first = bureau.seal()
    assert "amends" in first.predicate  # the life sealed criteria of its own before
    looser = bureau.write(
        TEXT.replace("at_least = 0.70", "at_least = 0.65").replace("at_most = 0.25", "at_most = 0.20")
    )
    said = seal(bureau.life.desk, "dana", "loans", bureau.root, looser, bureau.life.custody.read_table, amending=True)
    assert said.predicate["amends"] == first.digest
    assert said.predicate["changes"] == [
        "tightened: F1 at_most is 0.2, was 0.25",
        "loosened: P1 at_least is 0.65, was 0.7",
    ]


def test_an_amendment_needs_something_to_amend_and_a_change(bureau: Bureau) -> None:
    bureau.seal()
    with pytest.raises(InvalidInput, match="changes nothing"):
        seal(
            bureau.life.desk, "dana", "loans", bureau.root, bureau.write(TEXT), bureau.life.custody.read_table,
            amending=True,
        )  # fmt: skip


def test_amended_after_a_look_at_the_exam_is_post_hoc(bureau: Bureau) -> None:
    bureau.seal()
    opened(bureau)
    looser = bureau.write(TEXT.replace("at_least = 0.70", "at_least = 0.65"))
    read = bureau.life.custody.read_table
    with pytest.raises(OutOfOrder, match="post-hoc"):
        seal(bureau.life.desk, "dana", "loans", bureau.root, looser, read, amending=True)
    said = seal(bureau.life.desk, "dana", "loans", bureau.root, looser, read, amending=True, post_hoc=True)
    from custody.core.data_rules import judge_freshness

    assert judge_freshness(bureau.life.record, said).status == "not_met"


def test_a_decision_under_amended_criteria_says_so(lived: Any) -> None:
    from custody.testing import criteria_document

    life = lived("prepared")
    document = criteria_document("loans")
    document["criterion"][0]["at_least"] = 0.7
    again = life.seal(document=document)
    life.train(again)
    life.validate(again)
    for who in ("ari", "cora"):
        life.approve(who)
    decision = life.decide()
    assert str(decision.verdict) == "GO"
    assert decision.account["amended"] == ["loosened: P1 at_least is 0.7, was 0.75"]
    (fresh,) = [ruling for ruling in decision.rulings if ruling.id == "process.not_post_hoc"]
    assert "1 of them loosen: loosened: P1" in fresh.reason
