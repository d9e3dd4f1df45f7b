"""A model that became worse in use is noticed; one that did not is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from custody.checks._outcomes import ScoreColumn
from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target
from custody.core.measure import Measure, Result

COLUMNS = Columns(target="y", positive="yes")


def table(recall: float, rows: int = 4_000, seed: int = 0, unlabelled: int = 0) -> Table:
    draw = np.random.default_rng(seed)
    truth = draw.random(rows) < 0.4
    called = draw.random(rows) < np.where(truth, recall, 0.1)
    labels: list[Any] = np.where(truth, "yes", "no").tolist()
    labels[:unlabelled] = [None] * unlabelled
    score = np.where(called, 0.8, 0.2) + draw.normal(0, 0.02, rows)
    return Table("rows", pl.DataFrame({"score": score, "y": labels}), COLUMNS)


def run(live: Table | None, held_out: Table | None = None) -> Result:
    return registry()["live.performance"].run(Target(live=live, held_out=held_out, model=ScoreColumn()))


def named(result: Result) -> dict[str, Measure]:
    return {one.name: one for one in result.measures}


def test_a_lost_recall_is_shown_with_its_interval() -> None:
    result = run(table(0.65), table(0.8, seed=1))
    drop = named(result)["recall_drop"]
    assert drop.low > 0.05  # type: ignore[operator]
    assert drop.low <= 0.15 <= drop.high  # type: ignore[operator]
    assert any("recall fell" in one.what for one in result.findings)


def test_no_loss_is_no_finding() -> None:
    result = run(table(0.8), table(0.8, seed=1))
    assert result.findings == []
    drop = named(result)["recall_drop"]
    assert drop.low < 0 < drop.high  # type: ignore[operator]


def test_no_change_is_rarely_called_a_loss() -> None:
    alarms = sum(bool(run(table(0.8, 500, 2 * i), table(0.8, 500, 2 * i + 1)).findings) for i in range(150))
    # Two measures at 2.5 % each; ten of 150 lie beyond the 99.9th percentile of that.
    assert alarms <= 16


def test_without_a_held_out_table_the_drop_is_unknown_and_the_rest_is_not() -> None:
    found = named(run(table(0.8)))
    assert found["recall"].value == pytest.approx(0.8, abs=0.03)
    for name in ("recall_drop", "auc_drop"):
        assert found[name].value is None
        assert "no held-out table" in found[name].reason


def test_rows_without_a_label_yet_are_counted_apart() -> None:
    live = table(0.8, unlabelled=3_000)
    result = run(live, table(0.8, seed=1))
    assert (result.details["labelled"], result.details["unlabelled"]) == (1_000, 3_000)
    assert named(result)["accuracy"].n == 1_000
    assert any("no label yet" in one.what for one in result.findings)


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (None, "no live table"),
        (Table("live", pl.DataFrame({"score": [0.1]}), COLUMNS), "no labels yet"),
        (table(0.8, rows=10, unlabelled=10), "none of the 10 rows"),
        (Table("live", pl.DataFrame({"score": [0.1, 0.2], "y": ["no", "no"]}), COLUMNS), "one class only"),
    ],
)
def test_without_labels_everything_is_unknown(live: Table | None, reason: str) -> None:
    found = named(run(live, table(0.8)))
    assert len(found) == 6
    assert all(one.value is None and reason in one.reason for one in found.values())
