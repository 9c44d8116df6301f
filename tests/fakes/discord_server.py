"""A fake Discord: HTTP API and gateway over real HTTP and WebSocket on loopback, faults, simulated people."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.fakes.discord_api import DiscordApi, find_route
from tests.fakes.discord_state import (
    CHANNEL,
    GUILD,
    USER,
    USER_FIELDS,
    BotAccount,
    DiscordError,
    DiscordState,
    Interaction,
    Session,
)
from tests.fakes.platform_faults import Json, RecordedCall
from tests.fakes.platform_server import FakePlatformServer

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC_KEY = SIGNING_KEY.public_key().public_bytes_raw().hex()
THE_BOT = BotAccount()


class FakeDiscord(FakePlatformServer):
    """One bot, a server with a text channel, and a direct message with USER. Callable from any thread.

    ``heartbeat``: seconds between two heartbeats that Discord asks for.
    """

    def __init__(self, *, port: int = 0, heartbeat: float = 30.0, bot: BotAccount = THE_BOT) -> None:
        self.state = DiscordState(bot)
        self._heartbeat = heartbeat
        self._sockets: dict[web.WebSocketResponse, Session | None] = {}
        self._api = DiscordApi(self.state)
        super().__init__(self.state, self.state.faults, port)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v10"

    # ------------------------------------------------------------ people

    def says(self, text: str, channel: str = CHANNEL, user: str = USER, *, mentions: bool = False, **more: Any) -> Json:
        """Lets somebody write; returns the message."""
        content = f"<@{self.state.bot.id}> {text}" if mentions else text
        mentioned = [self.state.bot_user] if mentions else []
        author = {"id": user, "username": f"user{user}", "global_name": f"Person {user}", **USER_FIELDS}
        with self.state.notify():
            return self.state.add_message(channel, author, content, **{"mentions": mentioned, **more})

    def edits(self, message: Json, text: str) -> None:
        with self.state.notify():
            stored = self.state.message(message["channel_id"], message["id"])
            stored.update(content=text, edited_timestamp="2026-01-01T00:00:00Z")
            self.state.dispatch("MESSAGE_UPDATE", {**message, **stored})

    def deletes(self, message: Json) -> None:
        with self.state.notify():
            self.state.messages[message["channel_id"]].pop(message["id"])
            event: Json = {name: message[name] for name in ("id", "channel_id", "guild_id") if name in message}
            self.state.dispatch("MESSAGE_DELETE", event)

    def interaction(self, data: Json, channel: str = CHANNEL, user: str = USER, *, kind: int = 2) -> Json:
        """Makes an interaction and remembers its token; sends it nowhere."""
        with self.state.notify():
            number, described = self.state.snowflake(), self.state.channel(channel)
            self.state.interactions[f"token{number}"] = Interaction(channel)
        person = {"id": user, "username": f"user{user}"}
        whose = {"member": {"user": person}, "guild_id": GUILD} if "guild_id" in described else {"user": person}
        return {
            "id": number,
            "application_id": self.state.bot.application,
            "type": kind,
            "token": f"token{number}",
            "channel_id": channel,
            "channel": described,
            "data": data,
            **whose,
        }

    def commands(self, name: str, text: str = "", channel: str = CHANNEL, user: str = USER) -> Json:
        """Lets somebody use a slash command, over the gateway; returns the interaction."""
        options = [{"name": "text", "type": 3, "value": text}] if text else []
        event = self.interaction({"name": name, "options": options}, channel, user)
        with self.state.notify():
            self.state.dispatch("INTERACTION_CREATE", event)
        return event

    def presses(self, custom_id: str, channel: str = CHANNEL, user: str = USER) -> Json:
        event = self.interaction({"custom_id": custom_id, "component_type": 2}, channel, user, kind=3)
        with self.state.notify():
            self.state.dispatch("INTERACTION_CREATE", event)
        return event

    # ------------------------------------------------------------ what it saw

    def bot_messages(self, channel: str = CHANNEL) -> list[Json]:
        with self.state.lock:
            found = self.state.messages.get(channel, {}).values()
            return sorted(
                (each for each in found if each["author"]["id"] == self.state.bot.id), key=lambda each: int(each["id"])
            )

    def calls(self, method: str) -> list[RecordedCall]:
        return [call for call in self.state.calls.copy() if call.method == method]

    @property
    def is_all_committed(self) -> bool:
        """Whether the gateway has committed every event, as far as it has said."""
        sessions = list(self.state.sessions.values())
        return bool(sessions) and sessions[-1].committed >= len(sessions[-1].events)

    @property
    def connected(self) -> int:
        return sum(session is not None for session in self._sockets.values())

    def disconnect(self, code: int = 4000, *, forget_sessions: bool = False) -> None:
        """Ends all gateway connections."""
        if forget_sessions:
            self.state.sessions.clear()
        loop = self._loop
        assert loop is not None

        async def end() -> None:
            for socket in list(self._sockets):
                await socket.close(code=code)

        asyncio.run_coroutine_threadsafe(end(), loop).result(10)

    # ------------------------------------------------------------ the server

    async def _on_start(self) -> None:
        self.state.gateway_url = self.url.replace("http", "ws", 1) + "/gateway"

    async def _on_stop(self) -> None:
        for socket in list(self._sockets):
            await socket.close(code=1001)

    def _describe(self) -> str:
        calls = [f"  {call.method} {call.summary or '...'}" for call in self.state.calls[-20:]]
        texts = [f"  {each['content'][:80]!r}" for found in self.state.messages.values() for each in found.values()]
        return "\n".join(["calls:", *calls, "messages:", *texts, f"connected: {self.connected}"])

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/gateway"):
            return await self._serve_gateway(request)
        if request.path.startswith("/files/"):
            return web.Response(body=self.state.files[request.path.removeprefix("/files/")])
        try:
            name, path = find_route(request.method, request.path_qs.removeprefix("/api/v10"))
        except DiscordError as exc:
            return web.json_response({"code": exc.code, "message": exc.message}, status=exc.status)
        token = request.headers.get("Authorization", "").removeprefix("Bot ")
        call = RecordedCall(name, {"path": path, "body": await _body(request)}, token)
        return await self._api.handle(request, call)

    async def _serve_gateway(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[socket] = None
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": self._heartbeat * 1000}})
        sender: asyncio.Future[None] | None = None
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                payload = json.loads(message.data)
                if payload["op"] == 1:
                    self._committed(self._sockets[socket], payload["d"])
                    await socket.send_json({"op": 11})
                elif payload["op"] in {2, 6}:
                    sender = await self._introduced(socket, payload)
        finally:
            del self._sockets[socket]
            if sender is not None:
                sender.cancel()
        return socket

    def _committed(self, session: Session | None, sequence: int | None) -> None:
        if session is not None:
            with self.state.notify():
                session.committed = max(session.committed, sequence or 0)

    async def _introduced(self, socket: web.WebSocketResponse, payload: Json) -> asyncio.Future[None] | None:
        data = payload["d"]
        if data["token"] != self.state.bot.token:
            await socket.close(code=4004)
            return None
        known = self.state.sessions.get(data.get("session_id", ""))
        self._committed(known, data.get("seq"))
        if payload["op"] == 6 and known is None:
            await socket.send_json({"op": 9, "d": False})
            return None
        session, after = known or Session(), int(data.get("seq") or 0)
        with self.state.notify():
            self._sockets[socket] = session
            if known is None:
                name = f"session{len(self.state.sessions)}-{self.state.snowflake()}"
                ready = {
                    "session_id": name,
                    "resume_gateway_url": self.state.resume_url or self.state.gateway_url,
                    "user": self.state.bot_user,
                    "guilds": [{"id": GUILD, "unavailable": True}],
                    "application": {"id": self.state.bot.application, "flags": self.state.application_flags},
                }
                session.events.append({"op": 0, "t": "READY", "s": 1, "d": ready})
                channels = [each for each in self.state.channels.values() if each.get("guild_id")]
                guild = {"id": GUILD, "channels": channels, "threads": [], "roles": self.state.roles}
                session.events.append({"op": 0, "t": "GUILD_CREATE", "s": 2, "d": guild})
                self.state.sessions[name] = session
        return asyncio.ensure_future(self._send_events(socket, session, after, resumed=known is not None))

    async def _send_events(self, socket: web.WebSocketResponse, session: Session, sent: int, *, resumed: bool) -> None:
        with suppress(ConnectionError, RuntimeError):
            while not socket.closed:
                for event in session.events[sent:]:
                    await socket.send_json(event)
                    sent += 1
                if resumed:
                    await socket.send_json({"op": 0, "t": "RESUMED", "s": sent, "d": {}})
                    resumed = False
                await asyncio.sleep(0.002)  # events come from any thread


async def _body(request: web.BaseRequest) -> Any:
    """Returns the JSON of a request, with the files of a form."""
    if not request.content_type.startswith("multipart/"):
        content = await request.read()
        return json.loads(content) if content else {}
    form = await request.post()
    files = {part.filename: part.file.read() for part in form.values() if isinstance(part, web.FileField)}
    return {**json.loads(str(form["payload_json"])), "files": files}
