"""How updates come in: brought to the webhook or fetched by long polling; committed, and only then acknowledged."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import flask
from flask.typing import ResponseReturnValue

from adapters.telegram.api_client import BotProfile, TelegramClient
from adapters.telegram.errand import PAUSES, Errand, Run, insist
from adapters.telegram.incoming import Reader
from adapters.telegram.intake import Intake
from adapters.telegram.poll import Fetching, Poll
from adapters.telegram.registration import PATH, own_webhook, set_menu, set_webhook
from adapters.telegram.reply_target import NAME
from adapters.telegram.settings import TelegramSettings
from gateway import logs
from gateway.api.bodies import read_body
from gateway.errors import Overloaded, StoreUnavailable, Unverified
from gateway.ports import Inbox, Request
from gateway.storing import Memory

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
REGISTRATION_SECONDS = 60.0
"""How long one process may take to register the webhook before another one tries."""
NAME_SECONDS = 2.0
"""When Telegram may come again while the bot's name is not known."""
TURN_SECONDS = 1.0
"""From one look to the next whether another process has registered it."""

log = logs.get(__name__)


class Door:
    """Where Telegram knocks, or where we go and fetch. Keeps one thread, which asks who the bot is and sets it up."""

    def __init__(
        self,
        settings: TelegramSettings,
        reader: Reader,
        memory: Memory,
        run: Run,
        *,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """``run``: how to run a coroutine to its end. ``pauses``: seconds from one try to the next.

        Raises SettingsError when there is to be a webhook and PUBLIC_URL is no place for it.
        """
        self._pauses = pauses
        self._settings = settings
        self._webhook = own_webhook(settings) if settings.telegram_webhook_secret is not None else None
        self._reader = reader
        self._memory = memory
        self._run = run
        self._errand: Errand | None = None
        self._name = f"{NAME}:{reader.bot_id}:username"
        self._named = False

    def routes(self, inbox: Inbox) -> flask.Blueprint:
        """The webhook's, if there is a secret by which Telegram is known. It is registered meanwhile."""
        blueprint = flask.Blueprint(NAME, __name__)
        if self._settings.telegram_webhook_secret is not None:
            view = _view(self._intake(inbox), self._check_name)
            blueprint.add_url_rule(PATH, "webhook", view, methods=["POST"])
            self._begin(self._set_up)
        return blueprint

    def listen(self, inbox: Inbox) -> None:
        """Fetch updates, if they are not brought. Returns at once."""
        if self._settings.telegram_webhook_secret is None:
            self._begin(partial(self._fetch, inbox))

    def hush(self) -> None:
        """Fetch no more. What is half taken is committed when this returns."""
        if self._errand is not None:
            self._errand.end()

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._errand is None:
            self._errand = Errand(self._run, work)
            self._errand.begin()

    def _intake(self, inbox: Inbox) -> Intake:
        return Intake(self._reader, inbox, self._memory, self._reader.bot_id)

    def _check_name(self) -> None:
        """Without its name, the bot would not know who means it in a group. Raises Overloaded, StoreUnavailable."""
        if self._named:
            return
        name = self._memory.recall(self._name)
        if name is None:
            raise Overloaded("Telegram has not said yet who the bot is.", retry_after=NAME_SECONDS)
        self._know(BotProfile(self._reader.bot_id, name, name, reads_groups=False, has_topics=False))

    def _know(self, who: BotProfile) -> None:
        self._reader.learn(who)
        self._named = True

    # ------------------------------------------------------------ in the errand's thread

    async def _fetch(self, inbox: Inbox) -> None:
        calls = Fetching(self._settings)
        poll = Poll(self._settings, calls, self._memory, self._intake(inbox), pauses=self._pauses)
        try:
            await self._learn(calls)
            menu = asyncio.ensure_future(self._set_menu(calls))
            try:
                await poll.go_on()
            finally:
                menu.cancel()
        finally:
            await calls.close()

    async def _set_up(self) -> None:
        calls = TelegramClient(self._settings)
        try:
            await self._learn(calls)
            if self._webhook is not None:
                await self._insist(partial(self._register, calls, self._webhook), "webhook not registered yet")
            else:
                await self._insist(partial(_look_at_webhook, calls), "it is not known whether there is a webhook")
            await self._set_menu(calls)
        finally:
            await calls.close()

    async def _learn(self, calls: TelegramClient) -> None:
        """Who the bot is; the next process need not wait for that."""
        who = await self._insist(calls.identify, "Telegram does not say who the bot is; it is asked again")
        self._know(who)
        with suppress(StoreUnavailable):
            self._memory.keep(self._name, who.username)
        log.info("Telegram knows the bot", username=who.username)

    async def _set_menu(self, calls: TelegramClient) -> None:
        await self._insist(partial(set_menu, calls, self._settings, self._memory), "commands are not in the menu yet")

    async def _insist(self, work: Callable[[], Awaitable[T]], what: str) -> T:
        return await insist(work, what, self._pauses)

    async def _register(self, calls: TelegramClient, url: str) -> None:
        """One process after the other: to Telegram all but the first ask for what is so already."""
        lease, owner = f"{NAME}:{calls.bot_id}:webhook", secrets.token_hex(8)
        while not self._memory.lease(lease, owner, REGISTRATION_SECONDS):  # noqa: ASYNC110  # another process has it
            await asyncio.sleep(TURN_SECONDS)
        try:
            await set_webhook(calls, self._settings, url)
        finally:
            with suppress(StoreUnavailable):
                self._memory.lease(lease, owner, 0)
        log.info("webhook registered", url=url)


async def _look_at_webhook(calls: TelegramClient) -> None:
    """Where PUBLIC_URL does not say where it is to be, it is the operator's. Raises DeliveryError."""
    if not (await calls.call("get_webhook_info", outbox=None)).url.endswith(PATH):
        log.warning("no updates come: set PUBLIC_URL, or run python -m gateway telegram set-webhook URL")


def _view(intake: Intake, check_name: Callable[[], None]) -> Callable[[], ResponseReturnValue]:
    def receive() -> ResponseReturnValue:
        body = read_body(MAX_BODY_BYTES)
        check_name()
        headers = {name.lower(): value for name, value in flask.request.headers.items()}
        try:
            intake.receive(Request(headers, body))
        except Unverified as exc:
            log.info("request refused; is TELEGRAM_WEBHOOK_SECRET that of the webhook?", error=str(exc))
            raise
        return b"", 200  # Telegram would perform what a body tells it to

    return receive
