"""The kinds of statement, the fields each must have, and the roles that may say it."""

from typing import Any

from custody_verify.strict import require, whole

_TYPES = {"s": str, "l": list, "d": dict, "b": bool, "n": str | None, "o": int | None}
# Each kind: who may say it, and its fields as names:type with s text, i whole number, l list, d object, b true or
# false, n text or null, o number or null. Every kind but SLSA's provenance (training-finish) also has the text `at`.
_TABLE = """
actor-enrolment | owner | name/person/key/keyid/status:s roles:l
use-case | owner | use_case/tier/purpose:s solo:b policy:d
sourcing-decision | security_manager approver | use_case/chosen/reason:s options/weights:d flips:l
risk | security_manager approver | use_case/risk/title/status/reason:s expires:n
dataset-record | data_engineer | name/purpose/source/owner/licence/trust:s files/blocks/schema:l rows:i columns:d
check-result | data_engineer validator operator | check/stage/evaluator:s measures/findings:l details/inputs:d
criteria-seal | data_scientist | use_case/criteria_sha256/evaluator:s criteria/policy/held_out:d
training-start | ml_engineer | run/use_case/seal/out:s checkpoint/code/parameters/environment/isolation:d seed:i
    command/inputs:l
training-abort | ml_engineer | run/start/reason:s exit_code:i
training-finish | ml_engineer | buildDefinition/runDetails:d
reproduction | validator ml_engineer | run/verdict/cause:s isolation:d
held-out-opening | validator | held_out/model/seal/purpose:s
approval | approver compliance_officer | use_case/verdict/reason:s
waiver | approver | use_case/criterion/reason/control/expires:s
gate-decision | validator approver compliance_officer custodian | use_case/verdict/outcome/seal/root/assurance:s
    rulings:l size:i
admission | validator approver compliance_officer custodian | use_case/environment/decision/expires:s
deployment | operator | use_case/environment/admission:s copies:l
prediction-segment | operator | segment/root/model/environment:s count:i
incident | operator security_manager validator | incident/type/status/reason:s affected:l
retirement | operator | use_case/reason/key_commitment:s ciphertexts/canary/copies:d
denial | custodian | actor/person/action/reason:s
trust-root | owner | expires/log_key:s version/threshold/quorum:i owners/witnesses/signatures:l
key-revocation | owner security_manager | name/keyid/reason:s compromised_since:o
access-grant | owner security_manager data_engineer data_scientist ml_engineer validator approver compliance_officer
    operator | name/status/expires/reason:s roles:l emergency:b
delegation | data_engineer ml_engineer validator operator | name/key/keyid/expires/status:s roles:l
access-review | security_manager | of/verdict/reason:s findings:l
countersignature | owner security_manager approver compliance_officer operator | of/reason:s
anchor | custodian | size:i root/note:s tokens:l
verification-summary | validator approver compliance_officer custodian | verifier/policy:d verifiedLevels:l
    timeVerified/resourceUri/verificationResult:s inputAttestations:l
spot-check | validator ml_engineer | run/start/verdict/cause:s steps:i isolation:d
retirement-order | operator security_manager | use_case/reason:s
legal-hold | compliance_officer | use_case/matter/status/reason:s
"""
_ROWS = [line.split("|") for line in _TABLE.replace("\n    ", " ").strip().split("\n")]
_SPEAKERS = {name.strip(): frozenset(roles.split()) for name, roles, _ in _ROWS}
ROLES = frozenset().union(*_SPEAKERS.values(), ["auditor"])
_FIELDS = {
    name.strip(): [(field, of[-1]) for of in groups.split() for field in of[:-2].split("/")] + [("at", "s")]
    for name, _, groups in _ROWS
}
_FIELDS["training-finish"].pop()
_SLSA = {"training-finish": "provenance", "verification-summary": "verification_summary"}
KINDS = {f"https://slsa.dev/{_SLSA[k]}/v1" if k in _SLSA else f"urn:custody:{k}:v1": k for k in _SPEAKERS}
"""The name of each kind, by which this program knows it, by the predicate type that statements carry."""

def check_fields(kind: str, said: dict[str, Any]) -> None:
    """Raise `Refused` unless the statement has every field of its kind, rightly typed."""
    for name, letter in _FIELDS[kind]:
        fits = whole(said.get(name)) is not None if letter == "i" else isinstance(said.get(name), _TYPES[letter])
        require(name in said and fits, f"{kind} lacks {name!r}, or it has the wrong type")

def may_say(roles: frozenset[str], kind: str) -> bool:
    """Tell whether one of the roles may make statements of this kind."""
    return not roles.isdisjoint(_SPEAKERS[kind])
