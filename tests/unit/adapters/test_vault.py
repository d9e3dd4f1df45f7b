from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custody.adapters import keyring
from custody.adapters import vault as module
from custody.adapters.root_key import FileRoot, root_file
from custody.adapters.vault import Vault
from custody.errors import CustodyError, InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.seal import cipher
from custody.seal.digest import Manifest, walk


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"secret weights" * 10_000)
    (folder / "sub" / "labels.json").write_text("{}")
    (folder / "empty").write_bytes(b"")
    return folder


def _files(folder: Path) -> tuple[Manifest, dict[str, Path]]:
    manifest = walk(folder)
    return manifest, {file.path: folder / file.path for file in manifest.files}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault")


@pytest.fixture
def sha256(vault: Vault, model: Path) -> str:
    manifest, files = _files(model)
    vault.put(manifest, files)
    return manifest.sha256


def test_what_is_put_can_be_opened(vault: Vault, model: Path, sha256: str, tmp_path: Path) -> None:
    assert vault.has(sha256)
    plain = {str(path.relative_to(model)): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert vault.open(sha256) == plain
    assert Vault(tmp_path / "vault").open(sha256) == plain
    assert vault.materialise(sha256, tmp_path / "out") == walk(model) == walk(tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out" / "weights.bin").stat().st_mode & 0o777 == 0o400


def test_the_folder_tells_nothing_of_the_weights(vault: Vault, sha256: str, tmp_path: Path) -> None:
    stored = [path for path in (tmp_path / "vault").rglob("*") if path.is_file()]
    assert len(stored) == 7
    assert not [path for path in stored if b"secret weights" in path.read_bytes()]
    assert not [path for path in stored if path.stat().st_mode & 0o077]


def test_putting_again_changes_nothing(vault: Vault, model: Path, sha256: str, tmp_path: Path) -> None:
    before = walk(tmp_path / "vault")
    vault.put(*_files(model))
    assert walk(tmp_path / "vault") == before


def test_two_models_have_two_keys(vault: Vault, model: Path, sha256: str, tmp_path: Path) -> None:
    (model / "empty").write_bytes(b"x")
    manifest, files = _files(model)
    vault.put(manifest, files)
    here, there = (tmp_path / "vault" / "models" / name for name in (sha256, manifest.sha256))
    shutil.copy(there / "key", here / "key")
    with pytest.raises(Tampered):
        vault.open(sha256)
    shutil.copy(here / "2.sealed", there / "2.sealed")  # the same plaintext under another model's key
    with pytest.raises(Tampered):
        vault.open(manifest.sha256)


def test_a_file_that_is_not_what_its_manifest_says_is_not_stored(vault: Vault, model: Path) -> None:
    manifest, files = _files(model)
    (model / "weights.bin").write_bytes(b"poison")
    with pytest.raises(Tampered, match=r"weights\.bin"):
        vault.put(manifest, files)
    assert not vault.has(manifest.sha256)
    with pytest.raises(NotFound):
        vault.open(manifest.sha256)
    with pytest.raises(InvalidInput):
        vault.put(manifest, {"weights.bin": model / "weights.bin"})
    with pytest.raises(InvalidInput, match="folder"):
        vault.put(manifest, {**files, "empty": model / "sub"})


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _exchange(place: Path) -> None:
    (place / "0.sealed").rename(place / "x")
    (place / "1.sealed").rename(place / "0.sealed")
    (place / "x").rename(place / "1.sealed")


def _edit(**changes: Any) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        entry = json.loads((place / "entry.json").read_bytes())
        (place / "entry.json").write_text(json.dumps({**entry, **changes}))

    return edit


def _rename_in_manifest(place: Path) -> None:
    entry = json.loads((place / "entry.json").read_bytes())
    files = entry["manifest"]["files"]
    files[0]["path"] = "other"
    renamed = Manifest.from_json({"sha256": _sum(files), "files": files})
    _edit(manifest=renamed.to_json())(place)


def _sum(files: list[dict[str, Any]]) -> str:
    lines = sorted((file["path"], f"{file['sha256']}  {file['path']}\n") for file in files)
    return hashlib.sha256("".join(line for _, line in lines).encode()).hexdigest()


FORGERIES: dict[str, Callable[[Path], object]] = {
    "ciphertext changed": lambda place: _flip(place / "2.sealed"),
    "ciphertext cut": lambda place: os.truncate(place / "2.sealed", 56 + 16400),
    "ciphertext lost": lambda place: (place / "2.sealed").unlink(),
    "ciphertexts exchanged": _exchange,
    "key changed": lambda place: _flip(place / "key"),
    "key lost": lambda place: (place / "key").unlink(),
    "entry cut": lambda place: os.truncate(place / "entry.json", 30),
    "entry lost": lambda place: (place / "entry.json").unlink(),
    "another commitment": _edit(key_commitment="0" * 64),
    "another format": _edit(format="none"),
    "another manifest": _rename_in_manifest,
    "no manifest": _edit(manifest=None),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_tampering_with_what_is_stored_is_refused(
    vault: Vault, model: Path, sha256: str, tmp_path: Path, kind: str
) -> None:
    FORGERIES[kind](tmp_path / "vault" / "models" / sha256)
    with pytest.raises(Tampered):
        vault.open(sha256)
    with pytest.raises(Tampered):
        vault.materialise(sha256, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if "ciphertext" not in kind:
        with pytest.raises(Tampered):
            vault.put(*_files(model))


def test_bytes_are_hashed_again_after_decryption(vault: Vault, model: Path, sha256: str, tmp_path: Path) -> None:
    """Who holds the keys can make a genuine ciphertext of other weights; the model's digest still knows."""
    path = tmp_path / "vault" / "models" / sha256 / "2.sealed"
    _manifest, keys = vault._opened(sha256)
    other = b"forged weights" * 10_000
    path.unlink()
    about = cipher.context(sha256, "weights.bin", len(other))
    cipher.encrypt_file([other], path, keys[2], about, len(other))
    assert vault.read_range(sha256, "weights.bin", 0, 14) == b"forged weights"
    with pytest.raises(Tampered, match=r"weights\.bin"):
        vault.open(sha256)
    with pytest.raises(Tampered, match=r"weights\.bin"):
        vault.materialise(sha256, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_root_key_lies_apart_from_the_ciphertext(vault: Vault, sha256: str, tmp_path: Path) -> None:
    assert vault.root.place == str(tmp_path / "vault.key")
    named = FileRoot(tmp_path / "elsewhere" / "root", "a passphrase")
    Vault(tmp_path / "second", named)
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["root"]
    assert not [path for path in (tmp_path / "second").rglob("*") if path.is_file()]


def test_another_root_key_opens_nothing(vault: Vault, sha256: str, tmp_path: Path) -> None:
    (tmp_path / "vault.key").write_bytes(root_file(bytes(32), ""))
    with pytest.raises(Tampered, match="root key"):
        Vault(tmp_path / "vault").open(sha256)


def test_a_lost_root_key_is_not_replaced(vault: Vault, sha256: str, tmp_path: Path) -> None:
    (tmp_path / "vault.key").unlink()
    with pytest.raises(NotFound, match=r"vault\.key"):
        Vault(tmp_path / "vault")
    assert not (tmp_path / "vault.key").exists()


def test_each_file_has_a_key_of_its_own(vault: Vault, model: Path, sha256: str, tmp_path: Path) -> None:
    entry = json.loads((tmp_path / "vault" / "models" / sha256 / "entry.json").read_bytes())
    assert len({entry["key_commitment"], *(row["key"] for row in entry["files"])}) == 4
    for number, row in enumerate(entry["files"]):
        path = tmp_path / "vault" / "models" / sha256 / f"{number}.sealed"
        assert row["seal"] == cipher.seal_of(path)
        assert row["size"] == path.stat().st_size
    place = tmp_path / "vault" / "models" / sha256 / "file-keys"
    keys = json.loads(place.read_bytes())
    keys["wrapped"][0], keys["wrapped"][1] = keys["wrapped"][1], keys["wrapped"][0]
    place.write_text(json.dumps(keys))
    with pytest.raises(Tampered):
        vault.open(sha256)


def test_a_range_is_what_the_whole_has_there(vault: Vault, model: Path, sha256: str) -> None:
    whole = (model / "weights.bin").read_bytes()
    for start, length in ((0, 0), (0, 1), (16_380, 10), (50_000, 33_000), (len(whole) - 1, 1), (len(whole), 0)):
        assert vault.read_range(sha256, "weights.bin", start, length) == whole[start : start + length]
    for start, length in ((-1, 2), (0, len(whole) + 1), (len(whole) + 1, 0)):
        with pytest.raises(InvalidInput, match="outside"):
            vault.read_range(sha256, "weights.bin", start, length)
    with pytest.raises(NotFound, match="no file"):
        vault.read_range(sha256, "other.bin", 0, 1)
    vault.destroy(sha256)
    with pytest.raises(NotPermitted, match="its key was destroyed"):
        vault.read_range(sha256, "weights.bin", 0, 1)


@pytest.mark.parametrize("name", ["", "..", "../../etc", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_digests_name_models(vault: Vault, name: str) -> None:
    for act in (vault.open, vault.has, vault.destroy, vault.destroyed):
        with pytest.raises(InvalidInput):
            act(name)


def test_what_was_never_put_is_not_found(vault: Vault) -> None:
    assert not vault.has("a" * 64)
    for act in (vault.open, vault.destroy):
        with pytest.raises(NotFound):
            act("a" * 64)


def test_a_destroyed_model_never_opens_again(vault: Vault, model: Path, sha256: str, tmp_path: Path) -> None:
    place = tmp_path / "vault" / "models" / sha256
    commitment = json.loads((place / "entry.json").read_bytes())["key_commitment"]
    sums = {name: cipher.seal_of(place / f"{n}.sealed") for n, name in enumerate(_files(model)[1])}
    done = vault.destroy(sha256)
    assert (done.canary_before, done.canary_after) == (True, False)
    assert (done.key_commitment, done.ciphertexts) == (commitment, sums)
    assert sorted(done.keys) == sorted(sums)
    assert vault.destroy(sha256) == done == vault.destroyed(sha256)
    assert not vault.has(sha256)
    assert not (place / "key").exists()
    assert (place / "2.sealed").exists()
    for act in (
        lambda: vault.open(sha256),
        lambda: vault.materialise(sha256, tmp_path / "out"),
        lambda: vault.put(*_files(model)),
        lambda: Vault(tmp_path / "vault").open(sha256),
    ):
        with pytest.raises(NotPermitted, match="its key was destroyed"):
            act()
    shutil.rmtree(place)
    with pytest.raises(NotPermitted, match="its key was destroyed"):
        vault.put(*_files(model))
    assert json.loads(json.dumps(done.to_json()))["canary_after"] is False


@pytest.mark.parametrize("name", ["key", "file-keys"])
def test_wrapped_keys_are_overwritten_before_they_are_removed(
    vault: Vault, sha256: str, tmp_path: Path, name: str
) -> None:
    key = tmp_path / "vault" / "models" / sha256 / name
    os.link(key, tmp_path / "same file")
    before = key.read_bytes()
    vault.destroy(sha256)
    after = (tmp_path / "same file").read_bytes()
    assert len(after) == len(before)
    assert not {before[i : i + 16] for i in range(0, len(before), 16)} & {
        after[i : i + 16] for i in range(0, len(after), 16)
    }


def test_erasing_the_record_does_not_bring_a_model_back(vault: Vault, sha256: str, tmp_path: Path) -> None:
    vault.destroy(sha256)
    shutil.rmtree(tmp_path / "vault" / "destroyed")
    with pytest.raises(Tampered, match="key is missing"):
        vault.open(sha256)


def test_a_canary_that_was_dead_before_is_told(vault: Vault, sha256: str, tmp_path: Path) -> None:
    (tmp_path / "vault" / "models" / sha256 / "1.sealed").unlink()
    done = vault.destroy(sha256)
    assert (done.canary_before, done.canary_after) == (False, False)
    assert sorted(done.ciphertexts) == ["empty", "weights.bin"]


def test_a_key_that_survives_is_told_and_tried_again(
    vault: Vault, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(keyring, "shred", lambda path: None)
        assert vault.destroy(sha256).canary_after
    assert not vault.destroy(sha256).canary_after


def test_one_writer_at_a_time(
    vault: Vault, model: Path, sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAIT_SECONDS", 0.1)
    with (tmp_path / "vault" / "lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another command"):
            vault.destroy(sha256)
        assert vault.open(sha256)
    assert not vault.destroy(sha256).canary_after


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_refuses_makes_it_unavailable_and_nothing_is_lost(
    vault: Vault, model: Path, sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (model / "empty").write_bytes(b"now a second model")
    manifest, files = _files(model)

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    for call in ("write", "fsync", "rename", "mkdir"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            with pytest.raises(Unavailable) as caught:
                vault.put(manifest, files)
        assert str(tmp_path / "vault") in caught.value.message
        assert caught.value.hint
        assert not vault.has(manifest.sha256)
        assert vault.open(sha256)
    vault.put(manifest, files)
    assert vault.has(manifest.sha256)


def test_a_vault_cannot_be_made_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CustodyError, match="file"):
        Vault(tmp_path / "file" / "vault")


def _plain(model: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in _files(model)[1].items()}


def test_a_put_killed_anywhere_leaves_all_or_nothing(killed: Any, model: Path, tmp_path: Path) -> None:
    manifest, files = _files(model)
    folder = tmp_path / "vault"
    seen = set()
    for point in killed(lambda: Vault(folder).put(manifest, files)):
        vault = Vault(folder)
        there = vault.has(manifest.sha256)
        seen.add(there)
        if there:
            assert vault.open(manifest.sha256) == _plain(model)
        else:
            with pytest.raises(NotFound):
                vault.open(manifest.sha256)
        vault.put(manifest, files)
        assert vault.open(manifest.sha256) == _plain(model)
        assert not (folder / "tmp").exists() or not any((folder / "tmp").iterdir()), point
        shutil.rmtree(folder)
    assert seen == {True, False}


def test_a_destruction_killed_anywhere_is_undone_or_completed(killed: Any, model: Path, tmp_path: Path) -> None:
    manifest, files = _files(model)
    root = FileRoot(tmp_path / "root.key")
    Vault(tmp_path / "full", root).put(manifest, files)
    shutil.copytree(tmp_path / "full", tmp_path / "vault")
    seen = set()
    for _ in killed(lambda: Vault(tmp_path / "vault", root).destroy(manifest.sha256)):
        vault = Vault(tmp_path / "vault", root)
        there = vault.has(manifest.sha256)
        seen.add(there)
        if there:
            assert vault.open(manifest.sha256) == _plain(model)
        else:
            with pytest.raises(NotPermitted, match="its key was destroyed"):
                vault.open(manifest.sha256)
        done = vault.destroy(manifest.sha256)
        assert (done.canary_before, done.canary_after) == (True, False)
        assert not (tmp_path / "vault" / "models" / manifest.sha256 / "key").exists()
        shutil.rmtree(tmp_path / "vault")
        shutil.copytree(tmp_path / "full", tmp_path / "vault")
    assert seen == {True, False}
