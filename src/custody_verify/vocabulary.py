"""The kinds of statement, the fields each must have, and the roles that may say it."""

from typing import Any

from custody_verify.strict import Refused, whole

FINISH = "https://slsa.dev/provenance/v1"


def _own(name: str) -> str:
    return f"urn:custody:{name}:v1"


ENROLMENT, USE_CASE = _own("actor-enrolment"), _own("use-case")
SOURCING, RISK, DATASET = _own("sourcing-decision"), _own("risk"), _own("dataset-record")
RESULT, SEAL, OPENING = _own("check-result"), _own("criteria-seal"), _own("held-out-opening")
START, ABORT, REPRODUCTION = _own("training-start"), _own("training-abort"), _own("reproduction")
APPROVAL, WAIVER, DECISION = _own("approval"), _own("waiver"), _own("gate-decision")
ADMISSION, DEPLOYMENT, PREDICTIONS = _own("admission"), _own("deployment"), _own("prediction-segment")
INCIDENT, RETIREMENT, DENIAL = _own("incident"), _own("retirement"), _own("denial")

_ROLES = """owner security_manager data_engineer data_scientist ml_engineer validator approver compliance_officer
auditor operator custodian"""
ROLES = frozenset(_ROLES.split())

_TYPES = {"s": str, "l": list, "d": dict, "b": bool}

# kind: roles that may say it; fields as name:type with s text, i whole number, l list, d object,
# b true or false, n text or null. Every kind but the provenance also has the text `at`.
_LANGUAGE = {
    ENROLMENT: ("owner", "name:s person:s roles:l key:s keyid:s status:s"),
    USE_CASE: ("owner", "use_case:s tier:s purpose:s solo:b"),
    SOURCING: ("security_manager approver", "use_case:s chosen:s options:d weights:d flips:l reason:s"),
    RISK: ("security_manager approver", "use_case:s risk:s title:s status:s reason:s expires:n"),
    DATASET: (
        "data_engineer",
        "name:s files:l blocks:l purpose:s source:s owner:s licence:s trust:s rows:i columns:d schema:l",
    ),
    RESULT: (
        "data_engineer validator ml_engineer operator",
        "check:s stage:s evaluator:s measures:l findings:l details:d inputs:d",
    ),
    SEAL: ("data_scientist", "use_case:s criteria:d criteria_sha256:s policy:d held_out:d evaluator:s"),
    START: (
        "ml_engineer",
        "run:s use_case:s seal:s checkpoint:d seed:i command:l out:s inputs:l code:d parameters:d environment:d "
        "isolation:d",
    ),
    ABORT: ("ml_engineer", "run:s start:s reason:s exit_code:i"),
    FINISH: ("ml_engineer", "buildDefinition:d runDetails:d"),
    REPRODUCTION: ("validator ml_engineer", "run:s verdict:s cause:s isolation:d"),
    OPENING: ("validator", "held_out:s model:s seal:s purpose:s"),
    APPROVAL: ("approver compliance_officer", "use_case:s verdict:s reason:s"),
    WAIVER: ("approver", "use_case:s criterion:s reason:s control:s expires:s"),
    DECISION: (
        "validator approver compliance_officer ml_engineer custodian",
        "use_case:s verdict:s rulings:l outcome:s seal:s size:i root:s assurance:s",
    ),
    ADMISSION: (
        "validator approver compliance_officer ml_engineer custodian",
        "use_case:s environment:s decision:s expires:s",
    ),
    DEPLOYMENT: ("operator", "use_case:s environment:s admission:s copies:l"),
    PREDICTIONS: ("operator", "segment:s count:i root:s model:s environment:s"),
    INCIDENT: ("operator security_manager validator", "incident:s type:s status:s reason:s affected:l"),
    RETIREMENT: ("operator", "use_case:s reason:s key_commitment:s ciphertexts:d canary:d copies:d"),
    DENIAL: ("custodian", "actor:s person:s action:s reason:s"),
}


def short(kind: str) -> str:
    """Return the name people use for a kind."""
    return "training-finish" if kind == FINISH else kind.removeprefix("urn:custody:").removesuffix(":v1")


def check_fields(kind: str, said: dict[str, Any]) -> None:
    """Raise `Refused` unless the statement is of a known kind and has every field, rightly typed."""
    if kind not in _LANGUAGE:
        raise Refused(f"{kind[:80]!r} is not a known kind of statement")
    fields = _LANGUAGE[kind][1].split()
    for field in fields if kind == FINISH else [*fields, "at:s"]:
        name, _, letter = field.partition(":")
        if name not in said:
            raise Refused(f"{short(kind)} lacks {name!r}")
        value = said[name]
        if letter == "i":
            fits = whole(value) is not None
        elif letter == "n":
            fits = value is None or isinstance(value, str)
        else:
            fits = isinstance(value, _TYPES[letter])
        if not fits:
            raise Refused(f"{short(kind)}: {name!r} has the wrong type ({type(value).__name__})")


def may_say(roles: frozenset[str], kind: str) -> bool:
    """Tell whether one of the roles may make statements of this kind."""
    return not roles.isdisjoint(_LANGUAGE[kind][0].split())
