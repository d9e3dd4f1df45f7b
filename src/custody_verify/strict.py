"""JSON and base64 with one reading, or none.

Two readers that see two meanings in the same signed bytes make the signature worthless. Refused:
duplicate keys, NaN and infinities, integers beyond 2^53, a byte-order mark, lone surrogates, bytes
that are not UTF-8, and what is too large or nested too deeply.
"""

import base64
import binascii
import json
import math
from typing import Any

MAX_DEPTH, MAX_INTEGER = 64, 2**53


class Refused(Exception):
    """The evidence is not what it claims to be; the message says where and why. Exit code 4."""


class Unreadable(Exception):
    """There is nothing to judge: a missing file, bad usage, something that is not JSON. Exit code 2."""


def read_json(raw: bytes, what: str, limit: int) -> Any:
    """Return the value; raises `Unreadable` for what is no JSON and `Refused` for what is ambiguous."""
    if len(raw) > limit:
        raise Unreadable(f"{what} is {len(raw)} bytes long; the limit is {limit}")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise Refused(f"{what} starts with a byte-order mark")
    try:
        hooks: dict[str, Any] = {"parse_constant": _no_constant, "parse_float": _float, "parse_int": _integer}
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, **hooks)
    except Refused as error:
        raise Refused(f"{what}: {error}") from None
    except UnicodeDecodeError as error:
        raise Refused(f"{what} is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise Refused(f"{what} is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise Unreadable(f"{what} is not JSON: {error}") from None
    _walk(value, what)
    return value


def canonical(value: Any) -> bytes:
    """Write JSON the way digests are taken over it: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def read_base64(text: Any, what: str) -> bytes:
    """Decode canonical base64: one text for one sequence of bytes."""
    if not isinstance(text, str):
        raise Refused(f"{what} is not text")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise Refused(f"{what} is not canonical base64")
    return raw


def whole(value: object) -> int | None:
    """Return a whole number, and None for anything else, `true` included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise Refused("a key appears twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise Refused(f"{name} is not a number")


def _float(text: str) -> float:
    if not math.isfinite(float(text)):
        raise Refused(f"{text[:40]} is too large")
    return float(text)


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise Refused(f"{text[:40]} is beyond 2^53")
    return int(text)


def _walk(value: Any, what: str) -> None:
    level, depth = [value], 0
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict | list):
                inner += [*item.keys(), *item.values()] if isinstance(item, dict) else item
                if depth >= MAX_DEPTH:
                    raise Refused(f"{what} is nested more than {MAX_DEPTH} levels deep")
            elif isinstance(item, str) and not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                raise Refused(f"{what} holds a lone surrogate")
        level, depth = inner, depth + 1
