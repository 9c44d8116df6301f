"""How updates are fetched: by one process, in order, and acknowledged when they are committed and not before."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess

import pytest
from structlog.testing import capture_logs

from adapters.base import error_map as base_error_map
from adapters.base.background_task import BackgroundTask
from adapters.telegram import error_map
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.polling import LEASE_SECONDS, POLL_SECONDS, PollingClient
from adapters.telegram.registration import PATH, UPDATES
from adapters.telegram.update_parser import UpdateParser
from gateway.domain.errors import GatewayError, Overloaded, StoreUnavailable
from gateway.domain.models import ConversationKey
from gateway.ports.platform import ParsedUpdate
from gateway.worker.worker import run_once
from storage.store import SqlStore
from tests.adapters.chat import in_thread
from tests.adapters.telegram import polling_program
from tests.adapters.telegram.receiving import SOON, ends_soon, listening, make_receiver, polling, settings
from tests.fakes.memory import FakeMemory
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.telegram_server import ConnectionRefused, FakeTelegram, HangingCall, ResponseLost, TelegramErrorFault
from tests.fakes.telegram_updates import (
    BOT_ID,
    BOT_NAME,
    GROUP,
    TOKEN,
    UPDATE_KINDS,
    USER,
    button_pressed,
    message_json,
    update,
)
from tests.fakes.unparsed_updates import FakeUnparsedUpdates
from tests.faults.crashing_process import fork_context
from tests.waiting import until

PUBLIC = "https://bot.example.com"
LEASE = f"telegram:{BOT_ID}:poll"
FAILED = 3


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may work again may do so at once."""
    for module in (base_error_map, error_map):
        monkeypatch.setattr(module, "SOON", 0.01)


def fetches(telegram: FakeTelegram) -> int:
    return len(telegram.calls("getUpdates"))


# ---------------------------------------------------------------- what comes in


def test_what_people_say_is_fetched_in_order_and_acknowledged(telegram: FakeTelegram) -> None:
    inbox = RecordingInbox()
    telegram.user_says("before anybody was there")
    with listening(make_receiver(settings(telegram), FakeMemory()), inbox):
        for number in range(250):
            telegram.user_says(str(number))
        telegram.wait_until_acknowledged()
    assert inbox.texts == ["before anybody was there", *map(str, range(250))]
    assert telegram.allowed_updates == set(UPDATES)
    assert telegram.commands
    assert {call.summary for call in telegram.calls("getUpdates")} <= {"ok", ""}


def test_the_bot_knows_its_name_before_it_fetches(telegram: FakeTelegram) -> None:
    inbox = RecordingInbox()
    telegram.user_says(f"@{BOT_NAME} hello", chat_id=GROUP)
    telegram.faults.add("getMe", TelegramErrorFault(401))
    with capture_logs() as logs, listening(make_receiver(settings(telegram), FakeMemory()), inbox):
        telegram.wait_until_acknowledged()
    assert inbox.texts == ["hello"]
    assert "TELEGRAM_BOT_TOKEN" in str(logs)


def test_every_kind_of_update_is_acknowledged(telegram: FakeTelegram) -> None:
    unparsed, inbox = FakeUnparsedUpdates(), RecordingInbox()
    with polling(settings(telegram), FakeMemory(), inbox, unparsed):
        until(lambda: telegram.allowed_updates == set(UPDATES))
        for kind in UPDATES:
            telegram.push_update(update(**{kind: UPDATE_KINDS[kind]}))
        telegram.wait_until_acknowledged()
    assert len(inbox.taken) == len(UPDATES)
    assert unparsed.kept == []


def test_telegram_is_asked_for_every_kind_that_is_read() -> None:
    parser = UpdateParser(settings(telegram_groups="always"), BotIdentity(BOT_ID, BOT_NAME))
    told = {kind: update(**{kind: UPDATE_KINDS[kind]}) for kind in UPDATE_KINDS}
    told["callback_query"] = update(callback_query=button_pressed("yes:appr_1.abc"))
    read = {kind for kind, one in told.items() if parser.parse(one) != ParsedUpdate()}
    assert read == set(UPDATES)


