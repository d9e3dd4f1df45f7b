"""An attack that is weak must say so; records that nobody could submit must not be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from threadpoolctl import threadpool_limits

from custody.checks.registry import registry
from custody.checks.robustness import _walk
from custody.checks.robustness.evasion import ROWS, _observed
from custody.checks.target import Columns, Predictor, Table, Target
from custody.core.measure import Result

NUMBERS = ("amount", "age", "ratio", "speed")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1, user_api="openmp"):
        yield


class Model:
    """A model in this process, made from a function over the rows."""

    def __init__(self, score: Callable[[pl.DataFrame], NDArray[np.float64]]) -> None:
        self.score = score
        self.queries = 0
        self.calls: list[pl.DataFrame] = []

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        self.queries += rows.height
        self.calls.append(rows)
        return self.score(rows)


def logistic(margin: Any) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-np.asarray(margin, dtype=np.float64)))


def payments(rows: int = 1500, seed: int = 3, *, mutable: tuple[str, ...] = ("amount", "ratio", "kind")) -> Table:
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "amount": random.integers(1, 500, rows),
            "age": random.integers(18, 90, rows),
            "ratio": random.normal(size=rows),
            "speed": random.normal(size=rows),
            "kind": random.choice(["food", "fuel", "travel", "gifts"], rows),
            "sex": random.choice(["f", "m"], rows),
        }
    )
    risk = pl.col("amount") / 120 + pl.col("ratio") + pl.col("speed") + (pl.col("kind") == "gifts") * 1.5 - 3.5
    chance = logistic(2 * frame.select(risk).to_series())
    frame = frame.with_columns(pl.Series("fraud", (random.random(rows) < chance).astype(int)))
    return Table("held-out", frame, Columns("fraud", "1", sensitive=("sex",), mutable=mutable))


def encoded(rows: pl.DataFrame) -> NDArray[np.float64]:
    kind = rows["kind"].replace_strict({"food": 0.0, "fuel": 1.0, "travel": 2.0, "gifts": 3.0})
    return rows.select(NUMBERS).with_columns(kind).to_numpy()


def trained(model: Any, seed: int = 9) -> Model:
    table = payments(3000, seed)
    model.fit(encoded(table.frame), table.truth)
    return Model(lambda rows: np.asarray(model.predict_proba(encoded(rows))[:, 1]))


def attack(model: Predictor, table: Table | None = None, **more: Any) -> Result:
    return registry()["robustness.evasion"].run(Target(held_out=table or payments(), model=model, **more))


def rates(result: Result) -> list[float]:
    found = [m.value for m in result.measures if m.name == "success_rate" and m.at]
    assert None not in found, result.measures[0].reason
    return [float(value) for value in found if value is not None]


def reasons(result: Result) -> str:
    assert all(measure.value is None for measure in result.measures), result.measures
    return " ".join({measure.reason for measure in result.measures})


def test_a_model_that_believes_the_payer_is_evaded_with_one_feature() -> None:
    result = attack(Model(lambda rows: logistic(rows["ratio"].to_numpy() * 5)))
    assert rates(result) == [1.0, 1.0, 1.0]
    changed = next(m for m in result.measures if m.name == "mean_features_changed")
    assert changed.value == 1.0
    assert result.details["used"] == [{"column": "ratio", "records": ROWS}]
    assert "ratio" in result.findings[0].where


def test_a_model_that_ignores_what_attackers_can_change_is_robust() -> None:
    result = attack(Model(lambda rows: logistic(rows["speed"].to_numpy() * 5)))
    assert rates(result) == [0.0, 0.0, 0.0]
    assert all(m.high is not None and m.high < 0.05 for m in result.measures if m.name == "success_rate")
    assert "ignores" in result.details["strength"][2]["saw"]
    assert not result.findings


def test_three_features_are_needed_where_three_must_move() -> None:
    passes = pl.col("amount").is_between(150, 300) & pl.col("ratio").is_between(-0.5, 0.5) & (pl.col("kind") == "fuel")
    close = [pl.col("amount").is_between(150, 300), pl.col("ratio").is_between(-0.5, 0.5), pl.col("kind") == "fuel"]
    table = payments(6000)
    guilty = pl.sum_horizontal(part.cast(pl.Int8) for part in close) == 0
    table = Table("held-out", table.frame.with_columns(guilty.cast(pl.Int8).alias("fraud")), table.columns)
    model = Model(lambda rows: rows.select(pl.when(passes).then(0.1).otherwise(0.9)).to_series().to_numpy())
    # No change of one or two features moves a score: only the walk back from records that pass finds the way.
    assert rates(attack(model, table)) == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_walk_is_nearly_as_good_as_trying_every_pair(seed: int) -> None:
    model = trained(HistGradientBoostingClassifier(max_iter=60, random_state=seed))
    target = Target(held_out=payments(), model=model, seed=seed)
    found = rates(registry()["robustness.evasion"].run(target))
    exact = [pairs_exhausted(target, budget) for budget in (1, 2)]
    assert found[0] >= exact[0]
    assert found[1] >= 0.97 * exact[1]


def pairs_exhausted(target: Target, budget: int) -> float:
    """Return the success of trying all values of all sets of `budget` columns, for the same rows."""
    from itertools import combinations, product

    from custody.checks.robustness.evasion import _space

    space, _ = _space(target)
    free = np.zeros(space.rows, dtype=bool)
    for columns in combinations(range(space.columns), budget):
        grid = np.array(list(product(*(range(space.sizes[j]) for j in columns))))
        codes = np.repeat(space.start, len(grid), axis=0)
        codes[:, list(columns)] = np.tile(grid, (space.rows, 1))
        scores = space.ask(np.repeat(space.all, len(grid)), codes).reshape(space.rows, -1)
        free |= (scores < 0.5).any(axis=1)
    return float(free.mean())


def test_hiding_the_slope_does_not_hide_the_model() -> None:
    soft = trained(HistGradientBoostingClassifier(max_iter=60, random_state=0))
    hard = Model(lambda rows: np.round(soft.score(rows)))
    open_rates, masked = rates(attack(soft)), rates(attack(hard))
    assert masked[0] == open_rates[0]
    assert masked[2] >= 0.9 * open_rates[2]


def test_single_changes_are_joined_where_the_greedy_walk_goes_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(rows: pl.DataFrame) -> NDArray[np.float64]:
        lure, first, second = (rows["kind"] == "food"), rows["ratio"] < -1.5, rows["amount"] < 30
        both = (first & second & ~lure).to_numpy()
        return np.where(both, 0.1, 0.9 - 0.2 * lure.to_numpy() - 0.1 * first.to_numpy() - 0.1 * second.to_numpy())

    table = payments(3000)
    plain = (pl.col("kind") != "food") & (pl.col("ratio") >= -1.5) & (pl.col("amount") >= 30)
    table = Table("held-out", table.frame.with_columns(plain.cast(pl.Int8).alias("fraud")), table.columns)
    monkeypatch.setattr(_walk, "_from_donors", lambda *_: None)
    assert rates(attack(Model(score), table)) == [0.0, 1.0, 1.0]


def test_many_small_steps_reach_everybody_where_three_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(8)
    names = [f"x{j}" for j in range(6)]
    frame = pl.DataFrame({name: random.normal(size=500).clip(-1, 1) for name in names})
    total = frame.sum_horizontal()
    table = Table("held-out", frame.with_columns(fraud=(total > 2).cast(pl.Int8)), Columns("fraud", "1"))
    # All six must be low, and the records that pass are kept from the attacker.
    model = Model(lambda rows: logistic(rows.select(names).sum_horizontal().to_numpy() + 5.5))
    monkeypatch.setattr(_walk, "_from_donors", lambda *_: None)
    result = attack(model, table)
    assert rates(result) == [0.0, 0.0, 0.0]
    assert result.details["unbounded"] == 1.0


def test_every_record_tried_could_be_submitted() -> None:
    table = payments()
    model = trained(RandomForestClassifier(20, random_state=0))
    attack(model, table)
    original = table.frame.select("age", "speed", "sex").unique()
    for rows in model.calls:
        assert rows.schema == table.frame.select(table.features).schema
        for name in ("amount", "ratio", "kind"):
            assert rows[name].is_in(table.frame[name].implode()).all()
        assert rows.select("age", "speed", "sex").join(original, on=["age", "speed", "sex"], how="anti").is_empty()


def test_blanks_categories_flags_and_dates_are_attacked_in_their_own_type() -> None:
    random = np.random.default_rng(5)
    rows = 400
    frame = pl.DataFrame(
        {
            "flag": random.random(rows) < 0.5,
            "day": [date(2026, 1, 1 + int(day)) for day in random.integers(0, 28, rows)],
            "note": pl.Series([None if gone else 1.5 for gone in random.random(rows) < 0.2], dtype=pl.Float64),
            "kind": pl.Series(random.choice(["a", "b"], rows), dtype=pl.Categorical),
            "grade": pl.Series(random.choice(["x", "y"], rows), dtype=pl.Enum(["x", "y"])),
            "tags": [["t"]] * rows,
        }
    )
    table = Table("held-out", frame.with_columns(fraud=pl.col("flag").cast(pl.Int8)), Columns("fraud", "1"))

    def score(asked: pl.DataFrame) -> NDArray[np.float64]:
        assert asked.schema == frame.schema
        # Leaving the note blank, late in the month, makes a flagged record pass.
        passes = asked["note"].is_null() & (asked["day"] > date(2026, 1, 20)) & (asked["grade"] == "x")
        return (asked["flag"] & ~passes).to_numpy().astype(np.float64)

    result = attack(Model(score), table)
    assert rates(result)[0] == 1.0  # the flag itself
    assert result.details["mutable"] == 5  # lists are left alone


def test_candidates_are_observed_values_with_their_extremes() -> None:
    table = payments()
    target = Target(held_out=table)
    amounts = _observed(target, "amount", 16)
    assert amounts.dtype == table.frame["amount"].dtype
    assert len(amounts) <= 16
    assert amounts.is_in(table.frame["amount"].implode()).all()
    assert {amounts.min(), amounts.max()} == {table.frame["amount"].min(), table.frame["amount"].max()}
    assert set(_observed(target, "kind", 2)) < {"food", "fuel", "travel", "gifts"}


def broken(change: Callable[[_walk.Space, _walk.Walk], _walk.Walk]) -> Callable[[_walk.Space], _walk.Walk]:
    whole = _walk.attack
    return lambda space: change(space, whole(space))


def test_an_attack_that_does_nothing_is_unknown_and_not_robust(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(space: _walk.Space) -> _walk.Walk:
        return _walk.Walk(dict.fromkeys(_walk.BUDGETS, space.start), space.start)

    monkeypatch.setattr(_walk, "attack", nothing)
    model = trained(HistGradientBoostingClassifier(max_iter=30, random_state=0))
    assert "attack not shown to be strong" in reasons(attack(model))


def test_an_attack_that_does_nothing_does_not_prove_that_the_model_ignores_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Random changes move the score, though none slips past: the model does not ignore the columns.
    def nothing(space: _walk.Space) -> _walk.Walk:
        return _walk.Walk(dict.fromkeys(_walk.BUDGETS, space.start), space.start)

    monkeypatch.setattr(_walk, "attack", nothing)
    model = Model(lambda rows: 0.9 * (rows["speed"] > 1).to_numpy() + 0.01 * (rows["kind"] == "gifts").to_numpy())
    assert "even with every mutable column free" in reasons(attack(model))


def test_an_attack_worse_than_random_changes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _walk,
        "attack",
        broken(lambda space, walk: _walk.Walk(walk.within | {1: space.start, 2: space.start}, walk.unbounded)),
    )
    model = Model(lambda rows: logistic(rows["ratio"].to_numpy() * 5))
    assert "best of 16 random tries" in reasons(attack(model))


def test_an_attack_that_shrinks_with_its_budget_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def shrink(space: _walk.Space, walk: _walk.Walk) -> _walk.Walk:
        last = walk.within[3].copy()
        last[:5] = space.start[:5]
        return _walk.Walk(walk.within | {3: last}, walk.unbounded)

    monkeypatch.setattr(_walk, "attack", broken(shrink))
    assert "success 1.000, 1.000, 0.975" in reasons(attack(Model(lambda rows: logistic(rows["ratio"] * 5))))


def test_an_attack_that_changes_more_than_it_may_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def cheat(space: _walk.Space, walk: _walk.Walk) -> _walk.Walk:
        return _walk.Walk(walk.within | {1: np.zeros_like(space.start)}, walk.unbounded)

    monkeypatch.setattr(_walk, "attack", broken(cheat))
    assert "left its bounds" in reasons(attack(Model(lambda rows: logistic(rows["ratio"] * 5))))


def held(rows: pl.DataFrame) -> NDArray[np.float64]:
    """Score so that what cannot be changed keeps a record caught when it is high, whatever else is done."""
    return logistic(6 * rows["speed"].to_numpy() + 0.5 * rows["ratio"].to_numpy() + rows["amount"].to_numpy() / 500)


def test_a_half_robust_model_counts_when_everything_was_tried() -> None:
    result = attack(Model(held))
    assert 0.0 < rates(result)[2] < 0.9
    assert result.details["exhaustive"]


def test_a_half_robust_model_is_unknown_when_not_everything_could_be_tried() -> None:
    random = np.random.default_rng(1)
    table = payments()
    extra = {f"extra{i}": random.normal(size=table.rows) for i in range(6)}
    columns = Columns("fraud", "1", mutable=("amount", "ratio", "kind", *extra))
    wide = Table("held-out", table.frame.with_columns(**{k: pl.Series(v) for k, v in extra.items()}), columns)
    model = Model(lambda rows: np.clip(held(rows) - 1e-6 * rows.select(list(extra)).sum_horizontal().to_numpy(), 0, 1))
    assert "not all combinations could be tried" in reasons(attack(model, wide))


def test_a_weak_search_is_not_vindicated_by_exhaustion(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(space: _walk.Space) -> tuple[Any, Any]:
        return dict.fromkeys(_walk.BUDGETS, space.start), dict.fromkeys(_walk.BUDGETS, space.base)

    monkeypatch.setattr(_walk, "_forward", blind)
    monkeypatch.setattr(_walk, "_from_donors", lambda *_: None)
    monkeypatch.setattr(_walk, "_descend", lambda *_: None)
    whole = _walk.attack
    monkeypatch.setattr(_walk, "attack", lambda space: whole(space, 100_000))
    model = trained(HistGradientBoostingClassifier(max_iter=30, random_state=0))
    assert "not all combinations could be tried" in reasons(attack(model))


def test_a_model_that_answers_nonsense_is_unknown() -> None:
    def throws(rows: pl.DataFrame) -> NDArray[np.float64]:
        raise RuntimeError("out of memory")

    assert "out of memory" in reasons(attack(Model(throws)))
    assert "not a finite number" in reasons(attack(Model(lambda rows: np.full(rows.height, np.nan))))
    assert "leave [0, 1]" in reasons(attack(Model(lambda rows: rows["amount"].to_numpy().astype(float))))
    assert "shape" in reasons(attack(Model(lambda rows: np.ones((rows.height, 2)))))


def test_a_model_that_breaks_half_way_is_unknown() -> None:
    calls = iter(range(100))

    def tires(rows: pl.DataFrame) -> NDArray[np.float64]:
        scores = logistic(rows["ratio"].to_numpy())
        scores[-1] = np.nan if next(calls) > 1 else scores[-1]
        return scores

    assert "not a finite number" in reasons(attack(Model(tires)))


def test_a_model_that_changes_its_mind_is_unknown() -> None:
    random = np.random.default_rng(0)
    moody = Model(lambda rows: np.clip(logistic(rows["ratio"] * 5) + random.normal(0, 0.01, rows.height), 0, 1))
    assert "asked again" in reasons(attack(moody))


def test_too_few_caught_records_and_no_free_column_are_unknown() -> None:
    assert "catches 0" in reasons(attack(Model(lambda rows: np.full(rows.height, 0.2))))
    fixed = payments(mutable=("nothing",))
    assert "none is mutable" in reasons(attack(Model(lambda rows: logistic(rows["ratio"])), fixed))


def test_questions_are_few_calls_and_bounded_even_for_wide_tables() -> None:
    random = np.random.default_rng(2)
    columns = 120
    values = random.normal(size=(800, columns))
    frame = pl.DataFrame({f"x{j}": values[:, j] for j in range(columns)})
    weights = random.normal(size=columns) / 4
    frame = frame.with_columns(fraud=pl.Series((values @ weights > 0).astype(int)))
    table = Table("held-out", frame, Columns("fraud", "1"))
    model = Model(lambda rows: logistic(4 * (rows.to_numpy() @ weights)))
    result = attack(model, table)
    assert rates(result)[2] > rates(result)[0]
    assert model.queries < 450_000
    assert len(model.calls) < 250


def test_the_same_seed_attacks_the_same_way() -> None:
    model = trained(RandomForestClassifier(20, random_state=0))
    first, again, other = (attack(model, seed=seed) for seed in (4, 4, 5))
    assert first.details == again.details
    assert first.details != other.details
