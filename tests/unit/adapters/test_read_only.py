"""A ledger that cannot be written can still be read, verified, and shown."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from custody.adapters.memory import FileMemory, ForgivingMemory
from custody.adapters.sqlite import SqliteStore
from custody.cli.main import custody
from custody.errors import Unavailable

NOWHERE = "/proc/custody-state"
"""A folder that nobody can make, root included."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTODY_STATE", str(tmp_path / "state"))
    assert CliRunner().invoke(custody, ["init", "loans", "--solo", "--owner", "olga"]).exit_code == 0
    return tmp_path


@pytest.fixture
def frozen(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make every folder look read-only, as a mount would; root may write anywhere else."""
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    monkeypatch.setenv("CUSTODY_STATE", NOWHERE)
    return project


@pytest.mark.parametrize("words", [["status"], ["next"], ["audit", "verify"], ["audit", "log"]], ids=" ".join)
def test_what_only_reads_works_and_says_that_nothing_was_remembered(frozen: Path, words: list[str]) -> None:
    said = CliRunner().invoke(custody, words)
    assert said.exit_code == 0, said.output
    assert "not remembered: read-only" in said.output
    assert json.loads(CliRunner().invoke(custody, [*words, "--json"]).stdout)["remembered"] is False


def test_where_one_can_write_nothing_is_said(project: Path) -> None:
    assert "not remembered" not in CliRunner().invoke(custody, ["status"]).output


def test_a_writable_ledger_does_not_forgive_a_lost_memory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTODY_STATE", NOWHERE)
    assert isinstance(CliRunner().invoke(custody, ["status"]).exception, Unavailable)


def test_a_read_only_store_appends_nothing(frozen: Path) -> None:
    store = SqliteStore(frozen / ".custody" / "ledger.db")
    assert store.read_only
    with pytest.raises(Unavailable, match="readonly"):
        store.append([(b"x" * 32, b"{}")], lambda _: "note")
    store.close()


def test_entries_that_wait_beside_the_file_are_read_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = project / ".custody" / "ledger.db"
    reader = sqlite3.connect(ledger)  # keeps the write-ahead log from being folded in
    reader.execute("SELECT count(*) FROM entry").fetchone()
    said = CliRunner().invoke(custody, ["init", "person", "ann", "--role", "approver"])
    assert said.exit_code == 0, said.output
    assert ledger.with_name("ledger.db-wal").stat().st_size
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    store = SqliteStore(ledger)
    head = store.read(0).head
    assert head is not None
    assert head.frontier.size == 4
    store.close()
    reader.close()


def test_only_the_forgiving_memory_forgives(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        FileMemory(Path(NOWHERE)).remember("o", 1, b"r" * 32)
    memory = ForgivingMemory(Path(NOWHERE))
    memory.remember("o", 1, b"r" * 32)
    assert memory.forgot
    kept = ForgivingMemory(tmp_path / "state")
    kept.remember("o", 1, b"r" * 32)
    assert not kept.forgot
    assert kept.last("o") == (1, b"r" * 32)
