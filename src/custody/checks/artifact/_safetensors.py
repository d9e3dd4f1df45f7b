"""safetensors: eight bytes of header length, a JSON header, raw numbers (format description of the project, 2023).

Its one promise is that reading it runs nothing; what can be wrong is a header that lies about where the numbers are.
"""

from __future__ import annotations

from typing import Any

from custody.checks.artifact._source import Source
from custody.checks.artifact._survey import Malformed, Survey
from custody.core import strictjson
from custody.errors import InvalidInput

MAX_HEADER = 100_000_000
"""The limit of the reference implementation, in bytes."""

_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


def looks_like(head: bytes, size: int) -> bool:
    """Return whether the first bytes are a header length followed by a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < max(size, 1 << 40)


def read_safetensors(survey: Survey, source: Source, _where: str, _depth: int) -> None:
    """Verify the header and every offset."""
    length = int.from_bytes(source.read(0, 8), "little")
    if length > MAX_HEADER:
        raise Malformed(f"the header announces {length} bytes; the limit is {MAX_HEADER}")
    if 8 + length > source.size:
        raise Malformed(f"the header announces {length} bytes, more than the file holds")
    try:
        header = strictjson.parse_object(source.read(8, length), max_bytes=MAX_HEADER, what="the header")
    except InvalidInput as error:
        raise Malformed(error.message) from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Malformed("__metadata__ is not a table of texts")
    spans = sorted((*_span(name, facts), name) for name, facts in header.items())
    at = 0
    for start, end, name in spans:
        if start < at:
            raise Malformed(f"tensor {name!r} overlaps another")
        if start > at:
            raise Malformed(f"{start - at} bytes before tensor {name!r} belong to none")
        at = end
    survey.tick()
    held = source.size - 8 - length
    if at > held:
        raise Malformed(f"tensors reach {at - held} bytes beyond the file")
    if at < held:
        raise Malformed(f"{held - at} bytes at the end belong to no tensor")


def _span(name: str, facts: Any) -> tuple[int, int]:
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    bits = _BITS.get(facts["dtype"]) if isinstance(facts["dtype"], str) else None
    if bits is None:
        raise Malformed(f"tensor {name!r} has an unknown dtype")
    shape, offsets = facts["shape"], facts["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(number) is int and number >= 0 for number in numbers):
            raise Malformed(f"tensor {name!r} has a shape or offset that is no whole number")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Malformed(f"tensor {name!r} ends before it begins")
    total = bits
    for length in shape:
        total *= length
        if total > 1 << 60:
            raise Malformed(f"tensor {name!r} is larger than can exist")
    if total != 8 * (offsets[1] - offsets[0]):
        raise Malformed(
            f"tensor {name!r} takes {total / 8:g} bytes by its shape, {offsets[1] - offsets[0]} by its offsets"
        )
    return offsets[0], offsets[1]
