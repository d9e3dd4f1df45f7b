"""Zip archives, read in place: each member goes back to the front door, nothing is extracted.

They are read from the central directory (APPNOTE 6.3.10) and compared with the local headers, since loaders
differ in which of the two they believe.
"""

from __future__ import annotations

import stat
import struct
import zlib
from dataclasses import dataclass

from custody.checks.artifact._pickle_file import probe, read_pickles
from custody.checks.artifact._source import Slice, Source
from custody.checks.artifact._streams import unpack
from custody.checks.artifact._survey import Malformed, Survey, escapes

_SMALL = 4 * 1024**2
"""Checksums of members up to this size are verified; larger ones would cost a full read of the weights."""


@dataclass(frozen=True)
class _Entry:
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    mode: int


def find_zip_end(source: Source) -> int:
    """Return the offset of a zip's end record near the end of the source, or -1.

    Only a record whose central directory is where it says, or as far before it as its size says, counts.
    """
    span = min(source.size, 65557)
    tail = source.read(source.size - span, span)
    place = len(tail)
    while (place := tail.rfind(b"PK\x05\x06", 0, place)) >= 0:
        record = tail[place : place + 22]
        if len(record) == 22:
            at = source.size - span + place
            entries, length, offset = struct.unpack("<HII", record[10:20])
            if entries == 0 and length == 0 and record[4:8] == b"\0\0\0\0":
                return at
            starts = (at - length, offset)
            if 0xFFFFFFFF in (length, offset) or any(source.read(s, 4) == b"PK\x01\x02" for s in starts if 0 <= s < at):
                return at
    return -1


def read_zip(survey: Survey, source: Source, where: str, depth: int) -> None:
    """Look into a zip archive, which may begin anywhere in the source."""
    end = find_zip_end(source)
    if end < 0:
        _headers_without_directory(survey, source, where, depth)
        return
    entries, shift, directory = _directory(survey, source, where, end)
    comment = int.from_bytes(source.read(end + 20, 2), "little")
    rest = source.size - end - 22 - comment
    if rest > 0:
        survey.critical(where, f"{rest} bytes follow the zip archive", "Readers differ in whether they see them.")
        survey.look(survey, Slice(source, end + 22 + comment, rest), f"{where} > after the archive", depth + 1)
    names = [entry.name for entry in entries]
    spans: list[tuple[int, int]] = []
    torch = _torch_root(names)
    script = torch is not None and any(name.startswith(f"{torch}code/") for name in names)
    seen: set[str] = set()
    for entry in entries:
        survey.spend_member()
        inside = f"{where} > {entry.name}"
        if entry.name.lower() in seen:
            survey.critical(inside, "zip holds two members of this name", "Readers differ in which one they take.")
        seen.add(entry.name.lower())
        if escapes(entry.name):
            survey.critical(
                inside, "member's name leads outside the archive", "Extracting it would overwrite other files."
            )
        if stat.S_ISLNK(entry.mode):
            survey.critical(inside, "member is a symbolic link", "Extracting it lets later members write elsewhere.")
        span = _member(survey, source, inside, depth, entry, shift, torch, script)
        spans.append(span)
    _gaps(survey, source, where, depth, spans, directory)
    if script:
        survey.unread(where, "TorchScript holds a program of its own, which is not interpreted")
        survey.warn(where, "TorchScript program", "Loading prepares the program and calling the model runs it.")


