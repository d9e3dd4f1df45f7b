from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from custody.checks.artifact.scan import scan_files

pytestmark = pytest.mark.torch


def values(folder: Path, content: bytes) -> list[float | None]:
    (folder / "model.pt").write_bytes(content)
    return [measure.value for measure in scan_files({"model.pt": folder / "model.pt"}).measures]


def saved(value: Any, **options: Any) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def network() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1), nn.Sigmoid())


def test_saved_weights_and_modules_are_clean(tmp_path: Path) -> None:
    import torch

    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    for value in (model.state_dict(), model, {"optimizer": optimizer.state_dict(), "epoch": 3, "kind": torch.float16}):
        assert values(tmp_path, saved(value)) == [0, 0, 0]
        assert values(tmp_path, saved(value, _use_new_zipfile_serialization=False)) == [0, 0, 0]


class Printing:
    def __reduce__(self) -> Any:
        return print, ("museum",)


@pytest.mark.parametrize("new", [True, False])
def test_an_object_that_acts_is_caught_in_both_formats(new: bool, tmp_path: Path, capsys: Any) -> None:
    import torch

    raw = saved({"weights": torch.ones(3), "x": Printing()}, _use_new_zipfile_serialization=new)
    torch.load(io.BytesIO(raw), weights_only=False)
    assert "museum" in capsys.readouterr().out
    assert values(tmp_path, raw)[0] == 1


def test_a_tensor_in_a_plain_pickle_is_followed_into_its_bytes(tmp_path: Path) -> None:
    import pickle

    import torch

    assert values(tmp_path, pickle.dumps(torch.ones(3))) == [0, 0, 0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_is_not_clean(tmp_path: Path) -> None:
    import torch

    torch.jit.save(torch.jit.trace(network().eval(), torch.ones(2, 4)), str(tmp_path / "script.pt"))
    result = scan_files({"script.pt": tmp_path / "script.pt"})
    assert [measure.value for measure in result.measures] == [0, 1, 1]
