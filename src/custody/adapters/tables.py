"""Reading tables: every row of the file, or a refusal that says where it is wrong.

A table reader that guesses is a hole in the chain: a short line padded with nulls, a column cut to
the type of its first rows, a broken file read as a small one. Here the structure of the bytes is
checked before anything is parsed, types are inferred over the whole file, and the number of rows
that came out is compared with the number of records that went in.

CSV and TSV follow RFC 4180: UTF-8 (a byte-order mark is accepted), one header line, quotes only
around whole fields. In them, and only in them, an empty field, `NA` and `?` are missing values;
columns whose every value reads as a number become numbers. JSON lines are objects with the same
keys on every line. Parquet keeps its types; only flat columns are accepted.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custody.adapters._delimited import check_structure
from custody.checks.target import Columns, Table
from custody.core.strictjson import MAX_BYTES as MAX_LINE
from custody.core.strictjson import parse_object
from custody.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "?", "NA")
"""What reads as a missing value in CSV and TSV."""

KINDS = {".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet", ".jsonl": "JSON lines", ".ndjson": "JSON lines"}
"""Suffixes and what they promise; other suffixes are judged by content alone."""

MAX_CELLS = 1 << 30
"""The largest Parquet table, in rows times columns: 8 GiB of numbers once unpacked."""

_SEPARATOR = {"CSV": ",", "TSV": "\t"}
_COMPANIONS = (".md", ".txt", ".json", ".toml", ".sha256", ".sig", "")
"""Files that may lie beside tables in a folder: notes, licences, manifests, signatures."""
_FOREIGN = (
    (b"\x1f\x8b", "gzip-compressed"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
    (b"BZh", "bzip2-compressed"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"ARROW1", "an Arrow file"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x80", "a pickle or another binary file"),
)


def read_table(source: Path | Sequence[Path], name: str, columns: Columns, *, max_bytes: int = 8 << 30) -> Table:
    """Read a file, a folder of files or a list of files into one table.

    A folder gives its tables in sorted order of their names; all must have the same columns. Raises
    `InvalidInput` for whatever cannot be read completely; `columns` must name existing columns.
    """
    paths = _listed(source)
    frames: list[pl.DataFrame] = []
    left = max_bytes
    for path in paths:
        raw = _bytes(path, left)
        left -= len(raw)
        frames.append(_frame(raw, path.suffix, path.name))
    first = frames[0]
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        if set(frame.columns) != set(first.columns):
            raise InvalidInput(
                f"{path.name} has other columns than {paths[0].name}: {_difference(first, frame)}",
                hint="all files of one table need the same columns",
            )
    whole = _stacked([frame.select(first.columns) for frame in frames])
    return _table(whole, name, columns)


def read_table_bytes(raw: bytes, suffix: str, name: str, columns: Columns, *, max_bytes: int = 8 << 30) -> Table:
    """Read one table from bytes that were already verified; `suffix` is the file's, such as `.csv`."""
    if len(raw) > max_bytes:
        raise InvalidInput(f"{name} is {len(raw)} bytes long; the limit is {max_bytes}")
    return _table(_frame(raw, suffix, name), name, columns)


def _listed(source: Path | Sequence[Path]) -> list[Path]:
    """Return the files to read, in order; at least one."""
    if not isinstance(source, Path):
        paths = list(source)
        if not paths:
            raise InvalidInput("no data file was named")
        return paths
    if not source.is_dir():
        return [source]
    found: list[Path] = []
    for path in sorted(source.iterdir(), key=lambda entry: entry.name):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in KINDS:
            found.append(path)
        elif path.is_dir() or path.suffix.lower() not in _COMPANIONS:
            raise InvalidInput(
                f"{source.name} holds {path.name!r}, which is no table",
                hint=f"a data folder holds only files ending in {', '.join(KINDS)}",
            )
    if not found:
        raise InvalidInput(f"the folder {source} holds no table", hint=f"known endings: {', '.join(KINDS)}")
    return found


def _bytes(path: Path, limit: int) -> bytes:
    """Read one regular file of at most `limit` bytes."""
    try:
        with path.open("rb") as file:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput(f"{path} is not a regular file")
            if status.st_size > limit:
                raise InvalidInput(f"{path} is {status.st_size} bytes long; {limit} are left of the limit")
            raw = file.read(limit + 1)
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from None
    if len(raw) > limit:
        raise InvalidInput(f"{path} is longer than the limit of {limit} bytes")
    return raw


def _frame(raw: bytes, suffix: str, what: str) -> pl.DataFrame:
    """Read one file's bytes by suffix and content, which must agree."""
    import polars as pl

    if not raw:
        raise InvalidInput(f"{what} is empty")
    kind = _kind(raw, suffix.lower(), what)
    try:
        if kind == "Parquet":
            frame = _parquet(raw, what)
        elif kind == "JSON lines":
            frame = _json_lines(raw, what)
        else:
            frame = _delimited(raw, _SEPARATOR[kind], kind, what)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        # Polars reports broken input in many classes, a panic of its engine among them.
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InvalidInput(f"{what} cannot be read as {kind}: {reason}") from None
    if frame.height == 0:
        raise InvalidInput(f"{what} has a header but no rows")
    return frame


