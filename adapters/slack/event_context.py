"""Where something happened in Slack, who did it, and which installation was told. Read from events; no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
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

Recognise = Callable[[str, str], BotIds]
"""Returns who the bot is in a workspace, as far as that is known. Takes the workspace, and the bot's user as an event
names it; "" where it does not. No I/O."""


def as_named(_team: str, user: str) -> BotIds:
    """Knows of the bot what an event says."""
    return BotIds(user) if user else UNKNOWN


@dataclass(frozen=True, slots=True)
class TeamContext:
    """The installation that an event was sent to."""

    team_id: str
    enterprise: str = ""
    bot: BotIds = UNKNOWN
    for_user: bool = False
    """Whether the event came because a person has installed the app too: the bot may not even see the channel."""
    envelope: Fields = field(default_factory=dict, compare=False, repr=False)
    """The event is in it."""

    @classmethod
    def of(cls, payload: Fields, recognise: Recognise = as_named) -> TeamContext:
        """Reads the envelope of an event.

        In a channel that several companies share, ``authorizations`` names our installation; ``team_id`` may be
        another company's. An installation may also be a person's, or be left out (docs.slack.dev/apis/events-api):
        only ``is_bot`` says that its user is the bot.
        """
        ours = bot_installation(payload)
        place = ours or next(iter(objects_in(payload, "authorizations")), {})
        team_id = id_of(place, "team_id") or id_of(payload, "team_id")
        enterprise = id_of(place, "enterprise_id") or id_of(payload, "enterprise_id")
        bot = recognise(team_id, id_of(ours, "user_id"))
        return cls(team_id, enterprise, bot, bool(place) and not ours, payload)

    @property
    def app(self) -> str:
        """Returns the id of our app."""
        return id_of(self.envelope, "api_app_id")

    @property
    def event_id(self) -> str:
        """Returns what names the event, also where Slack sends it again."""
        return id_of(self.envelope, "event_id")


@dataclass(frozen=True, slots=True)
class MessageContext:
    """Where somebody did something, and who it was."""

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
    is_bot: bool = False
    """Whether the author is a bot."""

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
            is_bot=is_of_bot(event),
        )


def bot_installation(payload: Fields) -> Fields:
    """Returns the installation of the bot that an event names; {} if it names none."""
    for one in objects_in(payload, "authorizations"):
        if one.get("is_bot") is True:
            return one
    return {}


def is_of_bot(message: Fields) -> bool:
    """Tells whether a bot wrote a message."""
    return bool(message.get("bot_id")) or message.get("subtype") == "bot_message"


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
