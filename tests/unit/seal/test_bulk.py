from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from custody.errors import Unavailable
from custody.seal.bulk import DIRECT_FROM_BYTES, NewFile, pieces_of

LARGE = DIRECT_FROM_BYTES + 12_345


def _write(path: Path, data: bytes, **options: Any) -> NewFile:
    with NewFile(path, expected=len(data), **options) as file:
        for at in range(0, len(data), 700_001):
            piece = data[at : at + 700_001]
            file.room()[: len(piece)] = piece
            file.filled(len(piece))
    return file


@pytest.mark.parametrize("size", [0, 1, 4096, 1024 * 1024, LARGE])
def test_what_was_filled_in_is_in_the_file(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    assert _write(tmp_path / "new", data, mode=0o400).size == size
    assert (tmp_path / "new").read_bytes() == data
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o400


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for name in ("there", "link"):
        with pytest.raises(Unavailable, match=name):
            NewFile(tmp_path / name, expected=0)
    assert (tmp_path / "there").read_bytes() == b"mine"


def test_a_disk_that_takes_no_blocks_directly_takes_them_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = os.write, 0

    def write(descriptor: int, data: Any) -> int:
        nonlocal refused
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused += 1
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    data = os.urandom(LARGE)
    _write(tmp_path / "new", data)
    assert (tmp_path / "new").read_bytes() == data
    assert refused <= 1


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, LARGE, 9 * 1024 * 1024])
@pytest.mark.parametrize("refused", [False, True])
def test_a_file_is_read_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, refused: bool
) -> None:
    import fcntl

    data, real = os.urandom(size), os.preadv
    (tmp_path / "file").write_bytes(data)

    def preadv(descriptor: int, buffers: Any, at: int) -> int:
        if refused and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", preadv)
    with (tmp_path / "file").open("rb", buffering=0) as source:
        assert b"".join(bytes(piece) for piece in pieces_of(source)) == data


def test_a_full_disk_is_told_with_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="new"):
        _write(tmp_path / "new", b"x" * LARGE)