def _kind(raw: bytes, suffix: str, what: str) -> str:
    """Say what the bytes are; raise where they are not what the suffix promises."""
    promised = KINDS.get(suffix)
    for magic, meaning in _FOREIGN:
        if raw.startswith(magic):
            raise InvalidInput(f"{what} is {meaning}, not a table", hint="give CSV, TSV, Parquet or JSON lines")
    if raw.startswith(b"PAR1"):
        seen = "Parquet"
    else:
        start = raw[:4096].removeprefix(codecs.BOM_UTF8).lstrip()
        if start.startswith(b"{"):
            seen = "JSON lines"
        elif promised in _SEPARATOR:
            seen = promised
        else:
            line = start.split(b"\n", 1)[0]
            seen = "TSV" if line.count(b"\t") > line.count(b",") else "CSV"
    if promised is not None and promised != seen:
        raise InvalidInput(f"{what} ends in {suffix} but its content is {seen}, not {promised}")
    return seen


def _parquet(raw: bytes, what: str) -> pl.DataFrame:
    """Read Parquet; its footer states the number of rows that must come out."""
    import polars as pl

    if len(raw) < 12 or raw[-4:] != b"PAR1":
        raise InvalidInput(f"{what} is a truncated Parquet file: its end marker is missing")
    scan = pl.scan_parquet(io.BytesIO(raw))
    promised = scan.select(pl.len()).collect().item()
    width = len(scan.collect_schema())
    if promised * width > MAX_CELLS:
        # A few hundred bytes of run lengths can unpack to more than any memory holds.
        raise InvalidInput(f"{what} would unpack to {promised} rows of {width} columns; the limit is 2^30 cells")
    frame = pl.read_parquet(io.BytesIO(raw))
    if promised != frame.height:
        raise InvalidInput(f"{what} promises {promised} rows and gives {frame.height}")
    if not frame.columns:
        raise InvalidInput(f"{what} has no columns")
    _header(list(frame.columns), what)
    casts: list[pl.Expr] = []
    for column, kind in frame.schema.items():
        if kind.is_nested() or kind in (pl.Object, pl.Binary):
            raise InvalidInput(
                f"{what}: column {column!r} holds {kind}, not plain values", hint="flatten it into columns"
            )
        if kind.is_decimal():
            casts.append(pl.col(column).cast(pl.Float64))
        elif kind in (pl.Categorical, pl.Enum):
            casts.append(pl.col(column).cast(pl.String))
    return frame.with_columns(casts)


def _json_lines(raw: bytes, what: str) -> pl.DataFrame:
    """Read one strict JSON object per line; all lines have the same keys."""
    import polars as pl

    lines = raw.removeprefix(codecs.BOM_UTF8).split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    values: dict[str, list[Any]] = {}
    for number, line in enumerate(lines, 1):
        row = parse_object(line, max_bytes=MAX_LINE, what=f"{what}, line {number}")
        if number == 1:
            _header(list(row), what)
            values = {key: [] for key in row}
        if row.keys() != values.keys():
            odd = ", ".join(repr(key) for key in sorted(row.keys() ^ values.keys())[:5])
            raise InvalidInput(f"{what}, line {number}: other keys than line 1 ({odd})")
        for key, value in row.items():
            if isinstance(value, list | dict):
                raise InvalidInput(f"{what}, line {number}: {key!r} holds a {type(value).__name__}")
            values[key].append(value)
    frame = pl.DataFrame({key: _typed(column) for key, column in values.items()})
    if frame.height != len(lines):
        raise InvalidInput(f"{what} has {len(lines)} lines and gave {frame.height} rows")
    return frame


