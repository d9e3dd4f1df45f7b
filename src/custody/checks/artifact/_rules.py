"""Allowed names with strange arguments or a strange state: each rule says what ordinary models do.

The allowlist says which callables may appear. Some of them would do harm if an attacker chose what they
are called with: a maker of objects given a foreign class, a codec that is no text encoding, an array whose
data type lies about holding pointers. Here are the rules for those, by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from custody.checks.artifact._allowlist import uses
from custody.checks.artifact._source import Memory, Slice, Source
from custody.checks.artifact._survey import Malformed
from custody.checks.artifact._values import Blob, Global, Items, Made, Pairs, Persistent, spell

if TYPE_CHECKING:
    from collections.abc import Callable

    from custody.checks.artifact._pickle import Reading

NEWOBJ = {("copyreg", "__newobj__"), ("copyreg", "__newobj_ex__")}

_PLAIN_BASES = {"object", "dict", "list", "tuple", "set", "frozenset", "str", "int", "float", "complex", "bytes"}
_ARRAY_CLASSES = {"ndarray", "matrix", "recarray", "record", "MaskedArray", "MaskedConstant", "chararray"}
_FACTORIES = {"list", "dict", "set", "int", "float", "str", "bool", "OrderedDict"}
_LATIN = {"latin1", "latin-1"}
_MANY = 1 << 20


def call(r: Reading, callee: Global, args: Any) -> Any:
    """Judge the arguments of an allowed call and return what it makes."""
    if not isinstance(args, tuple):
        r.note("critical", f"pickle calls {callee} with arguments that cannot be determined", spell(args))
        return Made(callee)
    rule = _CALLS.get((callee.module, callee.name)) or _CALLS.get(("*", callee.name))
    if rule is not None:
        return rule(r, callee, args)
    return Made(callee, args)


def _odd(r: Reading, callee: Global, args: tuple[Any, ...], why: str) -> Made:
    shown = ", ".join(spell(item) for item in args[:4])
    r.note("critical", f"pickle calls {callee} with unusual arguments", f"({shown}): {why}")
    return Made(callee, args)


def _is(value: Any, letter: str) -> bool:
    return isinstance(value, Global) and letter in uses(value.module, value.name)


def _reconstructor(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if len(args) != 3 or not isinstance(args[0], Global) or not isinstance(args[1], Global):
        return _odd(r, callee, args, "it is called with a class, its base and a value")
    cls, base = args[0], args[1]
    if base.module != "builtins" or base.name not in _PLAIN_BASES:
        return _odd(r, callee, args, "the base must be a built-in data type, whose constructor is run")
    return r.make(cls, args[1:])


def _encode(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if len(args) != 2 or not isinstance(args[0], str | Blob) or args[1] not in _LATIN:
        return _odd(r, callee, args, "only text in latin-1 stands for bytes; other codecs transform")
    return args[0].encode("latin-1", "replace") if isinstance(args[0], str) else args[0]


def _first_is_array_class(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if not args or not isinstance(args[0], Global) or args[0].name not in _ARRAY_CLASSES:
        return _odd(r, callee, args, "an array class comes first")
    return Made(Global("numpy", "ndarray"), args)


def _first_is_index(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if (
        not args
        or not _is(args[0], "v")
        or not args[0].module.startswith("pandas")
        or not args[0].name.endswith("Index")
    ):
        return _odd(r, callee, args, "an index class of pandas comes first")
    return Made(callee, args)


def _first_is_neighbour(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if not args or not _is(args[0], "v") or args[0].module != callee.module:
        return _odd(r, callee, args, "a class of the same module comes first")
    return Made(callee, args)


def _partial(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if not args or not _is(args[0], "v"):
        return _odd(r, callee, args, "the function must be a name from the allowlist")
    return Made(callee, args)


def _only_generators(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    for item in args:
        name = item.kind if isinstance(item, Made) else item
        if isinstance(item, Persistent) or (isinstance(name, Global) and not _bit_generator(name)):
            return _odd(r, callee, args, "only numpy's own bit generators and their makers belong here")
    return Made(callee, args)


def _bit_generator(item: Global) -> bool:
    return item.module.startswith("numpy.random.") and bool(uses(item.module, item.name))


def _defaultdict(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    plain = isinstance(args[0], Global) and args[0].name in _FACTORIES if args else False
    if args and args[0] is not None and not plain:
        return _odd(r, callee, args, "the factory is called for every missing key; only plain types are ordinary")
    return Made(callee, args)


def _sized(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if any(isinstance(item, int) and item > _MANY for item in args):
        return _odd(r, callee, args, "this asks for memory by a number alone")
    return Items() if callee.name in ("set", "frozenset") else Made(callee, args)


_FORMULAS = re.compile(
    r"_(?:entropy|cdf_single|ppf_single|pdf_single|mom\w*|rvs|pdf|cdf|sf|ppf|isf|stats|pmf|logpmf)\Z"
)


def _getattr(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    """Formulas of scipy's distributions and parts of listed classes are pickled through getattr; nothing else is."""
    owner = args[0].kind if args and isinstance(args[0], Made) else None
    if owner is not None and owner.module.startswith("scipy.stats._") and len(args) == 2:
        if isinstance(args[1], str) and _FORMULAS.match(args[1]):
            return Made(callee, args)
        return _odd(r, callee, args, "only formulas of a distribution are looked up like this")
    if len(args) != 2 or not isinstance(args[0], Global) or not isinstance(args[1], str):
        return _odd(r, callee, args, "it resolves names that cannot be known from the file")
    return r.resolve(args[0].module, f"{args[0].name}.{args[1]}")


