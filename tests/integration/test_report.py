"""The passport as a page: what the ledger says, and nothing from anywhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

Life = Callable[[str, Path], Any]


def page_of(place: Any, *words: str) -> str:
    step = place.custody("audit", "report", "-o", "page.html", *words)
    assert step.code == 0, step.reason
    return str((place.folder / "page.html").read_text("utf-8"))


def test_the_page_says_what_the_ledger_says(life: Life, tmp_path: Path) -> None:
    place = life("released", tmp_path)
    page = unescape(page_of(place))
    model = place.steps["run"].body["model"]
    assert "GO" in page
    assert model in page
    shown = place.custody("gate", "show").body
    for ruling in shown["rulings"]:
        if not ruling["id"].startswith("process."):
            assert ruling["id"].partition("[")[0] in page, ruling["id"]
    root = place.custody("audit", "verify").body["root"]
    assert root[:12] in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page)
    assert "<script" not in page.lower()


def test_a_page_of_every_stage(life: Life, tmp_path: Path) -> None:
    """A model that is only trained has a passport too, and it does not say GO."""
    place = life("trained", tmp_path)
    page = page_of(place)
    assert "Not decided" in unescape(page)
    refused = life("sealed", tmp_path).plain("audit", "report")
    refused.refused(3, "model")


def test_hostile_words_stay_words(life: Life, tmp_path: Path) -> None:
    place = life("released", tmp_path)
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    model = place.steps["run"].body["model"]
    opened = place.custody("incident", "open", model[:12], "--type", "leak", "--reason", hostile, who="otto")
    assert opened.code == 0
    page = page_of(place)
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_page_is_refused_where_the_ledger_is_not_whole(life: Life, tmp_path: Path) -> None:
    import sqlite3

    place = life("released", tmp_path)
    ledger = sqlite3.connect(place.folder / ".custody" / "ledger.db")
    with ledger:
        raw = ledger.execute("SELECT envelope FROM entry WHERE idx = 30").fetchone()[0]
        middle = len(raw) // 2
        other = b"A" if raw[middle : middle + 1] != b"A" else b"B"
        altered = raw[:middle] + other + raw[middle + 1 :]
        ledger.execute("UPDATE entry SET envelope = ? WHERE idx = 30", (altered,))
    ledger.close()
    place.plain("audit", "report", "-o", "page.html").refused(4, "entry 30")
    assert not (place.folder / "page.html").exists()


def test_the_answer_is_json(life: Life, tmp_path: Path) -> None:
    place = life("released", tmp_path)
    said = place.plain("audit", "report", "-o", "page.html", "--json")
    assert json.loads(said.out) == {"report": "page.html"}
