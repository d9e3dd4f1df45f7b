"""Step 5, second half: the rules of the process, and the verdict. Rules in words: docs/reference/gate.md.

Each rule reads the past alone and gives, in order, what would stand against the model: (whether it does, status,
entries, reason). The first that does speaks; a rule ends with what it says when nothing does. The order of rulings
and of entries is part of the outcome that the product signs, so it is kept here too.
"""

import hashlib
import hmac
from collections import namedtuple
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from custody_verify.criteria import INCONCLUSIVE, MET, NOT_MET, UNKNOWN, WAIVED, Criterion, Ruling, judge, read_criteria
from custody_verify.ledger import Past
from custody_verify.roster import Entry
from custody_verify.strict import canonical, expired, moment, read_base64, read_time, whole

Inputs = list[tuple[str, str]]
Words = Iterable[tuple[object, str, Iterable[Entry], str]]
Chain = namedtuple("Chain", "finish start inputs")
"""One run that ended in the model: its finish, its start, and the data it declared (name, sha256)."""

class Judgement(namedtuple("Judgement", "model seal size root at rulings assurance expires tried", defaults=("", 0))):
    """What the record gives for one model at one moment."""
    @property
    def verdict(self) -> str:
        """GO only if there are rulings and each is met or waived."""
        statuses = {ruling.status for ruling in self.rulings}
        if NOT_MET in statuses: return "NO-GO"
        return "GO" if statuses and statuses <= {MET, WAIVED} else "INCONCLUSIVE"
    @property
    def outcome(self) -> str:
        """Return the digest over what was decided and on what."""
        names = ("model", "seal", "size", "root", "at", "verdict", "assurance", "expires")
        rulings = [[ruling.id, ruling.status, list(ruling.entries)] for ruling in self.rulings]
        return hashlib.sha256(canonical({"rulings": rulings, **{n: getattr(self, n) for n in names}})).hexdigest()

class Unchained(Exception):
    """The model cannot be followed back to one seal; carries the rule that says so, and its words."""

class Case:
    """One model, how it came to be, and what the rules read of it.
    Makers are the trainers and the author of the criteria; `results` are those about the model before it ran;
    `openings` are those of the held-out set, under whatever name; `risks` holds the newest word on each. A script
    that is deterministic may have made the same bytes in several runs, all under one seal: `chains`.
    """
    def __init__(self, past: Past, model: str, use_case: str, at: str) -> None:
        self.past, self.model, self.use_case, self.at, self.topic = past, model, use_case, at, topic(use_case)
        self.chains, self.seal = _chains(past, model, use_case)
        self.policy: dict[str, Any] = self.seal.said["policy"]
        self.solo = bool(self.policy.get("solo"))
        self.inputs = sorted({pair for chain in self.chains for pair in chain.inputs})
        self.trainers = {entry.person for chain in self.chains for entry in (chain.start, chain.finish)}
        self.makers = self.trainers | {self.seal.person}
        self.results = [e for e in past.about(model, "check-result") if e.said["stage"] != "runtime"]
        self.exam, opened = self.contents(self.seal.said["held_out"].get("sha256")), past.of_kind("held-out-opening")
        self.openings = [e for e in opened if self.exam & self.contents(e.said["held_out"])]
        self.attempts = [e for e in past.of_kind("training-start") if e.said["seal"] == self.seal.digest]
        self.risks = {e.said["risk"]: e for e in past.about(self.topic, "risk")}
        self.datasets = [e for _, sha256 in self.inputs for e in past.about(sha256, "dataset-record")[-1:]]
    def before_seal(self, kind: str) -> list[Entry]:
        """Return what was said about the use case before the criteria were sealed."""
        return [e for e in self.past.about(self.topic, kind) if e.index < self.seal.index]
    def contents(self, sha256: object) -> set[str]:
        """Return the digests of a dataset and its files: a file by another name is the same file."""
        every = [f for entry in self.past.about(str(sha256), "dataset-record") for f in entry.said["files"]]
        return {str(sha256), *(f["sha256"] for f in every if isinstance(f, dict) and isinstance(f.get("sha256"), str))}
