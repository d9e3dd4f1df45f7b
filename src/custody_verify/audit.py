"""Steps 6 to 8: recompute every decision, follow every admission, and say how each model stands.

A decision that the record does not give, or an admission that no GO gives, is a forgery by somebody with
real keys: `Refused`. What merely deserves a reader's attention becomes a note.
"""

from datetime import datetime
from typing import NamedTuple

from custody_verify import vocabulary as say
from custody_verify.criteria import INCONCLUSIVE, NOT_MET, UNKNOWN, WAIVED, Ruling
from custody_verify.ledger import Entry, History, Past, Person
from custody_verify.rules import Judgement, decide, incidents_of, is_open
from custody_verify.strict import Refused

_AGAINST = (NOT_MET, UNKNOWN, INCONCLUSIVE)


class Model(NamedTuple):
    """One model: what its newest decision says, and what stands against it at the asked moment."""

    decision: Entry
    judgement: Judgement
    standing: list[str]


class Audit(NamedTuple):
    """Everything that was confirmed; the model that was decided last comes last."""

    decisions: list[tuple[Entry, Judgement]]
    models: dict[str, Model]
    notes: list[str]


def audit(history: History, people: list[Person], at: str) -> Audit:
    """Check all that follows from the entries; raises `Refused` at the first thing that does not."""
    decisions: dict[str, tuple[Entry, Judgement]] = {}
    for entry in history.entries:
        try:
            if entry.kind == say.DECISION:
                decisions.setdefault(entry.digest, (entry, _recompute(history, entry)))
            elif entry.kind == say.ADMISSION:
                _follow_admission(entry, decisions)
            elif entry.kind == say.DEPLOYMENT:
                _follow_deployment(Past(history, entry.index), entry)
        except Refused as error:
            raise Refused(f"the {say.short(entry.kind)} in entry {entry.index} {error}") from None
    past = Past(history, len(history.entries))
    models: dict[str, Model] = {}
    for entry, judgement in decisions.values():
        models.pop(entry.about, None)
        models[entry.about] = Model(entry, judgement, _standing(past, entry, judgement, at))
    return Audit(list(decisions.values()), models, _notes(past, people, models))


def _recompute(history: History, entry: Entry) -> Judgement:
    """(6) The same record must give the same verdict, rulings and outcome."""
    said = entry.said
    if not 0 < said["size"] <= entry.index:
        raise Refused("does not say what it was based on")
    judgement = decide(Past(history, said["size"]), entry.about, said["use_case"], said["at"])
    if said["verdict"] != judgement.verdict:
        reasons = "; ".join(f"{ruling.id}: {ruling.reason}" for ruling in _against(judgement)[:3]) or "all is met"
        raise Refused(f"says {said['verdict'][:20]}; the record gives {judgement.verdict} ({reasons})")
    rulings = [r if isinstance(r, dict) else {} for r in said["rulings"]]
    recorded = [[r.get("id"), r.get("status"), r.get("entries")] for r in rulings]
    if recorded != [[ruling.id, ruling.status, list(ruling.entries)] for ruling in judgement.rulings]:
        raise Refused("has other rulings than the record gives")
    for name in ("seal", "root", "assurance", "expires", "outcome"):
        if said.get(name) != getattr(judgement, name):
            given = getattr(judgement, name)
            raise Refused(f"has the {name} {str(said.get(name))[:70]!r}; the record gives {given!r}")
    if judgement.verdict == "GO" and said["size"] < entry.index:
        later = decide(Past(history, entry.index), entry.about, said["use_case"], said["at"]).verdict
        if later != "GO":
            raise Refused(f"left out entries {said['size']} to {entry.index - 1}; with them the record gives {later}")
    return judgement


def _against(judgement: Judgement) -> list[Ruling]:
    found = [ruling for ruling in judgement.rulings if ruling.status in _AGAINST]
    return sorted(found, key=lambda ruling: _AGAINST.index(ruling.status))


