"""Seconds to verify a whole bundle: the independent verifier in plain Python beside `custody audit verify`.

    python benchmarks/verify.py [--entries 100 2000] [--json]

The ledger is a real one: an honest life up to GO, then prediction segments and results of watching until it
has the asked number of entries. Each tool runs in a process of its own, so starting Python is included;
the best of three runs counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.seal.envelope import seal
from custody.seal.keys import PersonKey
from custody.testing import Life, digest, honest_life


def fill(life: Life, entries: int) -> None:
    """Append prediction segments until the ledger has that many entries, in one transaction."""
    key = PersonKey.load(life.custody.config.keys / "otto.pem")
    envelopes = []
    for number in range(life.record.size, entries):
        said = {"segment": f"{number}", "count": 1000, "root": digest(str(number)), "at": life.later(0)}
        said |= {"model": life.model.sha256, "environment": "production"}
        envelopes.append(seal(Statement(life.model, kinds.PREDICTIONS, said), key))
    life.desk.log.append(envelopes)


def seconds(words: list[str], folder: Path) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
        best = min(best, time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(f"{words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[100, 2000])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for entries in asked.entries:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["CUSTODY_STATE"] = str(folder / "project")
            life = honest_life(folder / "project")
            fill(life, entries)
            bundle, _ = life.export(folder / "project")
            ours = seconds(["custody_verify", "bundle", "bundle.json", "--trust", "trust.json"], folder / "project")
            theirs = seconds(["custody", "audit", "verify"], folder / "project")
            row = {"entries": entries, "bytes": bundle.stat().st_size, "custody_verify": ours, "custody": theirs}
            rows.append({key: round(value, 3) for key, value in row.items()})
    if asked.json:
        print(json.dumps(rows))
        return
    print(f"{'entries':>8} {'bytes':>10} {'custody_verify':>15} {'custody audit verify':>21}")
    for row in rows:
        print(f"{row['entries']:>8} {row['bytes']:>10} {row['custody_verify']:>13.2f} s {row['custody']:>19.2f} s")


if __name__ == "__main__":
    main()
