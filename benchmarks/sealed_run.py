"""What the seal costs: a small script bare and sealed, in alternating pairs.

    python benchmarks/sealed_run.py [--pairs 30] [--json]

Three comparisons. The sandbox alone: the median wall time of a script that ends at once, and the ratio of
processor time over one that computes for about a second. The whole command, `custody run -- python
script` against `python script`: wall time, and processor time, which is the same however long the run
is; `cli_3_percent_of_s` is the length of a run of which it is 3 %. The stage called from Python, without
the start of an interpreter. Bars: at most 150 ms and 3 % processor time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
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


def measured(words: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its wall and processor time in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * wall, 1000 * cpu


def begin(folder: Path) -> None:
    """Make a project whose criteria are sealed, so that a run may begin."""
    rows = "a,y\n" + "".join(f"{n % 2 + n % 7 / 5},{n % 2}\n" for n in range(400))
    (folder / "train.csv").write_text(rows)
    (folder / "test.csv").write_text(rows.replace("\n0", "\n0.1"))
    (folder / "hello.py").write_text("import os\nopen(os.environ.get('CUSTODY_OUT', 'model') + '/x', 'w').write('x')\n")
    (folder / "criteria.toml").write_text(
        'custody = "criteria/1"\nuse_case = "speed"\ntier = "low"\nconfidence = 0.95\nmax_openings = 5\n'
        'max_attempts = 1000\n[held_out]\ndataset = "test"\n[[criterion]]\nid = "P1"\nclass = "performance"\n'
        'measure = "performance.classification.balanced_accuracy"\nat_least = 0.6\nwhy = "Better than guessing."\n'
    )
    origin = ["--source", "here", "--owner", "o", "--licence", "own", "--trust", "trusted"]
    origin += ["--target", "y", "--positive", "1"]
    costs = [word for way in ("build", "buy", "open") for word in ("--cost", f"{way}=1,1")]
    drivers = ["--appetite", "0.5", "--criticality", "0.5", "--expertise", "0.9", "--reason", "a benchmark"]
    for words in (
        ["init", "speed", "--solo", "--tier", "low", "--owner", "o"],
        ["source", "decide", "build", *drivers, *costs],
        ["data", "register", "train", "train.csv", *origin],
        ["data", "register", "test", "test.csv", "--purpose", "held_out", *origin],
        ["gate", "seal"],
    ):
        measured([sys.executable, "-m", "custody", *words], folder)


def commands(folder: Path, pairs: int) -> dict[str, float]:
    """Compare `custody run -- python script` with `python script`, and the stage called from Python."""
    from custody.stages.training import run as train
    from custody.wiring import open_custody
    from custody.workshop import Order

    os.environ["CUSTODY_STATE"] = str(folder / "state")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode, written or compiled
    begin(folder)
    script = [sys.executable, "hello.py"]
    sealed_words = [sys.executable, "-m", "custody", "run", "--quiet", "--", *script]
    bare, sealed = [], []
    for _ in range(pairs + 1):
        (folder / "model").mkdir(exist_ok=True)
        bare.append(measured(script, folder))
        shutil.rmtree(folder / "model")
        sealed.append(measured(sealed_words, folder))
    del bare[0], sealed[0]  # the first pair fills the caches
    custody = open_custody(folder)
    called = []
    for _ in range(pairs):
        start = time.perf_counter()
        train(custody.desk, custody.workshop(), "o", "speed", Order(script))
        called.append(1000 * (time.perf_counter() - start))
    cpu = statistics.median(other[1] - one[1] for one, other in zip(bare, sealed, strict=True))
    return {
        "cli_bare_ms": statistics.median(wall for wall, _ in bare),
        "cli_sealed_ms": statistics.median(wall for wall, _ in sealed),
        "cli_difference_ms": statistics.median(o[0] - b[0] for b, o in zip(bare, sealed, strict=True)),
        "cli_least_difference_ms": min(wall for wall, _ in sealed) - min(wall for wall, _ in bare),
        "cli_difference_cpu_ms": cpu,
        "cli_3_percent_of_s": cpu / 1000 / 0.03,
        "api_sealed_ms": statistics.median(called),
        "api_difference_ms": statistics.median(called) - statistics.median(wall for wall, _ in bare),
    }


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
    with tempfile.TemporaryDirectory() as folder:
        figures |= commands(Path(folder), options.pairs)
    figures["load"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:10.3f}")


if __name__ == "__main__":
    main()
