"""The structure of CSV, checked on its bytes: are all records whole?

Vectorised over blocks, so that a gigabyte takes seconds: quotes flip a parity, and only separators
and line ends outside quotes count (RFC 4180, section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custody.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 24
_QUOTE, _NEWLINE, _RETURN = 0x22, 0x0A, 0x0D


@dataclass
class _Position:
    """Where the walk stands between two blocks."""

    quoted: bool = False
    fields: int = 0
    """Separators seen since the last line end."""
    lines: int = 0
    """Line ends of any kind, for messages."""
    records: int = 0


def check_structure(raw: bytes, end: int, separator: str, fields: int, what: str) -> int:
    """Return the number of records after the header in `raw[:end]`.

    `raw[end:]` holds line ends only. Raises `InvalidInput` with the line number where a record has
    another number of fields than the header, a quote stands inside a field, or a line ends in a lone
    carriage return.
    """
    import numpy as np

    whole = np.frombuffer(raw, dtype=np.uint8, count=end)
    at = _Position()
    for start in range(0, end, BLOCK):
        stop = min(end, start + BLOCK)
        _walk(whole, start, stop, separator=ord(separator), fields=fields, at=at, what=what)
    if at.quoted:
        raise InvalidInput(f"{what}: a quote is opened and never closed (looked until line {at.lines + 1})")
    # The last record has no line end of its own within `end`.
    _expect(at.fields + 1, fields, at.lines + 1, what)
    return at.records


def _walk(
    whole: NDArray[np.uint8],
    start: int,
    stop: int,
    *,
    separator: int,
    fields: int,
    at: _Position,
    what: str,
) -> None:
    """Check one block and move the position on."""
    import numpy as np

    block = whole[start:stop]
    quotes = np.flatnonzero(block == _QUOTE)
    newlines = np.flatnonzero(block == _NEWLINE)
    separators = np.flatnonzero(block == separator)
    line_of = newlines  # every line end counts for the numbers in messages, quoted or not
    returns = np.flatnonzero(block == _RETURN)

    def line(offset: int) -> int:
        return at.lines + 1 + int(np.searchsorted(line_of, offset))

    if quotes.size or at.quoted:
        _check_quotes(whole, start, quotes, separator=separator, quoted=at.quoted, line=line, what=what)
        outside = 1 if at.quoted else 0
        newlines = newlines[(np.searchsorted(quotes, newlines) & 1) == outside]
        separators = separators[(np.searchsorted(quotes, separators) & 1) == outside]
        returns = returns[(np.searchsorted(quotes, returns) & 1) == outside]
    if returns.size:
        following = returns + start + 1
        lone = (following < whole.size) & (whole[np.minimum(following, whole.size - 1)] != _NEWLINE)
        if lone.any():
            raise InvalidInput(
                f"{what}, line {line(int(returns[lone][0]))}: a carriage return without a line feed",
                hint="convert the line ends to LF or CRLF",
            )
    before = np.searchsorted(separators, newlines)
    counts = np.diff(before, prepend=0)
    if counts.size:
        counts[0] += at.fields
        wrong = np.flatnonzero(counts != fields - 1)
        if wrong.size:
            place = int(wrong[0])
            _expect(int(counts[place]) + 1, fields, line(int(newlines[place])), what)
        if fields == 1:
            _refuse_blank(whole, start, newlines, line, what)
        at.fields = int(separators.size - before[-1])
        at.records += int(counts.size)
    else:
        at.fields += int(separators.size)
    at.lines += int(line_of.size)
    at.quoted ^= bool(quotes.size & 1)


def _check_quotes(
    whole: NDArray[np.uint8],
    start: int,
    quotes: NDArray[np.intp],
    *,
    separator: int,
    quoted: bool,
    line: Callable[[int], int],
    what: str,
) -> None:
    """Refuse a quote that opens inside a field or closes before its end."""
    import numpy as np

    if not quotes.size:
        return
    place = quotes + start
    opens = (np.arange(quotes.size) & 1) == (1 if quoted else 0)
    before = np.where(place > 0, whole[place - 1], _NEWLINE)
    after = np.where(place + 1 < whole.size, whole[np.minimum(place + 1, whole.size - 1)], _NEWLINE)
    # A doubled quote closes and opens again, so a neighbour that is a quote is sound on either side.
    starts = (before == separator) | (before == _NEWLINE) | (before == _QUOTE)
    ends = (after == separator) | (after == _NEWLINE) | (after == _RETURN) | (after == _QUOTE)
    bad = np.flatnonzero(np.where(opens, ~starts, ~ends))
    if bad.size:
        number = line(int(quotes[bad[0]]))
        raise InvalidInput(
            f"{what}, line {number}: a quote inside a field",
            hint='quote the whole field and write inner quotes twice: "a ""b"" c"',
        )


def _refuse_blank(
    whole: NDArray[np.uint8], start: int, newlines: NDArray[np.intp], line: Callable[[int], int], what: str
) -> None:
    """In a file of one column an empty line could be a missing value or no row at all."""
    import numpy as np

    place = newlines + start
    before = np.where(place > 0, whole[place - 1], _NEWLINE)
    earlier = np.where(place > 1, whole[place - 2], _NEWLINE)
    blank = np.flatnonzero((before == _NEWLINE) | ((before == _RETURN) & (earlier == _NEWLINE)))
    if blank.size:
        number = line(int(newlines[blank[0]]))
        raise InvalidInput(f"{what}, line {number} is blank", hint="write NA for a missing value")


def _expect(found: int, wanted: int, line: int, what: str) -> None:
    if found != wanted:
        raise InvalidInput(
            f"{what}, line {line}: {found} field{'s' if found != 1 else ''}, but the header has {wanted}"
        )
