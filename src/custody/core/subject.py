"""What a statement is about: a model, dataset, run or use case, known by digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from custody.errors import InvalidInput

_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, order=True)
class Subject:
    """A thing with a name for people and a sha256 for everyone else."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        if not _HEX.match(self.sha256):
            raise InvalidInput(f"subject {self.name!r} has no valid sha256: {self.sha256!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the in-toto ResourceDescriptor."""
        return {"name": self.name, "digest": {"sha256": self.sha256}}

    @property
    def short(self) -> str:
        """Return the first twelve digits, enough for people."""
        return self.sha256[:12]


def use_case_subject(use_case: str) -> Subject:
    """Name a use case as a subject: it has no bytes of its own, so its name is hashed."""
    return Subject(f"use-case:{use_case}", hashlib.sha256(f"use-case:{use_case}".encode()).hexdigest())


def run_subject(run: str) -> Subject:
    """Name a run as a subject by its identifier."""
    return Subject(f"run:{run}", hashlib.sha256(f"run:{run}".encode()).hexdigest())
