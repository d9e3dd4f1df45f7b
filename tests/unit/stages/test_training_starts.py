"""What must be there before a run begins, each by itself, and the checkpoint it begins from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from custody.adapters.bare import Bare
from custody.adapters.witness_book import FileBook
from custody.checks.target import Columns
from custody.config import read_config
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.release import decide
from custody.core.subject import Subject
from custody.core.trust_rules import unwitnessed
from custody.errors import CustodyError, InvalidInput, NotPermitted, OutOfOrder, Tampered, Unavailable, Unknown
from custody.ledger.note import ED25519, VerifierKey
from custody.ledger.trust import Owner, Root, sign_root
from custody.ledger.trust import Witness as Named
from custody.ledger.witness import Answer, Request, Witness
from custody.seal.keys import raw_to_text
from custody.stages.anchoring import anchor
from custody.stages.data import register
from custody.stages.training import run
from custody.testing import Life
from custody.wiring import Custody, add_person
from custody.workshop import Order

SCRIPT = "import custody_run, os\nfor n in range(3): custody_run.log(loss=1 / (n + 1), row=custody_run.order(9)[n])\n"
SCRIPT += "open('real.csv').read()\nopen(os.environ['CUSTODY_OUT'] + '/m.txt', 'w').write('m')\n"
COMMAND = (sys.executable, "-S", "train.py")


@dataclass
class Place:
    """A prepared life with real data and a real script, in a workshop without isolation unless said otherwise."""

    life: Life
    sandbox: Any

    def run(self, who: str = "mel", see: Callable[[], Evidence] | None = None, **order: Any) -> Any:
        workshop = replace(self.life.custody.workshop(), find_sandbox=lambda: self.sandbox)
        wanted = Order(COMMAND, **{"data": ("real",), **order})
        return run(self.life.desk, workshop, who, self.life.use_case, wanted, see)

    @property
    def starts(self) -> Sequence[Evidence]:
        return self.life.record.of_kind(kinds.TRAINING_START)


class Sealed(Bare):
    """No isolation either, but for one that asks it claims to be some."""

    def describe(self) -> Any:
        return replace(super().describe(), kind="bubblewrap", network=False)


@pytest.fixture
def place(lived: Any, tmp_path: Path) -> Place:
    life: Life = lived("prepared")
    # What the client remembers lies beside the project, as it does for people: in it, it would pass for code.
    config = read_config(life.custody.config.root / "custody.toml", {"CUSTODY_STATE": str(tmp_path / "state")})
    life.custody = Custody(config)
    life.desk = life.custody.desk
    root = life.custody.config.root
    (root / "train.py").write_text(SCRIPT)
    (root / "real.csv").write_text("a,y\n1,0\n2,1\n")
    columns = Columns(target="y", positive="1")
    said = {"source": "s", "owner": "petra", "licence": "own", "trust": "trusted", "purpose": "training"}
    register(life.desk, "petra", root, "real", root / "real.csv", life.custody.read_table, columns=columns, **said)  # type: ignore[arg-type]
    return Place(life, Sealed("a test"))


def test_with_everything_there_a_run_begins(place: Place) -> None:
    done = place.run()
    assert (done.attempt, done.steps) == (1, 3)
    assert place.starts[0].predicate["tolerance"] == "exact"
    finish = place.life.record.of_kind(kinds.TRAINING_FINISH)[-1].predicate["runDetails"]
    assert finish["transcript"]["steps"] == 3
    assert finish["anomalies"] == []


def nobody(place: Place) -> None:
    place.run("val")


def author(place: Place) -> None:
    add_person(place.life.custody, "olga", "dana", ["data_scientist", "ml_engineer"])
    place.run("dana")


def unsealed(place: Place) -> None:
    place.life.use_case = "another"
    place.run()


def uncountersigned(place: Place) -> None:
    place.life.seal(countersigned=False)
    place.run()


def no_data(place: Place) -> None:
    place.run(data=("held-out",))


def unknown_data(place: Place) -> None:
    place.run(data=("nothing",))


def doubtful_data(place: Place) -> None:
    place.life.register_data(trust="unknown")
    place.run(data=("train",))


def spent(place: Place) -> None:
    for _ in range(3):
        place.run()
    place.run()


def no_isolation(place: Place) -> None:
    place.sandbox = Bare("a test")
    place.run()


def no_program(place: Place) -> None:
    (place.life.custody.config.root / "train.py").unlink()
    run(place.life.desk, place.life.custody.workshop(), "mel", "loans", Order(("python3", "train.py"), ("real",)))


def swapped_data(place: Place) -> None:
    (place.life.custody.config.root / "real.csv").write_text("a,y\n1,0\n2,0\n")
    place.run()


def boundless(place: Place) -> None:
    place.run(tolerance="relative 1")


def no_witness(place: Place) -> None:
    install(place.life, [], 0)
    install(place.life, [Eye(place.life, "a")], 1, version=3)
    place.run()


MISSING: dict[str, tuple[Callable[[Place], None], type[CustodyError], int, str]] = {
    "the permission": (nobody, NotPermitted, 5, "run.start needs ml_engineer"),
    "another author": (author, NotPermitted, 5, "dana wrote the criteria"),
    "sealed criteria": (unsealed, OutOfOrder, 3, "no criteria are sealed"),
    "the second signature": (uncountersigned, OutOfOrder, 3, "are not countersigned"),
    "data that is no exam": (no_data, NotPermitted, 5, "held-out is held out"),
    "data on record": (unknown_data, CustodyError, 3, "no dataset 'nothing' is on record"),
    "data of a trusted source": (doubtful_data, OutOfOrder, 3, "trust level 'unknown'"),
    "data as registered": (swapped_data, Tampered, 4, "is not what was registered"),
    "an attempt left": (spent, OutOfOrder, 3, "3 of 3 training attempts are spent"),
    "isolation": (no_isolation, OutOfOrder, 3, "asks for an isolated run, and this machine gives none"),
    "a program": (no_program, InvalidInput, 2, "there is no train.py"),
    "a tolerance within reason": (boundless, InvalidInput, 2, "the tolerance 'relative 1'"),
    "a witness": (no_witness, OutOfOrder, 3, "asks for 1 witnesses"),
}


@pytest.mark.parametrize("name", MISSING)
def test_each_thing_that_is_missing_has_its_own_refusal_and_starts_nothing(place: Place, name: str) -> None:
    act, kind, code, reason = MISSING[name]
    with pytest.raises(kind) as refused:
        act(place)
    assert refused.value.exit_code == code
    assert reason in refused.value.message
    assert len(place.starts) == (3 if name == "an attempt left" else 0)
    assert not (place.life.custody.config.root / "model").exists()


# --- the checkpoint ------------------------------------------------------------------------------------


class Eye:
    """A witness that is asked without a network, and may be away."""

    def __init__(self, life: Life, name: str) -> None:
        self.name, self.url, self.away = f"eye.example/{name}", f"near:{name}", False
        self.book = FileBook.create(Path(life.custody.config.root) / f"eye-{name}", self.name)
        self.key = self.book.key()
        self._now = int(life.desk._clock().timestamp())
        self.book.follow(VerifierKey(life.custody.config.origin, ED25519, life.desk.log.public))

    def ask(self, request: Request) -> Answer:
        if self.away:
            raise Unavailable("nobody there")
        return Witness(self.name, self.key, self.book, lambda: self._now).add_checkpoint(request.to_bytes())


def install(life: Life, eyes: list[Eye], quorum: int, version: int = 2) -> None:
    """Put a version of the trust root on record, with these witnesses."""
    olga, config = life.desk.actor("olga"), life.custody.config
    named = tuple(Named(eye.name, raw_to_text(eye.key.public)) for eye in eyes)
    root = Root(version, "", config.log_key, (Owner("olga", olga.person, olga.keyid, olga.key),), 1, named, quorum)
    said = {**root.to_json(), "signatures": [sign_root(config.origin, root, life.custody.signer("olga"))]}
    life.say("olga", Action.SIGN_ROOT, Subject("trust-root", olga.keyid), kinds.TRUST_ROOT, said)


def seen_by(life: Life, eyes: list[Eye]) -> Callable[[], Evidence]:
    return lambda: anchor(life.desk, replace(life.custody.panel(), eyes=eyes)).entry


def test_a_run_begins_from_a_checkpoint_that_enough_witnesses_signed(place: Place) -> None:
    life = place.life
    eyes = [Eye(life, letter) for letter in "abc"]
    install(life, eyes, 2)
    eyes[0].away = True
    place.run(see=seen_by(life, eyes))
    (start,) = place.starts
    record = life.record
    checkpoint = start.predicate["checkpoint"]
    seen = record.by_digest(checkpoint["anchor"])
    assert seen is not None
    assert (checkpoint["size"], checkpoint["root"]) == (seen.predicate["size"], seen.predicate["root"])
    seal = record.of_kind(kinds.SEAL)[-1]
    assert unwitnessed(record, start, seal) == ""
    model = record.of_kind(kinds.TRAINING_FINISH)[-1].subject.sha256
    against = decide(record, model, life.use_case, life.desk.time()).failing()
    assert "process.sealed_before_training" not in {ruling.id for ruling in against}


def test_without_enough_witnesses_nothing_begins(place: Place) -> None:
    life = place.life
    eyes = [Eye(life, letter) for letter in "abc"]
    install(life, eyes, 2)
    eyes[0].away = eyes[1].away = True
    with pytest.raises(Unknown, match="1 of 2"):
        place.run(see=seen_by(life, eyes))
    assert not place.starts
    assert not life.record.of_kind(kinds.ANCHOR)


def test_where_none_is_asked_for_a_witness_is_welcome_and_its_absence_no_hindrance(place: Place) -> None:
    life = place.life
    eyes = [Eye(life, "a")]
    install(life, eyes, 0)
    place.run(see=seen_by(life, eyes))
    assert life.record.by_digest(place.starts[-1].predicate["checkpoint"]["anchor"])

    def away() -> Evidence:
        raise Unavailable("nobody there")

    place.run(see=away)
    assert "anchor" not in place.starts[-1].predicate["checkpoint"]


def test_a_witness_that_saw_another_history_stops_the_run(place: Place) -> None:
    def conflict() -> Evidence:
        raise Tampered("a witness saw another ledger")

    with pytest.raises(Tampered):
        place.run(see=conflict)
    assert not place.starts
