"""`custody access`: rights given for a time, taken in need, handed on, looked over and explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from custody.cli.app import App, Group, counted, face
from custody.cli.who_can import told


@click.group(cls=Group)
def access() -> None:
    """Grant, delegate, review and explain rights; break the glass."""


@access.command()
@click.argument("name")
@click.argument("action")
@click.argument("resource", default="")
@click.option("--at", default="", metavar="WHEN", help="An earlier time: an entry's number, a date, or a moment.")
@click.option("--stage", default="", help="The stage of the model's life.")
@click.option("--environment", default="", help="The environment, such as production.")
@click.option("--purpose", default="", help="Why it is asked, such as evaluation.")
@click.option("--with", "pairs", multiple=True, metavar="NAME=VALUE", help="A further circumstance, as mfa=true.")
@face
def explain(
    app: App,
    name: str,
    action: str,
    resource: str,
    at: str,
    stage: str,
    environment: str,
    purpose: str,
    pairs: tuple[str, ...],
) -> None:
    """Say whether NAME may do ACTION to RESOURCE, by which rule, and what was not told. Records nothing."""
    from custody.errors import NotPermitted
    from custody.records import rights

    desk = app.custody.desk
    then = rights.moment_of(desk, at)
    if name not in then.roster.actors:
        raise NotPermitted(f"{name!r} was not on record after {then.size} entries", hint="nobody unknown may anything")
    where, about = rights.what(then, desk.rules.type_of(action), app.use_case, resource)
    assumed = told(pairs, stage=stage, environment=environment, purpose=purpose)
    found, context = rights.decide_for(desk, then, name, action, where, about, assumed)
    held = [holding.sentence() for holding in rights.holdings(then, name=name)]
    body = {
        "allowed": found.allowed,
        "name": name,
        "action": action,
        "reason": found.reason,
        "rule": found.rule,
        "line": found.line,
        "missing": list(found.missing),
        "resource": {"type": where.type, "id": where.id, **where.attributes},
        "context": context,
        "rights": held,
    }
    lines = [
        f"{'ALLOW' if found.allowed else 'DENY'}  {name} {action} {resource}".rstrip(),
        f"  because    {found.reason}",
        f"  rule       {_rule(app, found.rule, found.line)}",
        f"  rights     {'; '.join(held) or 'none'}",
        f"  resource   {where.type} {', '.join(f'{key}={value}' for key, value in where.attributes.items())}",
        f"  context    {', '.join(f'{key}={value}' for key, value in sorted(context.items()))}",
    ]
    if found.missing:
        lines.append(f"  not told   {', '.join(found.missing)}")
    app.show(body, lines, code=0 if found.allowed else 5)


def _rule(app: App, rule: str, line: int) -> str:
    if not line:
        return rule or "none allows it"
    file = "access.cedar of this project" if rule in app.custody.desk.rules.own else "Custody's access.cedar"
    return f"{rule}, line {line} of {file}"


@access.command()
@click.argument("action")
@click.argument("resource", default="")
@click.option("--environment", default="", help="The environment, such as production.")
@click.option("--purpose", default="", help="Why it is asked, such as evaluation.")
@click.option("--with", "pairs", multiple=True, metavar="NAME=VALUE", help="A further circumstance, as mfa=true.")
@face
def ask(app: App, action: str, resource: str, environment: str, purpose: str, pairs: tuple[str, ...]) -> None:
    """Ask for leave to do ACTION to RESOURCE: for stores and gateways that act on the answer. A refusal is recorded."""
    from custody.core.access import Action
    from custody.core.permission import ACCESS_ONLY
    from custody.errors import InvalidInput
    from custody.records import rights

    if action not in ACCESS_ONLY:
        known = ", ".join(sorted(ACCESS_ONLY))
        raise InvalidInput(f"{action!r} is asked for by the command that does it", hint=f"to ask for: {known}")
    desk = app.custody.desk
    then = rights.moment_of(desk)
    where, about = rights.what(then, desk.rules.type_of(action), app.use_case, resource)
    assumed = told(pairs, environment=environment, purpose=purpose)
    model = about if where.type in rights.ABOUT_A_MODEL else None
    pen = desk.permit(app.actor, Action(action), model, resource=where, context=assumed)
    app.show({"allowed": True, "name": pen.actor.name, "action": action}, [f"ALLOW  {pen.actor.name} {action}"])


@access.command()
@click.argument("actions", nargs=-1, metavar="[ACTION]...")
@click.option("--at", default="", metavar="WHEN", help="As it was: an entry's number, a date, or a moment.")
@face
def matrix(app: App, actions: tuple[str, ...], at: str) -> None:
    """List who may do each ACTION (all, unless named) to how much of what is on record."""
    from custody.core.access import Action
    from custody.errors import InvalidInput
    from custody.records import rights

    if odd := sorted(set(actions) - set(Action)):
        raise InvalidInput(f"{odd[0]!r} is not an action", hint=f"actions: {', '.join(sorted(Action))}")
    desk = app.custody.desk
    found = rights.matrix(desk, rights.moment_of(desk, at), app.use_case, actions or sorted(Action))
    rows = [
        {"name": name, "action": action, "type": things[0].type, "things": sorted(thing.id for thing in things)}
        for (name, action), things in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    lines = [f"  {row['action']:<24} {row['name']:<14} {len(row['things'])} {row['type']}" for row in rows]
    app.show({"rights": rows}, lines or ["  nobody may do anything"])


@access.command()
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 3650), help="Unused for this long.")
@click.option("--at", default="", metavar="WHEN", help="As it was: an entry's number, a date, or a moment.")
@click.option("--sign", is_flag=True, help="Put on record that you looked at all rights; a security manager does.")
@click.option("--of", "emergency", type=int, help="Review one emergency instead, by the entry that broke the glass.")
@click.option("--verdict", type=click.Choice(["upheld", "disputed"]), help="With --of: was it right?")
@click.option("--reason", default="", help="In your own words.")
@face
def review(app: App, days: int, at: str, sign: bool, emergency: int | None, verdict: str | None, reason: str) -> None:
    """Find rights that lie unused, end, contradict each other or were taken in need; sign that you looked."""
    from custody.errors import InvalidInput
    from custody.records import review as reviews
    from custody.records import rights
    from custody.stages.access import review_emergency, sign_campaign

    desk = app.custody.desk
    if emergency is not None:
        if verdict is None:
            raise InvalidInput("the review has no verdict", hint="--verdict upheld, or --verdict disputed")
        said = review_emergency(desk, app.actor, emergency, verdict, reason)
        app.show({"entry": said.index, "verdict": verdict}, [f"The emergency is {verdict} (entry {said.index})."])
    if sign and at:
        raise InvalidInput("a review is signed for today", hint="leave out --at")
    then = rights.moment_of(desk, at)
    found = reviews.review(then, desk.rules, days)
    rows = [finding.to_json() for finding in found]
    lines = [f"{counted(len(found), 'finding')} about {counted(len(then.roster.actors) - 1, 'name')}"]
    lines += [line for item in found for line in (f"  {item.kind:<10} {item.what}", f"{'':13}next: {item.command}")]
    body: dict[str, Any] = {"findings": rows, "days": days, "entries": then.size}
    if sign:
        told_of = [row for row in rows if row["kind"] != "review"]
        said = sign_campaign(desk, app.actor, told_of, days, reason)
        lines.append(f"Signed in entry {said.index}; the next review is due in {reviews.DAYS} days.")
        app.show({**body, "entry": said.index}, lines)
    app.show(body, lines, code=1 if found else 0)


@access.command()
@click.argument("name")
@click.argument("roles", nargs=-1, required=True, metavar="ROLE...")
@click.option("--until", required=True, help="When it ends: 2026-12-31, or a moment.")
@click.option("--reason", required=True, help="Why, for whoever reviews access.")
@face
def grant(app: App, name: str, roles: tuple[str, ...], until: str, reason: str) -> None:
    """Give NAME a further role until a day; an owner does this, and not for themself."""
    from custody.stages.access import grant as give

    said = give(app.custody.desk, app.actor, name, roles, until, reason)
    waiting = said.digest in app.custody.desk.roster().pending
    lines = [
        f"{name} is also {', '.join(said.predicate['roles'])} until {said.predicate['expires']} (entry {said.index})."
    ]
    if waiting:
        lines = [f"Entry {said.index} waits for further owners to countersign it."]
    app.show({"entry": said.index, "until": said.predicate["expires"], "pending": waiting}, lines)


@access.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="Only this role; may be repeated.")
@click.option("--reason", required=True, help="Why, for whoever reviews access.")
@face
def withdraw(app: App, name: str, roles: tuple[str, ...], reason: str) -> None:
    """End what was granted to NAME, before its time. Roles of the enrolment stay."""
    from custody.stages.access import withdraw as take

    said = take(app.custody.desk, app.actor, name, roles, reason)
    gone = ", ".join(said.predicate["roles"])
    app.show(
        {"entry": said.index, "roles": said.predicate["roles"]}, [f"{name} is no longer {gone} (entry {said.index})."]
    )


@access.command("break-glass")
@click.argument("role")
@click.option("--reason", required=True, help="What the emergency is; it is reviewed.")
@click.option("--hours", default=1.0, show_default=True, help="At most 4.")
@face
def break_glass(app: App, role: str, reason: str, hours: float) -> None:
    """Take ROLE (operator or security_manager) for one statement, now. Everybody sees it; somebody else reviews it."""
    from custody.stages.access import break_glass as take

    said = take(app.custody.desk, app.actor, role, reason, hours)
    lines = [
        f"{app.actor} is {role} for one statement, until {said.predicate['expires']} (entry {said.index}).",
        f"next (a security manager): custody access review --of {said.index} --verdict upheld --reason WHY",
    ]
    app.show({"entry": said.index, "until": said.predicate["expires"]}, lines)


@access.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, help="Which part of your work; may be repeated.")
@click.option("--until", required=True, help="When it ends: 2026-12-31, or a moment.")
@face
def delegate(app: App, name: str, roles: tuple[str, ...], until: str) -> None:
    """Make a token NAME that does part of your work, such as a pipeline's. It counts as you."""
    from custody.desk import check_name
    from custody.stages.access import make_token

    check_name(name)
    path = app.custody.key_files.path(name)
    said = make_token(app.custody.desk, app.actor, name, roles, until, path, app.custody.config.passphrase)
    lines = [
        f"{name} is {', '.join(said.predicate['roles'])} on behalf of {app.actor} until {said.predicate['expires']}.",
        f"  key: {path} (entry {said.index})",
    ]
    app.show({"entry": said.index, "key": str(path), "until": said.predicate["expires"]}, lines)


