"""Where a reply goes, and how often something may go there."""

from __future__ import annotations

import pytest

from adapters.telegram.api_client import BOT, DRAFT, GROUP, PRIVATE
from adapters.telegram.reply_target import TelegramTarget
from gateway.ports.token_buckets import Rate


def test_a_place_is_read_from_an_address() -> None:
    address = {"chat": "-5", "topic": "7", "message": "9", "user": "3", "type": "supergroup"}
    place = TelegramTarget.of(address)
    assert (place.chat, place.topic, place.message, place.user, place.type) == ("-5", "7", "9", "3", "supergroup")
    assert place.address == address
    assert (place.args, place.private) == ({"message_thread_id": 7}, False)
    assert TelegramTarget.of({"chat": "5", "type": "private"}).private
    business = TelegramTarget.of({"chat": "5", "type": "private", "business": "b"})
    assert (business.private, business.args) == (False, {"business_connection_id": "b"})


@pytest.mark.parametrize(
    ("rate", "seconds", "most"), [(PRIVATE, 3, 3), (GROUP, 60, 20), (GROUP, 3, 3), (BOT, 1, 30)], ids=str
)
def test_no_time_has_more_than_telegram_promises_to_take(rate: Rate, seconds: float, most: int) -> None:
    assert rate.burst + seconds / rate.interval < most + 1
    assert seconds / rate.interval > most / 2 or rate is not BOT


def test_drafts_may_come_faster_than_messages() -> None:
    assert DRAFT.interval < PRIVATE.interval
