from __future__ import annotations

import json
import uuid
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.checks.artifact._versions import version_key
from custody.checks.artifact.dependencies import (
    ADVISORIES,
    dependencies,
    inspect_packages,
    look_alike,
    normal,
    to_cyclonedx,
)
from custody.checks.target import Target, Unmeasurable
from custody.core.measure import Measure, Result
from custody.errors import InvalidInput

TODAY = date(2026, 5, 10)
PINNED = [("numpy", "2.4.6"), ("scikit-learn", "1.9.1"), ("Polars", "2.1.0")]
SERIAL = "3e671687-395b-41f5-a30f-a58921a69b79"
SHA = "ab" * 32


def measure(result: Result, name: str) -> Measure:
    return next(found for found in result.measures if found.name == name)


def what(result: Result) -> str:
    return "\n".join(finding.what for finding in result.findings)


def advisory(name: str = "numpy", *events: dict[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges, "versions": more.pop("versions", [])}
    return {"id": "PYSEC-2026-1", "summary": "It overflows.", "affected": [affected], **more}


def feed(folder: Path, *advisories: dict[str, Any], fetched: str = "2026-05-01") -> Path:
    path = folder / ADVISORIES
    path.write_text(json.dumps({"fetched": fetched, "advisories": list(advisories)}))
    return path


def looked_up(folder: Path, packages: list[tuple[str, str]], *advisories: dict[str, Any], **options: Any) -> Result:
    return inspect_packages(packages, advisories=feed(folder, *advisories, **options), today=TODAY)


# -- the list --------------------------------------------------------------------------------------


def test_a_pinned_list_is_clean_but_unknown_without_advisories() -> None:
    result = inspect_packages(PINNED)
    assert measure(result, "packages").value == 3
    assert measure(result, "unpinned").value == 0
    unknown = measure(result, "known_vulnerable")
    assert unknown.value is None
    assert unknown.reason == "no advisory data"
    assert list(result.findings) == []


@pytest.mark.parametrize("version", ["", ">=2", "~=1.0", "*", "1.*", "latest", "1.0 || 2.0", "git+https://x"])
def test_what_is_not_one_version_is_unpinned(version: str) -> None:
    result = inspect_packages([("numpy", version)])
    assert measure(result, "unpinned").value == 1
    assert "not pinned" in what(result)


@pytest.mark.parametrize("version", ["1.0", "2.13.0+cpu", "1!2.0", "1.0rc1", "2024.1.post1", "1.0.dev3", "v1.2"])
def test_exact_versions_are_pinned(version: str) -> None:
    assert measure(inspect_packages([("numpy", version)]), "unpinned").value == 0


def test_duplicates_are_found_under_any_spelling() -> None:
    assert "scikit-learn is listed 2 times" in what(
        inspect_packages([("scikit_learn", "1.0"), ("Scikit.Learn", "1.1")])
    )


@pytest.mark.parametrize(
    ("name", "likeness"),
    [
        ("nunpy", "numpy"),
        ("pandsa", "pandas"),
        ("panda", "pandas"),
        ("scikitlearn", "scikit-learn"),
        ("sklearn", "scikit-learn"),
        ("reqeusts", "requests"),
        ("t0rch", "torch"),
        ("pytorch", "torch"),
        ("tensorfIow", "tensorflow"),
        ("num\u0440y", "numpy"),
    ],
)
def test_look_alikes_are_named(name: str, likeness: str) -> None:
    assert look_alike(name) == likeness


@pytest.mark.parametrize(
    "name", ["numpy", "Scikit_Learn", "torchx", "dataset", "pip", "wheel", "my-model", "six", "attrs"]
)
def test_real_names_do_not_look_alike(name: str) -> None:
    assert look_alike(name) == ""


def test_no_packages_cannot_be_measured() -> None:
    with pytest.raises(Unmeasurable):
        dependencies(Target())


# -- advisories ------------------------------------------------------------------------------------


def test_a_vulnerable_version_yields_its_advisory(tmp_path: Path) -> None:
    result = looked_up(tmp_path, PINNED, advisory("NumPy", {"introduced": "0"}, {"fixed": "2.5"}))
    assert measure(result, "known_vulnerable").value == 1
    finding = result.findings[0]
    assert finding.severity == "critical"
    assert "PYSEC-2026-1" in finding.what
    assert finding.fix == "Fixed in 2.5."


@pytest.mark.parametrize(
    ("events", "hit"),
    [
        ([{"introduced": "0"}, {"fixed": "2.4.6"}], False),
        ([{"introduced": "2.4.6"}, {"fixed": "2.4.7"}], True),
        ([{"introduced": "2.4.7"}], False),
        ([{"introduced": "0"}, {"last_affected": "2.4.6"}], True),
        ([{"introduced": "0"}, {"last_affected": "2.4.5"}], False),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.0"}, {"fixed": "3.0"}], True),
        ([{"introduced": "0"}, {"fixed": "2.4.6rc1"}], False),
        ([{"introduced": "0"}, {"fixed": "2.4.10"}], True),
    ],
)
def test_ranges_are_compared_as_versions(events: list[dict[str, str]], hit: bool, tmp_path: Path) -> None:
    result = looked_up(tmp_path, PINNED, advisory("numpy", *events))
    assert measure(result, "known_vulnerable").value == int(hit)


def test_listed_versions_count_and_withdrawn_advisories_do_not(tmp_path: Path) -> None:
    assert measure(looked_up(tmp_path, PINNED, advisory(versions=["2.4.6"])), "known_vulnerable").value == 1
    gone = advisory(versions=["2.4.6"], withdrawn="2026-01-01T00:00:00Z")
    assert measure(looked_up(tmp_path, PINNED, gone), "known_vulnerable").value == 0


def test_other_packages_and_ecosystems_do_not_count(tmp_path: Path) -> None:
    other = advisory(versions=["2.4.6"])
    other["affected"][0]["package"]["ecosystem"] = "npm"
    assert (
        measure(looked_up(tmp_path, PINNED, other, advisory("flask", {"introduced": "0"})), "known_vulnerable").value
        == 0
    )


@pytest.mark.parametrize("fetched", ["2026-04-01", "2027-01-01", "", "soon"])
def test_an_old_or_undated_feed_is_unknown(fetched: str, tmp_path: Path) -> None:
    assert measure(looked_up(tmp_path, PINNED, advisory(), fetched=fetched), "known_vulnerable").value is None


def test_an_empty_feed_is_unknown_never_zero(tmp_path: Path) -> None:
    found = measure(looked_up(tmp_path, PINNED), "known_vulnerable")
    assert found.value is None
    assert "holds no advisories" in found.reason


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b'{"advisories": 3}', b"\xff", b'{"fetched":"2026-05-01","advisories":[{}]}']
)
def test_a_broken_feed_is_unknown(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "feed.json").write_bytes(raw)
    result = inspect_packages(PINNED, advisories=tmp_path / "feed.json", today=TODAY)
    assert measure(result, "known_vulnerable").value is None
    assert measure(result, "packages").value == 3


