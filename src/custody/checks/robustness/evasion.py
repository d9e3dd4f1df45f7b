"""How many fields of a record must an attacker change to slip past the model?

The attacker owns a record that the model catches (label positive, score at least 0.5), sees scores
only, and may change mutable columns to values that occur in the data: every value tried could be
submitted. What is attacked is being caught; where the positive class is something people want
(income, credit), read the result as how easily a granted record turns into a refused one.

The search is a greedy walk for all rows at once (few features: Papernot et al. 2016, "The Limitations
of Deep Learning in Adversarial Settings"), joined by combinations of the best single changes and by a
walk back from records that the model lets pass (Brendel et al. 2018, "Decision-Based Adversarial
Attacks"; it needs no slope and so is not fooled by hidden ones). Following Carlini et al. 2019, "On
Evaluating Adversarial Robustness", an attack proves its strength or says nothing: it must grow with
its budget, beat random changes, and reach everybody when unbounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from custody.checks._attack import FromFunction, ask, sound
from custody.checks._intervals import rate_span
from custody.checks.registry import Example, Scale, check
from custody.checks.robustness import _walk
from custody.checks.robustness._walk import BUDGETS, CAUGHT, STILL, Space, Walk
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Success = dict[int, NDArray[np.bool_]]

ROWS = 200
FEWEST_ROWS = 10
VALUES = 16
DONORS = 48
DRAWS = 16
"""Random tries per row and budget that the attack has to beat."""
STEP = 60_000
"""Records scored in one forward step at most; values and rows shrink to fit."""
MOST_COLUMNS = 300
UNBOUNDED = 0.9
"""Success that an attack without a budget must reach to be believed."""


@check(
    stage=Stage.VALIDATION,
    measures={
        "success_rate": Scale(
            0.0,
            1.0,
            "lower",
            "share of caught records",
            "Share of caught records that slip past after at most so many features were changed.",
            ("features",),
        ),
        "mean_features_changed": Scale(
            1.0,
            4.0,
            "higher",
            "features",
            "Features to change on average; a record that does not slip past within 3 counts as 4.",
        ),
    },
    example=Example(
        "success_rate",
        lambda: _example(guarded=True),
        lambda: _example(guarded=False),
        at_most=0.3,
        at={"features": 3},
    ),
)
def evasion(target: Target) -> Result:
    """Attack up to 200 caught records; count who slips past within 1, 2 and 3 changed features."""
    space, caught = _space(target)
    walk = _walk.attack(space)
    success = {budget: _verified(space, walk.within[budget], budget) < CAUGHT for budget in BUDGETS}
    unbounded = float((_verified(space, walk.unbounded, space.columns) < CAUGHT).mean())
    random = {budget: _walk.noise(space, budget, DRAWS, target.seed) < CAUGHT for budget in BUDGETS}
    tests = _strength(space, walk, success, random, unbounded)
    details = {
        "threshold": CAUGHT,
        "caught": caught,
        "attacked": space.rows,
        "queries": space.queries,
        "mutable": len(space.names),
        "curve": [_point(budget, success[budget], random[budget]) for budget in BUDGETS],
        "unbounded": unbounded,
        "exhaustive": walk.exhaustive,
        "strength": tests,
        "used": _used(space, walk.within[BUDGETS[-1]][success[BUDGETS[-1]]], success[BUDGETS[-1]]),
    }
    failed = [str(test["saw"]) for test in tests if not test["met"]]
    if failed:
        reason = "attack not shown to be strong: " + "; ".join(failed)
        unknown = [Measure.unknown("success_rate", reason, {"features": k}, space.rows) for k in BUDGETS]
        return Result([*unknown, Measure.unknown("mean_features_changed", reason, n=space.rows)], details=details)
    measures = [_rate(success[budget], budget, target.confidence) for budget in BUDGETS]
    return Result([*measures, _mean_changed(success, target.confidence)], _findings(details), details)


def _space(target: Target) -> tuple[Space, int]:
    """Choose rows, values and donors; return the space and how many rows the model catches in all."""
    import numpy as np

    table, model = target.need_held_out(), target.need_model()
    scores = sound(target.held_out_scores(), table.rows)
    frame = table.frame.select(table.features)
    names = [name for name in table.mutable if _changeable(frame[name])]
    if not names:
        raise Unmeasurable("an attacker can change no column: none is mutable")
    if len(names) > MOST_COLUMNS:
        raise Unmeasurable(f"{len(names)} columns are mutable; name those an attacker can really change")
    caught = np.flatnonzero((table.truth == 1) & (scores >= CAUGHT))
    if len(caught) < FEWEST_ROWS:
        raise Unmeasurable(
            f"the model catches {len(caught)} positive held-out records (score at least {CAUGHT}); "
            f"an attack needs {FEWEST_ROWS}"
        )
    random = np.random.default_rng(target.seed)
    rows = min(ROWS, len(caught), max(FEWEST_ROWS, STEP // (4 * len(names))))
    chosen = np.sort(random.choice(caught, rows, replace=False))
    values = int(np.clip(STEP // (rows * len(names)), 4, VALUES))
    passing = np.flatnonzero(scores < CAUGHT)
    donors = np.sort(random.choice(passing, min(DONORS, len(passing)), replace=False))
    seen = {name: _observed(target, name, values) for name in names}
    space = Space(model, frame[chosen], seen, frame[donors])
    apart = float(np.abs(space.base - scores[chosen]).max())
    if apart > 1e-6:
        raise Unmeasurable(f"the model gives the same record other scores when asked again (by {apart:.2g})")
    return space, len(caught)


def _changeable(column: pl.Series) -> bool:
    import polars as pl

    return not column.dtype.is_nested() and column.dtype not in (pl.Null, pl.Object, pl.Binary)


def _observed(target: Target, name: str, most: int) -> pl.Series:
    """Return at most `most` values of a column that occur in the data, of its type.

    Categories come by frequency. Numbers and times come from quantiles, half of all rows and half
    of the distinct values, so that rare extremes are among them; they are never interpolated. A
    missing value is a candidate where the data has one.
    """
    import polars as pl

    column = target.need_held_out().frame[name]
    train = target.train
    if train is not None and name in train.frame.columns and train.frame[name].dtype == column.dtype:
        column = pl.concat([column, train.frame[name]])
    blank = column.filter(column.is_null()).head(1)
    present = column.drop_nulls()
    if present.dtype.is_float():
        present = present.filter(present.is_finite())
    most -= len(blank)
    if present.n_unique() <= most:
        return pl.concat([present.unique().sort(), blank])
    if present.dtype == pl.String or isinstance(present.dtype, (pl.Categorical, pl.Enum)):
        counted = present.alias("value").value_counts().sort(["count", "value"], descending=[True, False])
        return pl.concat([counted["value"].head(most).alias(name), blank])
    ordered, distinct = present.sort(), present.unique().sort()
    half = most // 2
    common = ordered.gather(_spread(len(ordered), half))
    rare = distinct.gather(_spread(len(distinct), most - half))
    picked = pl.concat([common, rare])
    return pl.concat([picked.unique().sort(), blank])


def _spread(length: int, count: int) -> NDArray[np.int64]:
    import numpy as np

    return np.linspace(0, length - 1, count).round().astype(np.int64)


def _verified(space: Space, codes: NDArray[np.int64], budget: int) -> NDArray[np.float64]:
    """Return the model's scores of the final records, after counting their changes anew."""
    import numpy as np

    final = space.submit(space.all, codes)
    changes = np.sum([final[name].ne_missing(space.frame[name]).to_numpy() for name in final.columns], axis=0)
    fixed = [name for name in final.columns if name not in space.names]
    if (changes > budget).any() or not final.select(fixed).equals(space.frame.select(fixed)):
        raise Unmeasurable(f"the attack left its bounds: more than {budget} features or a fixed one changed")
    space.queries += space.rows
    scores = ask(space.model, final)
    space.moved = max(space.moved, float(np.abs(scores - space.base).max()))
    return scores


