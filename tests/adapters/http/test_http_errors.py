"""What /chat does not take: each with its own code, in one form, and never an error of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import AssistantMisconfigured, Overloaded, StoreUnavailable
from storage.store import SqlStore
from tests.adapters.chat import Chat, error, in_thread
from tests.contracts.adapter import JSON
from tests.examples import examples
from tests.waiting import until

HALF_A_PAIR = b'{"message": "\\ud83d"}'


@pytest.fixture(scope="module")
def shared() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.close()


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "line 1, column 2"),
        (b"hello", "Expecting value"),
        ("{“message”: “hi”}".encode(), "smart quotes"),
        ('{"message": "hi”}'.encode(), "smart quotes"),
        ("{\u2018message\u2019: \u2018hi\u2019}".encode(), "smart quotes"),
        (b"{'message': 'hi'}", "double quotes"),
        (b'{"message": "hi",}', "comma too many"),
        (b'{"message": "a\nb"}', "\\n"),
        (b'{"message": "hi", "stream": NaN}', "NaN"),
        (b'{"message": "hi", "stream": -Infinity}', "-Infinity"),
        (b'{"message": "hi", "message": "ho"}', "twice"),
        (b'{"message": "hi", "user": {"a": 1, "a": 2}}', "twice"),
        (b'{"message": ' + b"1" * 5000 + b"}", "too long"),
        (b'[{"message": "hi"}]', "object"),
        (b'"hi"', "object"),
        (b"null", "object"),
        (b'{"message": "\xff"}', "UTF-8"),
        ('{"message": "hi"}'.encode("utf-16"), "UTF-8"),
        (HALF_A_PAIR, "surrogate"),
        (b'{"message": "hi", "\\ud83d": 1}', "surrogate"),
    ],
)
def test_what_is_not_json_is_refused_with_what_to_change(shared: Chat, body: bytes, says: str) -> None:
    response = shared.post(body)
    assert error(response) == (400, "invalid_json")
    assert says in response.json["error"]["message"]


@pytest.mark.parametrize(("levels", "code"), [(99, "invalid_field"), (100, "invalid_json"), (3000, "invalid_json")])
def test_what_is_nested_too_deeply_is_refused_as_such(shared: Chat, levels: int, code: str) -> None:
    response = shared.post(b'{"message": ' + b"[" * levels + b"]" * levels + b"}")
    assert error(response) == (400, code)


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({}, "missing_message", "`message` is missing"),
        ({"text": "hi"}, "missing_message", "no field `text`; there are: message, thread_id, user, assistant, stream"),
        ({"message": ""}, "empty_message", "`message` must not be empty"),
        ({"message": " \n\t\u200b\u00a0"}, "empty_message", "`message` must not be empty"),
        ({"message": "x" * 1001}, "message_too_long", "at most 1000 characters"),
        ({"message": 5}, "invalid_field", "`message` must be a string"),
        ({"message": None}, "invalid_field", "`message` must be a string"),
        ({"message": ["hi"]}, "invalid_field", "`message` must be a string"),
        ({"message": "a\0b"}, "invalid_field", "`message` must not hold NUL"),
        ({"message": "hi", "user": "\0"}, "invalid_field", "`user` must not hold NUL"),
        ({"message": "hi", "thread_id": "\0"}, "invalid_field", "`thread_id` must not hold NUL"),
        ({"message": "hi", "thread_id": ""}, "invalid_field", "`thread_id` must not be empty"),
        ({"message": "hi", "thread_id": "x" * 129}, "invalid_field", "`thread_id` must have at most 128 characters"),
        ({"message": "hi", "thread_id": 7}, "invalid_field", "`thread_id` must be a string"),
        ({"message": "hi", "user": "x" * 201}, "invalid_field", "`user` must have at most 200 characters"),
        ({"message": "hi", "stream": "true"}, "invalid_field", "`stream` must be true or false"),
        ({"message": "hi", "stream": 1}, "invalid_field", "`stream` must be true or false"),
        ({"message": "hi", "threadId": "t"}, "invalid_field", "no field `threadId`"),
        ({"message": "hi", "x" * 5000: 1}, "invalid_field", "xxx…`"),
        ({"message": "hi"} | {str(n): n for n in range(500)}, "invalid_field", "`4`;"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_by_its_name(shared: Chat, body: Any, code: str, says: str) -> None:
    response = shared.post(body)
    assert error(response) == (400, code)
    assert says in response.json["error"]["message"]
    assert len(response.json["error"]["message"]) < 500


@pytest.mark.parametrize(
    "body",
    [
        {"message": "x" * 1000},
        {"message": "\U0001f600" * 1000},
        {"message": "“hi”", "thread_id": None, "user": None, "stream": False},
        {"message": "hi", "user": ""},
    ],
)
def test_the_largest_and_the_oddest_that_is_allowed_is_taken(shared: Chat, body: Any) -> None:
    assert shared.post(body).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"; v=1']
)
def test_json_is_taken_however_its_type_is_written(shared: Chat, content_type: str) -> None:
    assert shared.post({"message": "hi"}, Content_Type=content_type).status_code == 200
    assert shared.post(b"\xef\xbb\xbf" + b'{"message": "hi"}', Content_Type=content_type).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonx",
        "/",
    ],
)
def test_another_type_of_body_is_refused_with_the_one_to_send(shared: Chat, content_type: str) -> None:
    response = shared.post({"message": "hi"}, Content_Type=content_type)
    assert error(response) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in response.json["error"]["message"]


def test_a_body_that_is_too_large_is_not_even_read(shared: Chat) -> None:
    assert error(shared.post(b" " * 8_000_000)) == (413, "payload_too_large")


def test_who_shows_no_key_is_refused_before_the_body_is_there() -> None:
    chat = Chat(keys="key-one")
    (head, _) = chat.client().go_away("/chat", b"half", Authorization="Bearer key-two")
    assert head["status"] == 401
    assert chat.client().go_away("/chat", b"half", Authorization="Bearer key-one") == []
    chat.close()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/chat", "POST"),
        ("PUT", "/chat", "POST"),
        ("BREW", "/chat", "POST"),
        ("POST", "/chat/threads/t", "DELETE"),
        ("DELETE", "/chat/turns/t", "GET"),
        ("GET", "/chat/turns/t/cancel", "POST"),
    ],
)
def test_another_method_is_refused_with_those_there_are(shared: Chat, method: str, path: str, allowed: str) -> None:
    response = shared.call(method, path)
    assert error(response) == (405, "method_not_allowed")
    assert allowed in response.headers["Allow"].split(", ")
    assert allowed in response.json["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/", "/chat/", "/chat//turns/t", "/chat/turns", "/chat/threads/a/b", "/.env", "/chat%00"]
)
def test_an_address_that_is_not_there_is_not_found(shared: Chat, path: str) -> None:
    for method in ("GET", "POST"):
        assert error(shared.call(method, path)) == (404, "not_found")


@settings(max_examples=examples(50))
@given(body=st.binary(max_size=300))
def test_no_bytes_whatever_are_an_error_of_ours(shared: Chat, body: bytes) -> None:
    assert 400 <= error(shared.post(body))[0] < 500


@settings(max_examples=examples(60))
@given(
    body=st.fixed_dictionaries(
        {}, optional={"message": JSON | st.text(), "thread_id": JSON | st.text(), "user": JSON | st.text()}
    )
    | st.dictionaries(st.sampled_from(["message", "stream", "user"]) | st.text(), JSON)
    | JSON
)
def test_no_json_whatever_is_an_error_of_ours(shared: Chat, body: Any) -> None:
    response = shared.post(json.dumps(body).encode())
    assert response.status_code == 200 or 400 <= error(response)[0] < 500


@settings(max_examples=examples(40))
@given(
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "Accept", "Prefer", "Idempotency-Key", "Authorization", "Content-Length"]),
        st.text(st.characters(codec="latin-1", exclude_characters="\r\n")),
    )
)
def test_no_headers_whatever_are_an_error_of_ours(shared: Chat, headers: dict[str, str]) -> None:
    response = shared.post({"message": "hi"}, **{name.replace("-", "_"): value for name, value in headers.items()})
    assert response.status_code < 500
    response.close()


# ---------------------------------------------------------------- not now


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        (Overloaded("Too many.", retry_after=2.1), 503, "overloaded", "3"),
        (Overloaded("Too many."), 503, "overloaded", "5"),
        (StoreUnavailable("postgresql://bot:pw@db refused"), 503, "store_unavailable", "5"),
        (AssistantMisconfigured("401 for key sk-123"), 502, "misconfigured", None),
    ],
)
def test_a_core_that_cannot_take_a_message_says_when_to_come_back(
    chat: Chat, fault: Overloaded, status: int, code: str, retry_after: str | None
) -> None:
    chat.inbox.fault = fault
    for response in (chat.post({"message": "hi"}), chat.post({"message": "hi", "stream": True})):
        assert error(response) == (status, code)
        assert response.headers.get("Retry-After") == retry_after
        assert "pw" not in response.text
        assert "sk-123" not in response.text
    assert chat.adapter.waiters.count == 0


def test_a_conversation_with_too_much_to_do_is_overloaded(chat: Chat) -> None:
    gate = chat.hold()
    chat.inbox.max_backlog = 2
    thread = chat.post({"message": "1"}, Prefer="respond-async").json["thread_id"]
    assert chat.post({"message": "2", "thread_id": thread}, Prefer="respond-async").status_code == 202
    assert error(chat.post({"message": "3", "thread_id": thread})) == (503, "overloaded")
    gate.open()


def test_only_so_many_may_wait_and_everybody_else_is_still_served() -> None:
    chat = Chat(max_waiting=2)
    gate = chat.hold()
    waiting = [in_thread(lambda: chat.say("hi")) for _ in range(2)]
    until(lambda: chat.adapter.waiters.count == 2)
    response = chat.post({"message": "hi"})
    assert error(response) == (503, "overloaded")
    assert response.headers["Retry-After"] == "5"
    assert chat.call("GET", "/healthz").status_code == 200
    assert chat.post({"message": "hi"}, Prefer="respond-async").status_code == 202
    gate.open()
    for caller in waiting:
        caller.join(20)
    assert chat.say("hi")["response"] == "at last"
    chat.close()


def test_more_requests_than_a_caller_may_make_are_put_off_and_other_callers_are_not() -> None:
    chat = Chat(keys="key-one, key-two", chat_requests_per_minute=2)
    for _ in range(2):
        chat.say("hi")
    response = chat.post({"message": "hi"})
    assert error(response) == (429, "rate_limited")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert chat.say("hi", key="key-two")["response"]
    chat.close()


def test_the_processes_on_one_database_count_requests_together(store: SqlStore) -> None:
    processes = [Chat(keys="key-one, key-two", chat_requests_per_minute=3, buckets=store) for _ in range(2)]
    statuses = [processes[number % 2].post({"message": "hi"}).status_code for number in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert processes[1].say("hi", key="key-two")["response"]
    for process in processes:
        process.close()


@pytest.mark.parametrize(("proxies", "refused"), [(0, True), (1, False), (2, True)])
def test_without_keys_an_address_is_a_caller_as_the_trusted_proxies_saw_it(proxies: int, *, refused: bool) -> None:
    chat = Chat(chat_requests_per_minute=1, trusted_proxies=proxies)
    chat.say("hi", X_Forwarded_For="9.9.9.9, 1.1.1.1")
    second = chat.post({"message": "hi"}, X_Forwarded_For="9.9.9.9, 2.2.2.2")
    assert (second.status_code == 429) is refused
    chat.close()


def test_who_waits_when_the_process_ends_is_told_where_to_look_and_nobody_new_is_let_in(chat: Chat) -> None:
    gate = chat.hold()
    answers = []
    waiting = in_thread(lambda: answers.append(chat.post({"message": "hi"})))
    gate.wait_until_reached()
    chat.adapter.drain(0.0)
    waiting.join(20)
    assert error(answers[0]) == (504, "timed_out")
    assert chat.call("GET", f"/chat/turns/{answers[0].json['error']['turn_id']}").json["state"] == "running"
    for prefer in ("", "respond-async"):
        assert error(chat.post({"message": "hi"}, Prefer=prefer)) == (503, "overloaded")
    gate.open()
