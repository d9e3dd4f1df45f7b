from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from custody.adapters.vault import Vault
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.subject import Subject, use_case_subject
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder, Tampered, Unknown
from custody.records.retired import open_holds, persons_needed, refuse_retired_contents
from custody.records.status import standing
from custody.seal.digest import FileDigest, Manifest
from custody.stages import legal_hold
from custody.stages.deployment import deploy
from custody.stages.retirement import dependants, find_copies, order, order_to_confirm, retire, retire_data, retire_root
from custody.testing import Life

WEIGHTS = b"weights " * 100


def released(life: Life, tmp_path: Path) -> tuple[Life, Vault]:
    """Live on to GO with a real file in a real vault behind the model."""
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    manifest = Manifest((FileDigest("model.bin", len(WEIGHTS), sha256),))
    life.model = Subject("loans", manifest.sha256)
    seal = life.record.of_kind(kinds.SEAL)[0]
    start = life.start(seal)
    said = life.finished(start)
    said["runDetails"]["files"] = [{"path": "model.bin", "size": len(WEIGHTS), "sha256": sha256}]
    life.desk.permit("mel", _start_run()).write(life.model, kinds.TRAINING_FINISH, said)
    life.validate(seal)
    for who in ("ari", "cora"):
        life.approve(who)
    assert str(life.decide().verdict) == "GO"
    (tmp_path / "model.bin").write_bytes(WEIGHTS)
    vault = Vault(tmp_path / "vault")
    vault.put(manifest, {"model.bin": tmp_path / "model.bin"})
    (tmp_path / "model.bin").unlink()
    return life, vault


def _start_run() -> Any:
    return Action.START_RUN


@pytest.fixture
def ordered(lived: Any, tmp_path: Path) -> tuple[Life, Vault]:
    """Give a released model of tier high, and nobody who ordered its end."""
    return released(lived("prepared"), tmp_path)


@pytest.fixture
def kept(ordered: tuple[Life, Vault]) -> tuple[Life, Vault]:
    """Give a released model whose retirement one person ordered and another confirmed."""
    life, _ = ordered
    said = order(life.desk, "otto", "loans", "", "replaced by a better one", {})
    confirm(life, "sam", said)
    return ordered


def confirm(life: Life, who: str, said: Evidence) -> Evidence:
    words = {"of": said.digest, "reason": "seen, and agreed to"}
    return life.say(who, Action.COUNTERSIGN, said.subject, kinds.COUNTERSIGNATURE, words)


def test_a_retired_model_never_opens_again(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    assert vault.open(life.model.sha256) == {"model.bin": WEIGHTS}
    said = retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [tmp_path / "nowhere"])
    assert said.predicate["canary"] == {"before": True, "after": False}
    assert said.predicate["ciphertexts"]
    assert said.predicate["copies"]["found"] == []
    with pytest.raises(NotPermitted):
        vault.open(life.model.sha256)
    with pytest.raises(NotPermitted, match="retired"):
        deploy(life.desk, vault, "otto", "loans", "production")
    assert str(life.decide().verdict) == "NO-GO"
    again = retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [])
    assert again == said  # retiring twice is no second retirement


def test_while_a_readable_copy_exists_the_model_is_not_retired(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    deploy(life.desk, vault, "otto", "loans", "production", reason="as agreed", folder=tmp_path / "served")
    assert [entry.kind for entry in dependants(life.record, life.model.sha256)] == [kinds.DEPLOYMENT]
    with pytest.raises(OutOfOrder, match="readable copies"):  # the deployment is known without being named
        retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [])
    assert vault.has(life.model.sha256)
    (tmp_path / "served" / "model.bin").unlink()
    (tmp_path / "served").rmdir()
    backup = tmp_path / "elsewhere" / "deep" / "renamed"
    backup.parent.mkdir(parents=True)
    backup.write_bytes(WEIGHTS)
    with pytest.raises(OutOfOrder, match="renamed"):
        retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [tmp_path / "elsewhere"])
    backup.write_bytes(b"x" * len(WEIGHTS))
    retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [tmp_path / "elsewhere"])


