"""A reply that is watched while it is written: server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from gateway.domain.errors import AssistantRateLimited, AssistantUnavailable, StoreUnavailable
from gateway.domain.models import Turn, TurnId
from gateway.domain.run_events import RunCompleted, TextDelta, ToolCall
from gateway.web.api import waiting
from tests.adapters.chat import KEYS, Chat, Event, chunks, error, in_thread, parse
from tests.fakes.inbox import InboxStep
from tests.waiting import until


@pytest.fixture(autouse=True)
def no_safety_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is forgotten waits for ever, and the test fails."""
    monkeypatch.setattr(waiting, "LOCAL_POLL_SECONDS", 1e6)


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.close()


def watch(chat: Chat, *steps: InboxStep, **headers: str) -> list[Event]:
    if steps:
        chat.inbox.script = lambda _: steps
    with chat.post({"message": "hi", "stream": True}, **headers) as response:
        assert response.status_code == 200
        return parse(response.text)


def said(events: Sequence[Event]) -> str:
    return "".join(data["text"] for name, data in events if name == "delta")


def test_a_stream_tells_the_turn_then_its_words_and_at_last_the_reply(chat: Chat) -> None:
    events = watch(chat, TextDelta("Hel"), TextDelta("lo\n\n世界\r\u2028"), RunCompleted("Hello\n\n世界\r\u2028"))
    names = [name for name, _ in events]
    assert (names[0], names[-1], names.count("done")) == ("turn", "done", 1)
    assert set(names[1:-1]) == {"delta"}
    assert said(events) == "Hello\n\n世界\r\u2028"
    done = events[-1][1]
    assert set(done) == {"response", "thread_id", "turn_id", "assistant", "files"}
    assert done["response"] == "Hello\n\n世界\r\u2028"
    assert events[0][1] == {name: done[name] for name in ("thread_id", "turn_id", "assistant")}


def test_its_headers_keep_everything_on_the_way_from_holding_it_back(chat: Chat) -> None:
    response = chat.post({"message": "hi", "stream": True})
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    response.close()


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream, */*;q=0.1", True),
        ("application/json;q=0.5, text/event-stream", True),
        ("application/json, text/event-stream", False),
        ("application/json", False),
        ("*/*", False),
        ("text/event-stream;q=0", False),
    ],
)
def test_a_stream_can_be_asked_for_by_accept(chat: Chat, accept: str, *, streams: bool) -> None:
    response = chat.post({"message": "hi"}, Accept=accept)
    assert response.content_type.startswith("text/event-stream") is streams
    assert "You said: hi" in response.text


def test_the_first_words_leave_at_once_and_the_rest_when_they_come(chat: Chat) -> None:
    gate = chat.hold()
    stream = chunks(chat.post({"message": "hi", "stream": True}))
    assert parse(next(stream))[0][0] == "turn"
    assert parse(next(stream)) == [("delta", {"text": "at "})]
    gate.open()
    assert [name for chunk in stream for name, _ in parse(chunk)] == ["delta", "done"]


def test_a_silent_stream_is_kept_open_by_comment_lines(chat: Chat) -> None:
    gate = chat.hold()
    stream = chunks(chat.post({"message": "hi", "stream": True}))
    for expected in ("event: turn", "event: delta", ": ping\n\n", ": ping\n\n"):
        assert next(stream).startswith(expected)
    gate.open()
    assert [name for chunk in stream for name, _ in parse(chunk)][-1] == "done"


def test_a_tool_is_told_once(chat: Chat) -> None:
    events = watch(
        chat,
        TextDelta("Let me see. "),
        ToolCall("c1", "calculate", "1+1"),
        ToolCall("c1", "calculate", "1+1", "2", done=True),
        TextDelta("Two."),
        RunCompleted("Let me see. Two."),
    )
    assert [e for e in events if e[0] == "tool"] == [("tool", {"name": "calculate"})]
    assert [name for name, _ in events] == ["turn", "delta", "tool", "delta", "done"]


