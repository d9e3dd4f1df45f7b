"""Steps 5 to 7: recompute every decision, follow every summary and admission, say how each model and the log stand.

A decision that the record does not give, or an admission that no GO gives, is a forgery by somebody with
real keys: `Refused`. What merely deserves a reader's attention becomes a note.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from custody_verify.criteria import INCONCLUSIVE, NOT_MET, UNKNOWN, WAIVED, Ruling
from custody_verify.ledger import History, Past
from custody_verify.roster import Entry, Person, Root, Roster
from custody_verify.rules import Judgement, decide, topic
from custody_verify.strict import Refused, canonical, expired, moment, read_time, require

_AGAINST = (NOT_MET, UNKNOWN, INCONCLUSIVE)
FRESH, AHEAD = timedelta(days=7), timedelta(minutes=5)
"""How old a witness's word may be and still say something of today; how far its clock may run before ours."""
Decisions = dict[str, tuple[Entry, Judgement]]


class Model(NamedTuple):
    """One model: what its newest decision says, and what stands against it at the asked moment."""

    decision: Entry
    judgement: Judgement
    standing: list[str]


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
    notes = _notes(past, list(roster.people.values()), models)
    return [judgement for _, judgement in decisions.values()], list(models.values()), notes


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
    decision, judgement = about[-1]
    use_case, result = decision.said["use_case"], "PASSED" if judgement.verdict == "GO" else "FAILED"
    opened = Past(history, decision.index).about(topic(use_case), "use-case")
    tier = opened[-1].said["tier"] if opened else "none"
    attested = [("decision", decision.digest), ("outcome", judgement.outcome)]
    expected = {
        "verifier": {"id": "custody"},
        "timeVerified": judgement.at,
        "resourceUri": f"custody:{use_case}@{entry.about}",
        "policy": {"uri": f"custody:{use_case}/criteria", "digest": {"sha256": judgement.seal}},
        "inputAttestations": [{"uri": f"custody:{name}", "digest": {"sha256": of}} for name, of in attested],
        "verificationResult": result,
        "verifiedLevels": [f"CUSTODY_GATE_{tier.upper()}", f"CUSTODY_{judgement.assurance.upper()}"],
    }
    for name, value in expected.items():
        require(entry.said[name] == value, f"says another {name} than the decision in entry {decision.index}")


def _follow_admission(entry: Entry, decisions: Decisions) -> None:
    """(5) Only GO admits: this model, for this use case, no longer than decided, and never solo to production."""
    said = entry.said
    decision, judgement = decisions.get(said["decision"], (None, None))
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
    found = []
    if judgement.verdict == "GO" and read_time(judgement.expires) and expired(judgement.expires, at):
        found.append(f"the decision expired at {judgement.expires}")
    today = _against(decide(past, decision.about, decision.said["use_case"], at))
    asked = [ruling for ruling in today if judgement.verdict == "GO" or ruling.id == "process.standing"]
    return found + [f"{ruling.reason} ({ruling.id} is {ruling.status})" for ruling in asked]


def freshness(history: History, root: Root, signed: dict[str, int], seen: int, at: str) -> tuple[str, str, bool]:
    """(6) Say whether anybody outside can tell that this is the whole history: state, sentence, enough witnesses.

    `signed` are the witnesses of the newest checkpoint, `seen` the entries that the reader saw before.
    """
    void = Past(history, len(history.entries)).void
    anchors = [anchor for anchor in history.kinds.get("anchor", [])[-8:] if anchor.index not in void]
    words = [(anchor.said["size"], history.cosigners(anchor, root.witnesses)) for anchor in anchors]
    best, least, now = None, max(1, root.quorum), moment(at)
    for size, times in [*words, (len(history.entries), signed)]:
        past = {name: time for name, time in times.items() if time <= (now + AHEAD).timestamp()}
        if len(past) >= least:  # as old as the oldest word that the quorum needs
            when = datetime.fromtimestamp(sorted(past.values(), reverse=True)[least - 1], UTC)
            best = max(best or (0, when, ""), (size, when, ", ".join(sorted(past))))
    told = f"witnessed by {best[2]} at {best[1].isoformat()} (size {best[0]})" if best else ""
    if root.expires and expired(root.expires, at):
        return "unproven", f"freshness unproven: the trust root ended at {root.expires}", best is not None
    if best and best[1] + FRESH > now:
        return "witnessed", told, True
    if seen:
        return "consistent", f"consistent with the {seen} entries seen before", True
    return "unproven", "freshness unproven" + (f": last {told}" if told else ""), best is not None


def _notes(past: Past, people: list[Person], models: dict[str, Model]) -> list[str]:
    """(7) What a reader should know although it breaks no rule."""
    notes: list[str] = []
    for sha256, model in models.items():
        name, judgement = sha256[:12], model.judgement
        found = [ruling for ruling in judgement.rulings if ruling.status in (WAIVED, UNKNOWN)]
        notes += [f"{name}: {ruling.id} is {ruling.status}: {ruling.reason}" for ruling in found]
        notes += [f"{name}: {judgement.tried} models were tried on its held-out set"] * (judgement.tried > 1)
        seal = past.find(judgement.seal, "criteria-seal")
        if seal is None:
            continue
        policy = seal.said["policy"]
        wall = "isolation required" if policy.get("isolation") else "isolation not required"
        keys = ("approvals", "trust", "never_waive", "max_waivers")
        asked = [f"{key} {canonical(policy.get(key)).decode()[:80]}" for key in keys]
        notes.append(f"{name}: sealed policy: {', '.join([wall, *asked])}")
    names: dict[str, list[str]] = {}
    for person in people:
        names.setdefault(person.person, []).append(person.name)
    notes += [f"{who} acts under {len(them)} names: {', '.join(them)}" for who, them in names.items() if them[1:]]
    void = ", ".join(map(str, sorted(past.void)))
    notes += [f"signed with a compromised key, or on the word of one: entries {void}"] if void else []
    denials = past.of_kind("denial")
    return notes + [f"{len(denials)} refused actions are on record, the last in entry {e.index}" for e in denials[-1:]]
