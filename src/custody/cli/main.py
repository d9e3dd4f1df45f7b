"""`custody`: fifteen verbs in the order of a model's life, and the nouns of evidence and rights."""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import click

VERBS = {
    "demo": ("custody.cli.demo", "See a model's whole life, and every planted attack on it caught."),
    "init": ("custody.cli.init", "Begin: a ledger, a trust root, the people and their roles."),
    "status": ("custody.cli.status", "How the model stands, stage by stage."),
    "next": ("custody.cli.status", "What is to be done now, by whom, with which command."),
    "source": ("custody.cli.source", "Decide to build, buy or adopt; answer the risks of that way."),
    "data": ("custody.cli.data", "Register, verify and check the data."),
    "gate": ("custody.cli.gate", "Seal the criteria before training; approve, waive, decide after it."),
    "run": ("custody.cli.run", "Train in a sealed run that sees only what was declared."),
    "scan": ("custody.cli.scan", "Look into model files without opening them."),
    "validate": ("custody.cli.validate", "Measure a model against what was promised before it was trained."),
    "deploy": ("custody.cli.deploy", "Hand a model to production, if its whole chain holds."),
    "watch": ("custody.cli.watch", "Log predictions; find drift and loss of performance."),
    "incident": ("custody.cli.incident", "Quarantine a model; find everything that is affected."),
    "retire": ("custody.cli.retire", "Destroy a model for ever, with a certificate."),
    "audit": ("custody.cli.audit", "Verify the ledger, export it, explain who may do what."),
}

NOUNS = {
    "access": ("custody.cli.access", "Grant, delegate, review and explain rights; break the glass."),
    "who-can": ("custody.cli.who_can", "Who may do this, by what right, until when, and did they."),
    "keys": ("custody.cli.keys", "Look after keys and the trust root: list, make, replace, revoke, agree."),
    "ledger": ("custody.cli.ledger", "Verify the ledger, prove what stands in it, have outside eyes see it."),
    "witness": (
        "custody.cli.witness",
        "Be the outside eye of somebody's ledger: sign it only if nothing was rewritten.",
    ),
}
"""What few people need every day; listed under a heading of its own."""
COMMANDS = {**VERBS, **NOUNS}


class Lifecycle(click.Group):
    """A group whose commands are imported when they are called, and listed in the order of the life."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the verbs in order, then the nouns."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command's module."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, "next_" if cmd_name == "next" else cmd_name.replace("-", "_"))
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Name the nearest command when one is misspelt."""
        if args and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"{args[0]!r} is not a command.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("A model's life"):
            formatter.write_dl([(verb, about) for verb, (_, about) in VERBS.items()])
        with formatter.section("Evidence and rights"):
            formatter.write_dl([(noun, about) for noun, (_, about) in NOUNS.items()])


@click.group(cls=Lifecycle, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="custody", prog_name="custody")
def custody() -> None:
    """Keep the chain of custody of a machine-learning model, from sourcing decision to retirement.

    Every step leaves signed evidence in a tamper-evident ledger. Gates that were sealed before training
    decide from that evidence alone. Exit codes: 0 met or GO, 1 not met or NO-GO, 2 bad input, 3 unknown,
    4 tampered, 5 access denied, 6 try again.

    \b
    New here?   custody demo
    Your model: custody init my-use-case --solo, then custody next
    """


def main() -> None:
    """Run a command; turn every refusal into a message and its exit code."""
    # A command is short: collecting cycles while its modules are imported only costs time.
    gc.set_threshold(100_000, 20, 20)
    try:
        # Outside of standalone mode click returns the exit code instead of exiting with it.
        code = custody.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("interrupted; what was recorded is safe", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo("interrupted; what was recorded is safe", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the face of the product: no traceback reaches a user
        from custody.cli.app import refuse

        sys.exit(refuse(error))
