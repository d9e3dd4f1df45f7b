from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.core import strictjson
from custody.errors import InvalidInput

text = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_written_reads_back_as_it_was(value: object) -> None:
    raw = strictjson.dump(value)
    assert strictjson.parse(raw) == value
    assert strictjson.dump(strictjson.parse(raw)) == raw


@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = strictjson.parse(raw)
    except InvalidInput:
        return
    assert strictjson.parse(strictjson.dump(value)) == value


@given(values, st.integers(0, 200), st.binary(min_size=1, max_size=2))
def test_a_changed_byte_is_another_value_or_refused(value: object, place: int, byte: bytes) -> None:
    raw = strictjson.dump(value)
    at = place % (len(raw) + 1)
    changed = raw[:at] + byte + raw[at:]
    try:
        found = strictjson.parse(changed)
    except InvalidInput:
        return
    assert json.loads(changed) == found  # never a reading of its own


@given(text, values, values)
def test_a_key_given_twice_is_refused(key: str, first: object, second: object) -> None:
    name = json.dumps(key)
    raw = f"{{{name}:{json.dumps(first)},{name}:{json.dumps(second)}}}".encode()
    with pytest.raises(InvalidInput, match="twice"):
        strictjson.parse(raw)


@given(st.binary(max_size=30))
def test_base64_has_one_spelling(raw: bytes) -> None:
    import base64

    said = base64.b64encode(raw).decode()
    assert strictjson.b64decode(said) == raw
    for other in (said + "\n", said + "=", " " + said, said.rstrip("=") if said.endswith("=") else said + "A"):
        try:
            assert strictjson.b64decode(other) != raw
        except InvalidInput:
            continue
