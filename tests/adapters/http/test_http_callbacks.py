"""``callback_url``: the answer is left in the outbox, and the caller does not wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.callbacks.addresses import AddressRule
from gateway.domain.errors import AssistantRefused
from gateway.domain.models import Turn
from tests.adapters.chat import Chat, error

URL = "https://example.com/hook"


class FakeOutbox:
    def __init__(self) -> None:
        self.answers: list[tuple[str, Mapping[str, Any]]] = []
        self.check_url = AddressRule().check_url

    async def add_answer(self, turn: Turn, url: str, data: Mapping[str, Any]) -> None:
        self.answers.append((url, data))


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.close()


@pytest.fixture
def outbox(chat: Chat) -> FakeOutbox:
    chat.adapter.callbacks = FakeOutbox()
    return chat.adapter.callbacks


def test_the_caller_is_answered_at_once_and_the_outcome_is_left_for_the_url(chat: Chat, outbox: FakeOutbox) -> None:
    response = chat.post({"message": "Hello", "callback_url": URL}, Idempotency_Key="once")
    assert response.status_code == 202
    assert response.headers["Location"] == f"/chat/turns/{response.json['turn_id']}"
    assert "Preference-Applied" not in response.headers
    chat.say("Bye", response.json["thread_id"])  # which is answered after the first
    ((url, data),) = outbox.answers
    assert (url, data["turn_id"], data["response"]) == (URL, response.json["turn_id"], "You said: Hello")
    again = chat.post({"message": "Hello", "callback_url": f"{URL}/other"}, Idempotency_Key="once")
    assert error(again) == (409, "idempotency_conflict")


def test_a_failure_is_left_for_the_url_too(chat: Chat, outbox: FakeOutbox) -> None:
    chat.inbox.script = lambda _: (AssistantRefused("no"),)
    thread = chat.post({"message": "Hello", "callback_url": URL}).json["thread_id"]
    chat.post({"message": "Bye", "thread_id": thread})
    ((_, data),) = outbox.answers
    assert data["error"]["code"] == "refused"


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "nonsense", ""])
def test_a_url_to_which_nothing_is_posted_is_refused(chat: Chat, outbox: FakeOutbox, url: str) -> None:
    response = chat.post({"message": "Hello", "callback_url": url})
    assert error(response) == (400, "invalid_field")
    assert "callback_url" in response.json["error"]["message"]


def test_without_a_signing_key_every_url_is_refused(chat: Chat) -> None:
    response = chat.post({"message": "Hello", "callback_url": URL})
    assert error(response) == (400, "invalid_field")
    assert "CALLBACK_SIGNING_KEYS" in response.json["error"]["message"]
