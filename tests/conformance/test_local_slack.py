"""The gateway works with a third-party Slack emulator, over HTTP events and over Socket Mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.domain.models import Turn
from storage.store import SqlStore
from tests.conformance.conftest import LocalSlackSetup
from tests.conformance.local_slack import BOT, CHANNEL, TEAM, Json
from tests.fakes.openai_server import FakeOpenAI, HttpFault

pytestmark = pytest.mark.conformance


@pytest.fixture
def store(world: LocalSlackSetup) -> Iterator[SqlStore]:
    store = SqlStore(world.program.database_url)
    yield store
    store.close()


def hold_next_run(openai: FakeOpenAI) -> threading.Event:
    """Holds the next response until the test sets the returned event."""
    gate = threading.Event()
    openai.faults.add(HttpFault(path="/responses", gate=gate))
    return gate


def run_count(openai: FakeOpenAI) -> int:
    return len(openai.posts("/responses"))


def conversation_with(openai: FakeOpenAI, text: str) -> list[str]:
    """Returns the user messages of the only conversation that contains this text."""
    heard = [texts for name in openai.conversations if text in (texts := openai.user_texts(name))]
    assert len(heard) == 1
    return heard[0]


def stored_turn(store: SqlStore, message: Json) -> Turn:
    turn = store.find_turn_by_message("slack", f"{TEAM}:{message['channel']}:{message['ts']}")
    assert turn is not None
    return turn


def wait_for_reply(world: LocalSlackSetup, message: Json, after: int = 0) -> Json:
    """Waits for the bot's reply in a message's thread, after ``after`` earlier replies; there must be exactly one."""
    replies = world.slack.wait_for(lambda: world.slack.replies(message)[after:])
    assert len(replies) == 1
    return replies[0]


def test_a_direct_message_is_answered_in_a_thread_of_its_own_and_a_reply_there_is_remembered(
    world: LocalSlackSetup,
) -> None:
    ann = world.slack.new_user()
    first = world.slack.say(ann, "My name is Ann & I say <so>")
    assert "You said: My name is Ann" in wait_for_reply(world, first)["text"]
    second = world.slack.say(ann, "Who am I?", channel=first["channel"], thread_ts=first["ts"])
    assert "You said: Who am I?" in wait_for_reply(world, second, after=1)["text"]
    assert len(conversation_with(world.openai, "Who am I?")) == 2


def test_a_mention_is_answered_once_in_its_thread_where_all_that_follows_is_answered_too(
    world: LocalSlackSetup,
) -> None:
    bob = world.slack.new_user()
    said = world.slack.say(bob, f"<@{BOT}> what is up, says {bob}?", channel=CHANNEL)
    assert f"what is up, says {bob}?" in wait_for_reply(world, said)["text"]
    said = world.slack.say(bob, f"and then, says {bob}?", channel=CHANNEL, thread_ts=said["ts"])
    assert f"and then, says {bob}?" in wait_for_reply(world, said, after=1)["text"]
    assert len(conversation_with(world.openai, f"and then, says {bob}?")) == 2


def test_a_reply_is_shown_while_it_is_written_although_this_slack_has_no_streaming(
    world: LocalSlackSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = world.slack.new_user()
    monkeypatch.setattr(world.openai, "chunk_delay", 0.3)
    said = world.slack.say(ann, "Take your time, please do")
    shown = world.slack.wait_for(lambda: world.slack.replies(said))[0]
    assert "please do" not in shown["text"]
    world.slack.wait_for(lambda: "please do" in wait_for_reply(world, said)["text"])
    assert wait_for_reply(world, said)["ts"] == shown["ts"]


def test_messages_that_are_not_for_the_bot_are_ignored(world: LocalSlackSetup) -> None:
    eve, before = world.slack.new_user(), run_count(world.openai)
    aside = world.slack.say(eve, "Has anybody seen my keys?", channel=CHANNEL)
    world.slack.open_home(eve)
    said = world.slack.say(eve, "Have you?")
    wait_for_reply(world, said)
    assert world.slack.replies(aside) == []
    assert run_count(world.openai) == before + 1


def test_queued_messages_can_be_edited_and_deleted(world: LocalSlackSetup) -> None:
    ann, gate = world.slack.new_user(), hold_next_run(world.openai)
    before = run_count(world.openai)
    first = world.slack.say(ann, "One moment")
    world.openai.wait_until(lambda: run_count(world.openai) > before)
    place = {"channel": first["channel"], "thread_ts": first["ts"]}
    second = world.slack.say(ann, "a tpyo", **place)
    third = world.slack.say(ann, "a secret", **place)
    fourth = world.slack.say(ann, "the end", **place)
    world.slack.edit(second, "a typo")
    world.slack.delete(third)
    gate.set()
    world.slack.wait_for(lambda: any("the end" in reply["text"] for reply in world.slack.replies(fourth)))
    assert conversation_with(world.openai, "One moment") == ["One moment", "a typo", "the end"]
    assert len(world.slack.replies(first)) == 3


@pytest.mark.parametrize("name", ["/help", "/reset"])
def test_a_command_is_answered(world: LocalSlackSetup, name: str) -> None:
    ann = world.slack.new_user()
    said = world.slack.say(ann, "Hello")
    wait_for_reply(world, said)
    world.slack.command(ann, said["channel"], name)
    replies = world.slack.wait_for(
        lambda: [one for one in world.slack.bot_messages(said["channel"]) if not one.get("thread_ts")]
    )
    assert len(replies) == 1
    assert replies[0]["text"]


def test_a_click_on_a_feedback_button_is_stored_with_the_turn(world: LocalSlackSetup, store: SqlStore) -> None:
    ann = world.slack.new_user()
    said = world.slack.say(ann, "Was that good?")
    reply = wait_for_reply(world, said)
    element = next(one for one in block_elements(reply) if one["type"] == "feedback_buttons")
    world.slack.click(ann, reply, element, element["negative_button"]["value"])
    verdicts = world.slack.wait_for(lambda: store.feedback_on(stored_turn(store, said).id))
    assert [verdict.author for verdict in verdicts] == [ann]


def block_elements(message: Json) -> list[Json]:
    return [element for block in message.get("blocks", ()) for element in block.get("elements", ())]


def test_an_attached_file_reaches_the_assistant(world: LocalSlackSetup) -> None:
    ann = world.slack.new_user()
    said = world.slack.upload(ann, "What is in it?", "list.txt", b"eggs, milk & flour")
    assert "What is in it?" in wait_for_reply(world, said)["text"]
    assert any("eggs, milk & flour" in all_text(seen.body) for seen in world.openai.posts("/responses"))


def all_text(body: Any) -> str:
    """Returns all texts in a request to the assistant, joined."""
    if isinstance(body, dict):
        return " ".join(map(all_text, body.values()))
    return " ".join(map(all_text, body)) if isinstance(body, list) else str(body)


def test_all_events_are_acknowledged_and_all_calls_accepted(world: LocalSlackSetup) -> None:
    """local-slack logs each delivery, each acknowledgement, and each call that it refused."""
    wait_for_reply(world, world.slack.say(world.slack.new_user(), "Hello"))
    log = world.slack.log()
    deliveries = [entry for entry in log if entry["summary"].startswith(("POST ", "envelope "))]
    acknowledgements = [entry for entry in log if entry["summary"].startswith(("HTTP 200", "ack "))]
    assert len(deliveries) == len(acknowledgements) > 0
    assert [entry["summary"] for entry in log if entry["direction"] == "internal"] == []
