"""Which rows of one table stand in another, exactly or nearly?

Every column becomes 64-bit hashes of canonical values, salted by column, so that the hash of any set of
columns is their sum. The small table is indexed and the large one is streamed past it in blocks: memory
is bounded by the small one.

Near duplicates are found through *identifying* sets of columns: random disjoint sets, each grown until
hardly any two rows of the sample share its values. Two rows that agree on one of them are compared
column by column. A copy of which half of the columns was kept still agrees on one of the sets nearly
always, because disjoint sets can all be broken only by a change in each of them.

Hashes live in memory only: the engine does not promise the same ones tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

BLOCK = 1 << 18
SETS = 24
"""How many sets of columns are tried at most."""
ROUNDS = 12
"""How often the columns are dealt out."""
SHARED = 0.002
"""A set identifies rows when at most this share of the sample has a namesake in it."""
MOST_PAIRS = 4_000_000
"""Pairs of rows compared per set and block; a set that gives more is no good and is dropped."""

_NOTHING = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class Reading(NamedTuple):
    """How both tables' values of one column are brought to one form."""

    column: str
    kind: str
    """"number", "single" (float32 on one side) or "text"."""
    salt: int


def readings(first: pl.DataFrame, second: pl.DataFrame, columns: Sequence[str]) -> list[Reading]:
    """Choose for each column the form in which equal values are equal in both tables."""
    import polars as pl

    chosen = []
    for place, column in enumerate(columns):
        kinds = {first[column].dtype, second[column].dtype}
        numeric = all(_is_number(frame[column]) for frame in (first, second))
        kind = "text" if not numeric else "single" if pl.Float32 in kinds and len(kinds) > 1 else "number"
        chosen.append(Reading(column, kind, (place + 1) * _NOTHING % 2**64))
    return chosen


def _is_number(column: pl.Series) -> bool:
    """Say whether all values are numbers, also when they were written as text."""
    import polars as pl

    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return True
    if column.dtype != pl.String or column.null_count() == column.len():
        return False
    return column.str.strip_chars().cast(pl.Float64, strict=False).null_count() == column.null_count()


def hashes(frame: pl.DataFrame, plan: Sequence[Reading]) -> Hashes:
    """Return one hash per column and row, shape (columns, rows)."""
    import numpy as np

    found = np.empty((len(plan), frame.height), dtype=np.uint64)
    for place, reading in enumerate(plan):
        values = _numbers(frame[reading.column], reading) if reading.kind != "text" else None
        if values is not None:
            bits = values.view(np.uint64).copy()
            bits[np.isnan(values)] = np.uint64(_NOTHING)
        else:
            bits = _texts(frame[reading.column])
        found[place] = _mixed(bits ^ np.uint64(reading.salt))
    return found


def _numbers(column: pl.Series, reading: Reading) -> NDArray[np.float64]:
    """Return float64 in which 1, 1.0, "1" and true are one value, and so are 0.0 and -0.0."""
    import polars as pl

    if column.dtype == pl.String:
        column = column.str.strip_chars()
    if reading.kind == "single":
        column = column.cast(pl.Float32, strict=False)
    return column.cast(pl.Float64, strict=False).to_numpy() + 0.0


def _texts(column: pl.Series) -> Hashes:
    """Return hashes in which case and white space do not count."""
    import numpy as np
    import polars as pl

    # `Male`, `male ` and `MALE` are one value; dates compare by their ISO form.
    text = column.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    if text.str.contains(r"\s\s|[\t\r\n]").any():
        text = text.str.replace_all(r"\s+", " ")
    found = text.hash(seed=1).to_numpy().copy()
    if text.null_count():
        found[text.is_null().to_numpy()] = np.uint64(_NOTHING)
    return found


def _mixed(bits: Hashes) -> Hashes:
    """Scramble in place (the finaliser of SplitMix64)."""
    import numpy as np

    for shift, factor in zip((30, 27), _MIX, strict=True):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return bits


