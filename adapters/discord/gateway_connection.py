"""Receives events over Discord's gateway: one process of many is connected, and commits each before the next.

docs.discord.com/developers/events/gateway. The sequence of an event is stored after the event is committed: what a
process that died between the two had committed, Discord sends again, and the inbox recognizes it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import aiohttp

from adapters.base.errors import Rejected, Unreachable
from adapters.base.json_fields import Fields, object_in, object_or_empty, text_in
from adapters.base.leased_receiver import LeasedReceiver, Retry
from adapters.base.update_handler import UpdateHandler, parse_safely
from adapters.discord import gateway_session
from adapters.discord.api_client import DiscordClient, pages_after
from adapters.discord.channels import Channels
from adapters.discord.errors import Refusal
from adapters.discord.event_parser import DiscordParser
from adapters.discord.interactions import acknowledge
from adapters.discord.reply_target import NAME
from adapters.discord.roles import Roles
from gateway import logs
from gateway.domain.errors import StoreUnavailable
from gateway.ports.platform import ParsedUpdate
from gateway.ports.store import KeyValueStore

LEASE_SECONDS = 12.0
"""After which another process takes over from one that died."""
SAVE_SECONDS = 1.0
"""From one save of the sequence to the next."""
HELLO_SECONDS = 20.0
PAUSE_SECONDS = (1.0, 5.0)
"""Before the next connection: docs.discord.com/developers/events/gateway-events#invalid-session asks for a while."""

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 7, 9, 10, 11
INTENTS = 1 << 0 | 1 << 9 | 1 << 12 | 1 << 15
"""Guilds, their messages, direct messages, and the content of messages, which is privileged."""
BEGINNINGS = frozenset({"READY", "RESUMED"})
"""Events with which a connection begins to bring what happens."""
KEEPS_SESSION = 4000
"""A code other than 1000 and 1001, with which Discord would end the session:
docs.discord.com/developers/events/gateway#initiating-a-disconnect"""
NEW_SESSION = frozenset({4007, 4009})
FINAL = {
    4004: "the token is not accepted. Put the bot's token into DISCORD_BOT_TOKEN, or the token of [[bots]]",
    4010: "the shard is not valid",
    4011: "the bot is in so many servers that it needs shards, which the gateway does not use",
    4012: "this version of its API is switched off",
    4013: "the intents are not valid",
    4014: "the intent Message Content is not granted. Switch it on: Bot, Privileged Gateway Intents in the portal",
}
"""docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes"""

NOT_CONNECTED = "not connected to Discord; retrying"

log = logs.get_logger(__name__)


