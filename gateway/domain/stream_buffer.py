"""Buffers for the preview events of a running turn, between the assistant and the platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from gateway.domain.run_events import PreviewEvent, TextDelta


class PreviewStream(AsyncIterator[PreviewEvent]):
    """The preview events of a turn. Text that was not read yet is merged, so that a slow reader delays nothing."""

    def __init__(self) -> None:
        self._pending: list[PreviewEvent] = []  # few at a time: a deque takes 700 bytes for one
        self._changed: asyncio.Future[None] | None = None
        """What the reader waits for."""
        self._closed = False
        self.has_viewer = True
        self.on_first: Callable[[], None] | None = None
        """Called once, before the first event is there."""

    def put(self, event: PreviewEvent) -> None:
        if not self.has_viewer:
            return
        if self.on_first is not None:
            on_first, self.on_first = self.on_first, None
            on_first()
        last = self._pending[-1] if self._pending else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta) and event.is_refusal == last.is_refusal:
            self._pending[-1] = TextDelta(last.text + event.text, event.is_refusal)
        else:
            self._pending.append(event)
        _wake(self._changed)

    def close(self) -> None:
        self._closed, self.on_first = True, None
        _wake(self._changed)

    async def __anext__(self) -> PreviewEvent:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
        return self._pending.pop(0)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class TextBuffer:
    """The text of a turn so far, for adapters that show it at their own pace. Filled by one task, read by others."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._has_text = asyncio.Event()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()

    def put(self, shown: PreviewEvent) -> None:
        """Appends the text of an event; ignores other events."""
        if isinstance(shown, TextDelta) and shown.text:
            self._text.append(shown.text)
            self._has_text.set()
            self.notify()

    def notify(self) -> None:
        """Reports a change, as ``put`` does, without text."""
        self._changed.set()

    def close(self) -> None:
        """Ends the text and wakes all waiting readers."""
        for event in (self._closed, self._has_text, self._changed):
            event.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def text(self) -> str:
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    async def wait_for_first_text(self, seconds: float) -> bool:
        """Waits up to ``seconds`` for the first text or the end. Returns False on timeout."""
        return await _wait_for(self._has_text, seconds)

    async def wait_for_change(self, seconds: float | None = None) -> bool:
        """Waits for a change since the last call, or for the end. Returns False on timeout."""
        changed = await _wait_for(self._changed, seconds)
        if changed and not self.closed:
            self._changed.clear()
        return changed

    async def wait_until_closed(self, seconds: float) -> None:
        """Waits up to ``seconds`` for the end."""
        await _wait_for(self._closed, seconds)


async def _wait_for(event: asyncio.Event, seconds: float | None) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
