from __future__ import annotations

from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder
from custody.stages.incident import PLAYBOOKS, affected_by, close_incident, open_incident
from custody.testing import Life


def test_an_incident_lists_everything_downstream(life: Life) -> None:
    incident, said = open_incident(life.desk, "otto", "loans", "train", "poisoning", "one source lied")
    affected = [(item["kind"], item["sha256"]) for item in said.predicate["affected"]]
    assert ("model", life.model.sha256) in affected
    assert [kind for kind, _ in affected] == ["run", "model", "admission"]
    assert said.predicate["status"] == "open"
    assert life.record.latest(kinds.INCIDENT, incident=incident) == said


def test_the_held_out_set_has_no_descendants(life: Life) -> None:
    assert affected_by(life.record, "loans", "held-out")[1] == []


def test_a_model_is_found_by_its_first_digits(life: Life) -> None:
    subject, found = affected_by(life.record, "loans", life.model.sha256[:8])
    assert subject == life.model
    assert [item.kind for item in found] == ["admission"]
    with pytest.raises(NotFound):
        affected_by(life.record, "loans", "nothing")


@pytest.mark.parametrize("kind", list(PLAYBOOKS))
def test_each_type_has_first_steps_and_can_be_opened(life: Life, kind: str) -> None:
    assert PLAYBOOKS[kind]
    open_incident(life.desk, "sam", "loans", "", kind, "it was seen")


def test_what_is_no_incident_is_refused(life: Life) -> None:
    with pytest.raises(InvalidInput, match="not a type"):
        open_incident(life.desk, "otto", "loans", "", "weather", "it rains")
    with pytest.raises(InvalidInput, match="what happened"):
        open_incident(life.desk, "otto", "loans", "", "drift", " x ")
    with pytest.raises(NotPermitted):
        open_incident(life.desk, "mel", "loans", "", "drift", "it was seen")


def test_only_a_security_manager_closes_and_says_why(life: Life) -> None:
    incident, said = open_incident(life.desk, "otto", "loans", "", "drift", "it was seen")
    with pytest.raises(NotPermitted):
        close_incident(life.desk, "otto", incident, "it is over, I am sure")
    with pytest.raises(InvalidInput, match="happen again"):
        close_incident(life.desk, "sam", incident, "over")
    closed = close_incident(life.desk, "sam", incident, "trained again on new data")
    assert closed.predicate["status"] == "closed"
    assert closed.predicate["affected"] == said.predicate["affected"]
    for again in (incident, "0000"):
        with pytest.raises(NotFound, match="no open incident"):
            close_incident(life.desk, "sam", again, "trained again on new data")


def test_without_a_model_only_data_can_have_incidents(lived: Any) -> None:
    life = lived("prepared")
    open_incident(life.desk, "otto", "loans", "train", "leak", "found on a forum")
    with pytest.raises(OutOfOrder):
        open_incident(life.desk, "otto", "loans", "", "leak", "found on a forum")
