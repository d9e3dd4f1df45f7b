"""A bank's card payments, simulated: no row is, or was derived from, a real person.

Customers live in three regions, bank at one of twelve branches and pay at four hundred merchants. Most
payments are honest, among them holidays abroad, large purchases and late nights, which look suspicious.
Thieves work in five ways: they test stolen card numbers with bursts of small online payments, take over
an account and empty it, spend a stolen card far from home, use a skimmed copy abroad, or shop so quietly
that hardly anything gives them away. What a model may see of the past (`count_24h`, `hours_since_last`,
`amount_ratio`) is computed point-in-time: from strictly earlier payments of the same customer.

Whom thieves rob, and how, does not depend on sex, age band or region, so a model trained on honest
labels has no reason to serve one group worse. Each group suffers the same mix of fraud, by stratification.

The cohorts of the training set, the held-out set and the live month are disjoint in customers and follow
each other in time: training October to December 2025, held-out January 2026, live February 2026. Every
cohort has a month of history before its window opens, which is used for the features and then dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

REGIONS = ("north", "south", "islands")
SEXES = ("female", "male")
AGE_BANDS = ("18-29", "30-44", "45-64", "65+")
CHANNELS = ("chip", "contactless", "online")
SOURCES = ("acquirer_a", "acquirer_b", "partner_c")
CATEGORIES = ("grocery", "restaurant", "fuel", "clothing", "electronics", "travel", "digital", "jewellery")
WAYS = ("card testing", "account takeover", "stolen card", "skimmed card", "quiet shopping")

COLUMNS: Mapping[str, Any] = {
    "target": "is_fraud",
    "positive": "1",
    "sensitive": ("sex", "age_band", "region"),
    "entity": "customer_id",
    "time": "time",
    "source": "source",
    "ignore": ("transaction_id", "customer_id", "merchant_id", "time", "source"),
    "mutable": ("amount", "hour", "merchant_category", "channel"),
}
"""What the columns mean: the keyword arguments of `custody.checks.target.Columns`."""

FEATURES = (
    "amount",
    "hour",
    "merchant_category",
    "merchant_risk",
    "channel",
    "distance_km",
    "country_mismatch",
    "count_24h",
    "hours_since_last",
    "amount_ratio",
    "branch",
)
"""What the training script lets the model see. `branch` tells the region without saying so."""

TRAIN_SCRIPT = Path(__file__).parent / "assets" / "train.py"
"""The training script of the bank's data scientist, who has never heard of Custody."""

CRITERIA = Path(__file__).parent / "assets" / "criteria.toml"
"""What the bank promised before training."""

_DAY = 1440.0
_HISTORY_DAYS = 31
_OLDEST = _HISTORY_DAYS * _DAY
_EPOCH = datetime(2025, 9, 1, tzinfo=UTC)

# Typical amount of each category, its spread, and how often honest customers buy there.
_MEDIAN = (34.0, 28.0, 48.0, 62.0, 150.0, 240.0, 14.0, 210.0)
_SPREAD = (0.55, 0.50, 0.30, 0.60, 0.75, 0.70, 0.60, 0.75)
_OFTEN = (0.33, 0.20, 0.12, 0.12, 0.06, 0.05, 0.10, 0.02)
# Hours of the day at which honest customers pay.
_HOURS = (6, 4, 3, 2, 2, 3, 8, 20, 34, 42, 50, 58, 66, 60, 52, 50, 56, 68, 72, 62, 46, 32, 20, 11)
_NIGHT = (14, 15, 14, 13, 11, 8, 5, 3, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 6, 8, 10, 13)
_MERCHANTS = 400


@dataclass(frozen=True)
class Life:
    """Everything the demonstration's bank has on file. Frames share their columns, but for the label.

    `live_clean` is an ordinary later month without labels; `live_labels` (`transaction_id`, `is_fraud`)
    arrive late, as charge-backs do.
    """

    train: pl.DataFrame
    held_out: pl.DataFrame
    live_clean: pl.DataFrame
    live_labels: pl.DataFrame


def simulate(
    seed: int, *, train_customers: int = 500, held_out_customers: int = 3000, live_customers: int = 800
) -> Life:
    """Simulate the bank; the same seed gives the same bytes.

    A customer pays about eleven times a month, so the defaults give some 17,000 training rows, 34,000
    held-out rows and 9,000 live rows. Raises `InvalidInput` for cohorts under 30 customers.
    """
    import numpy as np

    for name, count in (
        ("train_customers", train_customers),
        ("held_out_customers", held_out_customers),
        ("live_customers", live_customers),
    ):
        if count < 30:
            raise InvalidInput(f"{name} is {count}; the simulator needs at least 30 customers in each cohort")
    rng = np.random.default_rng(seed)
    merchants = _merchants(rng)
    train = _cohort(rng, merchants, "A", train_customers, start_day=30, days=92)
    held_out = _cohort(rng, merchants, "B", held_out_customers, start_day=122, days=31)
    live = _cohort(rng, merchants, "C", live_customers, start_day=153, days=28)
    return Life(train, held_out, live.drop("is_fraud"), live.select("transaction_id", "is_fraud"))


