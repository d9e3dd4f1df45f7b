"""Audit: the passport of a model, drawn from verified evidence alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from custody.core import predicates as kinds
from custody.core.decision import Decision, Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.gate import Criterion, criteria_of, whole
from custody.core.release import decide as judge
from custody.core.stage import Stage
from custody.desk import Desk
from custody.errors import NotFound
from custody.records.freshness import Freshness, freshness
from custody.records.lineage import Chain, chain_of, descendants, find_model, models
from custody.records.status import StageState, Standing, standing
from custody.report import charts
from custody.report.figures import figures_of
from custody.report.rows import CriterionRow, Fact, Figure, Notice, Report, RuleRow, StageRow


@dataclass(frozen=True)
class _Case:
    """One model before the auditor: its evidence, the newest decision on record, and today's judgement."""

    record: Record
    use_case: str
    chain: Chain
    found: Standing
    now: Decision
    fresh: Freshness

    @property
    def model(self) -> str:
        return self.chain.finish.subject.sha256

    @property
    def decided(self) -> Evidence | None:
        """Return the newest decision about this model for this use case."""
        said = [entry for entry in self.about(kinds.DECISION) if entry.predicate["use_case"] == self.use_case]
        return said[-1] if said else None

    @property
    def retired(self) -> Evidence | None:
        return next(iter(self.about(kinds.RETIREMENT)), None)

    @property
    def expired(self) -> str:
        """Return when the newest decision ended, if it has; an end that cannot be read has come."""
        ends = str(self.decided.predicate["expires"]) if self.decided else ""
        if not ends:
            return ""
        try:
            return ends if datetime.fromisoformat(ends) <= datetime.fromisoformat(self.now.at) else ""
        except (TypeError, ValueError):
            return ends

    def about(self, kind: str) -> list[Evidence]:
        return self.record.about(self.model, kind)


def passport(desk: Desk, use_case: str, name: str = "") -> Report:
    """Gather everything a reader should see of one model; every number is one of the ledger's."""
    record = desk.read()
    finish = find_model(record, use_case, name)
    chain = chain_of(record, finish)
    now = judge(record, finish.subject.sha256, use_case, desk.time())
    found = standing(record, use_case, list(desk.roster().actors.values()), now.at, finish)
    case = _Case(record, use_case, chain, found, now, freshness(record, desk.reading, now.at))
    stages = [
        StageRow(state.stage.capitalize(), state.sentence, list(state.entries), state.state.replace("_", " "))
        for state in (_sealed(chain) if state.stage is Stage.CRITERIA else state for state in case.found.stages)
        if state.state != "not_applicable"
    ]
    stops = [charts.Stop(row.name, row.status, f"entry {row.entries[-1]}" if row.entries else "") for row in stages]
    criteria, rules = _answers(chain.seal, now)
    return Report(
        title=f"Passport of {use_case} {finish.subject.short}",
        headline=_headline(case),
        generated=now.at,
        verdict=str(case.decided.predicate["verdict"]) if case.decided else "",
        stages=stages,
        criteria=criteria,
        rules=rules,
        notices=_notices(case),
        marks=_marks(case),
        charts=[*_figures(record, finish, chain), _lineage(record, chain)],
        facts=_facts(case),
        timeline=charts.timeline(stops, "The stages of the model's life"),
    )


def _sealed(chain: Chain) -> StageState:
    """Tell of the criteria this model was trained under, which newer ones do not replace."""
    if chain.seal is None:
        return StageState(Stage.CRITERIA, "not_met", "the model was trained without sealed criteria")
    count = len(chain.seal.predicate["criteria"]["criterion"])
    return StageState(Stage.CRITERIA, "met", f"{count} criteria sealed by {chain.seal.person}", (chain.seal.index,))


