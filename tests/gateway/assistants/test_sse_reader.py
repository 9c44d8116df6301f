"""Parsed server-sent events do not depend on how the bytes were split."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants import sse

CHARACTERS = st.characters(exclude_characters="\r\n", codec="utf-8")
NAMES = st.text(CHARACTERS, max_size=8).map(str.strip)
LINES = st.text(CHARACTERS, max_size=20)
EVENTS = st.lists(st.tuples(NAMES, st.lists(LINES, min_size=1, max_size=3)), max_size=6)
NOISE = st.sampled_from(["", ": keep-alive", "id: 7", "retry: 10", "unknown", "event:early"])


def written(events: list[tuple[str, list[str]]], end: str, noise: str) -> bytes:
    """Encodes events as a server does, with a meaningless line among them."""
    blocks = []
    for name, lines in events:
        block = [noise] if noise else []
        block += [f"event: {name}"] + [f"data: {line}" for line in lines]
        blocks.append("".join(line + end for line in block) + end)
    return "".join(blocks).encode()


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@given(EVENTS, st.sampled_from(["\n", "\r\n"]), NOISE, st.lists(st.integers(min_value=0), max_size=12), st.booleans())
def test_events_do_not_depend_on_how_the_bytes_were_split(
    events: list[tuple[str, list[str]]],
    end: str,
    noise: str,
    places: list[int],
    mark: bool,  # noqa: FBT001  # hypothesis'
) -> None:
    raw = (sse.BYTE_ORDER_MARK if mark else b"") + written(events, end, noise)
    reader = sse.EventStreamParser()
    came = [event for chunk in cut(raw, places) for event in reader.feed(chunk)]
    assert came == [(name, "\n".join(lines)) for name, lines in events]
    assert reader.close() == []


FRAGMENTS = st.sampled_from(
    [
        *(
            b'event: a\ndata: {"b": 1}\n\n',
            b'data: {"c": 2}\r\n\r\n',
            b"data: \xc3\xa9\n\n",
            b"data: [DONE]",
            b"data: {",
        ),
        *(b"event: d", b"event:e", b"event:", b"event", b"data:", b"data: ", b"data:  f", b"data", b'{"g": 3}', b"}"),
        *(b": comment", b"id: 7", b" ", b"\r", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\xff", sse.BYTE_ORDER_MARK),
    ]
)


def parsed(pieces: list[bytes]) -> list[tuple[str, str]] | None:
    """Returns the events of a stream; None if it is none."""
    reader = sse.EventStreamParser()
    try:
        return [*(event for piece in pieces for event in reader.feed(piece)), *reader.close()]
    except ValueError:
        return None


@given(st.lists(FRAGMENTS, max_size=14).map(b"".join), st.lists(st.integers(min_value=0), max_size=6))
def test_events_that_come_whole_are_read_as_those_that_come_byte_by_byte(raw: bytes, places: list[int]) -> None:
    byte_by_byte = [bytes([each]) for each in raw]
    assert parsed(cut(raw, places)) == parsed([raw]) == parsed(byte_by_byte)


def read(*chunks: bytes) -> list[sse.Event]:
    """Returns the events of a body, up to its end."""
    parser, seen = sse.BodyParser({"unread"}), list[sse.Event]()
    for chunk in chunks:
        if not parser.is_complete:
            seen += parser.feed(chunk)
    return seen if parser.is_complete else [*seen, *parser.close()]


def test_names_and_data_are_decoded() -> None:
    assert read(b'event: a\ndata: {"b":\ndata: 1}\n\n') == [("a", {"b": 1})]


def test_nothing_is_read_after_the_end() -> None:
    assert read(b'data: {"a": 1}\n\ndata: [DONE]\n\ndata: {"b": 2}\n\n') == [("", {"a": 1}), sse.END]


def test_events_that_nobody_reads_are_not_decoded_behind_the_first() -> None:
    unread, at_end = b"event: unread\ndata: {never looked at}\n\n", b"event: unread\ndata: [DONE]\n\n"
    first = b'event: unread\ndata: {"a": 1}\n\n'
    assert read(first, unread + b'data: {"b": 2}\n\n', unread, at_end) == [
        ("unread", {"a": 1}),
        ("", {"b": 2}),
        sse.END,
    ]


def test_what_came_before_an_invalid_event_is_read() -> None:
    events = sse.BodyParser().feed(b'data: {"a": 1}\n\ndata: {"b"\n\n')
    assert next(events) == ("", {"a": 1})
    with pytest.raises(ValueError):  # noqa: PT011  # what it says is Python's
        next(events)


@pytest.mark.parametrize("body", [b'{"a": 1}\n[]', b"\n" * 99 + b'data: {"a": 1}\n\ndata: {'])
def test_what_is_left_at_the_end_is_read_up_to_what_is_invalid(body: bytes) -> None:
    parser = sse.BodyParser()
    assert not list(parser.feed(body))
    events = parser.close()
    assert next(events) == ("", {"a": 1})
    with pytest.raises(ValueError):  # noqa: PT011  # what it says is Python's
        next(events)


def test_an_event_without_data_is_ignored() -> None:
    assert read(b"event: ping\n\n: comment\n\ndata: [DONE]\n\n") == [sse.END]


def test_a_complete_last_event_without_empty_line_is_read() -> None:
    assert read(b'data: {"a": 1}') == [("", {"a": 1})]


@pytest.mark.parametrize("raw", [b'data: {"a": ', b'data: {"a": 1', b"data: [DO", b"data: \xff\n\n"])
def test_a_truncated_event_is_an_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what it says is Python's
        read(raw)


@pytest.mark.parametrize(
    "body", [b'{"a": 1}', b'[{"a": 1}]', b'{"a": 1}\n', b'\n {\n "a":\n 1}', b'data: {"a": 1}\n\ndata: [DONE]\n\n']
)
@pytest.mark.parametrize("size", [1, 100])
def test_a_body_is_read_by_its_form(body: bytes, size: int) -> None:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert read(*pieces) == [("", {"a": 1}), sse.END]


def test_objects_on_lines_are_read_one_by_one() -> None:
    assert read(b'{"a": 1}\n{"b": 2}\n') == [("", {"a": 1}), ("", {"b": 2}), sse.END]


@pytest.mark.parametrize("body", [b"", b" \n", b": ping\n\n"])
def test_a_body_without_data_has_no_end(body: bytes) -> None:
    assert read(body) == []


@pytest.mark.parametrize("body", [b'{"a": ', b'[{"a": 1}', b'{"a": 1}\n{"b"', b"[]", b"[1]"])
def test_a_broken_body_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what it says is Python's
        read(body)


def test_a_web_page_is_told_apart() -> None:
    with pytest.raises(sse.WebPageReceived):
        read(b" <", b"html>")


def test_an_endless_line_is_an_error() -> None:
    reader = sse.EventStreamParser()
    reader.feed(b"x" * sse.MAX_LINE_BYTES)
    with pytest.raises(ValueError, match="longer than"):
        reader.feed(b"x")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_only_json_objects_are_accepted(value: object) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        sse.parse_object(json.dumps(value))
