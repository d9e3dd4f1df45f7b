"""CPU seconds to verify a whole bundle, cold: the independent verifier beside importing sigstore, and the product.

    python benchmarks/verify.py [--entries 200 2000] [--peer PYTHON] [--json]

The ledger is a real one: an honest life up to GO, then prediction segments until it has the asked number of
entries. Each tool runs in a process of its own, so starting Python is included; user and system seconds of that
process count, the best of three runs. The bar: 200 entries in at most 0.3 CPU s. The peer only imports the
library that verifies such bundles elsewhere: `--peer` names a Python that has it (`pip install sigstore`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from custody.core import predicates as kinds
from custody.core.statement import Statement
from custody.seal.envelope import seal
from custody.seal.keys import PersonKey
from custody.testing import Life, digest, honest_life

BAR = 0.3
"""CPU seconds for 200 entries."""


def fill(life: Life, entries: int) -> None:
    """Append prediction segments until the ledger has that many entries, in one transaction."""
    key = PersonKey.load(life.custody.config.keys / "otto.pem")
    envelopes = []
    for number in range(life.record.size, entries):
        said = {"segment": f"{number}", "count": 1000, "root": digest(str(number)), "at": life.later(0)}
        said |= {"model": life.model.sha256, "environment": "production"}
        envelopes.append(seal(Statement(life.model, kinds.PREDICTIONS, said), key))
    life.desk.log.append(envelopes)


def seconds(command: list[str], folder: Path) -> float:
    """Return the CPU seconds of a command and its children, the best of three."""
    best = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--peer", help="a Python in which sigstore can be imported")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    peer = seconds([asked.peer, "-c", "import sigstore.verify"], Path.cwd()) if asked.peer else None
    for entries in asked.entries:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "project"
            os.environ["CUSTODY_STATE"] = str(folder)
            life = honest_life(folder)
            fill(life, entries)
            bundle, _ = life.export(folder)
            words = ["-m", "custody_verify", "bundle", "bundle.json", "--trust", "trust.json"]
            row = {"entries": entries, "bytes": bundle.stat().st_size}
            row |= {"custody_verify": seconds([sys.executable, *words], folder)}
            row |= {"custody": seconds([sys.executable, "-m", "custody", "audit", "verify"], folder)}
            row |= {"import_sigstore": peer, "ratio": peer / row["custody_verify"]} if peer else {}
            rows.append({key: round(value, 3) for key, value in row.items()})
    if asked.json:
        print(json.dumps(rows))
        return
    for row in rows:
        told = ", ".join(f"{name} {value:g} CPU s" for name, value in row.items() if name in TOOLS)
        ratio = f"; {row['ratio']:.1f} times faster than the import alone" if "ratio" in row else ""
        bar = (
            f"; bar {BAR} CPU s: {'met' if row['custody_verify'] <= BAR else 'MISSED'}" if row["entries"] == 200 else ""
        )
        print(f"{row['entries']} entries, {row['bytes']:,} bytes: {told}{ratio}{bar}")


TOOLS = ("custody_verify", "custody", "import_sigstore")

if __name__ == "__main__":
    main()
