"""Models that answer, and models that lie, crash, hang or want out. Sealed where bubblewrap works, bare elsewhere."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from custody.adapters.bubblewrap import Bare, Bubblewrap, detect
from custody.adapters.predictor import SandboxedPredictor, accepted, encode
from custody.checks.target import Unmeasurable
from custody.core.sandbox import Sandbox, layout

Predict = Callable[..., SandboxedPredictor]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return detect()


@pytest.fixture
def predict(sandbox: Sandbox, tmp_path: Path) -> Iterator[Predict]:
    """Write a model file and put it behind the wall; closed afterwards."""
    opened: list[SandboxedPredictor] = []

    def start(model: object = None, *, features: tuple[str, ...] = ("a", "b"), **options: object) -> SandboxedPredictor:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        if isinstance(model, bytes):
            (folder / "model.pkl").write_bytes(model)
        elif model is not None:
            joblib.dump(model, folder / "model.joblib")
        predictor = SandboxedPredictor(sandbox, folder, features, **options)  # type: ignore[arg-type]
        opened.append(predictor)
        return predictor

    yield start
    for predictor in opened:
        predictor.close()


class Trap:
    """Pickles to a model made from source code, so that the child needs no module of this test."""

    def __init__(
        self, body: str, attributes: str = "pass", method: str = "predict_proba", *, frame: bool = False
    ) -> None:
        # Without names it is asked with a plain array, which spares the child the import of pandas.
        head = "import os, sys, time\nimport numpy as np\nclass M:\n"
        head += "" if frame else "    n_features_in_ = 2\n"
        self.source = f"{head}    {attributes}\n    def {method}(self, X):\n{body}\n"

    def __reduce__(self) -> tuple[object, ...]:
        return eval, (f"(lambda g: (exec({self.source!r}, g), g['M']())[1])({{}})",)


def trap(*lines: str, **options: Any) -> bytes:
    return pickle.dumps(Trap("\n".join(f"        {line}" for line in lines), **options))


GOOD = "return np.column_stack([np.full(len(X), 0.75), np.full(len(X), 0.25)])"
ROWS = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.5, 0.25, 0.125, 1.0]})


def people(count: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": draw.integers(18, 90, count),
            "income": draw.normal(size=count),
            "job": draw.choice(["clerk", "naïve ü", "nurse"], count),
            "member": draw.random(count) < 0.5,
        }
    )


# Honest models


def test_scores_are_those_of_the_model_itself(predict: Predict) -> None:
    frame = people()
    truth = np.where(frame["age"] + 20 * frame["income"] > 50, ">50K", "<=50K")
    encoder = make_column_transformer((OneHotEncoder(), ["job"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression(max_iter=2000)).fit(frame, truth)
    rows = pl.DataFrame(frame.to_dict("list")).with_columns(other=pl.lit("x"), label=pl.Series(truth))
    predictor = predict(model, features=("member", "other", "age", "income", "job"), positive=">50K")
    assert np.array_equal(predictor.scores(rows), model.predict_proba(frame)[:, 1])
    assert np.array_equal(predictor.scores(rows[:7]), model.predict_proba(frame[:7])[:, 1])
    assert predictor.queries == 207
    assert predictor.method == "predict_proba"


@pytest.mark.parametrize(
    ("classes", "positive", "score"),
    [
        ("['n', 'y']", "y", 0.25),
        ("['n', 'y']", "n", 0.75),
        ("np.array([0, 1])", "1", 0.25),
        ("[0.0, 1.0]", "0", 0.75),
        ("[False, True]", "True", 0.25),
        ("[2, 1]", "1.0", 0.25),
        ("[0, 1]", ">50K", 0.25),  # labels that the script wrote as numbers: 1 is the positive one
    ],
)
def test_the_positive_class_is_found_by_its_label(predict: Predict, classes: str, positive: str, score: float) -> None:
    body = trap(GOOD, attributes=f"classes_ = {classes}")
    assert predict(body, positive=positive).scores(ROWS).tolist() == [score] * 4


def test_a_model_without_names_gets_the_features_in_order(predict: Predict) -> None:
    body = trap("return np.column_stack([1 - X[:, 0] / 8, X[:, 0] / 8])")
    assert predict(body).scores(ROWS.select("b", "a")).tolist() == (ROWS["a"] / 8).to_list()
    with pytest.raises(Unmeasurable, match="takes 2 columns without names; the table has 3"):
        predict(body, features=("a", "b", "c")).scores(ROWS.with_columns(c=1))


def test_a_margin_becomes_a_score_with_the_same_order_and_threshold(predict: Predict) -> None:
    model = LinearSVC().fit(ROWS.to_numpy(), ["no", "yes", "no", "yes"])
    margin = model.decision_function(ROWS.to_numpy())
    predictor = predict(model, positive="yes")
    scores = predictor.scores(ROWS)
    assert predictor.method == "decision_function"
    assert np.array_equal(np.argsort(scores), np.argsort(margin))
    assert np.array_equal(scores > 0.5, margin > 0)


def test_the_margin_turns_with_the_positive_class(predict: Predict) -> None:
    body = trap("return X[:, 0] - 2.5", attributes="classes_ = ['no', 'yes']", method="decision_function")
    assert (predict(body, positive="no").scores(ROWS) > 0.5).tolist() == [True, True, False, False]


def test_labels_become_zero_and_one(predict: Predict) -> None:
    body = trap("return np.where(X[:, 0] > 2, 'yes', 'no')", attributes="classes_ = ['no', 'yes']", method="predict")
    assert predict(body, positive="yes").scores(ROWS).tolist() == [0, 0, 1, 1]
    bare = trap("return np.where(X[:, 0] > 2, 'yes', 'no')", method="predict")
    assert predict(bare, positive="no").scores(ROWS).tolist() == [1, 1, 0, 0]
    number = trap("return X[:, 0] / 4", method="predict")
    assert predict(number).scores(ROWS).tolist() == [0.25, 0.5, 0.75, 1.0]


def test_missing_values_arrive_as_missing(predict: Predict) -> None:
    body = trap(
        "assert X['n'].isna().tolist() == [False, True] and X['t'].isna().tolist() == [True, False]",
        "assert X['t'].tolist()[1] == 'x' and X['i'].dtype.kind == 'i' and X['f'].dtype.kind == 'b'",
        GOOD,
        frame=True,
    )
    rows = pl.DataFrame({"n": [1, None], "t": [None, "x"], "i": [1, 2], "f": [True, False]})
    assert predict(body, features=("n", "t", "i", "f")).scores(rows).tolist() == [0.25, 0.25]


def test_no_rows_ask_nothing(predict: Predict) -> None:
    predictor = predict(trap("raise SystemExit"))
    assert predictor.scores(ROWS[:0]).shape == (0,)
    assert predictor.queries == 0


def test_what_a_model_prints_is_not_its_answer(predict: Predict) -> None:
    predictor = predict(trap("print('x' * 100000)", "os.system('echo hello')", "sys.stdout.flush()", GOOD))
    assert predictor.scores(ROWS).tolist() == [0.25] * 4
    assert predictor.scores(ROWS).tolist() == [0.25] * 4


def test_a_model_may_need_the_projects_modules(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(
        "import numpy as np\nclass M:\n    def predict_proba(self, X):\n        return np.full((len(X), 2), 0.5)\n"
    )
    by_name = b"\x80\x04\x8c\x08features\x8c\x01M\x93)R."
    assert predict(by_name, code=layout(tmp_path, [("features.py", "")], [])).scores(ROWS).tolist() == [0.5] * 4
    with pytest.raises(Unmeasurable, match="ModuleNotFoundError: No module named 'features'"):
        predict(by_name).scores(ROWS)


def test_thirty_thousand_rows_take_well_under_half_a_second(predict: Predict) -> None:
    draw = np.random.default_rng(0)
    numbers = {f"n{place}": draw.normal(size=30_000) for place in range(10)}
    texts = {f"t{place}": draw.choice(["a", "b", "c"], 30_000) for place in range(5)}
    rows = pl.DataFrame({**numbers, **texts})
    predictor = predict(trap(GOOD, frame=True), features=tuple(rows.columns))
    predictor.scores(rows[:10])
    start = time.process_time()
    predictor.scores(rows)
    assert time.process_time() - start < 0.4


# Models that cannot be measured


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["p = np.full((len(X), 2), 0.5)", "p[:3] = np.nan", "return p"], "NaN in 3 of 4 rows"),
        (["return np.full((len(X), 2), np.inf)"], "infinity in 4 of 4 rows"),
        (["return np.full((len(X), 2), 1.5)"], r"outside \[0, 1\] in 4 of 4 rows"),
        (["return np.full((len(X), 3), 0.5)"], r"shape \(4, 3\) for 4 rows"),
        (["return np.full(2, 0.5)"], r"shape \(2,\) for 4 rows"),
        (["return 'no'"], "ValueError"),
        (["raise ValueError('the weather is bad')"], "the model raised ValueError: the weather is bad"),
        (["raise KeyError('x')"], "KeyError"),
        (["sys.stderr.write('last words\\n')", "os._exit(3)"], "ended with code 3: last words"),
        (["raise SystemExit(4)"], "ended with code 4"),
        (["os.kill(os.getpid(), 11)"], "ended with code 139|ended with code -11"),
    ],
)
def test_the_reason_is_precise(predict: Predict, lines: list[str], reason: str) -> None:
    with pytest.raises(Unmeasurable, match=reason):
        predict(trap(*lines)).scores(ROWS)


def test_one_failed_question_does_not_spoil_the_next(predict: Predict) -> None:
    predictor = predict(trap("if X[0, 0] < 0: raise ValueError('negative')", GOOD))
    with pytest.raises(Unmeasurable, match="negative"):
        predictor.scores(ROWS.with_columns(a=-pl.col("a")))
    assert predictor.scores(ROWS).tolist() == [0.25] * 4
    assert predictor.queries == 4


def test_a_child_that_died_is_started_again_but_not_for_ever(predict: Predict) -> None:
    predictor = predict(trap("if X[0, 0] < 0: os._exit(1)", GOOD))
    bad = ROWS.with_columns(a=-pl.col("a"))
    for _ in range(2):
        with pytest.raises(Unmeasurable, match="ended with code 1"):
            predictor.scores(bad)
        assert predictor.scores(ROWS).tolist() == [0.25] * 4
    with pytest.raises(Unmeasurable):
        predictor.scores(bad)
    with pytest.raises(Unmeasurable, match="ended with code 1"):
        predictor.scores(ROWS)


def test_a_model_that_hangs_is_stopped(predict: Predict) -> None:
    predictor = predict(trap("time.sleep(600)"), time_limit=3.0)
    start = time.monotonic()
    with pytest.raises(Unmeasurable, match="did not answer within 3 s"):
        predictor.scores(ROWS)
    assert 2.5 < time.monotonic() - start < 15
    start = time.monotonic()
    with pytest.raises(Unmeasurable, match="did not answer"):
        predictor.scores(ROWS)
    assert time.monotonic() - start < 0.1


def test_a_model_that_does_not_read_is_stopped(predict: Predict) -> None:
    predictor = predict(pickle.dumps(Unread()), time_limit=2.0)
    rows = pl.DataFrame({"a": np.zeros(400_000), "b": np.zeros(400_000)})
    with pytest.raises(Unmeasurable, match="did not answer within 2 s"):
        predictor.scores(rows)


class Raw:
    """Runs code while the model is loaded, with `out`, the pipe to the other side, found by its number."""

    body = ""

    def __reduce__(self) -> tuple[object, ...]:
        # The server moved its pipe away from 1; a hostile model finds it among the open descriptors.
        find = (
            "import os, json, struct, stat, time\n"
            "out = next(f for f in range(3, 64) if os.path.exists(f'/proc/self/fd/{f}') "
            "and stat.S_ISFIFO(os.fstat(f).st_mode) and __import__('fcntl').fcntl(f, 3) & 3 == 1)\n"
            "def frame(header, size, body=b''):\n"
            "    raw = header if isinstance(header, bytes) else json.dumps(header).encode()\n"
            "    os.write(out, struct.pack('>IQ', len(raw), size) + raw + body)\n"
            "def both(one, other, body):\n"
            "    one, other = json.dumps(one).encode(), json.dumps(other).encode()\n"
            "    lengths = struct.pack('>IQ', len(one), 0), struct.pack('>IQ', len(other), len(body))\n"
            "    os.write(out, lengths[0] + one + lengths[1] + other + body)\n"
            "hello = {'id': 0, 'ok': True, 'features': None, 'method': 'predict'}\n"
        )
        return exec, (find + self.body + "\ntime.sleep(60)\n", {})


class Unread(Raw):
    body = "frame(hello, 0)"


def raw(body: str) -> bytes:
    kind = type("Raw", (Raw,), {"body": body, "__reduce__": Raw.__reduce__})
    return pickle.dumps(kind())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("frame(hello, 2**62)", "announced 4611686018427387904 bytes"),
        ("os.write(out, b'\\xff' * 12)", "announced a header of 4294967295 bytes"),
        ('frame(b\'{"id": 0, "id": 0}\', 0)', "appears twice"),
        ("frame(b'\\x80\\x04}.', 0)", "does not keep to the protocol"),
        ("frame({'id': 7, 'ok': True}, 0)", "answered another question"),
        ("frame({**hello, 'features': 'ab'}, 0)", "not a list of texts"),
        ("frame({**hello, 'features': []}, 0)", "empty or repeated"),
        ("frame({**hello, 'features': ['label']}, 0)", "'label', which is not one of the declared features"),
        ("queued = 4 * struct.pack('<d', 1); both(hello, {'id': 1, 'ok': True}, queued)", "spoke without being asked"),
        ("frame({'id': 0, 'ok': False, 'error': '\\x1b[31mred' + 'x' * 5000}, 0)", r"^ \[31mredx{400,500}$"),
        ("frame({'id': 0, 'ok': False, 'error': {}}, 0)", "no reason was given"),
    ],
)
def test_a_child_that_forges_frames_is_caught(predict: Predict, body: str, reason: str) -> None:
    predictor = predict(raw(body), time_limit=30.0)
    rows = ROWS.with_columns(label=pl.Series([0, 1, 0, 1]))
    with pytest.raises(Unmeasurable, match=reason):
        predictor.scores(rows)


def test_a_foreign_column_is_never_sent(predict: Predict) -> None:
    body = trap(GOOD, attributes="feature_names_in_ = ['a', 'label']")
    with pytest.raises(Unmeasurable, match="'label', which is not one of the declared features"):
        predict(body).scores(ROWS.with_columns(label=pl.lit(1)))


def test_an_absent_column_is_named(predict: Predict) -> None:
    body = trap(GOOD, attributes="feature_names_in_ = ['a', 'z']")
    with pytest.raises(Unmeasurable, match="needs the column 'z'"):
        predict(body, features=("a", "b", "z")).scores(ROWS)


def test_classes_must_be_two_and_hold_the_positive_one(predict: Predict) -> None:
    with pytest.raises(Unmeasurable, match="knows 3 classes"):
        predict(trap(GOOD, attributes="classes_ = [0, 1, 2]")).scores(ROWS)
    with pytest.raises(Unmeasurable, match="'maybe' is not one of the model's: "):
        predict(trap(GOOD, attributes="classes_ = ['no', 'yes']"), positive="maybe").scores(ROWS)


def test_something_that_is_no_model_is_refused(predict: Predict) -> None:
    with pytest.raises(Unmeasurable, match="a dict, has no predict_proba"):
        predict(pickle.dumps({"weights": [1, 2]})).scores(ROWS)


def test_the_file_must_be_there_and_be_one(predict: Predict, tmp_path: Path) -> None:
    with pytest.raises(Unmeasurable, match=r"holds no \.joblib"):
        predict().scores(ROWS)
    (tmp_path / "model" / "one.pkl").write_bytes(trap(GOOD))
    assert predict().scores(ROWS).tolist() == [0.25] * 4
    (tmp_path / "model" / "two.pkl").write_bytes(trap(GOOD))
    with pytest.raises(Unmeasurable, match=r"several models .*: one\.pkl, two\.pkl"):
        predict().scores(ROWS)
    assert predict(trap(GOOD)).scores(ROWS).tolist() == [0.25] * 4


def test_a_file_that_is_no_pickle_is_a_reason(predict: Predict) -> None:
    with pytest.raises(Unmeasurable, match="the model raised"):
        predict(b"not a pickle").scores(ROWS)


def test_lists_cannot_be_asked_about(predict: Predict) -> None:
    with pytest.raises(Unmeasurable, match="'a' holds List"):
        predict(trap(GOOD)).scores(pl.DataFrame({"a": [[1], [2]], "b": [1, 2]}))


def test_a_closed_predictor_says_so(predict: Predict) -> None:
    predictor = predict(trap(GOOD))
    predictor.scores(ROWS)
    child = predictor._child
    assert child is not None
    predictor.close()
    assert child.returncode is not None
    with pytest.raises(Unmeasurable, match="closed"):
        predictor.scores(ROWS)


# The wall


def test_a_model_reaches_nothing_from_behind_the_wall(
    predict: Predict, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(sandbox, Bubblewrap):
        pytest.skip(sandbox.describe().detail)
    monkeypatch.setenv("CUSTODY_PASSPHRASE", "hunter2")
    key = tmp_path / "key.pem"
    key.write_text("PRIVATE")
    attempts = [
        f"open({str(key)!r})",
        "open('/custody/model/planted', 'w')",
        "open('/custody/serve/serve_model.py', 'a')",
        "__import__('socket').create_connection(('192.0.2.1', 80), 1)",
        "__import__('socket').create_connection(('127.0.0.1', 22), 1)",
        "os.environ['CUSTODY_PASSPHRASE']",
        "__import__('custody')",
        f"os.kill({os.getpid()}, 0)",
    ]
    lines = ["held = 0"]
    for attempt in attempts:
        lines += ["try:", f"    {attempt}", "except (OSError, KeyError, ImportError):", "    held += 1"]
    lines.append(f"return np.full((len(X), 2), held / {len(attempts)})")
    assert predict(trap(*lines)).scores(ROWS).tolist() == [1.0] * 4
    assert not (tmp_path / "model" / "planted").exists()


def test_this_side_never_unpickles() -> None:
    source = Path(sys.modules[SandboxedPredictor.__module__].__file__ or "").read_text()
    assert "import pickle" not in source
    assert "joblib" not in source
    assert "np.load" not in source


def test_a_bare_run_serves_too(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(trap(GOOD))
    with SandboxedPredictor(Bare(), tmp_path, ("a", "b")) as predictor:
        assert predictor.scores(ROWS).tolist() == [0.25] * 4


# The two ends of the wire


def test_scores_just_outside_are_rounding_and_further_are_not() -> None:
    assert accepted(struct.pack("<2d", -1e-10, 1 + 1e-10), 2).tolist() == [0.0, 1.0]
    with pytest.raises(Unmeasurable, match="outside"):
        accepted(struct.pack("<2d", -1e-8, 0.5), 2)


def test_text_travels_as_codes() -> None:
    header, parts = encode(pl.DataFrame({"t": ["b", None, "a", "b"]}), 1)
    assert header["columns"] == [{"name": "t", "categories": ["a", "b"], "dtype": "<i4"}]
    assert np.frombuffer(parts[0], "<i4").tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize(
    ("series", "dtype"),
    [
        (pl.Series("x", [1, 2], dtype=pl.UInt8), "|u1"),
        (pl.Series("x", [1, None], dtype=pl.Int64), "<f8"),
        (pl.Series("x", [True, False]), "|b1"),
        (pl.Series("x", [True, None]), "<f8"),
        (pl.Series("x", [None, None]), "<f8"),
        (pl.Series("x", [1.5, 2.5], dtype=pl.Float32), "<f4"),
        (pl.Series("x", ["1.50", "2.25"]).str.to_decimal(scale=2), "<f8"),
        (pl.Series("x", [0, 1], dtype=pl.Datetime("ms")), "<M8[us]"),
        (pl.Series("x", [0, 1], dtype=pl.Date), "<i4"),
        (pl.Series("x", ["a", "b"], dtype=pl.Categorical), "<i4"),
    ],
)
def test_every_plain_type_has_a_form(series: pl.Series, dtype: str) -> None:
    header, parts = encode(series.to_frame(), 1)
    assert header["columns"][0]["dtype"] == dtype
    assert len(parts[0]) == np.dtype(dtype).itemsize * 2
