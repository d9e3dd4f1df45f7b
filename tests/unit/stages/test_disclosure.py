"""R36: what a sensitive check saw is nowhere in the clear, is proven to whoever is shown it, and dies with its key."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from custody.checks.target import Columns
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage
from custody.core.strictjson import dump
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered
from custody.records.results import write_result
from custody.records.vault import Concealed, ModelVault
from custody.report.page import render_report
from custody.stages.audit import passport
from custody.stages.data import check as check_data
from custody.stages.data import register
from custody.stages.disclosure import check, disclose
from custody.testing import Life

CANARY = "jane.roe.canary@example.org"
IBAN = "DE89370400440532013000"
ROWS = "note,amount,y\n" + "".join(f"call {n},{n},{n % 2}\n" for n in range(60)) + f"to {CANARY} {IBAN},7,1\n"


@pytest.fixture
def life(lived: Any) -> Life:
    found: Life = lived("honest")
    return found


def _told(life: Life) -> tuple[Evidence, ModelVault]:
    """Record a result of a sensitive check about the held-out data whose findings and details name a person."""
    vault = life.custody.vault
    subject = next(e.subject for e in life.record.of_kind(kinds.DATASET) if e.subject.sha256 == life.held_out)
    finding = Finding("warning", f"row 61 names {CANARY}", "note", "", "")
    result = Result([Measure("values_found", 1.0, 1.0, 1.0, 61)], [finding], {"rows": {IBAN: [61]}})
    pen = life.desk.permit("petra", Action.CHECK_DATA)
    inputs = {"dataset": subject.sha256}
    return write_result(pen, subject, "data.personal_data", Stage.DATA, result, inputs, vault.conceal), vault


def _files_with(folder: Path, *values: str) -> list[Path]:
    wanted = [value.encode() for value in values]
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if any(value in path.read_bytes() for value in wanted)]


def test_what_is_concealed_is_nowhere_in_the_clear(life: Life, tmp_path: Path) -> None:
    entry, _ = _told(life)
    _bundle, _trust = life.export(tmp_path / "out")
    (tmp_path / "out" / "report.html").write_text(render_report(passport(life.desk, "loans", "")))
    assert _files_with(life.custody.config.root, CANARY, IBAN) == []
    assert _files_with(tmp_path / "out", CANARY, IBAN) == []
    assert entry.predicate["measures"][0]["value"] == 1.0, "gates still see the measure"
    assert entry.predicate["findings"] == []
    assert entry.predicate["details"] == {}
    assert entry.predicate["concealed"]["severities"] == {"warning": 1}
    assert CANARY not in json.dumps(dict(entry.predicate))


def test_planted_values_of_a_dataset_reach_no_store_report_or_bundle(life: Life, tmp_path: Path) -> None:
    root = life.custody.config.root
    path = tmp_path / "source" / "notes.csv"
    path.parent.mkdir()
    path.write_text(ROWS)
    said = {"source": "s", "owner": "petra", "licence": "own", "trust": "trusted", "purpose": "training"}
    columns = Columns(target="y", positive="1")
    register(life.desk, "petra", root, "notes", path, life.custody.read_table, columns=columns, **said)  # type: ignore[arg-type]
    found = check_data(life.desk, "petra", root, "notes", life.custody.read_table, vault=life.custody.vault)
    hidden = next(entry for entry in found if entry.predicate["check"] == "data.personal_data")
    assert {m["name"]: m["value"] for m in hidden.predicate["measures"]}["values_found"] >= 1
    assert hidden.predicate["concealed"]["commitment"]
    life.export(tmp_path / "out")
    assert _files_with(root, CANARY, IBAN) == []
    assert _files_with(tmp_path / "out", CANARY, IBAN) == []
    opening = disclose(life.desk, life.custody.vault, "petra", hidden.index)
    assert opening.content["findings"]


def test_a_sensitive_check_without_a_vault_records_nothing(life: Life) -> None:
    size = life.record.size
    result = Result([Measure("values_found", 1.0, 1.0, 1.0, 61)], [Finding("info", CANARY, "", "", "")])
    pen = life.desk.permit("petra", Action.CHECK_DATA)
    with pytest.raises(InvalidInput, match="no vault"):
        write_result(pen, life.model, "data.personal_data", Stage.DATA, result, {})
    assert life.record.size == size
    empty = Result([Measure("values_found", 0.0, 0.0, 0.0, 61)])
    said = write_result(pen, life.model, "data.personal_data", Stage.DATA, empty, {})
    assert "concealed" not in said.predicate, "where nothing was found there is nothing to conceal"


def test_who_may_read_the_data_opens_it_and_a_stranger_can_check_the_opening(life: Life) -> None:
    entry, vault = _told(life)
    opening = disclose(life.desk, vault, "petra", entry.index)
    assert opening.content["findings"][0]["what"].endswith(CANARY)
    body = opening.to_json()
    # With the standard library alone, from the ledger's own words:
    content = json.dumps(body["content"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    by_hand = hmac.new(bytes.fromhex(body["salt"]), content, hashlib.sha256).hexdigest()
    assert by_hand == entry.predicate["concealed"]["commitment"]
    assert check(life.record, dump(body)).entry == entry


FORGERIES: dict[str, Any] = {
    "other findings": lambda body: {**body, "content": {**body["content"], "findings": []}},
    "another salt": lambda body: {**body, "salt": "00" * 32},
    "another statement": lambda body: {**body, "statement": "0" * 64},
}
MALFORMED: dict[str, Any] = {
    "no salt": lambda body: {key: value for key, value in body.items() if key != "salt"},
    "a short salt": lambda body: {**body, "salt": "00"},
    "a salt that is none": lambda body: {**body, "salt": "x" * 64},
    "content that is none": lambda body: {**body, "content": []},
    "an entry that is none": lambda body: {**body, "entry": "first"},
    "another format": lambda body: {**body, "format": "x"},
}


@pytest.mark.parametrize("kind", [*FORGERIES, *MALFORMED])
def test_an_opening_that_is_not_genuine_is_refused(life: Life, kind: str) -> None:
    entry, vault = _told(life)
    body = disclose(life.desk, vault, "petra", entry.index).to_json()
    forged = {**FORGERIES, **MALFORMED}[kind](body)
    with pytest.raises(Tampered if kind in FORGERIES else InvalidInput):
        check(life.record, dump(forged))


def test_who_may_not_read_the_data_learns_nothing_and_is_on_record(life: Life) -> None:
    entry, vault = _told(life)
    with pytest.raises(NotPermitted):
        disclose(life.desk, vault, "otto", entry.index)
    assert life.record.of_kind(kinds.DENIAL)[-1].predicate["actor"] == "otto"
    for number, who in ((0, "petra"), (10_000, "petra")):
        with pytest.raises(NotFound):
            disclose(life.desk, vault, who, number)


def test_once_the_key_is_destroyed_the_entry_verifies_and_nobody_opens_it(life: Life) -> None:
    entry, vault = _told(life)
    opening = disclose(life.desk, vault, "petra", entry.index)
    done = vault.destroy(entry.subject.sha256)
    assert (done.canary_before, done.canary_after) == (True, False)
    assert list(done.evidence) == [entry.predicate["concealed"]["ciphertext"]]
    with pytest.raises(NotPermitted, match="destroyed"):
        disclose(life.desk, vault, "petra", entry.index)
    assert life.desk.read().entries[entry.index].digest == entry.digest
    assert check(life.record, dump(opening.to_json())).entry.index == entry.index, "what was opened before stays proven"
    with pytest.raises(NotPermitted):
        vault.conceal(entry.subject.sha256, b"more")


def test_a_ciphertext_that_was_exchanged_is_refused(life: Life) -> None:
    one, vault = _told(life)
    other, _ = _told(life)
    assert one.predicate["concealed"]["commitment"] != other.predicate["concealed"]["commitment"], "salted"
    folder = next(life.custody.config.vault.rglob("evidence"))
    names = [folder / f"{entry.predicate['concealed']['commitment']}.sealed" for entry in (one, other)]
    crossed = Concealed(one.predicate["concealed"]["commitment"], other.predicate["concealed"]["ciphertext"])
    with pytest.raises(Tampered, match="not the ciphertext on record"):
        vault.disclose(one.subject.sha256, crossed)
    names[0].write_bytes(names[1].read_bytes())
    with pytest.raises(Tampered):
        disclose(life.desk, vault, "petra", one.index)
    names[0].unlink()
    with pytest.raises(NotFound):
        disclose(life.desk, vault, "petra", one.index)
