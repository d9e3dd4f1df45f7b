"""Who is in which group, and how many of them had which outcome?

All rows are counted once, into one joint table of groups and outcomes; every attribute and every
intersection is a sum over that table. The criteria's power check counts groups with this same code,
so what is promised before training and what is measured after it speak of the same groups.

- A missing value is a group of its own, `(missing)`: leaving people out is not neutral.
- A numeric attribute with more than 20 distinct values is cut into quartile bands named by their edges.
- An intersection is named by its columns in sorted order, `race*sex`, and its groups likewise,
  `Black*Female`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from custody.checks.target import Table, Unmeasurable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

MISSING = "(missing)"
DISTINCT = 20
"""More distinct numbers than this make an attribute continuous."""
MOST_GROUPS = 2_000
"""An attribute with more groups is an identifier, and every gap would rest on single rows."""
DENSE = 1 << 22
"""Joint codes below this are counted directly; above it they are first renumbered."""


@dataclass(frozen=True)
class Attribute:
    """One sensitive column as small integers: `codes` of shape (rows,) point into `groups`."""

    name: str
    groups: tuple[str, ...]
    codes: NDArray[np.intp]
    edges: tuple[float, ...] = ()
    """Inner edges of the bands of a continuous attribute."""


@dataclass(frozen=True)
class JointCounts:
    """How many rows fell into each occupied combination of all attributes and each outcome."""

    attributes: tuple[Attribute, ...]
    cells: NDArray[np.intp]
    """Group codes of the occupied combinations, shape (combinations, attributes)."""
    counts: NDArray[np.int64]
    """Rows in each, shape (combinations, outcomes)."""

    def by(self, names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the occupied groups of one attribute or intersection, with counts (groups, outcomes)."""
        import numpy as np

        places = [[one.name for one in self.attributes].index(name) for name in sorted(names)]
        code = np.zeros(len(self.cells), dtype=np.intp)
        for place in places:
            code = code * len(self.attributes[place].groups) + self.cells[:, place]
            # Renumbering after every factor keeps any number of attributes far from overflow.
            kept, first, code = np.unique(code, return_index=True, return_inverse=True)
        outcomes = self.counts.shape[1]
        summed = np.zeros((kept.size, outcomes), dtype=np.int64)
        np.add.at(summed, code, self.counts)
        labels = tuple(
            join_groups([self.attributes[place].groups[self.cells[row, place]] for place in places]) for row in first
        )
        return labels, summed

    def rows_by(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Return for every row the position of its group in the answer of `by`, shape (rows,)."""
        import numpy as np

        chosen = sorted((one for one in self.attributes if one.name in names), key=lambda one: one.name)
        code = np.zeros(chosen[0].codes.size, dtype=np.intp)
        span = 1
        for one in chosen:
            code = code * len(one.groups) + one.codes
            span *= len(one.groups)
            if span > DENSE:
                code = np.unique(code, return_inverse=True)[1]
                span = int(code.max()) + 1
        present = np.bincount(code, minlength=span) > 0
        renumbered: NDArray[np.intp] = (np.cumsum(present) - 1)[code]
        return renumbered


def join_names(names: Sequence[str]) -> str:
    """Return how a criterion names an attribute or an intersection: `race*sex`."""
    return "*".join(sorted(names))


def join_groups(groups: Sequence[str]) -> str:
    """Return the name of one group of an intersection; a star inside a value is escaped."""
    if len(groups) == 1:
        return groups[0]
    return "*".join(group.replace("\\", "\\\\").replace("*", "\\*") for group in groups)


def intersections(names: Sequence[str], depth: int | None = None) -> list[tuple[str, ...]]:
    """Return every attribute alone and every intersection up to `depth` of them.

    Up to four attributes are crossed in every way, more than four in pairs, unless `depth` is given.
    """
    ordered = sorted(set(names))
    deepest = depth if depth is not None else (len(ordered) if len(ordered) <= 4 else 2)
    return [found for size in range(1, deepest + 1) for found in combinations(ordered, size)]


def read_attribute(table: Table, name: str, like: Attribute | None = None) -> Attribute:
    """Sort the rows of a table into the groups of one column.

    `like` is the same column of another table, whose bands are taken over. Raises `Unmeasurable`
    when the column is missing, empty, or has more than `MOST_GROUPS` groups.
    """
    if name not in table.frame.columns:
        raise Unmeasurable(f"{table.name} has no column {name!r}")
    column = table.frame[name]
    if not column.len():
        raise Unmeasurable(f"{table.name} has no rows")
    numbers = _numbers(column)
    if like is not None:
        return _banded(name, _as_numbers(column), like.edges) if like.edges else _named(table, column, numbers)
    if numbers is not None and numbers.drop_nulls().n_unique() > DISTINCT:
        edges = _quartiles(numbers)
        if edges:
            return _banded(name, numbers, edges)
    return _named(table, column, numbers)


def count_jointly(attributes: Sequence[Attribute], outcome: NDArray[np.intp], outcomes: int) -> JointCounts:
    """Count rows by all attributes and by `outcome`, whose values are 0 to `outcomes - 1`; one pass."""
    import numpy as np

    code = np.zeros(outcome.size, dtype=np.intp)
    span = 1
    for attribute in attributes:
        span *= len(attribute.groups)
        code = code * len(attribute.groups) + attribute.codes
        if span * outcomes > DENSE:
            return _count_sparsely(attributes, outcome, outcomes)
    table = np.bincount(code * outcomes + outcome, minlength=span * outcomes).reshape(span, outcomes)
    occupied = np.flatnonzero(table.any(axis=1))
    sizes = [len(attribute.groups) for attribute in attributes]
    cells = np.stack(np.unravel_index(occupied, sizes), axis=1) if sizes else occupied[:, None]
    return JointCounts(tuple(attributes), cells, table[occupied])


def _count_sparsely(attributes: Sequence[Attribute], outcome: NDArray[np.intp], outcomes: int) -> JointCounts:
    import numpy as np

    code = np.zeros(outcome.size, dtype=np.intp)
    for attribute in attributes:
        _, first, code = np.unique(
            code * len(attribute.groups) + attribute.codes, return_index=True, return_inverse=True
        )
    table = np.bincount(code * outcomes + outcome, minlength=first.size * outcomes)
    cells = np.stack([attribute.codes[first] for attribute in attributes], axis=1)
    return JointCounts(tuple(attributes), cells, table.reshape(first.size, outcomes))


def _numbers(column: pl.Series) -> pl.Series | None:
    """Return the column as Float64 when every given value is a number (written as text or not)."""
    import polars as pl

    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype != pl.String:
        return None
    # A look at the first rows spares large text columns a cast that is bound to fail.
    head = column.head(100).str.strip_chars().replace("", None)
    if head.cast(pl.Float64, strict=False).null_count() > head.null_count():
        return None
    text = column.str.strip_chars().replace("", None)
    numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
    return numbers if numbers.null_count() == text.null_count() else None


def _as_numbers(column: pl.Series) -> pl.Series:
    """Return the column as Float64, with null for whatever is no number."""
    import polars as pl

    text = column.str.strip_chars() if column.dtype == pl.String else column
    return text.cast(pl.Float64, strict=False).fill_nan(None)


def _quartiles(numbers: pl.Series) -> tuple[float, ...]:
    import numpy as np

    values = numbers.drop_nulls().to_numpy()
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ()
    found = np.unique(np.quantile(finite, [0.25, 0.5, 0.75], method="higher"))
    return tuple(float(edge) for edge in found if edge > finite.min())


def _banded(name: str, numbers: pl.Series, edges: tuple[float, ...]) -> Attribute:
    import numpy as np

    values = numbers.fill_null(0.0).to_numpy()
    codes = np.searchsorted(np.asarray(edges), values, side="right").astype(np.intp)
    codes[numbers.is_null().to_numpy()] = len(edges) + 1
    written = [_written(edge) for edge in edges]
    between = [f"{low} to <{high}" for low, high in pairwise(written)]
    groups = (f"<{written[0]}", *between, f">={written[-1]}", MISSING)
    return Attribute(name, groups, codes, edges)


def _named(table: Table, column: pl.Series, numbers: pl.Series | None) -> Attribute:
    import numpy as np
    import polars as pl

    # Numbers are named by their value, so that 1, 1.0 and "1" of three files are one group.
    source = numbers if numbers is not None else column
    if source.dtype.is_nested():
        raise Unmeasurable(f"{table.name}: column {column.name!r} holds {source.dtype}, which names no group")
    values = source.unique()
    if values.len() > MOST_GROUPS:
        raise Unmeasurable(f"{table.name}: column {column.name!r} has {values.len()} groups, more than {MOST_GROUPS}")
    if numbers is not None:
        names = [MISSING if value is None else _written(value) for value in values.to_list()]
        source, texts = numbers.cast(pl.String), values.cast(pl.String)
    else:
        texts = values.cast(pl.String, strict=False)
        source = column.cast(pl.String, strict=False)
        names = [(value or "").strip() or MISSING for value in texts.to_list()]
    groups = tuple(sorted(set(names)))
    place = {group: code for code, group in enumerate(groups)}
    known = [(text, place[label]) for text, label in zip(texts.to_list(), names, strict=True) if text is not None]
    spelled = pl.Enum([text for text, _ in known])
    code_of = np.asarray([code for _, code in known] or [0], dtype=np.intp)
    physical = source.cast(spelled).to_physical()
    codes = code_of[physical.fill_null(0).to_numpy()]
    if physical.null_count():
        codes[physical.is_null().to_numpy()] = place[MISSING]
    return Attribute(column.name, groups, codes)


def _written(value: float) -> str:
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else f"{value:.6g}"