def write(life: Life, folder: Path) -> dict[str, Path]:
    """Write the bank's files under `folder` and return them by name.

    `data/train.csv`, `data/held_out.csv`, `live/2026-02.csv` and `live/2026-02-labels.csv`; the held-out
    and live tables also as Parquet beside them.
    """
    files: dict[str, Path] = {}
    for name, place, frame in (
        ("train", "data/train", life.train),
        ("held_out", "data/held_out", life.held_out),
        ("live", "live/2026-02", life.live_clean),
        ("live_labels", "live/2026-02-labels", life.live_labels),
    ):
        path = folder / f"{place}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(path)
        files[name] = path
        if name in {"held_out", "live"}:
            frame.write_parquet(path.with_suffix(".parquet"))
            files[f"{name}_parquet"] = path.with_suffix(".parquet")
    return files


@dataclass(frozen=True)
class _Merchants:
    """Category index and risk score (0 to 1) of each merchant, and the merchants of each category."""

    category: NDArray[np.int64]
    risk: NDArray[np.float64]

    def pick(self, rng: np.random.Generator, category: NDArray[np.int64], lean: float) -> NDArray[np.int64]:
        """Choose a merchant of each wanted category; `lean` > 0 prefers risky ones."""
        import numpy as np

        chosen = np.empty(category.size, dtype=np.int64)
        for index in range(len(CATEGORIES)):
            rows = np.flatnonzero(category == index)
            shops = np.flatnonzero(self.category == index)
            weight = np.exp(lean * self.risk[shops])
            chosen[rows] = rng.choice(shops, rows.size, p=weight / weight.sum())
        return chosen


def _merchants(rng: np.random.Generator) -> _Merchants:
    import numpy as np

    category = np.arange(_MERCHANTS, dtype=np.int64) % len(CATEGORIES)
    lift = np.array([0.0, 0.0, 0.0, 0.02, 0.10, 0.08, 0.16, 0.14])[category]
    return _Merchants(category, np.clip(rng.beta(2.0, 9.0, _MERCHANTS) + lift, 0.01, 0.99))


@dataclass(frozen=True)
class _Customers:
    """Who pays: everything is an array with one item per customer.

    `pace` is payments a day, `thrift` shifts the logarithm of what they spend; `branch` belongs to `region`.
    """

    region: NDArray[np.int64]
    sex: NDArray[np.int64]
    age: NDArray[np.int64]
    branch: NDArray[np.int64]
    pace: NDArray[np.float64]
    thrift: NDArray[np.float64]


