"""What would unpickling do? An abstract interpreter that follows every opcode and executes none.

It keeps the stack and the memo as the unpickler does (CPython `Lib/pickle.py`, protocols 0 to 5; PEP 3154
for frames and `STACK_GLOBAL`), so that a name assembled on the stack, fetched from the memo or split over
several opcodes is resolved. A name that cannot be resolved is itself a finding. Array bytes that joblib
puts between the opcodes are skipped without being read; object arrays there are pickles of their own.
"""

from __future__ import annotations

import _compat_pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from custody.checks.artifact import _rules
from custody.checks.artifact._allowlist import danger, uses
from custody.checks.artifact._opcodes import TABLE
from custody.checks.artifact._source import Slice, Source
from custody.checks.artifact._survey import Exhausted, Malformed, Survey
from custody.checks.artifact._values import Blob, Global, Items, Made, Pairs, Persistent, Unresolved, keep_pairs, spell

_BUFFER = 128 * 1024
_KEPT_TEXT = 64 * 1024
"""Longer strings are skipped over; no name or dtype is that long."""
_MEMO_SPARE = 1_000_000
_NESTED = re.compile(rb"\x80[\x00-\x05]|PK\x03\x04|\x1f\x8b\x08|BZh[1-9]1AY|\xfd7zXZ|\x93NUMPY")
_NAME = re.compile(r"[A-Za-z_][\w.]*\Z")

Use = tuple[str, str, str]
_listeners: ContextVar[set[Use] | None] = ContextVar("names_in", default=None)


@contextmanager
def names_in() -> Iterator[set[Use]]:
    """Collect (module, name, use) of every name that is met while the block runs."""
    found: set[Use] = set()
    token = _listeners.set(found)
    try:
        yield found
    finally:
        _listeners.reset(token)


