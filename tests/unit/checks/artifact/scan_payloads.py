"""How to write files that act when they are loaded, and how to load them.

All of them are inert: they print a word or ask for the current folder.
"""

from __future__ import annotations

import copyreg
import io
import json
import marshal
import pickle
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORD = "museum"
Loader = Callable[[bytes, Path], Any]


@dataclass(frozen=True)
class Exhibit:
    """A malicious file: `load` shows the effect (None where that is not feasible here), `says` is in a finding."""

    name: str
    family: str
    content: bytes
    load: Loader | None
    says: str
    severity: str = "critical"


# -- writing pickles by hand ---------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def call(module: str, attribute: str, *args: bytes) -> bytes:
    return name(module, attribute) + b"(" + b"".join(args) + b"tR"


PRINT = b"\x80\x02" + call("builtins", "print", text(WORD)) + b"."
GETCWD = call("os", "getcwd")


class Printing:
    """An object whose pickle prints."""

    def __reduce__(self) -> Any:
        return print, (WORD,)


def plain(raw: bytes, _: Path) -> Any:
    return pickle.loads(raw)


def from_joblib(raw: bytes, folder: Path) -> Any:
    import joblib

    (folder / "exhibit").write_bytes(raw)
    return joblib.load(folder / "exhibit")


def from_numpy(raw: bytes, _: Path) -> Any:
    import numpy as np

    found = np.load(io.BytesIO(raw), allow_pickle=True)
    return [found[key] for key in found] if hasattr(found, "keys") else found


def each_stream(raw: bytes, _: Path) -> Any:
    flow = io.BytesIO(raw)
    last = None
    while flow.tell() < len(raw):
        last = pickle.load(flow)
    return last


def zipped(*inner: str) -> Loader:
    def load(raw: bytes, _: Path) -> Any:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return pickle.loads(archive.read(inner[0]))

    return load


def tarred(inner: str) -> Loader:
    def load(raw: bytes, _: Path) -> Any:
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            member = archive.extractfile(inner)
            assert member is not None
            return pickle.load(member)

    return load


def unpacked(unpack: Callable[[bytes], bytes]) -> Loader:
    return lambda raw, _: pickle.loads(unpack(raw))


def then(use: Callable[[Any], Any]) -> Loader:
    return lambda raw, _: use(pickle.loads(raw))


def extended(raw: bytes, _: Path) -> Any:
    copyreg.add_extension("builtins", "print", 213)
    try:
        return pickle.loads(raw)
    finally:
        copyreg.remove_extension("builtins", "print", 213)


def resolving(raw: bytes, _: Path) -> Any:
    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return print

    return Unpickler(io.BytesIO(raw)).load()


# -- containers ----------------------------------------------------------------------------------


