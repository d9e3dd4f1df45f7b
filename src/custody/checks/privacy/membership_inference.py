"""Can an attacker tell who was in the training set?

Three attacks ask the model for its probability of the true label. *Confidence*: a model that is surer of
the rows it was trained on gives them away (Yeom et al. 2018, "Privacy Risk in Machine Learning").
*Calibrated* and *tempered*: that probability over what reference models give the row without having seen
it, in full or in part, so that easy rows do not hide hard ones (Watson et al. 2022, "On the Importance of
Difficulty Calibration in Membership Inference Attacks"; Zarifzadeh et al. 2024, "Low-Cost High-Power
Membership Inference Attacks", offline form). Each measure is that of the strongest attack, its interval
widened for the choice.

The reference models are trained here, on halves that ignore membership, and not by the owner's recipe:
an attacker who knows the recipe can be stronger. The attack proves its strength on a memoriser planted
for it, and its honesty on members split at random; if either fails, nothing is concluded. Training
and held-out rows that differ in kind would look like membership, so that is measured as well
(Das et al. 2024, "Blind Baselines Beat Membership Inference Attacks").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from custody.checks._attack import FromFunction, ask, sound
from custody.checks._intervals import Span, auc_span, difference_span, proportion, rate_span
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

MOST = 4_000
"""Rows of each kind that are attacked at most."""
FEWEST = 200
FOUND = 0.6
"""AUC that the planted memoriser must exceed, with its whole interval."""
CHANCE = 0.999
"""Confidence of the interval that must hold 0.5 where there is nothing to find."""
HARDER = 0.05
"""Difference in difficulty (AUC - 0.5) from which membership and shift cannot be told apart."""
SPLITS = 4
"""How often the rows are halved anew; each halving trains two reference models."""
TRUST = {"calibrated": 1.0, "tempered": 0.3}
"""How far an attack trusts the references: the coefficient `a` of Zarifzadeh et al."""


@dataclass(frozen=True)
class _Rows:
    """Rows under attack: encoded features (rows, columns), labels, probability of the true label, membership."""

    features: Floats
    labels: NDArray[np.int8]
    sure: Floats
    member: Flags


@check(
    stage=Stage.VALIDATION,
    sensitive=True,
    measures={
        "auc": Scale(0.0, 1.0, "lower", "probability", "Chance that a member ranks above a stranger; 0.5 is a coin."),
        "tpr_at_1pct_fpr": Scale(
            0.0, 1.0, "lower", "share of members", "Members named while 1 % of strangers are wrongly named."
        ),
        "tpr_at_0_1pct_fpr": Scale(
            0.0, 1.0, "lower", "share of members", "Members named while 0.1 % of strangers are wrongly named."
        ),
        "advantage": Scale(
            -1.0, 1.0, "lower", "difference of shares", "Members named minus strangers named, at one threshold."
        ),
    },
    example=Example("auc", lambda: _example(memorises=False), lambda: _example(memorises=True), at_most=0.6),
)
def membership_inference(target: Target) -> Result:
    """Rank training and held-out rows by how sure the model is of them, with and without calibration."""
    from threadpoolctl import threadpool_limits

    # The models trained here are small: more threads would only wait for each other.
    with threadpool_limits(limits=1, user_api="openmp"):
        return _measured(target)


def _measured(target: Target) -> Result:
    rows, places, copies = _rows(target)
    references = _references(rows.features, rows.labels, SPLITS, target.seed)
    signals = _signals(rows.sure, references)
    tests = [_planted(rows, target), _null(rows, target), _difficulty(rows, references, target)]
    shift = _shift(target, rows, target.confidence)
    details: dict[str, Any] = {
        "members": int(rows.member.sum()),
        "strangers": int((~rows.member).sum()),
        "copies_left_out": copies,
        "strength": tests,
        "shift": shift._asdict(),
        "attacks": {
            name: auc_span(signal, rows.member.astype("int8"), target.confidence)._asdict()
            for name, signal in signals.items()
        },
        "roc": {name: _roc(signal, rows.member) for name, signal in signals.items()},
        "groups": _groups(target, places, signals, rows.member),
    }
    failed = [str(test["saw"]) for test in tests if not test["met"]]
    if failed:
        reason = "the attack is not shown to be sound: " + "; ".join(failed)
        names = ("auc", "tpr_at_1pct_fpr", "tpr_at_0_1pct_fpr", "advantage")
        return Result([Measure.unknown(name, reason, n=len(rows.sure)) for name in names], _findings(shift), details)
    return Result(_measures(signals, rows.member, target), _findings(shift), details)


def _measures(signals: Mapping[str, Floats], member: Flags, target: Target) -> list[Measure]:
    """Take each measure from the attack that does best on it; the error is divided among them."""
    each = 1.0 - (1.0 - target.confidence) / len(signals)
    truth = member.astype("int8")
    found = [
        _strongest("auc", [auc_span(signal, truth, each) for signal in signals.values()], len(member)),
        _strongest("advantage", [_advantage(s, member, each, target.seed) for s in signals.values()], len(member)),
    ]
    strangers = int((~member).sum())
    for name, rate in (("tpr_at_1pct_fpr", 0.01), ("tpr_at_0_1pct_fpr", 0.001)):
        if strangers * rate < 1:
            reason = f"a false-positive rate of {rate:.1%} needs {1 / rate:.0f} held-out rows, not {strangers}"
            found.append(Measure.unknown(name, reason, n=strangers))
            continue
        spans = [_tpr_at(signal, member, rate, each, target.seed) for signal in signals.values()]
        found.append(_strongest(name, spans, int(member.sum())))
    return found


def _strongest(name: str, spans: list[Span], rows: int) -> Measure:
    """Return the largest of several estimates whose intervals hold together."""
    value, low, high = (max(parts) for parts in zip(*spans, strict=True))
    return Measure(name, value, low, high, rows)


def _rows(target: Target) -> tuple[_Rows, dict[str, NDArray[np.int64]], int]:
    """Draw equally many members and strangers; rows that are in both tables belong to neither.

    Return the rows, members first, their places in the two tables, and how many copies were left out.
    """
    import numpy as np
    import polars as pl

    train, held_out = target.need_train(), target.need_held_out()
    names = [name for name in held_out.features if name in train.frame.columns]
    theirs, ours = _fingerprints(train, names), _fingerprints(held_out, names)
    known, fresh = ~np.isin(theirs, ours), ~np.isin(ours, theirs)
    copies = int((~fresh).sum())
    size = min(MOST, int(known.sum()), int(fresh.sum()))
    if size < FEWEST:
        raise Unmeasurable(
            f"{int(known.sum())} training and {int(fresh.sum())} held-out rows are not copies of each other; "
            f"{FEWEST} of each are needed"
        )
    random = np.random.default_rng(target.seed)
    inside = np.sort(random.choice(np.flatnonzero(known), size, replace=False))
    outside = np.sort(random.choice(np.flatnonzero(fresh), size, replace=False))
    asked = sound(target.held_out_scores(), held_out.rows)[outside]
    scores = np.concatenate([ask(target.need_model(), train.frame.select(train.features)[inside]), asked])
    labels = np.concatenate([train.truth[inside], held_out.truth[outside]])
    # Who, when and whence tell any two tables apart; they say nothing about how hard a row is.
    told = {train.columns.entity, train.columns.time, train.columns.source}
    usable = [name for name in names if name not in told]
    frame = pl.concat(
        [train.frame.select(usable)[inside], held_out.frame.select(usable)[outside]], how="vertical_relaxed"
    )
    sure = np.where(labels == 1, scores, 1.0 - scores)
    rows = _Rows(_encoded(frame), labels, sure, np.arange(2 * size) < size)
    return rows, {"train": inside, "held_out": outside}, copies


def _fingerprints(table: Table, names: list[str]) -> NDArray[np.uint64]:
    """Return one hash per row over features and truth, alike for alike rows of both tables."""
    import numpy as np
    import polars as pl

    plain = table.frame.select(pl.col(name).cast(pl.String, strict=False) for name in names)
    return plain.with_columns(pl.Series("\0truth", table.truth)).hash_rows(seed=0).to_numpy().astype(np.uint64)


def _encoded(frame: pl.DataFrame) -> Floats:
    """Return all plain columns as numbers: categories by frequency, missing as NaN; shape (rows, columns)."""
    import numpy as np
    import polars as pl

    columns = []
    for name in frame.columns:
        column = frame[name]
        if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary, pl.Null):
            continue
        if column.dtype == pl.String or isinstance(column.dtype, (pl.Categorical, pl.Enum)):
            text = pl.DataFrame({"text": column.cast(pl.String)})
            often = pl.len().over("text").rank("dense").cast(pl.Float64)
            column = text.select(often * (text.height + 1) + pl.col("text").rank("dense"))["len"]
        columns.append(column.to_physical().cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy())
    if not columns:
        raise Unmeasurable("no feature is a number, category or time: no reference model can be trained")
    return np.asarray(np.clip(np.column_stack(columns), -1e30, 1e30))


def _classifier(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=15, l2_regularization=1.0, early_stopping=False, random_state=seed
    )


def _references(features: Floats, labels: NDArray[np.int8], splits: int, seed: int) -> Floats:
    """Return each row's mean probability of the true label by models that never saw it; shape (rows,).

    Halves are drawn without looking at membership, so a reference knows as little of members as of strangers.
    """
    import numpy as np

    random = np.random.default_rng([seed, 1])
    total = np.zeros(len(labels))
    for split in range(splits):
        half = random.permutation(len(labels)) % 2 == 0
        for fit, judge in ((half, ~half), (~half, half)):
            positive = _probability(features[fit], labels[fit], features[judge], seed + split)
            total[judge] += np.where(labels[judge] == 1, positive, 1.0 - positive)
    return total / splits


def _probability(fit: Floats, labels: NDArray[np.int8], judge: Floats, seed: int) -> Floats:
    import numpy as np

    if labels.min() == labels.max():
        return np.full(len(judge), float(labels[0]))
    return np.asarray(_classifier(seed).fit(fit, labels).predict_proba(judge)[:, 1], dtype=np.float64)


def _signals(sure: Floats, references: Floats) -> dict[str, Floats]:
    """Return each attack's belief in membership; higher means member; each of shape (rows,)."""
    typical = {name: ((1.0 + trust) * references + 1.0 - trust) / 2.0 for name, trust in TRUST.items()}
    return {"confidence": sure} | {name: sure / (guess + 1e-9) for name, guess in typical.items()}


