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
from tests.conformance.pypi import WheelUnavailable
from tests.conformance.serve_process import GatewayServeProcess, free_port
from tests.conformance.telegram_emulator import TOKEN, TelegramEmulator
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.platform_faults import RecordedCall
from tests.fakes.telegram_messages import SECRET, message_json

pytestmark = pytest.mark.conformance

ReceiveMode = Literal["polling", "webhook"]
user_ids = count(5001)


@dataclass(frozen=True)
class EmulatorSetup:
    telegram: TelegramEmulator
    openai: FakeOpenAI
    mode: ReceiveMode
    start: Callable[[], GatewayServeProcess]

    def conversation_with(self, text: str) -> list[str]:
        """Returns the user messages of the only conversation that contains this text."""
        heard = [texts for name in self.openai.conversations if text in (texts := self.openai.user_texts(name))]
        assert len(heard) == 1
        return heard[0]


@pytest.fixture(params=["polling", "webhook"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmulatorSetup]:
    way: ReceiveMode = request.param
    try:
        telegram = TelegramEmulator(tmp_path)
    except WheelUnavailable as reason:
        pytest.skip(f"the Telegram emulator is not available: {reason}")
    with telegram, FakeOpenAI() as openai:
        port = free_port()
        settings = {"TELEGRAM_API_URL": telegram.url, "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_STREAMING": "off"}
        if way == "webhook":
            settings |= {"TELEGRAM_WEBHOOK_SECRET": SECRET, "PUBLIC_URL": f"http://127.0.0.1:{port}"}
        yield EmulatorSetup(telegram, openai, way, lambda: GatewayServeProcess(tmp_path, openai, port, **settings))


@pytest.fixture
def running(world: EmulatorSetup) -> Iterator[EmulatorSetup]:
    program = world.start()
    with closing(program):
        yield world
    assert program.exit_status == 0, program.log_text()


def send_message(world: EmulatorSetup, user_id: int, text: str) -> None:
    world.telegram.push_update({"message": message_json(text, chat=user_id)})


def wait_for_messages(world: EmulatorSetup, user_id: int, count: int) -> list[str]:
    """Waits until a user has at least ``count`` messages of the bot and returns them."""
    world.telegram.wait_until(lambda: len(world.telegram.bot_messages(user_id)) >= count)
    return world.telegram.bot_messages(user_id)


def test_a_message_is_answered_and_the_next_one_remembers_it(running: EmulatorSetup) -> None:
    ann = next(user_ids)
    send_message(running, ann, "My name is Ann & I say <so>")
    assert wait_for_messages(running, ann, 1) == ["You said: My name is Ann & I say <so>"]
    send_message(running, ann, "Who am I?")
    assert wait_for_messages(running, ann, 2)[1:] == ["You said: Who am I?"]
    assert running.conversation_with("Who am I?") == ["My name is Ann & I say <so>", "Who am I?"]


def test_updates_are_acknowledged(running: EmulatorSetup) -> None:
    ann = next(user_ids)
    send_message(running, ann, "Hello")
    wait_for_messages(running, ann, 1)
    running.telegram.wait_until(lambda: running.telegram.pending_updates() == 0)


def test_a_long_reply_is_sent_as_several_messages(running: EmulatorSetup) -> None:
    ann = next(user_ids)
    running.openai.reply = "A long day. " * 500
    send_message(running, ann, "How was it?")
    parts = wait_for_messages(running, ann, 2)
    assert " ".join(parts).split() == running.openai.reply.split()


def test_a_message_in_two_updates_is_answered_once(running: EmulatorSetup) -> None:
    ann = next(user_ids)
    written = message_json("Hello", chat=ann)
    running.telegram.push_update({"message": written})
    running.telegram.push_update({"message": written})
    send_message(running, ann, "And now?")
    assert wait_for_messages(running, ann, 2) == ["You said: Hello", "You said: And now?"]


def test_commands_are_answered_and_are_in_the_menu(running: EmulatorSetup) -> None:
    ann = next(user_ids)
    for number, command in enumerate(("/start", "/help", "/new")):
        send_message(running, ann, command)
        assert wait_for_messages(running, ann, number + 1)[number]
    menus = running.telegram.wait_until(
        lambda: [one for one in running.telegram.calls if one.method == "setMyCommands"]
    )
    assert {menu.summary for menu in menus} == {"200"}


def test_messages_sent_while_the_gateway_is_down_are_answered_in_order_afterwards(world: EmulatorSetup) -> None:
    ann = next(user_ids)
    with closing(world.start()):
        send_message(world, ann, "one")
        wait_for_messages(world, ann, 1)
    send_message(world, ann, "two")
    send_message(world, ann, "three")
    with closing(world.start()):
        assert wait_for_messages(world, ann, 3) == ["You said: one", "You said: two", "You said: three"]
    assert world.conversation_with("two") == ["one", "two", "three"]


@pytest.mark.parametrize("world", ["polling"], indirect=True)
def test_a_batch_that_is_recorded_but_not_acknowledged_makes_no_second_turns(world: EmulatorSetup) -> None:
    """Kills the gateway when it polls for the next updates, before that request reaches the emulator."""
    ann, bob = next(user_ids), next(user_ids)
    send_message(world, ann, "one")
    send_message(world, bob, "two")
    reached, killed = threading.Event(), threading.Event()

    def hold(call: RecordedCall) -> None:
        if "offset" in call.args and not killed.is_set():
            reached.set()
            killed.wait(20)

    world.telegram.faults.before("getUpdates", hold)
    program = world.start()
    assert reached.wait(20)
    program.kill()
    assert world.telegram.pending_updates() == 2
    killed.set()
    with closing(world.start()):
        send_message(world, ann, "three")
        assert without_label(wait_for_messages(world, ann, 2)) == ["You said: one", "You said: three"]
        assert without_label(wait_for_messages(world, bob, 1)) == ["You said: two"]
    assert world.conversation_with("one") == ["one", "three"]


def without_label(said: list[str]) -> list[str]:
    """Removes the label of repeated replies: a gateway killed while sending labels the repetition."""
    return list(dict.fromkeys(text.removeprefix(SENT_AGAIN).strip() for text in said))


def test_all_calls_are_accepted(running: EmulatorSetup) -> None:
    ann = next(user_ids)
    send_message(running, ann, "Hello **there**, see [it](https://example.com)")
    wait_for_messages(running, ann, 1)
    running.telegram.wait_until(lambda: running.telegram.pending_updates() == 0)
    assert running.telegram.refused_calls() == []
