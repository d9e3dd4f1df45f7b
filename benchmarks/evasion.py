"""How much does it save to attack all records at once?

Side by side on the same caught records and models: `robustness.evasion` with all its strength tests, the
same greedy search record by record (one call for all changes of a record, then one call for each change),
and ART's HopSkipJump where `adversarial-robustness-toolbox` is installed. Prints records, queries, calls,
success within three features, CPU seconds and the ratio to ours per record.

Run: OMP_NUM_THREADS=1 python benchmarks/evasion.py
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from custody.checks.registry import registry
from custody.checks.robustness.evasion import _observed, _space
from custody.checks.target import Columns, Table, Target

COLUMNS = 12
MUTABLE = tuple(f"x{j}" for j in range(5, COLUMNS))


class Model:
    """A scikit-learn model that counts rows and calls."""

    def __init__(self, model: Any) -> None:
        self.model, self.queries, self.calls = model, 0, 0

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        self.queries += rows.height
        self.calls += 1
        return np.asarray(self.model.predict_proba(rows.to_numpy())[:, 1])


def table(rows: int, seed: int) -> Table:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, COLUMNS)).round(3)
    margin = values @ np.linspace(1.5, 0.3, COLUMNS) + 2 * values[:, 0] * values[:, 9] + random.logistic(size=rows)
    frame = pl.DataFrame({f"x{j}": values[:, j] for j in range(COLUMNS)})
    return Table(
        f"seed {seed}",
        frame.with_columns(fraud=pl.Series((margin > 2).astype(int))),
        Columns("fraud", "1", mutable=MUTABLE),
    )


def loop(model: Model, records: pl.DataFrame, seen: dict[str, pl.Series], *, one_by_one: bool) -> int:
    """Return how many records slip past within three greedy changes, walking one record at a time."""
    passed = 0
    for start in range(records.height):
        record = records[start]
        for _ in range(3):
            tries = [
                record.with_columns(pl.lit(value, dtype=record[name].dtype).alias(name))
                for name, values in seen.items()
                for value in values
            ]
            if one_by_one:
                scores = np.concatenate([model.scores(one) for one in tries])
            else:
                scores = model.scores(pl.concat(tries))
            record = tries[int(scores.argmin())]
            if scores.min() < 0.5:
                passed += 1
                break
    return passed


def hop_skip_jump(model: Model, records: pl.DataFrame) -> float:
    """Return the share of records that slip past, by any change of any feature, feasible or not."""
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifier

    def predict(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        model.queries += len(rows)
        model.calls += 1
        return np.asarray(model.model.predict_proba(rows))

    wrapped = BlackBoxClassifier(predict, (COLUMNS,), 2)
    found = HopSkipJump(wrapped, max_iter=10, max_eval=1000, init_eval=50, verbose=False).generate(records.to_numpy())
    return float((predict(found)[:, 1] < 0.5).mean())


def timed(model: Model, records: int, run: Callable[[], float]) -> tuple[str, float]:
    model.queries = model.calls = 0
    before = time.process_time()
    success = run()
    spent = time.process_time() - before
    counts = f"{records:>8} {model.queries:>9} {model.calls:>7}"
    row = f"{counts} {success:>8.3f} {spent:>8.2f} {1000 * spent / records:>10.2f}"
    return row, spent / records


def main() -> None:
    train, held_out = table(8_000, 1), table(4_000, 2)
    models = {
        "boosting 150": HistGradientBoostingClassifier(max_iter=150, random_state=0),
        "forest 100": RandomForestClassifier(100, random_state=0),
    }
    heads = f"{'records':>8} {'queries':>9} {'calls':>7} {'success':>8} {'CPU s':>8} {'ms/record':>10}"
    print(f"{'model':<14}{'attack':<26}{heads} {'ratio':>7}")
    for name, estimator in models.items():
        estimator.fit(train.frame.select(train.features).to_numpy(), train.truth)
        model = Model(estimator)
        target = Target(held_out=held_out, model=model)
        target.held_out_scores()
        space, _ = _space(target)
        seen = {column: _observed(target, column, 16) for column in MUTABLE}

        def ours(target: Target = target) -> float:
            result = registry()["robustness.evasion"].run(target)
            found = [m.value for m in result.measures if dict(m.at) == {"features": 3}]
            if not found or found[0] is None:
                raise SystemExit(result.measures[0].reason)
            return float(found[0])

        def looped(
            count: int,
            *,
            one_by_one: bool,
            m: Model = model,
            frame: pl.DataFrame = space.frame,
            s: dict[str, pl.Series] = seen,
        ) -> float:
            return loop(m, frame.head(count), s, one_by_one=one_by_one) / count

        rows = [("all at once, with tests", space.rows, ours)]
        rows += [("record by record", 40, lambda: looped(40, one_by_one=False))]
        rows += [("change by change", 4, lambda: looped(4, one_by_one=True))]
        if importlib.util.find_spec("art") is not None:
            rows += [("ART HopSkipJump", 10, lambda m=model, f=space.frame: hop_skip_jump(m, f.head(10)))]
        first = 0.0
        for label, count, run in rows:
            text, each = timed(model, count, run)
            first = first or each
            print(f"{name:<14}{label:<26}{text} {each / first:>6.1f}x")
    if importlib.util.find_spec("art") is None:
        print("ART HopSkipJump: not measured, adversarial-robustness-toolbox is not installed")


if __name__ == "__main__":
    main()
