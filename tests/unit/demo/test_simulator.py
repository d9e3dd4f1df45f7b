"""The simulated bank: repeatable, free of repeated rows, fair by construction, and blind to the future."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from custody.demo import simulator
from custody.demo.simulator import COLUMNS, FEATURES, Life, simulate, write
from custody.errors import InvalidInput


@pytest.fixture(scope="module")
def life() -> Life:
    return simulate(7)


def frames(life: Life) -> dict[str, pl.DataFrame]:
    return {"train": life.train, "held_out": life.held_out, "live": life.live_clean}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    def digests(seed: int, name: str) -> dict[str, str]:
        small = simulate(seed, train_customers=40, held_out_customers=40, live_customers=40)
        return {
            key: hashlib.sha256(path.read_bytes()).hexdigest()
            for key, path in write(small, tmp_path / name).items()
            if path.suffix == ".csv"
        }

    first = digests(3, "a")
    assert first == digests(3, "b")
    assert not set(first.values()) & set(digests(4, "c").values())


def test_the_cohorts_share_no_customer_and_no_transaction(life: Life) -> None:
    for column in ("customer_id", "transaction_id"):
        sets = [set(frame[column]) for frame in frames(life).values()]
        assert sum(map(len, sets)) == len(set.union(*sets))


def test_no_two_payments_look_the_same(life: Life) -> None:
    whole = pl.concat([frame.select(FEATURES) for frame in frames(life).values()])
    assert not whole.is_duplicated().any()


def test_the_cohorts_follow_each_other_in_time(life: Life) -> None:
    spans = {name: (frame["time"].min(), frame["time"].max()) for name, frame in frames(life).items()}
    assert spans["train"][0] >= "2025-10-01"
    assert spans["train"][1] < "2026-01-01" <= spans["held_out"][0]
    assert spans["held_out"][1] < "2026-02-01" <= spans["live"][0]
    assert spans["live"][1] < "2026-03-01"


def test_rows_are_in_time_order_and_complete(life: Life) -> None:
    for frame in frames(life).values():
        assert frame["time"].is_sorted()
        assert sum(frame.null_count().row(0)) == 0
        assert frame["amount"].min() > 0
        assert set(frame["hour"]) <= set(range(24))


@pytest.mark.parametrize("seed", [1, 7])
def test_fraud_is_as_frequent_as_documented_in_every_group(seed: int) -> None:
    life = simulate(seed)
    for frame in (life.train, life.held_out):
        assert 0.045 < frame["is_fraud"].mean() < 0.075
        for column in ("sex", "region", "source"):
            rates = frame.group_by(column).agg(pl.col("is_fraud").mean())["is_fraud"]
            assert rates.max() - rates.min() < 0.02


def test_no_single_feature_gives_fraud_away(life: Life) -> None:
    from sklearn import metrics

    truth = life.held_out["is_fraud"].to_numpy()
    for name in FEATURES:
        column = life.held_out[name]
        known = life.train.group_by(name).agg(pl.col("is_fraud").mean())
        if column.dtype == pl.String:
            rates = dict(zip(known[name], known["is_fraud"], strict=True))
            column = column.replace_strict(rates, default=0.0)
        area = metrics.roc_auc_score(truth, column.to_numpy())
        assert max(area, 1 - area) < 0.9, name


def test_late_labels_belong_to_the_live_month(life: Life) -> None:
    assert "is_fraud" not in life.live_clean.columns
    assert life.live_labels["transaction_id"].to_list() == life.live_clean["transaction_id"].to_list()
    assert 0.04 < life.live_labels["is_fraud"].mean() < 0.08


def test_a_payment_knows_only_its_customers_past() -> None:
    """Recompute the three looks back for one customer by hand, from what `_past` was given."""
    rows = simulator._Payments(
        customer=np.array([0, 0, 0, 1]),
        minute=np.array([100.0, 160.0, 160.0 + 1441.0, 170.0]),
        amount=np.array([10.0, 30.0, 40.0, 99.0]),
        merchant=np.zeros(4, dtype=np.int64),
        channel=np.zeros(4, dtype=np.int64),
        distance=np.zeros(4),
        abroad=np.zeros(4, dtype=bool),
        way=np.full(4, -1),
    )
    count, gap, ratio = simulator._past(rows)
    assert count.tolist() == [0, 1, 0, 0]
    assert gap.tolist() == pytest.approx([720.0, 1.0, 1441 / 60, 720.0])
    assert ratio.tolist() == pytest.approx([1.0, 3.0, 2.0, 1.0])


def test_a_later_payment_changes_nothing_about_earlier_ones() -> None:
    def past(last: float) -> list[list[float]]:
        rows = simulator._Payments(
            np.zeros(3, dtype=np.int64),
            np.array([1.0, 50.0, 90.0]),
            np.array([5.0, 6.0, last]),
            *(np.zeros(3) for _ in range(5)),
        )
        return [looked[:2].tolist() for looked in simulator._past(rows)]

    assert past(7.0) == past(70_000.0)


def test_the_columns_mean_what_they_say(life: Life) -> None:
    names = set(life.train.columns)
    assert set(FEATURES) <= names
    assert set(COLUMNS["ignore"]) | set(COLUMNS["sensitive"]) | set(COLUMNS["mutable"]) <= names
    assert set(FEATURES) == names - set(COLUMNS["ignore"]) - set(COLUMNS["sensitive"]) - {COLUMNS["target"]}


def test_too_small_a_bank_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 30"):
        simulate(1, held_out_customers=3)


def test_simulating_takes_about_a_second_of_cpu() -> None:
    start = time.process_time()
    simulate(11)
    assert time.process_time() - start < 3.0


def test_the_training_script_reads_the_bank_and_knows_no_ledger(tmp_path: Path) -> None:
    # What it imports for its batch order and its transcript knows no ledger either, and runs alone, as here.
    assert not re.search(r"^\s*(import|from) custody\b", simulator.TRAIN_SCRIPT.read_text(), re.MULTILINE)
    write(simulate(5, train_customers=120, held_out_customers=30, live_customers=30), tmp_path)
    done = subprocess.run(
        [sys.executable, str(simulator.TRAIN_SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["metrics.json", "model.joblib"]
