"""Fetches what belongs to a Slack message besides its text, before the assistant is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from adapters.base.errors import Rejected
from adapters.base.quotes import last_read
from adapters.slack.api_client import SlackClient
from adapters.slack.directory import Directory
from adapters.slack.event_context import BotIds, is_direct
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from adapters.slack.thread_reader import ThreadPart, ThreadReader
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.domain.context import ChatContext, Label, Quote, QuoteKind
from gateway.domain.errors import DeliveryError, NotForUs
from gateway.domain.models import Message, Turn
from gateway.ports.platform import DeliveryContext, KnownNames, TurnLoader

MARK = re.compile(r"(?:@(?<!\w@)(?:[UWB]|S(?=[A-Z]*+[0-9]))|#(?<!\w#)[CG])[A-Z0-9]{1,20}(?!\w)")
"""How the text of a message names people, groups of them (S…), apps and channels whose names Slack did not write into
it. Begins with the signs, as Python skips quickly what they are not in. Ids of groups have a digit: "@SUPPORT" is none.
"""
FETCH_SECONDS = 15.0
"""For everything together: then the assistant is asked without the rest."""
TURNS_LOOKED_AT = 20
"""Turns before this one among which the last one of the thread is looked for."""
NOT_OURS = frozenset({"channel_not_found", "not_in_channel"})
NOTHING = ChatContext()
TOO_SLOW = ChatContext(notes=("Names and earlier messages could not be read: Slack did not answer in time.",))

log = logs.get_logger(__name__)


class ContextReader:
    """Used on the worker's loop only."""

    def __init__(
        self, client: SlackClient, workspaces: Workspaces, settings: SlackSettings, known: Callable[[str], BotIds]
    ) -> None:
        """``known``: returns the bot's ids in a workspace, as far as they are known. No I/O."""
        self._known = known
        self._client = client
        self._workspaces = workspaces
        self.directory = Directory(client)
        self._threads = ThreadReader(client, settings.slack_context_chars)
        self._has_names = settings.slack_names

    async def fetch(self, turn: Turn, before: TurnLoader, delivery: DeliveryContext) -> ChatContext | None:
        """See ``FetchesContext``."""
        workspace = await self._workspace(turn)
        await self._check_origin(turn, before)
        if workspace is None:
            return None
        if turn.message.address.get("seen_by") == "user":
            await self._check_visible(turn, workspace, delivery)
        if _stands_alone(turn.message):
            return None
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._context(turn, before, workspace, delivery)
        except TimeoutError:
            log.warning("context not read in time", turn=turn.id)
            return TOO_SLOW

    async def names_of(self, message: Message, workspace: Workspace, delivery: DeliveryContext) -> KnownNames:
        """Returns the names of author and channel. Raises LeaseLost."""
        return _of_both(message, await self.directory.names(self._author_and_channel(message), workspace, delivery))

    def known_names(self, message: Message) -> KnownNames | None:
        """Returns the same without I/O; None if Slack is to be asked."""
        names = self.directory.known_names(self._author_and_channel(message), message.address.get("team", ""))
        return None if names is None else _of_both(message, names)

    def _author_and_channel(self, message: Message) -> Sequence[str]:
        direct = is_direct(message.key.channel, message.address.get("channel_type"))
        author = [f"@{message.author}"] if message.author else []
        return self._allowed(author if direct else [*author, f"#{message.key.channel}"])

    async def _workspace(self, turn: Turn) -> Workspace | None:
        """Returns the workspace; None if it cannot be told now. Raises DeliveryError if the app is not installed."""
        try:
            return await self._workspaces.find(turn.message.address)
        except DeliveryError as exc:
            if exc.retry_after is None:
                raise
            return None

    async def _check_origin(self, turn: Turn, before: TurnLoader) -> None:
        """Raises NotForUs for a message of our own, whatever its event left out: each would be answered by another."""
        address = turn.message.address
        ts = address.get("ts", "")
        if not ts or "typed" in address:
            return
        if self._client.has_posted(address["channel"], ts) or (
            turn.seq > 1 and any(ts in earlier.posted_messages for earlier in await before(TURNS_LOOKED_AT))
        ):
            log.warning("a message of our own came back and is not answered", turn=turn.id)
            raise NotForUs

    async def _check_visible(self, turn: Turn, workspace: Workspace, delivery: DeliveryContext) -> None:
        """Raises NotForUs if only a person's installation sees the channel: there the bot is not spoken to."""
        address = turn.message.address
        args = {"channel": address["channel"], "ts": address.get("ts"), "limit": 1}
        try:
            await self._client.call("conversations.replies", args, workspace=workspace, delivery=delivery, max_wait=1.0)
        except Rejected as exc:
            if exc.reason in NOT_OURS:
                raise NotForUs from exc
        except DeliveryError as exc:
            log.info("not known whether the bot is in the channel", turn=turn.id, error=str(exc))

    async def _context(
        self, turn: Turn, before: TurnLoader, workspace: Workspace, delivery: DeliveryContext
    ) -> ChatContext | None:
        message = turn.message
        context = await self._thread(turn, before, workspace, delivery)
        viewed = await self._viewed(message.address.get("viewed", ""), workspace, delivery)
        is_shared = message.address.get("channel_type") != "im" and not message.key.user
        speaker = f"@{message.author}" if is_shared and self._has_names and message.author else ""
        context = replace(context, speaker=speaker, quotes=(*context.quotes, *viewed))
        context = await self._named(context, message.text, workspace, delivery)
        return context if is_shared or context != NOTHING else None

    async def _thread(
        self, turn: Turn, before: TurnLoader, workspace: Workspace, delivery: DeliveryContext
    ) -> ChatContext:
        """Returns what was written in the message's thread since the last turn there, if the message mentions us."""
        address = turn.message.address
        thread, ts = address.get("thread_ts", ""), address.get("ts", "")
        in_thread = thread and ts and thread != ts and address.get("channel_type") != "im"
        if not (in_thread and "mentions" in address and self._threads.max_chars):
            return NOTHING
        earlier = [one for one in await before(TURNS_LOOKED_AT) if one.message.address.get("thread_ts") == thread]
        identity = self._known(workspace.team)
        bot_user = identity.user or workspace.bot_user
        ours = {bot_user, identity.bot_id, workspace.bot_id} - {""}
        ours |= {entry for one in earlier for entry in one.posted_messages}
        last = last_read(earlier)
        after = last.message.address.get("ts", "") if last else ""
        part = ThreadPart(address["channel"], thread, after, ts, frozenset(ours), bot_user)
        return await self._threads.read(part, workspace, delivery)

    async def _viewed(self, entities: str, workspace: Workspace, delivery: DeliveryContext) -> tuple[Quote, ...]:
        found: list[Quote] = []
        for entity in entities.split():
            channel, _, ts = entity.partition(":")
            quote = await self._threads.read_one(channel, ts, workspace, delivery) if ts else None
            found.append(Quote(f"({'a message in ' if ts else ''}the channel #{channel})", kind=QuoteKind.VIEWED))
            found += [replace(quote, kind=QuoteKind.VIEWED)] if quote else []
        return tuple(found)

    async def _named(
        self, context: ChatContext, text: str, workspace: Workspace, delivery: DeliveryContext
    ) -> ChatContext:
        """Returns the context with the names of all that it and the text mention by ids."""
        texts = (text, *(quote.text for quote in context.quotes))
        marks = [mark for one in texts for mark in MARK.findall(one)]
        if not (marks or context.speaker or context.quotes):
            return context
        speakers = [f"@{quote.person}" for quote in context.quotes if quote.person and not quote.speaker]
        wanted = self._allowed((*filter(None, [context.speaker]), *speakers, *marks))
        names = await self.directory.names(wanted, workspace, delivery)
        labels = tuple(
            Label(mark, names[mark], mark[1:] if mark.startswith("@") else "")
            for mark in dict.fromkeys(marks)
            if mark in names
        )
        quotes = tuple(self._with_speaker(quote, names) for quote in context.quotes)
        speaker = names.get(context.speaker, context.speaker[1:])
        return replace(context, speaker=speaker, labels=labels, quotes=quotes)

    def _allowed(self, marks: Iterable[str]) -> Sequence[str]:
        """Returns the marks whose names may be told: without SLACK_NAMES, not those of people."""
        return [mark for mark in marks if self._has_names or not mark.startswith("@")]

    def _with_speaker(self, quote: Quote, names: dict[str, str]) -> Quote:
        if quote.speaker or not quote.person or not self._has_names:
            return quote
        return replace(quote, speaker=names.get(f"@{quote.person}", quote.person))


def _of_both(message: Message, names: Mapping[str, str]) -> KnownNames:
    """Returns the names of author and channel among those of marks."""
    channel = names.get(f"#{message.key.channel}")
    return KnownNames(names.get(f"@{message.author}", ""), f"#{channel}" if channel else "")


def _stands_alone(message: Message) -> bool:
    """Tells whether nothing belongs to a message besides its text: a direct one that names nobody by an id."""
    address = message.address
    return address.get("channel_type") == "im" and "viewed" not in address and not MARK.search(message.text)
