"""The spot check: somebody else repeats the first steps of a run and compares what they said.

The run is repeated as it was: the same command in the same sandbox, with the recorded seed, batch order, data
and code. Custody, outside, ends it after the steps that were asked for; a script is not told how many, nor
that this is a check. What is compared is what came through the pipe, then and now.

A transcript that comes out the same under *another* seed could have been written before the seal, by anybody.
So the steps are repeated once more with another seed and must differ; else the answer is "unknown".
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.evidence import Evidence, Record
from custody.core.sandbox import Outcome
from custody.core.seed import derive_order_key, other_order_key
from custody.core.transcript import MOST_BYTES, Line, Recorder, Tolerance, Transcript, first_difference, read_transcript
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound, OutOfOrder, Tampered
from custody.given import read_given
from custody.workshop import (
    TRANSCRIPT,
    Order,
    Workshop,
    differences,
    private_folder,
    python_of,
    run_sealed,
    staged_data,
)

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "unknown"
LEAST = 10
"""Steps that are repeated at least, where nobody says how many and the run has so many."""


@dataclass(frozen=True)
class Spot:
    """What a spot check found: `steps` of `asked` agree; `seconds` is what the repetition itself took."""

    run: str
    verdict: str
    cause: str
    steps: int
    asked: int
    recorded: int
    seconds: float
    evidence: Evidence


@dataclass(frozen=True)
class _Case:
    """One run on record: its statements, its datasets, and what it said of its steps."""

    start: Evidence
    finish: Evidence
    inputs: Sequence[Evidence]
    written: Transcript
    tolerance: Tolerance


def spot_check(
    desk: Desk,
    workshop: Workshop,
    actor: str,
    run_id: str,
    *,
    steps: int = 0,
    time_limit: float = 3600.0,
    progress: Callable[[int, int], None] | None = None,
) -> Spot:
    """Repeat the first `steps` steps of a run (0: one in a hundred, ten at least), and record what came of it.

    `progress` is told how many steps of how many have come. Raises `NotFound` for a run that is not on record,
    `OutOfOrder` for one that has not finished, `NotPermitted` for the trainer, `Tampered` when the kept
    transcript is not the one that was signed, `InvalidInput` for less than one step.
    """
    if steps < 0:
        raise InvalidInput("a spot check repeats at least one step")
    pen = desk.permit(actor, Action.REPRODUCE)
    record = desk.read()
    start, finish = _finished(record, run_id)
    if pen.actor.person in (start.person, finish.person) and not desk.solo():
        reason = f"{pen.actor.person} trained in run {run_id}; a spot check takes another person"
        desk.deny(pen.actor, Action.REPRODUCE, Access(allowed=False, reason=reason), finish.subject)

    def tell(verdict: str, cause: str, agreed: int = 0, seconds: float = 0.0) -> Spot:
        said = {
            "run": run_id,
            "start": start.digest,
            "steps": agreed,
            "verdict": verdict,
            "cause": cause,
            "isolation": workshop.sandbox.describe().to_json(),
            "asked": asked,
            "tolerance": str(tolerance),
        }
        evidence = pen.write(finish.subject, kinds.SPOT_CHECK, said)
        return Spot(run_id, verdict, cause, agreed, asked, recorded, seconds, evidence)

    asked, recorded, tolerance = steps, 0, Tolerance.parse(str(start.predicate.get("tolerance", "exact")))
    claim = finish.predicate["runDetails"].get("transcript")
    if not isinstance(claim, Mapping):
        return tell(UNKNOWN, "the run kept no transcript: its script logs no step")
    written = _kept(workshop.runs / run_id / TRANSCRIPT, start, claim)
    if written is None:
        return tell(UNKNOWN, "the transcript of the run is not on this machine")
    recorded = len(written.lines)
    asked = min(recorded, steps or max(LEAST, -(-recorded // 100)))
    inputs = [entry for item in start.predicate["inputs"] if (entry := record.by_digest(str(item.get("record"))))]
    if [entry.subject.sha256 for entry in inputs] != [item["sha256"] for item in start.predicate["inputs"]]:
        return tell(UNKNOWN, "the run names data that are not on record")
    case = _Case(start, finish, inputs, written, tolerance)
    verdict, cause, agreed, seconds = _repeat(workshop, case, asked, time_limit, progress)
    return tell(verdict, cause, agreed, seconds)


def _finished(record: Record, run_id: str) -> tuple[Evidence, Evidence]:
    start = record.latest(kinds.TRAINING_START, run=run_id)
    if start is None:
        raise NotFound(f"run {run_id!r} is not on record", hint="custody run list")
    ends = [e for e in record.of_kind(kinds.TRAINING_FINISH) if kinds.start_of(e.predicate) == start.digest]
    if not ends:
        raise OutOfOrder(f"run {run_id} has not finished; there is nothing to compare with", hint="custody run list")
    return start, ends[-1]


def _kept(path: Path, start: Evidence, claim: Mapping[str, Any]) -> Transcript | None:
    """Read the transcript that was kept and hold it against what was signed; None when it is not there."""
    try:
        raw = read_given(path, 2 * MOST_BYTES)
    except FileNotFoundError:
        return None
    found = read_transcript(raw, start.digest, int(start.predicate["seed"]))
    if (found.sha256, found.head, len(found.lines)) != (claim.get("sha256"), claim.get("head"), claim.get("steps")):
        raise Tampered(
            f"the transcript of run {start.predicate['run']} is not the one that was signed",
            hint="restore it from a backup; a transcript that was edited proves nothing",
        )
    return found


def _repeat(
    workshop: Workshop, case: _Case, asked: int, time_limit: float, progress: Callable[[int, int], None] | None
) -> tuple[str, str, int, float]:
    """Repeat the steps if all is as it was; returns verdict, cause, how many steps agree, and seconds."""
    said = case.start.predicate
    banned = [workshop.root / str(entry.predicate["path"]) for entry in case.inputs]
    code = workshop.capture_code(workshop.root, [*banned, workshop.root / str(said["out"]), *workshop.hidden])
    found = differences(said, code, workshop.capture_environment(python_of(said["command"])))
    if other := next((text for text in found if text.startswith("code: ")), ""):
        return UNKNOWN, f"{other}; a spot check repeats what was run", 0, 0.0
    isolation = workshop.sandbox.describe().kind
    if isolation != said["isolation"]["kind"]:
        return UNKNOWN, f"the run had isolation: {said['isolation']['kind']}, here it is {isolation}", 0, 0.0
    again = secrets.token_hex(6)
    try:
        with staged_data(workshop, again, case.inputs) as data:
            bench = _Bench(workshop, case, code, data, again, asked, time_limit, progress)
            return _compare(case, bench, found, asked)
    except (Tampered, InvalidInput) as error:
        return UNKNOWN, f"it could not be repeated: {error.message}", 0, 0.0


def _compare(case: _Case, bench: _Bench, found: Sequence[str], asked: int) -> tuple[str, str, int, float]:
    """Run with the recorded seed, which must agree, and with another, which must not."""
    seed = int(case.start.predicate["seed"])
    now, outcome = bench.go(seed, _order_key(case.start.predicate))
    seconds = outcome.seconds
    agreed, cause = first_difference(case.written.lines, now, asked, case.tolerance)
    if cause:
        if len(now) <= agreed and not outcome.succeeded:
            cause = f"the run ended after {len(now)} steps: {outcome.hint or outcome.exit_code}"
            return UNKNOWN, cause, agreed, seconds
        if found:
            return UNKNOWN, f"{cause}; {found[0]}", agreed, seconds
        return DIFFERS, cause, agreed, seconds
    other = (seed + 1 + secrets.randbelow(2**31 - 1)) % 2**31
    strange, outcome = bench.go(other, other_order_key(other))
    seconds += outcome.seconds
    if len(strange) < asked and not outcome.succeeded:
        cause = f"with another seed the run ended after {len(strange)} steps: {outcome.hint or outcome.exit_code}"
        return UNKNOWN, cause, agreed, seconds
    if not first_difference(case.written.lines, strange, asked, case.tolerance)[1]:
        cause = "these steps say the same whatever the seed: they could have been written before the seal"
        return UNKNOWN, cause, agreed, seconds
    return AGREES, "", agreed, seconds


def _order_key(said: Mapping[str, Any]) -> str:
    inputs = [(str(item["name"]), str(item["sha256"])) for item in said["inputs"]]
    return derive_order_key(str(said["checkpoint"]["root"]), str(said["seal"]), inputs)


class _Bench:
    """Where the steps are repeated: the run's code and data, as they were."""

    def __init__(
        self,
        workshop: Workshop,
        case: _Case,
        code: Mapping[str, Any],
        data: Mapping[str, Path],
        again: str,
        asked: int,
        time_limit: float,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        said = case.start.predicate
        self._workshop, self._case, self._code, self._data = workshop, case, code, data
        self._asked, self._progress, self._done = asked, progress, 0
        self._folder = private_folder(workshop.runs / f"{said['run']}-spot-{again}")
        self._order = Order(list(said["command"]), parameters=said["parameters"], time_limit=time_limit)
        shown = workshop.root / str(said["out"])
        self._out = shown if not shown.exists() else shown.with_name(f"{shown.name}-{again}")

    def go(self, seed: int, order_key: str) -> tuple[Sequence[Line], Outcome]:
        """Run until enough steps have come; returns what came."""
        kept = bytearray()
        start = self._case.start.digest
        heard = Recorder(start, seed, kept.extend, enough=self._asked)
        before = self._done

        def listen(piece: bytes, moment: float) -> bool:
            enough = heard.take(piece, moment)
            self._done = before + heard.steps
            if self._progress is not None:
                self._progress(self._done, 2 * self._asked)
            return enough

        try:
            outcome = run_sealed(
                *(self._workshop, self._order, self._case.inputs, self._data, self._code, seed, self._out),
                self._folder / f"log-{seed}.txt",
                order_key=order_key,
                listener=listen,
            )
        finally:
            shutil.rmtree(self._out, ignore_errors=True)
        return read_transcript(bytes(kept), start, seed).lines, outcome
