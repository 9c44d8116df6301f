"""The gateway works with a third-party Slack emulator, over HTTP events and over Socket Mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.domain.models import Turn
from storage.store import SqlStore
from tests.conformance.conftest import World
from tests.conformance.local_slack import BOT, CHANNEL, TEAM, Json
from tests.fakes.openai_server import FakeOpenAI, Fault

pytestmark = pytest.mark.conformance


@pytest.fixture
def store(world: World) -> Iterator[SqlStore]:
    store = SqlStore(world.program.database_url)
    yield store
    store.close()


def hold_next_run(openai: FakeOpenAI) -> threading.Event:
    """Holds the next response until the test sets the returned event."""
    gate = threading.Event()
    openai.faults.add(Fault(path="/responses", gate=gate))
    return gate


def runs(openai: FakeOpenAI) -> int:
    return len(openai.posts("/responses"))


def remembered(openai: FakeOpenAI, text: str) -> list[str]:
    """Returns the user messages of the only conversation that contains this text."""
    heard = [texts for name in openai.conversations if text in (texts := openai.user_texts(name))]
    assert len(heard) == 1
    return heard[0]


def turn_of(store: SqlStore, message: Json) -> Turn:
    turn = store.turn_of("slack", f"{TEAM}:{message['channel']}:{message['ts']}")
    assert turn is not None
    return turn


def the_reply(world: World, message: Json, after: int = 0) -> Json:
    """Waits for the bot's reply in a message's thread, after ``after`` earlier replies; there must be exactly one."""
    replies = world.slack.wait(lambda: world.slack.replies(message)[after:])
    assert len(replies) == 1
    return replies[0]


def test_a_direct_message_is_answered_in_a_thread_of_its_own_and_a_reply_there_is_remembered(world: World) -> None:
    ann = world.slack.person()
    first = world.slack.say(ann, "My name is Ann & I say <so>")
    assert "You said: My name is Ann" in the_reply(world, first)["text"]
    second = world.slack.say(ann, "Who am I?", channel=first["channel"], thread_ts=first["ts"])
    assert "You said: Who am I?" in the_reply(world, second, after=1)["text"]
    assert len(remembered(world.openai, "Who am I?")) == 2


def test_a_mention_is_answered_once_in_its_thread_where_all_that_follows_is_answered_too(world: World) -> None:
    bob = world.slack.person()
    said = world.slack.say(bob, f"<@{BOT}> what is up, says {bob}?", channel=CHANNEL)
    assert f"what is up, says {bob}?" in the_reply(world, said)["text"]
    said = world.slack.say(bob, f"and then, says {bob}?", channel=CHANNEL, thread_ts=said["ts"])
    assert f"and then, says {bob}?" in the_reply(world, said, after=1)["text"]
    assert len(remembered(world.openai, f"and then, says {bob}?")) == 2


def test_a_reply_is_shown_while_it_is_written_although_this_slack_has_no_streaming(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = world.slack.person()
    monkeypatch.setattr(world.openai, "chunk_delay", 0.3)
    said = world.slack.say(ann, "Take your time, please do")
    shown = world.slack.wait(lambda: world.slack.replies(said))[0]
    assert "please do" not in shown["text"]
    world.slack.wait(lambda: "please do" in the_reply(world, said)["text"])
    assert the_reply(world, said)["ts"] == shown["ts"]


def test_messages_that_are_not_for_the_bot_are_ignored(world: World) -> None:
    eve, before = world.slack.person(), runs(world.openai)
    aside = world.slack.say(eve, "Has anybody seen my keys?", channel=CHANNEL)
    world.slack.open_home(eve)
    said = world.slack.say(eve, "Have you?")
    the_reply(world, said)
    assert world.slack.replies(aside) == []
    assert runs(world.openai) == before + 1


def test_queued_messages_can_be_edited_and_deleted(world: World) -> None:
    ann, gate = world.slack.person(), hold_next_run(world.openai)
    before = runs(world.openai)
    first = world.slack.say(ann, "One moment")
    world.openai.wait_until(lambda: runs(world.openai) > before)
    place = {"channel": first["channel"], "thread_ts": first["ts"]}
    second = world.slack.say(ann, "a tpyo", **place)
    third = world.slack.say(ann, "a secret", **place)
    fourth = world.slack.say(ann, "the end", **place)
    world.slack.edit(second, "a typo")
    world.slack.delete(third)
    gate.set()
    world.slack.wait(lambda: any("the end" in reply["text"] for reply in world.slack.replies(fourth)))
    assert remembered(world.openai, "One moment") == ["One moment", "a typo", "the end"]
    assert len(world.slack.replies(first)) == 3


@pytest.mark.parametrize("name", ["/help", "/reset"])
def test_a_command_is_answered(world: World, name: str) -> None:
    ann = world.slack.person()
    said = world.slack.say(ann, "Hello")
    the_reply(world, said)
    world.slack.command(ann, said["channel"], name)
    replies = world.slack.wait(lambda: [one for one in world.slack.heard(said["channel"]) if not one.get("thread_ts")])
    assert len(replies) == 1
    assert replies[0]["text"]


def test_a_click_on_a_feedback_button_is_stored_with_the_turn(world: World, store: SqlStore) -> None:
    ann = world.slack.person()
    said = world.slack.say(ann, "Was that good?")
    reply = the_reply(world, said)
    element = next(one for one in elements(reply) if one["type"] == "feedback_buttons")
    world.slack.click(ann, reply, element, element["negative_button"]["value"])
    verdicts = world.slack.wait(lambda: store.verdicts(turn_of(store, said).id))
    assert [verdict.author for verdict in verdicts] == [ann]


def elements(message: Json) -> list[Json]:
    return [element for block in message.get("blocks", ()) for element in block.get("elements", ())]


def test_an_attached_file_reaches_the_assistant(world: World) -> None:
    ann = world.slack.person()
    said = world.slack.upload(ann, "What is in it?", "list.txt", b"eggs, milk & flour")
    assert "What is in it?" in the_reply(world, said)["text"]
    assert any("eggs, milk & flour" in shown(seen.body) for seen in world.openai.posts("/responses"))


def shown(body: Any) -> str:
    """Returns all texts in a request to the assistant, joined."""
    if isinstance(body, dict):
        return " ".join(map(shown, body.values()))
    return " ".join(map(shown, body)) if isinstance(body, list) else str(body)


def test_all_events_are_acknowledged_and_all_calls_accepted(world: World) -> None:
    """local-slack logs each delivery, each acknowledgement, and each call that it refused."""
    the_reply(world, world.slack.say(world.slack.person(), "Hello"))
    log = world.slack.log()
    deliveries = [entry for entry in log if entry["summary"].startswith(("POST ", "envelope "))]
    acknowledgements = [entry for entry in log if entry["summary"].startswith(("HTTP 200", "ack "))]
    assert len(deliveries) == len(acknowledgements) > 0
    assert [entry["summary"] for entry in log if entry["direction"] == "internal"] == []
