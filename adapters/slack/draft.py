"""What a turn has shown so far, for those who show it on at their own pace."""

from __future__ import annotations

import re

from adapters.slack.pen import Chunk, task
from gateway.live import Written
from gateway.markdown import finished, utf8_bytes
from gateway.messages import Shown, ToolCall

BLOCKS_FROM_BYTES = 6_500
"""From here on a piece grows by whole blocks, so that it can still end where it reads best."""
LONGEST_WORD = 60
"""A longer one is shown while it grows: there are languages without spaces."""
LAST_WORD = re.compile(r"\S*\Z")


class Draft(Written):
    """With the tools that the turn has used."""

    def __init__(self) -> None:
        super().__init__()
        self._tools: dict[str, ToolCall] = {}
        self._told: dict[str, bool] = {}
        """Which tool calls were shown; and whether as done."""

    def put(self, shown: Shown) -> None:
        if isinstance(shown, ToolCall):
            self._tools[shown.call_id] = shown
            self.change()
        super().put(shown)

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


def presentable(piece: str, shown: str) -> str:
    """As much of a piece that is still being written as can be shown, beyond what is: it stays as it is then."""
    if utf8_bytes(piece) > BLOCKS_FROM_BYTES:
        end = finished(piece)
    else:
        last = LAST_WORD.search(piece)
        end = last.start() if last and len(last.group()) <= LONGEST_WORD else len(piece)
    return piece[:end].rstrip() if end > len(shown) else shown
