"""Faults of the fake, as the real SDK and a plain HTTP client see them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import aiohttp
import pytest
from openai import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAioHttpClient,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from tests.fakes.openai_server import ASSISTANT_ID, FakeOpenAI, FaultKind, Hang, HttpFault, Say

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")
MODEL = "gpt-5-mini"
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
THREAD: Any = {"messages": MESSAGES}
ROUTES = ["threads", "responses", "background", "chat"]
PATHS = {"threads": "/threads/runs", "responses": "/responses", "background": "/responses", "chat": "/chat/completions"}


async def streamed(client: AsyncOpenAI, route: str) -> list[str]:
    """Returns the event names of one run by this route. Raises what the stream raises."""
    if route == "threads":
        run = await client.beta.threads.create_and_run(assistant_id=ASSISTANT_ID, thread=THREAD, stream=True)
        return [event.event async for event in run]
    if route == "chat":
        completion = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        return [chunk.object async for chunk in completion]
    response = await client.responses.create(model=MODEL, input="hello", stream=True, background=route == "background")
    return [event.type async for event in response]


async def plain(client: AsyncOpenAI, route: str) -> str:
    """Returns the id of one run by this route."""
    if route == "threads":
        return (await client.beta.threads.create_and_run(assistant_id=ASSISTANT_ID, thread=THREAD)).id
    if route == "chat":
        return (await client.chat.completions.create(model=MODEL, messages=MESSAGES)).id
    return (await client.responses.create(model=MODEL, input="hello", background=route == "background")).id


def statuses(fake: FakeOpenAI, route: str) -> list[str]:
    """Returns the statuses of the route's runs at the server."""
    kept = fake.runs if route == "threads" else fake.responses
    return [run["status"] for run in kept.values()]


