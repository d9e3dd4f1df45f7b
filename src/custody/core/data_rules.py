"""The rules about data: what a model was trained on, and the exam it must not have seen.

A dataset is known by the digests of its files, so that the same file under another name is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core import predicates as kinds
from custody.core.amendment import amended, former_seal
from custody.core.decision import Ruling, Status
from custody.core.evidence import Evidence, Record
from custody.core.gate import whole
from custody.core.moments import expired

MET, NOT_MET, UNKNOWN = Status.MET, Status.NOT_MET, Status.UNKNOWN


def inputs_of(start: Evidence) -> list[tuple[str, str]]:
    """Return (name, sha256) of the declared data; what is not an object is data nobody registered."""
    objects = [item if isinstance(item, Mapping) else {} for item in start.predicate["inputs"]]
    return sorted((str(item.get("name")), str(item.get("sha256"))) for item in objects)


def contents_of(record: Record, sha256: str) -> frozenset[str]:
    """Return the digests of a dataset and of its files: a file by another name is the same file."""
    if sha256 in record.contents:
        return record.contents[sha256]
    found = {sha256}
    for entry in record.about(sha256, kinds.DATASET):
        for file in entry.predicate["files"]:
            if isinstance(file, Mapping) and isinstance(file.get("sha256"), str):
                found.add(str(file["sha256"]))
    return record.contents.setdefault(sha256, frozenset(found))


def openings_of(record: Record, seal: Evidence) -> list[Evidence]:
    """Return the openings of the sealed held-out set, under whatever name it was registered."""
    held_out = contents_of(record, str(seal.predicate["held_out"].get("sha256")))
    return [
        entry
        for entry in record.of_kind(kinds.OPENING)
        if held_out & contents_of(record, str(entry.predicate["held_out"]))
    ]


@dataclass(frozen=True)
class Attempts:
    """All that was tried under one seal or on its held-out set, by number, whatever became of it."""

    models: int
    """Distinct models for which the held-out set was opened, under whatever seal or name."""
    openings: int
    started: int
    """Runs begun under this seal."""
    finished: int
    aborted: int

    def to_json(self) -> dict[str, int]:
        """Return the form that a decision carries."""
        return {
            "models": self.models,
            "openings": self.openings,
            "started": self.started,
            "finished": self.finished,
            "aborted": self.aborted,
        }

    @property
    def sentence(self) -> str:
        """Return what was tried, as people read it."""
        unfinished = self.started - self.finished - self.aborted
        ends = f"{self.finished} ended in a model, {self.aborted} aborted"
        if unfinished:
            ends += f", {unfinished} never ended"
        seen = f"{_counted(self.openings, 'opening')} of the held-out set for {_counted(self.models, 'model')}"
        return f"{seen}; {_counted(self.started, 'attempt')}: {ends}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def attempts_under(record: Record, seal: Evidence) -> Attempts:
    """Count everything that was tried; a run cannot be taken off the ledger, so none is missed."""
    openings = openings_of(record, seal)
    starts = {e.digest for e in record.of_kind(kinds.TRAINING_START) if e.predicate["seal"] == seal.digest}
    finished = {kinds.start_of(e.predicate) for e in record.of_kind(kinds.TRAINING_FINISH)} & starts
    aborted = {str(e.predicate["start"]) for e in record.of_kind(kinds.TRAINING_ABORT)} & starts
    return Attempts(
        len({str(entry.predicate["model"]) for entry in openings}),
        len(openings),
        len(starts),
        len(finished),
        len(aborted - finished),
    )


def judge_freshness(record: Record, seal: Evidence) -> Ruling:
    """Refuse criteria that were sealed after their held-out set had been opened."""
    before = [entry.index for entry in openings_of(record, seal) if entry.index < seal.index]
    if before:
        reason = (
            f"post-hoc: these criteria were sealed in entry {seal.index}, after the same held-out set had been "
            f"opened in entry {before[0]}; new criteria need a fresh held-out set"
        )
        return Ruling("process.not_post_hoc", NOT_MET, reason, (*before, seal.index))
    reason = "the held-out set was unopened when the criteria were sealed"
    changed = amended(record, seal)
    if changed is not None:
        loosened = [change for change in changed if change.startswith(("loosened", "removed"))]
        former = former_seal(record, seal.predicate["use_case"], seal.index)
        reason += f"; they amend those of entry {former.index if former else '?'}: {len(changed)} changes"
        reason += f", {len(loosened)} of them loosen: {loosened[0]}" if loosened else ", none of them loosens"
    return Ruling("process.not_post_hoc", MET, reason, (seal.index,))


def judge_budget(record: Record, seal: Evidence, tried: Attempts) -> Ruling:
    """Count every opening of the held-out set and every run under the seal against what was sealed."""
    openings = [entry.index for entry in openings_of(record, seal)]
    attempts = [e.index for e in record.of_kind(kinds.TRAINING_START) if e.predicate["seal"] == seal.digest]
    entries = tuple(sorted([*openings, *attempts]))
    limits = seal.predicate["criteria"]
    for what, count, limit in (
        ("held-out openings", len(openings), whole(limits.get("max_openings"))),
        ("training attempts", len(attempts), whole(limits.get("max_attempts"))),
    ):
        if limit is None or count > limit:
            return Ruling(
                "process.budget",
                UNKNOWN,
                f"exhausted: {count} {what}, sealed budget {limit} ({tried.sentence})",
                entries,
            )
    return Ruling("process.budget", MET, f"within budget: {tried.sentence}", entries)


def judge_data(record: Record, policy: Mapping[str, Any], start: Evidence, seal: Evidence, at: str) -> Ruling:
    """Hold each input against its registration: before the run, allowed, not expired, not the exam."""
    rule = "process.data"
    inputs = inputs_of(start)
    if not inputs:
        return Ruling(rule, UNKNOWN, "the run declared no data")
    held_out = contents_of(record, str(seal.predicate["held_out"].get("sha256")))
    named = {str(item.get("sha256")): item for item in start.predicate["inputs"] if isinstance(item, Mapping)}
    entries: list[int] = []
    for name, sha256 in inputs:
        said = record.by_digest(str(named.get(sha256, {}).get("record")))
        if said is None or said.kind != kinds.DATASET or said.subject.sha256 != sha256 or said.index > start.index:
            return Ruling(rule, UNKNOWN, f"{name} is not a dataset registered before the run", tuple(entries))
        found = record.about(sha256, kinds.DATASET)[-1]
        entries.append(found.index)
        if held_out & contents_of(record, sha256) or "held_out" in purposes_of(record, sha256):
            return Ruling(rule, NOT_MET, f"{name} is held out: the model was trained on its own exam", tuple(entries))
        for registered in (said, found):  # a better word after the run makes the data no better
            if registered.predicate["trust"] not in listed(policy, "trust"):
                reason = f"{name} comes from a source of trust level {registered.predicate['trust']!r}"
                return Ruling(rule, NOT_MET, reason, tuple(entries))
        expires = found.predicate.get("source_expires")
        if expires and expired(str(expires), at):
            return Ruling(rule, NOT_MET, f"the approval of the source of {name} has expired", tuple(entries))
        if not found.predicate["licence"] or not found.predicate["owner"]:
            return Ruling(rule, UNKNOWN, f"{name} has no licence or no owner", tuple(entries))
    return Ruling(rule, MET, f"registered data: {', '.join(name for name, _ in inputs)}", tuple(entries))


def purposes_of(record: Record, sha256: str) -> set[str]:
    """Return every purpose for which these files were ever registered, under whatever name."""
    contents, records = contents_of(record, sha256), record.of_kind(kinds.DATASET)
    same = {about for about in {e.subject.sha256 for e in records} if contents & contents_of(record, about)}
    return {str(entry.predicate["purpose"]) for entry in records if entry.subject.sha256 in same}


def source_expiries(record: Record, inputs: list[tuple[str, str]]) -> list[str]:
    """Return when the approvals of the sources end."""
    found = [record.about(sha256, kinds.DATASET) for _, sha256 in inputs]
    return [str(e[-1].predicate["source_expires"]) for e in found if e and e[-1].predicate.get("source_expires")]


def listed(policy: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of the policy, empty where there is none."""
    found = policy.get(name)
    return found if isinstance(found, list) else []
