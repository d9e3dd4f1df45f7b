"""Listing, importing and asking for help are instant and change nothing."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import click

HEAVY = ("numpy", "polars", "sklearn", "scipy", "pandas", "torch", "cryptography", "rich", "jsonschema")

HELP = """
import json, sys
sys.argv = ["custody", "--help"]
from custody.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

EVERYTHING = """
import importlib, json, pkgutil, sys
import custody, custody_verify
names = []
for package in (custody, custody_verify):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            names.append(module.name)
print(json.dumps([names, sorted(sys.modules)]), file=sys.stderr)
"""

REGISTRY = """
import json, sys
from custody.checks.registry import registry
names = sorted(registry())
print(json.dumps([names, sorted(sys.modules)]), file=sys.stderr)
"""


def python(code: str, folder: Path) -> str:
    """Run `code` in a fresh interpreter in `folder` and return what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.strip().splitlines()[-1]


def heavy(loaded: list[str]) -> list[str]:
    return [name for name in HEAVY if name in loaded]


def test_help_loads_no_heavy_library(tmp_path: Path) -> None:
    loaded = json.loads(python(HELP, tmp_path))
    assert "custody.cli.main" in loaded
    assert heavy(loaded) == []


def test_importing_any_module_loads_no_heavy_library_and_writes_nothing(tmp_path: Path) -> None:
    names, loaded = json.loads(python(EVERYTHING, tmp_path))
    assert "custody.core.gate" in names
    assert heavy(loaded) == []
    assert list(tmp_path.iterdir()) == []


def test_listing_the_checks_loads_no_heavy_library(tmp_path: Path) -> None:
    names, loaded = json.loads(python(REGISTRY, tmp_path))
    assert len(names) >= 10
    assert heavy(loaded) == []


def cpu_seconds(code: str, folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(code, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_help_takes_at_most_a_quarter_of_a_cpu_second_when_warm(tmp_path: Path) -> None:
    """The bar is CPU time of the best of five starts: other work on the machine is not Custody's."""
    times = [cpu_seconds(HELP, tmp_path) for _ in range(5)]
    assert min(times) <= 0.25, times


def test_help_reads_as_the_life_of_a_model_in_at_most_fifteen_verbs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "custody", "--help"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    from custody.cli.main import NOUNS, VERBS, custody

    verbs = custody.list_commands(click.Context(custody))
    assert 10 <= len(VERBS) <= 15, verbs
    assert verbs == [*VERBS, *NOUNS]
    places = [done.stdout.find(f"\n  {verb} ") for verb in verbs]
    assert -1 not in places, dict(zip(verbs, places, strict=True))
    assert places == sorted(places)
    life = ["init", "source", "data", "gate", "run", "validate", "deploy", "watch", "incident", "retire"]
    assert [verb for verb in verbs if verb in life] == life
