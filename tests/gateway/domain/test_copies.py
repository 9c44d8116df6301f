"""Copies of models with other values of some fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.conversations import Claim, Conversation, Lease
from gateway.domain.copies import changed
from gateway.domain.models import ThreadId, TurnState, Usage
from gateway.ports.leased_writes import RecordOutcome
from tests.gateway.turn_factory import TURN

LEASE = Lease(7, "one", 1)
CONVERSATION = Conversation(7, TURN.message.key)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (TURN, {"state": TurnState.DELIVERED, "delivered_at": 1005.0}),
        (TURN.message, {"text": "another", "author_name": "Eve"}),
        (CONVERSATION, {"thread_id": ThreadId("t")}),
        (Claim(LEASE, CONVERSATION, TURN), {"first_attempt": False}),
        (RecordOutcome(LEASE, TURN, "Hello"), {"usage": Usage(1, 2)}),
    ],
)
def test_a_copy_differs_in_the_given_fields_only(model: Any, fields: dict[str, Any]) -> None:
    before = replace(model)
    copied = changed(model, **fields)
    assert copied == replace(model, **fields)
    assert type(copied) is type(model)
    assert repr(copied) == repr(replace(model, **fields))
    assert model == before
