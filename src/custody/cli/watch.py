"""`custody watch`: predictions, drift, performance with late labels."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custody.cli.app import App, Group, counted, face, writable
from custody.cli.results import finding_lines, results_body, ruling_lines

if TYPE_CHECKING:
    from custody.checks.target import Table
    from custody.core.evidence import Evidence


@click.group(cls=Group)
def watch() -> None:
    """Log predictions tamper-evidently; hold live data against the training data."""


@watch.command()
@click.argument("dataset")
@click.option("--env", "environment", default="production", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write ids and scores there, as JSON lines.")
@face
def predict(app: App, dataset: str, environment: str, out: Path | None) -> None:
    """Score the registered live DATASET with the deployed model; every prediction is logged first."""
    from custody.stages.deployment import admit
    from custody.stages.runtime import predict as score

    if out is not None:
        writable(out)
    custody = app.custody
    table = _table(app, dataset)
    admitted = admit(custody.desk, custody.vault, app.actor, app.use_case, environment)
    log = custody.prediction_log(admitted.subject, environment)
    folder = _materialised(app, admitted.subject.sha256)
    try:
        with custody.open_model(folder, table) as model:
            ids, scores, said = score(custody.desk, app.actor, log, model, table)
    finally:
        _discard(folder)
    if out is not None:
        pairs = zip(ids, scores.tolist(), strict=True)
        out.write_text("".join(json.dumps({"id": name, "score": value}) + "\n" for name, value in pairs))
    entry = said.index if said else None
    body = {"segment": log.segment, "count": len(ids), "entry": entry, "model": admitted.subject.sha256}
    app.show(body, [f"{counted(len(ids), 'prediction')} logged and sealed as segment {log.segment} (entry {entry})."])


@watch.command()
@face
def log(app: App) -> None:
    """Recompute the prediction log against the ledger; names the segment where a line was altered."""
    from custody.stages.runtime import verify_log

    states = verify_log(app.custody.desk.read(), app.custody.config.predictions)
    lines = [f"  {state.status:<7} {state.segment}  {counted(state.count, 'prediction')}" for state in states]
    open_ = [state for state in states if state.status != "sealed"]
    if open_:
        lines.append("unknown: an open segment is not sealed yet; nothing proves that it is whole")
    app.show({"segments": [asdict(state) for state in states]}, lines or ["Nothing was predicted."], 3 if open_ else 0)


@watch.command()
@click.argument("prediction")
@face
def trace(app: App, prediction: str) -> None:
    """Follow one PREDICTION back to model, run, criteria and data."""
    from custody.stages.runtime import trace as follow

    body = follow(app.custody.desk.read(), app.custody.config.predictions, prediction)
    lines = [
        f"prediction {prediction}: score {body['prediction']['score']:.4f}",
        f"  model     {body['model']['sha256'][:12]}  entry {body['model']['entry']}",
        f"  run       {body['run']['id']}  entry {body['run']['entry']}",
        f"  criteria  entry {body['criteria']}",
        *(f"  data      {item['name']}  {item['sha256'][:12]}" for item in body["data"]),
    ]
    app.show(body, lines)


@watch.command()
@click.argument("dataset")
@click.option("--env", "environment", default="production", show_default=True)
@face
def drift(app: App, dataset: str, environment: str) -> None:
    """Hold the inputs and outputs of the live DATASET against the training data."""
    _watch(app, dataset, environment, "live.drift")


@watch.command()
@click.argument("dataset")
@click.option("--env", "environment", default="production", show_default=True)
@face
def performance(app: App, dataset: str, environment: str) -> None:
    """Measure performance on the live DATASET, once its labels have come."""
    _watch(app, dataset, environment, "live.performance")


def _watch(app: App, dataset: str, environment: str, check: str) -> None:
    from custody.checks.target import Target
    from custody.core.decision import Status
    from custody.records.datasets import dataset as find
    from custody.records.datasets import table_of
    from custody.records.lineage import find_model, sealed_chain_of
    from custody.stages.deployment import admission_of
    from custody.stages.runtime import watch as measure
    from custody.stages.validation import training_table

    custody = app.custody
    record = custody.desk.read()
    admission = admission_of(record, app.use_case, environment)
    finish = find_model(record, app.use_case, admission.subject.sha256)
    _, seal = sealed_chain_of(record, finish)
    live = _table(app, dataset)
    bench = custody.bench()
    held_out: Table | None = None
    if check == "live.performance":
        entry: Evidence = find(record, str(seal.predicate["held_out"]["name"]))
        held_out = table_of(bench.root, entry, bench.read)
    folder = _materialised(app, finish.subject.sha256)
    try:
        with custody.open_model(folder, live) as model:
            confidence = float(seal.predicate["criteria"]["confidence"])
            train = training_table(bench, record, finish)
            target = Target(train=train, held_out=held_out, live=live, model=model, confidence=confidence)
            policy: list[dict[str, Any]] = seal.predicate["policy"]["runtime"]
            inputs = {"live": find(record, dataset).subject.sha256, "seal": seal.digest}
            found, rulings = measure(
                custody.desk, app.actor, finish.subject, [check], target, policy, inputs, app.progress()
            )
    finally:
        _discard(folder)
    statuses = {ruling.status for ruling in rulings}
    code = 1 if Status.NOT_MET in statuses else 0 if statuses == {Status.MET} else 3
    lines = ruling_lines(rulings)
    shown = [f for entry in found for f in entry.predicate["findings"] if f["severity"] != "info"]
    lines += [f"  {line}" for line in finding_lines(shown)]
    if code == 1:
        lines.append(f'next: custody incident open {finish.subject.short} --type drift --reason "..."')
    app.show({**results_body(found), "rulings": [ruling.to_json() for ruling in rulings]}, lines, code)


def _table(app: App, name: str) -> Table:
    """Read a live table; what its columns mean is what they meant in training, where it has them."""
    from dataclasses import replace

    from custody.checks.target import Table
    from custody.core import predicates as kinds
    from custody.records.datasets import columns_of, dataset, table_of

    custody = app.custody
    record = custody.desk.read()
    entry = dataset(record, name)
    table = table_of(custody.config.root, entry, custody.read_table)
    trained = next((e for e in record.of_kind(kinds.DATASET) if e.predicate["purpose"] == "training"), entry)
    meant = columns_of(trained.predicate)
    present = set(table.frame.columns)
    columns = replace(
        meant,
        target=meant.target if meant.target in present else "",
        sensitive=tuple(column for column in meant.sensitive if column in present),
    )
    return Table(table.name, table.frame, columns)


def _materialised(app: App, sha256: str) -> Path:
    custody = app.custody
    custody.config.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = custody.config.staging / f"watch-{secrets.token_hex(6)}"
    custody.vault.materialise(sha256, folder)
    return folder


def _discard(folder: Path) -> None:
    import shutil

    if folder.exists():
        folder.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
