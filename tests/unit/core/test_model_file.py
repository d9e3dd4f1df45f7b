"""One rule says which file is the model, for whoever measures it and whoever serves it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import custody.adapters
from custody.core.model_file import model_file
from custody.errors import InvalidInput

NAMES = st.sampled_from(
    ["a.joblib", "model.joblib", "model.pkl", "b.PKL", "deep/model.pickle", "metrics.json", "model.txt", "modelx.pkl"]
)


def behind_the_wall() -> ModuleType:
    """Load the program that opens models inside the sandbox; it is no module of the package."""
    path = Path(custody.adapters.__path__[0]) / "inside" / "serve_model.py"
    spec = importlib.util.spec_from_file_location("serve_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SERVER = behind_the_wall()


def test_the_only_loadable_file_is_the_model() -> None:
    assert model_file(["metrics.json", "forest.joblib"]) == "forest.joblib"


def test_among_several_the_one_named_model_is_it() -> None:
    assert model_file(["a.joblib", "model.joblib"]) == "model.joblib"


@pytest.mark.parametrize("names", [[], ["metrics.json"], ["a.pkl", "b.pkl"], ["model.pkl", "model.joblib"]])
def test_no_single_model_is_no_model(names: list[str]) -> None:
    with pytest.raises(InvalidInput):
        model_file(names)


@given(names=st.lists(NAMES, unique=True, max_size=5))
@settings(max_examples=60, deadline=None)
def test_who_measures_and_who_serves_choose_the_same_file(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    try:
        measured = str(Path(SERVER.find_model(str(folder))).relative_to(folder))
    except SERVER.RefusalError:
        measured = ""
    try:
        served = model_file(names)
    except InvalidInput:
        served = ""
    assert measured == served