def _headline(case: _Case) -> str:
    """Name the verdict, the entry it stands in, and what stands against it now."""
    against = case.now.failing()
    first = f", first {against[0].id}: {against[0].reason}" if against else ""
    decided = case.decided
    if decided is None:
        if not against:
            return "Not decided yet. Nothing stands against it, but nobody has asked for the decision."
        return f"Not decided yet. {_stand(len(against))} against it so far{first}."
    verdict = str(decided.predicate["verdict"])
    rulings: list[Mapping[str, Any]] = list(decided.predicate["rulings"])
    then = [ruling for ruling in rulings if ruling["status"] not in (Status.MET, Status.WAIVED)]
    told = f"{verdict}, decided in entry {decided.index}"
    if then:
        told += f": {_stood(len(then))} against it, first {then[0]['id']}: {then[0]['reason']}."
    else:
        waived = sum(ruling["status"] == Status.WAIVED for ruling in rulings)
        but = f", {waived} of them by waiver" if waived else ""
        told += f": all {len(rulings)} answers allowed it{but}."
    if case.retired:
        return f"{told} Retired in entry {case.retired.index}: it serves nowhere any more."
    if case.expired:
        return f"{told} The decision expired on {case.expired[:10]}."
    if str(case.now.verdict) != verdict:
        return f"{told} Today the record says {case.now.verdict}{first}."
    return told if against else f"{told} Nothing stands against it today."


def _stand(count: int) -> str:
    return "1 answer stands" if count == 1 else f"{count} answers stand"


def _stood(count: int) -> str:
    return "1 answer stood" if count == 1 else f"{count} answers stood"


def _marks(case: _Case) -> list[str]:
    """Return the words that belong beside the verdict because they change what it means."""
    decided = case.decided
    marks = []
    if decided is None:
        marks.append("not decided")
    elif case.retired is None and str(case.now.verdict) != decided.predicate["verdict"]:
        marks.append(f"today {case.now.verdict}")
    if case.retired:
        marks.append("retired")
    elif case.expired:
        marks.append("expired")
    if case.found.solo:
        marks.append("solo")
    return marks


def _notices(case: _Case) -> list[Notice]:
    """Return what no criterion and no rule tells by itself, and a reader must not overlook."""
    found = []
    if case.found.solo:
        told = "Whoever wrote the criteria could train, validate and approve as well. Nobody independent has looked."
        found.append(Notice("waived", "Solo: one person may have played every part", [told]))
    isolation = str(case.chain.start.predicate["isolation"].get("kind"))
    if isolation != "bubblewrap":
        told = "The training could read, change and send whatever its user could. Only its declared files are known."
        found.append(Notice("waived", f"The run was not isolated (isolation: {isolation})", [told]))
    counted = {ruling.id for ruling in case.now.rulings if ruling.status is Status.WAIVED}
    idle = [entry for entry in case.about(kinds.WAIVER) if entry.predicate["criterion"] not in counted]
    if idle:
        lines = [
            f"{e.predicate['criterion']}: until {e.predicate['expires']} by {e.person} (entry {e.index})" for e in idle
        ]
        found.append(Notice("waived", "Waivers on record that cover nothing today", lines))
    again = case.about(kinds.REPRODUCTION)
    if again and again[-1].predicate["verdict"] == "diverged":
        cause = f"{again[-1].predicate['cause']} (entry {again[-1].index})"
        found.append(Notice("not met", "The run could not be reproduced", [cause]))
    if case.expired and not case.retired:
        told = f"It ended on {case.expired}; whatever runs on it has to be decided again."
        found.append(Notice("not met", "The decision has expired", [told]))
    newest = models(case.record, case.use_case)[-1]
    if newest.subject.sha256 != case.model:
        told = f"The newest of this use case is {newest.subject.short} (entry {newest.index})."
        found.append(Notice("waived", "This is not the newest model", [told]))
    return found


def _facts(case: _Case) -> list[Fact]:
    record, chain = case.record, case.chain
    waived = [ruling for ruling in case.now.rulings if ruling.status is Status.WAIVED]
    isolation = str(chain.start.predicate["isolation"].get("kind"))
    again = case.about(kinds.REPRODUCTION)
    return [
        Fact("Model", chain.finish.subject.short, case.model),
        Fact("Ledger", f"{record.size:,} entries", record.root),
        Fact("Freshness", case.fresh.state, case.fresh.sentence),
        Fact("Run", str(chain.start.predicate["run"]), f"isolation: {isolation}"),
        Fact("Parts", "one person, solo" if case.found.solo else "different persons", _parts(case)),
        Fact("Waivers", str(len(waived)) if waived else "none", ", ".join(ruling.id for ruling in waived)),
        Fact(
            "Reproduced",
            str(again[-1].predicate["verdict"]) if again else "not tried",
            f"entry {again[-1].index}" if again else "",
        ),
    ]