def _strength(space: Space, walk: Walk, success: Success, random: Success, unbounded: float) -> list[dict[str, Any]]:
    """Test the attack, not the model: a weak attack must not pass for a robust model."""
    rates = [float(success[budget].mean()) for budget in BUDGETS]
    tries = [float(random[budget].any(axis=1).mean()) for budget in BUDGETS]
    single = [float(random[budget].mean()) for budget in BUDGETS]
    still = space.moved <= STILL
    grows = all(small <= large for small, large in zip(rates, [*rates[1:], unbounded], strict=True))
    beats = all(rate >= best for rate, best in zip(rates, tries, strict=True)) and (
        still or unbounded > single[-1] or single[-1] == 1.0
    )
    if unbounded >= UNBOUNDED:
        why = f"with every mutable column free, {unbounded:.0%} slip past"
    elif still:
        why = f"no change of a mutable column moved a score in {space.queries} queries: the model ignores them"
    elif walk.exhaustive:
        why = f"trying all combinations of values frees nobody else; {unbounded:.0%} slip past"
    else:
        why = (
            f"even with every mutable column free only {unbounded:.0%} slip past, "
            f"and not all combinations could be tried"
        )
    return [
        {
            "test": "grows with its budget",
            "met": grows,
            "saw": "success " + ", ".join(f"{rate:.3f}" for rate in rates) + f", unbounded {unbounded:.3f}",
        },
        {
            "test": "beats random changes",
            "met": beats,
            "saw": f"best of {DRAWS} random tries " + ", ".join(f"{rate:.3f}" for rate in tries),
        },
        {
            "test": "reaches everybody when unbounded",
            "met": unbounded >= UNBOUNDED or still or walk.exhaustive,
            "saw": why,
        },
    ]


