"""Files written by torch itself are judged without loading them: clean ones are clean, a planted payload is found.

Run by `./x test-torch`. The payload is inert: it would set an environment variable.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from custody.checks.artifact.scan import scan_files
from custody.core.measure import Measure, Result

pytestmark = pytest.mark.torch

FLAG = "CUSTODY_TEST_PAYLOAD_RAN"


class Payload:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"import os; os.environ[{FLAG!r}] = '1'",))


def network() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))


def measure(result: Result, name: str) -> Measure:
    return next(found for found in result.measures if found.name == name)


@pytest.fixture
def no_payload_ran(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv(FLAG, raising=False)
    yield
    assert FLAG not in os.environ


@pytest.mark.usefixtures("no_payload_ran")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_weights_as_torch_saves_them_are_clean(tmp_path: Path, zipped: bool) -> None:
    import torch

    path = tmp_path / "weights.pt"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=zipped)
    result = scan_files({"weights.pt": path})
    assert measure(result, "critical_findings").value == 0, result.findings
    assert measure(result, "unread_files").value == 0, result.findings


@pytest.mark.usefixtures("no_payload_ran")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_payload_beside_real_weights_is_critical(tmp_path: Path, zipped: bool) -> None:
    import torch

    path = tmp_path / "weights.pt"
    torch.save({**network().state_dict(), "extra": Payload()}, path, _use_new_zipfile_serialization=zipped)
    result = scan_files({"weights.pt": path})
    found = measure(result, "critical_findings")
    assert found.value is not None
    assert found.value >= 1
    assert any(finding.severity == "critical" and "weights.pt" in finding.where for finding in result.findings)


@pytest.mark.usefixtures("no_payload_ran")
def test_a_whole_network_with_a_payload_in_it_is_critical(tmp_path: Path) -> None:
    import torch

    model = network()
    model.hook = Payload()
    path = tmp_path / "model.pt"
    torch.save(model, path)
    found = measure(scan_files({"model.pt": path}), "critical_findings")
    assert found.value is not None
    assert found.value >= 1


@pytest.mark.usefixtures("no_payload_ran")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_network_brings_a_program_of_its_own_and_is_never_called_clean(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "scripted.pt"
    torch.jit.script(network()).save(str(path))
    result = scan_files({"scripted.pt": path})
    unread, critical = measure(result, "unread_files").value, measure(result, "critical_findings").value
    assert unread is not None
    assert critical is not None
    assert unread + critical >= 1


def test_the_payload_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this, a payload that never worked would make the scanner look good."""
    monkeypatch.setenv(FLAG, "")
    pickle.loads(pickle.dumps(Payload()))
    assert os.environ[FLAG] == "1"
