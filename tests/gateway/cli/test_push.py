"""The commands ``send`` and ``schedules``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from click.testing import CliRunner, Result

from gateway.cli import push
from gateway.cli.main import OneLineErrorGroup
from gateway.configuration import CurrentConfiguration, RouteRule
from gateway.domain.models import TurnId, TurnState
from gateway.policy.routes import AssistantRouter
from gateway.push.messages import PushMessages
from storage.store import SqlStore
from tests.fakes.platform import FakePlatform
from tests.gateway.one_assistant import configuration

RunCommand = Callable[..., Result]
ROUTES = (RouteRule("fake", "support", channel="c"),)
ROUTER = AssistantRouter(CurrentConfiguration(configuration("support", "clerk", routes=ROUTES)))
WHERE = ("--platform", "fake", "--channel", "c")


@pytest.fixture
def store(sqlite_url: str) -> Iterator[SqlStore]:
    store = SqlStore(sqlite_url)
    yield store
    store.close()


@pytest.fixture
def run(store: SqlStore) -> RunCommand:
    context = push.PushContext(
        *(PushMessages([FakePlatform()], ROUTER), store, store.schedules, store.audit_trail, store.now(), 100, 100),
        max_backlog=3,
    )

    def run_command(*args: str) -> Result:
        commands = push.commands(lambda: nullcontext(context))
        group = OneLineErrorGroup(commands={command.name or "": command for command in commands})
        return CliRunner().invoke(group, args)

    return run_command


def test_a_text_is_recorded_for_a_running_gateway(run: RunCommand, store: SqlStore) -> None:
    first, again = (run("send", *WHERE, "--key", "k", "Ready.").stdout.strip() for _ in range(2))
    assert first == again
    turn = store.get_turn(TurnId(first))
    assert turn is not None
    assert (turn.state, turn.reply, turn.message.caller) == (TurnState.ANSWERED, "Ready.", "push operator")


def test_a_prompt_is_recorded_to_be_asked(run: RunCommand, store: SqlStore) -> None:
    turn = store.get_turn(TurnId(run("send", *WHERE, "--prompt", "Sum up").stdout.strip()))
    assert turn is not None
    assert (turn.state, turn.message.text) == (TurnState.QUEUED, "Sum up")


@pytest.mark.parametrize("prompt", [(), ("--prompt",)])
def test_the_channel_decides_which_assistant_is_asked_unless_one_is_named(
    run: RunCommand, store: SqlStore, prompt: tuple[str, ...]
) -> None:
    by_route = run("send", *WHERE, *prompt, "One").stdout.strip()
    named = run("send", *WHERE, *prompt, "--assistant", "clerk", "Two").stdout.strip()
    asked = [store.get_turn(TurnId(turn)) for turn in (by_route, named)]
    assert [turn and turn.assistant for turn in asked] == ["support", "clerk"]


def test_a_full_conversation_is_named(run: RunCommand) -> None:
    results = [run("send", *WHERE, "Ready.") for _ in range(4)]
    assert [result.exit_code for result in results] == [0, 0, 0, 1]
    assert results[3].stderr.startswith("Error: 3 messages in this conversation are waiting")


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (("--every", "sometimes", "Hello"), "five fields"),
        (("--at", "2001-01-01T00:00:00Z", "Hello"), "has passed"),
        (("",), "must not be empty"),
        (("--assistant", "nobody", "Hello"), "no assistant 'nobody'. Those set up here: default, support, clerk."),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(run: RunCommand, args: tuple[str, ...], names: str) -> None:
    result = run("send", *WHERE, *args)
    assert result.exit_code == 1
    assert names in result.stderr
    assert result.stderr.count("\n") == 1


def test_schedules_are_listed_and_cancelled(run: RunCommand) -> None:
    name = run("send", *WHERE, "--every", "0 9 * * *", "--time-zone", "Asia/Tokyo", "Good\nmorning").stdout.strip()
    (line,) = run("schedules").stdout.splitlines()
    assert line.startswith(f"{name}  ")
    assert line.endswith("T00:00:00.000Z  0 9 * * * Asia/Tokyo  fake c  Good morning")
    assert json.loads(run("schedules", "--json").stdout)["schedule_id"] == name
    assert run("schedules", "--cancel", name).stdout == f"Cancelled {name}.\n"
    assert "  over  " in run("schedules").stdout
    assert run("schedules", "--cancel", name).exit_code == 1
