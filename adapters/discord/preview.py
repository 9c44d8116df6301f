"""Shows a reply while it is written: as a message that is changed, with a button to stop it."""

from __future__ import annotations

from adapters.base.preview import Preview
from adapters.discord import formatter
from adapters.discord.message_writer import DiscordWriter
from adapters.discord.posted_reply import Buttons, DiscordContent, DiscordMessage
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.domain.stream_buffer import TextBuffer

TYPING_SECONDS = 8.0
"""Discord shows it for ten, or until a message is posted."""
CHANGE_SECONDS = 1.2
"""From one change to the next: five changes in five seconds are allowed in a channel."""

log = logs.get_logger(__name__)


class DiscordPreview(Preview[DiscordMessage, DiscordContent]):
    """See the base class."""

    def __init__(self, writer: DiscordWriter, *, shows_text: bool) -> None:
        super().__init__(TextBuffer(), writer.reply, shows_text=shows_text)
        self._writer = writer

    @property
    def pace(self) -> float:
        return CHANGE_SECONDS

    async def show_activity(self) -> None:
        while not self._buffer.closed:
            if not self._reply.messages:  # a message that grows shows it as well
                try:
                    await self._writer.show_typing()
                except DeliveryError as exc:
                    log.debug("typing not shown", error=str(exc))
            await self._buffer.wait_until_closed(TYPING_SECONDS)

    async def wait_for_change(self) -> None:
        await self._buffer.wait_for_change()

    def contents(self, text: str) -> list[DiscordContent]:
        return formatter.contents(text, Buttons.STOP)

    async def begin(self, content: DiscordContent, *, complete: bool) -> None:  # noqa: ARG002  # the buttons say so
        await self._writer.post(content)

    async def grow(self, message: DiscordMessage, content: DiscordContent, *, complete: bool) -> bool:  # noqa: ARG002
        if message.shown != content:
            await self._writer.update(message, content)
        return True
