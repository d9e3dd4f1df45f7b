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
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import OutOfOrder, Tampered
from custody.records.datasets import check_bytes, dataset
from custody.seal.digest import copy_verified, walk
from custody.workshop import Order, Workshop, discard, private_folder, python_of, run_sealed


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
    differences: list[str] = []
    try:
        for entry in entries:
            place = data[entry.subject.name]
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            copied = copy_verified(workshop.root / str(entry.predicate["path"]), place)
            if copied.sha256 != entry.subject.sha256:
                try:
                    check_bytes(workshop.root, entry)
                except Tampered as error:
                    differences.append(f"data: {error.message}")
        banned = [workshop.root / str(entry.predicate["path"]) for entry in entries]
        shown = workshop.root / str(start.predicate["out"])
        code = workshop.capture_code(workshop.root, [*banned, shown, *workshop.hidden])
        environment = workshop.capture_environment(python_of(start.predicate["command"]))
        differences += _differences(start.predicate, code, environment, wanted)
        out = shown if not shown.exists() else workshop.root / f"{shown.name}-{again}"
        outcome = run_sealed(workshop, order, entries, data, code, wanted, out, folder / "log.txt")
        verdict, cause = "diverged", ""
        if not outcome.succeeded:
            cause = f"the command failed this time: {outcome.hint or outcome.exit_code}"
        elif walk(out).sha256 == finish.subject.sha256:
            verdict = "bit-identical"
        else:
            cause = (
                differences[0]
                if differences
                else "nothing that was recorded differs: the training is not deterministic"
            )
            # How far two models lie apart is measured on the recorded data, which then has to be there.
            if not any(found.startswith("data: ") for found in differences):
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


def _differences(
    said: Mapping[str, Any], code: Mapping[str, Any], environment: Mapping[str, Any], seed: int
) -> list[str]:
    """Name what is not as it was: seed, code, packages, interpreter, machine."""
    found: list[str] = []
    if seed != said["seed"]:
        found.append(f"seed: {said['seed']} then, {seed} now")
    then = {file["path"]: file["sha256"] for file in said["code"]["files"]}
    now = {file["path"]: file["sha256"] for file in code["files"]}
    found += [f"code: {path} differs" for path in sorted(then.keys() | now.keys()) if then.get(path) != now.get(path)]
    old = {p["name"]: p["version"] for p in said["environment"]["packages"]["list"]}
    new = {p["name"]: p["version"] for p in environment["packages"]["list"]}
    found += [
        f"library: {name} {old.get(name, 'absent')} then, {new.get(name, 'absent')} now"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    for part in ("python", "machine"):
        for key, value in said["environment"][part].items():
            if environment[part].get(key) != value:
                found.append(f"{part}: {key} {value} then, {environment[part].get(key)} now")
    return found
