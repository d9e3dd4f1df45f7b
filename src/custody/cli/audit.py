"""`custody audit`: verify, export, explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custody.cli.app import App, Group, counted, face, writable
from custody.cli.disclose import disclose
from custody.core import predicates as kinds

if TYPE_CHECKING:
    from custody.desk import Desk


def read_whole(path: Path) -> bytes:
    """Read a file that was given; raises `InvalidInput` where it cannot be read or is too large."""
    from custody.errors import InvalidInput
    from custody.given import read_given
    from custody.ledger.bundle import MAX_BUNDLE_BYTES

    try:
        return read_given(path, MAX_BUNDLE_BYTES)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


@click.group(cls=Group)
def audit() -> None:
    """Verify the ledger, export it for strangers, explain who may do what."""


@audit.command()
@face
def verify(app: App) -> None:
    """Verify every entry, signature and root, and recompute every decision on record."""
    from custody.core.release import decide as judge
    from custody.errors import Tampered
    from custody.records.freshness import freshness

    desk = app.custody.desk.thoroughly()
    record = desk.read()
    decisions = record.of_kind(kinds.DECISION)
    for entry in decisions:
        said = entry.predicate
        frontier = desk.reading.frontiers.get(said["size"])
        if frontier is None or said["size"] != entry.index:
            raise Tampered(f"the decision in entry {entry.index} does not say what it was based on")
        then = record.before(said["size"], frontier.root.hex())
        again = judge(then, entry.subject.sha256, str(said["use_case"]), entry.at)
        if again.outcome != said["outcome"]:
            raise Tampered(
                f"the decision in entry {entry.index} is {said['verdict']}; the record gives {again.verdict}"
            )
    fresh = freshness(record, desk.reading, desk.time())
    lines = [
        f"{record.size} entries, every signature and hash checked; "
        f"{counted(len(decisions), 'decision')} recomputed, {'it agrees' if len(decisions) == 1 else 'all agree'}.",
        f"  root {record.root}",
        f"  {fresh.sentence}",
    ]
    body = {"entries": record.size, "root": record.root, "decisions": len(decisions), "fresh": fresh.proven}
    if not fresh.enough:
        lines.append(f"next: custody ledger anchor   (the trust root asks for {counted(fresh.needed, 'witness')})")
    app.show({**body, "freshness": fresh.to_json()}, lines, 0 if fresh.enough else 3)


@audit.command("export")
@click.option("-o", "--output", type=click.Path(path_type=Path), default="bundle.json", show_default=True)
@face
def export_(app: App, output: Path) -> None:
    """Write one file with everything a stranger needs to re-check the decisions offline."""
    from custody.ledger.bundle import write_bundle

    desk = app.custody.desk.thoroughly()
    record = desk.read()
    size = write_bundle(desk.reading, writable(output))
    lines = [
        f"{output}: {record.size} entries, {size:,} bytes.",
        "  Give the trust root by another way: custody audit trust-root -o trust.json",
        f"next: custody-verify {output} --trust trust.json",
    ]
    app.show({"bundle": str(output), "entries": record.size, "bytes": size}, lines)


@audit.command()
@click.argument("model", default="")
@click.option("-o", "--output", type=click.Path(path_type=Path), default="assurance.html", show_default=True)
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Somebody's bundle; else one is written beside the page."
)
@click.option("--trust", type=click.Path(path_type=Path), help="The trust root for --bundle.")
@face
def assure(app: App, model: str, output: Path, bundle: Path | None, trust: Path | None) -> None:
    """Write one page on MODEL for a stranger: every claim, every gap, and how to check them. HTML, .json or .md."""
    from custody.desk import now
    from custody.errors import InvalidInput
    from custody.ledger.bundle import bundle_bytes, trust_root_bytes, write_file
    from custody.report.assurance import markdown_assurance, render_assurance
    from custody.stages.assurance import assure as state

    writable(output)
    if (bundle is None) != (trust is None):
        raise InvalidInput("--bundle and --trust belong together", hint="give both, or neither inside a project")
    if bundle is not None and trust is not None:
        given = read_whole(bundle), read_whole(trust)
    else:
        desk, config = app.custody.desk.thoroughly(), app.custody.config
        desk.read()
        given = bundle_bytes(desk.reading), trust_root_bytes(config.origin, config.log_key, config.owner_key)
        bundle = output.with_suffix(".bundle.json")
        write_file(bundle, given[0])
    said = state(*given, now(), model).to_json()
    as_written = {".json": lambda: json.dumps(said, indent=2, sort_keys=True) + "\n"}
    as_written[".md"] = lambda: markdown_assurance(said)
    write_file(output, as_written.get(output.suffix, lambda: render_assurance(said))().encode())
    lines = [
        f"{output}: {said['headline']}; {counted(len(said['claims']), 'claim')}, {counted(len(said['gaps']), 'gap')}.",
        f"  Hand it over with {bundle}; the trust root goes by another way.",
    ]
    app.show({"statement": str(output), "bundle": str(bundle), **said}, lines)


@audit.command("trust-root")
@click.option("-o", "--output", type=click.Path(path_type=Path), default="trust.json", show_default=True)
@face
def trust_root(app: App, output: Path) -> None:
    """Write the log's key and the owner's key id; a verifier must get them from you, not from the bundle.

    custody keys export-trust writes the same, and pins the newest root and entries for a reader who comes back.
    """
    from custody.ledger.bundle import write_trust_root

    config = app.custody.config
    write_trust_root(writable(output), config.origin, config.log_key, config.owner_key)
    app.show({"trust_root": str(output), "origin": config.origin}, [f"{output}: trust root of {config.origin}"])


@audit.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default="report.html", show_default=True)
@click.argument("model", default="")
@click.option("--bundle", type=click.Path(path_type=Path), help="Somebody's bundle; no project is needed.")
@click.option("--trust", type=click.Path(path_type=Path), help="The trust root for --bundle.")
@face
def report(app: App, model: str, output: Path, bundle: Path | None, trust: Path | None) -> None:
    """Write the passport of MODEL as one HTML page, from verified evidence alone: this project's or a bundle's."""
    from custody.report.page import render_report
    from custody.stages.audit import passport

    writable(output)
    desk, use_case = _desk_of(app, bundle, trust)
    page = render_report(passport(desk, use_case, model))
    output.write_text(page, encoding="utf-8")
    app.show({"report": str(output)}, [f"{output} is written."])


def _desk_of(app: App, bundle: Path | None, trust: Path | None) -> tuple[Desk, str]:
    """Return a desk and its use case: the project's, or one over a bundle that the verifier has confirmed."""
    from custody.errors import InvalidInput, NotFound

    if bundle is None and trust is None:
        return app.custody.desk, app.use_case
    if bundle is None or trust is None:
        raise InvalidInput("--bundle and --trust belong together", hint="give both, or neither inside a project")
    from custody.desk import now
    from custody.ledger.trust import read_trust
    from custody.stages.assurance import confirm
    from custody.wiring.stranger import desk_over

    raw = read_whole(bundle)
    confirm(raw, read_whole(trust), now())
    desk = desk_over(raw, read_trust(trust))
    cases = desk.read().of_kind(kinds.USE_CASE)
    if not cases:
        raise NotFound("the bundle names no use case: nothing was begun in it")
    return desk, str(cases[-1].predicate["use_case"])


