"""Slack redelivers events or limits calls, or the process is stopped: nothing is lost or posted twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.slack_server import RateLimit
from tests.faults.slack_scenario import CHANNEL, REPLIES, SHORT, Scene, stage


@pytest.fixture
def scene(tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
    with stage(tmp_path, sqlite_url) as scene:
        yield scene


def test_a_process_stopped_while_streaming_leaves_its_message_to_the_next_process(scene: Scene) -> None:
    scene.openai.chunk_delay = 0.5
    first = scene.start(GRACE_SECONDS="0.3")
    ts = scene.say(SHORT)
    preview = scene.slack.wait(lambda: [part for part in scene.slack.answers(CHANNEL, ts) if part.streaming])
    first.tell_to_stop()
    assert first.ended() == 0
    scene.start()
    scene.finish(ts)
    assert [part.ts for part in scene.check(SHORT, ts)] == [preview[0].ts]


def test_an_event_redelivered_after_the_reply_makes_no_second_turn(scene: Scene) -> None:
    scene.start()
    ts = scene.say(SHORT)
    scene.finish(ts)
    for delivery in scene.slack.deliveries:
        scene.slack.redeliver(delivery)
    later = scene.say(SHORT, "D0DM")
    scene.finish(later, "D0DM")
    assert [delivery.status for delivery in scene.slack.deliveries] == [200] * 5
    assert len(scene.slack.answers(CHANNEL, ts)) == len(scene.slack.answers("D0DM", later)) == 1
    assert scene.asked() == [[SHORT], [SHORT]]


def test_after_many_429_answers_each_message_is_answered_once(scene: Scene) -> None:
    scene.start()
    scene.slack.faults.add("*", RateLimit(retry_after=1, times=6))
    said = {channel: scene.say(SHORT, channel) for channel in ("D0ANN", "D0BOB", "D0EVE")}
    for channel, ts in said.items():
        scene.finish(ts, channel)
        assert [part.text for part in scene.slack.answers(channel, ts)] == [REPLIES[SHORT]]
    assert len(scene.slack.answers()) == len(said)
    assert any(call.answered == "ratelimited" for call in scene.slack.calls("chat.postMessage"))


def test_a_rate_limited_channel_does_not_delay_others(tmp_path: Path, sqlite_url: str) -> None:
    """Slack's clock is stopped: a channel that has a new message accepts no further one until the clock moves."""
    now = [time.time()]
    with stage(tmp_path, sqlite_url, tiers=True, clock=lambda: now[0]) as scene:
        scene.start(SLACK_PREVIEW="off")
        first = scene.say(SHORT, "D0ANN")
        scene.finish(first, "D0ANN")
        second = scene.say(SHORT, "D0ANN")
        scene.slack.wait(lambda: any(call.answered == "ratelimited" for call in scene.slack.calls("chat.postMessage")))
        elsewhere = scene.say(SHORT, "D0BOB")
        scene.finish(elsewhere, "D0BOB")
        assert scene.slack.answers("D0ANN", second) == []
        now[0] += 60
        scene.finish(second, "D0ANN")
        assert len(scene.slack.answers()) == 3