def decide(past: Past, model: str, use_case: str, at: str) -> Judgement:
    """Judge a model from the record as it stood."""
    blank = Judgement(model, "", past.size, past.history.tree.root(past.size), at, [], "separated")
    try:
        case = Case(past, model, use_case, at)
    except Unchained as error:
        return blank._replace(rulings=[_rule(error.args[0], [(True, *error.args[1:])])])
    seal, tried = case.seal, len({entry.said["model"] for entry in case.openings})
    try:
        criteria = read_criteria(seal.said["criteria"])
    except ValueError as error:
        broken = _rule("criteria", [(True, UNKNOWN, [seal], f"the sealed criteria cannot be read: {error}")])
        return blank._replace(seal=seal.digest, rulings=[broken])
    rulings = []
    for rule in _RULES:  # of several runs, the first for which it is not met speaks
        found = [_rule(rule.__name__[1:], rule(case, chain)) for chain in case.chains]
        rulings.append(next((ruling for ruling in found if ruling.status != MET), found[0]))
    waivers, most = _waivers(case, criteria), whole(case.policy.get("max_waivers")) or 0
    if len(waivers) > most:
        reason = f"{len(waivers)} waivers; the policy allows {most}"
        rulings.append(_rule("waivers", [(True, NOT_MET, _sorted(waivers.values()), reason)]))
    waivers = {name: e for name, e in waivers.items() if e.index not in past.void and len(waivers) <= most}
    for asked in criteria:
        subjects = [model] if asked.on == "model" else [sha256 for _, sha256 in case.inputs]
        ruling = judge(asked, past, subjects, seal, case.chains[0].finish.index, case.makers, tried)
        waiver = waivers.get(asked.id)
        if waiver and ruling.status in (NOT_MET, INCONCLUSIVE):
            reason = f"waived until {waiver.said['expires']} by {waiver.person}: {ruling.reason}"
            ruling = Ruling(ruling.id, WAIVED, tuple(sorted({*ruling.entries, waiver.index})), reason)
        rulings.append(ruling)
    rulings.append(_rule("approvals", _approvals(case)))
    assurance, ends = "solo" if case.solo else "separated", _expires(case, waivers.values())
    return blank._replace(seal=seal.digest, rulings=rulings, assurance=assurance, expires=ends, tried=tried)
def _rule(name: str, words: Words) -> Ruling:
    _, status, entries, reason = next(word for word in words if word[0])
    return Ruling(f"process.{name}", status, tuple(entry.index for entry in entries), reason)
def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for _, entry in sorted({entry.index: entry for entry in entries}.items())]
def _dig(value: Any, *path: str) -> Any:
    for name in path: value = value.get(name) if isinstance(value, dict) else None
    return value
def _chains(past: Past, model: str, use_case: str) -> tuple[list[Chain], Entry]:
    """Follow the model to the runs that ended in it, their starts, and the one seal that these name."""
    chains: list[Chain] = []
    seals: dict[str, Entry] = {}
    for finish in past.about(model, "training-finish"):
        start = past.find(_dig(finish.said, "buildDefinition", "internalParameters", "start"), "training-start")
        if start is None or start.index >= finish.index:
            raise Unchained("chain", NOT_MET, [finish], "the finish statement names no earlier start")
        if start.person != finish.person:
            raise Unchained("chain", NOT_MET, [start, finish], "start and finish were signed by different persons")
        seal = past.find(start.said["seal"], "criteria-seal")
        if seal is None: raise Unchained("sealed_before_training", NOT_MET, [start], "the run had no sealed criteria")
        if not use_case == start.said["use_case"] == seal.said["use_case"]:
            raise Unchained("chain", NOT_MET, [seal, start], "model, run and seal are of different use cases")
        declared = [item if isinstance(item, dict) else {} for item in start.said["inputs"]]
        inputs = sorted((str(item.get("name")), str(item.get("sha256"))) for item in declared)
        chains.append(Chain(finish, start, inputs))
        seals[seal.digest] = seal
    if not seals: raise Unchained("chain", UNKNOWN, [], "no training run on record ended in this model")
    finishes, another = [chain.finish for chain in chains], "the same bytes were made under another seal as well"
    if len(seals) > 1: raise Unchained("chain", NOT_MET, finishes, another)
    return chains, next(iter(seals.values()))
def topic(use_case: str) -> str:
    """Return the digest by which statements are about a use case."""
    return hashlib.sha256(f"use-case:{use_case}".encode()).hexdigest()
