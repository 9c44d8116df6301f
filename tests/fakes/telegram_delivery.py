"""Delivers updates to a bot, by getUpdates or to its webhook, and keeps them until they are acknowledged.

Based on the server's source: tdlib/telegram-bot-api, Client.cpp (process_get_updates_query, do_get_updates) and
WebhookActor.cpp (send_update, on_update_error).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import aiohttp

from tests.fakes.telegram_arguments import TelegramArguments
from tests.fakes.telegram_faults import TelegramError
from tests.fakes.telegram_state import TelegramState
from tests.fakes.telegram_updates import UPDATE_KINDS, Json
from tests.fakes.telegram_webhook import WebhookSettings, parse_webhook

MAX_POLL_SECONDS = 50
MAX_RETRY_AFTER = 3600
"""Longest Retry-After honoured, in seconds."""
OPT_IN_KINDS = {"chat_member", "message_reaction", "message_reaction_count"}
DEFAULT_KINDS = frozenset(UPDATE_KINDS) - OPT_IN_KINDS
MESSAGE_KINDS = {"message", "edited_message", "channel_post", "edited_channel_post"}
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


@dataclass(frozen=True, slots=True)
class TelegramDeliveryAttempt:
    """One attempt to deliver an update to a webhook."""

    update_id: int
    attempt: int
    """1 is the first."""
    status: int
    """HTTP status of the bot's answer; 0 if there was no answer."""
    seconds: float
    """Seconds from sending to the end of the answer."""
    answer: str
    """The answer's body. Telegram executes a method call in the body of a 2xx answer, so a bot keeps it empty."""
    update: Json

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True, eq=False)
class PendingUpdate:
    """An unacknowledged update. ``ignores_offset``: getUpdates returns it once even if its offset is past it."""

    update: Json
    sequence: int
    ignores_offset: bool = False
    attempts: int = 0

    @property
    def id(self) -> int:
        update_id: int = self.update["update_id"]
        return update_id

    @property
    def kind(self) -> str:
        return next((name for name in self.update if name != "update_id"), "")

    @property
    def queue_key(self) -> str:
        """Updates with the same key are delivered one after the other; different keys do not wait for each other."""
        told = self.update.get(self.kind)
        told = told if isinstance(told, dict) else {}
        whose = told.get("chat") or told.get("from") or told.get("user") or {}
        kind = "message" if self.kind in MESSAGE_KINDS else self.kind.removeprefix("edited_")
        return f"{kind} {whose.get('id') if isinstance(whose, dict) else ''}"


