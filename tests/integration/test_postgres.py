"""A project whose ledger lies in PostgreSQL: the same commands, the same answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custody.config import FILE, read_config

Custody = Callable[..., "tuple[int, dict[str, Any]]"]


@pytest.fixture
def custody(tmp_path: Path) -> Custody:
    """Give a way to run commands in one folder; returns exit code and answer."""

    def run(*words: str, **more: str) -> tuple[int, dict[str, Any]]:
        environment = {**os.environ, "CUSTODY_STATE": str(tmp_path / "state"), "CUSTODY_ACTOR": "olga", **more}
        done = subprocess.run(
            [sys.executable, "-m", "custody", *words, "--json"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def test_a_project_in_a_database(custody: Custody, postgres: Any, tmp_path: Path) -> None:
    assert custody("init", "loans", "--ledger", postgres.url)[0] == 0
    assert not (tmp_path / ".custody" / "ledger.db").exists()
    assert read_config(tmp_path / FILE).ledger_url == postgres.url
    assert custody("init", "person", "sam", "--role", "security_manager")[0] == 0
    code, body = custody("audit", "verify")
    assert (code, body["fresh"]) == (0, True)
    assert custody("audit", "export", "-o", "bundle.json")[0] == 0
    assert custody("audit", "trust-root", "-o", "trust.json")[0] == 0

    postgres.stop()
    try:
        for words in (["status"], ["init", "person", "val", "--role", "validator"]):
            code, body = custody(*words)
            assert code == 6
            assert "cannot be used" in body["message"]
    finally:
        postgres.start()
    code, again = custody("audit", "verify")
    assert code == 0
    assert custody("init", "person", "val", "--role", "validator")[0] == 0
    assert custody("audit", "verify")[1]["entries"] == again["entries"] + 1


def test_a_forged_row_in_the_database_is_integrity(custody: Custody, postgres: Any, tmp_path: Path) -> None:
    import psycopg

    assert custody("init", "loans", "--ledger", postgres.url)[0] == 0
    origin = read_config(tmp_path / FILE).origin
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(
            "UPDATE custody_entry SET envelope = set_byte(envelope, 60, get_byte(envelope, 60) # 1)"
            " WHERE origin = %s AND idx = 1",
            (origin,),
        )
    code, body = custody("audit", "verify")
    assert code == 4
    assert "entry 1" in body["message"]


def test_what_cannot_be_a_ledger_leaves_nothing_behind(custody: Custody, tmp_path: Path) -> None:
    code, body = custody("init", "loans", "--ledger", "postgresql://u:secret@127.0.0.1:1/d")
    assert code == 2
    assert "password" in body["message"]
    assert "secret" not in json.dumps(body)
    assert not (tmp_path / ".custody").exists()
    code, body = custody("init", "loans", "--ledger", "postgresql://127.0.0.1:1/d")
    assert code == 6
    assert not (tmp_path / FILE).exists()
    assert custody("init", "loans")[0] == 0, "and the next attempt works"
