"""Training: a sealed run that can only see what was declared, bound to the seal before it begins."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.data_rules import contents_of, purposes_of
from custody.core.evidence import Evidence, Record
from custody.core.model_file import SUFFIXES, model_file
from custody.core.sandbox import Confinement, Outcome, fixed_environment
from custody.core.seed import derive_order_key, derive_seed
from custody.core.subject import Subject, run_subject
from custody.core.transcript import Recorder, Tolerance
from custody.core.trust_rules import countersignature, countersigners
from custody.desk import Desk, Pen
from custody.errors import InvalidInput, OutOfOrder, Tampered, Unavailable, Unknown
from custody.records.datasets import check_bytes, dataset, datasets, manifest_of
from custody.records.freshness import eyes_of
from custody.records.known_bytes import there_before, without_data
from custody.records.lineage import attempts_of
from custody.records.output import claimed
from custody.records.retired import refuse_retired_contents
from custody.seal.digest import Manifest, describe, fingerprints, verify, walk
from custody.workshop import TRANSCRIPT, Order, Workshop, private_folder, python_of, run_sealed, staged_data


@dataclass(frozen=True)
class Finished:
    """How a run ended: the model when there is one, the outcome of the command always."""

    run: str
    outcome: Outcome
    model: Subject | None
    evidence: Evidence
    log: Path
    isolation: str
    attempt: int = 0
    """Which attempt under its seal this was; 0 without a seal."""
    attempts: int = 0
    """How many the sealed budget allows."""
    steps: int = 0
    """How many steps its transcript has."""
    anomalies: Sequence[str] = ()
    """What somebody should look at: numbers that are none, leaps of the loss, a transcript that is missing."""


def run(
    desk: Desk,
    workshop: Workshop,
    actor: str,
    use_case: str,
    order: Order,
    anchor: Callable[[], Evidence] | None = None,
) -> Finished:
    """Train under seal. (1) permit, (2) verify and copy, (3) say start, (4) run, (5) say finish.

    `anchor` has the newest checkpoint signed by outside eyes, where any are known; where the trust root asks
    for witnesses, a run begins from such a checkpoint or not at all: whatever `anchor` raises is raised.
    Raises `OutOfOrder` without sealed criteria, without a countersignature or isolation that the policy asks
    for, without registered data or when the sealed budget of attempts is spent, `NotPermitted` for the wrong
    person or for held-out data, `InvalidInput` for a command that does not exist (none of which costs an
    attempt), `Tampered` when data changed during the run or the model was there before it.
    """
    if not order.command:
        raise InvalidInput("there is no command to run", hint="custody run -- python train.py")
    _refuse_reserved(order.parameters)
    tolerance = str(Tolerance.parse(order.tolerance))
    pen = desk.permit(actor, Action.START_RUN)  # (1)
    record = desk.read()
    seal = record.latest(kinds.SEAL, use_case=use_case)
    if seal is None and not order.unsealed:
        raise OutOfOrder(
            "no criteria are sealed; a model trained before its criteria can never be GO",
            hint="custody gate seal criteria.toml",
        )
    if seal is not None and seal.person == pen.actor.person and not desk.solo():
        desk.deny(pen.actor, Action.START_RUN, Access(allowed=False, reason=f"{seal.person} wrote the criteria"), None)
    _refuse_uncountersigned(record, seal)
    _find_program(order.command, workshop.root)
    attempt, attempts = _attempt(record, seal)
    inputs = _inputs(desk, pen, record, seal, order.data)
    checkpoint = _checkpoint(desk, record, anchor)
    run_id = secrets.token_hex(6)
    with (
        claimed(workshop.root, order.out, workshop.runs) as out,
        staged_data(workshop, run_id, inputs) as staged,
    ):  # (2)
        banned = [workshop.root / str(entry.predicate["path"]) for entry in inputs]
        code = workshop.capture_code(workshop.root, [*banned, out, *workshop.hidden])
        _refuse_data_as_code(record, code)
        refuse_retired_contents(record, use_case, _contents(code, inputs))
        before = {entry.subject.name: fingerprints(workshop.root / str(entry.predicate["path"])) for entry in inputs}
        digests = [(entry.subject.name, entry.subject.sha256) for entry in inputs]
        root = str(checkpoint["root"])
        seal_digest = seal.digest if seal else ""
        seed = derive_seed(root, seal_digest, digests)
        environment = workshop.capture_environment(python_of(order.command))
        isolation = workshop.sandbox.describe()
        if seal is not None:
            _refuse_unisolated(seal, isolation)
        start = pen.write(  # (3)
            run_subject(run_id),
            kinds.TRAINING_START,
            {
                "run": run_id,
                "use_case": use_case,
                "seal": seal_digest,
                "checkpoint": checkpoint,
                "seed": seed,
                "command": list(order.command),
                "out": order.out,
                "inputs": [
                    {"name": entry.subject.name, "sha256": entry.subject.sha256, "record": entry.digest}
                    for entry in inputs
                ],
                "code": code,
                "parameters": dict(order.parameters),
                "environment": environment,
                "isolation": isolation.to_json(),
                "tolerance": tolerance,
            },
        )
        folder = private_folder(workshop.runs / run_id)
        log = folder / "log.txt"
        try:
            with (folder / TRANSCRIPT).open("xb", buffering=0) as kept:
                heard = Recorder(start.digest, seed, kept.write)
                outcome = run_sealed(  # (4)
                    *(workshop, order, inputs, staged, code, seed, out, log),
                    order_key=derive_order_key(root, seal_digest, digests),
                    listener=heard.take,
                )
            if not outcome.succeeded:
                reason = "time limit reached" if outcome.timed_out else f"the command failed: {outcome.hint}"
                evidence = _abort(pen, start, reason, outcome.exit_code)
                return Finished(
                    *(run_id, outcome, None, evidence, log, isolation.kind, attempt, attempts),
                    steps=heard.steps,
                    anomalies=heard.anomalies,
                )
            trouble = _changed_meanwhile(workshop, inputs, staged, before)
            done = _finish(pen, workshop, record, order, start, out, outcome, trouble, log, heard)  # (5)
            return replace(done, attempt=attempt, attempts=attempts)
        except BaseException as error:
            ended = [e for e in desk.read() if e.index > start.index and e.actor == start.actor and _ends(e, start)]
            if not ended:
                _abort(pen, start, f"{type(error).__name__}: {str(error)[:200]}", 130)
            raise
        finally:
            if not order.keep:
                shutil.rmtree(out, ignore_errors=True)


def _refuse_uncountersigned(record: Record, seal: Evidence | None) -> None:
    """Refuse a run under criteria that lack the second signature their policy asks for: it could never be GO."""
    roles = countersigners(seal.predicate["policy"]) if seal is not None else []
    if seal is None or roles == []:
        return
    if roles is None or countersignature(record, seal, roles, record.size) is None:
        who = " or ".join(map(str, roles or ["role it does not name"]))
        raise OutOfOrder(
            f"the criteria in entry {seal.index} are not countersigned; the policy asks for a {who}",
            hint="custody gate countersign --as NAME",
        )


def _checkpoint(desk: Desk, record: Record, anchor: Callable[[], Evidence] | None) -> dict[str, Any]:
    """Return the checkpoint a run begins from: one that outside eyes have signed, where there are any.

    Without a quorum in the trust root they are asked all the same, and a run begins without them as well.
    """
    quorum = eyes_of(record).quorum
    if anchor is None and quorum > 0:
        raise OutOfOrder(
            f"the trust root asks for {quorum} witnesses of the checkpoint a run begins from, and none is known here",
            hint="name them: [witness] urls in custody.toml",
        )
    if anchor is not None:
        try:
            said = (seen := anchor()).predicate
        except (Unknown, OutOfOrder, Unavailable):
            if quorum > 0:
                raise
        else:
            return {"size": said["size"], "root": said["root"], "note": said["note"], "anchor": seen.digest}
    reading = desk.reading
    return {"size": reading.checkpoint.size, "root": reading.checkpoint.root.hex(), "note": reading.note}


def _find_program(command: Sequence[str], root: Path) -> None:
    """Refuse a command that is not there: a slip of the keyboard must not cost an attempt."""
    word, *rest = command
    found = str(root / word) if "/" in word else shutil.which(word)
    if found is None or not Path(found).is_file():
        raise InvalidInput(f"the command {word!r} was not found", hint="custody run -- python train.py")
    if not os.access(found, os.X_OK):
        raise InvalidInput(f"{word} is not executable", hint=f"run it by its interpreter: python {word}")
    if Path(word).name.startswith("python") and rest and rest[0].endswith(".py") and not (root / rest[0]).is_file():
        raise InvalidInput(f"there is no {rest[0]} in {root}", hint="name a script that exists")


def _attempt(record: Record, seal: Evidence | None) -> tuple[int, int]:
    """Return the number of this attempt and the sealed budget; raises `OutOfOrder` when that is spent."""
    if seal is None:
        return 0, 0
    spent, limit = attempts_of(record, seal)
    if spent >= limit:
        raise OutOfOrder(
            f"{spent} of {limit} training attempts are spent; no model of a further one could be GO",
            hint="seal new criteria with a fresh held-out set",
        )
    return spent + 1, limit


def _refuse_unisolated(seal: Evidence, isolation: Confinement) -> None:
    """Refuse to start without the isolation the sealed policy asks for; it would cost an attempt for nothing."""
    if seal.predicate["policy"].get("isolation") and isolation.kind != "bubblewrap":
        raise OutOfOrder(
            f"the sealed policy asks for an isolated run, and this machine gives none: {isolation.detail}",
            hint="install bubblewrap, or train on a machine that allows namespaces",
        )


def _inputs(desk: Desk, pen: Pen, record: Record, seal: Evidence | None, names: Sequence[str]) -> list[Evidence]:
    """Choose the datasets: those named, or all that were registered for training."""
    found = [dataset(record, name) for name in dict.fromkeys(names)]
    if not names:
        found = [entry for entry in datasets(record) if entry.predicate["purpose"] == "training"]
    if not found:
        raise OutOfOrder("no training data is on record", hint="custody data register NAME PATH --help")
    sealed = seal.predicate["held_out"]["sha256"] if seal else ""
    policy = seal.predicate["policy"] if seal else {}
    for entry in found:
        exam = contents_of(record, sealed) if sealed else frozenset()
        if exam & contents_of(record, entry.subject.sha256) or "held_out" in purposes_of(record, entry.subject.sha256):
            reason = f"{entry.subject.name} is held out: no run may read it"
            desk.deny(pen.actor, Action.START_RUN, Access(allowed=False, reason=reason), None)
        if policy and entry.predicate["trust"] not in policy["trust"]:
            raise OutOfOrder(
                f"{entry.subject.name} comes from a source of trust level {entry.predicate['trust']!r}; "
                f"the sealed policy takes {', '.join(policy['trust'])}",
                hint="release it from quarantine by registering it with a higher trust level",
            )
    return found


def _contents(code: Mapping[str, Any], inputs: Sequence[Evidence]) -> list[str]:
    """Return the sha256 of every file a run would see."""
    return [str(f["sha256"]) for entry in (code, *(e.predicate for e in inputs)) for f in entry["files"]]


def _refuse_data_as_code(record: Record, code: Mapping[str, Any]) -> None:
    """Refuse a run whose code folder holds a registered dataset under a name that passes for code."""
    data = {digest: e for e in datasets(record) for digest in contents_of(record, e.subject.sha256)}
    for file in code["files"]:
        entry = data.get(str(file["sha256"]))
        if entry is not None:
            raise InvalidInput(
                f"{file['path']} has the very bytes of the dataset {entry.subject.name}; data must be declared",
                hint="remove that file, or declare the dataset with --data",
            )


def _refuse_reserved(parameters: Mapping[str, str]) -> None:
    """Refuse parameters that would change what the record says of the run: seed, threads, interpreter, loader."""
    fixed = set(fixed_environment(seed=0))
    for name in parameters:
        if name in fixed or name.startswith(("CUSTODY", "PYTHON", "LD_")):
            raise InvalidInput(f"{name} is set by Custody itself and cannot be a parameter", hint="choose another name")


def _changed_meanwhile(
    workshop: Workshop, inputs: Sequence[Evidence], staged: Mapping[str, Path], before: Mapping[str, Any]
) -> list[str]:
    """Say what was altered while the run was under way: the private copy, or the original."""
    trouble: list[str] = []
    for entry in inputs:
        name = entry.subject.name
        if changes := verify(staged[name], manifest_of(entry.predicate)):
            trouble.append(f"the run's own copy of {name} was altered: {describe(changes)}")
        source = workshop.root / str(entry.predicate["path"])
        try:
            same = fingerprints(source) == before[name]
            if not same:
                check_bytes(workshop.root, entry)
        except (Tampered, InvalidInput) as error:
            trouble.append(f"the dataset {name} was swapped during the run: {error.message}")
    return trouble


def _finish(
    pen: Pen,
    workshop: Workshop,
    record: Record,
    order: Order,
    start: Evidence,
    out: Path,
    outcome: Outcome,
    trouble: list[str],
    log: Path,
    heard: Recorder,
) -> Finished:
    """Take the model into the vault and say what made it, as SLSA provenance."""
    run_id = str(start.predicate["run"])
    try:
        manifest = walk(out)
        names = [file.path for file in manifest.files]
        if any(Path(name).suffix.lower() in SUFFIXES for name in names):
            model_file(names)
    except InvalidInput as error:
        evidence = _abort(pen, start, f"the run left no usable output: {error.message}", 1)
        reason = f"the run left no usable output in {order.out}: {error.message}"
        reason += f"; {error.hint}" if error.hint else ""
        failed = Outcome(1, False, outcome.seconds, outcome.cpu_seconds, outcome.max_rss, reason)
        return Finished(run_id, failed, None, evidence, log, str(start.predicate["isolation"]["kind"]))
    workshop.vault.put(manifest, {file.path: out / file.path for file in manifest.files})
    model = Subject(str(start.predicate["use_case"]), manifest.sha256)
    copies = [order.out] if order.keep else []
    trouble += there_before(record, start, {file.path: file.sha256 for file in manifest.files})
    anomalies = [*heard.anomalies, *_missing_transcript(record, start, heard)]
    without = without_data(outcome, [file.path for file in manifest.files])
    (trouble if _asks_for_transcript(record, start) else anomalies).extend(without)
    said = _provenance(start, manifest, outcome, trouble, copies, log)
    said["runDetails"]["anomalies"] = anomalies
    if heard.steps:
        tolerance = str(start.predicate["tolerance"])
        transcript = {"steps": heard.steps, "sha256": heard.sha256, "head": heard.head, "tolerance": tolerance}
        said["runDetails"]["transcript"] = transcript
    evidence = pen.write(model, kinds.TRAINING_FINISH, said)
    if trouble:
        raise Tampered(
            f"run {run_id} is compromised: {trouble[0]}",
            hint="the run is marked for ever; restore the data and run again",
        )
    isolation = str(start.predicate["isolation"]["kind"])
    return Finished(*(run_id, outcome, model, evidence, log, isolation), steps=heard.steps, anomalies=anomalies)


def _missing_transcript(record: Record, start: Evidence, heard: Recorder) -> list[str]:
    """Say so when the sealed policy asks for a transcript and the script wrote none."""
    missing = _asks_for_transcript(record, start) and not heard.steps
    return ["the sealed policy asks for a transcript, and the run wrote none"] if missing else []


def _asks_for_transcript(record: Record, start: Evidence) -> bool:
    seal = record.by_digest(str(start.predicate["seal"]))
    return seal is not None and seal.predicate["policy"].get("transcript") is True


def _provenance(
    start: Evidence, manifest: Manifest, outcome: Outcome, trouble: list[str], copies: list[str], log: Path
) -> dict[str, Any]:
    """Return SLSA provenance v1 (slsa.dev/spec/v1.0/provenance) with Custody's build type."""
    said = start.predicate
    return {
        "buildDefinition": {
            "buildType": kinds.BUILD_TYPE,
            "externalParameters": {"command": said["command"], "parameters": said["parameters"]},
            "internalParameters": {"run": said["run"], "start": start.digest, "seed": said["seed"]},
            "resolvedDependencies": [
                *({"name": f"data:{i['name']}", "digest": {"sha256": i["sha256"]}} for i in said["inputs"]),
                {"name": "code", "digest": {"sha256": said["code"]["digest"]}},
                {"name": "packages", "digest": {"sha256": said["environment"]["packages"]["digest"]}},
            ],
        },
        "runDetails": {
            "builder": {"id": f"urn:custody:sandbox:{said['isolation']['kind']}"},
            "metadata": {"invocationId": said["run"]},
            "byproducts": [{"name": "log", "digest": {"sha256": walk(log).files[0].sha256}}],
            "files": [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in manifest.files],
            "seconds": round(outcome.seconds, 3),
            "cpu_seconds": round(outcome.cpu_seconds, 3),
            "max_rss": outcome.max_rss,
            "compromised": trouble,
            "copies": copies,
        },
    }


def _abort(pen: Pen, start: Evidence, reason: str, exit_code: int) -> Evidence:
    predicate = {"run": start.predicate["run"], "start": start.digest, "reason": reason, "exit_code": exit_code}
    return pen.write(start.subject, kinds.TRAINING_ABORT, predicate)


def _ends(entry: Evidence, start: Evidence) -> bool:
    if entry.kind == kinds.TRAINING_FINISH:
        return kinds.start_of(entry.predicate) == start.digest
    return entry.kind == kinds.TRAINING_ABORT and entry.predicate["start"] == start.digest
