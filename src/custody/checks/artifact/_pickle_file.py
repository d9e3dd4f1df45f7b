"""All pickle streams of a file, one after the other, and what stands between and after them."""

from __future__ import annotations

from custody.checks.artifact._pickle import Reading
from custody.checks.artifact._source import Slice, Source
from custody.checks.artifact._survey import Malformed, Survey


def probe(survey: Survey, source: Source, where: str, depth: int, *, joblib: bool = True) -> bool:
    """Follow bytes that may be a pickle by accident; publish only what an unpickler would really do.

    Returns whether a whole stream was read or a real name would have been imported on the way.
    """
    reading = Reading(survey, source, where, depth=depth, joblib=joblib)
    try:
        reading.follow()
    except Malformed as error:
        if not (reading.alarming_import and (reading.called or reading.protocol >= 2)):
            return False
        reading.note("critical", f"pickle stream breaks off: {error}", "The loader acts before it fails.")
    if reading.foreign_import if not joblib else reading.imported:
        reading.publish()
        return reading.stopped or reading.alarming_import
    return False


_LEGACY_TORCH = 0x1950A86A20F9469CFC6C


def read_pickles(
    survey: Survey, source: Source, where: str, depth: int, *, torch: bool = False, script: bool = False
) -> None:
    """Follow every pickle stream of a file, and look at whatever comes after the last one."""
    at = 0
    streams = 0
    while at < source.size:
        survey.spend_member()
        reading = Reading(survey, source, where, start=at, depth=depth, torch=torch, script=script)
        try:
            reading.follow()
        except Malformed as error:
            reading.note("critical", f"pickle stream is malformed: {error}", "The loader acts before it fails.")
            return
        finally:
            reading.publish()
        if reading.wrapped:
            # A loader other than joblib takes the array bytes for opcodes.
            plain = Slice(source, at, source.size - at)
            probe(survey, plain, f"{where} (read without joblib)", depth, joblib=False)
        at = reading.at
        streams += 1
        if streams == 1 and reading.result == _LEGACY_TORCH:
            torch = True
        elif torch and streams == 5:
            return  # legacy torch: raw storages follow
        head = source.read(at, 2)
        if len(head) < 2 or head[0] != 0x80 or head[1] > 5:
            break
    rest = Slice(source, at, source.size - at)
    if rest.size and rest.read(0, 1 << 16).strip(b"\0"):
        survey.warn(where, f"{rest.size} bytes follow the pickle", "A loader ignores them; another reader may not.")
        survey.look(survey, rest, f"{where} > after the pickle", depth + 1)
