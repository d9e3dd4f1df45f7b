from __future__ import annotations

import copy
from typing import Any

import pytest

from custody.core.amendment import changes
from custody.testing import criteria_document

OLD: dict[str, Any] = {
    "criteria": criteria_document("loans"),
    "held_out": {"name": "held-out", "sha256": "ab" * 32},
    "policy": {"approvals": 2},
    "evaluator": "e",
}


def new(**criterion: Any) -> dict[str, Any]:
    """Return the seal with fields of its first criterion changed; None takes one out."""
    body = copy.deepcopy(OLD)
    item = body["criteria"]["criterion"][0]
    for name, value in criterion.items():
        item.pop(name, None)
        if value is not None:
            item[name] = value
    return body


def document(**fields: Any) -> dict[str, Any]:
    body = copy.deepcopy(OLD)
    body["criteria"].update(fields)
    return body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (new(), []),
        (new(at_least=0.6), ["loosened: P1 at_least is 0.6, was 0.75"]),
        (new(at_least=0.9), ["tightened: P1 at_least is 0.9, was 0.75"]),
        (new(at_least=None), ["loosened: P1 at_least is none, was 0.75"]),
        (new(at_most=0.99), ["tightened: P1 at_most is 0.99, was none"]),
        (new(waivable=False), ["tightened: P1 may no longer be waived"]),
        (new(measure="performance.classification.recall"), ["changed: P1 measure is performance.classification.recall, "
         "was performance.classification.balanced_accuracy"]),
        (document(max_openings=9), ["loosened: max_openings is 9, was 3"]),
        (document(max_attempts=1), ["tightened: max_attempts is 1, was 3"]),
        (document(confidence=0.9), ["loosened: confidence is 0.9, was 0.95"]),
        (document(not_applicable={"fairness": "nobody"}), ["loosened: fairness is said not to apply: nobody"]),
        ({**OLD, "held_out": {"name": "fresh", "sha256": "cd" * 32}},
         ["changed: the held-out set is fresh, was held-out"]),
        ({**OLD, "policy": {}}, ["changed: the owner's policy"]),
        ({**OLD, "evaluator": "f"}, ["changed: the evaluator"]),
    ],
    ids=range(14),
)  # fmt: skip
def test_each_change_says_which_way_it_goes(body: dict[str, Any], said: list[str]) -> None:
    assert changes(OLD, body) == said


def test_the_other_way_round_is_the_other_way() -> None:
    assert changes(document(not_applicable={"fairness": "x"}), OLD) == ["tightened: fairness applies again"]
    lower = copy.deepcopy(OLD)
    lower["criteria"]["criterion"][1]["at_most"] = 0.3
    assert changes(OLD, lower) == ["loosened: F1 at_most is 0.3, was 0.1"]
    assert changes(lower, OLD) == ["tightened: F1 at_most is 0.1, was 0.3"]
    assert changes(new(waivable=False), OLD) == ["loosened: P1 may now be waived"]


def test_criteria_that_come_and_go_are_named_with_their_bounds() -> None:
    less = copy.deepcopy(OLD)
    gone = less["criteria"]["criterion"].pop(0)
    assert changes(OLD, less) == [f"removed: P1 ({gone['measure']} >= 0.75)"]
    assert changes(less, OLD) == [f"added: P1 ({gone['measure']} >= 0.75)"]


@pytest.mark.parametrize("junk", [None, 3, "x", [None], [1], {}])
def test_criteria_that_cannot_be_read_are_gone(junk: Any) -> None:
    body = document(criterion=junk)
    assert len([change for change in changes(OLD, body) if change.startswith("removed")]) == 5
    assert changes(body, body) == []
    assert changes(document(not_applicable=junk), document(not_applicable=junk)) == []
    assert changes(OLD, new(at_least="much")) == ["changed: P1 at_least is much, was 0.75"]
