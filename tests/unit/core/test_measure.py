from __future__ import annotations

import math

import pytest

from custody.core.measure import Finding, Measure
from custody.core.seed import derive_seed


def test_a_sound_measure_stays_as_it_is() -> None:
    sound = Measure("auc", 0.7, 0.6, 0.8, 10, {"by": "sex"})
    assert sound.settled() is sound
    assert sound.to_json() == {"name": "auc", "at": {"by": "sex"}, "value": 0.7, "low": 0.6, "high": 0.8, "n": 10}
    assert Measure.exact("count", 3, 9).settled().value == 3.0


@pytest.mark.parametrize(
    "broken",
    [
        Measure("auc", math.nan, 0.6, 0.8, 10),
        Measure("auc", 0.7, math.nan, 0.8, 10),
        Measure("auc", 0.7, 0.6, math.inf, 10),
        Measure("auc", 0.7, None, 0.8, 10),
        Measure("auc", 0.7, 0.6, None, 10),
        Measure("auc", None, 0.6, 0.8, 10),
        Measure("auc", 0.7, 0.6, 0.8, 0),
        Measure("auc", 0.7, 0.75, 0.8, 10),
        Measure("auc", 0.7, 0.5, 0.6, 10),
        Measure.unknown("auc", "timed out"),
    ],
)
def test_anything_else_is_unknown_with_a_reason(broken: Measure) -> None:
    body = broken.to_json()
    assert body["value"] is body["low"] is body["high"] is None
    assert body["reason"]


def test_a_reason_is_kept() -> None:
    assert Measure.unknown("auc", "timed out").to_json()["reason"] == "timed out"
    assert Measure("auc", math.nan, 0, 1, 5, reason="diverged").settled().reason == "diverged"


def test_a_finding_is_written_whole() -> None:
    body = Finding("critical", "what", "where", "why", "fix").to_json()
    assert body == {"severity": "critical", "what": "what", "where": "where", "why": "why", "fix": "fix"}


def test_the_seed_depends_on_root_seal_and_data_but_not_on_their_order() -> None:
    root, seal, data = "ab" * 32, "cd" * 32, [("a", "1"), ("b", "2")]
    seed = derive_seed(root, seal, data)
    assert 0 <= seed < 2**31
    assert derive_seed(root, seal, data[::-1]) == seed
    others = [
        derive_seed("ac" * 32, seal, data),
        derive_seed(root, "ce" * 32, data),
        derive_seed(root, seal, data[:1]),
        derive_seed(root, seal, [("a", "1"), ("b", "3")]),
        derive_seed(root, seal, [("a", "1"), ("c", "2")]),
    ]
    assert len({seed, *others}) == 6


def test_the_seed_is_this_hmac() -> None:
    import hashlib
    import hmac

    message = b"custody-seed/v1\n" + b"s" + b"\n" + b"1  a\n"
    whole = hmac.digest(bytes(32), message, hashlib.sha256)
    assert derive_seed("00" * 32, "s", [("a", "1")]) == int.from_bytes(whole[:4], "big") % 2**31