@audit.command()
@click.argument("model", default="")
@click.option("-o", "--output", type=click.Path(path_type=Path), default="bom.json", show_default=True)
@face
def bom(app: App, model: str, output: Path) -> None:
    """Write what MODEL was made with, as a CycloneDX 1.6 bill of materials."""
    import uuid

    from custody.checks.artifact.dependencies import to_cyclonedx
    from custody.records.lineage import chain_of, find_model

    writable(output)
    record = app.custody.desk.read()
    finish = find_model(record, app.use_case, model)
    listed = chain_of(record, finish).start.predicate["environment"]["packages"]["list"]
    packages = [(str(package["name"]), str(package["version"])) for package in listed]
    serial = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, finish.digest)}"
    body = to_cyclonedx(packages, finish.subject.name, finish.subject.sha256, serial)
    output.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    app.show({"bom": str(output), "packages": len(packages)}, [f"{output}: {counted(len(packages), 'package')}."])


@audit.command()
@click.option("--about", default="", help="Only entries whose subject or kind contains this.")
@face
def log(app: App, about: str) -> None:
    """List the entries of the ledger."""
    rows = []
    for entry in app.custody.desk.read():
        kind = kinds.short(entry.kind)
        if (
            about
            and about not in entry.subject.name
            and about not in kind
            and not entry.subject.sha256.startswith(about)
        ):
            continue
        about_what = f"{entry.subject.name} {entry.subject.short}"
        rows.append({"entry": entry.index, "kind": kind, "by": entry.actor, "subject": about_what, "at": entry.at})
    lines = [f"  {row['entry']:>4}  {row['kind']:<18} {row['by']:<12} {row['subject']:<44} {row['at']}" for row in rows]
    app.show({"entries": rows}, lines)


@audit.command()
@click.argument("entry", type=int)
@face
def show(app: App, entry: int) -> None:
    """Show one ENTRY in full."""
    from custody.stages.audit import named

    found = named(app.custody.desk.read(), entry)
    body: dict[str, Any] = {
        "entry": entry,
        "kind": found.kind,
        "by": found.actor,
        "person": found.person,
        "subject": found.subject.to_json(),
        "statement": found.digest,
        "predicate": found.predicate,
    }
    app.show(body, json.dumps(body, indent=2, sort_keys=True, default=str).splitlines())


@audit.command("who-can")
@click.argument("action")
@face
def who_can(app: App, action: str) -> None:
    """List everyone who may do ACTION, in short; custody who-can tells how, until when, and whether they did."""
    from custody.core.access import Action
    from custody.errors import InvalidInput
    from custody.records import rights

    if action not in list(Action):
        raise InvalidInput(f"{action!r} is not an action", hint=f"actions: {', '.join(Action)}")
    desk = app.custody.desk
    then = rights.moment_of(desk)
    where, _ = rights.what(then, desk.rules.type_of(action), app.use_case, "")
    found = rights.who_can(desk, then, action, where, None, {})
    rows = [{"name": able.name, "person": able.person, "why": able.access.reason} for able in found]
    app.show({"action": action, "who": rows}, [f"  {row['name']:<14} {row['why']}" for row in rows] or ["  nobody"])


@audit.command()
@face
def people(app: App) -> None:
    """List who is enrolled, with roles, and every denial on record."""
    desk = app.custody.desk
    actors = desk.roster().actors.values()
    denials = [{**entry.predicate, "entry": entry.index} for entry in desk.read().of_kind(kinds.DENIAL)]
    rows = [{"name": a.name, "person": a.person, "roles": sorted(a.roles), "keyid": a.keyid} for a in actors]
    lines = [f"  {row['name']:<14} {', '.join(row['roles'])}" for row in rows]
    lines += [f"  denied: {d['actor']} {d['action']}: {d['reason']}  [{d['entry']}]" for d in denials]
    app.show({"people": rows, "denials": denials}, lines)


audit.add_command(disclose)
