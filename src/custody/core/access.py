"""Who may do what at most: one table, deny by default.

Roles grant; nothing is granted by being somebody. An action that is not in the table is denied, an
actor without a role is denied. What depends on *this* model (an author may not approve, a trainer
may not validate) is not a matter of roles: it is decided from the record, in `separation`.

Readers hold every statement against this table. What may be done here and now, with which data and under which
circumstances, the policies say (`permission`); for whatever leaves a statement they can only take away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from custody.core import predicates as kinds
from custody.core.actor import Actor, Role
from custody.core.evidence import Record


class Action(StrEnum):
    """Everything that leaves evidence or opens something protected."""

    ENROL = "actor.enrol"
    DECIDE_SOURCE = "source.decide"
    TREAT_RISK = "risk.treat"
    REGISTER_DATA = "data.register"
    CHECK_DATA = "data.check"
    SEAL = "gate.seal"
    APPROVE = "gate.approve"
    WAIVE = "gate.waive"
    DECIDE = "gate.decide"
    START_RUN = "run.start"
    REPRODUCE = "run.reproduce"
    SCAN = "artifact.scan"
    VALIDATE = "validation.run"
    DEPLOY = "deployment.deploy"
    LOAD = "deployment.load"
    WATCH = "runtime.watch"
    OPEN_INCIDENT = "incident.open"
    CLOSE_INCIDENT = "incident.close"
    RETIRE = "retirement.retire"
    DENY = "access.deny"
    SIGN_ROOT = "root.sign"
    REVOKE_KEY = "key.revoke"
    GRANT_ACCESS = "access.grant"
    BREAK_GLASS = "access.break_glass"
    DELEGATE = "access.delegate"
    REVIEW_ACCESS = "access.review"
    COUNTERSIGN = "statement.countersign"
    ANCHOR = "ledger.anchor"
    ORDER_RETIREMENT = "retirement.order"
    HOLD = "retirement.hold"
    READ_DATA = "data.read"
    APPEND_DATA = "data.append"
    MODIFY_DATA = "data.modify"
    LABEL_DATA = "data.label"
    APPROVE_DATA = "data.approve"
    DELETE_DATA = "data.delete"
    READ_WEIGHTS = "weights.read"
    READ_LOGS = "logs.read"
    READ_METRICS = "metrics.read"
    READ_HELD_OUT_METRICS = "held_out_metrics.read"
    PROMOTE = "deployment.promote"
    ROLL_BACK = "deployment.rollback"
    VIEW_TRAFFIC = "deployment.view_traffic"
    READ_LEDGER = "ledger.read"


_R = Role
_SIGNERS = frozenset({_R.VALIDATOR, _R.APPROVER, _R.COMPLIANCE_OFFICER, _R.AUDITOR, _R.SECURITY_MANAGER})
GRANTS: Mapping[Action, frozenset[Role]] = {
    Action.ENROL: frozenset({_R.OWNER}),
    Action.DECIDE_SOURCE: frozenset({_R.SECURITY_MANAGER, _R.APPROVER}),
    Action.TREAT_RISK: frozenset({_R.SECURITY_MANAGER, _R.APPROVER}),
    Action.REGISTER_DATA: frozenset({_R.DATA_ENGINEER}),
    Action.CHECK_DATA: frozenset({_R.DATA_ENGINEER, _R.VALIDATOR}),
    Action.SEAL: frozenset({_R.DATA_SCIENTIST}),
    Action.APPROVE: frozenset({_R.APPROVER, _R.COMPLIANCE_OFFICER}),
    Action.WAIVE: frozenset({_R.APPROVER}),
    Action.DECIDE: frozenset({_R.VALIDATOR, _R.APPROVER, _R.COMPLIANCE_OFFICER, _R.CUSTODIAN}),
    Action.START_RUN: frozenset({_R.ML_ENGINEER}),
    Action.REPRODUCE: frozenset({_R.VALIDATOR, _R.ML_ENGINEER}),
    Action.SCAN: frozenset({_R.VALIDATOR}),
    Action.VALIDATE: frozenset({_R.VALIDATOR}),
    Action.DEPLOY: frozenset({_R.OPERATOR}),
    Action.LOAD: frozenset({_R.OPERATOR}),
    Action.WATCH: frozenset({_R.OPERATOR}),
    Action.OPEN_INCIDENT: frozenset({_R.OPERATOR, _R.SECURITY_MANAGER, _R.VALIDATOR}),
    Action.CLOSE_INCIDENT: frozenset({_R.SECURITY_MANAGER}),
    Action.RETIRE: frozenset({_R.OPERATOR}),
    Action.DENY: frozenset({_R.CUSTODIAN}),
    Action.SIGN_ROOT: frozenset({_R.OWNER}),
    Action.REVOKE_KEY: frozenset({_R.OWNER, _R.SECURITY_MANAGER}),
    Action.GRANT_ACCESS: frozenset({_R.OWNER}),
    Action.BREAK_GLASS: frozenset(Role) - {_R.AUDITOR, _R.CUSTODIAN},
    Action.DELEGATE: frozenset({_R.DATA_ENGINEER, _R.ML_ENGINEER, _R.VALIDATOR, _R.OPERATOR}),
    Action.REVIEW_ACCESS: frozenset({_R.SECURITY_MANAGER}),
    Action.COUNTERSIGN: frozenset({_R.OWNER, _R.SECURITY_MANAGER, _R.APPROVER, _R.COMPLIANCE_OFFICER, _R.OPERATOR}),
    Action.ANCHOR: frozenset({_R.CUSTODIAN}),
    Action.ORDER_RETIREMENT: frozenset({_R.OPERATOR, _R.SECURITY_MANAGER}),
    Action.HOLD: frozenset({_R.COMPLIANCE_OFFICER}),
    Action.READ_DATA: frozenset({_R.DATA_ENGINEER, _R.DATA_SCIENTIST, _R.VALIDATOR}),
    Action.APPEND_DATA: frozenset({_R.DATA_ENGINEER}),
    Action.MODIFY_DATA: frozenset({_R.DATA_ENGINEER}),
    Action.LABEL_DATA: frozenset({_R.DATA_ENGINEER}),
    Action.APPROVE_DATA: frozenset({_R.APPROVER}),
    Action.DELETE_DATA: frozenset({_R.DATA_ENGINEER}),
    Action.READ_WEIGHTS: frozenset({_R.OPERATOR, _R.VALIDATOR}),
    Action.READ_LOGS: frozenset({_R.ML_ENGINEER, _R.SECURITY_MANAGER, _R.AUDITOR}),
    Action.READ_METRICS: _SIGNERS | {_R.DATA_SCIENTIST, _R.ML_ENGINEER},
    Action.READ_HELD_OUT_METRICS: _SIGNERS,
    Action.PROMOTE: frozenset({_R.OPERATOR}),
    Action.ROLL_BACK: frozenset({_R.OPERATOR, _R.SECURITY_MANAGER}),
    Action.VIEW_TRAFFIC: frozenset({_R.OPERATOR, _R.SECURITY_MANAGER}),
    Action.READ_LEDGER: frozenset(Role) - {_R.CUSTODIAN},
}

WRITES: Mapping[Action, frozenset[str]] = {
    Action.ENROL: frozenset({kinds.ENROLMENT, kinds.USE_CASE}),
    Action.DECIDE_SOURCE: frozenset({kinds.SOURCING, kinds.RISK}),
    Action.TREAT_RISK: frozenset({kinds.RISK}),
    Action.REGISTER_DATA: frozenset({kinds.DATASET}),
    Action.CHECK_DATA: frozenset({kinds.CHECK_RESULT}),
    Action.SEAL: frozenset({kinds.SEAL}),
    Action.APPROVE: frozenset({kinds.APPROVAL}),
    Action.WAIVE: frozenset({kinds.WAIVER}),
    Action.DECIDE: frozenset({kinds.DECISION, kinds.ADMISSION, kinds.VERIFICATION_SUMMARY}),
    Action.START_RUN: frozenset({kinds.TRAINING_START, kinds.TRAINING_FINISH, kinds.TRAINING_ABORT}),
    Action.REPRODUCE: frozenset({kinds.REPRODUCTION, kinds.SPOT_CHECK}),
    Action.SCAN: frozenset({kinds.CHECK_RESULT}),
    Action.VALIDATE: frozenset({kinds.CHECK_RESULT, kinds.OPENING}),
    Action.DEPLOY: frozenset({kinds.DEPLOYMENT}),
    Action.LOAD: frozenset(),
    Action.WATCH: frozenset({kinds.PREDICTIONS, kinds.CHECK_RESULT}),
    Action.OPEN_INCIDENT: frozenset({kinds.INCIDENT}),
    Action.CLOSE_INCIDENT: frozenset({kinds.INCIDENT}),
    Action.RETIRE: frozenset({kinds.RETIREMENT}),
    Action.DENY: frozenset({kinds.DENIAL}),
    Action.SIGN_ROOT: frozenset({kinds.TRUST_ROOT}),
    Action.REVOKE_KEY: frozenset({kinds.KEY_REVOCATION}),
    Action.GRANT_ACCESS: frozenset({kinds.GRANT}),
    Action.BREAK_GLASS: frozenset({kinds.GRANT}),
    Action.DELEGATE: frozenset({kinds.DELEGATION}),
    Action.REVIEW_ACCESS: frozenset({kinds.ACCESS_REVIEW}),
    Action.COUNTERSIGN: frozenset({kinds.COUNTERSIGNATURE}),
    Action.ANCHOR: frozenset({kinds.ANCHOR}),
    Action.ORDER_RETIREMENT: frozenset({kinds.RETIREMENT_ORDER}),
    Action.HOLD: frozenset({kinds.LEGAL_HOLD}),
    Action.READ_DATA: frozenset(),
    Action.APPEND_DATA: frozenset(),
    Action.MODIFY_DATA: frozenset(),
    Action.LABEL_DATA: frozenset(),
    Action.APPROVE_DATA: frozenset(),
    Action.DELETE_DATA: frozenset(),
    Action.READ_WEIGHTS: frozenset(),
    Action.READ_LOGS: frozenset(),
    Action.READ_METRICS: frozenset(),
    Action.READ_HELD_OUT_METRICS: frozenset(),
    Action.PROMOTE: frozenset(),
    Action.ROLL_BACK: frozenset(),
    Action.VIEW_TRAFFIC: frozenset(),
    Action.READ_LEDGER: frozenset(),
}
"""Which kinds of statement an action leaves. Readers hold every entry against this table as well."""


@dataclass(frozen=True)
class Access:
    """Whether an action is allowed, and why.

    `rule` is the id of the policy that decided, with its `line`; "table" where the table did, "" where no policy
    allowed it. `missing` are the circumstances nobody told that a rule asked for.
    """

    allowed: bool
    reason: str
    rule: str = ""
    line: int = 0
    missing: tuple[str, ...] = ()


def decide(actor: Actor, action: Action) -> Access:
    """Answer from the table alone."""
    granted = GRANTS.get(action, frozenset())
    held = sorted(actor.roles & granted)
    if held:
        return Access(allowed=True, reason=f"{actor.name} is {held[0]}")
    needed = " or ".join(sorted(granted)) or "nobody"
    has = ", ".join(sorted(actor.roles)) or "no role"
    return Access(allowed=False, reason=f"{action} needs {needed}; {actor.name} has {has}")


def may_write(actor: Actor, kind: str) -> bool:
    """Tell whether any action open to the actor leaves statements of this kind."""
    return any(kind in WRITES[action] and actor.roles & roles for action, roles in GRANTS.items())


def who_can(actors: Sequence[Actor], action: Action) -> list[tuple[Actor, Access]]:
    """List everyone who may do `action`, and by what right."""
    return [(actor, access) for actor in actors if (access := decide(actor, action)).allowed]


CONFLICTS: Mapping[Action, tuple[str, ...]] = {
    Action.START_RUN: ("author",),
    Action.SCAN: ("author", "trainer"),
    Action.VALIDATE: ("author", "trainer"),
    Action.APPROVE: ("author", "trainer", "validator"),
    Action.WAIVE: ("author", "trainer", "validator"),
    Action.DEPLOY: ("trainer",),
    Action.PROMOTE: ("trainer",),
}
"""Parts that exclude an action on the same model: whoever played one may not do the other."""


def separation(actor: Actor, action: Action, parts: Mapping[str, frozenset[str]]) -> Access:
    """Refuse an action to a person who already played a conflicting part for this model.

    `parts` maps "author", "trainer" and "validator" to the persons who played them. Persons are
    compared, so a second name or a second key does not help.
    """
    for part in CONFLICTS.get(action, ()):
        if actor.person in parts.get(part, frozenset()):
            return Access(allowed=False, reason=f"{actor.person} is the {part} of this model and may not {action}")
    return Access(allowed=True, reason="no conflicting part")


def parts_of(record: Record, model: str) -> dict[str, frozenset[str]]:
    """Read from the record who wrote the criteria, trained and validated the model with sha256 `model`."""
    trainers: set[str] = set()
    authors: set[str] = set()
    for finish in record.about(model, kinds.TRAINING_FINISH):
        trainers.add(finish.person)
        start = record.by_digest(kinds.start_of(finish.predicate))
        if start is not None:
            trainers.add(start.person)
            seal = record.by_digest(str(start.predicate.get("seal") or ""))
            if seal is not None:
                authors.add(seal.person)
    validators = {found.person for found in record.about(model, kinds.CHECK_RESULT) if _is_validation(found.predicate)}
    return {"author": frozenset(authors), "trainer": frozenset(trainers), "validator": frozenset(validators)}


def _is_validation(predicate: Mapping[str, object]) -> bool:
    """Tell whether a result about a model was made before its release, whatever its stage is called."""
    return predicate.get("stage") != "runtime"
