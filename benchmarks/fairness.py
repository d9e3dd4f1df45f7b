"""How much does it cost to compare every group of a million people?

Runs the whole check `fairness.group_gaps` (strings to groups, one joint count, all five gaps with their
intervals) over every single attribute and intersection, and the same rates with Fairlearn where that is
installed. Intervals are computed, not resampled: there is no bootstrap whose draws could be counted.

    python benchmarks/fairness.py [rows]
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import time

import numpy as np
import polars as pl

from custody.checks._groups import intersections
from custody.checks._outcomes import ScoreColumn
from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target

ATTRIBUTES = {"age": 5, "race": 6, "region": 5, "sex": 2}
"""300 combinations in all."""


def people(rows: int) -> Table:
    draw = np.random.default_rng(0)
    groups = {
        name: np.array([f"{name} {i}" for i in range(size)])[draw.integers(0, size, rows)]
        for name, size in ATTRIBUTES.items()
    }
    truth = draw.random(rows) < 0.3
    score = np.clip(draw.normal(0.35 + 0.25 * truth, 0.2), 0, 1)
    columns = Columns(target="y", positive="1", sensitive=tuple(ATTRIBUTES))
    return Table("held-out", pl.DataFrame({**groups, "score": score, "y": truth.astype(np.int8)}), columns)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(table: Table) -> float:
    target = Target(held_out=table, train=table, model=ScoreColumn())
    started, wall = time.process_time(), time.perf_counter()
    result = registry()["fairness.group_gaps"].run(target)
    spent, waited = time.process_time() - started, time.perf_counter() - wall
    answered = [one for one in result.measures if one.value is not None]
    combinations = len(intersections(list(ATTRIBUTES)))
    assert len(result.measures) == len(answered) == 5 * combinations, "something was not measured"
    print(f"custody    {table.rows:>9,} rows, {combinations} combinations, {len(answered)} gaps with intervals")
    print(f"           {spent:8.2f} CPU s  {waited:8.2f} s wall")
    return spent


def fairlearn(table: Table) -> float | None:
    """Time the same rates, without any interval, for the deepest intersection and extrapolate nothing."""
    if importlib.util.find_spec("fairlearn") is None:
        return None
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    truth = table.truth
    called = (table.frame["score"] >= 0.5).to_numpy().astype(int)
    metrics = {"selected": selection_rate, "found": true_positive_rate, "alarmed": false_positive_rate}
    started = time.process_time()
    for names in intersections(list(ATTRIBUTES)):
        features = {name: table.frame[name].to_numpy() for name in names}
        frame = MetricFrame(metrics=metrics, y_true=truth, y_pred=called, sensitive_features=features)
        frame.difference()
    return time.process_time() - started


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    table = people(rows)
    # Libraries and the registry are loaded first, so that only the work is counted.
    registry()["fairness.group_gaps"].run(Target(held_out=people(2_000), model=ScoreColumn()))
    before = peak_mb()
    mine = ours(table)
    print(f"           {peak_mb() - before:8.0f} MB above the {before:.0f} MB that the data and libraries take")
    theirs = fairlearn(table)
    if theirs is None:
        print("fairlearn  is not installed here, so there is no ratio: pip install fairlearn")
    else:
        print(f"fairlearn  {theirs:8.2f} CPU s for the point values alone: {theirs / mine:,.0f} times as much")


if __name__ == "__main__":
    main()
