"""Builds the JSON of turns and threads, and the server-sent events of a turn that is running."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway import logs
from gateway.domain.approvals import Approval, Decision
from gateway.domain.conversations import Conversation
from gateway.domain.errors import DeliveryError, GatewayError
from gateway.domain.models import Failure, Turn, TurnId, TurnState
from gateway.domain.run_events import PreviewEvent, TextDelta, ToolCall
from gateway.domain.sentences import sentence
from gateway.ports.inbox import OfferedAssistant
from gateway.web.api import problems
from gateway.web.api.problems import JsonResponse, Problem, Problems

TRANSCRIPT_TURNS = 200
"""Turns on one page of a transcript."""
EVENT_STREAM = "text/event-stream"
PING = ": ping\n\n"
UNSAFE_CHARACTERS = re.compile(r"[\x85\u2028\u2029\ud800-\udfff]")
"""Characters that some clients treat as line ends, and lone surrogates: JSON escapes them."""
CANCELLED = Failure("cancelled", sentence("This turn was cancelled."))
FAILED = Failure("assistant_failed", sentence("The assistant could not answer this."))

TurnUpdates = AsyncIterator[PreviewEvent | Approval | Turn | None]
"""The preview events of a turn, what people are asked meanwhile, then the resolved turn, with which it ends. Yields the
turn as well while it waits for their answer, and None while idle; may end without a resolved turn."""
LoadApprovals = Callable[[TurnId], Awaitable[Sequence[Approval]]]
"""Loads the held calls of a turn."""

log = logs.get_logger(__name__)


ASKED = "The name of the assistant that is asked. If it is unavailable, another one may answer in its place."
ANSWERED_BY = "The name of the assistant that was asked. If it was unavailable, that of the one in its place."


class FileView(BaseModel):
    """A file of a reply."""

    file_id: str = Field(description="Download it at `/chat/files/<file_id>`.")
    name: str
    media_type: str
    size: int = Field(description="In bytes; 0 if unknown.")


class TurnReply(BaseModel):
    response: str = Field(description="The whole text of the assistant's reply.")
    thread_id: str = Field(description="Send it with the next message to continue the thread.")
    turn_id: str
    assistant: str = Field(description=ANSWERED_BY)
    files: list[FileView] = Field(default_factory=list, description="What the assistant created beside the text.")


class ApprovalView(BaseModel):
    """A call of a tool that somebody has to approve. It has not been carried out while `decision` is null."""

    approval_id: str
    turn_id: str
    tool: str
    arguments: str = Field(description="JSON: exactly what the tool is called with.")
    digest: str = Field(description="Names the tool and these arguments. Send it with the decision.")
    decision: Decision | None
    decided_by: str | None = Field(description="What whoever decided is called, if that is known.")
    expires_at: datetime = Field(description="From then on nobody can approve it any more.")


WAITS_FOR = "`approval`: it goes on when its `approvals` are decided; the turn itself is fetched by its `turn_id`."
HANDED_OVER = (
    "Whether a person answers it instead of the assistant. Their answers are new messages of the thread, see "
    "`GET /chat/threads/<thread_id>`."
)


class TurnAccepted(BaseModel):
    turn_id: str
    thread_id: str
    assistant: str = Field(description=ASKED)
    state: TurnState
    waits_for: Literal["approval"] | None = Field(None, description=WAITS_FOR)
    approvals: list[ApprovalView] = Field(default_factory=list, description="What people are asked.")
    handed_over: bool = Field(default=False, description=HANDED_OVER)


class TurnView(BaseModel):
    """A turn. Times are ISO 8601 in UTC, or null if that has not happened yet."""

    turn_id: str
    thread_id: str
    assistant: str = Field(description=ANSWERED_BY)
    state: TurnState
    message: str
    response: str | None
    files: list[FileView] = Field(default_factory=list, description="Of the reply.")
    error: Problem | None
    received_at: datetime
    started_at: datetime | None
    answered_at: datetime | None
    delivered_at: datetime | None
    tokens: dict[Literal["in", "out"], int]
    waits_for: Literal["approval"] | None = Field(None, description=WAITS_FOR)
    approvals: list[ApprovalView] = Field(default_factory=list, description="What people were asked.")
    handed_over: bool = Field(default=False, description=HANDED_OVER)


class ThreadMessage(BaseModel):
    role: Literal["user", "assistant"]
    text: str
    turn_id: str
    assistant: str = Field(description=ANSWERED_BY)
    at: datetime | None
    files: list[FileView] = Field(default_factory=list, description="Of a reply.")
    attached: list[str] = Field(default_factory=list, description="Names of the files that came with a message.")
    stopped: bool = Field(default=False, description="Whether it is what was shown of a reply that was stopped.")
    handed_over: bool = Field(default=False, description="Whether it is a message that was left to a person.")
    by_person: bool = Field(default=False, description="Whether a person answered, in place of the assistant.")


class ThreadView(BaseModel):
    thread_id: str
    backend: str = Field(description="The backend that has the thread; empty until its first turn starts.")
    assistant: str = Field(description="The name of the assistant whose thread that is.")
    next_assistant: str = Field(description="The name of the one that the next message asks if it names none.")
    assistant_thread_id: str | None = Field(description="The thread's id at that backend.")
    messages: list[ThreadMessage] = Field(description="The newest messages, oldest first.")
    handed_over: bool = Field(description="Whether a person answers in the thread now.")
    earlier: str | None = Field(description="Pass it as `before` to read the messages before these; null at the start.")


class AssistantView(BaseModel):
    name: str = Field(description="Send it as `assistant` with a message.")
    title: str = Field(description="What it calls itself, to show to people.")


class AssistantList(BaseModel):
    assistants: list[AssistantView] = Field(description="The first one answers in a new thread if none is named.")


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


def result_response(turn: Turn) -> JsonResponse:
    """Returns the response to a caller whose turn is resolved."""
    failure = failure_of(turn)
    if failure is not None:
        return problems.from_failure(failure, turn_id=turn.id)
    if turn.is_held:
        return accepted_body(turn), 202, {}
    thread, files = turn.message.key.channel, files_of(turn)
    reply = TurnReply(response=turn.reply, thread_id=thread, turn_id=turn.id, assistant=turn.assistant, files=files)
    return reply.model_dump(), 200, {}


def timeout_response(turn: Turn) -> JsonResponse:
    """Returns the 504 response to a caller whose turn did not finish in time."""
    message = sentence("No answer yet. The turn is still running: fetch it later by its turn_id.")
    return problems.error_response(504, "timed_out", message, turn_id=turn.id)


def failure_of(turn: Turn) -> Failure | None:
    """Returns why a turn has no reply, or None. A turn with a reply has not failed, even if delivery did."""
    if turn.state is TurnState.CANCELLED:
        return CANCELLED
    if turn.state is not TurnState.FAILED or (turn.failure and turn.failure.code == DeliveryError.code):
        return None
    return turn.failure or FAILED


def accepted_body(turn: Turn, approvals: Sequence[Approval] = ()) -> dict[str, Any]:
    return TurnAccepted(
        turn_id=turn.id,
        thread_id=turn.message.key.channel,
        assistant=turn.assistant,
        state=turn.state,
        waits_for=_waits_for(turn),
        approvals=approvals_of(approvals),
        handed_over=turn.is_held,
    ).model_dump(mode="json")


def waiting_response(turn: Turn, approvals: Sequence[Approval]) -> JsonResponse:
    """Returns the response to a caller whose turn goes on when people have approved a call of a tool."""
    return accepted_body(turn, approvals), 202, {"Location": f"/chat/turns/{turn.id}"}


def approvals_of(approvals: Sequence[Approval]) -> list[ApprovalView]:
    """Returns what people were asked; calls that only wait beside are left out."""
    return [approval_view(each) for each in approvals if each.is_question]


def approval_view(approval: Approval) -> ApprovalView:
    return ApprovalView(
        approval_id=approval.id,
        turn_id=approval.turn_id,
        tool=approval.tool,
        arguments=approval.arguments,
        digest=approval.digest,
        decision=approval.decision,
        decided_by=approval.decided_name or None,
        expires_at=datetime.fromtimestamp(approval.expires_at, UTC),
    )


def _waits_for(turn: Turn) -> Literal["approval"] | None:
    return "approval" if turn.awaits_approval else None


def turn_body(turn: Turn, approvals: Sequence[Approval] = ()) -> dict[str, Any]:
    failure = failure_of(turn)
    has_reply = turn.state.is_resolved and failure is None and not turn.is_held
    error = problems.from_failure(failure)[0]["error"] if failure else None
    return TurnView(
        turn_id=turn.id,
        thread_id=turn.message.key.channel,
        assistant=turn.assistant,
        state=turn.state,
        message=turn.said,
        response=turn.reply if has_reply else None,
        files=files_of(turn) if has_reply else [],
        error=Problem(**error) if error else None,
        received_at=datetime.fromtimestamp(turn.received_at, UTC),
        started_at=_utc(turn.started_at),
        answered_at=_utc(turn.answered_at),
        delivered_at=_utc(turn.delivered_at),
        tokens={"in": turn.usage.tokens_in, "out": turn.usage.tokens_out},
        waits_for=_waits_for(turn),
        approvals=approvals_of(approvals),
        handed_over=turn.is_held,
    ).model_dump(mode="json")


def _begun(turn: Turn) -> dict[str, str]:
    return {"thread_id": turn.message.key.channel, "turn_id": turn.id, "assistant": turn.assistant}


def assistants_body(offered: Iterable[OfferedAssistant]) -> dict[str, Any]:
    shown = [AssistantView(name=each.name, title=each.title) for each in offered]
    return AssistantList(assistants=shown).model_dump()


def thread_body(conversation: Conversation, turns: Sequence[Turn], next_assistant: str) -> dict[str, Any]:
    """Returns a page of a transcript: the turns of one call of ``transcript`` with the limit TRANSCRIPT_TURNS."""
    return ThreadView(
        earlier=turns[0].id if len(turns) == TRANSCRIPT_TURNS and turns[0].seq > 1 else None,
        thread_id=conversation.key.channel,
        backend=conversation.backend,
        assistant=conversation.assistant,
        next_assistant=next_assistant,
        assistant_thread_id=conversation.thread_id,
        handed_over=conversation.handover is not None,
        messages=[line for turn in turns for line in _messages_of(turn)],
    ).model_dump(mode="json")


def files_of(turn: Turn) -> list[FileView]:
    return [
        FileView(file_id=f"{turn.id}.{number}", name=file.name, media_type=file.media_type, size=file.size)
        for number, file in enumerate(turn.reply_files)
    ]


def _messages_of(turn: Turn) -> Iterator[ThreadMessage]:
    said = partial(ThreadMessage, turn_id=turn.id, assistant=turn.assistant)
    text, attached = turn.said, [file.name for file in turn.message.files] if turn.said == turn.message.text else []
    if text or attached:
        at, handed_over = _utc(turn.received_at), turn.is_held
        yield said(role="user", text=text, at=at, attached=attached, handed_over=handed_over)
    if turn.reply or turn.reply_files:
        stopped, files = turn.state is TurnState.CANCELLED, files_of(turn)
        at, by_person = _utc(turn.answered_at), turn.is_pushed_text and turn.message.is_from_staff
        yield said(role="assistant", text=turn.reply, at=at, stopped=stopped, files=files, by_person=by_person)


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# ---------------------------------------------------------------- a running turn


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
    yield _event("turn", _begun(turn))
    try:
        async for event in _events_until_result(turn, updates, ping_seconds):
            yield event
    except GatewayError as exc:
        yield _error_event(problems.from_error(exc, turn_id=turn.id))
    except Exception:
        log.exception("event stream failed", turn=turn.id)
        yield _error_event(problems.error_response(500, GatewayError.code, problems.INTERNAL_MESSAGE, turn_id=turn.id))


async def _events_until_result(turn: Turn, updates: TurnUpdates, ping_seconds: float) -> AsyncIterator[str]:
    sent, last_sent_at, final_events = "", time.monotonic(), iter([_error_event(timeout_response(turn))])
    async for item in updates:
        if isinstance(item, Turn):
            final_events = _final_events(item, sent)
            continue
        if isinstance(item, TextDelta):
            sent += item.text
            yield _event("delta", {"text": item.text})
        elif isinstance(item, ToolCall):
            if item.done:
                continue
            yield _event("tool", {"name": item.name})
        elif isinstance(item, Approval):
            yield _event("approval", approval_view(item).model_dump(mode="json"))
        elif time.monotonic() - last_sent_at < ping_seconds:
            continue
        else:
            yield PING
        last_sent_at = time.monotonic()
    for event in final_events:
        yield event


def _final_events(turn: Turn, sent_text: str) -> Iterator[str]:
    if turn.is_held:
        yield _event("handed_over", {"thread_id": turn.message.key.channel, "turn_id": turn.id})
        return
    body, status, headers = result_response(turn)
    if "error" in body:
        yield _error_event((body, status, headers))
        return
    if turn.reply.startswith(sent_text) and turn.reply != sent_text:
        yield _event("delta", {"text": turn.reply[len(sent_text) :]})  # so that all deltas together are the reply
    yield _event("done", body)


def _error_event(response: JsonResponse) -> str:
    body, status, headers = response
    retry_after = {"retry_after": int(headers["Retry-After"])} if "Retry-After" in headers else {}
    return _event("error", {**body, "status": status, **retry_after})


def _event(name: str, data: Mapping[str, Any]) -> str:
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if UNSAFE_CHARACTERS.search(line):
        line = json.dumps(data, separators=(",", ":"))
    return f"event: {name}\ndata: {line}\n\n"
