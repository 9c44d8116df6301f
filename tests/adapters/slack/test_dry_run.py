"""A message that nobody sent is read as one that Slack brings."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from adapters.slack.dry_run import dry_run
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import Message
from gateway.ports.platform import ParsedUpdate, SyntheticMessage
from tests.adapters.slack.parsing import CALL, NOTHING, ROOT, SCOPES, TS, parser, read
from tests.fakes.slack_events import TEAM, USER, message_event

SAID = SyntheticMessage("Hello", TEAM, "C0CHAN", "", USER)


def alike(receipt: ParsedUpdate) -> list[Message]:
    """Without what tells one message from another."""
    topics = [one.key.topic if one.key.topic in {"", ROOT} else "its own" for one in receipt.messages]
    keys = [replace(one.key, topic=topic) for one, topic in zip(receipt.messages, topics, strict=True)]
    return [replace(one, key=key, message_id="", address={}) for one, key in zip(receipt.messages, keys, strict=True)]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("replies", ["thread", "mention"])
def test_it_is_read_as_a_real_one(scope: str, replies: str) -> None:
    settings: dict[str, Any] = {"slack_scope": scope, "slack_replies": replies}
    texts, places = ("Hello", "reset", "stop"), ("C0CHAN", "D0DM")
    for text, channel, topic, called in product(texts, places, ("", ROOT), (False, True)):
        told = message_event(f"{CALL} {text}" if called else text, channel=channel, ts=TS, thread_ts=topic or None)
        supposed = SyntheticMessage(text, TEAM, channel, topic, USER, mentions_bot=called)
        assert alike(dry_run(parser(**settings), supposed)) == alike(read(told, **settings)), supposed


def test_without_a_mention_nobody_is_addressed_in_a_channel() -> None:
    assert dry_run(parser(), SAID) == NOTHING


@pytest.mark.parametrize("wrong", [{"channel": ""}, {"channel": "#general"}, {"user": ""}, {"user": "Ann Lee"}])
def test_what_cannot_be_of_slack_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequest, match=r"Slack's (channel|user)s have ids"):
        dry_run(parser(), replace(SAID, **wrong))
