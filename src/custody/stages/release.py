"""Release: uninvolved persons approve, the decision is computed, and GO alone admits."""

from __future__ import annotations

from datetime import datetime, timedelta

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.decision import Decision, Verdict
from custody.core.evidence import Evidence, Record
from custody.core.moments import expired
from custody.core.release import decide as judge
from custody.core.summary import summary_of
from custody.desk import Desk, Pen
from custody.errors import InvalidInput, NotFound, OutOfOrder, Tampered, Unavailable
from custody.ledger.log import Moved
from custody.records.lineage import find_model, sealed_chain_of


def approve(desk: Desk, actor: str, use_case: str, name: str, *, reject: bool, reason: str) -> Evidence:
    """Approve or reject a model; authors, trainers and validators of it are refused, on record."""
    model = find_model(desk.read(), use_case, name)
    if reject and len(reason.strip()) < 5:
        raise InvalidInput("a rejection needs a reason of at least 5 characters", hint='add --reason "..."')
    pen = desk.permit(actor, Action.APPROVE, model.subject)
    verdict = "reject" if reject else "approve"
    return pen.write(model.subject, kinds.APPROVAL, {"use_case": use_case, "verdict": verdict, "reason": reason})


def waive(
    desk: Desk, actor: str, use_case: str, name: str, criterion: str, *, days: int, reason: str, control: str
) -> Evidence:
    """Waive one criterion for some days, with a compensating control; limits are the sealed policy's."""
    record = desk.read()
    model = find_model(record, use_case, name)
    _, seal = sealed_chain_of(record, model)
    policy = seal.predicate["policy"]
    asked = {
        str(item["id"]): bool(item["waivable"]) and item["class"] not in policy["never_waive"]
        for item in seal.predicate["criteria"]["criterion"]
    }
    known = criterion.partition("[")[0]
    if known not in asked:
        raise NotFound(f"no criterion {criterion!r} was sealed", hint=f"sealed: {', '.join(sorted(asked))}")
    pen = desk.permit(actor, Action.WAIVE, model.subject)
    if not asked[known]:
        desk.deny(pen.actor, Action.WAIVE, Access(allowed=False, reason=f"{criterion} cannot be waived"), model.subject)
    if too_many := _too_many(record, model, criterion, int(policy["max_waivers"]), desk.time()):
        desk.deny(pen.actor, Action.WAIVE, Access(allowed=False, reason=too_many), model.subject)
    if not 1 <= days <= int(policy["waiver_days"]):
        raise InvalidInput(f"a waiver lasts 1 to {policy['waiver_days']} days under the sealed policy")
    if len(reason.strip()) < 10 or len(control.strip()) < 10:
        raise InvalidInput("a waiver needs a reason and a compensating control, of at least 10 characters each")
    at = desk.time()
    expires = (datetime.fromisoformat(at) + timedelta(days=days)).isoformat()
    predicate = {
        "use_case": use_case,
        "criterion": criterion,
        "reason": reason,
        "control": control,
        "expires": expires,
        "at": at,
    }
    return pen.write(model.subject, kinds.WAIVER, predicate)


def _too_many(record: Record, model: Evidence, criterion: str, most: int, at: str) -> str:
    """Say why a further waiver is refused: too many at once, or one renewed too often; or ""."""
    found = record.about(model.subject.sha256, kinds.WAIVER)
    others = {e.predicate["criterion"] for e in found if not expired(str(e.predicate["expires"]), at)} - {criterion}
    if len(others) >= most:
        return f"{len(others)} criteria are waived already; the sealed policy allows {most}"
    before = [entry for entry in found if entry.predicate["criterion"] == criterion]
    if len(before) >= most:
        return f"{criterion} was waived {len(before)} times already; the sealed policy allows {most}"
    return ""


def _judged(desk: Desk, pen: Pen, model: Evidence, use_case: str) -> tuple[Decision, Evidence]:
    """Judge the whole record and append the answer right behind it: nothing may come in between."""
    for _ in range(10):
        record = desk.read()
        decision = judge(record, model.subject.sha256, use_case, desk.time())
        try:
            return decision, pen.write(model.subject, kinds.DECISION, decision.to_predicate(), after=record.size)
        except Moved:
            continue
    raise Unavailable("too many commands write to the ledger at once", hint="try again")


def _summarised(desk: Desk, pen: Pen, decision: Decision, said: Evidence) -> Evidence | None:
    """Record the decision's summary for other tools; None when a newer decision about the model has come in between."""
    for _ in range(10):
        record = desk.read()
        if record.about(decision.model, kinds.DECISION)[-1].digest != said.digest:
            return None
        try:
            body = summary_of(record.before(said.index, decision.root), decision, said.digest)
            return pen.write(said.subject, kinds.VERIFICATION_SUMMARY, body, after=record.size)
        except Moved:
            continue
    raise Unavailable("too many commands write to the ledger at once", hint="try again")


def decide(
    desk: Desk, actor: str, use_case: str, name: str = "", environment: str = ""
) -> tuple[Decision, Evidence, Evidence | None]:
    """Judge the whole record, record the judgement and its summary, and on GO issue an admission for `environment`.

    Nobody can type a verdict: this is `core.release.decide` over the verified record.
    """
    record = desk.read()
    model = find_model(record, use_case, name)
    pen = desk.permit(actor, Action.DECIDE)
    decision, said = _judged(desk, pen, model, use_case)
    _summarised(desk, pen, decision, said)
    if decision.verdict is not Verdict.GO or not environment:
        return decision, said, None
    if decision.assurance == "solo" and environment == "production":
        raise OutOfOrder(
            "GO, but by one person alone: solo mode admits to every environment except production",
            hint="enrol an author, a trainer, a validator and two approvers for production",
        )
    admission = pen.write(
        model.subject,
        kinds.ADMISSION,
        {"use_case": use_case, "environment": environment, "decision": said.digest, "expires": decision.expires},
    )
    return decision, said, admission


def summary(desk: Desk, use_case: str, name: str = "") -> tuple[Evidence, bytes]:
    """Return the newest summary about a model, and its signed envelope as it stands on the ledger.

    Raises `OutOfOrder` when no decision about the model was recorded, `Tampered` when the summary is not that
    of its newest decision.
    """
    record = desk.read()
    model = find_model(record, use_case, name)
    found = record.about(model.subject.sha256, kinds.VERIFICATION_SUMMARY)
    decisions = record.about(model.subject.sha256, kinds.DECISION)
    if not found or not decisions:
        raise OutOfOrder(f"no decision about model {model.subject.short} is summed up yet", hint="custody gate decide")
    said, told = decisions[-1], found[-1].predicate
    past = record.before(said.index, str(said.predicate["root"]))
    again = judge(past, said.subject.sha256, str(said.predicate["use_case"]), said.at)
    wanted = summary_of(past, again, said.digest)
    if again.outcome != said.predicate["outcome"] or any(told[name] != value for name, value in wanted.items()):
        raise Tampered(f"the summary in entry {found[-1].index} is not that of the newest decision")
    return found[-1], dict(desk.reading.rows)[found[-1].index].to_bytes()
