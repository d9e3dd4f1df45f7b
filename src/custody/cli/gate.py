"""`custody gate`: seal, countersign, approve, waive, decide, sum up."""

from __future__ import annotations

from pathlib import Path

import click

from custody.cli.app import App, Group, face, writable
from custody.cli.results import account_lines, decision_lines, ruling_lines


@click.group(cls=Group)
def gate() -> None:
    """Seal the criteria before training; approve, waive and decide after it."""


@gate.command("init")
@click.argument("path", type=click.Path(path_type=Path), default="criteria.toml")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@face
def init_(app: App, path: Path, force: bool) -> None:
    """Write a criteria file to start from, fitted to the data on record."""
    from custody.core import predicates as kinds
    from custody.errors import InvalidInput, OutOfOrder
    from custody.records.datasets import datasets
    from custody.stages.criteria import template

    if path.exists() and not force:
        raise InvalidInput(f"{path} exists already", hint="name another file, or use --force")
    writable(path)
    record = app.custody.desk.read()
    held_out = next((e for e in datasets(record) if e.predicate["purpose"] == "held_out"), None)
    opened = record.latest(kinds.USE_CASE, use_case=app.use_case)
    if held_out is None or opened is None:
        raise OutOfOrder("no held-out data is on record", hint="custody data register NAME PATH --purpose held_out")
    path.write_text(template(app.use_case, str(opened.predicate["tier"]), held_out), encoding="utf-8")
    app.show({"path": str(path)}, [f"{path} is written. Set its bounds, then: custody gate lint {path}"])


@gate.command()
@click.argument("path", type=click.Path(path_type=Path), default="criteria.toml")
@face
def lint(app: App, path: Path) -> None:
    """Read criteria with line numbers, and check their power against the held-out set."""
    from custody.core import predicates as kinds
    from custody.stages.criteria import lint as read
    from custody.stages.criteria import opened_before, post_hoc_warning, power

    found = read(path)
    defects = list(found.defects)
    warnings: list[str] = []
    if not defects:
        custody = app.custody
        record = custody.desk.read()
        if record.of_kind(kinds.DATASET):
            defects = power(found, custody.config.root, record, custody.read_table)
            held_out = str(found.document["held_out"]["dataset"])
            if before := opened_before(record, held_out):
                warnings = [post_hoc_warning(held_out, before)]
    body = {
        "path": str(path),
        "defects": [{"line": d.line, "kind": d.kind, "message": d.message} for d in defects],
        "warnings": warnings,
    }
    loud = [click.style("WARNING: ", fg="yellow", bold=True) + warning for warning in warnings]
    if defects:
        app.show(body, [*loud, *(f"{path}:{defect}" for defect in defects)], 2)
    count = len(found.document["criterion"])
    last = "next: register a fresh held-out set" if warnings else f"next: custody gate seal {path}"
    app.show(body, [*loud, f"{path}: {'1 criterion' if count == 1 else f'{count} criteria'}, no defects.", last])


@gate.command()
@click.argument("path", type=click.Path(path_type=Path), default="criteria.toml")
@click.option("--post-hoc", is_flag=True, help="Seal although the held-out set was opened; this can never be GO.")
@face
def seal(app: App, path: Path, post_hoc: bool) -> None:
    """Seal the criteria with policy, evaluator and held-out commitment. From here on they bind."""
    _seal(app, path, post_hoc=post_hoc, amending=False)


@gate.command()
@click.argument("path", type=click.Path(path_type=Path), default="criteria.toml")
@click.option("--post-hoc", is_flag=True, help="Seal although the held-out set was opened; this can never be GO.")
@face
def amend(app: App, path: Path, post_hoc: bool) -> None:
    """Replace the sealed criteria by those in PATH; what that loosens and tightens goes on record."""
    _seal(app, path, post_hoc=post_hoc, amending=True)


