"""What every backend must do. Subclass, give the fixtures, and the promises of the port are checked."""

from __future__ import annotations

import pytest

from gateway.errors import Refused
from gateway.messages import Answered, Exchange, File, RunStarted, TextDelta, ThreadId
from gateway.ports import Assistant
from tests.contracts.assistant_room import Room, attached


class AssistantContract:
    """For every backend. The subclass gives ``assistant``."""

    @pytest.fixture
    def room(self, assistant: Assistant) -> Room:
        return Room(assistant)

    async def test_a_message_is_answered(self, room: Room) -> None:
        reply = await room.say("Hello")
        assert "Hello" in reply
        assert room.moments[-1] == Answered(reply, room.answer.usage, model=room.answer.model)

    async def test_the_run_has_an_id_before_anything_is_shown(self, room: Room) -> None:
        await room.say("Hello")
        assert isinstance(room.moments[0], RunStarted)
        assert room.moments[0].run_id

    async def test_what_is_shown_is_the_reply(self, room: Room) -> None:
        reply = await room.say("Tell me something")
        assert room.shown == reply
        assert sum(isinstance(moment, TextDelta) for moment in room.moments) > 1

    async def test_a_thread_remembers(self, room: Room) -> None:
        await room.say("I am Ada.")
        assert "I am Ada." in await room.say("Who am I?")

    async def test_a_new_thread_remembers_what_it_was_opened_with(self, assistant: Assistant) -> None:
        room = Room(assistant, past=[Exchange("I am Ada.", "Hello Ada.")])
        assert "I am Ada." in await room.say("Who am I?")

    async def test_threads_know_nothing_of_each_other(self, assistant: Assistant) -> None:
        ada, bob = Room(assistant), Room(assistant)
        await ada.say("I am Ada.")
        assert "Ada" not in await bob.say("Who am I?")
        assert ada.thread != bob.thread

    async def test_a_turn_that_was_answered_before_is_answered_alike(self, room: Room) -> None:
        await room.open()
        turn = room.turn("Hello")
        first = await room.attempt(turn, posting=True)
        assert (await room.attempt(turn, posting=False)).text == first.text

    async def test_a_turn_that_never_began_is_begun(self, room: Room) -> None:
        await room.open()
        assert "Hello" in await room.say("Hello", begun=True)

    async def test_stopping_what_is_over_is_no_error(self, room: Room) -> None:
        await room.say("Hello")
        run_id = next(moment.run_id for moment in room.moments if isinstance(moment, RunStarted))
        await room.assistant.cancel(await room.open(), run_id)
        await room.assistant.cancel(await room.open(), None)
        assert "Again" in await room.say("Again")

    async def test_a_thread_can_be_forgotten_twice(self, room: Room) -> None:
        thread = await room.open()
        await room.assistant.forget(thread)
        await room.assistant.forget(thread)

    @pytest.mark.parametrize("name", ["nobody", "../models", "..", "a/b?c=d", "ü" * 300, "x" * 300])
    async def test_a_thread_that_nobody_opened_is_not_recalled(self, assistant: Assistant, name: str) -> None:
        assert await assistant.recall(ThreadId(name)) is None
        await assistant.forget(ThreadId(name))

    async def test_what_is_attached_is_named(self, room: Room) -> None:
        room.attached = [attached("notes.txt", b"Milk."), attached("lost.pdf", problem="The platform has it no more.")]
        reply = await room.say("Look at this")
        for name in ("Look at this", "notes.txt", "lost.pdf"):
            assert name in reply
        room.attached = ()
        assert "Look at this" in await room.say("What did I say?")

    async def test_a_message_may_be_files_only(self, room: Room) -> None:
        room.attached = [attached("notes.txt", b"Milk.")]
        assert "notes.txt" in await room.say("")

    async def test_nothing_is_fetched_for_a_message_without_files(self, room: Room) -> None:
        await room.say("Hello")
        assert room.fetches == 0

    @pytest.mark.parametrize("reference", ["", "file", "file ..", "container a", "response x y", "pigeon 1", "file ü"])
    async def test_a_file_that_nobody_made_is_refused_in_a_sentence(self, assistant: Assistant, reference: str) -> None:
        with pytest.raises(Refused) as caught:
            await assistant.fetch(File("plan.pdf", reference))
        assert caught.value.sentence.endswith(".")

    async def test_it_says_that_it_answers(self, assistant: Assistant) -> None:
        (check,) = await assistant.check()
        assert check.ok, check.detail
        assert assistant.name in check.detail
