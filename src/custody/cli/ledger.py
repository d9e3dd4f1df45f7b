"""`custody ledger`: the log itself, and who outside has seen it."""

from __future__ import annotations

import click

from custody.cli.anchor import anchor, anchors


@click.group()
def ledger() -> None:
    """Look after the ledger: have outside eyes see it."""


ledger.add_command(anchor)
ledger.add_command(anchors)
