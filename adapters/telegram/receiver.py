"""Receives Telegram's updates, by webhook or by polling, and sets the bot up at Telegram."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from adapters.base.approvals import told
from adapters.base.background_task import BACKOFF, BackgroundTask, RunCoroutine
from adapters.base.errors import Rejected
from adapters.base.features import PLAIN, BotFeatures
from adapters.base.inbound import Receive
from adapters.base.json_fields import object_in, text_in
from adapters.base.update_handler import AcceptAll, blocking, in_background
from adapters.base.webhook import MAX_BODY_BYTES, WebhookReceiver
from adapters.telegram.api_client import BotProfile, TelegramClient
from adapters.telegram.polling import PollingClient, UpdatePoller
from adapters.telegram.registration import PATH, command, own_webhook, set_menu, set_webhook
from adapters.telegram.reply_target import NAME
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.unparsed_update import TelegramUpdateHandler, identify
from adapters.telegram.update_parser import UpdateParser
from gateway import logs
from gateway.coordination.retry import Backoff, retry
from gateway.domain.approvals import VerdictResult
from gateway.domain.errors import DeliveryError, Overloaded, StoreUnavailable
from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.platform import ParsedUpdate, Request, Webhook, WebhookResponse
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates

T = TypeVar("T")

REGISTRATION_SECONDS = 60.0
"""The lease of the process that registers the webhook."""
LEASE_CHECK_SECONDS = 1.0
"""Between two attempts of another process to get it."""
NAME_SECONDS = 2.0
"""When Telegram may repeat an update while the bot's name is not known."""

log = logs.get_logger(__name__)


