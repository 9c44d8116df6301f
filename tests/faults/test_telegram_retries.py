"""Telegram redelivers updates or limits calls, an update is unreadable, processes share polling: nothing is lost, sent
twice or blocked.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.store import SqlStore
from tests.fakes.telegram_server import ConnectionRefused, RecordedCall
from tests.fakes.telegram_updates import USER, Json, message_json, update
from tests.faults.fault_points import run_in_parallel
from tests.faults.telegram_scenario import SHORT, TelegramScenario, UpdateMode, open_scenario

OTHER_USER = 1002
"""Another user, and their private chat."""
UNREADABLE_MESSAGE: Json = {"chat": {"id": USER, "type": "private"}, "text": "Hello", "date": 1}
"""A message without message_id."""


@pytest.fixture(params=["polling", "webhook"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    way: UpdateMode = request.param
    with open_scenario(tmp_path, sqlite_url, way) as scene:
        yield scene


@pytest.fixture
def polling(tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    with open_scenario(tmp_path, sqlite_url, "polling") as scene:
        yield scene


@pytest.fixture
def webhook(tmp_path: Path, sqlite_url: str) -> Iterator[TelegramScenario]:
    with open_scenario(tmp_path, sqlite_url, "webhook") as scene:
        yield scene


def wait_until_delivered(scene: TelegramScenario, said: dict[int, list[int]]) -> None:
    for chat, messages in said.items():
        for number in messages:
            scene.wait_until_delivered(number, chat)


def conflicts(scene: TelegramScenario) -> list[RecordedCall]:
    return [call for call in scene.telegram.calls("getUpdates") if call.summary == "409"]


# ---------------------------------------------------------------- a batch


@dataclass(frozen=True)
class BatchCrash:
    """The step at which a process dies that has received a batch of updates."""

    update_mode: UpdateMode
    crash_step: str


BATCH_CRASHES = (
    BatchCrash("polling", "before enqueue"),
    BatchCrash("polling", "after enqueue"),
    BatchCrash("polling", "before acknowledging"),
    BatchCrash("webhook", "before enqueue"),
    BatchCrash("webhook", "after enqueue"),
)


def test_after_a_kill_in_the_middle_of_a_batch_the_next_process_receives_all_of_it(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    """Nothing, some or all of the batch is committed; Telegram has no acknowledgement of any of it."""

    def act(scene: TelegramScenario, crash: BatchCrash) -> None:
        said = {USER: [scene.send("one"), scene.send("two")], OTHER_USER: [scene.send("three", OTHER_USER)]}
        if crash.crash_step == "before acknowledging":
            kill_before_acknowledging(scene)
        else:
            assert scene.start_process(crash_step=crash.crash_step).wait_for_exit() == -signal.SIGKILL
        assert len(scene.telegram.pending_updates()) == 3
        scene.start_process()
        wait_until_delivered(scene, said)
        scene.assert_replies({USER: ["one", "two"], OTHER_USER: ["three"]})

    run_in_parallel(
        tmp_path,
        empty_sqlite,
        lambda folder, url, crash: open_scenario(folder, url, crash.update_mode),
        act,
        BATCH_CRASHES,
    )


def kill_before_acknowledging(scene: TelegramScenario) -> None:
    """Kills a process that has committed the batch, before its acknowledging getUpdates call is performed."""
    reached, killed = threading.Event(), threading.Event()

    def hold(call: RecordedCall) -> None:
        if "offset" in call.args and not killed.is_set():
            reached.set()
            killed.wait(20)

    scene.telegram.faults.add("getUpdates", ConnectionRefused(skip=1))
    scene.telegram.faults.before("getUpdates", hold)
    first = scene.start_process()
    assert reached.wait(20)
    first.kill()
    killed.set()


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


def test_an_unreadable_update_is_kept_aside_and_does_not_block_others(scene: TelegramScenario) -> None:
    poison = update(message=UNREADABLE_MESSAGE)
    scene.telegram.push_update(poison)
    number = scene.send(SHORT)
    scene.start_process()
    scene.wait_until_delivered(number)
    scene.assert_replies({USER: [SHORT]})
    with closing(SqlStore(scene.url)) as store:
        (kept,) = store.unparsed_updates.by_author("telegram", str(USER))
        assert json.loads(kept.body) == poison


# ---------------------------------------------------------------- polling


def test_one_of_two_processes_polls_and_the_other_takes_over_when_it_is_killed(polling: TelegramScenario) -> None:
    first, _ = polling.start_process(), polling.start_process()
    polling.wait_until_delivered(polling.send("one"))
    polled = len(polling.telegram.calls("getUpdates"))
    polling.telegram.wait_until(lambda: len(polling.telegram.calls("getUpdates")) >= polled + 1)
    assert conflicts(polling) == []
    first.kill()
    polling.wait_until_delivered(polling.send("two"))
    polling.assert_replies({USER: ["one", "two"]})
    assert len(conflicts(polling)) <= 1  # for the killed process, whose long poll Telegram still considers open


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
