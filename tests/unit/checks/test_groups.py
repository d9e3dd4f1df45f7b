"""Groups are counted once, named plainly, and nobody is left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.checks import _groups as groups
from custody.checks._groups import MISSING, count_jointly, intersections, join_names, read_attribute
from custody.checks.target import Table, Unmeasurable


def table(**columns: Any) -> Table:
    return Table("t", pl.DataFrame(columns))


def labels(found: groups.Attribute) -> list[str]:
    return [found.groups[code] for code in found.codes]


def test_a_missing_value_is_a_group_of_its_own() -> None:
    found = read_attribute(table(sex=["F", None, "M", "", "  "]), "sex")
    assert labels(found) == ["F", MISSING, "M", MISSING, MISSING]


def test_white_space_makes_no_other_group() -> None:
    assert labels(read_attribute(table(sex=["F", " F", "F "]), "sex")) == ["F"] * 3


def test_nothing_but_missing_values_is_one_group() -> None:
    assert labels(read_attribute(Table("t", pl.DataFrame({"a": [None, None]}, {"a": pl.String})), "a")) == [
        MISSING,
        MISSING,
    ]


@pytest.mark.parametrize("written", [[1, 0, None], [1.0, 0.0, float("nan")], ["1", "0.0", ""]])
def test_a_number_is_one_group_however_it_is_written(written: list[Any]) -> None:
    assert labels(read_attribute(table(flag=written), "flag")) == ["1", "0", MISSING]


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["b", "a"])])
def test_categories_and_booleans_are_read(dtype: Any) -> None:
    column = pl.Series(["a", "b", None]).cast(dtype)
    assert labels(read_attribute(table(x=column), "x")) == ["a", "b", MISSING]
    assert labels(read_attribute(table(x=[True, False, None]), "x")) == ["true", "false", MISSING]


@pytest.mark.parametrize("text", [False, True])
def test_a_continuous_column_is_cut_into_quartile_bands(text: bool) -> None:
    ages: list[Any] = list(range(18, 98))
    column = [str(age) for age in ages] if text else ages
    found = read_attribute(table(age=[*column, None]), "age")
    assert found.edges == (38.0, 58.0, 78.0)
    assert Counter(labels(found)) == {"<38": 20, "38 to <58": 20, "58 to <78": 20, ">=78": 20, MISSING: 1}


def test_another_table_takes_over_the_bands() -> None:
    held_out = read_attribute(table(age=list(range(18, 98))), "age")
    train = read_attribute(table(age=[18, 77, 120, None]), "age", like=held_out)
    assert labels(train) == ["<38", "58 to <78", ">=78", MISSING]


def test_twenty_distinct_numbers_are_no_continuum() -> None:
    assert read_attribute(table(grade=list(range(20)) * 3), "grade").edges == ()


def test_a_column_of_mostly_one_number_has_no_empty_band() -> None:
    found = read_attribute(table(gain=[0] * 90 + list(range(1, 31))), "gain")
    assert Counter(labels(found)) == {"<1": 90, ">=1": 30}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"other": ["a"]}, "no column 'sex'"),
        ({"sex": []}, "no rows"),
        ({"sex": [f"id{i}" for i in range(2_001)]}, "2001 groups"),
        ({"sex": [[1], [2]]}, "names no group"),
    ],
)
def test_what_cannot_be_grouped_is_said(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(Unmeasurable, match=message):
        read_attribute(table(**columns), "sex")


rows = st.lists(
    st.tuples(*[st.sampled_from(["a", "b", "a*b", "b\\", None])] * 3, st.integers(0, 3)), min_size=1, max_size=40
)


@given(rows, st.sampled_from([0, 1 << 22]))
def test_every_intersection_is_a_sum_over_the_one_table(found: list[tuple[Any, ...]], dense: int) -> None:
    names = ("p", "q", "r")
    whole = Table(
        "t", pl.DataFrame(found, [*names, "outcome"], orient="row", schema_overrides=dict.fromkeys(names, pl.String))
    )
    outcome = np.array([row[3] for row in found])
    kept, groups.DENSE = groups.DENSE, dense
    try:
        joint = count_jointly([read_attribute(whole, name) for name in names], outcome, 4)
    finally:
        groups.DENSE = kept
    for chosen in intersections(names):
        labelled, counts = joint.by(chosen)
        places = [names.index(name) for name in chosen]
        expected = Counter((tuple(row[i] for i in places), row[3]) for row in found)
        assert len(set(labelled)) == len(labelled) == len({key for key, _ in expected})
        assert sorted(counts[counts > 0].tolist()) == sorted(expected.values())


def test_a_star_inside_a_value_makes_no_two_groups_one() -> None:
    whole = table(p=["a*b", "a"], q=["c", "b*c"])
    joint = count_jointly([read_attribute(whole, name) for name in "pq"], np.zeros(2, np.intp), 1)
    assert joint.by(("p", "q"))[0] == ("a*b\\*c", "a\\*b*c")


def test_names_are_sorted_and_depth_follows_their_number() -> None:
    assert join_names(["sex", "race"]) == "race*sex"
    assert intersections(["b", "a"]) == [("a",), ("b",), ("a", "b")]
    assert len(intersections("abcd")) == 15
    assert max(map(len, intersections("abcde"))) == 2
    assert max(map(len, intersections("abcde", depth=3))) == 3
