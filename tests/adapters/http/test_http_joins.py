"""CHAT_JOIN_SECONDS, through a whole gateway: messages that follow each other quickly are one turn."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from adapters.http.chat_request import ChatRequestParser
from adapters.http.settings import HttpSettings
from gateway.domain.models import Join
from gateway.ports import platform
from tests.browser.site import open_site


def ask(url: str, text: str, thread: str | None = None, **headers: str) -> dict[str, Any]:
    body = json.dumps({"message": text, "user": "ann", "thread_id": thread}).encode()
    sent = {"Content-Type": "application/json"} | headers
    with urlopen(Request(f"{url}/chat", body, sent), timeout=20) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def test_both_requests_get_the_one_turn_that_answers_both_messages(sqlite_url: str) -> None:
    with open_site(sqlite_url, CHAT_JOIN_SECONDS="1") as site:
        thread = ask(site.url, "hello")["thread_id"]
        first = ask(site.url, "look at this", thread, Prefer="respond-async")
        second = ask(site.url, "and at that", thread)
        assert second["turn_id"] == first["turn_id"]
        (conversation,) = site.fake.conversations
        assert site.fake.user_texts(conversation) == ["hello", "look at this\nand at that"]


@pytest.mark.parametrize(
    ("seconds", "thread", "joins"), [(0.0, "thr_1", False), (2.0, "thr_1", True), (2.0, None, False)]
)
def test_a_message_that_opens_a_thread_waits_for_nothing(seconds: float, thread: str | None, *, joins: bool) -> None:
    settings = HttpSettings(gateway_api_keys=SecretStr("key"), chat_join_seconds=seconds)
    body = json.dumps({"message": "hello", "thread_id": thread}).encode()
    request = platform.Request({"content-type": "application/json"}, body)
    message = ChatRequestParser(settings, lambda _: None, max_message_chars=100).parse_for("owner", request).message
    assert (message.join, message.debounce_seconds) == ((Join(seconds), seconds) if joins else (None, 0.0))
