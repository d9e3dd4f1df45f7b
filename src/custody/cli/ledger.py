"""`custody ledger`: the log itself, its proofs, and who outside has seen it."""

from __future__ import annotations

import click

from custody.cli.anchor import anchor, anchors
from custody.cli.app import Group
from custody.cli.proofs import check, prove, rebuild, status, tiles, verify


@click.group(cls=Group)
def ledger() -> None:
    """Look after the ledger: verify it, prove what stands in it, have outside eyes see it."""


for command in (verify, prove, check, status, tiles, rebuild):
    ledger.add_command(command)
ledger.add_command(anchor)
ledger.add_command(anchors)
