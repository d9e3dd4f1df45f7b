"""Results of checks, put on record under the digest of the evaluator that made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody.checks.registry import evaluator_digest
from custody.core import predicates as kinds
from custody.core.evidence import Evidence
from custody.core.measure import Result
from custody.core.stage import Stage
from custody.core.subject import Subject
from custody.desk import Pen


def write_result(
    pen: Pen, subject: Subject, check_id: str, stage: Stage, result: Result, inputs: Mapping[str, Any]
) -> Evidence:
    """Record a check's result about `subject`."""
    return pen.write(
        subject,
        kinds.CHECK_RESULT,
        {
            "check": check_id,
            "stage": str(stage),
            "evaluator": evaluator_digest(),
            "measures": [measure.to_json() for measure in result.measures],
            "findings": [finding.to_json() for finding in result.findings],
            "details": dict(result.details),
            "inputs": dict(inputs),
        },
    )
