"""What a turn has shown so far, for those who show it on at their own pace."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from adapters.slack.pen import Chunk, task
from gateway.markdown import finished, utf8_bytes
from gateway.messages import Shown, TextDelta, ToolCall

BLOCKS_FROM_BYTES = 6_500
"""From here on a piece grows by whole blocks, so that it can still end where it reads best."""
LONGEST_WORD = 60
"""A longer one is shown while it grows: there are languages without spaces."""
LAST_WORD = re.compile(r"\S*\Z")


class Draft:
    """Filled by one task, read by others, on one loop."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._tools: dict[str, ToolCall] = {}
        self._told: dict[str, bool] = {}
        """Which tool calls were shown; and whether as done."""
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()

    def put(self, shown: Shown) -> None:
        if isinstance(shown, TextDelta):
            self._text.append(shown.text)
        else:
            self._tools[shown.call_id] = shown
        self._changed.set()

    def close(self) -> None:
        """Nothing follows."""
        self._closed.set()
        self._changed.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def text(self) -> str:
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    @property
    def tool(self) -> str:
        """The tool that is used right now; empty when none is."""
        running = [call.name for call in self._tools.values() if not call.done]
        return running[-1] if running else ""

    def tasks(self) -> list[Chunk]:
        """The tool calls of which something is to be shown."""
        news = [call for call in self._tools.values() if self._told.get(call.call_id) is not call.done]
        return [task(call.call_id, call.name, done=call.done) for call in news]

    def told(self, tasks: list[Chunk]) -> None:
        """These were shown."""
        self._told |= {chunk["id"]: chunk["status"] == "complete" for chunk in tasks}

    async def news(self) -> None:
        """Wait until something has changed since the last time, or until nothing follows."""
        await self._changed.wait()
        if not self.closed:
            self._changed.clear()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until nothing follows."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()


def presentable(piece: str, shown: str) -> str:
    """As much of a piece that is still being written as can be shown, beyond what is: it stays as it is then."""
    if utf8_bytes(piece) > BLOCKS_FROM_BYTES:
        end = finished(piece)
    else:
        last = LAST_WORD.search(piece)
        end = last.start() if last and len(last.group()) <= LONGEST_WORD else len(piece)
    return piece[:end].rstrip() if end > len(shown) else shown
