"""Whatever stands in a criteria file, the answer is a list of defects, never an exception."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from custody.core.criteria import Criteria, read_criteria
from custody.core.gate import criteria_of


@dataclass(frozen=True)
class Scale:
    lowest: float
    highest: float
    better: str
    at: tuple[str, ...] = ()


VOCABULARY = {
    "a.b.c": Scale(0, 1, "higher"),
    "f.g.h": Scale(0, 1, "lower", ("by",)),
    "r.e.s": Scale(0, 1, "lower", ("features",)),
}
HEAD = 'custody = "criteria/1"\nuse_case = "x"\ntier = "low"\n[held_out]\ndataset = "h"\n'
SOUND = [
    '[[criterion]]\nid = "P1"\nclass = "performance"\nmeasure = "a.b.c"\nat_least = 0.8\nwhy = "w"\n',
    '[[criterion]]\nid = "F1"\nclass = "fairness"\nmeasure = "f.g.h"\nby = ["s", "t"]\nat_most = 0.1\nwhy = "w"\n',
    '[[criterion]]\nid = "A1"\nclass = "data"\nmeasure = "r.e.s"\nat = { features = 1 }\nat_most = 0.5\nwhy = "w"\n',
]
WORDS = [
    *("id", "class", "measure", "at_least", "at_most", "by", "depth", "at", "on", "why", "waivable", "tier"),
    *("held_out", "criterion", "not_applicable", "confidence", "max_openings", "a.b.c", "f.g.h", "fairness"),
    *("=", "[", "]", "[[", "]]", "{", "}", ",", '"', "'", '"""', "#", "\n", "\r", ".", "-", "+", "_"),
    *("true", "nan", "inf", "0x10", "1e400", "1979-05-27", "07:32:00", "0", "1.0", "9" * 400, "\u2028", "\ufeff"),
]


def read(raw: bytes) -> Criteria:
    return read_criteria(raw, VOCABULARY, ())


def holds(raw: bytes) -> None:
    found = read(raw)
    lines = raw.count(b"\n") + 1
    for defect in found.defects:
        assert 1 <= defect.line <= lines
        assert defect.kind
        assert defect.message
    if not found.defects:
        assert all(
            math.isfinite(b) for c in criteria_of(found.document) for b in (c.at_least, c.at_most) if b is not None
        )
        assert found.sha256 == read(raw).sha256


def test_the_sound_file_is_sound() -> None:
    assert not read((HEAD + "".join(SOUND)).encode()).defects


@given(st.binary(max_size=200))
def test_any_bytes_give_defects(raw: bytes) -> None:
    holds(raw)
    assert read(raw).defects


@settings(max_examples=200)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25))
def test_any_words_give_defects(words: list[str]) -> None:
    raw = " ".join(words).encode("utf-8", "replace")
    holds(raw)
    holds(HEAD.encode() + raw)


@settings(max_examples=300)
@given(
    st.permutations(SOUND),
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 6), st.sampled_from(WORDS) | st.text(max_size=2)), max_size=4
    ),
)
def test_a_sound_file_changed_in_places_gives_defects_or_finite_bounds(
    parts: list[str], changes: list[tuple[int, int, str]]
) -> None:
    text = HEAD + "".join(parts)
    for place, length, word in changes:
        at = place % len(text)
        text = text[:at] + word + text[at + length :]
    holds(text.encode("utf-8", "replace"))
