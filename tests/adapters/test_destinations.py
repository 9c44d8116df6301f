"""Where each platform brings what nobody asked for, and which names it refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from adapters.discord import destination as discord
from adapters.slack import destination as slack
from adapters.slack.places import Places
from adapters.slack.settings import SlackSettings
from adapters.telegram import destination as telegram
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey
from gateway.ports.platform import Destination
from tests.settings import settings_of

Find = Callable[[ConversationKey], Destination]
TS = "1700000000.000100"


def slack_of(scope: str, staff: ConversationKey | None = None) -> Find:
    known = settings_of(SlackSettings, slack_scope=scope)
    return partial(slack.destination, places=Places(known, staff))


SLACK = slack_of("topic")
STAFF = ConversationKey("slack", "T1", "C1")
TELEGRAM = partial(telegram.destination, bot_id="123", scope="topic")
DISCORD = partial(discord.destination, scope="topic")


@pytest.mark.parametrize(
    ("find", "place", "key", "address"),
    [
        (
            *(SLACK, ("T1", "C1", TS), ("T1", "C1", TS)),
            {"team": "T1", "channel": "C1", "channel_type": "channel", "thread_ts": TS},
        ),
        (SLACK, ("T1", "D1"), ("T1", "D1", ""), {"team": "T1", "channel": "D1", "channel_type": "im"}),
        (
            *(slack_of("channel"), ("T1", "C1", TS), ("T1", "C1", "")),
            {"team": "T1", "channel": "C1", "channel_type": "channel", "thread_ts": TS},
        ),
        (
            *(slack_of("channel", STAFF), ("T1", "C1", TS), ("T1", "C1", TS)),
            {"team": "T1", "channel": "C1", "channel_type": "channel", "thread_ts": TS},
        ),
        (TELEGRAM, ("", "42"), ("123", "42", ""), {"chat": "42", "type": "private"}),
        (
            TELEGRAM,
            ("123", "-1001", "17"),
            ("123", "-1001", "17"),
            {"chat": "-1001", "topic": "17", "type": "supergroup"},
        ),
        (
            *(partial(telegram.destination, bot_id="123", scope="chat"), ("123", "-1001", "17"), ("123", "-1001", "")),
            {"chat": "-1001", "topic": "17", "type": "supergroup"},
        ),
        (DISCORD, ("9", "10", "11"), ("9", "10", "11"), {"channel": "11", "guild": "9"}),
        (DISCORD, ("", "10"), ("", "10", ""), {"channel": "10"}),
    ],
)
def test_a_place_has_the_conversation_of_what_people_write_there(
    find: Find, place: tuple[str, ...], key: tuple[str, ...], address: dict[str, str]
) -> None:
    found = find(ConversationKey("any", *place))
    assert (found.key.workspace, found.key.channel, found.key.topic, found.key.user) == (*key, "")
    assert dict(found.address) == address


@pytest.mark.parametrize(
    ("find", "place", "names"),
    [
        (SLACK, ("", "C1"), "`workspace`"),
        (SLACK, ("T1", "general"), "`channel`"),
        (SLACK, ("T1", "U1"), "`channel`"),
        (SLACK, ("T1", ""), "`channel`"),
        (SLACK, ("T1", "C1", "17"), "`topic`"),
        (TELEGRAM, ("999", "42"), "the id of the bot, 123"),
        (TELEGRAM, ("", "@name"), "`channel`"),
        (TELEGRAM, ("", "biz:1:42"), "`channel`"),
        (TELEGRAM, ("", "42", "x"), "`topic`"),
        (DISCORD, ("x", "10"), "`workspace`"),
        (DISCORD, ("", "#general"), "`channel`"),
        (DISCORD, ("", "10", "0"), "`topic`"),
        (DISCORD, ("", "1/../2"), "`channel`"),
        (DISCORD, ("", "\uff11"), "`channel`"),
    ],
)
def test_a_name_that_the_platform_does_not_have_is_refused(find: Find, place: tuple[str, ...], names: str) -> None:
    with pytest.raises(MalformedRequest, match=names):
        find(ConversationKey("any", *place))
