"""The live log of a turn, as server-sent events: who may read it, what comes, and when it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.admin import native_routes
from gateway.admin.pages import turn_log_stream
from gateway.admin.pages.turn_log_stream import TurnLogStreams
from gateway.domain.errors import Overloaded, TurnNotFound, Unauthenticated
from gateway.domain.models import TurnId
from gateway.ports.turn_log import TurnLogLine
from gateway.web.api.routes import AsgiMessage, HttpRequest, HttpResponse
from tests.gateway.admin.harness import AdminHarness, open_harness, settings
from tests.gateway.admin.test_session import cookie_of
from tests.gateway.admin.test_sign_in import ANN, PROXY, proxy_settings


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_log_stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(turn_log_stream, "QUIET_SECONDS", 0.1)


class Caller:
    """A browser that reads the stream of a turn."""

    def __init__(self, turn_id: str, peer: str = "127.0.0.1", **headers: str) -> None:
        self._gone = asyncio.Event()
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"method": "GET", "path": "", "headers": raw, "query_string": b"", "client": (peer, 1)}
        self.request = HttpRequest(scope, self._receive, {"turn_id": turn_id})

    async def _receive(self) -> AsgiMessage:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def go_away(self) -> None:
        self._gone.set()


def add(scene: AdminHarness, turn_id: TurnId, *events: str) -> None:
    lines = [TurnLogLine(turn_id, 1.5, "host:1", "info", "gateway", event, {"n": "1"}) for event in events]
    scene.context.turn_logs.add(lines)


def session_of(scene: AdminHarness) -> str:
    return f"gateway_admin={cookie_of(scene.signed_in_client())}"


async def items(response: HttpResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yields the id and the data of each event, "end" for the last one."""
    assert response.stream is not None
    async for part in response.stream:
        assert isinstance(part, str)
        fields = dict(line.split(": ", 1) for line in part.strip().splitlines() if not line.startswith(":"))
        if "data" in fields:
            yield fields.get("event", fields.get("id", "")), json.loads(fields["data"])


async def test_without_a_session_nobody_reads_along(scene: AdminHarness) -> None:
    turn = scene.enqueue("hello")
    streams = TurnLogStreams(scene.context)
    for cookie in ("", "gateway_admin=forged", "gateway_admin", "x=y; gateway_admin=.."):
        with pytest.raises(Unauthenticated):
            await streams.handle(Caller(turn.id, cookie=cookie).request)
    assert scene.context.turn_logs.watched() == frozenset()
    with pytest.raises(TurnNotFound):
        await streams.handle(Caller("turn_none", cookie=session_of(scene)).request)


async def test_a_proxy_vouches_for_readers_as_for_those_of_pages(scene: AdminHarness) -> None:
    turn = scene.enqueue("hello")
    streams = TurnLogStreams(replace(scene.context, settings=proxy_settings()))
    response = await streams.handle(Caller(turn.id, PROXY, x_forwarded_email=ANN).request)
    response.on_close()
    for peer, email in (("127.0.0.1", ANN), (PROXY, "eve@evil.example")):
        with pytest.raises(Unauthenticated):
            await streams.handle(Caller(turn.id, peer, x_forwarded_email=email).request)


async def test_lines_come_as_they_are_stored_and_the_turn_is_watched(scene: AdminHarness) -> None:
    turn = scene.enqueue("hello")
    add(scene, turn.id, "one", "two")
    caller = Caller(turn.id, cookie=session_of(scene))
    response = await TurnLogStreams(scene.context).handle(caller.request)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    seen = items(response)
    first, second = await anext(seen), await anext(seen)
    assert [data["event"] for _, data in (first, second)] == ["one", "two"]
    assert first[1]["fields"] == {"n": "1"}
    assert turn.id in scene.context.turn_logs.watched()
    add(scene, turn.id, "three")
    assert (await anext(seen))[1]["event"] == "three"
    caller.go_away()
    assert [each async for each in seen] == []
    response.on_close()
    again = Caller(turn.id, cookie=session_of(scene), last_event_id=second[0])
    resumed = items(await TurnLogStreams(scene.context).handle(again.request))
    assert (await anext(resumed))[1]["event"] == "three"
    again.go_away()
    assert [each async for each in resumed] == []


async def test_the_stream_of_a_finished_turn_ends(scene: AdminHarness) -> None:
    turn = scene.finish_turn("hello")
    add(scene, turn.id, "late")
    response = await TurnLogStreams(scene.context).handle(Caller(turn.id, cookie=session_of(scene)).request)
    assert [name if name == "end" else data["event"] async for name, data in items(response)] == ["late", "end"]


async def test_a_process_that_stops_ends_its_streams(scene: AdminHarness) -> None:
    turn = scene.enqueue("hello")
    stopping = asyncio.Event()
    context = replace(scene.context, is_stopping=stopping.is_set)
    response = await TurnLogStreams(context).handle(Caller(turn.id, cookie=session_of(scene)).request)
    assert response.stream is not None
    assert await anext(response.stream) == "retry: 2000\n\n"
    stopping.set()
    assert [each async for each in response.stream if "data" in str(each)] == []


async def test_there_are_so_many_streams_and_a_closed_one_makes_room(scene: AdminHarness) -> None:
    turn, streams = scene.enqueue("hello"), TurnLogStreams(scene.context)
    cookie = session_of(scene)
    responses = [
        await streams.handle(Caller(turn.id, cookie=cookie).request) for _ in range(turn_log_stream.MAX_STREAMS)
    ]
    with pytest.raises(Overloaded):
        await streams.handle(Caller(turn.id, cookie=cookie).request)
    responses[0].on_close()
    responses[0] = await streams.handle(Caller(turn.id, cookie=cookie).request)
    for response in responses:
        response.on_close()


def test_there_is_no_stream_while_the_pages_are_off(scene: AdminHarness) -> None:
    assert [route.path for route in native_routes(scene.context)] == ["/admin/turns/<turn_id>/log"]
    assert native_routes(replace(scene.context, settings=settings(None))) == ()
