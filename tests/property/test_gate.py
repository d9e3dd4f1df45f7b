"""Nothing that is done to the evidence turns a refusal into a GO, except better evidence."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from custody.core import predicates as kinds
from custody.core.decision import Status, Verdict
from custody.core.gate import Criterion, compare


def _papers() -> ModuleType:
    path = Path(__file__).parents[1] / "unit" / "core" / "papers.py"
    spec = importlib.util.spec_from_file_location("property_papers", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


papers = _papers()
honest, measures = papers.honest, papers.measures
RESULT = kinds.CHECK_RESULT
CHECKS = sorted({entry.predicate["check"] for entry in honest().of(RESULT)})
BEARING = {
    kinds.USE_CASE,
    kinds.OPENING,
    kinds.SOURCING,
    kinds.RISK,
    kinds.DATASET,
    kinds.SEAL,
    RESULT,
    kinds.TRAINING_START,
    kinds.TRAINING_FINISH,
    kinds.APPROVAL,
    kinds.COUNTERSIGNATURE,
}
"""Kinds without which no honest life gets to GO."""

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def refused() -> list[Any]:
    """Return records that are not GO, each for one reason of its own."""
    base = honest()
    return [
        base.edit(RESULT, measures(0.5), check="performance.classification"),
        base.edit(RESULT, measures(0.74, 0.7, 0.78), check="performance.classification"),
        base.edit(RESULT, measures(None, reason="crashed"), check="performance.classification"),
        base.edit(RESULT, measures(0.2), check="fairness.group_gaps"),
        base.edit(RESULT, measures(1.0), check="artifact.scan"),
        base.drop(RESULT, check="privacy.membership_inference"),
        base.drop(kinds.SOURCING),
        base.drop(kinds.RISK),
        base.drop(kinds.DATASET),
        base.without(base.of(kinds.APPROVAL)[0].index),
        base.approved("ann", "reject"),
        base.signed(kinds.SEAL, person="mel"),
        base.edit(kinds.TRAINING_START, papers.put(seed=1)),
        base.edit(kinds.TRAINING_FINISH, papers.into("runDetails", compromised=["swapped"])),
        base.later(200),
    ]


REFUSED = refused()


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_each_of_these_records_is_refused(number: int) -> None:
    assert REFUSED[number].verdict is not Verdict.GO


def spoilt(entry: Any, how: str, value: Any = None) -> Any:
    """Return a change to one result: what a crash, a time-out or a broken check leaves behind."""

    def change(body: dict[str, Any]) -> None:
        for measure in body["measures"]:
            match how:
                case "timed out":
                    measure.update(value=None, low=None, high=None, reason="timed out")
                case "not a number":
                    measure.update(value=math.nan, low=math.nan, high=math.nan)
                case "nothing measured":
                    measure.update(n=0)
                case _:
                    measure.update(value)

    return change


HOWS = ["timed out", "not a number", "nothing measured"]


def spoil(record: Any, index: int, how: str, value: Any = None) -> Any:
    from dataclasses import replace

    entries = []
    for entry in record.entries:
        if entry.index != index:
            entries.append(entry)
            continue
        changed = papers._changed(entry, spoilt(entry, how, value))
        entries.append(replace(entry, predicate=changed.predicate))
    return record.with_entries(entries)


@pytest.mark.parametrize("index", [entry.index for entry in honest().entries if entry.kind in BEARING])
def test_an_honest_record_without_one_item_is_not_go(index: int) -> None:
    base = honest()
    entry = next(entry for entry in base.entries if entry.index == index)
    verdict = base.without(index).verdict
    # What opens a risk asks for an answer and gives none.
    assert (verdict is Verdict.GO) == (entry.kind == kinds.RISK and entry.predicate["status"] == "open")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_record_with_one_result_spoilt_is_not_go(check: str, how: str) -> None:
    for entry in honest().of(RESULT):
        if entry.predicate["check"] == check:
            assert spoil(honest(), entry.index, how).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_nothing_taken_from_a_refused_record_makes_it_go(number: int) -> None:
    record = REFUSED[number]
    for entry in record.entries:
        if entry.index < honest().size:  # a rejection taken away is for the ledger to notice: see test_desk
            assert record.without(entry.index).verdict is not Verdict.GO, f"without entry {entry.index} ({entry.kind})"


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_nothing_made_void_in_a_refused_record_makes_it_go(number: int) -> None:
    record = REFUSED[number]
    for entry in record.entries:
        assert record.compromised(entry.index).verdict is not Verdict.GO, f"entry {entry.index} ({entry.kind})"


ORDER_OF_VERDICTS = [Verdict.NO_GO, Verdict.INCONCLUSIVE, Verdict.GO]
EXTRAS = honest().again("performance.classification").waived("P1", person="ann").approved("cora")


@settings(max_examples=150)
@given(
    number=st.integers(0, len(REFUSED) + 1),
    chosen=st.sets(st.integers(0, 10**6), min_size=1, max_size=4),
    before=st.sets(st.integers(0, 10**6), max_size=4),
)
def test_void_entries_never_help(number: int, chosen: set[int], before: set[int]) -> None:
    record = [*REFUSED, honest(), EXTRAS][number]
    indexes = [entry.index for entry in record.entries]
    record = record.compromised(*(indexes[place % len(indexes)] for place in before))
    worse = record.compromised(*(indexes[place % len(indexes)] for place in chosen))
    assert worse.verdict is not Verdict.GO or record.verdict is Verdict.GO


@pytest.mark.parametrize("index", [entry.index for entry in honest().entries if entry.kind in BEARING])
def test_an_honest_record_with_one_item_made_void_is_not_go(index: int) -> None:
    entry = next(entry for entry in honest().entries if entry.index == index)
    verdict = honest().compromised(index).verdict
    # What opens a risk asks for an answer, and what the newest word on a dataset is not is a fallback.
    assert (verdict is Verdict.GO) == (entry.kind == kinds.RISK and entry.predicate["status"] == "open")


@settings(max_examples=40)
@given(models=st.lists(st.text("abcdef0123456789", min_size=64, max_size=64), max_size=4))
def test_more_openings_never_help(models: list[str]) -> None:
    for record in (honest(), *REFUSED[:5]):
        seal = record.of(kinds.SEAL)[0]
        more = record
        for model in models:
            said = {
                "held_out": seal.predicate["held_out"]["sha256"],
                "model": model,
                "seal": seal.digest,
                "purpose": "look",
            }
            more = more.add(kinds.OPENING, said, person="val", about=said["held_out"])
        assert more.verdict is not Verdict.GO or record.verdict is Verdict.GO


@pytest.mark.parametrize("number", range(len(REFUSED)))
@pytest.mark.parametrize("how", HOWS)
def test_nothing_spoilt_in_a_refused_record_makes_it_go(number: int, how: str) -> None:
    record = REFUSED[number]
    for entry in record.of(RESULT):
        assert spoil(record, entry.index, how).verdict is not Verdict.GO


@settings(max_examples=150)
@given(
    number=st.integers(0, len(REFUSED) - 1),
    place=st.integers(0, 10**6),
    field=st.sampled_from(["value", "low", "high", "n", "at", "name", "reason"]),
    value=junk,
)
def test_junk_in_a_measure_neither_crashes_the_gate_nor_makes_it_go(
    number: int, place: int, field: str, value: Any
) -> None:
    record = REFUSED[number]
    results = record.of(RESULT)
    entry = results[place % len(results)]
    bad = [m for m in entry.predicate["measures"] if m["value"] is None or m["value"] >= 0.2]
    assume(not (bad and field in ("value", "low", "high", "name", "at")))  # that would be better evidence
    assert spoil(record, entry.index, "junk", {field: value}).verdict is not Verdict.GO


@settings(max_examples=150)
@given(place=st.integers(0, 10**6), field=st.integers(0, 10**6), value=junk)
def test_junk_anywhere_never_crashes_the_gate(place: int, field: int, value: Any) -> None:
    base = honest()
    entry = base.entries[place % len(base.entries)]
    names = sorted(entry.predicate)
    name = names[field % len(names)]
    wanted = kinds.FIELDS[entry.kind].get(name, object)
    assume(isinstance(value, wanted) and not (isinstance(value, bool) and wanted is int))  # the desk sees to types

    def change(body: dict[str, Any]) -> None:
        body[name] = value

    edited = base.with_entries([papers._changed(e, change) if e is entry else e for e in base.entries])
    assert edited.verdict in Verdict


@settings(max_examples=150)
@given(
    place=st.integers(0, 10**6),
    outer=st.sampled_from(["policy", "criteria", "held_out", "checkpoint", "isolation", "inputs", "runDetails"]),
    field=st.integers(0, 10**6),
    value=junk,
)
def test_junk_inside_nested_objects_never_crashes_the_gate(place: int, outer: str, field: int, value: Any) -> None:
    base = honest()
    having = [entry for entry in base.entries if isinstance(entry.predicate.get(outer), dict)]
    assume(having)
    entry = having[place % len(having)]
    names = sorted(entry.predicate[outer])
    assume(names)

    def change(body: dict[str, Any]) -> None:
        body[outer][names[field % len(names)]] = value

    edited = base.with_entries([papers._changed(e, change) if e is entry else e for e in base.entries])
    assert edited.verdict in Verdict


unit = st.floats(0, 1, allow_nan=False)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[float, float, float]:
    low, value, high = sorted(draw(st.tuples(unit, unit, unit)))
    return value, low, high


ORDER = [Status.NOT_MET, Status.INCONCLUSIVE, Status.MET]


@given(bound=unit, interval=intervals(), worse=unit)
def test_worsening_a_measure_never_helps(bound: float, interval: tuple[float, float, float], worse: float) -> None:
    value, low, high = interval
    asked = Criterion("P", "p", "a", "b", {}, bound, None, "model", waivable=True, why="")
    before, _ = compare(asked, {"value": value, "low": low, "high": high, "n": 5}, 0)
    after, _ = compare(asked, {"value": value - worse, "low": low - worse, "high": high - worse, "n": 5}, 0)
    assert ORDER.index(after) <= ORDER.index(before)
    asked = Criterion("P", "p", "a", "b", {}, None, bound, "model", waivable=True, why="")
    before, _ = compare(asked, {"value": value, "low": low, "high": high, "n": 5}, 0)
    after, _ = compare(asked, {"value": value + worse, "low": low + worse, "high": high + worse, "n": 5}, 0)
    assert ORDER.index(after) <= ORDER.index(before)


@given(bound=unit, interval=intervals(), wider=unit)
def test_knowing_less_never_helps(bound: float, interval: tuple[float, float, float], wider: float) -> None:
    value, low, high = interval
    asked = Criterion("P", "p", "a", "b", {}, bound, None, "model", waivable=True, why="")
    before, _ = compare(asked, {"value": value, "low": low, "high": high, "n": 5}, 0)
    after, _ = compare(asked, {"value": value, "low": low - wider, "high": high + wider, "n": 5}, 0)
    assert after is not Status.MET or before is Status.MET


@settings(max_examples=60)
@given(number=st.integers(0, 4), runs=st.lists(intervals(), max_size=3))
def test_another_result_never_turns_a_refusal_into_go(number: int, runs: list[tuple[float, float, float]]) -> None:
    record = REFUSED[number]
    check = "fairness.group_gaps" if number == 3 else "artifact.scan" if number == 4 else "performance.classification"
    for value, low, high in runs:
        record = record.again(check, measures(value, low, high))
        assert record.verdict is not Verdict.GO


@settings(max_examples=60)
@given(runs=st.lists(intervals(), min_size=1, max_size=3), again=intervals())
def test_running_a_check_again_cannot_erase_a_bad_result(
    runs: list[tuple[float, float, float]], again: tuple[float, float, float]
) -> None:
    record = honest()
    for run in runs:
        record = record.again("performance.classification", measures(*run))
    if record.again("performance.classification", measures(*again)).verdict is Verdict.GO:
        assert record.verdict is Verdict.GO


@settings(max_examples=40)
@given(order=st.permutations(range(len(honest().of(RESULT)))))
def test_the_order_of_results_does_not_matter(order: list[int]) -> None:
    from dataclasses import replace

    for base in (honest(), REFUSED[0], REFUSED[3]):
        results = [e for e in base.of(RESULT) if e.subject.sha256 == base.model]
        slots = [entry.index for entry in results]
        turned = sorted(range(len(slots)), key=lambda place: order[place])
        moved = {slots[turned[place]]: entry for place, entry in enumerate(results)}
        entries = [replace(moved[e.index], index=e.index) if e.index in moved else e for e in base.entries]
        assert base.with_entries(entries).verdict is base.verdict


@settings(max_examples=40)
@given(st.data())
def test_what_is_about_something_else_changes_nothing(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(REFUSED)))
    record = honest() if number == len(REFUSED) else REFUSED[number]
    source = data.draw(st.sampled_from([e for e in honest().entries if e.kind in (RESULT, kinds.APPROVAL)]))
    more = record.add(
        source.kind, dict(source.predicate), person=source.person, roles=sorted(source.roles), about="ab" * 32
    )
    assert more.verdict is record.verdict
