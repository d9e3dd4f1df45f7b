"""What is refused before a run begins, and so costs no attempt."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from custody.checks.target import Columns
from custody.core import predicates as kinds
from custody.core.evidence import Evidence
from custody.errors import InvalidInput, NotPermitted, OutOfOrder
from custody.seal.digest import walk
from custody.stages.data import register
from custody.stages.training import run
from custody.testing import Life
from custody.workshop import Order, Workshop

ROWS = "a,y\n1,0\n2,1\n3,0\n4,1\n"
COMMAND = ("python3", "train.py")


class ReachedError(Exception):
    """The run would have been put on record now."""


def reached(_: str) -> dict[str, Any]:
    raise ReachedError


def nothing() -> Any:
    raise AssertionError("no run is started here")


def files_of(root: Path, _: Sequence[Path]) -> dict[str, Any]:
    """Describe the scripts in the folder, as the real capture does."""
    code = root.parent / "code"
    shutil.rmtree(code, ignore_errors=True)
    code.mkdir()
    for path in root.glob("*.py"):
        shutil.copy(path, code)
    return {"digest": "", "files": [{"path": file.path, "sha256": file.sha256} for file in walk(code).files]}


class Shop:
    """A prepared life with one real dataset, and a workshop in which no run is started."""

    def __init__(self, life: Life) -> None:
        self.life, self.root = life, life.custody.config.root
        (self.root / "train.py").write_text("print(1)\n")
        self.put("real")
        self.workshop = Workshop(
            self.root,
            self.root / "runs",
            self.root / "staging",
            nothing,
            None,  # type: ignore[arg-type]
            files_of,
            reached,
        )

    def put(self, name: str, purpose: str = "training", text: str = ROWS) -> Evidence:
        path = self.root / f"{name}.csv"
        path.write_text(text)
        said = {"source": "s", "owner": "petra", "licence": "own", "trust": "trusted", "purpose": purpose}
        columns = Columns(target="y", positive="1")
        read = self.life.custody.read_table
        return register(self.life.desk, "petra", self.root, name, path, read, columns=columns, **said)  # type: ignore[arg-type]

    def run(self, *data: str, **parameters: str) -> None:
        run(self.life.desk, self.workshop, "mel", "loans", Order(COMMAND, data or ("real",), parameters=parameters))


@pytest.fixture
def shop(lived: Any) -> Shop:
    return Shop(lived("prepared"))


def test_a_sound_order_gets_as_far_as_its_start(shop: Shop) -> None:
    with pytest.raises(ReachedError):
        shop.run(rate="0.1", depth="3")
    assert shop.life.record.of_kind(kinds.TRAINING_START) == []


@pytest.mark.parametrize("name", ["CUSTODY_SEED", "PYTHONHASHSEED", "PYTHONPATH", "LD_PRELOAD", "HOME", "TZ"])
def test_parameters_cannot_change_what_the_record_says_of_the_run(shop: Shop, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} is set by Custody itself"):
        shop.run(**{name: "1"})
    assert shop.life.record.of_kind(kinds.TRAINING_START) == []


def test_data_do_not_pass_for_code(shop: Shop) -> None:
    (shop.root / "table.py").write_text(ROWS)
    with pytest.raises(InvalidInput, match=r"table\.py has the very bytes of the dataset real"):
        shop.run()
    (shop.root / "table.py").write_text(ROWS + "5,1\n")
    with pytest.raises(ReachedError):
        shop.run()


def test_the_exam_is_no_training_data_under_whatever_name(shop: Shop) -> None:
    said = dict(shop.put("exam", "held_out", ROWS + "9,1\n").predicate)
    with pytest.raises(NotPermitted, match="exam is held out"):
        shop.run("exam")
    fresh = shop.put("fresh", "training", ROWS + "7,0\n")
    del said["id"]
    twin = {**said, "name": "fresh", "path": "fresh.csv", "purpose": "training", "files": said["files"]}
    with pytest.raises(ReachedError):
        shop.run("fresh")
    shop.life.forge("petra", fresh.subject, kinds.DATASET, twin)  # claims the exam's file for the fresh set
    with pytest.raises(NotPermitted, match="fresh is held out"):
        shop.run("fresh")


def test_no_run_begins_under_criteria_that_one_person_signed(shop: Shop) -> None:
    seal = shop.life.seal(countersigned=False)
    size = shop.life.record.size
    with pytest.raises(OutOfOrder, match="are not countersigned; the policy asks for a security_manager") as refused:
        shop.run()
    assert (refused.value.exit_code, "gate countersign" in refused.value.hint) == (3, True)
    assert shop.life.record.size == size
    shop.life.countersign(seal)
    with pytest.raises(ReachedError):
        shop.run()
