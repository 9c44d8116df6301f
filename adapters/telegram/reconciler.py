"""Delivers one outcome to Telegram.

A bot cannot read a chat's history. So a message that was sent without an answer is sent once more at most, beginning
with a line that says so, and only when Telegram answers again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from adapters.base.errors import Rejected
from adapters.base.markdown.splitting import utf16_units
from adapters.base.reconciler import MAX_WAIT, Reconciler
from adapters.telegram import formatter
from adapters.telegram.errors import Migrated, Reason
from adapters.telegram.formatter import FormattedText
from adapters.telegram.message_writer import TelegramWriter
from adapters.telegram.posted_reply import UNKNOWN, SendState, TelegramMessage, TelegramReply, looks_like
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.domain.files import Content, File
from gateway.domain.models import TurnState
from gateway.domain.sentences import sentence
from gateway.languages import say

SENT_AGAIN = sentence("(Sent again, in case it did not arrive.)")
STOPPED = sentence("(Stopped.)")

log = logs.get_logger(__name__)


class TelegramReconciler(Reconciler[TelegramMessage, FormattedText]):
    """See the base class."""

    _writer: TelegramWriter
    _reply: TelegramReply

    REFUSED_CONTENT = frozenset({Reason.MARKUP, Reason.TOO_LONG, Reason.EMPTY, Reason.OTHER})
    UNCHANGEABLE = frozenset({Reason.MESSAGE_GONE})
    UNDELETABLE = frozenset(Reason)

    async def reconcile(self, wanted: Sequence[FormattedText]) -> None:
        await super().reconcile(wanted)
        if self._turn.state is not TurnState.CANCELLED and (missing := self._reply.unconfirmed):
            raise DeliveryError(
                f"Telegram confirmed all but {missing} of the reply's messages and files. Each of those was sent twice,"
                " and no answer came either time: it may be missing"
            )

    async def resolve_doubt(self, contents: list[FormattedText]) -> None:
        """Labels what is sent for the second time, and gives up what was."""
        if self._turn.state is TurnState.CANCELLED:
            return
        messages, pending = self._reply.messages, self._reply.next_message
        for number, message in enumerate(messages):
            if message.again:
                self._label(contents, number)
        if len(contents) <= len(messages):
            pending.state = SendState.KNOWN  # whatever became of a preview's message, no more is to be posted
        elif pending.state:
            self._label(contents, len(messages))
        if pending.state is SendState.SENDING:
            await self._wait_for_telegram()
        elif pending.state is SendState.SENDING_AGAIN:  # a third time would not make it better
            log.warning("a message may be missing: it was sent twice without an answer", turn=self._turn.id)
            messages.append(TelegramMessage(self._reply.chat, 0, again=True))
            pending.state = SendState.KNOWN
            await self._writer.save()

    def _label(self, contents: list[FormattedText], number: int) -> None:
        """Makes a message say that it may be a repetition. A very long one becomes two by that."""
        for content in contents[number : number + 1]:
            again = f"{say(SENT_AGAIN, self._reply.language)}\n\n{content.markdown}"
            labelled = plain_messages(again) if _is_plain(content) else formatter.parts(again)
            contents[number : number + 1] = formatter.with_buttons(labelled, content.buttons)

    async def _wait_for_telegram(self) -> None:
        """Raises DeliveryError until Telegram answers: then a second attempt is almost certain to be the last."""
        try:
            await self._writer.show_typing(max_wait=MAX_WAIT)
        except Rejected as exc:
            log.debug("Telegram answers again", turn=self._turn.id, error=str(exc))

    # ------------------------------------------------------------ messages

    async def change(self, message: TelegramMessage, content: FormattedText) -> None:
        if not looks_like(message.shown, content) and not self._reply.is_fixed(message):
            await self._writer.update(message, content)

    def plainer(self, content: FormattedText) -> list[FormattedText] | None:
        plain = formatter.with_buttons(plain_messages(content.markdown), content.buttons)
        return None if _is_plain(content) else plain

    async def replacement(self, number: int, content: FormattedText, exc: Rejected) -> list[FormattedText]:
        try:
            return await super().replacement(number, content, exc)
        except Rejected:
            if exc.reason == Reason.EMPTY:
                return []  # there is nothing visible in it
            if not await self._adapt_target(number, exc):
                raise
        return [content]

    async def _adapt_target(self, number: int, exc: Rejected) -> bool:
        """Continues in another place, if the one where message ``number`` was to be posted does not exist any more."""
        target = self._writer.target
        log.info("message refused", turn=self._turn.id, reason=exc.reason)
        if isinstance(exc, Migrated) and exc.to not in {"", target.chat}:
            del self._reply.messages[number:]  # they stay where they are, as nobody can change them
            self._reply.chat = exc.to
            await self._writer.save()
        elif exc.reason == Reason.TOPIC_GONE and target.topic:
            self._writer.leave_topic()
        elif exc.reason == Reason.REPLY_GONE and target.message:
            self._writer.leave_message()
        else:
            return False
        return True

    async def delete(self, message: TelegramMessage) -> None:
        if self._reply.is_fixed(message):
            await self._writer.forget(message)
        else:
            await self._writer.delete(message)

    async def show_stopped(self, message: TelegramMessage) -> None:
        shown = message.shown
        mark = say(STOPPED, self._reply.language)
        if shown is None or self._reply.is_fixed(message) or shown.text.endswith(mark):
            return
        stopped = replace(shown, text=f"{shown.text}\n\n{mark}")
        if utf16_units(stopped.text) <= formatter.MAX_UNITS:
            await self._writer.update(message, stopped)

    # ------------------------------------------------------------ files

    async def finish_last_file(self) -> None:
        pending = self._reply.next_file
        if len(self._reply.files) == len(self._turn.reply_files) or not pending.state:
            return
        if pending.state is SendState.SENDING:
            await self._wait_for_telegram()
            return
        name = self._turn.reply_files[len(self._reply.files)].name
        log.warning("a file may be missing: it was sent twice without an answer", turn=self._turn.id, file=name)
        self._reply.files.append(UNKNOWN)
        pending.state = SendState.KNOWN
        await self._writer.save()

    async def upload(self, file: File, content: Content) -> None:
        if self._reply.next_file.state:
            # The name says so, as it is the one thing that is seen of every file: so a picture goes as a document.
            again = sentence("sent again - {name}", name=file.name)
            file = replace(file, name=say(again, self._reply.language), media_type="")
        await self._post_somewhere(lambda: self._writer.post_file(file, content))

    async def post_missing_file(self, text: str, number: int) -> None:
        line, *_ = plain_messages(text)
        await self._post_somewhere(lambda: self._writer.post_file_line(line, number))

    async def _post_somewhere(self, post: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await post()
            except Rejected as exc:
                if not await self._adapt_target(len(self._reply.messages), exc):
                    raise


def plain_messages(text: str) -> list[FormattedText]:
    """Returns the messages of a text as it is written, without markup."""
    return [FormattedText(part, (), part) for part in formatter.plain(text)]


def _is_plain(content: FormattedText) -> bool:
    return content == FormattedText(content.markdown, (), content.markdown, content.buttons)
