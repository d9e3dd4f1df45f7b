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
TRUST_ROOT, REVOCATION, GRANT = _own("trust-root"), _own("key-revocation"), _own("access-grant")
DELEGATION, REVIEW, COUNTERSIGNATURE = _own("delegation"), _own("access-review"), _own("countersignature")
ANCHOR, SPOT_CHECK, SUMMARY = _own("anchor"), _own("spot-check"), "https://slsa.dev/verification_summary/v1"
ORDER, HOLD = _own("retirement-order"), _own("legal-hold")

_ROLES = """owner security_manager data_engineer data_scientist ml_engineer validator approver compliance_officer
auditor operator custodian"""
ROLES = frozenset(_ROLES.split())

_TYPES = {"s": str, "l": list, "d": dict, "b": bool, "n": str | None, "o": int | None}
_STARTED = "run/use_case/seal/out:s checkpoint/code/parameters/environment/isolation:d"
_DECIDERS = "validator approver compliance_officer custodian"
# Each kind: the roles that may say it, and its fields as names:type with s text, i whole number, l list,
# d object, b true or false, n text or null, o number or null. Every kind but the provenance also has the text `at`.
_LANGUAGE = {
    ENROLMENT: ("owner", "name/person/key/keyid/status:s roles:l"),
    USE_CASE: ("owner", "use_case/tier/purpose:s solo:b policy:d"),
    SOURCING: ("security_manager approver", "use_case/chosen/reason:s options/weights:d flips:l"),
    RISK: ("security_manager approver", "use_case/risk/title/status/reason:s expires:n"),
    DATASET: ("data_engineer", "name/purpose/source/owner/licence/trust:s files/blocks/schema:l rows:i columns:d"),
    RESULT: ("data_engineer validator operator", "check/stage/evaluator:s measures/findings:l details/inputs:d"),
    SEAL: ("data_scientist", "use_case/criteria_sha256/evaluator:s criteria/policy/held_out:d"),
    START: ("ml_engineer", f"{_STARTED} seed:i command/inputs:l"),
    ABORT: ("ml_engineer", "run/start/reason:s exit_code:i"),
    FINISH: ("ml_engineer", "buildDefinition/runDetails:d"),
    REPRODUCTION: ("validator ml_engineer", "run/verdict/cause:s isolation:d"),
    OPENING: ("validator", "held_out/model/seal/purpose:s"),
    APPROVAL: ("approver compliance_officer", "use_case/verdict/reason:s"),
    WAIVER: ("approver", "use_case/criterion/reason/control/expires:s"),
    DECISION: (_DECIDERS, "use_case/verdict/outcome/seal/root/assurance:s rulings:l size:i"),
    ADMISSION: (_DECIDERS, "use_case/environment/decision/expires:s"),
    DEPLOYMENT: ("operator", "use_case/environment/admission:s copies:l"),
    PREDICTIONS: ("operator", "segment/root/model/environment:s count:i"),
    INCIDENT: ("operator security_manager validator", "incident/type/status/reason:s affected:l"),
    RETIREMENT: ("operator", "use_case/reason/key_commitment:s ciphertexts/canary/copies:d"),
    DENIAL: ("custodian", "actor/person/action/reason:s"),
    TRUST_ROOT: ("owner", "expires/log_key:s version/threshold/quorum:i owners/witnesses/signatures:l"),
    REVOCATION: ("owner security_manager", "name/keyid/reason:s compromised_since:o"),
    GRANT: (" ".join(sorted(ROLES - {"auditor", "custodian"})), "name/status/expires/reason:s roles:l emergency:b"),
    DELEGATION: ("data_engineer ml_engineer validator operator", "name/key/keyid/expires/status:s roles:l"),
    REVIEW: ("security_manager", "of/verdict/reason:s findings:l"),
    COUNTERSIGNATURE: ("owner security_manager approver compliance_officer operator", "of/reason:s"),
    ANCHOR: ("custodian", "size:i root/note:s tokens:l"),
    SUMMARY: (
        _DECIDERS,
        "timeVerified/resourceUri/verificationResult:s verifier/policy:d inputAttestations/verifiedLevels:l",
    ),
    SPOT_CHECK: ("validator ml_engineer", "run/start/verdict/cause:s steps:i isolation:d"),
    ORDER: ("operator security_manager", "use_case/reason:s"),
    HOLD: ("compliance_officer", "use_case/matter/status/reason:s"),
}


def short(kind: str) -> str:
    """Return the name people use for a kind."""
    named = {FINISH: "training-finish", SUMMARY: "verification-summary"}
    return named[kind] if kind in named else kind.removeprefix("urn:custody:").removesuffix(":v1")


def check_fields(kind: str, said: dict[str, Any]) -> None:
    """Raise `Refused` unless the statement is of a known kind and has every field, rightly typed."""
    if kind not in _LANGUAGE:
        raise Refused(f"{kind[:80]!r} is not a known kind of statement")
    fields = _LANGUAGE[kind][1] + ("" if kind == FINISH else " at:s")
    for group in fields.split():
        names, _, letter = group.partition(":")
        for name in names.split("/"):
            value = said.get(name)
            fits = whole(value) is not None if letter == "i" else isinstance(value, _TYPES[letter])
            if name not in said or not fits:
                raise Refused(f"{short(kind)} lacks {name!r}, or it has the wrong type")


def may_say(roles: frozenset[str], kind: str) -> bool:
    """Tell whether one of the roles may make statements of this kind."""
    return not roles.isdisjoint(_LANGUAGE[kind][0].split())
