"""POST /chat and what belongs to it: replies, threads, turns, whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from adapters.http import HttpAdapter, HttpSettings
from gateway.domain.errors import (
    AssistantRateLimited,
    AssistantRefused,
    AssistantTimedOut,
    AssistantUnavailable,
    SettingsError,
    StoreUnavailable,
)
from gateway.domain.exchange import Exchange
from gateway.domain.models import ConversationKey, Message, ThreadId, Turn, TurnId
from gateway.domain.platform_events import Feedback
from gateway.domain.run_events import TextDelta
from gateway.domain.sentences import sentence
from gateway.ports.platform import Adapter, Request
from gateway.web.api import waiting
from tests.adapters.chat import KEYS, Answer, Chat, error, in_thread, settings
from tests.contracts.adapter import TEXT, AdapterContract
from tests.fakes.inbox import InboxStep, echo
from tests.fakes.token_buckets import FakeTokenBuckets
from tests.fakes.uploads import FakeUploads
from tests.waiting import until


@pytest.fixture(autouse=True)
def no_safety_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is forgotten waits for ever, and the test fails."""
    monkeypatch.setattr(waiting, "LOCAL_POLL_SECONDS", 1e6)


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat(keys=KEYS, chat_adopts_threads=True)
    yield chat
    chat.close()


class TestHttp(AdapterContract):
    @pytest.fixture
    def adapter(self) -> Adapter:
        return HttpAdapter(
            settings(keys=KEYS), FakeTokenBuckets(), FakeUploads(), max_message_chars=1000, max_waiting=100
        )

    def said(self, text: str, mark: str) -> Request:
        request = self.genuine(json.dumps({"message": text, "user": "ann"}).encode())
        return Request({**request.headers, "idempotency-key": mark}, request.body)

    def genuine(self, body: bytes) -> Request:
        return Request({"authorization": "Bearer key-two", "content-type": "application/json"}, body)

    def forged(self) -> Sequence[Request]:
        body = json.dumps({"message": TEXT}).encode()
        wrong = (
            "",
            "Bearer",
            "Bearer key-on",
            "Bearer key-one2",
            "Basic key-one",
            "key-one",
            "Bearer key-one, key-two",
        )
        return [Request({"content-type": "application/json"}, body)] + [
            Request({"authorization": proof, "content-type": "application/json"}, body) for proof in wrong
        ]


def test_a_reply_comes_with_its_thread_and_its_turn(chat: Chat) -> None:
    reply = chat.say("hello")
    assert set(reply) == {"response", "thread_id", "turn_id", "assistant", "files"}
    assert reply["response"] == "You said: hello"
    assert re.fullmatch(r"thr_[0-9a-f]{24}", reply["thread_id"])


def test_a_thread_goes_on_with_its_id_and_a_message_without_one_opens_another(chat: Chat) -> None:
    first = chat.say("one")
    second = chat.say("two", first["thread_id"])
    other = chat.say("three")
    assert second["thread_id"] == first["thread_id"] != other["thread_id"]
    assert second["turn_id"] != first["turn_id"]


def test_a_thread_can_be_continued_by_its_name_at_the_backend_and_keeps_its_own(chat: Chat) -> None:
    reply = chat.say("one")
    view = chat.call("GET", f"/chat/threads/{reply['thread_id']}").json
    assert view["backend"] == "fake"
    again = chat.say("two", view["assistant_thread_id"])
    assert again["thread_id"] == reply["thread_id"]


def test_a_thread_that_only_the_backend_knows_is_adopted_with_its_past(chat: Chat) -> None:
    chat.inbox.at_backend[ThreadId("conv_old")] = (Exchange("before", "long ago"),)
    assert chat.say("now", "conv_old")["thread_id"] == "conv_old"
    view = chat.call("GET", "/chat/threads/conv_old").json
    assert [(line["role"], line["text"]) for line in view["messages"]] == [
        ("user", "before"),
        ("assistant", "long ago"),
        ("user", "now"),
        ("assistant", "You said: now"),
    ]


def test_an_unknown_thread_is_not_found_and_nothing_is_opened(chat: Chat) -> None:
    for thread in ("thr_nowhere", "conv_x", "../etc", "Ünknown", " "):
        assert error(chat.post({"message": "hi", "thread_id": thread})) == (404, "thread_not_found")
    assert error(chat.call("GET", "/chat/threads/thr_nowhere")) == (404, "thread_not_found")
    assert error(chat.call("DELETE", "/chat/threads/thr_nowhere")) == (404, "thread_not_found")


