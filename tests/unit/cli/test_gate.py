"""What `custody gate` says of a life on record: the account, the summary, amendments, second signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from custody.cli.main import custody
from custody.core import predicates as kinds
from custody.seal.envelope import Envelope
from custody.testing import Life, undecided_life

Gate = Callable[..., Result]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Live up to the approvals, with a waiver, and a rejection that was taken back."""
    found = undecided_life(tmp_path_factory.mktemp("life"), balanced_accuracy=(0.7, 0.68, 0.72))
    found.approve("ari", "reject", "too many are turned away")
    found.approve("ari")
    found.waive("P1")
    found.decide()
    return found


@pytest.fixture
def gate(life: Life, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Run `custody gate ...` in the life's folder."""
    root = life.custody.config.root
    monkeypatch.chdir(root)
    monkeypatch.setenv("CUSTODY_STATE", str(root))
    return lambda *words: CliRunner().invoke(custody, ["gate", *words])


def body(said: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_a_decision_names_signers_dissent_waivers_and_attempts(gate: Gate) -> None:
    said = gate("show")
    assert said.exit_code == 0, said.output
    for words in (
        "tried     1 attempt (0 aborted), 1 model measured in 1 opening",
        "signed    author dana; countersigner sam; trainer mel; validator val; approver ari, cora",
        "waiver    P1 by ari",
        "because accepted for a while; meanwhile a person looks at each case",
        "taken back since): too many are turned away",
    ):
        assert words in said.stdout
    account = body(gate("show", "--json"))["account"]
    assert [waiver["criterion"] for waiver in account["waivers"]] == ["P1"]
    assert account["dissent"][0]["person"] == "ari"


def test_a_decision_of_the_past_is_computed_again(gate: Gate, life: Life) -> None:
    decision = life.record.of_kind(kinds.DECISION)[0]
    for name in (str(decision.index), decision.digest):
        said = gate("show", name)
        assert said.exit_code == 0, said.output
        assert f"decided in entry {decision.index}" in said.stdout
        assert "it agrees" in said.stdout
    assert body(gate("show", decision.digest, "--json"))["outcome"] == decision.predicate["outcome"]


def test_the_summary_leaves_as_a_file_that_the_signers_key_verifies(gate: Gate, life: Life, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    said = gate("summary", "-o", str(path))
    assert said.exit_code == 0, said.output
    assert "PASSED, signed by val" in said.stdout
    found = Envelope.from_bytes(path.read_bytes()).verify(life.desk.actor("val").key)
    assert found.predicate["verificationResult"] == "PASSED"
    shown = body(gate("summary", "--json"))
    assert (shown["result"], shown["keyid"]) == ("PASSED", life.desk.actor("val").keyid)
    assert shown["bundle"] == json.loads(path.read_bytes())
    nowhere = gate("summary", "-o", str(tmp_path / "none" / "folder.json"), "--json")
    assert (nowhere.exit_code, nowhere.stdout.count("there is no folder")) == (2, 1)


def test_who_countersigns_sees_what_they_sign(gate: Gate, life: Life) -> None:
    risk = life.risk("theft", "treated", "locked away")
    said = gate("countersign", str(risk.index), "--as", "ari", "--reason", "so it is")
    assert said.exit_code == 0, said.output
    assert "reason: locked away" in said.stderr
    assert f"ari countersigned entry {risk.index}" in said.stdout
    again = gate("countersign", str(risk.index), "--as", "ari", "--reason", "so it is", "--json")
    assert again.exit_code == 2
    own = gate("countersign", risk.digest, "--as", "sam", "--json")
    assert own.exit_code == 5
    assert gate("countersign", "99999", "--as", "ari").exit_code != 0


def test_an_amendment_without_criteria_to_read_is_refused(gate: Gate) -> None:
    said = gate("amend", "nowhere.toml", "--as", "dana", "--json")
    assert said.exit_code == 2
