"""Three sentences on freshness, and never a plain OK on first contact without a witness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from custody.records.freshness import FRESH_DAYS, NOT_PROVEN, UNPROVEN, Freshness, assess
from custody.testing import Life, honest_life
from custody.wiring import Custody, open_custody

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
AT = NOW.isoformat()


def ago(**span: float) -> int:
    return int((NOW - timedelta(**span)).timestamp())


def test_first_contact_without_a_witness_is_unproven() -> None:
    found = assess(40, None, [], 0, AT)
    assert (found.state, found.sentence, found.proven, found.enough) == ("unproven", UNPROVEN, False, True)
    assert not NOT_PROVEN.proven


def test_what_was_seen_before_is_told_with_its_size() -> None:
    found = assess(40, 33, [], 0, AT)
    assert found.sentence == "consistent with the 33 entries seen before"
    assert found.proven


def test_a_witness_is_told_with_its_moment_and_size() -> None:
    found = assess(40, None, [(38, {"eye.example/b": ago(hours=1), "eye.example/a": ago(hours=1)})], 2, AT)
    assert found.sentence == "witnessed by eye.example/a, eye.example/b at 2026-07-01T11:00:00+00:00 (size 38)"
    assert (found.state, found.size, found.names) == ("witnessed", 38, ("eye.example/a", "eye.example/b"))
    assert found.enough


def test_witnesses_come_before_memory() -> None:
    assert assess(40, 40, [(40, {"a": ago(hours=1)})], 1, AT).state == "witnessed"


def test_without_a_quorum_one_witness_is_needed() -> None:
    assert assess(40, None, [(40, {})], 0, AT).state == "unproven"
    assert assess(40, None, [(40, {"a": ago(hours=1)})], 0, AT).state == "witnessed"


def test_too_few_witnesses_prove_nothing() -> None:
    found = assess(40, None, [(40, {"a": ago(hours=1)})], 2, AT)
    assert (found.sentence, found.enough, found.needed) == (UNPROVEN, False, 2)
    assert assess(40, 12, [(40, {"a": ago(hours=1)})], 2, AT).sentence == "consistent with the 12 entries seen before"


def test_witnesses_of_several_checkpoints_are_not_added_up() -> None:
    one, two = (39, {"a": ago(hours=1)}), (40, {"b": ago(hours=1)})
    assert assess(40, None, [one, two], 2, AT).state == "unproven"


def test_the_newest_witnessed_checkpoint_counts() -> None:
    older, newer = (10, {"a": ago(hours=5)}), (20, {"a": ago(hours=2)})
    for order in ([older, newer], [newer, older]):
        assert assess(40, None, order, 1, AT).size == 20


@pytest.mark.parametrize(
    ("age", "state"), [(FRESH_DAYS - 0.01, "witnessed"), (FRESH_DAYS, "unproven"), (400, "unproven")], ids=str
)
def test_an_old_word_is_not_fresh(age: float, state: str) -> None:
    found = assess(40, None, [(40, {"a": ago(days=age)})], 1, AT)
    assert found.state == state
    if state == "unproven":
        assert found.sentence.startswith("freshness unproven: last witnessed by a at ")
        assert not found.enough


def test_the_quorum_is_as_old_as_its_oldest_word() -> None:
    """A second witness from last year is not made fresh by one from today."""
    assert assess(40, None, [(40, {"a": ago(hours=1), "b": ago(days=300)})], 2, AT).state == "unproven"
    assert assess(40, None, [(40, {"a": ago(hours=1), "b": ago(days=300)})], 1, AT).state == "witnessed"


def test_a_word_from_the_future_does_not_count() -> None:
    assert assess(40, None, [(40, {"a": ago(minutes=-4)})], 1, AT).state == "witnessed"
    assert assess(40, None, [(40, {"a": ago(minutes=-6)})], 1, AT).state == "unproven"
    assert assess(40, None, [(40, {"a": 2**53})], 1, AT).state == "unproven"


def test_a_witnessed_size_that_the_ledger_has_not_reached_does_not_count() -> None:
    assert assess(40, None, [(41, {"a": ago(hours=1)})], 1, AT).state == "unproven"
    assert assess(40, None, [(0, {"a": ago(hours=1)})], 1, AT).state == "unproven"


def test_a_trust_root_that_has_ended_proves_nothing() -> None:
    signed = [(40, {"a": ago(hours=1)})]
    assert assess(40, None, signed, 1, AT, ago_text(days=-1)).state == "witnessed"
    for expires in (ago_text(days=1), AT, "soon"):
        found = assess(40, 40, signed, 1, AT, expires)
        assert (found.state, found.enough) == ("unproven", False)
        assert "the trust root ended at" in found.sentence


def ago_text(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat()


def test_a_clock_that_cannot_be_read_proves_nothing() -> None:
    assert assess(40, None, [(40, {"a": ago(hours=1)})], 1, "today").state == "unproven"
    assert assess(40, None, [(40, {"a": ago(hours=1)})], 1, "2026-07-01T12:00:00").state == "unproven"


def test_its_parts_go_into_an_answer() -> None:
    found = Freshness("witnessed", "witnessed by a", 1, ("a",), 7, AT)
    assert found.to_json() == {"state": "witnessed", "sentence": "witnessed by a", "witnesses": ["a"], "size": 7}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return honest_life(tmp_path_factory.mktemp("life"))


def elsewhere(life: Life, monkeypatch: pytest.MonkeyPatch, state: str) -> Custody:
    monkeypatch.setenv("CUSTODY_STATE", state)
    return open_custody(life.custody.config.root)


def test_reading_again_does_not_make_a_first_contact_fresh(
    life: Life, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = str(tmp_path_factory.mktemp("state"))
    first = elsewhere(life, monkeypatch, state)
    for _ in range(3):
        first.desk.read()
        assert first.freshness().sentence == UNPROVEN
    size = first.desk.read().size
    assert elsewhere(life, monkeypatch, state).freshness().sentence == f"consistent with the {size} entries seen before"
