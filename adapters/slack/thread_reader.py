"""Reads what was written in Slack around a message, as quotes: the thread above it, and what its author looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.quotes import MOST_FILES, left_out, thread_not_read, within_budget
from adapters.base.text_input import YOU
from adapters.slack import message_text
from adapters.slack.api_client import SlackClient
from adapters.slack.event_context import id_of
from adapters.slack.reply_target import Workspace
from adapters.slack.said import Said
from gateway import logs
from gateway.domain.context import ChatContext, Quote, QuoteKind
from gateway.domain.errors import DeliveryError
from gateway.ports.platform import DeliveryContext

PAGE_SIZE = 200
MOST_PAGES = 5
MAX_WAIT = 2.0
"""Seconds to wait for the rate limit."""
MISSING = "The newest messages of this thread are missing."
READ_SUBTYPES = frozenset({"", "bot_message", "file_share", "me_message", "thread_broadcast"})

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ThreadPart:
    """Which messages of a thread to read: those between two others."""

    channel: str
    thread_ts: str
    after: str
    """Empty: from the first message of the thread."""
    before: str
    ours: frozenset[str]
    """The bot's ids, and the ts of messages that it posted."""
    bot_user: str = ""
    """The bot's user id, as mentions have it; empty if it is not known."""


class ThreadReader:
    """Used on the worker's loop only."""

    def __init__(self, client: SlackClient, max_chars: int) -> None:
        """``max_chars``: of all that is quoted of a thread; 0: threads are not read."""
        self._client = client
        self.max_chars = max_chars

    async def read(self, part: ThreadPart, workspace: Workspace, delivery: DeliveryContext) -> ChatContext:
        """Returns what was written in a part of a thread, with files, and notes about gaps. Raises LeaseLost.

        The bot's own messages are left out where the conversation has them: after one of its turns.
        """
        try:
            messages, is_whole = await self._messages(part, workspace, delivery)
        except DeliveryError as exc:
            log.warning("thread not read", channel=part.channel, error=str(exc))
            return ChatContext(notes=(thread_not_read(_reason(exc)),))
        said = [message for message in messages if _is_said(message)]
        quotes = [self._quote(message, part) for message in said]
        kept, dropped = within_budget([quote for quote in quotes if quote is not None], self.max_chars)
        notes = left_out(dropped) if is_whole else (*left_out(dropped), MISSING)
        files = [file for message in said if not _is_ours(message, part) for file in Said.of(message, "").files]
        return ChatContext(quotes=tuple(kept), notes=notes, files=tuple(files[-MOST_FILES:]))

    async def read_one(self, channel: str, ts: str, workspace: Workspace, delivery: DeliveryContext) -> Quote | None:
        """Returns a message; None if it cannot be read. Raises LeaseLost."""
        args = {"channel": channel, "ts": ts, "oldest": ts, "latest": ts, "inclusive": True, "limit": 1}
        try:
            answer = await self._call(args, workspace, delivery)
        except DeliveryError as exc:
            log.info("message not read", channel=channel, error=str(exc))
            return None
        messages = [one for one in objects_in(answer, "messages") if text_in(one, "ts") == ts]
        (quote,) = within_budget([_quoted(one) for one in messages], self.max_chars)[0] or (None,)
        return quote

    async def _messages(
        self, part: ThreadPart, workspace: Workspace, delivery: DeliveryContext
    ) -> tuple[Sequence[Fields], bool]:
        """Returns the messages, and whether they are all. Slack returns the oldest first."""
        args = {"channel": part.channel, "ts": part.thread_ts, "latest": part.before, "limit": PAGE_SIZE}
        found: list[Fields] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = {**args, "oldest": part.after or None, "cursor": cursor}
            answer = await self._call(page, workspace, delivery)
            found += objects_in(answer, "messages")
            cursor = text_in(object_in(answer, "response_metadata"), "next_cursor")
            if not cursor:
                break
        after = float(part.after or 0)
        return [one for one in found if after < _time_of(one) < float(part.before)], not cursor

    async def _call(self, args: Mapping[str, Any], workspace: Workspace, delivery: DeliveryContext) -> dict[str, Any]:
        method = "conversations.replies"
        return await self._client.call(method, args, workspace=workspace, delivery=delivery, max_wait=MAX_WAIT)

    def _quote(self, message: Fields, part: ThreadPart) -> Quote | None:
        mine = _is_ours(message, part)
        if mine and part.after:
            return None
        quote = _quoted(message, part.bot_user)
        return Quote(quote.text, YOU) if mine else quote


def _is_ours(message: Fields, part: ThreadPart) -> bool:
    return not part.ours.isdisjoint(id_of(message, name) for name in ("user", "bot_id", "ts"))


def _quoted(message: Fields, bot_user: str = "") -> Quote:
    """Returns a message as a quote. The speaker is the name that an app goes by; of people, it is not known yet."""
    files = (f"[attached: {text_in(file, 'name') or 'a file'}]" for file in objects_in(message, "files"))
    text = "\n".join(filter(None, [message_text.whole(message, bot_user), *files]))
    app = text_in(message, "username") or text_in(object_in(message, "bot_profile"), "name")
    return Quote(text, app, id_of(message, "user") or id_of(message, "bot_id"), QuoteKind.EARLIER)


def _is_said(message: Fields) -> bool:
    return text_in(message, "subtype") in READ_SUBTYPES and not message.get("hidden")


def _time_of(message: Fields) -> float:
    try:
        return float(text_in(message, "ts"))
    except ValueError:
        return 0.0


def _reason(exc: DeliveryError) -> str:
    return (exc.reason if isinstance(exc, Rejected) else "") or exc.code
