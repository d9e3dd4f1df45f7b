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


class Chain(NamedTuple):
    """One run that ended in the model: its finish, its start, and the data it declared (name, sha256)."""

    finish: Entry
    start: Entry
    inputs: Inputs


class Case(NamedTuple):
    """One model, how it came to be, and what the rules read of it.

    Makers are the trainers and the author of the criteria; `results` are those about the model before it
    ran; `openings` are those of the held-out set, under whatever name; `risks` holds the newest word on each.
    """

    past: Past
    model: str
    use_case: str
    at: str
    chains: list[Chain]
    """A script that is deterministic may have made the same bytes in several runs, all under one seal."""
    seal: Entry
    policy: dict[str, Any]
    inputs: Inputs
    trainers: set[str]
    makers: set[str]
    results: list[Entry]
    openings: list[Entry]
    risks: dict[str, Entry]


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
    rulings = []
    for rule in _RULES:  # of several runs, the first for which it is not met speaks
        found = [Ruling(f"process{rule.__name__.replace('_', '.', 1)}", *rule(case, chain)) for chain in case.chains]
        rulings.append(next((ruling for ruling in found if ruling.status != MET), found[0]))
    waivers = _waivers(case, criteria)
    most = whole(case.policy.get("max_waivers")) or 0
    if len(waivers) > most:
        reason = f"{len(waivers)} waivers; the policy allows {most}"
        rulings.append(Ruling("process.waivers", NOT_MET, _sorted(waivers.values()), reason))
        waivers = {}
    for criterion in criteria:
        subjects = [model] if criterion.on == "model" else [sha256 for _, sha256 in case.inputs]
        ruling = judge(criterion, past, subjects, seal, case.chains[0].finish.index, case.makers)
        waiver = waivers.get(criterion.id)
        if waiver and ruling.status in (NOT_MET, INCONCLUSIVE):
            entries = tuple(sorted({*ruling.entries, waiver.index}))
            reason = f"waived until {waiver.said['expires']} by {waiver.person}: {ruling.reason}"
            ruling = Ruling(ruling.id, WAIVED, entries, reason)
        rulings.append(ruling)
    rulings.append(Ruling("process.approvals", *_approvals(case)))
    assurance, expires = "solo" if case.policy.get("solo") else "separated", _expires(case, waivers.values())
    return Judgement(model, seal.digest, past.size, root, at, assurance, expires, rulings)


def _case(past: Past, model: str, use_case: str, at: str) -> Case | Ruling:
    """Follow the model to the runs that ended in it, their starts, and the one seal that these name."""
    chains: list[Chain] = []
    seals: dict[str, Entry] = {}
    for finish in past.about(model, say.FINISH):
        start = past.find(_dig(finish.said, "buildDefinition", "internalParameters", "start"), say.START)
        if start is None or start.index >= finish.index:
            return Ruling("process.chain", NOT_MET, (finish.index,), "the finish statement names no earlier start")
        if start.person != finish.person:
            ends = (start.index, finish.index)
            return Ruling("process.chain", NOT_MET, ends, "start and finish were signed by different persons")
        named = past.find(start.said["seal"], say.SEAL)
        if named is None:
            return Ruling("process.sealed_before_training", NOT_MET, (start.index,), "the run had no sealed criteria")
        if not use_case == start.said["use_case"] == named.said["use_case"]:
            ends = (named.index, start.index)
            return Ruling("process.chain", NOT_MET, ends, "model, run and seal are of different use cases")
        declared = [item if isinstance(item, dict) else {} for item in start.said["inputs"]]
        inputs = sorted((str(item.get("name")), str(item.get("sha256"))) for item in declared)
        chains.append(Chain(finish, start, inputs))
        seals[named.digest] = named
    if not seals:
        return Ruling("process.chain", UNKNOWN, (), "no training run on record ended in this model")
    if len(seals) > 1:
        finishes = _sorted(chain.finish for chain in chains)
        return Ruling("process.chain", NOT_MET, finishes, "the same bytes were made under another seal as well")
    (seal,) = seals.values()
    inputs = sorted({pair for chain in chains for pair in chain.inputs})
    trainers = {entry.person for chain in chains for entry in (chain.start, chain.finish)}
    results = [entry for entry in past.about(model, say.RESULT) if entry.said["stage"] != "runtime"]
    exam = _contents(past, str(seal.said["held_out"].get("sha256")))
    openings = [entry for entry in past.of_kind(say.OPENING) if exam & _contents(past, entry.said["held_out"])]
    risks = {entry.said["risk"]: entry for entry in past.about(_topic(use_case), say.RISK)}
    rest = (inputs, trainers, trainers | {seal.person}, results, openings, risks)
    return Case(past, model, use_case, at, chains, seal, seal.said["policy"], *rest)