@access.command("revoke-token")
@click.argument("name")
@click.option("--reason", default="", help="Why, where somebody else than the delegator ends it.")
@face
def revoke_token(app: App, name: str, reason: str) -> None:
    """End the token NAME at once: who delegated it does, or an owner, or a security manager."""
    from custody.stages.access import revoke_token as end

    said = end(app.custody.desk, app.actor, name, reason)
    app.show({"entry": said.index, "name": name}, [f"The token {name} has ended (entry {said.index})."])


@access.command()
@click.argument("file", default=Path("access.cedar"), type=click.Path(path_type=Path))
@face
def check(app: App, file: Path) -> None:
    """Check the rules in FILE (this project's access.cedar) with both engines, before they decide anything."""
    rules = app.custody.rules(file)
    count = len(rules.own)
    lines = [f"{file}: {counted(count, 'rule')}; Cedar's validator and Custody's own reader are content."]
    app.show({"rules": sorted(rules.own), "digest": rules.digest}, lines)


@access.command()
@click.option("--schema", is_flag=True, help="Print the schema instead.")
@face
def policy(app: App, schema: bool) -> None:
    """Print the rules in force as Cedar text: those Custody ships, then this project's own."""
    from custody.gates import access_schema

    rules = app.custody.desk.rules
    shipped, own = rules.texts
    text = access_schema() if schema else shipped + (f"\n// This project's own: access.cedar\n\n{own}" if own else "")
    app.show({"text": text, "digest": rules.digest, "own": sorted(rules.own)}, text.rstrip().splitlines())
