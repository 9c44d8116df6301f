"""A process is killed between posting a message in Slack and saving it: the next posts one complete reply.

Faults at each call: tests/adapters/slack/test_slack_delivery_faults.py. A kill at each step of a turn: test_kill.py.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.slack_scenario import LONG, SlackScenario, open_scenario


@pytest.fixture
def scene(tmp_path: Path, sqlite_url: str) -> Iterator[SlackScenario]:
    with open_scenario(tmp_path, sqlite_url) as scene:
        yield scene


@pytest.mark.parametrize("step", ["before save posted messages", "after save posted messages"])
def test_after_a_kill_while_it_posts_the_next_process_posts_the_rest(scene: SlackScenario, step: str) -> None:
    doomed = scene.start_process(crash_step=step, SLACK_PREVIEW="off")
    ts = scene.send(LONG)
    assert doomed.wait_for_exit() == -signal.SIGKILL
    scene.start_process()
    scene.wait_until_delivered(ts)
    scene.assert_one_reply(LONG, ts)
