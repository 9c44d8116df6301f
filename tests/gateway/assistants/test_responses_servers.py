"""Servers of the Responses API that cannot continue a conversation, have none, or answer in their own ways."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.responses.backend import ResponsesBackend
from gateway.domain.errors import AnswerLost, AssistantError, AssistantMisconfigured, AssistantRefused
from gateway.domain.exchange import CallOutput, Exchange
from gateway.domain.files import File
from gateway.domain.models import ThreadId, Usage
from gateway.domain.run_events import RunStarted
from gateway.domain.turn_options import TurnOptions
from gateway.tools import ToolBox
from tests.contracts.assistant_online import TOOL_RUNS, add
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.chat_chunks import refuse, sent
from tests.fakes.file_contents import file_of
from tests.fakes.raw_server import RawServer

CONFIG = AssistantConfig("gpt-4o", poll_seconds=0.01)
PAST = [Exchange("I am Ada.", "Hello Ada."), Exchange("Bad", "Worse")]


@pytest.fixture
def session(raw_client: openai.AsyncOpenAI) -> AssistantSession:
    backend = ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add]))
    return AssistantSession(backend, exchanges=list(PAST), thread_id=ThreadId("conv_1"))


def message(text: str, **more: object) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, **more}]}


def answer(*output: dict[str, Any], status: str = "completed", **more: object) -> bytes:
    return json.dumps({"id": "resp_1", "object": "response", "status": status, "output": output, **more}).encode()


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


CANNOT_CONTINUE = [
    ("400 Bad Request", "Item 'rs_1' of type 'reasoning' was provided without its required following item."),
    ("400 Bad Request", "Item 'msg_1' of type 'message' was provided without its required 'reasoning' item: 'rs_1'."),
    ("404 Not Found", "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."),
    ("400 Bad Request", "Duplicate item found with id msg_1. Remove duplicate items from your input and try again."),
    ("400 Bad Request", "Etwas an dieser Unterhaltung ist kaputt."),
]


class TestConversationsThatCannotContinue:
    @pytest.mark.parametrize(("status", "text"), CANNOT_CONTINUE)
    async def test_a_new_one_is_made_of_our_transcript(
        self, raw: RawServer, session: AssistantSession, status: str, text: str
    ) -> None:
        refuse(raw, text, status=status)
        raw.add_response(b'{"id": "conv_2"}')
        raw.add_response(answer(message("Ada.")))
        assert await session.say("Who am I?") == "Ada."
        assert session.thread_id == "conv_2"
        assert [item["content"] for item in sent(raw, 1)["items"]] == ["I am Ada.", "Hello Ada.", "Bad", "Worse"]

    async def test_a_new_one_is_made_where_calls_that_are_said_not_to_match_do(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        refuse(raw, "No tool output found for function call call_1.")
        raw.add_response(b'{"data": []}')
        raw.add_response(b'{"data": []}')
        raw.add_response(b'{"id": "conv_2"}')
        raw.add_response(answer(message("Ada.")))
        assert await session.say("Who am I?") == "Ada."
        assert session.thread_id == "conv_2"

    async def test_an_unknown_refusal_is_believed_in_the_new_one(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        refuse(raw, "Nein.")
        raw.add_response(b'{"id": "conv_2"}')
        refuse(raw, "Nein.")
        with pytest.raises(AssistantRefused, match="Nein"):
            await session.say("Who am I?")
        assert len(raw.requests) == 3

    async def test_what_trips_a_filter_is_left_out_of_the_new_one(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        refuse(raw, "The prompt was filtered", code="content_filter")
        raw.add_response(b'{"id": "conv_2"}')
        raw.add_response(answer(message("Ada.")))
        assert await session.say("Who am I?") == "Ada."
        assert [item["content"] for item in sent(raw, 1)["items"]] == ["I am Ada.", "Hello Ada."]

    async def test_a_message_that_trips_a_filter_is_refused(self, raw: RawServer, session: AssistantSession) -> None:
        for number in (2, 3):
            refuse(raw, "The prompt was filtered", code="content_filter")
            raw.add_response(b'{"id": "conv_%d"}' % number)
        refuse(raw, "The prompt was filtered", code="content_filter")
        with pytest.raises(AssistantRefused) as caught:
            await session.say("Worst")
        assert caught.value.code == "not_allowed"
        assert sent(raw, 3) == {}, "the second new conversation begins without a past"

    async def test_a_past_that_is_too_long_is_shortened_in_the_new_one(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        session.exchanges = [Exchange(f"Q{number}", "A" * 500) for number in range(8)]
        refuse(raw, "Your input exceeds the context window of this model.")
        raw.add_response(b'{"id": "conv_2"}')
        raw.add_response(answer(message("Here.")))
        assert await session.say("Hi") == "Here."
        assert sent(raw, 1)["items"][0]["content"] == "Q4"


async def test_an_image_whose_item_is_gone_is_gone(raw: RawServer, session: AssistantSession) -> None:
    refuse(raw, "Item with id 'ig_1' not found.", status="404 Not Found")
    with pytest.raises(AssistantRefused) as caught:
        await file_of(session.assistant, File("image.png", "conversation conv_1 ig_1"))
    assert caught.value.code == "file_gone"


class TestServersWithoutConversations:
    @pytest.fixture
    def session(self, raw_client: openai.AsyncOpenAI) -> AssistantSession:
        backend = ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add]))
        return AssistantSession(backend, exchanges=list(PAST))

    async def test_the_whole_round_of_tools_is_sent_along(self, raw: RawServer, session: AssistantSession) -> None:
        reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"}
        call = {"type": "function_call", "call_id": "x", "name": "add", "arguments": '{"a": 1, "b": 2}'}
        raw.add_response(b"{}", status="404 Not Found")
        raw.add_response(answer(reasoning, call))
        raw.add_response(answer(message("Three."), usage={"input_tokens": 5, "output_tokens": 2}))
        assert await session.say("1 + 2?") == "Three."
        assert sent(raw)["input"][4:] == [
            {"type": "message", "role": "user", "content": "1 + 2?"},
            reasoning,
            call,
            {"type": "function_call_output", "call_id": "x", "output": "3"},
        ]
        assert session.answer.usage == Usage(5, 2)

    async def test_reasoning_goes_back_with_the_results_of_a_callers_function(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"}
        call = {"type": "function_call", "call_id": "x", "name": "weather", "arguments": "{}"}
        raw.add_response(b"{}", status="404 Not Found")
        for output in ((reasoning, call), (message("Sunny."),), (message("Bye."),)):
            raw.add_response(answer(*output))
        session.options = TurnOptions(functions=({"name": "weather"},))
        await session.say("How is it?")
        session.options = replace(session.options, outputs=(CallOutput("x", "sun"),))
        await session.say("")
        assert sent(raw)["input"][4:] == [
            {"type": "message", "role": "user", "content": "How is it?"},
            reasoning,
            call,
            {"type": "function_call_output", "call_id": "x", "output": "sun"},
        ]
        session.options = None
        await session.say("Thanks")
        assert reasoning not in sent(raw)["input"], "the user has said something since"

    async def test_a_call_goes_back_in_a_form_that_the_server_takes(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_response(b"{}", status="404 Not Found")
        raw.add_response(answer({"type": "function_call", "id": "fc_1", "name": "add", "arguments": "{broken"}))
        raw.add_response(answer(message("Sorry.")))
        assert await session.say("1 + 2?") == "Sorry."
        call, output = sent(raw)["input"][-2:]
        assert isinstance(json.loads(call["arguments"]), dict)
        assert call["call_id"] == output["call_id"] == "fc_1"

    async def test_a_refused_field_conversation_is_left_out(self, raw: RawServer, session: AssistantSession) -> None:
        raw.add_response(b'{"id": "conv_1"}')
        refuse(raw, "Unknown parameter: 'conversation'.", param="conversation")
        raw.add_response(answer(message("Hello")))
        assert await session.say("Hi") == "Hello"
        assert "conversation" not in sent(raw)
        assert [item["content"] for item in sent(raw)["input"]] == [
            "I am Ada.", "Hello Ada.", "Bad", "Worse", "Hi",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            ("400 Bad Request", b'{"detail": "no such endpoint"}'),
            ("403 Forbidden", b'{"error": {"message": "You have insufficient permissions for this operation."}}'),
            ("501 Not Implemented", b""),
            ("200 OK", b"<html>Not here</html>"),
            ("200 OK", b"{}"),
        ],
    )
    async def test_whatever_says_that_there_are_no_conversations_is_believed(
        self, raw: RawServer, session: AssistantSession, status: str, body: bytes
    ) -> None:
        raw.add_response(body, status=status)
        raw.add_response(answer(message("Hello")))
        assert await session.say("Hi") == "Hello"
        assert sent(raw)["input"][0]["content"] == "I am Ada."

    async def test_a_hosted_tool_that_is_refused_does_not_take_the_functions_along(
        self, raw: RawServer, raw_client: openai.AsyncOpenAI
    ) -> None:
        config = replace(CONFIG, hosted_tools=({"type": "web_search"},))
        backend = ResponsesBackend(AssistantApiClient(raw_client), config, ToolBox([add]))
        session = AssistantSession(backend, thread_id=ThreadId("conv_1"))
        refuse(raw, "Invalid value: 'web_search'. Supported values are: 'function'.", param="tools[0].type")
        raw.add_response(answer(message("Hello")))
        assert await session.say("Hi") == "Hello"
        assert [tool["type"] for tool in sent(raw)["tools"]] == ["function"]

    async def test_a_server_that_stores_nothing_gets_the_history_and_encrypted_reasoning(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_response(b'{"id": "conv_1"}')
        for _ in range(2):
            refuse(raw, "Store must be set to false", param="store")
        raw.add_response(answer(message("Hello")))
        assert await session.say("Hi") == "Hello"
        assert sent(raw)["store"] is False
        assert sent(raw)["include"] == ["reasoning.encrypted_content"]
        assert not {"conversation", "background"} & set(sent(raw))
        assert sent(raw)["input"][0]["content"] == "I am Ada."

    @pytest.mark.parametrize(
        ("text", "head"),
        [
            ("Unknown parameter: 'instructions'.", {"type": "message", "role": "system", "content": "Be brief."}),
            ("System role not supported", {"type": "message", "role": "user", "content": "Be brief.\n\nI am Ada."}),
        ],
    )
    async def test_refused_instructions_become_the_head_of_the_input(
        self, raw: RawServer, raw_client: openai.AsyncOpenAI, text: str, head: dict[str, str]
    ) -> None:
        config = replace(CONFIG, instructions="Be brief.")
        backend = ResponsesBackend(AssistantApiClient(raw_client), config, ToolBox([]))
        session = AssistantSession(backend, exchanges=list(PAST))
        raw.add_response(b"{}", status="404 Not Found")
        refuse(raw, text)
        raw.add_response(answer(message("Hello")))
        assert await session.say("Hi") == "Hello"
        assert "instructions" not in sent(raw)
        assert sent(raw)["input"][0] == head

    @pytest.mark.parametrize(
        "name", ["background", "store", "truncation", "stream", "stream_options", "metadata", "tools"]
    )
    async def test_any_refused_field_is_left_out(self, raw: RawServer, session: AssistantSession, name: str) -> None:
        session.thread_id = ThreadId("conv_1")
        refuse(raw, f"Unsupported parameter: '{name}'")
        raw.add_response(answer(message("Hello")))
        assert await session.say("Hi") == "Hello"
        assert [sent(raw, number).get(name, False) is not False for number in range(2)] == [True, False]


class TestAnswers:
    async def test_a_response_without_output_is_what_was_streamed(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_stream(
            event("response.created", response={"id": "resp_1", "status": "in_progress"}),
            event("response.output_text.delta", output_index=0, delta="Hel"),
            event("response.output_text.delta", output_index=0, delta="lo"),
            event("response.completed", response={"id": "resp_1", "status": "completed", "output": []}),
        )
        assert await session.say("Hi") == session.shown_text == "Hello"

    async def test_a_message_without_its_text_is_what_was_streamed(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_stream(
            event("response.created", response={"id": "resp_1", "status": "in_progress"}),
            event("response.output_text.delta", output_index=0, delta="Hello"),
            event("response.completed", response={"id": "resp_1", "status": "completed", "output": [message("")]}),
        )
        assert await session.say("Hi") == session.shown_text == "Hello"

    @pytest.mark.parametrize("end", [{}, {"id": None, "status": None}, {"id": "resp_1", "status": "in_progress"}])
    async def test_the_event_says_that_a_response_has_ended_where_it_does_not_itself(
        self, raw: RawServer, session: AssistantSession, end: dict[str, object]
    ) -> None:
        raw.add_stream(
            event("response.created", response={"id": "resp_1", "status": "in_progress"}),
            event("response.completed", response={**end, "output": [message("Hello")]}),
        )
        assert await session.say("Hi") == "Hello"
        assert [event.run_id for event in session.events if isinstance(event, RunStarted)] == ["resp_1"]

    async def test_what_a_stream_says_of_its_error_counts_where_the_response_is_not_kept(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_stream(
            event("response.created", response={"id": "resp_1", "status": "in_progress"}),
            event("error", code="insufficient_quota", message="No money"),
        )
        refuse(raw, "Response not found", status="404 Not Found")
        with pytest.raises(AssistantMisconfigured) as caught:
            await session.attempt(session.make_turn("Hi"), first=True)
        assert caught.value.code == "no_credit"

    async def test_calls_without_ids_are_told_apart(self, raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
        session = AssistantSession(ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add])))
        raw.add_response(b"{}", status="404 Not Found")
        calls = [
            {"type": "function_call", "call_id": call_id, "name": "functions.add", "arguments": {"a": 1, "b": b}}
            for b, call_id in enumerate((None, "", "call_1", "call_1"))
        ]
        raw.add_response(answer(*calls))
        raw.add_response(answer(message("Done.")))
        assert await session.say("Add") == "Done."
        items = sent(raw)["input"][1:]
        ids = [item["call_id"] for item in items if item["type"] == "function_call"]
        assert len(set(ids)) == len(calls)
        outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
        assert [outputs[call_id] for call_id in ids] == ["1", "2", "3", "4"]

    async def test_calls_written_as_text_are_told_apart_between_rounds(
        self, raw: RawServer, raw_client: openai.AsyncOpenAI
    ) -> None:
        session = AssistantSession(ResponsesBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add])))
        raw.add_response(b"{}", status="404 Not Found")
        for b in (2, 3):
            written = json.dumps({"name": "add", "arguments": {"a": 1, "b": b}})
            raw.add_response(answer(message(f"<tool_call>{written}</tool_call>")))
        raw.add_response(answer(message("Done.")))
        assert await session.say("Add") == "Done."
        items = sent(raw)["input"][1:]
        assert [item["type"] for item in items] == ["function_call", "function_call_output"] * 2
        assert [item["output"] for item in items[1::2]] == ["3", "4"]

    async def test_done_ends_a_response_that_was_streamed(self, raw: RawServer, session: AssistantSession) -> None:
        raw.add_stream(
            event("response.created", response={"id": "resp_1", "status": "in_progress"}),
            event("response.output_text.delta", output_index=0, delta="Hello"),
            b"data: [DONE]\n\n",
        )
        assert await session.say("Hi") == "Hello"

    async def test_a_cut_off_answer_that_the_conversation_has_is_not_added_again(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        details = {"reason": "max_output_tokens"}
        raw.add_response(answer(message("Half"), status="incomplete", incomplete_details=details))
        raw.add_response(json.dumps({"data": [message("Half")], "has_more": False}).encode())
        assert (await session.say("Hi")).startswith("Half\n\n")
        assert len(raw.requests) == 2

    async def test_sources_become_links_and_reasoning_is_left_out(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        mark = "\ue200cite\ue202turn0search0\ue201"
        note: dict[str, object] = {"type": "url_citation", "url": "https://example.com/a", "title": "A [page]"}
        note |= {"start_index": 9, "end_index": 9 + len(mark)}
        text = f"It rains.{mark}"
        said = message(text, annotations=[note])
        said["content"].insert(0, {"type": "reasoning_text", "text": "Hm."})
        raw.add_response(answer(said))
        assert await session.say("Hi") == "It rains. ([A page](https://example.com/a))"

    async def test_a_call_written_as_text_is_run(self, raw: RawServer, session: AssistantSession) -> None:
        TOOL_RUNS.clear()
        raw.add_response(answer(message('<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>')))
        raw.add_response(answer(message("Three.")))
        assert await session.say("1 + 2?") == "Three."
        assert TOOL_RUNS == [1]
        call, output = sent(raw)["input"]
        assert call["call_id"] == output["call_id"]

    @pytest.mark.parametrize("body", [{"error": {"message": "boom"}}, {"message": "boom", "code": 500}])
    async def test_an_error_with_status_200_is_an_answer_that_was_lost(
        self, raw: RawServer, session: AssistantSession, body: dict[str, object]
    ) -> None:
        raw.add_response(json.dumps(body).encode())
        with pytest.raises(AssistantError, match="boom") as caught:
            await session.attempt(session.make_turn("Hi"), first=True)
        assert isinstance(caught.value, AnswerLost)