def _contents(past: Past, sha256: str) -> set[str]:
    """Return the digests of a dataset and its files: a file by another name is the same file."""
    every = [file for entry in past.about(sha256, say.DATASET) for file in entry.said["files"]]
    files = [file for file in every if isinstance(file, dict)]
    return {sha256, *(file["sha256"] for file in files if isinstance(file.get("sha256"), str))}


def _time(case: Case, _: Chain) -> Found:
    """A decision dated before evidence that it covers could step over an expiry."""
    dated = [entry for entry in case.past.history.entries[: case.past.size] if str(entry.said.get("at", ""))]
    now, newest = read_time(case.at), max(dated, key=lambda entry: _moment(entry.said["at"]), default=None)
    if now is None or newest is None or _moment(newest.said["at"]) > now:
        return UNKNOWN, _sorted([newest] if newest else []), "the decision is dated before evidence that it covers"
    return MET, (), "the decision is dated after all it covers"


def _sourcing(case: Case, _: Chain) -> Found:
    found = [e for e in case.past.about(_topic(case.use_case), say.SOURCING) if e.index < case.seal.index]
    if not found:
        return UNKNOWN, (), "no sourcing decision before the criteria were sealed"
    return MET, (found[-1].index,), f"{found[-1].said['chosen']} was chosen"


def _risks(case: Case, _: Chain) -> Found:
    entries = _sorted(case.risks.values())
    for name, entry in sorted(case.risks.items()):
        status = entry.said["status"]
        if status == "accepted":
            if entry.person in case.makers:
                return NOT_MET, entries, f"risk {name} was accepted by {entry.person}, a maker"
            if _expired(entry.said["expires"], case.at):
                return NOT_MET, entries, f"the acceptance of risk {name} has expired"
        elif status != "treated":
            return NOT_MET, entries, f"risk {name} is {status}"
    return MET if case.risks else UNKNOWN, entries, f"{len(case.risks)} risks are treated or accepted"


def _policy(case: Case, _: Chain) -> Found:
    """The seal must carry the policy that the owner signed, and name the record of its held-out set."""
    said, held_out = case.seal.said, case.seal.said["held_out"]
    opened = [e for e in case.past.about(_topic(case.use_case), say.USE_CASE) if e.index < case.seal.index]
    if not opened:
        return UNKNOWN, (case.seal.index,), "the use case was not opened before the criteria were sealed"
    entries, asked = (opened[-1].index, case.seal.index), opened[-1].said
    if said["policy"] != asked["policy"] or said["criteria"].get("tier") != asked["tier"]:
        return NOT_MET, entries, "the seal carries another policy than the owner's"
    written, baseline = said["criteria"].get("criterion"), asked["policy"].get("baseline")
    if any(item not in written for item in (baseline if isinstance(baseline, list) else [])):
        return NOT_MET, entries, "the seal leaves out criteria that the owner's policy demands"
    record = case.past.find(held_out.get("record"), say.DATASET)
    if record is None or record.index > case.seal.index:
        return UNKNOWN, entries, "the seal names no earlier record of its held-out set"
    if record.about != held_out.get("sha256"):
        return NOT_MET, entries, "the seal names the record of another held-out set"
    return MET, entries, f"the owner's policy of entry {opened[-1].index} is sealed"


def _sealed_before_training(case: Case, chain: Chain) -> Found:
    entries, checkpoint = (case.seal.index, chain.start.index), chain.start.said["checkpoint"]
    size, root = whole(checkpoint.get("size")), checkpoint.get("root")
    if size is None or not case.seal.index < size <= chain.start.index:
        return NOT_MET, entries, "the run's checkpoint does not lie between the seal and the start"
    if root != case.past.history.tree.root(size):
        return NOT_MET, entries, "the run's checkpoint is not one of this ledger"
    if chain.start.said["seed"] != derive_seed(root, case.seal.digest, chain.inputs):
        return NOT_MET, entries, "the run's seed does not follow from its checkpoint and seal"
    return MET, entries, f"sealed in entry {case.seal.index}, started in entry {chain.start.index}"


