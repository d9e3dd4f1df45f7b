"""`custody incident`: quarantine and blast radius."""

from __future__ import annotations

import click

from custody.cli.app import App, Group, face

TYPES = ["poisoning", "evasion", "extraction", "leak", "injection", "harm", "supply-chain", "drift"]


@click.group(cls=Group)
def incident() -> None:
    """Quarantine a model at once; find everything that is affected."""


@incident.command("open")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(TYPES), required=True)
@click.option("--reason", required=True)
@face
def open_(app: App, name: str, kind: str, reason: str) -> None:
    """Open an incident about NAME, a dataset or model. From now on nothing downstream is handed out."""
    from custody.stages.incident import PLAYBOOKS, open_incident

    found, said = open_incident(app.custody.desk, app.actor, app.use_case, name, kind, reason)
    affected = said.predicate["affected"]
    lines = [f"Incident {found} ({kind}) is open in entry {said.index}; {said.subject.short} is quarantined."]
    lines += [f"  affected: {item['kind']:<12} {item['name']}  [{item['index']}]" for item in affected]
    lines += [f"next: {step}" for step in PLAYBOOKS[kind]]
    app.show({"incident": found, "entry": said.index, "affected": affected}, lines)


@incident.command()
@click.argument("name")
@face
def blast(app: App, name: str) -> None:
    """List everything downstream of NAME: runs, models, admissions, deployments, predictions."""
    from custody.stages.incident import affected_by

    subject, found = affected_by(app.custody.desk.read(), app.use_case, name)
    lines = [f"{subject.name} {subject.short} has {len(found)} descendants"]
    lines += [f"  {item.kind:<12} {item.name}  {item.sha256[:12]}  [{item.index}]" for item in found]
    app.show({"subject": subject.sha256, "affected": [item.to_json() for item in found]}, lines)


@incident.command()
@click.argument("incident_id")
@click.option("--reason", required=True, help="What was done, so that it does not happen again.")
@face
def close(app: App, incident_id: str, reason: str) -> None:
    """Close an incident; a security manager does this."""
    from custody.stages.incident import close_incident

    said = close_incident(app.custody.desk, app.actor, incident_id, reason)
    app.show(
        {"incident": incident_id, "entry": said.index}, [f"Incident {incident_id} is closed (entry {said.index})."]
    )


@incident.command("list")
@face
def list_(app: App) -> None:
    """List the incidents and how they stand."""
    from custody.core import predicates as kinds

    latest = {str(e.predicate["incident"]): e for e in app.custody.desk.read().of_kind(kinds.INCIDENT)}
    rows = [{**entry.predicate, "about": entry.subject.name, "entry": entry.index} for entry in latest.values()]
    lines = [f"  {r['status']:<7} {r['incident']}  {r['type']:<12} {r['about']}  {r['reason']}" for r in rows]
    app.show({"incidents": rows}, lines or ["No incident is on record."])