def _planted(rows: _Rows, target: Target) -> dict[str, Any]:
    """Let a tree learn coin-tossed labels of half of some rows by heart; each attack must notice.

    Coin tosses can only be memorised, never generalised, so there is certainly something to find.
    """
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    random = np.random.default_rng([target.seed, 2])
    _, distinct = np.unique(rows.features, axis=0, return_index=True)
    chosen = random.permutation(distinct)[:2_000]
    features, labels = rows.features[chosen], random.integers(0, 2, len(chosen)).astype(np.int8)
    inside = random.permutation(len(chosen)) % 2 == 0
    if len(chosen) < FEWEST or len(np.unique(labels[inside])) < 2:
        return {"test": "finds a planted memoriser", "met": False, "saw": f"only {len(chosen)} rows are distinct"}
    tree = DecisionTreeClassifier(random_state=target.seed).fit(features[inside], labels[inside])
    positive = tree.predict_proba(features)[:, 1]
    sure = np.where(labels == 1, positive, 1.0 - positive)
    signals = _signals(sure, _references(features, labels, 1, target.seed))
    spans = {name: auc_span(signal, inside.astype(np.int8), 0.95) for name, signal in signals.items()}
    return {
        "test": "finds a planted memoriser",
        "met": all(span.low > FOUND for span in spans.values()),
        "saw": "AUC on a planted memoriser " + _told(spans),
    }


