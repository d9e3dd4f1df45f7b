from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from custody.adapters.vault import Vault
from custody.core import predicates as kinds
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotPermitted, OutOfOrder, Tampered, Unknown
from custody.seal.digest import FileDigest, Manifest
from custody.stages.deployment import deploy
from custody.stages.retirement import dependants, find_copies, retire
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
    from custody.core.access import Action

    return Action.START_RUN


@pytest.fixture
def kept(lived: Any, tmp_path: Path) -> tuple[Life, Vault]:
    return released(lived("prepared"), tmp_path)


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
    deploy(life.desk, vault, "otto", "loans", "production", folder=tmp_path / "served")
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