def _seal(app: App, path: Path, *, post_hoc: bool, amending: bool) -> None:
    """Seal criteria, and say what binds now, what changed and who is to sign next."""
    from custody.core.trust_rules import countersigners
    from custody.stages.criteria import opened_before, post_hoc_warning
    from custody.stages.criteria import seal as put_on_record

    custody = app.custody
    said = put_on_record(
        custody.desk,
        app.actor,
        app.use_case,
        custody.config.root,
        path,
        custody.read_table,
        post_hoc=post_hoc,
        amending=amending,
    )
    held_out = said.predicate["held_out"]
    lines = [
        f"Sealed in entry {said.index} by {said.person}: {len(said.predicate['criteria']['criterion'])} criteria",
        f"  seal {said.digest}",
        f"  held-out set {held_out['name']} {held_out['sha256'][:12]}, {held_out['rows']} rows",
    ]
    record = custody.desk.read()
    body = {"seal": said.digest, "entry": said.index, "held_out": held_out}
    if "amends" in said.predicate:
        former = record.by_digest(str(said.predicate["amends"]))
        lines.append(f"  replaces the criteria of entry {former.index if former else '?'}:")
        lines += [f"    {change}" for change in said.predicate["changes"]] or ["    nothing is different"]
        body |= {"amends": said.predicate["amends"], "changes": said.predicate["changes"]}
    second = countersigners(said.predicate["policy"])
    lines.append("next: custody gate countersign" if second != [] else "next: custody run -- python train.py")
    if before := opened_before(record, str(held_out["name"])):
        warning = post_hoc_warning(str(held_out["name"]), before)
        lines.insert(0, click.style("WARNING: ", fg="yellow", bold=True) + warning)
    app.show(body, lines)


@gate.command()
@click.argument("model", default="")
@click.option("--reject", is_flag=True, help="Reject instead; needs a reason.")
@click.option("--reason", default="")
@face
def approve(app: App, model: str, reject: bool, reason: str) -> None:
    """Approve MODEL, as someone who neither wrote its criteria, trained nor validated it."""
    from custody.stages.release import approve as put_on_record

    said = put_on_record(app.custody.desk, app.actor, app.use_case, model, reject=reject, reason=reason)
    from custody.core.decision import Status
    from custody.core.release import decide as judge

    desk = app.custody.desk
    verb = "rejected" if reject else "approved"
    rulings = judge(desk.read(), said.subject.sha256, app.use_case, desk.time()).rulings
    failing = [ruling.id for ruling in rulings if ruling.status is Status.NOT_MET]
    lines = [f"{said.person} {verb} {said.subject.short} (entry {said.index})."]
    if failing and not reject:
        against = f"the record says NO-GO whoever approves: {', '.join(failing[:6])} not met"
        lines += [click.style("WARNING: ", fg="yellow", bold=True) + against, "next: custody next"]
    else:
        lines.append("next: custody gate decide")
    body = {"model": said.subject.sha256, "verdict": said.predicate["verdict"], "entry": said.index}
    app.show({**body, "not_met": failing}, lines)


@gate.command()
@click.argument("criterion")
@click.option("--model", default="")
@click.option("--days", type=int, required=True)
@click.option("--reason", required=True)
@click.option("--control", required=True, help="What protects people meanwhile.")
@face
def waive(app: App, criterion: str, model: str, days: int, reason: str, control: str) -> None:
    """Waive CRITERION for some days, within the limits of the sealed policy."""
    from custody.stages.release import waive as put_on_record

    said = put_on_record(
        app.custody.desk, app.actor, app.use_case, model, criterion, days=days, reason=reason, control=control
    )
    body = {"criterion": criterion, "expires": said.predicate["expires"], "entry": said.index}
    app.show(body, [f"{criterion} is waived until {said.predicate['expires']} (entry {said.index}), in every report."])


