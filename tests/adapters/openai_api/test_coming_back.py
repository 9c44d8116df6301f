"""A caller whose connection was cut for so long that its turn was cancelled, and that asks the same by its key."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from openai import OpenAI

from adapters.openai_api.asking import Asking
from adapters.openai_api.context import ApiLimits
from adapters.openai_api.ids import response_id
from gateway.domain.models import Turn
from gateway.wiring import platforms
from tests.adapters.openai_api.site import ApiSite, open_api
from tests.fakes.openai_server import CallTool, Say
from tests.waiting import until

KEY = {"Idempotency-Key": "an order"}
MESSAGES: Any = [{"role": "user", "content": "hello"}]
LONGEST_WAIT = 20.0


def completion(client: OpenAI) -> Any:
    return client.chat.completions.create(model="default", messages=MESSAGES, stream=True, extra_headers=KEY)


def response(client: OpenAI) -> Any:
    return client.responses.create(model="default", input="hello", stream=True, extra_headers=KEY)


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> Queue[Turn]:
    """Gets the turns that are cancelled as nobody waits for them, which is soon here."""
    found, cancel = Queue[Turn](), Asking.cancel

    async def cancel_and_tell(self: Asking, turn: Turn) -> Turn:
        found.put(await cancel(self, turn))
        return turn

    monkeypatch.setattr(Asking, "cancel", cancel_and_tell)
    monkeypatch.setattr(platforms, "ApiLimits", partial(ApiLimits, come_back_seconds=0.01))
    return found


def text_of(event: Any) -> str:
    """Returns what is written by an event of a stream, of either kind."""
    if hasattr(event, "choices"):
        return event.choices[0].delta.content or ""
    return event.delta if event.type.endswith("text.delta") else ""


def told(ask: Callable[[OpenAI], Any], client: OpenAI) -> tuple[str, str]:
    """Returns the id of an answer and its text."""
    events = [*ask(client)]
    return getattr(events[0], "response", events[0]).id, "".join(map(text_of, events))


def cut(site: ApiSite, ask: Callable[[OpenAI], Any]) -> Any:
    """Has the connection of a caller cut while its answer is written; returns the first event."""
    site.fake.script(Say("It is too late for this.", hold_after=1))
    with ask(site.client()) as events:
        first = next(events)
        next(filter(text_of, chain([first], events)))  # else the assistant might not have been asked
        return first


@pytest.mark.parametrize("ask", [completion, response])
def test_the_same_request_is_answered_by_one_turn_in_place_of_the_cancelled_one(
    database_url: str, tmp_path: Path, cancelled: Queue[Turn], ask: Callable[[OpenAI], Any]
) -> None:
    with open_api(database_url, folder=tmp_path) as site, ThreadPoolExecutor() as pool:
        for _ in range(2):
            cut(site, ask)
            cancelled.get(timeout=LONGEST_WAIT)
        before = len(site.fake.posts("/chat/completions"))
        site.fake.script(Say("There you are."))
        at_once = [*pool.map(partial(told, ask), [site.client(), site.client()])]
        assert {*at_once, told(ask, site.client())} == {at_once[0]}
        assert at_once[0][1] == "There you are."
        assert len(site.fake.posts("/chat/completions")) == before + 1


def test_a_thread_remembers_nothing_of_an_answer_that_was_cut_off(sqlite_url: str, cancelled: Queue[Turn]) -> None:
    def in_thread(client: OpenAI) -> Any:
        headers = {**KEY, "X-Thread-Id": "orders"}
        return client.chat.completions.create(model="default", messages=MESSAGES, stream=True, extra_headers=headers)

    with open_api(sqlite_url) as site:
        for _ in range(2):
            cut(site, in_thread)
            cancelled.get(timeout=LONGEST_WAIT)
        site.fake.script(Say("There you are."))
        assert told(in_thread, site.client())[1] == "There you are."
        _, *said = site.fake.posts("/chat/completions")[-1].body["messages"]
        assert [each["content"] for each in said] == ["hello"]


def test_results_of_calls_are_taken_by_the_turn_in_place_of_the_cancelled_one(
    sqlite_url: str, cancelled: Queue[Turn]
) -> None:
    with open_api(sqlite_url) as site:
        weather = {"type": "function", "name": "weather", "parameters": {}}
        asked: Any = {"conversation": site.client().conversations.create().id, "tools": [weather]}
        site.fake.script(CallTool("weather", {}))
        (call,) = site.client().responses.create(input="Weather?", **asked).output
        said: Any = [
            {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
            {"role": "user", "content": "So?"},
            {"role": "assistant", "content": "I look."},
            {"role": "user", "content": "Well?"},
        ]

        def bring(client: OpenAI) -> Any:
            return client.responses.create(input=said, stream=True, extra_headers=KEY, **asked)

        for _ in range(2):
            cut(site, bring)
            cancelled.get(timeout=LONGEST_WAIT)
        site.fake.script(Say("Sunny."))
        assert told(bring, site.client())[1] == "Sunny."
        site.client().responses.create(input="Thanks", **asked)
        system, *told_last = site.fake.posts("/chat/completions")[-1].body["messages"]
        assert system["role"] == "system"
        kinds = [each["role"] for each in told_last]
        assert kinds == ["user", "assistant", "tool", "user", "assistant", "user", "assistant", "user"]


def test_a_response_in_the_background_is_written_without_its_caller(sqlite_url: str, cancelled: Queue[Turn]) -> None:
    def in_background(client: OpenAI) -> Any:
        return client.responses.create(model="default", input="hello", background=True, stream=True)

    with open_api(sqlite_url) as site:
        begun = cut(site, in_background).response
        cut(site, response)
        ended = cancelled.get(timeout=LONGEST_WAIT)
        assert response_id(ended.id) != begun.id, "of the two that nobody reads, the earlier would be cancelled first"
        site.fake.release()
        retrieve = site.client().responses.retrieve
        until(lambda: retrieve(begun.id).status == "completed")
