"""The contract of the assistant port. A subclass supplies the fixtures; the tests check every promise of the port."""

from __future__ import annotations

import pytest

from gateway.domain.errors import Refused
from gateway.domain.models import Answered, Exchange, File, RunStarted, TextDelta, ThreadId
from gateway.ports.assistant import Assistant
from tests.contracts.assistant_session import Room, attached


class AssistantContract:
    """For every backend. The subclass supplies the fixture ``assistant``."""

    @pytest.fixture
    def session(self, assistant: Assistant) -> Room:
        return Room(assistant)

    async def test_a_message_is_answered(self, session: Room) -> None:
        reply = await session.say("Hello")
        assert "Hello" in reply
        assert session.moments[-1] == Answered(reply, session.answer.usage, model=session.answer.model)

    async def test_the_run_has_an_id_before_anything_is_shown(self, session: Room) -> None:
        await session.say("Hello")
        assert isinstance(session.moments[0], RunStarted)
        assert session.moments[0].run_id

    async def test_the_shown_text_is_the_reply(self, session: Room) -> None:
        reply = await session.say("Tell me something")
        assert session.shown == reply
        assert sum(isinstance(event, TextDelta) for event in session.moments) > 1

    async def test_a_thread_stores_history(self, session: Room) -> None:
        await session.say("I am Ada.")
        assert "I am Ada." in await session.say("Who am I?")

    async def test_a_new_thread_contains_the_given_history(self, assistant: Assistant) -> None:
        session = Room(assistant, past=[Exchange("I am Ada.", "Hello Ada.")])
        assert "I am Ada." in await session.say("Who am I?")

    async def test_threads_are_isolated(self, assistant: Assistant) -> None:
        ada, bob = Room(assistant), Room(assistant)
        await ada.say("I am Ada.")
        assert "Ada" not in await bob.say("Who am I?")
        assert ada.thread != bob.thread

    async def test_resuming_an_answered_turn_returns_the_same_answer(self, session: Room) -> None:
        await session.open()
        turn = session.turn("Hello")
        first = await session.attempt(turn, posting=True)
        assert (await session.attempt(turn, posting=False)).text == first.text

    async def test_resuming_a_turn_that_never_started_starts_it(self, session: Room) -> None:
        await session.open()
        assert "Hello" in await session.say("Hello", begun=True)

    async def test_cancelling_a_finished_run_is_no_error(self, session: Room) -> None:
        await session.say("Hello")
        run_id = next(event.run_id for event in session.moments if isinstance(event, RunStarted))
        await session.assistant.cancel(await session.open(), run_id)
        await session.assistant.cancel(await session.open(), None)
        assert "Again" in await session.say("Again")

    async def test_a_thread_can_be_deleted_twice(self, session: Room) -> None:
        thread = await session.open()
        await session.assistant.forget(thread)
        await session.assistant.forget(thread)

    @pytest.mark.parametrize("name", ["nobody", "../models", "..", "a/b?c=d", "ü" * 300, "x" * 300])
    async def test_history_of_an_unknown_thread_is_none(self, assistant: Assistant, name: str) -> None:
        assert await assistant.recall(ThreadId(name)) is None
        await assistant.forget(ThreadId(name))

    async def test_attachments_are_named_in_the_input(self, session: Room) -> None:
        session.attached = [
            attached("notes.txt", b"Milk."),
            attached("lost.pdf", problem="The platform has it no more."),
        ]
        reply = await session.say("Look at this")
        for name in ("Look at this", "notes.txt", "lost.pdf"):
            assert name in reply
        session.attached = ()
        assert "Look at this" in await session.say("What did I say?")

    async def test_a_message_may_be_files_only(self, session: Room) -> None:
        session.attached = [attached("notes.txt", b"Milk.")]
        assert "notes.txt" in await session.say("")

    async def test_nothing_is_fetched_for_a_message_without_files(self, session: Room) -> None:
        await session.say("Hello")
        assert session.fetches == 0

    @pytest.mark.parametrize("reference", ["", "file", "file ..", "container a", "response x y", "pigeon 1", "file ü"])
    async def test_an_unknown_file_reference_is_refused_with_a_user_message(
        self, assistant: Assistant, reference: str
    ) -> None:
        with pytest.raises(Refused) as caught:
            await assistant.fetch(File("plan.pdf", reference))
        assert caught.value.sentence.endswith(".")

    async def test_the_check_succeeds_and_names_the_backend(self, assistant: Assistant) -> None:
        (check,) = await assistant.check()
        assert check.ok, check.detail
        assert assistant.name in check.detail
