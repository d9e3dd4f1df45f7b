"""Sealed before training: what a cheat would write into the ledger, and what the gate makes of it.

Every statement is properly signed by the person it names and properly logged, past the desk: an insider with
the keys and a shell. Each case names the rule that has to stop it; the honest life, step by step the same, is GO.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from custody.config import read_config
from custody.core import predicates as kinds
from custody.core.decision import Status
from custody.core.evidence import Evidence
from custody.core.seed import derive_seed
from custody.core.stage import Stage
from custody.core.subject import Subject, run_subject
from custody.records.status import standing
from custody.testing import Life, digest, prepared_life
from custody.wiring import Custody, add_person
from custody_verify.__main__ import main as verifier

SEALED, CHAIN, RUN, SPOT = "process.sealed_before_training", "process.chain", "process.run", "process.transcript"


@dataclass
class Cheat:
    """A life whose criteria are sealed, and the short words with which a cheat goes on."""

    life: Life
    seal: Evidence

    def started(self, **more: Any) -> dict[str, Any]:
        return {**self.life.started(self.seal), **more}

    def start(self, **more: Any) -> Evidence:
        """Write a start statement with fields of the cheat's choice."""
        return self.write("mel", run_subject("run1"), kinds.TRAINING_START, self.started(**more))

    def finish(self, start: Evidence, who: str = "mel", **details: Any) -> Evidence:
        said = self.life.finished(start)
        said["runDetails"] |= details
        return self.write(who, self.life.model, kinds.TRAINING_FINISH, said)

    def write(self, who: str, about: Subject, kind: str, said: dict[str, Any]) -> Evidence:
        index = self.life.forge(who, about, kind, said)
        return self.life.record.entries[index]

    def checkpoint(self, size: int, root: str) -> dict[str, Any]:
        """Return a checkpoint and the seed that follows from it."""
        seed = derive_seed(root, self.seal.digest, [("train", self.life.train_data)])
        return {"checkpoint": {"size": size, "root": root}, "seed": seed}

    def root(self, size: int) -> str:
        """Return the true root of the ledger at some size."""
        self.life.desk.read()
        return self.life.desk.reading.frontiers[size].root.hex()

    def spot(self, start: Evidence, who: str = "val", **more: Any) -> Evidence:
        said = {"run": "run1", "start": start.digest, "steps": 10, "verdict": "agrees", "cause": "", "isolation": {}}
        return self.write(who, self.life.model, kinds.SPOT_CHECK, said | more)

    def checked(self, **more: Any) -> None:
        """Train with a transcript and have it checked, in the honest order."""
        start = self.start()
        self.finish(start, **TRANSCRIPT)
        self.spot(start, **more)

    def judge(self) -> Any:
        self.life.validate(self.seal)
        for who in ("ari", "cora"):
            self.life.approve(who)
        return self.life.decide()

    def verified(self, folder: Path) -> int:
        """Let the second implementation judge the exported ledger; returns its exit code."""
        bundle, trust = self.life.export(folder / "export")
        with contextlib.redirect_stdout(io.StringIO()):
            return verifier(["bundle", str(bundle), "--trust", str(trust), "--json"])

    def type_go(self, decision: Any) -> None:
        """Write a GO for this model by hand, as the validator, whatever the record gives."""
        met = [dataclasses.replace(ruling, status=Status.MET, reason="fine") for ruling in decision.rulings]
        record = self.life.record
        typed = dataclasses.replace(
            decision, size=record.size, root=record.root, rulings=tuple(met), at=self.life.desk.time()
        )
        self.life.forge("val", self.life.model, kinds.DECISION, typed.to_predicate())


TRANSCRIPT = {"transcript": {"steps": 100, "sha256": "aa" * 32, "head": "bb" * 32, "tolerance": "exact"}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, int]:
    life, seal = prepared_life(tmp_path_factory.mktemp("prepared"))
    add_person(life.custody, "olga", "max", ["ml_engineer"])
    return life, seal.index


@pytest.fixture
def cheat(prepared: tuple[Life, int], tmp_path: Path) -> Cheat:
    base, index = prepared
    folder = tmp_path / "life"
    shutil.copytree(base.custody.config.root, folder)
    life = copy.copy(base)
    life.custody = Custody(read_config(folder / "custody.toml", {"CUSTODY_STATE": str(folder)}))
    life.desk = life.custody.desk
    return Cheat(life, life.record.entries[index])


