"""Reads what was written in a thread before the bot was called there, as quotes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.quotes import left_out, thread_not_read, within_budget
from adapters.base.text_input import YOU
from adapters.discord import text_input
from adapters.discord.api_client import DiscordClient
from adapters.discord.event_parser import DiscordParser, name_of
from adapters.discord.reply_target import DiscordTarget
from gateway import logs
from gateway.domain.context import ChatContext, Quote, QuoteKind
from gateway.domain.errors import DeliveryError
from gateway.domain.models import MessageKind, Turn
from gateway.ports.platform import DeliveryContext

PAGE = 100
"""Discord's maximum: docs.discord.com/developers/resources/message#get-channel-messages"""
FETCH_SECONDS = 10.0
MAX_WAIT = 2.0
"""Seconds to wait for the rate limit."""
STARTER = 21
"""The type of the message that stands in a thread for the one that it was begun at."""
SAID_TYPES = frozenset({0, 19, 20, 23})
"""What people and programs write, replies, and answers to commands."""

log = logs.get_logger(__name__)


class ThreadReader:
    """Used on the worker's loop only."""

    def __init__(self, client: DiscordClient, parser: DiscordParser, max_chars: int, *, has_names: bool) -> None:
        """``max_chars``: of all that is quoted of a thread; 0: threads are not read."""
        self._client = client
        self._parser = parser
        self._max_chars = max_chars
        self._has_names = has_names

    def is_wanted(self, turn: Turn) -> bool:
        """Tells whether a turn is the first in a thread that somebody else has begun, and nothing was read yet."""
        context, place = turn.message.context or ChatContext(), DiscordTarget.of(turn.message.address)
        in_thread = place.channel == turn.message.key.topic and place.message != place.channel
        is_first = turn.seq == 1 and turn.message.kind is MessageKind.PROMPT
        return bool(self._max_chars) and in_thread and is_first and not (context.quotes or context.notes)

    async def read(self, turn: Turn, outbox: DeliveryContext) -> ChatContext:
        """Returns the context of a turn with what was written above it. Raises LeaseLost."""
        context = turn.message.context or ChatContext()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                bot = (await self._client.identify()).bot
                messages, is_whole = await self._messages(turn, outbox)
        except (DeliveryError, TimeoutError) as exc:
            log.warning("thread not read", turn=turn.id, error=str(exc))
            why = exc.reason if isinstance(exc, Rejected) and exc.reason else "Discord did not answer"
            return replace(context, notes=(thread_not_read(why),))
        kept, dropped = within_budget([self._quote(message, bot) for message in messages], self._max_chars)
        notes = left_out(dropped) if is_whole else (*left_out(dropped), "Older messages of this thread were left out.")
        labels = (label for message in messages for label in self._parser.labels(message)) if self._has_names else ()
        known = tuple(dict.fromkeys((*context.labels, *labels)))
        return replace(context, labels=known, quotes=tuple(kept), notes=notes)

    async def _messages(self, turn: Turn, outbox: DeliveryContext) -> tuple[Sequence[Fields], bool]:
        """Returns the messages above that of a turn, the oldest first, and whether they are all."""
        place = DiscordTarget.of(turn.message.address)
        path = f"/channels/{place.channel}/messages?limit={PAGE}&before={place.message or place.interaction}"
        page = {"page": await self._call("GET messages", path, place, outbox)}
        found = sorted(objects_in(page, "page"), key=lambda message: int(text_in(message, "id") or "0"))
        first = await self._first(found, turn.message.key.channel, place, outbox)
        others = [message for message in found if message.get("type", 0) in SAID_TYPES and not _begins(message, place)]
        return [first, *others], len(found) < PAGE

    async def _first(
        self, found: Sequence[Fields], channel: str, place: DiscordTarget, outbox: DeliveryContext
    ) -> Fields:
        """Returns the message that a thread began with, which has its id; an empty one if that is gone.

        It is in the thread's channel, or of a forum's post in the thread.
        """
        for message in found:
            if _begins(message, place):
                return await self._titled(message, place, outbox)
            if message.get("type") == STARTER and (said := object_in(message, "referenced_message")):
                return said
        for at in (channel, place.channel):
            with suppress(Rejected):
                path = f"/channels/{at}/messages/{place.channel}"
                message = object_in({"it": await self._call("GET message", path, place, outbox)}, "it")
                return await self._titled(message, place, outbox) if at == place.channel else message
        return {}

    async def _titled(self, message: Fields, place: DiscordTarget, outbox: DeliveryContext) -> Fields:
        """Returns the first message of a forum's post with the title."""
        channel = {"it": await self._call("GET channel", f"/channels/{place.channel}", place, outbox)}
        title = text_input.post_title(text_in(object_in(channel, "it"), "name"))
        return {**message, "content": "\n".join(filter(None, [title, text_in(message, "content")]))}

    async def _call(self, method: str, path: str, place: DiscordTarget, outbox: DeliveryContext) -> object:
        return await self._client.call(method, path, outbox=outbox, bucket=place.channel, max_wait=MAX_WAIT)

    def _quote(self, message: Fields, bot: str) -> Quote:
        author = object_in(message, "author")
        is_own = text_in(author, "id") == bot
        name = YOU if is_own else name_of(author) if self._has_names else ""
        person = "" if is_own else text_in(author, "id")
        return Quote(text_input.quoted_text(message, bot), name, person, QuoteKind.EARLIER)


def _begins(message: Fields, place: DiscordTarget) -> bool:
    return text_in(message, "id") == place.channel
