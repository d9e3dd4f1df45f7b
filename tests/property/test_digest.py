"""Whatever the bytes: the digest tells files apart, and encryption gives all back or nothing."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from custody.errors import InvalidInput, Tampered
from custody.seal import cipher
from custody.seal.blocks import digest_dataset, locate
from custody.seal.digest import copy_verified, verify, walk
from custody.seal.parquet import NotParquet, row_groups

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)
trees = st.dictionaries(names, st.binary(max_size=300), min_size=1, max_size=5)
texts = st.lists(st.sampled_from(["a", "b,1", "", "c;2"]), max_size=1200)
KEY = bytes(range(32))


def _tree(files: dict[str, bytes]) -> Path:
    folder = Path(tempfile.mkdtemp())
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils is not installed")
@given(trees)
@example({" leading": b"", "trailing ": b"x", "*star": b"y", "-dash": b"z", "#": b"", "a": b"1"})
def test_coreutils_accepts_every_manifest(files: dict[str, bytes]) -> None:
    folder = _tree(files)
    try:
        try:
            manifest = walk(folder)
        except InvalidInput:
            return
        assert {file.path: file.size for file in manifest.files} == {n: len(d) for n, d in files.items()}
        check = ["sha256sum", "--check", "--strict", "--quiet"]
        done = subprocess.run(check, cwd=folder, input=manifest.text().encode(), check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(folder)


@given(st.dictionaries(st.sampled_from("abcde"), st.binary(max_size=300), min_size=1), st.data())
def test_every_change_of_a_byte_changes_the_digest_and_is_named(files: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(files)))
    other = data.draw(st.binary(max_size=300))
    assume(other != files[name])
    folder = _tree(files)
    try:
        before, blocks = digest_dataset(folder)
        assert (verify(folder, before), locate(blocks, folder)) == ([], [])
        (folder / name).write_bytes(other)
        assert walk(folder).sha256 != before.sha256
        assert [change.path for change in verify(folder, before)] == [name]
        assert all(name in sentence for sentence in locate(blocks, folder))
        assert locate(blocks, folder)
        with pytest.raises(Tampered):
            copy_verified(folder, folder.with_suffix(".copy"), before)
        assert not folder.with_suffix(".copy").exists()
    finally:
        shutil.rmtree(folder)


@given(texts, texts)
def test_two_texts_are_located_apart_exactly_when_they_differ(old: list[str], new: list[str]) -> None:
    folder = _tree({"t.csv": "\n".join(old).encode()})
    try:
        blocks = digest_dataset(folder)[1]
        (folder / "t.csv").write_bytes("\n".join(new).encode())
        assert bool(locate(blocks, folder)) == ("\n".join(old) != "\n".join(new))
    finally:
        shutil.rmtree(folder)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 400))
def test_rows_moved_in_one_place_are_found_between_the_rest(rows: int, at: int, gone: int) -> None:
    """However many rows go at one place, the blocks that are named hold that place, and no row far off."""
    lines = [f"row {number}\n" for number in range(1000)]
    kept = lines[:at] + lines[at + gone :]
    assume(kept != lines)
    folder = _tree({"t.csv": "".join(lines).encode()})
    try:
        blocks = digest_dataset(folder)[1]
        (folder / "t.csv").write_text("".join(kept))
        (sentence,) = locate(blocks, folder)
        last = min(at + gone, 1000) - 1
        first_block, last_block = at // 256 * 256, min(last // 256 * 256 + 255, 999)
        removed = last - at + 1
        words = f"{removed} row{'s' if removed > 1 else ''} removed"
        expected = {
            f"t.csv rows {first_block}-{last_block} changed: {words}",
            f"t.csv changed from row {first_block} on: {words}",
        }
        assert sentence in expected
        if last < 768:
            assert sentence.startswith("t.csv rows")
    finally:
        shutil.rmtree(folder)


def _sealed(plain: bytes) -> bytes:
    return b"".join(cipher.encrypt_pieces(iter((plain,)), KEY, b"context"))


def _opened(sealed: bytes) -> bytes:
    return b"".join(cipher.decrypt_pieces(io.BytesIO(sealed), KEY, b"context"))


sizes = st.one_of(
    st.integers(0, 200),
    st.builds(lambda chunks, off: max(0, chunks * cipher.CHUNK_BYTES + off), st.integers(0, 4), st.integers(-2, 2)),
)


@given(sizes, st.integers(0, 70_000), st.integers(0, 70_000))
def test_encryption_gives_back_what_went_in_whole_or_in_part(size: int, start: int, length: int) -> None:
    plain = os.urandom(size)
    sealed = _sealed(plain)
    assert len(sealed) == 56 + size + 16 * (size // cipher.CHUNK_BYTES + 1)
    assert _opened(sealed) == plain
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(sealed)
        start, length = min(start, size), min(length, size - min(start, size))
        part = cipher.decrypt_range(Path(file.name), KEY, b"context", start, length)
        assert part == plain[start : start + length]


@given(sizes, st.data())
def test_no_flipped_bit_survives(size: int, data: st.DataObject) -> None:
    sealed = bytearray(_sealed(bytes(size)))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Tampered):
        _opened(bytes(sealed))


@given(sizes, st.data())
def test_no_cut_survives(size: int, data: st.DataObject) -> None:
    sealed = _sealed(bytes(size))
    cut = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(Tampered):
        _opened(sealed[:cut])


@given(st.binary(max_size=200))
def test_no_footer_makes_the_reader_stumble(footer: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        raw = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
        file.write(raw)
        file.flush()
        try:
            groups = row_groups(file.fileno(), len(raw))
        except NotParquet:
            return
        assert all(group.rows >= 0 for group in groups)