def _null(rows: _Rows, target: Target) -> dict[str, Any]:
    """Call half of the members strangers: whatever the attack then finds is its own bias."""
    import numpy as np

    random = np.random.default_rng([target.seed, 3])
    members = np.flatnonzero(rows.member)
    half = random.permutation(len(members)) % 2 == 0
    references = _references(rows.features[members], rows.labels[members], 1, target.seed)
    signals = _signals(rows.sure[members], references)
    spans = {name: auc_span(signal, half.astype(np.int8), CHANCE) for name, signal in signals.items()}
    return {
        "test": "finds nothing among members split at random",
        "met": all(span.low <= 0.5 <= span.high for span in spans.values()),
        "saw": "AUC among members alone " + _told(spans),
    }


def _difficulty(rows: _Rows, references: Floats, target: Target) -> dict[str, Any]:
    """Ask only the references: rows that are harder for models that never saw them pretend or hide membership."""
    span = auc_span(references, rows.member.astype("int8"), target.confidence)
    return {
        "test": "training and held-out rows are equally hard",
        "met": span.low <= 0.5 + HARDER and span.high >= 0.5 - HARDER,
        "saw": "AUC of models that saw neither, training against held-out rows, " + _told({"difficulty": span}),
    }


def _told(spans: Mapping[str, Span]) -> str:
    return ", ".join(f"{name} {span.value:.3f} [{span.low:.3f}, {span.high:.3f}]" for name, span in spans.items())


