"""Delivers one outcome to Discord. After any doubt it looks what is posted before it posts anything again."""

from __future__ import annotations

from dataclasses import replace

from adapters.base.errors import Rejected
from adapters.base.reconciler import Reconciler
from adapters.discord import formatter
from adapters.discord.errors import Refusal
from adapters.discord.history_lookup import find_posted
from adapters.discord.message_writer import DiscordWriter
from adapters.discord.posted_reply import Buttons, DiscordContent, DiscordMessage, DiscordReply
from gateway.domain.files import ANY_BYTES, Content, File
from gateway.domain.sentences import sentence
from gateway.http_client import StreamedBody
from gateway.languages import say

STOPPED = sentence("Stopped.")
SMALL_PRINT = "\n-# "
"""docs.discord.com/developers/reference#message-formatting"""


class DiscordReconciler(Reconciler[DiscordMessage, DiscordContent]):
    """See the base class."""

    _writer: DiscordWriter
    _reply: DiscordReply

    REFUSED_CONTENT = frozenset({Refusal.CONTENT, Refusal.EMPTY, Refusal.BLOCKED, Refusal.OTHER})
    UNCHANGEABLE = frozenset({Refusal.MESSAGE_GONE, Refusal.OLD_MESSAGE})
    UNDELETABLE = frozenset(Refusal)

    async def resolve_doubt(self, contents: list[DiscordContent]) -> None:
        if self._delivery.first_attempt and not self._reply.in_doubt:
            return
        target = self._writer.target
        # A thread that was opened has the id of the message at which it is.
        places = (self._reply.place,) if self._reply.place else (target.message, target.channel)
        for place in filter(None, places):  # what is pushed answers no message
            wanted, files = [each.text for each in contents], [each.name for each in self._turn.reply_files]
            found = await find_posted(self._writer, place, self._writer.me.bot, self._turn, wanted, files)
            if found.messages or found.files:
                self._reply.place = place
                self._restore(found.messages, found.files)
                break
        self._reply.in_doubt = False
        await self._writer.save_if_changed()

    def _restore(self, messages: list[str], files: list[str]) -> None:
        known = {message.id: message for message in self._reply.messages}
        both = known | {
            each: known.get(each, DiscordMessage(each)) for each in messages if each not in self._reply.files
        }
        self._reply.messages[:] = [both[each] for each in sorted(both, key=int)]
        self._reply.files += [each for each in files if each not in self._reply.files]

    async def change(self, message: DiscordMessage, content: DiscordContent) -> None:
        if message.shown != content:
            await self._writer.update(message, content)

    def plainer(self, content: DiscordContent) -> list[DiscordContent] | None:
        plain = [DiscordContent(part) for part in formatter.plain(formatter.words(content.text))]
        return None if plain == [content] else plain

    async def delete(self, message: DiscordMessage) -> None:
        await self._writer.delete(message)

    async def show_stopped(self, message: DiscordMessage) -> None:
        if message.shown is None:  # the button goes, whatever the message shows
            await self._writer.update_buttons(message, Buttons.NONE)
            return
        mark = SMALL_PRINT + say(STOPPED, self._reply.language)
        text = message.shown.text.removesuffix(mark)
        short = formatter.length(text + mark) <= formatter.MAX_UNITS
        content = replace(message.shown, text=text + mark if short else text, buttons=Buttons.NONE)
        await self.change(message, content)

    async def finish_last_file(self) -> None:
        """Has nothing to do: ``resolve_doubt`` has looked for it, and a repeated post is posted once."""

    async def upload(self, file: File, content: Content) -> None:
        if not content.size:
            raise Rejected("the file is empty")
        media_type = file.media_type or ANY_BYTES
        await self._writer.post_file((file.name, StreamedBody(content.size, content.pieces, media_type), media_type))

    async def post_missing_file(self, text: str, number: int) -> None:
        line, *_ = formatter.plain(text)
        await self._writer.post_file_line(DiscordContent(line), number)
