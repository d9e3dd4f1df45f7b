"""What the seal costs: a small script bare and sealed, in alternating pairs.

    python benchmarks/sealed_run.py [--pairs 30] [--json]

Prints the median wall time of each, the median difference of the pairs, and the ratio of processor time
over a script that computes for about a second. Bars: at most 150 ms and 3 % processor time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from custody.adapters.bubblewrap import Bare, detect
from custody.core.sandbox import Outcome, Sandbox, layout

START = "print('hello')\n"
WORK = "x = 0\nfor i in range(12_000_000):\n    x += i * i % 7\nopen('model/x', 'w').write(str(x))\n"


def run(sandbox: Sandbox, work: Path, script: str) -> tuple[float, Outcome]:
    path = work / "train.py"
    path.write_text(script)
    digest = hashlib.sha256(script.encode()).hexdigest()
    output = work / "model"
    mounts = layout(work, [("train.py", digest)], [(work / "data.csv", "")], output)
    start = time.perf_counter()
    outcome = sandbox.run(
        [sys.executable, "train.py"],
        mounts=mounts,
        output=output,
        work=work,
        environment={"CUSTODY_SEED": "1"},
        time_limit=120,
        log=work / "log",
    )
    seconds = time.perf_counter() - start
    if not outcome.succeeded:
        raise SystemExit((work / "log").read_text())
    return seconds, outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sealed, bare = detect(), Bare()
    if sealed.describe().kind != "bubblewrap":
        raise SystemExit(sealed.describe().detail)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "data.csv").write_text("a\n1\n")
        run(bare, work, START)
        run(sealed, work, START)
        starts = [(run(bare, work, START)[0], run(sealed, work, START)[0]) for _ in range(options.pairs)]
        count = max(3, options.pairs // 6)
        works = [(run(bare, work, WORK)[1], run(sealed, work, WORK)[1]) for _ in range(count)]
    figures = {
        "pairs": options.pairs,
        "bare_ms": 1000 * statistics.median(one for one, _ in starts),
        "sealed_ms": 1000 * statistics.median(other for _, other in starts),
        "difference_ms": 1000 * statistics.median(other - one for one, other in starts),
        "work_bare_cpu_s": statistics.median(one.cpu_seconds for one, _ in works),
        "work_sealed_cpu_s": statistics.median(other.cpu_seconds for _, other in works),
        "cpu_ratio": statistics.median(other.cpu_seconds / one.cpu_seconds for one, other in works),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value:10.3f}")


if __name__ == "__main__":
    main()
