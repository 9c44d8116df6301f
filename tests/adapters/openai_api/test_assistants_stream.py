"""Runs that are streamed, and runs that wait for functions of their callers, by OpenAI's SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from openai import AssistantEventHandler, BadRequestError, OpenAI, RateLimitError
from openai.types.beta import FunctionToolParam
from openai.types.beta.threads import Run, Text, TextDelta
from openai.types.beta.threads.runs import ToolCall, ToolCallDelta

from adapters.openai_api.assistants.run_stream import RunStream
from gateway.domain.errors import StoreUnavailable
from gateway.domain.run_events import TextDelta as WrittenText
from gateway.web.api.event_stream import event_stream
from tests.adapters.openai_api.openapi.answers import check_events
from tests.adapters.openai_api.site import IGNORED_WARNINGS, ApiSite, open_api
from tests.fakes.openai_server import CallTool, Fail, HostedTool, Incomplete, Say
from tests.gateway.turn_factory import TURN
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings(IGNORED_WARNINGS)

BEGIN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
MESSAGE = [
    *("thread.run.step.created", "thread.run.step.in_progress"),
    *("thread.message.created", "thread.message.in_progress", "thread.message.delta"),
]
END = ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"]
WEATHER: FunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Printer(AssistantEventHandler):
    """Prints as the handlers of OpenAI's documentation do."""

    def __init__(self) -> None:
        super().__init__()
        self.printed = ""

    def on_text_created(self, text: Text) -> None:
        self.printed += "assistant > "

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.printed += delta.value or ""

    def on_tool_call_created(self, tool_call: ToolCall) -> None:
        self.printed += f"assistant > {tool_call.type}\n"

    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        if delta.type == "code_interpreter" and delta.code_interpreter:
            self.printed += delta.code_interpreter.input or ""
            for output in delta.code_interpreter.outputs or ():
                self.printed += f"\noutput > {output.logs}\n" if output.type == "logs" else ""


def names(stream: Any) -> list[str]:
    """The names of the events, each once in a row."""
    found: list[str] = []
    for event in stream:
        if found[-1:] != [event.event]:
            found.append(event.event)
    return found


def test_a_run_is_streamed_with_the_documented_events(client: OpenAI, site: ApiSite) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    site.fake.script(Say("Hello to you", chunks=4))
    stream = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", stream=True)
    assert names(stream) == [*BEGIN, *MESSAGE, *END]
    stream = client.beta.threads.create_and_run(
        assistant_id="default", thread={"messages": [{"role": "user", "content": "again"}]}, stream=True
    )
    assert names(stream) == ["thread.created", *BEGIN, *MESSAGE, *END]


def test_a_thread_that_is_made_with_a_run_is_shown_as_it_is(client: OpenAI) -> None:
    thread: Any = {"messages": [{"role": "user", "content": "hi"}], "metadata": {"for": "me"}}
    headers = {"Idempotency-Key": "a thread and its run"}
    for _ in range(2):  # as it is made, and as it was made
        first, *_ = client.beta.threads.create_and_run(
            assistant_id="default", thread=thread, stream=True, extra_headers=headers
        )
        assert first.event == "thread.created"
        assert first.data == client.beta.threads.retrieve(first.data.id)
        assert first.data.metadata == {"for": "me"}


def test_callers_of_runs_leave_places_to_others(sqlite_url: str) -> None:
    with open_api(sqlite_url, MAX_WAITING_CALLERS="4", MAX_CALLER_SHARE="0.5") as site:
        client, other = site.client(), site.client("key-two")
        site.fake.script(*[Say("slow", hold_after=1) for _ in range(3)])
        streams = [_begun(client), _begun(client)]
        with pytest.raises(RateLimitError) as refused:
            _begun(client)
        assert refused.value.code == "rate_limit_exceeded"
        streams.append(_begun(other))
        run = next(each.data for each in streams[0] if each.event == "thread.run.created")
        polled = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        assert polled.status == "in_progress", "it is told at once, as its caller has no more places"
        assert site.adapter.waiters.count == 3
        site.fake.release()
        for stream in streams:
            stream.close()


def _begun(client: OpenAI) -> Any:
    thread: Any = {"messages": [{"role": "user", "content": "hi"}]}
    return client.beta.threads.create_and_run(assistant_id="default", thread=thread, stream=True)


