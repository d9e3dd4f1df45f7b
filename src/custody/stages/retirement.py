"""Retirement: the key is destroyed, copies are looked for, and a certificate says so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.evidence import Evidence, Record
from custody.desk import Desk
from custody.errors import InvalidInput, OutOfOrder, Tampered, Unknown
from custody.records.lineage import find_model
from custody.records.vault import ModelVault


def retire(
    desk: Desk, vault: ModelVault, actor: str, use_case: str, name: str, reason: str, places: list[Path]
) -> Evidence:
    """Destroy a model for ever.

    `places`, the first of them the project's folder, are searched for readable copies of its files first,
    and so is every place the record names; while one exists the model is not
    retired (`OutOfOrder` names them). The canary must open before and must not open after.
    """
    if len(reason.strip()) < 5:
        raise InvalidInput("say in at least 5 characters why the model is retired", hint='add --reason "..."')
    record = desk.read()
    model = find_model(record, use_case, name)
    pen = desk.permit(actor, Action.RETIRE)
    already = record.about(model.subject.sha256, kinds.RETIREMENT)
    if already:
        return already[0]
    root = places[0] if places else Path.cwd()
    known = [root / copy for entry in record.about(model.subject.sha256) for copy in _copies(entry)]
    copies = find_copies(model, [*places, *known])
    if copies:
        listed = "\n".join(f"  {path}" for path in copies[:20])
        raise OutOfOrder(
            f"readable copies of {model.subject.short} exist; what can be copied back is not retired:\n{listed}",
            hint="delete them, then retire again",
        )
    destroyed = vault.destroy(model.subject.sha256)
    if destroyed.canary_after:
        raise Tampered(f"model {model.subject.short} still opens although its key was destroyed")
    return pen.write(
        model.subject,
        kinds.RETIREMENT,
        {
            "use_case": use_case,
            "reason": reason,
            "key_commitment": destroyed.key_commitment,
            "ciphertexts": dict(destroyed.ciphertexts),
            "canary": {"before": destroyed.canary_before, "after": destroyed.canary_after},
            "copies": {
                "searched": sorted({str(place.resolve()) for place in [*places, *known]}),
                "found": [],
                "not_searched": "backups, snapshots and machines other than this one; what links point to",
            },
        },
    )


def dependants(record: Record, sha256: str) -> list[Evidence]:
    """Return the deployments of a model, which its owners should be told about first."""
    return record.about(sha256, kinds.DEPLOYMENT)


def find_copies(model: Evidence, places: list[Path]) -> list[Path]:
    """Find files below `places` that are byte for byte one of the model's files.

    Sizes are compared first, so that only candidates are read. Files under 64 bytes are too common
    to mean anything and are left out.
    """
    wanted: dict[int, set[str]] = {}
    for file in model.predicate["runDetails"]["files"]:
        if int(file["size"]) >= 64:
            wanted.setdefault(int(file["size"]), set()).add(str(file["sha256"]))
    found: set[Path] = set()
    for place in places:
        for path in _files(place):
            size = path.lstat().st_size
            if size in wanted and _sha256(path) in wanted[size]:
                found.add(path)
    return sorted(found)


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found: list[Path] = []
    for folder, _, names in os.walk(place, onerror=_refuse):
        found += [Path(folder) / name for name in names if not (Path(folder) / name).is_symlink()]
    return found


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):  # gone, which is what retirement wants
        return
    raise Unknown(
        f"{error.filename} cannot be searched: {error.strerror}",
        hint="make it readable, or name only places that exist; what cannot be looked at may hold a copy",
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unknown(
            f"{path} has the size of a model file and cannot be read: {error.strerror}",
            hint="make it readable or remove it; what cannot be looked at may be a copy",
        ) from None


def _copies(entry: Evidence) -> list[str]:
    if entry.kind == kinds.DEPLOYMENT:
        return [str(copy) for copy in entry.predicate["copies"]]
    if entry.kind == kinds.TRAINING_FINISH:
        details = entry.predicate["runDetails"]
        return [str(copy) for copy in details.get("copies", [])] if isinstance(details, Mapping) else []
    return []
