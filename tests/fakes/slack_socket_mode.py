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
from tests.fakes.slack_arguments import SlackArguments
from tests.fakes.slack_events import APP
from tests.fakes.slack_faults import Json, SlackError
from tests.fakes.slack_state import SlackState

MAX_SOCKETS = 10
"""Open sockets of one app at the same time."""


@dataclass(slots=True, eq=False)
class SlackSocket:
    """One socket and its unacknowledged envelopes."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    pending_acks: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    def on_message(self, said: Json) -> None:
        ack = self.pending_acks.pop(str(said.get("envelope_id")), None)
        if ack is not None and not ack.done():
            ack.set_result(said.get("payload"))

    def fail_pending(self) -> None:
        for ack in self.pending_acks.values():
            if not ack.done():
                ack.set_exception(ConnectionResetError("the socket is closed"))
        self.pending_acks.clear()

    async def send(self, envelope: Json) -> Any:
        """Sends an envelope; returns the payload of its acknowledgement. Raises ConnectionError when the socket closes
        first.
        """
        ack = self.pending_acks[envelope["envelope_id"]] = asyncio.get_running_loop().create_future()
        await self.socket.send_str(encode(envelope))
        return await ack


class SocketModeServer:
    def __init__(self, state: SlackState) -> None:
        self._state = state
        self._tickets: set[str] = set()
        self._sockets: list[SlackSocket] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Resets the state for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._any_open = asyncio.Event()
        self._sockets.clear()

    @property
    def open_count(self) -> int:
        """Number of open sockets."""
        return len(self._sockets)

    def connections_open(self, state: SlackState, args: SlackArguments) -> Json:
        """apps.connections.open: returns a URL with a ticket for one socket."""
        token = args.string("token")
        if token in state.grants:
            raise SlackError("not_allowed_token_type")
        if token not in state.app_tokens:
            raise SlackError("invalid_auth" if token else "not_authed")
        ticket = secrets.token_hex(8)
        self._tickets.add(ticket)
        return {"ok": True, "url": f"ws{state.url.removeprefix('http')}/link/?ticket={ticket}&app_id={APP}"}

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one socket until it closes."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets or self.open_count >= MAX_SOCKETS:
            return web.Response(status=403)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(compress=False, timeout=0.5)
        await socket.prepare(request)
        await self._serve_socket(SlackSocket(socket, request.transport))
        return socket

    async def _serve_socket(self, link: SlackSocket) -> None:
        debug = {"host": "applink-fake", "build_number": 1, "approximate_connection_time": 3600}
        hello = {"type": "hello", "num_connections": self.open_count + 1, "debug_info": debug}
        await link.socket.send_str(encode({**hello, "connection_info": {"app_id": APP}}))
        with self._state.notify():
            self._sockets.append(link)
            self._any_open.set()
        try:
            async for frame in link.socket:
                if frame.type is WSMsgType.TEXT:
                    link.on_message(json.loads(frame.data))
        finally:
            self._remove(link)

    def _remove(self, link: SlackSocket) -> None:
        link.fail_pending()
        if link in self._sockets:
            with self._state.notify():
                self._sockets.remove(link)
        if not self._sockets:
            self._any_open.clear()

    async def send(self, kind: str, payload: Json, retry_num: int, reason: str) -> str:
        """Sends one envelope as soon as a socket is open; returns the payload of its acknowledgement as text.

        Raises ConnectionError when the socket closes first.
        """
        await self._any_open.wait()
        envelope = {
            "envelope_id": str(uuid4()),
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": retry_num, "retry_reason": reason}
        answer = await random.choice(self._sockets).send(envelope)
        return "" if answer is None else answer if isinstance(answer, str) else encode(answer)

    def disconnect(self, reason: str = "refresh_requested") -> None:
        """Asks every client to reconnect, as Slack sometimes does, and closes its socket; callable from any thread."""
        self._for_each(lambda link: asyncio.ensure_future(self._disconnect_socket(link, reason)))

    def cut(self) -> None:
        """Aborts every connection; callable from any thread."""
        self._for_each(self._abort)

    def _for_each(self, action: Callable[[SlackSocket], object]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [action(link) for link in self._sockets.copy()])

    def _abort(self, link: SlackSocket) -> None:
        self._remove(link)
        if link.transport is not None:
            link.transport.abort()

    async def _disconnect_socket(self, link: SlackSocket, reason: str) -> None:
        self._remove(link)
        with suppress(ConnectionError):
            debug = {"host": "applink-fake"}
            await link.socket.send_str(encode({"type": "disconnect", "reason": reason, "debug_info": debug}))
            await link.socket.close()
