"""Parses a made-up message, as Slack would send it, for ``python -m gateway explain``."""

from __future__ import annotations

import time

from adapters.slack.event_context import ID
from adapters.slack.event_parser import EventParser
from gateway.domain.errors import MalformedRequest
from gateway.ports.platform import ParsedUpdate, SyntheticMessage

BOT = "U0BOT"
"""Stands for the bot's user id, which Slack sends with each event only."""
UNKNOWN_TEAM = "unknown"


def dry_run(parser: EventParser, supposed: SyntheticMessage) -> ParsedUpdate:
    """Raises MalformedRequest for ids that cannot be Slack's."""
    for what, name in (("channel", supposed.channel), ("user", supposed.user)):
        if not ID.fullmatch(name):
            raise MalformedRequest(f"Slack's {what}s have ids such as {'C' if what == 'channel' else 'U'}0123ABCD.")
    team = supposed.workspace or UNKNOWN_TEAM
    event = {
        "type": "message",
        "channel": supposed.channel,
        "channel_type": "im" if supposed.channel.startswith("D") else "channel",
        "user": supposed.user,
        "text": f"<@{BOT}> {supposed.text}" if supposed.mentions_bot else supposed.text,
        "ts": f"{time.time():.6f}",
        "thread_ts": supposed.topic,
        "user_team": supposed.author_workspace or team,
    }
    installation = {"team_id": team, "user_id": BOT, "is_bot": True}
    return parser.parse({"type": "event_callback", "team_id": team, "authorizations": [installation], "event": event})
