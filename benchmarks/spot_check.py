"""What a spot check costs beside the run it checks: processor time of both commands, start-up told apart.

    python benchmarks/spot_check.py [--steps 1000] [--json]

One percent of the steps is repeated, twice: with the recorded seed, and with another. Bar: the repetition
itself, without what every command and every start of the script costs, at most 3 % of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import sealed_run

SCRIPT = """
import os, custody_run
open("train.csv").read()
total = 0
for step in custody_run.steps(range({steps})):
    first = custody_run.order(50, step)[0]
    total += sum(k * k % 7 for k in range(40_000 + int(first)))
    custody_run.log(loss=total / (step + 1))
open(os.environ["CUSTODY_OUT"] + "/m.txt", "w").write(str(total))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, float] = {"steps": options.steps}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["CUSTODY_STATE"] = str(folder / "state")
        work = folder / "work"
        work.mkdir()
        sealed_run.begin(work)
        custody = [sys.executable, "-m", "custody", "run"]
        script = [sys.executable, "-S", "train.py"]
        for name, steps in (("empty", 1), ("run", options.steps)):
            (work / "train.py").write_text(SCRIPT.format(steps=steps))
            figures[f"{name}_cpu_ms"] = sealed_run.measured([*custody, "--quiet", "--", *script], work)[1]
            few = max(1, steps // 100)
            check = [*custody, "spot-check", "--steps", str(few), "--json"]
            figures[f"{name}_check_cpu_ms"] = sealed_run.measured(check, work)[1]
    training = figures["run_cpu_ms"] - figures["empty_cpu_ms"]
    figures["repetition_percent"] = 100 * (figures["run_check_cpu_ms"] - figures["empty_check_cpu_ms"]) / training
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:10.3f}")


if __name__ == "__main__":
    main()