def _parts(case: _Case) -> str:
    """Say who played which part."""
    results = [e for e in case.about(kinds.CHECK_RESULT) if e.predicate["stage"] == "validation"]
    approvals = [e for e in case.about(kinds.APPROVAL) if e.predicate["verdict"] == "approve"]
    parts = [
        ("criteria", [case.chain.seal] if case.chain.seal else []),
        ("training", [case.chain.finish]),
        ("validation", results),
        ("approval", approvals),
    ]
    told = [f"{part} {', '.join(sorted({entry.person for entry in by}))}" for part, by in parts if by]
    return "; ".join(told)


def _answers(seal: Evidence | None, decision: Decision) -> tuple[list[CriterionRow], list[RuleRow]]:
    """Return one row for each criterion, and one for each rule of the process."""
    asked: dict[str, Criterion] = {}
    if seal is not None and any(not ruling.id.startswith("process.") for ruling in decision.rulings):
        asked = {criterion.id: criterion for criterion in criteria_of(seal.predicate["criteria"])}
    rows: list[CriterionRow] = []
    rules: list[RuleRow] = []
    for ruling in decision.rulings:
        criterion = asked.get(ruling.id)
        if criterion is not None:
            rows.append(_row(ruling, criterion))
        else:
            status = str(ruling.status).replace("_", " ")
            rules.append(RuleRow(ruling.id, ruling.reason, status, list(ruling.entries)))
    return rows, rules


def _row(ruling: Ruling, criterion: Criterion) -> CriterionRow:
    answer = ruling.answer
    return CriterionRow(
        id=ruling.id,
        asks=criterion.asks,
        bound=criterion.bound,
        value=_number(answer.get("value")),
        low=_number(answer.get("low")),
        high=_number(answer.get("high")),
        n=whole(answer.get("n")) or 0,
        status=str(ruling.status).replace("_", " "),
        reason="" if ruling.status is Status.MET else ruling.reason,
        at_least=criterion.at_least,
        at_most=criterion.at_most,
        entries=list(ruling.entries),
        why=criterion.why,
    )


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def _figures(record: Record, finish: Evidence, chain: Chain) -> list[Figure]:
    """Draw what the newest result of each check saw; what has no picture is left out."""
    latest: dict[str, Evidence] = {}
    for sha256 in (*chain.inputs, finish.subject.sha256):
        for entry in record.about(sha256, kinds.CHECK_RESULT):
            latest[str(entry.predicate["check"])] = entry
    return list(figures_of([entry.predicate for entry in latest.values()]))


def _lineage(record: Record, chain: Chain) -> Figure:
    """Draw data to run to model to where it runs."""
    start, finish = chain.start, chain.finish
    nodes = [charts.Node(str(i["sha256"]), str(i["name"]), "data") for i in start.predicate["inputs"]]
    edges = [(node.id, "run") for node in nodes]
    nodes.append(charts.Node("run", str(start.predicate["run"]), "run"))
    if chain.seal is not None:
        nodes.append(charts.Node("seal", f"entry {chain.seal.index}", "sealed criteria"))
        edges.append(("seal", "run"))
    nodes.append(charts.Node("model", finish.subject.short, "model"))
    edges.append(("run", "model"))
    for found in descendants(record, finish.subject.sha256):
        node = f"{found.kind}-{found.index}"
        nodes.append(charts.Node(node, f"entry {found.index}", found.kind))
        edges.append(("model", node))
    title = "What came from what"
    return Figure(
        title, charts.lineage(nodes, edges, title), "Left to right, each thing rests on those before it.", wide=True
    )


def named(record: Record, entry: int) -> Evidence:
    """Return one entry by its index."""
    if not 0 <= entry < record.size:
        raise NotFound(f"there is no entry {entry}; the ledger has {record.size}")
    return record.entries[entry]
