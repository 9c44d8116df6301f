"""Shows a reply while it is written.

It may stop at any point: ``adapters.base.reconciler`` brings what is posted to what must be posted. So it waits for no
token of the platform's rate limits and repeats nothing; what could not be shown is shown with what follows.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Generic

from adapters.base.errors import PlatformRateLimited, RateLimitTimeout, Unreachable
from adapters.base.long_text import formatted_apart
from adapters.base.message_writer import Content
from adapters.base.posted_reply import Posted, PostedReply
from gateway import logs
from gateway.domain.errors import GatewayError
from gateway.domain.run_events import PreviewEvent
from gateway.domain.stream_buffer import TextBuffer

NO_WAIT = 0.0
MAX_PAUSE = 10.0
"""Seconds between attempts while the platform accepts no calls."""
QUIET_SECONDS = 1.0
"""Of a turn, before anything of it is shown: most short replies are complete by then, and cost one call."""
ACTIVITY_GRACE = 1.0
"""Seconds for which a call that shows activity may hold up the reply."""

log = logs.get_logger(__name__)


class Preview(ABC, Generic[Posted, Content]):
    """Of one attempt at a turn."""

    def __init__(self, buffer: TextBuffer, reply: PostedReply[Posted], *, shows_text: bool) -> None:
        """``shows_text``: whether any text may be shown; if not, only that the assistant is at work."""
        self._buffer = buffer
        self._reply = reply
        self._shows_text = shows_text
        self._clock = asyncio.get_running_loop().time

    async def follow(self, events: AsyncIterator[PreviewEvent]) -> None:
        """Shows the events until the last. When this returns, no call is under way."""
        async with asyncio.TaskGroup() as group:
            activity = group.create_task(self.show_activity())
            if self._shows_text:
                group.create_task(self._write())
            try:
                async for event in events:
                    self._buffer.put(event)
            finally:
                self._buffer.close()
                asyncio.get_running_loop().call_later(ACTIVITY_GRACE, activity.cancel)

    # ------------------------------------------------------------ what the platform supplies

    @abstractmethod
    async def show_activity(self) -> None:
        """Shows that the assistant is at work, until the buffer is closed."""

    @property
    @abstractmethod
    def pace(self) -> float:
        """Seconds from one change to the next."""

    @abstractmethod
    async def wait_for_change(self) -> None:
        """Waits until there is something new to show, or to show again."""

    @abstractmethod
    def contents(self, text: str) -> list[Content]:
        """Returns the text so far as messages. All but the last are complete. May be called in a thread."""

    @abstractmethod
    async def begin(self, content: Content, *, complete: bool) -> None:
        """Shows the content in one more message."""

    @abstractmethod
    async def grow(self, message: Posted, content: Content, *, complete: bool) -> bool:
        """Makes a message show the content. Returns False when the preview cannot continue."""

    # ------------------------------------------------------------ the text

    async def _write(self) -> None:
        # A reply that is complete within the first moments is posted once: that takes fewer calls and looks the same.
        pause = max(self.pace - QUIET_SECONDS, 0.0) if self._buffer.text else self.pace
        await self.wait_for_change()
        while True:
            await self._buffer.wait_until_closed(pause)
            if self._buffer.closed:
                return
            try:
                if not await self._show():
                    return
            except (RateLimitTimeout, PlatformRateLimited, Unreachable):
                pause = min(2 * pause, max(MAX_PAUSE, self.pace))
                continue
            except GatewayError as exc:
                log.debug("preview ends", error=str(exc))
                return
            pause = self.pace
            await self.wait_for_change()

    async def _show(self) -> bool:
        """Brings the last message to the text so far, and begins those that follow."""
        text = self._buffer.text
        contents = await formatted_apart(text, lambda: self.contents(text))
        for number in range(max(len(self._reply.messages) - 1, 0), len(contents)):
            complete = number + 1 < len(contents)
            if number == len(self._reply.messages):
                await self.begin(contents[number], complete=complete)
            elif not await self.grow(self._reply.messages[number], contents[number], complete=complete):
                return False
        return True
