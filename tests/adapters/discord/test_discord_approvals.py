"""Presses of the buttons of a question: what they say, and what whoever presses is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.discord import interactions
from gateway.domain.approvals import Verdict, VerdictResult
from tests.adapters.discord.test_discord_gateway import receiving
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import USER
from tests.fakes.recording_inbox import RecordingInbox


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    with FakeDiscord() as server:
        yield server


def test_a_press_is_a_verdict_and_who_may_not_decide_is_told_so(
    discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interactions, "ACKNOWLEDGED_AFTER", (0.0, *[0.05] * 40))
    inbox = RecordingInbox(verdict_result=VerdictResult.NOT_ALLOWED)
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.presses("yes:appr_1.abc")
        discord.wait_until(lambda: bool(discord.state.whispers))
    (verdict,) = (event for update in inbox.taken for event in update.events)
    assert isinstance(verdict, Verdict)
    assert (verdict.approval_id, verdict.digest, verdict.approves) == ("appr_1", "abc", True)
    assert (verdict.decider.platform, verdict.decider.user) == ("discord", USER)
    assert [each["content"] for each in discord.state.whispers] == ["You may not decide this."]


def test_a_press_that_decides_is_only_acknowledged(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        event = discord.presses("no:appr_1.abc")
        discord.wait_until(lambda: discord.state.interactions[event["token"]].acknowledged is not None)
    assert discord.state.interactions[event["token"]].acknowledged == {"type": 6}
    assert discord.state.whispers == []
