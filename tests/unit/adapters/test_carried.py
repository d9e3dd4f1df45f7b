"""A bundle is a ledger that is only read, and believed only after it was verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custody.adapters.carried import BundleStore
from custody.core import predicates as kinds
from custody.core.access import Action
from custody.core.subject import Subject
from custody.errors import InvalidInput, NotFound, NotPermitted, Tampered, Unavailable
from custody.ledger.trust import Trust, read_trust
from custody.stages.audit import passport
from custody.testing import honest_life
from custody.wiring.stranger import desk_over


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Trust, int]:
    folder = tmp_path_factory.mktemp("given")
    life = honest_life(folder / "life")
    bundle, trust = life.export(folder / "export")
    return bundle.read_bytes(), read_trust(trust), life.record.size


def test_a_stranger_reads_what_the_project_reads(given: tuple[bytes, Trust, int]) -> None:
    bundle, trust, size = given
    desk = desk_over(bundle, trust)
    assert desk.read().size == size
    report = passport(desk, "loans")
    assert report.verdict == "GO"
    fresh = next(fact for fact in report.facts if fact.label == "Freshness")
    assert (fresh.value, fresh.detail) == ("unproven", "freshness unproven")


def test_a_pin_in_the_trust_file_makes_it_consistent_or_refuses_it(given: tuple[bytes, Trust, int]) -> None:
    bundle, trust, size = given
    root = desk_over(bundle, trust).read().root
    pinned = Trust(trust.origin, trust.log_key, trust.owner_key, seen_size=size, seen_root=root)
    fresh = next(fact for fact in passport(desk_over(bundle, pinned), "loans").facts if fact.label == "Freshness")
    assert fresh.detail == f"consistent with the {size} entries seen before"
    for wrong in (
        Trust(trust.origin, trust.log_key, trust.owner_key, seen_size=size + 1, seen_root=root),
        Trust(trust.origin, trust.log_key, trust.owner_key, seen_size=size, seen_root="00" * 32),
        Trust(trust.origin, trust.log_key, trust.owner_key, version=2, digest="00" * 32),
        Trust(trust.origin, trust.log_key, "00" * 32),
    ):
        with pytest.raises(Tampered):
            desk_over(bundle, wrong)


def test_nothing_is_written_to_a_bundle(given: tuple[bytes, Trust, int]) -> None:
    bundle, trust, _ = given
    desk = desk_over(bundle, trust)
    with pytest.raises(NotPermitted, match="only read"):
        desk.permit("otto", Action.OPEN_INCIDENT).write(Subject("x", "00" * 32), kinds.INCIDENT, {})
    store = BundleStore(bundle)
    with pytest.raises(Unavailable, match="only read"):
        store.append([], lambda *_: "")
    with pytest.raises(Unavailable, match="only read"):
        store.cosign(1, "")


def test_an_altered_removed_or_moved_entry_is_refused(given: tuple[bytes, Trust, int]) -> None:
    bundle, trust, _ = given
    lines = bundle.split(b"\n")
    swapped = [*lines[:5], lines[6], lines[5], *lines[7:]]
    removed = [*lines[:5], *lines[6:]]
    for wrong in (swapped, removed):
        with pytest.raises(Tampered):
            desk_over(b"\n".join(wrong), trust)
    entry = json.loads(lines[5].removesuffix(b","))
    entry["dsseEnvelope"]["signatures"][0]["sig"] = json.loads(lines[6].removesuffix(b","))["dsseEnvelope"][
        "signatures"
    ][0]["sig"]
    forged = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode() + b","
    with pytest.raises((Tampered, InvalidInput)):
        desk_over(b"\n".join([*lines[:5], forged, *lines[6:]]), trust)


@pytest.mark.parametrize(
    "wrong", [b"", b"{}", b"hello\n]}\n", b'{"format":"x","checkpoint":"","entries":[\n]}\n'], ids=range(4)
)
def test_what_is_no_bundle_is_bad_input(given: tuple[bytes, Trust, int], wrong: bytes) -> None:
    with pytest.raises(InvalidInput):
        desk_over(wrong, given[1])


def test_a_model_that_is_not_in_it_is_not_found(given: tuple[bytes, Trust, int]) -> None:
    bundle, trust, _ = given
    with pytest.raises(NotFound):
        passport(desk_over(bundle, trust), "loans", "nosuch")


def test_the_command_needs_no_project_and_refuses_what_was_changed(tmp_path: Path) -> None:
    import subprocess
    import sys

    bundle, trust = honest_life(tmp_path / "life").export(tmp_path / "export")
    changed = tmp_path / "changed.json"
    changed.write_bytes(bundle.read_bytes().replace(b'"sig":"MEQ', b'"sig":"MEU', 1).replace(b"MEUCIA", b"MEUCIB", 1))
    assert changed.read_bytes() != bundle.read_bytes()
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, code in (
        (["--bundle", str(bundle), "--trust", str(trust)], 0),
        (["--bundle", str(changed), "--trust", str(trust)], 4),
        (["--bundle", str(bundle)], 2),
        (["--bundle", str(bundle), "--trust", str(tmp_path / "missing")], 2),
        ([], 3),
    ):
        page = empty / "page.html"
        page.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "custody", "audit", "report", "-o", str(page), *words],
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert page.exists() == (code == 0)
        assert "Traceback" not in done.stderr