def test_a_handler_gets_the_text_and_the_final_run(client: OpenAI, site: ApiSite) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    site.fake.script(Say("Hello to you", chunks=4))
    handler = Printer()
    with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id="default", event_handler=handler) as stream:
        stream.until_done()
        (message,) = stream.get_final_messages()
    assert handler.printed == "assistant > Hello to you"
    assert message.content[0].type == "text"
    assert message.content[0].text.value == "Hello to you"
    assert message == next(iter(client.beta.threads.messages.list(thread.id)))


def test_a_streamed_run_that_fails_or_is_cancelled_ends_so(client: OpenAI, site: ApiSite) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}])
    site.fake.script(Fail("invalid_prompt"))
    stream = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", stream=True)
    assert names(stream) == [*BEGIN, "thread.run.failed"]
    site.fake.script(Say("a long answer", chunks=3, hold_after=1))
    found = []
    for event in client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", stream=True):
        found.append(event.event)
        if event.event == "thread.message.delta":
            client.beta.threads.runs.cancel(client.beta.threads.runs.list(thread.id).data[0].id, thread_id=thread.id)
    site.fake.release()
    assert found == [*BEGIN, *MESSAGE, "thread.message.incomplete", "thread.run.step.cancelled", "thread.run.cancelled"]


def outputs(run: Any, value: str) -> list[Any]:
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [{"tool_call_id": call.id, "output": f"{value} {call.function.arguments}"} for call in calls]


def test_a_run_waits_for_functions_that_its_caller_runs(client: OpenAI, site: ApiSite) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o", tools=[WEATHER])
    site.fake.script(
        [CallTool("weather", {"city": "Bonn"}), CallTool("weather", {"city": "Rome"})], Say("Fine in both.")
    )
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "weather?"}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "requires_action"
    assert run.tools[0].type == "function"
    with pytest.raises(BadRequestError, match="active run"):
        client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default")
    with pytest.raises(BadRequestError, match="Missing"):
        client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=thread.id, tool_outputs=outputs(run, "sunny")[:1]
        )
    assert not site.gateway.worker.is_processing(1), "it holds no place"
    submitted = client.beta.threads.runs.submit_tool_outputs(
        run.id, thread_id=thread.id, tool_outputs=outputs(run, "sunny")
    )
    assert submitted.status in ("queued", "in_progress")
    ended = client.beta.threads.runs.poll(run.id, thread_id=thread.id)
    assert ended.status == "completed"
    asked = site.fake.requests[-1].body["messages"]
    assert [each["role"] for each in asked] == ["user", "assistant", "tool", "tool"]
    assert [each["content"] for each in asked[2:]] == ['sunny {"city": "Bonn"}', 'sunny {"city": "Rome"}']
    (reply, _) = client.beta.threads.messages.list(thread.id)
    assert reply.content[0].type == "text"
    assert reply.content[0].text.value == "Fine in both."
    steps = list(client.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc"))
    assert [each.type for each in steps] == ["tool_calls", "message_creation"]
    with pytest.raises(BadRequestError, match='Runs in status "completed"'):
        client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=thread.id, tool_outputs=[{"tool_call_id": "none", "output": "x"}]
        )
    again = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id="default", additional_messages=[{"role": "user", "content": "thanks"}]
    )
    assert again.status == "completed"
    past = site.fake.requests[-1].body["messages"]
    assert [each["role"] for each in past] == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]


@pytest.mark.parametrize(("problem", "code"), [(StoreUnavailable(), "store_unavailable"), (RuntimeError(), "internal")])
async def test_what_ends_a_stream_of_a_run_is_named_in_its_last_event(problem: Exception, code: str) -> None:
    async def updates() -> AsyncGenerator[Any, None]:
        yield WrittenText("Hel")
        raise problem

    written = "".join([part async for part in event_stream(TURN, updates(), RunStream(TURN, []), ping_seconds=60.0)])
    *_, error, done, _ = written.split("\n\n")
    assert error.startswith("event: error\n")
    assert json.loads(error.partition("data: ")[2])["code"] == code
    assert done == "event: done\ndata: [DONE]"


