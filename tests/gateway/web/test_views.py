"""The JSON and the events of turns, in rare cases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.conversations import Conversation
from gateway.domain.models import ConversationKey, Failure, Message, ThreadId, Turn, TurnId, TurnState
from gateway.domain.run_events import TextDelta
from gateway.web.api import views
from gateway.web.api.event_stream import event_stream
from gateway.web.api.turn_events import ChatWriter

TURN = Turn(
    TurnId("turn_1"),
    1,
    1,
    Message(ConversationKey("p", channel="thr_1"), "m", "hi"),
    TurnState.ANSWERED,
    reply="Hello",
    received_at=1_700_000_000.25,
)
UNDELIVERABLE = replace(TURN, state=TurnState.FAILED, failure=Failure("undeliverable", "It could not be delivered."))


@pytest.mark.parametrize("turn", [TURN, replace(TURN, state=TurnState.DELIVERED), UNDELIVERABLE])
def test_a_turn_with_a_reply_succeeds_even_if_delivery_failed(turn: Turn) -> None:
    reply = {"response": "Hello", "thread_id": "thr_1", "turn_id": "turn_1", "assistant": "default", "files": []}
    assert views.result_response(turn) == (reply, 200, {})
    assert views.turn_body(turn)["response"] == "Hello"
    assert views.turn_body(turn)["error"] is None


@pytest.mark.parametrize(
    ("turn", "status", "code"),
    [
        (replace(TURN, state=TurnState.CANCELLED), 409, "cancelled"),
        (replace(TURN, state=TurnState.FAILED, failure=Failure("cancelled", "Cancelled.")), 409, "cancelled"),
        (replace(TURN, state=TurnState.FAILED), 502, "assistant_failed"),
        (replace(TURN, state=TurnState.FAILED, failure=Failure("gave_up", "No.", "pw")), 502, "assistant_failed"),
        (replace(TURN, state=TurnState.FAILED, failure=Failure("rate_limited", "No.")), 429, "rate_limited"),
        (replace(TURN, state=TurnState.FAILED, failure=Failure("blocked", "No.")), 403, "blocked"),
    ],
)
def test_a_turn_without_a_reply_says_why(turn: Turn, status: int, code: str) -> None:
    body, answered, _ = views.result_response(turn)
    assert (answered, body["error"]["code"], body["error"]["turn_id"]) == (status, code, "turn_1")
    view = views.turn_body(turn)
    assert (view["response"], view["error"]["code"]) == (None, code)
    assert "pw" not in json.dumps([body, view])


def test_times_are_utc_and_what_has_not_happened_is_null() -> None:
    view = views.turn_body(replace(TURN, state=TurnState.QUEUED, reply=""))
    assert view["received_at"] == "2023-11-14T22:13:20.250000Z"
    assert [view[name] for name in ("started_at", "answered_at", "delivered_at", "response", "error")] == [None] * 5


def test_a_thread_leaves_out_empty_messages() -> None:
    key = ConversationKey("p", channel="thr_1")
    silent = replace(TURN, message=replace(TURN.message, text=""))
    unanswered = replace(TURN, state=TurnState.FAILED, reply="")
    view = views.thread_body(Conversation(1, key, ThreadId("conv_1"), "responses"), [silent, unanswered], "support")
    assert [(line["role"], line["text"]) for line in view["messages"]] == [("assistant", "Hello"), ("user", "hi")]
    assert (view["thread_id"], view["backend"], view["assistant_thread_id"]) == ("thr_1", "responses", "conv_1")


@pytest.mark.parametrize("text", ["Grüße 👋", "one\u2028two", "a\x85b", "half of a character: \ud83d", "line\nline"])
async def test_an_event_is_one_line_of_utf_8_whatever_the_text(text: str) -> None:
    async def updates() -> AsyncIterator[TextDelta]:
        yield TextDelta(text)

    turn = Turn(TurnId("turn_1"), 1, 1, Message(ConversationKey("web"), "1", "hi"), TurnState.RUNNING)
    _, delta, *_ = [event async for event in event_stream(turn, updates(), ChatWriter(turn), ping_seconds=1.0)]
    name, data, *rest = delta.encode().decode().splitlines()
    assert (name, rest) == ("event: delta", [""])
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
