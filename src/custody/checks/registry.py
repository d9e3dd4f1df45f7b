"""Where checks are found: a check is one file, and its id is its path.

`fairness/group_gaps.py` is the check `fairness.group_gaps`. Adding the file is all there is to do:
the command line, the gate vocabulary, the documentation page and the contract test read this registry.
Check modules import heavy libraries inside their functions, so that listing them stays instant.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from custody.checks.target import Target, Unmeasurable
from custody.core.measure import Measure, Result
from custody.core.stage import Stage

Function = Callable[[Target], Result]


@dataclass(frozen=True)
class Scale:
    """What values a measure can take and which direction is better.

    `at` names the keys a criterion must give to say which of several measures it means:
    `("by",)` for group gaps, `("features",)` for an attack budget.
    """

    lowest: float
    highest: float
    better: str
    """"higher" or "lower"."""
    unit: str
    about: str
    at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """Two tiny targets and the bound between them: the check must tell them apart."""

    measure: str
    clean: Callable[[], Target]
    caught: Callable[[], Target]
    at_most: float | None = None
    at_least: float | None = None
    at: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A registered check: its id, its question, what it measures and how to run it."""

    id: str
    stage: Stage
    question: str
    measures: Mapping[str, Scale]
    function: Function
    example: Example | None
    sensitive: bool = False
    """Findings and details may tell of persons: on record stands a commitment to them, not they themselves."""

    def run(self, target: Target) -> Result:
        """Measure; every declared measure is answered, if only with *unknown* and a reason.

        A crash is a result too: it is reported as unknown, with the error's text. Only
        interrupts by the user and the end of memory pass through.
        """
        try:
            result = self.function(target)
        except Unmeasurable as error:
            return self.unknown(str(error))
        except ImportError as error:
            package = (error.name or "a library").split(".")[0]
            return self.unknown(f"{package} is not installed; run: pip install 'custody[checks]'")
        except Exception as error:  # noqa: BLE001 - a crash becomes recorded evidence of unknown
            return self.unknown(f"the check crashed: {type(error).__name__}: {str(error)[:300]}")
        stray = [measure.name for measure in result.measures if measure.name not in self.measures]
        if stray:
            return self.unknown(f"the check returned measures it never declared: {', '.join(stray)}")
        answered = {measure.name for measure in result.measures}
        missing = [Measure.unknown(name, "the check did not answer") for name in self.measures if name not in answered]
        return Result([*(measure.settled() for measure in result.measures), *missing], result.findings, result.details)

    def unknown(self, reason: str) -> Result:
        """Answer every measure with unknown."""
        return Result([Measure.unknown(name, reason) for name in self.measures])


def check(
    *, stage: Stage, measures: Mapping[str, Scale], example: Example | None = None, sensitive: bool = False
) -> Callable[[Function], Function]:
    """Declare a function as the check of its module."""

    def register(function: Function) -> Function:
        name = function.__module__.removeprefix("custody.checks.")
        question = (importlib.import_module(function.__module__).__doc__ or "").strip().splitlines()[:1]
        _FOUND[name] = Check(name, stage, question[0] if question else "", measures, function, example, sensitive)
        return function

    return register


_FOUND: dict[str, Check] = {}


@cache
def registry() -> Mapping[str, Check]:
    """Import every check module once and return the checks by id, sorted."""
    package = importlib.import_module("custody.checks")
    for module in pkgutil.walk_packages(package.__path__, "custody.checks."):
        parts = module.name.split(".")[2:]
        if module.ispkg or len(parts) < 2 or any(part.startswith("_") for part in parts):
            continue
        importlib.import_module(module.name)
    return dict(sorted(_FOUND.items()))


def vocabulary() -> dict[str, Scale]:
    """Return every measure a criterion may ask for: `check id` + `.` + `measure name`."""
    return {
        f"{name}.{measure}": scale for name, found in registry().items() for measure, scale in found.measures.items()
    }


@cache
def evaluator_digest() -> str:
    """Return the sha256 over the source and the lists of all checks: which ruler was used.

    The seal names it before training; a result measured by another ruler does not count.
    """
    root = Path(__file__).parent
    whole = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".json")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{digest}  {path.relative_to(root).as_posix()}\n".encode())
    return whole.hexdigest()
