"""Parses server-sent events: strict about their syntax, independent of how the bytes are split into chunks."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

Json = dict[str, Any]
Event = tuple[str, Json]
"""The name after ``event:`` (empty without one), and the decoded ``data:``."""

MAX_LINE_BYTES = 32 * 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DONE_MARKER = "[DONE]"


class EventStreamParser:
    """Assembles lines (LF or CRLF) and events. Raises ValueError for input that is not an event stream."""

    def __init__(self) -> None:
        self._incomplete_line = bytearray()
        self._name = ""
        self._data: list[bytes] = []
        self._started = False

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """Returns the events that this chunk completes, as (name, data)."""
        self._incomplete_line += chunk
        if b"\n" not in chunk:
            if len(self._incomplete_line) > MAX_LINE_BYTES:
                raise ValueError(f"a line of the stream is longer than {MAX_LINE_BYTES} bytes")
            return []
        *lines, rest = bytes(self._incomplete_line).split(b"\n")
        self._incomplete_line = bytearray(rest)
        if not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        return [event for line in lines if (event := self._parse_line(line.removesuffix(b"\r"))) is not None]

    def close(self) -> list[tuple[str, str]]:
        """Returns a last event without its empty line. Truncated JSON is invalid, so it is never taken for one."""
        return self.feed(b"\n\n")

    def _parse_line(self, line: bytes) -> tuple[str, str] | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.removeprefix(b" ").decode()
        return None

    def _dispatch(self) -> tuple[str, str] | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        return (name, b"\n".join(data).decode()) if data else None


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Event, None]:
    """Yields the events of a stream until it ends or sends ``[DONE]``. Raises ValueError for invalid input."""
    reader = EventStreamParser()
    async for chunk in chunks:
        read = deque(reader.feed(chunk))
        del chunk  # the next event may take long: free the memory meanwhile
        while read:
            name, data = read.popleft()
            if data == DONE_MARKER:
                return
            yield name, parse_object(data)
            del data
    for name, data in reader.close():
        if data != DONE_MARKER:
            yield name, parse_object(data)


def parse_object(data: str | bytes) -> Json:
    """Decodes a JSON object. Raises ValueError."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")  # noqa: TRY004  # bad input, not a bug
    return value
