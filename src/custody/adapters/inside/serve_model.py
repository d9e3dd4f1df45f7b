"""Serves one model over its standard input and output, from behind a wall.

Runs inside the sandbox with the standard library and whatever the model needs. It is given the model's
folder and rows; it has no key, no label, no network. Its answers are claims: the other side checks them.

    python serve_model.py FOLDER POSITIVE

A frame is two big-endian lengths (32-bit header, 64-bit body), a JSON header and a body of raw columns.
"""

# ruff: noqa: PTH118, PTH119, PTH122, PTH123 - plain text paths, as in the rest of this folder

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

LENGTHS = struct.Struct(">IQ")
SUFFIXES = (".joblib", ".pkl", ".pickle")


class RefusalError(Exception):
    """Something the other side should read word for word."""


def find_model(folder: str) -> str:
    """Return the one file that is the model: `model.*` where there are several."""
    found = sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in SUFFIXES
    )
    if not found:
        raise RefusalError("the model folder holds no .joblib, .pkl or .pickle file")
    named = [path for path in found if os.path.splitext(os.path.basename(path))[0] == "model"]
    chosen = named if len(found) > 1 else found
    if len(chosen) != 1:
        names = ", ".join(os.path.relpath(path, folder) for path in found[:10])
        raise RefusalError(f"the model folder holds several models and no single one named model.*: {names}")
    return chosen[0]


def load(path: str) -> Any:
    """Open the model, which may run its code; that is why this happens here."""
    try:
        import joblib
    except ImportError:
        import pickle

        with open(path, "rb") as stream:
            return pickle.load(stream)  # noqa: S301 - behind the wall
    return joblib.load(path)


