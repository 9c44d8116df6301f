"""Streams a turn while it runs, as server-sent events: one loop, whatever events an API has."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from gateway import logs
from gateway.domain.approvals import Approval
from gateway.domain.errors import GatewayError
from gateway.domain.models import Turn
from gateway.domain.run_events import PreviewEvent, TextDelta, ToolCall
from gateway.web.api import problems
from gateway.web.api.problems import JsonResponse
from gateway.web.api.views import timeout_response

EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
PING = ": ping\n\n"
UNSAFE_CHARACTERS = re.compile(r"[\x85\u2028\u2029\ud800-\udfff]")
"""Characters that some clients treat as line ends, and lone surrogates: JSON escapes them."""

TurnUpdates = AsyncIterator[PreviewEvent | Approval | Turn | None]
"""The preview events of a turn, what people are asked meanwhile, then the resolved turn, with which it ends. Yields the
turn as well while it waits for their answer, and None while idle; may end without a resolved turn."""

log = logs.get_logger(__name__)


class TurnWriter(ABC):
    """Writes the events of one turn in the form of one API; of what that has no event for, nothing."""

    def begin(self) -> Iterable[str]:
        return ()

    @abstractmethod
    def on_text(self, text: str) -> Iterable[str]: ...

    def on_refusal(self, text: str) -> Iterable[str]:
        """Writes text with which the model refuses; an API may not tell it from other text."""
        return self.on_text(text)

    def on_tool(self, call: ToolCall) -> Iterable[str]:  # noqa: ARG002  # an API may have no such event
        return ()

    def on_approval(self, approval: Approval) -> Iterable[str]:  # noqa: ARG002  # likewise
        return ()

    @abstractmethod
    def on_end(self, turn: Turn, sent: str) -> Iterable[str]:
        """``turn``: as it is now that it has an outcome; ``sent``: the text that was sent of its reply."""

    def on_silence(self, turn: Turn) -> Iterable[str]:
        """Yields the events for a turn that goes on, although nobody waits for it any longer."""
        return self.on_problem(timeout_response(turn))

    @abstractmethod
    def on_problem(self, problem: JsonResponse) -> Iterable[str]:
        """Yields the events for what ended the wait without an outcome."""


async def event_stream(
    turn: Turn, updates: TurnUpdates, writer: TurnWriter, *, ping_seconds: float
) -> AsyncIterator[str]:
    """Yields the events of a turn while it runs. Sends a comment after ``ping_seconds`` without an event."""
    for part in writer.begin():
        yield part
    sent, last_sent_at, ending = "", time.monotonic(), writer.on_silence(turn)
    try:
        async for item in updates:  # to its end, since a generator that is left early costs a task
            if isinstance(item, Turn):
                ending = writer.on_end(item, sent)
                continue
            if isinstance(item, TextDelta):
                sent += item.text
            now, parts = time.monotonic(), _written(writer, item)
            for part in parts or ([PING] if now - last_sent_at >= ping_seconds else ()):
                last_sent_at = now
                yield part
    except GatewayError as exc:
        ending = writer.on_problem(problems.from_error(exc, turn_id=turn.id))
    except Exception:
        log.exception("event stream failed", turn=turn.id)
        failed = problems.error_response(500, GatewayError.code, problems.INTERNAL_MESSAGE, turn_id=turn.id)
        ending = writer.on_problem(failed)
    for part in ending:
        yield part


def _written(writer: TurnWriter, item: PreviewEvent | Approval | None) -> list[str]:
    match item:
        case TextDelta():
            return [*(writer.on_refusal if item.is_refusal else writer.on_text)(item.text)]
        case ToolCall():
            return [*writer.on_tool(item)]
        case Approval():
            return [*writer.on_approval(item)]
    return []


def sse_event(data: Mapping[str, Any], name: str = "") -> str:
    """Returns one server-sent event; without a name for clients that take events by their data."""
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if UNSAFE_CHARACTERS.search(line):
        line = json.dumps(data, separators=(",", ":"))
    return f"event: {name}\ndata: {line}\n\n" if name else f"data: {line}\n\n"
