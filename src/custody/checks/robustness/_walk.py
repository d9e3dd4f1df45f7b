"""The search behind `robustness.evasion`: all rows walk at once, each over records it could submit.

Time goes into prediction calls with tiny batches, so every step is one call for all rows still caught.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from custody.checks._attack import ask
from custody.checks.target import Predictor

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Rows = NDArray[np.int64]
    Scores = NDArray[np.float64]

CAUGHT = 0.5
"""A record is caught when its score is at least this."""
BUDGETS = (1, 2, 3)
TOTAL = 385_000
"""Records that may be scored by one walk; its tests add at most 11,000."""
CELLS = 4_000_000
"""Values in one call at most: 32 MB of numbers."""
PROVEN = 20
"""Rows on which all combinations must have failed before the search is believed to have missed nobody."""
BEST = 6
"""Columns whose best single changes are tried together."""
STILL = 1e-12


class Space:
    """The records an attacker could submit, as codes into the observed values of each mutable column.

    `start` holds the code of every row's own values, shape (rows, columns). Codes below `sizes[j]` are
    candidates of column j; then come the rows' own values, then those of the donors, which are real
    records that the model lets pass.
    """

    def __init__(
        self, model: Predictor, frame: pl.DataFrame, seen: Mapping[str, pl.Series], donors: pl.DataFrame
    ) -> None:
        import numpy as np
        import polars as pl

        self.model, self.frame, self.names = model, frame, list(seen)
        self.rows, self.columns, self.donors = frame.height, len(seen), donors.height
        self.sizes = np.array([len(values) for values in seen.values()])
        self.pools: list[pl.Series] = []
        self.usable = np.zeros((self.rows, self.columns, int(self.sizes.max())), dtype=bool)
        """Whether a candidate differs from the row's own value; shape (rows, columns, candidates)."""
        self.differs = np.zeros((self.rows, self.columns, donors.height), dtype=bool)
        for j, (name, values) in enumerate(seen.items()):
            pool = pl.concat([values, frame[name], donors[name]], rechunk=True)
            self.pools.append(pool)
            alike = _alike(pool)
            mine = alike[len(values) : len(values) + self.rows, None]
            self.usable[:, j, : len(values)] = alike[: len(values)] != mine
            self.differs[:, j] = alike[len(values) + self.rows :] != mine
        self.start: Codes = self.sizes[None, :] + np.arange(self.rows)[:, None]
        self.all: Rows = np.arange(self.rows)
        self.queries = 0
        self.base = self.ask(self.all, self.start)
        self.moved = 0.0
        """How far any change tried so far moved a score."""

    def submit(self, rows: Rows, codes: Codes) -> pl.DataFrame:
        """Build the records: `rows` name the owners, shape (n,); `codes` their values, (n, columns)."""
        place = {name: j for j, name in enumerate(self.names)}
        return self.frame.select(
            self.pools[place[name]].gather(codes[:, place[name]]).alias(name)
            if name in place
            else self.frame[name].gather(rows)
            for name in self.frame.columns
        )

    def ask(self, rows: Rows, codes: Codes) -> Scores:
        """Return the model's scores for those records; shape (n,)."""
        import numpy as np

        if not len(rows):
            return np.zeros(0)
        self.queries += len(rows)
        part = CELLS // len(self.frame.columns)
        scores = np.concatenate(
            [
                ask(self.model, self.submit(rows[start : start + part], codes[start : start + part]))
                for start in range(0, len(rows), part)
            ]
        )
        if hasattr(self, "base"):
            self.moved = max(self.moved, float(np.abs(scores - self.base[rows]).max()))
        return scores

    def changed(self, codes: Codes) -> NDArray[np.int64]:
        """Return how many columns of each row are not its own; shape (rows,)."""
        return (codes != self.start).sum(axis=1)  # type: ignore[no-any-return]


@dataclass
class Walk:
    """Where an attack ended: the best records for each budget, and with none; shape (rows, columns)."""

    within: dict[int, Codes]
    unbounded: Codes
    exhaustive: bool = False
    """Whether trying every combination of candidates showed that the rows that stayed caught must stay so."""


def attack(space: Space, most: int = TOTAL) -> Walk:
    """Walk from all rows at once, with at most about `most` rows scored."""
    within, scores = _forward(space)
    free, free_score = within[BUDGETS[-1]].copy(), scores[BUDGETS[-1]].copy()
    _from_donors(space, within, scores, free, free_score)
    if space.moved > STILL:
        _descend(space, free, free_score, most - space.queries)
    exhaustive = _exhaust(space, free, free_score, most - space.queries)
    return Walk(within, free, exhaustive)


