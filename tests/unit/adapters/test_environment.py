"""What is captured about interpreter, machine and code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from custody.adapters.environment import (
    capture_code,
    capture_environment,
    capture_variables,
    interpreter,
)
from custody.core import strictjson
from custody.errors import InvalidInput

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "part.py").write_text("x = 1\n")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    return tmp_path


def paths(captured: dict[str, object]) -> list[str]:
    files = captured["files"]
    assert isinstance(files, list)
    return [entry["path"] for entry in files]


def test_the_packages_are_those_that_python_itself_lists() -> None:
    captured = capture_environment(sys.executable)["packages"]
    expected = sorted({(found.metadata["Name"], found.version) for found in metadata.distributions()})
    assert [(entry["name"], entry["version"]) for entry in captured["list"]] == expected
    lines = "".join(f"{name}=={version}\n" for name, version in expected)
    assert captured["digest"] == hashlib.sha256(lines.encode()).hexdigest()


def test_another_interpreter_is_asked_and_agrees_with_itself(tmp_path: Path) -> None:
    other = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if other is None or os.path.realpath(other) == os.path.realpath(sys.executable):
        pytest.skip("no second interpreter here")
    found = interpreter(other)
    said = subprocess.run(
        [other, "-I", "-c", "import sys; print(sys.prefix)"], capture_output=True, check=True, text=True
    )
    assert found["prefix"] == said.stdout.strip()
    assert found is interpreter(other)


def test_a_program_that_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    false = tmp_path / "python"
    false.write_text("#!/bin/sh\necho hello\n")
    false.chmod(0o755)
    with pytest.raises(InvalidInput, match="does not answer"):
        interpreter(str(false))
    with pytest.raises(InvalidInput, match="was not found"):
        interpreter(str(tmp_path / "absent"))


def test_the_capture_can_be_signed_and_names_the_machine() -> None:
    captured = capture_environment()
    assert strictjson.parse(strictjson.dump(captured)) == captured
    assert captured["machine"]["cpus"] == len(os.sched_getaffinity(0))
    assert captured["machine"]["gpu"]


def test_secrets_in_variables_are_never_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATABASE", "postgres://user:hunter2@host")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    captured = capture_environment()
    assert "hunter2" not in json.dumps(captured)
    assert "MY_DATABASE" in captured["variables"]
    assert captured["variables"]["OMP_NUM_THREADS"] == "3"
    assert capture_variables({"AWS_SECRET": "x"}) == {"AWS_SECRET": "(not recorded)"}


def test_capturing_the_own_interpreter_is_fast() -> None:
    capture_environment()
    start = time.process_time()
    capture_environment()
    assert time.process_time() - start < 0.06


def test_code_is_captured_and_data_is_not(project: Path) -> None:
    captured = capture_code(project)
    assert paths(captured) == ["pack/part.py", "train.py"]
    digest = hashlib.sha256(b"print(1)\n").hexdigest()
    assert captured["files"][1] == {"path": "train.py", "sha256": digest, "bytes": 9}


def test_the_digest_is_that_of_a_checksum_file(project: Path) -> None:
    captured = capture_code(project)
    lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in captured["files"])
    assert captured["digest"] == hashlib.sha256(lines.encode()).hexdigest()


def test_one_changed_character_changes_the_digest(project: Path) -> None:
    before = capture_code(project)["digest"]
    (project / "pack" / "part.py").write_text("x = 2\n")
    assert capture_code(project)["digest"] != before


def test_what_is_excluded_or_no_project_code_stays_out(project: Path) -> None:
    for name in (".git", ".venv", "__pycache__", "myenv", "labels"):
        (project / name).mkdir()
        (project / name / "inner.py").write_text("")
    (project / "myenv" / "pyvenv.cfg").write_text("")
    (project / "binary.py").write_bytes(b"a\0b")
    (project / "huge.json").write_bytes(b" " * (5 * 1024**2 + 1))
    captured = capture_code(project, exclude=[project / "labels"])
    assert paths(captured) == ["pack/part.py", "train.py"]


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a folder"):
        capture_code(tmp_path / "absent")


def test_without_git_the_code_is_captured_all_the_same(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    captured = capture_code(project)
    assert captured["git"] is None
    assert len(captured["files"]) == 2


@needs_git
def test_uncommitted_and_untracked_code_shows(project: Path) -> None:
    git(project, "init", "-q")
    assert capture_code(project)["git"] is None
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    clean = capture_code(project)
    assert clean["git"]["dirty"] is False
    assert clean["git"]["diff_sha256"] == ""
    assert len(clean["git"]["commit"]) == 40

    (project / "train.py").write_text("print(2)\n")
    changed = capture_code(project)
    assert changed["git"]["dirty"] is True
    assert changed["git"]["diff_sha256"] not in {"", hashlib.sha256(b"").hexdigest()}
    assert changed["digest"] != clean["digest"]

    git(project, "checkout", "train.py")
    (project / "new.py").write_text("")
    untracked = capture_code(project)
    assert untracked["git"]["dirty"] is True
    assert "new.py" in paths(untracked)


@needs_git
def test_monitors_and_external_diffs_of_a_repository_do_not_run(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    trap = project / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {project}/sprung\n")
    trap.chmod(0o755)
    git(project, "config", "core.fsmonitor", str(trap))
    git(project, "config", "diff.external", str(trap))
    (project / "train.py").write_text("print(3)\n")
    assert capture_code(project)["git"]["dirty"] is True
    assert not (project / "sprung").exists()
