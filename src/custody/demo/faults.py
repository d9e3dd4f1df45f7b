"""Faults to plant in the simulated bank's life, one at a time.

Functions on frames return a changed copy; functions on files change the file. Nothing here is
dangerous: the malicious pickle asks for the working directory and nothing else.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl


def poison_labels(frame: pl.DataFrame, source: str, share: float, seed: int) -> pl.DataFrame:
    """Let one source report `share` (0 to 1) of its frauds as honest, as a bribed partner would."""
    import polars as pl

    return _relabel(frame, pl.col("source") == source, share, seed, f"the frame has no fraud from {source!r}")


def bias_group(
    train: pl.DataFrame, *, column: str = "region", group: str = "islands", share: float = 0.9, seed: int = 0
) -> pl.DataFrame:
    """Leave `share` of one group's frauds uninvestigated, so that training records them as honest.

    The model never sees `region`, but `branch` tells it, so it learns to look away from that group.
    """
    import polars as pl

    return _relabel(train, pl.col(column) == group, share, seed, f"the frame has no fraud with {column} {group!r}")


def leak_rows(train: pl.DataFrame, held_out: pl.DataFrame, share: float, seed: int = 0) -> pl.DataFrame:
    """Replace `share` of the held-out rows by training rows under fresh transaction ids."""
    import polars as pl

    _need_share(share)
    wanted = min(round(held_out.height * share), train.height)
    if not wanted:
        raise InvalidInput(f"a share of {share} of {held_out.height} rows leaks no row")
    ids = held_out.sample(wanted, seed=seed)["transaction_id"]
    stolen = train.sample(wanted, seed=seed + 1).with_columns(ids.alias("transaction_id"))
    kept = held_out.filter(~pl.col("transaction_id").is_in(ids.implode()))
    return pl.concat([kept, stolen]).sort("time", "transaction_id")


def add_leaky_feature(train: pl.DataFrame, held_out: pl.DataFrame, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add `chargeback_code` to both tables: a fact that the bank learns weeks after the payment.

    About 98 % of frauds carry a code other than `none`, and 0.2 % of honest payments do.
    """
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    codes = np.array(["10.4", "10.5", "11.3", "13.1"])

    def known_later(frame: pl.DataFrame) -> pl.DataFrame:
        fraud = frame["is_fraud"].to_numpy() == 1
        marked = rng.random(frame.height) < np.where(fraud, 0.985, 0.002)
        code = np.where(marked, codes[rng.integers(0, codes.size, frame.height)], "none")
        return frame.with_columns(pl.Series("chargeback_code", code))

    return known_later(train), known_later(held_out)


def drift_month(live: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Change the world between two months: one partner reports cents, and more people pay online.

    The amounts of `partner_c` come a hundredfold; a third of the card payments turn into online ones.
    """
    import numpy as np
    import polars as pl

    turned = pl.Series(np.random.default_rng(seed).random(live.height) < 1 / 3)
    cents = pl.col("source") == "partner_c"
    return live.with_columns(
        pl.when(cents).then(pl.col("amount") * 100).otherwise(pl.col("amount")).round(2).alias("amount"),
        pl.when(cents).then(pl.col("amount_ratio") * 100).otherwise(pl.col("amount_ratio")).alias("amount_ratio"),
        pl.when(turned).then(pl.lit("online")).otherwise(pl.col("channel")).alias("channel"),
    )


def swap_dataset(path: Path, source: str = "acquirer_a", share: float = 0.5, seed: int = 0) -> None:
    """Write another data set over the registered one, as someone with access to the disk could."""
    import polars as pl

    poison_labels(pl.read_csv(path), source, share, seed).write_csv(path)


class _Payload:
    """An object whose unpickling calls a function: what makes a pickle a program."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return os.getcwd, ()


def malicious_pickle(path: Path) -> None:
    """Write a pickle that runs code when it is loaded; the code is `os.getcwd()`, which harms nobody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"model": _Payload(), "version": "1.0"}))


def swap_weights(model: Path, replacement: Path | None = None) -> None:
    """Put another model in the place of the approved one.

    Without `replacement`, a single bit in the middle of the file is turned over: the smallest swap there is.
    """
    if replacement is not None:
        model.write_bytes(replacement.read_bytes())
        return
    raw = bytearray(model.read_bytes())
    if not raw:
        raise InvalidInput(f"{model.name} is empty; there are no weights to swap")
    raw[len(raw) // 2] ^= 1
    model.write_bytes(bytes(raw))


def _relabel(frame: pl.DataFrame, where: pl.Expr, share: float, seed: int, nothing: str) -> pl.DataFrame:
    """Turn `share` of the frauds in some rows into honest payments, chosen by `seed`."""
    import numpy as np
    import polars as pl

    _need_share(share)
    rows = frame.select((where & (pl.col("is_fraud") == 1)).arg_true()).to_series().to_numpy()
    if not rows.size:
        raise InvalidInput(nothing)
    turned = np.random.default_rng(seed).choice(rows, max(1, round(rows.size * share)), replace=False)
    labels = frame["is_fraud"].to_numpy().copy()
    labels[turned] = 0
    return frame.with_columns(pl.Series("is_fraud", labels))


def _need_share(share: float) -> None:
    if not 0 < share <= 1:
        raise InvalidInput(f"share is {share}; it must be above 0 and at most 1")
