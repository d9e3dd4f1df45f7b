"""Steps 5 to 7: recompute every decision, follow every summary and admission, say how each model and the log stand.

A decision that the record does not give, or an admission that no GO gives, is a forgery by somebody with
real keys: `Refused`. What merely deserves a reader's attention becomes a note.
"""

from collections import namedtuple
from datetime import UTC, datetime, timedelta

from custody_verify.criteria import INCONCLUSIVE, NOT_MET, UNKNOWN, WAIVED, Ruling
from custody_verify.ledger import History, Past
from custody_verify.roster import Entry, Root, Roster
from custody_verify.rules import Judgement, decide, topic
from custody_verify.strict import Refused, canonical, expired, moment, read_time, require

_AGAINST = (NOT_MET, UNKNOWN, INCONCLUSIVE)
FRESH, AHEAD = timedelta(days=7), timedelta(minutes=5)
"""How old a witness's word may be and still say something of today; how far its clock may run before ours."""
Model = namedtuple("Model", "decision judgement standing")
"""One model: its newest decision, what it says, and what stands against it at the asked moment."""
Decisions = dict[str, tuple[Entry, Judgement]]
def audit(history: History, roster: Roster, at: str) -> tuple[list[Judgement], list[Model], list[str]]:
    """Return every decision, every model (the one decided last comes last), and notes; raises `Refused`."""
    decisions: Decisions = {}
    for entry in history.entries:
        try:
            if entry.kind == "gate-decision":
                decisions[entry.digest] = entry, _recompute(history, entry, at)
            elif entry.kind == "verification-summary":
                _compare_summary(history, entry, decisions)
            elif entry.kind == "admission":
                _follow_admission(entry, decisions)
            elif entry.kind == "deployment":
                admission = Past(history, entry.index).find(entry.said["admission"], "admission")
                place = (entry.about, entry.said["environment"])
                fits = admission and (admission.about, admission.said["environment"]) == place
                require(fits, "names no earlier admission of this model to this environment")
        except Refused as error:
            raise Refused(f"the {entry.kind} in entry {entry.index} {error}") from None
    past = Past(history, len(history.entries))
    models: dict[str, Model] = {}
    for entry, judgement in decisions.values():
        models.pop(entry.about, None)
        models[entry.about] = Model(entry, judgement, _standing(past, entry, judgement, at))
    judged = [judgement for _, judgement in decisions.values()]
    return judged, list(models.values()), _notes(past, roster, models)
def _recompute(history: History, entry: Entry, at: str) -> Judgement:
    """(5) The same record must give the same verdict, rulings and outcome."""
    said = entry.said
    require(said["size"] == entry.index, "was not made from all that was on record before it")
    require(moment(said["at"]) <= moment(at), f"is dated {said['at'][:40]}, later than {at}")
    judgement = decide(Past(history, said["size"]), entry.about, said["use_case"], said["at"])
    reasons = "; ".join(f"{ruling.id}: {ruling.reason}" for ruling in _against(judgement)[:3]) or "all is met"
    typed = f"says {said['verdict'][:20]}; the record gives {judgement.verdict} ({reasons})"
    require(said["verdict"] == judgement.verdict, typed)
    rulings = [r if isinstance(r, dict) else {} for r in said["rulings"]]
    recorded = [[r.get("id"), r.get("status"), r.get("entries")] for r in rulings]
    same = recorded == [[ruling.id, ruling.status, list(ruling.entries)] for ruling in judgement.rulings]
    require(same, "has other rulings than the record gives")
    for name in ("seal", "root", "assurance", "expires", "outcome"):
        given, written = getattr(judgement, name), said.get(name)
        require(written == given, f"has the {name} {str(written)[:70]!r}; the record gives {given!r}")
    return judgement
def _against(judgement: Judgement) -> list[Ruling]:
    found = [ruling for ruling in judgement.rulings if ruling.status in _AGAINST]
    return sorted(found, key=lambda ruling: _AGAINST.index(ruling.status))
def _compare_summary(history: History, entry: Entry, decisions: Decisions) -> None:
    """(5) A summary in SLSA's words says what the newest decision about its model says, and nothing else."""
    about = [(one, judgement) for one, judgement in decisions.values() if one.about == entry.about]
    require(about, "sums up no earlier decision about this model")
    decision, judged = about[-1]
    case, attested = decision.said["use_case"], [("decision", decision.digest), ("outcome", judged.outcome)]
    opened = Past(history, decision.index).about(topic(case), "use-case")
    tier = opened[-1].said["tier"] if opened else "none"
    expected = [
        ("verifier", {"id": "custody"}), ("timeVerified", judged.at), ("resourceUri", f"custody:{case}@{entry.about}"),
        ("policy", {"uri": f"custody:{case}/criteria", "digest": {"sha256": judged.seal}}),
        ("inputAttestations", [{"uri": f"custody:{name}", "digest": {"sha256": of}} for name, of in attested]),
        ("verificationResult", "PASSED" if judged.verdict == "GO" else "FAILED"),
        ("verifiedLevels", [f"CUSTODY_GATE_{tier.upper()}", f"CUSTODY_{judged.assurance.upper()}"]),
    ]
    for name, value in expected:
        require(entry.said[name] == value, f"says another {name} than the decision in entry {decision.index}")