class Reading:
    """One pickle stream, followed from `start` to its STOP.

    `joblib` says whether array wrappers are followed by raw bytes, `torch` whether persistent ids name storages,
    `script` whether names of a TorchScript program are resolved by its own reader.
    Notes are kept here until `publish`, because a text file that happens to start like a pickle is judged only
    by how far an unpickler would come.
    """

    def __init__(
        self,
        survey: Survey,
        source: Source,
        where: str,
        *,
        start: int = 0,
        depth: int = 0,
        joblib: bool = True,
        torch: bool = False,
        script: bool = False,
    ) -> None:
        self.survey = survey
        self.source = source
        self.where = where
        self.depth = depth
        self.joblib = joblib
        self.torch = torch
        self.script = script
        self.base = start
        self.buffer = b""
        self.i = 0
        self.op_at = start
        self.op_name = ""
        self.protocol = 0
        self.frame_end = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.memo_limit = _MEMO_SPARE
        self.notes: dict[tuple[str, str], tuple[str, str]] = {}
        self.used: set[Use] = set()
        self.result: Any = None
        self.stopped = False
        self.imported = False
        self.called = False
        self.alarming_import = False
        self.foreign_import = False
        self.wrapped = False

    # -- bytes --------------------------------------------------------------------------------

    @property
    def at(self) -> int:
        """Return the offset of the next byte."""
        return self.base + self.i

    def take(self, count: int) -> bytes:
        """Return the next bytes or raise `Malformed`."""
        end = self.i + count
        if end <= len(self.buffer):
            piece = self.buffer[self.i : end]
            self.i = end
            return piece
        self._fill(count)
        piece = self.buffer[:count]
        self.i = count
        if len(piece) < count:
            raise Malformed(f"the stream ends in the middle of {self.op_name or 'an opcode'}")
        return piece

    def _fill(self, least: int) -> None:
        self.base += self.i
        self.i = 0
        self.buffer = self.source.read(self.base, max(least, _BUFFER))

    def skip(self, count: int) -> None:
        """Step over bytes without reading them."""
        target = self.at + count
        if target > self.source.size:
            raise Malformed(f"{self.op_name or 'an array'} announces {count} bytes, more than the file holds")
        if self.i + count <= len(self.buffer):
            self.i += count
        else:
            self.base, self.buffer, self.i = target, b"", 0

    def line(self) -> bytes:
        """Return the bytes up to the next newline, without it."""
        want = 256
        while True:
            end = self.buffer.find(b"\n", self.i)
            if end >= 0:
                piece = self.buffer[self.i : end]
                self.i = end + 1
                return piece
            left = len(self.buffer) - self.i
            self._fill(max(want, _BUFFER))
            if len(self.buffer) <= left:
                raise Malformed(f"the stream ends in the middle of {self.op_name}")
            want = 2 * len(self.buffer)
            if want > 256 * 1024**2:
                raise Exhausted("a line of a pickle is longer than 128 MiB")

    def counted(self, width: int) -> int:
        """Return an unsigned little-endian number of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def text(self, width: int) -> Any:
        """Return a counted string, or a `Blob` when it is too long to be a name."""
        size = self.counted(width)
        if size > _KEPT_TEXT:
            return self._blob(size, text=True)
        try:
            return self.take(size).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Malformed(f"{self.op_name} is not UTF-8") from None

    def data(self, width: int) -> Any:
        """Return counted bytes, or a `Blob` when they are many; pickles and archives inside are looked into."""
        size = self.counted(width)
        start = self.at
        value: Any = self.take(size) if size <= _KEPT_TEXT else self._blob(size)
        head = value[:8] if isinstance(value, bytes) else value.head
        if size > 8 and _NESTED.match(head):
            self._look_inside(start, size, head)
        return value

    def _blob(self, size: int, *, text: bool = False) -> Blob:
        start = self.at
        head = self.take(8)
        self.skip(size - 8)
        return Blob(start, size, head, text)

    def _look_inside(self, start: int, size: int, head: bytes) -> None:
        from custody.checks.artifact._pickle_file import probe  # a pickle inside a pickle is a file of its own

        inside = f"{self.where} > bytes at {start}"
        if self.depth >= self.survey.limits.depth:
            raise Exhausted(f"nested more than {self.survey.limits.depth} levels deep")
        stretch = Slice(self.source, start, size)
        if head[:1] == b"\x80":
            probe(self.survey, stretch, inside, self.depth + 1)
        elif head[:2] == b"PK":
            self.survey.look(self.survey, stretch, inside, self.depth + 1)

    # -- notes --------------------------------------------------------------------------------

    def note(self, severity: str, what: str, why: str = "") -> None:
        """Keep a finding about the current opcode, once per wording."""
        if (severity, what) not in self.notes and len(self.notes) < 5000:
            self.notes[severity, what] = (f"{self.where} @ byte {self.op_at} ({self.op_name})", why)

    def publish(self) -> None:
        """Hand the notes over to the survey."""
        for (severity, what), (where, why) in self.notes.items():
            (self.survey.critical if severity == "critical" else self.survey.warn)(where, what, why)
        self.notes.clear()
        if (found := _listeners.get()) is not None:
            found |= self.used

    # -- stack --------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the top of the stack."""
        if not self.stack:
            raise Malformed(f"{self.op_name} finds an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        """Return the top of the stack."""
        if not self.stack:
            raise Malformed(f"{self.op_name} finds an empty stack")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Return everything since the last MARK."""
        if not self.marks:
            raise Malformed(f"{self.op_name} finds no MARK")
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def remember(self, index: int) -> None:
        """Store the top of the stack in the memo."""
        if index > self.memo_limit + len(self.memo):
            self.note("critical", "memo index made to exhaust memory", f"index {index}: the table is grown to hold it")
            return
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push what the memo holds."""
        if index not in self.memo:
            raise Malformed(f"{self.op_name} asks for memo entry {index}, which was never stored")
        self.push(self.memo[index])

    # -- meaning ------------------------------------------------------------------------------

    def resolve(self, module: Any, name: Any) -> Any:
        """Push the global that is imported here; unlisted or undetermined ones are findings."""
        if not all(isinstance(part, str | Made | Unresolved | Blob | Persistent) for part in (module, name)):
            raise Malformed(f"{self.op_name} finds {spell(module)} and {spell(name)} where two strings must be")
        if not isinstance(module, str) or not isinstance(name, str):
            self.note(
                "critical",
                "pickle imports a name that cannot be determined",
                f"module {spell(module)}, name {spell(name)}: they are not plain strings on the stack",
            )
            self.imported = self.alarming_import = True
            return Unresolved("import")
        if self.protocol < 3:
            # The unpickler translates Python 2 names the same way (fix_imports).
            if (module, name) in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[module, name]
            elif module in _compat_pickle.IMPORT_MAPPING:
                module = _compat_pickle.IMPORT_MAPPING[module]
        found = Global(module, name)
        self.use(found, "v")
        sayable = bool(_NAME.match(module) and _NAME.match(name))
        self.imported |= sayable
        if self.script and (module.startswith("__torch__.") or module == "torch.jit._pickle"):
            return found  # TorchScript's own reader resolves these inside its program
        if not uses(module, name):
            self.alarming_import |= sayable
            self.foreign_import |= sayable
            dotted = " The dots in the name walk through attributes of the module." if "." in name else ""
            self.note("critical", f"pickle imports {found}", danger(module, name) + dotted)
        return found

    def use(self, what: Global, letter: str) -> None:
        """Record how a name is used, for learning."""
        if _NAME.match(what.module) and _NAME.match(what.name):
            self.used.add((what.module, what.name, letter))

    def allowed(self, what: Global, letter: str, doing: str) -> bool:
        """Return whether a name is listed for this use; note it when only the use is strange."""
        self.use(what, letter)
        letters = uses(what.module, what.name)
        if letters and letter not in letters:
            self.note(
                "critical", f"pickle {doing} {what}", "Ordinary models refer to this name but never use it this way."
            )
        return letter in letters

    def call(self, callee: Any, args: Any) -> Any:
        """Follow a call: REDUCE, INST or OBJ."""
        self.called = True
        if not isinstance(callee, Global | Made | Unresolved | Persistent):
            raise Malformed(f"{self.op_name} calls {spell(callee)}, which cannot be called")
        if not isinstance(callee, Global):
            self.note(
                "critical",
                f"pickle calls {spell(callee)}",
                "Only names from the allowlist may be called; this is an object made on the way, or undetermined.",
            )
            return Unresolved("call")
        if (callee.module, callee.name) in _rules.NEWOBJ and isinstance(args, tuple) and args:
            self.use(callee, "c")
            return self.make(args[0], args[1:])
        if not self.allowed(callee, "c", "calls"):
            return Made(callee, args)
        return _rules.call(self, callee, args)

    def make(self, cls: Any, args: Any) -> Any:
        """Follow the making of an instance by `__new__`: NEWOBJ, NEWOBJ_EX, copyreg."""
        self.called = True
        if not isinstance(cls, Global):
            self.note("critical", f"pickle makes an instance of {spell(cls)}", "The class cannot be determined.")
            return Unresolved("instance")
        self.allowed(cls, "n", "makes an instance of")
        return Made(cls, args)

    def build(self, state: Any) -> None:
        """Follow BUILD: `__setstate__`, or an update of the instance's attributes."""
        self.called = True
        target = self.top()
        if not isinstance(target, Made):
            self.note(
                "critical", f"pickle sets the state of {spell(target)}", "Only objects made by the pickle have a state."
            )
            return
        if target.kind is not None:
            letters = uses(target.kind.module, target.kind.name)
            self.use(target.kind, "b")
            if letters and not {"b", "n"} & set(letters):
                self.note("critical", f"pickle sets the state of {target.kind}", "Ordinary models never do.")
        target.state = state
        _rules.build(self, target, state)

    def fill(self, target: Any, what: str, items: list[Any] | None = None) -> None:
        """Follow APPEND(S), SETITEM(S), ADDITEMS; `items` holds keys and values in turn."""
        self.called = True
        if isinstance(target, Items | Pairs):
            if isinstance(target, Pairs) and items:
                keep_pairs(target.known, items)
            return
        if isinstance(target, Made) and target.kind is not None:
            self.allowed(target.kind, "i", "puts items into")
            if target.known is None:
                target.known = {}
            keep_pairs(target.known, items or [])
            return
        self.note("critical", f"pickle {what} {spell(target)}", "It is not a list, set or dictionary.")

    def persistent(self, identity: Any) -> None:
        """Follow a persistent id: the loader decides what it means."""
        if self.torch and isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            # Legacy torch puts a class together with its source text, which the loader only compares.
            self.push(identity[1])
            return
        if not (self.torch and isinstance(identity, tuple) and identity[:1] == ("storage",)):
            self.note(
                "critical",
                "pickle asks its loader to resolve a persistent id",
                f"{spell(identity)}: what comes back is the loader's choice and cannot be known from the file.",
            )
        self.push(Persistent(identity))

    def array(self, wrapper: Made) -> Any:
        """Step over the raw bytes that joblib put after an array wrapper; return the abstract array."""
        self.wrapped = True
        if self.frame_end > self.at:
            raise Malformed("array data inside a frame: two readers would see two files")
        facts = _rules.wrapped_array(self, wrapper)
        self.frame_end = 0
        if facts.objects:
            inner = Reading(
                self.survey,
                self.source,
                self.where,
                start=self.at,
                depth=self.depth + 1,
                joblib=False,
                torch=self.torch,
            )
            try:
                inner.follow()
            finally:
                self.used |= inner.used
                for key, value in inner.notes.items():
                    self.notes.setdefault(key, value)
            self.skip(inner.at - self.at)
        else:
            if facts.aligned:
                self.skip(self.counted(1))
            self.skip(facts.size)
        return Made(Global("numpy", "ndarray"), ())

    # -- the loop -----------------------------------------------------------------------------

    def follow(self) -> None:
        """Interpret up to STOP; raises `Malformed` or `Exhausted`, with the notes so far kept."""
        count = 0
        try:
            while not self.stopped:
                self.op_at = self.base + self.i
                if self.i < len(self.buffer):
                    code = self.buffer[self.i]
                    self.i += 1
                else:
                    self.op_name = ""
                    code = self.take(1)[0]
                entry = TABLE[code]
                if entry is None:
                    raise Malformed(f"byte {code:#04x} is not an opcode")
                self.op_name, handler = entry
                handler(self)
                count += 1
                if not count & 0x3FFF:
                    self.survey.spend_opcodes(0x4000)
                if self.frame_end and self.base + self.i >= self.frame_end:
                    if self.base + self.i > self.frame_end:
                        self.note(
                            "critical",
                            "pickle opcode crosses the end of its frame",
                            "Two unpicklers would read two streams.",
                        )
                    self.frame_end = 0
        finally:
            self.survey.spend_opcodes(count & 0x3FFF)
