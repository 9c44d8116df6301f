"""Parses a made-up message, as Discord would send it, for ``python -m gateway explain``."""

from __future__ import annotations

from typing import Any

from adapters.discord.event_parser import DiscordParser
from adapters.discord.places import SNOWFLAKE, DiscordPlace
from gateway.domain.errors import MalformedRequest
from gateway.ports.platform import ParsedUpdate, SyntheticMessage


def dry_run(parser: DiscordParser, supposed: SyntheticMessage) -> ParsedUpdate:
    """``workspace``: a server's id; ``topic``: a thread's. Raises MalformedRequest for ids that cannot be Discord's."""
    ids = (supposed.workspace, supposed.channel, supposed.topic, supposed.user)
    if not all(SNOWFLAKE.fullmatch(each) for each in ids if each):
        raise MalformedRequest("Ids of Discord's are numbers of up to 20 digits.")
    channel = supposed.topic or supposed.channel or "1"
    place = DiscordPlace(channel, supposed.workspace, supposed.channel if supposed.topic else "")
    event: dict[str, Any] = {
        "id": "1",
        "channel_id": channel,
        "author": {"id": supposed.user or "1", "username": "somebody"},
        "content": supposed.text,
    }
    if supposed.mentions_bot:
        parser.names.bot = bot = parser.names.bot or "0"
        event |= {"content": f"<@{bot}> {supposed.text}", "mentions": [{"id": bot}]}
    return parser.parse("MESSAGE_CREATE", event, place)
