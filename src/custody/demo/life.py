"""The honest life of the simulated bank's model, by ordinary commands, stage by stage.

Every step is a `custody` command in a process of its own, with its documented exit code: the demo has
no other way in than a user has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custody.errors import CustodyError

PEOPLE = {
    "sam": ("security_manager",),
    "petra": ("data_engineer",),
    "dana": ("data_scientist",),
    "mel": ("ml_engineer",),
    "val": ("validator",),
    "ari": ("approver",),
    "cora": ("compliance_officer",),
    "otto": ("operator",),
}
"""Who works at the simulated bank."""

COLUMNS = [
    *("--target", "is_fraud", "--positive", "1", "--entity", "customer_id", "--time", "time"),
    *("--sensitive", "sex", "--sensitive", "region", "--sensitive", "age_band"),
    *("--source-column", "source", "--ignore", "transaction_id", "--ignore", "merchant_id"),
]
ORIGIN = ["--source", "card-ledger", "--owner", "petra", "--licence", "contract", "--trust", "trusted"]
COMMAND_SECONDS = 300


class Broken(CustodyError):
    """A step of the honest life did not end as it must."""

    exit_code = 1


@dataclass(frozen=True)
class Step:
    """One command as it ran: its words, exit code, what it printed, seconds of wall time."""

    words: Sequence[str]
    code: int
    body: Mapping[str, Any]
    text: str
    seconds: float

    @property
    def command(self) -> str:
        """Return the command as a user would type it."""
        return "custody " + " ".join(
            word if word.isprintable() and " " not in word else repr(word) for word in self.words
        )

    @property
    def reason(self) -> str:
        """Return the first line of the answer or refusal."""
        said = self.body.get("message") or self.body.get("reason") or self.body.get("cause")
        return str(said) if said else self.text.strip().splitlines()[0] if self.text.strip() else ""


@dataclass
class Project:
    """One folder under custody, and the commands run in it."""

    folder: Path
    steps: dict[str, Step] = field(default_factory=dict)

    def custody(self, *words: str, who: str = "") -> Step:
        """Run a command as `who`; never raises for a refusal."""
        began = time.perf_counter()
        full = [sys.executable, "-m", "custody", *words]
        split = words.index("--") if "--" in words else len(words)
        extra = ["--json", *(["--as", who] if who else [])]
        full = [sys.executable, "-m", "custody", *words[:split], *extra, *words[split:]]
        done = subprocess.run(
            full,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        try:
            body = json.loads(done.stdout) if done.stdout.strip() else {}
        except ValueError:
            body = {}
        text = done.stdout if not body else done.stderr
        return Step(
            [*words[:split], *extra[1:], *words[split:]], done.returncode, body, text, time.perf_counter() - began
        )

    def must(self, name: str, *words: str, who: str = "", code: int = 0) -> Step:
        """Run a command that has to end with `code`, and keep it under `name`."""
        step = self.custody(*words, who=who)
        if step.code != code:
            raise Broken(
                f"{step.command} ended with {step.code}, not {code}: {step.reason}\n{step.text[-2000:]}",
                hint="please report this with what is printed above",
            )
        self.steps[name] = step
        return step

    def fork(self, folder: Path) -> Project:
        """Copy the project as it stands, with everything this client remembers of it."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, dict(self.steps))

    def _environment(self) -> dict[str, str]:
        state = self.folder / ".state"
        threads = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
        hidden = {"CUSTODY_ACTOR", "CUSTODY_PASSPHRASE", "CUSTODY_DEBUG"}
        own = {name: value for name, value in os.environ.items() if name not in hidden}
        return {**own, **threads, "CUSTODY_STATE": str(state)}


Tell = Callable[[str, str], None]
"""Called with a stage and a sentence when something has happened."""


def begin(project: Project, tell: Tell) -> None:
    """Ledger, people, sourcing decision and its risks."""
    project.must("init", "init", "card-fraud", "--owner", "olga", "--purpose", "stop card fraud before it is paid")
    for name, roles in PEOPLE.items():
        words = [word for role in roles for word in ("--role", role)]
        project.must(f"person {name}", "init", "person", name, *words)
    tell("people", f"{len(PEOPLE) + 1} persons enrolled, each with their own key and role")
    drivers = ["--appetite", "0.3", "--criticality", "0.9", "--expertise", "0.8"]
    costs = [
        "--cost",
        "build=120000,40000,5000,8000",
        "--cost",
        "buy=20000,110000,40000,15000",
        "--cost",
        "open=15000,70000,5000,30000",
    ]
    step = project.must("source", "source", "decide", "build", *drivers, *costs, who="sam")
    flips = step.body["flips"]
    tell("sourcing", f"build, of three ways compared; {flips[0] if flips else 'no single weight flips it'}")
    for risk, how in (
        ("expertise", "two engineers hold a current certificate in ML security"),
        ("training-environment", "runs are sealed: no network, declared inputs only"),
    ):
        project.must(f"risk {risk}", "source", "risk", risk, "--treat", "--reason", how, who="sam")


def register(project: Project, tell: Tell, check_code: int = 0) -> Step:
    """Training and held-out data on record, training data checked."""
    register_words = ["data", "register"]
    project.must("register", *register_words, "fraud-train", "data/train.csv", *ORIGIN, *COLUMNS, who="petra")
    held_out = ["fraud-holdout", "data/held_out.csv", "--purpose", "held_out"]
    project.must("register held-out", *register_words, *held_out, *ORIGIN, *COLUMNS, who="petra")
    step = project.must("data check", "data", "check", "fraud-train", who="petra", code=check_code)
    tell("data", "two datasets known by digest; quality, personal data and labels measured")
    return step


