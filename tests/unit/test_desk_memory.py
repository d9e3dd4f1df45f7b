"""A second visit spares the signature checks of the first, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.errors import Tampered
from custody.seal import envelope
from custody.seal.envelope import Envelope
from custody.testing import Life
from custody.wiring import Custody


@pytest.fixture
def life(tmp_path: Path) -> Life:
    life = Life(tmp_path, "loans")
    life.enrol_all()
    return life


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the signature checks of statements; each call begins anew."""
    real, seen = envelope.verify_p256, []

    def verify(public_key: str, signature: bytes, message: bytes) -> None:
        seen.append(message)
        real(public_key, signature, message)

    monkeypatch.setattr(envelope, "verify_p256", verify)

    def counted() -> int:
        found = len(seen)
        seen.clear()
        return found

    return counted


def forge(life: Life, index: int) -> None:
    """Put another signature under an entry: its leaf and the root stay the same."""
    path = life.custody.config.ledger
    connection = sqlite3.connect(path)
    (raw,) = connection.execute("SELECT envelope FROM entry WHERE idx = ?", (index,)).fetchone()
    one = Envelope.from_bytes(raw)
    other = Envelope(one.payload, one.keyid, bytes([*one.signature[:-1], one.signature[-1] ^ 1]))
    connection.execute("UPDATE entry SET envelope = ? WHERE idx = ?", (other.to_bytes(), index))
    connection.commit()
    connection.close()


def test_a_second_visit_checks_only_the_signatures_that_are_new(life: Life, count: Callable[[], int]) -> None:
    size = life.record.size
    count()
    first = Custody(life.custody.config).desk.read()
    assert count() == 0
    assert first == life.record
    life.decide_source()
    count()
    assert Custody(life.custody.config).desk.read().size > size
    assert count() == 0, "what this client wrote it has verified"
    assert Custody(life.custody.config).desk.thoroughly().read() == life.record
    assert count() == life.record.size


def test_a_client_without_memory_checks_all(life: Life, count: Callable[[], int]) -> None:
    size = life.record.size
    for path in life.custody.config.state.glob("*.verified.json"):
        path.unlink()
    count()
    Custody(life.custody.config).desk.read()
    assert count() == size


def test_a_signature_changed_after_the_visit_is_caught_and_named(life: Life) -> None:
    assert life.record.size > 5
    forge(life, 3)
    for desk in (Custody(life.custody.config).desk, Custody(life.custody.config).desk.thoroughly()):
        with pytest.raises(Tampered, match="entry 3 does not count: the signature does not fit"):
            desk.read()
