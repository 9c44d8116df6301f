"""Reads server-sent events from bytes: strict about what an event is, indifferent to how the bytes were cut."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

Json = dict[str, Any]
Event = tuple[str, Json]
"""The name after ``event:`` (empty without one), and the decoded ``data:``."""

MAX_LINE = 32 * 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
END = "[DONE]"


class Reader:
    """Puts lines (LF or CRLF) and events together. Raises ValueError for what is no event stream."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._name = ""
        self._data: list[bytes] = []
        self._begun = False

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """The events that this chunk completes: name and data."""
        self._rest += chunk
        if b"\n" not in chunk:
            if len(self._rest) > MAX_LINE:
                raise ValueError(f"a line of the stream is longer than {MAX_LINE} bytes")
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        return [event for line in lines if (event := self._take(line.removesuffix(b"\r"))) is not None]

    def close(self) -> list[tuple[str, str]]:
        """What stands at the end without its empty line. Cut-off JSON is no JSON, so no half is taken for a whole."""
        return self.feed(b"\n\n")

    def _take(self, line: bytes) -> tuple[str, str] | None:
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


async def events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Event, None]:
    """The events of a stream until it ends or says that it is done. Raises ValueError for what is none."""
    reader = Reader()
    async for chunk in chunks:
        read = deque(reader.feed(chunk))
        del chunk  # a run may be waited for a long time: what was read is not kept meanwhile
        while read:
            name, data = read.popleft()
            if data == END:
                return
            yield name, parse(data)
            del data
    for name, data in reader.close():
        if data != END:
            yield name, parse(data)


def parse(data: str | bytes) -> Json:
    """Decode a JSON object. Raises ValueError."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")  # noqa: TRY004  # foreign, not ours
    return value