def _typed(values: list[Any]) -> pl.Series:
    """Give a column of JSON values one type over all rows; a mixture becomes text."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int}:
        return pl.Series(values, dtype=pl.Int64 if kinds else pl.String)
    if kinds <= {int, float}:
        return pl.Series([None if value is None else float(value) for value in values], dtype=pl.Float64)
    if len(kinds) == 1:
        return pl.Series(values)
    return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)


def _delimited(raw: bytes, separator: str, kind: str, what: str) -> pl.DataFrame:
    """Read CSV or TSV whose structure was found sound."""
    import polars as pl

    raw = raw.removeprefix(codecs.BOM_UTF8)
    zero = raw.find(b"\0")
    if zero >= 0:
        raise InvalidInput(f"{what} holds a NUL byte at offset {zero}", hint="it may be a binary file")
    _check_utf8(raw, what)
    end = len(raw)
    while end and raw[end - 1] in b"\r\n":
        end -= 1
    if not end:
        raise InvalidInput(f"{what} holds empty lines only")
    names = _first_record(raw, separator, what)
    _header(names, what)
    if all(_reads_as_number(name) for name in names):
        raise InvalidInput(
            f"{what} has no header: its first line holds numbers only", hint="add a line with column names"
        )
    records = check_structure(raw, end, separator, len(names), what)
    if records == 0:
        raise InvalidInput(f"{what} has a header but no rows")
    frame = pl.read_csv(
        io.BytesIO(raw[:end] if end < len(raw) else raw),
        separator=separator,
        infer_schema_length=None,
        null_values=list(MISSING),
    )
    if frame.height != records or frame.width != len(names):
        raise InvalidInput(
            f"{what} holds {records} records of {len(names)} fields, but {frame.height} rows of "
            f"{frame.width} were read",
            hint=f"write it again as RFC 4180 {kind}",
        )
    frame.columns = names
    return frame.with_columns([_settled(frame[column]) for column in frame.columns])


def _settled(column: pl.Series) -> pl.Series:
    """Finish what inference left as text: padded numbers, padded missing values, huge integers."""
    import polars as pl

    if column.dtype == pl.Int128:
        # Such numbers are identifiers; a float would lose their last digits.
        return column.cast(pl.String)
    if column.dtype != pl.String:
        return column
    stripped = column.str.strip_chars()
    stripped = stripped.to_frame().select(
        pl.when(pl.first().is_in(list(MISSING))).then(None).otherwise(pl.first()).alias(column.name)
    )[column.name]
    filled = stripped.len() - stripped.null_count()
    if not filled:
        return stripped
    for wanted in (pl.Int64, pl.Float64):
        numbers = stripped.cast(wanted, strict=False)
        if numbers.null_count() == stripped.null_count():
            return numbers
    padded = column.str.starts_with(" ").sum() == column.len() - column.null_count()
    return stripped if padded or stripped.null_count() > column.null_count() else column


def _check_utf8(raw: bytes, what: str) -> None:
    """Raise with the offset of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    step = 1 << 24
    for start in range(0, len(raw), step):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(raw[start : start + step], final=start + step >= len(raw))
        except UnicodeDecodeError as error:
            offset = start - pending + error.start
            raise InvalidInput(
                f"{what} is not UTF-8: byte 0x{raw[offset]:02x} at offset {offset}",
                hint="convert it, for example: iconv -f latin1 -t utf-8",
            ) from None


def _first_record(raw: bytes, separator: str, what: str) -> list[str]:
    """Return the fields of the header."""
    lines = (line.decode("utf-8") for line in io.BytesIO(raw))
    try:
        return next(csv.reader(lines, delimiter=separator, strict=True))
    except (csv.Error, StopIteration) as error:
        if "new-line character" in str(error):
            raise InvalidInput(
                f"{what}, line 1: a carriage return without a line feed",
                hint="convert the line ends to LF or CRLF",
            ) from None
        raise InvalidInput(f"{what}: the header cannot be read: {error}") from None


def _header(names: list[str], what: str) -> None:
    """Raise for column names that are empty or appear twice."""
    for place, column in enumerate(names, 1):
        if not column.strip():
            raise InvalidInput(f"{what}: column {place} has no name")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InvalidInput(f"{what}: column {twice[0]!r} appears twice in the header")


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _difference(first: pl.DataFrame, other: pl.DataFrame) -> str:
    missing = [name for name in first.columns if name not in other.columns]
    extra = [name for name in other.columns if name not in first.columns]
    parts = [f"{', '.join(missing[:5])} missing"] if missing else []
    return "; ".join([*parts, f"{', '.join(extra[:5])} added"] if extra else parts)


def _stacked(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate; a column that is a number in one file and text in another becomes text."""
    import polars as pl

    if len(frames) == 1:
        return frames[0]
    try:
        return pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0][:200]
        raise InvalidInput(f"the files hold different types: {reason}") from None


def _table(frame: pl.DataFrame, name: str, columns: Columns) -> Table:
    """Make the table; every declared column must exist."""
    single = {
        "target": columns.target,
        "entity": columns.entity,
        "time": columns.time,
        "source": columns.source,
    }
    wanted = [(role, column) for role, column in single.items() if column]
    for role, several in (
        ("sensitive", columns.sensitive),
        ("ignore", columns.ignore),
        ("mutable", columns.mutable),
    ):
        wanted += [(role, column) for column in several]
    for role, column in wanted:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, frame.columns, n=1, cutoff=0.6)
            raise InvalidInput(
                f"{name} has no column {column!r}, declared as {role}",
                hint=(f"did you mean {near[0]!r}? " if near else "")
                + f"it has: {', '.join(frame.columns[:30])}{' ...' if frame.width > 30 else ''}",
            )
    return Table(name, frame, columns)
