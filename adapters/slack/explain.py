"""A message that nobody sent, as Slack would tell of it."""

from __future__ import annotations

import time

from adapters.slack.incoming import ID, Reader
from gateway.errors import Unreadable
from gateway.ports import Receipt, Supposed

BOT = "U0BOT"
"""Stands for us: which id we have in a workspace is told with each event only."""
SOMEWHERE = "unknown"


def suppose(reader: Reader, supposed: Supposed) -> Receipt:
    """What the reader makes of it. Raises Unreadable for what cannot be Slack's."""
    for what, name in (("channel", supposed.channel), ("user", supposed.user)):
        if not ID.fullmatch(name):
            raise Unreadable(f"Slack's {what}s have ids such as {'C' if what == 'channel' else 'U'}0123ABCD.")
    team = supposed.workspace or SOMEWHERE
    event = {
        "type": "message",
        "channel": supposed.channel,
        "channel_type": "im" if supposed.channel.startswith("D") else "channel",
        "user": supposed.user,
        "text": f"<@{BOT}> {supposed.text}" if supposed.mention else supposed.text,
        "ts": f"{time.time():.6f}",
        "thread_ts": supposed.topic,
    }
    ours = {"team_id": team, "user_id": BOT}
    return reader.read({"type": "event_callback", "team_id": team, "authorizations": [ours], "event": event})