def _torch_bytes(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    """Torch loads a second file that is held as bytes; it is looked into like any other."""
    value = args[0] if len(args) == 1 else None
    if isinstance(value, bytes):
        inner: Source = Memory(value)
    elif isinstance(value, Blob) and not value.text:
        inner = Slice(r.source, value.start, value.size)
    else:
        return _odd(r, callee, args, "it loads a second file, which cannot be determined")
    r.survey.look(r.survey, inner, f"{r.where} > torch storage at {r.op_at}", r.depth + 1)
    return Made(callee, args)


def _torch_rebuild(r: Reading, callee: Global, args: tuple[Any, ...]) -> Any:
    if not args or not isinstance(args[0], Persistent | Made):
        return _odd(r, callee, args, "a storage comes first")
    return Made(callee, args)


_CALLS: dict[tuple[str, str], Callable[[Reading, Global, tuple[Any, ...]], Any]] = {
    ("copyreg", "_reconstructor"): _reconstructor,
    ("_codecs", "encode"): _encode,
    ("functools", "partial"): _partial,
    ("builtins", "getattr"): _getattr,
    ("builtins", "bytearray"): _sized,
    ("builtins", "bytes"): _sized,
    ("builtins", "set"): _sized,
    ("builtins", "frozenset"): _sized,
    ("collections", "defaultdict"): _defaultdict,
    ("numpy._core.multiarray", "_reconstruct"): _first_is_array_class,
    ("numpy.core.multiarray", "_reconstruct"): _first_is_array_class,
    ("numpy.ma.core", "_mareconstruct"): _first_is_array_class,
    ("numpy.random._pickle", "__bit_generator_ctor"): _only_generators,
    ("numpy.random._pickle", "__generator_ctor"): _only_generators,
    ("numpy.random._pickle", "__randomstate_ctor"): _only_generators,
    ("pandas.core.indexes.base", "_new_Index"): _first_is_index,
    ("pandas.core.indexes.datetimes", "_new_DatetimeIndex"): _first_is_index,
    ("torch.storage", "_load_from_bytes"): _torch_bytes,
    ("torch._utils", "_rebuild_tensor_v2"): _torch_rebuild,
    ("*", "newObj"): _first_is_neighbour,
}


# -- state ---------------------------------------------------------------------------------------

_METHODS_NAMES = """
predict predict_proba predict_log_proba decision_function transform inverse_transform fit fit_transform
fit_predict partial_fit score score_samples get_params set_params forward apply kneighbors
get_feature_names_out
"""
_METHODS = frozenset(_METHODS_NAMES.split())
_KNOWN_DUNDER = {"__module__", "__doc__", "__name__", "__annotations__", "__sklearn_version__"}


def build(r: Reading, target: Made, state: Any) -> None:
    """Judge the state that is given to an allowed object."""
    kind = target.kind
    if kind is None:
        return
    if kind.name == "dtype" and kind.module == "numpy":
        _dtype_state(r, target, state)
    elif kind.name == "ndarray" and kind.module == "numpy":
        _array_state(r, state)
    elif kind.name == "partial" and kind.module == "functools":
        _partial_state(r, state)
    elif kind.module.startswith("scipy.stats."):
        _distribution_state(r, kind, state)
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    for part, slots in zip(parts, (False, True), strict=True):
        _attributes(r, kind, _entries(part), slots)
        if isinstance(part, Made) and part.args and part.kind is not None and part.kind.module == "collections":
            r.note("critical", f"state of {kind} is made by a call", "Its entries cannot be known from the file.")


def _entries(state: Any) -> dict[str, Any]:
    """Return the entries of a dictionary or of something made that works like one."""
    return (state.known or {}) if isinstance(state, Pairs | Made) else {}


def _runs(value: Made) -> bool:
    return value.kind is not None and value.kind.name in ("partial", "vectorize", "getattr")


def _attributes(r: Reading, kind: Global, entries: dict[str, Any], slots: bool) -> None:
    for key, value in entries.items():
        if key.startswith("__") and key.endswith("__") and key not in _KNOWN_DUNDER:
            r.note(
                "critical" if slots or key in ("__setstate__", "__class__", "__reduce__", "__dict__") else "warning",
                f"state of {kind} sets the special attribute {key}",
                "Special attributes change what later ordinary calls do.",
            )
        elif key in _METHODS and (isinstance(value, Global) or (isinstance(value, Made) and _runs(value))):
            r.note(
                "warning",
                f"state of {kind} replaces its method {key}",
                f"A later call of {key} would run {spell(value)} instead of the class's own code.",
            )
        elif key == "memory" and isinstance(value, str):
            r.note(
                "warning",
                f"state of {kind} names a cache folder",
                f"Pickles in {value!r} would be loaded on the next fit.",
            )


_POINTERS = 0b111
"""Flags of a numpy data type that say that its bytes are object pointers (NPY_ITEM_REFCOUNT and its two neighbours)."""


def _dtype_state(r: Reading, target: Made, state: Any) -> None:
    args = target.args
    letter = args[0][:1] if isinstance(args, tuple) and args and isinstance(args[0], str) else ""
    if not (isinstance(state, tuple) and 6 <= len(state) <= 9):
        r.note("warning", "state of numpy.dtype is strange", "Its shape is not one that numpy writes.")
        return
    flags = state[7] if len(state) > 7 else 0
    if not isinstance(flags, int):
        r.note("critical", "numpy.dtype is given flags that are no number", spell(flags))
        return
    parts = [state[2]] if state[2] is not None else list(_entries(state[4]).values())
    kinds = [_dtype(part[0]) for part in parts if isinstance(part, tuple) and part]
    objects = letter == "O" or any(kind is not None and kind[1] for kind in kinds)
    if bool(flags & _POINTERS) != objects and not (letter == "O" and flags in (-1, 63)):
        r.note(
            "critical",
            "numpy.dtype is given flags that do not fit its kind",
            f"kind {letter or '?'}, flags {spell(flags)}: raw bytes would be taken for object pointers.",
        )


def _array_state(r: Reading, state: Any) -> None:
    if isinstance(state, tuple) and len(state) == 7:
        state = state[:5]  # a masked array adds its mask and fill value
    if not (isinstance(state, tuple) and len(state) == 5):
        r.note("warning", "state of numpy.ndarray is strange", "Its shape is not one that numpy writes.")
        return
    _version, shape, dtype, _fortran, raw = state
    kind = _dtype(dtype)
    if kind is None:
        return
    _size, objects = kind
    if objects and not isinstance(raw, Items):
        r.note("critical", "array of objects is given raw bytes", "They would be taken for object pointers.")
        return
    if not objects and isinstance(raw, Items):
        r.note("warning", "array of numbers is given a list", "numpy never writes this.")
    length = len(raw) if isinstance(raw, bytes) else raw.size if isinstance(raw, Blob) and not raw.text else None
    count = _count(shape)
    if length is not None and count is not None and count * _size != length:
        r.note(
            "warning",
            "array's length does not fit its shape",
            f"{count} times {_size} bytes announced, {length} given.",
        )


def _partial_state(r: Reading, state: Any) -> None:
    inner = state[0] if isinstance(state, tuple) and state else None
    if not _is(inner, "v"):
        r.note("critical", "functools.partial wraps something undetermined", spell(inner))


_TEMPLATE = re.compile(
    r"\s*def _parse_args\(self, [\w, ]*loc=0(?:, scale=1)?\):\s+return \([\w, ]*\), loc, (?:scale|1)\s+"
    r"def _parse_args_rvs\(self, [\w, ]*loc=0(?:, scale=1)?, size=None\):\s+"
    r"return self\._argcheck_rvs\([\w, ]*, size=size\)\s+"
    r"def _parse_args_stats\(self, [\w, ]*loc=0(?:, scale=1)?, moments='mv'\):\s+"
    r"return \([\w, ]*\), loc, (?:scale|1), moments\s*"
)


def _distribution_state(r: Reading, kind: Global, state: Any) -> None:
    """scipy executes `_parse_arg_template` when a distribution is unpickled."""
    template = _entries(state).get("_parse_arg_template")
    if template is not None and not (isinstance(template, str) and _TEMPLATE.fullmatch(template)):
        r.note(
            "critical",
            f"state of {kind} holds source code that scipy runs on loading",
            f"_parse_arg_template is {spell(template)}",
        )


# -- arrays --------------------------------------------------------------------------------------

_LETTERED = re.compile(r"[<>|=]?([a-zA-Z?])(\d*)\Z")
_ONE = {"b": 1, "B": 1, "?": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8, "q": 8, "Q": 8, "e": 2, "f": 4, "d": 8}


@dataclass(frozen=True)
class Wrapped:
    """The raw bytes behind a joblib array wrapper: their number, or that a pickle follows instead."""

    size: int
    objects: bool
    aligned: bool


def wrapped_array(r: Reading, wrapper: Made) -> Wrapped:
    """Work out how many bytes joblib put after the wrapper; raises `Malformed` when its state does not say."""
    known = _entries(wrapper.state)
    kind = _dtype(known.get("dtype"))
    count = _count(known.get("shape"))
    if kind is None or count is None:
        raise Malformed("an array wrapper does not say how long its data is")
    subclass = known.get("subclass")
    if not isinstance(subclass, Global) or subclass.name not in {*_ARRAY_CLASSES, "memmap"}:
        r.note("critical", "array wrapper names a class that is no array", spell(subclass))
    return Wrapped(count * kind[0], kind[1], known.get("numpy_array_alignment_bytes") is not None)


def _count(shape: Any) -> int | None:
    if not isinstance(shape, tuple):
        return None
    total = 1
    for item in shape:
        length = _number(item)
        if length is None or length < 0:
            return None
        total *= length
        if total > 1 << 62:
            raise Malformed("an array announces more elements than can exist")
    return total


def _number(value: Any) -> int | None:
    """A whole number, plain or as a numpy scalar."""
    if isinstance(value, int):
        return value
    if isinstance(value, Made) and value.kind is not None and value.kind.name == "scalar" and len(value.args) == 2:
        return int.from_bytes(value.args[1], "little", signed=True) if isinstance(value.args[1], bytes) else None
    return None


def _dtype(value: Any) -> tuple[int, bool] | None:
    """Return (bytes per element, whether it holds objects), or None when that cannot be determined."""
    if not isinstance(value, Made) or value.kind is None or value.kind.name != "dtype":
        return None
    args, state = value.args, value.state
    flags = state[7] if isinstance(state, tuple) and len(state) > 7 else 0
    objects = isinstance(flags, int) and bool(flags & 1)
    match = _LETTERED.match(args[0]) if isinstance(args, tuple) and args and isinstance(args[0], str) else None
    stated = state[5] if isinstance(state, tuple) and len(state) > 5 and isinstance(state[5], int) else -1
    if match is None:
        return (stated, objects) if stated > 0 else None
    letter, digits = match[1], match[2]
    if letter == "O":
        return 8, True
    if stated > 0 and letter in "VUSa":
        return stated, objects
    if digits:
        return int(digits) * (4 if letter == "U" else 1), objects
    return (_ONE[letter], objects) if letter in _ONE else None