def test_nobody_reads_continues_forgets_or_cancels_what_another_key_opened(chat: Chat) -> None:
    reply = chat.say("secret", key="key-one")
    thread, turn = reply["thread_id"], reply["turn_id"]
    at_backend = chat.call("GET", f"/chat/threads/{thread}").json["assistant_thread_id"]
    for name in (thread, at_backend):
        assert error(chat.post({"message": "hi", "thread_id": name}, key="key-two")) == (404, "thread_not_found")
        assert error(chat.call("GET", f"/chat/threads/{name}", key="key-two")) == (404, "thread_not_found")
        assert error(chat.call("DELETE", f"/chat/threads/{name}", key="key-two")) == (404, "thread_not_found")
    assert error(chat.call("GET", f"/chat/turns/{turn}", key="key-two")) == (404, "turn_not_found")
    assert error(chat.call("POST", f"/chat/turns/{turn}/cancel", key="key-two")) == (404, "turn_not_found")
    assert chat.say("still here", thread, key="key-one")["thread_id"] == thread


def test_a_turn_of_another_platform_is_not_found(chat: Chat) -> None:
    message = Message(ConversationKey("elsewhere", channel="room"), "m1", "hi")
    turn = chat.inbox.accept(message).turn
    assert error(chat.call("GET", f"/chat/turns/{turn.id}")) == (404, "turn_not_found")
    assert error(chat.call("GET", "/chat/threads/room")) == (404, "thread_not_found")


@pytest.mark.parametrize("name", ["x" * 65, "turn%00", "%ff", "turn_nope", "a b"])
def test_a_turn_that_cannot_be_is_not_found(chat: Chat, name: str) -> None:
    assert error(chat.call("GET", f"/chat/turns/{name}")) == (404, "turn_not_found")


@pytest.mark.parametrize("path", ["/chat/turns/t", "/chat/threads/t"])
def test_without_a_key_nothing_is_told(chat: Chat, path: str) -> None:
    response = chat.client().get(path)
    assert error(response) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert error(chat.client().post("/chat", json={"message": "hi"})) == (401, "unauthorized")


def test_without_keys_configured_everybody_may_talk() -> None:
    chat = Chat()
    reply = chat.say("hello")
    assert chat.call("GET", f"/chat/threads/{reply['thread_id']}", key="whatever").status_code == 200
    chat.close()


def test_a_turn_can_be_looked_up(chat: Chat) -> None:
    reply = chat.say("hello")
    view = chat.call("GET", f"/chat/turns/{reply['turn_id']}").json
    times = [view.pop(name) for name in ("received_at", "started_at", "answered_at")]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", at) for at in times)
    assert view.pop("state") in {"answered", "delivered"}
    del view["delivered_at"]
    assert view == {
        "turn_id": reply["turn_id"],
        "assistant": "default",
        "thread_id": reply["thread_id"],
        "message": "hello",
        "response": "You said: hello",
        "files": [],
        "error": None,
        "tokens": {"in": 3, "out": 4},
        "waits_for": None,
        "approvals": [],
        "handed_over": False,
    }


def test_a_thread_reads_oldest_first(chat: Chat) -> None:
    thread = chat.say("one")["thread_id"]
    chat.say("two", thread)
    view = chat.call("GET", f"/chat/threads/{thread}").json
    assert [line["text"] for line in view["messages"]] == ["one", "You said: one", "two", "You said: two"]
    assert [line["role"] for line in view["messages"]] == ["user", "assistant"] * 2
    assert all(line["at"].endswith("Z") and line["turn_id"] for line in view["messages"])


def test_a_forgotten_thread_is_gone_here_and_at_the_backend(chat: Chat) -> None:
    reply = chat.say("one")
    path = f"/chat/threads/{reply['thread_id']}"
    at_backend = chat.call("GET", path).json["assistant_thread_id"]
    response = chat.call("DELETE", path)
    assert (response.status_code, response.data) == (204, b"")
    assert chat.inbox.forgotten == [at_backend]
    assert error(chat.call("GET", path)) == (404, "thread_not_found")
    assert error(chat.call("GET", f"/chat/turns/{reply['turn_id']}")) == (404, "turn_not_found")


# ---------------------------------------------------------------- waiting


def test_who_does_not_want_to_wait_is_told_where_the_turn_is(chat: Chat) -> None:
    gate = chat.hold()
    response = chat.post({"message": "hi"}, Prefer="wait=5, respond-async")
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    assert response.headers["Location"] == f"/chat/turns/{response.json['turn_id']}"
    assert response.json["state"] == "running"
    gate.wait_until_reached()
    running = chat.call("GET", response.headers["Location"]).json
    assert (running["state"], running["response"], running["answered_at"]) == ("running", None, None)
    gate.open()