def _start_before_seal(cheat: Cheat) -> None:
    """The run is over; then criteria are sealed that it meets, and the old start names them."""
    size = cheat.seal.index
    start = cheat.start(**cheat.checkpoint(size, cheat.root(size)))
    cheat.finish(start)


def _backdated_seal(cheat: Cheat) -> None:
    """Start first; then the same criteria once more, dated years ago."""
    start = cheat.start()
    cheat.finish(start)
    life = cheat.life
    said = {**life.sealed(), "at": "2020-01-01T00:00:00+00:00"}
    cheat.seal = cheat.write("dana", life.case, kinds.SEAL, said)
    cheat.life.countersign(cheat.seal)


def _late_seal(cheat: Cheat) -> None:
    """Start under no seal at all, then say in the finish that there was one."""
    start = cheat.start(seal="")
    cheat.finish(start)


def _seal_of_the_future(cheat: Cheat) -> None:
    """The start names the digest of a seal that is only written afterwards."""
    life = cheat.life
    said = {**life.sealed(), "at": "2020-01-01T00:00:00+00:00"}
    from custody.core.statement import Statement
    from custody.seal.envelope import seal as sign
    from custody.seal.keys import PersonKey

    key = PersonKey.load(life.custody.config.keys / "dana.pem")
    envelope = sign(Statement(life.case, kinds.SEAL, said), key)
    seed = derive_seed(life.record.root, envelope.digest, [("train", life.train_data)])
    start = cheat.start(seal=envelope.digest, seed=seed)
    cheat.finish(start)
    index, _ = life.desk.log.append([envelope])
    cheat.seal = life.record.entries[index]
    life.countersign(cheat.seal)


def _start_of_another_seal(cheat: Cheat) -> None:
    """The very bytes were made under an older seal too; only the newer one is shown."""
    cheat.finish(cheat.start())
    cheat.seal = cheat.life.seal()
    again = cheat.write("mel", run_subject("run2"), kinds.TRAINING_START, cheat.life.started(cheat.seal, "run2"))
    cheat.finish(again)


def _checkpoint_of_another_ledger(cheat: Cheat) -> None:
    cheat.finish(cheat.start(**cheat.checkpoint(cheat.life.record.size, digest("elsewhere"))))


def _checkpoint_of_the_future(cheat: Cheat) -> None:
    """The start claims a size that the ledger only reaches with the start itself."""
    size = cheat.life.record.size
    cheat.finish(cheat.start(**cheat.checkpoint(size + 1, digest("guessed"))))


def _size_of_another_root(cheat: Cheat) -> None:
    """A true root, with the size of another checkpoint."""
    life = cheat.life
    cheat.finish(cheat.start(**cheat.checkpoint(life.record.size - 1, life.record.root)))


def _size_that_is_no_number(cheat: Cheat) -> None:
    root = cheat.life.record.root
    cheat.finish(cheat.start(**{**cheat.checkpoint(1, root), "checkpoint": {"size": "11", "root": root}}))


def _chosen_seed(cheat: Cheat) -> None:
    cheat.finish(cheat.start(seed=42))


def _seed_of_the_seal_alone(cheat: Cheat) -> None:
    """A seed that could be computed as soon as the criteria were written, without the ledger."""
    seed = derive_seed("00" * 32, cheat.seal.digest, [("train", cheat.life.train_data)])
    cheat.finish(cheat.start(seed=seed))


def _seed_of_other_data(cheat: Cheat) -> None:
    life = cheat.life
    cheat.finish(cheat.start(seed=derive_seed(life.record.root, cheat.seal.digest, [("train", digest("other"))])))


def _finish_before_start(cheat: Cheat) -> None:
    """The finish is logged first, with the digest of a start that is added afterwards."""
    life = cheat.life
    body = {"at": life.desk.time(), **cheat.started()}
    from custody.core.statement import Statement
    from custody.seal.envelope import seal as sign
    from custody.seal.keys import PersonKey

    key = PersonKey.load(life.custody.config.keys / "mel.pem")
    envelope = sign(Statement(run_subject("run1"), kinds.TRAINING_START, body), key)
    said = life.finished(life.start(cheat.seal, "other"))
    said["buildDefinition"]["internalParameters"]["start"] = envelope.digest
    cheat.write("mel", life.model, kinds.TRAINING_FINISH, said)
    life.desk.log.append([envelope])


