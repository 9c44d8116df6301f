"""Builds the JSON of turns and threads, and the server-sent events of a turn that is running."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway import logs
from gateway.domain.errors import DeliveryError, GatewayError
from gateway.domain.models import Conversation, Failure, Shown, TextDelta, ToolCall, Turn, TurnState
from gateway.web.api import problems
from gateway.web.api.problems import Answer, Problem

STREAM = "text/event-stream"
PING = ": ping\n\n"
UNSAFE = re.compile(r"[\x85\u2028\u2029\ud800-\udfff]")
"""Characters that some clients treat as line ends, and lone surrogates: JSON escapes them."""
CANCELLED = Failure("cancelled", "This turn was cancelled.")
FAILED = Failure("assistant_failed", "The assistant could not answer this.")

News = Iterable[Shown | Turn | None]
"""The preview events of a turn, then the resolved turn. Yields None while idle; may end without a resolved turn."""

log = logs.get(__name__)


class TurnReply(BaseModel):
    response: str = Field(description="The whole text of the assistant's reply.")
    thread_id: str = Field(description="Send it with the next message to continue the thread.")
    turn_id: str


class TurnAccepted(BaseModel):
    turn_id: str
    thread_id: str
    state: TurnState


class TurnView(BaseModel):
    """A turn. Times are ISO 8601 in UTC, or null if that has not happened yet."""

    turn_id: str
    thread_id: str
    state: TurnState
    message: str
    response: str | None
    error: Problem | None
    received_at: datetime
    started_at: datetime | None
    answered_at: datetime | None
    delivered_at: datetime | None
    tokens: dict[Literal["in", "out"], int]


class Line(BaseModel):
    role: Literal["user", "assistant"]
    text: str
    turn_id: str
    at: datetime | None


class ThreadView(BaseModel):
    thread_id: str
    backend: str = Field(description="The backend that has the thread; empty until its first turn starts.")
    assistant_thread_id: str | None = Field(description="The thread's id at that backend.")
    messages: list[Line] = Field(description="Oldest first.")


def outcome(turn: Turn) -> Answer:
    """Returns the response to a caller whose turn is resolved."""
    failure = failure_of(turn)
    if failure is not None:
        return problems.of_failure(failure, turn=turn.id)
    reply = TurnReply(response=turn.reply, thread_id=turn.message.key.channel, turn_id=turn.id)
    return reply.model_dump(), 200, {}


def not_yet(turn: Turn) -> Answer:
    """Returns the 504 response to a caller whose turn did not finish in time."""
    message = "No answer yet. The turn is still running: fetch it later by its turn_id."
    return problems.problem(504, "timed_out", message, turn=turn.id)


def failure_of(turn: Turn) -> Failure | None:
    """Returns why a turn has no reply, or None. A turn with a reply has not failed, even if delivery did."""
    if turn.state is TurnState.CANCELLED:
        return CANCELLED
    if turn.state is not TurnState.FAILED or (turn.failure and turn.failure.code == DeliveryError.code):
        return None
    return turn.failure or FAILED


def accepted(turn: Turn) -> dict[str, Any]:
    return TurnAccepted(turn_id=turn.id, thread_id=turn.message.key.channel, state=turn.state).model_dump()


def turn(turn: Turn) -> dict[str, Any]:
    failure = failure_of(turn)
    error = problems.of_failure(failure)[0]["error"] if failure else None
    return TurnView(
        turn_id=turn.id,
        thread_id=turn.message.key.channel,
        state=turn.state,
        message=turn.message.text,
        response=turn.reply if turn.state.decided and failure is None else None,
        error=Problem(**error) if error else None,
        received_at=datetime.fromtimestamp(turn.received_at, UTC),
        started_at=_at(turn.started_at),
        answered_at=_at(turn.answered_at),
        delivered_at=_at(turn.delivered_at),
        tokens={"in": turn.usage.tokens_in, "out": turn.usage.tokens_out},
    ).model_dump(mode="json")


def thread(conversation: Conversation, turns: Sequence[Turn]) -> dict[str, Any]:
    return ThreadView(
        thread_id=conversation.key.channel,
        backend=conversation.backend,
        assistant_thread_id=conversation.thread,
        messages=[line for turn in turns for line in _lines(turn)],
    ).model_dump(mode="json")


def _lines(turn: Turn) -> Iterator[Line]:
    if turn.message.text:
        yield Line(role="user", text=turn.message.text, turn_id=turn.id, at=_at(turn.received_at))
    if turn.reply:
        yield Line(role="assistant", text=turn.reply, turn_id=turn.id, at=_at(turn.answered_at))


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# ---------------------------------------------------------------- a running turn


def awaited(turn: Turn, news: News, gone: Callable[[], bool]) -> Answer:
    """Waits for the turn to be resolved and returns the response. Stops early when the caller has disconnected."""
    for item in news:
        if isinstance(item, Turn):
            return outcome(item)
        if item is None and gone():
            break
    return not_yet(turn)


def events(turn: Turn, news: News, gone: Callable[[], bool], *, ping_seconds: float) -> Iterator[str]:
    """Yields server-sent events: ``turn``, then ``delta`` and ``tool``, and finally one ``done`` or ``error``.

    Sends a comment line after ``ping_seconds`` without an event. An exception on the way becomes ``error``.
    """
    yield _event("turn", {"thread_id": turn.message.key.channel, "turn_id": turn.id})
    try:
        yield from _until_outcome(turn, news, gone, ping_seconds)
    except GatewayError as exc:
        yield _error(problems.of_error(exc, turn=turn.id))
    except Exception:
        log.exception("event stream failed", turn=turn.id)
        yield _error(problems.problem(500, GatewayError.code, problems.INTERNAL, turn=turn.id))


def _until_outcome(turn: Turn, news: News, gone: Callable[[], bool], ping_seconds: float) -> Iterator[str]:
    sent, last_sent_at = "", time.monotonic()
    for item in news:
        if isinstance(item, Turn):
            yield from _ending(item, sent)
            return
        if isinstance(item, TextDelta):
            sent += item.text
            yield _event("delta", {"text": item.text})
        elif isinstance(item, ToolCall):
            if item.done:
                continue
            yield _event("tool", {"name": item.name})
        elif gone():
            return
        elif time.monotonic() - last_sent_at < ping_seconds:
            continue
        else:
            yield PING
        last_sent_at = time.monotonic()
    yield _error(not_yet(turn))


def _ending(turn: Turn, sent: str) -> Iterator[str]:
    body, status, headers = outcome(turn)
    if "error" in body:
        yield _error((body, status, headers))
        return
    if turn.reply.startswith(sent) and turn.reply != sent:
        yield _event("delta", {"text": turn.reply[len(sent) :]})  # so that all deltas together are the reply
    yield _event("done", body)


def _error(answer: Answer) -> str:
    body, status, headers = answer
    retry_after = {"retry_after": int(headers["Retry-After"])} if "Retry-After" in headers else {}
    return _event("error", {**body, "status": status, **retry_after})


def _event(name: str, data: Mapping[str, Any]) -> str:
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if UNSAFE.search(line):
        line = json.dumps(data, separators=(",", ":"))
    return f"event: {name}\ndata: {line}\n\n"


def caller_gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Returns a function that tells whether the caller has closed the connection.

    It needs gunicorn's socket in the WSGI environment; under another server it always returns False.
    """
    connection: socket.socket | None = environ.get("gunicorn.socket")

    def gone() -> bool:
        if connection is None:
            return False
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    return gone