def test_who_may_not_retire_destroys_nothing(kept: Any) -> None:
    life, vault = kept
    with pytest.raises(NotPermitted):
        retire(life.desk, vault, "mel", "loans", "", "replaced by a better one", [])
    with pytest.raises(InvalidInput, match="why"):
        retire(life.desk, vault, "otto", "loans", "", "old", [])
    assert vault.open(life.model.sha256)


def test_a_key_that_survives_its_destruction_is_no_retirement(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    life, vault = kept

    class Survivor:
        canary_before = canary_after = True
        key_commitment, ciphertexts = "", {}  # type: ignore[var-annotated]

    monkeypatch.setattr(vault, "destroy", lambda _: Survivor())
    with pytest.raises(Tampered, match="still opens"):
        retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [])
    assert life.record.of_kind(kinds.RETIREMENT) == []


def test_a_search_that_fails_is_unknown(kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life, _ = kept
    finish = life.record.of_kind(kinds.TRAINING_FINISH)[0]
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").write_bytes(WEIGHTS)
    assert find_copies(finish, [tmp_path / "more"]) == [tmp_path / "more" / "file"]
    assert find_copies(finish, [tmp_path / "more" / "file"]) == [tmp_path / "more" / "file"]

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied", "more")

    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", refuse)
        with pytest.raises(Unknown, match="cannot be searched"):
            find_copies(finish, [tmp_path / "more"])
    monkeypatch.setattr("pathlib.Path.open", lambda *_: refuse(None))
    with pytest.raises(Unknown, match="cannot be read"):
        find_copies(finish, [tmp_path / "more"])


@pytest.mark.parametrize("folder", [".git", ".venv", "node_modules"])
def test_a_copy_is_found_wherever_it_hides(kept: Any, tmp_path: Path, folder: str) -> None:
    life, vault = kept
    copy = tmp_path / "project" / folder / "object"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(WEIGHTS)
    with pytest.raises(OutOfOrder, match="object"):
        retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [tmp_path / "project"])
    copy.unlink()
    retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [tmp_path / "project"])


