"""Calls to Telegram's Bot API: within its rate limits, on few connections, and with errors that say what was done."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote, urlencode

import aiohttp
from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError
from telegram.request import BaseRequest, RequestData

from adapters.base.api_client import MAX_ANSWER_BYTES, ApiClient
from adapters.base.error_map import DEFAULT_RETRY_AFTER, FILE_CONTENT
from adapters.base.errors import Rejected
from adapters.base.json_fields import object_or_empty, size_in, text_in
from adapters.telegram.downloads import check_status, copy_local_file
from adapters.telegram.error_map import PLATFORM, Broken, changes_nothing, translate
from adapters.telegram.errors import Reason
from adapters.telegram.settings import TelegramSettings
from gateway.domain.errors import DeliveryError, SettingsError
from gateway.http_client import HttpClient, UploadedFile, multipart, read_limited
from gateway.ports.platform import DeliveryContext
from gateway.ports.spool import FileWriter
from gateway.ports.token_buckets import Rate

Announce = Callable[[], Awaitable[None]]
"""Saves that a message is about to be sent."""

CONNECT_SECONDS = 10.0
FILE_SECONDS = 120.0
"""For the whole content of a file, either way."""
CONCURRENT_CALLS = 32
"""Each on a connection of its own. Further calls wait, which their time to connect and to answer does not include."""

PRIVATE = Rate(1.6, 2)
"""One message a second in a chat, says core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this, and
twenty a minute in a group, thirty a second in all. Edits count as messages do (github.com/tdlib/td/issues/2592). A
rate here, its burst included, lets through no more than that in any three seconds or any minute.
"""
GROUP = Rate(60 / 17, 3)
BOT = Rate(1 / 26, 2)
DRAFT = Rate(0.25, 2)
"""Drafts are no messages, so they have a limit of their own. Telegram documents none; other bots use this one."""

REFUSED_STATUSES = frozenset(range(300, 500)) - {400, 401, 403, 404, 409, 429}
"""HTTP statuses that the library reports as network errors although the call was refused."""
FORM = "application/x-www-form-urlencoded"
NOISY_LOGGER = "telegram"
"""The library logs URLs with the token in them, and the text of messages, below WARNING."""


@dataclass(frozen=True, slots=True)
class BotProfile:
    """The bot that a token is for: core.telegram.org/bots/api#getme"""

    id: str
    username: str
    name: str
    reads_groups: bool
    """Whether it receives all messages in groups, not only those addressed to it."""
    has_topics: bool
    """Whether private chats with it may have topics."""


