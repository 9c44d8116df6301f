"""Looks through a channel's newest messages for what is posted of a turn, when the record may be incomplete."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.discord.api_client import pages_after
from adapters.discord.buttons import pressed
from adapters.discord.errors import Refusal
from adapters.discord.message_writer import DiscordWriter, nonce
from adapters.discord.reply_target import snowflake_at
from adapters.discord.text_input import file_name
from gateway.domain.models import Turn, TurnId

MOST_MESSAGES = 500
CLOCK_TOLERANCE = 300.0
"""Seconds by which Discord's clock may be behind the database's."""
MAX_PARTS = 100
NOTHING_THERE = frozenset({Refusal.CHANNEL_GONE, Refusal.NO_ACCESS, Refusal.NO_PERMISSION})


@dataclass(slots=True)
class FoundReply:
    """The ids of our messages for one turn, oldest first."""

    messages: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


async def find_posted(
    writer: DiscordWriter, place: str, bot: str, turn: Turn, wanted: Sequence[str], files: Sequence[str]
) -> FoundReply:
    """Returns what is posted of a turn in a channel since the message that it answers. Raises as ``call`` does.

    What answers no message is looked for since the turn was received.

    Ours are known by their author and nonce. A message without a nonce, which Discord need not keep, is known by its
    buttons, by the message that it answers, by a text that is ``wanted``, or by the name of one of the ``files``.
    """
    attempts = range(writer.reply.deleted + 1)
    texts = {nonce(turn.id, str(number), attempt) for number in range(MAX_PARTS) for attempt in attempts}
    uploads = {nonce(turn.id, f"f{number}", attempt) for number in range(MAX_PARTS) for attempt in (0, 1)}
    known = {shown for name in files for shown in (name, name.replace(" ", "_"))}  # as Discord calls them
    found = FoundReply()
    target = writer.target
    since = target.message or target.interaction or snowflake_at(turn.received_at - CLOCK_TOLERANCE)
    for message in await _messages_after(writer, place, since):
        if text_in(object_in(message, "author"), "id") != bot:
            continue
        key, attachments = str(message.get("nonce") or ""), objects_in(message, "attachments")
        names = {name for each in attachments for name in (text_in(each, "filename"), file_name(each))}
        if key in uploads or (not key and not names.isdisjoint(known)):
            found.files.append(text_in(message, "id"))
        elif key in texts or (not key and _is_reply(message, writer, turn.id, wanted)):
            found.messages.append(text_in(message, "id"))
    return found


def _is_reply(message: Fields, writer: DiscordWriter, turn: TurnId, wanted: Sequence[str]) -> bool:
    buttons = (button for row in objects_in(message, "components") for button in objects_in(row, "components"))
    turns = {found[1] for button in buttons if (found := pressed(text_in(button, "custom_id")))}
    answered = text_in(object_in(message, "message_reference"), "message_id")
    return (
        turn in turns or (bool(answered) and answered == writer.target.message) or text_in(message, "content") in wanted
    )


async def _messages_after(writer: DiscordWriter, place: str, after: str) -> list[Fields]:
    """Returns the messages of a channel, oldest first.

    docs.discord.com/developers/resources/message#get-channel-messages
    """
    found: list[Fields] = []
    try:
        async with aclosing(pages_after(writer.call, place, after)) as pages:
            async for page in pages:
                found += page
                if len(found) >= MOST_MESSAGES:
                    break
    except Rejected as exc:
        if exc.reason not in NOTHING_THERE:
            raise
    return found
