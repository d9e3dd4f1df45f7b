"""Reading what somebody gave: regular files of bounded size, TOML in bounded time."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.errors import InvalidInput
from custody.given import read_given, read_toml


@pytest.mark.parametrize("size", [0, 1, 64])
def test_a_file_within_the_limit_is_read_whole(size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("file")
    assert read_given(tmp_path / "file", 64) == read_given(tmp_path / "link", 64) == b"x" * size


def test_a_longer_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 65)
    with pytest.raises(InvalidInput, match="65 bytes long; the limit is 64"):
        read_given(path, 64)
    os.truncate(path, 1 << 40)  # a terabyte that takes no room
    with pytest.raises(InvalidInput, match=f"{1 << 40} bytes long"):
        read_given(path, 64)


OTHERS: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_regular_file_is_refused_without_a_wait(kind: str, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    OTHERS[kind](tmp_path / "file")
    with pytest.raises(InvalidInput, match="it is not a regular file"):
        read_given(tmp_path / "file", 64)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_not_there_is_left_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_given(tmp_path / "file", 64)


def test_toml_is_read_and_a_line_of_many_dots_is_not() -> None:
    most = "a" + ".a" * 64
    assert read_toml(f'x = 1.5\n{most} = 1\nwhy = "one. two."\n')["x"] == 1.5
    began = time.process_time()
    with pytest.raises(tomllib.TOMLDecodeError, match=r"more than 64 dots stand in one line \(at line 2"):
        read_toml("x = 1\na" + ".a" * 100_000 + " = 1\n")
    assert time.process_time() - began < 0.5
