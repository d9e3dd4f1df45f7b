"""Criteria: linted, checked for power against the held-out set, sealed before any run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custody.checks.registry import evaluator_digest, vocabulary
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.amendment import changes, former_seal
from custody.core.criteria import MAX_CRITERIA_BYTES, Criteria, Defect, read_criteria
from custody.core.data_rules import contents_of
from custody.core.evidence import Evidence, Record
from custody.core.gate import criteria_of
from custody.core.subject import use_case_subject
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, OutOfOrder
from custody.gates import policy_of
from custody.given import read_given, read_toml
from custody.records.datasets import Reader, dataset, table_of


def lint(path: Path) -> Criteria:
    """Read a criteria file; the defects say what is wrong, with lines."""
    try:
        raw = read_given(path, MAX_CRITERIA_BYTES)
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist", hint="custody gate init writes one to start from") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    tier = _tier(raw)
    return read_criteria(raw, vocabulary(), policy_of(tier)["required"])


def power(criteria: Criteria, root: Path, record: Record, read: Reader) -> list[Defect]:
    """Say which criteria everything passes, and which this held-out set is too small to prove."""
    from custody.checks._power import count_held_out, judge_power
    from custody.checks.target import Unmeasurable

    entry = dataset(record, str(criteria.document["held_out"]["dataset"]))
    table = table_of(root, entry, read)
    asked = criteria_of(criteria.document)
    names = [f"{criterion.check}.{criterion.measure}" for criterion in asked]
    try:
        counts = count_held_out(table)
    except Unmeasurable as error:
        return [Defect(1, "unmeasurable", f"this held-out set can settle no criterion: {error}")]
    confidence = float(criteria.document["confidence"])
    found: list[Defect] = []
    for criterion in asked:
        line = criteria.lines.get(criterion.id.partition("[")[0], 1)
        by = criterion.at.get("by")
        if by is not None and str(by) not in counts.groups:
            known = ", ".join(sorted(counts.groups)) or "none: register the dataset with --sensitive"
            found.append(Defect(line, "unknown-group", f"{by!r} is not a declared sensitive column; declared: {known}"))
            continue
        name = f"{criterion.check}.{criterion.measure}"
        beside = [other for other in names if other != name]
        weak = judge_power(name, criterion.at, criterion.at_least, criterion.at_most, counts, confidence, beside=beside)
        found += [Defect(line, defect.kind, f"{criterion.id}: {defect.message}") for defect in weak]
    return found


def opened_before(record: Record, name: str) -> list[int]:
    """Return the entries in which the bytes of a held-out set were opened already, under whatever name."""
    contents = contents_of(record, dataset(record, name).subject.sha256)
    return [
        entry.index
        for entry in record.of_kind(kinds.OPENING)
        if contents & contents_of(record, str(entry.predicate["held_out"]))
    ]


def post_hoc_warning(name: str, entries: list[int]) -> str:
    """Say what criteria are worth that are written after the exam was seen."""
    return (
        f"the held-out set {name} was opened in entry {entries[0]}: criteria sealed now are post-hoc, "
        "and no decision under them can be GO"
    )


def seal(
    desk: Desk,
    actor: str,
    use_case: str,
    root: Path,
    path: Path,
    read: Reader,
    *,
    post_hoc: bool = False,
    amending: bool = False,
) -> Evidence:
    """Seal the criteria with the policy, the evaluator's digest and the commitment to the held-out set.

    Where criteria of the use case were sealed before, the seal names them and lists what it changes.
    With `amending` there must be such criteria, and something must change.

    Raises `InvalidInput` with every defect when the file is not fit to be sealed, and `OutOfOrder` when
    the held-out set was opened before, unless `post_hoc` says that this is known.
    """
    criteria = lint(path)
    if not criteria.defects and criteria.document["use_case"] != use_case:
        line = Defect(1, "use-case", f"these criteria are for {criteria.document['use_case']!r}, not {use_case!r}")
        criteria = Criteria(criteria.document, (line,), criteria.lines)
    record = desk.read()
    if not criteria.defects:
        criteria = Criteria(criteria.document, tuple(power(criteria, root, record, read)), criteria.lines)
    if criteria.defects:
        raise InvalidInput(
            f"{path} is not fit to be sealed:\n" + "\n".join(f"  {defect}" for defect in criteria.defects),
            hint="mend the lines above, then: custody gate lint",
        )
    opened = record.latest(kinds.USE_CASE, use_case=use_case)
    if opened is None:
        raise NotFound(f"use case {use_case!r} is not on record", hint="custody init")
    if not record.about(use_case_subject(use_case).sha256, kinds.SOURCING):
        raise OutOfOrder("no decision to build, buy or adopt is on record", hint="custody source decide --help")
    tier = str(criteria.document["tier"])
    if tier != opened.predicate["tier"]:
        raise InvalidInput(f"the use case was opened as tier {opened.predicate['tier']}, the criteria say {tier}")
    held_out = dataset(record, str(criteria.document["held_out"]["dataset"]))
    policy = dict(opened.predicate["policy"])
    reserved = sorted({str(item["id"]) for item in policy["baseline"]} & set(criteria.lines))
    if reserved:
        raise InvalidInput(f"{', '.join(reserved)} are ids of the policy's own criteria", hint="rename yours")
    pen = desk.permit(actor, Action.SEAL)
    former = former_seal(record, use_case, record.size)
    if amending and former is None:
        raise OutOfOrder("there are no sealed criteria to amend", hint=f"custody gate seal {path}")
    if (before := opened_before(record, held_out.subject.name)) and not post_hoc:
        raise OutOfOrder(
            post_hoc_warning(held_out.subject.name, before),
            hint="register a fresh held-out set; to seal all the same, for the record only: --post-hoc",
        )
    said: dict[str, Any] = {
        "use_case": use_case,
        "criteria": _with_baseline(criteria.document, policy),
        "criteria_sha256": criteria.sha256,
        "policy": policy,
        "held_out": {
            "name": held_out.subject.name,
            "sha256": held_out.subject.sha256,
            "record": held_out.digest,
            "rows": held_out.predicate["rows"],
        },
        "evaluator": evaluator_digest(),
    }
    if former is not None:
        changed = changes(former.predicate, said)
        if amending and not changed:
            raise InvalidInput(f"{path} changes nothing of the criteria in entry {former.index}")
        said |= {"amends": former.digest, "changes": changed}
    return pen.write(use_case_subject(use_case), kinds.SEAL, said)


def _with_baseline(document: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "criterion": [*document["criterion"], *policy["baseline"]]}


def _tier(raw: bytes) -> str:
    try:
        tier = read_toml(raw.decode("utf-8")).get("tier")
    except (ValueError, RecursionError):
        return "high"
    return tier if tier in ("low", "medium", "high") else "high"


def template(use_case: str, tier: str, held_out: Evidence) -> str:
    """Return a criteria file to start from, with the sensitive columns of the held-out set.

    Evasion is asked for when the data say which columns an attacker can change, or when the tier's
    policy requires robustness; else a comment says how to ask for it.
    """
    sensitive = [str(name) for name in held_out.predicate["columns"]["sensitive"]]
    by = ", ".join(f'"{name}"' for name in sensitive)
    fairness = (
        f"""
