"""Which charts a recorded check result deserves.

A result carries series for plots in its `details`. Series that are missing or not of the expected form
give no figure: a chart is an illustration, and the criteria table says what is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from custody.errors import InvalidInput
from custody.report.charts import Bar, drift_pairs, group_bars, roc_curve
from custody.report.rows import Figure

Details = Mapping[str, Any]
Draw = Callable[[Details, Sequence[Mapping[str, Any]]], list[Figure]]

_GROUPS_SHOWN = 12
_FEATURES_SHOWN = 4


def figures_of(results: Iterable[Mapping[str, Any]]) -> list[Figure]:
    """Return the figures for check results (`check`, `measures`, `details`), in reading order."""
    order = list(_DRAWN)
    known = [result for result in results if result.get("check") in order]
    found: list[Figure] = []
    for result in sorted(known, key=lambda result: order.index(str(result["check"]))):
        draw = _DRAWN.get(str(result.get("check")))
        details, measures = result.get("details"), result.get("measures")
        if draw is None or not isinstance(details, Mapping) or not isinstance(measures, Sequence):
            continue
        try:
            found += draw(details, [measure for measure in measures if isinstance(measure, Mapping)])
        except (InvalidInput, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
            continue
    return found


def _classification(details: Details, measures: Sequence[Mapping[str, Any]]) -> list[Figure]:
    roc, confusion = details["roc"], details["confusion"]
    points = list(zip(roc["false_positive_rate"], roc["recall"], strict=True))
    title = "Found against falsely called"
    caption = (
        f"At the threshold, {confusion['true_positives']:,} positives are found and "
        f"{confusion['false_negatives']:,} missed; {confusion['false_positives']:,} of "
        f"{confusion['false_positives'] + confusion['true_negatives']:,} negatives are called positive."
    )
    return [Figure(title, roc_curve(points, title, note=_note("AUC", measures, "auc")), caption)]


def _group_gaps(details: Details, measures: Sequence[Mapping[str, Any]]) -> list[Figure]:
    found = []
    for by, groups in details["groups"].items():
        if "*" in by or not 2 <= len(groups) <= _GROUPS_SHOWN:
            continue
        for name, measure, what in (
            ("found", "equal_opportunity_difference", "share of positives found"),
            ("selected", "demographic_parity_difference", "share called positive"),
        ):
            bars = [_bar(row, name) for row in groups]
            kept = [bar for bar in bars if bar is not None]
            if len(kept) < 2:
                continue
            title = f"{what.capitalize()}, by {by}"
            gap = next((m for m in measures if m.get("name") == measure and m.get("at") == {"by": by}), {})
            caption = f"Widest gap {_told(gap)}." if gap.get("value") is not None else ""
            found.append(Figure(title, group_bars(kept, title, unit=what + ", intervals at 95 %", span=0.2), caption))
    return found


def _bar(row: Mapping[str, Any], name: str) -> Bar | None:
    """Make the bar of one group; a group without positives has no share of positives found."""
    if name == "selected":
        return Bar(str(row["group"]), row["selection_rate"], row["low"], row["high"], row["n"])
    if row.get("tpr") is None or not row["positives"]:
        return None
    low, high = _wilson(row["tpr"], row["positives"])
    return Bar(str(row["group"]), row["tpr"], low, high, row["positives"])


def _membership(details: Details, measures: Sequence[Mapping[str, Any]]) -> list[Figure]:
    curves, attacks = details["roc"], details["attacks"]
    best = max(curves, key=lambda name: attacks[name]["value"])
    points = [(0.0, 0.0), *((x, y) for x, y in curves[best]), (1.0, 1.0)]
    title = "Members of the training set, recognised"
    caption = (
        f"The strongest attack ({best}) on {details['members']:,} members and {details['strangers']:,} strangers. "
        "What counts is the left edge: members named while almost nobody is wrongly named."
    )
    drawing = roc_curve(
        points,
        title,
        note=_note("AUC", measures, "auc"),
        log=True,
        across="strangers wrongly named",
        up="members named",
    )
    return [Figure(title, drawing, caption)]


def _evasion(details: Details, _: Sequence[Mapping[str, Any]]) -> list[Figure]:
    curve = details["curve"]
    labels = [str(step["features"]) for step in curve]
    title = "Caught records that slip past"
    drawing = drift_pairs(
        labels,
        [step["random"] for step in curve],
        [step["success"] for step in curve],
        title,
        names=("random changes", "attack"),
        across="columns that were changed",
        up="share that slips past",
    )
    caption = (
        f"{details['attacked']:,} of {details['caught']:,} caught records attacked with {details['queries']:,} "
        f"queries; {details['mutable']} columns are the attacker's to change."
    )
    return [Figure(title, drawing, caption)]


def _drift(details: Details, _: Sequence[Mapping[str, Any]]) -> list[Figure]:
    told = {row["feature"]: row for row in details["features"]}
    found = []
    for histogram in details["histograms"][:_FEATURES_SHOWN]:
        row = told[histogram["feature"]]
        title = f"{row['feature']}: training and live"
        moved = "It moved" if row["drifted"] else "It did not move"
        caption = f"{moved}: population stability index {row['psi']:.3f} ({row['low']:.3f} to {row['high']:.3f})."
        drawing = drift_pairs(
            histogram["bins"], histogram["training"], histogram["live"], title, across=str(row["feature"])
        )
        found.append(Figure(title, drawing, caption))
    return found


def _label_flips(details: Details, _: Sequence[Mapping[str, Any]]) -> list[Figure]:
    rows = details["sources"][:_GROUPS_SHOWN]
    title = "Labels that the other sources contradict"
    bars = [
        Bar(
            f"{row['source']}, should be {row['label_should_be']}",
            row["excess"],
            row["low"],
            row["high"],
            row["sure_rows"],
        )
        for row in rows
    ]
    caption = f"Excess over the other sources, among rows of which a model is sure (from {details['sure_from']:g})."
    return [Figure(title, group_bars(bars, title, unit="excess share of contradicted labels", span=0.2), caption)]


def _note(word: str, measures: Sequence[Mapping[str, Any]], name: str) -> str:
    measure = next((m for m in measures if m.get("name") == name and not m.get("at")), {})
    return f"{word} {_told(measure)}" if measure.get("value") is not None else ""


def _told(measure: Mapping[str, Any]) -> str:
    return f"{measure['value']:.3f} ({measure['low']:.3f} to {measure['high']:.3f})"


def _wilson(rate: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval (JASA 1927) of a share `rate` among `n` rows."""
    z = NormalDist().inv_cdf(0.975)
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, min(middle - reach, rate)), min(1.0, max(middle + reach, rate))


_DRAWN: Mapping[str, Draw] = {
    "performance.classification": _classification,
    "privacy.membership_inference": _membership,
    "fairness.group_gaps": _group_gaps,
    "robustness.evasion": _evasion,
    "poisoning.label_flips": _label_flips,
    "live.drift": _drift,
}
"""The drawing for each check; figures that belong side by side follow each other."""
