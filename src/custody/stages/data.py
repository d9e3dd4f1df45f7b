"""Data: registered by digest, verified before use, located to the row where it was altered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from custody.checks.registry import registry
from custody.checks.target import Columns, Target
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence
from custody.core.stage import Stage
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import InvalidInput, OutOfOrder, Tampered
from custody.records.datasets import Reader, dataset, table_of
from custody.records.results import write_result
from custody.seal.blocks import digest_dataset

TRUST = ("trusted", "partner", "untrusted")
PURPOSES = ("training", "held_out", "live")


def register(
    desk: Desk,
    actor: str,
    root: Path,
    name: str,
    path: Path,
    read: Reader,
    *,
    source: str,
    owner: str,
    licence: str,
    trust: str,
    purpose: str,
    columns: Columns,
    source_days: int | None = None,
) -> Evidence:
    """Put a dataset on record: its bytes by digest, its origin, and what its columns mean."""
    if trust not in TRUST:
        raise InvalidInput(f"trust level {trust!r} is none of {', '.join(TRUST)}")
    if purpose not in PURPOSES:
        raise InvalidInput(f"purpose {purpose!r} is none of {', '.join(PURPOSES)}")
    for what, value in (("name", name), ("source", source), ("owner", owner), ("licence", licence)):
        if not value.strip():
            raise InvalidInput(f"a dataset needs a {what}")
    if not path.exists():
        raise InvalidInput(f"{path} does not exist")
    pen = desk.permit(actor, Action.REGISTER_DATA)
    record = desk.read()
    if not record.of_kind(kinds.SOURCING):
        raise OutOfOrder("no decision to build, buy or adopt is on record", hint="custody source decide --help")
    table = read(path, name, columns)
    manifest, blocks = digest_dataset(path)
    known = record.latest(kinds.DATASET, name=name)
    if known is not None and known.subject.sha256 != manifest.sha256:
        raise Tampered(
            f"{name} is registered with other bytes (entry {known.index})",
            hint="register the new version under a new name, or restore the old bytes",
        )
    at = desk.time()
    predicate: dict[str, Any] = {
        "name": name,
        "path": _relative(path, root),
        "files": [asdict(file) for file in manifest.files],
        "blocks": [block.to_json() for block in blocks],
        "purpose": purpose,
        "source": source,
        "owner": owner,
        "licence": licence,
        "trust": trust,
        "rows": table.rows,
        "columns": asdict(columns),
        "schema": [[column, str(kind)] for column, kind in table.frame.schema.items()],
        "at": at,
    }
    if source_days is not None:
        from datetime import datetime, timedelta

        predicate["source_expires"] = (datetime.fromisoformat(at) + timedelta(days=source_days)).isoformat()
    return pen.write(Subject(name, manifest.sha256), kinds.DATASET, predicate)


def check(
    desk: Desk, actor: str, root: Path, name: str, read: Reader, progress: Callable[[str], None] = lambda _: None
) -> list[Evidence]:
    """Run the data checks on one dataset and record what they saw."""
    pen = desk.permit(actor, Action.CHECK_DATA)
    entry = dataset(desk.read(), name)
    table = table_of(root, entry, read)
    found: list[Evidence] = []
    for checked in registry().values():
        if checked.stage is not Stage.DATA:
            continue
        progress(checked.id)
        result = checked.run(Target(train=table))
        found.append(
            write_result(pen, entry.subject, checked.id, Stage.DATA, result, {"dataset": entry.subject.sha256})
        )
    return found


def _relative(path: Path, root: Path) -> str:
    resolved = path.resolve()
    return resolved.relative_to(root.resolve()).as_posix() if resolved.is_relative_to(root.resolve()) else str(resolved)