class TelegramClient(ApiClient):
    """One per event loop: one per adapter, and one for the polling task."""

    platform = PLATFORM

    def __init__(self, settings: TelegramSettings, *, timeout: float = 30.0) -> None:
        """``timeout``: seconds for an answer, after which the outcome of a call is unknown. Does no I/O.

        Raises SettingsError when there is no token.
        """
        if settings.telegram_bot_token is None:
            raise SettingsError(f"{settings.where('telegram_bot_token')} is missing.")
        self._token = settings.telegram_bot_token
        self._api = settings.telegram_api_url
        self._local_folder = settings.telegram_local_files
        self._timeout = timeout
        self._slots = asyncio.Semaphore(CONCURRENT_CALLS)
        self._http = HttpClient()
        self._made_bot: _Bot | None = None
        self._token_works = False
        """Whether a call has succeeded: then it is the method, and not the token, that a server does not know."""

    @property
    def bot_id(self) -> str:
        """As the token says; no call is needed."""
        return self._token.get_secret_value().partition(":")[0]

    def translate(self, method: str, exc: Exception) -> DeliveryError:
        return translate(method, exc, token_works=self._token_works)

    async def call(
        self,
        method: str,
        chat: int | str | None = None,
        *,
        delivery: DeliveryContext | None,
        max_wait: float = 60.0,
        seconds: float | None = None,
        announce: Announce | None = None,
        **args: Any,
    ) -> Any:
        """Returns Telegram's answer. Leaves out arguments that are None.

        ``method``: in snake case one of telegram.Bot, with its types; in Telegram's own spelling, such as
        ``sendRichMessage`` or ``getUpdates``, any method of the server, and the answer is JSON as it came.
        ``chat``: whose limit counts; sent as ``chat_id``. ``delivery``: None to take no token of the rate limits.
        ``max_wait``: seconds that a token may take. ``seconds``: to wait for an answer, if not the usual timeout.
        ``announce``: called when all tokens are taken, just before it is sent.
        Returns True for a change that changes nothing.
        Raises RateLimitTimeout, PlatformRateLimited, Unreachable, OutcomeUnknown, Rejected, LeaseLost.
        """
        given = {name: value for name, value in args.items() if value is not None}
        if chat is not None:
            given["chat_id"] = chat
        timeout = seconds or self._timeout
        if delivery is None:
            return await self._send(method, given, timeout)
        buckets = {} if chat is None else _buckets(self.bot_id, method, str(chat))

        async def send() -> Any:
            if announce is not None:
                await announce()
            return await self._send(method, given, timeout)

        return await self.limited(send, delivery, buckets, max_wait=max_wait)

    async def identify(self) -> BotProfile:
        """Asks which bot the token is for. Raises as ``call`` does."""
        me = await self.call("get_me", delivery=None)
        return BotProfile(
            id=str(me.id),
            username=me.username or "",
            name=me.full_name,
            reads_groups=bool(me.can_read_all_group_messages),
            has_topics=bool(me.has_topics_enabled),
        )

    async def download(self, file_id: str, writer: FileWriter, max_bytes: int) -> None:
        """Writes a file's content. Raises Unreachable, PlatformRateLimited, Rejected, and what ``writer`` raises.

        ``max_bytes``: a file that is known to be larger is not asked for.
        """
        found = await self.call("getFile", delivery=None, file_id=file_id)
        file = found if isinstance(found, dict) else {}
        if size_in(file, "file_size") > max_bytes:
            raise Rejected(f"it is larger than {max_bytes / 1e6:.3g} MB")
        path = text_in(file, "file_path")
        if not path:
            raise Rejected("Telegram does not say where it is", reason=Reason.FILE)
        if path.startswith("/"):
            await copy_local_file(path, self._local_folder, writer)
            return
        with self.translated(FILE_CONTENT):
            async with asyncio.timeout(FILE_SECONDS), self._file(path) as response:
                async for chunk in response.content.iter_any():
                    await writer.write(chunk)

    @asynccontextmanager
    async def _file(self, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Requests a file: core.telegram.org/bots/api#file. Follows no redirect: the token is in the URL."""
        url = f"{self._api}/file/bot{self._token.get_secret_value()}/{quote(path)}"
        timeout = aiohttp.ClientTimeout(sock_connect=min(self._timeout, CONNECT_SECONDS), sock_read=self._timeout)
        try:
            async with await self._http.send("GET", url, headers={}, timeout=timeout, max_redirects=0) as response:
                check_status(response)
                yield response
        except aiohttp.ClientError as exc:
            raise Broken(exc) from None

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        await self._http.close()

    async def _send(self, method: str, args: Mapping[str, Any], seconds: float) -> Any:
        with self.translated(method):
            bot = self._bot()
            try:
                async with self._slots, asyncio.timeout(seconds + CONNECT_SECONDS):
                    if method.islower():
                        answer = await getattr(bot, method)(**args, read_timeout=seconds)
                    else:
                        answer = await bot.send(method, args, seconds)
                    self._token_works = True
                    return answer
            except BadRequest as exc:
                if changes_nothing(exc):
                    return True
                raise

    def _bot(self) -> _Bot:
        if self._made_bot is None:
            logging.getLogger(NOISY_LOGGER).setLevel(logging.WARNING)
            # The library's own switch, without which it warns of every RetryAfter; nothing else reads it.
            os.environ.setdefault("PTB_TIMEDELTA", "1")  # noqa: TID251  # no setting of ours
            requests = _Requests(self._http, self._timeout)
            self._made_bot = _Bot(
                self._token.get_secret_value(),
                base_url=f"{self._api}/bot",
                base_file_url=f"{self._api}/file/bot",
                request=requests,
                get_updates_request=requests,
            )
        return self._made_bot


class _Bot(Bot):
    """The library's bot. It is not initialised: that would call getMe, which nothing here needs."""

    async def send(self, method: str, args: Mapping[str, Any], seconds: float) -> Any:
        """Calls any method, as ``do_api_request`` does for methods that the library lacks; keeps the error text."""
        return await self._post(method, dict(args), read_timeout=seconds)

    def __repr__(self) -> str:
        return "Bot()"  # the library's has the token in it


class _Requests(BaseRequest):
    """The library's interface to HTTP. Tells refusals from network failures, quotes no message in errors or logs.

    The library passes timeouts of its own for writing and for a place in the pool, which nothing here needs: a whole
    call has a limit, and there are as many connections as calls.
    """

    def __init__(self, http: HttpClient, seconds: float) -> None:
        """``seconds``: without a byte of the answer, if a call says nothing else."""
        self._http = http
        self._seconds = seconds

    @property
    def read_timeout(self) -> float:
        return self._seconds

    async def initialize(self) -> None:
        """Does nothing: the connections are opened by the first call."""

    async def shutdown(self) -> None:
        """Does nothing: the connections are closed by whom they belong to."""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        *_: Any,
        **__: Any,
    ) -> tuple[int, bytes]:
        """Does not quote a proxy's refusal: it may contain our URL with the token."""
        seconds = self._seconds if read_timeout is BaseRequest.DEFAULT_NONE else read_timeout
        try:
            status, payload = await self._send(url, method, request_data, seconds)
        except Exception as exc:  # noqa: BLE001  # the table has a last resort
            raise Broken(exc) from None
        if HTTPStatus(200) <= status <= 299:  # noqa: PLR2004  # what HTTP calls success
            return status, payload
        answer = object_or_empty(payload)
        if status in REFUSED_STATUSES:
            raise BadRequest(str(answer.get("description") or f"status {status}"))
        if status == HTTPStatus.TOO_MANY_REQUESTS and not answer.get("parameters"):
            raise RetryAfter(int(DEFAULT_RETRY_AFTER))
        return status, payload if answer else b"{}"

    async def _send(self, url: str, method: str, data: RequestData | None, seconds: float) -> tuple[int, bytes]:
        """Follows no redirect: the token is in the URL."""
        body = _form(data) if data else None
        headers = {"User-Agent": self.USER_AGENT} | ({"Content-Type": FORM} if isinstance(body, bytes) else {})
        timeout = aiohttp.ClientTimeout(sock_connect=min(self._seconds, CONNECT_SECONDS), sock_read=seconds)
        async with await self._http.send(
            method, url, headers=headers, timeout=timeout, body=body, max_redirects=0
        ) as response:
            return response.status, await read_limited(response, MAX_ANSWER_BYTES)

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """Parses as the library does, which would log what it cannot parse."""
        answer = object_or_empty(payload)
        if not answer and payload != b"{}":
            raise TelegramError("Invalid server response")
        return answer


def _form(data: RequestData) -> bytes | aiohttp.FormData:
    """Returns the arguments as Telegram takes them: core.telegram.org/bots/api#making-requests"""
    arguments = data.json_parameters
    files = cast("Mapping[str, UploadedFile]", data.multipart_data)  # its handles are those of ``files.upload``
    return multipart(arguments, files) if data.contains_files else urlencode(arguments).encode()


def _buckets(bot: str, method: str, chat: str) -> dict[str, Rate]:
    """Returns the limits that count for a call, the narrowest first."""
    whole_bot = f"telegram:{bot}"
    one_chat = f"{whole_bot}:chat:{chat}"
    if method.lower().endswith("draft"):
        return {f"{one_chat}:draft": DRAFT, whole_bot: BOT}
    return {one_chat: GROUP if chat.startswith("-") else PRIVATE, whole_bot: BOT}
