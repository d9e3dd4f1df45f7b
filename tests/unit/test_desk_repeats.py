"""Words count once: a signed statement that is appended again spoils the ledger for every reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody.errors import Tampered
from custody.testing import undecided_life


def test_an_approval_cannot_be_replayed_after_it_was_withdrawn(tmp_path: Path) -> None:
    life = undecided_life(tmp_path / "life")
    approved = next(e for e in life.record if e.actor == "cora")
    envelope = dict(life.desk.reading.rows)[approved.index]
    life.approve("cora", "reject", "the drift was not explained")
    life.desk.log.append([envelope])
    with pytest.raises(Tampered, match="repeats an earlier statement"):
        life.desk.read()


def test_two_persons_may_say_the_same_in_the_same_second(tmp_path: Path) -> None:
    life = undecided_life(tmp_path / "life")
    assert life.decide().verdict == "GO"