def test_the_copy_a_run_left_is_searched_for_without_being_named(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    finish = life.record.of_kind(kinds.TRAINING_FINISH)[-1]
    details = {**finish.predicate["runDetails"], "copies": ["out/kept"]}
    said = {**finish.predicate, "runDetails": details}
    life.desk.permit("mel", _start_run()).write(life.model, kinds.TRAINING_FINISH, said)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_bytes(WEIGHTS)
    (tmp_path / "empty").mkdir()
    root = tmp_path / "empty" / ".."
    with pytest.raises(OutOfOrder, match="kept"):
        retire(life.desk, vault, "otto", "loans", "", "replaced by a better one", [root])


WHY = "replaced by a better one"


def test_one_person_alone_destroys_nothing_in_tier_high(ordered: Any, tmp_path: Path) -> None:
    life, vault = ordered
    with pytest.raises(OutOfOrder, match="takes 2 persons, and nobody has ordered it"):
        retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    said = order(life.desk, "otto", "loans", "", WHY, {})
    with pytest.raises(OutOfOrder, match="signed by otto alone"):
        retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    assert vault.has(life.model.sha256)
    confirmed = confirm(life, "sam", said)
    done = retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    assert done.predicate["order"] == said.digest
    assert done.predicate["confirmations"] == [confirmed.digest]
    assert set(done.predicate["keys"]) == {"model.bin"}


@pytest.mark.parametrize("who", ["the orderer", "an approver", "another order", "before the order"])
def test_a_confirmation_that_is_none_does_not_count(ordered: Any, tmp_path: Path, who: str) -> None:
    life, vault = ordered
    early = life.later(0)
    if who == "before the order":
        confirm(life, "sam", life.record.of_kind(kinds.TRAINING_FINISH)[-1])
    said = order(life.desk, "sam" if who == "the orderer" else "otto", "loans", "", WHY, {})
    if who == "the orderer":
        with pytest.raises(NotPermitted, match="their own statement"):
            confirm(life, "sam", said)
    elif who == "an approver":
        confirm(life, "ari", said)
        with pytest.raises(NotPermitted, match="none of them"):
            order_to_confirm(life.desk, "ari", "loans", "")
    elif who == "another order":
        words = {"use_case": "credit", "reason": WHY, "at": early}
        confirm(life, "sam", life.say("otto", Action.ORDER_RETIREMENT, life.model, kinds.RETIREMENT_ORDER, words))
    with pytest.raises(OutOfOrder, match="takes 2 persons"):
        retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    assert vault.open(life.model.sha256)


def test_solo_and_lower_tiers_need_one_person(lived: Any) -> None:
    solo, high = lived("solo"), lived("prepared")
    assert persons_needed(solo.record, "loans") == 1
    assert persons_needed(high.record, "loans") == 2
    assert persons_needed(high.record, "another use case") == 2, "what is not known counts as high"


def test_a_legal_hold_blocks_until_it_is_lifted(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    everything = use_case_subject("loans")
    for subject in (life.model, everything, life.record.of_kind(kinds.DATASET)[0].subject):
        legal_hold.place(life.desk, "cora", "loans", subject, "case 4711", "the court asked for it")
        with pytest.raises(NotPermitted, match="case 4711") as caught:
            retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
        assert caught.value.exit_code == 5
        assert "lift" in caught.value.hint
        assert "case 4711" in life.record.of_kind(kinds.DENIAL)[-1].predicate["reason"]
        assert vault.has(life.model.sha256)
        with pytest.raises(NotFound):
            legal_hold.lift(life.desk, "cora", "loans", subject, "another case", "it ended well")
        with pytest.raises(NotPermitted):
            legal_hold.lift(life.desk, "otto", "loans", subject, "case 4711", "it ended well")
        assert len(open_holds(life.record, "loans", [subject.sha256])) == 1
        legal_hold.lift(life.desk, "cora", "loans", subject, "case 4711", "it ended well")
    retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])


def test_holds_need_a_matter_a_reason_and_the_right(kept: Any) -> None:
    life, _ = kept
    for matter, reason in (("", "long enough"), ("case", "no"), ("case\n2", "long enough")):
        with pytest.raises(InvalidInput):
            legal_hold.place(life.desk, "cora", "loans", life.model, matter, reason)
    with pytest.raises(NotPermitted):
        legal_hold.place(life.desk, "otto", "loans", life.model, "case", "long enough")
    legal_hold.place(life.desk, "cora", "loans", life.model, "case", "long enough")
    with pytest.raises(InvalidInput, match="already"):
        legal_hold.place(life.desk, "cora", "loans", life.model, "case", "long enough")


def test_a_copy_of_a_wrapped_key_stands_in_the_way(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    (path,) = vault.wrapped(life.model.sha256)
    backup = tmp_path / "backup" / "monday.tar"
    backup.parent.mkdir()
    backup.write_bytes(b"header" * 100 + path.read_bytes() + bytes(1000))
    with pytest.raises(OutOfOrder, match=r"monday\.tar"):
        retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "backup", path.parent])
    backup.write_bytes(bytes(1000))
    retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "backup", path.parent])