def derive_seed(root: str, seal: str, inputs: Inputs) -> int:
    """Return the seed that nobody could know before the seal: HMAC-SHA256 keyed by the root, 31 bits of it."""
    lines = ["custody-seed/v1", seal, *(f"{sha256}  {name}" for name, sha256 in inputs), ""]
    digest = hmac.digest(bytes.fromhex(root), "\n".join(lines).encode(), "sha256")
    return int.from_bytes(digest[:4], "big") % 2**31


def _not_post_hoc(case: Case, _: Chain) -> Found:
    sealed, opened = case.seal.index, [e.index for e in case.openings if e.index < case.seal.index]
    if opened:
        reason = f"post-hoc: sealed in entry {sealed}, after the held-out set was opened in entry {opened[0]}"
        return NOT_MET, (*opened, sealed), reason
    return MET, (sealed,), "the held-out set was unopened when criteria were sealed"


def _budget(case: Case, _: Chain) -> Found:
    limits = case.seal.said["criteria"]
    attempts = [entry for entry in case.past.of_kind(say.START) if entry.said["seal"] == case.seal.digest]
    entries = tuple(sorted(entry.index for entry in [*case.openings, *attempts]))
    for what, spent, name in (("openings", case.openings, "max_openings"), ("attempts", attempts, "max_attempts")):
        limit = whole(limits.get(name))
        if limit is None or len(spent) > limit:
            return UNKNOWN, entries, f"exhausted: {len(spent)} {what}, sealed budget {limit}"
    return MET, entries, f"{len(case.openings)} openings and {len(attempts)} attempts are within budget"


def _run(case: Case, chain: Chain) -> Found:
    said, entries = chain.start.said, (chain.start.index, chain.finish.index)
    trouble, isolation = _dig(chain.finish.said, "runDetails", "compromised"), said["isolation"].get("kind")
    if trouble != []:
        return NOT_MET, entries, f"the run was compromised: {str(trouble or 'the finish does not say')[:100]}"
    if _finished_inputs(chain.finish) != chain.inputs:
        return NOT_MET, entries, "start and finish statement name different data"
    if case.policy.get("isolation") and isolation != "bubblewrap":
        return NOT_MET, entries, f"the policy asks for an isolated run; isolation: {isolation}"
    if not said["code"] or not said["environment"]:
        return UNKNOWN, entries, "the run's code or environment is not on record"
    return MET, entries, f"isolation: {isolation}"


def _finished_inputs(finish: Entry) -> Inputs:
    found = _dig(finish.said, "buildDefinition", "resolvedDependencies")
    pairs = []
    for item in found if isinstance(found, list) else []:
        name = str(item.get("name", "")) if isinstance(item, dict) else ""
        if name.startswith("data:") and isinstance(item.get("digest"), dict):
            pairs.append((name[5:], str(item["digest"].get("sha256", ""))))
    return sorted(pairs)


def _data(case: Case, chain: Chain) -> Found:
    entries: tuple[int, ...] = ()
    trusted, past = case.policy.get("trust"), case.past
    exam = _contents(past, str(case.seal.said["held_out"].get("sha256")))
    held_out = [_contents(past, e.about) for e in past.of_kind(say.DATASET) if e.said["purpose"] == "held_out"]
    objects = [item for item in chain.start.said["inputs"] if isinstance(item, dict)]
    declared = {str(item.get("sha256")): item.get("record") for item in objects}
    if not chain.inputs:
        return UNKNOWN, entries, "the run declared no data"
    for name, sha256 in chain.inputs:
        record = past.find(declared.get(sha256), say.DATASET)
        if record is None or record.about != sha256 or record.index > chain.start.index:
            return UNKNOWN, entries, f"{name} is not a dataset registered before the run"
        newest = past.about(sha256, say.DATASET)[-1]
        said, contents, entries = newest.said, _contents(past, sha256), (*entries, newest.index)
        if any(contents & files for files in [exam, *held_out]):
            return NOT_MET, entries, f"{name} is held out: the model was trained on its own exam"
        if not isinstance(trusted, list) or said["trust"] not in trusted:
            return NOT_MET, entries, f"{name} comes from a source of trust level {said['trust']!r}"
        if said.get("source_expires") and _expired(said["source_expires"], case.at):
            return NOT_MET, entries, f"the approval of the source of {name} has expired"
        if not said["licence"] or not said["owner"]:
            return UNKNOWN, entries, f"{name} has no licence or no owner"
    return MET, entries, f"{len(chain.inputs)} registered datasets"