def _finish_without_start(cheat: Cheat) -> None:
    said = cheat.life.finished(cheat.start())
    said["buildDefinition"]["internalParameters"]["start"] = digest("nothing")
    cheat.write("mel", cheat.life.model, kinds.TRAINING_FINISH, said)


def _finish_of_a_seal(cheat: Cheat) -> None:
    said = cheat.life.finished(cheat.start())
    said["buildDefinition"]["internalParameters"]["start"] = cheat.seal.digest
    cheat.write("mel", cheat.life.model, kinds.TRAINING_FINISH, said)


def _somebody_elses_finish(cheat: Cheat) -> None:
    cheat.finish(cheat.start(), who="max")


def _other_data_in_the_finish(cheat: Cheat) -> None:
    start = cheat.start()
    cheat.write("mel", cheat.life.model, kinds.TRAINING_FINISH, cheat.life.finished(start, data=digest("other")))


def _made_before(cheat: Cheat) -> None:
    """What the run itself noticed stands in the finish."""
    cheat.finish(cheat.start(), compromised=["model.joblib was not made by this run"])


def _silent_finish(cheat: Cheat) -> None:
    """A finish that does not say whether anything was noticed."""
    said = cheat.life.finished(cheat.start())
    del said["runDetails"]["compromised"]
    cheat.write("mel", cheat.life.model, kinds.TRAINING_FINISH, said)


def _no_isolation(cheat: Cheat) -> None:
    cheat.finish(cheat.start(isolation={"kind": "none"}))


WITHOUT_TRANSCRIPT: dict[str, tuple[Callable[[Cheat], None], str]] = {
    "checkpoint older than the seal": (_start_before_seal, SEALED),
    "seal after the start, dated back": (_backdated_seal, ""),
    "no seal, and one in the finish": (_late_seal, SEALED),
    "seal written after the start that names it": (_seal_of_the_future, SEALED),
    "bytes known under an older seal": (_start_of_another_seal, CHAIN),
    "checkpoint of another ledger": (_checkpoint_of_another_ledger, SEALED),
    "checkpoint of the future": (_checkpoint_of_the_future, SEALED),
    "true root, wrong size": (_size_of_another_root, SEALED),
    "size that is no number": (_size_that_is_no_number, SEALED),
    "chosen seed": (_chosen_seed, SEALED),
    "seed without the ledger": (_seed_of_the_seal_alone, SEALED),
    "seed of other data": (_seed_of_other_data, SEALED),
    "finish before its start": (_finish_before_start, CHAIN),
    "finish without a start": (_finish_without_start, CHAIN),
    "finish that calls the seal its start": (_finish_of_a_seal, CHAIN),
    "somebody else's finish": (_somebody_elses_finish, CHAIN),
    "other data in the finish": (_other_data_in_the_finish, RUN),
    "a model that was there before": (_made_before, RUN),
    "a finish that does not say": (_silent_finish, RUN),
    "no isolation": (_no_isolation, RUN),
}


@pytest.mark.parametrize("name", WITHOUT_TRANSCRIPT)
def test_training_that_was_logged_after_the_fact_is_refused(cheat: Cheat, name: str, tmp_path: Path) -> None:
    act, rule = WITHOUT_TRANSCRIPT[name]
    act(cheat)
    decision = cheat.judge()
    against = {ruling.id for ruling in decision.failing()}
    if name == "seal after the start, dated back":
        # The first seal is what the start names, and it holds: the one dated back plays no part in the decision.
        first = cheat.life.record.of_kind(kinds.SEAL)[0]
        assert decision.seal == first.digest != cheat.seal.digest
        assert "process.sealed_before_training" not in against
        return
    assert decision.verdict != "GO"
    assert rule in against, against
    assert cheat.verified(tmp_path) in (1, 3)
    cheat.type_go(decision)
    assert cheat.verified(tmp_path / "typed") == 4


def test_the_honest_order_is_go(cheat: Cheat, tmp_path: Path) -> None:
    cheat.finish(cheat.start())
    decision = cheat.judge()
    assert decision.verdict == "GO", decision.failing()
    assert cheat.verified(tmp_path) == 0


