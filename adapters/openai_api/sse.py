"""Server-sent events as OpenAI's SDKs read them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from gateway import logs
from gateway.domain.errors import GatewayError
from gateway.domain.models import Turn
from gateway.domain.run_events import TextDelta
from gateway.web.api import problems
from gateway.web.api.problems import JsonResponse
from gateway.web.api.turn_events import EVENT_STREAM, PING, TurnUpdates
from gateway.web.api.views import timeout_response

DONE = "data: [DONE]\n\n"
STREAM_HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}

log = logs.get_logger(__name__)


class TurnStream(Protocol):
    """Makes the events of one turn."""

    def begin(self) -> Iterable[str]: ...

    def on_text(self, text: str) -> Iterable[str]: ...

    def on_end(self, turn: Turn, sent: str) -> Iterable[str]:
        """``turn``: as it is now that it has an outcome; ``sent``: the text that was sent of its reply."""
        ...

    def on_problem(self, problem: JsonResponse) -> Iterable[str]:
        """Yields the events for what ended the wait without an outcome."""
        ...


async def turn_events(
    turn: Turn, updates: TurnUpdates, stream: TurnStream, *, ping_seconds: float
) -> AsyncIterator[str]:
    """Yields the events of a turn while it runs. Sends a comment after ``ping_seconds`` without an event."""
    for line in stream.begin():
        yield line
    sent, last_sent_at, ending = "", time.monotonic(), stream.on_problem(timeout_response(turn))
    try:
        async for item in updates:  # to its end, since a generator that is left early costs a task
            if isinstance(item, Turn):
                ending = stream.on_end(item, sent)
                continue
            if isinstance(item, TextDelta):
                sent += item.text
                for line in stream.on_text(item.text):
                    yield line
            elif time.monotonic() - last_sent_at < ping_seconds:
                continue
            else:
                yield PING
            last_sent_at = time.monotonic()
    except GatewayError as exc:
        ending = stream.on_problem(problems.from_error(exc))
    except Exception:
        log.exception("event stream failed", turn=turn.id)
        ending = stream.on_problem(problems.error_response(500, GatewayError.code, problems.INTERNAL_MESSAGE))
    for line in ending:
        yield line


async def resolved_turn(updates: TurnUpdates) -> Turn | None:
    """Waits; returns the turn with its outcome, or None if there was none in time."""
    found = None
    async for item in updates:
        found = item if isinstance(item, Turn) else found
    return found
