"""The root key changes, is lost, is sealed under a passphrase; what is wrapped under it stays readable or does not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custody.adapters.keyring import Keyring, read_file_keys, read_wrapped_key, wrapped_key
from custody.adapters.root_key import FileRoot, read_root, root_file
from custody.adapters.vault import Vault
from custody.errors import CustodyError, NotPermitted, Tampered
from custody.seal.digest import walk

WEIGHTS = b"secret weights" * 5_000
NOTE = b'{"findings":["Jane Roe, 1970-01-01"]}'
DATASET = "d" * 64


def _root(folder: Path, passphrase: str = "") -> FileRoot:
    return FileRoot(folder / "keys" / "vault.key", passphrase)


def _vault(folder: Path) -> Vault:
    return Vault(folder / "vault", _root(folder))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Any]:
    """Make a vault of two models and one dataset with something concealed about it."""
    folder = tmp_path_factory.mktemp("full")
    vault = _vault(folder / "project")
    models = []
    for number in range(2):
        source = folder / f"model{number}"
        source.mkdir()
        (source / "weights.bin").write_bytes(WEIGHTS + bytes([number]))
        manifest = walk(source)
        vault.put(manifest, {"weights.bin": source / "weights.bin"})
        models.append(manifest.sha256)
    return folder / "project", models, vault.conceal(DATASET, NOTE)


@pytest.fixture
def project(full: tuple[Path, list[str], Any], tmp_path: Path) -> Path:
    shutil.copytree(full[0], tmp_path / "project")
    return tmp_path / "project"


def _opens(folder: Path, full: tuple[Path, list[str], Any]) -> None:
    vault = _vault(folder)
    for number, model in enumerate(full[1]):
        assert vault.open(model) == {"weights.bin": WEIGHTS + bytes([number])}
    assert vault.disclose(DATASET, full[2])[1] == NOTE


def _sealed(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.sealed")}


def test_a_new_root_key_opens_what_the_old_one_did_and_no_ciphertext_was_touched(full: Any, project: Path) -> None:
    before, key = _sealed(project), (project / "keys" / "vault.key").read_bytes()
    old, new, count = _vault(project).rotate()
    assert count == 3
    assert old != new == _vault(project).root.identity
    assert _sealed(project) == before
    assert (project / "keys" / "vault.key").read_bytes() != key
    assert sorted(path.name for path in (project / "keys").iterdir()) == ["vault.key"]
    _opens(project, full)


def test_the_old_root_key_opens_nothing_any_more(full: Any, project: Path, tmp_path: Path) -> None:
    stolen = (project / "keys" / "vault.key").read_bytes()
    link = tmp_path / "same file"
    os.link(project / "keys" / "vault.key", link)
    _vault(project).rotate()
    assert stolen not in link.read_bytes(), "it was overwritten in place"
    (project / "keys" / "vault.key").write_bytes(stolen)
    vault = _vault(project)
    for model in full[1]:
        with pytest.raises(Tampered, match="root key"):
            vault.open(model)
    with pytest.raises(Tampered, match="root key"):
        vault.disclose(DATASET, full[2])


def test_a_rotation_overwrites_what_was_wrapped_under_the_old_root_key(
    full: Any, project: Path, tmp_path: Path
) -> None:
    key = project / "vault" / "models" / full[1][0] / "key"
    os.link(key, tmp_path / "same file")
    before = json.loads(key.read_bytes())["wrapped"]
    _vault(project).rotate()
    assert before.encode() not in (tmp_path / "same file").read_bytes()


def test_a_key_file_that_names_another_key_is_refused(full: Any, project: Path) -> None:
    path = project / "vault" / "subjects" / DATASET / "key"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "commitment": "0" * 64}))
    with pytest.raises(Tampered, match="does not hold the key it names"):
        _vault(project).disclose(DATASET, full[2])


def test_who_read_the_root_key_before_a_rotation_reads_on_after_it(full: Any, project: Path) -> None:
    long_running = _vault(project)
    assert long_running.has(full[1][0])
    _vault(project).rotate()
    assert long_running.open(full[1][0])
    source = project / "more"
    source.mkdir()
    (source / "weights.bin").write_bytes(b"a third model")
    manifest = walk(source)
    long_running.put(manifest, {"weights.bin": source / "weights.bin"})
    assert _vault(project).open(manifest.sha256)


def test_a_passphrase_comes_and_goes_by_rotation(full: Any, project: Path) -> None:
    sealed = Vault(project / "vault", _root(project, "correct horse"))
    sealed.rotate()
    assert b'"key"' not in (project / "keys" / "vault.key").read_bytes()
    for passphrase, said in (("", "sealed under a passphrase"), ("wrong", "does not open")):
        with pytest.raises(NotPermitted, match=said):
            Vault(project / "vault", _root(project, passphrase))
    assert Vault(project / "vault", _root(project, "correct horse")).open(full[1][0])


def test_a_rotation_killed_anywhere_loses_nothing_and_leaves_one_key(
    killed: Any, full: Any, project: Path, tmp_path: Path
) -> None:
    before = _vault(project).root.identity
    seen = set()
    for point in killed(lambda: _vault(tmp_path / "project").rotate()):
        _opens(project, full)  # readers do not wait for the repair
        now = _vault(project).root.identity
        seen.add(now == before)
        vault = _vault(project)
        vault.conceal(DATASET, b"the next writer repairs")
        assert sorted(path.name for path in (project / "keys").iterdir()) == ["vault.key"], point
        assert not list((project / "vault").rglob("key.next")), point
        assert vault.root.state == "settled"
        assert vault.root.identity == now, "what was decided is not undone"
        _opens(project, full)
        vault.rotate()
        _opens(project, full)
        shutil.rmtree(project)
        shutil.copytree(full[0], project)
    assert seen == {True, False}


def test_a_concealment_killed_anywhere_leaves_all_or_nothing(killed: Any, tmp_path: Path) -> None:
    for _ in killed(lambda: _vault(tmp_path).conceal(DATASET, NOTE)):
        vault = _vault(tmp_path)
        hidden = vault.conceal(DATASET, NOTE)
        assert vault.disclose(DATASET, hidden)[1] == NOTE
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


def test_a_destruction_reaches_both_wrapped_keys_of_a_rotation_under_way(full: Any, project: Path) -> None:
    vault, model = _vault(project), full[1][0]
    place = project / "vault" / "models" / model
    ring = Keyring(vault.root, [project / "vault" / "models"])
    (place / "key.next").write_bytes(wrapped_key(vault.root, ring.key(place, model), model))
    ring.destroy(place)
    assert not (place / "key").exists()
    assert not (place / "key.next").exists()
    assert not (place / "file-keys").exists()


def test_a_wrapped_key_is_good_for_its_subject_alone(full: Any, project: Path) -> None:
    one, other = (project / "vault" / "models" / name for name in full[1])
    for name in ("key", "file-keys"):
        shutil.copy(one / name, other / name)
    with pytest.raises(Tampered):
        _vault(project).open(full[1][1])


BAD_KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another format": lambda body: {**body, "format": "x"},
    "a field more": lambda body: {**body, "more": "x"},
    "a field less": lambda body: {"format": body["format"]},
    "no text": lambda body: {**body, "root": 1},
    "no base64": lambda body: {**body, "wrapped": "%"},
    "a list": lambda body: [body],
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_a_key_file_that_is_none_is_refused(full: Any, project: Path, kind: str) -> None:
    raw = (project / "vault" / "models" / full[1][0] / "key").read_bytes()
    assert read_wrapped_key(raw, "it")
    with pytest.raises(Tampered, match="it is not a wrapped key"):
        read_wrapped_key(json.dumps(BAD_KEYS[kind](json.loads(raw))).encode(), "it")
    keys = (project / "vault" / "models" / full[1][0] / "file-keys").read_bytes()
    assert len(read_file_keys(keys, 1, "it")) == 1
    for count, forged in ((2, keys), (1, keys[:-1]), (1, b'{"format":"custody-file-keys/1","wrapped":[1]}')):
        with pytest.raises(Tampered):
            read_file_keys(forged, count, "it")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"\0" * 32,
        b'{"format":"custody-root-key/1","key":"AAAA"}',
        b'{"format":"custody-root-key/1","key":7}',
        b'{"format":"other","key":"AAAA"}',
        b'{"format":"custody-root-key/1","salt":"AAAA","scrypt":{"n":1,"r":8,"p":1},"sealed":"AAAA"}',
        root_file(bytes(32), "") + b" " * 5000,
    ],
    ids=["empty", "bare", "raw bytes", "short", "number", "another format", "weak scrypt", "long"],
)
def test_a_root_key_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(Tampered, match="not a root key"):
        read_root(raw, "a passphrase", "it")


def test_a_root_key_that_others_read_is_refused(project: Path) -> None:
    path = project / "keys" / "vault.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(NotPermitted, match="others"):
        _vault(project)
    path.unlink()
    path.symlink_to(project / "elsewhere")
    with pytest.raises(CustodyError):
        _vault(project)
