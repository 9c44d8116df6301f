"""Addresses channels of Slack in which nobody has written to the bot."""

from __future__ import annotations

import re

from adapters.base.destination import checked
from adapters.slack.event_context import MessageContext, TeamContext, is_direct
from adapters.slack.places import Places
from gateway.domain.models import ConversationKey
from gateway.ports.platform import Destination

TEAM, CHANNEL = re.compile(r"[TE][A-Z0-9]{1,20}"), re.compile(r"[CDG][A-Z0-9]{1,20}")
"""A person's id is no channel: api.slack.com/methods/chat.postMessage#app-home writes into the app's tab then."""
TIMESTAMP = re.compile(r"[0-9]{1,12}\.[0-9]{6}")


def destination(place: ConversationKey, places: Places) -> Destination:
    """See ``Addressable``. Where a conversation is one person's, nobody's words are in that of the destination."""
    team = checked("workspace", place.workspace, TEAM, "the id of a workspace, such as T0123ABCD")
    channel = checked("channel", place.channel, CHANNEL, "the id of a channel, such as C0123ABCD")
    topic = place.topic and checked("topic", place.topic, TIMESTAMP, "the ts of a thread, such as 1700000000.000100")
    return places.of(TeamContext(team), MessageContext(channel, "", is_direct(channel, None), thread_ts=topic))
