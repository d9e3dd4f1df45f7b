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
from custody.core.data_rules import contents_of
from custody.core.evidence import Evidence, Record
from custody.core.moments import moment
from custody.core.stage import Stage
from custody.core.subject import Subject
from custody.desk import Desk
from custody.errors import InvalidInput, OutOfOrder, Tampered
from custody.records.datasets import Reader, dataset, table_of
from custody.records.results import write_result
from custody.records.vault import ModelVault
from custody.seal.blocks import digest_dataset

TRUST = ("trusted", "partner", "untrusted")
PURPOSES = ("training", "held_out", "live")
APART = {"training": "held_out", "held_out": "training"}
"""Purposes that the same bytes can never serve both."""
SHORTEST_REASON = 10


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
    reason: str = "",
    retain_until: str = "",
) -> Evidence:
    """Put a dataset on record: its bytes by digest, its origin, and what its columns mean.

    Bytes that are on record for training are refused as held-out data, and the other way round. Bytes
    whose trust is raised need a `reason`, which goes on record. Raises `InvalidInput`, `OutOfOrder`,
    `NotPermitted` and `Tampered`.
    """
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
        _need_labels(table)
    manifest, blocks = digest_dataset(path)
    contents = {manifest.sha256, *(file.sha256 for file in manifest.files)}
    known = record.latest(kinds.DATASET, name=name)
    if known is not None and known.subject.sha256 != manifest.sha256:
        raise Tampered(
            f"{name} is registered with other bytes (entry {known.index})",
            hint="register the new version under a new name, or restore the old bytes",
        )
    _refuse_other_purpose(record, name, purpose, contents)
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
    if purpose != "live" and columns.target:
        predicate["label_values"] = table.frame[columns.target].drop_nulls().n_unique()
    if lowest := _trusted_less(record, contents, trust):
        if len(reason.strip()) < SHORTEST_REASON:
            raise InvalidInput(
                f"{name} was {lowest.predicate['trust']} in entry {lowest.index}; raising it to {trust} needs a reason "
                f"of at least {SHORTEST_REASON} characters",
                hint='add --reason "..."',
            )
        predicate["trust_reason"] = reason.strip()
        predicate["trust_before"] = {"trust": lowest.predicate["trust"], "entry": lowest.index}
    if retain_until:
        if moment(retain_until) is None:
            hint = "2030-01-01T00:00:00+00:00"
            raise InvalidInput(f"{retain_until!r} is not a moment with a time zone", hint=hint)
        predicate["retain_until"] = retain_until
    if source_days is not None:
        from datetime import datetime, timedelta

        predicate["source_expires"] = (datetime.fromisoformat(at) + timedelta(days=source_days)).isoformat()
    return pen.write(Subject(name, manifest.sha256), kinds.DATASET, predicate)


def check(
    desk: Desk,
    actor: str,
    root: Path,
    name: str,
    read: Reader,
    progress: Callable[[str], None] = lambda _: None,
    vault: ModelVault | None = None,
) -> list[Evidence]:
    """Run the data checks on one dataset and record what they saw; the vault keeps what is sensitive."""
    pen = desk.permit(actor, Action.CHECK_DATA)
    entry = dataset(desk.read(), name)
    table = table_of(root, entry, read)
    found: list[Evidence] = []
    for checked in registry().values():
        if checked.stage is not Stage.DATA:
            continue
        progress(checked.id)
        result = checked.run(Target(train=table))
        about, conceal = {"dataset": entry.subject.sha256}, vault.conceal if vault is not None else None
        found.append(write_result(pen, entry.subject, checked.id, Stage.DATA, result, about, conceal))
    return found


def _need_labels(table: Table) -> None:
    """Refuse labels that could never be measured: no positive value named, none found, or only one there is."""
    import polars as pl

    target, wanted = table.columns.target, table.columns.positive
    if not target:
        return
    column = table.frame[target]
    values = column.drop_nulls().unique().sort()
    seen = ", ".join(str(value) for value in values.head(6).to_list()) + (", ..." if len(values) > 6 else "")
    if not wanted:
        raise InvalidInput(
            f"{target!r} is the target, and no positive value is named; it has {seen or 'no values'}",
            hint="name it: --positive VALUE",
        )
    found = column.cast(pl.String, strict=False).str.strip_chars() == wanted
    number = _number(wanted)
    if not found.any() and (number is None or not (column.cast(pl.Float64, strict=False) == number).any()):
        raise InvalidInput(
            f"{wanted!r} never occurs in {target!r}; it has {seen or 'no values'}",
            hint="name the positive value with --positive",
        )
    if len(values) < 2:
        raise InvalidInput(
            f"{target!r} has one value only, {seen}: nothing can be learnt or measured from it",
            hint="register rows of both classes",
        )


def _refuse_other_purpose(record: Record, name: str, purpose: str, contents: set[str]) -> None:
    """Refuse training data whose bytes are on record as held out, and held-out data that was for training."""
    for entry in record.of_kind(kinds.DATASET):
        if entry.predicate["purpose"] != APART.get(purpose):
            continue
        if contents & contents_of(record, entry.subject.sha256):
            was = str(entry.predicate["purpose"]).replace("_", "-")
            raise InvalidInput(
                f"{name} shares bytes with {entry.subject.name}, which is {was} data in entry {entry.index}; "
                f"the same bytes cannot be {purpose.replace('_', '-')} data",
                hint="register other rows; a model may not be measured on what it learnt from",
            )


def _trusted_less(record: Record, contents: set[str], trust: str) -> Evidence | None:
    """Return the record of any of these bytes, newest for each, that trusts them least and less than `trust`."""
    newest: dict[str, Evidence] = {}
    for entry in record.of_kind(kinds.DATASET):
        for digest in contents & contents_of(record, entry.subject.sha256):
            newest[digest] = entry
    lower = [entry for entry in newest.values() if TRUST.index(entry.predicate["trust"]) > TRUST.index(trust)]
    return max(lower, key=lambda entry: TRUST.index(entry.predicate["trust"]), default=None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _relative(path: Path, root: Path) -> str:
    resolved = path.resolve()
    return resolved.relative_to(root.resolve()).as_posix() if resolved.is_relative_to(root.resolve()) else str(resolved)