def test_what_is_to_be_erased_with_the_model_must_be_gone(ordered: Any, tmp_path: Path) -> None:
    life, vault = ordered
    with pytest.raises(InvalidInput, match="there is: data:train, prediction-logs, run-logs"):
        order(life.desk, "otto", "loans", "", WHY, {"data:other": "erase"})
    with pytest.raises(InvalidInput, match="none of retain"):
        order(life.desk, "otto", "loans", "", WHY, {"run-logs": "burn"})
    said = order(life.desk, "otto", "loans", "", WHY, {"data:train": "erase", "prediction-logs": "archive"})
    confirm(life, "sam", said)
    with pytest.raises(OutOfOrder, match="data:train"):
        retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    confirm(life, "sam", order(life.desk, "otto", "loans", "train", WHY, {}, data=True))
    erased = retire_data(life.desk, vault, "otto", "loans", "train", WHY, [tmp_path / "none"])
    assert erased.predicate["models"] == [life.model.sha256]
    assert erased.predicate["canary"] == {"before": False, "after": False}, "nothing was concealed about it"
    done = retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    rows = {row["asset"]: row["disposition"] for row in done.predicate["dispositions"]}
    assert rows == {
        "weights": "erase",
        "concealed-evidence": "erase",
        "ledger": "retain",
        "data:train": "erase",
        "prediction-logs": "archive",
        "run-logs": "retain",
    }
    assert {row["place"] for row in done.predicate["places"]} == {"vault", "staging", "runs", "predictions"}


def test_a_dataset_is_erased_only_when_its_files_are_gone(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    rows = b"name,illness\n" + b"x,y\n" * 100
    entry = life.record.of_kind(kinds.DATASET)[0]
    said = {key: value for key, value in entry.predicate.items() if key not in ("at", "id")}
    said["files"] = [{"path": "p.csv", "size": len(rows), "sha256": hashlib.sha256(rows).hexdigest()}]
    subject = Subject("patients", "e" * 64)
    life.say("petra", Action.REGISTER_DATA, subject, kinds.DATASET, {**said, "name": "patients", "path": "p.csv"})
    hidden = vault.conceal(subject.sha256, b"{}")
    with pytest.raises(OutOfOrder, match="nobody has ordered"):
        retire_data(life.desk, vault, "otto", "loans", "patients", WHY, [tmp_path / "data"])
    confirm(life, "sam", order(life.desk, "otto", "loans", "patients", WHY, {}, data=True))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "p.csv").write_bytes(rows)
    with pytest.raises(OutOfOrder, match="readable copies"):
        retire_data(life.desk, vault, "otto", "loans", "patients", WHY, [tmp_path / "data"])
    (tmp_path / "data" / "p.csv").unlink()
    legal_hold.place(life.desk, "cora", "loans", subject, "case 9", "an audit is under way")
    with pytest.raises(NotPermitted, match="case 9"):
        retire_data(life.desk, vault, "otto", "loans", "patients", WHY, [tmp_path / "data"])
    assert vault.disclose(subject.sha256, hidden)[1] == b"{}"
    legal_hold.lift(life.desk, "cora", "loans", subject, "case 9", "the audit is over")
    done = retire_data(life.desk, vault, "otto", "loans", "patients", WHY, [tmp_path / "data"])
    assert done.predicate["canary"] == {"before": True, "after": False}
    assert done.predicate["evidence"] == [hidden.ciphertext]
    with pytest.raises(NotPermitted):
        vault.disclose(subject.sha256, hidden)


