"""What every check promises, run over the whole registry: a new check file is covered by being there."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from custody.checks.registry import Check, Example, registry
from custody.checks.target import Target, Unmeasurable
from custody.core import strictjson
from custody.core.measure import SEVERITIES, Measure, Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

IDS = sorted(registry())
# One worker runs all tests of a check, so that each example is built and measured once.
EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in IDS]
each_check = pytest.mark.parametrize("name", EACH)
each_example = pytest.mark.parametrize("kind", ["clean", "caught"])


def example_of(name: str) -> Example:
    example = registry()[name].example
    assert example is not None, f"{name} has no example"
    return example


def built(name: str, kind: str) -> Target:
    example = example_of(name)
    build: Callable[[], Target] = example.clean if kind == "clean" else example.caught
    return build()


@cache
def measured(name: str, kind: str) -> Result:
    return registry()[name].run(built(name, kind))


def json_of(result: Result) -> dict[str, Any]:
    """Return a result in the form in which it becomes evidence."""
    return {
        "measures": [measure.to_json() for measure in result.measures],
        "findings": [finding.to_json() for finding in result.findings],
        "details": dict(result.details),
    }


def answer(name: str, result: Result) -> Measure:
    """Return the one measure the example asks about."""
    example = example_of(name)
    found = [m for m in result.measures if m.name == example.measure and dict(m.at) == dict(example.at)]
    assert len(found) == 1, f"{len(found)} answers to {example.measure} at {dict(example.at)}"
    return found[0]


def bounds(example: Example) -> tuple[float, float]:
    lower = -math.inf if example.at_least is None else example.at_least
    upper = math.inf if example.at_most is None else example.at_most
    return lower, upper


def test_there_are_checks() -> None:
    assert len(IDS) >= 10


@each_check
def test_it_declares_a_question_and_scales_that_make_sense(name: str) -> None:
    check: Check = registry()[name]
    assert check.question.endswith("?"), check.question
    assert check.measures
    for measure, scale in check.measures.items():
        assert measure.isidentifier()
        assert scale.lowest < scale.highest
        assert scale.better in {"higher", "lower"}
        assert scale.about.strip()


@each_check
def test_its_example_asks_for_something_it_declares(name: str) -> None:
    example = example_of(name)
    scale = registry()[name].measures[example.measure]
    assert set(example.at) == set(scale.at)
    lower, upper = bounds(example)
    assert lower <= upper
    assert (lower, upper) != (-math.inf, math.inf)
    assert scale.lowest <= (upper if lower == -math.inf else lower) <= scale.highest


@each_check
def test_the_clean_example_meets_the_bound_with_its_whole_interval(name: str) -> None:
    lower, upper = bounds(example_of(name))
    found = answer(name, measured(name, "clean"))
    assert found.value is not None, found.reason
    assert found.low is not None
    assert found.high is not None
    assert lower <= found.low <= found.high <= upper, found


@each_check
def test_the_caught_example_misses_the_bound_with_its_whole_interval(name: str) -> None:
    lower, upper = bounds(example_of(name))
    found = answer(name, measured(name, "caught"))
    assert found.value is not None, found.reason
    assert found.low is not None
    assert found.high is not None
    assert found.high < lower or found.low > upper, found


@each_check
@each_example
def test_its_measures_are_declared_in_range_and_said_once(name: str, kind: str) -> None:
    check, result = registry()[name], measured(name, kind)
    said = [(measure.name, tuple(sorted(measure.at.items()))) for measure in result.measures]
    assert len(said) == len(set(said))
    assert {measure for measure, _ in said} == set(check.measures)
    for measure in result.measures:
        scale = check.measures[measure.name]
        if measure.value is None:
            assert measure.reason.strip()
            assert not measure.at or set(measure.at) == set(scale.at)
            continue
        assert set(measure.at) == set(scale.at)
        assert measure.low is not None
        assert measure.high is not None
        assert scale.lowest <= measure.low <= measure.value <= measure.high <= scale.highest, measure
        assert isinstance(measure.n, int)
        assert measure.n > 0


@each_check
@each_example
def test_its_findings_say_what_and_how_bad(name: str, kind: str) -> None:
    for finding in measured(name, kind).findings:
        assert finding.severity in SEVERITIES
        assert finding.what.strip()


@each_check
@each_example
def test_its_result_survives_being_signed_and_read_back(name: str, kind: str) -> None:
    body = json_of(measured(name, kind))
    raw = strictjson.dump(body)
    assert strictjson.dump(strictjson.parse(raw)) == raw


@each_check
def test_the_same_seed_gives_the_same_numbers(name: str) -> None:
    again = registry()[name].run(built(name, "clean"))
    assert strictjson.dump(json_of(again)) == strictjson.dump(json_of(measured(name, "clean")))


def assert_unknown(name: str, result: Result) -> None:
    check = registry()[name]
    assert {measure.name for measure in result.measures} == set(check.measures)
    for measure in result.measures:
        assert (measure.value, measure.low, measure.high) == (None, None, None), measure
        assert measure.reason.strip()
    strictjson.dump(json_of(result))


@each_check
def test_nothing_to_look_at_is_unknown_with_a_reason_and_no_crash(name: str) -> None:
    result = registry()[name].run(Target())
    assert_unknown(name, result)
    assert not any("crashed" in measure.reason for measure in result.measures), result.measures[0].reason


class Broken:
    """A model that is asked and does not answer properly; it counts how often it was asked."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.queries = 0

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        import numpy as np

        self.queries += max(1, rows.height)
        if self.kind == "refuses":
            raise Unmeasurable("the model returned no scores")
        if self.kind == "throws":
            raise RuntimeError("CUDA is on fire")
        if self.kind == "too few":
            return np.full(max(0, rows.height - 1), 0.5)
        if self.kind == "out of range":
            return np.full(rows.height, 7.0)
        scores = np.full(rows.height, 0.5)
        scores[: max(1, rows.height // 3)] = np.nan
        return scores


@each_check
@pytest.mark.parametrize("kind", ["refuses", "throws", "NaN", "too few", "out of range"])
def test_a_broken_model_is_unknown_or_was_never_asked(name: str, kind: str) -> None:
    """A check that asked the model knows nothing; one that did not says what it says without a model."""
    check, target = registry()[name], built(name, "clean")
    model = Broken(kind)
    result = check.run(target.having(model=model))
    if model.queries:
        assert answer_is_unknown(name, result), [measure for measure in result.measures if measure.value is not None]
    else:
        assert json_of(result) == json_of(check.run(built(name, "clean").having(model=None)))


def answer_is_unknown(name: str, result: Result) -> bool:
    """Say whether the measure the example asks about came out as unknown, at its place or as a whole."""
    example = example_of(name)
    found = [m for m in result.measures if m.name == example.measure and (not m.at or dict(m.at) == dict(example.at))]
    return bool(found) and all(measure.value is None and measure.reason.strip() for measure in found)


@each_check
def test_it_needs_what_it_was_built_on(name: str) -> None:
    """Take away each part of the clean example in turn: whatever is still answered is the same answer."""
    whole = answer(name, measured(name, "clean"))
    target = built(name, "clean")
    needed = 0
    for part, nothing in (
        ("train", None),
        ("held_out", None),
        ("live", None),
        ("model", None),
        ("files", {}),
    ):
        if not getattr(target, part):
            continue
        result = registry()[name].run(built(name, "clean").having(**{part: nothing}))
        found = [m for m in result.measures if m.name == whole.name and dict(m.at) == dict(whole.at)]
        if not found or found[0].value is None:
            needed += 1
    assert needed or target.packages, "the check answers whatever is taken away from it"
