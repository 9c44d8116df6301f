"""Reasoning, calls and marks in streams that are cut anywhere: kept apart by every backend, and from what goes back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.chat.completion import CompletionAccumulator
from gateway.assistants.replies.accumulator import ReplyAccumulator
from gateway.assistants.replies.filter import PLAIN
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.assistants.responses.events import ResponseEventReader
from gateway.assistants.threads.backend import ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import AssistantError
from gateway.domain.models import ThreadId
from gateway.domain.run_events import TextDelta
from gateway.ports.assistant import Assistant
from gateway.tools import ToolBox
from tests.contracts.assistant_online import TOOL_RUNS, add
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.chat_chunks import DONE, chunks, sent
from tests.fakes.raw_server import RawServer
from tests.fakes.shared_values import MemorySharedValues

SECRET = "Hm, secret."
REASONING = [
    "",
    f"<think>{SECRET}</think>\n\n",
    f"<thinking>{SECRET} </thinking>",
    f"[THINK]{SECRET}[/THINK]",
    f"<|channel|>analysis<|message|>{SECRET}<|end|><|start|>assistant<|channel|>final<|message|>",
    f"<|channel>thought\n{SECRET}<channel|>",
    f"{SECRET}</think>",
]
SAID = ["Hello ", "**there** ", "a < b ", "含[1] ", "`<think>` ", "🙂: ", "x_y\n", "```\n<tool_call>\n```\n"]
SILENT = ["\ue200cite\ue202turn0search0\ue201", "【4:0†source】", "citeturn0search0turn1view2"]
ENDS = ["", "<|im_end|>", "<end_of_turn>", "<|return|>", "</s>"]
CALL = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'

Stream = Callable[[Sequence[str]], list[bytes]]


def event(kind: str, data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def chat_stream(pieces: Sequence[str]) -> list[bytes]:
    return [*chunks(*({"content": piece} for piece in pieces)), DONE]


def response_stream(pieces: Sequence[str]) -> list[bytes]:
    content = [{"type": "output_text", "text": "".join(pieces), "annotations": []}]
    said = {"type": "message", "id": "m", "role": "assistant", "content": content}

    def response(status: str, **more: object) -> bytes:
        kind = "response.completed" if more else "response.created"
        return event(kind, {"type": kind, "response": {"id": "resp_1", "status": status, **more}})

    deltas = ({"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in pieces)
    return [
        response("in_progress"),
        *(event("response.output_text.delta", delta) for delta in deltas),
        response("completed", output=[said]),
    ]


def run_stream(pieces: Sequence[str]) -> list[bytes]:
    run = {"object": "thread.run", "id": f"run_{random.random()}", "status": "in_progress"}

    def message(text: str) -> dict[str, object]:
        content = [{"type": "text", "text": {"value": text, "annotations": []}}]
        return {"id": "msg_1", "role": "assistant", "run_id": run["id"], "content": content}

    return [
        event("thread.run.created", run),
        *(event("thread.message.delta", {"id": "msg_1", "delta": message(piece)}) for piece in pieces),
        event("thread.message.completed", message("".join(pieces))),
        event("thread.run.completed", {**run, "status": "completed"}),
    ]


STREAMS: dict[str, Stream] = {"chat": chat_stream, "responses": response_stream, "threads": run_stream}


def make_backend(name: str, client: openai.AsyncOpenAI, *, show_reasoning: bool = False) -> Assistant:
    api, toolbox = AssistantApiClient(client), ToolBox([add])
    config = replace(AssistantConfig("gpt-4o"), show_reasoning=show_reasoning)
    if name == "chat":
        return ChatBackend(api, config, toolbox, retry_seconds=0.001)
    if name == "responses":
        return ResponsesBackend(api, config, toolbox)
    return ThreadsBackend(api, config, toolbox, ServerAssistant(api, config, toolbox, MemorySharedValues(), "asst_1"))


@pytest.fixture(params=STREAMS)
def name(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def session(name: str, raw: RawServer, raw_client: openai.AsyncOpenAI) -> AssistantSession:
    return make_session(name, raw, make_backend(name, raw_client))


def make_session(name: str, raw: RawServer, backend: Assistant) -> AssistantSession:
    if name == "threads":
        raw.add_response(b'{"tools": []}')  # of the operator's assistant, asked for once
    return AssistantSession(backend, thread_id=ThreadId("conv_1"))


def cut(text: str, chance: random.Random) -> Iterator[str]:
    """Yields a text in pieces of one to nine characters."""
    while text:
        size = chance.randint(1, 9)
        yield text[:size]
        text = text[size:]


@pytest.mark.parametrize("seed", range(12))
async def test_people_get_what_is_said_and_nothing_else(
    raw: RawServer, session: AssistantSession, name: str, seed: int
) -> None:
    chance = random.Random(seed)
    said = "".join(chance.choices(SAID, k=chance.randint(1, 5))).strip()
    marks = [chance.choice(SILENT), chance.choice(ENDS)] if "```" not in said[-8:] else []
    raw.add_stream(*STREAMS[name]([*cut("".join([chance.choice(REASONING), said, *marks]), chance)]))
    assert (await session.say("Hi")).strip() == said
    assert SECRET not in session.shown_text or session.shown_text.startswith(SECRET)


@pytest.mark.parametrize("seed", range(4))
async def test_a_call_as_text_is_run_and_its_output_goes_back_without_reasoning(
    raw: RawServer, session: AssistantSession, name: str, seed: int
) -> None:
    TOOL_RUNS.clear()
    chance = random.Random(seed)
    raw.add_stream(*STREAMS[name]([*cut(f"<think>{SECRET}</think>{CALL}", chance)]))
    raw.add_stream(*STREAMS[name]([*cut("Three.", chance)]))
    assert await session.say("1 + 2?") == "Three."
    assert TOOL_RUNS == [1]
    assert session.shown_text == "Three."
    back = json.dumps(sent(raw), ensure_ascii=False)
    assert SECRET not in back
    assert "3" in back


async def test_reasoning_without_its_beginning_is_shown_to_nobody_from_the_second_time_on(
    raw: RawServer, session: AssistantSession, name: str
) -> None:
    for _ in range(2):
        raw.add_stream(*STREAMS[name]([SECRET, "</thi", "nk>Hel", "lo"]))
        assert await session.say("Hi") == "Hello"
    assert session.shown_text == "Hello"


@pytest.mark.parametrize("shown", [True, False])
async def test_reasoning_in_the_text_is_shown_by_a_setting(
    raw: RawServer, raw_client: openai.AsyncOpenAI, name: str, *, shown: bool
) -> None:
    session = make_session(name, raw, make_backend(name, raw_client, show_reasoning=shown))
    raw.add_stream(*STREAMS[name]([f"<think>{SECRET}</think>", "Hello"]))
    assert await session.say("Hi") == session.shown_text == "Hello"
    told = [(call.name, call.output) for call in session.tool_calls if call.done]
    assert told == ([("reasoning", SECRET)] if shown else [])


def test_pieces_of_text_that_come_together_are_shown_as_one_also_before_an_error() -> None:
    pieces = [("", {"type": "response.output_text.delta", "delta": piece}) for piece in ("One ", "two ", "three")]
    reader = ResponseEventReader(ReplyAccumulator(), set(), PLAIN)
    shown = reader.read_events([*pieces, ("error", {"message": "Away"})])
    assert next(shown) == TextDelta("One two three")
    with pytest.raises(AssistantError):
        next(shown)


@pytest.mark.parametrize("said", ["Hel", "Hello", "<think>Hm</think>Hello"])
def test_a_message_is_what_its_answer_has_whatever_its_stream_brought(said: str) -> None:
    content = [{"type": "output_text", "text": "Hello"}]
    item = {"type": "message", "role": "assistant", "content": content}
    reader = ResponseEventReader(ReplyAccumulator(), set(), PLAIN)
    done = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [item]}}
    list(reader.read_events([("", {"type": "response.output_text.delta", "delta": said}), ("", done)]))
    ((_, reply),) = reader.said
    assert (reply.text, reply.reasoning) == ("Hello", "")


def test_text_that_was_held_back_is_shown_at_the_end_of_its_message() -> None:
    delta = {"type": "response.output_text.delta", "output_index": 1, "delta": "a <"}
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a <"}]}
    done = {"type": "response.output_item.done", "output_index": 1, "item": item}
    reader = ResponseEventReader(ReplyAccumulator(), set(), PLAIN)
    assert list(reader.read_events([("", delta), ("", done)])) == [TextDelta("a "), TextDelta("<")]


def test_text_of_a_completion_that_comes_together_is_one_also_before_an_error() -> None:
    pieces = [("", {"choices": [{"delta": {"content": piece}}]}) for piece in ("One ", "two ", "three")]
    said = CompletionAccumulator().add_events([*pieces, ("", {"error": {"message": "Away"}})])
    assert next(said) == TextDelta("One two three")
    with pytest.raises(AssistantError):
        next(said)
