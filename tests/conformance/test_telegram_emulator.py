"""The gateway works with a third-party Telegram emulator, by long polling and by webhook."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

import pytest

from adapters.telegram.reconciler import SENT_AGAIN
from tests.conformance.pypi import NotToBeHad
from tests.conformance.serve_process import Program, free_port
from tests.conformance.telegram_emulator import TOKEN, OtherTelegram
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.platform_faults import Call
from tests.fakes.telegram_messages import SECRET, message

pytestmark = pytest.mark.conformance

Way = Literal["polling", "webhook"]
people = count(5001)


@dataclass(frozen=True)
class World:
    telegram: OtherTelegram
    openai: FakeOpenAI
    way: Way
    start: Callable[[], Program]

    def conversation(self, text: str) -> list[str]:
        """Returns the user messages of the only conversation that contains this text."""
        heard = [texts for name in self.openai.conversations if text in (texts := self.openai.user_texts(name))]
        assert len(heard) == 1
        return heard[0]


@pytest.fixture(params=["polling", "webhook"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    way: Way = request.param
    try:
        telegram = OtherTelegram(tmp_path)
    except NotToBeHad as reason:
        pytest.skip(f"the Telegram emulator is not available: {reason}")
    with telegram, FakeOpenAI() as openai:
        port = free_port()
        settings = {"TELEGRAM_API_URL": telegram.url, "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_STREAMING": "off"}
        if way == "webhook":
            settings |= {"TELEGRAM_WEBHOOK_SECRET": SECRET, "PUBLIC_URL": f"http://127.0.0.1:{port}"}
        yield World(telegram, openai, way, lambda: Program(tmp_path, openai, port, **settings))


@pytest.fixture
def running(world: World) -> Iterator[World]:
    program = world.start()
    with closing(program):
        yield world
    assert program.status == 0, program.said()


def say(world: World, who: int, text: str) -> None:
    world.telegram.push({"message": message(text, chat=who)})


def hear(world: World, who: int, count: int) -> list[str]:
    """Waits until a user has at least ``count`` messages of the bot and returns them."""
    world.telegram.wait(lambda: len(world.telegram.said(who)) >= count)
    return world.telegram.said(who)


def test_a_message_is_answered_and_the_next_one_remembers_it(running: World) -> None:
    ann = next(people)
    say(running, ann, "My name is Ann & I say <so>")
    assert hear(running, ann, 1) == ["You said: My name is Ann & I say <so>"]
    say(running, ann, "Who am I?")
    assert hear(running, ann, 2)[1:] == ["You said: Who am I?"]
    assert running.conversation("Who am I?") == ["My name is Ann & I say <so>", "Who am I?"]


def test_updates_are_acknowledged(running: World) -> None:
    ann = next(people)
    say(running, ann, "Hello")
    hear(running, ann, 1)
    running.telegram.wait(lambda: running.telegram.pending() == 0)


def test_a_long_reply_is_sent_as_several_messages(running: World) -> None:
    ann = next(people)
    running.openai.reply = "A long day. " * 500
    say(running, ann, "How was it?")
    parts = hear(running, ann, 2)
    assert " ".join(parts).split() == running.openai.reply.split()


def test_a_message_in_two_updates_is_answered_once(running: World) -> None:
    ann = next(people)
    written = message("Hello", chat=ann)
    running.telegram.push({"message": written})
    running.telegram.push({"message": written})
    say(running, ann, "And now?")
    assert hear(running, ann, 2) == ["You said: Hello", "You said: And now?"]


def test_commands_are_answered_and_are_in_the_menu(running: World) -> None:
    ann = next(people)
    for number, command in enumerate(("/start", "/help", "/new")):
        say(running, ann, command)
        assert hear(running, ann, number + 1)[number]
    menus = running.telegram.wait(lambda: [one for one in running.telegram.calls if one.method == "setMyCommands"])
    assert {menu.answered for menu in menus} == {"200"}


def test_messages_sent_while_the_gateway_is_down_are_answered_in_order_afterwards(world: World) -> None:
    ann = next(people)
    with closing(world.start()):
        say(world, ann, "one")
        hear(world, ann, 1)
    say(world, ann, "two")
    say(world, ann, "three")
    with closing(world.start()):
        assert hear(world, ann, 3) == ["You said: one", "You said: two", "You said: three"]
    assert world.conversation("two") == ["one", "two", "three"]


@pytest.mark.parametrize("world", ["polling"], indirect=True)
def test_a_batch_that_is_recorded_but_not_acknowledged_makes_no_second_turns(world: World) -> None:
    """Kills the gateway when it polls for the next updates, before that request reaches the emulator."""
    ann, bob = next(people), next(people)
    say(world, ann, "one")
    say(world, bob, "two")
    reached, killed = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        if "offset" in call.args and not killed.is_set():
            reached.set()
            killed.wait(20)

    world.telegram.faults.before("getUpdates", hold)
    program = world.start()
    assert reached.wait(20)
    program.kill()
    assert world.telegram.pending() == 2
    killed.set()
    with closing(world.start()):
        say(world, ann, "three")
        assert without_label(hear(world, ann, 2)) == ["You said: one", "You said: three"]
        assert without_label(hear(world, bob, 1)) == ["You said: two"]
    assert world.conversation("one") == ["one", "three"]


def without_label(said: list[str]) -> list[str]:
    """Removes the label of repeated replies: a gateway killed while sending labels the repetition."""
    return list(dict.fromkeys(text.removeprefix(SENT_AGAIN).strip() for text in said))


def test_all_calls_are_accepted(running: World) -> None:
    ann = next(people)
    say(running, ann, "Hello **there**, see [it](https://example.com)")
    hear(running, ann, 1)
    running.telegram.wait(lambda: running.telegram.pending() == 0)
    assert running.telegram.refused() == []