def _customers(rng: np.random.Generator, count: int) -> _Customers:
    import numpy as np

    # Dealt out like cards, so that small cohorts are made up like large ones.
    person = np.arange(count)
    region = (person % 3).astype(np.int64)
    return _Customers(
        region=region,
        sex=((person // 3) % 2).astype(np.int64),
        age=rng.permutation(np.searchsorted((0.20, 0.48, 0.80), (person + 0.5) / count)),
        branch=region * 4 + (person // 6) % 4,
        pace=rng.gamma(8.0, 0.35 / 8.0, count),
        thrift=rng.normal(0.0, 0.22, count),
    )


@dataclass(frozen=True)
class _Payments:
    """Payments as columns of equal length; `minute` counts from the epoch, `way` is -1 for honest ones."""

    customer: NDArray[np.int64]
    minute: NDArray[np.float64]
    amount: NDArray[np.float64]
    merchant: NDArray[np.int64]
    channel: NDArray[np.int64]
    distance: NDArray[np.float64]
    abroad: NDArray[np.bool_]
    way: NDArray[np.int64]


def _cohort(
    rng: np.random.Generator, merchants: _Merchants, letter: str, customers: int, *, start_day: int, days: int
) -> pl.DataFrame:
    """Simulate one group of customers over its window and return the finished table, in time order."""
    import numpy as np
    import polars as pl

    people = _customers(rng, customers)
    opens, whole = start_day - _HISTORY_DAYS, days + _HISTORY_DAYS
    parts = (
        _honest(rng, merchants, people, opens, whole),
        _fraud(rng, merchants, people, opens, whole),
    )
    rows = _Payments(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _Payments.__dataclass_fields__)
    )
    order = np.lexsort((rows.minute, rows.customer))
    rows = _Payments(*(getattr(rows, name)[order] for name in _Payments.__dataclass_fields__))
    count, gap, ratio = _past(rows)

    inside = (rows.minute >= start_day * _DAY) & (rows.minute < (start_day + days) * _DAY)
    who = rows.customer
    # Microseconds are spelled out here so that no rounding of floats reaches the written time.
    stamp = (int(_EPOCH.timestamp()) + np.floor(rows.minute * 60).astype(np.int64)) * 1_000_000
    frame = pl.DataFrame(
        {
            "customer_id": np.char.add(letter, np.char.zfill(who.astype("U6"), 5)),
            "time": stamp,
            "source": np.array(SOURCES)[rng.choice(3, who.size, p=(0.45, 0.33, 0.22))],
            "merchant_id": np.char.add("M", np.char.zfill(rows.merchant.astype("U6"), 3)),
            "sex": np.array(SEXES)[people.sex[who]],
            "age_band": np.array(AGE_BANDS)[people.age[who]],
            "region": np.array(REGIONS)[people.region[who]],
            "branch": np.char.add("branch_", np.char.zfill((people.branch[who] + 1).astype("U2"), 2)),
            "amount": np.round(rows.amount, 2),
            "hour": (np.floor(rows.minute / 60) % 24).astype(np.int64),
            "merchant_category": np.array(CATEGORIES)[merchants.category[rows.merchant]],
            "merchant_risk": np.round(merchants.risk[rows.merchant], 3),
            "channel": np.array(CHANNELS)[rows.channel],
            "distance_km": np.round(rows.distance, 1),
            "country_mismatch": rows.abroad.astype(np.int64),
            "count_24h": count,
            "hours_since_last": np.round(gap, 2),
            "amount_ratio": np.round(ratio, 3),
            "is_fraud": (rows.way >= 0).astype(np.int64),
        }
    )
    frame = frame.filter(pl.Series(inside)).sort("time", "customer_id", maintain_order=True)
    return frame.with_columns(pl.from_epoch("time", time_unit="us").dt.strftime("%Y-%m-%dT%H:%M:%S")).select(
        pl.format("T{}{}", pl.lit(letter), pl.int_range(pl.len()) + 1_000_000).alias("transaction_id"),
        pl.all(),
    )


def _honest(rng: np.random.Generator, merchants: _Merchants, people: _Customers, opens: int, days: int) -> _Payments:
    """Simulate what customers buy themselves in `days` days from day `opens` on."""
    import numpy as np

    counts = rng.poisson(people.pace * days)
    customer = np.repeat(np.arange(counts.size), counts)
    n = customer.size
    category = rng.choice(len(CATEGORIES), n, p=_OFTEN)
    merchant = merchants.pick(rng, category, lean=0.0)
    day = rng.integers(0, days, n)
    minute = (opens + day) * _DAY + _hours(rng, _HOURS, n)

    online = rng.random(n) < np.where(category == 6, 0.97, 0.16 - 0.03 * (people.age[customer] == 3))
    channel = np.where(online, 2, rng.random(n) < 0.58)
    distance = np.where(online, rng.lognormal(2.4, 1.3, n), rng.lognormal(1.5, 1.1, n))
    abroad = online & (rng.random(n) < 0.05)

    # Holidays: some customers are away for a week, far from home and often in another country.
    leaves = rng.integers(0, days, counts.size)
    away = (rng.random(counts.size) < 0.10 * days / 31)[customer] & (np.abs(day - leaves[customer]) <= 3)
    distance = np.where(away & ~online, rng.lognormal(6.3, 0.7, n), distance)
    abroad |= (away & (rng.random(counts.size) < 0.5)[customer]) & (rng.random(n) < 0.9)

    spread = np.array(_SPREAD)[category]
    amount = np.array(_MEDIAN)[category] * np.exp(people.thrift[customer] + spread * rng.standard_normal(n))
    # Now and then somebody buys a sofa.
    amount *= np.where(rng.random(n) < 0.012, rng.uniform(4.0, 9.0, n), 1.0)
    return _Payments(customer, minute, amount, merchant, channel, distance, abroad, np.full(n, -1))


def _fraud(rng: np.random.Generator, merchants: _Merchants, people: _Customers, opens: int, days: int) -> _Payments:
    """Simulate incidents, each a short burst of payments by a thief on one customer's card.

    The number of incidents and their ways are dealt out evenly over regions and sexes, so that chance
    alone does not make one group's fraud harder to see than another's.
    """
    import numpy as np

    group = people.region * len(SEXES) + people.sex
    victims: list[NDArray[np.int64]] = []
    for index in range(int(group.max()) + 1):
        members = np.flatnonzero(group == index)
        victims.append(rng.choice(members, round(members.size * 0.24 * days / 31)))
    victim = np.concatenate(victims)
    deal = (0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4)
    style = np.concatenate([rng.permutation(np.resize(np.array(deal), part.size)) for part in victims])

    size = np.array([2, 1, 1, 1, 1])[style] + rng.poisson(np.array([2.2, 1.6, 1.8, 1.6, 0.6])[style])
    incident = np.repeat(np.arange(victim.size), size)
    customer, way = victim[incident], style[incident]
    n = incident.size
    begins = (opens + rng.integers(0, days, victim.size)) * _DAY + np.where(
        np.isin(style, (0, 1)), _hours(rng, _NIGHT, victim.size), _hours(rng, _HOURS, victim.size)
    )
    # Payments of one incident follow each other within minutes to a few hours.
    pause = rng.gamma(1.5, np.array([6.0, 25.0, 40.0, 45.0, 300.0])[way])
    first = np.r_[True, incident[1:] != incident[:-1]]
    pause[first] = 0.0
    total = np.cumsum(pause)
    minute = begins[incident] + total - total[first][incident]

    buys = np.array(
        [
            (0.02, 0.01, 0.00, 0.07, 0.08, 0.02, 0.80, 0.00),
            (0.00, 0.01, 0.00, 0.10, 0.47, 0.17, 0.15, 0.10),
            (0.06, 0.03, 0.06, 0.18, 0.37, 0.03, 0.00, 0.27),
            (0.05, 0.05, 0.03, 0.17, 0.35, 0.10, 0.00, 0.25),
            _OFTEN,
        ]
    )
    category = (rng.random(n)[:, None] > buys.cumsum(axis=1)[way]).sum(axis=1).clip(0, 7)
    merchant = merchants.pick(rng, category, lean=7.0)
    channel = np.where(np.isin(way, (0, 1)), 2, np.where(way == 3, 0, rng.integers(0, 2, n)))
    channel = np.where((way == 4) & (rng.random(n) < 0.3), 2, channel)
    distance = np.select(
        [np.isin(way, (0, 1)), way == 2, way == 3],
        [rng.lognormal(3.1, 1.3, n), rng.lognormal(3.7, 0.9, n), rng.lognormal(6.6, 0.8, n)],
        rng.lognormal(1.6, 1.1, n),
    )
    abroad = rng.random(n) < np.array([0.75, 0.65, 0.06, 0.97, 0.05])[way]

    lift = np.array([-0.5, 1.2, 0.85, 0.95, 0.1])[way]
    spread = np.array(_SPREAD)[category]
    amount = np.array(_MEDIAN)[category] * np.exp(
        lift + 0.3 * people.thrift[customer] + 0.8 * spread * rng.standard_normal(n)
    )
    return _Payments(customer, minute, amount, merchant, channel, distance, abroad, way)


def _hours(rng: np.random.Generator, profile: tuple[int, ...], n: int) -> NDArray[np.float64]:
    """Draw minutes of the day from a profile of 24 weights."""
    import numpy as np

    weights = np.array(profile, dtype=np.float64)
    drawn: NDArray[np.float64] = rng.choice(24, n, p=weights / weights.sum()) * 60.0 + rng.uniform(0.0, 60.0, n)
    return drawn


def _past(rows: _Payments) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Look back from each payment: count in 24 hours, hours since the last, amount against the mean.

    `rows` is sorted by customer and minute. Only rows before the current one are used; a customer
    without a past has count 0, the longest gap (720 hours) and ratio 1.
    """
    import numpy as np

    n = rows.minute.size
    index = np.arange(n)
    # One number orders customers first and minutes second; no window reaches into another customer.
    key = rows.customer * 1e7 + rows.minute
    count = index - np.searchsorted(key, key - _DAY, side="left")
    oldest = np.searchsorted(key, key - _OLDEST, side="left")
    total = np.r_[0.0, np.cumsum(rows.amount)]
    seen = index - oldest
    mean = (total[index] - total[oldest]) / np.maximum(seen, 1)
    ratio = np.where(seen > 0, rows.amount / np.maximum(mean, 0.01), 1.0)
    previous = np.r_[-np.inf, key[:-1]]
    gap = np.minimum((key - previous) / 60.0, 720.0)
    return count.astype(np.int64), gap, np.minimum(ratio, 100.0)
