"""What each kind of statement says, as JSON schemas: `python docs/generate.py` writes reference/predicates/*.

One schema a kind and version (JSON Schema 2020-12), of the predicate alone; the statement around it is in-toto
Statement v1. Tests hold every field against `custody.core.predicates` and validate the statements of whole lives.
Fields that are not listed may be there and mean nothing to a gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody.core import predicates as kinds

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# -- the vocabulary of the schemas -----------------------------------------------------------------


def text(about: str, *choices: str, pattern: str = "") -> Schema:
    """Describe text; with choices, one of them."""
    found: Schema = {"type": "string", "description": about}
    if choices:
        found["enum"] = list(choices)
    if pattern:
        found["pattern"] = pattern
    return found


def sha256(about: str) -> Schema:
    """Describe a sha256 in hex."""
    return text(about, pattern="^[0-9a-f]{64}$")


def moment(about: str) -> Schema:
    """Describe a moment."""
    return text(f"{about} ISO 8601 with a time zone.")


def whole(about: str, least: int | None = 0) -> Schema:
    """Describe a whole number of at least `least`."""
    found: Schema = {"type": "integer", "description": about}
    return found if least is None else {**found, "minimum": least}


def number(about: str) -> Schema:
    """Describe a number."""
    return {"type": "number", "description": about}


def flag(about: str) -> Schema:
    """Describe a yes or no."""
    return {"type": "boolean", "description": about}


def array(about: str, items: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "description": about, "items": items}


def record(
    about: str, fields: Mapping[str, Schema] | None = None, optional: Mapping[str, Schema] | None = None
) -> Schema:
    """Describe an object with these fields; what else it holds means nothing."""
    found: Schema = {"type": "object", "description": about}
    if fields or optional:
        found["properties"] = {**(fields or {}), **(optional or {})}
    if fields:
        found["required"] = sorted(fields)
    return found


def table(about: str, values: Schema) -> Schema:
    """Describe an object whose keys are names of the user's own."""
    return {"type": "object", "description": about, "additionalProperties": values}


def nullable(schema: Schema) -> Schema:
    """Allow null as well."""
    return {**schema, "type": [schema["type"], "null"]}


# -- shapes that several kinds share ------------------------------------------------------------------

_ROLES = array("Roles held.", text("A role, such as validator."))
_FILES = array(
    "Files of the manifest, sorted by path.",
    record(
        "One file.",
        {"path": text("Path below the folder."), "size": whole("Bytes."), "sha256": sha256("Of the bytes.")},
    ),
)
_ISOLATION = record(
    "How the process was walled off.",
    {"kind": text("bubblewrap, or none.")},
    {
        "detail": text("What was closed."),
        "network": flag("Whether a network was reachable."),
        "seccomp": flag("Whether system calls were filtered."),
    },
)
_ENVIRONMENT = text("Where the model runs, such as production.")
_USE_CASE = text("Name of the use case.")
_REASON = text("Why, in the signer's words.")
_RUN = text("The run's own id.")
_ENTRY = sha256("Payload digest of the statement referred to.")
_POLICY = record("What the gate demands beside its criteria: the tier's policy, as the owner signed it.")

