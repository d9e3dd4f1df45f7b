"""The eye: what was opened and written, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from custody.adapters import observe
from custody.adapters.observe import Eye, Seen


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("a")
    (tmp_path / "many" / "deep").mkdir(parents=True)
    (tmp_path / "many" / "deep" / "one.csv").write_text("b")
    (tmp_path / "out").mkdir()
    return tmp_path


def read(place: Path) -> None:
    (place / "table.csv").read_text()


def read_deep(place: Path) -> None:
    (place / "many" / "deep" / "one.csv").read_text()


def look(place: Path) -> None:
    assert list((place / "many").iterdir())
    assert (place / "table.csv").stat().st_size == 1


def write(place: Path) -> None:
    (place / "out" / "m").write_text("x")


def move(place: Path) -> None:
    (place / "draft").write_text("x")
    (place / "draft").rename(place / "out" / "m")


@pytest.mark.parametrize(
    ("acts", "seen"),
    [
        ([], Seen(False)),
        ([read], Seen(True)),
        ([read_deep], Seen(True)),
        ([look], Seen(False)),
        ([read, write], Seen(True)),
        ([write], Seen(False, ("m",))),
        ([write, read], Seen(True, ("m",))),
        ([move, read_deep], Seen(True, ("m",))),
        ([write, read, write], Seen(True)),
    ],
)
def test_what_happened_is_seen_in_its_order(place: Path, acts: list[Callable[[Path], None]], seen: Seen) -> None:
    with Eye([place / "table.csv", place / "many"], place / "out") as eye:
        for act in acts:
            act(place)
        assert eye.seen() == seen


def test_what_cannot_be_watched_is_not_known(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Eye([], place / "out") as eye:
        assert eye.seen() == Seen(None)
    monkeypatch.setattr(observe, "_FOLDERS", 1)
    with Eye([place / "many"], place / "out") as eye:
        read_deep(place)
        assert eye.seen() == Seen(None)
