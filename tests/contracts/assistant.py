"""The contract of the assistant port. A subclass supplies the fixtures; the tests check every promise of the port."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import AssistantRefused
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import ThreadId
from gateway.domain.run_events import RunCompleted, RunStarted
from gateway.ports.assistant import Assistant
from tests.contracts.assistant_session import AssistantSession, make_attachment
from tests.fakes.file_contents import file_of


class AssistantContract:
    """For every backend. The subclass supplies the fixture ``assistant``."""

    @pytest.fixture
    def session(self, assistant: Assistant) -> AssistantSession:
        return AssistantSession(assistant)

    async def test_a_message_is_answered(self, session: AssistantSession) -> None:
        reply = await session.say("Hello")
        assert "Hello" in reply
        assert session.events[-1] == RunCompleted(reply, session.answer.usage, model=session.answer.model)

    async def test_the_run_has_an_id_before_anything_is_shown(self, session: AssistantSession) -> None:
        await session.say("Hello")
        assert isinstance(session.events[0], RunStarted)
        assert session.events[0].run_id

    async def test_the_shown_text_is_the_reply(self, session: AssistantSession) -> None:
        reply = await session.say("Tell me something")
        assert session.shown_text == reply

    async def test_a_thread_stores_history(self, session: AssistantSession) -> None:
        await session.say("I am Ada.")
        assert "I am Ada." in await session.say("Who am I?")

    async def test_a_new_thread_contains_the_given_history(self, assistant: Assistant) -> None:
        session = AssistantSession(assistant, exchanges=[Exchange("I am Ada.", "Hello Ada.")])
        assert "I am Ada." in await session.say("Who am I?")

    async def test_a_text_that_no_run_wrote_is_added_to_the_thread_once(self, session: AssistantSession) -> None:
        await session.say("Hello")
        thread, turn = await session.open_thread(), replace(session.make_turn(""), reply="The build has failed.")
        await session.assistant.remember(turn, thread)
        await session.assistant.remember(turn, thread)
        history = await session.assistant.import_history(thread)
        if history is not None:  # else every run gets it
            assert history[-1].reply.count("The build has failed.") == 1
        assert "Again" in await session.say("Again")

    async def test_messages_that_no_run_was_asked_are_added_before_the_answer_to_them(
        self, session: AssistantSession
    ) -> None:
        await session.say("Hello")
        thread, turn = await session.open_thread(), replace(session.make_turn(""), reply="It comes tomorrow.")
        before = [Exchange("Where is it?", ""), Exchange("I wait.", "", "bob", "Bob")]
        for _ in range(2):
            await session.assistant.remember(turn, thread, before)
        history = await session.assistant.import_history(thread)
        if history is not None:  # else every run gets it
            assert [each.text for each in history[-2:]] == ["Where is it?", "I wait."]
            assert history[-1].reply == "It comes tomorrow."

    async def test_threads_are_isolated(self, assistant: Assistant) -> None:
        ada, bob = AssistantSession(assistant), AssistantSession(assistant)
        await ada.say("I am Ada.")
        assert "Ada" not in await bob.say("Who am I?")
        assert ada.thread_id != bob.thread_id

    async def test_resuming_an_answered_turn_returns_the_same_answer(self, session: AssistantSession) -> None:
        await session.open_thread()
        turn = session.make_turn("Hello")
        first = await session.attempt(turn, first=True)
        assert (await session.attempt(turn, first=False)).text == first.text

    async def test_resuming_a_turn_that_never_started_starts_it(self, session: AssistantSession) -> None:
        await session.open_thread()
        assert "Hello" in await session.say("Hello", may_have_begun=True)

    async def test_cancelling_a_finished_run_is_no_error(self, session: AssistantSession) -> None:
        await session.say("Hello")
        run_id = next(event.run_id for event in session.events if isinstance(event, RunStarted))
        await session.assistant.cancel_run(await session.open_thread(), run_id)
        await session.assistant.cancel_run(await session.open_thread(), None)
        assert "Again" in await session.say("Again")

    async def test_a_thread_can_be_deleted_twice(self, session: AssistantSession) -> None:
        thread = await session.open_thread()
        await session.assistant.delete_thread(thread)
        await session.assistant.delete_thread(thread)

    @pytest.mark.parametrize("name", ["nobody", "../models", "..", "a/b?c=d", "ü" * 300, "x" * 300])
    async def test_history_of_an_unknown_thread_is_none(self, assistant: Assistant, name: str) -> None:
        assert await assistant.import_history(ThreadId(name)) is None
        await assistant.delete_thread(ThreadId(name))

    async def test_attachments_are_named_in_the_input(self, session: AssistantSession) -> None:
        session.attachments_to_send = [
            make_attachment("notes.txt", b"Milk."),
            make_attachment("lost.pdf", problem="The platform has it no more."),
        ]
        reply = await session.say("Look at this")
        for name in ("Look at this", "notes.txt", "lost.pdf"):
            assert name in reply
        session.attachments_to_send = ()
        assert "Look at this" in await session.say("What did I say?")

    async def test_a_message_may_be_files_only(self, session: AssistantSession) -> None:
        session.attachments_to_send = [make_attachment("notes.txt", b"Milk.")]
        assert "notes.txt" in await session.say("")

    async def test_nothing_is_fetched_for_a_message_without_files(self, session: AssistantSession) -> None:
        await session.say("Hello")
        assert session.attachment_loads == 0

    @pytest.mark.parametrize("reference", ["", "file", "file ..", "container a", "response x y", "pigeon 1", "file ü"])
    async def test_an_unknown_file_reference_is_refused_with_a_user_message(
        self, assistant: Assistant, reference: str
    ) -> None:
        with pytest.raises(AssistantRefused) as caught:
            await file_of(assistant, File("plan.pdf", reference))
        assert caught.value.user_message.endswith(".")

    async def test_the_check_succeeds_and_names_the_backend(self, assistant: Assistant) -> None:
        (check,) = await assistant.check()
        assert check.ok, check.detail
        assert assistant.name in check.detail
