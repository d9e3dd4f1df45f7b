"""Light is a feature: what the core install brings along is counted, weighed and listed."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = 30
MEGABYTES = 150
REGISTRY = "https://pypi.org/simple"


def lock() -> dict[str, Any]:
    return tomllib.loads((ROOT / "uv.lock").read_text())


def closure(extras: tuple[str, ...] = ()) -> set[str]:
    """Return the packages that `custody[extras]` brings on any platform, itself left out."""
    packages = {package["name"]: package for package in lock()["package"]}
    custody = packages["custody"]
    wanted = [*custody["dependencies"]]
    for extra in extras:
        wanted += custody["optional-dependencies"][extra]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()["name"]
        if name not in found and name != "custody":
            found.add(name)
            wanted += packages[name].get("dependencies", [])
    return found


def test_the_core_install_stays_under_thirty_packages() -> None:
    names = closure()
    assert {"click", "cryptography", "rich"} <= names
    assert len(names) <= PACKAGES, sorted(names)
    assert not names & {"numpy", "polars", "scikit-learn", "pandas", "pydantic", "fastapi", "torch"}


def test_the_core_install_stays_under_150_megabytes() -> None:
    weight = 0
    for name in closure():
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on another platform only
        weight += sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())
    weight += sum(path.stat().st_size for path in (ROOT / "src").rglob("*.py"))
    assert 1_000_000 < weight <= MEGABYTES * 1_000_000


def test_the_lock_names_no_other_registry_and_no_local_path() -> None:
    sources = [package["source"] for package in lock()["package"]]
    assert {source["registry"] for source in sources if "registry" in source} == {REGISTRY}
    assert [source for source in sources if "registry" not in source] == [{"editable": "."}]
    hosts = set(re.findall(r'url = "(\w+://[^/"]+)', (ROOT / "uv.lock").read_text()))
    assert hosts == {"https://files.pythonhosted.org"}
    assert "file:" not in (ROOT / "uv.lock").read_text()


def test_torch_stands_in_no_lock() -> None:
    names = {package["name"] for package in lock()["package"]}
    assert not {name for name in names if name == "torch" or name.startswith("nvidia-")}


def test_every_dependency_is_explained() -> None:
    page = (ROOT / "docs" / "explanation" / "dependencies.md").read_text()
    missing = [name for name in sorted(closure(("checks", "demo", "postgres", "hsm"))) if f"`{name}`" not in page]
    assert missing == []
