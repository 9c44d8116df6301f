"""Delivers one outcome to Slack: looks up what may be posted already, ends streams, uploads files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.base.errors import Rejected
from adapters.base.reconciler import Reconciler
from adapters.slack import files, formatter
from adapters.slack.api_client import SlackClient
from adapters.slack.error_map import FINAL, UNTHREADABLE
from adapters.slack.history_lookup import find_posted
from adapters.slack.message_writer import STREAM_OVER, Ending, SlackWriter
from adapters.slack.mrkdwn import escaped
from adapters.slack.posted_reply import UNSHARED, OutgoingMessage, SlackMessage, SlackReply
from adapters.slack.status import SlackStatus
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Content, File
from gateway.domain.models import Turn, TurnState
from gateway.domain.sentences import sentence
from gateway.languages import say
from gateway.ports.platform import DeliveryContext

STREAMING = "streaming_state_conflict"
NO_ACCESS = frozenset({"channel_not_found", "missing_scope", "no_permission", "not_in_channel", "thread_not_found"})
"""Errors with which Slack refuses the lookup for good."""
INVALID_TOKEN = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"})
STOPPED = sentence("Stopped.")
NOT_TAKEN = sentence("I have a reply, but Slack does not take it here. It is kept, and the operator can see why.")

log = logs.get_logger(__name__)


class SlackReconciler(Reconciler[SlackMessage, OutgoingMessage]):
    """See the base class."""

    _writer: SlackWriter
    _reply: SlackReply

    REFUSED_CONTENT = frozenset(
        {
            *("block_mismatch", "invalid_blocks", "invalid_blocks_format", "invalid_chunks"),
            *("msg_blocks_too_long", "msg_blocks_too_many", "msg_too_long"),
        }
    )
    UNCHANGEABLE = frozenset({SlackWriter.GONE, "cant_update_message", "edit_window_closed"})
    UNDELETABLE = UNCHANGEABLE | {"cant_delete_message"}

    def __init__(
        self,
        client: SlackClient,
        writer: SlackWriter,
        status: SlackStatus,
        workspaces: Workspaces,
        turn: Turn,
        delivery: DeliveryContext,
        *,
        streams: bool,
    ) -> None:
        """``streams``: whether a message without metadata may be a stream of this turn."""
        super().__init__(writer, turn, delivery)
        self._client = client
        self._status = status
        self._workspaces = workspaces
        self._streams = streams
        self._ending: Ending = "complete" if turn.state is TurnState.ANSWERED else "error"

    async def reconcile(self, wanted: Sequence[OutgoingMessage]) -> None:
        try:
            await super().reconcile(wanted)
        except Rejected as exc:
            if exc.reason in INVALID_TOKEN:
                self._workspaces.drop(self._writer.target.workspace.team)
            if exc.retry_after is None:
                await self._give_up(exc)
            raise
        await self._status.end()

    async def _give_up(self, refusal: Rejected) -> None:
        """Leaves nothing open: no stream, no status, no button; and says that there is no reply, if that can help."""
        try:
            for message in self._reply.messages:
                if message.streaming:
                    await self._end(message, None)
            sentence = OutgoingMessage(escaped(say(NOT_TAKEN, self._reply.language)), plain=True)
            stands = any(message.content_hash == sentence.content_hash for message in self._reply.messages)
            if refusal.reason not in FINAL and not stands:
                await self._writer.post(sentence)
        except DeliveryError as exc:
            log.info("the person could not be told", turn=self._turn.id, error=str(exc))
        await self._status.end()

    async def resolve_doubt(self, contents: list[OutgoingMessage]) -> None:  # noqa: ARG002  # the history tells it all
        if not self._reply.needs_lookup:
            return
        try:
            found = await find_posted(self._client, self._writer.target, self._turn, self._delivery)
        except Rejected as exc:
            if exc.reason not in NO_ACCESS:
                raise
            # A message that was not saved may now be posted twice. The alternative is a reply that is never posted.
            log.warning("cannot look up what was posted before", turn=self._turn.id, error=str(exc))
        else:
            self._reply.messages = found.merged(self._reply.messages, streams=self._streams)
            while (line := found.file_lines.get(len(self._reply.files))) is not None:
                self._reply.files.append(line)
        self._reply.needs_lookup = False
        await self._writer.save_if_changed()

    def plainer(self, content: OutgoingMessage) -> list[OutgoingMessage] | None:
        return None if content.plain else _messages(formatter.plainer(content.text))

    # ------------------------------------------------------------ refusals

    async def replacement(self, number: int, content: OutgoingMessage, exc: Rejected) -> list[OutgoingMessage]:
        """Tries, one after another: a plainer form, another message, a message outside of the thread."""
        plainer = self.plainer(content)
        if exc.reason in self.REFUSED_CONTENT and plainer is not None:
            return await super().replacement(number, content, exc)
        if exc.retry_after is not None:
            raise exc
        log.warning("message refused; another way is tried", turn=self._turn.id, error=str(exc))
        if number < len(self._reply.messages):
            await self.delete_from(number)  # what follows must stay below the message that replaces it
        elif exc.reason in FINAL:
            raise exc
        elif exc.reason not in UNTHREADABLE and plainer is not None:
            return plainer
        elif exc.reason not in self.REFUSED_CONTENT and self._writer.target.thread_ts:
            await self._leave_thread()
        else:
            raise exc
        return [content]

    def may_stay(self, exc: Rejected) -> bool:
        return exc.reason in self.UNDELETABLE or (exc.retry_after is None and exc.reason not in FINAL)

    async def _leave_thread(self) -> None:
        """Goes on outside of the thread. An attempt before this one may have posted there already."""
        self._reply.unthreaded = True
        self._reply.needs_lookup = not self._delivery.first_attempt
        await self.resolve_doubt([])

    # ------------------------------------------------------------ messages

    async def change(self, message: SlackMessage, content: OutgoingMessage) -> None:
        if message.streaming:
            await self._end(message, content)
        if message.content_hash == content.content_hash:
            return
        try:
            await self._writer.update(message, content)
        except Rejected as exc:
            if exc.reason != STREAMING:
                raise
            await self._end(message, None)
            await self._writer.update(message, content)

    async def delete(self, message: SlackMessage) -> None:
        if message.streaming:
            await self._end(message, None)
        await self._writer.delete(message)

    async def show_stopped(self, message: SlackMessage) -> None:
        stopped = OutgoingMessage(message.shown or "", below=(_stopped_block(self._reply.language),))
        known = bool(message.shown)
        if message.streaming:
            await self._end(message, stopped)
        if known and message.content_hash != stopped.content_hash:
            await self._writer.update(message, stopped)

    async def _end(self, message: SlackMessage, content: OutgoingMessage | None) -> None:
        """Ends a stream, with the rest if it shows how that begins. It may be over already.

        If Slack refuses, it is ended with less and less. One that cannot be ended at all is left to chat.update, or to
        another message in its place.
        """
        fits = content is not None and message.shown is not None and content.text.startswith(message.shown)
        try:
            await self._writer.stop_stream(message, content if fits else None, ending=self._ending)
        except Rejected as exc:
            if exc.retry_after is not None:
                raise
            if exc.reason in STREAM_OVER:
                return
            log.warning("stream not ended", turn=self._turn.id, error=str(exc))
            if fits:
                await self._end(message, None)
            elif message.running_tools:
                message.running_tools.clear()
                await self._end(message, None)
            else:
                message.streaming = False

    # ------------------------------------------------------------ files

    async def finish_last_file(self) -> None:
        entries = self._reply.files
        if not entries or not entries[-1].startswith(UNSHARED):
            return
        number, file_id = len(entries) - 1, entries[-1].removeprefix(UNSHARED)
        try:
            await files.share(
                self._client, self._writer.target, self._delivery, self._turn.reply_files[number], file_id
            )
        except Rejected as exc:
            if self._may_leave_thread(exc):
                await self._leave_thread()
                await self.finish_last_file()
            else:
                await self.report_missing_file(number, exc)
        else:
            await self._writer.save_file(number, file_id)

    async def upload(self, file: File, content: Content) -> None:
        number, target = len(self._reply.files), self._writer.target

        async def save_unshared(file_id: str) -> None:
            await self._writer.save_file(number, f"{UNSHARED}{file_id}")

        try:
            file_id = await files.upload(
                self._client, target, self._delivery, file, content, before_sharing=save_unshared
            )
        except Rejected as exc:
            if not self._may_leave_thread(exc):
                raise
            await self._leave_thread()
            await self.finish_last_file()
        else:
            await self._writer.save_file(number, file_id)

    async def post_missing_file(self, text: str, number: int) -> None:
        line = OutgoingMessage(escaped(text), plain=True)
        try:
            await self._writer.post_file_line(line, number)
        except Rejected as exc:
            if not self._may_leave_thread(exc):
                raise
            await self._leave_thread()
            await self._writer.post_file_line(line, number)

    def _may_leave_thread(self, exc: Rejected) -> bool:
        return exc.reason in UNTHREADABLE and bool(self._writer.target.thread_ts)


def _stopped_block(language: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": f"_{say(STOPPED, language)}_"}]}


def plain_messages(markdown: str) -> list[OutgoingMessage]:
    """Returns the messages of a text in Slack's own markup."""
    return _messages(formatter.plain(markdown))


def _messages(parts: Sequence[str]) -> list[OutgoingMessage]:
    return [OutgoingMessage(part, plain=True) for part in parts]
