"""Reading tables: every row or a refusal that says where."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.adapters import _delimited, tables
from custody.adapters.tables import read_table, read_table_bytes
from custody.checks.target import Columns, Table
from custody.errors import InvalidInput

NONE = Columns()


def read(raw: bytes, suffix: str = ".csv", columns: Columns = NONE) -> Table:
    return read_table_bytes(raw, suffix, "data", columns)


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def test_csv_is_read_with_missing_values_and_types() -> None:
    frame = read(b'age,job,note\n1,clerk,"a, ""b"""\n?,NA,\n3,"x\ny",z\n').frame
    assert frame["age"].to_list() == [1, None, 3]
    assert frame["job"].to_list() == ["clerk", None, "x\ny"]
    assert frame["note"].to_list() == ['a, "b"', None, "z"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_bom_and_a_missing_last_line_end_change_nothing(end: bytes) -> None:
    lines = [b"a,b", b"1,x", b"2,y"]
    for raw in (end.join(lines), end.join(lines) + end, b"\xef\xbb\xbf" + end.join(lines) + end * 3):
        assert read(raw).frame.rows() == [(1, "x"), (2, "y")]


def test_types_are_inferred_over_the_whole_file() -> None:
    rows = b"\n".join(b"%d" % number for number in range(5000))
    assert read(b"a\n" + rows + b"\n2.5\n").frame["a"].dtype == pl.Float64
    assert read(b"a\n" + rows + b"\nx\n").frame["a"].dtype == pl.String


def test_question_mark_is_text_in_parquet_and_missing_in_csv() -> None:
    frame = pl.DataFrame({"a": ["?", "NA", ""]})
    assert read(parquet(frame), ".parquet").frame["a"].to_list() == ["?", "NA", ""]
    assert read(b"a,b\n?,1\nNA,2\n").frame["a"].null_count() == 2


def test_padded_numbers_and_padded_missing_values_are_understood() -> None:
    frame = read(b"a,b\n 1, x\n ?, y\n 3, z\n").frame
    assert frame["a"].to_list() == [1, None, 3]
    assert frame["b"].to_list() == ["x", "y", "z"]


def test_identifiers_beyond_64_bits_keep_their_digits() -> None:
    assert read(b"a,b\n99999999999999999999,1\n1,2\n").frame["a"].to_list() == ["99999999999999999999", "1"]


@pytest.mark.parametrize(
    ("raw", "suffix", "says"),
    [
        (b"", ".csv", "is empty"),
        (b"\n\n", ".csv", "empty lines only"),
        (b"a,b\n", ".csv", "no rows"),
        (b"a,b\n1,2\n3\n4,5\n", ".csv", "line 3: 1 field, but the header has 2"),
        (b"a,b\n1,2\n3,4,5\n", ".csv", "line 3: 3 fields"),
        (b"a,b\n1,2\n3,4\n5", ".csv", "line 4: 1 field"),
        (b"a,b\n1,2\n\n3,4\n", ".csv", "line 3: 1 field"),
        (b'a,b\n1,"x\ny"\n3\n', ".csv", "line 4: 1 field"),
        (b"a\n1\n\n3\n", ".csv", "line 3 is blank"),
        (b'a,b\n1,2\n3,5" disk\n', ".csv", "line 3: a quote inside a field"),
        (b'a,b\n1,"x"y\n', ".csv", "line 2: a quote inside a field"),
        (b'a,b\n1,"x\n3,4\n', ".csv", "never closed"),
        (b"a,b\r1,2\r3,4\r", ".csv", "carriage return without a line feed"),
        (b"a,b\n1,\xff\n", ".csv", "byte 0xff at offset 6"),
        (b"a,b\n1,\0\n", ".csv", "NUL byte at offset 6"),
        (b"a,a\n1,2\n", ".csv", "'a' appears twice"),
        (b"a,\n1,2\n", ".csv", "column 2 has no name"),
        (b"1,2\n3,4\n", ".csv", "no header"),
        (b"\x1f\x8b\x08abc", ".csv", "gzip-compressed"),
        (b"PK\x03\x04abc", ".csv", "ZIP archive"),
        (b"a,b\n1,2\n", ".parquet", "its content is CSV"),
        (b'{"a": 1}\n', ".csv", "its content is JSON lines"),
        (b'{"a": 1}\n{"b": 2}\n', ".jsonl", "line 2: other keys"),
        (b'{"a": 1}\n\n{"a": 2}\n', ".jsonl", "line 2"),
        (b'{"a": 1, "a": 2}\n', ".jsonl", "appears twice"),
        (b'{"a": [1]}\n', ".jsonl", "holds a list"),
        (b'{"a": 1}\n{"a": 2', ".jsonl", "line 2"),
        (b'{"a": NaN}\n', ".jsonl", "NaN"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, suffix: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(raw, suffix)
    assert says in caught.value.message


def test_a_truncated_or_damaged_parquet_file_is_refused() -> None:
    raw = parquet(pl.DataFrame({"a": range(1000), "b": ["x"] * 1000}))
    for broken in (raw[:100], raw[:-10], raw[:4], b"PAR1" + b"x" * 50 + b"PAR1", raw[:4] + raw[300:]):
        with pytest.raises(InvalidInput):
            read(broken, ".parquet")


def test_a_parquet_file_that_unpacks_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = parquet(pl.DataFrame({"a": [7] * 1000, "b": [7] * 1000}))
    assert read(raw, ".parquet").rows == 1000
    monkeypatch.setattr(tables, "MAX_CELLS", 1999)
    with pytest.raises(InvalidInput, match="1000 rows of 2 columns"):
        read(raw, ".parquet")


def test_a_reader_that_loses_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = parquet(pl.DataFrame({"a": [1, 2, 3]}))
    for name in ("read_parquet", "read_csv"):
        whole = getattr(pl, name)
        monkeypatch.setattr(pl, name, lambda *args, whole=whole, **options: whole(*args, **options)[:-1])
    with pytest.raises(InvalidInput, match="promises 3 rows and gives 2"):
        read(raw, ".parquet")
    with pytest.raises(InvalidInput, match="holds 2 records of 2 fields, but 1 rows"):
        read(b"a,b\n1,2\n3,4\n")


def test_nested_columns_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="column 'b' holds List"):
        read(parquet(pl.DataFrame({"a": [1], "b": [[1, 2]]})), ".parquet")


def test_all_formats_give_the_same_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": [0.5, 1.5, None], "c": ["x", "y z", None], "d": [True, False, True]})
    (tmp_path / "t.csv").write_text(frame.write_csv())
    (tmp_path / "t.tsv").write_text(frame.write_csv(separator="\t"))
    (tmp_path / "t.parquet").write_bytes(parquet(frame))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in frame.iter_rows(named=True)))
    (tmp_path / "t.data").write_bytes((tmp_path / "t.tsv").read_bytes())
    for path in sorted(tmp_path.iterdir()):
        assert read_table(path, path.name, NONE).frame.equals(frame), path


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("y,x\nq,2.5\n")
    (tmp_path / "a.csv").write_text("x,y\n1,p\n")
    (tmp_path / "SHA256SUMS").write_text("whatever")
    (tmp_path / "README.md").write_text("notes")
    frame = read_table(tmp_path, "t", NONE).frame
    assert frame.rows() == [(1.0, "p"), (2.5, "q")]
    assert read_table([tmp_path / "b.csv", tmp_path / "a.csv"], "t", NONE).frame["y"].to_list() == ["q", "p"]


def test_files_of_one_folder_need_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,p\n")
    (tmp_path / "b.csv").write_text("x,z\n1,p\n")
    with pytest.raises(InvalidInput, match="y missing; z added"):
        read_table(tmp_path, "t", NONE)


def test_missing_and_odd_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        read_table(tmp_path / "no.csv", "t", NONE)
    with pytest.raises(InvalidInput, match="holds no table"):
        read_table(tmp_path, "t", NONE)
    (tmp_path / "a.csv").write_text("x,y\n1,p\n")
    with pytest.raises(InvalidInput, match="limit"):
        read_table(tmp_path / "a.csv", "t", NONE, max_bytes=3)
    (tmp_path / "b.xlsx").write_text("x")
    with pytest.raises(InvalidInput, match=r"'b\.xlsx', which is no table"):
        read_table(tmp_path, "t", NONE)
    with pytest.raises(InvalidInput, match="no data file"):
        read_table([], "t", NONE)


def test_a_missing_declared_column_is_named_with_its_neighbour() -> None:
    with pytest.raises(InvalidInput, match="no column 'incme', declared as target") as caught:
        read(b"age,income\n1,2\n", columns=Columns(target="incme"))
    assert "did you mean 'income'?" in caught.value.hint
    assert "age, income" in caught.value.hint


def test_structure_is_checked_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b'a,b\n1,"x\n""y"\r\n2,z\n' * 1 + b'"q, ""r""",7\n' * 20
    for block in (1, 2, 3, 7, 64):
        monkeypatch.setattr(_delimited, "BLOCK", block)
        assert read(raw).rows == 22
        with pytest.raises(InvalidInput, match="line 25: 1 field,"):
            read(raw + b"alone\n")


cells = st.text(alphabet=st.sampled_from('ab1,"\n\r \té?'), max_size=6)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_what_was_written_as_rfc_4180_comes_back_whole(rows: list[tuple[str, str]]) -> None:
    def quote(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    raw = "left,right\n" + "".join(f"{quote(a)},{quote(b)}\n" for a, b in rows)
    frame = read(raw.encode()).frame
    assert frame.height == len(rows)
    for got, (left, _) in zip(frame["left"].cast(pl.String).to_list(), rows, strict=True):
        assert got is None or got.strip() == left.strip() or float(got) == float(left)


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet=st.sampled_from('a1,"\n\r\t {}é\0?'), max_size=120).map(lambda text: text.encode()),
        st.text(alphabet=st.sampled_from('a1,"\n'), max_size=80).map(lambda text: b"a,b\n" + text.encode()),
    ),
    st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ""]),
)
def test_garbage_gives_a_table_or_a_refusal(raw: bytes, suffix: str) -> None:
    try:
        table = read(raw, suffix)
    except InvalidInput:
        return
    assert table.rows > 0
