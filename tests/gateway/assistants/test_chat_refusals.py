"""What servers of chat completions refuse of a request: it is left out from then on, and told to the operator."""

from __future__ import annotations

from dataclasses import replace

import openai
import pytest

from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.chat.backend import ChatBackend
from gateway.domain.exchange import Exchange
from gateway.tools import ToolBox
from tests.contracts.assistant_online import add
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.chat_chunks import call, chunks, refuse, sent
from tests.fakes.raw_server import RawServer

CONFIG = AssistantConfig("gpt-4o", "Be brief.")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def session(raw_client: openai.AsyncOpenAI) -> AssistantSession:
    return AssistantSession(ChatBackend(AssistantApiClient(raw_client), CONFIG, ToolBox([add]), retry_seconds=0.001))


REFUSALS = [
    ("400 Bad Request", "registry.ollama.ai/library/gemma:latest does not support tools", "tools"),
    (
        "400 Bad Request",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "tools",
    ),
    ("500 Error", "tools param requires --jinja flag", "tools"),
    ("404 Not Found", "No endpoints found that support tool use.", "tools"),
    ("400 Bad Request", "Function calling is not enabled for this model", "tools"),
    ("400 Bad Request", "Unsupported parameter: 'tools'", "tools"),
    ("422 Unprocessable", "stream_options: Extra inputs are not permitted", "stream_options"),
    ("400 Bad Request", "This model does not have tool capabilities", "tools"),
    ("501 Not Implemented", "Tool use has not been enabled", "tools"),
]


class TestRefusedParts:
    @pytest.mark.parametrize(("status", "message", "name"), REFUSALS)
    async def test_what_is_refused_is_left_out_from_then_on_and_told(
        self, raw: RawServer, session: AssistantSession, status: str, message: str, name: str
    ) -> None:
        refuse(raw, message, status=status)
        for _ in range(2):
            raw.add_stream(*chunks({"content": "Hello"}))
            assert await session.say("Hi") == "Hello"
        assert [name in sent(raw, number) for number in range(3)] == [True, False, False]
        raw.add_response(b"{}")
        (check,) = await session.assistant.check()
        assert name in check.detail

    @pytest.mark.parametrize(
        "message",
        [
            "System role not supported",
            "Developer instruction is not enabled for models/gemma-3-27b-it",
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "Conversation roles must alternate user/assistant/user/assistant/...",
        ],
    )
    async def test_instructions_become_the_head_of_the_first_message(
        self, raw: RawServer, session: AssistantSession, message: str
    ) -> None:
        session.exchanges = [Exchange("I am Ada.", ""), Exchange("", "Hello Ada.")]
        refuse(raw, message)
        raw.add_stream(*chunks({"content": "Hello"}))
        await session.say("Hi")
        assert sent(raw)["messages"] == [
            {"role": "user", "content": "Be brief.\n\nI am Ada."},
            {"role": "assistant", "content": "Hello Ada."},
            {"role": "user", "content": "Hi"},
        ]

    async def test_a_model_without_images_is_not_sent_any_more(self, raw: RawServer, session: AssistantSession) -> None:
        refuse(raw, "this model does not support image input")
        session.attachments_to_send = [make_attachment("cat.png", PNG)]
        for _ in range(2):
            raw.add_stream(*chunks({"content": "No eyes."}))
            assert await session.say("Look") == "No eyes."
        assert [b"image_url" in request for request in raw.requests] == [True, False, False]

    async def test_a_stream_that_is_refused_is_read_whole(self, raw: RawServer, session: AssistantSession) -> None:
        refuse(raw, "Your organization must be verified to stream this model.", param="stream")
        raw.add_response(b'{"choices": [{"message": {"content": "Hello"}}]}')
        assert await session.say("Hi") == "Hello"
        assert (sent(raw)["stream"], "stream_options" in sent(raw)) == (False, False)

    @pytest.mark.parametrize(
        "message",
        ["Unknown part type: file", "unsupported content[].type", "unknown variant `file`, expected `text`"],
    )
    async def test_a_model_without_documents_is_sent_images_only(
        self, raw: RawServer, session: AssistantSession, message: str
    ) -> None:
        refuse(raw, message)
        session.attachments_to_send = [make_attachment("a.pdf", b"%PDF-1.7"), make_attachment("cat.png", PNG)]
        for _ in range(2):
            raw.add_stream(*chunks({"content": "A cat."}))
            assert await session.say("Look") == "A cat."
        assert [b"file_data" in request for request in raw.requests] == [True, False, False]
        assert all(b"image_url" in request for request in raw.requests)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            ("404 Not Found", b"{}"),
            ("405 Method Not Allowed", b"{}"),
            ("404 Not Found", b'{"error": {"message": "The model `w` does not exist"}}'),
            ("200 OK", b"<html></html>"),
        ],
    )
    async def test_a_missing_route_for_voice_is_asked_for_once(
        self, raw: RawServer, raw_client: openai.AsyncOpenAI, status: str, body: bytes
    ) -> None:
        api, config = AssistantApiClient(raw_client), replace(CONFIG, transcription_model="w")
        session = AssistantSession(ChatBackend(api, config, ToolBox([])))
        session.attachments_to_send = [make_attachment("a.ogg", b"OggS", media_type="audio/ogg")]
        raw.add_response(body, status=status)
        for _ in range(2):
            raw.add_stream(*chunks({"content": "I cannot hear."}))
            assert await session.say("Listen") == "I cannot hear."
        assert [b"/audio/" in request for request in raw.requests] == [True, False, False]
        raw.add_response(b"{}")
        (check,) = await session.assistant.check()
        assert "WITHOUT transcription" in check.detail

    async def test_a_bad_image_does_not_keep_the_next_ones_back(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        session.attachments_to_send = [make_attachment("cat.png", PNG)]
        refuse(raw, "invalid_image: cannot be parsed")
        for _ in range(2):
            raw.add_stream(*chunks({"content": "Hm."}))
            await session.say("Look")
        assert [b"image_url" in request for request in raw.requests] == [True, False, True]

    @pytest.mark.parametrize(
        ("message", "before", "after"),
        [
            ("text content blocks must be non-empty", "", None),
            ("'messages.2' : property 'reasoning' is unsupported", "", ""),
        ],
    )
    async def test_a_refused_part_of_a_returned_message_is_left_out(
        self, raw: RawServer, session: AssistantSession, message: str, before: object, after: object
    ) -> None:
        raw.add_stream(*chunks({"reasoning": "Add.", "tool_calls": [call("x", '{"a": 1, "b": 2}')]}))
        refuse(raw, message)
        raw.add_stream(*chunks({"content": "Three."}))
        assert await session.say("1 + 2?") == "Three."
        first, second = (sent(raw, number)["messages"][2] for number in (1, 2))
        assert (first["content"], second["content"]) == (before, after)
        assert first["reasoning"] == "Add."
        assert ("reasoning" in second) == (message.startswith("text"))

    async def test_reasoning_is_sent_empty_where_it_is_demanded(
        self, raw: RawServer, session: AssistantSession
    ) -> None:
        session.exchanges = [Exchange("I am Ada.", "Hello Ada.")]
        refuse(raw, "Missing `reasoning_content` field in the assistant message at message index 2.")
        raw.add_stream(*chunks({"content": "Ada."}))
        await session.say("Who am I?")
        assert sent(raw)["messages"][2] == {"role": "assistant", "content": "Hello Ada.", "reasoning_content": ""}