def test_an_update_is_committed_before_it_is_acknowledged(telegram: FakeTelegram) -> None:
    waiting: list[int] = []
    inbox = RecordingInbox(before=lambda _: waiting.append(len(telegram.pending_updates())))
    for number in range(5):
        telegram.user_says(str(number))
    with polling(settings(telegram), FakeMemory(), inbox):
        telegram.wait_until_acknowledged()
    assert waiting == [5, 5, 5, 5, 5]


# ---------------------------------------------------------------- what goes wrong here


@pytest.mark.parametrize("fault", [StoreUnavailable("postgresql://u:pw@h"), Overloaded(retry_after=0.01)])
def test_what_cannot_be_committed_is_fetched_again_and_order_is_kept(
    telegram: FakeTelegram, fault: GatewayError
) -> None:
    faults: list[Exception] = [fault, fault, fault]

    def fail_at_the_third(receipt: ParsedUpdate) -> None:
        if faults and receipt.messages[0].text == "2":
            raise faults.pop()

    inbox = RecordingInbox(before=fail_at_the_third)
    for number in range(5):
        telegram.user_says(str(number))
    with capture_logs() as logs, polling(settings(telegram), FakeMemory(), inbox):
        telegram.wait_until_acknowledged()
    assert inbox.texts == ["0", "1", "2", "3", "4"]
    offsets = [call.args.get("offset") for call in telegram.calls("getUpdates")]
    assert offsets[0] is None
    assert len(set(offsets[1:4])) == 1
    assert [entry["code"] for entry in logs if "code" in entry] == [fault.code] * 3


def test_an_update_that_nobody_can_take_is_kept_aside_and_blocks_nobody(telegram: FakeTelegram) -> None:
    bug = RuntimeError("a bug")
    unparsed, inbox = FakeUnparsedUpdates(), RecordingInbox(faults=[bug])
    broken = update(message=message_json("breaks us"))
    unreadable = update(message=message_json("from nowhere") | {"chat": {"id": USER}})
    for one in (broken, unreadable, update(message=message_json("behind them"))):
        telegram.push_update(one)
    with capture_logs() as logs, polling(settings(telegram), FakeMemory(), inbox, unparsed):
        telegram.wait_until_acknowledged()
    assert inbox.texts == ["behind them"]
    assert [json.loads(kept.body) for kept in unparsed.kept] == [broken, unreadable]
    assert [kept.update_id for kept in unparsed.kept] == [str(one["update_id"]) for one in (broken, unreadable)]
    assert {(kept.workspace, kept.author) for kept in unparsed.kept} == {(str(BOT_ID), str(USER))}
    assert [entry["exc_info"] for entry in logs if "exc_info" in entry] == [bug]
    assert "breaks us" not in str(logs)


def test_what_cannot_be_kept_aside_is_not_acknowledged(telegram: FakeTelegram) -> None:
    unparsed = FakeUnparsedUpdates()
    unparsed.faults += [StoreUnavailable(), StoreUnavailable()]
    telegram.push_update(update(message={}))
    with polling(settings(telegram), FakeMemory(), RecordingInbox(), unparsed):
        telegram.wait_until_acknowledged()
    assert len(unparsed.kept) == 1


# ---------------------------------------------------------------- one of many


