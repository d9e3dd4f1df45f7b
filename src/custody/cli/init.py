"""`custody init`: begin a project, and enrol people."""

from __future__ import annotations

import os
from pathlib import Path

import click

from custody.cli.app import App, Group, face, show_options_of
from custody.core.actor import Role

ROLES = [str(role) for role in Role if role is not Role.CUSTODIAN]


class _Init(Group):
    """`init USE_CASE` begins; `init person NAME` enrols."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Read an unknown word as the name of a use case."""
        if args and args[0] not in self.commands:
            return "use-case", self.commands["use-case"], args
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `init USE_CASE` as well: that is what most people come for."""
        show_options_of(self.commands["use-case"], ctx, formatter, "init USE_CASE")
        super().format_options(ctx, formatter)


@click.group(cls=_Init, no_args_is_help=True)
def init() -> None:
    """Begin: a ledger, a trust root, the people and their roles.

    \b
    custody init card-fraud --solo          one person, every role; every report says so
    custody init card-fraud                 you are the owner and enrol the others
    custody init person dana --role data_scientist
    custody init revoke dana                from now on their key signs nothing that counts
    """


@init.command("use-case", hidden=True)
@click.argument("use_case")
@click.option("--tier", type=click.Choice(["low", "medium", "high"]), default="high", show_default=True)
@click.option("--purpose", default="", help="What the model is for, in a sentence.")
@click.option("--solo", is_flag=True, help="One person plays every part; lowers the assurance, visibly.")
@click.option("--owner", default="", help="Name of the first person; the default is your login.")
@click.option(
    "--ledger", default="", metavar="URL", help="Keep the ledger in PostgreSQL: postgresql://HOST/NAME, no password."
)
@face
def use_case(app: App, use_case: str, tier: str, purpose: str, solo: bool, owner: str, ledger: str) -> None:
    """Begin custody of USE_CASE in this folder."""
    from custody.wiring import create

    name = owner or os.environ.get("CUSTODY_ACTOR") or os.environ.get("USER") or "owner"
    custody = create(Path.cwd(), use_case, name, tier=tier, purpose=purpose, solo=solo, ledger=ledger)
    lines = [
        f"Custody of {use_case} begins here (tier {tier}). {name} is the owner.",
        "  custody.toml   trust root: put it under version control",
        "  .custody/      ledger, keys, encrypted models: keep it private, back it up",
    ]
    if not os.environ.get("CUSTODY_PASSPHRASE"):
        lines.append("  Private keys are not encrypted; set CUSTODY_PASSPHRASE before init to encrypt them.")
    if solo:
        lines.append("  Solo: one person plays every part. Every report says so, and production stays closed.")
    lines.append("next: custody next" if solo else "next: custody init person NAME --role ROLE")
    config = custody.config
    body = {"use_case": use_case, "tier": tier, "owner": name, "origin": config.origin, "solo": solo}
    app.show(body, lines)


@init.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(ROLES),
    metavar="ROLE",
    help=f"May be repeated: {', '.join(ROLES)}.",
)
@click.option("--key", type=click.Path(path_type=Path), help="Their request or public key; else one is made here.")
@click.option(
    "--service-of", "sponsor", default="", metavar="PERSON", help="A program's account; PERSON answers for it."
)
@face
def person(app: App, name: str, roles: tuple[str, ...], key: Path | None, sponsor: str) -> None:
    """Enrol NAME with one or more roles, or change the roles of someone enrolled."""
    from custody.wiring import add_person

    known = app.custody.desk.roster().actors.get(name)
    said = add_person(app.custody, app.actor, name, roles, key, sponsor)
    was = sorted(str(role) for role in known.roles) if known else []
    now = ", ".join(sorted(roles))
    body = {"name": name, "roles": sorted(roles), "was": was, "keyid": said.predicate["keyid"], "entry": said.index}
    line = f"{name} was {', '.join(was)}, now {now}" if known else f"{name} is enrolled as {now}"
    lines = [f"{line} (entry {said.index})."]
    if said.digest in app.custody.desk.roster().pending:
        lines = [
            f"{name} waits in entry {said.index} until other owners have signed it as well.",
            f"next: custody gate countersign {said.index} --reason WHY",
        ]
    app.show(body, lines)


@init.command()
@click.argument("name")
@face
def revoke(app: App, name: str) -> None:
    """Take NAME off the list: from now on their key signs nothing that counts. What they said stays."""
    from custody.stages.people import revoke as take_off

    said = take_off(app.custody.desk, app.actor, name)
    body = {"name": name, "keyid": said.predicate["keyid"], "entry": said.index}
    again = f"custody init person {name} --role ROLE enrols them again, with a new key"
    app.show(body, [f"{name} is revoked (entry {said.index}).", f"  {again}"])
