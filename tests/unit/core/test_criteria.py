from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from custody.core.criteria import MAX_CRITERIA_BYTES, Criteria, read_criteria
from custody.core.gate import criteria_of


@dataclass(frozen=True)
class Scale:
    lowest: float
    highest: float
    better: str
    at: tuple[str, ...] = ()


VOCABULARY = {
    "performance.classification.accuracy": Scale(0, 1, "higher"),
    "performance.classification.recall": Scale(0, 1, "higher"),
    "fairness.group_gaps.parity": Scale(0, 1, "lower", ("by",)),
    "robustness.evasion.success_rate": Scale(0, 1, "lower", ("features",)),
    "privacy.membership.auc": Scale(0, 1, "lower"),
    "data.leakage.leaky_features": Scale(0, 1000, "lower"),
}
CLEAN = """\
# what must hold
custody = "criteria/1"
use_case = "loans"
tier = "high"
confidence = 0.95
max_openings = 20
max_attempts = 10

[held_out]
dataset = "held-out"

[[criterion]]
id = "P1"
class = "performance"
measure = "performance.classification.accuracy"
at_least = 0.8
why = "better than guessing"

[[criterion]]
id = "F1"
class = "fairness"
measure = "fairness.group_gaps.parity"
by = ["sex", "age"]
depth = 2
at_most = 0.1
why = "nobody is left behind"

[[criterion]]
id = "A1"
class = "robustness"
measure = "robustness.evasion.success_rate"
at = { features = 1 }
at_most = 0.5
why = "one field is not enough"

[[criterion]]
id = "S1"
class = "security"
measure = "privacy.membership.auc"
at_most = 0.6
why = "no better than a coin"
"""
REQUIRED = ("performance", "fairness", "security")


def read(text: str | bytes) -> Criteria:
    return read_criteria(text if isinstance(text, bytes) else text.encode(), VOCABULARY, REQUIRED)


def defects(text: str | bytes) -> list[tuple[int, str]]:
    return [(defect.line, defect.kind) for defect in read(text).defects]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), 1) if part in line)


def test_a_clean_file_is_silent() -> None:
    found = read(CLEAN)
    assert found.defects == ()
    assert [criterion.id for criterion in criteria_of(found.document)] == [
        "P1",
        "F1[age]",
        "F1[sex]",
        "F1[age*sex]",
        "A1",
        "S1",
    ]
    assert found.lines == {"P1": 12, "F1": 19, "A1": 28, "S1": 36}


def test_defaults_are_filled_in_and_digested() -> None:
    short = "\n".join(line for line in CLEAN.split("\n") if not re.match("confidence|max_|depth", line))
    found = read(short)
    assert found.document["confidence"] == 0.95
    assert found.document["max_attempts"] == 20
    assert found.document["criterion"][0]["waivable"] is True
    assert found.document["criterion"][0]["on"] == "model"
    assert found.document["criterion"][1]["depth"] == 2
    assert found.sha256 == read("\n" + short + "# a remark\n").sha256
    assert found.sha256 != read(CLEAN.replace("at_least = 0.8", "at_least = 0.79")).sha256


