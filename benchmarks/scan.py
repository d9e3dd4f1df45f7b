"""How fast is the artifact scanner? Against sha256, against the bytes of the arrays, and against picklescan.

`python benchmarks/scan.py [MEGABYTES]` writes joblib files of growing arrays and one pickle of many opcodes into a
temporary folder and prints CPU seconds (best of three). picklescan is measured only when it can be imported; it
stops at the first raw array of a joblib file and reads no opcode after it, so its time on those files is that of an
unfinished scan.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from custody.checks.artifact.scan import scan_files


def best(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of three runs."""
    times = []
    for _ in range(3):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scan(path: Path) -> None:
    """Scan one file, which must be clean."""
    result = scan_files({path.name: path})
    assert all(measure.value == 0 for measure in result.measures), result.findings


def picklescan(path: Path) -> Callable[[], object] | None:
    """Return the same work by picklescan, where it is installed."""
    try:
        from picklescan.scanner import scan_file_path
    except ImportError:
        return None
    return lambda: scan_file_path(str(path))


def main(megabytes: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = ("MB", "scan s", "sha256 s", "scan/sha256", "picklescan s", "scan/picklescan")
        print(f"{'file':28}", *(f"{column:>15}" for column in columns))
        files = []
        for size in (megabytes // 16, megabytes // 4, megabytes):
            path = folder / f"arrays of {size} MB.joblib"
            joblib.dump({"weights": np.zeros(size * 131_072), "bias": np.ones(9)}, path)
            files.append(path)
        rng = np.random.default_rng(1)
        x = rng.normal(size=(4000, 20))
        joblib.dump(
            RandomForestClassifier(200, random_state=1).fit(x, x[:, 0] > 0), folder / "forest of 200 trees.joblib"
        )
        (folder / "many opcodes.pkl").write_bytes(pickle.dumps([f"name {i}" for i in range(400_000)]))
        plain = io.BytesIO()
        pickle.dump({"weights": rng.normal(size=megabytes * 32_768)}, plain)
        (folder / "arrays in a pickle.pkl").write_bytes(plain.getvalue())
        files += [folder / "forest of 200 trees.joblib", folder / "many opcodes.pkl", folder / "arrays in a pickle.pkl"]
        for path in files:
            ours, floor = best(lambda path=path: scan(path)), best(lambda path=path: digest(path))
            theirs = picklescan(path)
            other = best(theirs) if theirs else None
            numbers = [path.stat().st_size / 1e6, ours, floor, ours / max(floor, 1e-9)]
            numbers += [other, ours / max(other, 1e-9)] if other is not None else []
            print(f"{path.name:28}", *(f"{number:15.4f}" for number in numbers))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
