"""A part of a file is what the whole has there, wherever the part begins and ends."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.adapters.vault import Vault
from custody.errors import InvalidInput
from custody.seal import cipher
from custody.seal.cipher import CHUNK_BYTES
from custody.seal.digest import walk

EDGES = [number * CHUNK_BYTES + off for number in range(5) for off in (-1, 0, 1)]
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 17]
places = st.one_of(st.integers(-5, 5 * CHUNK_BYTES), st.sampled_from(EDGES))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vault, str, dict[int, bytes]]:
    folder = tmp_path_factory.mktemp("ranges")
    (folder / "model").mkdir()
    contents = {size: random.Random(size).randbytes(size) for size in SIZES}
    for size, content in contents.items():
        (folder / "model" / f"{size}.bin").write_bytes(content)
    manifest = walk(folder / "model")
    vault = Vault(folder / "vault")
    vault.put(manifest, {file.path: folder / "model" / file.path for file in manifest.files})
    return vault, manifest.sha256, contents


@settings(max_examples=150, deadline=None)
@given(size=st.sampled_from(SIZES), start=places, length=places)
def test_a_part_is_what_the_whole_has_there(
    kept: tuple[Vault, str, dict[int, bytes]], size: int, start: int, length: int
) -> None:
    vault, sha256, contents = kept
    inside = start >= 0 and length >= 0 and start + length <= size
    if inside:
        assert vault.read_range(sha256, f"{size}.bin", start, length) == contents[size][start : start + length]
    else:
        with pytest.raises(InvalidInput):
            vault.read_range(sha256, f"{size}.bin", start, length)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=6))
def test_a_ciphertext_does_not_depend_on_how_the_plaintext_came(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    plain, path = random.Random(1).randbytes(100_000), tmp_path_factory.mktemp("pieces") / "sealed"
    ends = [0, *sorted(cuts), len(plain)]
    pieces = [plain[a:b] for a, b in itertools.pairwise(ends)]
    done = cipher.encrypt_file(pieces, path, bytes(32), b"", len(plain))
    assert cipher.decrypt_bytes(Path(path), bytes(32), b"") == plain
    assert done.seal == cipher.seal_of(path)
