"""Step 6, second half: the rules of the process, and the verdict. Rules in words: docs/reference/gate.md.

Each rule is a function of the past alone and gives a status, the entries it rests on, and the reason. The
order of rulings and of entries is part of the outcome that the product signs, so it is kept here too.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from custody_verify import vocabulary as say
from custody_verify.criteria import INCONCLUSIVE, MET, NOT_MET, UNKNOWN, WAIVED, Criterion, Ruling, judge, read_criteria
from custody_verify.ledger import Entry, Past
from custody_verify.strict import canonical, whole

Inputs = list[tuple[str, str]]
Found = tuple[str, tuple[int, ...], str]


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
        names = ("model", "seal", "size", "root", "at", "verdict", "assurance", "expires")
        rulings = [[ruling.id, ruling.status, list(ruling.entries)] for ruling in self.rulings]
        return hashlib.sha256(canonical({"rulings": rulings, **{n: getattr(self, n) for n in names}})).hexdigest()


class Case(NamedTuple):
    """One model, how it came to be, and what the rules read of it."""

    past: Past
    model: str
    use_case: str
    at: str
    finish: Entry
    start: Entry
    seal: Entry
    policy: dict[str, Any]
    """Sealed together with the criteria."""
    inputs: Inputs
    """Name and sha256 of the data the run declared; what is no object is unknown data."""
    trainers: set[str]
    makers: set[str]
    """The trainers and the author of the criteria."""
    risks: dict[str, Entry]
    """The newest statement about each risk of the use case."""
    results: list[Entry]
    """Every result about the model."""
    validators: set[str]


def decide(past: Past, model: str, use_case: str, at: str) -> Judgement:
    """Judge a model from the record as it stood."""
    case, root = _case(past, model, use_case, at), past.history.tree.root(past.size)
    if isinstance(case, Ruling):
        return Judgement(model, "", past.size, root, at, "separated", "", [case])
    seal = case.seal
    try:
        criteria = read_criteria(seal.said["criteria"])
    except ValueError as error:
        broken = Ruling("process.criteria", UNKNOWN, (seal.index,), f"the sealed criteria cannot be read: {error}")
        return Judgement(model, seal.digest, past.size, root, at, "separated", "", [broken])
    rulings = [Ruling(f"process{rule.__name__.replace('_', '.', 1)}", *rule(case)) for rule in _RULES]
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
    rulings.append(Ruling("process.approvals", *_approvals(case)))
    assurance = "solo" if case.policy.get("solo") else "separated"
    expires = _expires(case, waivers.values())
    return Judgement(model, seal.digest, past.size, root, at, assurance, expires, rulings)


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
    if start.person != finish.person:
        ends = (start.index, finish.index)
        return Ruling("process.chain", NOT_MET, ends, "start and finish were signed by different persons")
    seal = past.find(start.said["seal"], say.SEAL)
    if seal is None:
        return Ruling("process.sealed_before_training", NOT_MET, (start.index,), "the run had no sealed criteria")
    if not use_case == start.said["use_case"] == seal.said["use_case"]:
        return Ruling("process.chain", NOT_MET, (seal.index, start.index), "run and seal are of different use cases")
    declared = [item if isinstance(item, dict) else {} for item in start.said["inputs"]]
    inputs = sorted((str(item.get("name")), str(item.get("sha256"))) for item in declared)
    trainers = {start.person, finish.person}
    risks = {str(e.said["risk"]): e for e in past.about(_use_case(use_case), say.RISK)}
    makers, policy, results = trainers | {seal.person}, seal.said["policy"], past.about(model, say.RESULT)
    validators = {entry.person for entry in results if entry.said["stage"] == "validation"}
    run = (finish, start, seal, policy, inputs)
    return Case(past, model, use_case, at, *run, trainers, makers, risks, results, validators)


def _sourcing(case: Case) -> Found:
    found = [e for e in case.past.about(_use_case(case.use_case), say.SOURCING) if e.index < case.seal.index]
    if not found:
        return UNKNOWN, (), "no sourcing decision before the criteria were sealed"
    return MET, (found[-1].index,), f"{found[-1].said['chosen']} was chosen"


def _risks(case: Case) -> Found:
    entries = _sorted(case.risks.values())
    if not entries:
        return UNKNOWN, (), "no risk was ever opened"
    for name, entry in sorted(case.risks.items()):
        status = entry.said["status"]
        if status == "accepted":
            if entry.person in case.makers:
                return NOT_MET, entries, f"risk {name} was accepted by {entry.person}, a maker"
            if _expired(entry.said["expires"], case.at):
                return NOT_MET, entries, f"the acceptance of risk {name} has expired"
        elif status != "treated":
            return NOT_MET, entries, f"risk {name} is {status}"
    return MET, entries, f"{len(case.risks)} risks are treated or accepted"


def _sealed_before_training(case: Case) -> Found:
    entries = (case.seal.index, case.start.index)
    checkpoint = case.start.said["checkpoint"]
    size, root = whole(checkpoint.get("size")), checkpoint.get("root")
    if size is None or not case.seal.index < size <= case.start.index:
        return NOT_MET, entries, "the run's checkpoint does not lie between the seal and the start"
    if root != case.past.history.tree.root(size):
        return NOT_MET, entries, "the run's checkpoint is not one of this ledger"
    if case.start.said["seed"] != derive_seed(root, case.seal.digest, case.inputs):
        return NOT_MET, entries, "the run's seed does not follow from its checkpoint and seal"
    return MET, entries, f"sealed in entry {case.seal.index}, started in entry {case.start.index}"


def derive_seed(root: str, seal: str, inputs: Inputs) -> int:
    """Return the seed that nobody could know before the seal: HMAC-SHA256 keyed by the root, 31 bits of it."""
    lines = ["custody-seed/v1", seal, *(f"{sha256}  {name}" for name, sha256 in inputs), ""]
    digest = hmac.digest(bytes.fromhex(root), "\n".join(lines).encode(), "sha256")
    return int.from_bytes(digest[:4], "big") % 2**31


def _not_post_hoc(case: Case) -> Found:
    held_out, sealed = case.seal.said["held_out"].get("sha256"), case.seal.index
    opened = [e.index for e in case.past.of_kind(say.OPENING) if e.said["held_out"] == held_out and e.index < sealed]
    if opened:
        reason = f"post-hoc: sealed in entry {sealed}, after the held-out set was opened in entry {opened[0]}"
        return NOT_MET, (*opened, sealed), reason
    return MET, (sealed,), "the held-out set was unopened when criteria were sealed"


def _budget(case: Case) -> Found:
    limits = case.seal.said["criteria"]
    held_out = case.seal.said["held_out"].get("sha256")
    openings = [e for e in case.past.of_kind(say.OPENING) if e.said["held_out"] == held_out]
    attempts = [e for e in case.past.of_kind(say.START) if e.said["seal"] == case.seal.digest]
    entries = _sorted([*openings, *attempts])
    for what, spent, limit in (
        ("held-out openings", len(openings), whole(limits.get("max_openings"))),
        ("training attempts", len(attempts), whole(limits.get("max_attempts"))),
    ):
        if limit is None or spent > limit:
            return UNKNOWN, entries, f"exhausted: {spent} {what}, sealed budget {limit}"
    return MET, entries, f"{len(openings)} openings and {len(attempts)} attempts are within budget"


def _run(case: Case) -> Found:
    entries = (case.start.index, case.finish.index)
    trouble = _dig(case.finish.said, "runDetails", "compromised")
    if trouble != []:
        return NOT_MET, entries, f"the run was compromised: {str(trouble or 'the finish does not say')[:100]}"
    if _finished_inputs(case.finish) != case.inputs:
        return NOT_MET, entries, "start and finish statement name different data"
    isolation = case.start.said["isolation"].get("kind")
    if case.policy.get("isolation") and isolation != "bubblewrap":
        return NOT_MET, entries, f"the policy asks for an isolated run; isolation: {isolation}"
    if not case.start.said["code"] or not case.start.said["environment"]:
        return UNKNOWN, entries, "the run's code or environment is not on record"
    return MET, entries, f"one run, isolation: {isolation}"


def _finished_inputs(finish: Entry) -> Inputs:
    found = _dig(finish.said, "buildDefinition", "resolvedDependencies")
    pairs = []
    for item in found if isinstance(found, list) else []:
        name = str(item.get("name", "")) if isinstance(item, dict) else ""
        if name.startswith("data:") and isinstance(item.get("digest"), dict):
            pairs.append((name[5:], str(item["digest"].get("sha256", ""))))
    return sorted(pairs)


def _data(case: Case) -> Found:
    entries: tuple[int, ...] = ()
    trusted = case.policy.get("trust", [])
    if not case.inputs:
        return UNKNOWN, entries, "the run declared no data"
    for name, sha256 in case.inputs:
        records = case.past.about(sha256, say.DATASET)
        if not records:
            return UNKNOWN, entries, f"{name} is not a registered dataset"
        said = records[-1].said
        entries = (*entries, records[-1].index)
        if not isinstance(trusted, list) or said["trust"] not in trusted:
            return NOT_MET, entries, f"{name} comes from a source of trust level {said['trust']!r}"
        if said.get("source_expires") and _expired(said["source_expires"], case.at):
            return NOT_MET, entries, f"the approval of the source of {name} has expired"
        if not said["licence"] or not said["owner"]:
            return UNKNOWN, entries, f"{name} has no licence or no owner"
    return MET, entries, f"{len(case.inputs)} registered datasets"


def _separation(case: Case) -> Found:
    validations = [entry for entry in case.results if entry.said["stage"] == "validation"]
    entries = _sorted([case.seal, *validations[:1]])
    if case.policy.get("solo"):
        return MET, entries, "solo: one person may play every part"
    if case.seal.person in case.trainers:
        return NOT_MET, entries, f"{case.seal.person} wrote the criteria and trained the model"
    if both := sorted(case.validators & case.makers):
        return NOT_MET, entries, f"{both[0]} validated a model of their own"
    return MET, entries, "author, trainer and validator are different persons"


def incidents_of(past: Past, subjects: Iterable[str]) -> dict[tuple[str, str], Entry]:
    """Return the newest statement of each incident about each of the subjects."""
    return {(e.said["incident"], about): e for about in subjects for e in past.about(about, say.INCIDENT)}


def is_open(incident: Entry) -> bool:
    """Tell whether an incident goes on: only a security manager ends it."""
    return incident.said["status"] != "closed" or "security_manager" not in incident.roles


def _standing(case: Case) -> Found:
    if retired := case.past.about(case.model, say.RETIREMENT):
        return NOT_MET, (retired[0].index,), "the model is retired"
    latest = incidents_of(case.past, [case.model, *(sha256 for _, sha256 in case.inputs)])
    for (name, _), entry in sorted(latest.items()):
        if is_open(entry):
            return NOT_MET, (entry.index,), f"incident {name} ({entry.said['type']}) is open"
    return MET, tuple(e.index for e in latest.values()), "no open incident, not retired"


_RULES = (_sourcing, _risks, _sealed_before_training, _not_post_hoc, _budget, _run, _data, _separation, _standing)
"""In the order in which the product signs them; a ruling is called process. and the name of its rule."""


def _waivers(case: Case, criteria: list[Criterion]) -> dict[str, Entry]:
    """Return the waivers that count, by the id of what they waive; the newest of each."""
    never, days = case.policy.get("never_waive", []), whole(case.policy.get("waiver_days"))
    waivable = {c.id for c in criteria if c.waivable and isinstance(never, list) and c.klass not in never}
    found: dict[str, Entry] = {}
    for entry in case.past.about(case.model, say.WAIVER):
        made, ends, now = read_time(entry.said["at"]), read_time(entry.said["expires"]), read_time(case.at)
        if entry.said["use_case"] != case.use_case or entry.said["criterion"] not in waivable:
            continue
        if "approver" not in entry.roles or (entry.person in case.makers and not case.policy.get("solo")):
            continue
        if made is None or ends is None or now is None or days is None or made > now or ends <= now:
            continue
        if (ends - made) / timedelta(days=1) <= days:
            found[entry.said["criterion"]] = entry
    return found


def _approvals(case: Case) -> Found:
    needed = whole(case.policy.get("approvals"))
    if needed is None or needed < 1:
        return UNKNOWN, (case.seal.index,), "the sealed policy does not say how many approvals it needs"
    last = max((entry.index for entry in case.results if entry.said["stage"] != "runtime"), default=None)
    approvals = case.past.about(case.model, say.APPROVAL)
    latest = {e.person: e for e in approvals if e.said["use_case"] == case.seal.said["use_case"]}
    for person, entry in sorted(latest.items()):
        if entry.said["verdict"] != "approve":
            return NOT_MET, (entry.index,), f"{person} rejected the model: {entry.said['reason']}"
    involved = set() if case.policy.get("solo") else case.makers | case.validators
    counted = [e for e in latest.values() if e.person not in involved and e.roles & {"approver", "compliance_officer"}]
    counted = [e for e in counted if last is not None and e.index > last]
    if len(counted) < needed:
        return UNKNOWN, _sorted(counted), f"pending: {len(counted)} of {needed} approvals"
    return MET, _sorted(counted), f"{len(counted)} persons approved after the last result"


def _expires(case: Case, waivers: Iterable[Entry]) -> str:
    """Return the earliest end of what the judgement leans on: waivers, accepted risks, the age of a GO."""
    ends = [str(entry.said["expires"]) for entry in waivers]
    ends += [str(entry.said["expires"]) for entry in case.risks.values() if entry.said["status"] == "accepted"]
    days, now = whole(case.policy.get("go_days")), read_time(case.at)
    if days is not None and now is not None:
        try:
            ends.append((now + timedelta(days=days)).isoformat())
        except OverflowError:
            ends.append(case.at)
    return min(ends, default="", key=lambda end: read_time(end) or datetime.min.replace(tzinfo=UTC))


def read_time(text: object) -> datetime | None:
    """Read an ISO 8601 moment with a time zone."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _expired(expires: object, at: str) -> bool:
    end, now = read_time(expires), read_time(at)
    return end is None or now is None or end <= now


def _use_case(name: str) -> str:
    return hashlib.sha256(f"use-case:{name}".encode()).hexdigest()


def _sorted(entries: Iterable[Entry]) -> tuple[int, ...]:
    return tuple(sorted({entry.index for entry in entries}))


def _dig(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
