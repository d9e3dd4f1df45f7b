"""What is this? Decided by the bytes, never by the name; a name can only add suspicion.

`look` is the front door: containers hand each member back to it. A file that is two formats at once is read
as both, because loaders differ in which one they see.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from custody.checks.artifact import _onnx, _safetensors
from custody.checks.artifact._arrays import read_gguf, read_npy
from custody.checks.artifact._onnx import read_onnx
from custody.checks.artifact._pickle_file import probe, read_pickles
from custody.checks.artifact._safetensors import read_safetensors
from custody.checks.artifact._source import Source
from custody.checks.artifact._streams import read_stream
from custody.checks.artifact._survey import Malformed, Survey
from custody.checks.artifact._tar import is_tar_header, read_tar
from custody.checks.artifact._text import is_text, read_text
from custody.checks.artifact._zip import find_zip_end, read_zip

_HEAD = 8192
_PICKLE_NAMES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".dill", ".cloudpickle")

_NATIVE = {
    b"\x7fELF": "a native library or program (ELF)",
    b"\xfe\xed\xfa\xce": "a native library or program (Mach-O)",
    b"\xfe\xed\xfa\xcf": "a native library or program (Mach-O)",
    b"\xcf\xfa\xed\xfe": "a native library or program (Mach-O)",
    b"\xce\xfa\xed\xfe": "a native library or program (Mach-O)",
    b"\xca\xfe\xba\xbe": "Java bytecode or a universal Mach-O binary",
    b"\0asm": "WebAssembly",
    b"dex\n": "Android bytecode",
}
_INERT = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "feather",
    b"\x89PNG\r\n\x1a\n": "image",
    b"\xff\xd8\xff": "image",
    b"GIF8": "image",
    b"OggS": "sound",
    b"fLaC": "sound",
}
_UNREAD = {
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x9d": "compress",
    b"LZIP": "lzip",
    b"MSCF": "cabinet",
    b"ZF0x": "joblib 0.9 compressed",
    b"SQLite format 3\0": "sqlite",
    b"%PDF": "pdf",
    b"ggml": "ggml",
    b"ggjt": "ggml",
}

Reader = Callable[[Survey, Source, str, int], None]


def _streamed(codec: str) -> Reader:
    return lambda survey, source, where, depth: read_stream(survey, source, where, depth, codec)


_READERS: dict[str, Reader] = {
    "pickle": read_pickles,
    "zip": read_zip,
    "tar": read_tar,
    "npy": read_npy,
    "gguf": read_gguf,
    "safetensors": read_safetensors,
    "onnx": read_onnx,
    "text": read_text,
    **{codec: _streamed(codec) for codec in ("gzip", "zlib", "bzip2", "xz", "lzma")},
}


def identify(source: Source, head: bytes) -> str:
    """Name the format of the bytes; empty when it is not known."""
    if _safetensors.looks_like(head, source.size):
        return "safetensors"
    if head[:1] == b"\x80" and len(head) > 1:
        return "pickle"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:3] == b"BZh":
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:3] == b"]\0\0" and len(head) > 13:
        return "lzma"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return "zip"
    if head[:6] == b"\x93NUMPY":
        return "npy"
    if head[:4] == b"GGUF":
        return "gguf"
    for table in (_NATIVE, _INERT, _UNREAD):
        for magic, name in table.items():
            if head.startswith(magic):
                return name
    if head[4:8] == b"TFL3":
        return "tensorflow lite"
    if head[:2] == b"MZ" and len(head) > 64 and not is_text(head):
        return "a native library or program (Windows)"
    if is_tar_header(head[:512]):
        return "tar"
    if _is_zlib(head):
        return "zlib"
    if head[2:4] == b"\r\n" and len(head) >= 16 and 3000 < int.from_bytes(head[:2], "little") < 4000:
        return "compiled Python"
    if _onnx.looks_like(source):
        return "onnx"
    if is_text(head):
        return "text"
    return ""


def _is_zlib(head: bytes) -> bool:
    if len(head) < 6 or head[0] != 0x78 or int.from_bytes(head[:2], "big") % 31:
        return False
    try:
        zlib.decompressobj().decompress(head, 4096)
    except zlib.error:
        return False
    return True


def look(survey: Survey, source: Source, where: str, depth: int) -> str:
    """Inspect bytes of any kind and return the name of their format."""
    if depth > survey.limits.depth:
        survey.critical(where, f"nested more than {survey.limits.depth} levels deep", "No model is packed like this.")
        survey.unread(where, "nested too deeply")
        return "nested"
    if not source.size:
        return "empty"
    head = source.read(0, _HEAD)
    kind = identify(source, head)
    _read(survey, source, where, depth, kind, head)
    if (
        kind != "zip"
        and kind not in ("tar", "gzip", "zlib", "bzip2", "xz", "lzma", "npy")
        and find_zip_end(source) >= 0
    ):
        survey.critical(
            where,
            f"the file is {kind or 'something'} and a zip archive at once",
            "Loaders differ in which one they see.",
        )
        _read(survey, source, where, depth, "zip", head)
    if kind != "tar" and is_tar_header(head[:512]):
        survey.critical(
            where,
            f"the file is {kind or 'something'} and a tar archive at once",
            "Loaders differ in which one they see.",
        )
        _read(survey, source, where, depth, "tar", head)
    return kind or "unknown"


def _read(survey: Survey, source: Source, where: str, depth: int, kind: str, head: bytes) -> None:
    reader = _READERS.get(kind)
    live = kind != "pickle" and probe(survey, source, where, depth)
    if reader is not None:
        try:
            reader(survey, source, where, depth)
        except Malformed as error:
            survey.critical(where, f"{kind} is malformed: {error}", "A loader may act on what comes before the break.")
    elif kind in _NATIVE.values() or kind == "compiled Python" or kind.startswith("a native"):
        survey.critical(where, kind, "Code for the machine beside a model: loading it runs it.")
    elif kind in _INERT.values() or live:
        pass
    else:
        _markers(survey, source, where, kind, head)
        survey.unread(where, f"{kind} is not interpreted" if kind else "the format is not known")
        if not kind and where.endswith(_PICKLE_NAMES):
            survey.critical(where, "named like a pickle, but its stream is broken", "A loader may act before it fails.")


_CODE_MARKS = {
    b'"class_name": "Lambda"': "a Keras Lambda layer",
    b'"function_type": "lambda"': "a Keras Lambda layer",
    b'"class_name": "__lambda__"': "a Keras Lambda layer",
    b"\x08ReadFile": "the TensorFlow operation ReadFile",
    b"\x09WriteFile": "the TensorFlow operation WriteFile",
    b"\x06PyFunc": "the TensorFlow operation PyFunc",
    b"\x0eEagerPyFunc": "the TensorFlow operation EagerPyFunc",
    b"\x0dMatchingFiles": "the TensorFlow operation MatchingFiles",
}


def _markers(survey: Survey, source: Source, where: str, kind: str, head: bytes) -> None:
    """Look through bytes that are not interpreted for the best-known marks of code in them."""
    if kind not in ("hdf5", ""):
        return
    piece_size = 1 << 20
    end = min(source.size, 1 << 30)
    at = 0
    while at < end:
        survey.tick()
        piece = head if source.size <= len(head) else source.read(at, piece_size + 64)
        for mark, name in _CODE_MARKS.items():
            if mark in piece:
                survey.critical(
                    where, f"{kind or 'the file'} holds {name}", "It runs when the model is loaded or called."
                )
        at += piece_size
