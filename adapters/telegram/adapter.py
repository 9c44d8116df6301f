"""The Telegram platform of the gateway: puts the modules of this package together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from adapters.base.approvals import labels
from adapters.base.background_task import RunCoroutine
from adapters.base.chat_adapter import ChatAdapter
from adapters.base.features import PLAIN, BotFeatures
from adapters.base.inbound import Inbound
from adapters.telegram import files, formatter, setup_check
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.destination import destination
from adapters.telegram.dry_run import dry_run
from adapters.telegram.formatter import FormattedText, with_buttons
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.message_writer import TelegramWriter
from adapters.telegram.posted_reply import TelegramMessage, TelegramReply
from adapters.telegram.preview import TelegramPreview
from adapters.telegram.receiver import TelegramReceiver
from adapters.telegram.reconciler import TelegramReconciler, plain_messages
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.update_parser import UpdateParser
from gateway.domain.files import Attachment
from gateway.domain.models import ConversationKey, Turn, TurnId
from gateway.ports.check import CheckResult
from gateway.ports.platform import DeliveryContext, Destination
from gateway.ports.spool import Spool
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates


class TelegramReplies(ChatAdapter[TelegramReply, TelegramWriter, TelegramMessage, FormattedText]):
    """The outbound side."""

    _client: TelegramClient

    def __init__(self, client: TelegramClient, settings: TelegramSettings) -> None:
        super().__init__(client)
        self._settings = settings

    def destination(self, place: ConversationKey) -> Destination:
        return destination(place, self._client.bot_id, self._settings.telegram_scope)

    def new_reply(self, turn: Turn, delivery: DeliveryContext) -> TelegramReply:  # noqa: ARG002  # what is saved says it all
        return TelegramReply(first_chat=TelegramTarget.of(turn.message.address).chat)

    async def writer(
        self, turn: Turn, delivery: DeliveryContext, reply: TelegramReply, *, max_wait: float
    ) -> TelegramWriter:
        target = TelegramTarget.of(turn.message.address)
        return TelegramWriter(self._client, target, turn.id, delivery, reply, max_wait=max_wait)

    def preview(self, turn: Turn, delivery: DeliveryContext, writer: TelegramWriter) -> TelegramPreview:  # noqa: ARG002  # the writer has both
        return TelegramPreview(
            writer,
            self._client.bot_id,
            self._capabilities,
            # After a message whose outcome is unknown no other is begun: the next must say that it is a repetition.
            shows_text=self._settings.telegram_streaming and not writer.reply.next_message.state,
            draft_seconds=self._settings.telegram_draft_seconds,
        )

    def reconciler(self, turn: Turn, delivery: DeliveryContext, writer: TelegramWriter) -> TelegramReconciler:
        return TelegramReconciler(writer, turn, delivery)

    def formatted(self, turn: Turn, language: str) -> list[FormattedText]:  # noqa: ARG002  # nothing stands beside it
        return formatter.parts(turn.reply)

    def question(self, text: str, asked: TurnId, *, is_open: bool, language: str) -> list[FormattedText]:
        buttons = tuple((label, f"{action}:{asked}") for action, label in labels(language)) if is_open else ()
        return with_buttons(formatter.parts(text), buttons)

    def plain(self, text: str) -> list[FormattedText]:
        return plain_messages(text)


class TelegramAdapter(TelegramReplies, Inbound):
    """Serves one bot."""

    def __init__(
        self,
        settings: TelegramSettings,
        memory: KeyValueStore,
        unparsed_updates: UnparsedUpdates,
        run: RunCoroutine,
        features: BotFeatures = PLAIN,
    ) -> None:
        """``run``: runs a coroutine to its end, on an event loop of its own. Raises SettingsError."""
        TelegramReplies.__init__(self, TelegramClient(settings), settings)
        self.name = settings.name
        me = BotIdentity(int(self._client.bot_id))
        parser = UpdateParser(settings, me, features.languages, features.has_several_assistants)
        receiver = TelegramReceiver(settings, parser, memory, unparsed_updates, run, self._client, features)
        Inbound.__init__(self, parser.receive, partial(dry_run, parser), receiver)

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        return await files.fetch(self._client, turn.message, spool, self._settings.telegram_max_file_bytes)

    async def check(self) -> Sequence[CheckResult]:
        return await setup_check.check(self._settings, self._client)