# --- where the policy asks for a transcript ------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, int]:
    """A life whose owner asks for transcripts."""
    life = Life(tmp_path_factory.mktemp("watched"))
    life.enrol_all()
    add_person(life.custody, "olga", "max", ["ml_engineer"])
    opened = life.record.of_kind(kinds.USE_CASE)[-1].predicate
    policy = {**opened["policy"], "transcript": True}
    life.forge("olga", life.case, kinds.USE_CASE, {**{k: v for k, v in opened.items() if k != "id"}, "policy": policy})
    life.decide_source()
    life.register_data()
    life.check_data()
    return life, life.seal().index


@pytest.fixture
def asked(watched: tuple[Life, int], tmp_path: Path) -> Cheat:
    base, index = watched
    folder = tmp_path / "life"
    shutil.copytree(base.custody.config.root, folder)
    life = copy.copy(base)
    life.custody = Custody(read_config(folder / "custody.toml", {"CUSTODY_STATE": str(folder)}))
    life.desk = life.custody.desk
    return Cheat(life, life.record.entries[index])


def _differs_then_agrees(cheat: Cheat) -> None:
    start = cheat.start()
    cheat.finish(start, **TRANSCRIPT)
    cheat.spot(start, verdict="differs", steps=3)
    cheat.spot(start)


def _checked_before_the_end(cheat: Cheat) -> None:
    start = cheat.start()
    cheat.spot(start)
    cheat.finish(start, **TRANSCRIPT)


def _another_runs_check(cheat: Cheat) -> None:
    start = cheat.start()
    other = cheat.write("mel", run_subject("run2"), kinds.TRAINING_START, cheat.life.started(cheat.seal, "run2"))
    cheat.finish(start, **TRANSCRIPT)
    cheat.spot(other)


def _unchecked(cheat: Cheat) -> None:
    cheat.finish(cheat.start(), **TRANSCRIPT)


def _no_transcript(cheat: Cheat) -> None:
    start = cheat.start()
    cheat.finish(start)
    cheat.spot(start)


def _empty_transcript(cheat: Cheat) -> None:
    start = cheat.start()
    cheat.finish(start, transcript={**TRANSCRIPT["transcript"], "steps": 0})
    cheat.spot(start)


WITH_TRANSCRIPT: dict[str, Callable[[Cheat], None]] = {
    "nobody checked": _unchecked,
    "the trainer checked": lambda cheat: cheat.checked(who="mel"),
    "no step was checked": lambda cheat: cheat.checked(steps=0),
    "the check is not sure": lambda cheat: cheat.checked(verdict="unknown"),
    "it differed once": _differs_then_agrees,
    "checked before the end": _checked_before_the_end,
    "another run was checked": _another_runs_check,
    "no transcript": _no_transcript,
    "a transcript without a step": _empty_transcript,
}


@pytest.mark.parametrize("name", WITH_TRANSCRIPT)
def test_a_transcript_that_nobody_else_found_to_agree_is_none(asked: Cheat, name: str, tmp_path: Path) -> None:
    WITH_TRANSCRIPT[name](asked)
    decision = asked.judge()
    assert decision.verdict != "GO"
    assert {ruling.id for ruling in decision.failing()} == {SPOT}
    assert asked.verified(tmp_path) in (1, 3)
    asked.type_go(decision)
    assert asked.verified(tmp_path / "typed") == 4


@pytest.mark.parametrize("who", ["val", "max"])
def test_a_transcript_that_somebody_else_found_to_agree_is_go(asked: Cheat, who: str, tmp_path: Path) -> None:
    asked.checked(who=who)
    decision = asked.judge()
    assert decision.verdict == "GO", decision.failing()
    assert asked.verified(tmp_path) == 0


def test_status_names_the_missing_spot_check_and_what_was_noticed(asked: Cheat) -> None:
    start = asked.start()
    asked.finish(start, **TRANSCRIPT, anomalies=["loss is nan at step 9"])

    def training() -> tuple[str, str, list[str]]:
        found = standing(asked.life.record, asked.life.use_case, [], asked.life.desk.time())
        (stage,) = [state for state in found.stages if state.stage == Stage.TRAINING]
        return stage.state, stage.sentence, [step.command for step in found.steps]

    state, sentence, commands = training()
    assert state == "unknown"
    assert "look at this: loss is nan at step 9" in sentence
    assert "custody run spot-check" in commands
    asked.spot(start)
    state, sentence, commands = training()
    assert state == "met"
    assert "custody run spot-check" not in commands
