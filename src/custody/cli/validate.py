"""`custody validate`: measure a model against what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from custody.cli.app import App, face, word
from custody.cli.results import concealed_lines, finding_lines, results_body, ruling_lines

if TYPE_CHECKING:
    from custody.core.evidence import Evidence, Record


@click.command()
@click.argument("model", default="")
@click.option("--full", is_flag=True, help="Show every measure, not only those the criteria ask for.")
@click.option(
    "--time-limit", type=float, default=600.0, show_default=True, help="For one answer of the model, in seconds."
)
@face
def validate(app: App, model: str, full: bool, time_limit: float) -> None:
    """Scan MODEL, open the held-out set once, run every check, and hold the results against the criteria.

    Exits 0 when all sealed criteria are met, 1 when one is proven not met, 3 when one is open or unknown.
    """
    from custody.cli.results import result_lines
    from custody.core.decision import Status
    from custody.core.release import decide as judge
    from custody.errors import InvalidInput
    from custody.stages.validation import validate as measure

    if not 0 < time_limit <= 86400:
        raise InvalidInput("--time-limit must be between 0 and 86400 seconds")
    custody = app.custody
    found = measure(custody.desk, custody.bench(time_limit), app.actor, app.use_case, model, app.progress())
    record = custody.desk.read()
    decision = judge(record, found.model.subject.sha256, app.use_case, custody.desk.time())
    criteria = [ruling for ruling in decision.rulings if not ruling.id.startswith("process.")]
    statuses = {ruling.status for ruling in criteria}
    code = 1 if Status.NOT_MET in statuses or not found.opened else 0
    if not code and not (statuses and statuses <= {Status.MET, Status.WAIVED}):
        code = 3
    lines = [f"Model {found.model.subject.short}: {len(found.results)} checks on record."]
    if not found.opened:
        lines.append(f"  {word('not_met')} {found.reason}")
    lines += ruling_lines(criteria)
    findings = [finding for entry in found.results for finding in entry.predicate["findings"]]
    shown = [finding for finding in findings if finding["severity"] != "info"]
    lines += [f"  {line}" for line in finding_lines(shown)]
    lines += [f"  {entry.predicate['check']}: {line}" for entry in found.results for line in concealed_lines(entry)]
    if full:
        lines += ["", *result_lines(found.results)]
    lines.append(_next_step(record, found.model, code, [r.id for r in criteria if r.status is Status.NOT_MET]))
    body = {
        **results_body(found.results),
        "model": found.model.subject.sha256,
        "opened": found.opened,
        "reason": found.reason,
        "rulings": [ruling.to_json() for ruling in criteria],
    }
    app.show(body, lines, code)


def _next_step(record: Record, model: Evidence, code: int, failing: Sequence[str]) -> str:
    """Say what to do after a validation: approve, train another model, or look at what is open."""
    from custody.records.lineage import attempts_of, sealed_chain_of

    if code == 0:
        return "next: custody gate approve"
    if code != 1:
        return "next: custody gate show"
    spent, limit = attempts_of(record, sealed_chain_of(record, model)[1])
    what = f"{', '.join(failing[:4])} not met" if failing else "the model was not opened"
    if spent >= limit:
        return f"next: {what}, and all {limit} attempts are spent: seal new criteria with a fresh held-out set"
    return f"next: {what}; train another model (attempt {spent + 1} of {limit}): custody run -- python train.py"
