"""Calls to Telegram's Bot API: within its limits, on few connections, and with an error that says what was done."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from telegram import Bot
from telegram.error import BadRequest, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from adapters.telegram.errors import Crowded, Declined, Reason, Throttled
from adapters.telegram.refusals import CONTENT, UNTOLD_RETRY_AFTER, changes_nothing, translate
from adapters.telegram.settings import TelegramSettings
from gateway.bringing import take_each, too_large
from gateway.errors import SettingsError, StoreUnavailable
from gateway.ports import Outbox
from gateway.storing import Rate

CONNECT_SECONDS = 10.0
FILE_SECONDS = 120.0
"""For the whole content of a file, either way."""
CROWDED_PAUSE = 5.0
"""After which another try for a place is worth it."""
CONNECTIONS = 64
AT_ONCE = 32
"""Calls. More stand in line here: what waits for a connection costs httpx the more the more of it there is."""
KEPT_CONNECTIONS, KEPT_SECONDS = 16, 30.0

PRIVATE = Rate(1.6, 2)
"""One message a second in a chat, says core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this, and
twenty a minute in a group, thirty a second in all. Edits count as messages do (github.com/tdlib/td/issues/2592). What
a rate here lets through in any three seconds or any minute, its burst and all that follows, is no more than that.
"""
GROUP = Rate(60 / 17, 3)
BOT = Rate(1 / 26, 2)
DRAFT = Rate(0.25, 2)
"""Drafts are no messages, so they have a limit of their own. Telegram names none; others live well with this."""

REFUSED = frozenset(range(300, 500)) - {400, 401, 403, 404, 409, 429}
"""What the library takes for a broken network although somebody refused."""
NOISY = ("telegram", "httpx", "httpcore")
"""Libraries that log addresses with the token in them, and what people say, below WARNING."""


@dataclass(frozen=True, slots=True)
class Who:
    """Which bot a token is for: core.telegram.org/bots/api#getme"""

    id: str
    username: str
    name: str
    reads_groups: bool
    """Whether it sees everything that is said in groups, not only what is meant for it."""
    has_topics: bool
    """Whether private chats with it may have topics."""


class Calls:
    """One per event loop: one per adapter, and one for whoever polls."""

    def __init__(self, settings: TelegramSettings, *, timeout: float = 30.0) -> None:
        """``timeout``: seconds for an answer, after which the outcome of a call is unknown. No I/O.

        Raises SettingsError when there is no token.
        """
        if settings.telegram_bot_token is None:
            raise SettingsError("TELEGRAM_BOT_TOKEN is missing.")
        self._token = settings.telegram_bot_token
        self._api = settings.telegram_api_url
        self._timeout = timeout
        self._places = asyncio.Semaphore(AT_ONCE)
        self._connections: tuple[_Connections, ...] = ()
        self._made: _Bot | None = None

    @property
    def bot_id(self) -> str:
        """As the token says; nobody has to be asked."""
        return self._token.get_secret_value().partition(":")[0]

    async def call(
        self,
        method: str,
        chat: int | str | None = None,
        *,
        outbox: Outbox | None,
        patience: float = 60.0,
        seconds: float | None = None,
        **args: Any,
    ) -> Any:
        """Telegram's answer. Arguments that are None are left out.

        ``method``: in snake case one of telegram.Bot, with its types; in Telegram's own spelling, such as
        ``sendRichMessage`` or ``getUpdates``, any method of the server, and the answer is JSON as it came.
        ``chat``: whose limit counts; sent as ``chat_id``. Without an outbox no place under the limits is taken.
        ``patience``: seconds that a place may take. ``seconds``: to wait for an answer, if not as long as usual.
        A change that changes nothing is done: True. Raises Crowded, Throttled, Away, Unsure, Declined.
        """
        given = {name: value for name, value in args.items() if value is not None}
        if chat is not None:
            given["chat_id"] = chat
        buckets = {} if chat is None or outbox is None else _buckets(self.bot_id, method, str(chat))
        if outbox is not None and (full := await take_each(outbox, buckets, patience=patience)):
            raise Crowded(f"Too much is under way at Telegram: no place for {full}", retry_after=CROWDED_PAUSE)
        try:
            return await self._ask(method, given, seconds or self._timeout)
        except Throttled as exc:
            if outbox is not None and buckets:
                with suppress(StoreUnavailable):  # then nobody but this caller knows
                    await outbox.hold_off(next(iter(buckets)), exc.retry_after or 0.0)
            raise

    async def who(self) -> Who:
        """Ask whom the token is for. Raises as ``call`` does."""
        me = await self.call("get_me", outbox=None)
        return Who(
            id=str(me.id),
            username=me.username or "",
            name=me.full_name,
            reads_groups=bool(me.can_read_all_group_messages),
            has_topics=bool(me.has_topics_enabled),
        )

    async def download(self, file_id: str, limit: int) -> bytes:
        """The content of a file. Raises Away, Throttled, and Declined, also for more than ``limit`` bytes."""
        file = await self.call("get_file", outbox=None, file_id=file_id)
        if (file.file_size or 0) > limit:
            raise Declined(too_large(limit), reason=Reason.FILE)
        try:
            async with asyncio.timeout(FILE_SECONDS):
                content = await file.download_as_bytearray()
        except Exception as exc:
            raise translate(CONTENT, exc) from exc
        if len(content) > limit:
            raise Declined(too_large(limit), reason=Reason.FILE)
        return bytes(content)

    async def close(self) -> None:
        """Let go of connections; a later call makes new ones."""
        self._made, connections, self._connections = None, self._connections, ()
        for each in connections:
            await each.shutdown()

    async def _ask(self, method: str, args: Mapping[str, Any], seconds: float) -> Any:
        bot = self._bot()
        try:
            async with self._places, asyncio.timeout(seconds + CONNECT_SECONDS):
                if method.islower():
                    return await getattr(bot, method)(**args, read_timeout=seconds)
                return await bot.ask(method, args, seconds)
        except Exception as exc:
            if changes_nothing(exc):
                return True
            raise translate(method, exc) from exc

    def _bot(self) -> _Bot:
        if self._made is None:
            for name in NOISY:
                logging.getLogger(name).setLevel(logging.WARNING)
            # The library's own switch, without which it warns of every RetryAfter; and nothing else reads it.
            os.environ.setdefault("PTB_TIMEDELTA", "1")  # noqa: TID251  # no setting of ours
            # For both, as it takes a while to make; and none where nothing is encrypted.
            trust = self._api.startswith("https:") and httpx.create_ssl_context()
            self._connections = tuple(_Connections.made(trust, self._timeout) for _ in range(2))
            updates, others = self._connections
            self._made = _Bot(
                self._token.get_secret_value(),
                base_url=f"{self._api}/bot",
                base_file_url=f"{self._api}/file/bot",
                request=others,
                get_updates_request=updates,
            )
        return self._made


