"""The census example finds its data by a relative path as well."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "census" / "life.sh"
REACHED = 77


def begun(folder: Path, data: str) -> subprocess.CompletedProcess[str]:
    """Run the script up to its first command, which here is a stand-in that ends it."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "custody").write_text(f"#!/bin/sh\nexit {REACHED}\n")
    (programs / "custody").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("CUSTODY_CENSUS_DATA", None)
    return subprocess.run(
        ["bash", str(SCRIPT), data, "project"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_data_may_be_named_by_a_relative_path(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for name in ("adult_train.csv", "adult_test.csv"):
        (tmp_path / "tables" / name).write_text(name)
    done = begun(tmp_path, "tables")
    assert done.returncode == REACHED, done.stderr
    assert (tmp_path / "project" / "data" / "adult_test.csv").read_text() == "adult_test.csv"


def test_missing_data_is_named(tmp_path: Path) -> None:
    done = begun(tmp_path, "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