def test_outputs_are_brought_and_the_rest_is_streamed(client: OpenAI, site: ApiSite) -> None:
    site.fake.script([CallTool("weather", {"city": "Bonn"})], [CallTool("weather", {"city": "Rome"})], Say("Fine."))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "weather?"}])
    stream = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", tools=[WEATHER], stream=True)
    calls = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]
    assert names(stream) == [*BEGIN, *calls, "thread.run.requires_action"]
    for ending in ([*calls, "thread.run.requires_action"], [*MESSAGE, *END]):
        run = client.beta.threads.runs.list(thread.id).data[0]
        with client.beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs(run, "fine")
        ) as more:
            assert names(more) == ["thread.run.queued", "thread.run.in_progress", *ending]


def streamed(client: OpenAI, **asked: Any) -> list[str]:
    """Streams a run in a new thread; returns the names of its events, each of which is checked."""
    messages = [{"role": "user", "content": "6 * 7?"}]
    given = {"assistant_id": "default", "thread": {"messages": messages}, "stream": True, **asked}
    with client.beta.threads.with_streaming_response.create_and_run(**given) as response:
        return check_events("".join(response.iter_text()))


def test_the_events_of_a_run_are_as_described(client: OpenAI, site: ApiSite) -> None:
    assert streamed(client)[-2:] == ["thread.run.completed", "done"]
    site.fake.script([CallTool("weather", {"city": "Bonn"})])
    assert streamed(client, tools=[WEATHER])[-2:] == ["thread.run.requires_action", "done"]
    site.fake.script(Fail("invalid_prompt", "No."))
    assert streamed(client)[-2:] == ["thread.run.failed", "done"]
    site.fake.script([Say("It is"), Incomplete()])
    assert streamed(client)[-2:] == ["thread.run.incomplete", "done"]


def test_a_run_whose_outputs_do_not_come_expires(
    client: OpenAI, site: ApiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.turns.turn_runner.OUTPUT_SECONDS", 0.05)
    site.fake.script([CallTool("weather", {"city": "Bonn"})])
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "weather?"}])
    run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id="default", tools=[WEATHER])

    def retrieved() -> Run:
        return client.beta.threads.runs.retrieve(run.id, thread_id=thread.id)

    until(lambda: retrieved().status not in ("queued", "in_progress", "requires_action"))
    run = retrieved()
    assert run.status == "expired"
    assert run.usage is not None
    assert run.usage.total_tokens > 0


@pytest.fixture(scope="module")
def responses(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Any) -> Iterator[ApiSite]:
    path = tmp_path_factory.mktemp("responses") / "gateway.db"
    path.write_bytes(empty_sqlite.read_bytes())
    with open_api(f"sqlite:///{path}", ASSISTANT_BACKEND="responses") as opened:
        yield opened


def test_the_code_interpreter_of_the_server_is_used_and_shown(responses: ApiSite) -> None:
    client = responses.client()
    assistant = client.beta.assistants.create(
        model="gpt-4o", name="Math", instructions="Compute.", tools=[{"type": "code_interpreter"}]
    )
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "6 * 7?"}])
    responses.fake.script([HostedTool("code_interpreter", "print(6 * 7)", "42"), Say("It is 42.")])
    handler = Printer()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
    ) as stream:
        stream.until_done()
    assert handler.printed == ("assistant > code_interpreter\nprint(6 * 7)\noutput > 42\nassistant > It is 42.")
    asked = responses.fake.posts("/responses")[-1].body
    assert [tool["type"] for tool in asked["tools"]] == ["code_interpreter"]
    with pytest.raises(BadRequestError, match="vector store"):
        client.beta.threads.runs.create(
            thread_id=thread.id,
            assistant_id=assistant.id,
            tools=[{"type": "file_search"}],
            additional_messages=[{"role": "user", "content": "more"}],
        )


def test_the_events_of_a_tool_of_the_server_are_as_described(responses: ApiSite) -> None:
    responses.fake.script([HostedTool("code_interpreter", "print(6 * 7)", "42"), Say("It is 42.")])
    found = streamed(responses.client(), tools=[{"type": "code_interpreter"}])
    assert found.count("thread.run.step.completed") == 2


def test_functions_of_the_caller_work_with_responses(responses: ApiSite) -> None:
    client = responses.client()
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "weather?"}])
    responses.fake.script([CallTool("weather", {"city": "Bonn"})], Say("Fine."))
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id="default", tools=[WEATHER])
    assert run.status == "requires_action"
    ended = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread.id, tool_outputs=outputs(run, "sunny")
    )
    assert ended.status == "completed", ended.last_error
    asked = responses.fake.posts("/responses")[-1].body
    assert [each["type"] for each in asked["input"]] == ["function_call_output"]