CHANGED = [
    # what is replaced, by what, the kind, and where the defect must be shown
    ('custody = "criteria/1"', 'custody = "criteria/2"', "version", "custody ="),
    ('custody = "criteria/1"', "", "missing-key", "# what"),
    ('use_case = "loans"', 'use_case = "  "', "missing-key", "use_case"),
    ('use_case = "loans"', "use_case = 7", "type", "use_case"),
    ('tier = "high"', 'tier = "highest"', "unknown-word", "tier"),
    ('tier = "high"', "", "missing-key", "# what"),
    ("confidence = 0.95", "confidence = 0.5", "range", "confidence"),
    ("confidence = 0.95", "confidence = 1.0", "range", "confidence"),
    ("confidence = 0.95", "confidence = nan", "range", "confidence"),
    ("confidence = 0.95", "confidence = 1", "type", "confidence"),
    ("confidence = 0.95", 'confidence = "0.95"', "type", "confidence"),
    ("max_openings = 20", "max_openings = 0", "range", "max_openings"),
    ("max_openings = 20", "max_openings = 1001", "range", "max_openings"),
    ("max_attempts = 10", "max_attempts = true", "type", "max_attempts"),
    ("max_attempts = 10", "max_atempts = 10", "unknown-key", "max_atempts"),
    ('dataset = "held-out"', 'data = "held-out"', "unknown-key", "data ="),
    ('dataset = "held-out"', "", "missing-key", "[held_out]"),
    ('dataset = "held-out"', "dataset = 7", "missing-key", "[held_out]"),
    ('dataset = "held-out"', 'dataset = ""', "missing-key", "[held_out]"),
    ('id = "P1"', 'id = "7 up"', "id", "7 up"),
    ('id = "P1"', 'id = "F1"', "duplicate-id", 'class = "fairness"|-1'),
    ('id = "P1"', "", "missing-key", "[[criterion]]"),
    ('id = "P1"', "id = 1", "type", "id = 1"),
    ('class = "performance"', 'class = "speed"', "unknown-word", '"speed"'),
    ('class = "performance"', 'class = "data"', "missing-class", "# what"),
    ('measure = "performance.classification.accuracy"', 'measure = "accuracy"', "unknown-measure", '"accuracy"'),
    ('measure = "performance.classification.accuracy"', "", "missing-key", "[[criterion]]"),
    ("at_least = 0.8", "", "vague", "[[criterion]]"),
    ("at_least = 0.8", "at_least = nan", "not-a-number", "at_least"),
    ("at_least = 0.8", "at_least = inf", "not-a-number", "at_least"),
    ("at_least = 0.8", "at_least = -inf", "not-a-number", "at_least"),
    ("at_least = 0.8", "at_least = 1" + "0" * 400, "not-a-number", "at_least"),
    ("at_least = 0.8", "at_least = 80", "range", "at_least"),
    ("at_least = 0.8", "at_least = -0.1", "range", "at_least"),
    ("at_least = 0.8", "at_least = 0", "vacuous", "at_least"),
    ("at_least = 0.8", "at_least = 0.0", "vacuous", "at_least"),
    ("at_least = 0.8", 'at_least = "0.8"', "type", "at_least"),
    ("at_least = 0.8", "at_least = true", "type", "at_least"),
    ("at_least = 0.8", "at_most = 0.8", "direction", "at_most = 0.8"),
    ("at_least = 0.8", "at_least = 0.8\nat_most = 0.7", "contradiction", "at_most = 0.7"),
    ("at_least = 0.8", "at_least = 0.8\nunless = 1", "unknown-key", "unless"),
    ("at_least = 0.8", "at_least = 0.8\nat_least = 0.1", "duplicate-key", "at_least = 0.1"),
    ("at_least = 0.8", "at_least = 0.8\nat = { features = 1 }", "missing-key", "at = { features = 1 }"),
    ("at_least = 0.8", 'at_least = 0.8\nby = ["sex"]', "unknown-key", 'by = ["sex"]'),
    ("at_least = 0.8", 'at_least = 0.8\non = "test data"', "unknown-word", "on ="),
    ("at_least = 0.8", 'at_least = 0.8\nwaivable = "no"', "type", "waivable"),
    ('why = "better than guessing"', 'why = ""', "vague", 'why = ""'),
    ('why = "better than guessing"', "", "missing-key", "[[criterion]]"),
    ("at_most = 0.1\n", "at_most = 1\n", "vacuous", "at_most = 1"),
    ("at_most = 0.1\n", "at_least = 0.1\n", "direction", "at_least = 0.1"),
    ('by = ["sex", "age"]', "", "missing-key", "[[criterion]]|7"),
    ('by = ["sex", "age"]', "by = []", "missing-key", "by ="),
    ('by = ["sex", "age"]', "by = [1, 2]", "missing-key", "by ="),
    ('by = ["sex", "age"]', 'by = "sex"', "type", "by ="),
    ('by = ["sex", "age"]', 'by = ["sex", "sex"]', "duplicate-key", "by ="),
    ("depth = 2", "depth = 3", "range", "depth"),
    ("depth = 2", "depth = 0", "range", "depth"),
    ("at = { features = 1 }", "", "missing-key", "[[criterion]]|16"),
    ("at = { features = 1 }", "at = { feature = 1 }", "missing-key", "feature ="),
    ("at = { features = 1 }", "at = { features = [1] }", "type", "features ="),
    ("at = { features = 1 }", "at = { features = true }", "type", "features ="),
    ("[[criterion]]\nid", "[[criteria]]\nid", "unknown-key", "[[criteria]]"),
    ('tier = "high"', 'tier = "high', "syntax", 'tier = "high'),
    ('tier = "high"', "tier = 2026-13-45", "syntax", "tier"),
    ('tier = "high"', "tier = 2026-01-01", "type", "tier"),
]


