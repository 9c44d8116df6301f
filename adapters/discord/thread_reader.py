"""Reads what was written in a thread since the bot was last called there, or before it first was, as quotes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.quotes import MOST_FILES, last_read, left_out, thread_not_read, within_budget
from adapters.base.text_input import YOU
from adapters.discord import text_input
from adapters.discord.api_client import DiscordClient
from adapters.discord.names import Names, name_of
from adapters.discord.places import type_of
from adapters.discord.reply_target import DiscordTarget
from gateway import logs
from gateway.domain.context import ChatContext, Quote, QuoteKind
from gateway.domain.errors import DeliveryError
from gateway.domain.models import MessageKind, Turn
from gateway.ports.platform import DeliveryContext, TurnLoader

PAGE = 100
"""Discord's maximum: docs.discord.com/developers/resources/message#get-channel-messages"""
FETCH_SECONDS = 10.0
TURNS_LOOKED_AT = 20
"""Turns before one among which the last one of the thread is looked for."""
MAX_WAIT = 2.0
"""Seconds to wait for the rate limit."""
STARTER = 21
"""The type of the message that stands in a thread for the one that it was begun at."""
SAID_TYPES = frozenset({0, 19, 20, 23})
"""What people and programs write, replies, and answers to commands."""

log = logs.get_logger(__name__)


class ThreadReader:
    """Used on the worker's loop only."""

    def __init__(self, client: DiscordClient, names: Names, max_chars: int) -> None:
        """``max_chars``: of all that is quoted of a thread; 0: threads are not read."""
        self._client = client
        self._names = names
        self._max_chars = max_chars

    def is_wanted(self, turn: Turn) -> bool:
        """Tells whether a turn calls the bot in a thread below the first message, and nothing was read yet."""
        context, place = turn.message.context or ChatContext(), DiscordTarget.of(turn.message.address)
        is_called = bool(place.mentions) and turn.message.kind is MessageKind.PROMPT
        return bool(self._max_chars) and is_called and not (_begins(place) or context.quotes or context.notes)

    async def read(self, turn: Turn, before: TurnLoader, delivery: DeliveryContext) -> ChatContext:
        """Returns the context of a turn with what was written above it, from where the assistant has read.

        Raises LeaseLost.
        """
        context, place = turn.message.context or ChatContext(), DiscordTarget.of(turn.message.address)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                bot = (await self._client.identify()).bot
                after = await _last_read(place, before)
                messages, is_whole = await self._messages(place, turn.message.key.channel, after, delivery)
        except (DeliveryError, TimeoutError) as exc:
            log.warning("thread not read", turn=turn.id, error=str(exc))
            why = exc.reason if isinstance(exc, Rejected) and exc.reason else "Discord did not answer"
            return replace(context, notes=(thread_not_read(why),))
        # The conversation has the bot's own messages, after one of its turns.
        others = [each for each in messages if not (after and _author(each) == bot)]
        kept, dropped = within_budget([self._quote(message, bot) for message in others], self._max_chars)
        notes = left_out(dropped) if is_whole else (*left_out(dropped), "Older messages of this thread were left out.")
        labels = (
            (label for message in others for label in self._names.labels(message)) if self._names.tells_people else ()
        )
        known = tuple(dict.fromkeys((*context.labels, *labels)))
        files = [file for message in others if _author(message) != bot for file in text_input.all_files(message)]
        return replace(context, labels=known, quotes=tuple(kept), notes=notes, files=tuple(files[-MOST_FILES:]))

    async def _messages(
        self, place: DiscordTarget, channel: str, after: str, delivery: DeliveryContext
    ) -> tuple[Sequence[Fields], bool]:
        """Returns the messages above what is answered, the oldest first, and whether they are all.

        ``channel``: that the thread is in. ``after``: a message or interaction that they follow; "" for the beginning.
        """
        path = f"/channels/{place.channel}/messages?limit={PAGE}&before={place.asked_at}"
        page = objects_in({"page": await self._call("GET messages", path, place, delivery)}, "page")
        found = sorted((message for message in page if _number(message) > int(after or 0)), key=_number)
        is_whole = len(page) < PAGE or len(found) < len(page)
        first = [] if after else [await self._first(found, channel, place, delivery)]
        others = [each for each in found if type_of(each) in SAID_TYPES and text_in(each, "id") != place.channel]
        return [*first, *others], is_whole

    async def _first(
        self, found: Sequence[Fields], channel: str, place: DiscordTarget, delivery: DeliveryContext
    ) -> Fields:
        """Returns the message that a thread began with, which has its id; an empty one if that is gone.

        It is in the thread's channel, or of a forum's post in the thread.
        """
        for message in found:
            if text_in(message, "id") == place.channel:
                return await self._titled(message, place, delivery)
            if type_of(message) == STARTER and (said := object_in(message, "referenced_message")):
                return said
        for at in (channel, place.channel):
            with suppress(Rejected):
                path = f"/channels/{at}/messages/{place.channel}"
                message = object_in({"it": await self._call("GET message", path, place, delivery)}, "it")
                return await self._titled(message, place, delivery) if at == place.channel else message
        return {}

    async def _titled(self, message: Fields, place: DiscordTarget, delivery: DeliveryContext) -> Fields:
        """Returns the first message of a forum's post with the title."""
        channel = {"it": await self._call("GET channel", f"/channels/{place.channel}", place, delivery)}
        title = text_input.post_title(text_in(object_in(channel, "it"), "name"))
        return {**message, "content": "\n".join(filter(None, [title, text_in(message, "content")]))}

    async def _call(self, method: str, path: str, place: DiscordTarget, delivery: DeliveryContext) -> object:
        return await self._client.call(method, path, delivery=delivery, bucket=place.channel, max_wait=MAX_WAIT)

    def _quote(self, message: Fields, bot: str) -> Quote:
        is_own = _author(message) == bot
        name = YOU if is_own else name_of(object_in(message, "author")) if self._names.tells_people else ""
        person = "" if is_own else _author(message)
        return Quote(text_input.quoted_text(message, bot), name, person, QuoteKind.EARLIER)


async def _last_read(place: DiscordTarget, before: TurnLoader) -> str:
    """Returns what the assistant has read last of a thread; "" for nothing. ``place``: in the thread."""
    earlier = [one for one in await before(TURNS_LOOKED_AT) if _target(one).is_in(place.channel)]
    last = last_read(earlier)
    return _target(last).asked_at if last else ""


def _target(turn: Turn) -> DiscordTarget:
    return DiscordTarget.of(turn.message.address)


def _begins(place: DiscordTarget) -> bool:
    """Tells whether a message begins the post of a forum: nothing is above it."""
    return place.message == place.channel


def _author(message: Fields) -> str:
    return text_in(object_in(message, "author"), "id")


def _number(message: Fields) -> int:
    return int(text_in(message, "id") or "0")
