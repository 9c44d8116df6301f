"""A message that nobody sent is read as one that Telegram brings."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from adapters.telegram.dry_run import dry_run
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import Message
from gateway.ports.platform import ParsedUpdate, SyntheticMessage
from tests.adapters.telegram.parsing import CALL, GROUP_MODES, NOTHING, SCOPES, heard, parser
from tests.fakes.telegram_updates import GROUP, USER, group_chat, message_json

FORUM = -1001001001001
SAID = SyntheticMessage("Hello", channel=str(USER), user=str(USER))


def alike(receipt: ParsedUpdate) -> list[Message]:
    """Without what tells one message from another."""
    return [replace(one, message_id="", address={}, context=None) for one in receipt.messages]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("groups", GROUP_MODES)
def test_it_is_read_as_a_real_one(scope: str, groups: str) -> None:
    settings: dict[str, Any] = {"telegram_scope": scope, "telegram_groups": groups}
    texts, places = ("Hello", "/new and then?", "stop", "/unknown"), (USER, GROUP, FORUM)
    for text, chat, called in product(texts, places, (False, True)):
        topic = 7 if chat == FORUM else None
        place = group_chat(FORUM, forum=True) if chat == FORUM else chat
        told = message_json(f"{CALL} {text}" if called else text, chat=place, user=USER, thread=topic)
        supposed = SyntheticMessage(text, "", str(chat), str(topic or ""), str(USER), mentions_bot=called)
        assert alike(dry_run(parser(**settings), supposed)) == alike(heard(told, **settings)), supposed


def test_a_person_alone_is_a_private_chat() -> None:
    assert dry_run(parser(), replace(SAID, channel="")) == dry_run(parser(), SAID) != NOTHING


def test_a_chat_that_is_not_allowed_is_not_answered() -> None:
    assert dry_run(parser(telegram_allowed_chats="1"), SAID) == NOTHING


@pytest.mark.parametrize("wrong", [{"channel": "@news"}, {"user": "ann"}, {"topic": "x"}, {"channel": "", "user": ""}])
def test_what_cannot_be_of_telegram_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequest, match="is a number"):
        dry_run(parser(), replace(SAID, **wrong))
