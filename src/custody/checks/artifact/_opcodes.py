"""The 68 opcodes of pickle, each as what it does to the abstract stack (names as in CPython's `pickletools`)."""

from __future__ import annotations

import pickletools
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from custody.checks.artifact._survey import Malformed
from custody.checks.artifact._values import Blob, Global, Items, Made, Pairs, Unresolved, keep_pairs

if TYPE_CHECKING:
    from custody.checks.artifact._pickle import Reading

Handler = Callable[["Reading"], None]

_CODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}
TABLE: list[tuple[str, Handler] | None] = [None] * 256
"""By byte: the opcode's name and what it does; None where no opcode has that byte."""


def _on(*names: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        for name in names:
            TABLE[_CODES[name]] = (name, handler)
        return handler

    return keep


def _constant(name: str, make: Callable[[], Any]) -> None:
    def handler(r: Reading) -> None:
        r.stack.append(make())

    TABLE[_CODES[name]] = (name, handler)


for _name, _value in {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}.items():
    _constant(_name, lambda value=_value: value)  # type: ignore[misc]
_constant("EMPTY_LIST", Items)
_constant("EMPTY_SET", Items)
_constant("EMPTY_DICT", Pairs)


def _pushed(name: str, read: Callable[[Reading], Any]) -> None:
    def handler(r: Reading) -> None:
        r.stack.append(read(r))

    TABLE[_CODES[name]] = (name, handler)


_pushed("BININT", lambda r: int.from_bytes(r.take(4), "little", signed=True))
_pushed("BININT1", lambda r: r.take(1)[0])
_pushed("BININT2", lambda r: r.counted(2))
_pushed("BINFLOAT", lambda r: struct.unpack(">d", r.take(8))[0])
_pushed("SHORT_BINUNICODE", lambda r: r.text(1))
_pushed("BINUNICODE", lambda r: r.text(4))
_pushed("BINUNICODE8", lambda r: r.text(8))
_pushed("SHORT_BINBYTES", lambda r: r.data(1))
_pushed("BINBYTES", lambda r: r.data(4))
_pushed("BINBYTES8", lambda r: r.data(8))
_pushed("BYTEARRAY8", lambda r: r.data(8))
_pushed("LONG1", lambda r: int.from_bytes(r.take(r.counted(1)), "little", signed=True))
_pushed("SHORT_BINSTRING", lambda r: _python2_text(r.data(1)))
_pushed("BINSTRING", lambda r: _python2_text(r.data(4)))


def _python2_text(value: Any) -> Any:
    """Python 2 strings become text by the loader's encoding; ASCII reads the same in each."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


@_on("LONG4")
def _long4(r: Reading) -> None:
    size = r.counted(4)
    if size >= 1 << 31:
        raise Malformed("LONG4 announces a negative size")
    if size > 65536:
        r.skip(size)
        r.push(Unresolved("huge number"))
    else:
        r.push(int.from_bytes(r.take(size), "little", signed=True))


@_on("INT", "LONG")
def _decimal(r: Reading) -> None:
    line = r.line()
    if r.op_name == "INT" and line in (b"00", b"01"):
        r.push(line == b"01")
        return
    try:
        r.push(int(line.rstrip(b"L"), 0))
    except ValueError:
        raise Malformed(f"{r.op_name} holds no number") from None


@_on("FLOAT")
def _float(r: Reading) -> None:
    try:
        r.push(float(r.line()))
    except ValueError:
        raise Malformed("FLOAT holds no number") from None


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\n": ""}


def _unescape(match: re.Match[str]) -> str:
    body = match[1]
    if body[0] == "x" and len(body) == 3:
        return chr(int(body[1:], 16))
    if body[0] in "01234567":
        return chr(int(body, 8) & 0xFF)
    if body in "\\'\"":
        return body
    return _SIMPLE.get(body, "\\" + body)


@_on("STRING")
def _string(r: Reading) -> None:
    line = r.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Malformed("STRING is not quoted")
    r.push(_ESCAPE.sub(_unescape, line[1:-1].decode("latin-1")))


@_on("UNICODE")
def _unicode(r: Reading) -> None:
    line = r.line()
    try:
        r.push(line.decode("raw-unicode-escape"))
    except UnicodeDecodeError:
        raise Malformed("UNICODE cannot be decoded") from None


# -- containers --------------------------------------------------------------------------------


@_on("MARK")
def _mark(r: Reading) -> None:
    r.marks.append(r.stack)
    r.stack = []


@_on("POP")
def _pop(r: Reading) -> None:
    if r.stack:
        r.stack.pop()
    else:
        r.pop_mark()


@_on("POP_MARK")
def _pop_mark(r: Reading) -> None:
    r.pop_mark()


@_on("DUP")
def _dup(r: Reading) -> None:
    r.push(r.top())


@_on("TUPLE")
def _tuple(r: Reading) -> None:
    items = r.pop_mark()
    r.push(tuple(items))


@_on("TUPLE1")
def _tuple1(r: Reading) -> None:
    r.push((r.pop(),))


@_on("TUPLE2")
def _tuple2(r: Reading) -> None:
    last, first = r.pop(), r.pop()
    r.push((first, last))


@_on("TUPLE3")
def _tuple3(r: Reading) -> None:
    last, middle, first = r.pop(), r.pop(), r.pop()
    r.push((first, middle, last))


@_on("LIST", "FROZENSET")
def _list(r: Reading) -> None:
    r.pop_mark()
    r.push(Items())


@_on("DICT")
def _dict(r: Reading) -> None:
    items = r.pop_mark()
    pairs = Pairs()
    if len(items) % 2:
        raise Malformed("a dictionary has a key without a value")
    keep_pairs(pairs.known, items)
    r.push(pairs)


@_on("APPEND")
def _append(r: Reading) -> None:
    r.pop()
    r.fill(r.top(), "appends to")


@_on("APPENDS", "ADDITEMS")
def _appends(r: Reading) -> None:
    r.pop_mark()
    r.fill(r.top(), "appends to")


@_on("SETITEM")
def _setitem(r: Reading) -> None:
    value, key = r.pop(), r.pop()
    _set(r, [key, value])


@_on("SETITEMS")
def _setitems(r: Reading) -> None:
    _set(r, r.pop_mark())


def _set(r: Reading, items: list[Any]) -> None:
    if len(items) % 2:
        raise Malformed("a dictionary has a key without a value")
    r.fill(r.top(), "sets items of", items)


# -- memo --------------------------------------------------------------------------------------


def _index(r: Reading) -> int:
    line = r.line()
    if not line.isdigit() or len(line) > 20:
        raise Malformed(f"{r.op_name} holds no memo index")
    return int(line)


@_on("PUT")
def _put_memo(r: Reading) -> None:
    r.remember(_index(r))


@_on("BINPUT")
def _binput(r: Reading) -> None:
    r.remember(r.take(1)[0])


@_on("LONG_BINPUT")
def _long_binput(r: Reading) -> None:
    r.remember(r.counted(4))


@_on("MEMOIZE")
def _memoize(r: Reading) -> None:
    r.memo[len(r.memo)] = r.top()


@_on("GET")
def _get(r: Reading) -> None:
    r.recall(_index(r))


@_on("BINGET")
def _binget(r: Reading) -> None:
    r.recall(r.take(1)[0])


@_on("LONG_BINGET")
def _long_binget(r: Reading) -> None:
    r.recall(r.counted(4))


# -- names, calls, state -----------------------------------------------------------------------


def _name_line(r: Reading) -> str:
    try:
        return r.line().decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"{r.op_name} holds a name that is not UTF-8") from None


@_on("GLOBAL")
def _global(r: Reading) -> None:
    module = _name_line(r)
    r.push(r.resolve(module, _name_line(r)))


@_on("STACK_GLOBAL")
def _stack_global(r: Reading) -> None:
    name, module = r.pop(), r.pop()
    r.push(r.resolve(module, name))


@_on("EXT1", "EXT2", "EXT4")
def _extension(r: Reading) -> None:
    code = r.counted({"EXT1": 1, "EXT2": 2, "EXT4": 4}[r.op_name])
    r.imported = r.alarming_import = True
    r.note(
        "critical",
        f"pickle takes name {code} from the extension registry",
        "What the number stands for is decided in the loading process and cannot be known from the file.",
    )
    r.push(Unresolved("extension registry"))


@_on("REDUCE")
def _reduce(r: Reading) -> None:
    args, callee = r.pop(), r.pop()
    r.push(r.call(callee, args))


@_on("INST")
def _inst(r: Reading) -> None:
    module = _name_line(r)
    callee = r.resolve(module, _name_line(r))
    args = tuple(r.pop_mark())
    r.push(r.call(callee, args))


@_on("OBJ")
def _obj(r: Reading) -> None:
    items = r.pop_mark()
    if not items:
        raise Malformed("OBJ finds no class")
    r.push(r.call(items[0], tuple(items[1:])))


@_on("NEWOBJ")
def _newobj(r: Reading) -> None:
    args, cls = r.pop(), r.pop()
    r.push(r.make(cls, args))


@_on("NEWOBJ_EX")
def _newobj_ex(r: Reading) -> None:
    _keywords, args, cls = r.pop(), r.pop(), r.pop()
    r.push(r.make(cls, args))


@_on("BUILD")
def _build(r: Reading) -> None:
    state = r.pop()
    r.build(state)
    target = r.top()
    if r.joblib and isinstance(target, Made) and isinstance(target.kind, Global):
        kind = target.kind
        if (kind.module, kind.name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            r.stack[-1] = r.array(target)


@_on("PERSID")
def _persid(r: Reading) -> None:
    r.persistent(_name_line(r))


@_on("BINPERSID")
def _binpersid(r: Reading) -> None:
    r.persistent(r.pop())


# -- frame, buffers, start and end ---------------------------------------------------------------


@_on("PROTO")
def _proto(r: Reading) -> None:
    r.protocol = r.take(1)[0]
    if r.protocol > 5:
        raise Malformed(f"protocol {r.protocol} does not exist")


@_on("FRAME")
def _frame(r: Reading) -> None:
    size = r.counted(8)
    if r.frame_end > r.at:
        raise Malformed("a frame begins inside another")
    if r.at + size > r.source.size:
        raise Malformed(f"FRAME announces {size} bytes, more than the file holds")
    r.frame_end = r.at + size if size else 0


@_on("NEXT_BUFFER")
def _next_buffer(r: Reading) -> None:
    r.note("warning", "pickle expects a buffer from outside the file", "Its content was not inspected.")
    r.push(Blob(r.at, 0, b""))


@_on("READONLY_BUFFER")
def _readonly_buffer(r: Reading) -> None:
    r.top()


@_on("STOP")
def _stop(r: Reading) -> None:
    r.result = r.pop()
    r.stopped = True


_UNHANDLED = [name for name, code in _CODES.items() if TABLE[code] is None]
if _UNHANDLED:
    raise RuntimeError(f"this Python's pickle has opcodes that the scanner does not know: {_UNHANDLED}")