@pytest.mark.parametrize(("old", "new", "kind", "where"), CHANGED, ids=lambda value: str(value)[:24])
def test_a_defect_is_named_with_its_line(old: str, new: str, kind: str, where: str) -> None:
    text = CLEAN.replace(old, new, 1)
    assert text != CLEAN
    part, _, offset = where.partition("|")
    line = line_of(text, part) + int(offset or 0)
    assert (line, kind) in defects(text), read(text).defects


def test_a_change_in_one_place_is_reported_in_one_place() -> None:
    assert defects(CLEAN.replace("at_least = 0.8", "at_least = 80")) == [(16, "range")]


MORE = '[[criterion]]\nid = "P2"\nclass = "performance"\nmeasure = "performance.classification.accuracy"\n'


def test_two_criteria_about_one_measure_are_redundant_or_contradict() -> None:
    line = CLEAN.count("\n") + 1
    assert defects(CLEAN + MORE + 'at_least = 0.7\nwhy = "again"\n') == [(line, "redundant")]
    both = CLEAN + MORE + 'at_least = 0.1\nat_most = 0.7\nwhy = "the opposite"\n'
    assert defects(both) == [(line, "contradiction")]
    other = MORE.replace("accuracy", "recall")
    assert defects(CLEAN + other + 'at_least = 0.7\nwhy = "another"\n') == []


def test_a_class_the_policy_requires_must_be_there_or_excused() -> None:
    low = CLEAN.replace('tier = "high"', 'tier = "low"').replace('class = "fairness"', 'class = "data"')
    assert defects(low) == [(1, "missing-class")]
    excuse = '\n[not_applicable]\nfairness = "no person is in these data at all"\n'
    assert defects(low + excuse) == []
    assert defects(low + excuse.replace("no person is in these data at all", "no")) == [(44, "vague")]
    assert defects(low + excuse + 'beauty = "not asked for by anybody here"\n') == [(45, "unknown-key")]
    high = low.replace('tier = "low"', 'tier = "high"')
    assert defects(high + excuse) == [(44, "missing-class")]


def test_without_criteria_nothing_is_allowed() -> None:
    head = CLEAN.partition("[[criterion]]")[0]
    assert (1, "empty") in defects(head)


@pytest.mark.parametrize(
    ("raw", "defect"),
    [
        (b"", (1, "empty")),
        (b" \n\t\n", (1, "empty")),
        (b"\xef\xbb\xbf" + CLEAN.encode(), (1, "encoding")),
        (CLEAN.encode().replace(b"guessing", b"gu\xffessing"), (17, "encoding")),
        (CLEAN.encode("utf-16"), (1, "encoding")),
        (b"#" * (MAX_CRITERIA_BYTES + 1), (1, "size")),
        (b"a = " + b"[" * 5000, (1, "syntax")),
        (b"a = " + b"9" * 5000, (1, "syntax")),
        (CLEAN.encode() + b"= = =", (42, "syntax")),
        (b"criterion = [1, 2]", (1, "type")),
        (b"criterion = 7", (1, "type")),
    ],
)
def test_what_cannot_be_read_is_one_clear_defect(raw: bytes, defect: tuple[int, str]) -> None:
    assert defect in defects(raw)


def test_only_a_line_feed_ends_a_line() -> None:
    odd = CLEAN.replace('why = "better than guessing"', 'why = "better\u2028than\u0085guessing"')
    assert defects(odd.replace("at_most = 0.6", "at_most = 6")) == [(40, "range")]
    assert defects(CLEAN.replace("\n", "\r\n").replace("at_most = 0.6", "at_most = 6")) == [(40, "range")]


def test_a_near_miss_is_suggested() -> None:
    text = CLEAN.replace("performance.classification.accuracy", "performance.classification.acuracy")
    (defect,) = [d for d in read(text).defects if d.kind == "unknown-measure"]
    assert "performance.classification.accuracy" in defect.message
    (defect,) = [d for d in read(CLEAN.replace("at_least", "at_lest")).defects if d.kind == "unknown-key"]
    assert "at_least" in defect.message
    assert str(defect) == f"line {defect.line}: {defect.message} ({defect.kind})"


def test_thousands_of_columns_are_refused_before_their_crossings_are_counted() -> None:
    import time

    item = {"id": "F", "class": "fairness", "measure": "a.b.c", "on": "model", "waivable": True, "why": "x"}
    names = [str(number) for number in range(50_000)]
    began = time.process_time()
    with pytest.raises(ValueError, match="more than"):
        criteria_of({"criterion": [{**item, "by": names, "depth": len(names)}]})
    assert time.process_time() - began < 2
    few = {**item, "by": names[:12], "depth": len(names)}
    assert len(criteria_of({"criterion": [few]})) == 2**12 - 1