def test_the_root_key_is_changed_on_record(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    with pytest.raises(NotPermitted):
        retire_root(life.desk, vault, "mel", "loans", "somebody left")
    old = vault.root.identity
    said = retire_root(life.desk, vault, "otto", "loans", "somebody left")
    assert said.predicate["key_commitment"] == old
    assert said.predicate["successor"] == vault.root.identity != old
    assert said.predicate["rewrapped"] == 1
    assert Vault(tmp_path / "vault").open(life.model.sha256) == {"model.bin": WEIGHTS}
    assert str(life.decide().verdict) == "GO", "the model is not retired by it"


def test_nothing_begins_with_a_retired_models_files(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    weights = hashlib.sha256(WEIGHTS).hexdigest()
    refuse_retired_contents(life.record, "loans", [weights])
    retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    refuse_retired_contents(life.record, "loans", ["0" * 64])
    with pytest.raises(NotPermitted, match="was retired") as caught:
        refuse_retired_contents(life.record, "loans", ["0" * 64, weights])
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("due", ["tomorrow", "2027-01-31", "2027-01-31T00:00:00"])
def test_an_order_needs_a_moment_that_means_the_same_everywhere(kept: Any, due: str) -> None:
    life, _ = kept
    with pytest.raises(InvalidInput, match="time zone"):
        order(life.desk, "otto", "loans", "", WHY, {}, due)
    assert order(life.desk, "otto", "loans", "", WHY, {}, "2027-01-31T00:00:00+00:00").predicate["due"]


def _steps(life: Life, at: str) -> list[str]:
    actors = list(life.desk.roster().actors.values())
    return [step.command for step in standing(life.record, "loans", actors, at).steps]


def test_what_is_due_shows_as_a_task_and_not_before(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    order(life.desk, "otto", "loans", "", WHY, {}, life.later(10))
    retiring, erasing = f"custody retire {life.model.short}", "custody retire data patients"
    entry = life.record.of_kind(kinds.DATASET)[0]
    said = {key: value for key, value in entry.predicate.items() if key not in ("at", "id")}
    said |= {"name": "patients", "purpose": "live", "retain_until": life.later(20)}
    patients = Subject("patients", "e" * 64)
    life.say("petra", Action.REGISTER_DATA, patients, kinds.DATASET, said)
    for days, wanted in ((5, []), (15, [retiring]), (25, [retiring, erasing])):
        found = [step for step in _steps(life, life.later(days)) if step.startswith("custody retire")]
        assert [step.removesuffix(' --reason "..."') for step in found] == wanted
    confirm(life, "sam", order(life.desk, "otto", "loans", "", WHY, {}))
    retire(life.desk, vault, "otto", "loans", "", WHY, [tmp_path / "none"])
    left = _steps(life, life.later(25))
    assert [step.removesuffix(' --reason "..."') for step in left] == [erasing], "the dataset outlives the model"
    confirm(life, "sam", order(life.desk, "otto", "loans", "patients", WHY, {}, data=True))
    retire_data(life.desk, vault, "otto", "loans", "patients", WHY, [tmp_path / "none"])
    assert _steps(life, life.later(25)) == []


def test_an_export_needs_a_reason_and_the_right_to_read_weights(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    with pytest.raises(InvalidInput, match="why the weights leave"):
        deploy(life.desk, vault, "otto", "loans", "production", folder=tmp_path / "served")
    _, said = deploy(life.desk, vault, "otto", "loans", "production", reason="for the bank", folder=tmp_path / "served")
    assert said.predicate["reason"] == "for the bank"


def test_a_bulk_export_is_refused_and_the_alert_is_on_record(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    said = {"use_case": "loans", "environment": "production", "admission": "0" * 64}
    for number in range(5):
        other = Subject("loans", hashlib.sha256(b"model %d" % number).hexdigest())
        deploy(life.desk, vault, "otto", "loans", "production", reason="for the bank", folder=tmp_path / f"{number}")
        life.say("otto", Action.DEPLOY, other, kinds.DEPLOYMENT, {**said, "copies": ["/served"]})
    with pytest.raises(NotPermitted, match="5 are allowed") as caught:
        deploy(life.desk, vault, "otto", "loans", "production", reason="for the bank", folder=tmp_path / "sixth")
    assert caught.value.exit_code == 5
    assert not (tmp_path / "sixth").exists()
    denial = life.record.of_kind(kinds.DENIAL)[-1]
    assert denial.predicate["action"] == str(Action.READ_WEIGHTS)
    deploy(life.desk, vault, "otto", "loans", "production")  # what stays in memory is no export


def test_the_data_of_a_held_model_are_held_with_it(kept: Any, tmp_path: Path) -> None:
    life, vault = kept
    confirm(life, "sam", order(life.desk, "otto", "loans", "train", WHY, {}, data=True))
    legal_hold.place(life.desk, "cora", "loans", life.model, "case 12", "the court asked for it")
    with pytest.raises(NotPermitted, match="case 12"):
        retire_data(life.desk, vault, "otto", "loans", "train", WHY, [tmp_path / "data"])
    legal_hold.lift(life.desk, "cora", "loans", life.model, "case 12", "the case is closed")
    retire_data(life.desk, vault, "otto", "loans", "train", WHY, [tmp_path])