def _follow_admission(entry: Entry, decisions: Decisions) -> None:
    """(5) Only GO admits: this model, for this use case, no longer than decided, and never solo to production."""
    said, (decision, judgement) = entry.said, decisions.get(entry.said["decision"], (None, None))
    if decision is None or judgement is None or (decision.about, decision.name) != (entry.about, entry.name):
        raise Refused("names no earlier decision about this model")
    verdict = f"follows a decision that is {judgement.verdict}, in entry {decision.index}"
    require(judgement.verdict == "GO", verdict)
    same = said["use_case"] == decision.said["use_case"] and said["expires"] == judgement.expires
    require(same, f"says another use case or end than the decision in entry {decision.index}")
    alone = judgement.assurance == "solo" and said["environment"] == "production"
    require(not alone, "is to production, after a decision that one person made alone")
def _standing(past: Past, decision: Entry, judgement: Judgement, at: str) -> list[str]:
    """(6) What stands against the model at the moment `at`, on the whole record."""
    over = judgement.verdict == "GO" and read_time(judgement.expires) and expired(judgement.expires, at)
    today = _against(decide(past, decision.about, decision.said["use_case"], at))
    asked = [ruling for ruling in today if judgement.verdict == "GO" or ruling.id == "process.standing"]
    found = [f"{ruling.reason} ({ruling.id} is {ruling.status})" for ruling in asked]
    return [f"the decision expired at {judgement.expires}"] * bool(over) + found
def freshness(history: History, root: Root, signed: dict[str, int], seen: int, now: datetime) -> tuple[str, str, bool]:
    """(6) Say whether anybody outside can tell that this is the whole history: state, sentence, enough witnesses.
    `signed` are the witnesses of the newest checkpoint, `seen` the entries that the reader saw before.
    """
    past, best, least = Past(history, len(history.entries)), None, max(1, root.quorum)
    anchors = [anchor for anchor in past.of_kind("anchor")[-8:] if anchor.index not in past.void]
    words = [(anchor.said["size"], history.cosigners(anchor, root.witnesses)) for anchor in anchors]
    for size, times in [*words, (past.size, signed)]:
        spoke = {name: time for name, time in times.items() if time <= (now + AHEAD).timestamp()}
        if len(spoke) >= least:  # as old as the oldest word that the quorum needs
            when = datetime.fromtimestamp(sorted(spoke.values(), reverse=True)[least - 1], UTC)
            best = max(best or (0, when, ""), (size, when, ", ".join(sorted(spoke))))
    told = f"witnessed by {best[2]} at {best[1].isoformat()} (size {best[0]})" if best else ""
    if root.expires and expired(root.expires, now.isoformat()):
        return "unproven", f"freshness unproven: the trust root ended at {root.expires}", best is not None
    if best and best[1] + FRESH > now: return "witnessed", told, True
    if seen: return "consistent", f"consistent with the {seen} entries seen before", True
    return "unproven", "freshness unproven" + (f": last {told}" if told else ""), best is not None
def _notes(past: Past, roster: Roster, models: dict[str, Model]) -> list[str]:
    """(7) What a reader should know although it breaks no rule."""
    notes: list[str] = []
    for sha256, (_, judgement, _standing) in models.items():
        name, seal = sha256[:12], past.find(judgement.seal, "criteria-seal")
        found = [ruling for ruling in judgement.rulings if ruling.status in (WAIVED, UNKNOWN)]
        notes += [f"{name}: {ruling.id} is {ruling.status}: {ruling.reason}" for ruling in found]
        notes += [f"{name}: {judgement.tried} models were tried on its held-out set"] * (judgement.tried > 1)
        policy = seal.said["policy"] if seal else {}
        wall = "isolation required" if policy.get("isolation") else "isolation not required"
        keys = ("approvals", "trust", "never_waive", "max_waivers")
        asked = [f"{key} {canonical(policy.get(key)).decode()[:80]}" for key in keys]
        notes += [f"{name}: sealed policy: {', '.join([wall, *asked])}"] * bool(seal)
    names: dict[str, list[str]] = {}
    for person in roster.people.values(): names.setdefault(person.person, []).append(person.name)
    notes += [f"{who} acts under {len(them)} names: {', '.join(them)}" for who, them in names.items() if them[1:]]
    void, denials = ", ".join(map(str, sorted(past.void))), past.of_kind("denial")
    notes += [f"signed with a compromised key, or on the word of one: entries {void}"] * bool(void)
    return notes + [f"{len(denials)} refused actions are on record, the last in entry {e.index}" for e in denials[-1:]]
