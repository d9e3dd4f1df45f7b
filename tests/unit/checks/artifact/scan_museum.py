"""Malicious pickles, by family: how names are hidden, what is called, what states are tampered with."""

from __future__ import annotations

import pickle

from scan_payloads import (
    GETCWD,
    IMPORTS,
    PRINT,
    WORD,
    Exhibit,
    call,
    each_stream,
    estimator_with,
    extended,
    function_maker,
    name,
    plain,
    resolving,
    tampered_distribution,
    text,
    then,
)


def _opcodes() -> list[Exhibit]:
    printing = "builtins.print"
    evasion = "opcode evasion"
    stack = b"\x80\x04\x8c\x08builtins\x94\x8c\x05print\x94"
    return [
        Exhibit("global", evasion, b"cbuiltins\nprint\n(Vmuseum\ntR.", plain, IMPORTS + printing),
        Exhibit(
            "stack",
            evasion,
            b"\x80\x04\x8c\x08builtins\x8c\x05print\x93\x8c\x06museum\x85R.",
            plain,
            IMPORTS + printing,
        ),
        Exhibit("memo", evasion, stack + b"00h\x00h\x01\x93\x8c\x06museum\x85R.", plain, IMPORTS + printing),
        Exhibit(
            "put_get",
            evasion,
            b"Vx\np700\n0cbuiltins\nprint\np9\n0g9\n(VMuseum\nVmuseum\ntR.",
            plain,
            IMPORTS + printing,
        ),
        Exhibit("inst", evasion, b"(Vmuseum\nibuiltins\nprint\n.", plain, IMPORTS + printing),
        Exhibit("obj", evasion, b"(cbuiltins\nprint\nVmuseum\no.", plain, IMPORTS + printing),
        Exhibit("newobj", evasion, b"\x80\x02czipfile\nZipFile\n)\x81.", plain, IMPORTS + "zipfile.ZipFile"),
        Exhibit("newobj_ex", evasion, b"\x80\x04czipfile\nZipFile\n)}\x92.", plain, IMPORTS + "zipfile.ZipFile"),
        Exhibit("dup_pop", evasion, b"Vx\n20cbuiltins\nprint\n2(Vmuseum\ntR.", plain, IMPORTS + printing),
        Exhibit("mark_pop", evasion, b"(Vx\n1cbuiltins\nprint\n(Vmuseum\ntR.", plain, IMPORTS + printing),
        Exhibit(
            "python2", "import redirection", b"\x80\x02c__builtin__\nprint\n(Vmuseum\ntR.", plain, IMPORTS + printing
        ),
        Exhibit("extension", evasion, b"\x80\x02\x82\xd5(Vmuseum\ntR.", extended, "extension registry"),
        Exhibit("persistent", evasion, b"\x80\x02Vid\nQ(Vmuseum\ntR.", resolving, "persistent id"),
        Exhibit("persistent_text", evasion, b"\x80\x02Pid\n(Vmuseum\ntR.", resolving, "persistent id"),
        Exhibit("padded", evasion, b"\x80\x02" + text("x" * 300_000) + b"0" + PRINT[2:], plain, IMPORTS + printing),
        Exhibit("protocol_games", evasion, b"\x80\x05\x80\x02\x80\x00" + PRINT[2:], plain, IMPORTS + printing),
        Exhibit("second_stream", "several streams", pickle.dumps({"a": 1}) + PRINT, each_stream, IMPORTS + printing),
        Exhibit(
            "third_stream",
            "several streams",
            pickle.dumps(1) + pickle.dumps(2) + PRINT,
            each_stream,
            IMPORTS + printing,
        ),
        Exhibit(
            "codec",
            evasion,
            b"\x80\x04"
            + text("builtins")
            + call("_codecs", "encode", text("cevag"), text("rot13"))
            + b"\x93"
            + text(WORD)
            + b"\x85R.",
            plain,
            "unusual arguments",
        ),
        Exhibit("import_only", "unknown gadget", b"\x80\x02cthis\nd\n.", plain, IMPORTS + "this.d"),
    ]


