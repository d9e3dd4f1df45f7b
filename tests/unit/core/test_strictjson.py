from __future__ import annotations

import math
import time
from pathlib import PurePath
from typing import Any

import pytest

from custody.core import strictjson
from custody.errors import InvalidInput

DEEP = 64


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{'a': 1}",
        b"[1,]",
        b"[1] 2",
        b"// x\n1",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b'"\t"',
        b'"\\x41"',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"9007199254740993",
        b"-9007199254740993",
        b"1" + b"0" * 5000,
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"b":2,"a":3}}',
        b"\xef\xbb\xbf1",
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'["\\ud800x\\udc00"]',
        "1".encode("utf-16"),
        b"[" * (DEEP + 1) + b"]" * (DEEP + 1),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_has_no_single_reading_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="thing"):
        strictjson.parse(raw, what="thing")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b" {\n} ", {}),
        (b"9007199254740992", 2**53),
        (b"-9007199254740992", -(2**53)),
        (b"1.5e3", 1500.0),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"a":{"a":1}}', {"a": {"a": 1}}),
        (b"[" * DEEP + b"]" * DEEP, None),
        (b'"\\u0000"', "\0"),
    ],
)
def test_the_rest_is_read(raw: bytes, value: Any) -> None:
    found = strictjson.parse(raw)
    assert value is None or found == value


def test_size_is_limited_to_the_byte() -> None:
    assert strictjson.parse(b'"aaa"', max_bytes=5) == "aaa"
    with pytest.raises(InvalidInput, match="limit is 4"):
        strictjson.parse(b'"aaa"', max_bytes=4)


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"null"])
def test_an_object_was_asked_for(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="not an object"):
        strictjson.parse_object(raw)
    assert strictjson.parse_object(b"{}") == {}


def test_what_is_written_has_one_form() -> None:
    assert (
        strictjson.dump({"b": (1, 2.5), "a": "ü", "c": [True, None]})
        == '{"a":"ü","b":[1,2.5],"c":[true,null]}'.encode()
    )
    assert strictjson.dump({"b": 1, "a": 2}) == strictjson.dump({"a": 2, "b": 1})


@pytest.mark.parametrize(
    "value",
    [
        *(math.nan, math.inf, -math.inf, 2**53 + 1, -(2**53) - 1, {1: 2}, {None: 1}, {"a": b"x"}),
        *({1, 2}, PurePath("x"), "\ud800", ["\udfff"], {"\ud800": 1}, object()),
    ],
)
def test_what_json_cannot_say_is_not_written(value: Any) -> None:
    with pytest.raises(InvalidInput):
        strictjson.dump({"x": value})


@pytest.mark.parametrize("text", ["YQ==", "", "YWI=", "YWJj"])
def test_canonical_base64_is_decoded(text: str) -> None:
    import base64

    assert strictjson.b64decode(text) == base64.b64decode(text)


@pytest.mark.parametrize(
    "text", ["YQ", "YQ=", "YR==", "Y Q==", "YQ==\n", "YQ==YQ==", "Y-_=", "ü", None, 7, b"YQ==", "="]
)
def test_any_other_base64_is_refused(text: Any) -> None:
    with pytest.raises(InvalidInput, match="sig"):
        strictjson.b64decode(text, what="sig")


def test_a_key_that_stands_twice_among_very_many_is_found_at_once() -> None:
    raw = b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b',"99999":0}'
    began = time.process_time()
    with pytest.raises(InvalidInput, match="key '99999' appears twice"):
        strictjson.parse(raw)
    assert time.process_time() - began < 2


def test_very_many_parts_are_refused_before_they_take_memory() -> None:
    most = b"[" + b"0," * (strictjson.MAX_PARTS - 2) + b"0]"
    assert len(strictjson.parse(most)) == strictjson.MAX_PARTS - 1
    with pytest.raises(InvalidInput, match="more than 1000000 parts"):
        strictjson.parse(b"[[]," + most[1:])