class GatewayConnection(LeasedReceiver):
    """Is opened anew when it ends."""

    def __init__(
        self,
        client: DiscordClient,
        memory: KeyValueStore,
        parser: DiscordParser,
        handler: UpdateHandler,
        retry: Retry,
        *,
        application: str,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        name = f"{NAME}:{application}:gateway"
        super().__init__(memory, name, retry, NOT_CONNECTED, lease_seconds=lease_seconds)
        self._client = client
        self._parser = parser
        self._handler = handler
        self._channels = Channels(client)
        self._roles = Roles(client)
        parser.names.channel, parser.names.role = self._channels.name_of, self._roles.find
        self._session = gateway_session.GatewaySession()
        self._saved_at = 0.0
        self._acknowledged = True

    async def receive(self) -> None:
        """Receives over one connection. Discord keeps the session for a while, for whoever resumes it."""
        self._session = gateway_session.load(self._memory, self._lease)
        try:
            await self._connect()
        finally:
            self._save()

    async def _connect(self) -> None:
        async with await self._open() as socket:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await self._next(socket)
            beat = asyncio.ensure_future(self._beat(socket, hello))
            try:
                await self._introduce(socket)
                while await self._take(socket, await self._next(socket)):
                    pass
            finally:
                beat.cancel()
                await socket.close(code=KEEPS_SESSION)

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        """Connects where Discord resumes the session, else where it says, as it does once that address is gone.

        Raises DeliveryError.
        """
        url = self._session.url
        if not url:
            told = object_in({"it": await self._client.call("GET gateway", "/gateway/bot")}, "it")
            if not self._session.id:
                gateway_session.check_starts(told)
            url = text_in(told, "url")
        self._session.url = ""
        with self._client.translated("GET gateway"):
            socket = await self._client.http.open_websocket(f"{url.rstrip('/')}/?v=10&encoding=json")
        self._session.url = url if self._session.id else ""
        return socket

    async def _next(self, socket: aiohttp.ClientWebSocketResponse) -> Fields:
        """Returns what Discord sends next. Raises Unreachable when the connection ends, Rejected when for good."""
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return object_or_empty(message.data.encode())
        code = socket.close_code or 0
        if code in NEW_SESSION:
            self._session.ended()
        if code in FINAL:
            raise Rejected(f"Discord ended the connection: {FINAL[code]}.", reason=Refusal.TOKEN)
        raise Unreachable(f"Discord ended the connection ({code})")

    async def _introduce(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        session = self._session
        if session.id:
            resume = {"token": self._client.token, "session_id": session.id, "seq": session.sequence}
            await _send(socket, RESUME, resume)
            return
        session.missed_after = session.missed_after or session.last_message
        system = {"os": sys.platform, "browser": "chat-gateway", "device": "chat-gateway"}
        await _send(socket, IDENTIFY, {"token": self._client.token, "intents": INTENTS, "properties": system})

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse, hello: Fields) -> None:
        """Sends heartbeats and keeps the lease. Closes the connection when Discord is silent, or the lease is lost."""
        interval = float(object_in(hello, "d").get("heartbeat_interval") or 41_250) / 1000
        due, self._acknowledged = time.monotonic() + interval * random.random(), True  # noqa: S311  # no secret
        while True:
            await asyncio.sleep(min(self._lease_seconds / 4, max(due - time.monotonic(), 0.0)))
            if time.monotonic() >= due:
                if not self._acknowledged:
                    break
                self._acknowledged, due = False, time.monotonic() + interval
                await _send(socket, HEARTBEAT, self._session.sequence or None)
            try:
                if not self.holds_lease():
                    break
            except StoreUnavailable:
                break
        await socket.close(code=KEEPS_SESSION)

    # ------------------------------------------------------------ payloads

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, payload: Fields) -> bool:
        """Handles one payload. Returns False when the connection is to be opened anew.

        Raises DeliveryError, StoreUnavailable, Overloaded: then Discord sends the event again after a resume.
        """
        match payload.get("op"):
            case 0:
                await self._dispatched(text_in(payload, "t"), object_in(payload, "d"))
                sequence = payload.get("s")
                self._session.sequence = sequence if isinstance(sequence, int) else self._session.sequence
                if text_in(payload, "t") in BEGINNINGS:
                    await self._catch_up()
                if time.monotonic() > self._saved_at + SAVE_SECONDS:
                    self._save()
            case 1:
                await _send(socket, HEARTBEAT, self._session.sequence or None)
            case 7:
                return False
            case 9:
                if payload.get("d") is not True:
                    self._session.ended()
                await asyncio.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311  # no secret
                return False
            case 11:
                self._acknowledged = True
        return True

    async def _dispatched(self, kind: str, event: Fields) -> None:
        if kind == "READY":
            self._session.opened(event)
            self._parser.names.bot = text_in(object_in(event, "user"), "id")
            self._save()
            log.info("connected to Discord")
        elif kind == "RESUMED":
            log.info("connected to Discord again; nothing was missed")
        else:
            self._channels.learn(kind, event)
            self._roles.learn(kind, event)
            await self._handle(kind, event)

    async def _handle(self, kind: str, event: Fields) -> None:
        place = await self._channels.place_of(event) if "channel_id" in event else None
        await self._roles.ask(event)
        update = parse_safely(partial(self._parser.parse, kind, place=place), event) if place else ParsedUpdate()
        if not (update.messages or update.events or update.error or update.response_body):
            return
        await self._handler.take(update)
        if kind == "INTERACTION_CREATE":
            await acknowledge(self._client, event, update)
        elif kind == "MESSAGE_CREATE":
            threads = [each.key.topic for each in update.messages if each.may_start_conversation]
            places = (text_in(event, "channel_id"), *threads) if threads else ()  # a reply may open a thread
            self._session.received(text_in(event, "id"), places)

    async def _catch_up(self) -> None:
        """Reads what was written while no session was open, where somebody talked to the bot before.

        Begins again with the next connection if it does not come to its end.
        """
        for channel in tuple(self._session.channels) if self._session.missed_after else ():
            try:
                await self._read_since(channel, self._session.missed_after)
            except Rejected as exc:
                log.info("a channel cannot be read", error=str(exc))
        self._session.missed_after = ""

    async def _read_since(self, channel: str, after: str) -> None:
        described = await self._client.call("GET channel", f"/channels/{channel}")
        guild = text_in(object_in({"it": described}, "it"), "guild_id")
        async with aclosing(pages_after(self._client.call, channel, after)) as pages:
            async for messages in pages:
                for message in messages:
                    await self._handle("MESSAGE_CREATE", {**message, **({"guild_id": guild} if guild else {})})

    def _save(self) -> None:
        with suppress(StoreUnavailable):  # Discord sends again what it does not know of
            gateway_session.save(self._memory, self._lease, self._session)
            self._saved_at = time.monotonic()


async def _send(socket: aiohttp.ClientWebSocketResponse, code: int, data: Any) -> None:
    try:
        await socket.send_str(json.dumps({"op": code, "d": data}))
    except (ConnectionError, aiohttp.ClientError) as exc:
        raise Unreachable("Discord ended the connection") from exc
