"""How much of bodies is read at the same time, and how much may be said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import BaseModel

from adapters.openai_api import all_routes
from adapters.openai_api.completion_request import CompletionRequest
from adapters.openai_api.content_parts import Ignoring
from adapters.openai_api.errors import InvalidRequest
from adapters.openai_api.request_body import MAX_CHARS, SMALL_BYTES, BodyReader, check_length
from adapters.openai_api.request_fields import Refusing, read_request
from adapters.openai_api.said import CallerInput
from gateway.domain.errors import MalformedRequest, Overloaded
from gateway.domain.exchange import Exchange
from gateway.web.api.routes import HttpRequest

assert all_routes  # whose requests are looked at
MOST_IDS = 20


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


def schemas_of(model: type[BaseModel]) -> Iterator[Mapping[str, Any]]:
    """Yields the schemas of a model, of all that derive from it, and all within them."""
    yield from schemas_within(model.__pydantic_core_schema__)
    for derived in model.__subclasses__():
        yield from schemas_of(derived)


def schemas_within(schema: Any) -> Iterator[Mapping[str, Any]]:
    rest, seen = [schema], set[int]()
    while rest:
        node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            yield node
            rest += node.values()
        elif isinstance(node, list | tuple):
            rest += node


@pytest.mark.parametrize("model", [Refusing, Ignoring])
def test_every_list_of_a_request_has_a_limit_and_ends_at_its_first_wrong_item(model: type[BaseModel]) -> None:
    lists = [each for each in schemas_of(model) if each.get("type") == "list"]
    assert lists
    assert [each for each in lists if not (each.get("max_length") and (each.get("fail_fast") or is_short(each)))] == []


def is_short(schema: Mapping[str, Any]) -> bool:
    return bool(schema["max_length"] <= MOST_IDS)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": [0] * 1_000_000}, r"Invalid value for `messages\[0\]`"),
        ({"messages": [0] * 9000}, r"Invalid value for `messages\[0\]`"),
        ({"messages": [{"role": "user", "content": [0] * 100_000}]}, r"Invalid value for `messages\[0\].content"),
        ({f"a{number}": 1 for number in range(100_000)}, "an object with more than 10,000 fields"),
    ],
)
def test_a_body_of_nothing_but_mistakes_is_refused_at_once(body: Mapping[str, Any], says: str) -> None:
    written, started = json.dumps(body).encode(), time.process_time()
    with pytest.raises(MalformedRequest, match=says):
        read_request(CompletionRequest, written)
    assert time.process_time() - started < 3, "seconds; it took a minute, and gigabytes, when each was reported"
