"""A turn that is running: what a caller who waits for it gets, and its server-sent events."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from gateway import logs
from gateway.domain.approvals import Approval, Decision
from gateway.domain.errors import GatewayError
from gateway.domain.models import Turn, TurnId
from gateway.domain.run_events import PreviewEvent, TextDelta, ToolCall
from gateway.web.api import problems
from gateway.web.api.problems import JsonResponse, Problems
from gateway.web.api.views import (
    ASKED,
    ApprovalView,
    TurnReply,
    approval_view,
    result_response,
    timeout_response,
    waiting_response,
)

EVENT_STREAM = "text/event-stream"
PING = ": ping\n\n"
UNSAFE_CHARACTERS = re.compile(r"[\x85\u2028\u2029\ud800-\udfff]")
"""Characters that some clients treat as line ends, and lone surrogates: JSON escapes them."""

TurnUpdates = AsyncIterator[PreviewEvent | Approval | Turn | None]
"""The preview events of a turn, what people are asked meanwhile, then the resolved turn, with which it ends. Yields the
turn as well while it waits for their answer, and None while idle; may end without a resolved turn."""
LoadApprovals = Callable[[TurnId], Awaitable[Sequence[Approval]]]
"""Loads the held calls of a turn."""

log = logs.get_logger(__name__)


class TurnBegun(BaseModel):
    thread_id: str
    turn_id: str
    assistant: str = Field(description=ASKED)


class TurnHandedOver(BaseModel):
    """The last event of a stream when a person answers in the thread: there is no reply yet."""

    thread_id: str
    turn_id: str


class TextPart(BaseModel):
    text: str = Field(description="The next part of the reply.")


class ToolBegun(BaseModel):
    name: str = Field(description="The tool that the assistant uses now.")


class TurnProblem(Problems):
    """The last event of a stream without a reply."""

    status: int = Field(description="The status that the same error has without streaming.")
    retry_after: int | None = Field(None, description="Seconds.")


EVENTS: Mapping[str, type[BaseModel]] = {
    "turn": TurnBegun,
    "delta": TextPart,
    "tool": ToolBegun,
    "approval": ApprovalView,
    "done": TurnReply,
    "handed_over": TurnHandedOver,
    "error": TurnProblem,
}
"""What the data of each server-sent event is, by the event's name."""


def sse_event(data: Mapping[str, Any], name: str = "") -> str:
    """Returns one server-sent event; without a name for clients that take events by their data."""
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if UNSAFE_CHARACTERS.search(line):
        line = json.dumps(data, separators=(",", ":"))
    return f"event: {name}\ndata: {line}\n\n" if name else f"data: {line}\n\n"


async def wait_for_result(turn: Turn, updates: TurnUpdates, load: LoadApprovals) -> JsonResponse:
    """Waits for the turn to be resolved, or to be held until people have approved a call; returns the response."""
    result = timeout_response(turn)
    async for item in updates:  # to its end, since a generator that is left early costs a task
        if isinstance(item, Turn):
            waits = item.awaits_approval
            result = waiting_response(item, await load(item.id)) if waits else result_response(item)
    return result


async def with_questions(turn: Turn, updates: TurnUpdates, load: LoadApprovals) -> TurnUpdates:
    """Yields the updates; in place of a turn that waits for people, what they are asked, each state of it once."""
    told: set[tuple[str, Decision | None]] = set()
    async for item in updates:
        waits = isinstance(item, Turn) and item.awaits_approval
        for asked in await load(turn.id) if waits else [item] if isinstance(item, Approval) else ():
            if asked.is_question and (asked.id, asked.decision) not in told:
                told.add((asked.id, asked.decision))
                yield asked
        if not isinstance(item, Approval):
            yield None if waits else item


async def event_stream(turn: Turn, updates: TurnUpdates, *, ping_seconds: float) -> AsyncIterator[str]:
    """Yields server-sent events: ``turn``, then ``delta``, ``tool`` and ``approval``, and finally one ``done`` or
    ``error``.

    Sends a comment line after ``ping_seconds`` without an event. An exception on the way becomes ``error``.
    """
    yield sse_event(_begun(turn), "turn")
    try:
        async for event in _events_until_result(turn, updates, ping_seconds):
            yield event
    except GatewayError as exc:
        yield _error_event(problems.from_error(exc, turn_id=turn.id))
    except Exception:
        log.exception("event stream failed", turn=turn.id)
        yield _error_event(problems.error_response(500, GatewayError.code, problems.INTERNAL_MESSAGE, turn_id=turn.id))


def _begun(turn: Turn) -> dict[str, str]:
    return {"thread_id": turn.message.key.channel, "turn_id": turn.id, "assistant": turn.assistant}


async def _events_until_result(turn: Turn, updates: TurnUpdates, ping_seconds: float) -> AsyncIterator[str]:
    sent, last_sent_at, final_events = "", time.monotonic(), iter([_error_event(timeout_response(turn))])
    async for item in updates:
        if isinstance(item, Turn):
            final_events = _final_events(item, sent)
            continue
        if isinstance(item, TextDelta):
            sent += item.text
            yield sse_event({"text": item.text}, "delta")
        elif isinstance(item, ToolCall):
            if item.done:
                continue
            yield sse_event({"name": item.name}, "tool")
        elif isinstance(item, Approval):
            yield sse_event(approval_view(item).model_dump(mode="json"), "approval")
        elif time.monotonic() - last_sent_at < ping_seconds:
            continue
        else:
            yield PING
        last_sent_at = time.monotonic()
    for event in final_events:
        yield event


def _final_events(turn: Turn, sent_text: str) -> Iterator[str]:
    if turn.is_held:
        yield sse_event({"thread_id": turn.message.key.channel, "turn_id": turn.id}, "handed_over")
        return
    body, status, headers = result_response(turn)
    if "error" in body:
        yield _error_event((body, status, headers))
        return
    if turn.reply.startswith(sent_text) and turn.reply != sent_text:
        yield sse_event({"text": turn.reply[len(sent_text) :]}, "delta")  # so that all deltas together are the reply
    yield sse_event(body, "done")


def _error_event(response: JsonResponse) -> str:
    body, status, headers = response
    retry_after = {"retry_after": int(headers["Retry-After"])} if "Retry-After" in headers else {}
    return sse_event({**body, "status": status, **retry_after}, "error")
