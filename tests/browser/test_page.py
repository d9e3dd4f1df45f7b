"""The passport in a real browser: it shows, it can be read, it asks the network for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MAIN = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the passport of a model that one person trained and nobody validated."""
    folder = tmp_path_factory.mktemp("passport")
    rows = "a,b,y\n" + "".join(f"{n % 2 + n % 7 / 5},{n % 5},{n % 2}\n" for n in range(400))
    (folder / "train.csv").write_text(rows)
    (folder / "test.csv").write_text(rows.replace("\n0", "\n0.1"))
    (folder / "train.py").write_text("import os; open(os.environ['CUSTODY_OUT'] + '/m.json', 'w').write('[1, 2]')\n")
    (folder / "criteria.toml").write_text(
        'custody = "criteria/1"\nuse_case = "tiny"\ntier = "low"\nconfidence = 0.95\nmax_openings = 5\n'
        'max_attempts = 9\n[held_out]\ndataset = "test"\n[[criterion]]\nid = "P1"\nclass = "performance"\n'
        'measure = "performance.classification.balanced_accuracy"\nat_least = 0.6\n'
        'why = "Better than <guessing> & luck."\n'
    )
    origin = ["--source", "here", "--owner", "o", "--licence", "own", "--trust", "trusted"]
    origin += ["--target", "y", "--positive", "1"]
    costs = [word for way in ("build", "buy", "open") for word in ("--cost", f"{way}=1,1")]
    drivers = ["--appetite", "0.5", "--criticality", "0.5", "--expertise", "0.9", "--reason", "a test"]
    for words in (
        ["init", "tiny", "--solo", "--tier", "low", "--owner", "o"],
        ["source", "decide", "build", *drivers, *costs],
        ["data", "register", "train", "train.csv", *origin],
        ["data", "register", "test", "test.csv", "--purpose", "held_out", *origin],
        ["gate", "seal"],
        ["run", "--quiet", "--", sys.executable, "train.py"],
        ["audit", "report", "-o", "report.html"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "custody", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    return folder / "report.html"


@pytest.fixture
def shown(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    size = getattr(request, "param", MAIN)
    page = browser.new_page(viewport=size)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(page_file.as_uri())
    yield page
    page.close()


def test_it_is_quiet_and_asks_for_nothing(shown: Any, page_file: Path) -> None:
    assert shown.said == []
    assert shown.asked == [page_file.as_uri()]


def test_the_headline_is_seen_first(shown: Any) -> None:
    headline = shown.get_by_text("Not decided", exact=False).first
    assert headline.is_visible()
    box = headline.bounding_box()
    assert box["y"] < MAIN["height"], "without scrolling"
    assert "tiny" in shown.title()


def test_the_criteria_can_be_read(shown: Any) -> None:
    text = shown.inner_text("body")
    assert "P1" in text
    assert "Better than <guessing> & luck." in text, "what people wrote is shown as they wrote it"
    assert re.search(r"unknown|not met", text, re.IGNORECASE)
    assert shown.locator("table, dl, ol, section").count() > 0
    for heading in shown.locator("h1, h2").all():
        assert heading.inner_text().strip()


@pytest.mark.parametrize("shown", [MAIN, PHONE], indirect=True, ids=["screen", "phone"])
def test_nothing_runs_out_of_the_page(shown: Any) -> None:
    wide = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1, f"{wide} pixels beyond the right edge"


def test_it_can_be_read_without_colours(shown: Any) -> None:
    """In forced colours and in print every status is a word."""
    shown.emulate_media(media="print", forced_colors="active")
    assert shown.get_by_text("P1").first.is_visible()
    assert re.search(r"unknown|not met", shown.inner_text("body"), re.IGNORECASE)


def test_it_can_be_read_in_the_dark(shown: Any) -> None:
    shown.emulate_media(color_scheme="dark")
    colours = shown.evaluate(
        "(() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; })()"
    )
    assert colours[0] != colours[1]
