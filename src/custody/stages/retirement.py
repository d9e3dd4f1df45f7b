"""Retirement: ordered by one person, confirmed by another, then the keys are destroyed and a certificate says so."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from custody.core import predicates as kinds
from custody.core.access import Access, Action
from custody.core.evidence import Evidence, Record
from custody.core.subject import Subject
from custody.desk import Desk, Pen
from custody.errors import InvalidInput, NotFound, NotPermitted, OutOfOrder, Tampered, Unknown
from custody.records.datasets import dataset
from custody.records.lineage import chain_of, find_model
from custody.records.retired import CONFIRMERS, Authority, authority, held_with, open_holds
from custody.records.vault import Destruction, ModelVault

RETAIN, ARCHIVE, ERASE = DISPOSITIONS = ("retain", "archive", "erase")
PREDICTIONS, RUN_LOGS = "prediction-logs", "run-logs"
NOT_SEARCHED = (
    "backups, snapshots and machines other than this one; memory, swap and freed blocks of the disk; "
    "what links point to"
)


def order(
    desk: Desk,
    actor: str,
    use_case: str,
    name: str,
    reason: str,
    dispose: Mapping[str, str],
    due: str = "",
    *,
    data: bool = False,
) -> Evidence:
    """Order that a model, or with `data` a dataset, be destroyed, now or when `due` (ISO 8601) has come.

    `dispose` maps what belongs to a model (`data:NAME`, `prediction-logs`, `run-logs`) to retain, archive or
    erase; what it leaves out is retained. Weights and concealed evidence are always erased, the ledger never.
    """
    _need_reason(reason, "ordered")
    record = desk.read()
    target = dataset(record, name) if data else find_model(record, use_case, name)
    assets = [] if data else _assets(record, target)
    for asset, what in dispose.items():
        if asset not in assets:
            raise InvalidInput(f"{asset!r} is nothing that goes with it", hint=f"there is: {', '.join(assets)}")
        if what not in DISPOSITIONS:
            raise InvalidInput(f"{what!r} is none of {', '.join(DISPOSITIONS)}")
    if due:
        _need_moment(due)
    pen = desk.permit(actor, Action.ORDER_RETIREMENT)
    said = {
        "use_case": use_case,
        "reason": reason,
        "dispositions": [{"asset": asset, "disposition": dispose.get(asset, RETAIN)} for asset in assets],
        **({"due": due} if due else {}),
    }
    return pen.write(target.subject, kinds.RETIREMENT_ORDER, said)


def order_to_confirm(desk: Desk, actor: str, use_case: str, name: str, *, data: bool = False) -> Evidence:
    """Return the newest order about a model or dataset, for another person to countersign.

    Raises `OutOfOrder` when there is none, `NotPermitted`, on record, for a role whose word would not count.
    """
    record = desk.read()
    target = dataset(record, name) if data else find_model(record, use_case, name)
    found = authority(record, use_case, target.subject.sha256, None if data else target).order
    if found is None:
        raise OutOfOrder(f"no retirement of {target.subject.short} was ordered", hint="custody retire order")
    who = desk.actor(actor)
    if not {str(role) for role in who.roles} & CONFIRMERS:
        why = f"a retirement is confirmed by {', '.join(sorted(CONFIRMERS))}; {who.name} is none of them"
        desk.deny(who, Action.COUNTERSIGN, Access(allowed=False, reason=why), target.subject)
    return found


def retire(
    desk: Desk, vault: ModelVault, actor: str, use_case: str, name: str, reason: str, places: list[Path]
) -> Evidence:
    """Destroy a model for ever.

    (1) It was ordered and confirmed by as many persons as the policy asks for, (2) no legal hold is open,
    (3) no readable copy and no copy of a wrapped key is in `places`, the first of them the project's
    folder, or where the record names one, (4) what is to be erased with it is gone. Then (5) the keys are
    overwritten; the canary opened before and does not open after. Raises `OutOfOrder` (1, 3, 4) naming what
    is missing or in the way, `NotPermitted` (2), on record, and `Tampered` when the model still opens.
    """
    _need_reason(reason, "retired")
    record = desk.read()
    model = find_model(record, use_case, name)
    pen = desk.permit(actor, Action.RETIRE)
    if already := record.about(model.subject.sha256, kinds.RETIREMENT):
        return already[0]
    by = _authorised(record, use_case, model, "")  # (1)
    subjects = held_with(record, model.subject.sha256, chain_of(record, model).inputs)
    _refuse_held(desk, pen, model.subject, open_holds(record, use_case, subjects))  # (2)
    root = places[0] if places else Path.cwd()
    known = [root / copy for entry in record.about(model.subject.sha256) for copy in _copies(entry)]
    searched = _refuse_copies(model, vault, [*places, *known])  # (3)
    assets = _disposed(record, root, model, by.order)  # (4)
    destroyed = _destroy(vault, model.subject)  # (5)
    extra = {**_signed(by), "dispositions": assets}
    return _certify(pen, model.subject, use_case, reason, destroyed, searched, extra, root)


def retire_data(
    desk: Desk, vault: ModelVault, actor: str, use_case: str, name: str, reason: str, places: list[Path]
) -> Evidence:
    """Erase a dataset: what checks concealed about it is destroyed, and no copy of its files may be left.

    The files themselves are deleted by whoever keeps them; while one is found the dataset is not erased.
    """
    _need_reason(reason, "erased")
    record = desk.read()
    entry = dataset(record, name)
    pen = desk.permit(actor, Action.RETIRE)
    if already := record.about(entry.subject.sha256, kinds.RETIREMENT):
        return already[0]
    by = _authorised(record, use_case, entry, "--data ")
    _refuse_held(desk, pen, entry.subject, open_holds(record, use_case, held_with(record, entry.subject.sha256)))
    root = places[0] if places else Path.cwd()
    searched = _refuse_copies(entry, vault, [*places, root / str(entry.predicate["path"])])
    try:
        destroyed = _destroy(vault, entry.subject)
    except NotFound:  # nothing was ever concealed about it: there is no key to destroy
        destroyed = Destruction("", {}, canary_before=False, canary_after=False)
    models = [e.subject.sha256 for e in record.of_kind(kinds.TRAINING_FINISH) if _learnt_from(record, e, entry)]
    return _certify(pen, entry.subject, use_case, reason, destroyed, searched, {**_signed(by), "models": models}, root)


def retire_root(desk: Desk, vault: ModelVault, actor: str, use_case: str, reason: str) -> Evidence:
    """Put a new root key in force and destroy the old one; models stay readable, and nothing is encrypted anew."""
    _need_reason(reason, "changed")
    pen = desk.permit(actor, Action.RETIRE)
    old, new, count = vault.rotate()
    destroyed = Destruction(old, {}, canary_before=True, canary_after=False)
    said = {**_said(use_case, reason, destroyed, []), "successor": new, "rewrapped": count}
    return pen.write(Subject("vault-root", old), kinds.RETIREMENT, said)


def _authorised(record: Record, use_case: str, target: Evidence, which: str) -> Authority:
    model = target if target.kind == kinds.TRAINING_FINISH else None
    by = authority(record, use_case, target.subject.sha256, model)
    if by.suffices:
        return by
    name = target.subject.short if model else target.subject.name
    if by.order is None:
        raise OutOfOrder(
            f"destroying {name} takes {by.needed} persons, and nobody has ordered it",
            hint=f'custody retire order {which}{name} --reason "..."',
        )
    raise OutOfOrder(
        f"destroying {name} takes {by.needed} persons; the order in entry {by.order.index} is signed by "
        f"{', '.join(by.persons)} alone",
        hint=f"another person confirms it: custody retire confirm {which}{name} --as NAME",
    )


def _signed(by: Authority) -> dict[str, Any]:
    order_digest = by.order.digest if by.order is not None else ""
    return {"order": order_digest, "confirmations": [entry.digest for entry in by.confirmations]}


def _refuse_held(desk: Desk, pen: Pen, subject: Subject, holds: Sequence[Evidence]) -> None:
    if not holds:
        return
    matters = ", ".join(f"{entry.predicate['matter']} (entry {entry.index})" for entry in holds)
    why = f"{subject.name} {subject.short} is under legal hold: {matters}"
    try:
        desk.deny(pen.actor, pen.action, Access(allowed=False, reason=why), subject)
    except NotPermitted as error:
        error.hint = "a compliance officer lifts it when the matter has ended: custody retire lift"
        raise


def _refuse_copies(entry: Evidence, vault: ModelVault, places: list[Path]) -> list[str]:
    short = entry.subject.short
    if copies := find_copies(entry, places):
        raise OutOfOrder(
            f"readable copies of {short} exist; what can be copied back is not retired:\n{_listed(copies)}",
            hint="delete them, then retire again",
        )
    if keys := find_wrapped_keys(vault.wrapped(entry.subject.sha256), places):
        raise OutOfOrder(
            f"copies of the wrapped key of {short} exist; with the root key they would undo it:\n{_listed(keys)}",
            hint="destroy them, then retire again",
        )
    return sorted({str(place.resolve()) for place in places})


def _destroy(vault: ModelVault, subject: Subject) -> Destruction:
    destroyed = vault.destroy(subject.sha256)
    if destroyed.canary_after:
        raise Tampered(f"{subject.name} {subject.short} still opens although its key was destroyed")
    return destroyed


def _assets(record: Record, model: Evidence) -> list[str]:
    names = {entry.subject.sha256: entry.subject.name for entry in record.of_kind(kinds.DATASET)}
    data = [f"data:{names[sha256]}" for sha256 in chain_of(record, model).inputs if sha256 in names]
    return [*dict.fromkeys(data), PREDICTIONS, RUN_LOGS]


def _disposed(record: Record, root: Path, model: Evidence, by: Evidence | None) -> list[dict[str, Any]]:
    """Return what becomes of each asset; raises `OutOfOrder` while one that is to be erased is there."""
    ordered = by.predicate.get("dispositions", []) if by is not None else []
    wanted = {str(item["asset"]): str(item["disposition"]) for item in ordered}
    rows = [
        {"asset": "weights", "disposition": ERASE},
        {"asset": "concealed-evidence", "disposition": ERASE},
        {"asset": "ledger", "disposition": RETAIN},
    ]
    left: list[str] = []
    for asset in _assets(record, model):
        disposition = wanted.get(asset, RETAIN)
        rows.append({"asset": asset, "disposition": disposition})
        if disposition == ERASE:
            left += _left(record, root, model, asset)
    if left:
        raise OutOfOrder(
            "the order asks to erase what is still there:\n" + "\n".join(f"  {what}" for what in left[:20]),
            hint="erase it, then retire again; a dataset: custody retire data NAME",
        )
    return rows


def _left(record: Record, root: Path, model: Evidence, asset: str) -> list[str]:
    if asset.startswith("data:"):
        entry = dataset(record, asset.removeprefix("data:"))
        return [] if record.about(entry.subject.sha256, kinds.RETIREMENT) else [f"{asset} (entry {entry.index})"]
    if asset == RUN_LOGS:
        paths = [root / ".custody" / "runs" / str(chain_of(record, model).start.predicate["run"])]
    else:
        segments = record.about(model.subject.sha256, kinds.PREDICTIONS)
        paths = [root / ".custody" / "predictions" / f"{entry.predicate['segment']}.jsonl" for entry in segments]
    return [str(path) for path in paths if path.exists()]


def _certify(
    pen: Pen,
    subject: Subject,
    use_case: str,
    reason: str,
    destroyed: Destruction,
    searched: list[str],
    extra: Mapping[str, Any],
    root: Path,
) -> Evidence:
    said = {**_said(use_case, reason, destroyed, searched), **extra, "places": _places(root)}
    return pen.write(subject, kinds.RETIREMENT, said)


def _said(use_case: str, reason: str, destroyed: Destruction, searched: list[str]) -> dict[str, Any]:
    return {
        "use_case": use_case,
        "reason": reason,
        "key_commitment": destroyed.key_commitment,
        "keys": dict(destroyed.keys),
        "ciphertexts": dict(destroyed.ciphertexts),
        "evidence": list(destroyed.evidence),
        "canary": {"before": destroyed.canary_before, "after": destroyed.canary_after},
        "copies": {"searched": searched, "found": [], "not_searched": NOT_SEARCHED},
    }


def _places(root: Path) -> list[dict[str, Any]]:
    """List the places in which Custody itself keeps something, and how many files are left in each."""
    places = {
        "vault": "ciphertext, without the keys",
        "staging": "private copies, for as long as one command runs",
        "runs": "what training printed",
        "predictions": "scores, and commitments to the rows",
    }
    counted = {name: sum(len(names) for _, _, names in os.walk(root / ".custody" / name)) for name in places}
    return [{"place": name, "holds": what, "files": counted[name]} for name, what in places.items()]


def _learnt_from(record: Record, finish: Evidence, entry: Evidence) -> bool:
    start = record.by_digest(kinds.start_of(finish.predicate))
    return start is not None and entry.subject.sha256 in {str(item["sha256"]) for item in start.predicate["inputs"]}


def _need_reason(reason: str, done: str) -> None:
    if len(reason.strip()) < 5:
        raise InvalidInput(f"say in at least 5 characters why it is {done}", hint='add --reason "..."')


def _need_moment(text: str) -> None:
    try:
        sound = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        sound = False
    if not sound:
        raise InvalidInput(f"{text!r} is not a moment with a time zone", hint="2027-01-31T00:00:00+00:00")


def _listed(paths: list[Path]) -> str:
    return "\n".join(f"  {path}" for path in paths[:20])


def dependants(record: Record, sha256: str) -> list[Evidence]:
    """Return the deployments of a model, which its owners should be told about first."""
    return record.about(sha256, kinds.DEPLOYMENT)


def find_copies(model: Evidence, places: list[Path]) -> list[Path]:
    """Find files below `places` that are byte for byte one of the files of a model or dataset.

    Sizes are compared first, so that only candidates are read. Files under 64 bytes are too common
    to mean anything and are left out.
    """
    wanted: dict[int, set[str]] = {}
    for file in _files_of(model):
        if int(file["size"]) >= 64:
            wanted.setdefault(int(file["size"]), set()).add(str(file["sha256"]))
    found: set[Path] = set()
    for place in places:
        for path in _files(place):
            size = path.lstat().st_size
            if size in wanted and _sha256(path) in wanted[size]:
                found.add(path)
    return sorted(found)


def find_wrapped_keys(live: Mapping[Path, bytes], places: list[Path]) -> list[Path]:
    """Find files below `places` that hold a copy of a wrapped key, beside the vault's own.

    Whoever keeps such a copy, in a backup or a journal, and has the root key could undo the destruction.
    """
    wanted, own = set(live.values()), {path.resolve() for path in live}
    if not wanted:
        return []
    found: set[Path] = set()
    for place in places:
        for path in _files(place):
            if path.suffix != ".sealed" and path.resolve() not in own and _holds(path, wanted):
                found.add(path)
    return sorted(found)


def _holds(path: Path, wanted: set[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return any(content.find(text) >= 0 for text in wanted)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise Unknown(
            f"{path} cannot be read: {error}", hint="make it readable; what cannot be looked at may hold a key"
        ) from None


def _files_of(entry: Evidence) -> list[Mapping[str, Any]]:
    if entry.kind == kinds.DATASET:
        return list(entry.predicate["files"])
    return list(entry.predicate["runDetails"]["files"])


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
