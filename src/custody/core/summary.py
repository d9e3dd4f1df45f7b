"""A decision in a form that other tools read: SLSA Verification Summary Attestation, v1.

https://slsa.dev/spec/v1.0/verification_summary. PASSED says GO and nothing else does; the levels name the
gate's tier and whether different persons played the parts. It repeats a decision and makes none.
"""

from __future__ import annotations

from typing import Any

from custody.core import predicates as kinds
from custody.core.decision import Decision, Verdict
from custody.core.evidence import Record
from custody.core.subject import use_case_subject

VERIFIER = "custody"


def summary_of(record: Record, decision: Decision, digest: str) -> dict[str, Any]:
    """Return the predicate that sums up `decision`, whose statement on record has the payload digest `digest`."""
    opened = record.about(use_case_subject(decision.use_case).sha256, kinds.USE_CASE)
    tier = str(opened[-1].predicate["tier"]) if opened else "none"
    return {
        "verifier": {"id": VERIFIER},
        "timeVerified": decision.at,
        "resourceUri": f"custody:{decision.use_case}@{decision.model}",
        "policy": {"uri": f"custody:{decision.use_case}/criteria", "digest": {"sha256": decision.seal}},
        "inputAttestations": [
            {"uri": "custody:decision", "digest": {"sha256": digest}},
            {"uri": "custody:outcome", "digest": {"sha256": decision.outcome}},
        ],
        "verificationResult": "PASSED" if decision.verdict is Verdict.GO else "FAILED",
        "verifiedLevels": [f"CUSTODY_GATE_{tier.upper()}", f"CUSTODY_{decision.assurance.upper()}"],
    }