def _gadgets() -> list[Exhibit]:
    unknown, resolver = "unknown gadget", "dotted names and resolvers"
    code = text(f"print({WORD!r})")
    two = b"\x80\x02"
    return [
        Exhibit("getcwd", unknown, two + GETCWD + b".", plain, IMPORTS + "os.getcwd"),
        Exhibit("posix", unknown, two + call("posix", "getcwd") + b".", plain, IMPORTS + "posix.getcwd"),
        Exhibit("exec", unknown, two + call("builtins", "exec", code) + b".", plain, IMPORTS + "builtins.exec"),
        Exhibit("eval", unknown, two + call("builtins", "eval", code) + b".", plain, IMPORTS + "builtins.eval"),
        Exhibit(
            "timeit",
            unknown,
            two + call("timeit", "timeit", code, text("pass"), name("time", "time"), b"K\x01") + b".",
            plain,
            IMPORTS + "timeit.timeit",
        ),
        Exhibit("profile", unknown, two + call("cProfile", "run", code) + b".", plain, IMPORTS + "cProfile.run"),
        Exhibit("debugger", unknown, two + call("trace", "Trace") + b".", plain, IMPORTS + "trace.Trace"),
        Exhibit(
            "numpy_test",
            unknown,
            two + call("numpy.testing._private.utils", "runstring", code, b"}") + b".",
            plain,
            IMPORTS + "numpy.testing._private.utils.runstring",
        ),
        Exhibit("bytecode", unknown, function_maker(), plain, IMPORTS + "types.FunctionType"),
        Exhibit(
            "map",
            unknown,
            two
            + name("builtins", "set")
            + b"("
            + call("builtins", "map", name("builtins", "print"), b"](" + text(WORD) + b"e")
            + b"tR.",
            plain,
            IMPORTS + "builtins.map",
        ),
        Exhibit(
            "reduce",
            unknown,
            two + call("functools", "reduce", name("builtins", "print"), b"](" + text(WORD) + text("x") + b"e") + b".",
            plain,
            IMPORTS + "functools.reduce",
        ),
        Exhibit(
            "partial",
            unknown,
            two + call("functools", "partial", name("builtins", "print"), text(WORD)) + b")R.",
            plain,
            IMPORTS + "builtins.print",
        ),
        Exhibit("dotted", resolver, b"\x80\x04\x8c\x02os\x8c\x0epath.os.getcwd\x93)R.", plain, "path.os.getcwd"),
        Exhibit(
            "dotted_allowed",
            resolver,
            b"\x80\x04" + text("numpy.ma.core") + text("MaskedArray.filled.__globals__") + b"\x93.",
            plain,
            "MaskedArray.filled.__globals__",
        ),
        Exhibit(
            "getattr",
            resolver,
            two
            + name("builtins", "getattr")
            + b"("
            + call("importlib", "import_module", text("os"))
            + text("getcwd")
            + b"tR)R.",
            plain,
            IMPORTS + "importlib.import_module",
        ),
        Exhibit(
            "getattr_allowed",
            resolver,
            two + call("builtins", "getattr", name("numpy", "ndarray"), text("__base__")) + b".",
            plain,
            "numpy.ndarray.__base__",
        ),
        Exhibit(
            "attrgetter",
            resolver,
            two
            + name("operator", "attrgetter")
            + b"("
            + text("path.os.getcwd")
            + b"tR("
            + call("importlib", "import_module", text("os"))
            + b"tR)R.",
            plain,
            IMPORTS + "operator.attrgetter",
        ),
        Exhibit(
            "locate",
            resolver,
            two + call("pydoc", "locate", text("os.getcwd")) + b")R.",
            plain,
            IMPORTS + "pydoc.locate",
        ),
        Exhibit(
            "resolve",
            resolver,
            two + call("pkgutil", "resolve_name", text("os:getcwd")) + b")R.",
            plain,
            IMPORTS + "pkgutil.resolve_name",
        ),
        Exhibit(
            "call_made",
            resolver,
            two + call("functools", "partial", name("numpy", "absolute"), b"J\xff\xff\xff\xff") + b")R.",
            plain,
            "calls the object made by functools.partial",
        ),
    ]


