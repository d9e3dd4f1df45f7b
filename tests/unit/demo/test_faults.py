"""Each fault changes what it says and nothing else."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from custody.demo import faults
from custody.demo.simulator import Life, simulate
from custody.errors import InvalidInput


@pytest.fixture(scope="module")
def life() -> Life:
    return simulate(7, train_customers=150, held_out_customers=150, live_customers=150)


def relabelled(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose label changed, having made sure that nothing else did."""
    assert after.drop("is_fraud").equals(before.drop("is_fraud"))
    return before.filter(before["is_fraud"] != after["is_fraud"])


def test_poisoning_turns_the_frauds_of_one_source_into_honest_payments(life: Life) -> None:
    turned = relabelled(life.train, faults.poison_labels(life.train, "partner_c", 0.5, seed=1))
    assert set(turned["source"]) == {"partner_c"}
    assert set(turned["is_fraud"]) == {1}
    frauds = life.train.filter((pl.col("source") == "partner_c") & (pl.col("is_fraud") == 1)).height
    assert turned.height == round(frauds * 0.5)


def test_the_same_seed_plants_the_same_fault(life: Life) -> None:
    first = faults.poison_labels(life.train, "partner_c", 0.5, seed=1)
    assert first.equals(faults.poison_labels(life.train, "partner_c", 0.5, seed=1))
    assert not first.equals(faults.poison_labels(life.train, "partner_c", 0.5, seed=2))


def test_bias_hides_the_frauds_of_one_region(life: Life) -> None:
    turned = relabelled(life.train, faults.bias_group(life.train))
    assert set(turned["region"]) == {"islands"}
    assert set(turned["is_fraud"]) == {1}


def test_leaked_rows_stand_in_both_tables_under_new_ids(life: Life) -> None:
    leaked = faults.leak_rows(life.train, life.held_out, 0.1)
    assert leaked.height == life.held_out.height
    assert set(leaked["transaction_id"]) == set(life.held_out["transaction_id"])
    facts = [name for name in leaked.columns if name != "transaction_id"]
    assert leaked.join(life.train, on=facts, how="semi").height == round(life.held_out.height * 0.1)
    assert life.held_out.join(life.train, on=facts, how="semi").height == 0


def test_the_leaky_feature_nearly_is_the_label(life: Life) -> None:
    train, held_out = faults.add_leaky_feature(life.train, life.held_out)
    for before, after in ((life.train, train), (life.held_out, held_out)):
        assert after.drop("chargeback_code").equals(before)
        marked = after["chargeback_code"] != "none"
        assert after.filter(pl.col("is_fraud") == 1).filter(pl.col("chargeback_code") != "none").height > 0
        assert (marked.cast(pl.Int64) == after["is_fraud"]).mean() > 0.98


def test_the_drifted_month_has_other_units_and_channels_and_the_same_payments(life: Life) -> None:
    live, drifted = life.live_clean, faults.drift_month(life.live_clean)
    changed = ("amount", "amount_ratio", "channel")
    assert drifted.drop(changed).equals(live.drop(changed))
    partner = live["source"] == "partner_c"
    assert np.allclose(drifted.filter(partner)["amount"], live.filter(partner)["amount"] * 100)
    assert drifted.filter(~partner)["amount"].equals(live.filter(~partner)["amount"])
    online = [(frame["channel"] == "online").mean() for frame in (live, drifted)]
    assert online[1] > online[0] + 0.2


def test_the_malicious_pickle_calls_a_function_that_harms_nobody(tmp_path: Path) -> None:
    faults.malicious_pickle(tmp_path / "model" / "model.joblib")
    raw = (tmp_path / "model" / "model.joblib").read_bytes()
    assert "REDUCE" in {opcode.name for opcode, _, _ in pickletools.genops(raw)}
    assert pickle.loads(raw) == {"model": str(Path.cwd()), "version": "1.0"}


def test_swapped_weights_differ_in_one_bit_or_altogether(tmp_path: Path) -> None:
    model, other = tmp_path / "model.joblib", tmp_path / "other.joblib"
    model.write_bytes(b"approved weights")
    other.write_bytes(b"other weights")
    faults.swap_weights(model)
    assert sum(bin(a ^ b).count("1") for a, b in zip(model.read_bytes(), b"approved weights", strict=True)) == 1
    faults.swap_weights(model, other)
    assert model.read_bytes() == b"other weights"


def test_a_swapped_dataset_has_other_labels_and_the_same_size(life: Life, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    life.train.write_csv(path)
    faults.swap_dataset(path)
    swapped = pl.read_csv(path)
    assert swapped.height == life.train.height
    assert swapped["is_fraud"].sum() < life.train["is_fraud"].sum()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(life: Life, share: float) -> None:
    for plant in (
        lambda: faults.poison_labels(life.train, "partner_c", share, 1),
        lambda: faults.bias_group(life.train, share=share),
        lambda: faults.leak_rows(life.train, life.held_out, share),
    ):
        with pytest.raises(InvalidInput, match="share"):
            plant()


def test_a_fault_that_would_change_nothing_is_refused(life: Life, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no fraud from 'nobody'"):
        faults.poison_labels(life.train, "nobody", 0.5, 1)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InvalidInput, match="empty"):
        faults.swap_weights(tmp_path / "empty")
