"""The performance: the honest life first, attacks as soon as the stage they strike is reached."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.demo import attacks, life
from custody.demo.life import Project
from custody.demo.programme import ATTACKS, Attack
from custody.report.page import Fact, FaultRow, Report

ACTS: Sequence[tuple[str, Sequence[Callable[[Project, life.Tell], Any]]]] = (
    ("sourced", (life.begin,)),
    ("registered", (life.register,)),
    ("sealed", (life.seal,)),
    ("validated", (life.train, life.validate)),
    ("served", (life.release, life.serve)),
    ("audited", (life.audit,)),
)
"""The honest life in acts; after each, the attacks that strike there begin in copies of the project."""


@dataclass(frozen=True)
class Outcome:
    """One replay with its fault: the row of the closing table, and whether it went as it must."""

    attack: Attack
    row: FaultRow


@dataclass(frozen=True)
class Performance:
    """Everything that happened: the honest project, the outcomes, seconds, and seconds to the first catch."""

    project: Project
    outcomes: Sequence[Outcome]
    seconds: float
    first: float

    @property
    def sound(self) -> bool:
        """Return whether every attack was caught and every clean counterpart stayed silent."""
        return bool(self.outcomes) and all(o.row.caught and o.row.clean_silent for o in self.outcomes)


def perform(
    folder: Path,
    *,
    seed: int,
    only: Sequence[str] = (),
    tell: life.Tell = lambda _, __: None,
    caught: Callable[[Attack, attacks.Catch], None] = lambda _, __: None,
) -> Performance:
    """Play the honest life in `folder`/honest and every attack in a copy of its own, two at a time."""
    began = time.perf_counter()
    chosen = [attack for attack in ATTACKS if not only or attack.name in only]
    project = attacks.prepare(folder / "honest", seed)
    tell("files", "a simulated bank: three months of payments, no real person in them")
    replays: list[Future[tuple[Attack, attacks.Catch, float]]] = []

    def heard(replay: Future[tuple[Attack, attacks.Catch, float]]) -> None:
        if not replay.cancelled() and replay.exception() is None:
            caught(*replay.result()[:2])

    with ThreadPoolExecutor(max_workers=2) as pool:
        for stage, acts in ACTS:
            for act in acts:
                act(project, tell)
            for attack in chosen:
                if attack.strikes == stage:
                    copy = project.fork(folder / attack.name.replace(" ", "-").replace(",", ""))
                    replay = pool.submit(_replay, attack, copy)
                    replay.add_done_callback(heard)
                    replays.append(replay)
        life.change(project, tell)
        done = [replay.result() for replay in replays]
    first = min((ended - began for _, catch, ended in done if catch.caught), default=0.0)
    order = {attack.name: number for number, attack in enumerate(ATTACKS)}
    done.sort(key=lambda item: order[item[0].name])
    outcomes = [Outcome(attack, _row(attack, catch, project)) for attack, catch, _ in done]
    return Performance(project, outcomes, time.perf_counter() - began, first)


def _replay(attack: Attack, project: Project) -> tuple[Attack, attacks.Catch, float]:
    catch = attack.act(project)
    shutil.rmtree(project.folder, ignore_errors=True)
    return attack, catch, time.perf_counter()


def _row(attack: Attack, catch: attacks.Catch, honest: Project) -> FaultRow:
    clean = honest.steps.get(attack.clean)
    return FaultRow(
        name=attack.name,
        story=attack.story,
        planted=f"in a copy of the project, once it was {attack.strikes}",
        caught_by=catch.by,
        reason=catch.reason,
        entry=catch.entry,
        exit_code=catch.step.code,
        next_command=attack.next_command,
        seconds=round(catch.step.seconds, 2),
        clean_silent=clean is not None and clean.code == 0,
        caught=catch.caught,
    )


def report(performance: Performance) -> Report:
    """Return the passport of the honest model, with the table of attacks before it."""
    from dataclasses import replace

    from custody.config import read_config
    from custody.stages.audit import passport
    from custody.wiring import Custody

    folder = performance.project.folder
    desk = Custody(read_config(folder / "custody.toml", {"CUSTODY_STATE": str(folder / ".state")})).desk
    found = passport(desk, "card-fraud")
    rows = [outcome.row for outcome in performance.outcomes]
    count = sum(row.caught for row in rows)
    silent = sum(row.clean_silent for row in rows)
    return replace(
        found,
        title="The life of a card-fraud model, and every attack on it",
        headline=(
            f"{count} of {len(rows)} planted attacks were caught and named; without its fault, "
            f"{silent} of {len(rows)} findings were gone."
        ),
        faults=rows,
        facts=[
            Fact("Data", "simulated payments; no real person"),
            Fact("Took", f"{performance.seconds:.0f} s, first catch after {performance.first:.0f} s"),
            *found.facts,
        ],
    )
