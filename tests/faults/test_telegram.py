"""A process is killed between sending a message in Telegram and saving it: the next sends one complete reply.

The Bot API cannot read a chat, so that one message may appear twice; the second one is labelled. Faults at each call:
tests/adapters/telegram/test_telegram_delivery_faults.py. A kill at each step of a turn: test_kill.py.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.telegram_updates import USER
from tests.faults.telegram_scenario import LONG, TelegramScenario, open_scenario


@pytest.fixture
def scene(tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    with open_scenario(tmp_path, sqlite_url) as scene:
        yield scene


@pytest.mark.parametrize("step", ["before save posted messages", "after save posted messages", "before finish turn"])
def test_after_a_kill_while_it_sends_the_next_process_sends_the_rest(scene: TelegramScenario, step: str) -> None:
    doomed = scene.start_process(crash_step=step, TELEGRAM_STREAMING="off")
    message = scene.send(LONG)
    assert doomed.wait_for_exit() == -signal.SIGKILL
    scene.start_process()
    scene.wait_until_delivered(message)
    scene.assert_replies({USER: [LONG]}, repeats=1)
