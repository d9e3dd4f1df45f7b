"""The kinds of statement Custody makes, and the fields each must have.

Reused where the field has a kind already (SLSA provenance v1); own kinds only where none exists.
A statement whose predicate lacks a field or has one of the wrong type is never signed, and never
accepted when read back. Every predicate also carries `at`, the signer's clock: a claim, used for
expiry and for people; order is proven by ledger indexes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any

from custody.errors import InvalidInput

ENROLMENT = "urn:custody:actor-enrolment:v1"
USE_CASE = "urn:custody:use-case:v1"
SOURCING = "urn:custody:sourcing-decision:v1"
RISK = "urn:custody:risk:v1"
DATASET = "urn:custody:dataset-record:v1"
CHECK_RESULT = "urn:custody:check-result:v1"
SEAL = "urn:custody:criteria-seal:v1"
TRAINING_START = "urn:custody:training-start:v1"
TRAINING_ABORT = "urn:custody:training-abort:v1"
TRAINING_FINISH = "https://slsa.dev/provenance/v1"
REPRODUCTION = "urn:custody:reproduction:v1"
OPENING = "urn:custody:held-out-opening:v1"
APPROVAL = "urn:custody:approval:v1"
WAIVER = "urn:custody:waiver:v1"
DECISION = "urn:custody:gate-decision:v1"
ADMISSION = "urn:custody:admission:v1"
DEPLOYMENT = "urn:custody:deployment:v1"
PREDICTIONS = "urn:custody:prediction-segment:v1"
INCIDENT = "urn:custody:incident:v1"
RETIREMENT = "urn:custody:retirement:v1"
DENIAL = "urn:custody:denial:v1"
TRUST_ROOT = "urn:custody:trust-root:v1"
KEY_REVOCATION = "urn:custody:key-revocation:v1"
GRANT = "urn:custody:access-grant:v1"
DELEGATION = "urn:custody:delegation:v1"
ACCESS_REVIEW = "urn:custody:access-review:v1"
COUNTERSIGNATURE = "urn:custody:countersignature:v1"
ANCHOR = "urn:custody:anchor:v1"
VERIFICATION_SUMMARY = "https://slsa.dev/verification_summary/v1"
SPOT_CHECK = "urn:custody:spot-check:v1"
RETIREMENT_ORDER = "urn:custody:retirement-order:v1"
LEGAL_HOLD = "urn:custody:legal-hold:v1"

BUILD_TYPE = "urn:custody:training:v1"

_T = type | UnionType
FIELDS: Mapping[str, Mapping[str, _T]] = {
    ENROLMENT: {"name": str, "person": str, "roles": list, "key": str, "keyid": str, "status": str},
    USE_CASE: {"use_case": str, "tier": str, "purpose": str, "solo": bool, "policy": dict},
    SOURCING: {"use_case": str, "chosen": str, "options": dict, "weights": dict, "flips": list, "reason": str},
    RISK: {"use_case": str, "risk": str, "title": str, "status": str, "reason": str, "expires": str | None},
    DATASET: {
        "name": str,
        "files": list,
        "blocks": list,
        "purpose": str,
        "source": str,
        "owner": str,
        "licence": str,
        "trust": str,
        "rows": int,
        "columns": dict,
        "schema": list,
    },
    CHECK_RESULT: {
        "check": str,
        "stage": str,
        "evaluator": str,
        "measures": list,
        "findings": list,
        "details": dict,
        "inputs": dict,
    },
    SEAL: {
        "use_case": str,
        "criteria": dict,
        "criteria_sha256": str,
        "policy": dict,
        "held_out": dict,
        "evaluator": str,
    },
    TRAINING_START: {
        "run": str,
        "use_case": str,
        "seal": str,
        "checkpoint": dict,
        "seed": int,
        "command": list,
        "out": str,
        "inputs": list,
        "code": dict,
        "parameters": dict,
        "environment": dict,
        "isolation": dict,
    },
    TRAINING_ABORT: {"run": str, "start": str, "reason": str, "exit_code": int},
    TRAINING_FINISH: {"buildDefinition": dict, "runDetails": dict},
    REPRODUCTION: {"run": str, "verdict": str, "cause": str, "isolation": dict},
    OPENING: {"held_out": str, "model": str, "seal": str, "purpose": str},
    APPROVAL: {"use_case": str, "verdict": str, "reason": str},
    WAIVER: {"use_case": str, "criterion": str, "reason": str, "control": str, "expires": str},
    DECISION: {
        "use_case": str,
        "verdict": str,
        "rulings": list,
        "outcome": str,
        "seal": str,
        "size": int,
        "root": str,
        "assurance": str,
    },
    ADMISSION: {"use_case": str, "environment": str, "decision": str, "expires": str},
    DEPLOYMENT: {"use_case": str, "environment": str, "admission": str, "copies": list},
    PREDICTIONS: {"segment": str, "count": int, "root": str, "model": str, "environment": str},
    INCIDENT: {"incident": str, "type": str, "status": str, "reason": str, "affected": list},
    RETIREMENT: {
        "use_case": str,
        "reason": str,
        "key_commitment": str,
        "ciphertexts": dict,
        "canary": dict,
        "copies": dict,
    },
    DENIAL: {"actor": str, "person": str, "action": str, "reason": str},
    TRUST_ROOT: {
        "version": int,
        "expires": str,
        "log_key": str,
        "owners": list,
        "threshold": int,
        "witnesses": list,
        "quorum": int,
        "signatures": list,
    },
    KEY_REVOCATION: {"name": str, "keyid": str, "reason": str, "compromised_since": int | None},
    GRANT: {"name": str, "roles": list, "status": str, "emergency": bool, "expires": str, "reason": str},
    DELEGATION: {"name": str, "key": str, "keyid": str, "roles": list, "expires": str, "status": str},
    ACCESS_REVIEW: {"of": str, "verdict": str, "findings": list, "reason": str},
    COUNTERSIGNATURE: {"of": str, "reason": str},
    ANCHOR: {"size": int, "root": str, "note": str, "tokens": list},
    VERIFICATION_SUMMARY: {
        "verifier": dict,
        "timeVerified": str,
        "resourceUri": str,
        "policy": dict,
        "inputAttestations": list,
        "verificationResult": str,
        "verifiedLevels": list,
    },
    SPOT_CHECK: {"run": str, "start": str, "steps": int, "verdict": str, "cause": str, "isolation": dict},
    RETIREMENT_ORDER: {"use_case": str, "reason": str},
    LEGAL_HOLD: {"use_case": str, "matter": str, "status": str, "reason": str},
}


def check_predicate(kind: str, predicate: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` unless `predicate` has every field of its kind, rightly typed."""
    fields = FIELDS.get(kind)
    if fields is None:
        raise InvalidInput(f"{kind!r} is not a kind of statement Custody knows")
    for name, wanted in fields.items():
        if name not in predicate:
            raise InvalidInput(f"{short(kind)} lacks {name!r}")
        value = predicate[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise InvalidInput(f"{short(kind)}: {name!r} has the wrong type ({type(value).__name__})")
    if kind != TRAINING_FINISH and not isinstance(predicate.get("at"), str):
        raise InvalidInput(f"{short(kind)} lacks 'at'")


def short(kind: str) -> str:
    """Return the name people use for a kind."""
    if kind == TRAINING_FINISH:
        return "training-finish"
    if kind == VERIFICATION_SUMMARY:
        return "verification-summary"
    return kind.removeprefix("urn:custody:").removesuffix(":v1")


def start_of(finish: Mapping[str, Any]) -> str:
    """Return the payload digest of the start statement that a provenance predicate names, or ""."""
    definition = finish.get("buildDefinition")
    internal = definition.get("internalParameters") if isinstance(definition, Mapping) else None
    found = internal.get("start") if isinstance(internal, Mapping) else None
    return found if isinstance(found, str) else ""


def closes(incident: Mapping[str, Any], roles: frozenset[str]) -> bool:
    """Tell whether an incident statement ends the incident: it says so, and a security manager signed it."""
    return incident["status"] == "closed" and "security_manager" in roles


def compromised(finish: Mapping[str, Any]) -> list[str]:
    """Return what was noticed during the run that makes it untrustworthy."""
    details = finish.get("runDetails")
    found = details.get("compromised") if isinstance(details, Mapping) else None
    return [str(item) for item in found] if isinstance(found, list) else ["the finish statement does not say"]


def anomalies(finish: Mapping[str, Any]) -> list[str]:
    """Return what somebody should look at in a run that ended well: leaps of the loss, data that were not opened."""
    details = finish.get("runDetails")
    found = details.get("anomalies") if isinstance(details, Mapping) else None
    return [str(item) for item in found] if isinstance(found, list) else []


def finished_inputs(finish: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, sha256) of the data the finish statement says were used, sorted."""
    definition = finish.get("buildDefinition")
    found = definition.get("resolvedDependencies") if isinstance(definition, Mapping) else None
    pairs: list[tuple[str, str]] = []
    for item in found if isinstance(found, list) else []:
        if isinstance(item, Mapping) and isinstance(item.get("digest"), Mapping):
            name = str(item.get("name", ""))
            if name.startswith("data:"):
                pairs.append((name.removeprefix("data:"), str(item["digest"].get("sha256", ""))))
    return sorted(pairs)
