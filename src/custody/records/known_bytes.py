"""Whether a model was there before the run that is said to have made it, or before that run saw its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from custody.core import predicates as kinds
from custody.core.data_rules import contents_of
from custody.core.evidence import Evidence, Record
from custody.core.model_file import SUFFIXES, model_file
from custody.core.sandbox import Outcome


def there_before(record: Record, start: Evidence, made: Mapping[str, str]) -> list[str]:
    """Say what of a run's output is no output: the model is one of its inputs, or of a run under another seal.

    `made` maps the paths of the output to their sha256. Where a file is the model by its name, that file
    counts; else all files together, since an honest run may well copy a configuration beside its weights.
    """
    judged = _model_of(made)
    known = _shown(record, start) | (_elsewhere(record, start) if start.predicate["seal"] else {})
    found = [(path, known[made[path]]) for path in judged if made[path] in known]
    if not judged or len(found) < len(judged):
        return []
    path, where = found[0]
    return [f"{path} was not made by this run: it has the very bytes of {where}"]


def without_data(outcome: Outcome, made: Iterable[str]) -> list[str]:
    """Say so when the model cannot have been trained on the data: they were not opened, or only after it was there."""
    if outcome.opened is False:
        return ["the run opened none of its data"]
    judged = _model_of(made)
    if judged and set(judged) <= set(outcome.early):
        return [f"{judged[0]} was written before the run opened any of its data"]
    return []


def _model_of(made: Iterable[str]) -> list[str]:
    """Return the files that are the model: the one that is by its name, else all."""
    names = list(made)
    named = [path for path in names if PurePosixPath(path).suffix.lower() in SUFFIXES]
    return [model_file(named)] if named else names


def _shown(record: Record, start: Evidence) -> dict[str, str]:
    """Return what the run was shown, by sha256: its code and its data."""
    said = start.predicate
    shown = {str(file["sha256"]): f"the code file {file['path']}" for file in said["code"].get("files", ())}
    for item in said["inputs"]:
        whole = str(item["sha256"])
        shown |= dict.fromkeys(contents_of(record, whole) | {whole}, f"the dataset {item['name']}")
    return shown


def _elsewhere(record: Record, start: Evidence) -> dict[str, str]:
    """Return the files that runs under another seal, or under none, have left, by sha256."""
    found: dict[str, str] = {}
    for finish in record.of_kind(kinds.TRAINING_FINISH):
        other = record.by_digest(kinds.start_of(finish.predicate))
        if other is None or other.predicate.get("seal") != start.predicate["seal"]:
            details: Mapping[str, Any] = finish.predicate["runDetails"]
            run = other.predicate["run"] if other else "of nobody"
            where = f"an output of run {run}, which began under another seal"
            found |= {str(file["sha256"]): where for file in details.get("files", ()) if isinstance(file, Mapping)}
    return found
