"""`custody data`: register, verify, check."""

from __future__ import annotations

from pathlib import Path

import click

from custody.cli.app import App, Group, counted, face, word
from custody.cli.results import exit_of_findings, result_lines, results_body


@click.group(cls=Group)
def data() -> None:
    """Register datasets by digest, verify them, measure their quality."""


@data.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--purpose", type=click.Choice(["training", "held_out", "live"]), default="training", show_default=True)
@click.option("--source", required=True, help="Where it comes from: a system, a feed, a vendor, a public set.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--licence", required=True, help="Under which licence or legal basis it may be used.")
@click.option("--trust", type=click.Choice(["trusted", "partner", "untrusted"]), required=True)
@click.option("--target", default="", help="The column to predict.")
@click.option("--positive", default="", help="Its positive value.")
@click.option("--sensitive", multiple=True, help="A sensitive column; may be repeated.")
@click.option("--entity", default="", help="Column that names the person or thing a row is about.")
@click.option("--time", "time_", default="", help="Column with the time of a row.")
@click.option("--source-column", default="", help="Column that names the feed a row came from.")
@click.option("--ignore", multiple=True, help="A column that is no feature; may be repeated.")
@click.option("--mutable", multiple=True, help="A column an attacker can change; default: all that are not sensitive.")
@click.option("--retain-until", default="", metavar="MOMENT", help="From then on erasing it is a task.")
@click.option("--expires", type=int, metavar="DAYS", help="The source's approval ends after so many days.")
@click.option("--reason", default="", help="Why bytes on record are trusted more now; at least 10 characters.")
@face
def register(
    app: App,
    name: str,
    path: Path,
    purpose: str,
    source: str,
    owner: str,
    licence: str,
    trust: str,
    target: str,
    positive: str,
    sensitive: tuple[str, ...],
    entity: str,
    time_: str,
    source_column: str,
    ignore: tuple[str, ...],
    mutable: tuple[str, ...],
    retain_until: str,
    expires: int | None,
    reason: str,
) -> None:
    """Put the file or folder PATH on record as NAME."""
    from custody.checks.target import Columns
    from custody.stages.data import register as put_on_record

    columns = Columns(
        target=target,
        positive=positive,
        sensitive=sensitive,
        entity=entity,
        time=time_,
        source=source_column,
        ignore=ignore,
        mutable=mutable,
    )
    custody = app.custody
    said = put_on_record(
        custody.desk,
        app.actor,
        custody.config.root,
        name,
        path,
        custody.read_table,
        source=source,
        owner=owner,
        licence=licence,
        trust=trust,
        purpose=purpose,
        columns=columns,
        source_days=expires,
        reason=reason,
        retain_until=retain_until,
    )
    blocks = len(said.predicate["blocks"])
    lines = [
        f"{name} is on record (entry {said.index}): {counted(said.predicate['rows'], 'row')}",
        f"  sha256 {said.subject.sha256}",
        f"  tampering would be located in {counted(blocks, 'block')} of rows",
    ]
    if before := said.predicate.get("trust_before"):
        lines.append(f"  was {before['trust']} in entry {before['entry']}, now {trust}")
    if said.predicate.get("label_values", 0) > 2:
        values = said.predicate["label_values"]
        lines.append(f"  {target!r} has {values} values: {positive!r} is read as positive, all others as the rest")
    if purpose == "training":
        lines.append(f"next: custody data check {name}")
    body = {"name": name, "sha256": said.subject.sha256, "rows": said.predicate["rows"], "entry": said.index}
    app.show(body, lines)


@data.command()
@click.argument("names", nargs=-1)
@face
def verify(app: App, names: tuple[str, ...]) -> None:
    """Compare datasets with the record; says in which rows of which file a difference lies."""
    from custody.errors import NotFound, Tampered
    from custody.records.datasets import check_bytes, dataset, datasets

    record = app.custody.desk.read()
    entries = [dataset(record, name) for name in names] or list(datasets(record))
    if not entries:
        raise NotFound("no dataset is on record", hint="custody data register NAME PATH --help")
    trouble: list[Tampered] = []
    rows = []
    for entry in entries:
        try:
            check_bytes(app.custody.config.root, entry)
            rows.append({"name": entry.subject.name, "intact": True, "reason": ""})
        except Tampered as error:
            trouble.append(error)
            rows.append({"name": entry.subject.name, "intact": False, "reason": error.message})
    lines = [f"  {word('met' if row['intact'] else 'not_met')} {row['name']}  {row['reason']}" for row in rows]
    if trouble:
        lines.append(f"next: {trouble[0].hint}")
    app.show({"datasets": rows}, lines, 4 if trouble else 0)


@data.command()
@click.argument("name")
@face
def check(app: App, name: str) -> None:
    """Measure the quality of a dataset: defects, personal data, labels that look turned."""
    from custody.stages.data import check as measure

    custody = app.custody
    found = measure(
        custody.desk, app.actor, custody.config.root, name, custody.read_table, app.progress(), custody.vault
    )
    app.show(results_body(found), result_lines(found), exit_of_findings(found))


@data.command("list")
@face
def list_(app: App) -> None:
    """List the datasets on record."""
    from custody.records.datasets import datasets

    rows = [{**e.predicate, "sha256": e.subject.sha256, "entry": e.index} for e in datasets(app.custody.desk.read())]
    lines = [
        f"  {row['name']:<20} {row['purpose']:<9} {row['rows']:>9} rows  "
        f"{row['trust']:<9} {row['sha256'][:12]}  {row['source']}"
        for row in rows
    ]
    app.show({"datasets": rows}, lines or ["No dataset is on record."])