def _rate(success: NDArray[np.bool_], budget: int, confidence: float) -> Measure:
    hits, rows = int(success.sum()), len(success)
    return Measure("success_rate", *rate_span(hits, rows, confidence), rows, {"features": budget})


def _mean_changed(success: Success, confidence: float) -> Measure:
    """Return 1 + the sum over budgets of the share still caught, each share at a third of the error."""
    each = 1.0 - (1.0 - confidence) / len(BUDGETS)
    rates = [_rate(success[budget], budget, each) for budget in BUDGETS]
    most = 1.0 + len(BUDGETS)
    value = most - sum(rate.value or 0.0 for rate in rates)
    low = most - sum(rate.high or 0.0 for rate in rates)
    high = most - sum(rate.low or 0.0 for rate in rates)
    return Measure("mean_features_changed", value, low, high, rates[0].n)


def _point(budget: int, success: NDArray[np.bool_], random: NDArray[np.bool_]) -> dict[str, float]:
    return {
        "features": budget,
        "success": float(success.mean()),
        "random": float(random.mean()),
        "random_best": float(random.any(axis=1).mean()),
    }


def _used(space: Space, codes: NDArray[np.int64], success: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Count in how many evasions each column was changed, most used first; names only, never a value."""
    used = (codes != space.start[success]).sum(axis=0)
    return [{"column": space.names[j], "records": int(used[j])} for j in used.argsort()[::-1][:20] if used[j]]


def _findings(details: dict[str, Any]) -> list[Finding]:
    """Name the columns that carry the evasions."""
    used = details["used"][:3]
    if not used:
        return []
    names = ", ".join(f"{entry['column']} ({entry['records']} records)" for entry in used)
    success = details["curve"][-1]["success"]
    return [
        Finding(
            "info",
            f"{success:.0%} of caught records slip past after at most {BUDGETS[-1]} changed features",
            f"columns {names}",
            "an attacker who can choose these values can choose the outcome",
            "verify these values at their source, or train on features that the applicant cannot choose",
        )
    ]


def _example(*, guarded: bool) -> Target:
    """Make a tiny fraud table whose model reads what the merchant attests, or what the payer types."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(7)
    rows = 300
    attested, typed = random.normal(size=rows), random.normal(size=rows)
    reads = "attested" if guarded else "typed"
    frame = pl.DataFrame({"attested": attested, "typed": typed, "hour": random.integers(0, 24, rows)})
    frame = frame.with_columns((pl.col(reads) > 0.2).cast(pl.Int8).alias("fraud"))
    table = Table("example", frame, Columns(target="fraud", positive="1", mutable=("typed", "hour")))
    model = FromFunction(lambda asked: 1.0 / (1.0 + np.exp(-4.0 * (asked[reads].to_numpy() - 0.2))))
    return Target(held_out=table, model=model)
