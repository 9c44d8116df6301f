"""The estimates of tokens against counts by OpenAI's own vocabulary, and against counts in its documentation."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ConversationKey, Message
from gateway.policy.request_estimate import RequestEstimator
from gateway.policy.token_estimate import (
    ImageSize,
    bytes_tokens,
    file_tokens,
    image_size,
    image_tokens,
    messages_tokens,
    text_tokens,
    tools_tokens,
)

SAMPLES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "token_samples.json").read_text())
"""Counted with o200k_base, the vocabulary of OpenAI's models since gpt-4o, by the npm package gpt-tokenizer 3."""
TOLERANCE = 0.2

JARGON = (
    "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    "New synergies will help drive top-line growth.",
    "Things working well together will increase revenue.",
    "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    "Let's talk later when we're less busy about how to do better.",
    "This late pivot means we don't have time to boil the ocean for the client deliverable.",
)
WEATHER = {
    "name": "get_current_weather",
    "description": "Get the current weather in a given location",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "unit": {
                "type": "string",
                "description": "The unit of temperature to return",
                "enum": ["celsius", "fahrenheit"],
            },
        },
        "required": ["location"],
    },
}


def close_to(tokens: int) -> Any:
    return pytest.approx(tokens, rel=TOLERANCE)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_a_text_is_estimated_within_a_fifth(sample: dict[str, Any]) -> None:
    assert text_tokens(sample["text"]) == close_to(sample["tokens"])


def test_messages_are_estimated_within_a_fifth_of_what_the_server_counts() -> None:
    """cookbook.openai.com, How to count tokens: gpt-4o counted 124 prompt tokens."""
    assert messages_tokens(JARGON) == close_to(124)


def test_tools_are_estimated_within_a_fifth_of_what_the_server_counts() -> None:
    """The same page: gpt-4o counted 101 prompt tokens with the tool."""
    said = (
        "You are a helpful assistant that can answer to questions about the weather.",
        "What's the weather like in San Francisco?",
    )
    assert messages_tokens(said) + tools_tokens([WEATHER]) == close_to(101)
    assert tools_tokens([]) == 0


@pytest.mark.parametrize(
    ("model", "width", "height", "tokens"),
    [
        ("gpt-4o", 1024, 1024, 765),
        ("gpt-4o", 2048, 4096, 1105),
        ("gpt-4o-2024-08-06", 512, 512, 255),
        ("gpt-4o-mini", 1024, 1024, 25501),
        ("gpt-5", 1024, 1024, 630),
        ("o3", 1024, 1024, 675),
        ("gpt-4.1-mini-2025-04-14", 1024, 1024, 1659),
        ("gpt-4.1-mini", 1800, 2400, 2353),
        ("gpt-5-nano", 1024, 1024, 2520),
        ("o4-mini", 1024, 1024, 1762),
    ],
)
def test_an_image_counts_as_documented(model: str, width: int, height: int, tokens: int) -> None:
    """developers.openai.com/api/docs/guides/images-vision: its examples, and its rates for other models."""
    assert image_tokens(ImageSize(width, height), model) == close_to(tokens)


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x04\x00\x00\x00\x03\x00"
JPEG = b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xc2\x00\x11\x08\x03\x00\x04\x00\x03"
WEBP = b"RIFF\x00\x00\x00\x00WEBP"


@pytest.mark.parametrize(
    "content",
    [
        PNG,
        b"GIF89a\x00\x04\x00\x03",
        JPEG,
        WEBP + b"VP8 " + bytes(10) + b"\x00\x04\x00\x03",
        WEBP + b"VP8X" + bytes(8) + b"\xff\x03\x00\xff\x02\x00",
        WEBP + b"VP8L" + bytes(4) + b"\x2f\xff\xc3\xbf\x00",
    ],
    ids=["png", "gif", "jpeg", "webp", "webp extended", "webp lossless"],
)
def test_the_size_of_an_image_is_read_from_its_header(content: bytes) -> None:
    assert image_size(content) == ImageSize(1024, 768)
    assert file_tokens(BytesContent(content), "image/png", "gpt-4o") == image_tokens(ImageSize(1024, 768), "gpt-4o")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", PNG[:18], JPEG[:12], b"BM", WEBP + b"VP9 "])
def test_an_image_without_a_readable_size_counts_as_one_of_a_common_size(content: bytes) -> None:
    assert file_tokens(BytesContent(content), "image/jpeg", "gpt-4o") == 765


def test_files_count_by_their_bytes() -> None:
    assert bytes_tokens(4000, "text/plain") == bytes_tokens(4000, "application/json") == 1000
    assert bytes_tokens(60_000, "application/pdf") == 1200
    assert bytes_tokens(7000, "audio/ogg") == 10


def test_a_request_carries_instructions_tools_history_message_and_files() -> None:
    message = Message(ConversationKey("pigeon"), "1", "What is in it?", files=(File("a.png", "", "image/png", 9),))
    history = [Exchange("Hello", "Hi there"), Exchange("x" * 500, "y" * 500)]
    bare = RequestEstimator("gpt-4o").request_tokens(message, [], 0)
    full = RequestEstimator("gpt-4o", lambda each: f"You are in {each.key.platform}.", lambda: [WEATHER])
    assert full.request_tokens(message, [], 0) - bare == text_tokens("You are in pigeon.") + tools_tokens([WEATHER])
    assert full.request_tokens(message, [], None) - full.request_tokens(message, [], 0) == 765
    assert full.attachment_tokens([Attachment(message.files[0], BytesContent(PNG))]) == 765
    cut = RequestEstimator("gpt-4o", history_chars=100)
    assert cut.request_tokens(message, history, 0) == bare
    assert cut.request_tokens(message, history[::-1], 0) == RequestEstimator("gpt-4o").request_tokens(
        message, history[:1], 0
    )


@pytest.mark.parametrize("blank", ["\u2003", "\u2003 ", "\r", " ", "\t\u00a0"])
def test_a_text_of_blanks_is_estimated_in_a_time_like_its_length(blank: str) -> None:
    started = time.process_time()
    assert text_tokens(blank * 60_000 + "x") < 10
    assert time.process_time() - started < 2, "seconds; it took minutes when each blank had all behind it read"