def _time(case: Case, _: Chain) -> Words:
    """A decision dated before evidence that it covers could step over an expiry."""
    sound = case.past.sound(case.past.history.entries[: case.past.size])
    dated = [entry for entry in sound if str(entry.said.get("at", ""))]
    now, newest = read_time(case.at), max(dated, key=lambda entry: moment(entry.said["at"]), default=None)
    early = not now or not newest or moment(newest.said["at"]) > now
    yield early, UNKNOWN, [newest] if newest else [], "the decision is dated before evidence that it covers"
    yield True, MET, (), "the decision is dated after all it covers"
def _keys(case: Case, _: Chain) -> Words:
    """Nothing that the model rests on was signed with a key that was compromised by then: void."""
    past, records = case.past, [case.seal.said["held_out"].get("record")]
    links = [case.seal, *case.before_seal("use-case")[-1:], *case.before_seal("sourcing-decision")[-1:], *case.datasets]
    for finish, start, _inputs in case.chains:
        links += [finish, start]
        records += [item.get("record") for item in start.said["inputs"] if isinstance(item, dict)]
    named = [past.find(record, "dataset-record") for record in records]
    void = _sorted(link for link in [*links, *named] if link and link.index in past.void)
    yield void, NOT_MET, void, "the model rests on what was signed with a compromised key"
    yield True, MET, (), "nothing the model rests on was signed with a compromised key"
def _access(case: Case, _: Chain) -> Words:
    """Whoever took an emergency right was reviewed by another person, a security manager, and upheld."""
    grants = case.past.of_kind("access-grant")
    taken = {e.digest: e for e in grants if e.said["emergency"] and e.said["status"] == "granted"}
    words: dict[str, bool] = {}
    for review in case.past.of_kind("access-review"):
        grant, upheld = taken.get(review.said["of"]), review.said["verdict"] == "upheld"
        if not grant or grant.index >= review.index or grant.person == review.person: continue
        if "security_manager" in review.roles and not (upheld and review.index in case.past.void):
            words[grant.digest] = upheld
    disputed = _sorted(grant for digest, grant in taken.items() if words.get(digest) is False)
    waiting = _sorted(grant for digest, grant in taken.items() if digest not in words)
    yield disputed, NOT_MET, disputed, "an emergency right is disputed"
    yield waiting, UNKNOWN, waiting, "an emergency right was taken that nobody reviewed yet"
    yield True, MET, _sorted(taken.values()), f"{len(taken)} emergency rights were taken and reviewed"
def _sourcing(case: Case, _: Chain) -> Words:
    found = case.before_seal("sourcing-decision")
    yield not found, UNKNOWN, (), "no sourcing decision before the criteria were sealed"
    yield True, MET, found[-1:], f"{found[-1].said['chosen']} was chosen"
def _risks(case: Case, _: Chain) -> Words:
    entries = _sorted(case.risks.values())
    for name, entry in sorted(case.risks.items()):
        status, void = entry.said["status"], entry.index in case.past.void
        yield status not in ("treated", "accepted"), NOT_MET, entries, f"risk {name} is {status}"
        yield void, NOT_MET, entries, f"risk {name} is open again: answered with a compromised key"
        if status == "treated": continue
        yield entry.person in case.makers, NOT_MET, entries, f"risk {name} was accepted by {entry.person}, a maker"
        over = expired(entry.said["expires"], case.at)
        yield over, NOT_MET, entries, f"the acceptance of risk {name} has expired"
    yield True, MET if case.risks else UNKNOWN, entries, f"{len(case.risks)} risks are treated or accepted"
def _policy(case: Case, _: Chain) -> Words:
    """The seal must carry the policy that the owner signed, and name the record of its held-out set."""
    seal, said, held_out = case.seal, case.seal.said, case.seal.said["held_out"]
    opened = case.before_seal("use-case")[-1:]
    yield not opened, UNKNOWN, [seal], "the use case was not opened before the criteria were sealed"
    entries, asked, written = [*opened, seal], opened[0].said, said["criteria"].get("criterion")
    other = said["policy"] != asked["policy"] or said["criteria"].get("tier") != asked["tier"]
    yield other, NOT_MET, entries, "the seal carries another policy than the owner's"
    baseline = asked["policy"].get("baseline")
    less = any(item not in written for item in (baseline if isinstance(baseline, list) else []))
    yield less, NOT_MET, entries, "the seal leaves out criteria that the owner's policy demands"
    record = case.past.find(held_out.get("record"), "dataset-record")
    unnamed = record is None or record.index > seal.index
    yield unnamed, UNKNOWN, entries, "the seal names no earlier record of its held-out set"
    another = record and record.about != held_out.get("sha256")
    yield another, NOT_MET, entries, "the seal names the record of another held-out set"
    yield True, MET, entries, f"the owner's policy of entry {opened[0].index} is sealed"
