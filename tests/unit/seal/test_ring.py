"""Which of the log's keys signs: the one in force, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody.errors import NotPermitted
from custody.seal.keys import LogKey, verify_ed25519
from custody.seal.ring import LogRing, log_key_files


def test_the_key_in_force_signs_whatever_keys_lie_beside_it(tmp_path: Path) -> None:
    old, new, foreign = LogKey.generate(), LogKey.generate(), LogKey.generate()
    old.save(tmp_path / "log.pem")
    foreign.save(tmp_path / "log" / "a.pem")
    new.save(tmp_path / "log" / "b.pem")
    LogKey.generate().save(tmp_path / "log-keeper.pem")  # somebody of that name
    assert [path.name for path in log_key_files(tmp_path)] == ["log.pem", "a.pem", "b.pem"]
    newest = old
    ring = LogRing(tmp_path, "", lambda: newest.public)
    for newest in (old, new, old):
        assert ring.public == newest.public
        verify_ed25519(newest.public, ring.sign(b"x"), b"x")


def test_without_the_key_in_force_nothing_is_signed(tmp_path: Path) -> None:
    LogKey.generate().save(tmp_path / "log.pem")
    ring = LogRing(tmp_path, "", lambda: LogKey.generate().public)
    with pytest.raises(NotPermitted, match="no key in"):
        ring.sign(b"x")
    assert log_key_files(tmp_path / "nowhere") == []
