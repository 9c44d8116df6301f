"""The Discord platform of the gateway: puts the modules of this package together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from adapters.base.background_task import RunCoroutine
from adapters.base.chat_adapter import ChatAdapter
from adapters.base.features import PLAIN, BotFeatures
from adapters.base.inbound import Inbound
from adapters.discord import formatter, setup_check
from adapters.discord.api_client import DiscordClient
from adapters.discord.destination import destination
from adapters.discord.dry_run import dry_run
from adapters.discord.event_parser import DiscordParser
from adapters.discord.interactions import InteractionVerifier
from adapters.discord.message_writer import DiscordWriter
from adapters.discord.posted_reply import Buttons, DiscordContent, DiscordMessage, DiscordReply
from adapters.discord.preview import DiscordPreview
from adapters.discord.receiver import DiscordReceiver
from adapters.discord.reconciler import DiscordReconciler
from adapters.discord.reply_target import DiscordTarget
from adapters.discord.settings import DiscordSettings
from adapters.discord.thread_reader import ThreadReader
from gateway.domain.context import ChatContext
from gateway.domain.files import Attachment, File
from gateway.domain.models import ConversationKey, MessageKind, Turn, TurnId
from gateway.ports.check import CheckResult
from gateway.ports.platform import DeliveryContext, Destination, TurnLoader
from gateway.ports.spool import FileWriter, Spool
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates


class DiscordReplies(ChatAdapter[DiscordReply, DiscordWriter, DiscordMessage, DiscordContent]):
    """The outbound side."""

    _client: DiscordClient

    def __init__(self, client: DiscordClient, settings: DiscordSettings) -> None:
        super().__init__(client)
        self._settings = settings

    def destination(self, place: ConversationKey) -> Destination:
        return destination(place, self._settings.discord_scope)

    def new_reply(self, turn: Turn, delivery: DeliveryContext) -> DiscordReply:  # noqa: ARG002  # what is saved says it all
        return DiscordReply()

    async def writer(
        self, turn: Turn, delivery: DeliveryContext, reply: DiscordReply, *, max_wait: float
    ) -> DiscordWriter:
        me, target = await self._client.identify(), DiscordTarget.of(turn.message.address)
        return DiscordWriter(self._client, me, target, turn.id, delivery, reply, max_wait=max_wait)

    def preview(self, turn: Turn, delivery: DeliveryContext, writer: DiscordWriter) -> DiscordPreview:  # noqa: ARG002  # the writer has both
        return DiscordPreview(writer, shows_text=self._settings.discord_streaming and not writer.reply.in_doubt)

    def reconciler(self, turn: Turn, delivery: DeliveryContext, writer: DiscordWriter) -> DiscordReconciler:
        return DiscordReconciler(writer, turn, delivery)

    def formatted(self, turn: Turn, language: str) -> list[DiscordContent]:  # noqa: ARG002  # the writer has it
        asked = turn.message.kind is MessageKind.PROMPT and not turn.is_pushed_text
        rated = self._settings.discord_feedback and asked
        return formatter.contents(turn.reply, Buttons.FEEDBACK if rated else Buttons.NONE)

    def question_turn(self, turn: Turn) -> Turn:
        """Returns the turn without the answer to its interaction, which is kept for the reply."""
        place = replace(DiscordTarget.of(turn.message.address), interaction="", token="")
        return replace(turn, message=replace(turn.message, address=place.address))

    def question(self, text: str, asked: TurnId, *, is_open: bool, language: str) -> list[DiscordContent]:  # noqa: ARG002  # the writer has both
        return formatter.contents(text, Buttons.APPROVAL if is_open else Buttons.NONE)

    def plain(self, text: str) -> list[DiscordContent]:
        return [DiscordContent(part) for part in formatter.plain(text)]


class DiscordAdapter(DiscordReplies, Inbound):
    """Serves one bot."""

    def __init__(
        self,
        settings: DiscordSettings,
        memory: KeyValueStore,
        unparsed_updates: UnparsedUpdates,
        run: RunCoroutine,
        features: BotFeatures = PLAIN,
    ) -> None:
        """``run``: runs a coroutine to its end, on an event loop of its own. Raises SettingsError."""
        DiscordReplies.__init__(self, DiscordClient(settings), settings)
        self.name = settings.name
        parser = DiscordParser(settings, features.languages)
        self._thread_reader = ThreadReader(self._client, parser.names, settings.discord_context_chars)
        verifier = InteractionVerifier(settings.discord_public_key or "", parser)
        receiver = DiscordReceiver(settings, parser, memory, unparsed_updates, run, self._client, features)
        Inbound.__init__(self, verifier.receive, partial(dry_run, parser), receiver)

    def lacks_context(self, turn: Turn) -> bool:
        return self._thread_reader.is_wanted(turn)

    async def fetch_context(self, turn: Turn, before: TurnLoader, delivery: DeliveryContext) -> ChatContext | None:
        return await self._thread_reader.read(turn, before, delivery) if self._thread_reader.is_wanted(turn) else None

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        limit = self._settings.discord_max_file_bytes
        return await spool.receive(turn.message.files, self._download, max_bytes=limit)

    async def _download(self, file: File, writer: FileWriter) -> None:
        await self._client.download(file.reference, writer)

    async def check(self) -> Sequence[CheckResult]:
        return await setup_check.check(self._settings, self._client)