def _countersigned(case: Case, chain: Chain) -> Words:
    """Where the policy asks, another person with one of these roles signed the criteria before the run."""
    asked, seal = case.policy.get("countersign"), case.seal
    roles = [] if asked is None or case.solo else asked
    yield not isinstance(roles, list), UNKNOWN, [seal], "the sealed policy does not say who countersigns"
    yield not roles, MET, (), "the policy asks for no second signature on the criteria"
    before = whole(chain.start.said["checkpoint"].get("size")) or 0
    for entry in case.past.sound(case.past.about(seal.about, "countersignature")):
        fits = entry.said["of"] == seal.digest and seal.index < entry.index < before and entry.person != seal.person
        fits = fits and any(role in roles for role in entry.roles)
        yield fits, MET, [seal, entry], f"{entry.person} countersigned the criteria before the run"
    yield True, UNKNOWN, [seal], "nobody who may countersigned the criteria before the run"
def _sealed_before_training(case: Case, chain: Chain) -> Words:
    seal, start, entries = case.seal, chain.start, [case.seal, chain.start]
    size, root = whole(start.said["checkpoint"].get("size")), start.said["checkpoint"].get("root")
    outside = size is None or not seal.index < size <= start.index
    yield outside, NOT_MET, entries, "the run's checkpoint does not lie between the seal and the start"
    strange = root != case.past.history.tree.root(size or 0)
    yield strange, NOT_MET, entries, "the run's checkpoint is not one of this ledger"
    guessed = start.said["seed"] != derive_seed(root, seal.digest, chain.inputs)
    yield guessed, NOT_MET, entries, "the run's seed does not follow from its checkpoint and seal"
    lacking = _unwitnessed(case, start)
    yield lacking, UNKNOWN, entries, lacking
    yield True, MET, entries, f"sealed in entry {seal.index}, started in entry {start.index}"
def derive_seed(root: str, seal: str, inputs: Inputs) -> int:
    """Return the seed that nobody could know before the seal: HMAC-SHA256 keyed by the root, 31 bits of it."""
    lines = ["custody-seed/v1", seal, *(f"{sha256}  {name}" for name, sha256 in inputs), ""]
    digest = hmac.digest(bytes.fromhex(root), "\n".join(lines).encode(), "sha256")
    return int.from_bytes(digest[:4], "big") % 2**31
def _unwitnessed(case: Case, start: Entry) -> str:
    """Say what the run's checkpoint lacks of the witnesses that the trust root in force asked for, or ""."""
    roots = [entry for entry in case.past.of_kind("trust-root") if entry.index < start.index]
    quorum, checkpoint = roots[-1].said["quorum"] if roots else 0, start.said["checkpoint"]
    if quorum <= 0: return ""
    anchor = case.past.find(checkpoint.get("anchor"), "anchor")
    if anchor is None or anchor.index >= start.index or anchor.index in case.past.void:
        return f"the run's checkpoint names no anchor; the trust root asks for {quorum} witnesses"
    size, root = anchor.said["size"], anchor.said["root"]
    if (size, root) != (checkpoint.get("size"), checkpoint.get("root")) or size <= case.seal.index:
        return f"the anchor in entry {anchor.index} is of another checkpoint than the run's"
    witnesses = {item["name"]: read_base64(item["key"], "a witness") for item in roots[-1].said["witnesses"]}
    count = len(case.past.history.cosigners(anchor, witnesses))
    return "" if count >= quorum else f"{count} of {quorum} witnesses cosigned the run's checkpoint"
def _not_post_hoc(case: Case, _: Chain) -> Words:
    seal, opened = case.seal, [e for e in case.openings if e.index < case.seal.index]
    first = [e.index for e in opened[:1]]
    late = f"post-hoc: sealed in entry {seal.index}, after the held-out set was opened in entry {first}"
    yield opened, NOT_MET, [*opened, seal], late
    yield True, MET, [seal], "the held-out set was unopened when criteria were sealed"
