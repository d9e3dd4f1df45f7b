"""Tar archives, read in place: POSIX ustar and pax, GNU long names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from custody.checks.artifact._source import Slice, Source
from custody.checks.artifact._survey import Malformed, Survey, escapes


def is_tar_header(block: bytes) -> bool:
    """Return whether a block of 512 bytes has the checksum of a tar header."""
    if len(block) < 512 or not block[0]:
        return False
    try:
        stated = int(block[148:156].strip(b"\0 ") or b"x", 8)
    except ValueError:
        return False
    return stated == sum(block[:148]) + 8 * 32 + sum(block[156:512])


def read_tar(survey: Survey, source: Source, where: str, depth: int) -> None:
    """Look into a tar archive."""
    seen: set[str] = set()
    at = 0
    for name, kind, start, size, after in _tar_members(source):
        survey.spend_member()
        at = after
        inside = f"{where} > {name}"
        if escapes(name):
            survey.critical(
                inside, "member's name leads outside the archive", "Extracting it would overwrite other files."
            )
        if name in seen:
            survey.critical(inside, "tar holds two members of this name", "Readers differ in which one they take.")
        seen.add(name)
        if kind in b"12":
            survey.critical(inside, "member is a link", "Extracting it lets later members write elsewhere.")
        elif kind in b"346":
            survey.critical(inside, "member is a device or pipe", "No model needs one.")
        elif kind in b"0\x007" and size:
            if start + size > source.size:
                survey.critical(inside, "member's size reaches beyond the file", f"{size} bytes announced.")
            survey.look(survey, Slice(source, start, size), inside, depth + 1)
        elif kind not in b"05\x00":
            survey.unread(inside, f"tar member of type {chr(kind)!r} is not read")
    rest = source.size - at
    head = source.read(at, min(rest, 1 << 20))
    if head.strip(b"\0"):
        survey.critical(where, f"{rest} bytes follow the tar archive", "Readers differ in whether they see them.")
        skip = len(head) - len(head.lstrip(b"\0"))
        survey.look(survey, Slice(source, at + skip, rest - skip), f"{where} > after the archive", depth + 1)


def _tar_members(source: Source) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield (name, type byte, data offset, size, offset after) of each member, long names resolved."""
    at = 0
    long_name = ""
    while True:
        block = source.read(at, 512)
        if len(block) < 512 or not block.strip(b"\0"):
            return
        if not is_tar_header(block):
            if at == 0:
                raise Malformed("the first tar header has a wrong checksum")
            return
        size = _tar_number(block[124:136])
        kind = block[156]
        name = long_name or _tar_name(block)
        start = at + 512
        after = start + (size + 511) // 512 * 512
        if kind in b"Lxg" and size <= 1 << 20:
            body = source.read(start, size)
            if kind == ord("L"):
                long_name = body.rstrip(b"\0").decode("utf-8", "replace")
            elif kind == ord("x"):
                paths = re.findall(rb"\d+ path=([^\n]*)\n", body)
                long_name = paths[-1].decode("utf-8", "replace") if paths else ""
        else:
            long_name = ""
            yield name, kind, start, size, min(after, source.size)
        at = after


def _tar_name(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:262] == b"ustar" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")


def _tar_number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1 & 0xFFFFFFFFFFFF
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise Malformed("a tar header holds no size") from None
