"""Events over the gateway: each is committed before the next, and none is missed when connections and processes end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adapters.base.errors import PlatformRateLimited
from adapters.discord import gateway_connection, receiver
from adapters.discord.adapter import DiscordAdapter
from adapters.discord.gateway_session import check_starts
from adapters.discord.known import REFUSED_SECONDS, Known
from gateway.coordination.retry import Backoff
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import MessageKind
from gateway.ports.platform import ParsedUpdate
from gateway.worker.worker import run_once
from tests.adapters.discord.reply_scene import settings
from tests.fakes.clock import Clock
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import BOT, CHANNEL, DIRECT, GUILD, USER, DiscordErrorFault
from tests.fakes.memory import FakeMemory
from tests.fakes.recording_inbox import RecordingInbox
from tests.fakes.unparsed_updates import FakeUnparsedUpdates

WAIT = 20.0


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_connection, "PAUSE_SECONDS", (0.0, 0.01))
    monkeypatch.setattr(gateway_connection, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(receiver.DiscordReceiver.__init__, "__kwdefaults__", {"backoff": Backoff(0.01, 0.05)})


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    with FakeDiscord() as server:
        yield server


@contextmanager
def receiving(
    discord: FakeDiscord, inbox: RecordingInbox, memory: FakeMemory | None = None
) -> Iterator[DiscordAdapter]:
    adapter = DiscordAdapter(settings(discord), memory or FakeMemory(), FakeUnparsedUpdates(), run_once)
    adapter.start_receiving(inbox.inbox)
    try:
        yield adapter
    finally:
        adapter.stop_receiving()
        run_once(adapter.close())


def test_what_is_written_is_committed_and_named(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        said = discord.says("hello", mentions=True)
        discord.says("psst", DIRECT)
        discord.says("not to you")
        discord.says("go on", user="3002", mentions=True)
        discord.wait_until(lambda: len(inbox.messages) == 3)
    first, direct, _ = inbox.messages
    assert inbox.texts == ["hello", "psst", "go on"]
    assert (first.key.workspace, first.key.channel, first.key.topic) == (GUILD, CHANNEL, said["id"])
    assert (direct.key.channel, direct.key.topic, direct.author) == (DIRECT, "", USER)


def test_a_channel_that_is_mentioned_is_known_by_its_name(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says(f"what is in <#{CHANNEL}>?", mentions=True)
        discord.wait_until(lambda: len(inbox.messages) == 1)
    assert inbox.messages[0].text_with_attachments.endswith("what is in #general?")


def test_the_bot_hears_its_own_role_and_knows_others_by_name(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    discord.state.roles = [{"id": "10", "name": "Gateway", "tags": {"bot_id": BOT}}]
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says("<@&10> one")
        discord.wait_until(lambda: len(inbox.messages) == 1)
        assert not discord.calls("getRoles")
        discord.state.roles = [{"id": "9", "name": "On Duty"}]  # Discord said nothing of it
        discord.says("<@&10> is <@&9> here? <@&8>?")
        discord.says("<@&10> is <@&9> here? <@&8>?")
        discord.wait_until(lambda: len(inbox.messages) == 3)
    assert inbox.messages[-1].text_with_attachments.endswith("is @On Duty here? @8?")
    assert len(discord.calls("getRoles")) == 1


def test_a_channel_of_which_discord_says_nothing_is_asked_for_again_later() -> None:
    clock = Clock()
    known = Known[str](clock)
    assert (known.learn("1", "a thread"), known.refused("2", "no thread")) == ("a thread", "no thread")
    assert (known.get("1"), known.get("2")) == ("a thread", "no thread")
    clock.now += REFUSED_SECONDS + 1
    assert (known.get("1"), known.get("2")) == ("a thread", None)


def test_a_thread_that_a_reply_opened_is_the_same_conversation(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        said = discord.says("hello", mentions=True)
        thread = {"id": said["id"], "type": 11, "parent_id": CHANNEL, "guild_id": GUILD}
        with discord.state.notify():
            discord.state.channels[said["id"]], discord.state.messages[said["id"]] = thread, {}
        discord.says("and then?", said["id"])
        discord.wait_until(lambda: len(inbox.messages) == 2)
    first, second = inbox.messages
    assert first.key == second.key
    assert (first.may_start_conversation, second.may_start_conversation) == (True, False)
    assert len(discord.calls("getChannel")) == 1


def test_a_connection_that_ends_is_resumed_and_nothing_is_missed(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        discord.wait_until(lambda: inbox.texts == ["one"])
        discord.disconnect()
        discord.says("two", DIRECT)
        discord.wait_until(lambda: inbox.texts[-1] == "two")
    assert set(inbox.texts) == {"one", "two"}
    assert len(discord.state.sessions) == 1


def test_the_next_process_resumes_the_session_of_the_one_before(discord: FakeDiscord) -> None:
    memory, first, second = FakeMemory(), RecordingInbox(), RecordingInbox()
    with receiving(discord, first, memory):
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        discord.wait_until(lambda: first.texts == ["one"])
    discord.says("two", DIRECT)
    with receiving(discord, second, memory):
        discord.wait_until(lambda: second.texts == ["two"])
    assert len(discord.state.sessions) == 1


def test_after_a_session_that_cannot_be_resumed_known_channels_are_read(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        discord.wait_until(lambda: inbox.texts == ["one"])
        with discord.state.lock:
            discord.disconnect(forget_sessions=True)
            discord.says("two", DIRECT)
        discord.wait_until(lambda: inbox.texts == ["one", "two"])


def test_what_was_missed_is_read_again_if_the_reading_breaks_off(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        discord.says("two", mentions=True)
        discord.wait_until(lambda: inbox.texts == ["one", "two"])
        discord.faults.add("getMessages", DiscordErrorFault(503, 0, skip=1))
        with discord.state.lock:
            discord.disconnect(forget_sessions=True)
            discord.says("three", DIRECT)
            discord.says("four", mentions=True)
        discord.wait_until(lambda: set(inbox.texts) == {"one", "two", "three", "four"})


def test_the_thread_that_a_reply_opened_is_read_after_a_lost_session(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        said = discord.says("one", mentions=True)
        discord.wait_until(lambda: inbox.texts == ["one"])
        thread = {"id": said["id"], "type": 11, "parent_id": CHANNEL, "guild_id": GUILD}
        with discord.state.lock:
            discord.state.channels[said["id"]], discord.state.messages[said["id"]] = thread, {}
            discord.disconnect(forget_sessions=True)
            discord.says("two", said["id"])
        discord.wait_until(lambda: inbox.texts == ["one", "two"])


def test_a_session_is_resumed_elsewhere_when_its_address_is_gone(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    discord.state.resume_url = "ws://127.0.0.1:1"
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        discord.wait_until(lambda: inbox.texts == ["one"])
        discord.disconnect()
        discord.says("two", DIRECT)
        discord.wait_until(lambda: inbox.texts[-1] == "two")
    assert len(discord.state.sessions) == 1


def test_no_session_is_started_when_there_have_been_too_many() -> None:
    check_starts({"session_start_limit": {"remaining": 1, "reset_after": 60_000}})
    check_starts({})
    with pytest.raises(PlatformRateLimited) as caught:
        check_starts({"session_start_limit": {"remaining": 0, "reset_after": 60_000}})
    assert caught.value.retry_after == 60


def test_an_event_that_cannot_be_committed_is_sent_again(discord: FakeDiscord) -> None:
    inbox = RecordingInbox(faults=[StoreUnavailable()])
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        discord.says("two", DIRECT)
        discord.wait_until(lambda: len(inbox.texts) >= 2)
    assert inbox.texts == ["one", "two"]


def test_a_command_is_acknowledged_when_it_is_committed(discord: FakeDiscord) -> None:
    seen: list[object] = []
    inbox = RecordingInbox(before=lambda _: seen.append(len(discord.calls("callback"))))
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        event = discord.commands("ask", "What is new?")
        discord.wait_until(lambda: discord.state.interactions[event["token"]].acknowledged)
        discord.commands("stop", channel=DIRECT)
        discord.presses("good:turn_1")
        discord.wait_until(lambda: len(inbox.taken) == 3)
    ask, stop = inbox.messages
    assert (ask.text, ask.kind, stop.kind) == ("What is new?", MessageKind.PROMPT, MessageKind.STOP)
    assert discord.state.interactions[event["token"]].acknowledged == {"type": 5}
    assert seen[0] == 0
    assert [command["name"] for command in discord.state.commands] == ["ask", "new", "stop", "help"]


def test_one_process_of_several_is_connected(discord: FakeDiscord) -> None:
    memory, inbox, other = FakeMemory(), RecordingInbox(), RecordingInbox()
    with receiving(discord, inbox, memory):
        discord.wait_until(lambda: discord.connected)
        with receiving(discord, other, memory):
            discord.says("one", DIRECT)
            discord.wait_until(lambda: inbox.texts == ["one"])
            assert discord.connected == 1
        assert other.taken == []


def test_stopping_waits_for_the_event_that_is_being_committed(discord: FakeDiscord) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait(_: ParsedUpdate) -> None:
        reached.set()
        assert go_on.wait(WAIT)

    inbox = RecordingInbox(before=wait)
    with receiving(discord, inbox) as adapter:
        discord.wait_until(lambda: discord.connected)
        discord.says("one", DIRECT)
        assert reached.wait(WAIT)
        stopping = threading.Thread(target=adapter.stop_receiving)
        stopping.start()
        go_on.set()
        stopping.join(WAIT)
        assert not stopping.is_alive()
    assert inbox.texts == ["one"]


def test_edits_and_deletions_reach_the_inbox(discord: FakeDiscord) -> None:
    inbox = RecordingInbox()
    with receiving(discord, inbox):
        discord.wait_until(lambda: discord.connected)
        said = discord.says("one", DIRECT)
        discord.edits(said, "two")
        discord.deletes(said)
        discord.wait_until(lambda: len(inbox.taken) == 3)
    edited, deleted = (each.events[0] for each in inbox.taken[1:])
    assert (edited.message_id, edited.text) == (said["id"], "two")  # type: ignore[union-attr]
    assert deleted.message_id == said["id"]  # type: ignore[union-attr]