def test_the_words_join_to_the_reply_even_when_some_were_never_shown(chat: Chat) -> None:
    for steps in (
        (RunCompleted("Hello"),),
        (TextDelta("Hel"), RunCompleted("Hello")),
        (TextDelta("Hello"), RunCompleted("Hello")),
    ):
        events = watch(chat, *steps)
        assert said(events) == "Hello" == events[-1][1]["response"]


def test_done_tells_the_truth_when_the_words_were_other_ones(chat: Chat) -> None:
    events = watch(chat, TextDelta("Howdy"), RunCompleted("Hello"))
    assert said(events) == "Howdy"
    assert events[-1][1]["response"] == "Hello"


def test_a_failure_ends_the_stream_with_the_error_and_the_status_it_would_have_had(chat: Chat) -> None:
    waits = {"retry_after": 60}
    for failure, status, code in (
        (AssistantUnavailable(), 502, "assistant_failed"),
        (AssistantRateLimited(), 429, "rate_limited"),
    ):
        events = watch(chat, TextDelta("half an ans"), failure)
        assert [name for name, _ in events] == ["turn", "delta", "error"]
        turn = events[0][1]["turn_id"]
        expected = {"code": code, "message": failure.user_message, "turn_id": turn}
        assert events[-1][1] == {"error": expected, "status": status} | (waits if status == 429 else {})


def test_what_is_wrong_before_the_stream_begins_is_an_ordinary_error(chat: Chat) -> None:
    assert error(chat.post({"message": "", "stream": True})) == (400, "empty_message")
    assert error(chat.post({"message": "hi", "stream": True, "thread_id": "thr_no"})) == (404, "thread_not_found")
    assert chat.adapter.waiters.count == 0


def test_silence_ends_a_stream_after_a_while_but_the_turn_goes_on() -> None:
    chat = Chat(chat_wait_seconds=0.1)
    gate = chat.hold()
    events = watch(chat)
    assert events[-1][0] == "error"
    assert (events[-1][1]["status"], events[-1][1]["error"]["code"]) == (504, "timed_out")
    gate.open()
    turn = events[0][1]["turn_id"]
    until(lambda: chat.call("GET", f"/chat/turns/{turn}").json["response"] == "at last")
    chat.close()


def test_a_fault_of_ours_ends_the_stream_with_an_error_that_tells_nothing(chat: Chat) -> None:
    gate = chat.hold()
    chat.inbox.claimed_here = False

    def broken(turn_id: TurnId) -> Turn:
        raise RuntimeError("secret detail")

    chat.inbox.get_turn = broken  # type: ignore[method-assign]  # the fault
    events = watch(chat)
    assert [name for name, _ in events] == ["turn", "error"]
    assert (events[-1][1]["status"], events[-1][1]["error"]["code"]) == (500, "internal")
    assert "secret" not in json.dumps(events)
    gate.open()


def test_a_thread_that_is_forgotten_while_it_is_watched_ends_the_stream(chat: Chat) -> None:
    gate = chat.hold()
    stream = chunks(chat.post({"message": "hi", "stream": True}))
    thread = parse(next(stream))[0][1]["thread_id"]
    gate.wait_until_reached()
    assert chat.call("DELETE", f"/chat/threads/{thread}").status_code == 204
    name, data = [event for chunk in stream for event in parse(chunk)][-1]
    assert (name, data["status"], data["error"]["code"]) == ("error", 409, "cancelled")


def test_a_watcher_who_leaves_frees_his_place_and_the_turn_goes_on(chat: Chat) -> None:
    gate = chat.hold()
    response = chat.post({"message": "hi", "stream": True})
    stream = chunks(response)
    turn = parse(next(stream))[0][1]["turn_id"]
    next(stream)
    assert chat.adapter.waiters.count == 1
    response.close()
    assert chat.adapter.waiters.count == 0
    gate.open()
    until(lambda: chat.call("GET", f"/chat/turns/{turn}").json["response"] == "at last")


def test_one_who_leaves_before_the_first_event_frees_his_place_too(chat: Chat) -> None:
    gate = chat.hold()
    response = chat.client().post("/chat", json={"message": "hi", "stream": True})
    response.close()
    assert chat.adapter.waiters.count == 0
    gate.open()


