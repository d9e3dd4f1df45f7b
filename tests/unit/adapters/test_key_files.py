"""Where private keys lie, and how a new one takes the place of an old one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from custody.adapters.key_files import KeyFiles
from custody.errors import NotFound, NotPermitted
from custody.seal.keys import LogKey, PersonKey


def files(folder: Path, passphrase: str = "", own: Path | None = None) -> KeyFiles:
    return KeyFiles(folder, own, passphrase)


def test_a_new_key_waits_beside_the_old_one_until_it_is_on_record(tmp_path: Path) -> None:
    kept = files(tmp_path)
    old, place = kept.make("ann")
    assert place == tmp_path / "ann.pem"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    new, beside = kept.make("ann", old.keyid)
    assert beside == tmp_path / ".ann.next.pem"
    assert kept.make("ann", old.keyid)[0].keyid == new.keyid  # asked again, the same one
    assert kept.load("ann", old.keyid).keyid == old.keyid
    assert kept.load("ann").keyid == old.keyid
    assert kept.load("ann", new.keyid).keyid == new.keyid  # the ledger has taken it: it takes its place
    assert not beside.exists()
    assert PersonKey.load(tmp_path / ".ann.old-1.pem").keyid == old.keyid
    third, _ = kept.make("ann", new.keyid)
    kept.make("ann", third.keyid)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".ann.next.pem", ".ann.old-1.pem", ".ann.old-2.pem", "ann.pem"
    ]  # fmt: skip


def test_a_key_in_ones_own_folder_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "own"
    shared, mine = files(tmp_path).make("ann")[0], files(tmp_path, own=own).make("ann")[0]
    assert files(tmp_path).load("ann").keyid == shared.keyid
    assert files(tmp_path, own=own).load("ann").keyid == mine.keyid
    with pytest.raises(NotFound):
        files(tmp_path, own=own).load("bob")


def test_it_is_told_whether_a_key_is_encrypted(tmp_path: Path) -> None:
    files(tmp_path).make("bare")
    files(tmp_path, "open sesame").make("closed")
    kept = files(tmp_path)
    assert [kept.is_encrypted(name) for name in ("bare", "closed", "nobody")] == [False, True, None]
    with pytest.raises(NotPermitted, match="encrypted"):
        kept.load("closed")
    assert files(tmp_path, "open sesame").load("closed").keyid


def test_a_lost_key_is_put_aside_and_kept(tmp_path: Path) -> None:
    kept = files(tmp_path)
    kept.put_aside("ann")
    old, _ = kept.make("ann")
    kept.put_aside("ann")
    assert PersonKey.load(tmp_path / ".ann.old-1.pem").keyid == old.keyid
    assert kept.make("ann")[0].keyid != old.keyid


def test_keys_of_the_log_never_take_each_others_place(tmp_path: Path) -> None:
    kept = files(tmp_path)
    made = [kept.make_log_key() for _ in range(3)]
    assert len({place for _, place in made}) == 3
    assert all(LogKey.load(place).public == key.public for key, place in made)


def test_on_a_terminal_the_passphrase_of_an_encrypted_key_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = files(tmp_path, "open sesame").make("ann")
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "open sesame"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", ask)
    kept = files(tmp_path)
    assert [kept.load("ann").keyid for _ in range(3)] == [made.keyid] * 3
    assert len(asked) == 1
    assert "ann.pem" in asked[0]
