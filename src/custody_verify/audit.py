"""Steps 6 to 8: recompute every decision, follow every admission, and say how each model stands.

A decision that the record does not give, or an admission that no GO gives, is a forgery by somebody with
real keys: `Refused`. What merely deserves a reader's attention becomes a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from custody_verify import vocabulary as say
from custody_verify.ledger import Entry, History, Past, Person
from custody_verify.rules import Judgement, decide, incidents_of
from custody_verify.strict import Refused


@dataclass
class Model:
    """One model that was decided on, as its newest decision left it and as it stands at the asked moment."""

    sha256: str
    use_case: str
    judgement: Judgement
    decided_in: int
    standing: list[str] = field(default_factory=list)


@dataclass
class Audit:
    """Everything that was confirmed."""

    decisions: list[tuple[Entry, Judgement]]
    models: dict[str, Model]
    assurance: list[str]


def audit(history: History, people: list[Person], at: str) -> Audit:
    """Check all that follows from the entries; raises `Refused` at the first thing that does not."""
    decisions: list[tuple[Entry, Judgement]] = []
    confirmed: dict[str, Judgement] = {}
    for entry in history.entries:
        try:
            if entry.kind == say.DECISION:
                judgement = _recompute(history, entry)
                confirmed.setdefault(entry.digest, judgement)
                decisions.append((entry, judgement))
            elif entry.kind == say.ADMISSION:
                _follow_admission(Past(history, entry.index), entry, confirmed)
            elif entry.kind == say.DEPLOYMENT:
                _follow_deployment(Past(history, entry.index), entry)
        except Refused as error:
            raise Refused(f"the {say.short(entry.kind)} in entry {entry.index} {error}") from None
    models: dict[str, Model] = {}
    for entry, judgement in decisions:  # (7) the newest decision of each model counts; the newest model is last
        models.pop(entry.about, None)
        models[entry.about] = Model(entry.about, str(entry.said["use_case"]), judgement, entry.index)
    whole = Past(history, len(history.entries))
    for model in models.values():
        model.standing = _standing(whole, model, at)
    return Audit(decisions, models, _assurance(whole, people, models))


def _recompute(history: History, entry: Entry) -> Judgement:
    """(6) The same record must give the same rulings, verdict and outcome."""
    said = entry.said
    if not 0 < said["size"] <= entry.index:
        raise Refused("does not say what it was based on")
    past = Past(history, said["size"])
    judgement = decide(past, entry.about, said["use_case"], entry.at)
    recorded = [
        (item.get("id"), item.get("status"), item.get("entries")) if isinstance(item, dict) else None
        for item in said["rulings"]
    ]
    given = [(ruling.id, ruling.status, list(ruling.entries)) for ruling in judgement.rulings]
    if said["verdict"] != judgement.verdict:
        reasons = "; ".join(f"{r.id}: {r.reason}" for r in _against(judgement)[:3])
        raise Refused(f"says {said['verdict'][:20]}; the record gives {judgement.verdict} ({reasons or 'all met'})")
    if recorded != given:
        differing = [str(a[0]) for a, b in zip(given, recorded, strict=False) if a != b]
        raise Refused(f"has other rulings than the record gives, first {differing[:1] or ['their number']}")
    for name, value in (
        ("seal", judgement.seal),
        ("root", judgement.root),
        ("assurance", judgement.assurance),
        ("expires", judgement.expires),
        ("outcome", judgement.outcome),
    ):
        if said.get(name) != value:
            raise Refused(f"has the {name} {str(said.get(name))[:70]!r}; the record gives {value!r}")
    if judgement.verdict == "GO" and said["size"] < entry.index:
        later = decide(Past(history, entry.index), entry.about, said["use_case"], entry.at)
        if later.verdict != "GO":
            raise Refused(
                f"left out entries {said['size']} to {entry.index - 1}, with which the record gives {later.verdict}"
            )
    return judgement


def _against(judgement: Judgement) -> list[Any]:
    order = ["not_met", "unknown", "inconclusive"]
    found = [ruling for ruling in judgement.rulings if ruling.status in order]
    return sorted(found, key=lambda ruling: order.index(ruling.status))


def _follow_admission(past: Past, entry: Entry, confirmed: dict[str, Judgement]) -> None:
    """(6) Only GO admits, this model, this use case, for as long as the decision says, and solo not to production."""
    said = entry.said
    decision = past.find(said["decision"], say.DECISION)
    if decision is None or (decision.about, decision.name) != (entry.about, entry.name):
        raise Refused("names no earlier decision about this model")
    judgement = confirmed[decision.digest]
    if judgement.verdict != "GO":
        raise Refused(f"follows a decision that is {judgement.verdict}, in entry {decision.index}")
    if said["use_case"] != decision.said["use_case"] or said["expires"] != judgement.expires:
        raise Refused(f"says another use case or end than the decision in entry {decision.index}")
    if judgement.assurance == "solo" and said["environment"] == "production":
        raise Refused("is to production, after a decision that one person made alone")


def _follow_deployment(past: Past, entry: Entry) -> None:
    """(6) What was deployed had been admitted there."""
    said = entry.said
    admission = past.find(said["admission"], say.ADMISSION)
    if admission is None or admission.about != entry.about or admission.said["environment"] != said["environment"]:
        raise Refused("names no earlier admission of this model to this environment")


def _standing(past: Past, model: Model, at: str) -> list[str]:
    """(7) How the model stands at the moment asked about; an empty list means nothing stands against it."""
    found = []
    moment, end = datetime.fromisoformat(at), model.judgement.expires
    if model.judgement.verdict == "GO" and end and datetime.fromisoformat(end) <= moment:
        found.append(f"the decision expired at {end}")
    if retired := past.about(model.sha256, say.RETIREMENT):
        found.append(f"retired in entry {retired[0].index}")
    subjects = [model.sha256]
    for finish in past.about(model.sha256, say.FINISH):
        definition = finish.said["buildDefinition"].get("resolvedDependencies")
        for item in definition if isinstance(definition, list) else []:
            digest = item.get("digest") if isinstance(item, dict) else None
            if isinstance(digest, dict):
                subjects.append(str(digest.get("sha256")))
    for name, entry in sorted(incidents_of(past, subjects).items()):
        if entry.said["status"] != "closed":
            found.append(f"incident {name} ({entry.said['type']}) is open, entry {entry.index}")
    if model.judgement.verdict == "GO":
        now = decide(past, model.sha256, model.use_case, at)
        found += [f"today {r.id} is {r.status}: {r.reason}" for r in _against(now) if r.id != "process.standing"]
    return found


def _assurance(past: Past, people: list[Person], models: dict[str, Model]) -> list[str]:
    """(8) What a reader should know although it breaks no rule."""
    notes: list[str] = []
    opened = past.of_kind(say.USE_CASE)
    for model in models.values():
        name = model.sha256[:12]
        rulings = model.judgement.rulings
        notes += [f"{name}: {r.id} was waived: {r.reason}" for r in rulings if r.status == "waived"]
        notes += [f"{name}: {r.id} is unknown: {r.reason}" for r in rulings if r.status == "unknown"]
        if model.judgement.assurance == "solo":
            notes.append(f"{name}: solo, one person could play every part")
            if not any(entry.said["solo"] for entry in opened):
                notes.append(f"{name}: the sealed policy says solo, but the owner did not open the use case as solo")
        seal = past.find(model.judgement.seal, say.SEAL)
        if seal:
            policy = seal.said["policy"]
            notes.append(
                f"{name}: sealed policy: {policy.get('approvals')} approvals, isolation {policy.get('isolation')}, "
                f"data {policy.get('trust')}, never waived {policy.get('never_waive', [])}"
            )
            for start in past.of_kind(say.START):
                if start.said["seal"] == seal.digest and start.said["isolation"].get("kind") != "bubblewrap":
                    kind = start.said["isolation"].get("kind")
                    notes.append(f"{name}: the run in entry {start.index} had isolation: {kind}")
    by_person: dict[str, list[str]] = {}
    for person in people:
        by_person.setdefault(person.person, []).append(person.name)
    notes += [
        f"{who} acts under {len(names)} names: {', '.join(names)}" for who, names in by_person.items() if names[1:]
    ]
    denials = past.of_kind(say.DENIAL)
    if denials:
        notes.append(f"{len(denials)} refused actions are on record, the last in entry {denials[-1].index}")
    return notes
