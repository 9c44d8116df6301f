"""Receives Discord's events over the gateway, and interactions by HTTP too; registers the commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from adapters.base.background_task import BACKOFF, BackgroundTask, RunCoroutine
from adapters.base.errors import Rejected
from adapters.base.features import PLAIN, BotFeatures
from adapters.base.inbound import Receive
from adapters.base.update_handler import AcceptAll, UpdateHandler, blocking, in_background
from adapters.base.webhook import WebhookReceiver
from adapters.discord import commands
from adapters.discord.api_client import DiscordClient
from adapters.discord.event_parser import DiscordParser
from adapters.discord.gateway_connection import GatewayConnection
from adapters.discord.interactions import PATH, tell_presser
from adapters.discord.settings import DiscordSettings
from adapters.discord.unparsed_event import identify
from gateway.coordination.retry import Backoff, retry
from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.platform import Webhook
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates

T = TypeVar("T")


class DiscordReceiver:
    """Has one thread, with the connection to the gateway."""

    def __init__(
        self,
        settings: DiscordSettings,
        parser: DiscordParser,
        memory: KeyValueStore,
        unparsed_updates: UnparsedUpdates,
        run: RunCoroutine,
        client: DiscordClient,
        features: BotFeatures = PLAIN,
        *,
        backoff: Backoff = BACKOFF,
    ) -> None:
        """``client``: of the loop on which webhooks are called."""
        self._client = client
        self._features = features
        self._settings = settings
        self._parser = parser
        self._memory = memory
        self._unparsed_updates = unparsed_updates
        self._run = run
        self._backoff = backoff
        self._identify = partial(identify, settings.name)
        self._background: BackgroundTask | None = None

    def webhooks(self, receive: Receive, inbox: AsyncInbox) -> Sequence[Webhook]:
        """Returns the address for interactions, if there is a key to verify them."""
        if self._settings.discord_public_key is None:
            return ()
        handler = self._handler(inbox.accept_all, self._client)
        receiver = WebhookReceiver(receive, handler.take, self._settings.where("discord_public_key"))
        return receiver.at(self._settings.path(PATH))

    def start_receiving(self, inbox: Inbox) -> None:
        self._background = BackgroundTask(self._run, partial(self._connect, inbox), self._settings.name)
        self._background.start()

    def stop_receiving(self) -> None:
        """Disconnects. The event that is being processed is committed before it returns."""
        if self._background is not None:
            self._background.stop()

    def _handler(self, accept_all: AcceptAll, client: DiscordClient) -> UpdateHandler:
        tell = in_background(partial(tell_presser, client, self._features.languages))
        return UpdateHandler(accept_all, self._unparsed_updates, self._identify, tell)

    async def _connect(self, inbox: Inbox) -> None:
        client = DiscordClient(self._settings)
        handler = self._handler(blocking(inbox), client)
        try:
            me = await self._retry(client.identify, "Discord does not say yet who the bot is; retrying")
            self._parser.names.bot = me.bot
            register = partial(commands.register, client, me.application, self._features)
            await self._retry(register, "slash commands not registered yet; retrying")
            connection = GatewayConnection(
                client, self._memory, self._parser, handler, self._retry, application=me.application
            )
            await connection.run()
        finally:
            await client.close()

    async def _retry(self, work: Callable[[], Awaitable[T]], problem: str) -> T:
        return await retry(work, problem, self._backoff, needs_operator=_is_final)


def _is_final(exc: Exception) -> bool:
    return isinstance(exc, Rejected) and exc.retry_after is None
