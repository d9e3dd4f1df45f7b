"""What every command shares: who acts, how to show an answer, how to refuse."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custody.errors import CustodyError, InvalidInput, NotPermitted, Unavailable

if TYPE_CHECKING:
    from custody.wiring import Custody

WORDS = {
    "met": ("yes", "green"),
    "GO": ("GO", "green"),
    "waived": ("waived", "yellow"),
    "inconclusive": ("open", "yellow"),
    "INCONCLUSIVE": ("INCONCLUSIVE", "yellow"),
    "unknown": ("unknown", "magenta"),
    "not_met": ("no", "red"),
    "NO-GO": ("NO-GO", "red"),
    "not_applicable": ("-", "bright_black"),
}
"""Each status as a word with a colour; the colour never stands alone."""

NEXT = {
    2: "mend what is named above, then repeat the command; --help says what it takes",
    3: "custody next says what is missing, and who can give it",
    4: "stop here and find out who changed it: custody audit verify",
    5: "act with another key or as another person; custody audit people lists who may do what",
    6: "try again; what was recorded is safe",
}
"""What to do after a refusal whose own words leave that open, by exit code."""


class App:
    """One command's way to the project and to the user."""

    def __init__(self, name: str, as_json: bool) -> None:
        self._name, self.json = name, as_json

    @cached_property
    def custody(self) -> Custody:
        """Open the project of the current folder."""
        from custody.wiring import open_custody

        return open_custody(Path.cwd())

    @property
    def actor(self) -> str:
        """Return who acts: `--as`, the environment, or the project's default."""
        return self._name or self.custody.config.actor

    @property
    def use_case(self) -> str:
        """Return the project's use case."""
        return self.custody.config.use_case

    def show(self, body: dict[str, Any], lines: Sequence[str] = (), code: int = 0) -> None:
        """Print the answer, as JSON or as lines, and exit by it."""
        if "custody" in self.__dict__ and self.custody.not_remembered:
            body = {**body, "remembered": False}
            lines = [*lines, "  not remembered: read-only"]
        if self.json:
            click.echo(json.dumps(body, indent=2, sort_keys=True, default=str))
        else:
            for line in lines:
                click.echo(safe(line))
        raise click.exceptions.Exit(code)

    def say(self, line: str) -> None:
        """Tell of progress on standard error, for people only."""
        if not self.json:
            click.echo(line, err=True)

    def progress(self) -> Callable[[str], None]:
        """Return a function that shows what is being worked on; one changing line on a terminal."""
        if self.json:
            return lambda _: None
        if not sys.stderr.isatty():
            return lambda what: click.echo(f"  measuring {what}", err=True)
        return lambda what: click.echo(f"\r\033[K  measuring {what} ...\r", nl=False, err=True)


class Group(click.Group):
    """A group that lists its commands with their whole first sentence, on as many lines as that takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a row for each command that is shown."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(1000)) for name, command in found if command and not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def face(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--as` and `--json`, and hand it an `App`."""

    @click.option("--as", "as_name", default="", metavar="NAME", help="Who acts; the default stands in custody.toml.")
    @click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
    @functools.wraps(function)
    def wrapped(*args: Any, as_name: str, as_json: bool, **options: Any) -> None:
        app = App(as_name, as_json)
        try:
            function(app, *args, **options)
        except CustodyError as error:
            if isinstance(error, NotPermitted):
                _name_who_may(app, error)
            if as_json:
                click.echo(json.dumps(_as_json(error), indent=2))
                raise click.exceptions.Exit(error.exit_code) from None
            raise

    return wrapped


def show_options_of(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter, title: str) -> None:
    """Write the options of a command into another one's help."""
    rows = [row for param in command.get_params(ctx) if (row := param.get_help_record(ctx)) and "--help" not in row[0]]
    with formatter.section(f"Options of {title}"):
        formatter.write_dl(rows)


def _name_who_may(app: App, error: NotPermitted) -> None:
    """Say in a denial's hint who may do what was refused, where anybody may."""
    from custody.core import predicates as kinds
    from custody.core.access import Action
    from custody.core.trust_rules import countersigners

    try:
        desk = app.custody.desk
        denials = desk.read().of_kind(kinds.DENIAL)
        if not denials or denials[-1].predicate["reason"] != error.message:
            return
        said, about = denials[-1].predicate, denials[-1].subject
        action, others = Action(said["action"]), set(desk.roster().actors) - {"custodian", said["actor"]}
        may = sorted(name for name in others if desk.access(name, action, about).allowed)
        if action is Action.COUNTERSIGN:
            seals = desk.read().about(about.sha256, kinds.SEAL)
            asked = countersigners(seals[-1].predicate["policy"]) if seals else []
            may = [name for name in may if not asked or desk.roster().actors[name].roles & set(asked)]
    except (CustodyError, ValueError):  # the refusal itself is what matters
        return
    if may:
        error.hint = f"{' or '.join(may)} may: --as {may[0]}; the refusal is on record"
    else:
        error.hint = "nobody on record may; enrol somebody: custody init person NAME --role ROLE"


_HOSTILE = re.compile(r"\x1b(?!\[[0-9;]{0,16}m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """Return text that cannot steer a terminal: names and messages may come from strangers."""
    return _HOSTILE.sub("\ufffd", text)


def writable(path: Path) -> Path:
    """Return a path a file can be written to; raises `InvalidInput` for a folder and below a missing one."""
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder", hint="name the file to write in it")
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}", hint="make it first, or name another place")
    return path


def counted(count: int, thing: str) -> str:
    """Return a number with its noun, in the singular for one."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def word(status: str) -> str:
    """Return a status as people read it."""
    text, colour = WORDS.get(status, (status, "white"))
    return click.style(f"{text:<8}", fg=colour)


def refuse(error: BaseException) -> int:
    """Print a refusal and return its exit code. Nothing is retried, nothing is swallowed."""
    if isinstance(error, OSError) and not isinstance(error, CustodyError):
        error = _unavailable(error)
    if isinstance(error, MemoryError):
        error = Unavailable("there is not enough memory", hint="close other programs, or use a larger machine")
    if isinstance(error, CustodyError):
        click.echo(click.style("refused: ", fg="red", bold=True) + safe(error.message), err=True)
        click.echo(f"   next: {_hint(error)}", err=True)
        return error.exit_code
    if os.environ.get("CUSTODY_DEBUG"):
        import traceback

        traceback.print_exception(error)
    click.echo(
        click.style("unknown: ", fg="magenta", bold=True)
        + f"Custody failed and concludes nothing: {type(error).__name__}: {str(error)[:300]}",
        err=True,
    )
    click.echo("   next: set CUSTODY_DEBUG=1, repeat the command, and report what it prints", err=True)
    return 3


def _unavailable(error: OSError) -> CustodyError:
    hints = {
        errno.ENOSPC: "free some space and repeat the command; what was recorded is safe",
        errno.EROFS: "the file system is read-only; choose a folder you can write to",
        errno.EACCES: "check the permissions of that path",
        errno.EPERM: "check the permissions of that path",
        errno.EMFILE: "too many files are open; raise the limit with ulimit -n",
    }
    where = f" ({error.filename})" if error.filename else ""
    return Unavailable(f"{error.strerror or error}{where}", hint=hints.get(error.errno or 0, "repeat the command"))


def _hint(error: CustodyError) -> str:
    return error.hint or NEXT.get(error.exit_code, "custody status")


def _as_json(error: CustodyError) -> dict[str, Any]:
    return {
        "error": type(error).__name__,
        "message": error.message,
        "hint": _hint(error),
        "exit_code": error.exit_code,
    }
