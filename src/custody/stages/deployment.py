"""Deployment: a model is handed out only if its whole chain holds, as verified bytes, never as a path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.decision import Decision, Verdict
from custody.core.evidence import Evidence, Record
from custody.core.moments import end, moment
from custody.core.release import decide as judge
from custody.core.subject import Subject
from custody.desk import AHEAD, Desk, Pen
from custody.errors import InvalidInput, NotPermitted, OutOfOrder, Tampered, Unavailable, Unknown
from custody.records.freshness import NOT_PROVEN, Freshness, freshness
from custody.records.lineage import chain_of, find_model, open_incidents
from custody.records.vault import ModelVault
from custody.seal.digest import FileDigest, Manifest

SHORTEST_REASON = 5
BULK_MODELS, BULK_HOURS = 5, 24
"""How many different models one person may export within so many hours."""


@dataclass(frozen=True)
class Admitted:
    """A model that may run here and now: its name and digest, its admission, and its bytes by file."""

    subject: Subject
    admission: Evidence
    files: Mapping[str, bytes]
    freshness: Freshness = NOT_PROVEN
    """How it is known that the ledger was not cut short; "freshness unproven" where it is not known."""


def admit(desk: Desk, vault: ModelVault, actor: str, use_case: str, environment: str, name: str = "") -> Admitted:
    """Check everything, then decrypt. (1) the ledger, as fresh as the trust root asks for, (2) the person, (3) an
    admission for this digest and environment, (4) the decision behind it, recomputed, (5) its time, (6) no
    incident, no retirement, no later refusal, (7) the bytes.

    Raises `Tampered` (1, 4, 7), `Unknown` (1), `NotPermitted` (2, 5, 6) or `OutOfOrder` (3).
    """
    fresh = freshness(desk.read(), desk.reading, desk.time())  # (1)
    if not fresh.enough:
        raise Unknown(
            f"{fresh.sentence}, and the trust root asks for {fresh.needed} witnesses",
            hint="custody ledger anchor: an old copy of the ledger would look the same",
        )
    desk.permit(actor, Action.LOAD)  # (2)
    record = desk.read()
    admission = admission_of(record, use_case, environment, name)  # (3)
    check_decision(desk, record, admission)  # (4)
    check_standing(record, admission, desk.time())  # (5) (6)
    return Admitted(admission.subject, admission, vault.open(admission.subject.sha256), fresh)  # (7)


def deploy(
    desk: Desk,
    vault: ModelVault,
    actor: str,
    use_case: str,
    environment: str,
    name: str = "",
    folder: Path | None = None,
    signature: Path | None = None,
    reason: str = "",
) -> tuple[Admitted, Evidence]:
    """Admit, optionally write the verified bytes into a fresh folder and their signature beside it, and record it.

    The signature is in the form of the OpenSSF, for whoever receives the files and has `model_signing` rather than
    Custody. Weights that leave the vault for a folder need a reason and the right to read weights, and whoever
    exports many models within a day is refused, on record. Raises what `admit` raises, `InvalidInput` when a file is
    in the way or the reason is missing, `Unavailable` on a full disk.
    """
    if signature is not None and signature.exists():
        raise InvalidInput(f"{signature} exists already", hint="name a file that is not there")
    if signature is not None and folder is not None and folder.resolve() in signature.resolve().parents:
        raise InvalidInput("the signature must not lie among the files that it signs", hint="name a place beside them")
    if folder is not None and len(reason.strip()) < SHORTEST_REASON:
        raise InvalidInput(
            f"say in at least {SHORTEST_REASON} characters why the weights leave the vault", hint='add --reason "..."'
        )
    pen = desk.permit(actor, Action.DEPLOY)
    if folder is not None:
        desk.permit(actor, Action.READ_WEIGHTS)
        _refuse_bulk(desk, pen, admission_of(desk.read(), use_case, environment, name).subject)
    admitted = admit(desk, vault, actor, use_case, environment, name)
    copies: list[str] = []
    if folder is not None:
        vault.materialise(admitted.subject.sha256, folder)
        copies.append(str(folder.resolve()))
    if signature is not None:
        files = [FileDigest(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in admitted.files.items()]
        _keep(signature, pen.sign_files(Manifest(tuple(files)), admitted.subject.name))
    said = pen.write(
        admitted.subject,
        kinds.DEPLOYMENT,
        {
            "use_case": use_case,
            "environment": environment,
            "admission": admitted.admission.digest,
            "copies": copies,
            **({"reason": reason.strip()} if folder is not None else {}),
        },
    )
    return admitted, said


def _keep(path: Path, raw: bytes) -> None:
    try:
        path.write_bytes(raw)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="name a place that can be written") from None


def _refuse_bulk(desk: Desk, pen: Pen, model: Subject) -> None:
    """Refuse the export of one model more than a day's work needs: the denial on record is the alert.

    Exports without a readable moment count as of today. Loading into memory leaves no entry and is not counted.
    """
    now = moment(desk.time())
    recent: set[str] = set()
    for entry in desk.read().of_kind(kinds.DEPLOYMENT):
        at = moment(entry.at)
        today = now is None or at is None or now - at < timedelta(hours=BULK_HOURS)
        if entry.predicate["copies"] and entry.person == pen.actor.person and today:
            recent.add(entry.subject.sha256)
    if len(recent - {model.sha256}) >= BULK_MODELS:
        why = f"{pen.actor.person} exported {len(recent)} models within {BULK_HOURS} hours; {BULK_MODELS} are allowed"
        desk.deny(pen.actor, Action.READ_WEIGHTS, Access(allowed=False, reason=why), model)


def admission_of(record: Record, use_case: str, environment: str, name: str = "") -> Evidence:
    """Find the newest admission for the environment, of the named model or of any."""
    wanted = find_model(record, use_case, name).subject.sha256 if name else ""
    for entry in reversed(record.of_kind(kinds.ADMISSION)):
        if entry.predicate["use_case"] != use_case or entry.predicate["environment"] != environment:
            continue
        if not wanted or entry.subject.sha256 == wanted:
            return entry
    what = f"model {wanted[:12]}" if wanted else f"any model of {use_case}"
    elsewhere = sorted({str(e.predicate["environment"]) for e in record.of_kind(kinds.ADMISSION)})
    held = f"; admissions exist for: {', '.join(elsewhere)}" if elsewhere else ""
    raise OutOfOrder(
        f"there is no admission of {what} to {environment!r}{held}",
        hint=f"custody gate decide --env {environment}",
    )


def check_decision(desk: Desk, record: Record, admission: Evidence) -> None:
    """Recompute the decision an admission rests on, over the record as it was then."""
    said = record.by_digest(str(admission.predicate["decision"]))
    if said is None or said.kind != kinds.DECISION or said.subject != admission.subject:
        raise Tampered(f"the admission in entry {admission.index} names no decision about this model")
    again = recomputed(desk, record, said)
    if again.assurance == "solo" and admission.predicate["environment"] == "production":
        raise Tampered(f"the admission in entry {admission.index} is for production, and one person alone decided it")
    if not _is_past(said.at, desk.time()):
        raise Tampered(f"the decision in entry {said.index} does not say when it was made, or says a later time")
    if again.verdict is not Verdict.GO or again.expires != admission.predicate["expires"]:
        raise Tampered(f"the admission in entry {admission.index} does not follow from its decision")


def recomputed(desk: Desk, record: Record, said: Evidence) -> Decision:
    """Judge again what a decision on record judged; raises `Tampered` unless it comes out the same."""
    size = said.predicate["size"]
    frontier = desk.reading.frontiers.get(size)
    if not isinstance(size, int) or size != said.index or frontier is None:
        raise Tampered(f"the decision in entry {said.index} does not say what it was based on")
    then = record.before(size, frontier.root.hex())
    again = judge(then, said.subject.sha256, str(said.predicate["use_case"]), said.at)
    if again.outcome != said.predicate["outcome"] or str(again.verdict) != said.predicate["verdict"]:
        raise Tampered(
            f"the decision in entry {said.index} says {said.predicate['verdict']}; the record gives {again.verdict}"
        )
    # The reasons as well: they are words for people, but which rules were met, and on what, is what they rest on.
    mine = again.to_predicate()
    for name in ("seal", "size", "root", "assurance", "expires"):
        if said.predicate.get(name) != mine[name]:
            raise Tampered(f"the decision in entry {said.index} says another {name} than the record gives")
    if [_bare(ruling) for ruling in said.predicate["rulings"]] != [_bare(ruling) for ruling in mine["rulings"]]:
        raise Tampered(f"the decision in entry {said.index} has other rulings than the record gives")
    return again


def _bare(ruling: object) -> object:
    """Return what a ruling says without its reason."""
    return [ruling.get(key) for key in ("id", "status", "entries")] if isinstance(ruling, Mapping) else None


def _is_past(at: str, now: str) -> bool:
    try:
        return datetime.fromisoformat(at) <= datetime.fromisoformat(now)
    except (ValueError, TypeError):  # no moment, or one without a time zone
        return False


def check_standing(record: Record, admission: Evidence, at: str) -> None:
    """Raise `NotPermitted` when the admission has ended: by time, incident, retirement or a later refusal."""
    model = admission.subject
    expires = str(admission.predicate["expires"])
    if expires and datetime.fromisoformat(expires) <= datetime.fromisoformat(at):
        raise NotPermitted(f"the admission of {model.short} expired at {expires}", hint="custody gate decide")
    decision = record.by_digest(str(admission.predicate["decision"]))
    if void := {admission.index, decision.index if decision else admission.index} & record.void:
        raise NotPermitted(
            f"the admission of {model.short} was signed with a key that was compromised (entry {min(void)})",
            hint="somebody whose key is sound decides again: custody gate decide",
        )
    if retired := record.about(model.sha256, kinds.RETIREMENT):
        raise NotPermitted(
            f"model {model.short} is retired (entry {retired[0].index})",
            hint="nobody can: train, validate and decide another model",
        )
    finish = find_model(record, model.name, model.sha256)
    if incidents := open_incidents(record, [model.sha256, *chain_of(record, finish).inputs]):
        entry = incidents[-1]
        raise NotPermitted(
            f"model {model.short} is quarantined: incident {entry.predicate['incident']} "
            f"({entry.predicate['type']}) in entry {entry.index}",
            hint="a security manager closes it: custody incident close",
        )
    # Another machine's clock may run ahead of this one's: what it wrote a minute "later" takes no model down.
    newest = max((entry.at for entry in record if not _is_past(entry.at, at)), key=end, default=at)
    ahead = moment(newest), moment(at)
    today_at = newest if ahead[0] and ahead[1] and ahead[0] - ahead[1] <= AHEAD else at
    today = judge(record, model.sha256, str(admission.predicate["use_case"]), today_at)
    if today.verdict is not Verdict.GO:
        first = today.failing()[0] if today.failing() else None
        why = f": {first.id}: {first.reason}" if first else ""
        raise NotPermitted(
            f"model {model.short} was admitted, but today the record gives {today.verdict}{why}",
            hint="custody gate show",
        )
    for later in record.about(model.sha256, kinds.DECISION):
        if later.index > admission.index and later.predicate["verdict"] != str(Verdict.GO):
            raise NotPermitted(
                f"a later decision, in entry {later.index}, is {later.predicate['verdict']}",
                hint="custody gate show",
            )
