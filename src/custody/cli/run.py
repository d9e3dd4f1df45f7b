"""`custody run`: train under seal, list, show, reproduce."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from custody.cli.app import App, Group, face, safe, show_options_of, word
from custody.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from custody.core.evidence import Evidence, Record


_TAIL_BYTES = 64 * 1024


class _Run(Group):
    """`run -- COMMAND` trains; `run list`, `run show` and `run reproduce` look back."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Read anything that is not a verb of its own as a training command with its options."""
        if args and args[0] not in self.commands:
            return "start", self.commands["start"], args
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave options before `--` to the training command."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `run -- COMMAND` as well: that is what most people come for."""
        show_options_of(self.commands["start"], ctx, formatter, "run [OPTIONS] -- COMMAND")
        super().format_options(ctx, formatter)


@click.group(cls=_Run, no_args_is_help=True)
def run() -> None:
    """Train in a sealed run: declared inputs read-only, no network, one output folder.

    \b
    custody run -- python train.py                      all training data on record
    custody run --data NAME --out model -- python train.py --depth 4
    custody run spot-check RUN                          repeat the first steps, as somebody else
    custody run reproduce RUN                           again, and compare the bytes
    """


@run.command(hidden=True, context_settings={"ignore_unknown_options": False})
@click.option("--data", "data", multiple=True, metavar="NAME", help="A dataset on record; default: all for training.")
@click.option("--out", default="model", show_default=True, help="The folder your script writes the model to.")
@click.option("--time-limit", type=float, default=3600.0, show_default=True, help="In seconds.")
@click.option("--memory-limit", type=float, default=0.0, help="In GiB per process; no limit by default.")
@click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter, as environment variable.")
@click.option(
    "--keep", is_flag=True, help="Leave a readable copy of the model in the output folder; it goes on record."
)
@click.option(
    "--tolerance",
    default="exact",
    show_default=True,
    metavar="exact|'relative R'",
    help="How far a spot check's numbers may lie from yours, up to 'relative 1e-3'; it goes on record before the run.",
)
@click.option("--unsealed", is_flag=True, help="Run although no criteria are sealed; the model can never be GO.")
@click.option("--quiet", is_flag=True, help="Do not show what the command prints.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@face
def start(app: App, **options: Any) -> None:
    """Run COMMAND under seal and put the model on record."""
    from custody.stages.training import run as train
    from custody.workshop import Order

    if not 0 < options["time_limit"] <= 30 * 86400:
        raise InvalidInput("--time-limit must be between 0 and 30 days, in seconds")
    if not 0 <= options["memory_limit"] <= 2**20:
        raise InvalidInput("--memory-limit must be between 0 and 1048576 GiB; 0 is no limit")
    pairs = [text.partition("=") for text in options["parameters"]]
    if any(not sign or not name.isidentifier() for name, sign, _ in pairs):
        raise InvalidInput("--set must be of the form NAME=VALUE")
    order = Order(
        command=options["command"],
        data=options["data"],
        out=options["out"],
        time_limit=options["time_limit"],
        memory_limit=int(options["memory_limit"] * 2**30) or None,
        parameters={name: value for name, _, value in pairs},
        keep=options["keep"],
        unsealed=options["unsealed"],
        watch=None if app.json or options["quiet"] else _echo,
        tolerance=options["tolerance"],
    )
    workshop = app.custody.workshop()
    done = train(app.custody.desk, workshop, app.actor, app.use_case, order, app.custody.outside)
    outcome = done.outcome
    body = {
        "run": done.run,
        "model": done.model.sha256 if done.model else None,
        "exit_code": outcome.exit_code,
        "timed_out": outcome.timed_out,
        "seconds": outcome.seconds,
        "isolation": done.isolation,
        "entry": done.evidence.index,
        "hint": outcome.hint,
        "log": str(done.log),
        "attempt": done.attempt,
        "attempts": done.attempts,
        "steps": done.steps,
        "anomalies": list(done.anomalies),
    }
    attempt = [f"  attempt {done.attempt} of {done.attempts}"] if done.attempts else []
    attempt += [f"  transcript: {done.steps} steps, chained"] if done.steps else []
    attempt += [f"  look at this: {line}" for line in done.anomalies]
    if done.model is None:
        why = "was stopped at its time limit" if outcome.timed_out else f"failed with exit code {outcome.exit_code}"
        lines = [f"{word('not_met').strip()}: run {done.run} {why}; it is on record (entry {done.evidence.index})."]
        lines += attempt
        lines += [f"  {line}" for line in _tail(done.log)] if options["quiet"] else []
        lines += [f"next: {outcome.hint}" if outcome.hint else f"next: look into {done.log}"]
        app.show(body, lines, 6 if outcome.timed_out else 1)
        return
    lines = [
        f"Model {done.model.short} is in the vault, encrypted (entry {done.evidence.index}).",
        f"  run {done.run}, {outcome.seconds:.1f} s, isolation: {done.isolation}",
        *attempt,
    ]
    if not options["keep"]:
        lines.append(f"  {options['out']}/ was taken into the vault; custody deploy or custody.load hands it out again")
    app.show(body, [*lines, "next: custody validate"])


@run.command("list")
@face
def list_(app: App) -> None:
    """List every run, finished or not: attempts count."""
    from custody.core import predicates as kinds

    record = app.custody.desk.read()
    ended = {kinds.start_of(e.predicate): e for e in record.of_kind(kinds.TRAINING_FINISH)}
    aborted = {str(e.predicate["start"]): e for e in record.of_kind(kinds.TRAINING_ABORT)}
    rows = []
    for begun in record.of_kind(kinds.TRAINING_START):
        finish, abort = ended.get(begun.digest), aborted.get(begun.digest)
        state = "finished" if finish else f"failed: {abort.predicate['reason']}" if abort else "unfinished"
        if finish and kinds.compromised(finish.predicate):
            state = "compromised"
        model = finish.subject.sha256 if finish else None
        run_id, person = begun.predicate["run"], begun.person
        rows.append({"run": run_id, "model": model, "state": state, "by": person, "entry": begun.index})
    lines = [f"  {row['run']}  {(row['model'] or '-')[:12]:<12}  {row['by']:<10} {row['state']}" for row in rows]
    app.show({"runs": rows}, lines or ["No run is on record."])


@run.command()
@click.argument("run_id")
@face
def show(app: App, run_id: str) -> None:
    """Show the manifest of a run: data, code, parameters, seed, environment, isolation."""
    from custody.core import predicates as kinds
    from custody.errors import NotFound

    record = app.custody.desk.read()
    begun = record.latest(kinds.TRAINING_START, run=run_id)
    if begun is None:
        raise NotFound(f"run {run_id!r} is not on record", hint="custody run list")
    said = begun.predicate
    git = said["code"].get("git") or {}
    packages = said["environment"]["packages"]["list"]
    lines = [
        f"run {run_id}  entry {begun.index}  by {begun.person}",
        f"  command      {' '.join(said['command'])}",
        f"  parameters   {said['parameters'] or '-'}",
        f"  seed         {said['seed']}  (derived from checkpoint {said['checkpoint']['size']} and the seal)",
        f"  sealed by    {said['seal'][:12] or 'nothing: unsealed for ever'}",
        *(f"  data         {item['name']}  {item['sha256'][:12]}" for item in said["inputs"]),
        f"  code         {len(said['code']['files'])} files  {said['code']['digest'][:12]}"
        + (
            f"  commit {git.get('commit', '')[:10]}{' with uncommitted changes' if git.get('dirty') else ''}"
            if git
            else ""
        ),
        f"  python       {said['environment']['python']['version']}, {len(packages)} packages",
        f"  machine      {said['environment']['machine']['cpu']}, {said['environment']['machine']['cpus']} cores",
        f"  isolation    {said['isolation']['kind']}: {said['isolation']['detail']}",
    ]
    told, more = _told(record, begun)
    app.show({**said, "entry": begun.index, **told}, [*lines, *more])


def _told(record: Record, begun: Evidence) -> tuple[dict[str, Any], list[str]]:
    """Return what a run said of its steps, what was noticed, and who repeated it."""
    from custody.core import predicates as kinds

    ends = [e for e in record.of_kind(kinds.TRAINING_FINISH) if kinds.start_of(e.predicate) == begun.digest]
    details = ends[-1].predicate["runDetails"] if ends else {}
    transcript, anomalies = details.get("transcript") or {}, kinds.anomalies(ends[-1].predicate) if ends else []
    spots = [e for e in record.of_kind(kinds.SPOT_CHECK) if e.predicate["start"] == begun.digest]
    lines = [f"  transcript   {transcript['steps']} steps, {transcript['tolerance']}"] if transcript else []
    lines += [f"  look at this {text}" for text in anomalies]
    lines += [f"  spot check   {e.predicate['verdict']}, {e.predicate['steps']} steps, by {e.person}" for e in spots]
    checks = [{"by": e.person, "entry": e.index, "verdict": e.predicate["verdict"]} for e in spots]
    return {"transcript": transcript, "anomalies": anomalies, "spot_checks": checks}, lines


@run.command()
@click.argument("run_id", default="")
@click.option("--seed", type=int, help="Use another seed, to see what it changes.")
@click.option("--time-limit", type=float, default=3600.0, show_default=True)
@face
def reproduce(app: App, run_id: str, seed: int | None, time_limit: float) -> None:
    """Run again with today's code, data and packages: bit-identical, within tolerance, or diverged and why."""
    from custody.core import predicates as kinds
    from custody.stages.reproduction import reproduce as again

    custody = app.custody
    record = custody.desk.read()
    run_id = run_id or _newest_run(app)
    begun = record.latest(kinds.TRAINING_START, run=run_id)
    verdict, cause, said = again(
        custody.desk,
        custody.workshop(),
        app.actor,
        run_id,
        seed=seed,
        time_limit=time_limit,
        tolerance=_tolerance(app, begun) if begun else None,
    )
    code = 0 if verdict != "diverged" else 1
    lines = [f"{word('met' if code == 0 else 'not_met').strip()}: {verdict}  run {run_id} (entry {said.index})"]
    if cause:
        lines.append(f"  {cause}")
    app.show({"run": run_id, "verdict": verdict, "cause": cause, "entry": said.index}, lines, code)


@run.command("spot-check")
@click.argument("run_id", default="")
@click.option("--steps", type=click.IntRange(1), help="How many; one in a hundred by default, and ten at least.")
@click.option("--time-limit", type=float, default=3600.0, show_default=True, help="In seconds, for each repetition.")
@face
def spot_check(app: App, run_id: str, steps: int | None, time_limit: float) -> None:
    """Repeat the first steps of a run somebody else trained, and compare what they say: agrees, differs, or unknown."""
    from custody.stages.spot_check import AGREES, UNKNOWN
    from custody.stages.spot_check import spot_check as repeat

    custody = app.custody
    run_id = run_id or _newest_run(app)
    if not 0 < time_limit <= 30 * 86400:
        raise InvalidInput("--time-limit must be between 0 and 30 days, in seconds")
    with _bar(app) as progress:
        spot = repeat(
            *(custody.desk, custody.workshop(), app.actor, run_id),
            steps=steps or 0,
            time_limit=time_limit,
            progress=progress,
        )
    code = 0 if spot.verdict == AGREES else 3 if spot.verdict == UNKNOWN else 1
    status = {0: "met", 1: "not_met", 3: "unknown"}[code]
    counted = f"{spot.steps} of the first {spot.asked} steps agree; the run has {spot.recorded}"
    lines = [f"{word(status).strip()}: {spot.verdict}  run {spot.run} (entry {spot.evidence.index})", f"  {counted}"]
    lines += [f"  {spot.cause}"] if spot.cause else []
    body = {
        "run": spot.run,
        "verdict": spot.verdict,
        "cause": spot.cause,
        "steps": spot.steps,
        "asked": spot.asked,
        "recorded": spot.recorded,
        "seconds": round(spot.seconds, 3),
        "entry": spot.evidence.index,
    }
    app.show(body, lines, code)


def _newest_run(app: App) -> str:
    from custody.records.lineage import find_model

    finish = find_model(app.custody.desk.read(), app.use_case)
    return str(finish.predicate["buildDefinition"]["internalParameters"]["run"])


@contextmanager
def _bar(app: App) -> Iterator[Callable[[int, int], None] | None]:
    """Show on standard error how many steps have come; nothing for machines."""
    if app.json:
        yield None
        return
    with click.progressbar(length=1, label="repeating steps", file=sys.stderr) as bar:

        def progress(done: int, wanted: int) -> None:
            bar.length = wanted
            bar.update(done - bar.pos)

        yield progress


def _tolerance(app: App, begun: Any) -> Callable[[Path, Path], float | None]:
    def measure(old: Path, new: Path) -> float | None:
        from custody.records.datasets import dataset, table_of
        from custody.stages.validation import distance

        bench = app.custody.bench()
        entry = dataset(app.custody.desk.read(), str(begun.predicate["inputs"][0]["name"]))
        return distance(bench, old, new, table_of(bench.root, entry, bench.read))

    return measure


def _echo(piece: bytes) -> None:
    """Show what the command prints; it may not steer the terminal."""
    text = piece.decode("utf-8", "replace").replace("\r\n", "\n")
    click.echo(safe(text).replace("\ufffd[", "["), nl=False, err=True)


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-8:]
    except OSError:
        return []