class TelegramReceiver:
    """Has one thread, which sets the bot up and polls."""

    def __init__(
        self,
        settings: TelegramSettings,
        parser: UpdateParser,
        memory: KeyValueStore,
        unparsed_updates: UnparsedUpdates,
        run: RunCoroutine,
        client: TelegramClient,
        features: BotFeatures = PLAIN,
        *,
        backoff: Backoff = BACKOFF,
    ) -> None:
        """``client``: of the loop on which webhooks are called.

        Raises SettingsError if there is a webhook secret and PUBLIC_URL cannot be a webhook's address.
        """
        self._client = client
        self._backoff = backoff
        self._features = features
        self._settings = settings
        self._webhook_url = own_webhook(settings) if settings.telegram_webhook_secret is not None else None
        self._parser = parser
        self._memory = memory
        self._unparsed_updates = unparsed_updates
        self._run = run
        self._background: BackgroundTask | None = None
        self._name_fact = f"{NAME}:{parser.bot_id}:username"
        self._named = False

    def webhooks(self, receive: Receive, inbox: AsyncInbox) -> Sequence[Webhook]:
        """Returns one if there is a secret that Telegram's requests show, and begins to register it."""
        if self._settings.telegram_webhook_secret is None:
            return ()

        take = self._handler(inbox.accept_all, self._client).take
        receiver = WebhookReceiver(receive, take, self._settings.where("telegram_webhook_secret"))

        async def handle(request: Request) -> WebhookResponse:
            await self._require_name()
            return await receiver.handle(request)

        self._start(self._set_up)
        return (Webhook(self._settings.path(PATH), MAX_BODY_BYTES, handle),)

    def start_receiving(self, inbox: Inbox) -> None:
        """Begins to poll, if there is no webhook. Returns at once."""
        if self._settings.telegram_webhook_secret is None:
            self._start(partial(self._poll, inbox))

    def stop_receiving(self) -> None:
        """Stops polling. Updates that are being processed are committed before it returns."""
        if self._background is not None:
            self._background.stop()

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._background is None:
            self._background = BackgroundTask(self._run, work, self._settings.name)
            self._background.start()

    def _handler(self, accept_all: AcceptAll, client: TelegramClient) -> TelegramUpdateHandler:
        identified = partial(identify, self._settings.name, self._parser.bot_id)
        tell = in_background(partial(self._tell, client))
        return TelegramUpdateHandler(accept_all, self._unparsed_updates, identified, tell)

    async def _tell(self, client: TelegramClient, update: ParsedUpdate, result: VerdictResult) -> None:
        """Ends what a pressed button shows, with why it did nothing. Raises nothing."""
        query = object_in(update.payload, "callback_query")
        text = told(result, self._features.languages.best(text_in(object_in(query, "from"), "language_code")))
        answer: dict[str, Any] = {"callback_query_id": text_in(query, "id")}
        if text:
            answer |= {"text": text, "show_alert": True}
        try:
            await client.call("answer_callback_query", delivery=None, **answer)
        except DeliveryError as exc:
            log.info("a pressed button was not answered", error=str(exc))

    async def _require_name(self) -> None:
        """Makes sure that the bot's name is known, without which mentions of it are not recognised.

        Raises Overloaded, StoreUnavailable.
        """
        if self._named:
            return
        name = await asyncio.to_thread(self._memory.get_value, self._name_fact)
        if name is None:
            raise Overloaded("Telegram has not said yet who the bot is.", retry_after=NAME_SECONDS)
        self._set_name(BotProfile(self._parser.bot_id, name, name, reads_groups=False, has_topics=False))

    def _set_name(self, who: BotProfile) -> None:
        self._parser.learn(who)
        self._named = True

    # ------------------------------------------------------------ in the background task

    async def _poll(self, inbox: Inbox) -> None:
        calls = PollingClient(self._settings)
        handler = self._handler(blocking(inbox), calls)
        poller = UpdatePoller(self._settings, calls, self._memory, self._parser, handler, self._retry)
        try:
            await self._learn_name(calls)
            menu = asyncio.ensure_future(self._set_menu(calls))
            try:
                await poller.run()
            finally:
                menu.cancel()
        finally:
            await calls.close()

    async def _set_up(self) -> None:
        calls = TelegramClient(self._settings)
        try:
            await self._learn_name(calls)
            if self._webhook_url is not None:
                await self._retry(
                    partial(self._register, calls, self._webhook_url), "webhook not registered yet; retrying"
                )
            else:
                await self._retry(partial(self._check_webhook, calls), "webhook not checked yet; retrying")
            await self._set_menu(calls)
        finally:
            await calls.close()

    async def _learn_name(self, calls: TelegramClient) -> None:
        """Asks who the bot is, and stores it for processes that start later."""
        who = await self._retry(calls.identify, "bot's name not known yet; retrying")
        self._set_name(who)
        with suppress(StoreUnavailable):
            self._memory.set_value(self._name_fact, who.username)
        log.info("Telegram knows the bot", username=who.username)

    async def _set_menu(self, calls: TelegramClient) -> None:
        work = partial(set_menu, calls, self._settings, self._memory, self._features)
        await self._retry(work, "menu of commands not set yet; retrying")

    async def _retry(self, work: Callable[[], Awaitable[T]], problem: str) -> T:
        return await retry(work, problem, self._backoff, needs_operator=_is_final)

    async def _register(self, calls: TelegramClient, url: str) -> None:
        """Registers the webhook, one process after the other: for all but the first, nothing changes at Telegram."""
        lease, owner = f"{NAME}:{calls.bot_id}:webhook", secrets.token_hex(8)
        while not self._memory.try_lock(lease, owner, REGISTRATION_SECONDS):  # noqa: ASYNC110  # another process has it
            await asyncio.sleep(LEASE_CHECK_SECONDS)
        try:
            await set_webhook(calls, self._settings, url)
        finally:
            with suppress(StoreUnavailable):
                self._memory.try_lock(lease, owner, 0)
        log.info("webhook registered", url=url)

    async def _check_webhook(self, calls: TelegramClient) -> None:
        """Warns if there is no webhook: without PUBLIC_URL, the operator has to register it. Raises DeliveryError."""
        if not (await calls.call("get_webhook_info", delivery=None)).url.endswith(self._settings.path(PATH)):
            log.warning("no webhook registered: set PUBLIC_URL, or run %s", command("set-webhook URL", self._settings))


def _is_final(exc: Exception) -> bool:
    return isinstance(exc, Rejected) and exc.retry_after is None
