from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from custody.errors import InvalidInput, Tampered
from custody.seal.blocks import Block, digest_dataset, locate
from custody.seal.digest import walk
from custody.seal.parquet import NotParquet, row_groups

ROWS = 1000


@pytest.fixture
def table(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    _write(folder, _lines())
    (folder / "note.bin").write_bytes(bytes(200_000))
    return folder


def _lines(rows: int = ROWS) -> list[str]:
    return ["id,amount,label", *(f"{row},{row * 7 % 100},{row % 2}" for row in range(rows - 1))]


def _write(folder: Path, lines: list[str]) -> None:
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def test_one_read_gives_the_manifest_and_the_blocks(table: Path) -> None:
    manifest, blocks = digest_dataset(table)
    assert manifest == walk(table)
    shape = [(block.file, block.unit, block.first, block.count) for block in blocks]
    assert shape == [
        ("note.bin", "bytes", 0, 65536),
        ("note.bin", "bytes", 65536, 65536),
        ("note.bin", "bytes", 131072, 65536),
        ("note.bin", "bytes", 196608, 3392),
        ("train.csv", "rows", 0, 256),
        ("train.csv", "rows", 256, 256),
        ("train.csv", "rows", 512, 256),
        ("train.csv", "rows", 768, 232),
    ]
    again = [Block.from_json(json.loads(json.dumps(block.to_json()))) for block in blocks]
    assert again == blocks
    assert locate(again, table) == []


def _changed(lines: list[str], row: int) -> list[str]:
    return [*lines[:row], lines[row].replace(",", ",9", 1), *lines[row + 1 :]]


LINES = _lines()
FAULTS: dict[str, tuple[list[str], list[str]]] = {
    "one cell": (_changed(LINES, 300), ["train.csv rows 256-511 changed"]),
    "two cells far apart": (
        _changed(_changed(LINES, 0), 999),
        ["train.csv rows 0-255 changed", "train.csv rows 768-999 changed"],
    ),
    "two neighbouring blocks": (_changed(_changed(LINES, 255), 256), ["train.csv rows 0-511 changed"]),
    "two rows exchanged": (
        [*LINES[:10], LINES[600], *LINES[11:600], LINES[10], *LINES[601:]],
        ["train.csv rows 0-255 changed", "train.csv rows 512-767 changed"],
    ),
    "rows inserted": (
        [*LINES[:300], "x,1,1", "y,1,1", "z,1,1", *LINES[300:]],
        ["train.csv rows 256-511 changed: 3 rows added"],
    ),
    "a row inserted at the start": (["x", *LINES], ["train.csv rows 0-255 changed: 1 row added"]),
    "rows removed": ([*LINES[:300], *LINES[310:]], ["train.csv rows 256-511 changed: 10 rows removed"]),
    "a whole block removed": ([*LINES[:256], *LINES[512:]], ["train.csv rows 256-511 changed: 256 rows removed"]),
    "more than a block removed": (
        [*LINES[:260], *LINES[760:]],
        ["train.csv rows 256-767 changed: 500 rows removed"],
    ),
    "inserted here, removed there": (
        [*LINES[:300], "x", "y", *LINES[300:900], *LINES[901:]],
        ["train.csv changed from row 256 on: 1 row added"],
    ),
    "rows appended": ([*LINES, "x", "y"], ["train.csv: 2 rows added at the end (rows 1000-1001)"]),
    "cut off": (LINES[:700], ["train.csv changed from row 512 on: 300 rows removed"]),
    "the last row lost": (LINES[:999], ["train.csv rows 768-999 changed: 1 row removed"]),
    "emptied": ([], ["train.csv changed from row 0 on: 999 rows removed"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_is_located_to_rows(table: Path, fault: str) -> None:
    blocks = digest_dataset(table)[1]
    lines, sentences = FAULTS[fault]
    _write(table, lines)
    assert locate(blocks, table) == sentences
    _write(table, LINES)
    assert locate(blocks, table) == []


def test_a_lost_line_end_is_a_change(table: Path) -> None:
    blocks = digest_dataset(table)[1]
    os.truncate(table / "train.csv", (table / "train.csv").stat().st_size - 1)
    assert locate(blocks, table) == ["train.csv rows 768-999 changed"]


def test_larger_files_have_larger_blocks(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    line = '{"amount": 10, "text": "%s"}\n' % ("x" * 20)
    for rows, block in ((30_000, 512), (150_000, 4096), (1_000_000, 16384)):
        path.write_text(line * rows)
        blocks = digest_dataset(path)[1]
        assert {found.count for found in blocks[:-1]} == {block}
        assert sum(found.count for found in blocks) == rows
        with path.open("r+b") as file:
            file.seek(len(line) * (block + 5))
            file.write(b"X")
        assert locate(blocks, path) == [f"large.jsonl rows {block}-{2 * block - 1} changed"]


def test_long_rows_do_not_make_huge_blocks(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes((b"1," * 500 + b"\n") * 20_000)
    assert max(block.count for block in digest_dataset(path)[1]) * 1001 < 9 * 1024 * 1024


def test_files_without_lines_are_located_by_bytes(table: Path) -> None:
    blocks = digest_dataset(table)[1]
    with (table / "note.bin").open("r+b") as file:
        file.seek(70_000)
        file.write(b"X")
    assert locate(blocks, table) == ["note.bin bytes 65536-131071 changed"]
    (table / "note.bin").write_bytes(bytes(200_001))
    assert locate(blocks, table) == ["note.bin: 1 byte added at the end (bytes 200000-200000)"]


def test_added_and_missing_files_are_named(table: Path) -> None:
    blocks = digest_dataset(table)[1]
    (table / "note.bin").unlink()
    (table / "evil.csv").write_text("a\n")
    assert locate(blocks, table) == ["evil.csv was added", "note.bin is missing"]
    (table / "link").symlink_to("evil.csv")
    with pytest.raises(Tampered, match="link"):
        locate(blocks, table)


def test_an_empty_file_has_a_block(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    blocks = digest_dataset(tmp_path)[1]
    assert [block.count for block in blocks] == [0]
    assert locate(blocks, tmp_path) == []
    (tmp_path / "empty.csv").write_bytes(b"abc")
    assert len(locate(blocks, tmp_path)) == 1


def test_an_empty_folder_has_no_blocks(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no files"):
        digest_dataset(tmp_path)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pl = pytest.importorskip("polars")
    folder = tmp_path_factory.mktemp("parquet")
    rows = pl.int_range(1_000_000, eager=True)
    frame = pl.DataFrame({"id": rows, "amount": (rows * 7919 % 10_007) / 7, "label": rows % 2 == 0})
    frame.write_parquet(folder / "before.parquet", row_group_size=100_000)
    amounts = frame["amount"].to_list()
    amounts[345_678] += 1.0
    frame.with_columns(pl.Series("amount", amounts)).write_parquet(folder / "after.parquet", row_group_size=100_000)
    frame.drop("label").write_parquet(folder / "column.parquet", row_group_size=100_000)
    frame.head(950_000).write_parquet(folder / "fewer.parquet", row_group_size=100_000)
    frame.write_parquet(folder / "wider.parquet", row_group_size=200_000)
    pl.DataFrame({"city": ["Bern", "Oslo"] * 5_000}).write_parquet(folder / "dictionary.parquet")
    frame.head(0).write_parquet(folder / "none.parquet")
    return folder


def _placed(tmp_path: Path, source: Path) -> Path:
    target = tmp_path / "x.parquet"
    target.write_bytes(source.read_bytes())
    return target


def test_one_cell_among_a_million_is_located_to_its_row_group(parquet: Path, tmp_path: Path) -> None:
    path = _placed(tmp_path, parquet / "before.parquet")
    manifest, blocks = digest_dataset(path)
    assert manifest == walk(path)
    assert [block.unit for block in blocks] == ["row_group"] * 10 + ["rest"]
    assert sum(block.count for block in blocks[:-1]) == 1_000_000
    assert locate(blocks, path) == []
    _placed(tmp_path, parquet / "after.parquet")
    assert locate(blocks, path) == ["row group 3 of x.parquet (rows 300000-399999) changed"]


def test_lost_rows_and_columns_of_parquet_are_noticed(parquet: Path, tmp_path: Path) -> None:
    blocks = digest_dataset(_placed(tmp_path, parquet / "before.parquet"))[1]
    path = _placed(tmp_path, parquet / "fewer.parquet")
    assert locate(blocks, path) == [
        "row group 9 of x.parquet (rows 900000-999999) changed; it now has 50000 rows",
        "x.parquet has 950000 rows instead of 1000000",
    ]
    _placed(tmp_path, parquet / "wider.parquet")
    assert locate(blocks, path)[-1] == "x.parquet has 5 row groups instead of 10"
    _placed(tmp_path, parquet / "column.parquet")
    assert len(locate(blocks, path)) == 10
    path.write_bytes(b"PAR1 no longer")
    assert locate(blocks, path) == ["x.parquet can no longer be read as Parquet"]


def test_every_flipped_byte_of_parquet_is_located(parquet: Path, tmp_path: Path) -> None:
    path = _placed(tmp_path, parquet / "before.parquet")
    raw = path.read_bytes()
    blocks = digest_dataset(path)[1]
    for at in [0, 3, 4, 1000, len(raw) // 2, len(raw) - 400, len(raw) - 9, len(raw) - 5, len(raw) - 1]:
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        assert locate(blocks, path), at


def test_a_footer_changed_alone_is_told_apart(parquet: Path, tmp_path: Path) -> None:
    path = _placed(tmp_path, parquet / "before.parquet")
    blocks = digest_dataset(path)[1]
    raw = path.read_bytes()
    assert raw.count(b"Polars") >= 1
    at = raw.rindex(b"Polars")
    path.write_bytes(raw[:at] + b"Polers" + raw[at + 6 :])
    assert locate(blocks, path) == ["the schema or statistics of x.parquet changed; its row groups did not"]


def test_a_parquet_file_without_rows_has_only_a_rest(parquet: Path) -> None:
    blocks = digest_dataset(parquet / "none.parquet")[1]
    assert blocks[-1].unit == "rest"
    assert sum(block.count for block in blocks[:-1]) == 0


def test_row_groups_agree_with_another_reader(parquet: Path) -> None:
    path = parquet / "fewer.parquet"
    with path.open("rb") as file:
        groups = row_groups(file.fileno(), path.stat().st_size)
    assert [group.rows for group in groups] == [100_000] * 9 + [50_000]
    data = sum(end - start for group in groups for start, end in group.ranges)
    assert 0.95 < data / path.stat().st_size < 1


def test_a_broken_footer_is_refused_quickly(parquet: Path, tmp_path: Path) -> None:
    raw = (parquet / "none.parquet").read_bytes()
    length = int.from_bytes(raw[-8:-4], "little")
    refused = 0
    with (tmp_path / "broken.parquet").open("w+b", buffering=0) as file:
        file.write(raw)
        for at in range(len(raw) - 8 - length, len(raw) - 4):
            for value in (0x00, 0x1C, 0xFF, 0xF9):
                os.pwrite(file.fileno(), bytes([value]), at)
                try:
                    row_groups(file.fileno(), len(raw))
                except NotParquet:
                    refused += 1
            os.pwrite(file.fileno(), raw[at : at + 1], at)
        assert refused > 100
        assert row_groups(file.fileno(), len(raw)) is not None


def test_a_dictionary_belongs_to_its_row_group(parquet: Path) -> None:
    path = parquet / "dictionary.parquet"
    raw = path.read_bytes()
    with path.open("rb") as file:
        (group,) = row_groups(file.fileno(), len(raw))
    assert group.ranges[0][0] == 4


def _varint(number: int) -> bytes:
    number = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _parquet(*groups: list[tuple[int, int]], before: bytes = b"") -> bytes:
    """Write a file of 100 bytes of data whose row groups have columns at (start, length)."""
    body = b""
    for columns in groups:
        chunks = b"".join(
            before
            + bytes([0x3C - 0x10 * bool(before)])
            + b"\x76"
            + _varint(length)
            + b"\x26"
            + _varint(start)
            + b"\0\0"
            for start, length in columns
        )
        body += b"\x19" + bytes([len(columns) << 4 | 12]) + chunks + b"\x26" + _varint(10) + b"\0"
    footer = b"\x49" + bytes([len(groups) << 4 | 12]) + body + b"\0"
    return b"PAR1" + bytes(100) + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _groups(tmp_path: Path, raw: bytes) -> list[tuple[tuple[int, int], ...]]:
    (tmp_path / "made.parquet").write_bytes(raw)
    with (tmp_path / "made.parquet").open("rb") as file:
        return [group.ranges for group in row_groups(file.fileno(), len(raw))]


def test_row_groups_lie_apart_and_inside_the_file(tmp_path: Path) -> None:
    assert _groups(tmp_path, _parquet([(4, 30), (34, 20)], [(60, 44)])) == [((4, 54),), ((60, 104),)]
    for broken in (
        _parquet([(3, 30)]),
        _parquet([(4, 101)]),
        _parquet([(-4, 10)]),
        _parquet([(4, -1)]),
        _parquet([(4, 30)], [(33, 10)]),
        _parquet([(4, 30), (20, 30)]),
        _parquet([(4, 30)], before=b"\x18\x01x"),
    ):
        with pytest.raises(NotParquet):
            _groups(tmp_path, broken)


def test_a_deeply_nested_footer_is_refused(tmp_path: Path) -> None:
    footer = b"\x1c" * 5000
    with pytest.raises(NotParquet, match="deep"):
        _groups(tmp_path, b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


@pytest.mark.parametrize("broken", [None, {}, {"file": "a", "unit": "rows", "first": -1, "count": 1, "sha256": "x"}])
def test_a_broken_block_is_refused(broken: object) -> None:
    with pytest.raises(InvalidInput):
        Block.from_json(broken)