def test_a_repetition_of_a_running_turn_watches_it_too_and_one_of_a_finished_turn_has_it_all(chat: Chat) -> None:
    gate = chat.hold()
    first: list[Event] = []
    watching = in_thread(lambda: first.extend(watch(chat, Idempotency_Key="k")))
    gate.wait_until_reached()
    with chat.post({"message": "hi", "stream": True}, Idempotency_Key="k") as late:
        stream = chunks(late)
        turn = parse(next(stream))[0][1]["turn_id"]
        gate.open()
        second = [event for chunk in stream for event in parse(chunk)]
    watching.join(20)
    third = watch(chat, Idempotency_Key="k")
    assert {first[0][1]["turn_id"], turn, third[0][1]["turn_id"]} == {turn}
    assert first[-1] == second[-1] == third[-1]
    assert said(first) == said(third) == "at last"
    assert chat.adapter.waiters.count == 0


def test_a_turn_that_another_process_works_on_is_watched_as_far_as_that_goes(chat: Chat) -> None:
    chat.inbox.claimed_here = False
    events = watch(chat)
    assert [name for name, _ in events] == ["turn", "delta", "done"]
    assert said(events) == "You said: hi"


def test_words_that_come_fast_leave_in_bundles(chat: Chat) -> None:
    words = [TextDelta(f"{n} ") for n in range(500)]
    events = watch(chat, *words, RunCompleted("".join(word.text for word in words)))
    assert said(events) == events[-1][1]["response"]
    assert len(events) < 100


def test_a_database_that_is_away_does_not_end_a_stream(chat: Chat) -> None:
    gate = chat.hold()
    chat.inbox.claimed_here = False
    stream = chunks(chat.post({"message": "hi", "stream": True}))
    assert parse(next(stream))[0][0] == "turn"
    chat.inbox.fault = StoreUnavailable()
    gate.open()
    rest: list[Event] = []
    watching = in_thread(lambda: rest.extend(event for chunk in stream for event in parse(chunk)))
    until(lambda: chat.inbox.raised)
    chat.inbox.fault = None
    watching.join(20)
    assert rest[-1][1]["response"] == "at last"


# ---------------------------------------------------------------- a turn that runs already


def test_who_watches_a_turn_takes_a_place_of_its_share() -> None:
    chat = Chat(keys=KEYS, max_waiting=3, caller_share=0.4)
    gate = chat.hold()
    turn = chat.post({"message": "hi"}, Prefer="respond-async").json["turn_id"]
    watching = resume(chat, turn)
    next(watching)
    refused = chat.call("GET", f"/chat/turns/{turn}", Accept="text/event-stream")
    assert error(refused) == (429, "caller_waiting_full")
    gate.open()
    assert any("done" in chunk for chunk in watching)
    chat.close()


def resume(chat: Chat, turn: str) -> Iterator[str]:
    return chunks(chat.call("GET", f"/chat/turns/{turn}", Accept="text/event-stream"))


def test_a_stream_that_broke_goes_on_with_the_text_so_far(chat: Chat) -> None:
    gate = chat.hold()
    response = chat.post({"message": "hi", "stream": True})
    first = chunks(response)
    turn = parse(next(first))[0][1]["turn_id"]
    next(first)
    response.close()
    again = resume(chat, turn)
    ((name, about),) = parse(next(again))
    assert (name, about["turn_id"]) == ("turn", turn)
    assert parse(next(again)) == [("delta", {"text": "at "})]
    gate.open()
    rest = [event for chunk in again for event in parse(chunk)]
    assert [name for name, _ in rest] == ["delta", "done"]
    assert said(rest) == "last"
    assert chat.adapter.waiters.count == 0


def test_a_finished_turn_is_streamed_whole(chat: Chat) -> None:
    turn = chat.post({"message": "hi"}).json["turn_id"]
    events = [event for chunk in resume(chat, turn) for event in parse(chunk)]
    assert [name for name, _ in events] == ["turn", "delta", "done"]
    assert said(events) == "You said: hi"