async def test_the_check_of_the_types_is_a_check(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.faults.add(HttpFault(status=200, body={"id": 7}))
    with pytest.raises(APIResponseValidationError):
        await plain(client, "chat")


@pytest.mark.parametrize("route", ROUTES)
async def test_a_status_fault_responds_without_processing(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.faults.add(HttpFault(path=PATHS[route], status=500), HttpFault(status=429, headers={"retry-after": "7"}))
    with pytest.raises(InternalServerError):
        await plain(client, route)
    with pytest.raises(RateLimitError) as caught:
        await streamed(client, route)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "rate_limit_exceeded"
    assert statuses(fake, route) == []
    assert fake.faults.pending == []
    await streamed(client, route)


async def test_a_status_may_have_any_body(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.faults.add(
        HttpFault(status=404, body={"detail": "Not Found"}), HttpFault(status=502, body="<h1>Bad Gateway</h1>")
    )
    with pytest.raises(NotFoundError) as detailed:
        await plain(client, "chat")
    assert detailed.value.body == {"detail": "Not Found"}
    with pytest.raises(APIStatusError) as page:
        await plain(client, "chat")
    assert page.value.response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("aio", [False, True])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_dropped_request_is_not_processed(
    fake: FakeOpenAI, client: AsyncOpenAI, route: str, *, aio: bool
) -> None:
    fake.faults.add(HttpFault(kind="drop_before", times=2))
    other = client.with_options(http_client=DefaultAioHttpClient()) if aio else client
    for ask in (plain, streamed):
        with pytest.raises(APIConnectionError):
            await ask(other, route)
    assert statuses(fake, route) == []
    assert len(fake.posts(PATHS[route])) == 2
    if aio:
        await other.close()


@pytest.mark.parametrize("route", ROUTES)
async def test_a_request_with_a_dropped_response_is_processed(
    fake: FakeOpenAI, client: AsyncOpenAI, route: str
) -> None:
    fake.faults.add(HttpFault(kind="drop_after", times=2))
    for ask in (plain, streamed):
        with pytest.raises(APIConnectionError):
            await ask(client, route)
    if route != "chat":
        await fake.wait_until_async(lambda: statuses(fake, route) == ["completed"] * 2)


@pytest.mark.parametrize("route", ["threads", "background"])
async def test_a_dropped_response_does_not_wait_for_background_work(
    fake: FakeOpenAI, client: AsyncOpenAI, route: str
) -> None:
    fake.faults.add(HttpFault(kind="drop_after"))
    fake.script(Hang())
    with pytest.raises(APIConnectionError) as caught:
        await streamed(client, route)
    assert not isinstance(caught.value, APITimeoutError)
    fake.release()
    await fake.wait_until_async(lambda: statuses(fake, route) == ["completed"])


@pytest.mark.parametrize("delay", [0.0, 0.001])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_cut_stream_is_interrupted(fake: FakeOpenAI, client: AsyncOpenAI, route: str, delay: float) -> None:
    fake.chunk_delay = delay
    whole = len(await streamed(client, route))
    for after in range(whole):
        fake.faults.add(HttpFault(kind="cut", after=after))
        with pytest.raises(APIConnectionError):
            await streamed(client, route)
    if route != "chat":
        end = "cancelled" if route == "responses" else "completed"
        await fake.wait_until_async(lambda: statuses(fake, route)[1:] == [end] * whole)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_cut_body_is_truncated(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.faults.add(HttpFault(kind="cut"))
    with pytest.raises(APIConnectionError):
        await plain(client, route)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_stream_may_end_early(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.faults.add(HttpFault(kind="end_early", after=2))
    assert len(await streamed(client, route)) == 2
    if route != "chat":
        await fake.wait_until_async(lambda: statuses(fake, route) == ["completed"])


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["garbage", "end_early"])
async def test_a_body_may_be_garbage(fake: FakeOpenAI, client: AsyncOpenAI, route: str, kind: FaultKind) -> None:
    fake.faults.add(HttpFault(kind=kind))
    with pytest.raises((json.JSONDecodeError, APIResponseValidationError)):
        await plain(client, route)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_line_of_a_stream_may_be_garbage(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.faults.add(HttpFault(kind="garbage", after=2))
    with pytest.raises(json.JSONDecodeError):
        await streamed(client, route)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_comment_in_a_stream_is_ignored(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    whole = await streamed(client, route)
    fake.faults.add(HttpFault(kind="comment", after=2))
    assert await streamed(client, route) == whole
    assert fake.faults.pending == []


@pytest.mark.parametrize("route", ROUTES)
async def test_a_stream_may_be_sent_in_small_pieces(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.reply = "Grüße, 世界 🎉"
    whole = await streamed(client, route)
    fake.stream_chunk_bytes = 7
    assert await streamed(client, route) == whole


@pytest.mark.parametrize("route", ROUTES)
async def test_a_stream_may_contain_an_error_event(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.faults.add(HttpFault(kind="error_event", after=2))
    if route in {"threads", "chat"}:
        with pytest.raises(APIError, match="The server had an error"):
            await streamed(client, route)
    else:
        assert (await streamed(client, route))[2:] == ["error"]


async def test_a_gate_holds_a_request_back(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    gate = threading.Event()
    fake.faults.add(HttpFault(gate=gate))
    held = asyncio.create_task(plain(client, "chat"))
    await fake.wait_for_async("POST", "/chat/completions")
    assert not held.done()
    gate.set()
    assert await held


async def test_a_delayed_request_is_processed_after_its_caller_disconnected(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    gate = threading.Event()
    fake.faults.add(HttpFault(gate=gate, delay=0.001, times=3))
    hasty = client.with_options(timeout=0.5)  # by then a request has reached the server, also on a slow machine
    for route in ("threads", "background", "responses"):
        with pytest.raises(APITimeoutError):
            await plain(hasty, route)
    gate.set()
    await fake.wait_until_async(
        lambda: statuses(fake, "threads") == ["completed"] and "completed" in statuses(fake, "responses")
    )
    await fake.wait_until_async(lambda: sorted(statuses(fake, "responses")) == ["cancelled", "completed"])


async def test_faults_do_not_apply_to_other_requests(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.faults.add(
        HttpFault(method="GET|DELETE", path=r"/threads/[^/]+", status=500, times=None),
        HttpFault(path="/threads", status=503, skip=1),
    )
    thread = await client.beta.threads.create()
    for _ in range(2):
        with pytest.raises(InternalServerError):
            await client.beta.threads.retrieve(thread.id)
    with pytest.raises(InternalServerError):
        await client.beta.threads.create()
    await client.beta.threads.create()
    assert len(fake.faults.pending) == 1
    fake.faults.clear()
    await client.beta.threads.retrieve(thread.id)


async def test_a_cut_may_come_after_the_last_event(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Say("x"))
    whole = len(await streamed(client, "responses"))
    fake.faults.add(HttpFault(kind="cut", after=whole))
    fake.script(Say("x"))
    with pytest.raises(APIConnectionError):
        await streamed(client, "responses")
    assert statuses(fake, "responses") == ["completed"] * 2


async def test_a_hundred_runs_may_hang_at_once(fake: FakeOpenAI) -> None:
    count = 100
    fake.script(*[Hang()] * count)
    headers = {"authorization": "Bearer key"}
    body = {"model": MODEL, "input": "x", "stream": True}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(fake.azure_endpoint, headers=headers, connector=connector) as web:

        async def ask() -> bytes:
            async with web.post("/v1/responses", json=body) as answer:
                return await answer.read()

        asked = [asyncio.create_task(ask()) for _ in range(count)]
        await fake.wait_until_async(lambda: statuses(fake, "responses").count("in_progress") == count, timeout=30)
        fake.release()
        told = await asyncio.gather(*asked)
    assert all(b"event: response.completed" in one for one in told)


@pytest.mark.parametrize("route", ["threads", "background"])
async def test_a_reply_that_raises_fails_the_run(fake: FakeOpenAI, client: AsyncOpenAI, route: str) -> None:
    fake.reply = lambda texts: texts[99]
    name = await plain(client, route)
    await fake.wait_until_async(lambda: statuses(fake, route) == ["failed"])
    error = fake.runs[name]["last_error"] if route == "threads" else fake.responses[name]["error"]
    assert "IndexError" in error["message"]


async def test_a_reply_that_raises_is_an_error_of_chat(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.reply = lambda texts: texts[99]
    for ask in (plain, streamed):
        with pytest.raises(APIError, match="IndexError"):
            await ask(client, "chat")
