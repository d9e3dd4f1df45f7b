"""`custody deploy`: hand a model to an environment."""

from __future__ import annotations

from pathlib import Path

import click

from custody.cli.app import App, face


@click.command()
@click.argument("model", default="")
@click.option("--env", "environment", required=True, help="Where it is to run; the admission must name it.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Also write the verified bytes there; on record.")
@click.option(
    "--signature",
    type=click.Path(path_type=Path),
    help="Also sign the bytes for people without Custody: `model_signing verify key` reads this file.",
)
@click.option("--reason", default="", help="Why the weights leave the vault; --to needs it.")
@face
def deploy(app: App, model: str, environment: str, folder: Path | None, signature: Path | None, reason: str) -> None:
    """Deploy MODEL if its whole chain holds: ledger, admission, recomputed decision, standing, bytes."""
    from custody.stages.deployment import deploy as hand_out

    custody = app.custody
    admitted, said = hand_out(
        custody.desk, custody.vault, app.actor, app.use_case, environment, model, folder, signature, reason
    )
    lines = [
        f"Model {admitted.subject.short} is deployed to {environment} (entry {said.index})"
        f"{'.' if admitted.freshness.proven else ', freshness unproven.'}",
        f"  {admitted.freshness.sentence}",
        f"  admission in entry {admitted.admission.index}, until {admitted.admission.predicate['expires']}",
        f'  in Python: custody.load("{app.use_case}", environment="{environment}")',
    ]
    if signature is not None:
        lines.append(f"  signed for others in {signature}: model_signing verify key FOLDER --signature {signature} ...")
    body = {
        "model": admitted.subject.sha256,
        "environment": environment,
        "entry": said.index,
        "files": sorted(admitted.files),
        "freshness": admitted.freshness.to_json(),
    }
    app.show(body, lines)
