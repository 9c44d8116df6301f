"""The Telegram platform of the gateway: puts the modules of this package together."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.base.background_task import RunCoroutine
from adapters.base.capabilities import Capabilities
from adapters.base.chat_adapter import ChatAdapter
from adapters.base.preview import NO_WAIT
from adapters.base.reconciler import MAX_WAIT
from adapters.telegram import dry_run, files, formatter, setup_check
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.formatter import FormattedText
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.message_writer import TelegramWriter
from adapters.telegram.posted_reply import TelegramMessage, TelegramReply
from adapters.telegram.preview import TelegramPreview
from adapters.telegram.reconciler import TelegramReconciler, plain_messages
from adapters.telegram.reply_target import NAME, TelegramTarget
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.update_parser import UpdateParser
from adapters.telegram.webhook import TelegramReceiver
from gateway.domain.models import Attachment, Turn
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request, SyntheticMessage, Webhook
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates


class TelegramReplies(ChatAdapter[TelegramReply, TelegramMessage, FormattedText]):
    """The outbound side."""

    def __init__(self, client: TelegramClient, settings: TelegramSettings) -> None:
        super().__init__()
        self._client = client
        self._settings = settings
        self._capabilities = Capabilities()

    def restored(self, turn: Turn, outbox: DeliveryContext) -> TelegramReply:
        reply = TelegramReply(first_chat=TelegramTarget.of(turn.message.address).chat)
        reply.restore(outbox.posted_messages)
        return reply

    async def preview(self, turn: Turn, outbox: DeliveryContext, reply: TelegramReply) -> TelegramPreview:
        return TelegramPreview(
            self._writer(turn, outbox, reply, max_wait=NO_WAIT),
            self._client.bot_id,
            self._capabilities,
            # After a message whose outcome is unknown no other is begun: the next must say that it is a repetition.
            shows_text=self._settings.telegram_streaming and not reply.next_message.state,
            draft_seconds=self._settings.telegram_draft_seconds,
        )

    async def reconciler(self, turn: Turn, outbox: DeliveryContext, reply: TelegramReply) -> TelegramReconciler:
        return TelegramReconciler(self._writer(turn, outbox, reply, max_wait=MAX_WAIT), turn, outbox)

    def formatted(self, turn: Turn) -> list[FormattedText]:
        return formatter.parts(turn.reply)

    def plain(self, text: str) -> list[FormattedText]:
        return plain_messages(text)

    def _writer(self, turn: Turn, outbox: DeliveryContext, reply: TelegramReply, *, max_wait: float) -> TelegramWriter:
        target = TelegramTarget.of(turn.message.address)
        return TelegramWriter(self._client, target, turn.id, outbox, reply, max_wait=max_wait)


class TelegramAdapter(TelegramReplies):
    """Serves one bot."""

    name = NAME

    def __init__(
        self, settings: TelegramSettings, memory: KeyValueStore, unparsed_updates: UnparsedUpdates, run: RunCoroutine
    ) -> None:
        """``run``: runs a coroutine to its end, on an event loop of its own. Raises SettingsError."""
        super().__init__(TelegramClient(settings), settings)
        self._parser = UpdateParser(settings, BotIdentity(int(self._client.bot_id)))
        self._receiver = TelegramReceiver(settings, self._parser, memory, unparsed_updates, run)

    def receive(self, request: Request) -> ParsedUpdate:
        return self._parser.receive(request)

    def dry_run(self, message: SyntheticMessage) -> ParsedUpdate:
        return dry_run.dry_run(self._parser, message)

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        return self._receiver.webhooks(self.receive, inbox)

    def start_receiving(self, inbox: Inbox) -> None:
        self._receiver.start_receiving(inbox)

    def stop_receiving(self) -> None:
        self._receiver.stop_receiving()

    async def fetch_attachments(self, turn: Turn) -> Sequence[Attachment]:
        return await files.fetch(self._client, turn.message, self._settings.telegram_max_file_bytes)

    async def check(self) -> Sequence[CheckResult]:
        return await setup_check.check(self._settings, self._client)

    async def close(self) -> None:
        await self._client.close()
