"""Persons, not names, are what is counted: one human being has one name, for ever."""

from __future__ import annotations

import pytest

from custody.core.actor import Role
from custody.errors import InvalidInput, NotPermitted
from custody.seal.keys import PersonKey
from custody.stages.people import enrol, revoke, revoke_key
from custody.testing import Life


def test_who_was_taken_off_the_list_does_not_come_back_in_another_spelling(life: Life) -> None:
    revoke(life.desk, "olga", "dana")
    key = PersonKey.generate().public
    for other in ("Dana", "d.a.n.a", "DANA"):
        with pytest.raises(NotPermitted, match="reads like 'dana'"):
            enrol(life.desk, "olga", "newcomer", other, frozenset({Role.APPROVER}), key)
    said = enrol(life.desk, "olga", "newcomer", "diana", frozenset({Role.APPROVER}), key)
    assert said.predicate["person"] == "diana"


@pytest.mark.parametrize("person", ["", " ", "-", "x\x1b[31m", "two\nlines"])
def test_a_person_has_a_name_that_people_can_read(life: Life, person: str) -> None:
    size = life.record.size
    with pytest.raises(InvalidInput, match="names no person"):
        enrol(life.desk, "olga", "newcomer", person, frozenset({Role.APPROVER}), PersonKey.generate().public)
    assert life.record.size == size


def test_nobody_revokes_the_key_that_they_stand_by(life: Life) -> None:
    old, size = life.desk.actor("olga").keyid, life.record.size
    with pytest.raises(NotPermitted, match="would undo sam's own word"):
        revoke_key(life.desk, "sam", "olga", "planted by sam", 1, old)
    assert life.record.size == size
    revoke_key(life.desk, "sam", "mel", "mel lost the token", 1)
    assert len(life.record.void) == len([entry for entry in life.record if entry.actor == "mel"])
