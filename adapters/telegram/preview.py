"""Shows a reply while it is written: as a draft where Telegram supports it, else as a message that is changed."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from adapters.base.capabilities import Capabilities
from adapters.base.errors import Rejected
from adapters.base.preview import Preview
from adapters.telegram import formatter
from adapters.telegram.errors import Reason
from adapters.telegram.formatter import FormattedText
from adapters.telegram.message_writer import TelegramWriter
from adapters.telegram.posted_reply import TelegramMessage, TelegramReply, looks_like
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.domain.stream_buffer import TextBuffer

TYPING_SECONDS = 4.5
"""Telegram shows it for five: core.telegram.org/bots/api#sendchataction"""
LOOK_SECONDS = 1.0
"""Until it is looked again whether typing is to be shown."""
TYPING_MAX_WAIT = 0.3
"""Seconds that a token for it may take: so that a bot that serves many chats at once shows it in all of them."""
PRIVATE_SECONDS, GROUP_SECONDS = 1.1, 3.1
"""From one change of a message to the next: core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""
THINKING_SECONDS = 1.0
"""After which an empty draft offers to stop the reply: most short replies are complete by then."""
DRAFT_SECONDS = 20.0
"""After which a draft is sent again; Telegram removes it after thirty: core.telegram.org/bots/api#sendmessagedraft"""

log = logs.get_logger(__name__)


class TelegramCapability(StrEnum):
    DRAFTS = "drafts"
    EMPTY_DRAFTS = "empty_drafts"
    """A draft may have no text yet: since Bot API 10.0."""


class TelegramPreview(Preview[TelegramMessage, FormattedText]):
    """See the base class."""

    _reply: TelegramReply

    def __init__(
        self,
        writer: TelegramWriter,
        bot_id: str,
        capabilities: Capabilities,
        *,
        shows_text: bool,
        draft_seconds: float,
    ) -> None:
        """``draft_seconds``: from one state of a draft to the next."""
        super().__init__(TextBuffer(), writer.reply, shows_text=shows_text)
        self._writer = writer
        self._bot_id = bot_id
        self._capabilities = capabilities
        self._draft_seconds = draft_seconds
        self._may_draft = writer.target.private
        self._drafted: FormattedText | None = None
        self._known = formatter.FormattedParts()
        self._changed_at = float("-inf")
        """When a message was last posted or changed."""

    async def show_activity(self) -> None:
        while not self._buffer.closed:
            # A message that grows shows activity as well, and both count against the same limit: to show typing all
            # the time would leave a group one change in a quarter of a minute. A draft needs nothing beside it.
            if self._shows_draft or self._clock() < self._changed_at + TYPING_SECONDS:
                await self._buffer.wait_until_closed(LOOK_SECONDS)
            else:
                await self._show_typing()
                await self._buffer.wait_until_closed(TYPING_SECONDS)

    async def _show_typing(self) -> None:
        try:
            await self._writer.show_typing(max_wait=TYPING_MAX_WAIT)
        except DeliveryError as exc:
            log.debug("typing not shown", error=str(exc))

    # ------------------------------------------------------------ the text

    @property
    def pace(self) -> float:
        if self._drafts:
            return self._draft_seconds
        return PRIVATE_SECONDS if self._writer.target.direct else GROUP_SECONDS

    async def wait_for_change(self) -> None:
        await self._show_empty_draft()
        if not await self._buffer.wait_for_change(DRAFT_SECONDS):
            self._drafted = None  # it is to be sent again, so that it does not disappear

    def contents(self, text: str) -> list[FormattedText]:
        return formatter.parts(text, self._known)

    async def begin(self, content: FormattedText, *, complete: bool) -> None:
        if complete or not await self._show_draft(content):
            await self._writer.post(content)
            self._changed_at = self._clock()

    async def grow(self, message: TelegramMessage, content: FormattedText, *, complete: bool) -> bool:  # noqa: ARG002
        if not looks_like(message.shown, content) and not self._reply.is_fixed(message):
            await self._writer.update(message, content)
            self._changed_at = self._clock()
        return True

    # ------------------------------------------------------------ drafts

    @property
    def _drafts(self) -> bool:
        return self._may_draft and self._capabilities.has(self._bot_id, TelegramCapability.DRAFTS)

    @property
    def _shows_draft(self) -> bool:
        """Whether a draft stands there, or comes as soon as the reply takes long."""
        empty = self._capabilities.has(self._bot_id, TelegramCapability.EMPTY_DRAFTS)
        return self._shows_text and self._drafts and (empty or self._drafted is not None)

    async def _show_empty_draft(self) -> None:
        """Shows a draft without text until there is some, for its button to stop the reply."""
        pause = THINKING_SECONDS
        while (
            self._drafts
            and self._capabilities.has(self._bot_id, TelegramCapability.EMPTY_DRAFTS)
            and not await self._buffer.wait_for_first_text(pause)
        ):
            try:
                await self._writer.show_draft(None)
            except Rejected as exc:
                self._learn(exc)
                return
            except DeliveryError as exc:
                log.debug("no draft", error=str(exc))
            else:
                pause = DRAFT_SECONDS

    async def _show_draft(self, content: FormattedText) -> bool:
        """Returns whether the content is shown as a draft."""
        if self._drafts and not looks_like(content, self._drafted):
            try:
                await self._writer.show_draft(content)
            except Rejected as exc:
                if exc.reason == Reason.MARKUP and content.entities:
                    return await self._show_draft(replace(content, entities=()))
                self._learn(exc)
            else:
                self._drafted = content
        return self._drafts

    def _learn(self, exc: Rejected) -> None:
        """Records a refused draft: for the server if it does not know drafts, else for this chat alone."""
        log.debug("no draft", error=str(exc))
        if exc.reason == Reason.NO_METHOD:
            self._capabilities.mark_missing(self._bot_id, TelegramCapability.DRAFTS)
        elif exc.reason == Reason.EMPTY:
            self._capabilities.mark_missing(self._bot_id, TelegramCapability.EMPTY_DRAFTS)
        else:
            self._may_draft = False
