"""What a server wants back with calls of a caller's functions goes back with their results, however they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.adapters.openai_api.site import ApiSite
from tests.fakes.openai_server import CallTool, Say

SIGNED = {"google": {"thought_signature": "c2ln"}}
ASKED: Any = {"role": "user", "content": "Weather?"}
FUNCTION: Any = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
ITEM_TOOLS: Any = [{"type": "function", **FUNCTION}]
Ask = Callable[[OpenAI, list[Any], dict[str, Any]], Any]


def complete(client: OpenAI, messages: list[Any], more: dict[str, Any]) -> Any:
    answer = client.chat.completions.create(model="default", messages=messages, tools=TOOLS, **more)
    return answer.choices[0].message


def stream(client: OpenAI, messages: list[Any], more: dict[str, Any]) -> Any:
    with client.chat.completions.stream(model="default", messages=messages, tools=TOOLS, **more) as events:
        return events.get_final_completion().choices[0].message


def returned(site: ApiSite) -> list[Any]:
    """Returns what came beside the calls in the newest request to the model."""
    messages = site.fake.posts("/chat/completions")[-1].body["messages"]
    return [call.get("extra_content") for each in messages for call in each.get("tool_calls") or ()]


@pytest.mark.parametrize("more", [{}, {"extra_headers": {"X-Thread-Id": "a-thread"}}], ids=["alone", "in a thread"])
@pytest.mark.parametrize("ask", [complete, stream])
def test_a_signature_goes_back_with_a_completion(client: OpenAI, site: ApiSite, ask: Ask, more: dict[str, Any]) -> None:
    site.fake.script(CallTool("weather", beside={"extra_content": SIGNED}), Say("Sunny."), Say("Bye."))
    said = ask(client, [ASKED], more)
    (call,) = said.tool_calls
    assert call.extra_content == SIGNED
    messages = [ASKED, said.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    told = ask(client, messages, more)
    assert returned(site)[-1:] == [SIGNED]
    ask(client, [*messages, told.model_dump(exclude_none=True), {"role": "user", "content": "Thanks"}], more)
    assert returned(site)[-1:] == [None], "the user has said something since"


@pytest.mark.parametrize("in_conversation", [False, True])
def test_a_signature_goes_back_with_a_response(client: OpenAI, site: ApiSite, *, in_conversation: bool) -> None:
    place: Any = {"conversation": client.conversations.create().id} if in_conversation else {}
    site.fake.script(CallTool("weather", beside={"extra_content": SIGNED}), Say("Sunny."))
    first = client.responses.create(model="default", input="Weather?", tools=ITEM_TOOLS, **place)
    (call,) = first.output
    assert call.type == "function_call"
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    place = place or {"previous_response_id": first.id}
    client.responses.create(model="default", input=[output], tools=ITEM_TOOLS, **place)
    assert returned(site)[-1:] == [SIGNED]
