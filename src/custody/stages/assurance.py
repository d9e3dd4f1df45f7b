"""Assurance: one page that a stranger can check, with every claim and every gap, made from a verified bundle alone.

Nothing here reads the project: a bundle and a trust root go in, and `custody_verify`, the verifier that knows
nothing of Custody, has to confirm all of it first. So the page can say no more than its recipient can check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from custody.errors import InvalidInput, NotFound, Tampered

if TYPE_CHECKING:
    from custody_verify.audit import Model
    from custody_verify.ledger import History, Past, Trust
    from custody_verify.roster import Entry, Roster

FORMAT = "custody-assurance/1"


@dataclass(frozen=True)
class Claim:
    """Something that is said of the model, how sure it is, and the entries it rests on."""

    id: str
    says: str
    confidence: str
    entries: Sequence[int]


@dataclass(frozen=True)
class Gap:
    """Something that a reader must know because it weakens the claims; `kind` is one of a few words."""

    kind: str
    says: str
    entries: Sequence[int] = ()


@dataclass(frozen=True)
class Signer:
    """A person whose signature the verdict rests on, by the part they played."""

    part: str
    person: str
    entries: Sequence[int]


@dataclass(frozen=True)
class Assurance:
    """The statement: about whom, from which bundle, with which claims and gaps. Times are ISO 8601, UTC."""

    use_case: str
    model: str
    verdict: str
    headline: str
    today: Sequence[str]
    """What stands against the model when the statement is made, which may be long after the decision."""
    decided_in: int
    decided_at: str
    expires: str
    assurance: str
    made: str
    bundle: str
    origin: str
    entries: int
    root: str
    trust_root: int
    freshness: str
    signers: Sequence[Signer]
    claims: Sequence[Claim]
    gaps: Sequence[Gap]

    def to_json(self) -> dict[str, Any]:
        """Return the statement as plain data, with the command that checks it."""
        check = f"custody-verify bundle BUNDLE --trust TRUST --model {self.model}"
        return {"format": FORMAT, **asdict(self), "check": check}


class Confirmed(NamedTuple):
    """What the verifier read: the trust root, the history, who is on record, who cosigned, models and notes."""

    trust: Trust
    history: History
    roster: Roster
    witnesses: dict[str, int]
    models: Sequence[Model]
    notes: Sequence[str]


def confirm(bundle: bytes, trust: bytes, at: datetime) -> Confirmed:
    """Have the independent verifier check a bundle under a trust root, and give what it read.

    Raises `Tampered` where it refuses and `InvalidInput` for what is no bundle or trust root.
    """
    from custody_verify.audit import audit
    from custody_verify.ledger import read_bundle, read_trust
    from custody_verify.strict import Refused, Unreadable

    try:
        known = read_trust(trust)
        history, roster, signed = read_bundle(bundle, known)
        _, models, notes = audit(history, roster, at.isoformat())
    except Refused as error:
        raise Tampered(f"the bundle is not what it claims to be: {error}") from None
    except Unreadable as error:
        raise InvalidInput(str(error)) from None
    return Confirmed(known, history, roster, signed, models, notes)


def assure(bundle: bytes, trust: bytes, at: datetime, model: str = "") -> Assurance:
    """Verify the bundle and state what it gives for one model, the one decided last unless `model` begins its sha256.

    Raises `Tampered` where the verifier refuses, `InvalidInput` for what is no bundle or trust root, `NotFound`
    where no decision is on record.
    """
    from custody_verify.audit import freshness
    from custody_verify.ledger import Past

    known, history, roster, signed, models, notes = confirm(bundle, trust, at)
    root = roster.roots[-1]
    state, fresh, _ = freshness(history, root, signed, known.seen[0], at)
    found = [one for one in models if one.judgement.model.startswith(model)]
    if not found:
        raise NotFound("no decision about this model is on record", hint="custody gate decide")
    chosen, past = found[-1], Past(history, len(history.entries))
    judgement = chosen.judgement
    gaps = [Gap("freshness", fresh)] * (state == "unproven")
    gaps += [*_ruled(chosen), *_said(past, chosen), *(Gap("note", note) for note in notes if "sealed policy" in note)]
    gaps += [Gap("persons", note) for note in notes if " acts under " in note]
    if root.expires:
        gaps.append(Gap("expiry", f"the trust root of this ledger ends at {root.expires}"))
    return Assurance(
        use_case=str(chosen.decision.said["use_case"]),
        model=judgement.model,
        verdict=judgement.verdict,
        headline=_headline(chosen, fresh=state != "unproven"),
        today=list(chosen.standing),
        decided_in=chosen.decision.index,
        decided_at=judgement.at,
        expires=judgement.expires,
        assurance=judgement.assurance,
        made=at.isoformat(),
        bundle=hashlib.sha256(bundle).hexdigest(),
        origin=known.origin,
        entries=len(history.entries),
        root=history.tree.root(len(history.entries)),
        trust_root=root.version,
        freshness=fresh,
        signers=_signers(past, chosen),
        claims=_claims(past, chosen),
        gaps=gaps,
    )


def _headline(model: Model, *, fresh: bool) -> str:
    """Say the verdict, and at once whatever a reader of one line must not miss."""
    judgement = model.judgement
    words = [judgement.verdict]
    if model.standing:
        words = [f"{judgement.verdict} when it was decided, NOT MET today: {model.standing[0]}"]
    words += ["solo: one person may have played every part"] * (judgement.assurance == "solo")
    words += ["freshness unproven"] * (not fresh)
    return "; ".join(words) if model.standing else ", ".join(words)


def _signers(past: Past, model: Model) -> list[Signer]:
    """Return who signed what the verdict rests on, each part of a person once; what came after it does not count."""
    judgement, before = model.judgement, model.decision.index
    seal = past.find(judgement.seal, "criteria-seal")
    parts: list[tuple[str, Sequence[Entry]]] = []
    if seal is not None:
        seconds = [entry for entry in past.about(seal.about, "countersignature") if entry.said["of"] == seal.digest]
        parts += [("author", [seal]), ("countersigner", seconds)]
    results = [e for e in past.about(judgement.model, "check-result") if e.said["stage"] != "runtime"]
    approvals = [e for e in past.about(judgement.model, "approval") if e.said["verdict"] == "approve"]
    parts += [("trainer", past.about(judgement.model, "training-finish")), ("validator", results)]
    parts += [("approver", approvals), ("decided by", [model.decision])]
    found: dict[tuple[str, str], list[int]] = {}
    for part, entries in parts:
        for entry in entries:
            if entry.index <= before and entry.index not in past.void:
                found.setdefault((part, entry.person), []).append(entry.index)
    return [Signer(part, person, indexes) for (part, person), indexes in found.items()]


def _claims(past: Past, model: Model) -> list[Claim]:
    """Return what was met: criteria with the sealed confidence of their intervals, rules by recomputation."""
    seal = past.find(model.judgement.seal, "criteria-seal")
    confidence = seal.said["criteria"].get("confidence") if seal else None
    sealed = f"{confidence:.0%} interval" if isinstance(confidence, float) else "interval of unknown confidence"
    return [
        Claim(
            ruling.id,
            ruling.reason,
            "recomputed from the record" if ruling.id.startswith("process.") else sealed,
            ruling.entries,
        )
        for ruling in model.judgement.rulings
        if ruling.status == "met"
    ]


def _ruled(model: Model) -> list[Gap]:
    """Return every ruling that is not simply met, and what stands against the model today."""
    named = {"waived": "waiver", "not_met": "not met"}
    gaps = [
        Gap(named.get(ruling.status, ruling.status), f"{ruling.id}: {ruling.reason}", ruling.entries)
        for ruling in model.judgement.rulings
        if ruling.status != "met"
    ]
    return gaps + [Gap("today", sentence) for sentence in model.standing]


def _said(past: Past, model: Model) -> list[Gap]:
    """Return what the record itself admits: dissent, waivers, what was left out, void entries, retries, emergencies."""
    judgement, gaps = model.judgement, []
    if judgement.assurance == "solo":
        gaps.append(Gap("solo", "one person may have played every part; nobody independent has looked"))
    if judgement.expires:
        gaps.append(Gap("expiry", f"the decision ends at {judgement.expires}", [model.decision.index]))
    about = {kind: past.about(judgement.model, kind) for kind in ("approval", "waiver", "reproduction", "check-result")}
    gaps += [
        Gap("dissent", f"{entry.person} rejected the model: {entry.said['reason']}", [entry.index])
        for entry in about["approval"]
        if entry.said["verdict"] != "approve"
    ]
    for entry in about["waiver"]:
        told = f"{entry.person} waived {entry.said['criterion']} until {entry.said['expires']}: {entry.said['reason']}"
        gaps.append(Gap("waiver", f"{told} (control: {entry.said['control']})", [entry.index]))
    gaps += [
        Gap("concealed", f"the findings of {entry.said['check']} are sealed away", [entry.index])
        for entry in about["check-result"]
        if entry.said.get("concealed")
    ]
    agreed = [entry for entry in about["reproduction"] if entry.said["verdict"] != "diverged"]
    if not agreed:
        gaps.append(Gap("unknown", "nobody has reproduced the training", [e.index for e in about["reproduction"]]))
    if past.void:
        told = "signed with a compromised key or on the word of one; counts for nothing and may still harm"
        gaps.append(Gap("void", told, sorted(past.void)))
    return gaps + _sealed(past, model) + _taken(past)


def _sealed(past: Past, model: Model) -> list[Gap]:
    """Return what the sealed criteria leave open, and what was tried under them."""
    judgement, seal = model.judgement, past.find(model.judgement.seal, "criteria-seal")
    if seal is None:
        return [Gap("unknown", "the model cannot be followed back to sealed criteria")]
    gaps = []
    left_out = seal.said["criteria"].get("not_applicable")
    for klass, why in sorted(left_out.items()) if isinstance(left_out, Mapping) else ():
        gaps.append(Gap("not applicable", f"{klass}: {why}", [seal.index]))
    if seal.said.get("amends"):
        gaps.append(Gap("amended", "these criteria take the place of earlier ones", [seal.index]))
    late = [e.index for e in past.of_kind("held-out-opening") if e.index < seal.index]
    if late:
        gaps.append(Gap("post-hoc", "a held-out set was opened before these criteria were sealed", [*late, seal.index]))
    starts = [entry.index for entry in past.of_kind("training-start") if entry.said["seal"] == seal.digest]
    if judgement.tried > 1 or len(starts) > 1:
        told = f"{len(starts)} training attempts and {judgement.tried} models measured on the held-out set"
        gaps.append(Gap("selection", told, starts))
    if not seal.said["policy"].get("isolation"):
        gaps.append(Gap("unknown", "the policy asked for no wall around training and model", [seal.index]))
    if seal.said["policy"].get("transcript") is not True:
        gaps.append(Gap("unknown", "the policy asked for no transcript of the training's steps", [seal.index]))
    return gaps


def _taken(past: Past) -> list[Gap]:
    """Return emergency rights and refused actions."""
    glass: list[Entry] = [entry for entry in past.of_kind("access-grant") if entry.said["emergency"]]
    gaps = [Gap("emergency", f"{entry.person} took an emergency right", [entry.index]) for entry in glass]
    denials = past.of_kind("denial")
    if denials:
        told = "1 action was refused" if len(denials) == 1 else f"{len(denials)} actions were refused"
        gaps.append(Gap("denials", told, [entry.index for entry in denials]))
    return gaps
