"""Data: registered by digest, verified before use, located to the row where it was altered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from custody.checks.registry import registry
from custody.checks.target import Columns, Table, Target
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
        if not value.isprintable():
            raise InvalidInput(f"the dataset's {what} holds characters that cannot be printed")
    if not path.exists():
        raise InvalidInput(f"{path} does not exist")
    if not (path.is_file() or path.is_dir()):
        raise InvalidInput(f"{path} is neither a file nor a folder", hint="save its content as a file first")
    pen = desk.permit(actor, Action.REGISTER_DATA)
    record = desk.read()
    if not record.of_kind(kinds.SOURCING):
        raise OutOfOrder("no decision to build, buy or adopt is on record", hint="custody source decide --help")
    table = read(path, name, columns)
    if purpose != "live":
        _need_positive(table)
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


def _need_positive(table: Table) -> None:
    """Refuse a positive label that no row has: it is misspelt, and every check would be unanswered later."""
    import polars as pl

    target, wanted = table.columns.target, table.columns.positive
    if not target or not wanted:
        return
    column = table.frame[target]
    found = column.cast(pl.String, strict=False).str.strip_chars() == wanted
    if not found.any() and not (column.cast(pl.Float64, strict=False) == _number(wanted)).any():
        seen = ", ".join(repr(value) for value in column.unique().sort().head(6).to_list())
        raise InvalidInput(
            f"{table.name}: no row has {wanted!r} in {target!r}, which holds {seen}",
            hint="name the positive value with --positive",
        )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _relative(path: Path, root: Path) -> str:
    resolved = path.resolve()
    return resolved.relative_to(root.resolve()).as_posix() if resolved.is_relative_to(root.resolve()) else str(resolved)