def _states() -> list[Exhibit]:
    state, latent = "state tampering", "latent"
    partial = call("functools", "partial", name("numpy", "absolute"))
    transformer = (
        b"\x80\x02"
        + name("sklearn.preprocessing._function_transformer", "FunctionTransformer")
        + b")\x81}("
        + b"".join(
            text(key) + value
            for key, value in {
                "func": name("builtins", "print"),
                "validate": b"\x89",
                "kw_args": b"N",
                "check_inverse": b"\x89",
                "feature_names_out": b"N",
                "accept_sparse": b"\x89",
            }.items()
        )
        + b"ub."
    )
    return [
        Exhibit(
            "setstate",
            state,
            estimator_with({"__setstate__": name("builtins", "print")}, text(WORD) + b"b"),
            None,
            "__setstate__",
        ),
        Exhibit("scipy_template", state, tampered_distribution(), plain, "source code that scipy runs"),
        Exhibit(
            "partial_state",
            state,
            b"\x80\x02" + partial + b"(" + name("builtins", "print") + b"(" + text(WORD) + b"t}Ntb.",
            then(lambda made: made()),
            "builtins.print",
        ),
        Exhibit(
            "shadowed_method",
            state,
            estimator_with({"predict": partial}),
            then(lambda made: made.predict.func.__name__),
            "replaces its method predict",
            "warning",
        ),
        Exhibit(
            "ordered_state",
            state,
            b"\x80\x02"
            + name("sklearn.linear_model._logistic", "LogisticRegression")
            + b")\x81"
            + name("collections", "OrderedDict")
            + b")R("
            + text("predict")
            + partial
            + b"ub.",
            then(lambda made: made.predict.func.__name__),
            "replaces its method predict",
            "warning",
        ),
        Exhibit(
            "build_class",
            state,
            b"\x80\x02" + name("sklearn.linear_model._logistic", "LogisticRegression") + b"}b.",
            None,
            "sets the state of sklearn",
        ),
        Exhibit(
            "random_maker",
            state,
            b"\x80\x02"
            + call("numpy.random._pickle", "__randomstate_ctor", text("MT19937"), name("numpy", "absolute"))
            + b".",
            None,
            "unusual arguments",
        ),
        Exhibit(
            "factory",
            latent,
            b"\x80\x02" + call("collections", "defaultdict", name("os", "getcwd")) + b".",
            then(lambda made: made["x"]),
            IMPORTS + "os.getcwd",
        ),
        Exhibit(
            "factory_allowed",
            latent,
            b"\x80\x02" + call("collections", "defaultdict", name("numpy", "absolute")) + b".",
            None,
            "unusual arguments",
        ),
        Exhibit("transformer", latent, transformer, then(lambda made: made.func(WORD)), IMPORTS + "builtins.print"),
        Exhibit(
            "pointers",
            state,
            b"\x80\x02"
            + call("numpy", "dtype", text("V8"), b"\x89", b"\x88")
            + b"(K\x03"
            + text("|")
            + b"NNNK\x08K\x01K\x3ftb.",
            None,
            "flags that do not fit",
        ),
        Exhibit(
            "raw_objects",
            state,
            b"\x80\x02"
            + call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"), b"K\x00\x85", b"C\x01b")
            + b"(K\x01K\x01\x85"
            + call("numpy", "dtype", text("O8"), b"\x89", b"\x88")
            + b"(K\x03"
            + text("|")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89C\x08AAAAAAAAtb.",
            None,
            "raw bytes",
        ),
        Exhibit(
            "foreign_base",
            state,
            b"\x80\x02"
            + call("copyreg", "_reconstructor", name("numpy", "ndarray"), name("numpy", "matrix"), b"N")
            + b".",
            None,
            "unusual arguments",
        ),
        Exhibit(
            "megabytes",
            "dos",
            b"\x80\x02" + call("builtins", "bytearray", b"J\0\0\0\x10") + b".",
            plain,
            "memory by a number",
        ),
        Exhibit("memo_bomb", "dos", b"\x80\x02Nr\xff\xff\xff\x0f.", None, "memo index"),
    ]


def pickles() -> list[Exhibit]:
    """Return every malicious pickle."""
    return [*_opcodes(), *_gadgets(), *_states()]