def seal(project: Project, tell: Tell) -> None:
    """Criteria sealed before anything is trained."""
    project.must("lint", "gate", "lint")
    step = project.must("seal", "gate", "seal", who="dana")
    countersign(project)
    tell("criteria", f"sealed in entry {step.body['entry']} and countersigned, with the held-out set's digest")


def countersign(project: Project) -> None:
    """The security manager reads the newest criteria and signs them too."""
    project.must("countersign", "gate", "countersign", "--reason", "read line by line", who="sam")


def train(project: Project, tell: Tell) -> Step:
    """One sealed run of an ordinary script."""
    step = project.must("run", "run", "--", sys.executable, "train.py", who="mel")
    tell("training", f"model {step.body['model'][:12]}, isolation: {step.body['isolation']}")
    return step


def validate(project: Project, tell: Tell, code: int = 0) -> Step:
    """The run's first steps once more, by somebody else; then every check against the sealed held-out set."""
    if not code and project.steps["run"].body["steps"]:
        spot = project.must("spot check", "run", "spot-check", "--steps", "3", who="val")
        tell("spot check", f"the first {spot.body['steps']} of {spot.body['recorded']} steps, repeated: they agree")
    step = project.must("validate", "validate", who="val", code=code)
    tell("validation", f"{len(step.body['results'])} checks against the sealed held-out set")
    return step


def release(project: Project, tell: Tell) -> None:
    """Two uninvolved approvals, then the decision."""
    project.must("approve ari", "gate", "approve", who="ari")
    project.must("approve cora", "gate", "approve", who="cora")
    step = project.must("decide", "gate", "decide", "--env", "production", who="val")
    tell("release", f"{step.body['verdict']}, computed from {step.body['size']} entries")


def serve(project: Project, tell: Tell) -> None:
    """Deployed, predicting through the log, watched with late labels."""
    project.must("deploy", "deploy", "--env", "production", who="otto")
    live = ["data", "register", "february", "live/2026-02.csv", "--purpose", "live", *ORIGIN]
    project.must("register live", *live, who="petra")
    project.must("predict", "watch", "predict", "february", who="otto")
    project.must("drift", "watch", "drift", "february", who="otto")
    labelled = ["data", "register", "february-labelled", "live/2026-02-labelled.csv", "--purpose", "live", *ORIGIN]
    project.must("register labels", *labelled, who="petra")
    project.must("performance", "watch", "performance", "february-labelled", who="otto")
    project.must("log", "watch", "log")
    count = project.steps["predict"].body["count"]
    tell("runtime", f"deployed; {count} predictions in a sealed log; no drift, no loss once labels came")


def audit(project: Project, tell: Tell) -> None:
    """One file for a stranger, re-checked by a program that shares no code with Custody."""
    project.must("audit verify", "audit", "verify")
    project.must("export", "audit", "export", "-o", "bundle.json")
    project.must("trust root", "audit", "trust-root", "-o", "trust.json")
    step = verify_bundle(project)
    if step.code != 0:
        raise Broken(f"custody_verify ended with {step.code} on the honest bundle:\n{step.text[-2000:]}")
    project.steps["bundle"] = step
    tell("audit", "bundle re-checked offline by custody_verify: every decision recomputed")


def verify_bundle(project: Project) -> Step:
    """Let the independent verifier judge the exported bundle."""
    began = time.perf_counter()
    words = ["bundle", "bundle.json", "--trust", "trust.json"]
    done = subprocess.run(
        [sys.executable, "-m", "custody_verify", *words],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    return Step(words, done.returncode, {}, done.stdout + done.stderr, time.perf_counter() - began)


def change(project: Project, tell: Tell) -> None:
    """An incident stops the model at once; a reproduction, a retraining through the same gates, a retirement."""
    first = str(project.steps["run"].body["model"])
    again = project.must("reproduce", "run", "reproduce", who="val")
    tell("reproduction", f"the run again, in a fresh sandbox: {again.body['verdict']}")
    opened = project.must(
        "incident",
        "incident",
        "open",
        first[:12],
        "--type",
        "evasion",
        "--reason",
        "a ring found a way past",
        who="otto",
    )
    project.must("quarantined", "deploy", "--env", "production", who="otto", code=5)
    affected = len(opened.body["affected"])
    close = [
        "incident",
        "close",
        str(opened.body["incident"]),
        "--reason",
        "the ring was stopped, the rule was changed",
    ]
    project.must("close", *close, who="sam")
    tell("incident", f"model quarantined at once, {affected} descendants listed, deployment refused")
    project.must("order", "retire", "order", first[:12], "--reason", "replaced", who="otto")
    project.must("alone", "retire", first[:12], "--reason", "replaced", "--yes", who="otto", code=3)
    project.must("confirm", "retire", "confirm", first[:12], who="sam")
    project.must("retire", "retire", first[:12], "--reason", "replaced", "--yes", who="otto")
    project.must("retired", "deploy", "--env", "production", who="otto", code=5)
    tell("retirement", "ordered by one, confirmed by another; key destroyed, certificate issued, deployment refused")
