"""Ordinary models and data, written by the real libraries: none of these files may raise an alarm.

Run as a script (`python corpus.py FOLDER`) it writes the corpus with whatever library versions are installed,
which is how the allowlist is grown: `python -m custody.checks.artifact._allowlist FOLDER NOTE`.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import fractions
import gzip
import importlib
import inspect
import io
import json
import pathlib
import pickle
import sys
import uuid
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 7


def build(folder: Path, *, wide: bool = True) -> int:
    """Write the corpus below `folder`; `wide` adds every estimator and library. Return how many files."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objects = {**_fitted(), **_values()}
        if wide:
            objects |= {**every_estimator(), **_functions(), **_optional()}
        for name, value in objects.items():
            _write(folder, name, value)
        _containers(folder)
    return sum(path.is_file() for path in folder.rglob("*"))


def _write(folder: Path, name: str, value: Any) -> None:
    import joblib

    for protocol in (2, 4, 5) if not name.startswith("every") else (5,):
        (folder / f"{name}.p{protocol}.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    joblib.dump(value, folder / f"{name}.joblib")
    if not name.startswith("every"):
        joblib.dump(value, folder / f"{name}.z.joblib", compress=3)


def data() -> tuple[Any, Any]:
    """Return a small table of numbers and labels."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(80, 4))
    return x, (x[:, 0] + rng.normal(size=80) * 0.3 > 0).astype(int)


def _fitted() -> dict[str, Any]:
    import numpy as np
    import pandas as pd
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
    from sklearn.ensemble import (
        AdaBoostClassifier,
        ExtraTreesRegressor,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        IsolationForest,
        RandomForestClassifier,
        StackingClassifier,
        VotingClassifier,
    )
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Lasso, LogisticRegression, SGDClassifier, SGDRegressor
    from sklearn.metrics import f1_score, make_scorer
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KernelDensity, KNeighborsClassifier, LocalOutlierFactor
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
    from sklearn.svm import SVC, LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    x, y = data()
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["where"] = ["north", "south"] * 40
    frame["sort"] = pd.Categorical(["u", "v", "w", "u"] * 20)
    split = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b", "c", "d"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["where"]),
            ("sorts", OrdinalEncoder(), make_column_selector(dtype_include="category")),
        ]
    )
    simple = {
        "logistic": LogisticRegression(),
        "forest": RandomForestClassifier(5, random_state=SEED),
        "extra": ExtraTreesRegressor(5, random_state=np.random.RandomState(SEED)),
        "hist": HistGradientBoostingClassifier(max_iter=5, early_stopping=True),
        "hist_categories": HistGradientBoostingRegressor(max_iter=3, categorical_features=[0], max_bins=80),
        "boosting": GradientBoostingClassifier(n_estimators=5),
        "ada": AdaBoostClassifier(n_estimators=3),
        "svc": SVC(probability=False),
        "linear_svc": LinearSVC(),
        "sgd": SGDClassifier(),
        "sgd_huber": SGDRegressor(loss="huber"),
        "lasso": Lasso(),
        "knn_kd": KNeighborsClassifier(algorithm="kd_tree"),
        "knn_ball": KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
        "lof": LocalOutlierFactor(novelty=True),
        "density": KernelDensity(),
        "bayes": GaussianNB(),
        "mlp": MLPClassifier((5,), max_iter=20),
        "tree": DecisionTreeClassifier(),
        "isolation": IsolationForest(n_estimators=5, random_state=SEED),
        "gaussian": GaussianProcessClassifier(),
        "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=3),
        "isotonic": CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=3),
        "stacking": StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], cv=3),
        "voting": VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())], voting="soft"),
        "union": make_pipeline(
            FeatureUnion([("s", StandardScaler()), ("l", FunctionTransformer(np.abs))]), LogisticRegression()
        ),
        "log1p": make_pipeline(FunctionTransformer(np.exp, inverse_func=np.log), LogisticRegression()),
        "grid": GridSearchCV(
            LogisticRegression(), {"C": [0.1, 1.0]}, scoring=make_scorer(f1_score), cv=StratifiedKFold(3)
        ),
        "random": RandomizedSearchCV(
            LogisticRegression(), {"C": np.logspace(-2, 2, 9)}, n_iter=2, random_state=SEED, cv=3
        ),
    }
    fitted: dict[str, Any] = {name: model.fit(x, y) for name, model in simple.items()}
    fitted["columns"] = make_pipeline(split, RandomForestClassifier(5, random_state=SEED)).fit(frame, y)
    names = make_pipeline(ColumnTransformer([("n", StandardScaler(), ["a", "b"])]), LogisticRegression())
    rest = ColumnTransformer([("n", StandardScaler(), ["a", "b"])], remainder="passthrough")
    fitted["remainder"] = rest.fit(frame[["a", "b", "c"]])
    fitted["pandas_out"] = names.set_output(transform="pandas").fit(frame, y)
    fitted["string_labels"] = LogisticRegression().fit(x, np.where(y, "fraud", "fine"))
    fitted["object_labels"] = LogisticRegression().fit(x, np.where(y, "fraud", "fine").astype(object))
    fitted["words"] = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(
        ["good day", "bad night"] * 5, [0, 1] * 5
    )
    fitted["target"] = TransformedTargetRegressor(Lasso(), func=np.log1p, inverse_func=np.expm1).fit(x, y + 1.0)
    return fitted


def _values() -> dict[str, Any]:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from scipy import stats

    table = pd.DataFrame({"n": [1.5, 2.5], "t": ["a", "b"], "i": [1, 2], "b": [True, False]})
    table["c"] = pd.Categorical(["x", "y"])
    table["d"] = pd.date_range("2024-01-01", periods=2)
    record = np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")])
    return {
        "plain": {"a": [1, 2.5, None, True], "b": ("x", b"y"), "c": {1, 2}, "d": frozenset("ab"), 3: 10**30},
        "standard": [
            collections.OrderedDict(a=1),
            collections.Counter("abba"),
            collections.defaultdict(list, a=[1]),
            collections.deque([1, 2], maxlen=5),
            datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.UTC),
            datetime.date(2024, 1, 2),
            datetime.timedelta(days=2),
            decimal.Decimal("1.5"),
            fractions.Fraction(1, 3),
            uuid.UUID(int=5),
            pathlib.PurePosixPath("/a/b"),
            complex(1, 2),
            slice(1, 2),
            range(3),
            bytearray(b"abc"),
        ],
        "arrays": [
            np.arange(5),
            np.float32(2.0),
            np.array(["a", "bc"]),
            np.array([1, "x", None], dtype=object),
            record,
        ],
        "dates": [
            np.datetime64("2024-01-01"),
            np.array(["2024-01-01"], dtype="M8[D]"),
            np.bool_(1),
            np.zeros((2, 3), order="F"),
        ],
        "masked": np.ma.masked_array([1.0, 2.0], mask=[0, 1]),
        "records": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        "generators": [np.random.default_rng(1), np.random.RandomState(1)],
        "sparse": [
            sp.csr_matrix(np.eye(3)),
            sp.csc_matrix(np.eye(3)),
            sp.coo_matrix(np.eye(3)),
            sp.csr_array(np.eye(3)),
        ],
        "frame": table,
        "series": table["n"],
        "indexes": [
            table.set_index("t"),
            table.set_index(["t", "i"]),
            pd.Index([1.5, 2.5]),
            pd.Timestamp("2024-01-01"),
            pd.NA,
            pd.NaT,
        ],
        "nullable": pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "s": pd.array(["x", None], dtype="string")}),
        "timed": pd.Series([1, 2], index=pd.date_range("2024-01-01", periods=2, tz="UTC")),
        "more_pandas": [
            pd.Period("2024-01", freq="M"),
            pd.Timedelta(days=1),
            pd.Interval(0, 1),
            pd.interval_range(0, 3),
            pd.period_range("2024-01", periods=3, freq="M"),
            pd.timedelta_range("1D", periods=2),
            pd.cut([1, 2, 3], 2),
            pd.array([1.5, None], dtype="Float64"),
            pd.array([True, None], dtype="boolean"),
            pd.array([1, None], dtype="Int32"),
            pd.array([1, None], dtype="UInt8"),
            pd.array([1, None], dtype="Int16"),
            pd.arrays.SparseArray([0, 0, 1]),
            *(
                pd.date_range("2024-01-01", periods=2, freq=offset)
                for offset in (
                    pd.offsets.MonthEnd(),
                    pd.offsets.BDay(),
                    pd.offsets.Hour(),
                    pd.offsets.Minute(),
                    pd.offsets.Second(),
                    pd.offsets.Week(),
                    pd.offsets.MonthBegin(),
                    pd.offsets.YearEnd(),
                    pd.offsets.QuarterEnd(),
                    pd.offsets.Day(),
                )
            ),
        ],
        "more_sparse": [
            sp.lil_matrix(np.eye(2)),
            sp.dok_matrix(np.eye(2)),
            sp.bsr_matrix(np.eye(2)),
            sp.dia_matrix(np.eye(2)),
            sp.csc_array(np.eye(2)),
            sp.coo_array(np.eye(2)),
        ],
        "more_numpy": [
            np.random.Generator(np.random.Philox(1)),
            np.random.Generator(np.random.SFC64(1)),
            np.matrix([[1]]),
            np.array([1 + 2j]),
            np.array([b"ab"]),
            np.dtype([("a", "i4")]),
            np.array([True]),
            np.float16(1),
            np.longdouble(1),
        ],
        "distributions": [
            stats.loguniform(1e-3, 10),
            stats.uniform(0, 1),
            stats.randint(1, 5),
            stats.norm(0, 1),
            stats.expon(),
            stats.beta(1, 2),
            stats.gamma(2),
            stats.lognorm(1),
            stats.poisson(2),
            stats.binom(3, 0.5),
            stats.t(3),
            stats.halfnorm(),
            stats.truncnorm(0, 1),
        ],
        "large": {
            "weights": np.random.default_rng(2).normal(size=(300, 300)),
            "names": [f"feature {i}" for i in range(2000)],
        },
    }


def every_estimator(*, fit: bool = True) -> dict[str, Any]:
    """Every estimator of scikit-learn, unfitted and, where that is quick, fitted."""
    from sklearn.utils import all_estimators

    x, y = data()
    found: dict[str, Any] = {}
    for name, cls in all_estimators():
        make = _maker(cls)
        if make is None:
            continue
        found[f"every.{name}"] = make()
        for features in (x, abs(x)) if fit else ():
            with contextlib.suppress(Exception):
                model = make().fit(features, y)
                pickle.dumps(model)
                found[f"every.{name}.fitted"] = model
                break
    return found


def _maker(cls: Any) -> Callable[[], Any] | None:
    """Return how to make an estimator, also those that wrap another."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeRegressor

    inner: list[tuple[Any, ...]] = [
        (),
        (LogisticRegression(),),
        ([("a", LogisticRegression())],),
        (LogisticRegression(), {"C": [1.0, 2.0]}),
    ]
    inner += [([("a", DecisionTreeRegressor())],), ([("a", "passthrough", [0])],)]
    for args in inner:
        with contextlib.suppress(Exception):
            cls(*args)
            return lambda args=args: cls(*args)  # type: ignore[misc]
    return None


def _functions() -> dict[str, Any]:
    """Functions that states refer to: metrics, kernels, numpy ufuncs."""
    import numpy as np
    import sklearn.metrics
    import sklearn.metrics.pairwise
    from sklearn.feature_selection import chi2, f_classif, f_regression, mutual_info_classif, mutual_info_regression

    functions: list[Any] = [chi2, f_classif, f_regression, mutual_info_classif, mutual_info_regression]
    for module in (sklearn.metrics, sklearn.metrics.pairwise):
        functions += [
            value
            for name, value in inspect.getmembers(module)
            if inspect.isfunction(value)
            and not name.startswith("_")
            and value.__module__.startswith("sklearn.metrics")
            and not {"plot", "display"} & set(value.__module__.split("."))
        ]
    functions += [value for name, value in inspect.getmembers(np) if isinstance(value, np.ufunc)]
    functions += [
        np.mean,
        np.median,
        np.std,
        np.var,
        np.sum,
        np.min,
        np.max,
        np.clip,
        np.nan_to_num,
        np.round,
        np.float64,
        np.int64,
    ]
    functions += [
        np.float32,
        np.int32,
        np.int8,
        np.uint8,
        np.bool_,
        np.str_,
        np.object_,
        int,
        float,
        str,
        bool,
        object,
        dict,
        list,
    ]
    import sklearn.gaussian_process.kernels as kernels
    import sklearn.model_selection as splits

    base = [kernels.RBF(), kernels.Matern(), kernels.WhiteKernel(), kernels.DotProduct(), kernels.RationalQuadratic()]
    base += [kernels.RBF() + kernels.WhiteKernel(), kernels.ConstantKernel() * kernels.RBF(), kernels.RBF() ** 2]
    names = (
        "KFold",
        "StratifiedKFold",
        "GroupKFold",
        "ShuffleSplit",
        "StratifiedShuffleSplit",
        "TimeSeriesSplit",
        "RepeatedKFold",
    )
    names += ("GroupShuffleSplit", "LeaveOneOut", "RepeatedStratifiedKFold", "LeaveOneGroupOut", "StratifiedGroupKFold")
    scorers = [sklearn.metrics.get_scorer(name) for name in sorted(sklearn.metrics.get_scorer_names())]
    return {
        "every.functions": functions,
        "every.scorers": scorers,
        "every.kernels": base,
        "every.splits": [getattr(splits, name)() for name in names],
    }


def _optional() -> dict[str, Any]:
    """Models of libraries that may or may not be installed."""
    makers: dict[str, Callable[[], dict[str, Any]]] = {"xgboost": _xgboost, "lightgbm": _lightgbm, "polars": _polars}
    found: dict[str, Any] = {}
    for name, make in makers.items():
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        found |= make()
    return found


def _xgboost() -> dict[str, Any]:
    import xgboost

    x, y = data()
    kinds = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")
    found = {kind: getattr(xgboost, kind)(n_estimators=3).fit(x, y) for kind in kinds}
    found["xgb_booster"] = found["XGBClassifier"].get_booster()
    found["XGBRanker"] = xgboost.XGBRanker(n_estimators=2).fit(x, y, group=[40, 40])
    return found


def _lightgbm() -> dict[str, Any]:
    import lightgbm

    x, y = data()
    kinds = ("LGBMClassifier", "LGBMRegressor")
    found = {kind: getattr(lightgbm, kind)(n_estimators=3, verbose=-1).fit(x, y) for kind in kinds}
    found["lgb_booster"] = found["LGBMClassifier"].booster_
    found["LGBMRanker"] = lightgbm.LGBMRanker(n_estimators=2, verbose=-1).fit(x, y, group=[40, 40])
    return found


def _polars() -> dict[str, Any]:
    import polars as pl

    table = pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1.5, None]})
    return {"polars_frame": table, "polars_series": table["a"]}


