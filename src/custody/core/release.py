"""The whole judgement of one model: its criteria, and the rules of the process that made it.

`decide` is pure: the record, the model's digest and the moment go in, a `Decision` comes out. It
reads no clock and no file, and it never raises for a model that fails. `docs/reference/gate.md`
states each rule in words; `custody_verify` implements the same rules a second time, independently.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from custody.core import predicates as kinds
from custody.core.account import account_of
from custody.core.data_rules import (
    attempts_under,
    inputs_of,
    judge_budget,
    judge_data,
    judge_freshness,
    listed,
    source_expiries,
)
from custody.core.decision import Decision, Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.gate import criteria_of, judge_criterion, whole
from custody.core.moments import end, expired, moment
from custody.core.seed import derive_seed
from custody.core.subject import use_case_subject
from custody.core.trust_rules import (
    judge_access,
    judge_countersigned,
    judge_keys,
    judge_transcript,
    unwitnessed,
)
from custody.core.waivers import judge_waivers

MET, NOT_MET, UNKNOWN = Status.MET, Status.NOT_MET, Status.UNKNOWN


def decide(record: Record, model: str, use_case: str, at: str) -> Decision:
    """Judge the model with sha256 `model` for `use_case` at the moment `at` (ISO 8601, UTC)."""
    chains = _chains(record, model, use_case)
    if isinstance(chains, Ruling):
        return Decision(model, use_case, "", record.size, record.root, at, "separated", (chains,))
    finish, _, seal = chains[0]
    policy: Mapping[str, Any] = seal.predicate["policy"]
    inputs = sorted({pair for _, start, _ in chains for pair in inputs_of(start)})
    try:
        criteria = criteria_of(seal.predicate["criteria"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        broken = Ruling("process.criteria", UNKNOWN, f"the sealed criteria cannot be read: {error}", (seal.index,))
        return Decision(model, use_case, seal.digest, record.size, record.root, at, "separated", (broken,))
    trainers = {person for end, start, _ in chains for person in (end.person, start.person)}
    makers = {seal.person, *trainers}
    tried = attempts_under(record, seal)
    rulings = [
        _time_of(record, at),
        judge_keys(record, use_case, chains),
        judge_access(record),
        _sourcing(record, use_case, seal),
        _risks(record, use_case, at, makers),
        _policy(record, use_case, seal),
        _first_bad([judge_countersigned(record, policy, start, seal) for _, start, _ in chains]),
        _first_bad([_sealed_before_training(record, start, seal, inputs_of(start)) for _, start, _ in chains]),
        judge_freshness(record, seal),
        judge_budget(record, seal, tried),
        _first_bad([_run(policy, start, end, inputs_of(start)) for end, start, _ in chains]),
        _first_bad([judge_transcript(record, policy, start, end) for end, start, _ in chains]),
        _first_bad([judge_data(record, policy, start, seal, at) for _, start, _ in chains]),
        _separation(record, policy, model, seal, trainers),
        _standing(record, model, inputs),
    ]
    waivers = judge_waivers(record, policy, model, use_case, at, criteria, makers)
    if waivers.ruling:
        rulings.append(waivers.ruling)
    for criterion in criteria:
        subjects = [model] if criterion.on == "model" else [sha256 for _, sha256 in inputs]
        ruling = judge_criterion(criterion, record, subjects, seal, finish.index, makers, tried.models)
        rulings.append(waivers.applied(ruling, record, model))
    rulings.append(_approvals(record, policy, model, seal, trainers))
    expiries = waivers.expiries + _risk_expiries(record, use_case) + source_expiries(record, inputs)
    days, now = whole(policy.get("go_days")), moment(at)
    if days is not None and now is not None:
        try:
            expiries.append((now + timedelta(days=days)).isoformat())
        except OverflowError:
            expiries.append(at)
    assurance = "solo" if policy.get("solo") else "separated"
    return Decision(
        model,
        use_case,
        seal.digest,
        record.size,
        record.root,
        at,
        assurance,
        tuple(rulings),
        min(expiries, key=end, default=""),
        account_of(record, model, chains, rulings, waivers.refused, tried),
    )


_Chain = tuple[Evidence, Evidence, Evidence]


def _chains(record: Record, model: str, use_case: str) -> list[_Chain] | Ruling:
    """Follow every run that ended in these bytes back to its seal; a ruling when one of them has a gap.

    A deterministic script gives the same bytes each time, so there may be several runs. All must have
    been started under one seal: bytes that were known before it were not made under it.
    """
    found: list[_Chain] = []
    for finish in record.about(model, kinds.TRAINING_FINISH):
        chain = _chain(record, finish, use_case)
        if isinstance(chain, Ruling):
            return chain
        found.append(chain)
    if not found:
        return Ruling("process.chain", UNKNOWN, "no training run on record ended in this model")
    if len({seal.digest for _, _, seal in found}) > 1:
        entries = tuple(finish.index for finish, _, _ in found)
        return Ruling("process.chain", NOT_MET, "the same bytes were made under another seal as well", entries)
    return found


def _first_bad(rulings: list[Ruling]) -> Ruling:
    """Return the first ruling that is not met, else the first."""
    return next((ruling for ruling in rulings if ruling.status is not MET), rulings[0])


def _chain(record: Record, finish: Evidence, use_case: str) -> _Chain | Ruling:
    """Follow one finish to its start and seal."""
    start = record.by_digest(kinds.start_of(finish.predicate))
    if start is None or start.kind != kinds.TRAINING_START or start.index >= finish.index:
        return Ruling("process.chain", NOT_MET, "the finish statement names no earlier start", (finish.index,))
    if start.person != finish.person:
        return Ruling(
            "process.chain", NOT_MET, "start and finish were signed by different persons", (start.index, finish.index)
        )
    seal = record.by_digest(str(start.predicate["seal"]))
    if seal is None or seal.kind != kinds.SEAL:
        return Ruling(
            "process.sealed_before_training",
            NOT_MET,
            f"the run in entry {start.index} was started without sealed criteria; no later seal can mend that",
            (start.index,),
        )
    if not use_case == start.predicate["use_case"] == seal.predicate["use_case"]:
        return Ruling(
            "process.chain", NOT_MET, "model, run and seal belong to different use cases", (seal.index, start.index)
        )
    return finish, start, seal


def _time_of(record: Record, at: str) -> Ruling:
    """Refuse a decision that is dated before evidence it covers: it could step over an expiry.

    What is void dates nothing: else one entry far ahead would close the gate for ever, its key revoked or not.
    """
    now = moment(at)
    dated = (entry for entry in record if entry.at and entry.index not in record.void)
    newest = max(dated, key=lambda entry: end(entry.at), default=None)
    if now is None or newest is None or end(newest.at) > now:
        entries = (newest.index,) if newest else ()
        reason = "the decision is dated before evidence that it covers"
        if newest and now is not None:
            reason += f": entry {newest.index} is dated {newest.at[:40]}; decide again after that moment"
        return Ruling("process.time", UNKNOWN, reason, entries)
    return Ruling("process.time", MET, "the decision is dated after all it covers")


def _policy(record: Record, use_case: str, seal: Evidence) -> Ruling:
    """Hold the sealed policy against the one the owner signed when the use case was opened."""
    rule = "process.policy"
    opened = [e for e in record.about(use_case_subject(use_case).sha256, kinds.USE_CASE) if e.index < seal.index]
    if not opened:
        return Ruling(rule, UNKNOWN, "the use case was not opened before the criteria were sealed", (seal.index,))
    entries = (opened[-1].index, seal.index)
    asked = opened[-1].predicate["policy"]
    if seal.predicate["policy"] != asked or seal.predicate["criteria"].get("tier") != opened[-1].predicate["tier"]:
        return Ruling(rule, NOT_MET, "the seal carries another policy than the owner's", entries)
    written = seal.predicate["criteria"].get("criterion")
    if not isinstance(written, list) or any(item not in written for item in listed(asked, "baseline")):
        return Ruling(rule, NOT_MET, "the seal leaves out criteria that the owner's policy demands", entries)
    held_out = record.by_digest(str(seal.predicate["held_out"].get("record")))
    if held_out is None or held_out.kind != kinds.DATASET or held_out.index > seal.index:
        return Ruling(rule, UNKNOWN, "the seal names no earlier record of its held-out set", entries)
    if held_out.subject.sha256 != seal.predicate["held_out"].get("sha256"):
        return Ruling(rule, NOT_MET, "the seal names the record of another held-out set", entries)
    return Ruling(rule, MET, f"the owner's policy of entry {opened[-1].index} is sealed", entries)


def _sourcing(record: Record, use_case: str, seal: Evidence) -> Ruling:
    found = [e for e in record.about(use_case_subject(use_case).sha256, kinds.SOURCING) if e.index < seal.index]
    if not found:
        return Ruling(
            "process.sourcing", UNKNOWN, "no decision to build, buy or adopt was made before the criteria were sealed"
        )
    return Ruling("process.sourcing", MET, f"{found[-1].predicate['chosen']} was chosen", (found[-1].index,))


def _latest_risks(record: Record, use_case: str) -> dict[str, Evidence]:
    latest: dict[str, Evidence] = {}
    for entry in record.about(use_case_subject(use_case).sha256, kinds.RISK):
        latest[str(entry.predicate["risk"])] = entry
    return latest


def _answered(record: Record, entry: Evidence) -> str:
    """Return the status a risk has by its newest word; an answer by a compromised key is none."""
    status = str(entry.predicate["status"])
    return "open again" if entry.index in record.void and status in ("treated", "accepted") else status


def _risks(record: Record, use_case: str, at: str, makers: set[str]) -> Ruling:
    latest = _latest_risks(record, use_case)
    if not latest:
        return Ruling("process.risks", UNKNOWN, "no risk was ever opened: the sourcing decision opens them")
    entries = tuple(sorted(entry.index for entry in latest.values()))
    for risk, entry in sorted(latest.items()):
        status = _answered(record, entry)
        if status == "accepted":
            expires = entry.predicate["expires"]
            if entry.person in makers:
                return Ruling(
                    "process.risks", NOT_MET, f"risk {risk} was accepted by {entry.person}, who made the model", entries
                )
            if not expires or expired(str(expires), at):
                return Ruling("process.risks", NOT_MET, f"the acceptance of risk {risk} has expired", entries)
        elif status != "treated":
            why = "answered with a key that was compromised" if status == "open again" else entry.predicate["title"]
            return Ruling("process.risks", NOT_MET, f"risk {risk} is {status}: {why}", entries)
    return Ruling("process.risks", MET, f"{len(latest)} risks are treated or accepted", entries)


def _risk_expiries(record: Record, use_case: str) -> list[str]:
    accepted = [e for e in _latest_risks(record, use_case).values() if e.predicate["status"] == "accepted"]
    return [str(entry.predicate["expires"]) for entry in accepted]


def _sealed_before_training(record: Record, start: Evidence, seal: Evidence, inputs: list[tuple[str, str]]) -> Ruling:
    rule = "process.sealed_before_training"
    entries = (seal.index, start.index)
    checkpoint = start.predicate["checkpoint"]
    size, root = whole(checkpoint.get("size")), checkpoint.get("root")
    if size is None or not seal.index < size <= start.index:
        return Ruling(rule, NOT_MET, "the run's checkpoint does not lie between the seal and the start", entries)
    if not isinstance(root, str) or record.roots.get(size) != root:
        return Ruling(rule, NOT_MET, "the run's checkpoint is not one of this ledger", entries)
    if start.predicate["seed"] != derive_seed(str(root), seal.digest, inputs):
        return Ruling(rule, NOT_MET, "the run's seed does not follow from its checkpoint and seal", entries)
    if lacking := unwitnessed(record, start, seal):
        return Ruling(rule, UNKNOWN, lacking, entries)
    return Ruling(rule, MET, f"sealed in entry {seal.index}, started in entry {start.index}", entries)


def _run(policy: Mapping[str, Any], start: Evidence, finish: Evidence, inputs: list[tuple[str, str]]) -> Ruling:
    entries = (start.index, finish.index)
    if trouble := kinds.compromised(finish.predicate):
        return Ruling("process.run", NOT_MET, f"the run was compromised: {trouble[0]}", entries)
    if kinds.finished_inputs(finish.predicate) != inputs:
        return Ruling("process.run", NOT_MET, "the finish statement names other data than the start statement", entries)
    kind = start.predicate["isolation"].get("kind")
    if policy.get("isolation") and kind != "bubblewrap":
        return Ruling(
            "process.run", NOT_MET, f"the policy asks for an isolated run; this one had isolation: {kind}", entries
        )
    missing = [name for name in ("code", "environment") if not start.predicate[name]]
    if missing:
        return Ruling("process.run", UNKNOWN, f"the run's manifest lacks {' and '.join(missing)}", entries)
    return Ruling("process.run", MET, f"one run, isolation: {kind}", entries)


def _separation(record: Record, policy: Mapping[str, Any], model: str, seal: Evidence, trainers: set[str]) -> Ruling:
    results = [e for e in record.about(model, kinds.CHECK_RESULT) if e.predicate["stage"] != "runtime"]
    validators = {entry.person for entry in results}
    entries = tuple(sorted({seal.index, *(entry.index for entry in results[:1])}))
    if policy.get("solo"):
        return Ruling(
            "process.separation", MET, "solo: one person may play every part, and every report says so", entries
        )
    if seal.person in trainers:
        return Ruling("process.separation", NOT_MET, f"{seal.person} wrote the criteria and trained the model", entries)
    if both := sorted(validators & (trainers | {seal.person})):
        return Ruling("process.separation", NOT_MET, f"{both[0]} validated a model of their own", entries)
    return Ruling("process.separation", MET, "author, trainer and validator are different persons", entries)


def _standing(record: Record, model: str, inputs: list[tuple[str, str]]) -> Ruling:
    retired = record.about(model, kinds.RETIREMENT)
    if retired:
        return Ruling("process.standing", NOT_MET, "the model is retired", (retired[0].index,))
    latest: dict[tuple[str, str], Evidence] = {}
    for subject in (model, *(sha256 for _, sha256 in inputs)):
        for entry in record.about(subject, kinds.INCIDENT):
            if entry.index in record.void and kinds.closes(entry.predicate, entry.roles):
                continue
            latest[str(entry.predicate["incident"]), subject] = entry
    for (incident, _), entry in sorted(latest.items()):
        if not kinds.closes(entry.predicate, entry.roles):
            return Ruling(
                "process.standing", NOT_MET, f"incident {incident} ({entry.predicate['type']}) is open", (entry.index,)
            )
    return Ruling("process.standing", MET, "no open incident, not retired", tuple(e.index for e in latest.values()))


def _approvals(record: Record, policy: Mapping[str, Any], model: str, seal: Evidence, trainers: set[str]) -> Ruling:
    needed = whole(policy.get("approvals"))
    if needed is None or needed < 1:
        return Ruling(
            "process.approvals", UNKNOWN, "the sealed policy does not say how many approvals are needed", (seal.index,)
        )
    results = record.about(model, kinds.CHECK_RESULT)
    validators = {e.person for e in results if e.predicate["stage"] != "runtime"}
    last = max((e.index for e in results if e.predicate["stage"] != "runtime"), default=-1)
    approvals = [
        e
        for e in record.about(model, kinds.APPROVAL)
        if e.predicate["use_case"] == seal.predicate["use_case"]
        and not (e.index in record.void and e.predicate["verdict"] == "approve")
    ]
    latest = {entry.person: entry for entry in approvals}
    for person, entry in sorted(latest.items()):
        if entry.predicate["verdict"] != "approve":
            return Ruling(
                "process.approvals",
                NOT_MET,
                f"{person} rejected the model: {entry.predicate['reason']}",
                (entry.index,),
            )
    barred = set() if policy.get("solo") else trainers | validators | {seal.person}
    counted = [
        entry
        for person, entry in sorted(latest.items())
        if person not in barred and entry.index > last >= 0 and entry.roles & {"approver", "compliance_officer"}
    ]
    entries = tuple(sorted(entry.index for entry in counted))
    if len(counted) < needed:
        return Ruling(
            "process.approvals",
            UNKNOWN,
            f"pending: {len(counted)} of {needed} approvals by uninvolved persons",
            entries,
        )
    reason = f"{len(counted)} persons approved after the last result"
    rejected = [e for e in record.about(model, kinds.APPROVAL) if e.predicate["verdict"] != "approve"]
    for entry in rejected:
        reason += f"; {entry.person} had rejected it in entry {entry.index}: {entry.predicate['reason']}"
    return Ruling("process.approvals", MET, reason, entries)