def _forward(space: Space) -> tuple[dict[int, Codes], dict[int, Scores]]:
    """Change one more column at a time, always the best; return records and scores for each budget."""
    import numpy as np

    now, score = space.start.copy(), space.base.copy()
    within: dict[int, Codes] = {}
    reached: dict[int, Scores] = {}
    singles = np.zeros(0)
    for budget in BUDGETS:
        walking = np.flatnonzero(score >= CAUGHT)
        table = _proposals(space, walking, now)
        singles = table if budget == BUDGETS[0] else singles
        flat = table.reshape(len(walking), table.shape[1] * table.shape[2])
        best = flat.argmin(axis=1)
        column, value = np.divmod(best, table.shape[2])
        lower = flat[np.arange(len(walking)), best] < score[walking] - STILL
        now[walking[lower], column[lower]] = value[lower]
        score[walking[lower]] = flat[np.flatnonzero(lower), best[lower]]
        if budget > 1 and budget <= space.columns:
            _together(space, now, score, singles, budget)
        within[budget], reached[budget] = now.copy(), score.copy()
    return within, reached


def _proposals(space: Space, rows: Rows, now: Codes) -> NDArray[np.float64]:
    """Score every single further change; shape (rows, columns, candidates), infinite where there is none."""
    import numpy as np

    # A candidate that the record already holds is no change.
    usable = space.usable[rows] & (np.arange(space.usable.shape[2])[None, None, :] != now[rows][:, :, None])
    i, j, v = np.nonzero(usable)
    codes = now[rows[i]]
    codes[np.arange(len(i)), j] = v
    table = np.full(usable.shape, np.inf)
    table[i, j, v] = space.ask(rows[i], codes)
    return table


def _together(space: Space, now: Codes, score: Scores, table: NDArray[np.float64], budget: int) -> None:
    """Try the best single changes of different columns together, where the greedy walk is still caught.

    `table` holds the scores of all single changes of the original records, infinite where there is none.
    """
    import numpy as np

    rows = np.flatnonzero(score >= CAUGHT)
    width = min(BEST, space.columns)
    groups = np.array(list(combinations(range(width), budget)), dtype=np.int64)
    if not len(rows) or not len(groups):
        return
    single = table.min(axis=2)
    ranked = np.argsort(single[rows], axis=1, kind="stable")[:, :width]
    owner = np.repeat(np.arange(len(rows)), len(groups))
    columns = ranked[owner[:, None], np.tile(groups, (len(rows), 1))]
    codes = space.start[rows[owner]]
    where = np.arange(len(owner))[:, None]
    change = table.argmin(axis=2)[rows[owner][:, None], columns]
    usable = np.isfinite(single[rows[owner][:, None], columns])
    codes[where, columns] = np.where(usable, change, codes[where, columns])
    found = space.ask(rows[owner], codes).reshape(len(rows), -1)
    best = found.argmin(axis=1)
    lowest = found[np.arange(len(rows)), best]
    better = lowest < score[rows] - STILL
    now[rows[better]] = codes.reshape(len(rows), -1, space.columns)[better, best[better]]
    score[rows[better]] = lowest[better]


