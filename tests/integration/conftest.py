"""Real projects to test on: lived once by ordinary commands, handed out as copies.

`life` is an honest life of four parts played by different persons; `solo` is one person's project with a
table small enough that a command takes a tenth of a second. With several test workers each is made once
and shared: whoever comes first makes it, the others wait and copy.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from custody.demo import life as acts
from custody.demo.life import Project

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 240

TRAIN = """\
from pathlib import Path

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = pd.read_csv("data/train.csv").sample(frac=0.9)
names = ["amount_ratio", "distance_km", "merchant_risk", "count_24h", "country_mismatch"]
model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
model.fit(data[names].astype(float), data["is_fraud"])
Path("model").mkdir(exist_ok=True)
joblib.dump(model, "model/model.joblib")
"""

CRITERIA = """\
custody = "criteria/1"
use_case = "card-fraud"
tier = "{tier}"
confidence = 0.95
max_openings = 20
max_attempts = 10

[held_out]
dataset = "fraud-holdout"

[[criterion]]
id = "P1"
class = "performance"
measure = "performance.classification.auc"
at_least = 0.80
why = "Fraud must be ranked above honest payments."

[[criterion]]
id = "F1"
class = "fairness"
measure = "fairness.group_gaps.equal_opportunity_difference"
by = ["sex"]
depth = 1
at_most = 0.40
why = "Fraud must be found whoever the customer is."

[[criterion]]
id = "S1"
class = "security"
measure = "privacy.membership_inference.auc"
at_most = 0.65
why = "Nobody may learn whose payments the model was trained on."
"""

SOLO_CRITERIA = """\
custody = "criteria/1"
use_case = "tiny"
tier = "low"
confidence = 0.95
max_openings = 20
max_attempts = 10

[held_out]
dataset = "tiny-holdout"

[[criterion]]
id = "P1"
class = "performance"
measure = "performance.classification.balanced_accuracy"
at_least = 0.60
why = "Clearly better than guessing."
"""

SOLO_TRAIN = """\
import os
open(os.path.join(os.environ["CUSTODY_OUT"], "model.json"), "w").write('{"slope": 1}')
"""

ORIGIN = ["--source", "a test", "--owner", "olga", "--licence", "own", "--trust", "trusted"]
MEANING = ["--target", "y", "--positive", "1"]


@dataclass(frozen=True)
class Said:
    """What a command printed for people, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        """Return everything it printed."""
        return self.out + self.err

    def refused(self, code: int, *words: str) -> None:
        """Hold a refusal against the promise: the code, what and where, what next, and never a traceback."""
        assert "Traceback" not in self.both, self.both
        assert self.code == code, self.both
        for word in words:
            assert word in self.err, f"{word!r} is not in:\n{self.err}"
        assert "next:" in self.err or "Usage:" in self.err, self.err


class Place(Project):
    """A project whose commands can also be run as people run them, without `--json`."""

    def plain(self, *words: str, env: dict[str, str] | None = None, patience: float = PATIENCE) -> Said:
        """Run one command; its text is kept apart by stream."""
        done = subprocess.run(
            [sys.executable, "-m", "custody", *words],
            cwd=self.folder,
            env={**self._environment(), **(env or {})},
            capture_output=True,
            timeout=patience,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def begin(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start one command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "custody", *words],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment every command of this project gets."""
        return self._environment()

    def copy(self, folder: Path) -> Place:
        """Copy the project as it stands."""
        forked = self.fork(folder)
        return Place(forked.folder, forked.steps)

    def entries(self) -> list[dict[str, Any]]:
        """Return the ledger's entries, by the command a user would ask with."""
        step = self.custody("audit", "log")
        assert step.code == 0, step.text
        return list(step.body["entries"])

    def sound(self) -> int:
        """Verify the ledger; returns how many entries it has."""
        step = self.custody("audit", "verify")
        assert step.code == 0, step.reason + step.text
        return int(step.body["entries"])


def _quiet(_: str, __: str) -> None:
    """Say nothing."""


def _shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, Any]:
    """Make a folder once for all test workers; returns it with what `make` wanted remembered."""
    root = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    folder, done = root / f"made-{name}", root / f"made-{name}.pickle"
    with (root / f"made-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            remembered = make(folder)
            done.write_bytes(pickle.dumps(remembered))
        return folder, pickle.loads(done.read_bytes())


def sealed() -> bool:
    """Tell whether this machine can seal runs."""
    from custody.adapters.bubblewrap import detect

    return detect().describe().kind == "bubblewrap"


def _lived(folder: Path) -> dict[str, Any]:
    from custody.demo.simulator import simulate, write

    honest = folder / "honest"
    write(simulate(7, train_customers=100, held_out_customers=500, live_customers=60), honest)
    tier = "medium" if sealed() else "low"
    (honest / "train.py").write_text(TRAIN)
    (honest / "criteria.toml").write_text(CRITERIA.format(tier=tier))
    place = Place(honest)
    place.must("init", "init", "card-fraud", "--owner", "olga", "--tier", tier)
    for name, roles in acts.PEOPLE.items():
        place.must(f"person {name}", "init", "person", name, *(w for role in roles for w in ("--role", role)))
    costs = [w for cost in ("build=12,4", "buy=20,11", "open=15,7") for w in ("--cost", cost)]
    drivers = ["--appetite", "0.3", "--criticality", "0.9", "--expertise", "0.8", "--reason", "we know how"]
    place.must("source", "source", "decide", "build", *drivers, *costs, who="sam")
    for risk in ("expertise", "training-environment"):
        place.must(risk, "source", "risk", risk, "--treat", "--reason", "runs are sealed and reviewed", who="sam")
    stages: dict[str, dict[str, Any]] = {}

    def keep(stage: str) -> None:
        place.fork(folder / stage)
        stages[stage] = dict(place.steps)

    acts.register(place, _quiet)
    keep("registered")
    acts.seal(place, _quiet)
    keep("sealed")
    acts.train(place, _quiet)
    keep("trained")
    acts.validate(place, _quiet)
    keep("validated")
    acts.release(place, _quiet)
    keep("released")
    return stages


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Place]:
    """Return a function that copies the honest life as it stood at a stage into a folder."""
    folder, stages = _shared(tmp_path_factory, "life", _lived)

    def at(stage: str, where: Path) -> Place:
        return Place(folder / stage, stages[stage]).copy(where / stage)

    return at