def _directory(survey: Survey, source: Source, where: str, end: int) -> tuple[list[_Entry], int, int]:
    """Return the entries, how far all offsets are shifted, and where the directory starts."""
    disk, first, here, count, length, offset = struct.unpack("<HHHHII", source.read(end + 4, 16))
    limit = end
    locator = source.read(end - 20, 20) if end >= 20 else b""
    if locator[:4] == b"PK\x06\x06"[:2] + b"\x06\x07":
        record_at = int.from_bytes(locator[8:16], "little")
        record = source.read(record_at, 56)
        if record[:4] != b"PK\x06\x06":
            record_at = end - 20 - 56
            record = source.read(max(record_at, 0), 56)
        if record[:4] != b"PK\x06\x06" or len(record) < 56:
            raise Malformed("the zip64 end record is not where it should be")
        count64, length64, offset64 = struct.unpack("<QQQ", record[32:56])
        for short, long, full in (
            (count, count64, 0xFFFF),
            (length, length64, 0xFFFFFFFF),
            (offset, offset64, 0xFFFFFFFF),
        ):
            if short not in (long, full):
                survey.critical(
                    where, "zip and zip64 end records disagree", "Readers differ in which one they believe."
                )
        count, length, offset = count64, length64, offset64
        limit = record_at
    elif disk or first or here != count:
        survey.critical(where, "zip claims to span several disks", "Readers differ in what they make of it.")
    start = limit - length
    if start < 0 or length > 256 * 1024**2:
        raise Malformed("the central directory is larger than the file")
    shift = start - offset
    if shift:
        survey.critical(
            where,
            f"zip is shifted by {shift} bytes against its own offsets",
            "Data stands before it, or its directory lies.",
        )
    raw = source.read(start, length)
    entries = []
    at = 0
    while at + 46 <= len(raw) and raw[at : at + 4] == b"PK\x01\x02":
        survey.spend_member()
        flags, method = struct.unpack("<HH", raw[at + 8 : at + 12])
        crc, packed, size, n_name, n_extra, n_comment = struct.unpack("<IIIHHH", raw[at + 16 : at + 34])
        external, header = struct.unpack("<II", raw[at + 38 : at + 46])
        name = raw[at + 46 : at + 46 + n_name].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        extra = raw[at + 46 + n_name : at + 46 + n_name + n_extra]
        size, packed, header = _zip64(extra, size, packed, header)
        entries.append(_Entry(name, flags, method, crc, packed, size, header, external >> 16))
        at += 46 + n_name + n_extra + n_comment
    if at != len(raw) or len(entries) != count:
        survey.critical(
            where,
            "central directory is not what the end record announces",
            f"{count} members announced, {len(entries)} found, {len(raw) - at} bytes left over.",
        )
    return entries, shift, start


def _zip64(extra: bytes, *fields: int) -> tuple[int, ...]:
    values = list(fields)
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack("<HH", extra[at : at + 4])
        body = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if tag == 1:
            place = 0
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF and place + 8 <= len(body):
                    values[index] = int.from_bytes(body[place : place + 8], "little")
                    place += 8
    return tuple(values)


def _member(
    survey: Survey, source: Source, where: str, depth: int, entry: _Entry, shift: int, torch: str | None, script: bool
) -> tuple[int, int]:
    """Compare the local header with the directory, look into the member; return the bytes it occupies."""
    start = entry.header + shift
    local = source.read(start, 30) if start >= 0 else b""
    if len(local) < 30 or local[:4] != b"PK\x03\x04":
        survey.critical(where, "member is not where the directory says", "A loader would fail or read something else.")
        return (0, 0)
    flags, method = struct.unpack("<HH", local[6:10])
    crc, packed, size, n_name, n_extra = struct.unpack("<IIIHH", local[14:30])
    raw_name = source.read(start + 30, n_name)
    size, packed = _zip64(source.read(start + 30 + n_name, n_extra), size, packed)
    name = raw_name.decode("utf-8" if flags & 0x800 else "cp437", "replace")
    lies = []
    if name != entry.name:
        lies.append(f"name {name!r}")
        if escapes(name):
            survey.critical(where, "member's local name leads outside the archive", repr(name))
    if method != entry.method:
        lies.append(f"method {method} and {entry.method}")
    if (flags ^ entry.flags) & 0x0001:
        lies.append("encryption flag")
    if not flags & 8 and (packed, size, crc) != (entry.packed, entry.size, entry.crc):
        lies.append(f"sizes {packed}/{size} and {entry.packed}/{entry.size}, or checksums")
    if lies:
        survey.critical(
            where,
            f"local header and directory disagree: {'; '.join(lies)}",
            "Readers differ in which one they believe.",
        )
    data = start + 30 + n_name + n_extra
    if data + entry.packed > source.size:
        survey.critical(where, "member's size reaches beyond the file", f"{entry.packed} bytes announced.")
    if (entry.flags | flags) & 1:
        survey.critical(
            where, "member is marked as encrypted", "Some loaders ignore the mark; its true content is unknown."
        )
        survey.unread(where, "marked as encrypted")
    if not entry.name.endswith("/") or entry.packed:
        for way in sorted({method, entry.method}):
            _content(survey, Slice(source, data, entry.packed), where, depth, entry, way, torch, script)
    return (start, data + entry.packed)


