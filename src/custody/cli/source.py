"""`custody source`: build, buy or adopt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from custody.cli.app import App, Group, face
from custody.errors import InvalidInput


def _drivers(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the four drivers as options."""
    options = [
        click.option("--appetite", type=float, required=True, help="Risk appetite: 0 averse, 1 seeking."),
        click.option("--criticality", type=float, required=True, help="How critical the use case is, 0 to 1."),
        click.option("--expertise", type=float, required=True, help="Expertise in the house, 0 to 1."),
        click.option("--cost", "costs", multiple=True, required=True, metavar="WAY=ONCE,YEARLY[,LEAVE[,INCIDENTS]]",
                     help="Cost of build, buy and open; give all three."),
        click.option("--years", type=int, default=3, show_default=True),
        click.option("--weight", "weights", multiple=True, metavar="DRIVER=NUMBER",
                     help="Weight of risk, criticality, expertise or cost; equal by default."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Group)
def source() -> None:
    """Decide where the model comes from; answer the risks of that way."""


@source.command()
@_drivers
@face
def compare(app: App, **drivers: Any) -> None:
    """Compare build, buy and adopt on the four drivers, and say what would flip the answer."""
    comparison = _compare(**drivers)
    app.show(_body(comparison), _table(comparison))


@source.command()
@click.argument("way", type=click.Choice(["build", "buy", "open"]))
@_drivers
@click.option("--reason", default="", help="Needed when the choice is not the one the comparison favours.")
@face
def decide(app: App, way: str, reason: str, **drivers: Any) -> None:
    """Record the choice of WAY; the risks of that way are opened at once."""
    from custody.stages.sourcing import decide as record_choice

    comparison = _compare(**drivers)
    said = record_choice(app.custody.desk, app.actor, app.use_case, way, comparison, reason)
    lines = [*_table(comparison), "", f"{way} is on record (entry {said[0].index}). Risks opened:"]
    lines += [f"  {entry.predicate['risk']:<22} {entry.predicate['title']}" for entry in said[1:]]
    lines.append('next: custody source risk NAME --treat --reason "..."')
    body = {**_body(comparison), "chosen": way, "entries": [entry.index for entry in said]}
    app.show(body, lines)


@source.command()
@click.argument("name")
@click.option("--treat", "days", flag_value=0, type=int, help="The risk is treated; the reason says how.")
@click.option("--accept", "accept", type=int, metavar="DAYS", help="The risk is accepted for so many days.")
@click.option("--reason", required=True)
@face
def risk(app: App, name: str, days: int | None, accept: int | None, reason: str) -> None:
    """Treat or accept the risk NAME."""
    from custody.stages.sourcing import answer_risk

    if (days is None) == (accept is None):
        raise InvalidInput("give either --treat or --accept DAYS")
    said = answer_risk(app.custody.desk, app.actor, app.use_case, name, accept_days=accept, reason=reason)
    status = said.predicate["status"]
    until = f" until {said.predicate['expires']}" if accept else ""
    app.show(
        {"risk": name, "status": status, "entry": said.index}, [f"{name} is {status}{until} (entry {said.index})."]
    )


@source.command()
@face
def risks(app: App) -> None:
    """List the risks and how each was answered."""
    from custody.core import predicates as kinds

    latest = {str(e.predicate["risk"]): e for e in app.custody.desk.read().of_kind(kinds.RISK)}
    rows = [{**entry.predicate, "person": entry.person, "entry": entry.index} for entry in latest.values()]
    lines = [f"  {row['status']:<9} {row['risk']:<22} {row['title']}  {row['reason']}" for row in rows]
    app.show({"risks": rows}, lines or ["No risk was opened yet: custody source decide"])


def _compare(**drivers: Any) -> Any:
    from custody.stages.sourcing import Costs, compare

    costs = {}
    for text in drivers["costs"]:
        way, _, amounts = text.partition("=")
        try:
            costs[way] = Costs(*(float(amount) for amount in amounts.split(",")))
        except (TypeError, ValueError):
            raise InvalidInput(f"--cost {text!r} is not of the form build=ONCE,YEARLY[,LEAVE[,INCIDENTS]]") from None
    weights = None
    if drivers["weights"]:
        try:
            given = {text.partition("=")[0]: float(text.partition("=")[2]) for text in drivers["weights"]}
        except ValueError:
            raise InvalidInput("--weight must be of the form cost=2") from None
        weights = {name: given.pop(name, 1.0) for name in ("risk", "criticality", "expertise", "cost")}
        if given:
            raise InvalidInput(f"{', '.join(given)} is not a driver; drivers: {', '.join(weights)}")
    return compare(
        appetite=drivers["appetite"],
        criticality=drivers["criticality"],
        expertise=drivers["expertise"],
        costs=costs,
        years=drivers["years"],
        weights=weights,
    )


def _body(comparison: Any) -> dict[str, Any]:
    return {
        "options": comparison.to_json(),
        "weights": comparison.weights,
        "best": comparison.best,
        "flips": comparison.flips,
        "stable": comparison.stable,
    }


def _table(comparison: Any) -> list[str]:
    from custody.stages.sourcing import DRIVERS, OPTIONS, PROFILES

    lines = [f"  {'':<14}" + "".join(f"{way:>14}" for way in OPTIONS)]
    for driver in DRIVERS:
        cells = "".join(f"{comparison.parts[way][driver]:>14.2f}" for way in OPTIONS)
        lines.append(f"  {driver:<14}{cells}   weight {comparison.weights[driver]:.2f}")
    for factor in ("control", "transparency", "speed", "support"):
        cells = "".join(f"{PROFILES[way][factor]:>14.1f}" for way in OPTIONS)
        lines.append(click.style(f"  {factor:<14}{cells}", dim=True))
    lines.append(f"  {'total cost':<14}" + "".join(f"{comparison.totals[way]:>14,.0f}" for way in OPTIONS))
    lines.append(f"  {'score':<14}" + "".join(f"{comparison.scores[way]:>14.3f}" for way in OPTIONS))
    lines += [
        "",
        f"Favoured: {comparison.best}" + ("" if comparison.stable else " (nearly a tie: look at the drivers)"),
    ]
    lines += [f"  {flip}" for flip in comparison.flips] or ["  No single weight changes that."]
    return lines
