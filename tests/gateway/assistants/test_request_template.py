"""The first POST of a kind is made by the SDK, later ones from its template; they must be identical."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, cast

import httpx2
import openai
import pytest
from pydantic import SecretStr

from gateway.assistants.api_client import AssistantApiClient
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError, AssistantUnavailable
from tests.fakes.raw_server import KEY, RawServer

HEADERS = {"openai-beta": "assistants=v2"}
ADDRESSES: dict[str, Callable[[int], dict[str, Any]]] = {
    "openai": lambda port: {"openai_api_key": SecretStr(KEY), "openai_base_url": f"http://127.0.0.1:{port}/v1"},
    "own": lambda port: {"openai_base_url": f"http://127.0.0.1:{port}/threads/responses/"},
    "azure": lambda port: {
        "azure_openai_endpoint": f"http://127.0.0.1:{port}",
        "azure_openai_api_key": SecretStr(KEY),
        "azure_openai_api_version": "2024-10-21",
    },
}
PATH_PAIRS = [
    ("/responses", "/responses", {"model": "m 1/ü"}),
    ("/responses/resp_1/cancel", "/responses/resp_2%2F..%3F/cancel", {}),
    ("/chat/completions", "/chat/completions", {"model": "m 1/ü"}),
    ("/conversations", "/conversations/conv_1/items", {}),
    ("/threads", "/threads/thread_1/messages", {}),
    ("/threads/thread_1/runs", "/threads/thread_2/runs/run_1/submit_tool_outputs", {}),
    ("/assistants", "/assistants", {"model": "m"}),
]
"""Two paths of one kind, and the body fields that make them so."""
ERROR_BODY = b'{"error": {"message": "No.", "param": "p", "code": "c", "type": "t"}}'
STATUSES = (300, 307, 400, 401, 402, 403, 404, 409, 418, 422, 429, 500, 501, 503)


@pytest.fixture
def client(raw: RawServer, connected: Callable[..., openai.AsyncOpenAI]) -> openai.AsyncOpenAI:
    return connected(**ADDRESSES["openai"](raw.port))


class SendRequest(Protocol):
    def __call__(self, api: AssistantApiClient, path: str = ..., body: Json | None = ...) -> Awaitable[None]: ...


async def post(api: AssistantApiClient, path: str = "/things", body: Json | None = None) -> None:
    await api.post(path, body or {})


async def stream(
    api: AssistantApiClient, path: str = "/things", body: Json | None = None, *, idle_seconds: float | None = None
) -> None:
    async with api.stream(path, body or {}, idle_seconds=idle_seconds) as events:
        async for _ in events:
            pass


@pytest.fixture(params=[post, stream, partial(stream, idle_seconds=7.5)], ids=["post", "stream", "patience"])
def ask(request: pytest.FixtureRequest) -> SendRequest:
    return cast("SendRequest", request.param)


@pytest.fixture
async def later(raw: RawServer, client: openai.AsyncOpenAI, ask: SendRequest) -> AssistantApiClient:
    """Returns a client that already has a template for the request."""
    api = AssistantApiClient(client, HEADERS)
    raw.add_response(b"{}")
    await ask(api)
    raw.requests.clear()
    return api


async def failure(request: Awaitable[None]) -> AssistantError:
    with pytest.raises(AssistantError) as caught:
        await request
    return caught.value


def visible_fields(error: AssistantError) -> tuple[object, ...]:
    """Returns everything visible of an error, and of the SDK's error below it."""
    cause = error.__cause__
    assert cause is not None
    below = {name: _plain(value) for name, value in vars(cause).items()}
    roots = type(cause.__cause__), str(cause.__cause__)
    return type(error), str(error), error.retry_after, type(cause), str(cause), below, roots


def _plain(value: object) -> object:
    if isinstance(value, httpx2.Request):
        return value.method, value.url, value.headers.raw, value.content, value.extensions
    if isinstance(value, httpx2.Response):
        return value.status_code, value.headers.raw, value.text, value.is_closed, _plain(value.request)
    return value


