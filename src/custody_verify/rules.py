"""Step 6, second half: the rules of the process, and the verdict. Rules in words: docs/reference/gate.md.

Each rule is a function of the past alone. The order of rulings and of the entries each rests on is part
of the outcome that the product signs, so it is kept here too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from custody_verify import vocabulary as say
from custody_verify.criteria import INCONCLUSIVE, MET, NOT_MET, UNKNOWN, WAIVED, Criterion, Ruling, judge, read_criteria
from custody_verify.ledger import Entry, Past
from custody_verify.strict import canonical, whole

Inputs = list[tuple[str, str]]


@dataclass(frozen=True)
class Judgement:
    """What the record gives for one model at one moment."""

    model: str
    seal: str
    size: int
    root: str
    at: str
    assurance: str
    expires: str
    rulings: list[Ruling]

    @property
    def verdict(self) -> str:
        """GO only if there are rulings and each is met or waived."""
        statuses = {ruling.status for ruling in self.rulings}
        if NOT_MET in statuses:
            return "NO-GO"
        return "GO" if statuses and statuses <= {MET, WAIVED} else "INCONCLUSIVE"

    @property
    def outcome(self) -> str:
        """Return the digest over what was decided and on what."""
        body = {
            "model": self.model,
            "seal": self.seal,
            "size": self.size,
            "root": self.root,
            "at": self.at,
            "verdict": self.verdict,
            "assurance": self.assurance,
            "expires": self.expires,
            "rulings": [[ruling.id, ruling.status, list(ruling.entries)] for ruling in self.rulings],
        }
        return hashlib.sha256(canonical(body)).hexdigest()


@dataclass(frozen=True)
class Case:
    """One model, how it came to be, and everything the rules read."""

    past: Past
    model: str
    use_case: str
    at: str
    finish: Entry
    start: Entry
    seal: Entry

    @property
    def policy(self) -> dict[str, Any]:
        """Return the policy that was sealed with the criteria."""
        found: dict[str, Any] = self.seal.said["policy"]
        return found

    @property
    def trainers(self) -> set[str]:
        """Return who started and finished the run."""
        return {self.start.person, self.finish.person}

    @property
    def makers(self) -> set[str]:
        """Return who trained the model or wrote its criteria."""
        return self.trainers | {self.seal.person}

    @property
    def inputs(self) -> Inputs:
        """Return (name, sha256) of the data the run declared; what is not an object is unknown data."""
        return sorted((str(i.get("name")), str(i.get("sha256"))) for i in _objects(self.start.said["inputs"]))

    @property
    def risks(self) -> dict[str, Entry]:
        """Return the newest statement about each risk of the use case."""
        return {str(e.said["risk"]): e for e in self.past.about(_use_case(self.use_case), say.RISK)}


def decide(past: Past, model: str, use_case: str, at: str) -> Judgement:
    """Judge a model from the record as it stood."""
    case = _case(past, model, use_case, at)
    if isinstance(case, Ruling):
        return Judgement(model, "", past.size, past.root, at, "separated", "", [case])
    seal = case.seal
    try:
        criteria = read_criteria(seal.said["criteria"])
    except ValueError as error:
        broken = Ruling("process.criteria", UNKNOWN, (seal.index,), f"the sealed criteria cannot be read: {error}")
        return Judgement(model, seal.digest, past.size, past.root, at, "separated", "", [broken])
    rulings = [rule(case) for rule in _RULES]
    waivers = _waivers(case, criteria)
    most = whole(case.policy.get("max_waivers", 0)) or 0
    if len(waivers) > most:
        reason = f"{len(waivers)} waivers; the policy allows {most}"
        rulings.append(Ruling("process.waivers", NOT_MET, _sorted(waivers.values()), reason))
        waivers = {}
    for criterion in criteria:
        subjects = [model] if criterion.on == "model" else [sha256 for _, sha256 in case.inputs]
        ruling = judge(criterion, past, subjects, seal, case.finish.index)
        waiver = waivers.get(criterion.id)
        if waiver and ruling.status in (NOT_MET, INCONCLUSIVE):
            entries = tuple(sorted({*ruling.entries, waiver.index}))
            reason = f"waived until {waiver.said['expires']} by {waiver.person}: {ruling.reason}"
            ruling = Ruling(ruling.id, WAIVED, entries, reason)
        rulings.append(ruling)
    rulings.append(_approvals(case))
    assurance = "solo" if case.policy.get("solo") else "separated"
    expires = _expires(case, waivers.values())
    return Judgement(model, seal.digest, past.size, past.root, at, assurance, expires, rulings)


def _case(past: Past, model: str, use_case: str, at: str) -> Case | Ruling:
    """Follow the model to the one run that ended in it, its start, and the seal the start names."""
    finishes = past.about(model, say.FINISH)
    if not finishes:
        return Ruling("process.chain", UNKNOWN, (), "no training run on record ended in this model")
    if len(finishes) > 1:
        return Ruling("process.chain", NOT_MET, _sorted(finishes), "two runs claim to have made the same bytes")
    finish = finishes[0]
    start = past.find(_dig(finish.said, "buildDefinition", "internalParameters", "start"), say.START)
    if start is None or start.index >= finish.index:
        return Ruling("process.chain", NOT_MET, (finish.index,), "the finish statement names no earlier start")
    ends = (start.index, finish.index)
    if start.person != finish.person:
        return Ruling("process.chain", NOT_MET, ends, "start and finish were signed by different persons")
    seal = past.find(start.said["seal"], say.SEAL)
    if seal is None:
        reason = "the run was started without sealed criteria"
        return Ruling("process.sealed_before_training", NOT_MET, (start.index,), reason)
    if not use_case == start.said["use_case"] == seal.said["use_case"]:
        reason = "model, run and seal belong to different use cases"
        return Ruling("process.chain", NOT_MET, (seal.index, start.index), reason)
    return Case(past, model, use_case, at, finish, start, seal)


def _sourcing(case: Case) -> Ruling:
    found = [e for e in case.past.about(_use_case(case.use_case), say.SOURCING) if e.index < case.seal.index]
    if not found:
        return Ruling("process.sourcing", UNKNOWN, (), "no sourcing decision before the criteria were sealed")
    return Ruling("process.sourcing", MET, (found[-1].index,), f"{found[-1].said['chosen']} was chosen")


def _risks(case: Case) -> Ruling:
    rule, risks = "process.risks", case.risks
    if not risks:
        return Ruling(rule, UNKNOWN, (), "no risk was ever opened")
    entries = _sorted(risks.values())
    for name, entry in sorted(risks.items()):
        status = entry.said["status"]
        if status == "accepted":
            if entry.person in case.makers:
                return Ruling(rule, NOT_MET, entries, f"risk {name} was accepted by {entry.person}, a maker")
            if _expired(entry.said["expires"], case.at):
                return Ruling(rule, NOT_MET, entries, f"the acceptance of risk {name} has expired")
        elif status != "treated":
            return Ruling(rule, NOT_MET, entries, f"risk {name} is {status}")
    return Ruling(rule, MET, entries, f"{len(risks)} risks are treated or accepted")


def _sealed_before_training(case: Case) -> Ruling:
    rule, entries = "process.sealed_before_training", (case.seal.index, case.start.index)
    checkpoint = case.start.said["checkpoint"]
    size, root = whole(checkpoint.get("size")), checkpoint.get("root")
    if size is None or not case.seal.index < size <= case.start.index:
        return Ruling(rule, NOT_MET, entries, "the run's checkpoint does not lie between the seal and the start")
    if root != case.past.history.tree.root(size):
        return Ruling(rule, NOT_MET, entries, "the run's checkpoint is not one of this ledger")
    if case.start.said["seed"] != derive_seed(root, case.seal.digest, case.inputs):
        return Ruling(rule, NOT_MET, entries, "the run's seed does not follow from its checkpoint and seal")
    return Ruling(rule, MET, entries, f"sealed in entry {case.seal.index}, started in entry {case.start.index}")


def derive_seed(root: str, seal: str, inputs: Inputs) -> int:
    """Return the seed that nobody could know before the seal: HMAC-SHA256 keyed by the root, 31 bits of it."""
    lines = ["custody-seed/v1", seal, *(f"{sha256}  {name}" for name, sha256 in inputs), ""]
    digest = hmac.digest(bytes.fromhex(root), "\n".join(lines).encode(), "sha256")
    return int.from_bytes(digest[:4], "big") % 2**31


def _not_post_hoc(case: Case) -> Ruling:
    held_out, sealed = case.seal.said["held_out"].get("sha256"), case.seal.index
    opened = [e.index for e in case.past.of_kind(say.OPENING) if e.said["held_out"] == held_out and e.index < sealed]
    if opened:
        reason = f"post-hoc: sealed in entry {sealed}, after the held-out set was opened in entry {opened[0]}"
        return Ruling("process.not_post_hoc", NOT_MET, (*opened, sealed), reason)
    return Ruling("process.not_post_hoc", MET, (sealed,), "the held-out set was unopened when criteria were sealed")


def _budget(case: Case) -> Ruling:
    rule, limits = "process.budget", case.seal.said["criteria"]
    held_out = case.seal.said["held_out"].get("sha256")
    openings = [e for e in case.past.of_kind(say.OPENING) if e.said["held_out"] == held_out]
    attempts = [e for e in case.past.of_kind(say.START) if e.said["seal"] == case.seal.digest]
    entries = _sorted([*openings, *attempts])
    for what, spent, limit in (
        ("held-out openings", len(openings), whole(limits.get("max_openings"))),
        ("training attempts", len(attempts), whole(limits.get("max_attempts"))),
    ):
        if limit is None or spent > limit:
            return Ruling(rule, UNKNOWN, entries, f"exhausted: {spent} {what}, sealed budget {limit}")
    return Ruling(rule, MET, entries, f"{len(openings)} openings and {len(attempts)} attempts are within budget")


def _run(case: Case) -> Ruling:
    rule, entries = "process.run", (case.start.index, case.finish.index)
    trouble = _dig(case.finish.said, "runDetails", "compromised")
    if not isinstance(trouble, list):
        return Ruling(rule, NOT_MET, entries, "the finish statement does not say whether the run was compromised")
    if trouble:
        return Ruling(rule, NOT_MET, entries, f"the run was compromised: {trouble[0]}")
    if _finished_inputs(case.finish) != case.inputs:
        return Ruling(rule, NOT_MET, entries, "start and finish statement name different data")
    isolation = case.start.said["isolation"].get("kind")
    if case.policy.get("isolation") and isolation != "bubblewrap":
        return Ruling(rule, NOT_MET, entries, f"the policy asks for an isolated run; isolation: {isolation}")
    if not case.start.said["code"] or not case.start.said["environment"]:
        return Ruling(rule, UNKNOWN, entries, "the run's code or environment is not on record")
    return Ruling(rule, MET, entries, f"one run, isolation: {isolation}")


def _finished_inputs(finish: Entry) -> Inputs:
    found = _dig(finish.said, "buildDefinition", "resolvedDependencies")
    pairs = []
    for item in found if isinstance(found, list) else []:
        name = str(item.get("name", "")) if isinstance(item, dict) else ""
        if name.startswith("data:") and isinstance(item.get("digest"), dict):
            pairs.append((name[5:], str(item["digest"].get("sha256", ""))))
    return sorted(pairs)


def _data(case: Case) -> Ruling:
    rule, entries = "process.data", tuple[int, ...]()
    trusted = case.policy.get("trust", [])
    if not case.inputs:
        return Ruling(rule, UNKNOWN, entries, "the run declared no data")
    for name, sha256 in case.inputs:
        records = case.past.about(sha256, say.DATASET)
        if not records:
            return Ruling(rule, UNKNOWN, entries, f"{name} is not a registered dataset")
        said = records[-1].said
        entries = (*entries, records[-1].index)
        if not isinstance(trusted, list) or said["trust"] not in trusted:
            return Ruling(rule, NOT_MET, entries, f"{name} comes from a source of trust level {said['trust']!r}")
        if said.get("source_expires") and _expired(said["source_expires"], case.at):
            return Ruling(rule, NOT_MET, entries, f"the approval of the source of {name} has expired")
        if not said["licence"] or not said["owner"]:
            return Ruling(rule, UNKNOWN, entries, f"{name} has no licence or no owner")
    return Ruling(rule, MET, entries, f"{len(case.inputs)} registered datasets")


def _validations(case: Case) -> list[Entry]:
    return [e for e in case.past.about(case.model, say.RESULT) if e.said["stage"] == "validation"]


def _separation(case: Case) -> Ruling:
    rule, results = "process.separation", _validations(case)
    entries = _sorted([case.seal, *results[:1]])
    validators = {entry.person for entry in results}
    if case.policy.get("solo"):
        return Ruling(rule, MET, entries, "solo: one person may play every part")
    if case.seal.person in case.trainers:
        return Ruling(rule, NOT_MET, entries, f"{case.seal.person} wrote the criteria and trained the model")
    if both := sorted(validators & case.makers):
        return Ruling(rule, NOT_MET, entries, f"{both[0]} validated a model of their own")
    return Ruling(rule, MET, entries, "author, trainer and validator are different persons")


def incidents_of(past: Past, subjects: Iterable[str]) -> dict[str, Entry]:
    """Return the newest statement of each incident about the subjects."""
    return {str(e.said["incident"]): e for subject in subjects for e in past.about(subject, say.INCIDENT)}


def _standing(case: Case) -> Ruling:
    rule = "process.standing"
    if retired := case.past.about(case.model, say.RETIREMENT):
        return Ruling(rule, NOT_MET, (retired[0].index,), "the model is retired")
    latest = incidents_of(case.past, [case.model, *(sha256 for _, sha256 in case.inputs)])
    for name, entry in sorted(latest.items()):
        if entry.said["status"] != "closed":
            return Ruling(rule, NOT_MET, (entry.index,), f"incident {name} ({entry.said['type']}) is open")
    return Ruling(rule, MET, tuple(e.index for e in latest.values()), "no open incident, not retired")


_RULES = (_sourcing, _risks, _sealed_before_training, _not_post_hoc, _budget, _run, _data, _separation, _standing)


def _waivers(case: Case, criteria: list[Criterion]) -> dict[str, Entry]:
    """Return the waivers that count, by the id of what they waive; the newest of each."""
    never, days = case.policy.get("never_waive", []), whole(case.policy.get("waiver_days"))
    waivable = {c.id for c in criteria if c.waivable and isinstance(never, list) and c.klass not in never}
    found: dict[str, Entry] = {}
    for entry in case.past.about(case.model, say.WAIVER):
        made, ends, now = _time(entry.at), _time(entry.said["expires"]), _time(case.at)
        if entry.said["use_case"] != case.use_case or entry.said["criterion"] not in waivable:
            continue
        if "approver" not in entry.roles or (entry.person in case.makers and not case.policy.get("solo")):
            continue
        if made is None or ends is None or now is None or days is None or made > now or ends <= now:
            continue
        if (ends - made) / timedelta(days=1) <= days:
            found[entry.said["criterion"]] = entry
    return found


def _approvals(case: Case) -> Ruling:
    rule, needed = "process.approvals", whole(case.policy.get("approvals"))
    if needed is None or needed < 1:
        return Ruling(rule, UNKNOWN, (case.seal.index,), "the sealed policy does not say how many approvals it needs")
    results = [e.index for e in case.past.about(case.model, say.RESULT) if e.said["stage"] != "runtime"]
    approvals = case.past.about(case.model, say.APPROVAL)
    latest = {e.person: e for e in approvals if e.said["use_case"] == case.seal.said["use_case"]}
    for person, entry in sorted(latest.items()):
        if entry.said["verdict"] != "approve":
            return Ruling(rule, NOT_MET, (entry.index,), f"{person} rejected the model: {entry.said['reason']}")
    involved = set() if case.policy.get("solo") else case.makers | {e.person for e in _validations(case)}
    counted = [
        entry
        for person, entry in latest.items()
        if person not in involved
        and results
        and entry.index > results[-1]
        and not entry.roles.isdisjoint({"approver", "compliance_officer"})
    ]
    if len(counted) < needed:
        return Ruling(rule, UNKNOWN, _sorted(counted), f"pending: {len(counted)} of {needed} approvals")
    return Ruling(rule, MET, _sorted(counted), f"{len(counted)} persons approved after the last result")


def _expires(case: Case, waivers: Iterable[Entry]) -> str:
    """Return the earliest end of what the judgement leans on: waivers, accepted risks, the age of a GO."""
    ends = [str(entry.said["expires"]) for entry in waivers]
    ends += [str(entry.said["expires"]) for entry in case.risks.values() if entry.said["status"] == "accepted"]
    days, now = whole(case.policy.get("go_days")), _time(case.at)
    if days is not None and now is not None:
        try:
            ends.append((now + timedelta(days=days)).isoformat())
        except OverflowError:
            ends.append(case.at)
    return min(ends, default="")


def _time(text: object) -> datetime | None:
    """Read an ISO 8601 moment with a time zone."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _expired(expires: object, at: str) -> bool:
    end, now = _time(expires), _time(at)
    return end is None or now is None or end <= now


def _use_case(name: str) -> str:
    return hashlib.sha256(f"use-case:{name}".encode()).hexdigest()


def _sorted(entries: Iterable[Entry]) -> tuple[int, ...]:
    return tuple(sorted({entry.index for entry in entries}))


def _objects(items: list[Any]) -> list[dict[str, Any]]:
    return [item if isinstance(item, dict) else {} for item in items]


def _dig(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