class Model:
    """A loaded model and the one way it can answer with a score of the positive class."""

    def __init__(self, folder: str, positive: str) -> None:
        self.inner = load(find_model(folder))
        self.positive = positive
        names = getattr(self.inner, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]
        count = getattr(self.inner, "n_features_in_", None)
        self.count = None if count is None else int(count)
        ways = ("predict_proba", "decision_function", "predict")
        self.method = next((way for way in ways if callable(getattr(self.inner, way, None))), "")
        if not self.method:
            kind = type(self.inner).__name__
            raise RefusalError(f"the model, a {kind}, has no predict_proba, decision_function or predict")
        classes = getattr(self.inner, "classes_", None)
        self.classes = None if classes is None else list(classes)
        self.place = None if self.classes is None else self._place(self.classes)

    def _place(self, classes: list[Any]) -> int:
        """Return the position of the positive class; labels written as 0/1 or False/True mean 1."""
        if len(classes) != 2:
            raise RefusalError(f"the model knows {len(classes)} classes; two are needed")
        wanted = _number(self.positive)
        for place, label in enumerate(classes):
            if str(label) == self.positive or (wanted is not None and _number(label) == wanted):
                return place
        if [_number(label) for label in classes] == [0.0, 1.0]:
            return 1
        raise RefusalError(f"the positive class {self.positive!r} is not one of the model's: {list(map(str, classes))}")

    def scores(self, columns: list[tuple[str, Any]], rows: int) -> Any:
        """Return whatever the model answers, as an array whose shape is not yet checked."""
        import numpy as np

        table = self._table(columns, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = np.asarray(getattr(self.inner, self.method)(table))
        if self.method == "predict_proba":
            if answer.ndim == 2 and answer.shape[1] == 2:
                answer = answer[:, 1 if self.place is None else self.place]
        elif self.method == "decision_function":
            sign = -1.0 if self.place == 0 else 1.0
            answer = 0.5 * (1.0 + np.tanh(0.5 * sign * answer.astype(np.float64)))
        elif self.classes is not None and self.place is not None:
            answer = (answer == self.classes[self.place]).astype(np.float64)
        elif answer.dtype.kind in "OUS":
            answer = np.array([str(label) == self.positive for label in answer.ravel()], dtype=np.float64)
        return np.asarray(answer, dtype=np.float64)

    def _table(self, columns: list[tuple[str, Any]], rows: int) -> Any:
        """Make what the model was fitted on: a data frame where it knows names, else a plain array."""
        import numpy as np

        if self.features is None and self.count is not None:
            if self.count != len(columns):
                raise RefusalError(
                    f"the model takes {self.count} columns without names; the table has {len(columns)}: register it "
                    "with --ignore for each column that is no feature, or train on a data frame, which keeps the names"
                )
            if all(isinstance(values, np.ndarray) and values.dtype.kind in "biuf" for _, values in columns):
                return np.column_stack([values for _, values in columns])
            return _objects(columns, rows)
        for build in (_pandas, _polars):
            with contextlib.suppress(ImportError):
                return build(columns)
        return _objects(columns, rows)


class Text:
    """A text column as codes into its categories; -1 where a value is missing."""

    def __init__(self, codes: Any, categories: list[str]) -> None:
        self.codes, self.categories = codes, categories


def _pandas(columns: list[tuple[str, Any]]) -> Any:
    import pandas as pd

    # From version 3 on, text that was read from a file has a type of its own.
    kind = "str" if int(pd.__version__.split(".")[0]) >= 3 else object
    table = {}
    for name, values in columns:
        if isinstance(values, Text):
            words = pd.Series(values.categories, dtype=kind).array
            table[name] = words.take(values.codes, allow_fill=True)
        else:
            table[name] = values
    return pd.DataFrame(table, copy=False)


def _polars(columns: list[tuple[str, Any]]) -> Any:
    import polars as pl

    table = []
    for name, values in columns:
        if isinstance(values, Text):
            # A null is put behind the last category, where the code -1 finds it.
            words = pl.Series(name, [*values.categories, None], dtype=pl.String)
            codes = values.codes.copy()
            codes[codes < 0] = len(values.categories)
            table.append(words.gather(pl.Series(codes)))
        else:
            table.append(pl.Series(name, values))
    return pl.DataFrame(table)


def _objects(columns: list[tuple[str, Any]], rows: int) -> Any:
    import numpy as np

    table = np.empty((rows, len(columns)), dtype=object)
    for place, (_, values) in enumerate(columns):
        if isinstance(values, Text):
            words = np.array([*values.categories, None], dtype=object)
            table[:, place] = words[values.codes]
        else:
            table[:, place] = values
    return table


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def unpack(header: dict[str, Any], body: memoryview) -> list[tuple[str, Any]]:
    """Return the columns of a request as (name, array or Text)."""
    import numpy as np

    columns: list[tuple[str, Any]] = []
    start = 0
    for column in header["columns"]:
        dtype = np.dtype(column["dtype"])
        end = start + dtype.itemsize * header["rows"]
        values = np.frombuffer(body[start:end], dtype=dtype)
        columns.append((column["name"], Text(values, column["categories"]) if "categories" in column else values))
        start = end
    return columns


def read_exactly(stream: Any, size: int) -> memoryview:
    """Read `size` bytes; raises EOFError when the other side has gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = stream.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
    return memoryview(data)


def write(stream: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    """Send one frame."""
    raw = json.dumps(header).encode()
    stream.write(LENGTHS.pack(len(raw), len(body)) + raw)
    stream.write(body)
    stream.flush()


def complaint(error: Exception) -> str:
    """Return one line about an error."""
    if isinstance(error, RefusalError):
        return str(error)
    return f"the model raised {type(error).__name__}: {str(error)[:400]}"


def answer(model: Model, header: dict[str, Any], body: memoryview) -> tuple[dict[str, Any], bytes]:
    """Answer one question; whatever the model raises passes through."""
    scores = model.scores(unpack(header, body), header["rows"])
    if scores.shape != (header["rows"],):
        raise RefusalError(f"the model returned shape {scores.shape} for {header['rows']} rows")
    return {"id": header["id"], "ok": True}, scores.astype("<f8").tobytes()


def serve(requests: Any, answers: BinaryIO, folder: str, positive: str) -> None:
    """Load the model, say what it needs, and answer until the other side closes."""
    try:
        model = Model(folder, positive)
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and the reason must get out
        write(answers, {"id": 0, "ok": False, "error": complaint(error)})
        return
    write(answers, {"id": 0, "ok": True, "features": model.features, "method": model.method})
    with contextlib.suppress(EOFError):
        while True:
            header_size, body_size = LENGTHS.unpack(read_exactly(requests, LENGTHS.size))
            header = json.loads(bytes(read_exactly(requests, header_size)))
            body = read_exactly(requests, body_size)
            try:
                reply, scores = answer(model, header, body)
            except Exception as error:  # noqa: BLE001
                reply, scores = {"id": header["id"], "ok": False, "error": complaint(error)}, b""
            write(answers, reply, scores)


def main() -> None:
    """Move the pipes out of the way, so that what the model prints is not taken for an answer."""
    with os.fdopen(os.dup(0), "rb", buffering=0) as requests, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        serve(requests, answers, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
