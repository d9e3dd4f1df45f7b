"""Two judges written apart, one record: whatever is done to the record, they must rule alike, and neither may raise."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.decision import Decision
from custody.core.evidence import Evidence, Record
from custody.core.predicates import check_predicate
from custody.core.release import decide
from custody.core.subject import Subject
from custody.desk import now
from custody.errors import InvalidInput
from custody.testing import Life, digest, trained_life
from custody_verify import rules
from custody_verify.ledger import History, Past
from custody_verify.roster import Entry
from custody_verify.vocabulary import KINDS

NOW = now() + timedelta(minutes=10)
MOMENTS = [
    NOW.isoformat(),
    (NOW + timedelta(days=25)).isoformat(),
    (NOW + timedelta(days=400)).isoformat(),
    "today",
    "",
]
Said = dict[str, Any]


@cache
def life_with_everything() -> tuple[tuple[Evidence, ...], dict[int, str], str]:
    """Return a record that every rule has something to say about, its root at each size, and the model."""
    with TemporaryDirectory() as folder:
        life, seal = trained_life(Path(folder))
        life.train(seal, "run2")
        life.start(seal, "run3")
        life.validate(seal, balanced_accuracy=(0.76, 0.74, 0.78))
        life.waive("P1")
        live = life.result("live.drift", {"drifted_features": (0.0, 0.0, 0.0)}, {}, stage="runtime")
        life.say("otto", Action.WATCH, life.model, kinds.CHECK_RESULT, live)
        for subject in (life.model, Subject("train", life.train_data)):
            incident(life, subject)
        glass = {
            "name": "otto",
            "roles": ["security_manager"],
            "status": "granted",
            "emergency": True,
            "reason": "fire",
        }
        taken = life.forge("otto", life.case, kinds.GRANT, {**glass, "expires": life.later(0.1)})
        review = {"of": life.record.entries[taken].digest, "verdict": "upheld", "findings": [], "reason": "seen"}
        life.forge("sam", life.case, kinds.ACCESS_REVIEW, review)
        start = life.record.of_kind(kinds.TRAINING_START)[0]
        check = {"run": "run1", "start": start.digest, "steps": 3, "verdict": "agrees", "cause": "", "isolation": {}}
        life.forge("val", start.subject, kinds.SPOT_CHECK, check)
        for who in ("ari", "cora"):
            life.approve(who)
        assert str(life.decide().verdict) == "GO"
        reading = life.desk.log.read()
        roots = {size: frontier.root.hex() for size, frontier in reading.frontiers.items()}
        return tuple(life.record.entries), roots, life.model.sha256


def incident(life: Life, subject: Subject) -> None:
    said = {"incident": digest(subject.name)[:8], "type": "evasion", "reason": "seen", "affected": []}
    life.say("otto", Action.OPEN_INCIDENT, subject, kinds.INCIDENT, {**said, "status": "open"})
    life.say("sam", Action.CLOSE_INCIDENT, subject, kinds.INCIDENT, {**said, "status": "closed"})


class Roots:
    """The tree of the unspoilt life, for the verifier."""

    def root(self, size: int) -> str:
        return life_with_everything()[1].get(size, "")


def both(entries: list[Evidence], at: str, void: frozenset[int] = frozenset()) -> tuple[Decision, rules.Judgement]:
    """Let the product and the verifier judge the same entries."""
    _, roots, model = life_with_everything()
    numbered = [replace(entry, index=index) for index, entry in enumerate(entries)]
    record = Record(numbered, len(numbered), roots.get(len(numbered), ""), roots, void)
    entered = [
        Entry(
            e.index,
            e.digest,
            e.subject.name,
            e.subject.sha256,
            KINDS[e.kind],
            dict(e.predicate),
            e.keyid,
            e.actor,
            e.person,
            e.roles,
        )
        for e in numbered
    ]
    history = History(entered, Roots(), "", [(-1, void)])  # type: ignore[arg-type]
    return decide(record, model, "loans", at), rules.decide(Past(history, len(numbered)), model, "loans", at)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything inside a JSON value."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def at_path(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 31, 10**6, 2**53, 0.5, 0.09, -0.5, 1e300, "", "x", "closed", "open", "accepted"),
    *(
        "treated",
        "reject",
        "approve",
        "validation",
        "runtime",
        "trusted",
        "untrusted",
        "none",
        "training_data",
        "model",
    ),
    *(
        [],
        {},
        [None],
        [1],
        [{}],
        [[]],
        {"by": "sex"},
        {"sha256": 3},
        "20260101T000000+00:00",
        "9999-12-31T00:00:00+00:00",
    ),
    *(
        MOMENTS[0],
        MOMENTS[1],
        MOMENTS[2],
        "2026-01-01",
        "P1",
        "upheld",
        "disputed",
        "agrees",
        "differs",
        "granted",
        "withdrawn",
        ["security_manager"],
        {"steps": 3},
        "F1[sex]",
        "loans",
        "security",
        "performance",
        "mel",
        0.75,
    ),
]


def spoil(data: st.DataObject, entries: list[Evidence]) -> None:
    """Do one thing to the record that an insider could have logged."""
    spot = data.draw(st.integers(0, len(entries) - 1), label="entry")
    entry = entries[spot]
    how = data.draw(
        st.sampled_from(["value", "value", "value", "remove", "graft", "drop", "move", "again", "who"]), label="how"
    )
    if how == "drop" and len(entries) > 1:
        del entries[spot]
    elif how == "move":
        entries.insert(data.draw(st.integers(0, len(entries) - 1), label="to"), entries.pop(spot))
    elif how == "again":
        copied = replace(entry, digest=digest(f"{entry.digest} again {len(entries)}"))
        entries.insert(data.draw(st.integers(0, len(entries)), label="to"), copied)
    elif how == "who":
        other = data.draw(st.sampled_from(entries), label="other")
        entries[spot] = replace(entry, person=other.person, roles=other.roles)
    elif how in ("value", "remove", "graft"):
        said = copy.deepcopy(dict(entry.predicate))
        path = data.draw(st.sampled_from(places(said)), label="path")
        inner = at_path(said, path[:-1])
        if how == "remove":
            del inner[path[-1]]
        elif how == "graft":
            other = data.draw(st.sampled_from(entries), label="from")
            inner[path[-1]] = copy.deepcopy(
                at_path(other.predicate, data.draw(st.sampled_from(places(other.predicate))))
            )
        else:
            inner[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(VALUES), label="new"))
        try:
            check_predicate(entry.kind, said)
        except InvalidInput:
            return  # neither reader would take such an entry
        entries[spot] = replace(entry, predicate=said)


def compare(entries: list[Evidence], at: str, void: frozenset[int] = frozenset()) -> Decision:
    ours, theirs = both(entries, at, void)
    rulings = [(ruling.id, str(ruling.status), ruling.entries) for ruling in ours.rulings]
    assert rulings == [(ruling.id, ruling.status, ruling.entries) for ruling in theirs.rulings]
    assert (str(ours.verdict), ours.expires, ours.assurance) == (theirs.verdict, theirs.expires, theirs.assurance)
    assert ours.outcome == theirs.outcome
    return ours


def test_the_unspoilt_record_is_go_for_both_and_every_rule_had_something_to_say() -> None:
    entries, _, _ = life_with_everything()
    decision = compare(list(entries), MOMENTS[0])
    assert str(decision.verdict) == "GO"
    assert {str(ruling.status) for ruling in decision.rulings} == {"met", "waived"}


@settings(max_examples=800)
@given(st.data())
def test_both_rule_alike_whatever_is_done_to_the_record(data: st.DataObject) -> None:
    entries = list(life_with_everything()[0])
    for _ in range(data.draw(st.integers(1, 4), label="how many")):
        spoil(data, entries)
    void = frozenset(data.draw(st.lists(st.integers(1, len(entries)), max_size=3), label="void"))
    compare(entries, data.draw(st.sampled_from(MOMENTS[:1] * 6 + MOMENTS), label="at"), void)
