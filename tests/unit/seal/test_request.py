"""Requests to be enrolled: proof that whoever asks holds the key, for this ledger and this name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from custody.errors import InvalidInput, Tampered
from custody.seal.keys import PersonKey
from custody.seal.request import read_request, write_request

KEY = PersonKey.generate()
SOUND = write_request("custody.loans", "dana", KEY.public, KEY)


def test_a_request_gives_the_public_key_to_who_asks_for_that_name_and_ledger() -> None:
    assert read_request(SOUND, "custody.loans", "dana") == KEY.public
    with pytest.raises(InvalidInput, match="another ledger"):
        read_request(SOUND, "custody.cards", "dana")
    with pytest.raises(InvalidInput, match="by 'dana', not by eve"):
        read_request(SOUND, "custody.loans", "eve")


def test_nobody_asks_with_a_key_they_do_not_hold() -> None:
    eve = PersonKey.generate()
    stolen = write_request("custody.loans", "eve", KEY.public, eve)
    with pytest.raises(Tampered, match="does not hold its private key"):
        read_request(stolen, "custody.loans", "eve")
    borrowed = {**json.loads(SOUND), "name": "eve"}  # dana's proof is not eve's
    with pytest.raises(Tampered, match="does not hold"):
        read_request(json.dumps(borrowed).encode(), "custody.loans", "eve")


@pytest.mark.parametrize(
    "change",
    [{"format": "custody-key-request/2"}, {"more": "x"}, {"proof": 7}, {"proof": "?"}, {"key": "x"}, {"key": None}],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        read_request(json.dumps({**json.loads(SOUND), **change}).encode(), "custody.loans", "dana")
    for raw in (b"", b"[]", SOUND[:-5], SOUND + b" " * 20_000):
        with pytest.raises(InvalidInput):
            read_request(raw, "custody.loans", "dana")