[[criterion]]
id = "F1"
class = "fairness"
measure = "fairness.group_gaps.equal_opportunity_difference"
by = [{by}]
depth = 1
at_most = 0.10
why = "Whoever deserves the positive answer should get it about as often in each group."
"""
        if sensitive
        else """
[not_applicable]
fairness = "no sensitive column is declared for this data"
"""
    )
    return f"""# What must hold before this model may run. Set the bounds, then: custody gate lint
# A bound is compared with a whole confidence interval, never with a single number.
custody = "criteria/1"
use_case = "{use_case}"
tier = "{tier}"
confidence = 0.95
max_openings = 20        # how often the held-out set may be opened
max_attempts = 10        # how many training runs may be tried

[held_out]
dataset = "{held_out.subject.name}"

[[criterion]]
id = "P1"
class = "performance"
measure = "performance.classification.balanced_accuracy"
at_least = 0.70
why = "Clearly better than guessing, on both classes."
{fairness}
{_evasion(tier, [str(name) for name in held_out.predicate["columns"].get("mutable", ())])}
[[criterion]]
id = "S1"
class = "security"
measure = "privacy.membership_inference.auc"
at_most = 0.60
why = "An attacker should beat a coin by no more than ten points when guessing who was in the training data."

[[criterion]]
id = "D1"
class = "data"
measure = "data.contamination.excess_rate"
at_most = 0.005
why = "The held-out set must not have been seen in training."

[[criterion]]
id = "D2"
class = "data"
measure = "data.leakage.leaky_features"
at_most = 0.0
why = "No column may give the answer away."
"""


def _evasion(tier: str, mutable: list[str]) -> str:
    """Return the criterion on evasion, or the comment that stands for it where it would be a guess."""
    required = "robustness" in policy_of(tier)["required"]
    if not mutable and not required:
        return """# Evasion is left out: no column is declared that an attacker could change. To ask for it,
# register the data with --mutable COLUMN and add a criterion on robustness.evasion.success_rate.
"""
    told = (
        f"# An attacker is taken to be able to change: {', '.join(mutable)}."
        if mutable
        else """# No column is declared that an attacker could change, so every one that is not sensitive
# is taken to be: that is the worst case, and simple models rarely survive it. Register the data with
# --mutable COLUMN."""
    )
    return f"""{told}
# 0.90 is where to start, not what is safe: nine in ten found positives may be hidden by changing one field.
# Set the bound to what your use can bear; 0.50 or lower where somebody gains by not being found.
[[criterion]]
id = "A1"
class = "robustness"
measure = "robustness.evasion.success_rate"
at = {{ features = 1 }}
at_most = 0.90
why = "Changing one field must not let nearly every positive through."
"""
