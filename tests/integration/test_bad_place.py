"""Settings, keys, ledgers, disks and libraries that are missing or damaged: a clear refusal, nothing lost."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ORIGIN = ["--source", "a test", "--owner", "olga", "--licence", "own", "--trust", "trusted"]
MEANING = ["--target", "y", "--positive", "1"]


def damage_settings(place: Any, text: str | bytes | None) -> None:
    path = place.folder / "custody.toml"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text.encode() if isinstance(text, str) else text)


SETTINGS: dict[str, tuple[Callable[[str], str | bytes | None], int, list[str]]] = {
    "missing": (lambda good: None, 3, ["custody.toml"]),
    "empty": (lambda good: "", 2, ["custody.toml"]),
    "truncated": (lambda good: good[:60], 2, ["custody.toml"]),
    "not UTF-8": (lambda good: b"\xff\xfe" + good.encode(), 2, ["custody.toml", "UTF-8"]),
    "wrong type": (lambda good: good.replace('"olga"', "7"), 2, ["actor"]),
    "unknown key": (lambda good: "speed = 3\n" + good, 2, ["speed"]),
    "another log key": (lambda good: good.replace('log_key = "', 'log_key = "AAAA'), 2, []),
    "log key is no base64": (lambda good: good.replace('log_key = "', 'log_key = "*'), 2, ["log_key"]),
    "another owner": (lambda good: good.replace('owner_key = "', 'owner_key = "00'), 4, ["owner"]),
    "another origin": (lambda good: good.replace('origin = "custody.', 'origin = "custodian.'), 4, []),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings(solo: Any, case: str) -> None:
    path = solo.folder / "custody.toml"
    good = path.read_text()
    spoil, code, words = SETTINGS[case]
    before = solo.sound()
    damage_settings(solo, spoil(good))
    solo.plain("status").refused(code, *words)
    solo.plain("init", "person", "ann", "--role", "validator").refused(code, *words)
    path.write_text(good)
    assert solo.sound() == before
    assert solo.plain("init", "person", "ann", "--role", "validator").code == 0


def test_missing_key(solo: Any) -> None:
    key = solo.folder / ".custody" / "keys" / "olga.pem"
    raw = key.read_bytes()
    key.unlink()
    assert solo.plain("status").code == 0, "reading needs no key"
    solo.plain("init", "person", "ann", "--role", "validator").refused(3, "olga")
    key.write_bytes(raw[:-40])
    solo.plain("init", "person", "ann", "--role", "validator").refused(2, "olga")
    key.write_bytes(raw)
    assert solo.plain("init", "person", "ann", "--role", "validator").code == 0
    solo.sound()


def test_missing_log_key(solo: Any) -> None:
    key = solo.folder / ".custody" / "keys" / "log.pem"
    raw = key.read_bytes()
    key.unlink()
    assert solo.plain("status").code == 0, "reading needs no key"
    said = solo.plain("init", "person", "ann", "--role", "validator")
    assert said.code in (2, 3, 6), said.both
    said.refused(said.code)
    key.write_bytes(raw)
    assert solo.plain("init", "person", "ann", "--role", "validator").code == 0
    solo.sound()


def test_passphrase_forgotten_and_wrong(tmp_path: Path, solo: Any) -> None:
    folder = tmp_path / "secret"
    folder.mkdir()
    place = type(solo)(folder)
    right = {"CUSTODY_PASSPHRASE": "correct horse"}
    assert place.plain("init", "secret", "--owner", "olga", env=right).code == 0
    person = ["init", "person", "ann", "--role", "validator"]
    place.plain(*person).refused(5, "CUSTODY_PASSPHRASE")
    place.plain(*person, env={"CUSTODY_PASSPHRASE": "wrong"}).refused(5, "passphrase")
    assert place.plain(*person, env=right).code == 0


def test_deleted_and_damaged_ledger(solo: Any) -> None:
    ledger = solo.folder / ".custody" / "ledger.db"
    before = solo.sound()
    files = {path: path.read_bytes() for path in ledger.parent.glob("ledger.db*")}

    def clean() -> None:
        for path in ledger.parent.glob("ledger.db*"):
            path.unlink()

    clean()
    solo.plain("status").refused(4, "ledger", "backup")
    solo.plain("init", "person", "ann", "--role", "validator").refused(4, "ledger")
    ledger.write_bytes(b"")
    solo.plain("status").refused(4, "ledger")
    clean()
    ledger.write_bytes(b"not a database at all" * 200)
    solo.plain("status").refused(4, "ledger")
    clean()
    ledger.write_bytes(files[ledger][: len(files[ledger]) // 2])
    solo.plain("status").refused(4, "ledger")
    clean()
    for path, raw in files.items():
        path.write_bytes(raw)
    assert solo.sound() == before
    assert solo.plain("init", "person", "ann", "--role", "validator").code == 0


def test_deleted_vault_key(solo_of: Any, tmp_path: Path) -> None:
    place = solo_of("trained", tmp_path)
    root = place.folder / ".custody" / "keys" / "vault.key"
    raw = root.read_bytes()
    root.unlink()
    said = place.plain("validate")
    assert said.code in (3, 4, 6), said.both
    said.refused(said.code)
    root.write_bytes(raw[:-1])
    root.chmod(0o600)
    said = place.plain("validate")
    assert said.code in (3, 4, 6), said.both
    said.refused(said.code)
    place.sound()
    root.write_bytes(raw)
    assert "Traceback" not in place.plain("validate").both


def test_unknown_names(solo_of: Any, tmp_path: Path) -> None:
    place = solo_of("trained", tmp_path)
    before = place.sound()
    place.plain("gate", "approve", "--as", "nobody").refused(5, "nobody", "olga")
    place.plain("validate", "ffffffffffff").refused(3, "ffffffffffff")
    place.plain("deploy", "ffffffffffff", "--env", "staging").refused(3, "ffffffffffff")
    place.plain("data", "check", "nothing").refused(3, "nothing")
    place.plain("data", "verify", "nothing").refused(3, "nothing")
    place.plain("run", "show", "nothing").refused(3, "nothing")
    place.plain("run", "reproduce", "nothing").refused(3, "nothing")
    place.plain("source", "risk", "nothing", "--treat", "--reason", "it is no risk").refused(3, "nothing")
    place.plain("incident", "open", "nothing", "--type", "leak", "--reason", "it leaked").refused(3, "nothing")
    place.plain("incident", "close", "nothing", "--reason", "it is over and mended").refused(3, "nothing")
    place.plain("watch", "predict", "nothing").refused(3, "nothing")
    place.plain("watch", "trace", "nothing").refused(3, "nothing")
    place.plain("audit", "show", "999").refused(3, "999")
    place.plain("audit", "report", "ffffffffffff").refused(3, "ffffffffffff")
    place.plain("audit", "who-can", "fly").refused(2, "fly")
    place.plain("retire", "ffffffffffff", "--reason", "it is old", "--yes").refused(3, "ffffffffffff")
    place.plain("scan", "nothing").refused(2, "nothing")
    place.plain("status", "another-use-case").refused(3, "another-use-case")
    place.plain("audit", "export", "-o", "no/such/folder/b.json").refused(2, "no/such/folder")
    place.plain("audit", "report", "-o", "no/such/folder/b.html").refused(2, "no/such/folder")
    assert place.sound() == before + 0


def test_outside_of_a_project(solo: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    place = type(solo)(empty)
    for words in (["status"], ["next"], ["validate"], ["audit", "verify"], ["run", "--", "true"], ["data", "list"]):
        place.plain(*words).refused(3, "custody.toml", "custody init")


def test_init_twice(solo: Any) -> None:
    before = solo.sound()
    solo.plain("init", "tiny").refused(2, "exists already")
    solo.plain("init", "person", "a/b", "--role", "validator").refused(2, "a/b")
    solo.plain("init", "person", "ann", "--role", "king").refused(2, "king")
    solo.plain("init", "person", "ann", "--role", "validator", "--key", "none.pem").refused(2, "none.pem")
    assert solo.sound() == before


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment in which the checks' libraries are not installed."""
    folder = tmp_path / "absent"
    for name in ("numpy", "polars", "sklearn", "scipy", "pandas", "joblib"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
        )
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def test_without_the_extra(solo_of: Any, tmp_path: Path, bare: dict[str, str]) -> None:
    place = solo_of("trained", tmp_path)
    before = place.sound()
    register = ["data", "register", "extra", "data/train.csv", *ORIGIN, *MEANING]
    for words in (
        register,
        ["data", "check", "tiny-train"],
        ["gate", "seal"],
        ["gate", "lint"],
        ["validate"],
        ["watch", "predict", "tiny-train"],
        ["demo"],
    ):
        said = place.plain(*words, env=bare)
        assert said.code in (3, 6), (words, said.both)
        assert "Traceback" not in said.both, said.both
        if words[0] != "watch":
            assert "pip install" in said.both, (words, said.both)
    assert place.sound() >= before
    for words in (["status"], ["next"], ["data", "verify"], ["audit", "verify"], ["run", "list"]):
        assert place.plain(*words, env=bare).code == 0, words
    decided = place.plain("gate", "decide", env=bare)
    assert decided.code in (1, 3)
    assert place.plain("scan", "train.py", env=bare).code == 0
    assert place.plain("run", "--", sys.executable, "train.py", env=bare).code == 0, "the core trains without them"
    assert place.plain(*register).code == 0


def test_load_without_the_extra(solo: Any, python: Any) -> None:
    """The package imports and refuses clearly without numpy."""
    source = (
        "import sys; sys.modules.update(dict.fromkeys(['numpy', 'polars', 'sklearn', 'joblib', 'pandas']))\n"
        "import custody\n"
        "from custody.errors import CustodyError\n"
        "try: custody.load()\n"
        "except CustodyError as error: print(type(error).__name__, error)\n"
    )
    said = python(solo, source)
    assert said.code == 0, said.err
    assert said.out.startswith("OutOfOrder"), said.out


def test_output_to_a_closed_pipe(solo: Any) -> None:
    import subprocess

    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m custody audit log | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=solo.folder,
        env=solo.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_leftovers_of_nobody(solo: Any) -> None:
    """A foreign file in the output folder is neither used nor removed."""
    out = solo.folder / "model"
    out.mkdir(exist_ok=True)
    (out / "mine.txt").write_text("keep me")
    solo.plain("run", "--", sys.executable, "train.py").refused(2, "not empty")
    assert (out / "mine.txt").read_text() == "keep me"
    shutil.rmtree(out)
    assert solo.plain("run", "--", sys.executable, "train.py").code == 0