@pytest.mark.parametrize("kind", PATH_PAIRS)
@pytest.mark.parametrize("address", ADDRESSES)
async def test_requests_from_the_template_are_byte_identical(
    raw: RawServer,
    connected: Callable[..., openai.AsyncOpenAI],
    monkeypatch: pytest.MonkeyPatch,
    kind: tuple[str, str, Json],
    address: str,
    ask: SendRequest,
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org_1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-of-ones-own: yes")
    client = connected(**ADDRESSES[address](raw.port))
    api, another = AssistantApiClient(client, HEADERS), AssistantApiClient(client, HEADERS)
    first, path, body = kind
    long = body | {"input": 'Grüße, "Welt" 🌍\u2028', "n": [1.5, None, True]}
    raw.add_response(b"{}", headers="set-cookie: a=b; path=/\r\n")
    await ask(api, first, body)
    for _ in range(3):
        raw.add_response(b"{}")
    with monkeypatch.context() as without:
        without.setattr(client, "post", None)
        await ask(api, path, long)
    await ask(another, path, long)  # made by the SDK
    await ask(another, path, long)
    _, like, made, again = raw.requests
    assert b"cookie: a=b" in made.lower()
    assert like == made
    assert again == made


async def test_another_model_has_another_url_on_azure(
    raw: RawServer, connected: Callable[..., openai.AsyncOpenAI], ask: SendRequest
) -> None:
    api = AssistantApiClient(connected(**ADDRESSES["azure"](raw.port)))
    for model in ("a", "b", "a"):
        raw.add_response(b"{}")
        await ask(api, "/chat/completions", {"model": model})
    assert [request.split(b"/")[3] for request in raw.requests] == [b"a", b"b", b"a"]


async def test_each_request_has_its_own_timeout(raw: RawServer, client: openai.AsyncOpenAI) -> None:
    api = AssistantApiClient(client)
    for silence in (7.5, 3.5, 7.5):
        raw.add_response(b"{}")
        await stream(api, idle_seconds=silence)
    told = [request.lower().partition(b"read-timeout: ")[2].split(b"\r\n")[0] for request in raw.requests]
    assert told == [b"7.5", b"3.5", b"7.5"]


async def test_a_deleted_cookie_is_not_sent(raw: RawServer, later: AssistantApiClient, ask: SendRequest) -> None:
    raw.add_response(b"{}", headers="set-cookie: a=b; path=/\r\n")
    raw.add_response(b"{}", headers="set-cookie: a=b; path=/; max-age=0\r\n")
    raw.add_response(b"{}")
    await ask(later)
    await ask(later, "/others")  # made by the SDK
    await ask(later, "/others")
    assert [b"cookie: a=b" in request.lower() for request in raw.requests] == [False, True, False]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [ERROR_BODY, b"<html>", b""])
async def test_errors_are_those_of_the_sdk(
    raw: RawServer, client: openai.AsyncOpenAI, later: AssistantApiClient, ask: SendRequest, status: int, body: bytes
) -> None:
    for _ in range(2):
        raw.add_response(body, status=f"{status} Said", headers="x-request-id: req_1\r\nretry-after: 3\r\n")
    like = await failure(ask(later))
    made = await failure(ask(AssistantApiClient(client, HEADERS)))
    assert isinstance(like.__cause__, openai.APIStatusError)
    assert like.__cause__.request_id == "req_1"
    assert visible_fields(like) == visible_fields(made)
    assert len(raw.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 500 Away\r\ncontent-length: 9\r\n\r\n{}", b"nonsense\r\n\r\n"],
)
async def test_a_broken_connection_raises_the_error_of_the_sdk(
    raw: RawServer, client: openai.AsyncOpenAI, later: AssistantApiClient, ask: SendRequest, answer: bytes
) -> None:
    raw.answers += [([answer], True)] * 2
    like = await failure(ask(later))
    made = await failure(ask(AssistantApiClient(client, HEADERS)))
    assert type(like) is AssistantUnavailable
    assert visible_fields(like) == visible_fields(made)
    assert len(raw.requests) == 2


async def test_a_timeout_raises_the_error_of_the_sdk(raw: RawServer, client: openai.AsyncOpenAI) -> None:
    api = AssistantApiClient(client, HEADERS)
    raw.add_response(b"{}")
    await stream(api, idle_seconds=0.05)
    raw.answers += [([], False)] * 2
    like = await failure(stream(api, idle_seconds=0.05))
    made = await failure(stream(AssistantApiClient(client, HEADERS), idle_seconds=0.05))
    assert isinstance(like.__cause__, openai.APITimeoutError)
    assert visible_fields(like) == visible_fields(made)


async def test_a_redirect_is_followed_and_makes_no_template(
    raw: RawServer, client: openai.AsyncOpenAI, later: AssistantApiClient, ask: SendRequest
) -> None:
    api = AssistantApiClient(client, HEADERS)
    for asked in (api, later, api):
        raw.add_response(b"", status="307 Moved", headers="location: /v2/things\r\n")
        raw.add_response(b"{}")
        await ask(asked, body={"a": 1})
    assert [request.split(b" ", 2)[1] for request in raw.requests] == [b"/v1/things", b"/v2/things"] * 3
    assert all(request.endswith(b'{"a":1}') for request in raw.requests)


@pytest.mark.parametrize("address", ["openai", "azure"])
async def test_a_redirect_sends_no_key_to_another_server(
    raw: RawServer, connected: Callable[..., openai.AsyncOpenAI], ask: SendRequest, address: str
) -> None:
    api = AssistantApiClient(connected(**ADDRESSES[address](raw.port)))
    raw.add_response(b"{}")
    await ask(api)
    async with RawServer() as stranger:
        raw.add_response(b"", status="307 Moved", headers=f"location: http://127.0.0.1:{stranger.port}/things\r\n")
        stranger.add_response(b"{}")
        await ask(api)
    assert KEY.encode() in raw.requests[-1]
    (request,) = stranger.requests
    assert KEY.encode() not in request


async def test_nan_and_infinity_are_not_sent(raw: RawServer, later: AssistantApiClient, ask: SendRequest) -> None:
    with pytest.raises(AssistantUnavailable, match="JSON compliant"):
        await ask(later, body={"n": float("nan")})
    assert raw.requests == []
