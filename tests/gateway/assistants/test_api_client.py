"""The API client: reused connections, answers in any form, polling that tolerates failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import openai
import pytest
from pydantic import SecretStr

from gateway.assistants import api_client, event_stream
from gateway.assistants.api_client import AssistantApiClient, path_segment
from gateway.assistants.errors.error_map import NotFound
from gateway.assistants.sse import DONE_MARKER
from gateway.domain.errors import AssistantError, AssistantRefused, AssistantUnavailable
from gateway.domain.files import BytesContent
from tests.fakes.file_contents import BytesWriter
from tests.fakes.raw_server import KEY, RawServer


@pytest.fixture(params=["first", "later"])
async def api(request: pytest.FixtureRequest, raw: RawServer, raw_client: openai.AsyncOpenAI) -> AssistantApiClient:
    """A client without requests so far, or with one: then it makes the POSTs of ``read`` from a template."""
    api = AssistantApiClient(raw_client, {"x-more": "yes"})
    if request.param == "later":
        raw.add_response(b"{}")
        await read(api)
        raw.requests.clear()
    return api


async def read(api: AssistantApiClient, *, until: str = "end") -> list[dict[str, object]]:
    """Returns the events of one stream up to the first with the field ``until``."""
    seen = []
    async with await api.stream("/things", {"a": 1}) as stream:
        async for events in stream:
            for name, data in events:
                seen += [data] if name != DONE_MARKER else []
                if until in data:
                    return seen
    return seen


async def endless(api: AssistantApiClient) -> AsyncGenerator[dict[str, object], None]:
    async with await api.stream("/things", {}) as stream:
        async for events in stream:
            for _, data in events:
                yield data


async def misread(api: AssistantApiClient) -> None:
    async with await api.stream("/things", {}) as stream:
        async for events in stream:
            for _, data in events:
                data["b"]


class TestStream:
    async def test_the_connection_is_reused_after_the_last_event(self, raw: RawServer, api: AssistantApiClient) -> None:
        for _ in range(3):
            raw.add_stream(b'data: {"a": 1}\n\ndata: {"end": 1}\n\n', b"data: [DONE]\n\n")
            assert await read(api) == [{"a": 1}, {"end": 1}]
        assert len(raw.requests) == 3
        assert raw.connections == 1

    async def test_leaving_a_stream_early_does_not_wait_for_its_end(
        self, raw: RawServer, api: AssistantApiClient
    ) -> None:
        raw.add_partial_stream(b'data: {"end": 1}\n\n', hang_up=False)
        assert await read(api) == [{"end": 1}]

    async def test_the_connection_is_closed_when_the_reader_stops(
        self, raw: RawServer, api: AssistantApiClient
    ) -> None:
        raw.add_partial_stream(b"data: {}\n\n", hang_up=False)
        async with aclosing(endless(api)) as seen:
            await anext(seen)
            assert not raw.caller_left.is_set()
        await asyncio.wait_for(raw.caller_left.wait(), 5)

    async def test_the_connection_is_closed_when_the_reader_is_cancelled(
        self, raw: RawServer, api: AssistantApiClient
    ) -> None:
        raw.add_partial_stream(b"data: {}\n\n", hang_up=False)
        reading = asyncio.create_task(read(api))
        await raw.wait_for_requests()
        reading.cancel()
        await asyncio.wait_for(raw.caller_left.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await reading

    async def test_a_plain_json_response_is_one_event(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b'{"whole": true}')
        assert await read(api) == [{"whole": True}]

    @pytest.mark.parametrize("data", [b"{", b"[1]", b'{"a": "\xff"}', b"[" * 100_000])
    async def test_garbage_is_unavailable(self, raw: RawServer, api: AssistantApiClient, data: bytes) -> None:
        raw.add_stream(b"data: " + data + b"\n\n")
        with pytest.raises(AssistantUnavailable):
            await read(api)

    async def test_a_truncated_body_is_unavailable(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_partial_stream(b"data: {}\n\n", hang_up=True)
        with pytest.raises(AssistantUnavailable):
            await read(api)

    async def test_an_error_while_reading_is_unavailable(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_stream(b'data: {"a": 1}\n\n')
        with pytest.raises(AssistantUnavailable, match="KeyError"):
            await misread(api)

    async def test_an_answer_without_an_end_is_given_up(
        self, raw: RawServer, api: AssistantApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_stream, "MAX_STREAM_BYTES", 100)
        raw.add_stream(*[b'data: {"a": 1}\n\n'] * 9)
        with pytest.raises(AssistantRefused) as caught:
            await read(api)
        assert caught.value.code == "too_long"
        assert caught.value.user_message.endswith(".")

    @pytest.mark.parametrize("method", ["get", "post"])
    async def test_json_without_an_end_is_unavailable(
        self, raw: RawServer, api: AssistantApiClient, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        monkeypatch.setattr(api_client, "MAX_LINE_BYTES", 10)
        raw.add_response(b'{"a": "0123456789"}')
        with pytest.raises(AssistantUnavailable):
            await (api.get("/things") if method == "get" else api.post("/things", {}))

    async def test_it_is_posted_once_with_key_and_headers(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b"{}", status="500 Internal Server Error")
        with pytest.raises(AssistantUnavailable):
            await read(api)
        (request,) = raw.requests
        assert request.startswith(b"POST /v1/things HTTP/1.1\r\n")
        assert f"authorization: bearer {KEY}".encode() in request.lower()
        assert b"x-more: yes" in request.lower()
        assert request.endswith(b'{"a":1}')


class TestPolling:
    async def test_polling_follows_the_interval_of_the_server(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b'{"n": 1}', headers="openai-poll-after-ms: 1\r\n")
        raw.add_response(b'{"n": 2}', headers="openai-poll-after-ms: nonsense\r\n")
        raw.add_response(b'{"n": 2}', headers="openai-poll-after-ms: nan\r\n")
        raw.add_response(b'{"n": 3}')
        assert await api.poll_until("/runs/1", lambda run: run["n"] == 3, interval_seconds=0.01) == {"n": 3}

    async def test_a_few_failures_are_tolerated(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b"{}", status="500 Internal Server Error")
        raw.add_response(b"{}", status="429 Too Many Requests", headers="retry-after: 0\r\n")
        raw.add_response(b"not json")
        raw.add_response(b'{"n": 1}')
        assert await api.poll_until("/runs/1", lambda run: "n" in run, interval_seconds=0.001) == {"n": 1}

    async def test_many_failures_are_not_tolerated(self, raw: RawServer, api: AssistantApiClient) -> None:
        for _ in range(4):
            raw.add_response(b"{}", status="429 Too Many Requests", headers="retry-after: 0\r\n")
        with pytest.raises(AssistantUnavailable, match="4 times"):
            await api.poll_until("/runs/1", lambda _: True, interval_seconds=0.001)

    async def test_only_failures_in_a_row_count(self, raw: RawServer, api: AssistantApiClient) -> None:
        for answer in (b"{}", b'{"n": 1}'):
            for _ in range(3):
                raw.add_response(b"", status="503 Service Unavailable")
            raw.add_response(answer)
        assert await api.poll_until("/runs/1", lambda run: "n" in run, interval_seconds=0.0001) == {"n": 1}

    async def test_a_missing_object_is_not_polled(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b"{}", status="404 Not Found")
        with pytest.raises(NotFound):
            await api.poll_until("/runs/1", lambda _: True, interval_seconds=0.001)


class TestLists:
    async def test_pages_are_followed_to_the_end(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b'{"data": [{"id": "a"}, {"id": "b"}], "has_more": true, "last_id": "b"}')
        raw.add_response(b'{"data": [{"id": "c"}], "has_more": false, "last_id": "c"}')
        assert [one["id"] async for one in api.iterate_list("/things", {"limit": 2})] == ["a", "b", "c"]
        assert raw.requests[1].startswith(b"GET /v1/things?limit=2&after=b HTTP/1.1\r\n")

    async def test_a_list_that_never_ends_is_left(self, raw: RawServer, api: AssistantApiClient) -> None:
        for _ in range(3):
            raw.add_response(b'{"data": [{"id": "a"}], "has_more": true}')
        assert len([one async for one in api.iterate_list("/things", {})]) == 2


class TestFiles:
    async def test_content_is_returned_unchanged(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b"\0\xff{", content_type="application/octet-stream")
        writer = BytesWriter()
        await api.download("/files/f/content", writer, 3)
        assert writer.data == b"\0\xff{"
        (request,) = raw.requests
        assert request.startswith(b"GET /v1/files/f/content HTTP/1.1\r\n")
        assert b"accept: application/binary" in request.lower()
        assert b"x-more: yes" in request.lower()

    async def test_content_beyond_the_limit_is_not_read(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_partial_stream(b"1234", hang_up=False)
        with pytest.raises(AssistantRefused) as caught:
            await api.download("/files/f/content", BytesWriter(), 3)
        assert caught.value.code == "file_too_large"
        assert caught.value.user_message.endswith(".")
        await asyncio.wait_for(raw.caller_left.wait(), 5)

    async def test_truncated_content_is_an_error(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_partial_stream(b"123", hang_up=True)
        with pytest.raises(AssistantUnavailable):
            await api.download("/files/f/content", BytesWriter(), 1000)

    @pytest.mark.parametrize(("status", "kind"), [("404 Not Found", NotFound), ("503 Away", AssistantUnavailable)])
    async def test_an_error_response_is_not_content(
        self, raw: RawServer, api: AssistantApiClient, status: str, kind: type[AssistantError]
    ) -> None:
        raw.add_response(b"{}", status=status)
        with pytest.raises(kind):
            await api.download("/files/f/content", BytesWriter(), 1000)

    async def test_a_file_is_uploaded_as_a_form(self, raw: RawServer, api: AssistantApiClient) -> None:
        raw.add_response(b'{"id": "file_1"}')
        sent = b"\r\n--\0\xff"
        assert await api.upload("/files", {"purpose": "vision"}, 'a "b" ü.png', "image/png", BytesContent(sent)) == {
            "id": "file_1"
        }
        (request,) = raw.requests
        head, _, body = request.partition(b"\r\n\r\n")
        assert b"content-type: multipart/form-data; boundary=" in head.lower()
        assert b'name="purpose"\r\n\r\nvision\r\n' in body
        assert b'name="file"; filename="a %22b%22 ' + "ü".encode() + b'.png"\r\n' in body
        assert b"content-type: image/png\r\n" in body.lower()
        assert b"\r\n\r\n" + sent + b"\r\n--" in body


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 300])
def test_an_invalid_id_is_not_used_in_a_path(name: str) -> None:
    with pytest.raises(AssistantRefused):
        path_segment(name)


def test_an_id_is_one_path_segment() -> None:
    assert path_segment("thread_1/../../files?x#y%") == "thread_1%2F..%2F..%2Ffiles%3Fx%23y%25"


class TestConnect:
    async def test_a_self_hosted_server_needs_no_key(
        self, raw: RawServer, connected: Callable[..., openai.AsyncOpenAI]
    ) -> None:
        raw.add_response(b"{}")
        assert (
            await AssistantApiClient(connected(openai_base_url=f"http://127.0.0.1:{raw.port}/v1")).get("/models") == {}
        )

    async def test_azure_gets_its_key_and_its_version(
        self, raw: RawServer, connected: Callable[..., openai.AsyncOpenAI]
    ) -> None:
        raw.add_response(b"{}")
        client = connected(
            azure_openai_endpoint=f"http://127.0.0.1:{raw.port}",
            azure_openai_api_key=SecretStr(KEY),
            azure_openai_api_version="2024-10-21",
        )
        await AssistantApiClient(client).get("/threads/t")
        (request,) = raw.requests
        assert request.startswith(b"GET /openai/threads/t?api-version=2024-10-21 HTTP/1.1\r\n")
        assert f"api-key: {KEY}".encode() in request.lower()

    async def test_a_refused_connection_is_unavailable(self, connected: Callable[..., openai.AsyncOpenAI]) -> None:
        with pytest.raises(AssistantUnavailable):
            await AssistantApiClient(connected(openai_base_url="http://127.0.0.1:9/v1")).get("/models")
