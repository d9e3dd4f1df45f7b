"""JSON, base64 and moments with one reading, or none; and for what is signed, with one form.

Two readers that see two meanings in the same bytes make a signature worthless: keys come once, numbers are finite,
integers up to 2^53, text is UTF-8, all bounded in size, depth and number of parts.
"""

import base64
import json
from datetime import UTC, datetime
from typing import Any

MAX_DEPTH, MAX_INTEGER, MAX_PARTS, CHUNK = 64, 2**53, 1_000_000, 2**20
_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)

class Refused(Exception):
    """The evidence is not what it claims to be; the message says where and why. Exit code 4."""

class Unreadable(Exception):
    """There is nothing to judge: a missing file, bad usage, something that is not JSON. Exit code 2."""
def require(holds: object, reason: str) -> None:
    """Refuse unless something holds."""
    if not holds: raise Refused(reason)
def read_file(path: str, limit: int) -> bytes:
    """Read a file that holds a JSON object; what does not begin like one, or holds a zero byte, is left there."""
    parts: list[bytes] = []
    try:
        with open(path, "rb") as file:  # noqa: PTH123 pathlib would cost a tenth of the time that a bundle takes
            while (part := file.read(CHUNK)) and len(parts) <= limit // CHUNK:
                parts.append(part)
                if not parts[0].lstrip().startswith(b"{") or b"\0" in part: break
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return b"".join(parts)
def read_json(raw: bytes, what: str, limit: int, *, one_form: bool = True) -> Any:
    """Return the value, if asked only of JSON as `canonical` writes it; raises `Unreadable` for what is no JSON."""
    brackets = raw.count(b"{") + raw.count(b"[")
    require(brackets + raw.count(b",") <= MAX_PARTS, f"{what} has more than {MAX_PARTS} parts")
    if len(raw) > limit: raise Unreadable(f"{what} is more than {limit} bytes long")
    try:  # the one form has no key twice
        value = json.loads(raw.decode(), parse_int=_integer, object_pairs_hook=None if one_form else _each_once)
    except RecursionError:
        raise Refused(f"{what} is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise Unreadable(f"{what} is not JSON: {error}") from None
    level, depth = [value], 0
    while brackets > MAX_DEPTH and (level := [item for item in level if isinstance(item, dict | list)]):
        level, depth = [x for item in level for x in (item.values() if isinstance(item, dict) else item)], depth + 1
        require(depth <= MAX_DEPTH, f"{what} is nested more than {MAX_DEPTH} levels deep")
    try:
        same = canonical(value) == raw or not one_form
    except ValueError:
        raise Refused(f"{what} holds what is not a number, infinite, or half a character") from None
    require(same, f"{what} is not in its one form: keys sorted and each once, no spaces, no needless escapes")
    return value
def canonical(value: Any) -> bytes:
    """Write JSON in its one form: sorted keys, no spaces; raises `ValueError` for what has none."""
    return _WRITER.encode(value).encode()
def read_base64(text: Any, what: str) -> bytes:
    """Decode canonical base64: one text for one sequence of bytes."""
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        raw = None
    require(raw is not None and base64.b64encode(raw).decode() == text, f"{what} is not canonical base64")
    return raw or b""
def whole(value: object) -> int | None:
    """Return a whole number, and None for anything else, `true` included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
def read_time(text: object) -> datetime | None:
    """Read an ISO 8601 moment with a time zone."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
def moment(text: object) -> datetime:
    """Order moments by what they mean; what cannot be read comes first."""
    return read_time(text) or datetime.min.replace(tzinfo=UTC)
def expired(expires: object, at: object) -> bool:
    """Tell whether an end has come; one that cannot be read has."""
    return moment(expires) <= (read_time(at) or datetime.max.replace(tzinfo=UTC))
def _integer(text: str) -> int:
    require(len(text) <= 17 and abs(int(text)) <= MAX_INTEGER, f"{text[:40]} is beyond 2^53")
    return int(text)
def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len(dict(pairs)) == len(pairs), f"a key stands twice among {', '.join(name for name, _ in pairs)[:80]!r}")
    return dict(pairs)