def test_who_waited_long_enough_can_fetch_the_turn_later_or_ask_again() -> None:
    chat = Chat(chat_wait_seconds=0.05)
    gate = chat.hold()
    response = chat.post({"message": "hi"}, Idempotency_Key="k")
    assert error(response) == (504, "timed_out")
    turn = response.json["error"]["turn_id"]
    assert chat.call("GET", f"/chat/turns/{turn}").json["state"] == "running"
    assert chat.adapter.waiters.count == 0
    gate.open()
    until(lambda: "response" in chat.call("GET", f"/chat/turns/{turn}").json)
    again = chat.say("hi", Idempotency_Key="k")
    assert (again["turn_id"], again["response"]) == (turn, "at last")
    assert chat.call("GET", f"/chat/turns/{turn}").json["response"] == "at last"
    chat.close()


def test_a_turn_that_another_process_works_on_is_found_in_the_table(chat: Chat) -> None:
    chat.inbox.claimed_here = False
    assert chat.say("hello")["response"] == "You said: hello"


def test_a_database_that_is_away_for_a_moment_costs_a_waiting_caller_nothing(chat: Chat) -> None:
    gate = chat.hold()
    chat.inbox.claimed_here = False
    replies = []
    waiting = in_thread(lambda: replies.append(chat.say("hi")))
    gate.wait_until_reached()
    chat.inbox.fault = StoreUnavailable()
    gate.open()
    until(lambda: chat.inbox.raised)
    chat.inbox.fault = None
    waiting.join(20)
    assert replies[0]["response"] == "at last"


def test_a_queued_or_running_turn_can_be_cancelled_and_its_caller_hears_of_it(chat: Chat) -> None:
    gate = chat.hold()
    answers = []
    thread = chat.post({"message": "first"}, Prefer="respond-async").json["thread_id"]
    gate.wait_until_reached()
    second = chat.post({"message": "second", "thread_id": thread}, Prefer="respond-async", Idempotency_Key="k").json
    same = {"message": "second", "thread_id": thread}
    waiting = in_thread(lambda: answers.append(chat.post(same, Idempotency_Key="k")))
    until(lambda: chat.adapter.waiters.count)
    response = chat.call("POST", f"/chat/turns/{second['turn_id']}/cancel")
    assert (response.status_code, response.json["state"]) == (200, "cancelled")
    assert response.json["error"]["code"] == "cancelled"
    waiting.join(20)
    assert error(answers[0]) == (409, "cancelled")
    assert chat.call("POST", f"/chat/turns/{second['turn_id']}/cancel").status_code == 200
    gate.open()


def test_a_finished_turn_cannot_be_cancelled(chat: Chat) -> None:
    turn = chat.say("hi")["turn_id"]
    assert error(chat.call("POST", f"/chat/turns/{turn}/cancel")) == (409, "turn_finished")


# ---------------------------------------------------------------- failures

FAILURES = [
    (AssistantRateLimited("429 at the backend: org-secret", retry_after=7.2), 429, "rate_limited", "8"),
    (AssistantRateLimited(), 429, "rate_limited", "60"),
    (AssistantTimedOut(), 504, "timed_out", None),
    (AssistantUnavailable("connect to 10.0.0.7 refused"), 502, "assistant_failed", None),
    (AssistantRefused(user_message=sentence("The reply was filtered.")), 502, "refused", None),
]


@pytest.mark.parametrize(("failure", "status", "code", "retry_after"), FAILURES)
def test_a_failed_turn_has_a_status_and_a_sentence_and_nothing_internal(
    chat: Chat, failure: AssistantRateLimited, status: int, code: str, retry_after: str | None
) -> None:
    chat.inbox.script = lambda _: (TextDelta("half an ans"), failure)
    response = chat.post({"message": "hi"})
    assert error(response) == (status, code)
    assert response.json["error"]["message"] == failure.user_message
    assert response.headers.get("Retry-After") == retry_after
    view = chat.call("GET", f"/chat/turns/{response.json['error']['turn_id']}").json
    assert (view["state"], view["response"]) == ("failed", None)
    assert view["error"] == {"code": code, "message": failure.user_message, "turn_id": None}


# ---------------------------------------------------------------- idempotency


