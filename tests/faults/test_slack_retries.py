"""Slack redelivers events or limits calls, or the process is stopped: nothing is lost or posted twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.slack_server import RateLimit
from tests.faults.slack_scenario import CHANNEL, REPLIES, SHORT, SlackScenario, open_scenario


@pytest.fixture
def scene(tmp_path: Path, sqlite_url: str) -> Iterator[SlackScenario]:
    with open_scenario(tmp_path, sqlite_url) as scene:
        yield scene


def test_a_process_stopped_while_streaming_leaves_its_message_to_the_next_process(scene: SlackScenario) -> None:
    scene.openai.chunk_delay = 0.5
    first = scene.start_process(GRACE_SECONDS="0.3")
    ts = scene.send(SHORT)
    preview = scene.slack.wait_until(lambda: [part for part in scene.slack.bot_messages(CHANNEL, ts) if part.streaming])
    first.terminate()
    assert first.wait_for_exit() == 0
    scene.start_process()
    scene.wait_until_delivered(ts)
    assert [part.ts for part in scene.assert_one_reply(SHORT, ts)] == [preview[0].ts]


def test_an_event_redelivered_after_the_reply_makes_no_second_turn(scene: SlackScenario) -> None:
    scene.start_process()
    ts = scene.send(SHORT)
    scene.wait_until_delivered(ts)
    for delivery in scene.slack.deliveries:
        scene.slack.redeliver(delivery)
    later = scene.send(SHORT, "D0DM")
    scene.wait_until_delivered(later, "D0DM")
    assert [delivery.status for delivery in scene.slack.deliveries] == [200] * 5
    assert len(scene.slack.bot_messages(CHANNEL, ts)) == len(scene.slack.bot_messages("D0DM", later)) == 1
    assert scene.assistant_texts() == [[SHORT], [SHORT]]


def test_after_many_429_answers_each_message_is_answered_once(scene: SlackScenario) -> None:
    scene.start_process(SLACK_PREVIEW="off")  # so that each reply is posted, not streamed
    # Even if all of them meet one reply, whose pause doubles each time, it is not put off for long.
    scene.slack.faults.add("chat.postMessage", RateLimit(retry_after=1, times=4))
    said = {channel: scene.send(SHORT, channel) for channel in ("D0ANN", "D0BOB", "D0EVE")}
    for channel, ts in said.items():
        scene.wait_until_delivered(ts, channel)
        assert [part.text for part in scene.slack.bot_messages(channel, ts)] == [REPLIES[SHORT]]
    assert len(scene.slack.bot_messages()) == len(said)
    outcomes = [call.summary for call in scene.slack.calls("chat.postMessage")]
    assert (outcomes.count("ratelimited"), outcomes.count("ok")) == (4, len(said))


def test_a_rate_limited_channel_does_not_delay_others(tmp_path: Path, sqlite_url: str) -> None:
    """Slack's clock is stopped: a channel that has a new message accepts no further one until the clock moves."""
    now = [time.time()]
    with open_scenario(tmp_path, sqlite_url, tiers=True, clock=lambda: now[0]) as scene:
        scene.start_process(SLACK_PREVIEW="off")
        first = scene.send(SHORT, "D0ANN")
        scene.wait_until_delivered(first, "D0ANN")
        second = scene.send(SHORT, "D0ANN")
        scene.slack.wait_until(
            lambda: any(call.summary == "ratelimited" for call in scene.slack.calls("chat.postMessage"))
        )
        elsewhere = scene.send(SHORT, "D0BOB")
        scene.wait_until_delivered(elsewhere, "D0BOB")
        assert scene.slack.bot_messages("D0ANN", second) == []
        now[0] += 60
        scene.wait_until_delivered(second, "D0ANN")
        assert len(scene.slack.bot_messages()) == 3
