"""Calls to Discord's HTTP API: within its rate limits, and with errors that say what was done."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from adapters.base.api_client import MAX_ANSWER_BYTES, ApiClient
from adapters.base.error_map import FILE_CONTENT
from adapters.base.errors import PlatformRateLimited, Rejected
from adapters.base.json_fields import Fields, object_in, object_or_empty, objects_in, text_in
from adapters.discord.error_map import PLATFORM, refusal, translate
from adapters.discord.settings import DiscordSettings
from gateway.domain.errors import DeliveryError, SettingsError, StoreUnavailable
from gateway.http_client import HttpClient, UploadedFile, multipart, read_limited
from gateway.ports.platform import DeliveryContext
from gateway.ports.spool import FileWriter
from gateway.ports.token_buckets import Rate

USER_AGENT = "DiscordBot (https://github.com, 1)"
"""docs.discord.com/developers/reference#user-agent: other forms are refused."""
CONNECT_SECONDS, ANSWER_SECONDS, FILE_SECONDS = 10.0, 30.0, 120.0
CONNECTING = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)

EVERYTHING = "discord:all"
ALL = Rate(50.0, 40)
"""docs.discord.com/developers/topics/rate-limits#global-rate-limit: 50 a second, over all routes."""
OF_CHANNEL = Rate(1.0, 5)
"""Discord documents no number for a route; it answers ``X-RateLimit-Limit: 5`` and resets after five seconds."""
INVALID_WINDOW, MAX_INVALID = 600.0, 5_000
"""After 10,000 answers of 401, 403 and 429 within ten minutes, Discord refuses the address that they went to:
docs.discord.com/developers/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans. Half of them is ours."""
COUNTED = frozenset({401, 403, 429})
PAGE = 100
"""Messages: Discord's maximum."""
READS_CONTENT = 1 << 18 | 1 << 19
CDN_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})


@dataclass(frozen=True, slots=True)
class ApplicationIdentity:
    """The application and its bot: docs.discord.com/developers/resources/application#application-object"""

    application: str
    bot: str
    """The id of the bot's user."""
    name: str
    reads_content: bool
    """Whether the privileged intent Message Content is granted."""
    interactions_url: str
    """Where Discord sends interactions; "" for the gateway connection."""