def make_zip(members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for inner, content in members.items():
            archive.writestr(inner, content)
    return out.getvalue()


def make_tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def special_zip(kind: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if kind == "twice":
            archive.writestr("a.txt", b"harmless")
            archive.filelist.clear()
            archive.NameToInfo.clear()
            first = zipfile.ZipInfo("model.pkl")
            archive.writestr(first, pickle.dumps(1))
            archive.NameToInfo.clear()
            archive.writestr(zipfile.ZipInfo("model.pkl"), PRINT)
        elif kind == "link":
            info = zipfile.ZipInfo("weights")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc")
        elif kind == "slip":
            archive.writestr("../../outside.txt", "x")
    return out.getvalue()


def patched_zip(find: bytes, put: bytes, *, last: bool) -> bytes:
    raw = bytearray(make_zip({"model.pkl": PRINT}, method=zipfile.ZIP_STORED))
    at = raw.rfind(find) if last else raw.find(find)
    raw[at : at + len(put)] = put
    return bytes(raw)


def wrong_sum() -> bytes:
    raw = bytearray(make_zip({"model.pkl": PRINT}, method=zipfile.ZIP_STORED))
    for start in (raw.find(b"PK\x03\x04") + 14, raw.find(b"PK\x01\x02") + 16):
        raw[start : start + 4] = b"\0\0\0\1"
    return bytes(raw)


def raw_member(raw: bytes, _: Path) -> Any:
    return pickle.loads(raw[raw.find(b"model.pkl") + len("model.pkl") :])


def tar_polyglot() -> bytes:
    """A tar whose first member's name is a pickle: tarfile and pickle both read it."""
    head = b"\x80\x02" + call("builtins", "print", text(WORD)) + b"."
    block = bytearray(512)
    block[: len(head)] = head
    block[100:108], block[124:136], block[156:157], block[257:263] = b"0000644\0", b"00000000000\0", b"0", b"ustar\0"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block) + bytes(1024)


def joblib_polyglot() -> bytes:
    """joblib sees a harmless array of bytes; pickle takes the same bytes for opcodes."""
    import numpy as np
    from joblib.numpy_pickle import NumpyArrayWrapper

    payload = b"0" + call("builtins", "print", text(WORD)) + b"."
    wrapper = NumpyArrayWrapper(np.ndarray, (len(payload),), "C", np.dtype("u1"))
    wrapper.__dict__.pop("numpy_array_alignment_bytes", None)
    return pickle.dumps(wrapper, 2)[:-1] + payload + b"."


def joblib_dumped(value: Any, **options: Any) -> bytes:
    import joblib

    out = io.BytesIO()
    joblib.dump(value, out, **options)
    return out.getvalue()


def object_array() -> Any:
    import numpy as np

    return np.array([Printing()], dtype=object)


def numpy_saved(**arrays: Any) -> bytes:
    import numpy as np

    out = io.BytesIO()
    if arrays:
        np.savez(out, allow_pickle=True, **arrays)
    else:
        np.save(out, object_array(), allow_pickle=True)
    return out.getvalue()


def tampered_distribution() -> bytes:
    from scipy import stats

    class Tampered:
        def __reduce__(self) -> Any:
            state = dict(stats.norm.__getstate__())
            state["_parse_arg_template"] = f"print({WORD!r})\n" + state["_parse_arg_template"]
            return copyreg._reconstructor, (type(stats.norm), object, None), state  # type: ignore[attr-defined]

    return pickle.dumps(Tampered(), 4)


def function_maker() -> bytes:
    code = marshal.dumps(compile(f"print({WORD!r})", "x", "exec"))
    made = (
        name("types", "FunctionType")
        + b"("
        + call("marshal", "loads", b"B" + struct.pack("<I", len(code)) + code)
        + b"}tR"
    )
    return b"\x80\x04" + made + b")R."


def estimator_with(state: dict[str, bytes], after: bytes = b"") -> bytes:
    body = b"".join(text(key) + value for key, value in state.items())
    new = name("sklearn.linear_model._logistic", "LogisticRegression") + b")\x81}(" + body + b"ub"
    return b"\x80\x02" + new + after + b"."


def tensors(header: Any, data: int, *, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)


def floats(start: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]}


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    key = number << 3 | 2
    head = bytes([key]) if key < 128 else bytes([key & 0x7F | 0x80, key >> 7])
    return head + bytes([len(value)]) + value


def onnx(*, location: str = "weights.bin", domain: str = "") -> bytes:
    entry = _field(1, b"location") + _field(2, location.encode())
    tensor = _field(8, b"w") + _field(13, entry) + _field(14, 1)
    node = _field(4, b"Odd") + (_field(7, domain.encode()) if domain else b"")
    return _field(1, 8) + _field(2, b"maker") + _field(7, _field(1, node) + _field(5, tensor))


def gguf(template: str) -> bytes:
    def counted(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    pair = counted("tokenizer.chat_template") + struct.pack("<I", 8) + counted(template)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair


TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
IMPORTS = "pickle imports "


def matryoshka(levels: int) -> bytes:
    raw = PRINT
    for _ in range(levels):
        raw = make_zip({"inner": raw}, method=0)
    return raw


def short_npy() -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.save(out, np.zeros(100))
    return out.getvalue()[:-8]