SAYS: Mapping[str, tuple[str, Mapping[str, Schema], Mapping[str, Schema]]] = {
    kinds.ENROLMENT: (
        "A name on the ledger: the person behind it, its roles and its public key.",
        {
            "name": text("The name that acts."),
            "person": text("The person behind it; thresholds and separation of duties count persons."),
            "roles": _ROLES,
            "key": text("ECDSA P-256 public key: SubjectPublicKeyInfo in PEM."),
            "keyid": sha256("Of the key's DER."),
            "status": text("Whether the name may act from here on.", "active", "revoked"),
        },
        {"account": text("A service is never counted as a person.", "person", "service")},
    ),
    kinds.USE_CASE: (
        "What models will be for, how much is at stake, and the policy every gate must carry.",
        {
            "use_case": _USE_CASE,
            "tier": text("How much is at stake.", "low", "medium", "high"),
            "purpose": text("What the model is for."),
            "solo": flag("One person plays every part; every report says so."),
            "policy": _POLICY,
        },
        {},
    ),
    kinds.SOURCING: (
        "Build, buy or open source: the decision with its weights, and what would flip it.",
        {
            "use_case": _USE_CASE,
            "chosen": text("What was chosen.", "build", "buy", "open"),
            "options": table("Each option with its score.", record("Drivers, score and cost.")),
            "weights": table("Weight of each driver; they sum to 1.", number("0 to 1.")),
            "flips": array("Changes of one weight that would choose another option.", text("One of them.")),
            "reason": _REASON,
        },
        {"review_days": whole("Days until the decision should be looked at again.")},
    ),
    kinds.RISK: (
        "One risk: opened, treated or accepted.",
        {
            "use_case": _USE_CASE,
            "risk": text("The risk's short name; the newest word on it counts."),
            "title": text("The risk in a sentence."),
            "status": text("How it stands: open, treated or accepted; anything else is not treated."),
            "reason": _REASON,
            "expires": nullable(moment("When an acceptance ends.")),
        },
        {},
    ),
    kinds.DATASET: (
        "A dataset: its files and blocks by digest, where it comes from, and what its columns are.",
        {
            "name": text("Name of the dataset."),
            "files": _FILES,
            "blocks": array(
                "Stretches with digests of their own, so that a change is located.", record("One stretch.")
            ),
            "purpose": text("training, held_out or another use."),
            "source": text("Where it comes from."),
            "owner": text("Who answers for it."),
            "licence": text("By what right it is used."),
            "trust": text("Trust level of the source, such as trusted."),
            "rows": whole("Rows in all."),
            "columns": record("Target, sensitive, mutable, ignored and identifying columns."),
            "schema": array("Name and type of each column.", {"type": ["array", "object", "string"]}),
        },
        {
            "source_expires": moment("When the approval of the source ends."),
            "retain_until": moment("Until when it may be kept; afterwards erasing it is a task."),
        },
    ),
    kinds.CHECK_RESULT: (
        "What a check measured, and on what.",
        {
            "check": text("Id of the check, such as privacy.membership_inference."),
            "stage": text("The stage at which it measured."),
            "evaluator": sha256("Over the source of all checks."),
            "measures": array(
                "Values with intervals.",
                record(
                    "One measure.",
                    {"name": text("Name of the measure.")},
                    {
                        "value": nullable(number("The estimate; null when unknown.")),
                        "low": nullable(number("Lower end of the interval.")),
                        "high": nullable(number("Upper end of the interval.")),
                        "n": {"type": ["integer", "null"], "description": "Rows it rests on."},
                        "at": record("What it was measured at, such as a group or a budget."),
                    },
                ),
            ),
            "findings": array("What was seen: what, where, why it matters, what to do.", record("One finding.")),
            "details": record("Whatever else the check reports."),
            "inputs": record("Digests of what it was taken on: dataset, seal, held-out set, opening, isolation."),
        },
        {
            "concealed": record(
                "Stands for findings and details that are sensitive: a commitment, opened only with the model's key.",
                {
                    "commitment": text("HMAC-SHA256 over the canonical JSON, keyed by a secret salt; hex."),
                    "ciphertext": text("Digest of the ciphertext in the vault."),
                    "fields": array("Which fields were taken out.", text("Name of a field.")),
                },
            )
        },
    ),
    kinds.SEAL: (
        "The gate, before training: criteria, policy, held-out set and evaluator are fixed.",
        {
            "use_case": _USE_CASE,
            "criteria": record("The criteria file, defaults expanded."),
            "criteria_sha256": sha256("Of the criteria file's bytes."),
            "policy": _POLICY,
            "held_out": record(
                "The held-out set that will be used.",
                {"sha256": sha256("Of the dataset."), "record": _ENTRY},
                {"name": text("Its name."), "rows": whole("Its rows.")},
            ),
            "evaluator": sha256("Over the source of all checks."),
        },
        {
            "amends": sha256("Payload digest of the seal that this one replaces."),
            "changes": array("What that changes: loosened, tightened, added, removed or changed.", text("A change.")),
        },
    ),
    kinds.TRAINING_START: (
        "A training run begins, under a seal and a checkpoint that covers it.",
        {
            "run": _RUN,
            "use_case": _USE_CASE,
            "seal": text("Payload digest of the seal; empty when there is none, and then no model of it can be GO."),
            "checkpoint": record(
                "A checkpoint of this ledger that covers the seal.",
                {"size": whole("Entries it covers."), "root": sha256("Root of the tree.")},
                {
                    "note": text("The signed note."),
                    "anchor": sha256("Payload digest of the anchor that holds the witnesses' signatures."),
                },
            ),
            "seed": whole("Derived from checkpoint, seal and data."),
            "command": array("The command.", text("One word.")),
            "out": text("Folder the model is written to."),
            "inputs": array(
                "The training data.",
                record("One dataset.", {"name": text("Its name."), "sha256": sha256("Of it.")}, {"record": _ENTRY}),
            ),
            "code": record("Digest and files of the code, and the state of git."),
            "parameters": record("Parameters given on the command line."),
            "environment": record("Python, packages, machine, variables (values left out)."),
            "isolation": _ISOLATION,
        },
        {"tolerance": text("How far a spot check may lie from the transcript: exact, or relative up to 1e-3.")},
    ),
    kinds.TRAINING_ABORT: (
        "A training run ended without a model. It counts as an attempt.",
        {"run": _RUN, "start": _ENTRY, "reason": _REASON, "exit_code": whole("Of the process.", None)},
        {},
    ),
    kinds.TRAINING_FINISH: (
        "A training run ended in a model: SLSA provenance v1 with a build type of our own.",
        {
            "buildDefinition": record(
                "What was to be done (SLSA provenance v1).",
                {
                    "buildType": text("urn:custody:training:v1"),
                    "externalParameters": record("Command and parameters."),
                    "internalParameters": record("Run, seed, and the digest of the start statement."),
                    "resolvedDependencies": array("The data that were used, by digest.", record("One of them.")),
                },
            ),
            "runDetails": record(
                "What happened.",
                {"builder": record("Which sandbox ran it.", {"id": text("Its id.")})},
                {
                    "files": _FILES,
                    "compromised": array("What was noticed that makes the run untrustworthy.", text("One thing.")),
                    "anomalies": array("What somebody should look at: NaN, leaps of a loss.", text("One thing.")),
                    "transcript": record(
                        "The chain of training steps that a spot check can repeat.",
                        {
                            "steps": whole("Steps recorded."),
                            "sha256": sha256("Of the file."),
                            "head": sha256("Of the chain."),
                        },
                        {"tolerance": text("How far a repetition may differ.")},
                    ),
                },
            ),
        },
        {},
    ),
    kinds.REPRODUCTION: (
        "A run was repeated from its record.",
        {
            "run": _RUN,
            "verdict": text("bit-identical, within tolerance, or diverged."),
            "cause": text("Why it differs."),
            "isolation": _ISOLATION,
        },
        {"seed": whole("The seed it was run with.")},
    ),
    kinds.SPOT_CHECK: (
        "The first steps of a run were repeated and compared with its transcript.",
        {
            "run": _RUN,
            "start": _ENTRY,
            "steps": whole("How many steps agree, from the first on."),
            "verdict": text("agrees, differs or unknown."),
            "cause": text("The first step and field that differ, or why nothing could be compared."),
            "isolation": _ISOLATION,
        },
        {
            "asked": whole("How many steps were to be repeated."),
            "tolerance": text("How far they may lie apart, as the start statement has it."),
        },
    ),
    kinds.OPENING: (
        "The held-out set is about to be used for one model under one seal. Written before, so that it always counts.",
        {
            "held_out": sha256("Of the held-out set."),
            "model": sha256("Of the model."),
            "seal": _ENTRY,
            "purpose": text("What for."),
        },
        {},
    ),
    kinds.APPROVAL: (
        "A person's yes or no to one model.",
        {"use_case": _USE_CASE, "verdict": text("approve; anything else is a rejection."), "reason": _REASON},
        {},
    ),
    kinds.WAIVER: (
        "A person's leave for one model to miss one criterion for a time.",
        {
            "use_case": _USE_CASE,
            "criterion": text("Id of the criterion."),
            "reason": _REASON,
            "control": text("What is done instead."),
            "expires": moment("When it ends."),
        },
        {},
    ),
    kinds.DECISION: (
        "GO, NO-GO or INCONCLUSIVE with all rulings: what the record gives, so that anyone can compute it again.",
        {
            "use_case": _USE_CASE,
            "verdict": text("The answer.", "GO", "NO-GO", "INCONCLUSIVE"),
            "rulings": array(
                "One for each rule of the process and each criterion, in order.",
                record(
                    "One ruling.",
                    {
                        "id": text("Rule or criterion."),
                        "status": text("Its answer.", "met", "waived", "inconclusive", "unknown", "not_met"),
                        "reason": text("Why."),
                        "entries": array("The entries it rests on.", whole("An index.")),
                    },
                ),
            ),
            "outcome": sha256("Over verdict, rulings, model, seal and checkpoint."),
            "seal": text("Payload digest of the seal, or empty."),
            "size": whole("Entries it was made from; equals its own index."),
            "root": sha256("Root of the tree of that size."),
            "assurance": text("Whether duties were separated.", "separated", "solo"),
        },
        {
            "expires": text("When the decision ends, or empty."),
            "account": record("For people: signers, dissent, waivers, what is unknown, what was tried and amended."),
        },
    ),
    kinds.VERIFICATION_SUMMARY: (
        "SLSA verification summary v1 of a decision: what other tools read.",
        {
            "verifier": record("Who verified.", {"id": text("Its id.")}),
            "timeVerified": moment("When the decision was made."),
            "resourceUri": text("Use case and model."),
            "policy": record("The seal.", {"digest": table("Its digests.", text("Hex."))}),
            "inputAttestations": array("The decision it sums up.", record("One.")),
            "verificationResult": text("PASSED only for GO.", "PASSED", "FAILED"),
            "verifiedLevels": array("Tier and separation.", text("One level.")),
        },
        {},
    ),
    kinds.ADMISSION: (
        "A model may enter one environment, until the decision it follows ends.",
        {
            "use_case": _USE_CASE,
            "environment": _ENVIRONMENT,
            "decision": _ENTRY,
            "expires": text("When it ends, or empty."),
        },
        {},
    ),
    kinds.DEPLOYMENT: (
        "A model was given out to an environment.",
        {
            "use_case": _USE_CASE,
            "environment": _ENVIRONMENT,
            "admission": _ENTRY,
            "copies": array("Where readable copies lie.", text("A path.")),
        },
        {"reason": text("Why readable copies were made.")},
    ),
    kinds.PREDICTIONS: (
        "A stretch of the prediction log: how many, and the root over them.",
        {
            "segment": text("Id of the stretch."),
            "count": whole("Predictions in it."),
            "root": sha256("Root over its lines."),
            "model": sha256("Of the model."),
            "environment": _ENVIRONMENT,
        },
        {},
    ),
    kinds.INCIDENT: (
        "Something is wrong with the subject, or no longer.",
        {
            "incident": text("Short id; the newest word on it counts."),
            "type": text("Such as poisoning or evasion."),
            "status": text("open, contained or closed; a security manager alone closes."),
            "reason": _REASON,
            "affected": array("What depends on the subject.", record("One entry.")),
        },
        {},
    ),
    kinds.RETIREMENT_ORDER: (
        "A model or dataset shall be destroyed; where the policy asks, only after a second person has countersigned.",
        {"use_case": _USE_CASE, "reason": _REASON},
        {
            "due": moment("From when on."),
            "dispositions": array("What becomes of each asset.", record("An asset: retain, archive or erase.")),
        },
    ),
    kinds.LEGAL_HOLD: (
        "Nothing about the subject may be destroyed, or may be again.",
        {
            "use_case": _USE_CASE,
            "matter": text("What the hold is for."),
            "status": text("Placed or lifted.", "placed", "lifted"),
            "reason": _REASON,
        },
        {},
    ),
    kinds.RETIREMENT: (
        "The certificate of a destruction: which key, which ciphertexts, and that they opened before and not after.",
        {
            "use_case": _USE_CASE,
            "reason": _REASON,
            "key_commitment": text("Commitment to the key that was destroyed."),
            "ciphertexts": table(
                "What stays behind and is of no use.", text("sha256 over the header and the tags of a ciphertext.")
            ),
            "canary": record("Whether it opened.", {"before": flag("Just before."), "after": flag("Afterwards.")}),
            "copies": record("Where readable copies were looked for, and where not."),
        },
        {
            "keys": table("Data keys that went with it, by file.", text("Commitment to a data key.")),
            "evidence": array("Ciphertexts of concealed evidence that stay behind.", sha256("Of a ciphertext.")),
            "order": text("Digest of the order; empty where one person was enough and none was given."),
            "confirmations": array("By whom else.", sha256("Of a countersignature.")),
            "dispositions": array("What became of each asset.", record("An asset: retain, archive or erase.")),
            "places": array("Where Custody itself keeps something.", record("A place, and its files that are left.")),
            "models": array("Of a dataset: the models that learnt from it.", sha256("Of a model.")),
            "successor": text("Of a root key: the commitment to the one in force now."),
            "rewrapped": whole("Of a root key: how many keys were wrapped anew."),
        },
    ),
    kinds.DENIAL: (
        "Somebody was refused.",
        {
            "actor": text("Who asked."),
            "person": text("The person behind the name."),
            "action": text("For what."),
            "reason": text("Why not."),
        },
        {
            "rule": text("The access rule that decided; empty where no rule allowed it."),
            "policy": text("The sha256 of all access rules in force."),
            "missing": array("Circumstances that a rule asked for and nobody told.", text("A name in the context.")),
        },
    ),
    kinds.TRUST_ROOT: (
        "The next version of the trust root, signed by the owners before and after.",
        {
            "version": whole("One more than the version before.", 2),
            "expires": text("When readers should ask for a newer one; empty for never."),
            "log_key": text("The log's raw Ed25519 public key, base64."),
            "owners": array(
                "Who may enrol others and sign the next root.",
                record(
                    "One owner.",
                    {
                        "name": text("Name on the ledger."),
                        "person": text("The person behind it."),
                        "keyid": sha256("Of the key's DER."),
                        "key": text("P-256 public key in PEM."),
                    },
                ),
            ),
            "threshold": whole("How many persons among the owners must agree.", 1),
            "witnesses": array(
                "Whose cosignatures count.",
                record("One witness.", {"name": text("Its name."), "key": text("Raw Ed25519 public key, base64.")}),
            ),
            "quorum": whole("How many witnesses a checkpoint needs."),
            "signatures": array(
                "Over everything else here and the log's origin.",
                record(
                    "One signature.", {"keyid": sha256("Of the owner's key."), "sig": text("ECDSA in DER, base64.")}
                ),
            ),
        },
        {},
    ),
    kinds.KEY_REVOCATION: (
        "A key signs nothing from here on; what it signed since an entry no longer helps anyone.",
        {
            "name": text("Whose key."),
            "keyid": sha256("Of the key's DER."),
            "reason": _REASON,
            "compromised_since": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "Index from which on its signatures are void; null when it was merely given up.",
            },
        },
        {},
    ),
    kinds.GRANT: (
        "Roles for a time: granted by an owner, or taken in an emergency and reviewed afterwards.",
        {
            "name": text("Who receives them."),
            "roles": _ROLES,
            "status": text("Given or taken back.", "granted", "withdrawn"),
            "emergency": flag("Break-glass: taken by the actor alone, for one statement, to be reviewed."),
            "expires": moment("When they end."),
            "reason": _REASON,
        },
        {},
    ),
    kinds.DELEGATION: (
        "A token: a key that acts for a person, with some of their roles, for a time.",
        {
            "name": text("Name of the token."),
            "key": text("P-256 public key in PEM."),
            "keyid": sha256("Of the key's DER."),
            "roles": _ROLES,
            "expires": moment("When it ends."),
            "status": text("Whether it may act.", "active", "revoked"),
        },
        {},
    ),
    kinds.ACCESS_REVIEW: (
        "A security manager looked at who may do what, or at one emergency.",
        {
            "of": text("Payload digest of the emergency grant; empty for a review of all access."),
            "verdict": text("upheld or disputed."),
            "findings": array("What was found.", {"type": ["object", "string"]}),
            "reason": _REASON,
        },
        {},
    ),
    kinds.COUNTERSIGNATURE: (
        "A second person stands behind an earlier statement.",
        {"of": _ENTRY, "reason": _REASON},
        {},
    ),
    kinds.ANCHOR: (
        "A checkpoint of this ledger as others saw it: witnesses' cosignatures, time stamps.",
        {
            "size": whole("Entries the checkpoint covers."),
            "root": sha256("Its root."),
            "note": text("The signed note with the cosignatures."),
            "tokens": array(
                "RFC 3161 time stamps over the sha256 of the note's body.",
                record("One.", {"tsa": text("Where it comes from."), "token": text("DER, base64.")}),
            ),
        },
        {},
    ),
}

