"""Registered datasets: found by name, verified against the record, read as tables."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custody.checks.target import Columns, Table
from custody.core import predicates as kinds
from custody.core.evidence import Evidence, Record
from custody.errors import InvalidInput, NotFound, Tampered
from custody.seal.blocks import Block, locate
from custody.seal.digest import FileDigest, Manifest, copy_verified, describe, verify

Reader = Callable[[Path, str, Columns], Table]
"""How tables are read; wiring brings the adapter."""


def dataset(record: Record, name: str) -> Evidence:
    """Find a dataset by name."""
    found = record.latest(kinds.DATASET, name=name)
    if found is None:
        known = sorted({str(entry.predicate["name"]) for entry in record.of_kind(kinds.DATASET)})
        raise NotFound(f"no dataset {name!r} is on record", hint=f"known: {', '.join(known) or 'none'}")
    return found


def check_bytes(root: Path, entry: Evidence) -> None:
    """Raise `Tampered`, with file and rows, unless the dataset's files are those on record."""
    path = root / str(entry.predicate["path"])
    if not path.exists():
        raise Tampered(f"{entry.subject.name}: {path} is gone", hint="restore it, then: custody data verify")
    expected = manifest_of(entry.predicate)
    changes = verify(path, expected)
    if not changes:
        return
    blocks = [Block.from_json(block) for block in entry.predicate["blocks"]]
    places = locate(blocks, path)
    where = "; ".join(places[:5]) or describe(changes)
    raise Tampered(
        f"{entry.subject.name} is not what was registered in entry {entry.index}: {where}",
        hint="restore the registered bytes, or register the new ones under a new name",
    )


def manifest_of(predicate: Mapping[str, Any]) -> Manifest:
    """Return the manifest that a dataset record carries."""
    return Manifest(tuple(FileDigest(f["path"], f["size"], f["sha256"]) for f in predicate["files"]))


def columns_of(predicate: Mapping[str, Any]) -> Columns:
    """Return what the columns mean, from a dataset record."""
    said = predicate["columns"]
    names: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
    return Columns(**names)


def table_of(root: Path, entry: Evidence, read: Reader) -> Table:
    """Read a dataset from a private copy that was hashed while it was made: no gap between check and use."""
    path = root / str(entry.predicate["path"])
    with tempfile.TemporaryDirectory(prefix="custody-data-") as folder:
        place = Path(folder) / "copy"
        try:
            copy_verified(path, place, manifest_of(entry.predicate))
        except (Tampered, InvalidInput):
            check_bytes(root, entry)
            raise
        copy = place / path.name if path.is_file() else place
        return read(copy, entry.subject.name, columns_of(entry.predicate))


def datasets(record: Record) -> Sequence[Evidence]:
    """Return the newest record of each dataset name, in order of registration."""
    latest: dict[str, Evidence] = {}
    for entry in record.of_kind(kinds.DATASET):
        latest[str(entry.predicate["name"])] = entry
    return list(latest.values())