class DiscordClient(ApiClient):
    """One per event loop: one per adapter, and one for the task that receives."""

    platform = PLATFORM

    def __init__(self, settings: DiscordSettings, *, timeout: float = ANSWER_SECONDS) -> None:
        """``timeout``: seconds for an answer, after which the outcome is unknown.

        Raises SettingsError without a token.
        """
        if settings.discord_bot_token is None:
            raise SettingsError(f"{settings.where('discord_bot_token')} is missing.")
        self._token = settings.discord_bot_token
        self._api = settings.discord_api_url
        self._timeout = timeout
        self._invalid: deque[float] = deque()
        self._identity: ApplicationIdentity | None = None
        self.http = HttpClient()

    @property
    def token(self) -> str:
        return self._token.get_secret_value()

    def translate(self, method: str, exc: Exception) -> DeliveryError:
        return translate(method, exc)

    async def call(
        self,
        method: str,
        path: str,
        *,
        delivery: DeliveryContext | None = None,
        bucket: str = "",
        max_wait: float = 60.0,
        body: Any = None,
        files: Sequence[UploadedFile] = (),
    ) -> Any:
        """Returns Discord's JSON; None for an empty answer.

        ``method``: the HTTP verb and a word for the route, such as ``POST messages``, for errors. ``path``: below the
        API's address. ``delivery``: None to take no token. ``bucket``: what the route's own limit counts for, such as a
        channel. Raises RateLimitTimeout, PlatformRateLimited, Unreachable, OutcomeUnknown, Rejected, LeaseLost.
        """
        if delivery is None:
            return await self._send(method, path, body, files)
        narrow = f"discord:{method}:{bucket}" if bucket else EVERYTHING
        buckets = {narrow: OF_CHANNEL, EVERYTHING: ALL} if bucket else {EVERYTHING: ALL}

        async def send() -> Any:
            return await self._send(method, path, body, files, delivery, narrow)

        return await self.limited(send, delivery, buckets, max_wait=max_wait)

    async def identify(self) -> ApplicationIdentity:
        """Returns whom the token is for; asks once. Raises as ``call`` does."""
        if self._identity is None:
            me = object_in({"it": await self.call("GET application", "/applications/@me")}, "it")
            bot, flags, address = object_in(me, "bot"), me.get("flags"), text_in(me, "interactions_endpoint_url")
            reads = bool(flags & READS_CONTENT) if isinstance(flags, int) else False
            bot_id = text_in(bot, "id") or text_in(me, "id")
            self._identity = ApplicationIdentity(
                text_in(me, "id"), bot_id, text_in(bot, "username") or text_in(me, "name"), reads, address
            )
        return self._identity

    async def download(self, url: str, writer: FileWriter) -> None:
        """Writes the content of an attachment. Raises Rejected for an address that is not Discord's, DeliveryError."""
        if URL(url).host not in CDN_HOSTS | {URL(self._api).host}:
            raise Rejected("its address is not one of Discord's")
        timeout = aiohttp.ClientTimeout(FILE_SECONDS, sock_connect=CONNECT_SECONDS)
        with self.translated(FILE_CONTENT):
            async with await self.http.send("GET", url, headers={}, timeout=timeout) as response:
                if response.status != HTTPStatus.OK:
                    raise refusal(FILE_CONTENT, response.status, response.headers, {})
                async for chunk in response.content.iter_any():
                    await writer.write(chunk)

    async def close(self) -> None:
        await self.http.close()

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        files: Sequence[UploadedFile],
        delivery: DeliveryContext | None = None,
        bucket: str = "",
    ) -> Any:
        self._check_invalid(method)
        verb = method.partition(" ")[0]
        headers = {"Authorization": f"Bot {self.token}", "User-Agent": USER_AGENT}
        data: bytes | aiohttp.FormData | None = None if body is None else json.dumps(body).encode()
        if files:
            data = multipart({"payload_json": json.dumps(body)}, {f"files[{n}]": each for n, each in enumerate(files)})
        elif body is not None:
            headers["Content-Type"] = "application/json"
        with self.translated(method):
            async with asyncio.timeout(FILE_SECONDS if files else self._timeout):
                url = f"{self._api}{path}"
                response = await self.http.send(verb, url, headers=headers, timeout=CONNECTING, body=data)
                content = await read_limited(response, MAX_ANSWER_BYTES)
            if response.ok:
                await _obey(response.headers, delivery, bucket)
                return json.loads(content) if content else None
        answer = object_or_empty(content)
        error = refusal(method, response.status, response.headers, answer)
        if response.status in COUNTED and response.headers.get("X-RateLimit-Scope") != "shared":
            self._invalid.append(time.monotonic())
        if delivery is not None and answer.get("global") is True:
            await delivery.block_for(EVERYTHING, error.retry_after or 0.0)
        raise error

    def _check_invalid(self, method: str) -> None:
        """Raises PlatformRateLimited while so many calls were refused that Discord would ban this address."""
        now = time.monotonic()
        while self._invalid and self._invalid[0] < now - INVALID_WINDOW:
            self._invalid.popleft()
        if len(self._invalid) >= MAX_INVALID:
            message = f"Discord refused {MAX_INVALID} calls within ten minutes, so {method} waits"
            raise PlatformRateLimited(message, retry_after=self._invalid[0] + INVALID_WINDOW - now)


async def pages_after(
    call: Callable[..., Awaitable[Any]], channel: str, after: str
) -> AsyncGenerator[list[Fields], None]:
    """Yields the messages of a channel after one of them, in pages; the oldest first. Raises as ``call`` does.

    docs.discord.com/developers/resources/message#get-channel-messages
    """
    while True:
        page = await call("GET messages", f"/channels/{channel}/messages?limit={PAGE}&after={after}")
        messages = sorted(objects_in({"page": page}, "page"), key=lambda message: int(text_in(message, "id") or "0"))
        yield messages
        if len(messages) < PAGE:
            return
        after = text_in(messages[-1], "id")


async def _obey(headers: Mapping[str, str], delivery: DeliveryContext | None, bucket: str) -> None:
    """Waits with the next call of a route whose tokens are spent, as the answer says, before Discord refuses it."""
    if delivery is not None and headers.get("X-RateLimit-Remaining") == "0":
        with suppress(ValueError, StoreUnavailable):
            await delivery.block_for(bucket, float(headers.get("X-RateLimit-Reset-After", "0")))
