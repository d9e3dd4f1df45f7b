"""How a use case stands, stage by stage, and what each role is to do next. Derived from the record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from custody.core import predicates as kinds
from custody.core.access import GRANTS, Action
from custody.core.actor import Actor
from custody.core.data_rules import judge_freshness
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.moments import expired
from custody.core.release import decide
from custody.core.stage import Stage
from custody.core.subject import use_case_subject
from custody.core.trust_rules import countersignature, countersigners, judge_transcript
from custody.records.datasets import datasets
from custody.records.lineage import Chain, attempts_of, chain_of, models, open_incidents
from custody.records.review import AccessState, Finding, access_state

SOURCE_EXAMPLE = (
    "custody source decide build --appetite 0.3 --criticality 0.7 --expertise 0.8 "
    '--cost build=90000,40000 --cost buy=20000,110000 --cost open=10000,70000 --reason "we know how"'
)
"""A whole command for somebody who has never given one: each way with its cost at the start and by the year."""


@dataclass(frozen=True)
class StageState:
    """One stage: `state` is met, not_met, unknown or not_applicable; `entries` are the evidence."""

    stage: Stage
    state: str
    sentence: str
    entries: tuple[int, ...] = ()


@dataclass(frozen=True)
class Step:
    """What somebody has to do: the roles that may, the persons who hold them, the exact command, and why."""

    action: Action
    roles: tuple[str, ...]
    persons: tuple[str, ...]
    command: str
    why: str


@dataclass(frozen=True)
class Standing:
    """Everything `custody status` and `custody next` show for one use case."""

    use_case: str
    tier: str
    solo: bool
    model: str
    stages: Sequence[StageState]
    steps: Sequence[Step]
    access: AccessState


def standing(
    record: Record, use_case: str, actors: Sequence[Actor], at: str, finish: Evidence | None = None
) -> Standing:
    """Read a model's life at the moment `at`, or what is missing before there is one.

    The model is the one that `finish` made, else the newest.
    """
    opened = record.latest(kinds.USE_CASE, use_case=use_case)
    finishes = models(record, use_case)
    finish = finish or (finishes[-1] if finishes else None)
    chain = chain_of(record, finish) if finish else None
    view = _View(record, use_case, finish, chain, actors)
    view.at = at
    if finish is not None:
        view.rulings = decide(record, finish.subject.sha256, use_case, at).rulings
    stages = [
        view.sourcing(),
        view.data(),
        view.criteria(),
        view.training(),
        view.artifact(),
        view.validation(),
        view.release(),
        view.deployment(),
        view.runtime(),
        view.incident(),
        view.retirement(),
    ]
    access = access_state(record, at)
    view.first(access.findings)
    return Standing(
        use_case,
        str(opened.predicate["tier"]) if opened else "",
        bool(opened and opened.predicate["solo"]),
        finish.subject.sha256 if finish else "",
        stages,
        view.steps,
        access,
    )


def _never(count: int) -> str:
    return "1 training set was never checked" if count == 1 else f"{count} training sets were never checked"


class _View:
    """Looks at one use case; each method answers for a stage and adds the step that is missing."""

    def __init__(
        self, record: Record, use_case: str, finish: Evidence | None, chain: Chain | None, actors: Sequence[Actor]
    ) -> None:
        self.record, self.use_case, self.finish, self.chain, self.actors = record, use_case, finish, chain, actors
        self.about = record.about(use_case_subject(use_case).sha256)
        self.steps: list[Step] = []
        self.rulings: Sequence[Ruling] = ()
        self.at = ""
        opened = record.latest(kinds.USE_CASE, use_case=use_case)
        self.solo = bool(opened and opened.predicate["solo"])

    def _of(self, kind: str) -> list[Evidence]:
        return [entry for entry in self.about if entry.kind == kind]

    def _on_model(self, kind: str) -> list[Evidence]:
        return self.record.about(self.finish.subject.sha256, kind) if self.finish else []

    def _step(
        self,
        action: Action,
        command: str,
        why: str,
        *,
        only: Collection[str] | None = None,
        but: Collection[str] = (),
    ) -> None:
        """Add a step for those whose role allows it: `only` these of the roles, and no name of the persons `but`."""
        allowed = GRANTS[action] if only is None else {role for role in GRANTS[action] if role in only}
        names = {actor.name for actor in self.actors if actor.roles & allowed and actor.person not in but}
        roles = tuple(sorted(str(role) for role in allowed))
        self.steps.append(Step(action, roles, tuple(sorted(names)), command, why))

    def _played(self, *parts: Evidence | None) -> set[str]:
        """Return the persons whose part in this model keeps them from the next one; nobody in solo mode."""
        return set() if self.solo else {entry.person for entry in parts if entry is not None}

    def first(self, findings: Sequence[Finding]) -> None:
        """Put what has to be done about rights before everything else."""
        later, self.steps = self.steps, []
        for finding in findings:
            taken = {actor.person for actor in self.actors if actor.name == finding.who}
            self._step(Action.REVIEW_ACCESS, finding.command, finding.what, but=taken)
        self.steps += later

    def sourcing(self) -> StageState:
        found = self._of(kinds.SOURCING)
        if not found:
            why = "nobody decided where the model comes from; these are examples of the figures, put in yours"
            self._step(Action.DECIDE_SOURCE, SOURCE_EXAMPLE, why)
            return StageState(Stage.SOURCING, "unknown", "no decision to build, buy or adopt")
        latest: dict[str, Evidence] = {}
        for entry in self._of(kinds.RISK):
            latest[str(entry.predicate["risk"])] = entry
        waiting = [risk for risk, entry in latest.items() if entry.predicate["status"] == "open"]
        for risk in waiting:
            command = f'custody source risk {risk} --treat --reason "..."'
            self._step(Action.TREAT_RISK, command, f"risk {risk} is open: {latest[risk].predicate['title']}")
        chosen = found[-1].predicate["chosen"]
        if waiting:
            sentence = f"{chosen}; {len(waiting)} of {len(latest)} risks are open"
            return StageState(Stage.SOURCING, "not_met", sentence, (found[-1].index,))
        return StageState(Stage.SOURCING, "met", f"{chosen}; {len(latest)} risks answered", (found[-1].index,))

    def data(self) -> StageState:
        found = datasets(self.record)
        purposes = {str(entry.predicate["purpose"]) for entry in found}
        for purpose in ("training", "held_out"):
            if purpose not in purposes:
                command = f"custody data register NAME PATH --purpose {purpose} --target COLUMN --positive VALUE"
                self._step(Action.REGISTER_DATA, command, f"no {purpose.replace('_', '-')} data is on record")
        entries = tuple(entry.index for entry in found)
        if not {"training", "held_out"} <= purposes:
            return StageState(
                Stage.DATA, "unknown", f"{len(found)} datasets; training and held-out are needed", entries
            )
        training = [entry for entry in found if entry.predicate["purpose"] == "training"]
        unchecked = [e for e in training if not self.record.about(e.subject.sha256, kinds.CHECK_RESULT)]
        for entry in unchecked:
            self._step(Action.CHECK_DATA, f"custody data check {entry.subject.name}", "its quality was never measured")
        if unchecked:
            return StageState(Stage.DATA, "unknown", _never(len(unchecked)), entries)
        return StageState(Stage.DATA, "met", f"{len(found)} datasets registered, training data checked", entries)

    def criteria(self) -> StageState:
        seal = self.record.latest(kinds.SEAL, use_case=self.use_case)
        if seal is None:
            self._step(Action.SEAL, "custody gate seal criteria.toml", "criteria must be sealed before training")
            return StageState(Stage.CRITERIA, "unknown", "nothing is sealed")
        fresh = judge_freshness(self.record, seal)
        if fresh.status is not Status.MET:
            command = "custody data register NAME PATH --purpose held_out --target COLUMN --positive VALUE"
            self._step(Action.REGISTER_DATA, command, "the newest criteria were sealed after the held-out set was seen")
            return StageState(Stage.CRITERIA, "not_met", fresh.reason, fresh.entries)
        count = len(seal.predicate["criteria"]["criterion"])
        roles = countersigners(seal.predicate["policy"])
        if roles != [] and countersignature(self.record, seal, roles or [], self.record.size) is None:
            who = " or ".join(map(str, roles or [])).replace("_", " ")
            why = f"the policy asks for a {who}, too, before a run"
            self._step(Action.COUNTERSIGN, "custody gate countersign", why, only=roles or (), but={seal.person})
            return StageState(Stage.CRITERIA, "unknown", f"{count} criteria sealed, not countersigned", (seal.index,))
        return StageState(Stage.CRITERIA, "met", f"{count} criteria sealed by {seal.person}", (seal.index,))

    def training(self) -> StageState:
        if self.finish is None or self.chain is None:
            aborts = self.record.of_kind(kinds.TRAINING_ABORT)
            author = self._played(self.record.latest(kinds.SEAL, use_case=self.use_case))
            self._step(Action.START_RUN, "custody run -- python train.py", "there is no model yet", but=author)
            last = f"the last run failed: {aborts[-1].predicate['reason']}" if aborts else "no run has finished"
            return StageState(Stage.TRAINING, "unknown", last, (aborts[-1].index,) if aborts else ())
        entries = (self.chain.start.index, self.finish.index)
        if trouble := kinds.compromised(self.finish.predicate):
            self._step(Action.START_RUN, "custody run -- python train.py", "the last run was compromised")
            return StageState(Stage.TRAINING, "not_met", f"compromised: {trouble[0]}", entries)
        if self.chain.seal is None:
            self._step(Action.START_RUN, "custody run -- python train.py", "the model was trained before its criteria")
            return StageState(Stage.TRAINING, "not_met", "trained without sealed criteria", entries)
        kind = self.chain.start.predicate["isolation"]["kind"]
        sentence = f"model {self.finish.subject.short} by {self.finish.person}, isolation: {kind}"
        if noticed := kinds.anomalies(self.finish.predicate):
            sentence += f"; look at this: {noticed[0]}"
        asked = judge_transcript(self.record, self.chain.seal.predicate["policy"], self.chain.start, self.finish)
        if asked.status is not Status.MET:
            self._step(Action.REPRODUCE, "custody run spot-check", asked.reason)
            return StageState(Stage.TRAINING, asked.status, f"{sentence}; {asked.reason}", asked.entries)
        return StageState(Stage.TRAINING, "met", sentence, entries)

    def _results(self, stage: str) -> list[Evidence]:
        return [entry for entry in self._on_model(kinds.CHECK_RESULT) if entry.predicate["stage"] == stage]

    def artifact(self) -> StageState:
        scans = [entry for entry in self._results("artifact") if entry.predicate["check"] == "artifact.scan"]
        if not scans:
            return StageState(Stage.ARTIFACT, "unknown", "not scanned yet: validation begins with it")
        worst = 0.0
        for entry in scans:
            for measure in entry.predicate["measures"]:
                if measure["name"] in ("critical_findings", "unread_files"):
                    worst = max(worst, 1.0 if measure["value"] is None else float(measure["value"]))
        entries = tuple(entry.index for entry in scans)
        if worst:
            return StageState(Stage.ARTIFACT, "not_met", "opening the model could run code", entries)
        return StageState(Stage.ARTIFACT, "met", "scanned: opening it runs no foreign code", entries)

    def validation(self) -> StageState:
        results = self._results("validation")
        sealed = bool(self.chain and self.chain.seal)
        if not results:
            if self.finish and self.chain and sealed:
                why = f"model {self.finish.subject.short} was never measured"
                self._step(Action.VALIDATE, "custody validate", why, but=self._played(self.chain.seal, self.finish))
            return StageState(Stage.VALIDATION, "unknown", "not measured")
        entries = tuple(entry.index for entry in results)
        sentence = f"{len(results)} checks by {results[-1].person}"
        criteria = [ruling for ruling in self.rulings if not ruling.id.startswith("process.")]
        for status in (Status.NOT_MET, Status.UNKNOWN, Status.INCONCLUSIVE):
            against = [ruling.id for ruling in criteria if ruling.status is status]
            if against:
                state = "not_met" if status is Status.NOT_MET else "unknown"
                word = str(status).replace("_", " ")
                return StageState(Stage.VALIDATION, state, f"{sentence}; {word}: {', '.join(against[:4])}", entries)
        if not criteria:
            broken = [ruling for ruling in self.rulings if ruling.status is not Status.MET]
            why = broken[0].reason if broken else "the chain of evidence is broken"
            return StageState(Stage.VALIDATION, "unknown", f"{sentence}; no criterion could be judged: {why}", entries)
        return StageState(Stage.VALIDATION, "met", f"{sentence}; {len(criteria)} criteria hold", entries)

    def release(self) -> StageState:
        decisions = self._on_model(kinds.DECISION)
        if self.finish and self._results("validation"):
            seal = self.chain.seal if self.chain else None
            needed = int(seal.predicate["policy"]["approvals"]) if seal else 1
            approved = {e.person for e in self._on_model(kinds.APPROVAL) if e.predicate["verdict"] == "approve"}
            broken = [ruling.id for ruling in self.rulings if ruling.status is Status.NOT_MET]
            # What a rule of the process asks for has a step of its own; training again would not mend it.
            if failing := [name for name in broken if not name.startswith("process.")]:
                self._again(seal, failing)
            elif len(approved) < needed:
                why = f"{len(approved)} of {needed} uninvolved persons approved"
                played = self._played(seal, self.finish, *self._results("validation"))
                command = f"custody gate approve {self.finish.subject.short}"
                self._step(Action.APPROVE, command, why, but=played | approved)
            elif not decisions or decisions[-1].predicate["verdict"] != "GO":
                open_ = [r.id for r in self.rulings if r.status not in (Status.MET, Status.WAIVED)]
                why = f"still open: {', '.join(open_[:4])}" if open_ else "everything is on record"
                environment = "staging" if self.solo else "production"
                command = "custody gate show" if decisions and open_ else f"custody gate decide --env {environment}"
                self._step(Action.DECIDE, command, why)
        if not decisions:
            return StageState(Stage.RELEASE, "unknown", "not decided")
        last = decisions[-1]
        verdict = last.predicate["verdict"]
        state = {"GO": "met", "NO-GO": "not_met"}.get(verdict, "unknown")
        against = [str(r["id"]) for r in last.predicate["rulings"] if r["status"] not in ("met", "waived")]
        sentence = verdict if not against else f"{verdict}: {', '.join(against[:4])}"
        today = [ruling for ruling in self.rulings if ruling.status not in (Status.MET, Status.WAIVED)]
        # Retirement is where a life is meant to end, and has a line of its own.
        if verdict == "GO" and today and not self._on_model(kinds.RETIREMENT):
            today.sort(key=lambda ruling: ruling.status is not Status.NOT_MET)
            state = "not_met" if today[0].status is Status.NOT_MET else "unknown"
            sentence = f"GO when it was decided, not today: {today[0].reason}"
        return StageState(Stage.RELEASE, state, sentence, (last.index,))

    def _again(self, seal: Evidence | None, failing: Sequence[str]) -> None:
        """Say what to do with a model that is proven not to meet its criteria."""
        what = f"NO-GO: {', '.join(failing[:4])} not met"
        spent, limit = attempts_of(self.record, seal) if seal else (0, 0)
        if seal is not None and spent >= limit:
            command = "custody data register NAME PATH --purpose held_out --target COLUMN --positive VALUE"
            why = f"{what}; all {limit} attempts are spent: seal new criteria with a fresh held-out set"
            self._step(Action.REGISTER_DATA, command, why)
            return
        number = f", attempt {spent + 1} of {limit}" if seal else ""
        self._step(Action.START_RUN, "custody run -- python train.py", f"{what}; train another model{number}")

    def deployment(self) -> StageState:
        deployed = self._on_model(kinds.DEPLOYMENT)
        admitted = self._on_model(kinds.ADMISSION)
        if admitted and not deployed and not self._on_model(kinds.RETIREMENT):
            where = admitted[-1].predicate["environment"]
            self._step(Action.DEPLOY, f"custody deploy --env {where}", "the model is admitted and not deployed")
        if deployed:
            places = sorted({str(entry.predicate["environment"]) for entry in deployed})
            return StageState(Stage.DEPLOYMENT, "met", f"in {', '.join(places)}", (deployed[-1].index,))
        if admitted:
            return StageState(Stage.DEPLOYMENT, "unknown", "admitted, not deployed", (admitted[-1].index,))
        return StageState(Stage.DEPLOYMENT, "unknown", "not admitted anywhere")

    def runtime(self) -> StageState:
        logs = self._on_model(kinds.PREDICTIONS)
        results = self._results("runtime")
        if not self._on_model(kinds.DEPLOYMENT):
            return StageState(Stage.RUNTIME, "unknown", "not in service")
        if not results:
            self._step(Action.WATCH, "custody watch drift LIVE", "the model in service was never watched")
            return StageState(Stage.RUNTIME, "unknown", "in service, not watched")
        count = sum(int(entry.predicate["count"]) for entry in logs)
        sentence = f"{count} predictions logged, {len(results)} measurements"
        return StageState(Stage.RUNTIME, "met", sentence, tuple(entry.index for entry in results))

    def incident(self) -> StageState:
        subjects = [self.finish.subject.sha256] if self.finish else []
        subjects += self.chain.inputs if self.chain else []
        found = open_incidents(self.record, subjects)
        for entry in found:
            command = f'custody incident close {entry.predicate["incident"]} --reason "..."'
            self._step(Action.CLOSE_INCIDENT, command, f"{entry.predicate['type']}: {entry.predicate['reason']}")
        if found:
            # What is quarantined is handed to nobody: nothing else about the model is more urgent.
            self.steps.sort(key=lambda step: step.action is not Action.CLOSE_INCIDENT)
            sentence = f"{len(found)} open: {found[-1].predicate['type']}"
            return StageState(Stage.INCIDENT, "not_met", sentence, tuple(entry.index for entry in found))
        return StageState(Stage.INCIDENT, "met", "none open")

    def retirement(self) -> StageState:
        found = self._on_model(kinds.RETIREMENT)
        if found:
            self.steps.clear()
        self._retention()
        if found:
            return StageState(Stage.RETIREMENT, "met", "retired: its key is destroyed", (found[0].index,))
        return StageState(Stage.RETIREMENT, "not_applicable", "not retired")

    def _retention(self) -> None:
        """Add what is to be destroyed by now: models whose retirement is due, datasets kept long enough."""
        ordered = self._on_model(kinds.RETIREMENT_ORDER)
        if (
            ordered
            and self.finish
            and not self._on_model(kinds.RETIREMENT)
            and expired(str(ordered[-1].predicate.get("due", "")), self.at)
        ):
            last = ordered[-1]
            command = f'custody retire {self.finish.subject.short} --reason "..."'
            self._step(Action.RETIRE, command, f"its retirement was ordered in entry {last.index}")
        for entry in datasets(self.record):
            kept = "retain_until" in entry.predicate and not self.record.about(entry.subject.sha256, kinds.RETIREMENT)
            if kept and expired(str(entry.predicate["retain_until"]), self.at):
                command = f'custody retire data {entry.subject.name} --reason "..."'
                self._step(Action.RETIRE, command, f"it was to be kept until {entry.predicate['retain_until']}")
