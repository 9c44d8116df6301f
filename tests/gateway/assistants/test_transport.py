"""What the transport sends is what the SDK would send, without its telemetry, and fails as the SDK would."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, cast

import aiohttp
import httpx2
import openai
import pytest
from pydantic import SecretStr

from gateway.assistants import transport
from gateway.assistants.api_client import AssistantApiClient
from gateway.assistants.sse import Json
from gateway.domain.errors import AnswerLost, AssistantError, AssistantMisconfigured, AssistantUnavailable
from gateway.domain.files import BytesContent
from tests.fakes.raw_server import CA_FILE, KEY, RawServer

HEADERS = {"openai-beta": "assistants=v2"}
CONNECTION = {b"host", b"connection", b"accept-encoding"}
"""Headers that each HTTP client makes as it likes."""
TELEMETRY = b"x-stainless-"
ADDRESSES: dict[str, Callable[[str], dict[str, Any]]] = {
    "openai": lambda url: {"openai_api_key": SecretStr(KEY), "openai_base_url": f"{url}/v1"},
    "own": lambda url: {"openai_base_url": f"{url}/threads/of-ones-own/"},
    "azure": lambda url: {
        "azure_openai_endpoint": url,
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

Connected = Callable[..., openai.AsyncOpenAI]


@pytest.fixture
def api(raw: RawServer, connected: Connected) -> AssistantApiClient:
    return AssistantApiClient(connected(**ADDRESSES["openai"](raw.url)), HEADERS)


class SendRequest(Protocol):
    def __call__(self, api: AssistantApiClient, path: str = ..., body: Json | None = ...) -> Awaitable[None]: ...


async def post(api: AssistantApiClient, path: str = "/things", body: Json | None = None) -> None:
    await api.post(path, body or {})


async def stream(
    api: AssistantApiClient, path: str = "/things", body: Json | None = None, *, idle_seconds: float | None = None
) -> None:
    async with await api.stream(path, body or {}, idle_seconds=idle_seconds) as stream:
        async for events in stream:
            list(events)


@pytest.fixture(params=[post, stream, partial(stream, idle_seconds=7.5)], ids=["post", "stream", "patience"])
def ask(request: pytest.FixtureRequest) -> SendRequest:
    return cast("SendRequest", request.param)


async def failure(request: Awaitable[None]) -> AssistantError:
    with pytest.raises(AssistantError) as caught:
        await request
    return caught.value


def visible(request: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Returns the first line, the headers and the body of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    said = {name: value for name, value in headers.items() if not name.startswith(TELEMETRY)}
    return first, {name: value for name, value in said.items() if name not in CONNECTION}, body


# ---------------------------------------------------------------- what is sent


@pytest.mark.parametrize("kind", PATH_PAIRS)
@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_post_is_that_of_the_sdk(
    raw: RawServer, connected: Connected, monkeypatch: pytest.MonkeyPatch, kind: tuple[str, str, Json], address: str
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org_1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-of-ones-own: yes")
    client = connected(**ADDRESSES[address](raw.url))
    first, path, more = kind
    body = more | {"input": 'Grüße, "Welt" 🌍\u2028', "n": [1.5, None, True]}
    api = AssistantApiClient(client, HEADERS)
    for _ in range(3):
        raw.add_response(b"{}")
    await stream(api, first, more)
    await stream(api, path, body)
    async with httpx2.AsyncClient(verify=False) as http:
        sdk = client.with_options(http_client=http)
        await sdk.post(path, cast_to=httpx2.Response, body=body, options={"headers": HEADERS})
    _, sent, of_sdk = (visible(request) for request in raw.requests)
    assert sent == of_sdk
    assert [TELEMETRY in request.lower() for request in raw.requests] == [False, False, True]
    assert (sent[1][b"openai-organization"], sent[1][b"openai-project"]) == (b"org_1", b"proj_1")
    assert sent[1][b"x-of-ones-own"] == b"yes"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_get_is_that_of_the_sdk(raw: RawServer, connected: Connected, address: str) -> None:
    client = connected(**ADDRESSES[address](raw.url))
    api, query = AssistantApiClient(client, HEADERS), {"limit": 20, "order": "desc", "after": "msg/1 &ü"}
    for _ in range(3):
        raw.add_response(b"{}")
    await api.get("/threads/thread_1")
    await api.get("/threads/thread_2/messages", query)
    async with httpx2.AsyncClient(verify=False) as http:
        sdk = client.with_options(http_client=http)
        options: Any = {"headers": HEADERS, "params": query, "timeout": httpx2.Timeout(60.0, connect=10.0)}
        await sdk.get("/threads/thread_2/messages", cast_to=httpx2.Response, options=options)
    _, sent, of_sdk = (visible(request) for request in raw.requests)
    assert sent[1:] == of_sdk[1:]
    line, line_of_sdk = (httpx2.URL(first.split(b" ")[1].decode()) for first in (sent[0], of_sdk[0]))
    assert (line.path, sorted(line.params.multi_items())) == (
        line_of_sdk.path,
        sorted(line_of_sdk.params.multi_items()),
    )


async def test_another_model_has_another_url_on_azure(raw: RawServer, connected: Connected, ask: SendRequest) -> None:
    api = AssistantApiClient(connected(**ADDRESSES["azure"](raw.url)))
    for model in ("a", "b", "a"):
        raw.add_response(b"{}")
        await ask(api, "/chat/completions", {"model": model})
    assert [request.split(b"/")[3] for request in raw.requests] == [b"a", b"b", b"a"]


async def test_models_that_callers_name_are_not_remembered_without_end(
    raw: RawServer, api: AssistantApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_TEMPLATES", 2)
    for model in "abcde":
        raw.add_response(b"{}")
        await post(api, "/responses", {"model": model})
    assert len(api._transport._templates) <= 2


async def test_a_file_goes_to_the_deployment_of_its_model_on_azure(raw: RawServer, connected: Connected) -> None:
    api = AssistantApiClient(connected(**ADDRESSES["azure"](raw.url)))
    raw.add_response(b"{}")
    await api.upload("/audio/transcriptions", {"model": "w"}, "a.ogg", "audio/ogg", BytesContent(b"OggS"))
    assert raw.requests[0].startswith(b"POST /openai/deployments/w/audio/transcriptions?api-version=2024-10-21 ")


async def test_each_request_has_its_own_timeout(raw: RawServer, api: AssistantApiClient) -> None:
    raw.add_response(b"{}")
    await stream(api, idle_seconds=30)
    raw.answers.append(([], False))
    assert type(await failure(stream(api, idle_seconds=0.05))) is AssistantUnavailable
    raw.add_response(b"{}")
    await stream(api, idle_seconds=30)


async def test_a_cookie_is_returned_until_it_is_deleted(
    raw: RawServer, api: AssistantApiClient, ask: SendRequest
) -> None:
    raw.add_response(b"{}", headers="set-cookie: a=b; path=/\r\n")
    raw.add_response(b"{}", headers="set-cookie: a=b; path=/; max-age=0\r\n")
    raw.add_response(b"{}")
    for path in ("/things", "/others", "/others"):
        await ask(api, path)
    assert [b"cookie: a=b" in request.lower() for request in raw.requests] == [False, True, False]


async def test_nan_and_infinity_are_not_sent(raw: RawServer, api: AssistantApiClient, ask: SendRequest) -> None:
    with pytest.raises(AssistantUnavailable, match="JSON compliant"):
        await ask(api, body={"n": float("nan")})
    assert raw.requests == []


# ---------------------------------------------------------------- the way there


async def test_a_proxy_of_the_environment_is_used(
    raw: RawServer, connected: Connected, monkeypatch: pytest.MonkeyPatch, ask: SendRequest
) -> None:
    monkeypatch.setenv("HTTP_PROXY", raw.url)
    raw.add_response(b"{}")
    await ask(AssistantApiClient(connected(openai_base_url="http://assistant.example/v1")))
    assert raw.requests[0].startswith(b"POST http://assistant.example/v1/things HTTP/1.1\r\n")


async def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    connected: Connected, monkeypatch: pytest.MonkeyPatch, ask: SendRequest
) -> None:
    async with RawServer(tls=True) as secure:
        api = AssistantApiClient(connected(openai_base_url=secure.url))
        error = await failure(ask(api))
        assert type(error) is AssistantUnavailable
        assert "ClientConnectorCertificateError" in str(error)
        assert "ssl:" not in str(error)
        monkeypatch.setenv("SSL_CERT_FILE", str(CA_FILE))
        secure.add_response(b"{}")
        await ask(AssistantApiClient(connected(openai_base_url=secure.url)))


async def test_a_proxy_that_cannot_be_used_is_a_mistake_in_the_settings(
    connected: Connected, monkeypatch: pytest.MonkeyPatch, ask: SendRequest
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    error = await failure(ask(AssistantApiClient(connected(openai_base_url="http://127.0.0.1:9/v1"))))
    assert type(error) is AssistantMisconfigured


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [ERROR_BODY, b"<html>", b""])
async def test_an_error_status_is_that_of_the_sdk(
    raw: RawServer, connected: Connected, ask: SendRequest, status: int, body: bytes
) -> None:
    client = connected(**ADDRESSES["openai"](raw.url))
    for _ in range(2):
        raw.add_response(body, status=f"{status} Said", headers="x-request-id: req_1\r\nretry-after: 3\r\n")
    cause = (await failure(ask(AssistantApiClient(client)))).__cause__
    async with httpx2.AsyncClient(verify=False) as http:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.with_options(http_client=http).post("/things", cast_to=httpx2.Response, body={})
    expected = caught.value
    assert isinstance(cause, openai.APIStatusError)
    assert (type(cause), str(cause), cause.body, cause.request_id) == (
        type(expected),
        str(expected),
        expected.body,
        "req_1",
    )
    assert cause.response.headers == expected.response.headers
    assert cause.response.text == expected.response.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", aiohttp.ServerDisconnectedError),
        (b"HTTP/1.1 200 OK\r\ncontent-le", aiohttp.ServerDisconnectedError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", aiohttp.ClientPayloadError),
        (b"HTTP/1.1 500 Away\r\ncontent-length: 9\r\n\r\n{}", aiohttp.ClientPayloadError),
        (b"nonsense\r\n\r\n", aiohttp.ClientResponseError),
    ],
)
async def test_a_connection_that_breaks_is_unavailable_and_not_tried_again(
    raw: RawServer, api: AssistantApiClient, ask: SendRequest, answer: bytes, kind: type[Exception]
) -> None:
    raw.answers.append(([answer], True))
    error = await failure(ask(api))
    assert isinstance(error, AssistantUnavailable)
    assert isinstance(error.__cause__, kind)
    assert len(raw.requests) == 1


async def test_silence_is_unavailable(raw: RawServer, api: AssistantApiClient) -> None:
    raw.answers.append(([], False))
    error = await failure(stream(api, idle_seconds=0.05))
    assert type(error) is AssistantUnavailable
    assert isinstance(error.__cause__, aiohttp.SocketTimeoutError)


async def test_silence_within_an_answer_loses_it(raw: RawServer, api: AssistantApiClient) -> None:
    raw.add_stream(*[b'data: {"a": 1}\n\n'] * 3)
    raw.answers[-1][0].pop()  # its end
    error = await failure(stream(api, idle_seconds=0.05))
    assert type(error) is AnswerLost
    assert isinstance(error.__cause__, aiohttp.SocketTimeoutError)


async def test_an_answer_may_take_longer_than_the_silence_in_it(raw: RawServer, api: AssistantApiClient) -> None:
    raw.add_stream(*[b'data: {"a": 1}\n\n'] * 600)
    began = time.monotonic()
    await stream(api, idle_seconds=0.5)
    assert time.monotonic() - began > 0.5


# ---------------------------------------------------------------- redirects


async def test_a_redirect_is_followed(raw: RawServer, api: AssistantApiClient, ask: SendRequest) -> None:
    for _ in range(2):
        raw.add_response(b"", status="307 Moved", headers="location: /v2/things\r\n")
        raw.add_response(b"{}")
        await ask(api, body={"a": 1})
    assert [request.split(b" ", 2)[1] for request in raw.requests] == [b"/v1/things", b"/v2/things"] * 2
    assert all(request.endswith(b'{"a":1}') and KEY.encode() in request for request in raw.requests)


async def test_a_redirect_that_would_lose_the_message_is_a_wrong_address(
    raw: RawServer, api: AssistantApiClient, ask: SendRequest
) -> None:
    raw.add_response(b"", status="301 Moved", headers="location: /v2/things\r\n")
    assert type(await failure(ask(api))) is AssistantMisconfigured


@pytest.mark.parametrize("address", ["openai", "azure"])
async def test_a_redirect_sends_no_key_to_another_server(
    raw: RawServer, connected: Connected, ask: SendRequest, address: str
) -> None:
    api = AssistantApiClient(connected(**ADDRESSES[address](raw.url)))
    async with RawServer() as stranger:
        raw.add_response(b"", status="307 Moved", headers=f"location: {stranger.url}/things\r\n")
        stranger.add_response(b"{}")
        await ask(api)
    assert KEY.encode() in raw.requests[-1]
    (request,) = stranger.requests
    assert KEY.encode() not in request
