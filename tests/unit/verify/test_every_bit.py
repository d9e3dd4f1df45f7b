"""No bit of a bundle can be turned, and nothing that it says changed, without being noticed."""

from __future__ import annotations

import random
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

FUZZ = Path(__file__).parents[3] / "fuzz" / "bundle.py"


@pytest.fixture(scope="module")
def fuzz() -> dict[str, Any]:
    return runpy.run_path(str(FUZZ))


def test_the_sound_bundle_is_accepted_and_small_enough_to_try_every_bit(fuzz: dict[str, Any]) -> None:
    raw = fuzz["sound"]()[0]
    assert fuzz["one_input"](raw)
    assert 5_000 < len(raw) <= 20_000


@pytest.mark.parametrize("part", range(4))
def test_every_single_bit_that_is_flipped_is_refused(fuzz: dict[str, Any], part: int) -> None:
    raw = fuzz["sound"]()[0]
    flipped = cast(Callable[[bytes], Iterator[bytes]], fuzz["flipped"])
    tried = 0
    for number, changed in enumerate(flipped(raw)):
        if number % 4 == part:
            assert not fuzz["accepts"](changed), f"bit {number % 8} of byte {number // 8}"
            tried += 1
    assert tried == 2 * len(raw)


def test_every_change_of_content_is_refused_and_no_other(fuzz: dict[str, Any]) -> None:
    raw, chance = fuzz["sound"]()[0], random.Random(20_261_122)
    changed = [fuzz["mutated"](raw, chance) for _ in range(2_000)]
    assert sum(one != raw for one in changed) > 1_800
    taken = [one for one in changed if fuzz["one_input"](one)]
    assert all(fuzz["content"](one) == fuzz["content"](raw) for one in taken)
    assert 10 < len(taken) < 500