def rows_of(count: int, seed: int) -> str:
    """Return a small table as CSV: two numbers, and a label the first of them tells apart."""
    import random

    noise = random.Random(seed)
    lines = ["a,b,y"]
    for number in range(count):
        label = number % 2
        lines.append(f"{label + noise.gauss(0, 0.7):.4f},{noise.gauss(0, 1):.4f},{label}")
    return "\n".join(lines) + "\n"


def _begun(folder: Path) -> dict[str, Any]:
    place = Place(folder / "solo")
    (place.folder / "data").mkdir(parents=True)
    (place.folder / "data" / "train.csv").write_text(rows_of(300, 1))
    (place.folder / "data" / "held_out.csv").write_text(rows_of(400, 2))
    (place.folder / "train.py").write_text(SOLO_TRAIN)
    (place.folder / "criteria.toml").write_text(SOLO_CRITERIA)
    place.must("init", "init", "tiny", "--solo", "--owner", "olga", "--tier", "low")
    costs = [w for cost in ("build=1,1", "buy=9,9", "open=9,9") for w in ("--cost", cost)]
    drivers = ["--appetite", "0.5", "--criticality", "0.9", "--expertise", "0.9", "--reason", "we know how"]
    place.must("source", "source", "decide", "build", *drivers, *costs)
    place.must("register", "data", "register", "tiny-train", "data/train.csv", *ORIGIN, *MEANING)
    held_out = ["tiny-holdout", "data/held_out.csv", "--purpose", "held_out"]
    place.must("register held-out", "data", "register", *held_out, *ORIGIN, *MEANING)
    place.fork(folder / "registered")
    place.must("seal", "gate", "seal")
    place.fork(folder / "sealed")
    place.must("run", "run", "--", sys.executable, "train.py")
    place.fork(folder / "trained")
    return dict(place.steps)


@pytest.fixture(scope="session")
def solo_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Place]:
    """Return a function that copies the one-person project as it stood at a stage into a folder."""
    folder, steps = _shared(tmp_path_factory, "solo", _begun)
    return lambda stage, where: Place(folder / stage, dict(steps)).copy(where / stage)


@pytest.fixture
def solo(solo_of: Callable[[str, Path], Place], tmp_path: Path) -> Place:
    """Return a copy of the one-person project, its criteria sealed, nothing trained yet."""
    return solo_of("sealed", tmp_path)


@pytest.fixture
def registered(solo_of: Callable[[str, Path], Place], tmp_path: Path) -> Place:
    """Return a copy of the one-person project with data on record and nothing sealed."""
    return solo_of("registered", tmp_path)


@pytest.fixture
def python() -> Callable[..., Said]:
    """Return a function that runs Python source in a process of its own, in a project."""

    def run(place: Place, source: str, *words: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-c", source, *words],
            cwd=place.folder,
            env=place.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def as_json(said: Said) -> Sequence[Any] | dict[str, Any]:
    """Read what a command printed as JSON."""
    body: dict[str, Any] = json.loads(said.out)
    return body
