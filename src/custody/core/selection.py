"""Choosing the best of many: how many models saw the exam, and what their number takes from each interval.

With k models measured on one held-out set, the best of them looks better than it is. Each interval is
widened as if k had been asked at once (Bonferroni): its half-widths, made for the sealed confidence c,
are multiplied by z(1 - (1-c)/2k) / z(1 - (1-c)/2), where z is the quantile of the normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def factor(models: int, confidence: object) -> float | None:
    """Return what to multiply half-widths by, 1 for one model; None when the confidence cannot be read."""
    if models <= 1:
        return 1.0
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not math.isfinite(confidence):
        return None
    from statistics import NormalDist  # 10 ms that few commands need

    one, many = 1 - (1 - confidence) / 2, 1 - (1 - confidence) / (2 * models)
    if not 0.5 < one < 1 or not 0.5 < many < 1:
        return None
    normal = NormalDist()
    return normal.inv_cdf(many) / normal.inv_cdf(one)


def widened(answer: Mapping[str, Any], times: float) -> dict[str, Any]:
    """Return a measure with its interval's half-widths multiplied; numbers must have been checked."""
    value, low, high = float(answer["value"]), float(answer["low"]), float(answer["high"])
    return {**answer, "low": value - (value - low) * times, "high": value + (high - value) * times}
