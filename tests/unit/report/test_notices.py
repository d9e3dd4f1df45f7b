"""What a reader must not overlook stands above everything else; a page without trouble says nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody.errors import InvalidInput
from custody.report.notices import notices_of
from custody.report.page import render_report
from custody.report.rows import CriterionRow, FaultRow, Notice, Report, RuleRow

MET = CriterionRow("P1", "recall", ">= 0.8", 0.9, 0.88, 0.92, 100, "met", at_least=0.8, entries=[3])
RULE = RuleRow("process.run", "one run, isolation: bubblewrap", "met", [4])
FAULT = FaultRow("swap", "story", "planted", "bytes verified at load", "", 4, 1, "custody next", 1.5, clean_silent=True)
CLEAN = Report("t", "h", verdict="GO", criteria=[MET], rules=[RULE], faults=[FAULT])


def test_a_report_without_trouble_has_no_notice() -> None:
    assert notices_of(CLEAN) == []
    assert 'class="notice' not in render_report(CLEAN)


@pytest.mark.parametrize("status", ["waived", "unknown", "inconclusive", "not_met", "not met"])
@pytest.mark.parametrize("kind", ["criterion", "rule"])
def test_every_answer_that_is_no_plain_yes_is_announced(status: str, kind: str) -> None:
    criterion = replace(MET, id="P2", status=status, reason="because of this")
    rule = replace(RULE, id="process.data", status=status, sentence="because of this")
    shown = replace(CLEAN, criteria=[MET, criterion]) if kind == "criterion" else replace(CLEAN, rules=[RULE, rule])
    (notice,) = notices_of(shown)
    assert notice.status == status.replace("_", " ")
    assert notice.title.startswith("1 of 3 answers is " + notice.status)
    where = "entry 3" if kind == "criterion" else "entry 4"
    assert notice.lines == [f"{criterion.id if kind == 'criterion' else rule.id}: because of this ({where})"]
    page = render_report(shown)
    assert page.index('<div class="notice ') < page.index("<main>")
    assert "because of this" in page[: page.index("<main>")]


def test_missed_attacks_and_false_alarms_are_announced() -> None:
    missed = notices_of(replace(CLEAN, faults=[FAULT, replace(FAULT, name="theft", caught=False)]))
    assert [(notice.title, list(notice.lines)) for notice in missed] == [("1 attack was missed", ["theft"])]
    loud = notices_of(replace(CLEAN, faults=[FAULT, replace(FAULT, name="theft", clean_silent=False)]))
    assert [notice.title for notice in loud] == ["1 of 2 rules also alarmed without a fault"]


def test_the_worst_comes_first_and_nothing_is_dropped() -> None:
    rows = [replace(MET, id=status, status=status) for status in ("waived", "inconclusive", "unknown", "not_met")]
    own = [Notice("waived", "Solo", ["one person"])]
    found = notices_of(replace(CLEAN, criteria=rows, notices=own))
    assert [notice.status for notice in found] == ["not met", "unknown", "inconclusive", "waived", "waived"]
    assert "Solo" in [notice.title for notice in found]


def test_a_cut_is_named() -> None:
    rows = [replace(MET, id=f"P{index}", status="unknown", reason="missing") for index in range(20)]
    (notice,) = notices_of(replace(CLEAN, criteria=rows))
    assert notice.title.startswith("20 of 21 answers are unknown")
    assert len(notice.lines) == 9
    assert notice.lines[-1] == "and 12 more, listed below"


def test_a_notice_of_no_known_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no verdict"):
        render_report(replace(CLEAN, notices=[Notice("splendid", "t")]))
