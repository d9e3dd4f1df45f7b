"""Lives made of statements alone: a real ledger, real keys and signatures, no training.

For tests of whatever reads ledgers. Each step of `Life` writes through the desk with the pen of the
person named, who must hold the role; `forge` writes past the desk with somebody's real key, as an
insider with a shell could.

    life = honest_life(tmp_path)
    assert life.decide().verdict == "GO"
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.decision import Decision
from custody.core.evidence import Evidence, Record
from custody.core.seed import derive_seed
from custody.core.statement import Statement
from custody.core.subject import Subject, run_subject, use_case_subject
from custody.desk import now
from custody.ledger.bundle import write_bundle, write_trust_root
from custody.seal.envelope import seal as sign
from custody.seal.keys import PersonKey
from custody.wiring import Custody, add_person, create

PEOPLE = {
    "sam": "security_manager",
    "petra": "data_engineer",
    "dana": "data_scientist",
    "mel": "ml_engineer",
    "val": "validator",
    "ari": "approver",
    "cora": "compliance_officer",
    "otto": "operator",
}
GOOD = {
    "performance.classification.balanced_accuracy": (0.84, 0.82, 0.86),
    "fairness.group_gaps.equal_opportunity_difference": (0.03, 0.01, 0.06),
    "robustness.evasion.success_rate": (0.21, 0.17, 0.25),
    "privacy.membership_inference.auc": (0.52, 0.50, 0.54),
    "data.contamination.excess_rate": (0.0, 0.0, 0.001),
    "artifact.scan.critical_findings": (0.0, 0.0, 0.0),
    "artifact.scan.unread_files": (0.0, 0.0, 0.0),
}
"""What an honest model measures: value and interval."""

SENSITIVE = ("region", "sex")


def digest(text: str) -> str:
    """Return a sha256 to stand for some bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def criteria_document(use_case: str) -> dict[str, Any]:
    """Return an expanded criteria file, as the linter leaves it."""

    def asks(name: str, klass: str, measure: str, **more: Any) -> dict[str, Any]:
        return {
            "id": name,
            "class": klass,
            "measure": measure,
            "on": "model",
            "waivable": True,
            "why": "it must",
            **more,
        }

    return {
        "custody": "criteria/1",
        "use_case": use_case,
        "tier": "high",
        "confidence": 0.95,
        "max_openings": 3,
        "max_attempts": 3,
        "not_applicable": {},
        "held_out": {"dataset": "held-out"},
        "criterion": [
            asks("P1", "performance", "performance.classification.balanced_accuracy", at_least=0.75),
            asks(
                "F1",
                "fairness",
                "fairness.group_gaps.equal_opportunity_difference",
                by=list(SENSITIVE),
                depth=2,
                at_most=0.1,
            ),
            asks("A1", "robustness", "robustness.evasion.success_rate", at={"features": 1}, at_most=0.5),
            asks("S1", "security", "privacy.membership_inference.auc", at_most=0.6),
            asks("D1", "data", "data.contamination.excess_rate", on="training_data", at_most=0.005),
        ],
    }