def _containers(folder: Path) -> None:
    """Files of other kinds that lie beside models."""
    import numpy as np

    x, y = data()
    np.save(folder / "numbers.npy", x)
    np.save(folder / "texts.npy", np.array(["a", "bb"]))
    np.save(folder / "objects.npy", np.array([1, "x", {"a": 2}], dtype=object), allow_pickle=True)
    np.save(folder / "record.npy", np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8", (2,))]))
    np.savez(folder / "several.npz", x=x, y=y)
    np.savez_compressed(folder / "small.npz", x=x)
    with gzip.open(folder / "model.pkl.gz", "wb") as out:
        pickle.dump({"x": x}, out)
    with zipfile.ZipFile(folder / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"a": 1}))
        archive.writestr("model.pkl", pickle.dumps({"x": x}))
    twice = io.BytesIO()
    pickle.dump([1, 2], twice)
    pickle.dump({"b": 3}, twice)
    (folder / "two_streams.pkl").write_bytes(twice.getvalue())
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["BertModel"], "hidden_size": 8, "class_name": "Dense"})
    )
    (folder / "README.md").write_text(
        "# Model card\n\nclassification\nof payments. Prefix\n. Call `predict` on a row.\n\nimport custody\n"
    )
    (folder / "customers.csv").write_text("customer,amount\nalice,1.5\nbob,2\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "model"\n')
    (folder / "params.yaml").write_text("depth: 3\nrate: 0.1\n")
    (folder / "notes.txt").write_text("cos was measured\nin radians\nPaper\n.\n", encoding="utf-8")
    (folder / "umlaut.csv").write_bytes("name,straße\nMüller,Köln\n".encode("latin-1"))
    (folder / "empty").write_bytes(b"")
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"format": "pt"}}
    ).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    tokenizer = {"chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% endfor %}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
