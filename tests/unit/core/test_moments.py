"""Moments have a time zone; what cannot be read has passed."""

from __future__ import annotations

import pytest

from custody.core.moments import end, expired, moment, too_long

NOON, LATER = "2026-07-01T12:00:00+00:00", "2026-07-03T12:00:00+00:00"
UNREADABLE = ["", "soon", "2999-01-01", "2999-01-01T00:00:00", "None", "2999-13-01T00:00:00+00:00"]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_has_passed(text: str) -> None:
    assert moment(text) is None
    assert expired(text, NOON)
    assert expired(LATER, text)
    assert end(text) < end("0001-01-02T00:00:00+00:00")
    assert too_long(text, LATER, NOON, 30)
    assert too_long(NOON, text, NOON, 30)
    assert too_long(NOON, LATER, text, 30)


def test_an_end_is_not_part_of_what_it_ends() -> None:
    assert not expired(LATER, NOON)
    assert expired(NOON, NOON)
    assert expired(NOON, LATER)


def test_ends_are_compared_as_moments_not_as_text() -> None:
    east = "2026-07-02T01:00:00+14:00"
    assert east > NOON
    assert end(east) < end(NOON)
    assert expired(east, NOON)


def test_a_waiver_has_a_longest_time_and_no_future() -> None:
    assert not too_long(NOON, LATER, NOON, 2)
    assert too_long(NOON, LATER, NOON, 1)
    assert too_long(LATER, LATER, NOON, 30)
    assert too_long(NOON, LATER, NOON, None)
