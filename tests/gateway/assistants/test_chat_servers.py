"""Servers of chat completions that answer, refuse or fail in their own ways."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import openai
import pytest

from gateway.assistants import api_client
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantRefused,
    TooManyRounds,
)
from gateway.domain.exchange import Exchange
from gateway.domain.models import Usage
from gateway.domain.run_events import UsageCounted
from gateway.tools import ToolBox
from tests.contracts.assistant_online import add
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.chat_chunks import DONE, call, chunks, event, refuse, sent
from tests.fakes.raw_server import RawServer

CONFIG = AssistantConfig("gpt-4o", "Be brief.")


@pytest.fixture
def session(raw_client: openai.AsyncOpenAI) -> AssistantSession:
    return AssistantSession(ChatBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add]), retry_seconds=0.001))


async def failure(session: AssistantSession, text: str = "Hi") -> AssistantError:
    """Returns the error of one attempt."""
    await session.open_thread()
    with pytest.raises(AssistantError) as caught:
        await session.attempt(session.make_turn(text), first=True)
    return caught.value


class TestAnswersInAnyForm:
    async def test_done_ends_an_answer_without_a_finish_reason(self, raw: RawServer, session: AssistantSession) -> None:
        raw.add_stream(*chunks({"content": "Hello"}, finish=None), DONE)
        assert await session.say("Hi") == "Hello"
        assert len(raw.requests) == 1

    @pytest.mark.parametrize("label", ["application/json", "text/plain", "text/html"])
    async def test_a_stream_is_read_whatever_it_is_called(
        self, raw: RawServer, session: AssistantSession, label: str
    ) -> None:
        raw.add_response(b"".join(chunks({"content": "Hel"}, {"content": "lo"})) + DONE, content_type=label)
        assert await session.say("Hi") == "Hello"

    @pytest.mark.parametrize("label", ["text/event-stream", "text/plain"])
    @pytest.mark.parametrize("before", [b"", b"\n\n ", b"\xef\xbb\xbf"])
    async def test_json_is_read_whatever_it_is_called(
        self, raw: RawServer, session: AssistantSession, label: str, before: bytes
    ) -> None:
        body = {"id": "c1", "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
        raw.add_response(before + json.dumps(body, indent=1).encode(), content_type=label)
        assert await session.say("Hi") == "Hello"

    @pytest.mark.parametrize(
        "ping", [b"data:\n\n", b"data: ping\n\n", b"data: ping\n", b": ping\n\n", b"event: ping\n"]
    )
    async def test_keep_alives_are_skipped(self, raw: RawServer, session: AssistantSession, ping: bytes) -> None:
        first, *rest = chunks({"content": "Hel"}, {"content": "lo"})
        raw.add_stream(ping, first, ping, *rest, ping, DONE)
        assert await session.say("Hi") == "Hello"

    async def test_events_need_no_empty_line_between_them(self, raw: RawServer, session: AssistantSession) -> None:
        raw.add_stream(*(one[:-1] for one in chunks({"content": "Hel"}, {"content": "lo"})), DONE)
        assert await session.say("Hi") == "Hello"

    @pytest.mark.parametrize("page", [b"<!doctype html><html>Welcome</html>", b"\n <html></html>"])
    async def test_a_web_page_says_what_to_set_and_is_asked_for_once(
        self, raw: RawServer, session: AssistantSession, page: bytes
    ) -> None:
        raw.add_response(page, content_type="text/html")
        error = await failure(session)
        assert isinstance(error, AssistantMisconfigured)
        assert "OPENAI_BASE_URL" in str(error)


class TestRepeats:
    @pytest.mark.parametrize(
        "chunk",
        [
            {"error": {"message": "upstream died", "code": "boom"}},
            {"error": "upstream died"},
            {"message": "upstream died", "code": 500},
            {"object": "error", "message": "upstream died"},
            {"id": "c1", "choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "upstream died"}}]},
            {"detail": "upstream died"},
            {"detail": [{"loc": ["body"], "msg": "upstream died"}]},
            {"error_code": 500, "error_msg": "upstream died"},
        ],
    )
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_an_error_with_status_200_is_asked_for_three_times_and_named(
        self, raw: RawServer, session: AssistantSession, chunk: dict[str, Any], *, streamed: bool
    ) -> None:
        for _ in range(3):
            raw.add_stream(event(chunk), DONE) if streamed else raw.add_response(json.dumps(chunk).encode())
        error = await failure(session)
        assert type(error) is AssistantError, "an error that the caller does not repeat"
        assert "upstream died" in str(error)
        assert len(raw.requests) == 3

    async def test_each_lost_answer_is_counted_as_cost(self, raw: RawServer, session: AssistantSession) -> None:
        for _ in range(3):
            told = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
            raw.add_stream(*chunks({"content": "Hel"}, finish=None), event(told))
        error = await failure(session)
        assert error.usage == Usage(15, 6)
        counted = [one for one in session.events if isinstance(one, UsageCounted)]
        assert [one.usage for one in counted] == [Usage(5, 2)] * 3
        assert len({one.run_id for one in counted}) == 3

    async def test_a_model_that_is_being_loaded_is_waited_for(
        self, raw: RawServer, session: AssistantSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api_client, "LOADING_SECONDS", 0.001)
        for _ in range(7):
            refuse(raw, "Loading model", status="503 Unavailable", type="unavailable_error", code=503)
        raw.add_stream(*chunks({"content": "Hello"}))
        assert await session.say("Hi") == "Hello"
        assert not session.errors

    @pytest.mark.parametrize(
        ("body", "seconds"),
        [
            ([{"error": {"code": 429, "message": "You exceeded your current quota. Please retry in 32.5s."}}], 32.5),
            ({"error": {"message": "Limit reached.", "details": [{"retryDelay": "7s"}]}}, 7),
            ({"error": {"message": "Rate limit reached, please try again in 1m2.5s."}}, 62.5),
            ({"error": {"message": "Please retry after 20 seconds."}}, 20),
        ],
    )
    async def test_a_wait_named_in_the_body_is_kept(
        self, raw: RawServer, session: AssistantSession, body: object, seconds: float
    ) -> None:
        raw.add_response(json.dumps(body).encode(), status="429 Too Many Requests")
        error = await failure(session)
        assert isinstance(error, AssistantRateLimited)
        assert error.retry_after == seconds


class TestMoreThanText:
    PNG = b"\x89PNG\r\n\x1a\n"

    @pytest.mark.parametrize("place", ["images", "content"])
    async def test_images_of_an_answer_are_files_for_the_person(
        self, raw: RawServer, session: AssistantSession, place: str
    ) -> None:
        url = "data:image/png;base64," + base64.b64encode(self.PNG).decode()
        image = {"type": "image_url", "image_url": {"url": url}}
        raw.add_stream(*chunks({"content": "Here."}, {place: [image]}), DONE)
        assert await session.say("Draw") == "Here."
        (made,) = (file for call in session.tool_calls for file in call.files)
        assert (made.file.name, made.content.head(99)) == ("image.png", self.PNG)

    @pytest.mark.parametrize(
        "image", [None, "x", {}, {"image_url": None}, {"image_url": {"url": "data:image/png;base64,%"}}]
    )
    async def test_what_is_no_image_is_none(self, raw: RawServer, session: AssistantSession, image: object) -> None:
        raw.add_stream(*chunks({"content": "Here.", "images": [image]}), DONE)
        assert await session.say("Draw") == "Here."
        assert not session.tool_calls

    @pytest.mark.parametrize("place", ["images", "content"])
    async def test_an_image_at_an_address_is_a_link_and_shown_once(
        self, raw: RawServer, session: AssistantSession, place: str
    ) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://cdn.example.com/a_(1).png?x=1&y=2"}}
        raw.add_stream(*chunks({"content": "Here."}, {place: [image]}, {place: [image]}), DONE)
        assert (await session.say("Draw")).strip() == "Here.\n\n![image](<https://cdn.example.com/a_(1).png?x=1&y=2>)"
        assert not session.tool_calls

    @pytest.mark.parametrize("order", [[0, 1, 0, 1], [1, 0, 0, 1]])
    async def test_of_several_choices_one_is_the_answer(
        self, raw: RawServer, session: AssistantSession, order: list[int]
    ) -> None:
        words = {0: ["Hel", "lo"], 1: ["Good", "bye"]}
        told = [{"index": number, "delta": {"content": words[number].pop(0)}} for number in order]
        raw.add_stream(
            *(event({"choices": [each]}) for each in told),
            event({"choices": [{"index": number, "delta": {}, "finish_reason": "stop"} for number in (0, 1)]}),
            DONE,
        )
        assert await session.say("Hi") == {0: "Hello", 1: "Goodbye"}[order[0]]

    async def test_a_choice_without_a_number_is_the_first(self, raw: RawServer, session: AssistantSession) -> None:
        told = [{"delta": {"content": "Hel"}}, {"index": 0, "delta": {"content": "lo"}}, {"delta": {"content": "!"}}]
        raw.add_stream(*(event({"choices": [each]}) for each in told), *chunks({"content": ""}), DONE)
        assert await session.say("Hi") == "Hello!"

    async def test_a_spoken_answer_is_what_was_said(self, raw: RawServer, session: AssistantSession) -> None:
        said = [{"id": "audio_1", "transcript": "Hel"}, {"data": "AAAA"}, {"transcript": "lo"}]
        raw.add_stream(*chunks(*({"content": None, "audio": each} for each in said)), DONE)
        assert await session.say("Hi") == session.shown_text == "Hello"


class TestCutOff:
    @pytest.mark.parametrize(
        "reason",
        [
            *("length", "max_tokens", "MAX_TOKENS", "max_new_tokens", "max_completion_tokens", "model_length"),
            *("model_context_window_exceeded", "ERROR_LIMIT", "token_limit"),
        ],
    )
    async def test_a_cut_off_answer_is_shown_with_a_line(
        self, raw: RawServer, session: AssistantSession, reason: str
    ) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        raw.add_stream(*chunks({"content": "Half an ans"}, finish=reason, usage=usage))
        reply = await session.say("Hi")
        assert reply.startswith("Half an ans\n\n")
        assert "go on" in reply
        assert session.answer.cut_off
        assert session.answer.usage == Usage(5, 2)

    async def test_code_that_was_cut_off_does_not_swallow_the_line(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_stream(*chunks({"content": "```py\nx = 1"}, finish="length"))
        assert (await session.say("Hi")).startswith("```py\nx = 1\n```\n\n")

    async def test_an_answer_cut_off_in_its_reasoning_is_said_to_be(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        raw.add_stream(*chunks({"content": "<think>Let me"}, finish="length", usage={"completion_tokens": 9}))
        error = await failure(session)
        assert error.code == "incomplete"
        assert "room" in error.user_message
        assert error.usage == Usage(0, 9)

    @pytest.mark.parametrize(
        "reason",
        [
            *("content_filter", "SAFETY", "content_filter: PROHIBITED_CONTENT", "sensitive", "ERROR_TOXIC", "SPII"),
            *("refusal", "guardrail_intervened", "IMAGE_SAFETY", "model_armor"),
        ],
    )
    async def test_a_filtered_answer_is_withheld(self, raw: RawServer, session: AssistantSession, reason: str) -> None:
        raw.add_stream(*chunks({"content": "How to"}, finish=reason))
        error = await failure(session)
        assert "filter" in error.user_message
        assert error.partial_text == ""
        assert len(raw.requests) == 1

    @pytest.mark.parametrize(
        ("status", "message", "code"),
        [
            ("400 Bad Request", "The response was filtered", "content_filter"),
            ("403 Forbidden", "Your input was flagged", 403),
            ("403 Forbidden", "No.", "moderation_blocked"),
            ("400 Bad Request", "Input data may contain inappropriate content.", "data_inspection_failed"),
        ],
    )
    async def test_a_moderation_block_has_a_sentence_of_its_own(
        self, raw: RawServer, session: AssistantSession, status: str, message: str, code: object
    ) -> None:
        refuse(raw, message, status=status, code=code)
        assert "filter" in (await failure(session)).user_message


class TestPast:
    async def test_an_exchange_that_trips_a_filter_is_left_out_from_then_on(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        session.exchanges = [Exchange("I am Ada.", "Hello Ada."), Exchange("Bad", "Worse")]
        refuse(raw, "The prompt was filtered", code="content_filter")
        for _ in range(2):
            raw.add_stream(*chunks({"content": "Good."}))
            assert await session.say("Hi") == "Good."
        assert [b"Worse" in request for request in raw.requests] == [True, False, False]
        assert all(b"Hello Ada." in request for request in raw.requests)

    async def test_a_message_that_trips_a_filter_blames_nothing_else(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        session.exchanges = [Exchange("I am Ada.", "Hello Ada.")]
        for _ in range(2):
            refuse(raw, "The prompt was filtered", code="content_filter")
        assert (await failure(session)).code == "not_allowed"
        raw.add_stream(*chunks({"content": "Ada."}))
        assert await session.say("Who am I?") == "Ada."
        assert b"Hello Ada." in raw.requests[-1]

    @pytest.mark.parametrize("message", ["Request entity is beyond what we take", "eingabe zu lang"])
    async def test_an_unknown_refusal_of_a_long_past_is_tried_with_less(
        self, raw: RawServer, session: AssistantSession, message: str
    ) -> None:
        session.exchanges = [Exchange(f"Q{number}", "A" * 500) for number in range(20)]
        refuse(raw, message)
        raw.add_stream(*chunks({"content": "Here."}))
        assert await session.say("Hi") == "Here."
        assert len(sent(raw)["messages"]) < len(sent(raw, 0)["messages"])

    async def test_an_unknown_refusal_of_a_short_past_is_not_repeated(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        session.exchanges = [Exchange("I am Ada.", "Hello Ada.")]
        refuse(raw, "No.")
        assert isinstance(await failure(session), AssistantRefused)

    async def test_an_output_that_is_too_long_is_cut_and_keeps_its_call(
        self, raw: RawServer, raw_client: openai.AsyncOpenAI
    ) -> None:
        api = AssistantApiClient(raw_client)
        session = AssistantSession(ChatBackend(api, CONFIG, ToolBox([add]), retry_seconds=0.001))
        raw.add_stream(*chunks({"tool_calls": [call("x", '{"a": 1, "b": ' + "9" * 3000 + "}")]}))
        refuse(raw, "maximum context length")
        raw.add_stream(*chunks({"content": "Big."}))
        assert await session.say("Add") == "Big."
        assert [message["role"] for message in sent(raw)["messages"]] == ["system", "user", "assistant", "tool"]
        assert len(raw.requests[2]) < len(raw.requests[1])


TOO_LONG = [
    (400, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."),
    (400, "the request exceeds the available context size, try increasing it"),
    (400, "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with 4096"),
    (400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
    (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    (400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens."),
    (400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "Please reduce the length of the messages or completion."),
    (400, "Range of input length should be [1, 30720]"),
    (400, "Invalid request: Your request exceeded model token limit: 8192"),
    (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"),
    (400, "Current length is 9000 while limit is 8192"),
    (400, "Input is too long for requested model."),
    (400, "context window exceeds limit (2013)"),
    (500, "Requested tokens (5000) exceed context window of 4096"),
    (413, "Request body too large for gpt-4o model. Max size: 8000 tokens."),
    (413, "Payload Too Large"),
    (400, "Context size exceeded"),
    (400, "Your conversation is too long for this model"),
    (400, "messages exceed the 4096 token limit"),
    (500, "slot context full"),
    (400, "input exceeds model context"),
    (400, "Prompt exceeds max length"),
    (400, "Too many input tokens. Max input tokens: 128000"),
    (500, "input is larger than the max context size. skipped"),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
    (400, "Input length 134902 exceeds the maximum length 131072"),
    (413, "The estimated number of input and maximum output tokens exceeded this model context window limit (4096)."),
]


@pytest.mark.parametrize(("status", "message"), TOO_LONG)
async def test_what_servers_write_of_a_prompt_that_is_too_long_is_known(
    raw: RawServer, session: AssistantSession, status: int, message: str
) -> None:
    session.exchanges = [Exchange("Q", "A" * 3000)]
    refuse(raw, message, status=f"{status} No")
    raw.add_stream(*chunks({"content": "Here."}))
    assert await session.say("Hi") == "Here."
    assert len(raw.requests[1]) < len(raw.requests[0])


class TestReasoning:
    @pytest.mark.parametrize("size", [1, 3, 100])
    async def test_reasoning_in_tags_does_not_reach_people(
        self, raw: RawServer, session: AssistantSession, size: int
    ) -> None:
        text = "<think>They greet me.</think>\n\nHello"
        raw.add_stream(*chunks(*({"content": text[start : start + size]} for start in range(0, len(text), size))))
        assert await session.say("Hi") == session.shown_text == "Hello"

    async def test_reasoning_without_its_beginning_is_known_from_the_second_time_on(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        for _ in range(2):
            raw.add_stream(*chunks({"content": "They greet me.</thi"}, {"content": "nk>Hello"}))
            assert await session.say("Hi") == "Hello"
        assert session.shown_text == "Hello"
        raw.add_stream(*chunks({"content": "No thoughts."}))
        assert await session.say("Hi") == "No thoughts."

    async def test_it_does_not_go_back(self, raw: RawServer, session: AssistantSession) -> None:
        raw.add_stream(*chunks({"content": "<think>Add.</think>Wait"}, {"tool_calls": [call("x", '{"a": 1, "b": 2}')]}))
        raw.add_stream(*chunks({"content": "Three."}))
        await session.say("1 + 2?")
        assert sent(raw)["messages"][2]["content"] == "Wait"


async def test_reasoning_is_shown_by_a_setting(raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
    backend = ChatBackend(AssistantApiClient(raw_client), replace(CONFIG, show_reasoning=True), ToolBox([]))
    session = AssistantSession(backend)
    raw.add_stream(*chunks({"reasoning_content": "Hm"}, {"reasoning_content": "."}, {"content": "Hello"}))
    assert await session.say("Hi") == session.shown_text == "Hello"
    assert [(one.name, one.output) for one in session.tool_calls if one.done] == [("reasoning", "Hm.")]


async def test_a_loop_of_tools_ends_at_a_number_of_tokens(raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
    backend = ChatBackend(AssistantApiClient(raw_client), replace(CONFIG, max_turn_tokens=250), ToolBox([add]))
    usage = {"prompt_tokens": 90, "completion_tokens": 10}
    for number in range(3):
        raw.add_stream(*chunks({"tool_calls": [call(f"x{number}", '{"a": 1, "b": 2}')]}, usage=usage))
    error = await failure(AssistantSession(backend))
    assert isinstance(error, TooManyRounds)
    assert error.usage == Usage(270, 30)
    assert len(raw.requests) == 3


async def test_the_check_asks_with_the_limit_that_the_model_takes(raw: RawServer, session: AssistantSession) -> None:
    for _ in range(2):
        raw.add_response(b"{}", status="404 Not Found")
    refuse(raw, "Unsupported parameter: 'max_tokens' is not supported with this model.", param="max_tokens")
    raw.add_response(b"{}")
    (check,) = await session.assistant.check()
    assert check.ok, check.detail
    assert "max_tokens" not in sent(raw)


async def test_fields_are_only_sent_if_they_are_set(raw: RawServer, raw_client: openai.AsyncOpenAI) -> None:
    backend = ChatBackend(AssistantApiClient(raw_client), replace(CONFIG, instructions="", stream=False), ToolBox([]))
    raw.add_response(b'{"choices": [{"message": {"content": "Hello"}}]}')
    assert await AssistantSession(backend).say("Hi") == "Hello"
    assert sent(raw) == {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
