"""One honest life, lived once; each test gets a copy of it to spoil."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.config import read_config
from custody.testing import Life, honest_life, prepared_life, refused_life, trained_life, undecided_life
from custody.wiring import Custody

Copy = Callable[[str], Life]


def solo_life(folder: Path) -> Life:
    """Live up to the approval in solo mode, where one is enough."""
    life = Life(folder, solo=True)
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.check_data()
    seal = life.seal()
    life.train(seal)
    life.validate(seal)
    life.approve("ari")
    return life


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Life]:
    """Live each kind of life once."""
    folder = tmp_path_factory.mktemp("lives")
    return {
        "prepared": prepared_life(folder / "prepared")[0],
        "trained": trained_life(folder / "trained")[0],
        "undecided": undecided_life(folder / "undecided"),
        "inaccurate": undecided_life(folder / "inaccurate", balanced_accuracy=(0.7, 0.68, 0.72)),
        "honest": honest_life(folder / "honest"),
        "solo": solo_life(folder / "solo"),
        "refused": refused_life(folder / "refused"),
    }


@pytest.fixture
def lived(lives: dict[str, Life], tmp_path: Path) -> Copy:
    """Give a private copy of a life, by name."""

    def of(name: str) -> Life:
        folder = tmp_path / f"{name} life"
        shutil.copytree(lives[name].custody.config.root, folder)
        life = copy.copy(lives[name])
        life.custody = Custody(read_config(folder / "custody.toml", {"CUSTODY_STATE": str(folder)}))
        life.desk = life.custody.desk
        return life

    return of


@pytest.fixture
def life(lived: Copy) -> Life:
    """Give a life that ended in GO and an admission to production."""
    return lived("honest")
