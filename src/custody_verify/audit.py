"""Steps 6 to 8: recompute every decision, follow every admission, and say how each model stands.

A decision that the record does not give, or an admission that no GO gives, is a forgery by somebody with
real keys: `Refused`. What merely deserves a reader's attention becomes a note.
"""

from datetime import datetime
from typing import NamedTuple

from custody_verify import vocabulary as say
from custody_verify.criteria import INCONCLUSIVE, NOT_MET, UNKNOWN, WAIVED, Ruling
from custody_verify.ledger import Entry, History, Past, Person
from custody_verify.rules import Judgement, decide, read_time
from custody_verify.strict import Refused, canonical

_AGAINST = (NOT_MET, UNKNOWN, INCONCLUSIVE)


class Model(NamedTuple):
    """One model: what its newest decision says, and what stands against it at the asked moment."""

    decision: Entry
    judgement: Judgement
    standing: list[str]


def audit(history: History, people: list[Person], at: str) -> tuple[list[Judgement], list[Model], list[str]]:
    """Return every decision, every model (the one decided last comes last), and notes; raises `Refused`."""
    decisions: dict[str, tuple[Entry, Judgement]] = {}
    for entry in history.entries:
        try:
            if entry.kind == say.DECISION:
                decisions[entry.digest] = entry, _recompute(history, entry, at)
            elif entry.kind == say.ADMISSION:
                _follow_admission(entry, decisions)
            elif entry.kind == say.DEPLOYMENT:
                admission = Past(history, entry.index).find(entry.said["admission"], say.ADMISSION)
                place = (entry.about, entry.said["environment"])
                if admission is None or (admission.about, admission.said["environment"]) != place:
                    raise Refused("names no earlier admission of this model to this environment")
        except Refused as error:
            raise Refused(f"the {say.short(entry.kind)} in entry {entry.index} {error}") from None
    past = Past(history, len(history.entries))
    models: dict[str, Model] = {}
    for entry, judgement in decisions.values():
        models.pop(entry.about, None)
        models[entry.about] = Model(entry, judgement, _standing(past, entry, judgement, at))
    notes = _notes(past, people, models)
    return [judgement for _, judgement in decisions.values()], list(models.values()), notes


def _recompute(history: History, entry: Entry, at: str) -> Judgement:
    """(6) The same record must give the same verdict, rulings and outcome."""
    said, made = entry.said, read_time(entry.said["at"])
    if said["size"] != entry.index:
        raise Refused("was not made from all that was on record before it")
    if made and made > datetime.fromisoformat(at):
        raise Refused(f"is dated {said['at'][:40]}, later than {at}")
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


def _standing(past: Past, decision: Entry, judgement: Judgement, at: str) -> list[str]:
    """(7) What stands against the model at the moment `at`, on the whole record."""
    found, end = [], read_time(judgement.expires)
    if judgement.verdict == "GO" and end and end <= datetime.fromisoformat(at):
        found.append(f"the decision expired at {judgement.expires}")
    today = _against(decide(past, decision.about, decision.said["use_case"], at))
    asked = [ruling for ruling in today if judgement.verdict == "GO" or ruling.id == "process.standing"]
    return found + [f"{ruling.reason} ({ruling.id} is {ruling.status})" for ruling in asked]


def _notes(past: Past, people: list[Person], models: dict[str, Model]) -> list[str]:
    """(8) What a reader should know although it breaks no rule."""
    notes: list[str] = []
    for sha256, model in models.items():
        name, judgement = sha256[:12], model.judgement
        found = [ruling for ruling in judgement.rulings if ruling.status in (WAIVED, UNKNOWN)]
        notes += [f"{name}: {ruling.id} is {ruling.status}: {ruling.reason}" for ruling in found]
        seal = past.find(judgement.seal, say.SEAL)
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
    denials = past.of_kind(say.DENIAL)
    return notes + [f"{len(denials)} refused actions are on record, the last in entry {e.index}" for e in denials[-1:]]