def _budget(case: Case, _: Chain) -> Words:
    entries, limits = _sorted([*case.openings, *case.attempts]), case.seal.said["criteria"]
    for what, spent in (("openings", case.openings), ("attempts", case.attempts)):
        limit = whole(limits.get(f"max_{what}"))
        over = limit is None or len(spent) > limit
        yield over, UNKNOWN, entries, f"exhausted: {len(spent)} {what}, sealed budget {limit}"
    yield True, MET, entries, f"{len(case.openings)} openings and {len(case.attempts)} attempts are within budget"
def _run(case: Case, chain: Chain) -> Words:
    finish, said, entries = chain.finish.said, chain.start.said, [chain.start, chain.finish]
    trouble, isolation = _dig(finish, "runDetails", "compromised"), said["isolation"].get("kind")
    yield trouble != [], NOT_MET, entries, f"the run was compromised: {str(trouble or 'the finish does not say')[:100]}"
    listed = _dig(finish, "buildDefinition", "resolvedDependencies")
    used = [i for i in (listed if isinstance(listed, list) else []) if isinstance(_dig(i, "digest"), dict)]
    pairs = [(str(i.get("name", "")), str(i["digest"].get("sha256", ""))) for i in used]
    data = sorted((name[5:], sha256) for name, sha256 in pairs if name.startswith("data:"))
    yield data != chain.inputs, NOT_MET, entries, "start and finish statement name different data"
    bare = case.policy.get("isolation") and isolation != "bubblewrap"
    yield bare, NOT_MET, entries, f"the policy asks for an isolated run; isolation: {isolation}"
    missing = not said["code"] or not said["environment"]
    yield missing, UNKNOWN, entries, "the run's code or environment is not on record"
    yield True, MET, entries, f"isolation: {isolation}"
def _transcript(case: Case, chain: Chain) -> Words:
    """Where the policy asks, the run left a transcript, and somebody else found its first steps to agree."""
    start, finish, entries = chain.start, chain.finish, [chain.start, chain.finish]
    yield case.policy.get("transcript") is not True, MET, (), "the policy asks for no transcript"
    checks = [e for e in case.past.of_kind("spot-check") if e.said["start"] == start.digest]
    differing = [e for e in checks if e.said["verdict"] == "differs"]
    yield differing, NOT_MET, differing, "the steps differ when run again"
    steps = whole(_dig(finish.said, "runDetails", "transcript", "steps"))
    yield steps is None or steps < 1, UNKNOWN, entries, "the run left no transcript of its steps"
    for check in case.past.sound(checks):
        agrees = check.said["verdict"] == "agrees" and check.said["steps"] >= 1 and check.person != start.person
        agrees = agrees and check.index > finish.index
        yield agrees, MET, [*entries, check], f"{check.person} ran the first steps again: they agree"
    yield True, UNKNOWN, entries, "nobody but the trainer has run its first steps again"
def _data(case: Case, chain: Chain) -> Words:
    past, entries, trusted = case.past, list[Entry](), case.policy.get("trust")
    held_out = [case.contents(e.about) for e in past.of_kind("dataset-record") if e.said["purpose"] == "held_out"]
    objects = [item for item in chain.start.said["inputs"] if isinstance(item, dict)]
    declared = {str(item.get("sha256")): item.get("record") for item in objects}
    yield not chain.inputs, UNKNOWN, entries, "the run declared no data"
    for name, sha256 in chain.inputs:
        record = past.find(declared.get(sha256), "dataset-record")
        unknown = record is None or record.about != sha256 or record.index > chain.start.index
        yield unknown, UNKNOWN, entries, f"{name} is not a dataset registered before the run"
        newest, files = past.about(sha256, "dataset-record")[-1], case.contents(sha256)
        said, entries = newest.said, [*entries, newest]
        exam = any(files & held for held in [case.exam, *held_out])
        yield exam, NOT_MET, entries, f"{name} is held out: the model was trained on its own exam"
        for level in [entry.said["trust"] for entry in (record, newest) if entry]:  # a better word later helps nothing
            untrusted = not isinstance(trusted, list) or level not in trusted
            yield untrusted, NOT_MET, entries, f"{name} comes from a source of trust level {level!r}"
        over = said.get("source_expires") and expired(said["source_expires"], case.at)
        yield over, NOT_MET, entries, f"the approval of the source of {name} has expired"
        yield not said["licence"] or not said["owner"], UNKNOWN, entries, f"{name} has no licence or no owner"
    yield True, MET, entries, f"{len(chain.inputs)} registered datasets"