def _separation(case: Case, _: Chain) -> Found:
    entries = _sorted([case.seal, *case.results[:1]])
    if case.policy.get("solo"):
        return MET, entries, "solo: one person may play every part"
    if case.seal.person in case.trainers:
        return NOT_MET, entries, f"{case.seal.person} wrote the criteria and trained the model"
    if both := sorted({entry.person for entry in case.results} & case.makers):
        return NOT_MET, entries, f"{both[0]} validated a model of their own"
    return MET, entries, "author, trainer and validator are different persons"


def _standing(case: Case, _: Chain) -> Found:
    if retired := case.past.about(case.model, say.RETIREMENT):
        return NOT_MET, (retired[0].index,), "the model is retired"
    subjects = [case.model, *(sha256 for _, sha256 in case.inputs)]
    latest = {(e.said["incident"], about): e for about in subjects for e in case.past.about(about, say.INCIDENT)}
    for (name, _about), entry in sorted(latest.items()):
        if entry.said["status"] != "closed" or "security_manager" not in entry.roles:  # nobody else ends it
            return NOT_MET, (entry.index,), f"incident {name} ({entry.said['type']}) is open"
    return MET, tuple(entry.index for entry in latest.values()), "no open incident, not retired"


_RULES = [_time, _sourcing, _risks, _policy, _sealed_before_training, _not_post_hoc]
_RULES += [_budget, _run, _data, _separation, _standing]
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
    last = case.results[-1].index if case.results else case.past.size
    approvals = case.past.about(case.model, say.APPROVAL)
    latest = {e.person: e for e in approvals if e.said["use_case"] == case.seal.said["use_case"]}
    for person, entry in sorted(latest.items()):
        if entry.said["verdict"] != "approve":
            return NOT_MET, (entry.index,), f"{person} rejected the model: {entry.said['reason']}"
    involved = set() if case.policy.get("solo") else case.makers | {entry.person for entry in case.results}
    after = [e for e in latest.values() if e.index > last and e.roles & {"approver", "compliance_officer"}]
    counted = [e for e in after if e.person not in involved]
    if len(counted) < needed:
        return UNKNOWN, _sorted(counted), f"pending: {len(counted)} of {needed} approvals"
    return MET, _sorted(counted), f"{len(counted)} persons approved after the last result"


def _expires(case: Case, waivers: Iterable[Entry]) -> str:
    """Return the earliest end of what the judgement leans on: waivers, accepted risks, the age of a GO."""
    ends = [str(entry.said["expires"]) for entry in waivers]
    ends += [str(e.said["expires"]) for e in case.risks.values() if e.said["status"] == "accepted"]
    records = [case.past.about(sha256, say.DATASET)[-1:] for _, sha256 in case.inputs]
    sources = [entry.said.get("source_expires") for newest in records for entry in newest]
    ends += [str(end) for end in sources if end]
    days, now = whole(case.policy.get("go_days")), read_time(case.at)
    if days is not None and now is not None:
        try:
            ends.append((now + timedelta(days=days)).isoformat())
        except OverflowError:
            ends.append(case.at)
    return min(ends, default="", key=_moment)


def read_time(text: object) -> datetime | None:
    """Read an ISO 8601 moment with a time zone."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _moment(text: object) -> datetime:
    """Order moments by what they mean; what cannot be read comes first."""
    return read_time(text) or datetime.min.replace(tzinfo=UTC)


def _expired(expires: object, at: str) -> bool:
    return _moment(expires) <= (read_time(at) or datetime.max.replace(tzinfo=UTC))  # unreadable: expired


def _topic(name: str) -> str:
    return hashlib.sha256(f"use-case:{name}".encode()).hexdigest()


def _sorted(entries: Iterable[Entry]) -> tuple[int, ...]:
    return tuple(sorted({entry.index for entry in entries}))


def _dig(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
