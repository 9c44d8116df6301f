"""Chat completions of the fake, called by the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.fakes.openai_server import CallTool, Fail, FakeOpenAI, Hang, HostedTool, Incomplete, Say

MODEL = "gpt-5-mini"


def user(text: str) -> Any:
    return {"role": "user", "content": text}


async def chunks_of(client: AsyncOpenAI, **params: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(model=MODEL, messages=[user("hello")], stream=True, **params)
    return [chunk async for chunk in stream]


def tool_call(name: str) -> Any:
    return {"id": name, "type": "function", "function": {"name": "add", "arguments": "{}"}}


async def test_a_completion_answers_the_last_message(client: AsyncOpenAI) -> None:
    history: list[Any] = [{"role": "system", "content": "Be short."}, user("a"), {"role": "assistant", "content": "b"}]
    history.append({"role": "user", "content": [{"type": "text", "text": "parts"}]})
    completion = await client.chat.completions.create(model=MODEL, messages=history)
    choice = completion.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("You said: parts", "stop")
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


async def test_chunks_begin_with_the_role_and_end_with_the_reason(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("Grüße, 世界 🎉", chunks=4))
    chunks = await chunks_of(client)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Grüße, 世界 🎉"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 5 + ["stop"]
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


async def test_usage_comes_in_a_last_chunk_when_it_is_asked_for(client: AsyncOpenAI) -> None:
    *chunks, last = await chunks_of(client, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 0
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    with pytest.raises(BadRequestError, match="only allowed when 'stream' is enabled"):
        await client.chat.completions.create(
            model=MODEL, messages=[user("x")], extra_body={"stream_options": {"include_usage": True}}
        )


async def test_the_stream_ends_with_done(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    async with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=[user("x")], stream=True
    ) as response:
        text = (await response.read()).decode()
    assert text.endswith("data: [DONE]\n\n")
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called_and_answered(fake: FakeOpenAI, client: AsyncOpenAI, *, stream: bool) -> None:
    fake.script([Say("Let me see."), CallTool("add", {"a": 1}), CallTool("now")], Say("three"))
    tools: list[Any] = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    history = [user("1+2")]
    if stream:
        async with client.chat.completions.stream(model=MODEL, messages=history, tools=tools) as events:
            completion: ChatCompletion = await events.get_final_completion()
    else:
        completion = await client.chat.completions.create(model=MODEL, messages=history, tools=tools)
    message = completion.choices[0].message
    assert message.content == "Let me see."
    calls = [call for call in message.tool_calls or [] if call.type == "function"]
    assert [(call.function.name, call.function.arguments) for call in calls] == [("add", '{"a": 1}'), ("now", "{}")]
    answers: list[Any] = [{"role": "tool", "tool_call_id": call.id, "content": "3"} for call in calls]
    asked: Any = {"role": "assistant", "content": message.content, "tool_calls": [tool_call(call.id) for call in calls]}
    second = await client.chat.completions.create(model=MODEL, messages=[*history, asked, *answers])
    assert second.choices[0].message.content == "three"


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
async def test_an_answer_may_be_cut_short(fake: FakeOpenAI, client: AsyncOpenAI, reason: str, finish: str) -> None:
    fake.script([Say("half an ans"), Incomplete(reason)], [Say("half an ans"), Incomplete(reason)])
    completion = await client.chat.completions.create(model=MODEL, messages=[user("x")])
    assert completion.choices[0].finish_reason == finish
    assert (await chunks_of(client))[-1].choices[0].finish_reason == finish


async def test_a_failure_is_a_status_or_an_error_in_the_stream(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Fail(), Fail("rate_limit_exceeded", "slow down"), [Say("half"), Fail("server_error", "broke off")])
    with pytest.raises(InternalServerError):
        await client.chat.completions.create(model=MODEL, messages=[user("x")])
    with pytest.raises(RateLimitError, match="slow down"):
        await client.chat.completions.create(model=MODEL, messages=[user("x")])
    with pytest.raises(APIError, match="broke off"):
        await chunks_of(client)


async def test_hanging_and_hosted_tools_only_delay_an_answer(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([Hang(), HostedTool("code_interpreter")], Hang())
    fake.release()
    completion = await client.chat.completions.create(model=MODEL, messages=[user("x")])
    assert completion.choices[0].message.content == "You said: x"
    assert len(await chunks_of(client)) > 2


async def test_too_long_an_input_is_refused(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.context_tokens = 5
    with pytest.raises(BadRequestError, match="maximum context length is 5 tokens") as caught:
        await client.chat.completions.create(model=MODEL, messages=[user("word " * 10)])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "empty array"),
        ([{"role": "boss", "content": "x"}], "Invalid value: 'boss'"),
        ([{"role": "user", "content": None}], "expected a string, got null"),
        ([{"role": "tool", "tool_call_id": "c", "content": "x"}], "must be a response to a preceeding message"),
        ([{"role": "assistant", "tool_calls": [tool_call("c1")]}], "did not have response messages: c1"),
        ([{"role": "assistant", "tool_calls": [tool_call("c1")]}, user("x")], "did not have response messages: c1"),
    ],
)
async def test_wrong_messages_are_refused(client: AsyncOpenAI, messages: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        await client.chat.completions.create(model=MODEL, messages=messages)


async def test_a_refusal_has_its_own_field(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("I will not.", refusal=True), Say("I will not.", refusal=True))
    message = (await client.chat.completions.create(model=MODEL, messages=[user("x")])).choices[0].message
    assert (message.content, message.refusal) == (None, "I will not.")
    assert "".join(chunk.choices[0].delta.refusal or "" for chunk in await chunks_of(client)) == "I will not."


async def test_models_are_listed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == fake.models
    assert (await client.models.retrieve(fake.models[0])).id == fake.models[0]
    with pytest.raises(NotFoundError) as caught:
        await client.models.retrieve("gpt-none")
    assert caught.value.code == "model_not_found"


def test_the_sync_client_works_too(sync_client: OpenAI) -> None:
    stream = sync_client.chat.completions.create(model=MODEL, messages=[user("hello")], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "You said: hello"
    assert len(sync_client.models.list().data) == 3
