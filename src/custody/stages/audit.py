"""Audit: the passport of a model, drawn from verified evidence alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from custody.core import predicates as kinds
from custody.core.decision import Decision, Status
from custody.core.evidence import Evidence, Record
from custody.core.gate import Criterion, criteria_of
from custody.core.release import decide as judge
from custody.desk import Desk
from custody.errors import NotFound
from custody.records.lineage import Chain, chain_of, descendants, find_model
from custody.records.status import Standing, standing
from custody.report import charts
from custody.report.figures import figures_of
from custody.report.page import CriterionRow, Fact, Figure, Report, StageRow


def passport(desk: Desk, use_case: str, name: str = "") -> Report:
    """Gather everything a reader should see of one model; every number is one of the ledger's."""
    record = desk.read()
    finish = find_model(record, use_case, name)
    chain = chain_of(record, finish)
    decisions = record.about(finish.subject.sha256, kinds.DECISION)
    decision = judge(record, finish.subject.sha256, use_case, desk.time())
    verdict = str(decisions[-1].predicate["verdict"]) if decisions else str(decision.verdict)
    found = standing(record, use_case, list(desk.actors().actors.values()), desk.time())
    stages = [
        StageRow(state.stage.capitalize(), state.sentence, list(state.entries), state.state.replace("_", " "))
        for state in found.stages
        if state.state != "not_applicable"
    ]
    stops = [charts.Stop(row.name, row.status) for row in stages]
    return Report(
        title=f"Passport of {use_case} {finish.subject.short}",
        headline=_headline(verdict, decisions, decision),
        generated=desk.time(),
        verdict=verdict,
        stages=stages,
        criteria=_criteria(chain.seal, decision),
        charts=[*_figures(record, finish, chain), _lineage(record, chain)],
        facts=_facts(record, finish, chain, found),
        timeline=charts.timeline(stops, "The stages of the model's life"),
    )


def _headline(verdict: str, decisions: Sequence[Evidence], now: Decision) -> str:
    against = now.failing()
    if not decisions:
        return f"Not decided. {len(against)} rulings stand against it so far."
    entry = decisions[-1].index
    if verdict == "GO":
        return f"GO, decided in entry {entry} from evidence that was asked for before training."
    first = f" First: {against[0].reason}." if against else ""
    return f"{verdict}, decided in entry {entry}: {len(against)} rulings stand against it.{first}"


def _facts(record: Record, finish: Evidence, chain: Chain, found: Standing) -> list[Fact]:
    waivers = record.about(finish.subject.sha256, kinds.WAIVER)
    facts = [
        Fact("Model", finish.subject.sha256),
        Fact("Ledger", f"{record.size} entries, root {record.root[:16]}..."),
        Fact("Run", f"{chain.start.predicate['run']}, isolation: {chain.start.predicate['isolation']['kind']}"),
        Fact("Assurance", "solo: one person played every part" if found.solo else "different persons played the parts"),
        Fact("Waivers", ", ".join(str(w.predicate["criterion"]) for w in waivers) or "none"),
    ]
    again = record.about(finish.subject.sha256, kinds.REPRODUCTION)
    facts.append(Fact("Reproduced", str(again[-1].predicate["verdict"]) if again else "not tried"))
    return facts


def _criteria(seal: Evidence | None, decision: Decision) -> list[CriterionRow]:
    """Return one row for each criterion and, after them, one for each rule of the process."""
    asked: dict[str, Criterion] = {}
    if seal is not None:
        asked = {criterion.id: criterion for criterion in criteria_of(seal.predicate["criteria"])}
    rows: list[CriterionRow] = []
    rules: list[CriterionRow] = []
    for ruling in decision.rulings:
        status = str(ruling.status).replace("_", " ")
        answer = ruling.answer
        criterion = asked.get(ruling.id)
        row = CriterionRow(
            id=ruling.id,
            asks=criterion.asks if criterion else ruling.reason,
            bound=criterion.bound if criterion else "",
            value=_number(answer.get("value")),
            low=_number(answer.get("low")),
            high=_number(answer.get("high")),
            n=int(answer.get("n") or 0),
            status=status,
            reason="" if ruling.status is Status.MET else ruling.reason,
            at_least=criterion.at_least if criterion else None,
            at_most=criterion.at_most if criterion else None,
            entries=list(ruling.entries),
            why=criterion.why if criterion else "",
        )
        (rows if criterion else rules).append(row)
    return [*rows, *rules]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


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
    nodes.append(charts.Node("run", f"run {start.predicate['run']}", "run"))
    if chain.seal is not None:
        nodes.append(charts.Node("seal", f"criteria, entry {chain.seal.index}", "seal"))
        edges.append(("seal", "run"))
    nodes.append(charts.Node("model", f"{finish.subject.name} {finish.subject.short}", "model"))
    edges.append(("run", "model"))
    for found in descendants(record, finish.subject.sha256):
        node = f"{found.kind}-{found.index}"
        nodes.append(charts.Node(node, f"{found.kind}, entry {found.index}", found.kind))
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
