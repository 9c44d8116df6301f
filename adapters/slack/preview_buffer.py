"""What a turn has shown so far: its text, and the tools that it uses."""

from __future__ import annotations

import re

from adapters.base.markdown.line_parts import unfinished_span
from adapters.base.markdown.splitting import finished, utf8_bytes
from adapters.slack.message_writer import Chunk, task
from gateway.domain.run_events import PreviewEvent, ToolCall
from gateway.domain.stream_buffer import TextBuffer

BLOCKS_FROM_BYTES = 6_500
"""From here on a message grows by whole blocks, so that it can still end where it reads best."""
MAX_WORD = 60
"""Characters. A longer word is shown while it grows: some languages have no spaces."""
LAST_WORD = re.compile(r"\S*\Z")


class SlackBuffer(TextBuffer):
    """With the tool calls of the turn."""

    def __init__(self) -> None:
        super().__init__()
        self._tools: dict[str, ToolCall] = {}
        self._shown: dict[str, bool] = {}
        """The tool calls that were shown; and whether as done."""

    def put(self, shown: PreviewEvent) -> None:
        if isinstance(shown, ToolCall):
            self._tools[shown.call_id] = shown
            self.notify()
        super().put(shown)

    @property
    def tool(self) -> str:
        """The tool that is running; empty when none is."""
        running = [call.name for call in self._tools.values() if not call.done]
        return running[-1] if running else ""

    def new_tasks(self) -> list[Chunk]:
        """Returns the tool calls that are not shown as they are now."""
        changed = [call for call in self._tools.values() if self._shown.get(call.call_id) is not call.done]
        return [task(call.call_id, call.name, done=call.done) for call in changed]

    def mark_shown(self, tasks: list[Chunk]) -> None:
        self._shown |= {chunk["id"]: chunk["status"] == "complete" for chunk in tasks}


def presentable(piece: str, shown: str) -> str:
    """Returns as much of an unfinished piece as can be shown and will stay as it is; at least what is shown."""
    end = finished(piece) if utf8_bytes(piece) > BLOCKS_FROM_BYTES else _settled(piece)
    return piece[:end].rstrip() if end > len(shown) else shown


def _settled(piece: str) -> int:
    """Returns up to where a piece stays as it is: to the last word, but before code and the like that is not whole.

    How a row of a table is written depends on all of it.
    """
    begins = piece.rfind("\n") + 1
    line, before = piece[begins:], piece[:begins].rpartition("\n")[0].rpartition("\n")[2]
    if "|" in line and "|" in before:
        return begins
    end = _start_of_word(piece, len(piece))
    return min(end, _start_of_word(piece, begins + unfinished_span(line)))


def _start_of_word(piece: str, end: int) -> int:
    last = LAST_WORD.search(piece, max(end - MAX_WORD - 1, 0), end)
    return last.start() if last and len(last.group()) <= MAX_WORD else end
