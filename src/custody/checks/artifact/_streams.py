"""Compressed streams (gzip, zlib, bzip2, xz, lzma), decompressed in bounded pieces and never to disk."""

from __future__ import annotations

from custody.checks.artifact._source import BROKEN, KEPT, Memory, Slice, Source, Unpacked, Unpacking
from custody.checks.artifact._survey import Survey


def unpack(survey: Survey, source: Source, where: str, codec: str) -> tuple[Source, int]:
    """Decompress one stream; return its content and how many input bytes it took.

    A stream that breaks off is a finding and what came before the break is still returned, because loaders
    that read piecewise act on it. A bomb is a finding and is cut.
    """
    limits = survey.limits
    flow = Unpacking(source, codec)
    kept: bytearray | None = bytearray()
    total = 0
    try:
        while piece := flow.piece():
            total += len(piece)
            survey.spend_unpacked(len(piece))
            if kept is not None:
                kept += piece
                if len(kept) > KEPT:
                    kept = None
            if total > limits.bomb_bytes and total > limits.ratio * max(flow.used, 1):
                survey.critical(
                    where, f"{codec} stream expands more than {limits.ratio} times", "A loader would fill the memory."
                )
                survey.unread(where, "a decompression bomb is not read to its end")
                break
        else:
            if not flow.complete:
                survey.critical(where, f"{codec} stream is cut short", "A loader acts on what comes before the cut.")
    except BROKEN as error:
        survey.critical(where, f"{codec} stream is broken: {error}", "A loader acts on what comes before the break.")
    content: Source = Memory(bytes(kept)) if kept is not None else Unpacked(source, codec, total, survey.spend_unpacked)
    return content, flow.used


def read_stream(survey: Survey, source: Source, where: str, depth: int, codec: str) -> None:
    """Look into a compressed file and at whatever follows its stream."""
    content, used = unpack(survey, source, where, codec)
    survey.look(survey, content, f"{where} > {codec}", depth + 1)
    rest = Slice(source, used, source.size - used)
    if rest.size and rest.read(0, 4096).strip(b"\0"):
        survey.warn(where, f"{rest.size} bytes follow the {codec} stream", "Readers differ in whether they see them.")
        survey.look(survey, rest, f"{where} > after the stream", depth + 1)
