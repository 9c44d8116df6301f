"""A turn of /chat that is running: what a caller who waits for it gets, and its server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from pydantic import BaseModel, Field

from gateway.domain.approvals import Approval, Decision
from gateway.domain.models import Turn, TurnId
from gateway.domain.run_events import ToolCall
from gateway.web.api.event_stream import TurnUpdates, TurnWriter, sse_event
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

LoadApprovals = Callable[[TurnId], Awaitable[Sequence[Approval]]]
"""Loads the held calls of a turn."""


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


class ChatWriter(TurnWriter):
    """Writes ``turn``, then ``delta``, ``tool`` and ``approval``; at the end ``done``, ``handed_over`` or ``error``."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def begin(self) -> Iterator[str]:
        turn = self._turn
        begun = {"thread_id": turn.message.key.channel, "turn_id": turn.id, "assistant": turn.assistant}
        yield sse_event(begun, "turn")

    def on_text(self, text: str) -> Iterator[str]:
        yield sse_event({"text": text}, "delta")

    def on_tool(self, call: ToolCall) -> Iterator[str]:
        if not call.done:
            yield sse_event({"name": call.name}, "tool")

    def on_approval(self, approval: Approval) -> Iterator[str]:
        yield sse_event(approval_view(approval).model_dump(mode="json"), "approval")

    def on_end(self, turn: Turn, sent: str) -> Iterator[str]:
        if turn.is_held:
            yield sse_event({"thread_id": turn.message.key.channel, "turn_id": turn.id}, "handed_over")
            return
        response = result_response(turn)
        if "error" in response[0]:
            yield from self.on_problem(response)
            return
        if turn.reply.startswith(sent) and turn.reply != sent:
            yield from self.on_text(turn.reply[len(sent) :])  # so that all deltas together are the reply
        yield sse_event(response[0], "done")

    def on_problem(self, problem: JsonResponse) -> Iterator[str]:
        body, status, headers = problem
        retry_after = {"retry_after": int(headers["Retry-After"])} if "Retry-After" in headers else {}
        yield sse_event({**body, "status": status, **retry_after}, "error")