class _Bot(Bot):
    """The library's. It is not initialised: that would ask for the bot's name, which nothing here needs."""

    async def ask(self, method: str, args: Mapping[str, Any], seconds: float) -> Any:
        """What ``do_api_request`` does, for methods that the library has too, and with the server's own words."""
        return await self._post(method, dict(args), read_timeout=seconds)

    def __repr__(self) -> str:
        return "Bot()"  # the library's has the token in it


class _Connections(HTTPXRequest):
    """The library's, with answers told from failures, and without what is said in errors and in the log."""

    @classmethod
    def made(cls, trust: Any, seconds: float) -> _Connections:
        return cls(
            read_timeout=seconds,
            write_timeout=seconds,
            connect_timeout=min(seconds, CONNECT_SECONDS),
            pool_timeout=CONNECT_SECONDS,
            media_write_timeout=FILE_SECONDS,
            httpx_kwargs={
                "verify": trust,
                "limits": httpx.Limits(
                    max_connections=CONNECTIONS,
                    max_keepalive_connections=KEPT_CONNECTIONS,
                    keepalive_expiry=KEPT_SECONDS,
                ),
            },
        )

    async def do_request(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        """As the library's; but whoever refuses without being Telegram is not quoted: it may quote our address."""
        status, payload = await super().do_request(*args, **options)
        if HTTPStatus(200) <= status <= 299:  # noqa: PLR2004  # what HTTP calls success
            return status, payload
        answer = _object(payload)
        if status in REFUSED:
            raise BadRequest(str(answer.get("description") or f"status {status}"))
        if status == HTTPStatus.TOO_MANY_REQUESTS and not answer.get("parameters"):
            raise RetryAfter(UNTOLD_RETRY_AFTER)
        return status, payload if answer else b"{}"

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """As the library's, which would log what it cannot read."""
        answer = _object(payload)
        if not answer and payload != b"{}":
            raise TelegramError("Invalid server response")
        return answer


def _object(payload: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _buckets(bot: str, method: str, chat: str) -> dict[str, Rate]:
    """The limits that count for a call, the narrowest first."""
    everything = f"telegram:{bot}"
    place = f"{everything}:chat:{chat}"
    if method.lower().endswith("draft"):
        return {f"{place}:draft": DRAFT, everything: BOT}
    return {place: GROUP if chat.startswith("-") else PRIVATE, everything: BOT}
