"""The Assistants API of the fake, used by the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI, AsyncStream, BadRequestError, NotFoundError, OpenAI
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads import Run

from tests.fakes.openai_server import (
    ASSISTANT_ID,
    Act,
    CallTool,
    Expire,
    Fail,
    FakeOpenAI,
    Hang,
    HostedTool,
    Incomplete,
    Say,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:^deprecated$:DeprecationWarning"),
]

HEAD = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
STEP = ["thread.run.step.created", "thread.run.step.in_progress"]
MESSAGE = ["thread.message.created", "thread.message.in_progress"]
DELTA = "thread.message.delta"
ENDED = ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"]


async def names(stream: AsyncStream[AssistantStreamEvent]) -> list[str]:
    return [event.event async for event in stream]


async def opened(client: AsyncOpenAI, text: str = "hello") -> str:
    return (await client.beta.threads.create(messages=[{"role": "user", "content": text}])).id


async def polled(client: AsyncOpenAI, thread: str, **params: Any) -> Run:
    return await client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=ASSISTANT_ID, poll_interval_ms=1, **params
    )


async def streamed(client: AsyncOpenAI, thread: str, **params: Any) -> list[str]:
    stream = await client.beta.threads.runs.create(thread, assistant_id=ASSISTANT_ID, stream=True, **params)
    return await names(stream)


def outputs(run: Run, *values: str) -> list[Any]:
    assert run.required_action is not None
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [{"tool_call_id": call.id, "output": value} for call, value in zip(calls, values, strict=True)]


async def test_a_polled_run_answers_the_message(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    thread = await opened(client)
    run = await polled(client, thread)
    assert run.status == "completed"
    assert run.usage is not None
    assert run.usage.total_tokens == run.usage.prompt_tokens + run.usage.completion_tokens > 0
    messages = [message async for message in client.beta.threads.messages.list(thread)]
    assert [(message.role, message.content[0].text.value) for message in messages] == [  # type: ignore[union-attr]
        ("assistant", "You said: hello"),
        ("user", "hello"),
    ]
    assert messages[0].run_id == run.id
    assert fake.user_texts(thread) == ["hello"]


async def test_a_streamed_run_sends_its_events_in_the_documented_order(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("one two", chunks=2))
    assert await streamed(client, await opened(client)) == [*HEAD, *STEP, *MESSAGE, DELTA, DELTA, *ENDED]


async def test_the_deltas_add_up_to_the_message(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("Grüße, 世界 🎉", chunks=4))
    async with client.beta.threads.runs.stream(thread_id=await opened(client), assistant_id=ASSISTANT_ID) as stream:
        text = "".join([delta async for delta in stream.text_deltas])
    assert text == "Grüße, 世界 🎉"


async def test_thread_and_run_are_created_in_one_request(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    run = await client.beta.threads.create_and_run(
        assistant_id=ASSISTANT_ID, thread={"messages": [{"role": "user", "content": "hi"}]}
    )
    assert run.status == "queued"
    stream = await client.beta.threads.create_and_run(assistant_id=ASSISTANT_ID, stream=True, thread={})
    events = await names(stream)
    assert events[0] == "thread.created"
    assert events[-1] == "thread.run.completed"
    assert len(fake.requests) == 2


async def test_a_run_may_have_its_own_message_instructions_and_tools(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    thread = await opened(client, "first")
    run = await client.beta.threads.runs.create(
        thread,
        assistant_id=ASSISTANT_ID,
        additional_messages=[{"role": "user", "content": "second", "metadata": {"turn": "t1"}}],
        instructions="Be short.",
        additional_instructions="In French.",
        metadata={"turn": "t1"},
        tools=[{"type": "function", "function": {"name": "add", "parameters": {}}}],
    )
    assert run.instructions == "Be short.\nIn French."
    assert run.metadata == {"turn": "t1"}
    assert [tool.type for tool in run.tools] == ["function"]
    assert fake.user_texts(thread) == ["first", "second"]
    assert fake.threads[thread][1].metadata == {"turn": "t1"}


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_wait_for_their_outputs(fake: FakeOpenAI, client: AsyncOpenAI, *, stream: bool) -> None:
    fake.script([CallTool("add", {"a": 1}), CallTool("now")], Say("three"))
    thread = await opened(client)
    events = await streamed(client, thread)
    assert events == [*HEAD, *STEP, "thread.run.step.delta", "thread.run.requires_action"]
    run = (await client.beta.threads.runs.list(thread)).data[0]
    assert run.required_action is not None
    asked = run.required_action.submit_tool_outputs.tool_calls
    assert [(call.function.name, call.function.arguments) for call in asked] == [("add", '{"a": 1}'), ("now", "{}")]
    with pytest.raises(BadRequestError, match="Expected tool outputs for call_ids"):
        await client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=thread, tool_outputs=outputs(run, "3", "noon")[:1]
        )
    if stream:
        following = await client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=thread, tool_outputs=outputs(run, "3", "noon"), stream=True
        )
        told = await names(following)
        assert told[:3] == ["thread.run.step.completed", *HEAD[1:]]
        assert told[-1] == "thread.run.completed"
    else:
        done = await client.beta.threads.runs.submit_tool_outputs_and_poll(
            run_id=run.id, thread_id=thread, tool_outputs=outputs(run, "3", "noon"), poll_interval_ms=1
        )
        assert done.status == "completed"
    assert fake.threads[thread][-1].text == "three"
    with pytest.raises(BadRequestError, match='Runs in status "completed" do not accept tool outputs'):
        await client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=thread, tool_outputs=outputs(run, "3", "noon")
        )


async def test_steps_contain_tools_and_messages(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([HostedTool("code_interpreter", "print(2)", "2"), HostedTool("file_search", "x"), Say("2")])
    thread = await opened(client)
    assert "thread.run.step.delta" in await streamed(client, thread)
    run = (await client.beta.threads.runs.list(thread)).data[0]
    steps = (await client.beta.threads.runs.steps.list(run.id, thread_id=thread, order="asc")).data
    assert [step.type for step in steps] == ["tool_calls", "tool_calls", "message_creation"]
    dumped = steps[0].model_dump()["step_details"]["tool_calls"][0]["code_interpreter"]
    assert dumped == {"input": "print(2)", "outputs": [{"logs": "2", "type": "logs"}]}
    one = await client.beta.threads.runs.steps.retrieve(steps[0].id, thread_id=thread, run_id=run.id)
    assert one == steps[0]


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (Fail("rate_limit_exceeded", "slow down"), "failed"),
        (Incomplete(), "incomplete"),
        (Incomplete("content_filter"), "incomplete"),
        (Expire(), "expired"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_may_end_badly(
    fake: FakeOpenAI, client: AsyncOpenAI, act: Act, status: str, *, stream: bool
) -> None:
    fake.script([Say("half an ans"), act])
    thread = await opened(client)
    if stream:
        assert (await streamed(client, thread))[-1] == f"thread.run.{status}"
    else:
        assert (await polled(client, thread)).status == status
    last = (await client.beta.threads.messages.list(thread, limit=1)).data[0]
    assert last.status == "incomplete"
    assert (await polled(client, thread)).status == "completed"  # the thread is free again


async def test_the_stream_ends_with_done(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    async with client.beta.threads.with_streaming_response.create_and_run(
        assistant_id=ASSISTANT_ID, stream=True
    ) as response:
        assert (await response.read()).endswith(b"event: done\ndata: [DONE]\n\n")


async def test_the_steps_of_a_rejected_prompt_fail_with_their_own_code(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([Say("half"), Fail("invalid_prompt", "no")])
    run = await polled(client, await opened(client))
    step = (await client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)).data[0]
    assert step.last_error is not None
    assert (step.status, step.last_error.code, step.last_error.message) == ("failed", "server_error", "no")


async def test_a_failed_run_says_why(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Fail("rate_limit_exceeded", "slow down"))
    run = await polled(client, await opened(client))
    assert run.last_error is not None
    assert (run.last_error.code, run.last_error.message) == ("rate_limit_exceeded", "slow down")


async def test_an_active_run_locks_its_thread(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Hang())
    thread = await opened(client)
    run = await client.beta.threads.runs.create(thread, assistant_id=ASSISTANT_ID)
    with pytest.raises(BadRequestError, match=f"Can't add messages to {thread} while a run {run.id} is active"):
        await client.beta.threads.messages.create(thread, role="user", content="more")
    with pytest.raises(BadRequestError, match=f"Thread {thread} already has an active run {run.id}"):
        await client.beta.threads.runs.create(
            thread, assistant_id=ASSISTANT_ID, additional_messages=[{"role": "user", "content": "more"}]
        )
    assert fake.user_texts(thread) == ["hello"]
    fake.release()
    await fake.wait_until_async(lambda: fake.runs[run.id]["status"] == "completed")
    await client.beta.threads.messages.create(thread, role="user", content="more")


@pytest.mark.parametrize("act", [Hang(), CallTool("add"), Say("never told whole", chunks=4, hold_after=2)])
async def test_a_run_can_be_cancelled(fake: FakeOpenAI, client: AsyncOpenAI, act: Act) -> None:
    fake.script(act)
    thread = await opened(client)
    run = await client.beta.threads.runs.create(thread, assistant_id=ASSISTANT_ID)
    if isinstance(act, CallTool):
        await fake.wait_until_async(lambda: fake.runs[run.id]["status"] == "requires_action")
    cancelling = await client.beta.threads.runs.cancel(run.id, thread_id=thread)
    assert cancelling.status == "cancelling"
    await fake.wait_until_async(lambda: fake.runs[run.id]["status"] == "cancelled")
    with pytest.raises(BadRequestError, match="Cannot cancel run with status 'cancelled'"):
        await client.beta.threads.runs.cancel(run.id, thread_id=thread)
    assert (await polled(client, thread)).status == "completed"


async def test_a_run_that_waits_too_long_for_outputs_expires(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(CallTool("add"))
    thread = await opened(client)
    run = await polled(client, thread)
    fake.expire(run.id)
    with pytest.raises(BadRequestError, match='Runs in status "expired"'):
        await client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=outputs(run, "1"))


async def test_an_unread_stream_does_not_stop_its_run(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script([Hang(), Say("still here")])
    thread = await opened(client)
    stream = await client.beta.threads.runs.create(thread, assistant_id=ASSISTANT_ID, stream=True)
    first = await anext(aiter(stream))
    await stream.close()
    fake.release()
    assert first.event == "thread.run.created"
    await fake.wait_until_async(lambda: fake.threads[thread][-1].text == "still here")


async def test_the_server_may_ask_for_a_polling_interval(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.poll_after_ms = 3
    thread = await opened(client)
    raw = await client.beta.threads.runs.with_raw_response.create(thread, assistant_id=ASSISTANT_ID)
    assert raw.headers["openai-poll-after-ms"] == "3"
    run = await client.beta.threads.runs.poll(raw.parse().id, thread_id=thread)
    assert run.status == "completed"


async def test_messages_come_in_pages(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    thread = (await client.beta.threads.create()).id
    for number in range(5):
        await client.beta.threads.messages.create(thread, role="user", content=str(number))
    newest = await client.beta.threads.messages.list(thread, limit=2)
    assert [fake.threads[thread].index(m) for m in fake.threads[thread] for n in newest.data if m.id == n.id] == [3, 4]
    assert newest.has_more
    everything = [m.content[0].text.value async for m in client.beta.threads.messages.list(thread, limit=2)]  # type: ignore[union-attr]
    assert everything == ["4", "3", "2", "1", "0"]
    ids = [message.id for message in fake.threads[thread]]
    before = await client.beta.threads.messages.list(thread, before=ids[3], order="asc", limit=2)
    assert [message.id for message in before.data] == ids[1:3]
    with pytest.raises(BadRequestError, match="integer above maximum value") as caught:
        await client.beta.threads.messages.list(thread, limit=101)
    assert (caught.value.param, caught.value.code) == ("limit", "integer_above_max_value")


async def test_messages_of_one_run_can_be_listed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    thread = await opened(client)
    await polled(client, thread)
    run = await polled(client, thread)
    listed = (await client.beta.threads.messages.list(thread, run_id=run.id)).data
    assert [message.run_id for message in listed] == [run.id]


async def test_messages_can_be_read_changed_and_deleted(client: AsyncOpenAI) -> None:
    thread = await opened(client)
    made = await client.beta.threads.messages.create(thread, role="assistant", content="well")
    assert await client.beta.threads.messages.retrieve(made.id, thread_id=thread) == made
    changed = await client.beta.threads.messages.update(made.id, thread_id=thread, metadata={"a": "b"})
    assert changed.metadata == {"a": "b"}
    assert (await client.beta.threads.messages.delete(made.id, thread_id=thread)).deleted
    with pytest.raises(NotFoundError, match="No message found"):
        await client.beta.threads.messages.retrieve(made.id, thread_id=thread)


async def test_a_lost_or_deleted_thread_is_not_found(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    lost, deleted = await opened(client), await opened(client)
    fake.forget_object(lost)
    assert (await client.beta.threads.delete(deleted)).deleted
    for thread in (lost, deleted, "thread_never"):
        with pytest.raises(NotFoundError, match=f"No thread found with id '{thread}'"):
            await client.beta.threads.retrieve(thread)
        with pytest.raises(NotFoundError):
            await client.beta.threads.runs.create(thread, assistant_id=ASSISTANT_ID)
    assert fake.user_texts(lost) == ["hello"]


async def test_assistants_are_kept(client: AsyncOpenAI) -> None:
    made = await client.beta.assistants.create(
        model="gpt-4o", name="Bot", instructions="Be kind.", tools=[{"type": "code_interpreter"}]
    )
    assert await client.beta.assistants.retrieve(made.id) == made
    assert {one.id async for one in client.beta.assistants.list()} == {made.id, ASSISTANT_ID}
    assert (await client.beta.assistants.update(made.id, name="Other")).name == "Other"
    run = await client.beta.threads.create_and_run(assistant_id=made.id)
    assert (run.instructions, run.tools[0].type) == ("Be kind.", "code_interpreter")
    assert (await client.beta.assistants.delete(made.id)).deleted
    with pytest.raises(NotFoundError, match="No assistant found"):
        await client.beta.threads.create_and_run(assistant_id=made.id)


async def test_too_long_an_input_fails_the_run(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.context_tokens = 10
    run = await polled(client, await opened(client, "word " * 20))
    assert run.last_error is not None
    assert run.last_error.code == "invalid_prompt"


async def test_wrong_messages_are_refused(client: AsyncOpenAI) -> None:
    thread = await opened(client)
    for role, content in (("system", "x"), ("user", ""), ("user", [])):
        with pytest.raises(BadRequestError):
            await client.beta.threads.messages.create(thread, role=role, content=content)  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match="at most 16 properties"):
        await client.beta.threads.create(metadata={str(number): "x" for number in range(17)})
    with pytest.raises(BadRequestError, match="Missing required parameter: 'assistant_id'"):
        await client.post(f"/threads/{thread}/runs", cast_to=Run, options={"headers": {"OpenAI-Beta": "assistants=v2"}})


async def test_the_beta_header_is_demanded(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match="You must provide the 'OpenAI-Beta' header"):
        await client.post("/threads", cast_to=Run, body={})


def test_the_sync_client_works_too(fake: FakeOpenAI, sync_client: OpenAI) -> None:
    fake.script(CallTool("add"), Say("two"), Say("more"))
    run = sync_client.beta.threads.create_and_run_poll(
        assistant_id=ASSISTANT_ID, thread={"messages": [{"role": "user", "content": "1+1"}]}, poll_interval_ms=1
    )
    done = sync_client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs(run, "2"), poll_interval_ms=1
    )
    assert done.status == "completed"
    events = sync_client.beta.threads.runs.create(run.thread_id, assistant_id=ASSISTANT_ID, stream=True)
    assert [event.event for event in events][-1] == "thread.run.completed"
    assert [message.text for message in fake.threads[run.thread_id]] == ["1+1", "two", "more"]