def test_a_missing_feed_is_unknown(tmp_path: Path) -> None:
    result = inspect_packages(PINNED, advisories=tmp_path / "none", today=TODAY)
    assert measure(result, "known_vulnerable").value is None


def test_an_unpinned_package_with_an_advisory_is_unknown(tmp_path: Path) -> None:
    found = measure(looked_up(tmp_path, [("numpy", ">=1")], advisory("numpy", {"introduced": "0"})), "known_vulnerable")
    assert found.value is None
    assert "cannot be compared" in found.reason


def test_the_check_reads_the_feed_from_its_target(tmp_path: Path) -> None:
    path = feed(tmp_path, advisory(versions=["2.4.6"]), fetched=date.today().isoformat())  # noqa: DTZ011
    result = dependencies(Target(packages=PINNED, files={ADVISORIES: path}))
    assert measure(result, "known_vulnerable").value == 1


# -- versions --------------------------------------------------------------------------------------


def test_versions_sort_as_pep_440_says() -> None:
    ordered = [
        "1.0.dev1",
        "1.0a1.dev1",
        "1.0a1",
        "1.0b2",
        "1.0rc1",
        "1.0",
        "1.0.post1.dev2",
        "1.0.post1",
        "1.0.1",
        "1.10",
        "1!0.1",
    ]
    keys = [version_key(text) for text in ordered]
    assert None not in keys
    assert keys == sorted(keys)  # type: ignore[type-var]
    assert version_key("1.0") == version_key("1.0.0") == version_key("v1") == version_key("1.0+local")


@given(st.text(max_size=30))
def test_any_text_has_a_key_or_none(text: str) -> None:
    key = version_key(text)
    assert key is None or key == version_key(text)


# -- bill of materials -----------------------------------------------------------------------------


def test_the_bill_of_materials_has_what_cyclonedx_requires() -> None:
    bill = to_cyclonedx([*PINNED, ("torch", "2.13.0+cpu"), ("numpy", "2.4.6"), ("odd", "")], "fraud model", SHA, SERIAL)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill["serialNumber"] == f"urn:uuid:{uuid.UUID(SERIAL)}"
    model = bill["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": SHA}]
    purls = [component["purl"] for component in bill["components"]]
    assert "pkg:pypi/scikit-learn@1.9.1" in purls
    assert "pkg:pypi/torch@2.13.0%2Bcpu" in purls
    assert "pkg:pypi/polars@2.1.0" in purls
    assert "pkg:pypi/odd" in purls
    references = [model["bom-ref"], *(component["bom-ref"] for component in bill["components"])]
    assert len(references) == len(set(references)) == 6
    assert [entry["ref"] for entry in bill["dependencies"]] == references
    assert bill["dependencies"][0]["dependsOn"] == references[1:]
    assert all(component["type"] == "library" and component["name"] for component in bill["components"])
    assert json.loads(json.dumps(bill)) == bill


def test_the_same_input_gives_the_same_bill() -> None:
    assert to_cyclonedx(PINNED, "m", SHA, SERIAL) == to_cyclonedx(PINNED[::-1], "m", SHA, f"urn:uuid:{SERIAL}")


@pytest.mark.parametrize(("sha", "serial"), [("ab", SERIAL), (SHA, "1"), (SHA.upper(), SERIAL)])
def test_malformed_identifiers_are_refused(sha: str, serial: str) -> None:
    with pytest.raises(InvalidInput):
        to_cyclonedx(PINNED, "m", sha, serial)


def test_names_are_compared_as_pep_503_says() -> None:
    assert normal(" Scikit__Learn.Extra ") == "scikit-learn-extra"
