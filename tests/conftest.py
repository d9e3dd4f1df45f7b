"""What every test shares: quiet threads, patient Hypothesis, torch tests that say when they did not run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Numeric libraries read this once, when they load; test workers already use every core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "custody", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, database=None
)
settings.register_profile("thorough", parent=settings.get_profile("custody"), max_examples=2_000)
settings.load_profile("custody")


def pytest_configure() -> None:
    """Keep what a client remembers between commands out of the real home; nobody acts by default."""
    for name in ("CUSTODY_ACTOR", "CUSTODY_PASSPHRASE"):
        os.environ.pop(name, None)
    os.environ["CUSTODY_STATE"] = tempfile.mkdtemp(prefix="custody-tests-")


def pytest_unconfigure() -> None:
    """Forget it again."""
    shutil.rmtree(os.environ["CUSTODY_STATE"], ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave torch tests to `./x test-torch`; asked for by name, its lack is an error."""
    needing = [item for item in items if item.get_closest_marker("torch")]
    if not needing or importlib.util.find_spec("torch"):
        return
    if config.getoption("markexpr") == "torch":
        raise pytest.UsageError("torch is not installed here; run ./x test-torch")
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not run: a test left out in silence reads like a test that passed."""
    if not importlib.util.find_spec("torch"):
        terminalreporter.write_line("NOT RUN here: the tests that need torch. They run by ./x test-torch")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """Give a running PostgreSQL server, one for each test process."""
    place = Path(__file__).parents[1] / "benchmarks" / "_postgres.py"
    spec = importlib.util.spec_from_file_location("custody_postgres_server", place)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
