"""Presses of the buttons of a question: what they say, and what whoever presses is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.domain.approvals import Decider, Verdict, VerdictResult
from tests.adapters.telegram.receiving import listening, make_receiver, settings
from tests.fakes.memory import FakeMemory
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.telegram_messages import TOKEN
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import USER
from tests.waiting import until


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    with FakeTelegram() as server:
        yield server


@pytest.mark.parametrize("result", [VerdictResult.DECIDED, VerdictResult.NOT_ALLOWED])
def test_a_press_is_a_verdict_and_is_answered(telegram: FakeTelegram, result: VerdictResult) -> None:
    known = settings(telegram_bot_token=TOKEN, telegram_api_url=telegram.url)
    inbox = RecordingInbox(verdict_result=result)
    asked = telegram.user_says("Refund it.")
    with listening(make_receiver(known, FakeMemory()), inbox):
        press = telegram.press_button("no:appr_1.abc", message_id=asked)
        other = telegram.press_button("again", message_id=asked)
        until(lambda: telegram.query_answer(press) is not None)
        until(lambda: len(inbox.taken) == 3)
    verdicts = [event for update in inbox.taken for event in update.events if isinstance(event, Verdict)]
    assert [(each.approval_id, each.digest, each.approves) for each in verdicts] == [("appr_1", "abc", False)]
    decider = verdicts[0].decider
    assert decider == Decider("telegram", str(USER), name=decider.name)
    assert decider.name
    answer = telegram.query_answer(press)
    assert answer is not None
    assert answer.get("text", "") == ("" if result is VerdictResult.DECIDED else "You may not decide this.")
    assert telegram.query_answer(other) is None
