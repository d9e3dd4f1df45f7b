"""`custody demo`: the whole life, and every attack on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custody.cli.app import App, face

if TYPE_CHECKING:
    from custody.demo.attacks import Catch
    from custody.demo.programme import Attack
    from custody.demo.stage import Performance

MARKER = ".custody-demo"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default="custody-demo", show_default=True)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the simulated bank.")
@click.option("--only", multiple=True, metavar="ATTACK", help="Only this attack; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the attacks and stop.")
@face
def demo(app: App, folder: Path, seed: int, only: tuple[str, ...], listing: bool) -> None:
    """Live through a card-fraud model's whole life, then replay it with one planted fault at a time.

    Simulated data, ordinary commands, nothing recorded in advance. Writes report.html. Exits 0 when the
    honest life reached GO and retirement, every attack was caught, and nothing was reported without one.
    """
    from custody.demo.programme import ATTACKS
    from custody.errors import InvalidInput, Unavailable

    names = [attack.name for attack in ATTACKS]
    if listing:
        rows = [{"name": a.name, "story": a.story, "strikes": a.strikes} for a in ATTACKS]
        app.show({"attacks": rows}, [f"  {row['name']:<24} {row['story']}" for row in rows])
    if wrong := [name for name in only if name not in names]:
        raise InvalidInput(f"{wrong[0]!r} is not an attack", hint=f"attacks: {', '.join(names)}")
    try:
        import polars as _  # noqa: F401
        import sklearn as _s  # noqa: F401
    except ModuleNotFoundError as error:
        raise Unavailable(f"{error.name} is not installed", hint="pip install 'custody[demo]'") from None
    _fresh(folder)
    performance = _perform(app, folder, seed, only)
    _close(app, folder, performance)


def _fresh(folder: Path) -> None:
    """Make the folder, or empty one that an earlier demo left; never anybody else's."""
    from custody.errors import InvalidInput

    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise InvalidInput(f"{folder} is not empty and no demo made it", hint="name another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("made by custody demo; the next demo may remove this folder\n")


def _perform(app: App, folder: Path, seed: int, only: tuple[str, ...]) -> Performance:
    from custody.demo.programme import ATTACKS
    from custody.demo.stage import perform

    if app.json:
        return perform(folder.resolve(), seed=seed, only=only)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    console.print("[bold]The life of a card-fraud model under custody[/]  simulated data, real commands\n")
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as progress:
        total = len(only) or len(ATTACKS)
        task = progress.add_task("attacks caught", total=total)

        def tell(stage: str, sentence: str) -> None:
            progress.console.print(f"  [cyan]{stage:<13}[/] {_plain(sentence)}", soft_wrap=True)

        def caught(attack: Attack, catch: Catch) -> None:
            mark = "[green]  caught[/]" if catch.caught else "[red]  MISSED[/]"
            told = _plain(catch.reason)[:110]
            progress.console.print(f"  {mark}      {attack.name}: [dim]{told}[/]", soft_wrap=True)
            progress.advance(task)

        return perform(folder.resolve(), seed=seed, only=only, tell=tell, caught=caught)


def _close(app: App, folder: Path, performance: Performance) -> None:
    from custody.demo.stage import report
    from custody.report.page import render_report

    page = folder / "report.html"
    page.write_text(render_report(report(performance)), encoding="utf-8")
    rows: list[dict[str, Any]] = [vars(outcome.row) for outcome in performance.outcomes]
    code = 0 if performance.sound else 1
    if not app.json:
        _table(performance)
    missed = [row["name"] for row in rows if not (row["caught"] and row["clean_silent"])]
    lines = [
        "",
        f"{len(rows) - len(missed)} of {len(rows)} attacks caught and silent without their fault, "
        f"in {performance.seconds:.0f} s; the first after {performance.first:.0f} s.",
        *(f"  not as it must be: {name}" for name in missed),
        f"  report    {page}",
        f"  project   {folder / 'honest'}   (look around: cd there, then custody status)",
        "next: custody init my-use-case --solo   (your own model)",
    ]
    body = {"attacks": rows, "seconds": performance.seconds, "first": performance.first, "report": str(page)}
    app.show(body, lines, code)


def _table(performance: Performance) -> None:
    """Print one block for each attack: what was planted, what caught it, what to do next."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Every planted fault, and what caught it", title_justify="left", show_lines=True, expand=True)
    table.add_column("planted", ratio=2)
    table.add_column("caught by, with the evidence, and what to do next", ratio=4)
    table.add_column("entry", justify="right")
    table.add_column("exit", justify="right")
    table.add_column("without it")
    for outcome in performance.outcomes:
        row = outcome.row
        caught_by = f"[green]{_plain(row.caught_by)}[/]" if row.caught else "[red]MISSED[/]"
        entry = "-" if row.entry is None else str(row.entry)
        silent = "silent" if row.clean_silent else "[red]FALSE ALARM[/]"
        evidence = f"{caught_by}\n{_plain(row.reason)[:160]}\n[dim]next: {_plain(row.next_command)}[/]"
        table.add_row(f"[bold]{row.name}[/]\n[dim]{row.story}[/]", evidence, entry, str(row.exit_code), silent)
    Console().print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text.replace("\n", " "))