_AT = moment("The signer's clock: a claim. Order is proven by ledger indexes alone.")
_ID = text("Makes the statement unlike any other; no statement counts twice.")


def schemas() -> dict[str, Schema]:
    """Return the JSON schema of each kind's predicate, by the name of its file without ending."""
    found: dict[str, Schema] = {}
    for kind, (about, required, optional) in SAYS.items():
        timed = {} if kind == kinds.TRAINING_FINISH else {"at": _AT}
        body = record(about, {**required, **timed}, {**optional, "id": _ID})
        name = f"{kinds.short(kind)}-v1"
        found[name] = {"$schema": DIALECT, "$id": kind, "title": kinds.short(kind), **body}
    return found


def page() -> str:
    """Return docs/reference/predicates.md: every kind, its fields and what they mean."""
    lines = [
        "# Statements",
        "",
        "Every kind of statement, with the fields each must have. The schemas lie in [predicates](predicates); fields",
        "that are not listed may be there and mean nothing to a gate.",
        "",
        "*This page and the schemas are written by `python docs/generate.py` from `docs/predicates.py`.*",
    ]
    for kind, (about, required, optional) in sorted(SAYS.items(), key=lambda item: kinds.short(item[0])):
        name = kinds.short(kind)
        lines += ["", f"## {name}", "", about, "", f"`{kind}` · [schema](predicates/{name}-v1.json)", ""]
        lines += ["| field | type | what it is |", "|---|---|---|"]
        for field, schema in {**required, **optional}.items():
            mark = "" if field in required else " (may be absent)"
            lines.append(f"| `{field}` | {_type(schema)} | {_cell(schema)}{mark} |")
    return "\n".join(lines) + "\n"


def _type(schema: Schema) -> str:
    said = schema["type"]
    return " or ".join(said) if isinstance(said, list) else str(said)


def _cell(schema: Schema) -> str:
    about = schema.get("description", "")
    choices = schema.get("enum")
    return f"{about} One of {', '.join(choices)}." if choices else about
