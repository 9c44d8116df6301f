"""Telegram redelivers updates or limits calls, or the process is stopped: nothing is lost, sent twice or blocked.

Kills between commit and acknowledgement, and how processes share polling: test_telegram_polling.py.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.telegram_updates import USER, message_json, update
from tests.faults.telegram_scenario import SHORT, TelegramScenario, UpdateMode, open_scenario

OTHER_USER = 1002
"""Another user, and their private chat."""


@pytest.fixture(params=["polling", "webhook"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    way: UpdateMode = request.param
    with open_scenario(tmp_path, sqlite_url, way) as scene:
        yield scene


@pytest.fixture
def webhook(tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    with open_scenario(tmp_path, sqlite_url, "webhook") as scene:
        yield scene


def wait_until_delivered(scene: TelegramScenario, said: dict[int, list[int]]) -> None:
    for chat, messages in said.items():
        for number in messages:
            scene.wait_until_delivered(number, chat)


def test_an_update_redelivered_after_the_reply_makes_no_second_turn(scene: TelegramScenario) -> None:
    scene.start_process()
    first = update(message=message_json(SHORT, message_id=50))
    scene.telegram.push_update(first)
    scene.wait_until_delivered(50)
    scene.telegram.redeliver(first)
    scene.wait_until_delivered(scene.send("and now?"))
    scene.assert_replies({USER: [SHORT, "and now?"]})
    statuses = [one.status for one in scene.telegram.deliveries if one.update_id == first["update_id"]]
    assert statuses[-2:] == ([200, 200] if scene.update_mode == "webhook" else [])


# ---------------------------------------------------------------- database unavailable, rate limits


def test_an_update_is_answered_with_503_while_the_database_is_locked_and_redelivered(webhook: TelegramScenario) -> None:
    webhook.start_process(lock_timeout=0.5)
    webhook.wait_until_delivered(webhook.send("one"))
    with closing(sqlite3.connect(webhook.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        number = webhook.send(SHORT)
        webhook.telegram.wait_until(lambda: webhook.telegram.deliveries[-1].status == 503)
        other.execute("ROLLBACK")
    webhook.wait_until_delivered(number)
    webhook.assert_replies({USER: ["one", SHORT]})
    assert {delivery.status for delivery in webhook.telegram.deliveries} == {200, 503}


def test_a_rate_limited_chat_does_not_delay_others(tmp_path: Path, sqlite_url: str) -> None:
    """Telegram's clock is stopped: after three messages a chat accepts no more until the clock moves."""
    now = [time.time()]
    with open_scenario(tmp_path, sqlite_url, limits=True, clock=lambda: now[0]) as scene:
        scene.start_process(TELEGRAM_STREAMING="off")
        said = [scene.send(text) for text in ("one", "two", "three", "four")]
        scene.telegram.wait_until(lambda: any(call.summary == "429" for call in scene.telegram.calls("sendMessage")))
        scene.wait_until_delivered(scene.send(SHORT, OTHER_USER), OTHER_USER)
        assert len(scene.telegram.bot_messages()) < len(said)
        now[0] += 60
        wait_until_delivered(scene, {USER: said})
        scene.assert_replies({USER: ["one", "two", "three", "four"], OTHER_USER: [SHORT]})


def test_a_process_stopped_while_writing_leaves_its_message_to_the_next_process(scene: TelegramScenario) -> None:
    scene.openai.chunk_delay = 0.5
    first = scene.start_process(GRACE_SECONDS="0.3")
    number = scene.send(SHORT)
    scene.telegram.wait_until(scene.telegram.drafts)
    first.terminate()
    assert first.wait_for_exit() == 0
    assert scene.telegram.bot_messages() == []
    scene.openai.chunk_delay = 0.0
    scene.start_process()
    scene.wait_until_delivered(number)
    scene.assert_replies({USER: [SHORT]})