def test_of_many_processes_one_fetches_and_another_goes_on_when_it_ends(
    telegram: FakeTelegram, sqlite_store: SqlStore
) -> None:
    known, inboxes = settings(telegram), [RecordingInbox(), RecordingInbox()]
    with polling(known, sqlite_store, inboxes[0]) as first:
        telegram.wait_until(lambda: fetches(telegram))
        with polling(known, sqlite_store, inboxes[1]):
            telegram.user_says("one")
            telegram.wait_until_acknowledged()
            assert [inbox.texts for inbox in inboxes] == [["one"], []]
            ends_soon(first.stop)
            telegram.user_says("two")
            telegram.wait_until_acknowledged()
    assert [inbox.texts for inbox in inboxes] == [["one"], ["two"]]
    assert "409" not in {call.summary for call in telegram.calls("getUpdates")}


def test_who_lost_the_lease_acknowledges_nothing_more(telegram: FakeTelegram) -> None:
    memory = FakeMemory()

    def lose(_: ParsedUpdate) -> None:
        if not inbox.taken:
            memory.holders[LEASE] = "another"

    inbox = RecordingInbox(before=lose)
    telegram.user_says("taken here, and there again")
    with capture_logs() as logs, polling(settings(telegram), memory, inbox):
        until(lambda: any("another process" in entry["event"] for entry in logs))
        assert len(telegram.pending_updates()) == fetches(telegram) == 1
        del memory.holders[LEASE]
        telegram.wait_until(lambda: fetches(telegram) > 1)
        assert telegram.calls("getUpdates")[1].args.get("offset") is None
    assert memory.holders == {}


def test_the_lease_outlasts_a_fetch() -> None:
    assert LEASE_SECONDS > POLL_SECONDS


# ---------------------------------------------------------------- what goes wrong there


def test_it_goes_on_when_telegram_is_reached_again(telegram: FakeTelegram) -> None:
    telegram.user_says("hello")
    telegram.faults.add("getUpdates", ConnectionRefused(), ResponseLost())
    inbox = RecordingInbox()
    with capture_logs() as logs, polling(settings(telegram), FakeMemory(), inbox):
        telegram.wait_until_acknowledged()
    assert inbox.texts == ["hello"]
    assert [entry["code"] for entry in logs if entry["log_level"] == "warning"] == ["platform_unreachable"] * 2
    assert TOKEN not in str(logs)


