"""Before the exam is opened: who may, with which evaluator, behind which wall, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from custody.checks.registry import evaluator_digest
from custody.checks.target import Predictor, Table
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.errors import NotPermitted, OutOfOrder, Unavailable
from custody.seal.digest import Manifest
from custody.stages.validation import Bench, scan_model, validate
from custody.testing import Life, digest, prepared_life


class ReachedError(Exception):
    """The model would have been taken out of the vault now."""


class Vault:
    """A vault that only says that it was asked."""

    def has(self, sha256: str) -> bool:
        return True

    def put(self, manifest: Manifest, files: Mapping[str, Path]) -> None:
        raise AssertionError("nothing is stored here")

    def open(self, sha256: str) -> dict[str, bytes]:
        raise ReachedError

    def materialise(self, sha256: str, folder: Path) -> Any:
        raise ReachedError

    def destroy(self, sha256: str) -> Any:
        raise AssertionError("nothing is destroyed here")


def no_model(folder: Path, table: Table) -> AbstractContextManager[Predictor]:
    raise AssertionError("no model is opened here")


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """A trained model, sealed with the evaluator of this machine."""
    made, _ = prepared_life(tmp_path / "life")
    made.evaluator = evaluator_digest()
    made.train(made.seal())
    return made


def bench(life: Life, isolation: str = "bubblewrap") -> Bench:
    root = life.custody.config.root
    return Bench(root, root / "staging", Vault(), life.custody.read_table, no_model, isolation)


def open_exam(life: Life, held_out: str = "") -> None:
    seal = life.record.of_kind(kinds.SEAL)[-1]
    said = {"held_out": held_out or life.held_out, "model": life.model.sha256, "seal": seal.digest, "purpose": "x"}
    life.say("val", Action.VALIDATE, Subject("held-out", said["held_out"]), kinds.OPENING, said)


def test_without_a_wall_nothing_is_opened_where_the_policy_asks_for_one(life: Life) -> None:
    size = life.record.size
    with pytest.raises(Unavailable, match="no sandbox"):
        validate(life.desk, bench(life, "none"), "val", "loans")
    assert life.record.size == size
    with pytest.raises(ReachedError):
        validate(life.desk, bench(life), "val", "loans")


def test_a_spent_budget_is_not_overdrawn(life: Life) -> None:
    for _ in range(3):
        with pytest.raises(ReachedError):
            validate(life.desk, bench(life), "val", "loans")
        open_exam(life)
    with pytest.raises(OutOfOrder, match="the sealed budget is 3"):
        validate(life.desk, bench(life), "val", "loans")


def test_openings_under_another_name_are_openings(life: Life) -> None:
    said = dict(life.record.about(life.held_out, kinds.DATASET)[-1].predicate)
    del said["id"]
    twin = Subject("twin", digest("twin"))
    life.say("petra", Action.REGISTER_DATA, twin, kinds.DATASET, {**said, "name": "twin"})
    for _ in range(3):
        open_exam(life, twin.sha256)
    with pytest.raises(OutOfOrder, match="the sealed budget is 3"):
        validate(life.desk, bench(life), "val", "loans")


def test_another_evaluator_than_the_sealed_one_spends_no_opening(tmp_path: Path) -> None:
    life, seal = prepared_life(tmp_path)
    life.train(seal)
    with pytest.raises(OutOfOrder):
        validate(life.desk, bench(life), "val", "loans")
    assert life.record.of_kind(kinds.OPENING) == []


def test_who_trained_or_wrote_the_criteria_does_not_validate(life: Life) -> None:
    from custody.wiring import add_person

    for who, roles in (("mel", ["ml_engineer", "validator"]), ("dana", ["data_scientist", "validator"])):
        add_person(life.custody, "olga", who, roles)
        with pytest.raises(NotPermitted, match="of this model"):
            validate(life.desk, bench(life), who, "loans")


def test_an_engineer_who_is_no_validator_does_not_scan(life: Life) -> None:
    with pytest.raises(NotPermitted, match="needs validator"):
        scan_model(life.desk, bench(life), "mel", "loans")
    with pytest.raises(ReachedError):
        scan_model(life.desk, bench(life), "val", "loans")
