"""Sourcing: build, buy or adopt? Compared on four drivers, with the change that would flip the answer.

The four drivers are risk appetite, criticality of the use case, available expertise and cost over
several years. Each option has a profile (control, speed, transparency, support ...), and each way has
its own risks, which are opened on the record the moment it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.subject import use_case_subject
from custody.desk import Desk
from custody.errors import InvalidInput, NotFound

OPTIONS = ("build", "buy", "open")
DRIVERS = ("risk", "criticality", "expertise", "cost")

PROFILES: Mapping[str, Mapping[str, float]] = {
    "build": {"control": 1.0, "transparency": 1.0, "speed": 0.2, "support": 0.4, "assurance": 0.8, "skill_needed": 0.9},
    "buy": {"control": 0.3, "transparency": 0.2, "speed": 0.9, "support": 0.9, "assurance": 0.5, "skill_needed": 0.2},
    "open": {"control": 0.7, "transparency": 0.8, "speed": 0.7, "support": 0.1, "assurance": 0.3, "skill_needed": 0.6},
}
"""How each way stands on each factor, 0 (worst) to 1 (best); `skill_needed` is a demand, not a merit."""

RISKS: Mapping[str, Sequence[tuple[str, str]]] = {
    "build": (
        ("expertise", "the team may lack the expertise to build and secure the model"),
        ("training-environment", "the training environment is ours to isolate and protect"),
    ),
    "buy": (
        ("lock-in", "leaving the vendor may be slow or costly"),
        ("transparency", "the vendor's model, data and changes cannot be inspected"),
        ("vendor-security", "our security depends on the vendor's"),
    ),
    "open": (
        ("supply-chain", "the artifact may have been altered on its way to us"),
        ("data-provenance", "what the model was trained on is unknown"),
        ("maintenance", "nobody but us maintains and patches the model"),
    ),
}
"""The characteristic risks of each way."""


@dataclass(frozen=True)
class Costs:
    """Money over the years, in one currency: `once` at the start, then `yearly`, then `leave` at the end.

    `incident` is the yearly allowance for incidents (probability times damage).
    """

    once: float
    yearly: float
    leave: float = 0.0
    incident: float = 0.0

    def total(self, years: int) -> float:
        """Return the cost of owning for `years`."""
        return self.once + years * (self.yearly + self.incident) + self.leave


@dataclass(frozen=True)
class Comparison:
    """The three ways side by side; `scores` are in [0, 1], higher is better."""

    scores: Mapping[str, float]
    parts: Mapping[str, Mapping[str, float]]
    totals: Mapping[str, float]
    weights: Mapping[str, float]
    best: str
    flips: Sequence[str]
    stable: bool

    def to_json(self) -> dict[str, object]:
        """Return the form that is signed."""
        return {
            name: {"score": self.scores[name], "drivers": dict(self.parts[name]), "total_cost": self.totals[name]}
            for name in OPTIONS
        }


def compare(
    *,
    appetite: float,
    criticality: float,
    expertise: float,
    costs: Mapping[str, Costs],
    years: int = 3,
    weights: Mapping[str, float] | None = None,
) -> Comparison:
    """Score the three ways.

    `appetite` (0 averse to 1 seeking), `criticality` and `expertise` are in [0, 1]. `costs` must name
    all three ways: a blank driver is refused, because a missing figure would decide silently.
    """
    for name, value in (("appetite", appetite), ("criticality", criticality), ("expertise", expertise)):
        if not 0 <= value <= 1:
            raise InvalidInput(f"{name} is {value}; it must lie between 0 and 1")
    if missing := [name for name in OPTIONS if name not in costs]:
        raise InvalidInput(f"the cost of {' and '.join(missing)} is missing; all ways must be priced to be compared")
    for name, cost in costs.items():
        if not all(0 <= part < 1e15 for part in (cost.once, cost.yearly, cost.leave, cost.incident)):
            raise InvalidInput(f"the cost of {name} must be made of non-negative amounts")
    if not 1 <= years <= 20:
        raise InvalidInput(f"{years} years is not a period between 1 and 20")
    shares = _normalised(weights or dict.fromkeys(DRIVERS, 1.0))
    totals = {name: costs[name].total(years) for name in OPTIONS}
    dearest = max(totals.values()) or 1.0
    parts = {
        name: _drivers(PROFILES[name], appetite, criticality, expertise, totals[name] / dearest) for name in OPTIONS
    }
    scores = _scores(parts, shares)
    best = max(OPTIONS, key=lambda name: scores[name])
    flips = _flips(parts, shares, best)
    margin = scores[best] - max(scores[name] for name in OPTIONS if name != best)
    return Comparison(scores, parts, totals, shares, best, flips, stable=margin >= 0.02)


def _drivers(
    profile: Mapping[str, float], appetite: float, criticality: float, expertise: float, cost_share: float
) -> dict[str, float]:
    assured = (profile["assurance"] + profile["transparency"]) / 2
    controlled = (profile["control"] + profile["transparency"] + profile["assurance"]) / 3
    return {
        "risk": appetite + (1 - appetite) * assured,
        "criticality": criticality * controlled + (1 - criticality) * profile["speed"],
        "expertise": max(
            0.0, min(1.0, 1 - max(0.0, profile["skill_needed"] - expertise) + 0.2 * profile["support"] - 0.2)
        ),
        "cost": 1 - cost_share,
    }


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    if set(weights) != set(DRIVERS):
        raise InvalidInput(f"weights are needed for {', '.join(DRIVERS)}")
    total = sum(weights.values())
    if not 0 < total < 1e15 or min(weights.values()) < 0:
        raise InvalidInput("weights must be non-negative and not all zero")
    return {name: weights[name] / total for name in DRIVERS}


def _scores(parts: Mapping[str, Mapping[str, float]], weights: Mapping[str, float]) -> dict[str, float]:
    return {name: sum(weights[driver] * parts[name][driver] for driver in DRIVERS) for name in OPTIONS}


def _flips(parts: Mapping[str, Mapping[str, float]], weights: Mapping[str, float], best: str) -> list[str]:
    """Solve, for each driver and rival, the weight (others keeping their proportions) at which they tie."""
    found: list[str] = []
    for driver in DRIVERS:
        others = 1 - weights[driver]
        if others <= 0:
            continue
        nearest: tuple[float, str, str] | None = None
        for rival in OPTIONS:
            if rival == best:
                continue
            own = parts[best][driver] - parts[rival][driver]
            rest = sum(weights[d] / others * (parts[best][d] - parts[rival][d]) for d in DRIVERS if d != driver)
            if own == rest:
                continue
            tie = rest / (rest - own)
            if 0 < tie < 1 and (nearest is None or abs(tie - weights[driver]) < abs(nearest[0] - weights[driver])):
                nearest = (tie, rival, "below" if own > rest else "above")
        if nearest:
            tie, rival, way = nearest
            found.append(f"{driver} weighted {way} {tie:.2f} (now {weights[driver]:.2f}) makes {rival} the choice")
    return found


def decide(
    desk: Desk, actor: str, use_case: str, chosen: str, comparison: Comparison, reason: str, review_days: int = 365
) -> list[Evidence]:
    """Record the choice and open the risks of the chosen way."""
    if chosen not in OPTIONS:
        raise InvalidInput(f"{chosen!r} is none of {', '.join(OPTIONS)}")
    if chosen != comparison.best and len(reason.strip()) < 10:
        raise InvalidInput(
            f"the comparison favours {comparison.best}; choosing {chosen} needs a reason of at least 10 characters",
            hint='add --reason "..."',
        )
    pen = desk.permit(actor, Action.DECIDE_SOURCE)
    subject = use_case_subject(use_case)
    today = desk.time()
    said = pen.write(
        subject,
        kinds.SOURCING,
        {
            "use_case": use_case,
            "chosen": chosen,
            "options": comparison.to_json(),
            "weights": dict(comparison.weights),
            "flips": list(comparison.flips),
            "reason": reason,
            "review_days": review_days,
            "at": today,
        },
    )
    opened = [
        pen.write(
            subject,
            kinds.RISK,
            {"use_case": use_case, "risk": risk, "title": title, "status": "open", "reason": "", "expires": None},
        )
        for risk, title in RISKS[chosen]
    ]
    return [said, *opened]


def answer_risk(
    desk: Desk, actor: str, use_case: str, risk: str, *, accept_days: int | None, reason: str, clock: str = ""
) -> Evidence:
    """Treat a risk (say how) or accept it for some days (say why)."""
    from datetime import datetime

    if len(reason.strip()) < 10:
        raise InvalidInput(
            "say in at least 10 characters how the risk is treated, or why it is accepted", hint='add --reason "..."'
        )
    known = [e for e in desk.read().about(use_case_subject(use_case).sha256, kinds.RISK) if e.predicate["risk"] == risk]
    if not known:
        raise NotFound(f"no risk {risk!r} is on record for {use_case}", hint="see: custody source risks")
    if accept_days is not None and not 1 <= accept_days <= 365:
        raise InvalidInput("a risk is accepted for 1 to 365 days")
    pen = desk.permit(actor, Action.TREAT_RISK)
    at = clock or desk.time()
    expires = None if accept_days is None else (datetime.fromisoformat(at) + timedelta(days=accept_days)).isoformat()
    return pen.write(
        use_case_subject(use_case),
        kinds.RISK,
        {
            "use_case": use_case,
            "risk": risk,
            "title": known[-1].predicate["title"],
            "status": "treated" if accept_days is None else "accepted",
            "reason": reason,
            "expires": expires,
            "at": at,
        },
    )
