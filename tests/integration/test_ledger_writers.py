"""Many writers at once, and writers that are killed: the trial of `benchmarks/ledger.py`, with small numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRIAL = Path(__file__).parents[2] / "benchmarks" / "ledger.py"
KILLS = os.environ.get("CUSTODY_KILLS", "12")


def test_eight_processes_and_kill_9_on_both_databases() -> None:
    """Writers alone, writers whose threads share commits, and writers that leave nodes half written."""
    words = [sys.executable, str(TRIAL), "--only", "processes", "kills", "--appends", "10", "--kills", KILLS]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("80 of 80 on record, one history") == 2, done.stdout
    assert done.stdout.count(f"  {KILLS} kill -9 in ") == 2, done.stdout
    assert done.stdout.count(" 0 lost;") == 2, done.stdout
    assert done.stdout.count(" 0 unprovable;") == 2, done.stdout
