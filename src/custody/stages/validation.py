"""Validation: every check against the sealed held-out set, by someone who neither wrote nor trained."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.checks.registry import Check, evaluator_digest, registry
from custody.checks.target import Predictor, Table, Target
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.data_rules import openings_of
from custody.core.evidence import Evidence, Record
from custody.core.measure import Result
from custody.core.stage import Stage
from custody.desk import Desk, Pen
from custody.errors import InvalidInput, OutOfOrder, Unavailable
from custody.records.datasets import Reader, table_of
from custody.records.lineage import Chain, find_model, sealed_chain_of
from custody.records.results import write_result
from custody.records.vault import ModelVault

Open = Callable[[Path, Table], AbstractContextManager[Predictor]]
"""Opens the model in a folder behind a wall, to answer for a table's columns."""


@dataclass(frozen=True)
class Bench:
    """Where models are measured: the vault they come from, a private folder, a reader and a wall."""

    root: Path
    staging: Path
    vault: ModelVault
    read: Reader
    open_model: Open
    isolation: str
    """Kind of wall that `open_model` puts around a model: "bubblewrap" or "none"."""


@dataclass(frozen=True)
class Measured:
    """What a validation saw: the results in order, and whether the model was opened at all."""

    model: Evidence
    results: Sequence[Evidence]
    opened: bool
    reason: str


