"""The page tells everything once, loads nothing, and shows hostile text as text."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.errors import InvalidInput
from custody.report import charts
from custody.report.page import (
    CriterionRow,
    Fact,
    FaultRow,
    Figure,
    Notice,
    Report,
    RuleRow,
    StageRow,
    render_report,
    report_from,
)

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"' &amp; \u202e"


def report(name: str = "plain") -> Report:
    svg = charts.share_bars([(name, 1)], name)
    return Report(
        title=name,
        headline=name,
        generated=name,
        verdict="GO",
        stages=[StageRow(name, name, [1, 2], "met")],
        criteria=[
            CriterionRow(name, name, name, 0.9, 0.88, 0.92, 100, "met", name, at_least=0.8, entries=[3], why=name),
            CriterionRow(name, name, name, None, None, None, 0, "unknown", name, at_most=0.1),
        ],
        charts=[Figure(name, svg, name, wide=True)],
        faults=[FaultRow(name, name, name, name, name, 4, 1, name, 1.5, clean_silent=True)],
        facts=[Fact(name, name, name)],
        rules=[RuleRow(name, name, "not met", [5])],
        notices=[Notice("waived", name, [name])],
        marks=[name],
        timeline=charts.timeline([charts.Stop(name, "met", name)], name),
    )


class Reader(HTMLParser):
    """Collects tags, attributes and visible text the way a browser would."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "br", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_names_stay_text() -> None:
    hostile, plain = Reader(render_report(report(HOSTILE))), Reader(render_report(report()))
    assert hostile.tags.count("wbr") >= plain.tags.count("wbr")
    assert [tag for tag in hostile.tags if tag != "wbr"] == [tag for tag in plain.tags if tag != "wbr"]
    assert {name for name, _ in hostile.attributes} == {name for name, _ in plain.attributes}
    assert not hostile.unbalanced
    assert "<script>alert(1)</script>" in hostile.text
    assert "\u202e" not in hostile.text


@given(st.text(max_size=60))
def test_no_text_changes_the_structure_of_the_page(name: str) -> None:
    def structure(text: str) -> list[str]:
        shown = replace(
            report(), title=text, headline=text, faults=[replace(report().faults[0], name=text, reason=text)]
        )
        return Reader(render_report(shown)).tags

    assert structure(name) == structure("x")


def test_the_page_loads_nothing_and_forbids_it() -> None:
    reader = Reader(render_report(report()))
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in {"src", "srcset", "action"}]
    assert all(value.startswith("#") for name, value in reader.attributes if name == "href")
    policy = next(value for name, value in reader.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert "style-src 'unsafe-inline'" in policy
    assert "script-src" not in policy
    assert "url(" not in render_report(report())
    assert "@import" not in render_report(report())


def test_the_page_is_well_formed() -> None:
    reader = Reader(render_report(report()))
    assert reader.unbalanced == []
    assert reader.open == []


def test_everything_that_was_reported_is_on_the_page() -> None:
    shown = Report(
        "the title",
        "the headline",
        faults=[
            FaultRow(
                "Poisoned labels",
                "the story",
                "the planting",
                "the rule",
                "the reason",
                41,
                3,
                "custody next",
                2.5,
                clean_silent=False,
                caught=False,
            )
        ],
        criteria=[CriterionRow("P1", "recall", ">= 0.8", 0.5, 0.45, 0.55, 1234, "not_met", "too low", at_least=0.8)],
    )
    text = Reader(render_report(shown)).text
    for words in (
        "the title", "the headline", "Poisoned labels", "the story", "the planting", "the rule", "the reason",
        "entry 41", "exit 3", "custody next", "2.5 s", "missed", "also alarmed", "0 of 1 caught",
        "P1", "recall", ">= 0.8", "0.5", "0.500", "0.450 to 0.550", "1,234 rows", "not met", "too low",
    ):  # fmt: skip
        assert words in text, words


def test_sections_without_content_are_left_out() -> None:
    page = render_report(Report("an audit", "nothing to see"))
    assert 'id="faults"' not in page
    assert 'id="criteria"' not in page
    assert 'id="words"' in page


def test_an_attack_that_was_refused_before_anything_was_written_has_no_entry() -> None:
    row = replace(report().faults[0], entry=None)
    assert "<p>no entry</p>" in render_report(replace(report(), faults=[row]))
    assert "<p>no entry</p>" not in render_report(report())


def test_a_rule_of_the_process_has_no_empty_plot() -> None:
    shown = Report("t", "h", rules=[RuleRow("process.run", "one run", "met", [22, 23])])
    page = render_report(shown)
    assert "<svg" not in page
    text = Reader(page).text
    for words in ("The rules of the process", "process.run", "one run", "entries 22, 23"):
        assert words in text, words


def test_a_question_is_asked_in_words_and_keeps_its_exact_name() -> None:
    row = replace(report().criteria[0], asks="fairness.group_gaps.equal_opportunity_difference [by=age*sex]")
    text = Reader(render_report(replace(report(), criteria=[row]))).text
    assert "Equal opportunity difference, by age and sex" in text
    assert "fairness.group_gaps.equal_opportunity_difference [by=age*sex]" in text


def test_a_digest_is_small_and_other_details_are_not_taken_for_one() -> None:
    page = render_report(Report("t", "h", facts=[Fact("Model", "abc", "0f" * 32), Fact("Run", "r", "isolation: none")]))
    assert f"<small class=digest>{'0f' * 32}</small>" in page
    assert "<small>isolation: none</small>" in page


def test_marks_stand_beside_the_verdict() -> None:
    text = Reader(render_report(Report("t", "h", verdict="GO", marks=["retired"]))).text
    assert "GOretired" in text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-22T15:43:36+01:00", "2026-11-22 14:43 UTC"),
        ("2026-11-22T15:43:36", "2026-11-22T15:43:36"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("yesterday", "yesterday"),
    ],
)
def test_moments_are_shown_in_one_zone_or_as_they_are(written: str, read: str) -> None:
    assert read in Reader(render_report(Report("t", "h", generated=written))).text


