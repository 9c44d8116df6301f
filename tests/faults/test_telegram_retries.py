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
from tests.fakes.telegram_server import Call, Refuse
from tests.fakes.telegram_updates import BOT_ID, USER, Json, message, update
from tests.faults.fault_points import play
from tests.faults.telegram_scenario import SHORT, Scene, Way, stage

OTHER = 1002
"""Another user, and their private chat."""
POISON: Json = {"chat": {"id": USER, "type": "private"}, "text": "Hello", "date": 1}
"""A message without message_id."""


@pytest.fixture(params=["polling", "webhook"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
    way: Way = request.param
    with stage(tmp_path, sqlite_url, way) as scene:
        yield scene


@pytest.fixture
def polling(tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
    with stage(tmp_path, sqlite_url, "polling") as scene:
        yield scene


@pytest.fixture
def webhook(tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
    with stage(tmp_path, sqlite_url, "webhook") as scene:
        yield scene


def finish(scene: Scene, said: dict[int, list[int]]) -> None:
    for chat, messages in said.items():
        for number in messages:
            scene.finish(number, chat)


def conflicts(scene: Scene) -> list[Call]:
    return [call for call in scene.telegram.calls("getUpdates") if call.answered == "409"]


# ---------------------------------------------------------------- a batch


@dataclass(frozen=True)
class Blow:
    """The step at which a process dies that has received a batch of updates."""

    way: Way
    dies: str


BLOWS = (
    Blow("polling", "before enqueue"),
    Blow("polling", "after enqueue"),
    Blow("polling", "before acknowledging"),
    Blow("webhook", "before enqueue"),
    Blow("webhook", "after enqueue"),
)


def test_after_a_kill_in_the_middle_of_a_batch_the_next_process_receives_all_of_it(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    """Nothing, some or all of the batch is committed; Telegram has no acknowledgement of any of it."""

    def act(scene: Scene, crash: Blow) -> None:
        said = {USER: [scene.say("one"), scene.say("two")], OTHER: [scene.say("three", OTHER)]}
        if crash.dies == "before acknowledging":
            kill_where_it_acknowledges(scene)
        else:
            assert scene.start(dies=crash.dies).ended() == -signal.SIGKILL
        assert len(scene.telegram.pending()) == 3
        scene.start()
        finish(scene, said)
        scene.check({USER: ["one", "two"], OTHER: ["three"]})

    play(tmp_path, empty_sqlite, lambda folder, url, crash: stage(folder, url, crash.way), act, BLOWS)


def kill_where_it_acknowledges(scene: Scene) -> None:
    """Kills a process that has committed the batch, before its acknowledging getUpdates call is performed."""
    reached, killed = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        if "offset" in call.args and not killed.is_set():
            reached.set()
            killed.wait(20)

    scene.telegram.faults.add("getUpdates", Refuse(skip=1))
    scene.telegram.faults.before("getUpdates", hold)
    first = scene.start()
    assert reached.wait(20)
    first.kill()
    killed.set()


def test_an_update_redelivered_after_the_reply_makes_no_second_turn(scene: Scene) -> None:
    scene.start()
    first = update(message=message(SHORT, message_id=50))
    scene.telegram.push(first)
    scene.finish(50)
    scene.telegram.redeliver(first)
    scene.finish(scene.say("and now?"))
    scene.check({USER: [SHORT, "and now?"]})
    statuses = [one.status for one in scene.telegram.deliveries if one.update_id == first["update_id"]]
    assert statuses[-2:] == ([200, 200] if scene.way == "webhook" else [])


def test_an_unreadable_update_is_kept_aside_and_does_not_block_others(scene: Scene) -> None:
    poison = update(message=POISON)
    scene.telegram.push(poison)
    number = scene.say(SHORT)
    scene.start()
    scene.finish(number)
    scene.check({USER: [SHORT]})
    with closing(SqlStore(scene.url)) as store:
        assert json.loads(store.recall(f"telegram:{BOT_ID}:aside:{poison['update_id']}") or "{}") == poison


# ---------------------------------------------------------------- polling


def test_one_of_two_processes_polls_and_the_other_takes_over_when_it_is_killed(polling: Scene) -> None:
    first, _ = polling.start(), polling.start()
    polling.finish(polling.say("one"))
    polled = len(polling.telegram.calls("getUpdates"))
    polling.telegram.wait(lambda: len(polling.telegram.calls("getUpdates")) >= polled + 1)
    assert conflicts(polling) == []
    first.kill()
    polling.finish(polling.say("two"))
    polling.check({USER: ["one", "two"]})
    assert len(conflicts(polling)) <= 1  # for the killed process, whose long poll Telegram still considers open


# ---------------------------------------------------------------- database unavailable, rate limits


def test_an_update_is_answered_with_503_while_the_database_is_locked_and_redelivered(webhook: Scene) -> None:
    webhook.start(database_seconds=0.5)
    webhook.finish(webhook.say("one"))
    with closing(sqlite3.connect(webhook.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        number = webhook.say(SHORT)
        webhook.telegram.wait(lambda: webhook.telegram.deliveries[-1].status == 503)
        other.execute("ROLLBACK")
    webhook.finish(number)
    webhook.check({USER: ["one", SHORT]})
    assert {delivery.status for delivery in webhook.telegram.deliveries} == {200, 503}


def test_a_rate_limited_chat_does_not_delay_others(tmp_path: Path, sqlite_url: str) -> None:
    """Telegram's clock is stopped: after three messages a chat accepts no more until the clock moves."""
    now = [time.time()]
    with stage(tmp_path, sqlite_url, limits=True, clock=lambda: now[0]) as scene:
        scene.start(TELEGRAM_STREAMING="off")
        said = [scene.say(text) for text in ("one", "two", "three", "four")]
        scene.telegram.wait(lambda: any(call.answered == "429" for call in scene.telegram.calls("sendMessage")))
        scene.finish(scene.say(SHORT, OTHER), OTHER)
        assert len(scene.telegram.answers()) < len(said)
        now[0] += 60
        finish(scene, {USER: said})
        scene.check({USER: ["one", "two", "three", "four"], OTHER: [SHORT]})


def test_a_process_stopped_while_writing_leaves_its_message_to_the_next_process(scene: Scene) -> None:
    scene.openai.chunk_delay = 0.5
    first = scene.start(GRACE_SECONDS="0.3")
    number = scene.say(SHORT)
    scene.telegram.wait(scene.telegram.drafts)
    first.tell_to_stop()
    assert first.ended() == 0
    assert scene.telegram.answers() == []
    scene.openai.chunk_delay = 0.0
    scene.start()
    scene.finish(number)
    scene.check({USER: [SHORT]})