def validate(
    desk: Desk,
    bench: Bench,
    actor: str,
    use_case: str,
    name: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Scan the artifact, open the held-out set once, run every check, record what each saw.

    A model whose files may run code is not opened: its remaining checks stay unanswered, and the gate
    stays closed. Raises `NotPermitted`, `OutOfOrder` (unsealed, or the budget is spent) and `Tampered`.
    """
    record = desk.read()
    model = find_model(record, use_case, name)
    pen = desk.permit(actor, Action.VALIDATE, model.subject)
    chain, seal = sealed_chain_of(record, model)
    held_out = _sealed(record, str(seal.predicate["held_out"]["record"]))
    _same_evaluator(seal)
    _within_budget(record, seal)
    isolation = bench.isolation
    if seal.predicate["policy"]["isolation"] and isolation != "bubblewrap":
        raise Unavailable(
            "this machine has no sandbox, and the sealed policy asks for a wall around the model",
            hint="install bubblewrap, then validate again; the held-out set is still unopened",
        )
    inputs = {
        "held_out": held_out.subject.sha256,
        "record": held_out.digest,
        "isolation": isolation,
        "seal": seal.digest,
        "train": chain.inputs,
        "model": model.subject.sha256,
    }
    folder = bench.staging / f"validate-{secrets.token_hex(6)}"
    found: list[Evidence] = []
    try:
        manifest = bench.vault.materialise(model.subject.sha256, folder)
        files = {file.path: folder / file.path for file in manifest.files}
        packages = [(p["name"], p["version"]) for p in chain.start.predicate["environment"]["packages"]["list"]]
        target = Target(files=files, packages=packages, seed=int(chain.start.predicate["seed"]))
        dangerous = False
        for check in _checks(Stage.ARTIFACT):
            progress(check.id)
            result = check.run(target)
            found.append(
                write_result(pen, model.subject, check.id, Stage.ARTIFACT, result, inputs, bench.vault.conceal)
            )
            dangerous = dangerous or (check.id == "artifact.scan" and not _harmless(result))
        if dangerous:
            return Measured(model, found, False, "opening the model could run code, so it was not opened")
        held_out_table = table_of(bench.root, held_out, bench.read)
        train = _training_table(bench, record, chain)
        opening = pen.write(
            held_out.subject,
            kinds.OPENING,
            {
                "held_out": held_out.subject.sha256,
                "model": model.subject.sha256,
                "seal": seal.digest,
                "purpose": "validation",
            },
        )
        inputs["opening"] = opening.digest
        confidence = float(seal.predicate["criteria"]["confidence"])
        with bench.open_model(folder, held_out_table) as predictor:
            target = target.having(train=train, held_out=held_out_table, model=predictor, confidence=confidence)
            for check in _checks(Stage.VALIDATION):
                progress(check.id)
                result = check.run(target)
                found.append(
                    write_result(pen, model.subject, check.id, Stage.VALIDATION, result, inputs, bench.vault.conceal)
                )
    finally:
        _discard(folder)
    return Measured(model, found, True, "")


def scan_model(desk: Desk, bench: Bench, actor: str, use_case: str, name: str = "") -> list[Evidence]:
    """Run the artifact checks alone on a model of the vault, without opening it, and record them."""
    record = desk.read()
    model = find_model(record, use_case, name)
    pen: Pen = desk.permit(actor, Action.SCAN, model.subject)
    chain, seal = sealed_chain_of(record, model)
    held_out = seal.predicate["held_out"]
    inputs = {
        "held_out": held_out["sha256"],
        "record": held_out["record"],
        "seal": seal.digest,
        "model": model.subject.sha256,
    }
    folder = bench.staging / f"scan-{secrets.token_hex(6)}"
    try:
        manifest = bench.vault.materialise(model.subject.sha256, folder)
        packages = [(p["name"], p["version"]) for p in chain.start.predicate["environment"]["packages"]["list"]]
        target = Target(files={file.path: folder / file.path for file in manifest.files}, packages=packages)
        return [
            write_result(pen, model.subject, check.id, Stage.ARTIFACT, check.run(target), inputs, bench.vault.conceal)
            for check in _checks(Stage.ARTIFACT)
        ]
    finally:
        _discard(folder)


def distance(bench: Bench, old: Path, new: Path, table: Table) -> float | None:
    """Return the largest difference between two models' scores on the first 2,000 rows, or None."""
    import numpy as np

    from custody.checks.target import Unmeasurable

    rows = table.frame.head(2000).select(table.features)
    try:
        with bench.open_model(old, table) as first, bench.open_model(new, table) as second:
            return float(np.abs(first.scores(rows) - second.scores(rows)).max())
    except Unmeasurable:
        return None


def training_table(bench: Bench, record: Record, finish: Evidence) -> Table:
    """Read the data a model was trained on, verified."""
    chain, _ = sealed_chain_of(record, finish)
    return _training_table(bench, record, chain)


def _training_table(bench: Bench, record: Record, chain: Chain) -> Table:
    import polars as pl

    tables = [
        table_of(bench.root, _sealed(record, str(item["record"])), bench.read)
        for item in chain.start.predicate["inputs"]
    ]
    first = tables[0]
    if len(tables) == 1:
        return first
    if any(table.frame.columns != first.frame.columns for table in tables):
        raise InvalidInput("the training datasets have different columns", hint="register them as one dataset")
    frame = pl.concat([table.frame for table in tables], how="vertical_relaxed")
    return Table(" + ".join(table.name for table in tables), frame, first.columns)


def _sealed(record: Record, digest: str) -> Evidence:
    """Return the very record of a dataset that a seal or a run named: its bytes and what its columns mean."""
    found = record.by_digest(digest)
    if found is None or found.kind != kinds.DATASET:
        raise OutOfOrder(f"no dataset record {digest[:12]} is on the ledger")
    return found


def _same_evaluator(seal: Evidence) -> None:
    """Refuse to spend an opening on results that the sealed gate would set aside."""
    sealed, here = str(seal.predicate["evaluator"]), evaluator_digest()
    if sealed != here:
        raise OutOfOrder(
            f"this Custody measures otherwise ({here[:12]}) than the one that sealed the criteria ({sealed[:12]})",
            hint="validate with the version that sealed them; or seal again and train again: the set is still unopened",
        )


def _within_budget(record: Record, seal: Evidence) -> None:
    openings = openings_of(record, seal)
    limit = int(seal.predicate["criteria"]["max_openings"])
    if len(openings) >= limit:
        raise OutOfOrder(
            f"the held-out set was opened {len(openings)} times; the sealed budget is {limit}",
            hint="seal new criteria with a fresh held-out set",
        )


def _checks(stage: Stage) -> list[Check]:
    return [check for check in registry().values() if check.stage is stage]


def _harmless(result: Result) -> bool:
    """Tell whether the scan proves that opening the files runs no foreign code; unknown is not harmless."""
    return all(
        measure.value == 0 for measure in result.measures if measure.name in ("critical_findings", "unread_files")
    ) and any(measure.name == "critical_findings" for measure in result.measures)


def _discard(folder: Path) -> None:
    if folder.exists():
        for place in [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]:
            place.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def summary(entry: Evidence) -> list[dict[str, Any]]:
    """Return a result's measures as plain rows, for showing."""
    return [dict(measure) for measure in entry.predicate["measures"]]