def test_a_token_that_telegram_does_not_take_is_said_to_be_wrong_and_tried_again(telegram: FakeTelegram) -> None:
    telegram.faults.add("getUpdates", TelegramErrorFault(401, times=2))
    telegram.user_says("hello")
    with capture_logs() as logs, polling(settings(telegram), FakeMemory(), RecordingInbox()):
        telegram.wait_until_acknowledged()
    errors = [entry["error"] for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 2
    assert all("TELEGRAM_BOT_TOKEN" in error for error in errors)


def set_webhook(telegram: FakeTelegram, url: str) -> None:
    async def ask() -> None:
        calls = PollingClient(settings(telegram))
        await calls.call("set_webhook", delivery=None, url=url)
        await calls.close()

    run_once(ask())


def test_a_webhook_of_ours_from_before_is_deleted(telegram: FakeTelegram) -> None:
    telegram.user_says("hello")
    set_webhook(telegram, f"{PUBLIC}{PATH}")
    inbox = RecordingInbox()
    with polling(settings(telegram, public_url=PUBLIC), FakeMemory(), inbox):
        telegram.wait_until_acknowledged()
    assert telegram.webhook is None
    assert inbox.texts == ["hello"]


def test_a_webhook_of_somebody_else_is_left_and_the_operator_told(telegram: FakeTelegram) -> None:
    set_webhook(telegram, f"https://other.example.com/{TOKEN}")
    with capture_logs() as logs, polling(settings(telegram, public_url=PUBLIC), FakeMemory(), RecordingInbox()):
        telegram.wait_until(lambda: fetches(telegram) > 1)
    assert telegram.webhook is not None
    told = next(entry for entry in logs if entry["log_level"] == "error")
    assert "delete-webhook" in told["event"]
    assert told["host"] == "other.example.com"
    assert TOKEN not in str(logs)


def test_somebody_else_who_fetches_is_told_of(telegram: FakeTelegram) -> None:
    telegram.faults.add("getUpdates", TelegramErrorFault(409, "terminated by other getUpdates request"))
    telegram.user_says("hello")
    with capture_logs() as logs, polling(settings(telegram), FakeMemory(), RecordingInbox()):
        telegram.wait_until_acknowledged()
    assert any("another program fetches" in entry["event"] for entry in logs)


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize("method", ["getMe", "getUpdates"])
def test_it_ends_in_the_middle_of_a_call_and_gives_the_lease_up(telegram: FakeTelegram, method: str) -> None:
    telegram.faults.add(method, HangingCall())
    memory = FakeMemory()
    receiver = make_receiver(settings(telegram), memory)
    receiver.start_receiving(RecordingInbox().inbox)
    until(lambda: telegram.faults.hanging)
    ends_soon(receiver.stop_receiving)
    ends_soon(receiver.stop_receiving)
    assert memory.holders == {}


def test_what_is_half_taken_is_committed_before_the_end_and_nothing_is_taken_after_it(telegram: FakeTelegram) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def dawdle(_: ParsedUpdate) -> None:
        begun.set()
        assert may_go_on.wait(SOON)

    inbox = RecordingInbox(before=dawdle)
    for number in range(5):
        telegram.user_says(str(number))
    receiver = make_receiver(settings(telegram), FakeMemory())
    receiver.start_receiving(inbox.inbox)
    assert begun.wait(SOON)
    ending = in_thread(receiver.stop_receiving)
    ending.join(0.05)
    assert ending.is_alive()
    may_go_on.set()
    ending.join(SOON)
    assert not ending.is_alive()
    assert inbox.texts == ["0"]
    assert len(telegram.pending_updates()) == 5


def test_whoever_is_told_to_end_before_it_begins_does_not_begin(telegram: FakeTelegram) -> None:
    task = BackgroundTask(run_once, partial(asyncio.sleep, 3600), "test")
    in_thread(task.stop).join(SOON)
    with pytest.raises(RuntimeError):
        task.start()
    receiver = make_receiver(settings(telegram), FakeMemory())
    receiver.stop_receiving()  # without a beginning


def test_what_a_process_has_not_acknowledged_when_it_is_killed_goes_to_the_next_and_makes_one_turn_each(
    telegram: FakeTelegram, sqlite_url: str
) -> None:
    for number in range(5):
        telegram.user_says(str(number))
    with polling_process(telegram, sqlite_url, last="2") as dying:
        dying.join(SOON)
        assert dying.exitcode == -signal.SIGKILL
    assert len(telegram.pending_updates()) == 5
    with polling_process(telegram, sqlite_url):
        telegram.wait_until_acknowledged()
    store = SqlStore(sqlite_url)
    conversation = store.find_conversation(ConversationKey("telegram", str(BOT_ID), str(USER)))
    assert conversation is not None
    assert [turn.message.text for turn in store.transcript(conversation.id)] == ["0", "1", "2", "3", "4"]
    store.close()


@contextmanager
def polling_process(telegram: FakeTelegram, database_url: str, last: str = "") -> Iterator[BaseProcess]:
    process = fork_context.Process(target=polling_program.main, args=(telegram.url, database_url, last))
    process.start()
    yield process
    process.kill()
    process.join(SOON)


def test_a_process_that_fails_as_it_starts_ends(telegram: FakeTelegram) -> None:
    failing = fork_context.Process(target=fail_while_it_receives, args=(telegram.url,))
    failing.start()
    failing.join(SOON)
    assert failing.exitcode == FAILED


def fail_while_it_receives(api_url: str) -> None:
    """Main function of a process."""
    receiver = make_receiver(settings(telegram_api_url=api_url), FakeMemory())
    receiver.start_receiving(RecordingInbox().inbox)
    sys.exit(FAILED)
