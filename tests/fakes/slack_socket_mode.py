"""Socket Mode: sends each envelope over one of the app's WebSockets, chosen at random."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import WSMsgType, web

from tests.fakes.platform_api import encode
from tests.fakes.slack_arguments import Args
from tests.fakes.slack_events import APP
from tests.fakes.slack_faults import Json, SlackError
from tests.fakes.slack_state import World

LIMIT = 10
"""Open sockets of one app at the same time."""


@dataclass(slots=True, eq=False)
class Link:
    """One socket and its unacknowledged envelopes."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    def heard(self, said: Json) -> None:
        ack = self.waiting.pop(str(said.get("envelope_id")), None)
        if ack is not None and not ack.done():
            ack.set_result(said.get("payload"))

    def gone(self) -> None:
        for ack in self.waiting.values():
            if not ack.done():
                ack.set_exception(ConnectionResetError("the socket is closed"))
        self.waiting.clear()

    async def send(self, envelope: Json) -> Any:
        """Sends an envelope; returns the payload of its acknowledgement. Raises ConnectionError when the socket closes
        first.
        """
        ack = self.waiting[envelope["envelope_id"]] = asyncio.get_running_loop().create_future()
        await self.socket.send_str(encode(envelope))
        return await ack


class Sockets:
    def __init__(self, world: World) -> None:
        self._world = world
        self._tickets: set[str] = set()
        self._links: list[Link] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Resets the state for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._some = asyncio.Event()
        self._links.clear()

    @property
    def count(self) -> int:
        """Number of open sockets."""
        return len(self._links)

    def connections_open(self, world: World, args: Args) -> Json:
        """apps.connections.open: returns a URL with a ticket for one socket."""
        token = args.word("token")
        if token in world.grants:
            raise SlackError("not_allowed_token_type")
        if token not in world.app_tokens:
            raise SlackError("invalid_auth" if token else "not_authed")
        ticket = secrets.token_hex(8)
        self._tickets.add(ticket)
        return {"ok": True, "url": f"ws{world.url.removeprefix('http')}/link/?ticket={ticket}&app_id={APP}"}

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one socket until it closes."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets or self.count >= LIMIT:
            return web.Response(status=403)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(compress=False, timeout=0.5)
        await socket.prepare(request)
        await self._follow(Link(socket, request.transport))
        return socket

    async def _follow(self, link: Link) -> None:
        debug = {"host": "applink-fake", "build_number": 1, "approximate_connection_time": 3600}
        hello = {"type": "hello", "num_connections": self.count + 1, "debug_info": debug}
        await link.socket.send_str(encode({**hello, "connection_info": {"app_id": APP}}))
        with self._world.change():
            self._links.append(link)
            self._some.set()
        try:
            async for frame in link.socket:
                if frame.type is WSMsgType.TEXT:
                    link.heard(json.loads(frame.data))
        finally:
            self._forget(link)

    def _forget(self, link: Link) -> None:
        link.gone()
        if link in self._links:
            with self._world.change():
                self._links.remove(link)
        if not self._links:
            self._some.clear()

    async def send(self, kind: str, payload: Json, retry_num: int, reason: str) -> str:
        """Sends one envelope as soon as a socket is open; returns the payload of its acknowledgement as text.

        Raises ConnectionError when the socket closes first.
        """
        await self._some.wait()
        envelope = {
            "envelope_id": str(uuid4()),
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": retry_num, "retry_reason": reason}
        answer = await random.choice(self._links).send(envelope)
        return "" if answer is None else answer if isinstance(answer, str) else encode(answer)

    def disconnect(self, reason: str = "refresh_requested") -> None:
        """Asks every client to reconnect, as Slack sometimes does, and closes its socket; callable from any thread."""
        self._each(lambda link: asyncio.ensure_future(self._dismiss(link, reason)))

    def cut(self) -> None:
        """Aborts every connection; callable from any thread."""
        self._each(self._kill)

    def _each(self, act: Callable[[Link], object]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [act(link) for link in self._links.copy()])

    def _kill(self, link: Link) -> None:
        self._forget(link)
        if link.transport is not None:
            link.transport.abort()

    async def _dismiss(self, link: Link, reason: str) -> None:
        self._forget(link)
        with suppress(ConnectionError):
            debug = {"host": "applink-fake"}
            await link.socket.send_str(encode({"type": "disconnect", "reason": reason, "debug_info": debug}))
            await link.socket.close()
