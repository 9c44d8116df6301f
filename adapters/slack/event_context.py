"""Where something happened in Slack, who did it, and which installation was told. Read from events; no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.base.json_fields import Fields, id_in, object_in, objects_in, text_in

ID = re.compile(r"[A-Za-z0-9_.\-]{1,80}")
"""Slack's ids and timestamps; three of them fit into a message id."""
MOST_VIEWED = 3

id_of: Callable[[Fields, str], str] = partial(id_in, pattern=ID)
"""Returns an id or a timestamp; "" if there is none."""


@dataclass(frozen=True, slots=True)
class BotIds:
    """The bot's user id and bot id in a workspace; empty: not known."""

    user: str = ""
    bot_id: str = ""


UNKNOWN = BotIds()


def nobody(_team: str) -> BotIds:
    return UNKNOWN


@dataclass(frozen=True, slots=True)
class TeamContext:
    """The installation that an event was sent to."""

    team_id: str
    enterprise: str = ""
    bot_user: str = ""
    bot_id: str = ""
    app: str = ""
    event_id: str = ""
    for_user: bool = False
    """Whether the event came because a person has installed the app too: the bot may not even see the channel."""

    @classmethod
    def of(cls, payload: Fields, known: Callable[[str], BotIds] = nobody) -> TeamContext:
        """Reads the envelope of an event.

        In a channel that several companies share, ``authorizations`` names our installation; ``team_id`` may be
        another company's. An installation may also be a person's, or be left out (docs.slack.dev/apis/events-api):
        only ``is_bot`` says that its user is the bot.
        """
        ours = bot_installation(payload)
        place = ours or next(iter(objects_in(payload, "authorizations")), {})
        team_id = team_of(place, payload)
        identity = known(team_id)
        return cls(
            team_id=team_id,
            enterprise=id_of(place, "enterprise_id") or id_of(payload, "enterprise_id"),
            bot_user=id_of(ours, "user_id") or identity.user,
            bot_id=identity.bot_id,
            app=id_of(payload, "api_app_id"),
            event_id=id_of(payload, "event_id"),
            for_user=bool(place) and not ours,
        )


@dataclass(frozen=True, slots=True)
class MessageContext:
    """Where a person did something, and who it was."""

    channel: str
    user: str
    direct: bool
    ts: str = ""
    """Of the message; empty for an action without one."""
    thread_ts: str = ""
    """Of the first message of the thread; empty at the top level of the channel."""
    user_team: str = ""
    kind: str = ""
    """``stop`` for the Stop button, ``command`` for a slash command, empty for a message."""
    typed: bool = False
    """Whether Slack says that a client of a person sent it."""
    viewed: str = ""
    """What the author had on the screen, see ``_viewed``."""

    @classmethod
    def of(cls, event: Fields, user: str, kind: str = "") -> MessageContext:
        channel, ts, thread_ts = id_of(event, "channel"), id_of(event, "ts"), id_of(event, "thread_ts")
        return cls(
            channel,
            user,
            is_direct(channel, event.get("channel_type")),
            ts=ts,
            thread_ts="" if thread_ts == ts else thread_ts,
            user_team=_user_team(event),
            kind=kind,
            typed="client_msg_id" in event,
            viewed=_viewed(event) if "app_context" in event else "",
        )


def bot_installation(payload: Fields) -> Fields:
    """Returns the installation of the bot that an event names; {} if it names none."""
    for one in objects_in(payload, "authorizations"):
        if one.get("is_bot") is True:
            return one
    return {}


def team_of(installation: Fields, payload: Fields) -> str:
    """Returns the workspace of an installation that an event names; if it names none, that of the event."""
    return id_of(installation, "team_id") or id_of(payload, "team_id")


def _viewed(event: Fields) -> str:
    """Returns what the author has on the screen: ids of channels, and of messages as channel:ts, with spaces between.

    docs.slack.dev/reference/events/app_context_changed
    """
    found = (_viewed_entity(one) for one in objects_in(object_in(event, "app_context"), "entities"))
    return " ".join(list(filter(None, found))[:MOST_VIEWED])


def _viewed_entity(entity: Fields) -> str:
    match text_in(entity, "type").rpartition("/")[2]:
        case "channel_id":
            return id_of(entity, "value")
        case "message_context":
            channel, ts = (id_of(object_in(entity, "value"), name) for name in ("channel_id", "message_ts"))
            return f"{channel}:{ts}" if channel and ts else ""
    return ""


def _user_team(event: Fields) -> str:
    """Returns the author's workspace, which in a shared channel may be another company's.

    In an ``app_mention`` it may be an organisation (E…) instead, which cannot be used to address a person.
    """
    for name in ("user_team", "source_team", "team"):
        if name in event and (team := id_of(event, name)).startswith("T"):
            return team
    return ""


def is_direct(channel: str, channel_type: Any) -> bool:
    """An ``app_mention`` and a command do not name the type of the channel."""
    return channel_type in ("im", "app_home") if channel_type else channel.startswith("D")
