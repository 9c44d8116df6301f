"""The Slack platform of the gateway: puts the modules of this package together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from adapters.base.background_task import RunCoroutine
from adapters.base.chat_adapter import ChatAdapter
from adapters.base.inbound import Inbound
from adapters.base.language import in_language
from adapters.slack import files, formatter, setup_check
from adapters.slack.api_client import SlackClient
from adapters.slack.context_reader import ContextReader
from adapters.slack.destination import destination
from adapters.slack.dry_run import dry_run
from adapters.slack.event_parser import EventParser
from adapters.slack.identities import Identities
from adapters.slack.locales import Locales
from adapters.slack.message_writer import SlackWriter
from adapters.slack.own_rows import own_rows
from adapters.slack.places import Places
from adapters.slack.posted_reply import OutgoingMessage, SlackMessage, SlackReply
from adapters.slack.preview import SlackPreview
from adapters.slack.reconciler import SlackReconciler, plain_messages
from adapters.slack.reply_target import SlackTarget
from adapters.slack.settings import SlackSettings
from adapters.slack.status import SlackStatus
from adapters.slack.webhook import SlackReceiver
from adapters.slack.workspaces import InstalledWorkspaces, OneWorkspace, Workspaces
from gateway.domain.context import ChatContext
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Attachment
from gateway.domain.models import ConversationKey, MessageKind, Turn, TurnId
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.check import CheckResult
from gateway.ports.platform import DeliveryContext, Destination, KnownNames, TurnLoader
from gateway.ports.spool import Spool
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates

if TYPE_CHECKING:
    import flask


class SlackReplies(ChatAdapter[SlackReply, SlackWriter, SlackMessage, OutgoingMessage]):
    """The outbound side."""

    _client: SlackClient

    def __init__(
        self,
        client: SlackClient,
        workspaces: Workspaces,
        settings: SlackSettings,
        staff: ConversationKey | None = None,
    ) -> None:
        """``staff``: see ``Places``."""
        super().__init__(client)
        self._workspaces = workspaces
        self._settings = settings
        self._places = Places(settings, staff)

    def destination(self, place: ConversationKey) -> Destination:
        return destination(place, self._places)

    def topic_below(self, turn: Turn) -> str:
        reply = SlackReply()
        reply.restore(turn.posted_messages)
        return reply.messages[0].ts if reply.messages else ""

    def new_reply(self, turn: Turn, delivery: DeliveryContext) -> SlackReply:
        again = not delivery.first_attempt  # an earlier process may have posted, and set the status
        return SlackReply(needs_lookup=again, processing=again and _is_direct(turn))

    async def writer(self, turn: Turn, delivery: DeliveryContext, reply: SlackReply, *, max_wait: float) -> SlackWriter:
        address = turn.message.address
        target = SlackTarget.of(address, await self._workspaces.find(address))
        return SlackWriter(self._client, target, turn.id, delivery, reply, max_wait=max_wait)

    def preview(self, turn: Turn, delivery: DeliveryContext, writer: SlackWriter) -> SlackPreview:
        return SlackPreview(
            writer,
            self._status(turn, delivery, writer),
            delivery,
            self._capabilities,
            seconds=self._settings.slack_stream_seconds,
            streams=self._settings.slack_preview == "stream" and _may_stream(turn, writer.target),
            # What an earlier process posted stays until ``deliver`` corrects it: nothing is posted beside it.
            shows_text=delivery.first_attempt and self._settings.slack_preview != "off",
        )

    def reconciler(self, turn: Turn, delivery: DeliveryContext, writer: SlackWriter) -> SlackReconciler:
        status, streams = self._status(turn, delivery, writer), _may_stream(turn, writer.target)
        return SlackReconciler(self._client, writer, status, self._workspaces, turn, delivery, streams=streams)

    def formatted(self, turn: Turn, language: str) -> list[OutgoingMessage]:
        *others, last = formatter.pieces(turn.reply) or [""]
        asked = turn.message.kind is MessageKind.PROMPT and not turn.is_pushed_text
        asks = self._settings.slack_feedback and asked
        below = (formatter.feedback_block(turn.id, language),) if asks else ()
        return [*map(OutgoingMessage, others), OutgoingMessage(last, below=below)] if last else []

    def question(self, text: str, asked: TurnId, *, is_open: bool, language: str) -> list[OutgoingMessage]:
        *others, last = formatter.pieces(text)
        below = (formatter.approval_block(asked, language),) if is_open else ()
        return [*map(OutgoingMessage, others), OutgoingMessage(last, below=below)]

    def plain(self, text: str) -> list[OutgoingMessage]:
        return plain_messages(text)

    def _status(self, turn: Turn, delivery: DeliveryContext, writer: SlackWriter) -> SlackStatus:
        capabilities, direct = self._capabilities, _is_direct(turn)
        return SlackStatus(self._client, writer.asked_at, delivery, writer.reply, capabilities, direct=direct)


class SlackAdapter(SlackReplies, Inbound):
    """Serves one workspace, whose token is given, or all that have installed the app."""

    def __init__(
        self,
        settings: SlackSettings,
        memory: KeyValueStore,
        unparsed_updates: UnparsedUpdates,
        run: RunCoroutine,
        languages: Languages = ENGLISH_ONLY,
        staff: ConversationKey | None = None,
    ) -> None:
        """``run``: runs a coroutine to its end, on an event loop of its own. ``staff``: see ``Places``."""
        self._languages = languages
        memory = own_rows(memory, settings.name)
        client, workspaces = SlackClient(settings.slack_api_url), _workspaces(settings, memory)
        SlackReplies.__init__(self, client, workspaces, settings, staff)
        self.name = settings.name
        identities = Identities(settings, self._workspaces)
        self._context_reader = ContextReader(self._client, self._workspaces, settings, identities.known)
        locales = Locales(settings, self._workspaces, languages)
        parser = EventParser(settings, identities.recognise, locales.known, staff)
        receiver = SlackReceiver(settings, parser, identities, locales, self._workspaces, memory, unparsed_updates, run)
        Inbound.__init__(self, parser.receive, partial(dry_run, EventParser(settings, staff=staff)), receiver)
        self._routes = receiver.routes

    def routes(self) -> flask.Blueprint:
        return self._routes()

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        message = turn.message
        try:
            workspace = await self._workspaces.find(message.address)
        except DeliveryError as exc:
            return [Attachment(file, problem=str(exc)) for file in message.files]
        return await files.fetch(self._client, workspace, message, spool, self._settings.slack_max_file_bytes)

    async def fetch_context(self, turn: Turn, before: TurnLoader, delivery: DeliveryContext) -> ChatContext | None:
        asked = turn.message.kind is MessageKind.PROMPT
        context = await self._context_reader.fetch(turn, before, delivery) if asked else None
        reply = await self._reply(turn, delivery)
        return in_language(context, reply.language)

    def known_names(self, turn: Turn) -> KnownNames | None:
        return self._context_reader.known_names(turn.message)

    async def names_of(self, turn: Turn, delivery: DeliveryContext) -> KnownNames:
        try:
            workspace = await self._workspaces.find(turn.message.address)
        except DeliveryError:
            return KnownNames()
        return await self._context_reader.names_of(turn.message, workspace, delivery)

    async def language(self, turn: Turn, delivery: DeliveryContext) -> str:
        """Asks Slack, as its events do not say it; what it told is remembered for a time."""
        if turn.message.language or not self._languages.is_choice:
            return turn.message.language or self._languages.best()
        try:
            workspace = await self._workspaces.find(turn.message.address)
        except DeliveryError:
            return self._languages.best()
        person = turn.message.address.get("user", "")
        return self._languages.best(await self._context_reader.directory.locale(person, workspace, delivery))

    async def check(self) -> Sequence[CheckResult]:
        return await setup_check.check(self._settings, self._client, self._workspaces)


def _workspaces(settings: SlackSettings, memory: KeyValueStore) -> Workspaces:
    if settings.installable:
        return InstalledWorkspaces(settings, memory)
    assert settings.slack_bot_token is not None  # noqa: S101  # `on` has seen to it
    return OneWorkspace(settings.slack_bot_token.get_secret_value())


def _is_direct(turn: Turn) -> bool:
    return turn.message.address.get("channel_type") == "im"


def _may_stream(turn: Turn, target: SlackTarget) -> bool:
    """Returns whether a reply may be a stream: that needs a thread and a person, and has no metadata until it ends.

    So in a thread that several conversations share, an unsaved stream could not be told from another conversation's.
    """
    return bool(target.thread_ts and target.user) and not turn.message.key.user