class Lookup:
    """Finds equal keys: a bit map answers "surely not", a sorted list the rest."""

    def __init__(self, keys: Hashes) -> None:
        import numpy as np

        self.order = np.argsort(keys)
        self.keys = keys[self.order]
        width = min(max(int(keys.size * 16).bit_length(), 12), 26)
        self.shift = np.uint64(64 - width)
        self.map = np.zeros(1 << width, dtype=np.bool_)
        self.map[keys >> self.shift] = True

    def find(self, probes: Hashes, most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
        """Return all pairs (place in `probes`, place in the keys) that are equal; None above `most`."""
        import numpy as np

        maybe = np.flatnonzero(self.map[probes >> self.shift])
        wanted = probes[maybe]
        start = np.searchsorted(self.keys, wanted, "left")
        count = np.searchsorted(self.keys, wanted, "right") - start
        total = int(count.sum())
        if total > most:
            return None
        left = np.repeat(maybe, count)
        offset = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
        return left, self.order[np.repeat(start, count) + offset]


class Counter:
    """Counts how often the rows of the index occur in what is streamed past, and where first."""

    def __init__(self, keys: Hashes) -> None:
        import numpy as np

        self.unique, self.inverse = np.unique(keys, return_inverse=True)
        self.counts = np.zeros(self.unique.size, dtype=np.int64)
        self.first = np.full(self.unique.size, -1, dtype=np.int64)
        self.lookup = Lookup(self.unique)

    def add(self, keys: Hashes, start: int) -> None:
        """Count one block, whose first row has number `start`."""
        import numpy as np

        pairs = self.lookup.find(keys, keys.size)
        if pairs is None or not pairs[0].size:  # keys are unique, so there is at most one pair per row
            return
        rows, places = pairs
        self.counts += np.bincount(places, minlength=self.unique.size)
        new, where = np.unique(places, return_index=True)
        fresh = self.first[new] < 0
        self.first[new[fresh]] = rows[where[fresh]] + start


@dataclass
class Near:
    """The best near match seen for each row of the index."""

    share: NDArray[np.float64]
    """Share of the telling columns that are equal, below 1; 0 where nothing was found."""
    row: NDArray[np.int64]

    def at_least(self, share: float) -> NDArray[np.bool_]:
        """Return which rows of the index have a near match of that share."""
        return self.share >= share


def identifying_sets(table: Hashes, telling: NDArray[np.intp], seed: int) -> list[NDArray[np.intp]]:
    """Choose sets of columns of which each one tells nearly all rows of a table apart.

    Each round deals the columns out in random order into disjoint sets and drops what they do not need.
    Columns whose values are all equal tell nothing and are not dealt. Sets have two columns at
    least.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    # Namesakes are counted on the distinct rows: exact duplicates are no fault of the columns.
    rows = np.unique(table.sum(axis=0), return_index=True)[1][:50_000]
    sample = table[:, rows]
    chosen: dict[tuple[int, ...], None] = {}
    for _ in range(ROUNDS):
        current: list[int] = []
        joint = np.zeros(sample.shape[1], dtype=np.uint64)
        for column in rng.permutation(telling):
            current.append(int(column))
            joint = joint + sample[column]
            if len(current) < 2 or len(current) == telling.size or _namesakes(joint) > SHARED:
                continue
            current, spare = _pruned(sample, current, joint)
            chosen[tuple(sorted(current))] = None
            current, joint = spare, sample[spare].sum(axis=0)
        if len(chosen) >= SETS or telling.size < 3:
            break
    return [np.array(columns) for columns in list(chosen)[:SETS]]


def _pruned(sample: Hashes, columns: list[int], joint: Hashes) -> tuple[list[int], list[int]]:
    """Split a set into columns that are needed to identify rows and columns that are not.

    The fewer columns a set has, the fewer changes break it.
    """
    spare: list[int] = []
    for column in columns:
        if len(columns) - len(spare) > 2 and _namesakes(joint - sample[column]) <= SHARED:
            joint = joint - sample[column]
            spare.append(column)
    return [column for column in columns if column not in spare], spare


def _namesakes(keys: Hashes) -> float:
    """Return the share of rows whose key another row has too."""
    import numpy as np

    ordered = np.sort(keys)
    same = ordered[1:] == ordered[:-1]
    either = np.zeros(keys.size, dtype=np.bool_)
    either[1:] |= same
    either[:-1] |= same
    return float(either.mean())


def blocks(rows: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of blocks of rows."""
    for start in range(0, rows, BLOCK):
        yield start, min(rows, start + BLOCK)


class Matcher:
    """The index of the small table and the searches through it."""

    def __init__(self, index: Hashes, telling: NDArray[np.intp], sets: list[NDArray[np.intp]]) -> None:
        import numpy as np

        self.index = index
        self.telling = telling
        self.by_row = np.ascontiguousarray(index[telling].T)
        self.sets = {place: (columns, Lookup(index[columns].sum(axis=0))) for place, columns in enumerate(sets)}
        self.dropped: set[int] = set()

    def near(self, block: Hashes, start: int, best: Near) -> None:
        """Improve `best` by the rows of a block, whose first row has number `start`."""
        import numpy as np

        telling = np.ascontiguousarray(block[self.telling].T)
        for place, (columns, lookup) in self.sets.items():
            if place in self.dropped:
                continue
            pairs = lookup.find(block[columns].sum(axis=0), MOST_PAIRS)
            if pairs is None:
                self.dropped.add(place)
                continue
            for part in range(0, pairs[0].size, 100_000):
                rows, places = pairs[0][part : part + 100_000], pairs[1][part : part + 100_000]
                share = (telling[rows] == self.by_row[places]).mean(axis=1)
                # Equal in all telling columns is exact, which is counted elsewhere (a row meets itself here).
                better = (share < 1.0) & (share > best.share[places])
                order = np.argsort(share[better], kind="stable")
                best.share[places[better][order]] = share[better][order]
                best.row[places[better][order]] = rows[better][order] + start

    def nothing(self) -> Near:
        """Return a `Near` in which nothing was found yet."""
        import numpy as np

        size = self.index.shape[1]
        return Near(np.zeros(size), np.full(size, -1, dtype=np.int64))
