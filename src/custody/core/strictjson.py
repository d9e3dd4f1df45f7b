"""JSON as Custody accepts and writes it: one reading, or none.

A signature is worth little if two readers can read two meanings. Refused: duplicate keys, NaN and
infinities, integers beyond 2^53, a byte-order mark, lone surrogates, input that is too large or
nested too deeply, and anything that is not UTF-8.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

from custody.errors import InvalidInput

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
MAX_PARTS = 1_000_000
_MAX_SAFE_INTEGER = 2**53


def parse(raw: bytes, *, max_bytes: int = MAX_BYTES, what: str = "JSON") -> Any:
    """Read `raw` strictly; raises `InvalidInput` naming what was wrong."""
    if len(raw) > max_bytes:
        raise InvalidInput(f"{what} is {len(raw)} bytes long; the limit is {max_bytes}")
    # A bracket or comma of one byte becomes an object of dozens: the parts bound the memory, not the bytes alone.
    if raw.count(b"{") + raw.count(b"[") + raw.count(b",") > MAX_PARTS:
        raise InvalidInput(f"{what} has more than {MAX_PARTS} parts")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InvalidInput(f"{what} starts with a byte-order mark")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except _Refused as error:
        raise InvalidInput(f"{what}: {error}") from None
    except ValueError as error:
        raise InvalidInput(f"{what} cannot be read: {error}") from None
    except RecursionError:
        raise InvalidInput(f"{what} is nested more than {MAX_DEPTH} levels deep") from None
    # Every nesting needs a bracket and every lone surrogate an escape: most documents hold too few of both.
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _refuse_depth(value, what)
    if "\\u" in text:
        _refuse_surrogates(value, what)
    return value


def parse_object(raw: bytes, *, max_bytes: int = MAX_BYTES, what: str = "JSON") -> dict[str, Any]:
    """Read a JSON object strictly."""
    value = parse(raw, max_bytes=max_bytes, what=what)
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} is a {type(value).__name__}, not an object")
    return value


def dump(value: Any) -> bytes:
    """Write `value` in the one form Custody signs: sorted keys, no spaces, UTF-8, finite numbers."""
    try:
        return json.dumps(
            plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
        ).encode()
    except (ValueError, UnicodeEncodeError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}") from None


def plain(value: Any) -> Any:
    """Turn mappings and sequences into dicts and lists; refuse what JSON cannot say."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) > _MAX_SAFE_INTEGER:
            raise InvalidInput(f"{value} is beyond 2^53 and would not survive every JSON reader")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{value} is not a number JSON can say; record it as unknown instead")
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInput("a JSON object needs text keys")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise InvalidInput(f"{type(value).__name__} cannot be written as JSON")


def b64decode(text: Any, *, what: str = "base64") -> bytes:
    """Decode canonical base64 only: no white space, no missing or spare padding bits."""
    if not isinstance(text, str):
        raise InvalidInput(f"{what} is not text")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{what} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise InvalidInput(f"{what} is not canonical base64")
    return raw


class _Refused(ValueError):
    """Raised inside the parser's hooks."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Refused(f"key {name[:80]!r} appears twice")
            seen.add(name)
    return found


def _refuse_constant(name: str) -> Any:
    raise _Refused(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused(f"{text[:40]} is too large")
    return value


def _safe_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > _MAX_SAFE_INTEGER:
        raise _Refused(f"{text[:40]} is beyond 2^53")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_safe_integer
)


def _refuse_depth(value: Any, what: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    raise InvalidInput(f"{what} is nested more than {MAX_DEPTH} levels deep")


def _refuse_surrogates(value: Any, what: str) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                raise InvalidInput(f"{what} holds a lone surrogate") from None
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
