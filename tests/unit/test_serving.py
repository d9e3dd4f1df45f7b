"""What rows a served model takes, and how they reach the estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from custody.errors import InvalidInput
from custody.serving import table_for

ROWS = [[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 2.0]]
NAMED = LogisticRegression().fit(pd.DataFrame(ROWS, columns=["a", "b"]), [0, 0, 1, 1])
PLAIN = LogisticRegression().fit(np.array(ROWS), [0, 0, 1, 1])
FORMS = {
    "array": np.array(ROWS),
    "lists": ROWS,
    "pandas": pd.DataFrame(ROWS, columns=["a", "b"]),
    "polars": pl.DataFrame(ROWS, schema=["a", "b"], orient="row"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", [NAMED, PLAIN], ids=["named", "plain"])
def test_every_form_of_rows_gives_the_same_answers(model: Any, form: str) -> None:
    answers = model.predict_proba(table_for(model, FORMS[form]))
    assert np.allclose(answers, PLAIN.predict_proba(np.array(ROWS)))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_frame_is_read_by_name(make: Any) -> None:
    columns = {"id": ["x", "y"], "b": [5.0, 4.0], "a": [0.0, 1.0]}
    assert list(table_for(NAMED, make(columns)).columns) == ["a", "b"]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_missing_column_is_named(make: Any) -> None:
    with pytest.raises(InvalidInput, match="lack the column 'b'") as caught:
        table_for(NAMED, make({"a": [1.0]}))
    assert "a, b" in caught.value.hint


@pytest.mark.parametrize("model", [NAMED, PLAIN], ids=["named", "plain"])
def test_another_number_of_columns_is_refused(model: Any) -> None:
    with pytest.raises(InvalidInput, match="have 3 columns, the model takes 2"):
        table_for(model, [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("rows", [[1.0, 2.0], 3.0, "text"])
def test_what_is_no_table_is_refused(rows: Any) -> None:
    with pytest.raises(InvalidInput, match="two dimensions"):
        table_for(NAMED, rows)


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(InvalidInput):
        table_for(NAMED, [[1.0, 2.0], [3.0]])


def test_text_beside_numbers_keeps_its_type() -> None:
    class Mixed:
        feature_names_in_ = ("amount", "kind")

    table = table_for(Mixed(), [[1.5, "card"], [2.5, "cash"]])
    assert table["amount"].dtype == float
    assert table["kind"].tolist() == ["card", "cash"]
