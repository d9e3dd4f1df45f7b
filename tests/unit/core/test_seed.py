"""Seed and batch order follow from the checkpoint, the same everywhere."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.core.seed import derive_order, derive_order_key, derive_seed, order_of, other_order_key

ROOT, SEAL, DATA = "00" * 31 + "01", "ab" * 32, [("train", "cd" * 32)]


def test_the_vectors_of_the_documentation_hold() -> None:
    assert derive_seed(ROOT, SEAL, DATA) == 766774017
    key = derive_order_key(ROOT, SEAL, DATA)
    assert key == "d809f2c2f24bae7fe95f598094de0a951d0f855a6bc71849e682bf0c5bb4e2ed"
    assert order_of(key, 10) == [0, 9, 5, 8, 2, 4, 1, 3, 6, 7]
    assert derive_order(ROOT, SEAL, DATA, 1, 10) == [8, 1, 7, 5, 3, 4, 0, 6, 9, 2]
    whole = ",".join(map(str, order_of(key, 100_000, 7)))
    digest = hashlib.sha256(whole.encode()).hexdigest()
    assert digest == "5c069659e9132d0e544aad7d9f858bb2949577e55d1fc7597824270fb9f9b413"


@given(st.binary(min_size=32, max_size=32), st.integers(0, 300), st.integers(0, 2**40))
def test_every_order_is_a_permutation(key: bytes, rows: int, epoch: int) -> None:
    assert sorted(order_of(key.hex(), rows, epoch)) == list(range(rows))


@pytest.mark.parametrize("change", ["root", "seal", "data", "name", "epoch", "rows"])
def test_whatever_it_follows_from_changes_it(change: str) -> None:
    def order(root: str = ROOT, seal: str = SEAL, data: list[tuple[str, str]] = DATA, epoch: int = 0) -> list[int]:
        return derive_order(root, seal, data, epoch, 64)

    other = {
        "root": lambda: order(root="11" * 32),
        "seal": lambda: order(seal="11" * 32),
        "data": lambda: order(data=[("train", "11" * 32)]),
        "name": lambda: order(data=[("other", "cd" * 32)]),
        "epoch": lambda: order(epoch=1),
        "rows": lambda: [row for row in derive_order(ROOT, SEAL, DATA, 0, 65) if row < 64],
    }[change]()
    assert other != order()
    assert sorted(other) == sorted(order())


def test_the_order_of_the_data_in_the_statement_plays_no_part() -> None:
    two = [("a", "11" * 32), ("b", "22" * 32)]
    assert derive_order_key(ROOT, SEAL, two) == derive_order_key(ROOT, SEAL, two[::-1])


def test_seed_and_order_are_of_different_make() -> None:
    assert derive_order_key(ROOT, SEAL, DATA)[:8] != f"{derive_seed(ROOT, SEAL, DATA):08x}"
    assert len({other_order_key(1), other_order_key(2), derive_order_key(ROOT, SEAL, DATA)}) == 3


@pytest.mark.parametrize(("rows", "epoch"), [(-1, 0), (2**31, 0), (1, -1), (1, 2**63)])
def test_no_order_of_what_cannot_be(rows: int, epoch: int) -> None:
    with pytest.raises(ValueError, match="rows must be"):
        order_of("00" * 32, rows, epoch)