@gate.command()
@click.argument("model", default="")
@click.option("--env", "environment", default="", help="On GO, admit the model to this environment.")
@face
def decide(app: App, model: str, environment: str) -> None:
    """Compute the decision from the record: GO (0), NO-GO (1) or INCONCLUSIVE (3). Nobody can type it."""
    from custody.stages.release import decide as judge

    decision, said, admission = judge(app.custody.desk, app.actor, app.use_case, model, environment)
    lines = decision_lines(decision, said.index)
    body = {**decision.to_predicate(), "entry": said.index, "model": decision.model}
    if admission is not None:
        until = admission.predicate["expires"] or "it is withdrawn"
        lines += ["", f"Admitted to {environment} until {until} (entry {admission.index})."]
        lines.append(f"next: custody deploy --env {environment}")
        body["admission"] = admission.index
    elif not decision.failing():
        lines += ["", "next: custody gate decide --env production"]
    else:
        lines += ["", "next: custody next"]
    lines.append(lines[0])
    app.show(body, lines, decision.verdict.exit_code)


@gate.command()
@click.argument("model", default="")
@face
def show(app: App, model: str) -> None:
    """Show what a decision on MODEL would be now, or what the decision in an entry was (entry number or digest)."""
    from custody.core import predicates as kinds
    from custody.core.release import decide as judge
    from custody.records.lineage import find_model

    desk = app.custody.desk
    record = desk.read()
    said = record.by_digest(model) if len(model) == 64 else None
    if model.isdigit() and len(model) < 6 and int(model) < record.size:
        said = record.entries[int(model)]
    if said is not None and said.kind == kinds.DECISION:
        from custody.stages.deployment import recomputed

        decision = recomputed(desk, record, said)
        lines = [*decision_lines(decision, said.index), "  computed again from the record as it was: it agrees"]
        app.show({**decision.to_predicate(), "entry": said.index, "model": decision.model}, lines)
    finish = find_model(record, app.use_case, model)
    decision = judge(record, finish.subject.sha256, app.use_case, desk.time())
    lines = [f"{decision.verdict}  model {finish.subject.short}, if decided now", *ruling_lines(decision.rulings)]
    lines += account_lines(decision.account)
    app.show(decision.to_predicate(), lines, decision.verdict.exit_code)


@gate.command()
@click.argument("model", default="")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it; else it is printed.")
@face
def summary(app: App, model: str, output: Path | None) -> None:
    """Give the newest decision on MODEL as a signed SLSA verification summary that other tools read."""
    import json

    from custody.stages.release import summary as find

    desk = app.custody.desk
    said, raw = find(desk, app.use_case, model)
    result = said.predicate["verificationResult"]
    body = {
        "entry": said.index,
        "result": result,
        "keyid": said.keyid,
        "signer": said.actor,
        "model": said.subject.sha256,
    }
    if output is None:
        app.show({**body, "bundle": json.loads(raw)}, [raw.decode()])
        return
    writable(output)
    output.write_bytes(raw)
    lines = [
        f"{output}: {result}, signed by {said.actor} in entry {said.index}; a sigstore bundle with a DSSE envelope.",
        f"  key {said.keyid}",
    ]
    app.show({**body, "path": str(output)}, lines)


@gate.command()
@click.argument("statement", default="")
@click.option("--reason", default="read and understood", show_default=True, help="Why you sign it too.")
@face
def countersign(app: App, statement: str, reason: str) -> None:
    """Sign a STATEMENT too, by entry number or digest; the newest criteria when none is named."""
    from custody.stages.countersigning import countersign as put_on_record
    from custody.stages.countersigning import find_entry, newest_seal, told

    desk = app.custody.desk
    record = desk.read()
    entry = find_entry(record, statement) if statement else newest_seal(record, app.use_case)
    for line in told(entry):
        app.say(line)
    said = put_on_record(desk, app.actor, entry.digest, reason)
    body = {"of": entry.digest, "countersigned": entry.index, "entry": said.index, "person": said.person}
    lines = [f"{said.person} countersigned entry {entry.index} (entry {said.index})."]
    app.show(body, [*lines, *(["next: custody run -- python train.py"] if not statement else [])])
