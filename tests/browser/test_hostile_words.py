"""Words that people put on record are words in every page: none of them runs, loads, links or turns text around."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.testing import Life, criteria_document

SCRIPT = "<script>document.title='pwned'</script>"
HANDLER = '" onmouseover="document.title=\'pwned\'" x="\'><img src=x onerror="document.title=\'pwned\'">'
LINK = "<a href='javascript:void(document.title=1)'>javascript:alert(1)</a><base href='https://evil.example/'>"
FRAME = "<iframe src='https://evil.example/'></iframe><meta http-equiv='refresh' content='0;url=https://evil.example/'>"
STYLE = "</style><style>body{display:none}</style><!-- "
CLOSE = "</td></tr></table></main></body></html><svg onload=\"document.title='pwned'\"><plaintext>"
TURNED = "\u202eOG\u2066 reversed"
EVERYTHING = SCRIPT + HANDLER + LINK + FRAME + STYLE + CLOSE + TURNED

FOREIGN = "script, iframe, object, embed, base, img, link, form, meta[http-equiv=refresh], a[href]:not([href^='#'])"
HANDLERS = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => /^on/i.test(a.name)).length"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Live a life in which everybody writes hostile words wherever free text is taken; export it."""
    folder = tmp_path_factory.mktemp("hostile")
    life = Life(folder / "life")
    life.enrol_all()
    life.decide_source()
    life.risk("theft" + SCRIPT, "accepted", EVERYTHING, expires=life.later(30))
    life.register_data()
    life.check_data()
    document = criteria_document("loans")
    document = {**document, "criterion": [{**one, "why": EVERYTHING} for one in document["criterion"]]}
    seal = life.seal(document={**document, "not_applicable": {"privacy": EVERYTHING}})
    life.train(seal, "run" + HANDLER)
    life.validate(seal, balanced_accuracy=(0.76, 0.74, 0.78))
    waiver = {"use_case": "loans", "criterion": "P1", "reason": EVERYTHING, "control": EVERYTHING}
    life.forge("ari", life.model, kinds.WAIVER, {**waiver, "expires": life.later(20)})
    reject = {"use_case": "loans", "verdict": "reject", "reason": EVERYTHING}
    life.forge("cora", life.model, kinds.APPROVAL, reject)
    denial = {"actor": HANDLER, "person": SCRIPT, "action": LINK, "reason": EVERYTHING}
    life.forge("custodian", life.model, kinds.DENIAL, denial)
    life.decide()
    opened = {"incident": "i1", "type": "evasion" + SCRIPT, "reason": EVERYTHING, "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, opened)
    return life.export(folder / "export")


@pytest.fixture(scope="module", params=["report", "assure"])
def page_file(request: pytest.FixtureRequest, exported: tuple[Path, Path]) -> Path:
    """Make a page from the bundle and the trust root alone, where no project is."""
    bundle, trust = exported
    file = bundle.parent / f"{request.param}.html"
    words = ["audit", request.param, "-o", str(file), "--bundle", str(bundle), "--trust", str(trust)]
    done = subprocess.run(
        [sys.executable, "-m", "custody", *words],
        cwd=bundle.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture
def shown(browser: Any, page_file: Path) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(page_file.as_uri())
    yield page
    page.close()


def test_nothing_runs_and_nothing_is_asked_for(shown: Any, page_file: Path) -> None:
    title = shown.title()
    shown.evaluate("document.querySelectorAll('*').forEach(e => e.dispatchEvent(new MouseEvent('mouseover')))")
    shown.wait_for_timeout(100)
    assert shown.said == []
    assert shown.asked == [page_file.as_uri()]
    assert shown.title() == title
    assert "loans" in title


def test_no_element_or_handler_came_from_the_words(shown: Any) -> None:
    assert shown.locator(FOREIGN).count() == 0
    assert shown.evaluate(HANDLERS) == 0
    assert shown.locator("style").count() == 1
    assert shown.locator("main").count() == 1


def test_the_words_are_shown_as_they_were_written_and_in_their_order(shown: Any) -> None:
    text = shown.inner_text("body")
    assert SCRIPT in text
    assert "javascript:alert(1)" in text
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert "\ufffdOG" in text, "what would turn the text around is shown to have been there"


def test_nothing_runs_out_of_the_page(shown: Any) -> None:
    wide = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1, f"{wide} pixels beyond the right edge"