def test_the_same_page_comes_from_plain_json() -> None:
    document = json.loads(json.dumps(asdict(report())))
    assert render_report(document) == render_report(report())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"title": 3}, "report.title"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"faults": "none"}, "report.faults is not a list"),
        ({"faults": [3]}, r"report.faults\[0\] is not an object"),
        ({"facts": [{"label": "x"}]}, r"report.facts\[0\] lacks value"),
        ({"marks": [3]}, "report.marks"),
        ({"notices": [{"status": "splendid", "title": "x"}]}, "no verdict"),
        ({"rules": [{"id": "x", "sentence": "y", "status": "splendid"}]}, "no verdict"),
        ({"stages": [{"name": "x", "sentence": "y", "entries": ["1"]}]}, r"stages\[0\].entries"),
        ({"stages": [{"name": "x", "sentence": "y", "status": "splendid"}]}, "no verdict"),
        ({"verdict": "PERHAPS"}, "no verdict"),
        ({"criteria": [{**asdict(report().criteria[0]), "value": float("nan")}]}, "cannot show"),
        ({"criteria": [{**asdict(report().criteria[0]), "value": True}]}, r"criteria\[0\].value"),
        ({"faults": [{**asdict(report().faults[0]), "seconds": float("inf")}]}, "cannot show"),
    ],
)
def test_a_report_that_is_wrong_is_refused_by_name(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        render_report({**asdict(report()), **change})


def test_a_report_without_a_headline_is_refused() -> None:
    with pytest.raises(InvalidInput, match="lacks headline"):
        report_from({"title": "x"})


GOOD = '<svg xmlns="http://www.w3.org/2000/svg"><g><line x1="0"/></g></svg>'


@pytest.mark.parametrize(
    "svg",
    [
        GOOD.replace("<g>", "<g onload='alert(1)'>"),
        GOOD.replace("<g>", "<g><script>alert(1)</script>"),
        GOOD.replace("<g>", "<g><a href='http://example.org'></a>"),
        GOOD.replace("<g>", "<g><image href='x'/>"),
        GOOD.replace("<g>", "<g><use href='#x'/>"),
        GOOD.replace("<g>", "<g><foreignObject/>"),
        GOOD.replace("<g>", "<g><style>*{}</style>"),
        GOOD.replace("<g>", "<g><svg/>"),
        GOOD.replace("<g>", "<g style='fill:url(http://example.org)'>"),
        GOOD.replace("<g>", "<g style='fill:u\\72l(x)'>"),
        GOOD.replace("<g>", "<g><!-- x -->"),
        GOOD.replace("<g>", "<g><![CDATA[<script>]]>"),
        "<!DOCTYPE svg [<!ENTITY a 'b'>]>" + GOOD,
        "<?xml-stylesheet href='x'?>" + GOOD,
        GOOD.replace("</g>", ""),
        GOOD + "<p>more</p>",
        "<p>no drawing</p>",
        "words",
        "",
    ],
)
def test_a_chart_that_is_more_than_a_drawing_is_refused(svg: str) -> None:
    assert "<svg" in render_report(Report("t", "h", charts=[Figure("c", GOOD)]))
    with pytest.raises(InvalidInput, match="chart"):
        render_report(Report("t", "h", charts=[Figure("c", svg)]))