def _follow_admission(entry: Entry, decisions: dict[str, tuple[Entry, Judgement]]) -> None:
    """(6) Only GO admits: this model, for this use case, no longer than decided, and never solo to production."""
    said = entry.said
    decision, judgement = decisions.get(said["decision"], (None, None))
    if decision is None or judgement is None or (decision.about, decision.name) != (entry.about, entry.name):
        raise Refused("names no earlier decision about this model")
    if judgement.verdict != "GO":
        raise Refused(f"follows a decision that is {judgement.verdict}, in entry {decision.index}")
    if said["use_case"] != decision.said["use_case"] or said["expires"] != judgement.expires:
        raise Refused(f"says another use case or end than the decision in entry {decision.index}")
    if judgement.assurance == "solo" and said["environment"] == "production":
        raise Refused("is to production, after a decision that one person made alone")


def _follow_deployment(before: Past, entry: Entry) -> None:
    """(6) What was deployed had been admitted there."""
    admission = before.find(entry.said["admission"], say.ADMISSION)
    place = entry.said["environment"]
    if admission is None or admission.about != entry.about or admission.said["environment"] != place:
        raise Refused("names no earlier admission of this model to this environment")


def _standing(past: Past, decision: Entry, judgement: Judgement, at: str) -> list[str]:
    """(7) What stands against the model at the moment `at`, on the whole record."""
    found = []
    if judgement.verdict == "GO":
        if judgement.expires and datetime.fromisoformat(judgement.expires) <= datetime.fromisoformat(at):
            found.append(f"the decision expired at {judgement.expires}")
        today = decide(past, decision.about, decision.said["use_case"], at)
        found += [f"today {ruling.id} is {ruling.status}: {ruling.reason}" for ruling in _against(today)]
    retired = past.about(decision.about, say.RETIREMENT)
    found += [f"retired in entry {entry.index}" for entry in retired[:1]]
    for (name, _), entry in sorted(incidents_of(past, [decision.about]).items()):
        if is_open(entry):
            found.append(f"incident {name} ({entry.said['type']}) is open, entry {entry.index}")
    return found


def _notes(past: Past, people: list[Person], models: dict[str, Model]) -> list[str]:
    """(8) What a reader should know although it breaks no rule."""
    notes: list[str] = []
    solo = any(entry.said["solo"] for entry in past.of_kind(say.USE_CASE))
    for sha256, model in models.items():
        name, judgement = sha256[:12], model.judgement
        found = [ruling for ruling in judgement.rulings if ruling.status in (WAIVED, UNKNOWN)]
        notes += [f"{name}: {ruling.id} is {ruling.status}: {ruling.reason}" for ruling in found]
        if judgement.assurance == "solo":
            notes.append(f"{name}: solo: one person could play every part")
        seal = past.find(judgement.seal, say.SEAL)
        if seal is None:
            continue
        policy = seal.said["policy"]
        asked = [
            f"{key} {str(policy.get(key))[:80]}"
            for key in ("approvals", "isolation", "trust", "never_waive", "max_waivers")
        ]
        notes.append(f"{name}: sealed policy: {', '.join(asked)}")
        if policy.get("solo") and not solo:
            notes.append(f"{name}: the sealed policy says solo; the owner did not open the use case as solo")
        for start in past.of_kind(say.START):
            isolation = start.said["isolation"].get("kind")
            if start.said["seal"] == seal.digest and isolation != "bubblewrap":
                notes.append(f"{name}: the run in entry {start.index} had isolation: {isolation}")
    names: dict[str, list[str]] = {}
    for person in people:
        names.setdefault(person.person, []).append(person.name)
    notes += [f"{who} acts under {len(them)} names: {', '.join(them)}" for who, them in names.items() if them[1:]]
    denials = past.of_kind(say.DENIAL)
    return notes + [f"{len(denials)} refused actions are on record, the last in entry {e.index}" for e in denials[-1:]]
