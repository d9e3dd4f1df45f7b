"""`custody ledger`: what the commands answer, and what they refuse, as programs see it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custody.testing import Life


class Place:
    """A project with a dozen entries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        life = Life(folder)
        life.enrol_all()
        self.size = life.record.size
        life.export(folder)

    def __call__(self, *words: str) -> tuple[int, dict[str, Any]]:
        environment = {**os.environ, "CUSTODY_STATE": str(self.folder)}
        done = subprocess.run(
            [sys.executable, "-m", "custody", "ledger", *words, "--json"],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    def sql(self, statement: str, *values: Any) -> Any:
        connection = sqlite3.connect(self.folder / ".custody" / "ledger.db")
        found = connection.execute(statement, values).fetchone()
        connection.commit()
        connection.close()
        return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    return Place(tmp_path)


def test_a_proof_is_made_and_checked_by_somebody_with_the_trust_file_alone(whole: Place, tmp_path: Path) -> None:
    code, body = whole("prove", "4", "-o", "entry.tlog-proof")
    assert (code, body["entry"]) == (0, 4)
    away = tmp_path / "away"
    away.mkdir()
    for name in ("entry.tlog-proof", "trust.json"):
        (away / name).write_bytes((whole.folder / name).read_bytes())
    words = [sys.executable, "-m", "custody", "ledger", "check", "entry.tlog-proof", "--trust", "trust.json"]
    done = subprocess.run(words, cwd=away, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Entry 4 is in the log custody.loans" in done.stdout
    text = (away / "entry.tlog-proof").read_text()
    (away / "entry.tlog-proof").write_text(text.replace("index 4\n", "index 5\n"))
    done = subprocess.run(words, cwd=away, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert "does not lead" in done.stderr


def test_consistency_is_proven_against_a_root_that_is_known(whole: Place) -> None:
    code, body = whole("prove", "--consistency", "3", "-o", "old.proof")
    assert code == 0
    assert whole("check", "old.proof") == (0, {"old": 3, "entries": whole.size, "root": whole("status")[1]["root"]})
    assert whole("check", "old.proof", "--trust", "trust.json", "--old-root", body["old_root"])[0] == 0
    assert whole("check", "old.proof", "--trust", "trust.json", "--old-root", "00" * 32)[0] == 4
    assert whole("check", "old.proof", "--trust", "trust.json")[0] == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["prove"], 2),
        (["prove", "1", "--consistency", "2"], 2),
        (["prove", "999"], 3),
        (["prove", "--consistency", "0"], 3),
        (["check", "no-such-file"], 2),
        (["check", "custody.toml"], 2),
        (["check", "trust.json"], 2),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(words: list[str], code: int, whole: Place) -> None:
    found, body = whole(*words)
    assert found == code
    assert body["message"]
    assert body["hint"]


def test_tiles_are_published_and_rebuilt_to_the_same_bytes(whole: Place) -> None:
    assert whole("tiles")[0] == 0
    root = whole.folder / ".custody"
    derived = {p: p.read_bytes() for name in ("tiles", "nodes") for p in (root / name).rglob("*") if p.is_file()}
    assert len(derived) > 4
    code, body = whole("rebuild")
    assert (code, body["entries"]) == (0, whole.size)
    assert derived == {
        p: p.read_bytes() for name in ("tiles", "nodes") for p in (root / name).rglob("*") if p.is_file()
    }
    code, body = whole("status")
    assert (body["nodes"], body["tiles"], body["entries"]) == (whole.size,) * 3


def test_a_sound_ledger_is_verified(whole: Place) -> None:
    code, body = whole("verify")
    assert (code, body["entries"], body["fresh"]) == (0, whole.size, True)


@pytest.mark.parametrize("entry", range(10))
def test_one_flipped_byte_is_found_and_the_entry_named(entry: int, place: Place) -> None:
    (raw,) = place.sql("SELECT envelope FROM entry WHERE idx = ?", entry)
    at = len(raw) * (2 * entry + 1) // 20
    place.sql("UPDATE entry SET envelope = ? WHERE idx = ?", raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], entry)
    code, body = place("verify")
    assert code == 4
    assert f"entry {entry} " in body["message"]


def test_a_moved_entry_is_named_where_the_nodes_are_whole(place: Place) -> None:
    assert place("prove", "0")[0] == 0
    rows = {n: place.sql("SELECT leaf, envelope FROM entry WHERE idx = ?", n) for n in (3, 6)}
    for n, other in ((3, 6), (6, 3)):
        place.sql("UPDATE entry SET leaf = ?, envelope = ? WHERE idx = ?", *rows[other], n)
    code, body = place("verify")
    assert code == 4
    assert "entry 3 was replaced or moved" in body["message"]


def test_entries_cut_off_are_noticed_against_what_this_machine_saw(place: Place) -> None:
    place.sql("DELETE FROM entry WHERE idx >= ?", place.size - 3)
    code, body = place("verify")
    assert code == 4
    assert f"entry {place.size - 3} is missing" in body["message"]


def test_an_old_copy_of_the_ledger_is_noticed_and_not_written_to(place: Place) -> None:
    database = place.folder / ".custody" / "ledger.db"
    old = {path: path.read_bytes() for path in database.parent.glob("ledger.db*")}
    environment = {**os.environ, "CUSTODY_STATE": str(place.folder), "CUSTODY_ACTOR": "olga"}
    enrol = [sys.executable, "-m", "custody", "init", "person", "nina", "--role", "validator"]
    done = subprocess.run(enrol, cwd=place.folder, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    for path in database.parent.glob("ledger.db*"):
        path.unlink()
    for path, raw in old.items():
        path.write_bytes(raw)
    code, body = place("verify")
    assert code == 4
    assert "cut short" in body["message"]
    assert place("prove", "1")[0] == 4
    done = subprocess.run(enrol, cwd=place.folder, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 4