def _separation(case: Case, _: Chain) -> Words:
    entries, author = _sorted([case.seal, *case.results[:1]]), case.seal.person
    yield case.solo, MET, entries, "solo: one person may play every part"
    yield author in case.trainers, NOT_MET, entries, f"{author} wrote the criteria and trained the model"
    both = sorted({entry.person for entry in case.results} & case.makers)
    yield both, NOT_MET, entries, f"{', '.join(both)} validated a model of their own"
    yield True, MET, entries, "author, trainer and validator are different persons"
def _standing(case: Case, _: Chain) -> Words:
    retired = case.past.about(case.model, "retirement")
    yield retired, NOT_MET, retired[:1], "the model is retired"
    latest: dict[tuple[str, str], tuple[Entry, bool]] = {}
    for about in [case.model, *(sha256 for _, sha256 in case.inputs)]:
        for entry in case.past.about(about, "incident"):  # nobody but a security manager ends one
            closes = entry.said["status"] == "closed" and "security_manager" in entry.roles
            if not closes or entry.index not in case.past.void: latest[entry.said["incident"], about] = entry, closes
    for (name, _about), (entry, closed) in sorted(latest.items()):
        yield not closed, NOT_MET, [entry], f"incident {name} ({entry.said['type']}) is open"
    yield True, MET, [entry for entry, _ in latest.values()], "no open incident, not retired"

_RULES = [_time, _keys, _access, _sourcing, _risks, _policy, _countersigned, _sealed_before_training, _not_post_hoc]
_RULES += [_budget, _run, _transcript, _data, _separation, _standing]
"""In the order in which the product signs them; a ruling is called process. and the name of its rule."""
def _waivers(case: Case, criteria: list[Criterion]) -> dict[str, Entry]:
    """Return the waivers that count, by the id of what they waive; the newest of each."""
    never, days, now = case.policy.get("never_waive", []), whole(case.policy.get("waiver_days")), read_time(case.at)
    waivable = {c.id for c in criteria if c.waivable and isinstance(never, list) and c.klass not in never}
    found: dict[str, Entry] = {}
    for entry in case.past.about(case.model, "waiver"):
        made, ends = read_time(entry.said["at"]), read_time(entry.said["expires"])
        fits = entry.said["use_case"] == case.use_case and entry.said["criterion"] in waivable
        by = "approver" in entry.roles and (entry.person not in case.makers or case.solo)
        if fits and by and made and ends and now and days is not None and made <= now < ends:
            found |= {entry.said["criterion"]: entry} if (ends - made) / timedelta(days=1) <= days else {}
    return found
def _approvals(case: Case) -> Words:
    needed, void = whole(case.policy.get("approvals")), case.past.void
    silent = needed is None or needed < 1
    yield silent, UNKNOWN, [case.seal], "the sealed policy does not say how many approvals it needs"
    last = case.results[-1].index if case.results else case.past.size
    said = [e for e in case.past.about(case.model, "approval") if e.said["use_case"] == case.seal.said["use_case"]]
    latest = {e.person: e for e in said if e.said["verdict"] != "approve" or e.index not in void}
    for person, entry in sorted(latest.items()):
        against = entry.said["verdict"] != "approve"
        yield against, NOT_MET, [entry], f"{person} rejected the model: {entry.said['reason']}"
    involved = set() if case.solo else case.makers | {entry.person for entry in case.results}
    after = [e for e in latest.values() if e.index > last and e.roles & {"approver", "compliance_officer"}]
    counted = _sorted(e for e in after if e.person not in involved)
    yield len(counted) < (needed or 0), UNKNOWN, counted, f"pending: {len(counted)} of {needed} approvals"
    yield True, MET, counted, f"{len(counted)} persons approved after the last result"
def _expires(case: Case, waivers: Iterable[Entry]) -> str:
    """Return the earliest end of what the judgement leans on: waivers, accepted risks, the age of a GO."""
    accepted = [risk for risk in case.risks.values() if risk.said["status"] == "accepted"]
    ends = [str(entry.said["expires"]) for entry in [*waivers, *accepted]]
    ends += [str(e.said["source_expires"]) for e in case.datasets if e.said.get("source_expires")]
    days, now = whole(case.policy.get("go_days")), read_time(case.at)
    try:
        if days is not None and now is not None: ends.append((now + timedelta(days=days)).isoformat())
    except OverflowError:
        ends.append(case.at)
    return min(ends, default="", key=moment)
