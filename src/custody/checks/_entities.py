"""How much do rows of the same person repeat each other?

A thousand payments of ten customers know less than a thousand payments of a thousand. The design effect
(Kish, "Survey Sampling", 1965; for ratios Rao and Scott, Biometrics 1992) says by what factor: it
compares the spread of sums per entity with the spread of single rows. Counts divided by it enter the
ordinary intervals. It is never taken below 1, so declaring an entity cannot make an interval narrower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from custody.checks.target import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def entity_codes(table: Table) -> NDArray[np.intp] | None:
    """Number the rows by their entity, shape (rows,); None where no entity is declared or none repeats.

    A row without an entity is one of its own.
    """
    import numpy as np

    name = table.columns.entity
    if not name or name not in table.frame.columns:
        return None
    column = table.frame[name]
    codes = column.rank("dense").fill_null(0).to_numpy().astype(np.intp)
    unnamed = codes == 0
    codes[unnamed] = codes.max(initial=0) + 1 + np.arange(int(unnamed.sum()))
    kept, codes = np.unique(codes, return_inverse=True)
    return codes if kept.size < codes.size else None


def design_effect(
    residuals: NDArray[np.float64], entities: NDArray[np.intp] | None, within: NDArray[np.bool_] | None = None
) -> float:
    """Return how many rows count as one; 1.0 where entities do not repeat.

    `residuals` are the distances of the rows from their group's rate, shape (rows,); `within` marks the
    rows the rate is a share of. Where no row differs from its group's rate there is nothing to estimate
    from, and rows of one entity count as copies of each other.
    """
    import numpy as np

    if entities is None:
        return 1.0
    if within is not None:
        residuals, entities = residuals[within], entities[within]
    sizes = np.bincount(entities)
    copies = float(np.square(sizes, dtype=np.float64).sum() / max(sizes.sum(), 1))
    alone = float(np.square(residuals).sum())
    if copies <= 1.0:
        return 1.0
    if alone <= 1e-12 * residuals.size:
        return copies
    many = int((sizes > 0).sum())
    together = float(np.square(np.bincount(entities, weights=residuals)).sum())
    found = together / alone * many / max(many - 1, 1) if many > 1 else copies
    return min(max(found, 1.0), copies)