class UpdateSender:
    """Queues updates for getUpdates or the webhook.

    ``retry_delays``: seconds before each retry, the last one repeated for ever; ``retry_after_unit``: how long a
    second of Retry-After lasts; ``response_timeout``: seconds to wait for an answer.
    """

    def __init__(
        self, state: TelegramState, *, retry_delays: Sequence[float], response_timeout: float, retry_after_unit: float
    ) -> None:
        self._state = state
        self._retry_delays = retry_delays
        self._response_timeout = response_timeout
        self._retry_after_unit = retry_after_unit
        self._numbers = count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: dict[int, PendingUpdate] = {}
        self._queues: dict[str, deque[PendingUpdate]] = {}
        self._queued: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._poll: asyncio.Future[None] | None = None
        self._last_error = ""
        self.webhook: WebhookSettings | None = None
        self.allowed = DEFAULT_KINDS
        self.deliveries: list[TelegramDeliveryAttempt] = []

    # ------------------------------------------------------------ what is there

    @property
    def pending(self) -> list[Json]:
        with self._state.lock:
            return [parcel.update for parcel in self._pending.values()]

    @property
    def idle(self) -> bool:
        return not self._pending

    def push(self, update: Json, *, ignores_offset: bool = False) -> None:
        """Queues an update if the bot allows its kind; callable from any thread."""
        parcel = PendingUpdate(update, next(self._numbers), ignores_offset)
        if parcel.kind in UPDATE_KINDS and parcel.kind not in self.allowed:
            return
        with self._state.notify():
            self._pending[parcel.sequence] = parcel
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._dispatch, parcel)

    def _dispatch(self, parcel: PendingUpdate) -> None:
        if self.webhook is None:
            self._end_poll(None)
            return
        if parcel.sequence in self._queued or parcel.sequence not in self._pending:
            return
        self._queued.add(parcel.sequence)
        queue = self._queues.get(parcel.queue_key)
        if queue is not None:
            queue.append(parcel)
            return
        queue = self._queues[parcel.queue_key] = deque([parcel])
        task = asyncio.ensure_future(self._drain_queue(parcel.queue_key, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, parcel: PendingUpdate) -> None:
        self._queued.discard(parcel.sequence)
        with self._state.notify():
            self._pending.pop(parcel.sequence, None)

    # ------------------------------------------------------------ running

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(limit=0)
        self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        await self._restart_delivery()

    async def close(self) -> None:
        self._loop = None
        self._end_poll(None)
        await self._cancel_tasks()
        await self._http.close()

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queues.clear()
        self._queued.clear()

    async def _restart_delivery(self) -> None:
        """Starts delivering the pending updates to the current webhook, if there is one."""
        await self._cancel_tasks()
        if self.webhook is not None:
            self._slots = asyncio.Semaphore(self.webhook.max_connections)
            for parcel in list(self._pending.values()):
                self._dispatch(parcel)

    # ------------------------------------------------------------ getUpdates

    async def get_updates(self, args: TelegramArguments) -> list[Json]:
        """Returns pending updates. Raises TelegramError (409 Conflict) while a webhook is set, or when another
        getUpdates call arrives meanwhile.
        """
        if self.webhook is not None:
            why = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise TelegramError(409, why)
        limit = min(max(args.number("limit", 100), 1), 100)
        timeout = min(max(args.number("timeout"), 0), MAX_POLL_SECONDS)
        self._set_allowed(args)
        self._acknowledge(args.number("offset"))
        if not self._pending and timeout:
            await self._wait(timeout)
        return self._ready(limit)

    def _acknowledge(self, offset: int) -> None:
        """Removes the updates before ``offset``; a negative offset keeps that many of the last."""
        with self._state.notify():
            kept = list(self._pending.values())
            if offset > 0:
                kept = [parcel for parcel in kept if parcel.id >= offset or parcel.ignores_offset]
            elif offset < 0:
                kept = kept[offset:]
            self._pending = {parcel.sequence: parcel for parcel in kept}

    def _ready(self, limit: int) -> list[Json]:
        with self._state.lock:
            ready = list(self._pending.values())[:limit]
            for parcel in ready:
                parcel.ignores_offset = False
            return [parcel.update for parcel in ready]

    async def _wait(self, timeout: float) -> None:  # noqa: ASYNC109  # name used by the Bot API
        """Waits until an update is pending. A later getUpdates call ends an earlier one with 409 Conflict."""
        why = "terminated by other getUpdates request; make sure that only one bot instance is running"
        self._end_poll(TelegramError(409, why))
        poll = self._poll = asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await poll

    def _end_poll(self, error: TelegramError | None) -> None:
        poll, self._poll = self._poll, None
        if poll is None or poll.done():
            return
        if error is None:
            poll.set_result(None)
        else:
            poll.set_exception(error)

    def _set_allowed(self, args: TelegramArguments) -> None:
        """Sets the allowed kinds; unchanged if the argument is missing, the default if it is an empty list."""
        if "allowed_updates" in args:
            self.allowed = frozenset(args.json_list("allowed_updates")) & frozenset(UPDATE_KINDS) or DEFAULT_KINDS

    # ------------------------------------------------------------ webhooks

    async def set_webhook(self, args: TelegramArguments) -> bool:
        """Sets the webhook. Raises TelegramError if its URL or secret is invalid."""
        if not args.string("url"):
            return await self.delete_webhook(args)
        webhook = parse_webhook(args)
        self._set_allowed(args)
        self._drop_pending(args)
        self._end_poll(TelegramError(409, "terminated by setWebhook request"))
        return await self._set_webhook(webhook)

    async def delete_webhook(self, args: TelegramArguments) -> bool:
        self._drop_pending(args)
        return await self._set_webhook(None)

    def use_webhook(self, webhook: WebhookSettings) -> None:
        """Sets the webhook without an API call; callable from any thread but the server's own."""
        if self._loop is None:
            self.webhook = webhook
        else:
            asyncio.run_coroutine_threadsafe(self._set_webhook(webhook), self._loop).result(10)

    async def _set_webhook(self, webhook: WebhookSettings | None) -> bool:
        with self._state.notify():
            self.webhook, self._last_error = webhook, ""
        await self._restart_delivery()
        return True

    def _drop_pending(self, args: TelegramArguments) -> None:
        if args.flag("drop_pending_updates"):
            with self._state.notify():
                self._pending.clear()

    async def get_webhook_info(self, _: TelegramArguments) -> Json:
        webhook = self.webhook
        info: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": len(self._pending)}
        if webhook is not None:
            info |= {"url": webhook.url, "max_connections": webhook.max_connections, "ip_address": "127.0.0.1"}
        if self.allowed != DEFAULT_KINDS:
            info["allowed_updates"] = sorted(self.allowed)
        if self._last_error:
            info |= {"last_error_date": int(time.time()), "last_error_message": self._last_error}
        return info

    async def _drain_queue(self, name: str, queue: deque[PendingUpdate]) -> None:
        while queue:
            await self._deliver(queue[0])
            self._forget(queue.popleft())
        del self._queues[name]

    async def _deliver(self, parcel: PendingUpdate) -> None:
        """Attempts delivery until the bot accepts the update."""
        for failed in count():
            parcel.attempts += 1
            async with self._slots:
                done, asked = await self._attempt(parcel)
            with self._state.notify():
                self.deliveries.append(done)
                self._last_error = "" if done.accepted else f"Wrong response from the webhook: {done.status}"
            if done.accepted:
                return
            await asyncio.sleep(asked or self._retry_delays[min(failed, len(self._retry_delays) - 1)])

    async def _attempt(self, parcel: PendingUpdate) -> tuple[TelegramDeliveryAttempt, float]:
        """Returns the result of one attempt, and the seconds of the bot's Retry-After (0 if none)."""
        begun, status, answer, asked = time.perf_counter(), 0, "", 0.0
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(self._response_timeout), self._post(parcel) as response:
                answer = (await response.read()).decode(errors="replace")
                status, told = response.status, response.headers.get("Retry-After", "")
                asked = min(int(told), MAX_RETRY_AFTER) * self._retry_after_unit if told.isdecimal() else 0.0
        seconds = time.perf_counter() - begun
        return TelegramDeliveryAttempt(parcel.id, parcel.attempts, status, seconds, answer, parcel.update), asked

    def _post(self, parcel: PendingUpdate) -> aiohttp.client._RequestContextManager:
        webhook = self.webhook
        assert webhook is not None, "removing the webhook cancels its deliveries"
        headers = {"Content-Type": "application/json"}
        if webhook.secret:
            headers[SECRET_HEADER] = webhook.secret
        body = json.dumps(parcel.update, separators=(",", ":")).encode()
        return self._http.post(webhook.url, data=body, headers=headers, allow_redirects=False)