def _content(
    survey: Survey, packed: Slice, where: str, depth: int, entry: _Entry, method: int, torch: str | None, script: bool
) -> None:
    codec = {8: "deflate", 12: "bzip2"}.get(method)
    content: Source = packed
    if codec is not None:
        content, _used = unpack(survey, packed, where, codec)
    elif method != 0:
        survey.unread(where, f"zip compression method {method} is not read")
        return
    if content.size != entry.size:
        survey.critical(
            where, "member's true size is not the announced one", f"{entry.size} announced, {content.size} found."
        )
    if content.size <= _SMALL and zlib.crc32(content.read(0, content.size)) != entry.crc:
        survey.critical(where, "member's checksum is wrong", "Loaders that do not check it see what others refuse.")
    if torch is not None and entry.name.startswith(f"{torch}data/"):
        probe(survey, content, where, depth + 1)  # raw numbers by context, whatever they look like
    elif torch is not None and entry.name == f"{torch}data.pkl":
        read_pickles(survey, content, where, depth + 1, torch=True, script=script)
    elif (
        torch is not None
        and script
        and entry.name.startswith(tuple(torch + part for part in ("code/", "constants", "traced_inputs")))
    ):
        if content.read(0, 1) == b"\x80":
            read_pickles(survey, content, where, depth + 1, torch=True, script=True)
    elif torch is None or entry.name.removeprefix(torch) not in (".data/serialization_id", "byteorder", "version"):
        survey.look(survey, content, where, depth + 1)


def _torch_root(names: list[str]) -> str | None:
    roots = [name.removesuffix("data.pkl") for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    return roots[0] if len(roots) == 1 and roots[0].count("/") <= 1 else None


def _gaps(survey: Survey, source: Source, where: str, depth: int, spans: list[tuple[int, int]], directory: int) -> None:
    """Report members that overlap, and data that no directory entry covers."""
    at = 0
    for start, end in sorted(span for span in spans if span != (0, 0)):
        if start < at:
            survey.critical(where, "zip members overlap", "The same bytes are read as two members, as bombs do.")
        elif start > at:
            _hidden(survey, source, where, depth, at, start)
        at = max(at, end)
    if directory > at:
        _hidden(survey, source, where, depth, at, directory)


def _hidden(survey: Survey, source: Source, where: str, depth: int, start: int, end: int) -> None:
    head = source.read(start, min(end - start, 65536))
    if (
        start > 0
        and len(head) == end - start
        and (len(head) <= 24 and (head[:4] == b"PK\x07\x08" or len(head) in (12, 20)))
    ):
        return  # a data descriptor
    if not head.strip(b"\0"):
        return
    if start > 0 and head[:4] == b"PK\x07\x08" and len(head) in (16, 24):
        return
    survey.critical(
        where,
        f"{end - start} bytes in the zip belong to no member (at {start})",
        "Other readers see them as a file of another kind.",
    )
    survey.look(survey, Slice(source, start, end - start), f"{where} > bytes at {start}", depth + 1)


def _headers_without_directory(survey: Survey, source: Source, where: str, depth: int) -> None:
    """A zip without a usable end: some readers walk the local headers, so they are walked here too."""
    survey.critical(where, "zip has no readable directory", "Readers that walk the members one by one still see them.")
    at = 0
    while (local := source.read(at, 30))[:4] == b"PK\x03\x04" and len(local) == 30:
        survey.spend_member()
        _flags, method = struct.unpack("<HH", local[6:10])
        _crc, packed, _size, n_name, n_extra = struct.unpack("<IIIHH", local[14:30])
        name = source.read(at + 30, n_name).decode("utf-8", "replace")
        data = at + 30 + n_name + n_extra
        inside = f"{where} > {name}"
        piece: Source = Slice(source, data, packed or source.size - data)
        codec = {8: "deflate", 12: "bzip2"}.get(method)
        if codec is not None:
            piece, used = unpack(survey, piece, inside, codec)
            packed = packed or used
        survey.look(survey, piece, inside, depth + 1)
        if not packed:
            break
        at = data + packed
    if source.size > at:
        survey.unread(where, "a zip without a directory is read only as far as its members follow each other")
