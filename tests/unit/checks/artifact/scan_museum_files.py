"""Malicious files that are more than one pickle: nested, packed, disguised, malformed, or of other formats."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import struct
import tarfile
import zlib

from scan_payloads import (
    IMPORTS,
    PRINT,
    TEMPLATE,
    Exhibit,
    Printing,
    call,
    floats,
    from_joblib,
    from_numpy,
    gguf,
    joblib_dumped,
    joblib_polyglot,
    make_tar,
    make_zip,
    matryoshka,
    numpy_saved,
    object_array,
    onnx,
    patched_zip,
    plain,
    raw_member,
    short_npy,
    special_zip,
    tar_polyglot,
    tarred,
    tensors,
    then,
    unpacked,
    wrong_sum,
    zipped,
)


def _nested() -> list[Exhibit]:
    nested, carrier = "nested pickle", "carrier and container"
    says = IMPORTS + "builtins.print"
    codecs_ = {"zlib": 3, "gzip": ("gzip", 3), "bz2": ("bz2", 3), "xz": ("xz", 3), "lzma": ("lzma", 3)}
    slipped = tarfile.TarInfo("../outside.txt")
    linked = tarfile.TarInfo("link")
    linked.type, linked.linkname = tarfile.SYMTYPE, "/etc"
    inner_tar = make_tar((tarfile.TarInfo("model.pkl"), PRINT))
    with_array = joblib_dumped([__import__("numpy").arange(1000.0), Printing()])
    return [
        Exhibit("npy", nested, numpy_saved(), from_numpy, says),
        Exhibit("npz", nested, numpy_saved(a=object_array()), from_numpy, says),
        Exhibit("joblib_objects", nested, joblib_dumped(object_array()), from_joblib, says),
        Exhibit("joblib_after_array", nested, with_array, from_joblib, says),
        Exhibit("joblib_plain", nested, joblib_dumped({"a": Printing()}), from_joblib, says),
        Exhibit("joblib_polyglot", "disguise and polyglot", joblib_polyglot(), plain, says),
        *(
            Exhibit(f"joblib_{kind}", carrier, joblib_dumped(Printing(), compress=how), from_joblib, says)
            for kind, how in codecs_.items()
        ),
        Exhibit("gz", carrier, gzip.compress(PRINT), unpacked(gzip.decompress), says),
        Exhibit("gz_second", carrier, gzip.compress(b"") + gzip.compress(PRINT), unpacked(gzip.decompress), says),
        Exhibit("bz2", carrier, bz2.compress(PRINT), unpacked(bz2.decompress), says),
        Exhibit("xz", carrier, lzma.compress(PRINT), unpacked(lzma.decompress), says),
        Exhibit("zlib", carrier, zlib.compress(PRINT), unpacked(zlib.decompress), says),
        Exhibit("cut_gz", "malformed", gzip.compress(PRINT + os.urandom(500))[:-60], None, says),
        Exhibit("zip", carrier, make_zip({"model.pkl": PRINT}), zipped("model.pkl"), says),
        Exhibit(
            "torch",
            carrier,
            make_zip({"m/data.pkl": PRINT, "m/version": b"3\n", "m/data/0": bytes(64)}, method=0),
            zipped("m/data.pkl"),
            says,
        ),
        Exhibit(
            "torch_storage",
            carrier,
            make_zip({"m/data.pkl": pickle.dumps({}), "m/data/0": PRINT}, method=0),
            zipped("m/data/0"),
            says,
        ),
        Exhibit("zip_in_zip", carrier, make_zip({"a.zip": make_zip({"model.pkl": PRINT})}), None, says),
        Exhibit("tar_gz_in_zip", carrier, make_zip({"a.bin": gzip.compress(inner_tar)}), None, says),
        Exhibit("tar", carrier, inner_tar, tarred("model.pkl"), says),
        Exhibit("tar_slip", "path traversal", make_tar((slipped, b"x")), None, "outside the archive"),
        Exhibit("tar_link", "path traversal", make_tar((linked, b"")), None, "link"),
        Exhibit("zip_slip", "path traversal", special_zip("slip"), None, "outside the archive"),
        Exhibit("zip_link", "path traversal", special_zip("link"), None, "symbolic link"),
        Exhibit("zip_twice", carrier, special_zip("twice"), zipped("model.pkl"), "two members"),
        Exhibit("zip_names_differ", carrier, patched_zip(b"model.pkl", b"notes.txt", last=True), raw_member, says),
        Exhibit("zip_sum", carrier, wrong_sum(), raw_member, "checksum is wrong"),
        Exhibit("zip_flag", carrier, patched_zip(b"PK\x03\x04", b"PK\x03\x04\x14\0\1\0", last=False), raw_member, says),
        Exhibit(
            "zip_size", carrier, patched_zip(struct.pack("<I", len(PRINT)), b"\1\0\0\0", last=True), None, "disagree"
        ),
        Exhibit("zip_no_end", carrier, make_zip({"model.pkl": PRINT}, method=0)[:-22], raw_member, says),
        Exhibit("zip_after", carrier, make_zip({"a.txt": b"x"}) + PRINT, None, says),
        Exhibit("bomb", "dos", gzip.compress(gzip.compress(bytes(1 << 28))), None, "expands more than"),
        Exhibit("deep", "dos", matryoshka(12), None, "levels deep"),
        Exhibit("pickle_then_zip", "disguise and polyglot", PRINT + make_zip({"a.txt": b"x"}), plain, says),
        Exhibit("pickle_in_tar_name", "disguise and polyglot", tar_polyglot(), plain, says),
        Exhibit(
            "bytes_in_pickle",
            nested,
            pickle.dumps({"handle": PRINT}),
            then(lambda made: pickle.loads(made["handle"])),
            says,
        ),
        Exhibit(
            "torch_bytes",
            nested,
            b"\x80\x02"
            + call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(PRINT)) + PRINT)
            + b".",
            None,
            says,
        ),
        Exhibit(
            "text", "disguise and polyglot", b"cbuiltins\nprint\n(S'museum'\ntR.\nThis is a model card.\n", plain, says
        ),
        Exhibit("breaks_off", "malformed", PRINT[:-1] + b"\xff\xff\xff", plain, says),
        Exhibit("frame", "malformed", b"\x80\x04\x95\xff\xff\xff\xff\0\0\0\0" + PRINT[2:], None, "malformed"),
        Exhibit("crossing", "malformed", b"\x80\x04\x95\x03\0\0\0\0\0\0\0" + PRINT[2:], plain, says),
        Exhibit("no_stop", "malformed", PRINT[:-1], plain, says),
    ]


def _formats() -> list[Exhibit]:
    native, path = "format-native", "path traversal"
    layer = {
        "class_name": "Sequential",
        "config": {"layers": [{"class_name": "Lambda", "config": {"function": "4wEA"}}]},
    }
    hdf = b"\x89HDF\r\n\x1a\n" + bytes(2000) + b'{"class_name": "Lambda", "config": {}}' + bytes(100)
    return [
        Exhibit("keras", native, make_zip({"config.json": json.dumps(layer).encode()}), None, "Keras Lambda"),
        Exhibit(
            "keras_custom",
            native,
            json.dumps({"class_name": "X", "module": "evil", "config": {}}).encode(),
            None,
            "evil.X",
        ),
        Exhibit("keras_h5", native, hdf, None, "Keras Lambda"),
        Exhibit(
            "saved_model",
            native,
            b"\x08\x01\x12\x09\x0a\x07" + b"\x0a\x01x\x12\x09WriteFile" + bytes(30),
            None,
            "WriteFile",
        ),
        Exhibit("auto_map", native, b'{"auto_map": {"AutoModel": "x--modeling.Model"}}', None, "auto_map"),
        Exhibit("remote_code", native, b'{"trust_remote_code": true}', None, "trust remote code"),
        Exhibit("chat", native, json.dumps({"chat_template": TEMPLATE}).encode(), None, "template reaches"),
        Exhibit(
            "chat_escaped",
            native,
            json.dumps({"t": TEMPLATE}).replace("_", "\\u005f").encode(),
            None,
            "template reaches",
        ),
        Exhibit("jinja", native, TEMPLATE.encode(), None, "template reaches"),
        Exhibit("gguf", native, gguf(TEMPLATE), None, "template reaches"),
        Exhibit("onnx_path", path, onnx(location="../../etc/passwd"), None, "outside"),
        Exhibit("onnx_domain", native, onnx(domain="evil.ops"), None, "custom domain", "warning"),
        Exhibit("yaml", native, b"a: !!python/object/apply:os.getcwd []\n", None, "YAML"),
        Exhibit(
            "xml",
            native,
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><PMML>&x;</PMML>',
            None,
            "XML declares entities",
        ),
        Exhibit(
            "skops",
            native,
            json.dumps({"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}).encode(),
            None,
            "os.system",
        ),
        Exhibit("notebook", native, b'{"nbformat": 4, "cells": []}', None, "notebook", "warning"),
        Exhibit("script", native, b"#!/bin/sh\necho museum\n", None, "script", "warning"),
        Exhibit("library", native, b"\x7fELF" + bytes(100), None, "native library"),
        Exhibit("bytecode_file", native, b"\xa7\r\r\n" + bytes(12) + b"\xe3" + bytes(20), None, "compiled Python"),
        Exhibit("tensors_header", "dos", tensors({}, 0, length=1 << 30), None, "announces"),
        Exhibit("tensors_overlap", "malformed", tensors({"a": floats(0, 8), "b": floats(4, 12)}, 12), None, "overlaps"),
        Exhibit("tensors_outside", "malformed", tensors({"a": floats(0, 64)}, 8), None, "beyond the file"),
        Exhibit(
            "tensors_hole", "malformed", tensors({"a": floats(0, 8), "b": floats(12, 16)}, 16), None, "belong to none"
        ),
        Exhibit("tensors_tail", "malformed", tensors({"a": floats(0, 8)}, 100), None, "belong to no tensor"),
        Exhibit(
            "tensors_twice",
            "malformed",
            tensors(
                b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
                1,
            ),
            None,
            "appears twice",
        ),
        Exhibit("tensors_shape", "malformed", tensors({"a": {**floats(0, 8), "shape": [3]}}, 8), None, "by its shape"),
        Exhibit("npy_short", "malformed", short_npy(), None, "more than the file holds"),
    ]


def unreadable() -> dict[str, bytes]:
    """Formats the scanner knows but does not interpret: never clean, always counted as unread."""
    return {
        "lz4": b"\x04\x22\x4d\x18" + bytes(40),
        "zstd": b"\x28\xb5\x2f\xfd" + bytes(40),
        "7z": b"7z\xbc\xaf\x27\x1c" + bytes(40),
        "rar": b"Rar!\x1a\x07\x01\0" + bytes(40),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(40),
        "lite": bytes(4) + b"TFL3" + bytes(40),
        "noise": bytes(range(14, 27)) * 9,
        "old joblib": b"ZF0x12" + bytes(40),
    }


def files() -> list[Exhibit]:
    """Return every malicious file of this room."""
    return [*_nested(), *_formats()]
