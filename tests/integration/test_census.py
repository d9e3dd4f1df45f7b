"""The census example on real records: performance proven, the sex gap proven too large, so NO-GO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("CUSTODY_CENSUS_DATA") or REPOSITORY.parent / "shared" / "data")

pytestmark = pytest.mark.skipif(
    not (DATA / "adult_train.csv").is_file() or not (DATA / "adult_test.csv").is_file(),
    reason="the census tables are not here: set CUSTODY_CENSUS_DATA to their folder (examples/census/README.md)",
)


def test_the_gap_is_found_with_its_interval(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("custody", "-m custody"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "CUSTODY_STATE": str(tmp_path / "state"),
    }
    folder = tmp_path / "census"
    done = subprocess.run(
        [str(REPOSITORY / "examples" / "census" / "life.sh"), str(DATA), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout + done.stderr
    assert "NO-GO" in done.stdout

    shown = subprocess.run(
        [sys.executable, "-m", "custody", "gate", "show", "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    rulings = {ruling["id"].partition("[")[0]: ruling for ruling in json.loads(shown.stdout)["rulings"]}
    gap = rulings["F1"]
    assert gap["status"] == "not_met", gap
    answer = gap["answer"]
    assert 0.15 < answer["value"] < 0.22, answer
    assert 0.05 < answer["low"] < answer["value"] < answer["high"] < 0.30, answer
    assert rulings["P1"]["status"] == rulings["P2"]["status"] == "met", (rulings["P1"], rulings["P2"])