def _from_donors(
    space: Space, within: dict[int, Codes], scores: dict[int, Scores], free: Codes, free_score: Scores
) -> None:
    """Become a record that passes, then take back every change that is not needed."""
    import numpy as np

    rows = np.flatnonzero(scores[BUDGETS[0]] >= CAUGHT)
    if not len(rows) or not space.donors:
        return
    owner, donor = np.repeat(rows, space.donors), np.tile(np.arange(space.donors), len(rows))
    taken = space.sizes[None, :] + space.rows + donor[:, None]
    codes = np.where(space.differs[owner, :, donor], taken, space.start[owner])
    found = space.ask(owner, codes).reshape(len(rows), space.donors)
    codes = codes.reshape(len(rows), space.donors, space.columns)
    best = found.argmin(axis=1)
    lowest = found[np.arange(len(rows)), best]
    better = lowest < free_score[rows]
    free[rows[better]], free_score[rows[better]] = codes[better, best[better]], lowest[better]

    # Of the donors that pass, the nearest ones are walked back from; about 6 queries a column each.
    tries = int(np.clip(80_000 // (len(rows) * 6 * space.columns), 1, 3))
    distance = np.where(found < CAUGHT, space.differs[rows].sum(axis=1), space.columns + 1)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :tries]
    passing = np.take_along_axis(distance, nearest, axis=1) <= space.columns
    owners = np.broadcast_to(rows[:, None], nearest.shape)[passing]
    index = np.broadcast_to(np.arange(len(rows))[:, None], nearest.shape)[passing]
    walked = _take_back(space, owners, codes[index, nearest[passing]])
    count = (walked != space.start[owners]).sum(axis=1)
    for budget in BUDGETS:
        for i in np.flatnonzero(count <= budget):
            if scores[budget][owners[i]] >= CAUGHT:
                within[budget][owners[i]] = walked[i]
                scores[budget][owners[i]] = 0.0  # passes; the caller asks the model again for the true score


def _take_back(space: Space, owners: Rows, codes: Codes) -> Codes:
    """Undo changes while the record still passes: the longest harmless prefix of the harmless ones, again."""
    import numpy as np

    codes = codes.copy()
    active = np.arange(len(owners))
    while len(active):
        changed = codes[active] != space.start[owners[active]]
        i, j = np.nonzero(changed)
        trial = codes[active[i]]
        trial[np.arange(len(i)), j] = space.start[owners[active[i]], j]
        alone = np.full(changed.shape, np.inf)
        alone[i, j] = space.ask(owners[active[i]], trial)
        order = np.argsort(alone, axis=1, kind="stable")
        harmless = (alone < CAUGHT).sum(axis=1)
        # Prefixes of length 1 ... harmless, all in one call; the length 1 is known to pass.
        row, length = np.nonzero(np.arange(1, space.columns + 1)[None, :] <= harmless[:, None])
        rank = np.argsort(order, axis=1)
        undone = rank[row] <= length[:, None]
        trial = np.where(undone, space.start[owners[active[row]]], codes[active[row]])
        passes = np.zeros(changed.shape, dtype=bool)
        passes[row, length] = space.ask(owners[active[row]], trial) < CAUGHT
        longest = np.where(passes, np.arange(1, space.columns + 1)[None, :], 0).max(axis=1)
        undone = rank < longest[:, None]
        codes[active] = np.where(undone, space.start[owners[active]], codes[active])
        active = active[(longest > 0) & (longest < changed.sum(axis=1))]
    return codes


def _descend(space: Space, free: Codes, score: Scores, most: int) -> None:
    """With every column free, improve one column after the other until nothing improves."""
    import numpy as np

    for _ in range(3):
        before = score.copy()
        for j in range(space.columns):
            rows = np.flatnonzero(score >= CAUGHT)
            size = int(space.sizes[j])
            if not len(rows) or len(rows) * size > most:
                return
            most -= len(rows) * size
            codes = np.repeat(free[rows], size, axis=0)
            codes[:, j] = np.tile(np.arange(size), len(rows))
            found = space.ask(np.repeat(rows, size), codes).reshape(len(rows), size)
            value = found.argmin(axis=1)
            lowest = found[np.arange(len(rows)), value]
            better = lowest < score[rows] - STILL
            free[rows[better], j], score[rows[better]] = value[better], lowest[better]
        if np.array_equal(before, score):
            return


def _exhaust(space: Space, free: Codes, score: Scores, most: int) -> bool:
    """Try every combination for rows that are still caught; return whether the walk is thereby vindicated.

    It is when all such rows were tried, or at least `PROVEN` of them and none slipped past: then what
    kept them is the model and not a weak search.
    """
    import numpy as np

    rows = np.flatnonzero(score >= CAUGHT)
    if not len(rows):
        return True
    # One code beyond the candidates stands for the row's own value.
    grid = [int(size) + 1 for size in space.sizes]
    total = math.prod(grid)
    tried = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most // total)).astype(int))]
    if len(tried) < min(len(rows), PROVEN):
        return False
    combined = np.stack(np.unravel_index(np.arange(total), grid), axis=1)
    owner = np.repeat(tried, total)
    codes = np.tile(combined, (len(tried), 1))
    codes = np.where(codes == space.sizes, space.start[owner], codes)
    found = space.ask(owner, codes).reshape(len(tried), total)
    best = found.argmin(axis=1)
    free[tried] = codes.reshape(len(tried), total, space.columns)[np.arange(len(tried)), best]
    score[tried] = found.min(axis=1)
    return len(tried) == len(rows) or bool((score[tried] >= CAUGHT).all())


def noise(space: Space, budget: int, draws: int, seed: int) -> Scores:
    """Return the scores of random feasible changes of `budget` columns; shape (rows, draws)."""
    import numpy as np

    random = np.random.default_rng([seed, budget])
    owner = np.repeat(space.all, draws)
    width = min(budget, space.columns)
    columns = random.random((len(owner), space.columns)).argsort(axis=1)[:, :width]
    values = (random.random(columns.shape) * space.sizes[columns]).astype(np.int64)
    codes = space.start[owner]
    codes[np.arange(len(owner))[:, None], columns] = values
    return space.ask(owner, codes).reshape(space.rows, draws)


def _alike(pool: pl.Series) -> NDArray[np.int64]:
    """Return one integer per entry, equal exactly where the values are equal (nulls are alike)."""
    import numpy as np
    import polars as pl

    plain = pool.to_physical()
    if plain.dtype == pl.Boolean:
        plain = plain.cast(pl.UInt8)
    return plain.rank("dense").fill_null(0).to_numpy().astype(np.int64)
