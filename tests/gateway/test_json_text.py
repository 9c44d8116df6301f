"""What the faster decoder and encoder of JSON refuse and Python's take is taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.json_text import decode_json, encode_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(VALUES, st.booleans())
def test_a_value_is_what_python_finds(value: object, ascii_only: bool) -> None:  # noqa: FBT001  # hypothesis'
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert decode_json(text) == json.loads(text)


@given(st.text('{}[]",:0123456789.eE+-truefalsn\\ud83d \n', max_size=12))
def test_what_python_refuses_is_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011  # what it says is Python's
            decode_json(text)
    else:
        assert decode_json(text) == expected


@pytest.mark.parametrize("text", ['{"a": "\\ud83d"}', '{"a": "\ud83d"}'])
def test_half_an_emoji_is_taken(text: str) -> None:
    assert decode_json(text) == {"a": "\ud83d"}


@pytest.mark.parametrize("text", [b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}', '{"a": 1}'])
def test_bytes_are_decoded_with_and_without_a_mark(text: str | bytes) -> None:
    assert decode_json(text) == {"a": 1}


def test_deep_nesting_is_taken_as_far_as_python_does() -> None:
    assert decode_json("[" * 300 + "]" * 300)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_json("[" * 100_000 + "]" * 100_000)


@given(VALUES)
def test_what_is_encoded_says_what_was_given(value: object) -> None:
    assert json.loads(encode_json(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "é", "b": [1, None]}, '{"a":"é","b":[1,null]}'),
        ("half an \ud83d", '"half an \\ud83d"'),
        ({"\ud83d": 1}, '{"\\ud83d":1}'),
    ],
)
def test_what_is_encoded_is_short_and_half_an_emoji_is_escaped(value: object, text: str) -> None:
    assert encode_json(value) == text.encode()


def test_what_is_nested_deeply_is_encoded() -> None:
    value: list[object] = []
    for _ in range(300):
        value = [value]
    assert encode_json(value) == b"[" * 301 + b"]" * 301
