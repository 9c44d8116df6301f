"""Conversations and responses of the fake, used by the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI, AsyncStream, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
)

from tests.fakes.openai_server import (
    Act,
    CallTool,
    Expire,
    Fail,
    FakeOpenAI,
    Hang,
    HostedTool,
    Incomplete,
    Say,
    Think,
)

MODEL = "gpt-5-mini"
BEGUN = ["response.created", "response.in_progress"]
MESSAGE = ["response.output_item.added", "response.content_part.added"]
DELTA = "response.output_text.delta"
SAID = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
ITEM, ITEM_DONE = "response.output_item.added", "response.output_item.done"


async def events_of(stream: AsyncStream[ResponseStreamEvent]) -> list[ResponseStreamEvent]:
    return [event async for event in stream]


async def streamed(client: AsyncOpenAI, **params: Any) -> list[str]:
    events = await events_of(await client.responses.create(model=MODEL, stream=True, **params))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return [event.type for event in events]


def call_of(response: Response) -> ResponseFunctionToolCall:
    call = response.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    return call


def output(call_id: str, value: str = "3") -> Any:
    return [{"type": "function_call_output", "call_id": call_id, "output": value}]


async def test_a_response_joins_its_conversation_when_it_is_completed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    conversation = await client.conversations.create(items=[{"role": "user", "content": "before"}])
    fake.script(Hang())
    stream = await client.responses.create(model=MODEL, input="now", conversation=conversation.id, stream=True)
    await anext(aiter(stream))
    assert fake.user_texts(conversation.id) == ["before"]
    fake.release()
    await events_of(stream)
    assert fake.user_texts(conversation.id) == ["before", "now"]
    items = [item async for item in client.conversations.items.list(conversation.id, order="asc")]
    assert [item.role for item in items if item.type == "message"] == ["user", "user", "assistant"]


async def test_a_plain_response_answers(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model=MODEL,
        input="hello",
        instructions="Be short.",
        metadata={"turn": "t1"},
        truncation="auto",
        max_output_tokens=500,
        tools=[{"type": "function", "name": "add", "parameters": {}, "strict": False}, {"type": "web_search"}],
    )
    assert (response.output_text, response.status, response.conversation) == ("You said: hello", "completed", None)
    assert (response.instructions, response.metadata) == ("Be short.", {"turn": "t1"})
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert await client.responses.retrieve(response.id) == response


async def test_a_stream_sends_its_events_in_order(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("one two", chunks=2))
    assert await streamed(client, input="x") == [*BEGUN, *MESSAGE, DELTA, DELTA, *SAID, "response.completed"]


async def test_the_deltas_add_up_to_the_text(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("Grüße, 世界 🎉", chunks=4))
    events = await events_of(
        await client.responses.create(
            model=MODEL, input="x", stream=True, stream_options={"include_obfuscation": False}
        )
    )
    deltas = [event for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert "".join(event.delta for event in deltas) == "Grüße, 世界 🎉"
    assert not any("obfuscation" in (event.model_extra or {}) for event in deltas)
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].response.output_text == "Grüße, 世界 🎉"


async def test_deltas_are_obscured_unless_told_otherwise(client: AsyncOpenAI) -> None:
    events = await events_of(await client.responses.create(model=MODEL, input="x", stream=True))
    deltas = [event for event in events if event.type == DELTA]
    assert all("obfuscation" in (event.model_extra or {}) for event in deltas)


async def test_hosted_tools_and_reasoning_leave_items(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    step: list[Act] = [
        Think("thinking"),
        HostedTool("code_interpreter", "print(2)", "2"),
        HostedTool("web_search", "weather"),
        HostedTool("file_search", "contract", "found"),
        Say("done", chunks=1),
    ]
    fake.script(step, step)
    told = await streamed(client, input="x")
    code, web, files = (f"response.{name}" for name in ("code_interpreter_call", "web_search_call", "file_search_call"))
    assert told == [
        *BEGUN,
        *(ITEM, ITEM_DONE),
        *(ITEM, f"{code}.in_progress", f"{code}_code.delta", f"{code}_code.delta", f"{code}_code.done"),
        *(f"{code}.interpreting", f"{code}.completed", ITEM_DONE),
        *(ITEM, f"{web}.in_progress", f"{web}.searching", f"{web}.completed", ITEM_DONE),
        *(ITEM, f"{files}.in_progress", f"{files}.searching", f"{files}.completed", ITEM_DONE),
        *(*MESSAGE, DELTA, *SAID, "response.completed"),
    ]
    response = await client.responses.create(
        model=MODEL, input="x", include=["code_interpreter_call.outputs", "file_search_call.results"]
    )
    dumped = [item.model_dump() for item in response.output]
    assert [item["type"] for item in dumped] == [
        *("reasoning", "code_interpreter_call", "web_search_call", "file_search_call", "message"),
    ]
    assert dumped[1]["outputs"] == [{"logs": "2", "type": "logs"}]
    assert dumped[3]["results"][0]["text"] == "found"


@pytest.mark.parametrize("linked", ["conversation", "previous_response_id", "nothing"])
async def test_a_function_call_is_answered_by_the_next_request(
    fake: FakeOpenAI, client: AsyncOpenAI, linked: str
) -> None:
    fake.script([CallTool("add", {"a": 1}), CallTool("now")], Say("three"))
    conversation = await client.conversations.create()
    link: dict[str, Any] = {"conversation": conversation.id} if linked == "conversation" else {}
    first = await client.responses.create(model=MODEL, input="1+2", **link)
    calls = [item for item in first.output if isinstance(item, ResponseFunctionToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [("add", '{"a": 1}'), ("now", "{}")]
    given = [*output(calls[0].call_id), *output(calls[1].call_id)]
    if linked == "previous_response_id":
        link = {linked: first.id}
    elif linked == "nothing":
        given = [*({**call.to_dict(), "id": None} for call in calls), *given]
    second = await client.responses.create(model=MODEL, input=given, **link)
    assert second.output_text == "three"


async def test_function_arguments_are_streamed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(CallTool("add", '{"a": not json'))
    events = await events_of(await client.responses.create(model=MODEL, input="x", stream=True))
    arguments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(arguments) == '{"a": not json'
    assert [event.type for event in events][-3:] == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_a_call_without_its_output_blocks_the_conversation(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(CallTool("add"))
    conversation = (await client.conversations.create()).id
    call = call_of(await client.responses.create(model=MODEL, input="x", conversation=conversation)).call_id
    with pytest.raises(BadRequestError, match=f"No tool output found for function call {call}"):
        await client.responses.create(model=MODEL, input="and?", conversation=conversation)
    await client.responses.create(model=MODEL, input=output(call), conversation=conversation)
    with pytest.raises(BadRequestError, match=f"function call {call}"):
        await client.responses.create(model=MODEL, input=output(call), conversation=conversation)
    with pytest.raises(BadRequestError, match="No tool call found for function call output with call_id call_none"):
        await client.responses.create(model=MODEL, input=output("call_none"), conversation=conversation)


async def test_an_item_that_is_there_already_is_refused(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(CallTool("add"))
    first = await client.responses.create(model=MODEL, input="x")
    call = call_of(first)
    with pytest.raises(BadRequestError, match=f"Duplicate item found with id {call.id}"):
        await client.responses.create(
            model=MODEL,
            previous_response_id=first.id,
            input=[call.to_dict(), *output(call.call_id)],  # type: ignore[list-item]
        )


async def test_a_conversation_is_locked_while_a_response_runs(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Hang())
    conversation = (await client.conversations.create()).id
    running = await client.responses.create(model=MODEL, input="a", conversation={"id": conversation}, background=True)
    with pytest.raises(BadRequestError, match="Another process is currently operating") as caught:
        await client.responses.create(model=MODEL, input="b", conversation=conversation)
    assert (caught.value.code, caught.value.param) == ("conversation_locked", "conversation")
    fake.release()
    await fake.wait_until_async(lambda: fake.responses[running.id]["status"] == "completed")
    await client.responses.create(model=MODEL, input="b", conversation=conversation)
    assert fake.user_texts(conversation) == ["a", "b"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_response_is_lost_with_its_caller(fake: FakeOpenAI, client: AsyncOpenAI, *, stream: bool) -> None:
    fake.script(Say("never told whole", chunks=4, hold_after=2))
    conversation = (await client.conversations.create()).id
    if stream:
        told = await client.responses.create(model=MODEL, input="x", conversation=conversation, stream=True)
        await anext(aiter(told))
        await told.close()
    else:
        with pytest.raises(Exception, match="timed out"):
            await client.with_options(timeout=0.2).responses.create(model=MODEL, input="x", conversation=conversation)
    await fake.wait_until_async(lambda: all(one["status"] == "cancelled" for one in fake.responses.values()))
    fake.release()
    again = await client.responses.create(model=MODEL, input="again", conversation=conversation)
    assert again.status == "completed"
    assert fake.user_texts(conversation) == ["again"]


async def test_a_background_response_survives_its_caller(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([Hang(), Say("still here", chunks=2)])
    conversation = (await client.conversations.create()).id
    stream = await client.responses.create(
        model=MODEL, input="x", conversation=conversation, background=True, stream=True
    )
    events = [await anext(aiter(stream)) for _ in range(3)]
    await stream.close()
    assert [event.type for event in events] == ["response.created", "response.queued", "response.in_progress"]
    assert events[0].type == "response.created"
    name = events[0].response.id
    assert (await client.responses.retrieve(name)).status == "in_progress"
    following = await client.responses.retrieve(name, stream=True, starting_after=events[-1].sequence_number)
    fake.release()
    rest = await events_of(following)
    assert [event.type for event in rest] == [*MESSAGE, DELTA, DELTA, *SAID, "response.completed"]
    assert rest[0].sequence_number == 3
    whole = await events_of(await client.responses.retrieve(name, stream=True))
    assert len(whole) == 3 + len(rest)
    assert fake.user_texts(conversation) == ["x"]


async def test_only_background_responses_can_be_cancelled(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("never told whole", chunks=4, hold_after=2))
    conversation = (await client.conversations.create()).id
    running = await client.responses.create(model=MODEL, input="x", conversation=conversation, background=True)
    assert (await client.responses.cancel(running.id)).status == "cancelled"
    assert (await client.responses.cancel(running.id)).status == "cancelled"
    plain = await client.responses.create(model=MODEL, input="y", conversation=conversation)
    with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
        await client.responses.cancel(plain.id)
    assert fake.user_texts(conversation) == ["y"]


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (Fail("rate_limit_exceeded", "slow down"), "failed"),
        (Expire(), "failed"),
        (Incomplete(), "incomplete"),
        (Incomplete("content_filter"), "incomplete"),
    ],
)
async def test_a_response_may_end_badly(fake: FakeOpenAI, client: AsyncOpenAI, act: Act, status: str) -> None:
    fake.script([Say("half an ans"), act], act)
    conversation = (await client.conversations.create()).id
    assert (await streamed(client, input="x", conversation=conversation))[-1] == f"response.{status}"
    response = await client.responses.create(model=MODEL, input="x", conversation=conversation)
    assert response.status == status
    if isinstance(act, Incomplete):
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == act.reason
    else:
        assert response.error is not None
    assert fake.conversations[conversation] == []


async def test_a_chain_of_responses_keeps_its_items(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.reply = " | ".join
    first = await client.responses.create(model=MODEL, input="a")
    second = await client.responses.create(model=MODEL, input="b", previous_response_id=first.id)
    assert second.output_text == "a | a | b"
    assert fake.user_texts(second.id) == ["a", "b"]
    listed = [item async for item in client.responses.input_items.list(second.id, order="asc", limit=2)]
    assert len(listed) == 3
    await client.responses.delete(second.id)
    with pytest.raises(NotFoundError, match="Response with id"):
        await client.responses.retrieve(second.id)
    for gone in (second.id, (await client.responses.create(model=MODEL, input="c", store=False)).id):
        with pytest.raises(BadRequestError) as caught:
            await client.responses.create(model=MODEL, input="d", previous_response_id=gone)
        assert caught.value.code == "previous_response_not_found"


async def test_conversations_are_kept(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    made = await client.conversations.create(metadata={"a": "b"})
    assert await client.conversations.retrieve(made.id) == made
    assert (await client.conversations.update(made.id, metadata={"c": "d"})).metadata == {"c": "d"}
    added = await client.conversations.items.create(
        made.id,
        items=[{"role": role, "content": role} for role in ("user", "assistant", "user")],
    )
    assert len(added.data) == 3
    page = await client.conversations.items.list(made.id, limit=2)
    assert page.has_more
    assert page.last_id == added.data[1].id
    assert len([item async for item in page]) == 3
    one = await client.conversations.items.retrieve(added.first_id, conversation_id=made.id)
    assert one == added.data[0]
    await client.conversations.items.delete(added.first_id, conversation_id=made.id)
    assert fake.user_texts(made.id) == ["user"]
    assert (await client.conversations.delete(made.id)).deleted
    with pytest.raises(NotFoundError, match=f"Conversation with id '{made.id}' not found"):
        await client.responses.create(model=MODEL, input="x", conversation=made.id)


async def test_a_request_has_at_most_twenty_items(client: AsyncOpenAI) -> None:
    many: list[Any] = [{"role": "user", "content": "x"}] * 21
    with pytest.raises(BadRequestError, match="maximum length 20"):
        await client.conversations.create(items=many)
    conversation = await client.conversations.create(items=many[:20])
    with pytest.raises(BadRequestError, match="maximum length 20"):
        await client.conversations.items.create(conversation.id, items=many)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input": "x", "model": "no-such-model"}, "does not exist"),
        ({"input": "x", "model": None}, "Missing required parameter: 'model'"),
        ({}, "must be provided"),
        ({"input": "x", "conversation": "a", "previous_response_id": "b"}, "Mutually exclusive"),
        ({"input": "x", "background": True, "store": False}, "must be stored"),
        ({"input": "x", "truncation": "perhaps"}, "Invalid value: 'perhaps'"),
        ({"input": "x", "tools": [{"type": "code_interpreter"}]}, r"tools\[0\].container"),
        ({"input": [{"role": "boss", "content": "x"}]}, "Invalid value: 'boss'"),
        ({"input": [{"role": "user", "content": [{"type": "output_text", "text": ""}]}]}, "Supported values"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, r"input\[0\].output"),
    ],
)
async def test_wrong_requests_are_refused(client: AsyncOpenAI, wrong: Any, message: str) -> None:
    with pytest.raises((BadRequestError, NotFoundError), match=message):
        await client.responses.create(**{"model": MODEL, **wrong})


async def test_too_long_an_input_is_refused_unless_truncated(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.context_tokens = 5
    with pytest.raises(BadRequestError) as caught:
        await client.responses.create(model=MODEL, input="word " * 10)
    assert caught.value.code == "context_length_exceeded"
    assert (await client.responses.create(model=MODEL, input="word " * 10, truncation="auto")).status == "completed"


async def test_a_server_may_lack_conversations_or_background(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    conversation = (await client.conversations.create()).id
    fake.features -= {"conversations", "background"}
    with pytest.raises(NotFoundError, match="Invalid URL"):
        await client.conversations.create()
    with pytest.raises(BadRequestError, match="Unknown parameter: 'conversation'"):
        await client.responses.create(model=MODEL, input="x", conversation=conversation)
    assert (await client.responses.create(model=MODEL, input="x", background=True)).status == "completed"


def test_the_sync_client_works_too(fake: FakeOpenAI, sync_client: OpenAI) -> None:
    conversation = sync_client.conversations.create(items=[{"role": "user", "content": "one"}]).id
    assert sync_client.responses.create(model=MODEL, input="two", conversation=conversation).output_text
    with sync_client.responses.stream(model=MODEL, input="three", conversation=conversation) as stream:
        assert stream.get_final_response().output_text == "You said: three"
    assert len(list(sync_client.conversations.items.list(conversation, limit=2))) == 5
    assert fake.user_texts(conversation) == ["one", "two", "three"]