class Life:
    """A project under custody, and the persons who act in it."""

    def __init__(self, folder: Path, use_case: str = "loans", *, solo: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.custody: Custody = create(folder, use_case, "olga", solo=solo, environment={"CUSTODY_STATE": str(folder)})
        self.desk, self.use_case = self.custody.desk, use_case
        self.evaluator = digest("evaluator")
        self.train_data, self.held_out = digest("train"), digest("held-out")
        self.case = use_case_subject(use_case)
        self.model = Subject(use_case, digest("model 1"))

    @property
    def record(self) -> Record:
        """Return the verified record."""
        return self.desk.read()

    def later(self, days: float) -> str:
        """Return the moment `days` from now, as text."""
        return (now() + timedelta(days=days)).isoformat()

    def say(self, who: str, action: Action, about: Subject, kind: str, said: Mapping[str, Any]) -> Evidence:
        """Write through the desk; whoever may not is refused."""
        return self.desk.permit(who, action).write(about, kind, said)

    def forge(self, who: str, about: Subject, kind: str, said: Mapping[str, Any]) -> int:
        """Sign with the real key of `who` and append to the real log, past the desk; returns the index."""
        key = PersonKey.load(self.custody.config.keys / f"{who}.pem")
        body = dict(said) if kind == kinds.TRAINING_FINISH else {"at": now().isoformat(), **said}
        index, _ = self.desk.log.append([sign(Statement(about, kind, body), key)])
        return index

    def enrol_all(self) -> None:
        """Enrol one person for each role."""
        for name, role in PEOPLE.items():
            add_person(self.custody, "olga", name, [role])

    def decide_source(self) -> None:
        """Decide to build, open two risks, treat one and accept the other for half a year."""
        source = {
            "use_case": self.use_case,
            "chosen": "build",
            "options": {},
            "weights": {},
            "flips": [],
            "reason": "x",
        }
        self.say("sam", Action.DECIDE_SOURCE, self.case, kinds.SOURCING, source)
        for risk in ("expertise", "theft"):
            self.risk(risk, "open", "")
        self.risk("expertise", "treated", "two engineers were trained")
        self.risk("theft", "accepted", "the weights are of little worth", expires=self.later(180))

    def risk(self, name: str, status: str, reason: str, *, expires: str | None = None, who: str = "sam") -> Evidence:
        """Say how one risk stands."""
        said = {
            "use_case": self.use_case,
            "risk": name,
            "title": name,
            "status": status,
            "reason": reason,
            "expires": expires,
        }
        return self.say(who, Action.TREAT_RISK, self.case, kinds.RISK, said)

    def register_data(self, **more: Any) -> None:
        """Put training and held-out data on record."""
        for name, sha256 in (("train", self.train_data), ("held-out", self.held_out)):
            said = {
                "name": name,
                "path": f"{name}.csv",
                "files": [{"path": f"{name}.csv", "size": 1000, "sha256": sha256}],
                "blocks": [],
                "purpose": "training" if name == "train" else "held_out",
                "source": "core banking",
                "owner": "petra",
                "licence": "contract",
                "trust": "trusted",
                "rows": 10_000,
                "columns": {"sensitive": list(SENSITIVE)},
                "schema": [],
                **more,
            }
            self.say("petra", Action.REGISTER_DATA, Subject(name, sha256), kinds.DATASET, said)

    def registered(self, sha256: str) -> str:
        """Return the digest of the newest record of a dataset, or "" where none is."""
        found = self.record.about(sha256, kinds.DATASET)
        return found[-1].digest if found else ""

    def seal(
        self,
        *,
        document: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
        countersigned: bool = True,
        **more: Any,
    ) -> Evidence:
        """Seal criteria with the policy of tier high, and have them countersigned where it asks for that."""
        said = self.sealed(document, policy)
        found = self.say("dana", Action.SEAL, self.case, kinds.SEAL, {**said, **more})
        if countersigned and said["policy"].get("countersign"):
            self.countersign(found)
        return found

    def countersign(self, entry: Evidence, who: str = "sam", reason: str = "read and understood") -> Evidence:
        """Sign somebody else's statement as well."""
        said = {"of": entry.digest, "reason": reason}
        return self.say(who, Action.COUNTERSIGN, entry.subject, kinds.COUNTERSIGNATURE, said)

    def sealed(
        self, document: Mapping[str, Any] | None = None, policy: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what a seal says."""
        document = document or criteria_document(self.use_case)
        opened = self.record.of_kind(kinds.USE_CASE)[-1]
        policy = {**opened.predicate["policy"], **(policy or {})}
        return {
            "use_case": self.use_case,
            "criteria": {**document, "criterion": [*document["criterion"], *policy["baseline"]]},
            "criteria_sha256": digest("criteria"),
            "policy": policy,
            "held_out": {
                "name": "held-out",
                "sha256": self.held_out,
                "record": self.registered(self.held_out),
                "rows": 10_000,
            },
            "evaluator": self.evaluator,
        }

    def start(self, seal: Evidence, run: str = "run1", **more: Any) -> Evidence:
        """Start a run from the newest checkpoint."""
        return self.say(
            "mel", Action.START_RUN, run_subject(run), kinds.TRAINING_START, self.started(seal, run, **more)
        )

    def started(self, seal: Evidence, run: str = "run1", **more: Any) -> dict[str, Any]:
        """Return what a start statement says."""
        record = self.record
        return {
            "run": run,
            "use_case": self.use_case,
            "seal": seal.digest,
            "checkpoint": {"size": record.size, "root": record.root},
            "seed": derive_seed(record.root, seal.digest, [("train", self.train_data)]),
            "command": ["python", "train.py"],
            "out": "model",
            "inputs": [{"name": "train", "sha256": self.train_data, "record": self.registered(self.train_data)}],
            "code": {"digest": digest("code"), "files": []},
            "parameters": {},
            "environment": {"packages": {"digest": digest("packages"), "list": []}},
            "isolation": {"kind": "bubblewrap"},
            **more,
        }

    def finish(self, start: Evidence, **more: Any) -> Evidence:
        """End the run in `self.model`."""
        return self.say("mel", Action.START_RUN, self.model, kinds.TRAINING_FINISH, self.finished(start, **more))

    def finished(self, start: Evidence, *, data: str = "", compromised: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return what a finish statement says."""
        run = start.predicate["run"]
        return {
            "buildDefinition": {
                "buildType": kinds.BUILD_TYPE,
                "externalParameters": {"command": start.predicate["command"], "parameters": {}},
                "internalParameters": {"run": run, "start": start.digest, "seed": start.predicate["seed"]},
                "resolvedDependencies": [
                    {"name": "data:train", "digest": {"sha256": data or self.train_data}},
                    {"name": "code", "digest": {"sha256": digest("code")}},
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:custody:sandbox:bubblewrap"},
                "metadata": {"invocationId": run},
                "compromised": list(compromised),
                "files": [],
                "copies": [],
            },
        }

    def train(self, seal: Evidence, run: str = "run1") -> Evidence:
        """Start and finish a run."""
        return self.finish(self.start(seal, run))

    def check_data(self, value: tuple[float, float, float] = GOOD["data.contamination.excess_rate"]) -> None:
        """Measure the training data."""
        subject = Subject("train", self.train_data)
        said = self.result("data.contamination", {"excess_rate": value}, {"train": self.train_data}, stage="data")
        self.say("petra", Action.CHECK_DATA, subject, kinds.CHECK_RESULT, said)

    def validate(self, seal: Evidence, **other: tuple[float, float, float]) -> None:
        """Open the held-out set and measure everything; `other` replaces a measure by its last name."""
        held_out = Subject("held-out", self.held_out)
        opening = {"held_out": self.held_out, "model": self.model.sha256, "seal": seal.digest, "purpose": "validation"}
        opened = self.say("val", Action.VALIDATE, held_out, kinds.OPENING, opening)
        inputs = {
            "held_out": self.held_out,
            "record": seal.predicate["held_out"]["record"],
            "isolation": "bubblewrap",
            "opening": opened.digest,
            "seal": seal.digest,
            "model": self.model.sha256,
        }
        by_check: dict[str, dict[str, tuple[float, float, float]]] = {}
        for name, value in GOOD.items():
            check, _, measure = name.rpartition(".")
            by_check.setdefault(check, {})[measure] = other.get(measure, value)
        for check, values in by_check.items():
            stage = "artifact" if check.startswith("artifact.") else "validation"
            said = self.result(check, values, inputs, stage=stage)
            self.say("val", Action.VALIDATE, self.model, kinds.CHECK_RESULT, said)

    def result(
        self,
        check: str,
        values: Mapping[str, tuple[float, float, float]],
        inputs: Mapping[str, Any],
        stage: str = "validation",
    ) -> dict[str, Any]:
        """Return what a check's result says; gaps between groups are measured for each group and their crossing."""
        groups: list[dict[str, Any]] = [{"by": name} for name in (*SENSITIVE, "*".join(SENSITIVE))]
        places = {"fairness.group_gaps": groups, "robustness.evasion": [{"features": 1}]}
        return {
            "check": check,
            "stage": stage,
            "evaluator": self.evaluator,
            "measures": [
                {"name": name, "at": at, "value": value, "low": low, "high": high, "n": 10_000}
                for name, (value, low, high) in values.items()
                for at in places.get(check, [{}])
            ],
            "findings": [],
            "details": {},
            "inputs": dict(inputs),
        }

    def approve(self, who: str, verdict: str = "approve", reason: str = "read and understood") -> Evidence:
        """Approve or reject the model."""
        said = {"use_case": self.use_case, "verdict": verdict, "reason": reason}
        return self.say(who, Action.APPROVE, self.model, kinds.APPROVAL, said)

    def waive(self, criterion: str, days: float = 20, who: str = "ari") -> Evidence:
        """Waive one criterion."""
        said = {
            "use_case": self.use_case,
            "criterion": criterion,
            "reason": "accepted for a while",
            "control": "a person looks at each case",
            "expires": self.later(days),
        }
        return self.say(who, Action.WAIVE, self.model, kinds.WAIVER, said)

    def decide(self, environment: str = "production") -> Decision:
        """Let the gate decide, and admit on GO."""
        from custody.stages.release import decide

        decision, _, _ = decide(self.desk, "val", self.use_case, self.model.sha256, environment)
        return decision

    def export(self, folder: Path) -> tuple[Path, Path]:
        """Write bundle and trust root; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        config = self.custody.config
        write_trust_root(folder / "trust.json", config.origin, config.log_key, config.owner_key)
        write_bundle(self.desk.log.read(), folder / "bundle.json")
        return folder / "bundle.json", folder / "trust.json"


def prepared_life(folder: Path) -> tuple[Life, Evidence]:
    """Live up to the seal; returns the life and the seal."""
    life = Life(folder)
    life.enrol_all()
    life.decide_source()
    life.register_data()
    life.check_data()
    return life, life.seal()


def trained_life(folder: Path) -> tuple[Life, Evidence]:
    """Live up to the trained model; returns the life and the seal."""
    life, seal = prepared_life(folder)
    life.train(seal)
    return life, seal


def undecided_life(folder: Path, **measured: tuple[float, float, float]) -> Life:
    """Live up to the approvals, with some measures replaced; nothing is decided yet."""
    life, seal = trained_life(folder)
    life.validate(seal, **measured)
    for who in ("ari", "cora"):
        life.approve(who)
    return life


def honest_life(folder: Path) -> Life:
    """Live an honest life up to GO and admission to production."""
    life = undecided_life(folder)
    life.decide()
    return life


def refused_life(folder: Path) -> Life:
    """Live a life that ends in NO-GO: the model is unfair to somebody."""
    life = undecided_life(folder, equal_opportunity_difference=(0.2, 0.17, 0.23))
    life.decide()
    return life
