"""What a check may look at: tables, a predictor and files. No ledger, no key, no configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


class Unmeasurable(Exception):
    """The check cannot answer for this target; the message says why. Recorded as unknown."""


class Predictor(Protocol):
    """A model behind a wall: rows in, scores out. Its code never runs in the check's process."""

    def scores(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Return the score of the positive class for each row.

        `rows` holds feature columns (columns the model does not use are ignored). The answer has
        shape (rows,), values in [0, 1], all finite; anything else raises `Unmeasurable`.
        """

    @property
    def queries(self) -> int:
        """Return how many rows have been scored so far."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean. Only `target` is needed by most checks."""

    target: str = ""
    positive: str = ""
    sensitive: tuple[str, ...] = ()
    entity: str = ""
    time: str = ""
    source: str = ""
    ignore: tuple[str, ...] = ()
    mutable: tuple[str, ...] = ()
    """Columns an attacker can change; empty means every feature that is not sensitive."""


@dataclass(frozen=True)
class Table:
    """A data frame with the meaning of its columns."""

    name: str
    frame: pl.DataFrame
    columns: Columns = field(default_factory=Columns)

    @cached_property
    def truth(self) -> NDArray[np.int8]:
        """Return 1 where the target equals the positive label, else 0; shape (rows,).

        Raises `Unmeasurable` when the target is missing, holds nulls or has one class only.
        """
        import numpy as np
        import polars as pl

        name = self.columns.target
        if not name or name not in self.frame.columns:
            raise Unmeasurable(f"{self.name} has no target column {name!r}")
        column = self.frame[name]
        if column.null_count():
            raise Unmeasurable(f"{self.name}: {column.null_count()} labels are missing in {name!r}")
        text = column.cast(pl.String, strict=False).str.strip_chars()
        wanted = self.columns.positive
        found = (text == wanted).to_numpy().astype(np.int8)
        if not found.any() and _is_number(wanted):
            found = (column.cast(pl.Float64, strict=False) == float(wanted)).fill_null(value=False).to_numpy()
            found = found.astype(np.int8)
        if found.min(initial=1) == found.max(initial=0):
            raise Unmeasurable(f"{self.name}: {name!r} holds one class only; positive label is {wanted!r}")
        return found

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Return the columns that may be features: neither target nor ignored."""
        banned = {self.columns.target, *self.columns.ignore}
        return tuple(name for name in self.frame.columns if name not in banned)

    @cached_property
    def mutable(self) -> tuple[str, ...]:
        """Return the features an attacker can change."""
        if self.columns.mutable:
            return tuple(name for name in self.features if name in self.columns.mutable)
        fixed = {*self.columns.sensitive, self.columns.entity, self.columns.time, self.columns.source}
        return tuple(name for name in self.features if name not in fixed)

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self.frame.height


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Progress = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """One thing to measure. What a check does not need stays None."""

    train: Table | None = None
    held_out: Table | None = None
    live: Table | None = None
    model: Predictor | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    """Artifact files by their name in the manifest; opened for reading bytes only, never loaded."""
    packages: Sequence[tuple[str, str]] = ()
    """Installed distributions of the training environment: (name, version)."""
    confidence: float = 0.95
    seed: int = 0

    def need_train(self) -> Table:
        """Return the training table or raise `Unmeasurable`."""
        if self.train is None:
            raise Unmeasurable("no training table was given")
        return self.train

    def need_held_out(self) -> Table:
        """Return the held-out table or raise `Unmeasurable`."""
        if self.held_out is None:
            raise Unmeasurable("no held-out table was given")
        return self.held_out

    def need_live(self) -> Table:
        """Return the live table or raise `Unmeasurable`."""
        if self.live is None:
            raise Unmeasurable("no live table was given")
        return self.live

    def need_model(self) -> Predictor:
        """Return the predictor or raise `Unmeasurable`."""
        if self.model is None:
            raise Unmeasurable("no model was given")
        return self.model

    def need_files(self) -> Mapping[str, Path]:
        """Return the artifact's files or raise `Unmeasurable`."""
        if not self.files:
            raise Unmeasurable("the artifact has no files")
        return self.files

    def held_out_scores(self) -> NDArray[np.float64]:
        """Return the model's scores on the whole held-out table, asked for once and kept."""
        return self._cached("held-out", self.need_held_out())

    def _cached(self, name: str, table: Table) -> NDArray[np.float64]:
        kept: dict[str, NDArray[np.float64]] = self.__dict__.setdefault("_kept_scores", {})
        if name not in kept:
            kept[name] = self.need_model().scores(table.frame.select(table.features))
        return kept[name]

    def having(self, **changes: object) -> Target:
        """Return a copy with some parts exchanged."""
        return replace(self, **changes)  # type: ignore[arg-type]