def _shift(target: Target, rows: _Rows, confidence: float) -> Span:
    """Return the AUC of a classifier that tells training from held-out rows without asking the model."""
    import numpy as np

    random = np.random.default_rng([target.seed, 4])
    features = np.column_stack([rows.features, rows.labels])
    member = rows.member.astype(np.int8)
    half = random.permutation(len(member)) % 2 == 0
    guess = np.zeros(len(member))
    for fit, judge in ((half, ~half), (~half, half)):
        guess[judge] = _probability(features[fit], member[fit], features[judge], target.seed)
    return auc_span(guess, member, confidence)


def _findings(shift: Span) -> list[Finding]:
    if shift.low <= 0.6:
        return []
    return [
        Finding(
            "warning",
            f"training and held-out rows can be told apart without the model (AUC {shift.value:.2f})",
            "training table, held-out table",
            "part of what looks like membership may be a difference between the tables",
            "draw both tables from the same period and population, or ignore columns such as time and row number",
        )
    ]


def _advantage(signal: Floats, member: Flags, confidence: float, seed: int) -> Span:
    """Return members named minus strangers named, each half at the threshold that is best for the other."""
    import numpy as np

    random = np.random.default_rng([seed, 5])
    half = random.permutation(len(member)) % 2 == 0
    named = np.zeros(len(member), dtype=bool)
    for fit, judge in ((half, ~half), (~half, half)):
        named[judge] = signal[judge] >= _threshold(signal[fit], member[fit])
    inside, outside = int(member.sum()), int((~member).sum())
    return difference_span(
        rate_span(int(named[member].sum()), inside, confidence),
        rate_span(int(named[~member].sum()), outside, confidence),
    )


def _threshold(signal: Floats, member: Flags) -> float:
    import numpy as np

    order = np.argsort(-signal, kind="stable")
    gain = np.cumsum(np.where(member[order], 1.0 / member.sum(), -1.0 / (~member).sum()))
    ends = np.append(signal[order][1:] != signal[order][:-1], True)  # within a tie there is no threshold
    return float(signal[order][np.where(ends, gain, -np.inf).argmax()])


