"""A process is killed while a comment waits for its forward: nothing is lost, and both are one turn."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.telegram_messages import human_user
from tests.fakes.telegram_updates import SECRET, USER
from tests.faults.gateway_process import GatewayProcess
from tests.faults.telegram_scenario import TelegramScenario, open_scenario

COMMENT = "what is this?"
STORY = "Forwarded message from Bob Ray:\nonce upon a time"
BOB = {"type": "user", "sender_user": human_user(7, first_name="Bob", last_name="Ray")}
JOIN_SECONDS = "5"
"""Long enough for the next process to take over meanwhile."""


@pytest.fixture
def scene(tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    with open_scenario(tmp_path, sqlite_url) as scene:
        yield scene


def start(scene: TelegramScenario, crash_step: str = "") -> GatewayProcess:
    return scene.start_process(crash_step=crash_step, TELEGRAM_STREAMING="off", TELEGRAM_JOIN_SECONDS=JOIN_SECONDS)


def forward(scene: TelegramScenario) -> int:
    return scene.telegram.user_says("once upon a time", forward_origin=BOB)


def assert_one_turn(scene: TelegramScenario, message: int) -> None:
    scene.wait_until_delivered(message)
    assert scene.assistant_texts() == [[f"{COMMENT}\n{STORY}"]]
    assert len(scene.telegram.bot_messages(USER)) == 1


@pytest.mark.parametrize("step", ["written, not committed", "after enqueue"])
def test_a_comment_whose_process_dies_is_joined_by_what_the_next_one_takes_in(
    scene: TelegramScenario, step: str
) -> None:
    survivor = start(scene)
    doomed = start(scene, step)
    scene.send(COMMENT)
    assert doomed.wait_for_exit() == -signal.SIGKILL
    scene.telegram.deliver_to(f"{survivor.url}/telegram/webhook", SECRET)
    assert_one_turn(scene, forward(scene))


def test_a_kill_while_a_turn_waits_for_more_loses_nothing(scene: TelegramScenario) -> None:
    start(scene)
    doomed = start(scene)
    scene.send(COMMENT)
    message = forward(scene)
    scene.telegram.wait_until_acknowledged()
    doomed.kill()
    assert_one_turn(scene, message)
