"""Does the model treat the groups of people alike?

Disparities as defined by Hardt et al., "Equality of Opportunity in Supervised Learning" (NeurIPS
2016), by Feldman et al., "Certifying and Removing Disparate Impact" (KDD 2015), and by the four-fifths
rule of 29 CFR 1607.4(D): per sensitive column and per intersection of columns, over all pairs of groups.
The upper end of a gap may be trusted for a PASS and its lower end for a FAIL, however many groups there
are (see `_gaps.py`). A group that cannot be measured makes the measure unknown; it is never left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from custody.checks._entities import design_effect, entity_codes
from custody.checks._gaps import Worst, worst_difference, worst_ratio
from custody.checks._groups import Attribute, count_jointly, intersections, join_names, read_attribute
from custody.checks._intervals import proportion
from custody.checks._outcomes import THRESHOLD, ScoreColumn, sound_scores
from custody.checks.registry import Example, Scale, check
from custody.checks.target import Columns, Table, Target, Unmeasurable
from custody.core.measure import Finding, Measure, Result
from custody.core.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

NAMES = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "false_positive_rate_difference",
    "equalized_odds_difference",
)
TOLERANCES = (0.02, 0.05, 0.10)
"""For which tolerances `details` says how many rows would be expected to settle the question."""
BY_CHANCE = 0.01
"""An intersection that vanished with more than this probability was merely rare."""
SHOWN = 200
"""Groups listed in `details`, largest gaps first; measures always rest on all of them."""


def _example(gap: float) -> Target:
    """Two groups of 4,000 whose selection rates differ by `gap`, right answers otherwise alike."""
    import numpy as np
    import polars as pl

    rows = 8_000
    draw = np.random.default_rng(11)
    group = np.arange(rows) % 2
    truth = (np.arange(rows) // 2) % 2
    chance = np.where(truth == 1, 0.6, 0.2) + gap * (group - 0.5)
    score = np.where(draw.random(rows) < chance, 0.9, 0.1)
    frame = pl.DataFrame({"group": np.where(group == 1, "A", "B"), "score": score, "y": truth})
    columns = Columns(target="y", positive="1", sensitive=("group",))
    return Target(held_out=Table("held-out", frame, columns), model=ScoreColumn())


@check(
    stage=Stage.VALIDATION,
    measures={
        "demographic_parity_difference": Scale(
            0, 1, "lower", "rate", "Largest difference of the share called positive.", ("by",)
        ),
        "demographic_parity_ratio": Scale(
            0, 1, "higher", "ratio", "Smallest ratio of the shares called positive.", ("by",)
        ),
        "equal_opportunity_difference": Scale(
            0, 1, "lower", "rate", "Largest difference of the share of positives found.", ("by",)
        ),
        "false_positive_rate_difference": Scale(
            0, 1, "lower", "rate", "Largest difference of the share of negatives called positive.", ("by",)
        ),
        "equalized_odds_difference": Scale(0, 1, "lower", "rate", "The larger of the two differences above.", ("by",)),
    },
    example=Example(
        measure="demographic_parity_difference",
        at_most=0.10,
        at={"by": "group"},
        clean=lambda: _example(0.0),
        caught=lambda: _example(0.2),
    ),
)
def group_gaps(target: Target) -> Result:
    """Count once, then compare the groups of every sensitive column and intersection."""
    import numpy as np

    table = target.need_held_out()
    sensitive = sorted(set(table.columns.sensitive))
    if not sensitive:
        raise Unmeasurable("no sensitive column is named, so there are no groups to compare")
    truth = table.truth.astype(np.intp)
    called = sound_scores(target.held_out_scores(), table.rows) >= THRESHOLD
    attributes, unread = _read(table, sensitive)
    joint = count_jointly(attributes, 2 * truth + called, 4)
    entities = entity_codes(table)
    before = _TrainGroups(target.train, attributes)

    measures: list[Measure] = []
    findings: list[Finding] = before.findings()
    details: dict[str, Any] = {"threshold": THRESHOLD, "groups": {}, "settling": {}, "design_effects": {}}
    vanished: dict[str, tuple[str, ...]] = {}
    for names in intersections(sensitive):
        by = join_names(names)
        failed = [unread[name] for name in names if name in unread]
        if failed:
            measures += [Measure.unknown(name, "; ".join(failed), {"by": by}) for name in NAMES]
            continue
        groups, counts = joint.by(names)
        gone = before.vanished(names, groups, table.rows)
        vanished[by] = tuple(group.name for group in gone)
        inherited = [name for name in names if len(names) > 1 and vanished.get(name)]
        if not inherited:
            findings += [group.finding(by) for group in gone]
        effects = _effects(joint.rows_by(names), counts, truth, called, entities) if entities is not None else {}
        measured = _Measured(by, groups, counts, vanished[by], target.confidence, effects)
        measures += measured.all()
        details["groups"][by] = measured.table()
        details["settling"][by] = measured.settling()
        if effects:
            details["design_effects"][by] = effects
        if len(names) == 1:
            findings += measured.findings()
    details["bands"] = {one.name: list(one.edges) for one in attributes if one.edges}
    return Result(measures, findings, details)


def _read(table: Table, sensitive: Sequence[str]) -> tuple[list[Attribute], dict[str, str]]:
    """Return the attributes that can be read, and why the others cannot."""
    found, unread = [], {}
    for name in sensitive:
        try:
            found.append(read_attribute(table, name))
        except Unmeasurable as error:
            unread[name] = str(error)
    return found, unread


@dataclass(frozen=True)
class _Vanished:
    """A group that training saw and the held-out table lacks."""

    name: str
    rows: int
    by_chance: float

    def finding(self, by: str) -> Finding:
        rare = self.by_chance > BY_CHANCE
        return Finding(
            "warning" if rare else "critical",
            f"group {self.name!r} of {by} has {self.rows} training rows and vanished from the held-out data",
            by,
            "It is rare enough to be missed by chance, but nothing can be said of it."
            if rare
            else "A group that is left out of the evaluation cannot be shown to be treated alike.",
            "Draw a held-out set that holds this group; a relabelled group counts as gone.",
        )


class _TrainGroups:
    """The groups of the training table, counted in the bands of the held-out table."""

    def __init__(self, train: Table | None, attributes: Sequence[Attribute]) -> None:
        import numpy as np

        self.given = train is not None
        self.missing: dict[str, str] = {}
        self.rows = train.rows if train is not None else 0
        found = []
        for attribute in attributes if train is not None else ():
            assert train is not None
            try:
                found.append(read_attribute(train, attribute.name, like=attribute))
            except Unmeasurable as error:
                self.missing[attribute.name] = str(error)
        self.joint = count_jointly(found, np.zeros(self.rows, dtype=np.intp), 1) if found else None

    def findings(self) -> list[Finding]:
        why = "Groups that vanished between training and evaluation cannot be seen."
        if not self.given:
            return [Finding("info", "no training table to compare the groups with", "", why)]
        return [
            Finding("warning", "the groups of the training table cannot be read", name, f"{reason}. {why}")
            for name, reason in self.missing.items()
        ]

    def vanished(self, names: Sequence[str], present: Sequence[str], rows: int) -> list[_Vanished]:
        if self.joint is None or any(name in self.missing for name in names):
            return []
        groups, counts = self.joint.by(names)
        here = set(present)
        alone = len(names) == 1
        return [
            # A whole group of one column is never excused; of an intersection, chance may be, corrected
            # for the number of intersections that were looked at.
            _Vanished(group, int(n), 0.0 if alone else len(groups) * (1 - n / self.rows) ** rows)
            for group, n in zip(groups, counts[:, 0], strict=True)
            if group not in here
        ]


def _effects(
    groups: NDArray[np.intp],
    counts: Counts,
    truth: NDArray[np.intp],
    called: NDArray[np.bool_],
    entities: NDArray[np.intp],
) -> dict[str, float]:
    """Return for each kind of rate how many rows of an entity count as one, within groups."""
    import numpy as np

    found = {}
    for what, within, hits, tried in (
        ("rows", np.ones(truth.size, dtype=bool), counts[:, 1] + counts[:, 3], counts.sum(axis=1)),
        ("positives", truth == 1, counts[:, 3], counts[:, 2:].sum(axis=1)),
        ("negatives", truth == 0, counts[:, 1], counts[:, :2].sum(axis=1)),
    ):
        rate = hits / np.maximum(tried, 1)
        found[what] = design_effect(called - rate[groups], entities, within)
    return found


class _Measured:
    """The gaps between the groups of one attribute or intersection."""

    def __init__(
        self,
        by: str,
        groups: Sequence[str],
        counts: Counts,
        vanished: Sequence[str],
        confidence: float,
        effects: Mapping[str, float],
    ) -> None:
        self.effects = effects
        self.by, self.groups, self.vanished, self.confidence = by, groups, vanished, confidence
        negatives, positives = counts[:, :2].sum(axis=1), counts[:, 2:].sum(axis=1)
        # Each rate is (successes, trials), of shape (groups,).
        self.selected = counts[:, 1] + counts[:, 3], negatives + positives
        self.found = counts[:, 3], positives
        self.alarmed = counts[:, 1], negatives
        self.rows = int(counts.sum())
        self.worst: dict[str, Worst] = {}

    def all(self) -> list[Measure]:
        parity, ratio, opportunity, alarms, odds = NAMES
        return [
            self._difference(parity, [(self.selected, "rows")]),
            self._ratio(ratio),
            self._difference(opportunity, [(self.found, "positives")]),
            self._difference(alarms, [(self.alarmed, "negatives")]),
            self._difference(odds, [(self.found, "positives"), (self.alarmed, "negatives")]),
        ]

    def _difference(self, name: str, rates: Sequence[tuple[tuple[Counts, Counts], str]]) -> Measure:
        n = sum(int(trials.sum()) for (_, trials), _ in rates)
        for (_, trials), what in rates:
            if reason := self._refusal(trials, what):
                return Measure.unknown(name, reason, {"by": self.by}, n)
        found = [
            worst_difference(*rate, self.confidence, looks=len(rates), effect=self.effects.get(what, 1.0))
            for rate, what in rates
        ]
        largest = max(found, key=lambda one: one.value)
        worst = Worst(
            largest.value,
            max(one.low for one in found),
            max(one.high for one in found),
            largest.pair,
            max(found, key=lambda one: one.high).widest,
        )
        return self._answer(name, worst, n)

    def _ratio(self, name: str) -> Measure:
        successes, trials = self.selected
        reason = self._refusal(trials, "rows")
        if not reason and not successes.any():
            reason = "no row of any group was called positive, so the ratio has no meaning"
        if reason:
            return Measure.unknown(name, reason, {"by": self.by}, self.rows)
        worst = worst_ratio(*self.selected, self.confidence, effect=self.effects.get("rows", 1.0))
        return self._answer(name, worst, self.rows)

    def _refusal(self, trials: Counts, what: str) -> str:
        """Say why this rate cannot be compared, or nothing."""
        if self.vanished:
            return f"in the training data but not in the held-out data: {_listed(self.vanished)}"
        if len(self.groups) < 2:
            return f"{self.by} has the one group {self.groups[0]!r}, and a gap needs two"
        empty = [group for group, n in zip(self.groups, trials, strict=True) if not n]
        return f"no {what} in the held-out data for {_listed(empty)}" if empty else ""

    def _answer(self, name: str, worst: Worst, n: int) -> Measure:
        self.worst[name] = worst
        return Measure(name, worst.value, worst.low, worst.high, n, {"by": self.by})

    def table(self) -> list[dict[str, Any]]:
        """Return one row per group for tables and plots; a rate that is undefined is None."""
        import numpy as np

        effect = self.effects.get("rows", 1.0)
        low, high = proportion(self.selected[0] / effect, self.selected[1] / effect, self.confidence)
        positives, negatives = self.found[1], self.alarmed[1]
        order = range(len(self.groups))
        if len(self.groups) > SHOWN:
            rate = self.selected[0] / self.selected[1]
            order = sorted(np.argsort(-np.abs(rate - np.median(rate)))[:SHOWN].tolist())  # type: ignore[assignment]
        return [
            {
                "group": self.groups[i],
                "n": int(self.selected[1][i]),
                "positives": int(positives[i]),
                "selection_rate": round(float(self.selected[0][i] / self.selected[1][i]), 6),
                "low": round(float(low[i]), 6),
                "high": round(float(high[i]), 6),
                "tpr": round(float(self.found[0][i] / positives[i]), 6) if positives[i] else None,
                "fpr": round(float(self.alarmed[0][i] / negatives[i]), 6) if negatives[i] else None,
            }
            for i in order
        ]

    def settling(self) -> dict[str, Any]:
        """Return which groups decide each gap, and about how many held-out rows would settle it.

        The width of an interval shrinks with the root of the rows, all groups growing alike; a
        tolerance that equals the gap itself can never be settled, and is left out.
        """
        return {
            name: {
                "highest": self.groups[worst.pair[0]],
                "lowest": self.groups[worst.pair[1]],
                "widest": [self.groups[i] for i in worst.widest],
                "rows_needed": self._rows_needed(name, worst),
            }
            for name, worst in self.worst.items()
        }

    def _rows_needed(self, name: str, worst: Worst) -> dict[str, int]:
        bounds = (0.8,) if name.endswith("ratio") else TOLERANCES
        needed = {}
        for bound in bounds:
            above = worst.value > bound
            spread = worst.value - worst.low if above else worst.high - worst.value
            distance = abs(worst.value - bound)
            if distance > 1e-9:
                rows = self.rows * max(spread / distance, 0.0) ** 2
                needed[f"{bound:.2f}"] = max(1, min(round(rows), 10**12))
        return needed

    def findings(self) -> list[Finding]:
        """Name the groups that are too small for any tolerance in use."""
        found = []
        for name, (_, trials) in (
            ("demographic_parity_difference", self.selected),
            ("equal_opportunity_difference", self.found),
        ):
            worst = self.worst.get(name)
            if worst is None or worst.high - worst.value <= 0.10:
                continue
            small = min(worst.widest, key=lambda place: trials[place])
            what = "rows" if trials is self.selected[1] else "positives"
            needed = self._rows_needed(name, worst).get("0.10")
            found.append(
                Finding(
                    "info",
                    f"group {self.groups[small]!r} of {self.by} has only {int(trials[small])} {what}",
                    self.by,
                    f"The {name.replace('_', ' ')} of {worst.value:.3f} may be as large as {worst.high:.3f}.",
                    f"About {needed:,} held-out rows of the same mix would settle it at a tolerance of 0.10."
                    if needed
                    else "More held-out rows of this group are needed.",
                )
            )
        return found


def _listed(groups: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(repr(group) for group in groups[:most])
    return shown if len(groups) <= most else f"{shown} and {len(groups) - most} more"
