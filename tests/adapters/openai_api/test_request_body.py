"""How much of bodies is read at the same time, and how much may be said."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.request_body import MAX_CHARS, SMALL_BYTES, BodyReader, check_length
from adapters.openai_api.said import CallerInput
from gateway.domain.errors import MalformedRequest, Overloaded
from gateway.domain.exchange import Exchange
from gateway.web.api.routes import HttpRequest


def request(size: int, *, declared: bool = True) -> HttpRequest:
    pieces: list[dict[str, Any]] = [{"type": "http.request", "body": b"x" * size, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return pieces.pop()

    headers = [(b"content-length", str(size).encode())] if declared else []
    return HttpRequest({"method": "POST", "path": "/", "headers": headers, "query_string": b""}, receive, {})


async def test_large_bodies_are_read_as_many_as_there_is_room_for() -> None:
    reader = BodyReader(5 * SMALL_BYTES)
    async with AsyncExitStack() as reading:
        await reading.enter_async_context(reader.reading(request(3 * SMALL_BYTES)))
        with pytest.raises(Overloaded):
            await reading.enter_async_context(reader.reading(request(3 * SMALL_BYTES)))
        await reading.enter_async_context(reader.reading(request(SMALL_BYTES)))
    async with reader.reading(request(3 * SMALL_BYTES)) as body:
        assert len(body) == 3 * SMALL_BYTES


async def test_a_body_without_a_length_is_small() -> None:
    async with BodyReader().reading(request(SMALL_BYTES, declared=False)):
        pass
    with pytest.raises(MalformedRequest):
        async with BodyReader().reading(request(SMALL_BYTES + 1, declared=False)):
            pass


def test_a_past_that_no_model_could_read_is_refused() -> None:
    check_length(CallerInput("x" * 10), 10, "messages")
    for said in (CallerInput("x" * 11), CallerInput("x", history=(Exchange("x" * (MAX_CHARS + 1), ""),))):
        with pytest.raises(InvalidRequest):
            check_length(said, 10, "messages")
