"""Serves one model over its standard input and output, from behind a wall.

Runs inside the sandbox with the standard library and whatever the model needs. It is given the model's
folder and rows; it has no key, no label, no network. Its answers are claims: the other side checks them.

    python serve_model.py FOLDER POSITIVE

A frame is two big-endian lengths (32-bit header, 64-bit body), a JSON header and a body of raw columns.
"""

import contextlib
import json
import os
import struct
import sys
import warnings

LENGTHS = struct.Struct(">IQ")
SUFFIXES = (".joblib", ".pkl", ".pickle")


class Refusal(Exception):
    """Something the other side should read word for word."""


def find_model(folder):
    """Return the one file that is the model: `model.*` where there are several."""
    found = sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in SUFFIXES
    )
    if not found:
        raise Refusal("the model folder holds no .joblib, .pkl or .pickle file")
    named = [path for path in found if os.path.splitext(os.path.basename(path))[0] == "model"]
    chosen = named if len(found) > 1 else found
    if len(chosen) != 1:
        names = ", ".join(os.path.relpath(path, folder) for path in found[:10])
        raise Refusal(f"the model folder holds several models and none is the one named model.*: {names}")
    return chosen[0]


def load(path):
    """Open the model, which may run its code; that is why this happens here."""
    try:
        import joblib
    except ImportError:
        import pickle

        with open(path, "rb") as stream:
            return pickle.load(stream)
    return joblib.load(path)


class Model:
    """A loaded model and the one way it can answer with a score of the positive class."""

    def __init__(self, folder, positive):
        self.inner = load(find_model(folder))
        self.positive = positive
        names = getattr(self.inner, "feature_names_in_", None)
        self.features = None if names is None else [str(name) for name in names]
        count = getattr(self.inner, "n_features_in_", None)
        self.count = None if count is None else int(count)
        for method in ("predict_proba", "decision_function", "predict"):
            if callable(getattr(self.inner, method, None)):
                self.method = method
                break
        else:
            raise Refusal(
                f"the model, a {type(self.inner).__name__}, has no predict_proba, decision_function or predict"
            )
        classes = getattr(self.inner, "classes_", None)
        self.classes = None if classes is None else list(classes)
        self.place = None if self.classes is None else self._place()

    def _place(self):
        """Return the position of the positive class; labels written as 0/1 or False/True mean 1."""
        if len(self.classes) != 2:
            raise Refusal(f"the model knows {len(self.classes)} classes; two are needed")
        for place, label in enumerate(self.classes):
            if str(label) == self.positive or _number(label) == _number(self.positive) is not None:
                return place
        if [_number(label) for label in self.classes] == [0.0, 1.0]:
            return 1
        raise Refusal(f"the positive class {self.positive!r} is not one of the model's: {self.classes}")

    def scores(self, columns, rows):
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
        elif self.classes is not None:
            answer = (answer == self.classes[self.place]).astype(np.float64)
        elif answer.dtype.kind in "OUS":
            answer = np.array([str(label) == self.positive for label in answer.ravel()], dtype=np.float64)
        return np.asarray(answer, dtype=np.float64)

    def _table(self, columns, rows):
        """Make what the model was fitted on: a data frame where it knows names, else a plain array."""
        import numpy as np

        names = [name for name, _ in columns]
        if self.features is None and self.count is not None:
            if self.count != len(columns):
                raise Refusal(f"the model takes {self.count} columns without names; the table has {len(columns)}")
            if all(isinstance(values, np.ndarray) and values.dtype.kind in "biuf" for _, values in columns):
                return np.column_stack([values for _, values in columns])
            return np.column_stack([np.asarray(_objects(values), dtype=object) for _, values in columns])
        try:
            return _pandas(columns)
        except ImportError:
            pass
        try:
            return _polars(columns)
        except ImportError:
            pass
        table = np.empty((rows, len(names)), dtype=object)
        for place, (_, values) in enumerate(columns):
            table[:, place] = _objects(values)
        return table


class Text:
    """A text column as codes into its categories; -1 where a value is missing."""

    def __init__(self, codes, categories):
        self.codes, self.categories = codes, categories


def _pandas(columns):
    import pandas as pd

    kind = "str" if int(pd.__version__.split(".")[0]) >= 3 else object
    table = {}
    for name, values in columns:
        if isinstance(values, Text):
            words = (
                pd.array(values.categories, dtype=kind)
                if kind == "str"
                else pd.Series(values.categories, dtype=object).array
            )
            table[name] = words.take(values.codes, allow_fill=True)
        else:
            table[name] = values
    return pd.DataFrame(table, copy=False)


def _polars(columns):
    import polars as pl

    table = {}
    for name, values in columns:
        if isinstance(values, Text):
            places = pl.Series(values.codes)
            table[name] = pl.Series(values.categories, dtype=pl.String).gather(places.set(places < 0, None))
        else:
            table[name] = pl.Series(values)
    return pl.DataFrame(table)


def _objects(values):
    if isinstance(values, Text):
        return [None if code < 0 else values.categories[code] for code in values.codes]
    return values


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def unpack(header, body):
    """Return the columns of a request as (name, array or Text)."""
    import numpy as np

    columns, start = [], 0
    for column in header["columns"]:
        dtype = np.dtype(column["dtype"])
        end = start + dtype.itemsize * header["rows"]
        values = np.frombuffer(body[start:end], dtype=dtype)
        columns.append((column["name"], Text(values, column["categories"]) if "categories" in column else values))
        start = end
    return columns


def read_exactly(stream, size):
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = stream.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
    return memoryview(data)


def write(stream, header, body=b""):
    raw = json.dumps(header).encode()
    stream.write(LENGTHS.pack(len(raw), len(body)))
    stream.write(raw)
    stream.write(body)
    stream.flush()


def complaint(error):
    """Return one line about an error."""
    if isinstance(error, Refusal):
        return str(error)
    return f"the model raised {type(error).__name__}: {str(error)[:400]}"


def answer(model, header, body):
    if model.features is not None:
        given = [column["name"] for column in header["columns"]]
        absent = [name for name in model.features if name not in given]
        if absent:
            raise Refusal(f"the model needs the column {absent[0]!r}, which the table does not have")
    scores = model.scores(unpack(header, body), header["rows"])
    if scores.shape != (header["rows"],):
        raise Refusal(f"the model returned shape {scores.shape} for {header['rows']} rows")
    return {"id": header["id"], "ok": True}, scores.astype("<f8").tobytes()


def serve(requests, answers, folder, positive):
    try:
        model = Model(folder, positive)
        hello = {"id": 0, "ok": True, "features": model.features, "method": model.method}
    except Exception as error:
        hello, model = {"id": 0, "ok": False, "error": complaint(error)}, None
    write(answers, hello)
    while model is not None:
        try:
            header_size, body_size = LENGTHS.unpack(read_exactly(requests, LENGTHS.size))
        except EOFError:
            return
        header = json.loads(bytes(read_exactly(requests, header_size)))
        body = read_exactly(requests, body_size)
        try:
            reply = answer(model, header, body)
        except Exception as error:
            reply = ({"id": header["id"], "ok": False, "error": complaint(error)}, b"")
        write(answers, *reply)


def main():
    # What the model prints must not be taken for an answer: 1 becomes 2, the pipes move out of the way.
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with contextlib.suppress(BrokenPipeError):
        serve(requests, os.fdopen(answers.fileno(), "wb", closefd=False), sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