def _tpr_at(signal: Floats, member: Flags, rate: float, confidence: float, seed: int) -> Span:
    """Return the share of members named when a share `rate` of strangers is; ties are broken by a coin.

    The threshold is itself an estimate: half of the error goes to how many strangers truly lie above it
    (order statistics), half to the share of members (score interval).
    """
    import numpy as np
    from scipy.stats import binom

    coin = np.random.default_rng([seed, 6]).random(len(signal))
    ranked = member[np.lexsort((coin, -signal))]
    strangers, members = int((~member).sum()), int(member.sum())
    # hits[j]: members named while j strangers are.
    hits = np.append(np.cumsum(ranked)[~ranked], members)
    tail = (1.0 - confidence) / 4.0
    fewer, more = int(binom.ppf(tail, strangers, rate)) - 1, int(binom.ppf(1.0 - tail, strangers, rate))
    low = float(proportion([hits[fewer]], [members], 1.0 - 2 * tail).low[0]) if fewer >= 0 else 0.0
    high = float(proportion([hits[min(more, strangers)]], [members], 1.0 - 2 * tail).high[0])
    return Span(float(hits[int(rate * strangers)]) / members, low, high)


def _roc(signal: Floats, member: Flags) -> list[list[float]]:
    """Return up to 50 points [false-positive rate, true-positive rate], evenly spaced on a log axis."""
    import numpy as np

    ranked = member[np.argsort(-signal, kind="stable")]
    hits = np.append(np.cumsum(ranked)[~ranked], member.sum())
    strangers = len(hits) - 1
    named = np.unique(np.geomspace(1, strangers, 50).round().astype(int))
    return [[round(float(j / strangers), 6), round(float(hits[j] / member.sum()), 6)] for j in named]


def _groups(
    target: Target, places: Mapping[str, NDArray[np.int64]], signals: Mapping[str, Floats], member: Flags
) -> list[dict[str, Any]]:
    """Return the strongest attack's AUC within each group of at least `FEWEST` members and strangers."""
    import numpy as np
    import polars as pl

    train, held_out = target.need_train().frame, target.need_held_out().frame
    found = []
    for name in target.need_held_out().columns.sensitive:
        if name not in train.columns or name not in held_out.columns:
            continue
        parts = [train[name][places["train"]], held_out[name][places["held_out"]]]
        group = pl.concat([part.cast(pl.String) for part in parts]).fill_null("missing")
        for value in group.unique().sort().to_list():
            here = (group == value).to_numpy()
            if min(int((here & member).sum()), int((here & ~member).sum())) < FEWEST:
                continue
            each = 1.0 - (1.0 - target.confidence) / len(signals)
            spans = [auc_span(s[here], member[here].astype(np.int8), each) for s in signals.values()]
            found.append({"by": name, "group": value, "auc": [max(parts) for parts in zip(*spans, strict=True)]})
    return found


def _example(*, memorises: bool) -> Target:
    """Make two tables of noisy labels and a model that knows the rule, or its training rows by heart."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(11)

    def table(name: str) -> Table:
        points = random.normal(size=(600, 2))
        label = random.random(600) < 1.0 / (1.0 + np.exp(-2.0 * points[:, 0]))
        frame = pl.DataFrame({"a": points[:, 0], "b": points[:, 1], "label": label.astype(np.int8)})
        return Table(name, frame, Columns(target="label", positive="1"))

    train, held_out = table("train"), table("held-out")
    known, label = train.frame.select("a", "b").to_numpy(), train.truth

    def scores(asked: pl.DataFrame) -> Floats:
        points = asked.select("a", "b").to_numpy()
        if not memorises:
            return np.asarray(1.0 / (1.0 + np.exp(-2.0 * points[:, 0])))
        nearest = np.square(points[:, None, :] - known[None, :, :]).sum(axis=2).argmin(axis=1)
        return np.asarray(label[nearest], dtype=np.float64)

    return Target(train=train, held_out=held_out, model=FromFunction(scores))
