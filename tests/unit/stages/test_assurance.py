"""An assurance statement says no more than its recipient can check, and leaves out nothing that weakens it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.desk import now
from custody.errors import InvalidInput, NotFound, Tampered
from custody.report.assurance import markdown_assurance, render_assurance
from custody.seal.keys import PersonKey
from custody.stages.assurance import Assurance, assure
from custody.testing import Life, digest, honest_life, trained_life, undecided_life

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>[x](javascript:alert(3))\u202eoG\x1b[2J"


def stated(life: Life, folder: Path, **more: str) -> Assurance:
    bundle, trust = life.export(folder / "export")
    return assure(bundle.read_bytes(), trust.read_bytes(), now(), **more)


def kinds_of(found: Assurance) -> set[str]:
    return {gap.kind for gap in found.gaps}


def test_an_honest_model_is_claimed_with_the_entries_that_carry_it(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    found = stated(life, tmp_path)
    assert (found.verdict, found.headline) == ("GO", "GO, freshness unproven")
    assert found.model == life.model.sha256
    assert found.expires
    claims = {claim.id: claim for claim in found.claims}
    assert claims["P1"].confidence == "95% interval"
    assert claims["P1"].entries
    assert claims["process.run"].confidence == "recomputed from the record"
    assert kinds_of(found) == {"freshness", "expiry", "unknown", "note"}
    assert found.to_json()["check"].endswith(life.model.sha256)


def test_every_kind_of_weakness_is_listed(tmp_path: Path) -> None:
    life, seal = trained_life(tmp_path / "life")
    life.start(seal, "run2")
    first = life.model
    life.model = Subject("loans", digest("model 2"))
    life.train(seal, "run3")
    life.validate(seal)
    life.model = first
    life.validate(seal, balanced_accuracy=(0.76, 0.74, 0.78))
    life.waive("P1")
    life.forge("cora", life.model, kinds.APPROVAL, {"use_case": "loans", "verdict": "reject", "reason": "not yet"})
    for who in ("ari", "cora"):
        life.approve(who)
    said = {"name": "mel2", "person": "mel", "roles": ["operator"], "status": "active"}
    key = PersonKey.generate()
    life.forge(
        "olga", Subject("actor:mel2", key.keyid), kinds.ENROLMENT, {**said, "key": key.public, "keyid": key.keyid}
    )
    denial = {"actor": "mel", "person": "mel", "action": "gate.approve", "reason": "no"}
    life.forge("custodian", life.model, kinds.DENIAL, denial)
    life.decide()
    opened = {"incident": "i1", "type": "evasion", "reason": "seen", "affected": [], "status": "open"}
    life.say("otto", Action.OPEN_INCIDENT, life.model, kinds.INCIDENT, opened)
    found = stated(life, tmp_path)
    assert kinds_of(found) >= {
        *("freshness", "waiver", "dissent", "expiry", "unknown", "selection", "persons", "denials", "today")
    }
    texts = " ".join(gap.says for gap in found.gaps)
    assert "cora rejected the model: not yet" in texts
    assert "ari waived P1 until" in texts
    assert "incident i1" in texts
    assert "mel acts under 2 names" in texts
    waived = next(gap for gap in found.gaps if gap.kind == "waiver")
    assert waived.entries
    assert found.headline.startswith("GO when it was decided, NOT MET today: incident i1"), "nobody reads only GO"
    assert found.today
    page, text = render_assurance(found.to_json()), markdown_assurance(found.to_json())
    assert "Today this model is not to be used" in page
    assert "NOT MET today" in text.split("- Model")[0]


def test_who_signed_is_told_by_part_and_entry(tmp_path: Path) -> None:
    life = honest_life(tmp_path / "life")
    life.forge("cora", life.model, kinds.APPROVAL, {"use_case": "loans", "verdict": "approve", "reason": "late"})
    found = stated(life, tmp_path)
    signed = {(one.part, one.person): one.entries for one in found.signers}
    assert {part for part, _ in signed} == {
        *("author", "countersigner", "trainer", "validator", "approver", "decided by")
    }
    assert {person for part, person in signed if part == "approver"} == {"ari", "cora"}
    late = life.desk.read().size - 1
    assert all(entry <= found.decided_in < late for entries in signed.values() for entry in entries), "late words"
    assert not found.today
    page = render_assurance(found.to_json())
    assert "Who signed" in page
    assert "not to be used" not in page


def test_what_was_not_applicable_is_listed(tmp_path: Path) -> None:
    from custody.testing import criteria_document

    life = Life(tmp_path / "life")
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.check_data()
    document = {**criteria_document("loans"), "not_applicable": {"privacy": HOSTILE}}
    seal = life.seal(document=document)
    life.train(seal)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    life.decide()
    found = stated(life, tmp_path)
    assert any(gap.kind == "not applicable" and "privacy" in gap.says for gap in found.gaps)
    page, text = render_assurance(found.to_json()), markdown_assurance(found.to_json())
    for made in (page, text):
        assert "<script" not in made
        assert "<img" not in made
        assert "\u202e" not in made
        assert "\x1b" not in made
    assert "default-src 'none'" in page
    assert "[x](" not in text  # the brackets are escaped, so it is no link


def test_one_number_changed_in_the_bundle_is_refused(tmp_path: Path) -> None:
    bundle, trust = honest_life(tmp_path / "life").export(tmp_path)
    body = json.loads(bundle.read_bytes())
    raw = bundle.read_bytes()
    for entry in body["entries"]:
        payload = base64.b64decode(entry["dsseEnvelope"]["payload"])
        if b"0.84" in payload:
            old, new = base64.b64encode(payload), base64.b64encode(payload.replace(b"0.84", b"0.94", 1))
            raw = raw.replace(old, new)
    assert raw != bundle.read_bytes()
    with pytest.raises(Tampered, match="do not give the checkpoint's root"):
        assure(raw, trust.read_bytes(), now())
    changed = tmp_path / "changed.json"
    changed.write_bytes(raw)
    for file, code in ((changed, 4), (bundle, 0)):
        words = ["audit", "assure", "-o", "x.html", "--bundle", str(file), "--trust", str(trust)]
        done = subprocess.run([sys.executable, "-m", "custody", *words], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        assert (tmp_path / "x.html").exists() == (code == 0)


def test_what_is_no_bundle_or_has_no_decision_is_said(tmp_path: Path) -> None:
    life = undecided_life(tmp_path / "life")
    bundle, trust = life.export(tmp_path)
    with pytest.raises(NotFound):
        assure(bundle.read_bytes(), trust.read_bytes(), now())
    for wrong in (b"", b"{}", b"hello"):
        with pytest.raises(InvalidInput):
            assure(wrong, trust.read_bytes(), now())
        with pytest.raises(InvalidInput):
            assure(bundle.read_bytes(), wrong, now())


def test_the_statement_names_the_bundle_it_was_made_from(tmp_path: Path) -> None:
    import hashlib

    life = honest_life(tmp_path / "life")
    bundle, trust = life.export(tmp_path)
    at = datetime.fromisoformat(life.later(1))
    found = assure(bundle.read_bytes(), trust.read_bytes(), at, life.model.sha256[:8])
    assert found.bundle == hashlib.sha256(bundle.read_bytes()).hexdigest()
    for made in (render_assurance(found.to_json()), markdown_assurance(found.to_json())):
        assert found.bundle in made
        assert found.root in made
