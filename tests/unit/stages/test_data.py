from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from custody.checks.target import Columns
from custody.core import predicates as kinds
from custody.core.evidence import Evidence
from custody.errors import InvalidInput
from custody.stages.data import register
from custody.testing import Life

LABEL = Columns(target="y", positive="1")
ROWS = "a,y\n1,0\n2,1\n3,0\n4,1\n"


@pytest.fixture
def life(lived: Any) -> Life:
    prepared: Life = lived("prepared")
    return prepared


def put(life: Life, name: str, text: str = ROWS, columns: Columns = LABEL, **more: Any) -> Evidence:
    path = life.custody.config.root / f"{name}.csv"
    path.write_text(text)
    said = {"source": "s", "owner": "petra", "licence": "own", "trust": "trusted", "purpose": "training", **more}
    return register(
        life.desk, "petra", life.custody.config.root, name, path, life.custody.read_table, columns=columns, **said
    )


@pytest.mark.parametrize("purpose", ["training", "held_out"])
def test_labels_that_can_be_measured_are_registered(life: Life, purpose: str) -> None:
    assert put(life, "rows", purpose=purpose).predicate["label_values"] == 2


def test_a_positive_that_never_occurs_names_the_labels_there_are(life: Life) -> None:
    with pytest.raises(InvalidInput, match=r"'yes' never occurs in 'y'; it has 0, 1"):
        put(life, "rows", columns=Columns(target="y", positive="yes"))


def test_a_target_needs_a_positive_value(life: Life) -> None:
    with pytest.raises(InvalidInput, match="no positive value is named; it has 0, 1"):
        put(life, "rows", columns=Columns(target="y"))


def test_a_constant_label_is_refused(life: Life) -> None:
    with pytest.raises(InvalidInput, match="one value only, 1"):
        put(life, "rows", "a,y\n1,1\n2,1\n")


def test_live_rows_may_lack_what_training_rows_must_have(life: Life) -> None:
    assert put(life, "rows", "a,y\n1,1\n2,1\n", purpose="live").predicate["rows"] == 2


def test_more_than_two_labels_are_counted(life: Life) -> None:
    assert put(life, "rows", ROWS + "5,2\n").predicate["label_values"] == 3


@pytest.mark.parametrize(("first", "then"), [("training", "held_out"), ("held_out", "training")])
def test_the_same_bytes_do_not_teach_and_examine(life: Life, first: str, then: str) -> None:
    was = put(life, "one", purpose=first)
    size = life.record.size
    with pytest.raises(InvalidInput, match=f"one, which is {first.replace('_', '-')} data in entry {was.index}"):
        put(life, "two", purpose=then)
    assert life.record.size == size
    assert put(life, "two", ROWS + "5,1\n", purpose=then).index == size


def test_one_file_of_a_folder_is_enough(life: Life) -> None:
    put(life, "one", purpose="held_out")
    folder = life.custody.config.root / "many"
    folder.mkdir()
    (folder / "a.csv").write_text(ROWS)
    (folder / "b.csv").write_text(ROWS + "5,1\n")
    with pytest.raises(InvalidInput, match="shares bytes with one"):
        register(
            life.desk, "petra", Path(life.custody.config.root), "many", folder, life.custody.read_table,
            source="s", owner="petra", licence="own", trust="trusted", purpose="training", columns=LABEL,
        )  # fmt: skip


def test_trust_is_raised_with_a_reason_on_record(life: Life) -> None:
    was = put(life, "rows", trust="untrusted")
    for name in ("rows", "other-name"):
        with pytest.raises(InvalidInput, match=f"was untrusted in entry {was.index}; .* at least 10 characters"):
            put(life, name, trust="partner", reason="because  ")
    said = put(life, "rows", trust="partner", reason="a contract was signed").predicate
    assert said["trust_reason"] == "a contract was signed"
    assert said["trust_before"] == {"trust": "untrusted", "entry": was.index}


def test_the_same_or_less_trust_needs_no_reason(life: Life) -> None:
    put(life, "rows", trust="partner")
    for trust in ("partner", "untrusted"):
        assert "trust_reason" not in put(life, "rows", trust=trust).predicate
    assert life.record.of_kind(kinds.DATASET)[-1].predicate["trust"] == "untrusted"
