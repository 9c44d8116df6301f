"""The commands ``block``, ``unblock`` and ``blocked``, and what all commands write to the audit trail."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from click.testing import CliRunner, Result

from gateway.cli import callbacks, people, push
from gateway.cli import turns as turn_commands
from gateway.cli.main import OneLineErrorGroup
from gateway.domain.models import TurnState
from gateway.operations import BackendThreads
from gateway.ports.audit_trail import ActionFilter
from gateway.ports.callbacks import Callback
from gateway.ports.people import PersonId
from gateway.push.messages import PushMessages
from storage.store import SqlStore
from tests.contracts.reporting_helpers import answered_turn, enqueue_message, failed_turn
from tests.contracts.store_helpers import PLATFORM, get_turn
from tests.fakes.platform import FakePlatform
from tests.gateway.cli.test_push import ROUTER
from tests.gateway.operations_harness import UndeletableThreadAssistant

RunCommand = Callable[..., Result]
ADA = PersonId(PLATFORM, "Ada")
WHO = ("--platform", PLATFORM, "--user", "Ada")


@pytest.fixture
def books(sqlite_url: str) -> Iterator[SqlStore]:
    books = SqlStore(sqlite_url)
    yield books
    books.close()


@pytest.fixture
def run(books: SqlStore) -> RunCommand:
    assistant = UndeletableThreadAssistant()
    context = push.PushContext(
        *(PushMessages([FakePlatform()], ROUTER), books, books.schedules, books.audit_trail, books.now(), 100, 100),
        max_backlog=3,
    )
    commands = (
        *people.commands(lambda: nullcontext(books), lambda: [PLATFORM]),
        *turn_commands.commands(
            lambda: nullcontext(books), BackendThreads(lambda _: assistant, asyncio.run), lambda: [PLATFORM]
        ),
        *push.commands(lambda: nullcontext(context)),
        callbacks.command(lambda: nullcontext((books.callbacks, books.audit_trail))),
    )
    program = OneLineErrorGroup(commands={command.name or "": command for command in commands})
    return lambda *args: CliRunner().invoke(program, args)


def test_a_person_is_blocked_listed_and_unblocked(run: RunCommand, books: SqlStore) -> None:
    waiting = enqueue_message(books)
    others = enqueue_message(books, "roof", author="Ben")
    assert run("block", *WHO, "--reason", "spam\x1b[2J").stdout == f"Blocked {PLATFORM}:Ada.\n"
    assert get_turn(books, waiting).state is TurnState.CANCELLED
    assert get_turn(books, others).state is TurnState.QUEUED
    again = run("block", *WHO)
    assert (again.exit_code, again.stderr) == (1, f"Error: {PLATFORM}:Ada is blocked already.\n")
    books.blocks.count_refused({ADA: 3})
    assert f"{PLATFORM}:Ada" in run("blocked").stdout
    assert "\x1b" not in run("blocked").stdout
    (shown,) = map(json.loads, run("blocked", "--json").stdout.splitlines())
    assert (shown["user"], shown["refused"], shown["reason"]) == ("Ada", 3, "spam\x1b[2J")
    assert run("unblock", *WHO).exit_code == 0
    assert run("unblock", *WHO).exit_code == 1
    assert books.blocks.listed() == []


def test_no_name_is_a_line_of_its_own_or_speaks_to_the_terminal(run: RunCommand) -> None:
    shown = run("block", "--platform", PLATFORM, "--user", "Ada\nBlocked fake:Bob.\x1b[2J").output
    assert shown.splitlines() == [f"Blocked {PLATFORM}:Ada Blocked fake:Bob. [2J."]
    assert len(run("blocked").output.splitlines()) == 1


def test_nobody_is_blocked_on_a_platform_that_there_is_not(run: RunCommand) -> None:
    result = run("block", "--platform", "slcak", "--user", "Ada")
    assert (result.exit_code, result.stderr) == (1, f"Error: There is no platform 'slcak'; write one of {PLATFORM}.\n")


@pytest.mark.parametrize("command", ["blocked", "schedules", "callbacks", "callbacks --dead"])
def test_a_list_of_nothing_says_so_beside_its_output(run: RunCommand, command: str) -> None:
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(".\n")


def test_every_command_that_changes_something_is_in_the_audit_trail(run: RunCommand, books: SqlStore) -> None:
    failed, other = failed_turn(books), failed_turn(books, "roof")
    answered = answered_turn(books, "tower")
    books.callbacks.add(Callback("msg_1", "msg_1", "https://example.com/", "turn.failed", answered.id, "{}"), 9)
    (claimed,) = books.callbacks.claim(1, 60.0)[1]
    books.callbacks.mark_failed(claimed, "the receiver answered 410", None)
    where = ("--platform", "fake", "--channel", "c")
    run("retry", failed.id)
    run("retry", "--failed", "--yes")
    run("callbacks", "--resend", "msg_1")
    sent = run("send", *where, "Ready.").stdout.strip()
    schedule = run("send", *where, "--every", "0 9 * * *", "Ready.").stdout.strip()
    run("schedules", "--cancel", schedule)
    run("block", *WHO, "--reason", "spam")
    run("unblock", *WHO)
    run("export", *WHO)
    run("forget", *WHO, "--yes", "--leave-threads")
    for unchanged in (("turns",), ("blocked",), ("schedules",), ("unblock", *WHO), ("retry", failed.id)):
        run(*unchanged)
    found = books.audit_trail.find(ActionFilter(), limit=50)[::-1]
    assert [(each.action, each.target) for each in found] == [
        ("turn.retried", failed.id),
        ("turn.retried", other.id),
        ("callback.resent", "msg_1"),
        ("message.sent", sent),
        ("schedule.added", schedule),
        ("schedule.cancelled", schedule),
        ("person.blocked", f"{PLATFORM}:Ada"),
        ("person.unblocked", f"{PLATFORM}:Ada"),
        ("person.exported", f"{PLATFORM}:Ada"),
        ("person.forgotten", f"{PLATFORM}:Ada"),
    ]
    assert all(each.actor.startswith(f"command line: {getpass.getuser()}@") for each in found)
