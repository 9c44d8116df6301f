"""What Telegram repeats or refuses, what nobody can read, and who fetches: nothing is lost, said twice, or held up."""

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
from tests.faults.strike import play
from tests.faults.telegram_scene import SHORT, Scene, Way, stage

OTHER = 1002
"""Another person, and their private chat."""
POISON: Json = {"chat": {"id": USER, "type": "private"}, "text": "Hello", "date": 1}
"""A message without its number."""


@pytest.fixture(params=["polling", "webhook"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
    way: Way = request.param
    with stage(tmp_path, sqlite_url, way) as scene:
        yield scene


@pytest.fixture
def fetching(tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
    with stage(tmp_path, sqlite_url, "polling") as scene:
        yield scene


@pytest.fixture
def brought(tmp_path: Path, sqlite_url: str) -> Iterator[Scene]:
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
    """Where a process dies that has been given a batch."""

    way: Way
    dies: str


BLOWS = (
    Blow("polling", "before record"),
    Blow("polling", "after record"),
    Blow("polling", "before it acknowledges"),
    Blow("webhook", "before record"),
    Blow("webhook", "after record"),
)


def test_a_process_that_is_killed_in_the_middle_of_a_batch_leaves_all_of_it_to_the_next(
    tmp_path: Path, empty_sqlite: Path
) -> None:
    """Nothing, some or all of it is committed; Telegram knows of none of that."""

    def act(scene: Scene, blow: Blow) -> None:
        said = {USER: [scene.say("one"), scene.say("two")], OTHER: [scene.say("three", OTHER)]}
        if blow.dies == "before it acknowledges":
            kill_where_it_acknowledges(scene)
        else:
            assert scene.start(dies=blow.dies).ended() == -signal.SIGKILL
        assert len(scene.telegram.pending()) == 3
        scene.start()
        finish(scene, said)
        scene.check({USER: ["one", "two"], OTHER: ["three"]})

    play(tmp_path, empty_sqlite, lambda folder, url, blow: stage(folder, url, blow.way), act, BLOWS)


def kill_where_it_acknowledges(scene: Scene) -> None:
    """All is committed when it asks for what comes next, which it never gets to say."""
    reached, killed = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        if "offset" in call.args and not killed.is_set():
            reached.set()
            killed.wait(20)

    scene.telegram.faults.add("getUpdates", Refuse(skip=1))
    scene.telegram.faults.before("getUpdates", hold)
    doomed = scene.start()
    assert reached.wait(20)
    doomed.kill()
    killed.set()


def test_what_telegram_brings_again_after_the_reply_makes_no_second_turn(scene: Scene) -> None:
    scene.start()
    first = update(message=message(SHORT, message_id=50))
    scene.telegram.push(first)
    scene.finish(50)
    scene.telegram.redeliver(first)
    scene.finish(scene.say("and now?"))
    scene.check({USER: [SHORT, "and now?"]})
    brought = [one.status for one in scene.telegram.deliveries if one.update_id == first["update_id"]]
    assert brought[-2:] == ([200, 200] if scene.way == "webhook" else [])


def test_an_update_that_nobody_can_read_is_kept_aside_and_holds_up_nobody(scene: Scene) -> None:
    poison = update(message=POISON)
    scene.telegram.push(poison)
    number = scene.say(SHORT)
    scene.start()
    scene.finish(number)
    scene.check({USER: [SHORT]})
    with closing(SqlStore(scene.url)) as store:
        assert json.loads(store.recall(f"telegram:{BOT_ID}:aside:{poison['update_id']}") or "{}") == poison


# ---------------------------------------------------------------- who fetches


def test_of_two_processes_one_fetches_until_it_is_killed_and_then_the_other(fetching: Scene) -> None:
    first, _ = fetching.start(), fetching.start()
    fetching.finish(fetching.say("one"))
    polled = len(fetching.telegram.calls("getUpdates"))
    fetching.telegram.wait(lambda: len(fetching.telegram.calls("getUpdates")) >= polled + 1)
    assert conflicts(fetching) == []
    first.kill()
    fetching.finish(fetching.say("two"))
    fetching.check({USER: ["one", "two"]})
    assert len(conflicts(fetching)) <= 1  # to the one who is dead, of whom Telegram does not know that


# ---------------------------------------------------------------- what is away, and what is too much


def test_a_database_that_is_away_is_told_to_telegram_which_brings_it_again(brought: Scene) -> None:
    brought.start(database_seconds=0.5)
    brought.finish(brought.say("one"))
    with closing(sqlite3.connect(brought.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        number = brought.say(SHORT)
        brought.telegram.wait(lambda: brought.telegram.deliveries[-1].status == 503)
        other.execute("ROLLBACK")
    brought.finish(number)
    brought.check({USER: ["one", SHORT]})
    assert {delivery.status for delivery in brought.telegram.deliveries} == {200, 503}


def test_a_chat_that_must_wait_holds_up_no_other(tmp_path: Path, sqlite_url: str) -> None:
    """Telegram's clock stands still: after three messages in a chat it takes no more there until it goes on."""
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


def test_a_process_that_is_told_to_stop_while_it_writes_leaves_the_message_to_the_next(scene: Scene) -> None:
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
