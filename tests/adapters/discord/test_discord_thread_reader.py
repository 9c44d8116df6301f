"""What was written in a thread before the bot was called there, or since it last was, reaches the assistant, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.reply_target import YES, DiscordTarget
from gateway.domain.context import ChatContext, Label, Quote
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId, TurnState
from gateway.worker.worker import run_once
from tests.adapters.discord.reply_scene import settings
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import CHANNEL, GUILD, PUBLIC_THREAD, USER, DiscordErrorFault
from tests.fakes.memory import FakeMemory
from tests.fakes.platform_faults import Json
from tests.fakes.unparsed_updates import FakeUnparsedUpdates

BOB, EVE = "3002", "3003"
ANN = ChatContext("Ann", language="de")


def begin_thread(discord: FakeDiscord, at: str = "", **more: Any) -> str:
    with discord.state.notify():
        thread = at or discord.state.snowflake()
        described: Json = {"id": thread, "type": PUBLIC_THREAD, "parent_id": CHANNEL, "guild_id": GUILD, **more}
        discord.state.channels[thread], discord.state.messages[thread] = described, {}
    return thread


def turn_in(discord: FakeDiscord, thread: str, *, context: ChatContext | None = ANN) -> Turn:
    said = discord.says("why?", thread, mentions=True)
    target = DiscordTarget(thread, said["id"], USER, GUILD, mentions=YES)
    key = ConversationKey("discord", GUILD, CHANNEL, thread)
    message = Message(key, said["id"], "why?", USER, target.address, context=context)
    return Turn(TurnId(f"turn_{said['id']}"), 1, 1, message, TurnState.RUNNING)


@asynccontextmanager
async def adapter_of(discord: FakeDiscord, **given: Any) -> AsyncIterator[DiscordAdapter]:
    adapter = DiscordAdapter(settings(discord, **given), FakeMemory(), FakeUnparsedUpdates(), run_once)
    try:
        yield adapter
    finally:
        await adapter.close()


async def read(discord: FakeDiscord, turn: Turn, *before: Turn, **given: Any) -> ChatContext | None:
    async def load(_: int) -> Sequence[Turn]:
        return before

    async with adapter_of(discord, **given) as adapter:
        found = await adapter.fetch_context(turn, load, FakeDeliveryContext())
        assert adapter.lacks_context(turn) == (found is not None)
        return found


async def test_a_thread_is_quoted_with_the_message_that_it_was_begun_at(discord: FakeDiscord) -> None:
    first = discord.says(f"It fails, <@{EVE}>", user=BOB)
    with discord.state.notify():
        discord.state.message(CHANNEL, first["id"])["mentions"] = [{"id": EVE, "username": "eve"}]
    thread = begin_thread(discord, first["id"])
    discord.says("", thread, user=BOB, type=18)
    discord.says("since Monday", thread, user=EVE, attachments=[{"url": "https://x.org/1", "filename": "a.log"}])
    with discord.state.notify():
        discord.state.add_message(thread, discord.state.bot_user, "Restarted.")
    turn = turn_in(discord, thread)
    discord.says("too late", thread, user=BOB)
    assert await read(discord, turn) == ChatContext(
        "Ann",
        (Label(f"@{EVE}", "eve", EVE),),
        (
            Quote(f"It fails, @{EVE}", f"Person {BOB}", BOB),
            Quote("since Monday\n[attached: a.log]", f"Person {EVE}", EVE),
            Quote("Restarted.", "you"),
        ),
        language="de",
        files=(File("a.log", "https://x.org/1"),),
    )


async def test_the_newest_files_of_a_thread_come_along_but_not_our_own(discord: FakeDiscord) -> None:
    thread = begin_thread(discord, discord.says("It fails.", user=BOB)["id"])
    for number in range(6):
        attached = [{"url": f"https://x.org/{number}", "filename": f"{number}.png"}]
        discord.says("so", thread, user=BOB, attachments=attached)
    with discord.state.notify():
        own = discord.state.add_message(thread, discord.state.bot_user, "Mine.")
        own["attachments"] = [{"url": "https://x.org/mine", "filename": "mine.png"}]
    found = await read(discord, turn_in(discord, thread))
    assert found is not None
    assert [file.name for file in found.files] == ["2.png", "3.png", "4.png", "5.png"]


async def test_the_first_message_of_a_thread_is_quoted_as_discord_shows_it_there(discord: FakeDiscord) -> None:
    thread = begin_thread(discord)
    said = {"id": thread, "author": {"id": BOB, "username": "bob"}, "content": "It fails."}
    discord.says("", thread, user=BOB, type=21, referenced_message=said)
    discord.says("since Monday", thread, user=BOB)
    found = await read(discord, turn_in(discord, thread))
    assert found is not None
    assert [quote.text for quote in found.quotes] == ["It fails.", "since Monday"]


@pytest.mark.parametrize("others", [1, 100])
async def test_the_post_of_a_forum_is_quoted_with_its_title(discord: FakeDiscord, others: int) -> None:
    thread = begin_thread(discord, name="No sound: why?")
    with discord.state.notify():
        discord.state.add_message(thread, {"id": BOB, "username": "bob"}, "On a Mac.", id=thread)
    for _ in range(others):
        discord.says("me too", thread, user=EVE)
    found = await read(discord, turn_in(discord, thread))
    assert found is not None
    assert found.quotes[0].text == "(begins a post: No sound: why?)\nOn a Mac."
    assert [quote.text for quote in found.quotes[1:]] == ["me too"] * others


async def test_of_a_long_thread_the_first_and_the_newest_messages_are_quoted(discord: FakeDiscord) -> None:
    thread = begin_thread(discord, discord.says("It fails.", user=BOB)["id"])
    for number in range(120):
        discord.says(f"message {number:03}", thread, user=BOB)
    found = await read(discord, turn_in(discord, thread), discord_context_chars=50)
    assert found is not None
    assert [quote.text for quote in found.quotes] == ["It fails.", *(f"message {n}" for n in range(117, 120))]
    left_out = ("97 more messages of this thread were left out.", "Older messages of this thread were left out.")
    assert found.notes == left_out


async def test_names_are_kept_back_where_they_are_to_be(discord: FakeDiscord) -> None:
    thread = begin_thread(discord, discord.says("It fails.", user=BOB)["id"])
    found = await read(discord, turn_in(discord, thread, context=None), discord_names=False)
    assert found == ChatContext(quotes=(Quote("It fails.", "", BOB),))


async def test_what_cannot_be_read_is_said(discord: FakeDiscord) -> None:
    turn = turn_in(discord, begin_thread(discord))
    discord.faults.add("getMessagesBefore", DiscordErrorFault(403, 50013, times=None))
    found = await read(discord, turn)
    assert found is not None
    assert found.notes == ("The earlier messages of this thread could not be read: no_permission.",)
    assert found.speaker == "Ann"


async def test_a_later_call_brings_what_others_said_since_the_last_answer(discord: FakeDiscord) -> None:
    thread = begin_thread(discord, discord.says("It fails.", user=BOB)["id"])
    answered = replace(turn_in(discord, thread), reply="Since when?")
    discord.says(f"<@{EVE}> do you know?", thread, user=BOB)
    with discord.state.notify():
        discord.state.add_message(thread, discord.state.bot_user, "Since when?")
    discord.says(f"<@{BOB}> since Monday", thread, user=EVE)
    failed = turn_in(discord, thread)
    found = await read(discord, turn_in(discord, thread), answered, failed)
    assert found is not None
    assert [quote.text for quote in found.quotes] == [f"@{EVE} do you know?", f"@{BOB} since Monday", "why?"]
    assert found.notes == ()


async def test_a_thread_that_a_reply_opened_is_read_from_the_first_question_on(discord: FakeDiscord) -> None:
    asked = discord.says("It fails.")
    target = DiscordTarget(CHANNEL, asked["id"], USER, GUILD, thread_name="It fails.")
    thread = begin_thread(discord, asked["id"])
    later = turn_in(discord, thread)
    first = replace(later, message=replace(later.message, address=target.address), reply="Restarted.")
    elsewhere = DiscordTarget("77", discord.state.snowflake(), USER, GUILD)
    other = replace(first, message=replace(first.message, address=elsewhere.address))
    discord.says(f"<@{EVE}> look", thread, user=BOB)
    found = await read(discord, turn_in(discord, thread), first, other)
    assert found is not None
    assert [quote.text for quote in found.quotes] == ["why?", f"@{EVE} look"]


async def test_of_much_that_was_said_since_the_last_answer_the_newest_is_quoted(discord: FakeDiscord) -> None:
    thread = begin_thread(discord)
    answered = replace(turn_in(discord, thread), reply="Since when?")
    for number in range(120):
        discord.says(f"message {number:03}", thread, user=BOB)
    found = await read(discord, turn_in(discord, thread), answered)
    assert found is not None
    assert [quote.text for quote in found.quotes] == [f"message {number:03}" for number in range(20, 120)]
    assert found.notes == ("Older messages of this thread were left out.",)


async def test_a_thread_is_read_once_and_only_where_the_bot_is_called(discord: FakeDiscord) -> None:
    turn = turn_in(discord, begin_thread(discord))
    message = turn.message
    others = (
        replace(message, address={**message.address, "mentions": ""}),
        replace(message, address={**message.address, "message": message.key.topic}),  # it begins a post
        replace(message, context=replace(ANN, quotes=(Quote("It fails."),))),
        replace(message, kind=MessageKind.HAND_OVER),
    )
    for other in others:
        assert await read(discord, replace(turn, message=other)) is None
    assert await read(discord, turn, discord_context_chars=0) is None