def test_the_same_key_again_is_the_same_turn_however_often_and_at_once(chat: Chat) -> None:
    seen: list[str] = []

    def once(turn: Turn) -> Sequence[InboxStep]:
        seen.append(turn.message.text)
        return echo(turn)

    chat.inbox.script = once
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: chat.say("hello", Idempotency_Key="k1"), range(8)))
    assert len({json.dumps(reply) for reply in replies}) == 1
    assert seen == ["hello"]
    assert chat.say("hello", Idempotency_Key="k1") == replies[0]
    later = chat.post({"message": "hello"}, Idempotency_Key="k1", Prefer="respond-async")
    assert later.json["turn_id"] == replies[0]["turn_id"]


def test_the_same_key_with_another_body_is_a_conflict_and_no_turn(chat: Chat) -> None:
    thread = chat.say("hello", Idempotency_Key="k1")["thread_id"]
    others = ({"message": "other"}, {"message": "hello", "user": "bob"}, {"message": "hello", "thread_id": thread})
    for other in others:
        assert error(chat.post(other, Idempotency_Key="k1")) == (409, "idempotency_conflict")
    assert len(chat.call("GET", f"/chat/threads/{thread}").json["messages"]) == 2
    assert chat.say("hello", Idempotency_Key="k1")["thread_id"] == thread


def test_the_same_key_of_another_caller_is_another_turn(chat: Chat) -> None:
    first, second = (chat.say("hello", key=key, Idempotency_Key="k1") for key in ("key-one", "key-two"))
    assert first["turn_id"] != second["turn_id"]


def test_a_repetition_with_a_thread_of_the_backends_name_is_known_too(chat: Chat) -> None:
    chat.inbox.at_backend[ThreadId("conv_old")] = ()
    first, again = (chat.say("hello", "conv_old", Idempotency_Key="k1") for _ in "ab")
    assert first == again


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\there"])
def test_an_idempotency_key_must_be_short_and_printable(chat: Chat, key: str) -> None:
    response = chat.post({"message": "hi"}, Idempotency_Key=key)
    assert error(response) == (400, "invalid_field")
    assert "Idempotency-Key" in response.json["error"]["message"]


# ---------------------------------------------------------------- settings


def test_a_list_of_keys_without_a_key_in_it_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", " , ,")
    with pytest.raises(SettingsError, match="GATEWAY_API_KEYS"):
        HttpSettings.load()


def test_every_single_key_counts_as_a_secret() -> None:
    assert {"key-one", "key-two"} <= set(settings(keys=KEYS).secrets())


@pytest.mark.parametrize("origins", ["example.com", "https://*.example.com", "https://a.example/path", ","])
def test_an_origin_that_no_browser_would_send_is_refused(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        HttpSettings.load()


async def test_check_tells_whether_the_door_is_open() -> None:
    for keys, detail in ((None, "open to everybody"), (KEYS, "2 API keys")):
        adapter = HttpAdapter(
            settings(keys=keys), FakeTokenBuckets(), FakeUploads(), max_message_chars=1, max_waiting=1
        )
        (check,) = await adapter.check()
        assert check.ok
        assert detail in check.detail


def test_who_waits_in_a_thread_that_is_forgotten_hears_of_it(chat: Chat) -> None:
    gate = chat.hold()
    thread = chat.post({"message": "first"}, Prefer="respond-async").json["thread_id"]
    gate.wait_until_reached()
    answers: list[Answer] = []
    waiting = in_thread(lambda: answers.append(chat.post({"message": "second", "thread_id": thread})))
    until(lambda: len(chat.call("GET", f"/chat/threads/{thread}").json["messages"]) == 2)
    assert chat.call("DELETE", f"/chat/threads/{thread}").status_code == 204
    waiting.join(20)
    assert error(answers[0]) == (409, "cancelled")
    gate.open()


# ---------------------------------------------------------------- ratings


def test_a_reply_can_be_rated_by_its_author(chat: Chat) -> None:
    def rate(turn: str, value: str) -> Answer:
        path, headers = f"/chat/turns/{turn}/feedback", {"Authorization": f"Bearer {chat.key}"}
        return cast("Answer", chat.client().post(path, json={"value": value}, headers=headers))

    for user, value in (("Ann", "good"), (None, "bad")):
        turn = chat.post({"message": "hi", "user": user}).json["turn_id"]
        assert rate(turn, value).status_code == 204
        assert chat.inbox.feedback[-1] == Feedback(TurnId(turn), user or "caller", value)
    assert error(rate(turn, "middling")) == (400, "invalid_field")
    assert error(rate("turn_x", "good")) == (404, "turn_not_found")
    assert len(chat.inbox.feedback) == 2
