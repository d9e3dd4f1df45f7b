"""Results of checks, put on record under the digest of the evaluator that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from custody.checks.registry import evaluator_digest, registry
from custody.core import predicates as kinds
from custody.core.evidence import Evidence
from custody.core.measure import Result
from custody.core.stage import Stage
from custody.core.strictjson import dump
from custody.core.subject import Subject
from custody.desk import Pen
from custody.errors import InvalidInput
from custody.records.vault import Concealed

Conceal = Callable[[str, bytes], Concealed]
"""Keeps content about a subject, by its sha256, where only its key opens it."""


def write_result(
    pen: Pen,
    subject: Subject,
    check_id: str,
    stage: Stage,
    result: Result,
    inputs: Mapping[str, Any],
    conceal: Conceal | None = None,
) -> Evidence:
    """Record a check's result about `subject`.

    What a sensitive check found goes through `conceal`, and a commitment stands in its place; its measures
    stay readable, for gates judge by nothing else. Raises `InvalidInput` where such a check has no vault.
    """
    said: dict[str, Any] = {
        "check": check_id,
        "stage": str(stage),
        "evaluator": evaluator_digest(),
        "measures": [measure.to_json() for measure in result.measures],
        "findings": [finding.to_json() for finding in result.findings],
        "details": dict(result.details),
        "inputs": dict(inputs),
    }
    check = registry().get(check_id)
    if check is not None and check.sensitive and (said["findings"] or said["details"]):
        if conceal is None:
            raise InvalidInput(f"what {check_id} finds is sensitive, and there is no vault to keep it in")
        hidden = conceal(subject.sha256, dump({"findings": said["findings"], "details": said["details"]}))
        severities = Counter(str(finding["severity"]) for finding in said["findings"])
        said.update(
            findings=[],
            details={},
            concealed={
                "commitment": hidden.commitment,
                "ciphertext": hidden.ciphertext,
                "fields": ["findings", "details"],
                "severities": dict(severities),
            },
        )
    return pen.write(subject, kinds.CHECK_RESULT, said)
