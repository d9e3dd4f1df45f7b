"""What descends from what: data to runs to models to decisions, deployments and predictions."""

from __future__ import annotations

from dataclasses import dataclass

from custody.core import predicates as kinds
from custody.core.evidence import Evidence, Record
from custody.errors import NotFound, OutOfOrder


@dataclass(frozen=True)
class Chain:
    """How a model came to be: the finish of its run, the start, and the seal (None when there was none)."""

    finish: Evidence
    start: Evidence
    seal: Evidence | None

    @property
    def inputs(self) -> list[str]:
        """Return the sha256 of each training dataset."""
        return [str(item["sha256"]) for item in self.start.predicate["inputs"]]


def models(record: Record, use_case: str) -> list[Evidence]:
    """Return the finish statement of every model of a use case, oldest first."""
    return [entry for entry in record.of_kind(kinds.TRAINING_FINISH) if entry.subject.name == use_case]


def find_model(record: Record, use_case: str, name: str = "") -> Evidence:
    """Find a model by the first digits of its digest, by its run, or the newest when `name` is empty."""
    found = models(record, use_case)
    if not found:
        raise OutOfOrder(f"no model of {use_case!r} is on record", hint="custody run -- python train.py")
    if not name or name == "latest":
        return found[-1]
    hits = [
        entry
        for entry in found
        if (len(name) >= 6 and entry.subject.sha256.startswith(name)) or _run_of(record, entry) == name
    ]
    if len({entry.subject.sha256 for entry in hits}) != 1:
        known = ", ".join(entry.subject.short for entry in found)
        problem = "is not on record" if not hits else "names more than one model"
        raise NotFound(f"model {name!r} {problem}", hint=f"known: {known}")
    return hits[-1]


def _run_of(record: Record, finish: Evidence) -> str:
    start = record.by_digest(kinds.start_of(finish.predicate))
    return str(start.predicate["run"]) if start else ""


def chain_of(record: Record, finish: Evidence) -> Chain:
    """Follow a finish statement back to its start and seal."""
    start = record.by_digest(kinds.start_of(finish.predicate))
    if start is None or start.kind != kinds.TRAINING_START:
        raise OutOfOrder(f"model {finish.subject.short} has no start statement on record")
    seal = record.by_digest(str(start.predicate["seal"]))
    return Chain(finish, start, seal if seal and seal.kind == kinds.SEAL else None)


def sealed_chain_of(record: Record, finish: Evidence) -> tuple[Chain, Evidence]:
    """Follow a finish statement back to a seal; raises `OutOfOrder` when the run was unsealed."""
    chain = chain_of(record, finish)
    if chain.seal is None:
        raise OutOfOrder(
            f"model {finish.subject.short} was trained before any criteria were sealed; the held-out set stays closed",
            hint="seal criteria, then train again: custody gate seal, custody run",
        )
    return chain, chain.seal


def attempts_of(record: Record, seal: Evidence) -> tuple[int, int]:
    """Return how many training runs were begun under a seal, and how many it allows."""
    begun = [entry for entry in record.of_kind(kinds.TRAINING_START) if entry.predicate["seal"] == seal.digest]
    return len(begun), int(seal.predicate["criteria"]["max_attempts"])


@dataclass(frozen=True)
class Descendant:
    """Something that would not be what it is without the thing asked about."""

    kind: str
    name: str
    sha256: str
    index: int

    def to_json(self) -> dict[str, object]:
        """Return the form that is signed."""
        return {"kind": self.kind, "name": self.name, "sha256": self.sha256, "index": self.index}


def descendants(record: Record, sha256: str) -> list[Descendant]:
    """List everything downstream of a dataset, run or model, in order of the ledger. One pass."""
    tainted = {sha256}
    runs: set[str] = set()
    found: list[Descendant] = []
    for entry in record:
        said = entry.predicate
        if entry.kind == kinds.TRAINING_START and tainted & {str(item.get("sha256")) for item in said["inputs"]}:
            tainted.add(entry.subject.sha256)
            runs.add(entry.digest)
            found.append(_descendant("run", entry))
        elif entry.kind == kinds.TRAINING_FINISH and (
            kinds.start_of(said) in runs or tainted & {digest for _, digest in kinds.finished_inputs(said)}
        ):
            tainted.add(entry.subject.sha256)
            found.append(_descendant("model", entry))
        elif entry.subject.sha256 in tainted and entry.kind in _SHOWN:
            found.append(_descendant(_SHOWN[entry.kind], entry))
    return found


_SHOWN = {
    kinds.ADMISSION: "admission",
    kinds.DEPLOYMENT: "deployment",
    kinds.PREDICTIONS: "predictions",
    kinds.RETIREMENT: "retirement",
}


def _descendant(kind: str, entry: Evidence) -> Descendant:
    where = entry.predicate.get("environment") if kind in ("admission", "deployment") else ""
    name = f"{entry.subject.name} ({where})" if isinstance(where, str) and where else entry.subject.name
    return Descendant(kind, name, entry.subject.sha256, entry.index)


def open_incidents(record: Record, subjects: list[str]) -> list[Evidence]:
    """Return the newest statement of each incident about `subjects` that no security manager closed."""
    latest: dict[tuple[str, str], Evidence] = {}
    for subject in subjects:
        for entry in record.about(subject, kinds.INCIDENT):
            if entry.index in record.void and kinds.closes(entry.predicate, entry.roles):
                continue  # a compromised key closes nothing
            latest[subject, str(entry.predicate["incident"])] = entry
    return [entry for entry in latest.values() if not kinds.closes(entry.predicate, entry.roles)]
