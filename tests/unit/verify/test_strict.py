"""One reading, or none: what the product's own reader refuses is refused here too, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from custody.core import strictjson
from custody.errors import InvalidInput
from custody_verify.strict import Refused, Unreadable, canonical, read_base64, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
)
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"a":', b'"b":', b'"a"', b",", b" ", b"1", b"-0", b"1e5", b"1e999", b"0.1", b"01"),
    *(b"9007199254740993", b"NaN", b"Infinity", b"null", b'"\\ud800"', b'"\\ud83d\\ude00"', b"\xef\xbb\xbf", b"\xff"),
)
PIECES = st.lists(st.sampled_from(TOKENS), max_size=12).map(b"".join)


def theirs(raw: bytes) -> object:
    try:
        return read_json(raw, "it", 1000)
    except (Refused, Unreadable):
        return Refused


def ours(raw: bytes) -> object:
    try:
        value = strictjson.parse(raw, max_bytes=1000)
        return value if strictjson.dump(value) == raw else Refused  # the verifier reads no other form
    except InvalidInput:
        return Refused


@settings(max_examples=2_000)
@given(PIECES | st.binary(max_size=20))
def test_both_readers_read_the_same_or_refuse(raw: bytes) -> None:
    assert theirs(raw) == ours(raw)


@given(VALUES)
def test_both_write_the_same_bytes_and_read_them_back(value: object) -> None:
    raw = strictjson.dump(value)
    assert canonical(value) == raw
    assert read_json(raw, "it", 100_000) == value


@pytest.mark.parametrize("depth", [62, 63, 64, 65, 66, 1_000, 100_000])
def test_both_allow_the_same_depth(depth: int) -> None:
    raw = b"[" * depth + b"]" * depth
    allowed = depth <= 64
    for read in (lambda: read_json(raw, "it", 10**7), lambda: strictjson.parse(raw)):
        try:
            read()
            assert allowed
        except (Refused, InvalidInput):
            assert not allowed


@settings(max_examples=500)
@example("AB==")
@given(st.text("ABab01+/=-_ \n", max_size=12))
def test_both_decode_the_same_base64(text: str) -> None:
    try:
        expected: bytes | None = strictjson.b64decode(text)
    except InvalidInput:
        expected = None
    try:
        found: bytes | None = read_base64(text, "it")
    except Refused:
        found = None
    assert found == expected


def test_what_is_too_large_is_not_read() -> None:
    with pytest.raises(Unreadable, match="more than 3 bytes"):
        read_json(b"1234", "it", 3)
