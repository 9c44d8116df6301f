"""A process dies over a message with a file: the next one answers without the file, and says so to both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.worker.turns.turn_files import LEFT_OUT, LEFT_OUT_NOTICE
from tests.faults.slack_scenario import SHORT, SlackScenario, open_scenario

CHANNEL = "D0DM"
PATH = "/chat/completions"
LONG_SECONDS = 30.0


@pytest.fixture
def scene(tmp_path: Path, sqlite_url: str) -> Iterator[SlackScenario]:
    with open_scenario(tmp_path, sqlite_url) as scene:
        yield scene


def test_after_a_kill_while_a_file_is_sent_the_next_process_answers_without_it(scene: SlackScenario) -> None:
    scene.openai.reply = "Here is what I know."
    scene.openai.think = LONG_SECONDS
    doomed = scene.start_process(ASSISTANT_BACKEND="chat")
    ts = scene.slack.user_says(SHORT, channel=CHANNEL, files=[("a.png", b"\x89PNG\r\n\x1a\n", "image/png")])
    (with_file,) = scene.openai.wait_for("POST", PATH)
    doomed.kill()
    scene.openai.think = 0.0
    scene.start_process(ASSISTANT_BACKEND="chat")
    scene.wait_until_delivered(ts, CHANNEL)
    without_file = scene.openai.posts(PATH)[-1]
    assert "base64" in json.dumps(with_file.body)
    assert LEFT_OUT in json.dumps(without_file.body)
    assert "base64" not in json.dumps(without_file.body)
    said = " ".join(message.text for message in scene.slack.bot_messages(CHANNEL))
    assert said.startswith("Here is what I know.")
    assert LEFT_OUT_NOTICE.strip("_")[:40] in said
