"""The promises of the demonstration and of the census example are ones that Custody can hold."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from custody.checks.registry import vocabulary
from custody.core.criteria import read_criteria
from custody.demo import simulator

CENSUS = Path(__file__).parents[3] / "examples" / "census" / "criteria.toml"


@pytest.mark.parametrize("path", [simulator.CRITERIA, CENSUS], ids=["card-fraud", "census"])
def test_the_criteria_are_sound(path: Path) -> None:
    found = read_criteria(path.read_bytes(), vocabulary())
    assert [str(defect) for defect in found.defects] == []
    classes = {item["class"] for item in found.document["criterion"]}
    assert classes == {"performance", "fairness", "robustness", "security", "data"}


def test_the_bank_promises_about_columns_it_has() -> None:
    document = tomllib.loads(simulator.CRITERIA.read_text())
    named = {column for item in document["criterion"] for column in item.get("by", [])}
    assert named == set(simulator.COLUMNS["sensitive"])
