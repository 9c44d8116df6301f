"""Reads the body of an answer by its form, not by its label: server-sent events, JSON, or neither.

Servers send event streams called JSON, JSON called an event stream or text, and web pages with status 200. Events are
parsed independent of how the bytes are split into chunks, and tolerant of what servers write beside them: keep-alives
as ``data:`` lines, events without an empty line between them, and JSON without ``data:``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from string import whitespace
from typing import Any

from gateway.json_text import decode_json

Json = dict[str, Any]
Event = tuple[str, Json]
"""The name after ``event:`` (empty without one), and the decoded ``data:``."""

MAX_LINE_BYTES = 32 * 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DONE_MARKER = "[DONE]"
END: Event = (DONE_MARKER, {})
"""The last event of a stream that says that it is complete."""

COMMON_EVENT = re.compile(r"(?:event: ?+(.*+)\n)?+data: ?+(.*+)\n\n")
"""A whole event as nearly every server writes it: its name, if it has one, its data in one line, and an empty line."""
COMMON_EVENTS = re.compile(r"(?:(?:event:.*+\n)?+data:.*+\n\n)+")
"""As many of them as follow one another."""
JSON_FORMS = frozenset({b"{", b"["})


class WebPageReceived(ValueError):
    """The body is a web page."""


class EventStreamParser:
    """Assembles lines (LF or CRLF) and events. Raises ValueError for input that is not an event stream."""

    def __init__(self) -> None:
        self._incomplete_line = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._started = False

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """Returns the events that this chunk completes, as (name, data)."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._incomplete_line += chunk
            if len(self._incomplete_line) > MAX_LINE_BYTES:
                raise ValueError(f"a line of the stream is longer than {MAX_LINE_BYTES} bytes")
            return []
        lines, self._incomplete_line = bytes(self._incomplete_line) + chunk[:end], bytearray(chunk[end:])
        if not self._started:
            self._started = True
            lines = lines.removeprefix(BYTE_ORDER_MARK)
        text = lines.decode()
        return self._parse(text.replace("\r\n", "\n") if "\r" in text else text)

    def _parse(self, lines: str) -> list[tuple[str, str]]:
        """Returns the events of whole lines, which end with LF."""
        events: list[tuple[str, str]] = []
        start = 0
        while start < len(lines):
            is_between_events = not (self._name or self._data)
            if is_between_events and (found := COMMON_EVENTS.match(lines, start)):
                events += COMMON_EVENT.findall(lines, start, found.end())
                start = found.end()
            else:
                end = lines.index("\n", start)
                events += self._parse_line(lines[start:end])
                start = end + 1
        return events

    def close(self) -> list[tuple[str, str]]:
        """Returns a last event without its empty line. Truncated JSON is invalid, so it is never taken for one."""
        return self.feed(b"\n\n")

    def _parse_line(self, line: str) -> list[tuple[str, str]]:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        if line.startswith("{"):
            field, value = "data", line
        events = self._dispatch_if_complete() if field in {"data", "event"} else []
        if field == "data":
            self._data.append(value.removeprefix(" "))
        elif field == "event":
            self._name = value.removeprefix(" ")
        return events

    def _dispatch_if_complete(self) -> list[tuple[str, str]]:
        """Returns the event before this line if its data is complete JSON: some servers write no empty line."""
        data = "\n".join(self._data).strip(whitespace)
        complete = data == DONE_MARKER or (data[:1] == "{" and data[-1:] == "}" and _is_json(data))
        return self._dispatch() if complete else []

    def _dispatch(self) -> list[tuple[str, str]]:
        name, data = self._name, self._data
        self._name, self._data = "", []
        return [(name, "\n".join(data))] if data else []


class BodyParser:
    """Reads one body. Its form is known from its first bytes that are no white space."""

    def __init__(self, ignored: Container[str] = ()) -> None:
        """``ignored``: names of events that are not decoded behind the first one, as nobody reads them."""
        self.is_complete = False
        """Whether the body has said that it ends."""
        self._ignored = ignored
        self._has_begun = False
        """Whether an event was decoded."""
        self._is_stream = False
        self._body = bytearray()
        """What came of it, as long as it is not known to be a stream."""
        self._stream = EventStreamParser()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Returns the events that this chunk completes. They are decoded one by one: read them before the next call.

        An invalid one raises ValueError in its place. Raises ValueError for what is no event stream, WebPageReceived.
        """
        if self._is_stream:
            return self._decoded(self._stream.feed(chunk))
        self._body += chunk
        form = _first_bytes(self._body)[:1]
        if form == b"<":
            raise WebPageReceived("a web page was received")
        if form in JSON_FORMS:
            if len(self._body) > MAX_LINE_BYTES:
                raise ValueError(f"the answer is longer than {MAX_LINE_BYTES} bytes")
        elif form:
            self._is_stream = True
            return self._decoded(self._stream.feed(self._take_body()))
        return iter(())

    def close(self) -> Iterator[Event]:
        """Yields what is left after the last chunk: an event without its empty line, or a JSON body and its end."""
        if _first_bytes(self._body)[:1] in JSON_FORMS:
            for found in _json_objects(self._take_body()):
                yield "", found
            yield END
            return
        yield from self._decoded(self._stream.feed(self._take_body()))
        if not self.is_complete:
            yield from self._decoded(self._stream.close())

    def _take_body(self) -> bytes:
        body, self._body = bytes(self._body), bytearray()
        return body

    def _decoded(self, found: list[tuple[str, str]]) -> Iterator[Event]:
        """Yields events, and END at the end of the stream. Data that is no JSON, as ``ping``, keeps it alive."""
        for name, data in found:
            if data[:1] == "{":
                if name not in self._ignored or not self._has_begun:
                    self._has_begun = True
                    yield name, decode_json(data)
            elif data.strip() == DONE_MARKER:
                self.is_complete = True
                yield END
                return
            else:
                for value in _objects_in(data):
                    yield name, value


def _objects_in(data: str) -> list[Json]:
    """Returns the objects of an event's data, after lines that only keep the connection alive."""
    lines = data.split("\n")
    while lines and lines[0].lstrip()[:1] not in {"{", "["}:
        del lines[0]
    return _objects(decode_json("\n".join(lines))) if lines else []


def _json_objects(body: bytes) -> Iterator[Json]:
    """Yields the objects of a JSON body: one, a list of them, or one a line."""
    text = body.decode("utf-8-sig").strip()
    values = (
        [decode_json(text)] if _is_json(text) else [decode_json(line) for line in text.splitlines() if line.strip()]
    )
    for value in values:
        yield from _objects(value)


def _objects(value: Any) -> list[Json]:
    """Returns the objects of a value: itself, or those of a list. Raises ValueError for anything else."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, dict) for one in values):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    return values


def _first_bytes(data: bytes | bytearray) -> bytes:
    return bytes(data[:64]).removeprefix(BYTE_ORDER_MARK).lstrip()


def _is_json(data: str | bytes) -> bool:
    try:
        decode_json(data)
    except ValueError:
        return False
    return True


def parse_object(data: str | bytes) -> Json:
    """Decodes a JSON object. Raises ValueError, and WebPageReceived for a web page."""
    if data[:64].lstrip()[:1] in {"<", b"<"}:
        raise WebPageReceived("a web page was received")
    value = decode_json(data)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")  # noqa: TRY004  # bad input, not a bug
    return value
