"""Reproduction: run again with today's code, data and packages, and name the first thing that differs."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.seed import derive_order_key, other_order_key
from custody.core.subject import Subject
from custody.core.transcript import Recorder
from custody.desk import Desk
from custody.errors import OutOfOrder, Tampered
from custody.records.datasets import check_bytes, dataset
from custody.seal.digest import copy_verified, walk
from custody.workshop import Order, Workshop, differences, discard, private_folder, python_of, run_sealed


def reproduce(
    desk: Desk,
    workshop: Workshop,
    actor: str,
    run_id: str,
    *,
    seed: int | None = None,
    time_limit: float = 3600.0,
    tolerance: Callable[[Path, Path], float | None] | None = None,
    limit: float = 1e-6,
) -> tuple[str, str, Evidence]:
    """Run again from the record with the code, data and packages of today, and compare the bytes.

    Returns (verdict, cause, evidence); the verdict is `bit-identical`, `within tolerance` or
    `diverged`. `tolerance` measures how far two models' answers lie apart when their bytes differ.
    """
    pen = desk.permit(actor, Action.REPRODUCE)
    record = desk.read()
    start = record.latest(kinds.TRAINING_START, run=run_id)
    finish = next((e for e in record.of_kind(kinds.TRAINING_FINISH) if start and _starts(e, start)), None)
    if start is None or finish is None:
        raise OutOfOrder(f"run {run_id} is not on record as finished", hint="see: custody run list")
    entries = [dataset(record, str(item["name"])) for item in start.predicate["inputs"]]
    again = secrets.token_hex(6)
    out = workshop.staging / again / "out"
    folder = private_folder(workshop.runs / f"{run_id}-again-{again}")
    wanted = start.predicate["seed"] if seed is None else seed
    order = Order(
        list(start.predicate["command"]), out="", time_limit=time_limit, parameters=start.predicate["parameters"]
    )
    data = {entry.subject.name: workshop.staging / again / "in" / str(n) for n, entry in enumerate(entries)}
    differ: list[str] = []
    try:
        for entry in entries:
            place = data[entry.subject.name]
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            copied = copy_verified(workshop.root / str(entry.predicate["path"]), place)
            if copied.sha256 != entry.subject.sha256:
                try:
                    check_bytes(workshop.root, entry)
                except Tampered as error:
                    differ.append(f"data: {error.message}")
        banned = [workshop.root / str(entry.predicate["path"]) for entry in entries]
        shown = workshop.root / str(start.predicate["out"])
        code = workshop.capture_code(workshop.root, [*banned, shown, *workshop.hidden])
        environment = workshop.capture_environment(python_of(start.predicate["command"]))
        if wanted != start.predicate["seed"]:
            differ.append(f"seed: {start.predicate['seed']} then, {wanted} now")
        differ += differences(start.predicate, code, environment)
        out = shown if not shown.exists() else workshop.root / f"{shown.name}-{again}"
        heard = Recorder(start.digest, wanted)
        outcome = run_sealed(
            *(workshop, order, entries, data, code, wanted, out, folder / "log.txt"),
            order_key=_order_key(start.predicate, wanted),
            listener=heard.take,
        )
        verdict, cause = "diverged", ""
        if not outcome.succeeded:
            cause = f"the command failed this time: {outcome.hint or outcome.exit_code}"
        elif walk(out).sha256 == finish.subject.sha256:
            verdict = "bit-identical"
        else:
            cause = differ[0] if differ else "nothing that was recorded differs: the training is not deterministic"
            # How far two models lie apart is measured on the recorded data, which then has to be there.
            if not any(found.startswith("data: ") for found in differ):
                verdict = _within(workshop, finish.subject, out, tolerance, limit) or verdict
    finally:
        shutil.rmtree(out, ignore_errors=True)
        discard(workshop.staging / again)
    isolation = workshop.sandbox.describe().to_json()
    evidence = pen.write(
        finish.subject,
        kinds.REPRODUCTION,
        {"run": run_id, "verdict": verdict, "cause": cause, "isolation": isolation, "seed": wanted},
    )
    return verdict, cause, evidence


def _order_key(said: Mapping[str, Any], seed: int) -> str:
    """Return the key of the batch order: the run's own, or with another seed another."""
    if seed != said["seed"]:
        return other_order_key(seed)
    inputs = [(str(item["name"]), str(item["sha256"])) for item in said["inputs"]]
    return derive_order_key(str(said["checkpoint"]["root"]), str(said["seal"]), inputs)


def _starts(finish: Evidence, start: Evidence) -> bool:
    return kinds.start_of(finish.predicate) == start.digest


def _within(
    workshop: Workshop, model: Subject, out: Path, tolerance: Callable[[Path, Path], float | None] | None, limit: float
) -> str:
    if tolerance is None or not workshop.vault.has(model.sha256):
        return ""
    old = workshop.staging / f"compare-{secrets.token_hex(6)}"
    try:
        workshop.vault.materialise(model.sha256, old)
        distance = tolerance(old, out)
    finally:
        discard(old)
    return "within tolerance" if distance is not None and distance <= limit else ""
