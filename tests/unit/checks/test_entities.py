"""Rows of one person are not so many persons."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from custody.checks._entities import design_effect, entity_codes
from custody.checks._outcomes import ScoreColumn
from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target
from custody.core.measure import Measure


def people(seed: int, persons: int = 80, each: int = 20, alike: bool = True, entity: bool = True) -> Table:
    """Draw rows of persons who are, where `alike`, each treated well or badly throughout."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), each)
    truth = draw.integers(0, 2, who.size)
    luck = draw.random(persons)[who] if alike else draw.random(who.size)
    called = draw.random(who.size) < np.where(luck < 0.5, 0.8, 0.2)
    score = np.where(called, 0.9, 0.1) + draw.normal(0, 0.01, who.size)
    frame = pl.DataFrame({"who": who, "sex": np.where(who % 2, "F", "M"), "score": score, "y": truth})
    columns = Columns(target="y", positive="1", sensitive=("sex",), entity="who" if entity else "")
    return Table("held-out", frame, columns)


def measured(check: str, table: Table) -> dict[str, Measure]:
    return {m.name: m for m in registry()[check].function(Target(held_out=table, model=ScoreColumn())).measures}


@pytest.mark.parametrize("column", [["a", "b", "c"], ["a", None, None], [1, 2, 3]])
def test_entities_that_do_not_repeat_are_nobodys_business(column: list[Any]) -> None:
    table = Table("t", pl.DataFrame({"who": column}), Columns(entity="who"))
    assert entity_codes(table) is None


@pytest.mark.parametrize("entity", ["", "nobody"])
def test_no_entity_no_effect(entity: str) -> None:
    assert entity_codes(Table("t", pl.DataFrame({"who": ["a", "a"]}), Columns(entity=entity))) is None
    assert design_effect(np.array([0.5, -0.5]), None) == 1.0


def test_rows_without_an_entity_are_each_their_own() -> None:
    codes = entity_codes(Table("t", pl.DataFrame({"who": ["a", None, "a", None]}), Columns(entity="who")))
    assert codes is not None
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 3


def test_copies_count_once() -> None:
    draw = np.random.default_rng(0)
    once = draw.choice([-0.5, 0.5], 500)
    effect = design_effect(np.repeat(once, 7), np.repeat(np.arange(500), 7))
    assert effect == pytest.approx(7, rel=0.01)


def test_independent_rows_count_nearly_fully() -> None:
    draw = np.random.default_rng(0)
    assert 1.0 <= design_effect(draw.choice([-0.5, 0.5], 20_000), np.arange(20_000) // 10) < 1.1


def test_where_nothing_differs_the_worst_is_assumed() -> None:
    assert design_effect(np.zeros(60), np.arange(60) // 6) == 6.0


def test_one_single_person_is_worth_one_row() -> None:
    assert design_effect(np.array([0.5, -0.5, 0.5, -0.5]), np.zeros(4, np.intp)) == 4.0


@pytest.mark.parametrize("name", ["accuracy", "recall", "false_positive_rate", "precision", "auc", "brier"])
def test_declared_persons_make_intervals_honest(name: str) -> None:
    honest = naive = 0
    # Everyone is called positive half of the time whatever is true.
    truth = {"brier": 0.41 + 1e-4}.get(name, 0.5)
    for seed in range(150):
        declared = measured("performance.classification", people(seed))[name]
        ignored = measured("performance.classification", people(seed, entity=False))[name]
        honest += declared.low <= truth <= declared.high  # type: ignore[operator]
        naive += ignored.low <= truth <= ignored.high  # type: ignore[operator]
        assert declared.value == ignored.value
        assert declared.low <= ignored.low  # type: ignore[operator]
        assert declared.high >= ignored.high  # type: ignore[operator]
    assert honest >= 135
    if name in ("recall", "false_positive_rate"):
        assert naive < 120


def test_lucky_persons_are_not_taken_for_a_lucky_group() -> None:
    failed = {True: 0, False: 0}
    for seed in range(120):
        for entity in failed:
            found = measured("fairness.group_gaps", people(seed, entity=entity))["demographic_parity_difference"]
            failed[entity] += found.low > 0  # type: ignore[operator]
    assert failed[True] <= 12
    assert failed[False] > 40


def test_the_design_effect_is_told() -> None:
    alike = registry()["fairness.group_gaps"].run(Target(held_out=people(1), model=ScoreColumn()))
    apart = registry()["fairness.group_gaps"].run(Target(held_out=people(1, alike=False), model=ScoreColumn()))
    single = registry()["fairness.group_gaps"].run(Target(held_out=people(1, entity=False), model=ScoreColumn()))
    assert alike.details["design_effects"]["sex"]["rows"] > 3
    assert 1 <= apart.details["design_effects"]["sex"]["rows"] < 1.6
    assert single.details["design_effects"] == {}
