"""What an adapter fetches for a message: asked with it, stored with the turn, and nothing is paid without a reader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.context import ChatContext, Quote
from gateway.domain.errors import AssistantUnavailable, DeliveryError, GatewayError, NotForUs
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import RunId, TurnState
from gateway.domain.run_events import RunStarted
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start

CONTEXT = ChatContext("Ann Lee", quotes=(Quote("It fails.", "Bob", "U0BOB"),))


def test_the_context_is_stored_before_the_assistant_reads_it(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    process.platform.contexts.append(CONTEXT)
    turn = process.say("Why?")
    process.platform.wait_for(1)
    stored = process.stored(turn).message
    assert stored.context == CONTEXT
    (thread,) = assistant.threads.values()
    assert thread.texts == [stored.text_with_attachments]
    assert "> Bob: It fails." in thread.texts[0]


def test_the_files_of_what_is_quoted_are_read_as_those_of_the_message(start: Start, assistant: FakeAssistant) -> None:
    process, file = start(), File("above.png", "ref")
    process.platform.attachments = [Attachment(file, BytesContent(b"pixels"))]
    process.platform.contexts.append(replace(CONTEXT, files=(file,)))
    turn = process.say("Why?")
    process.platform.wait_for(1)
    stored = process.stored(turn).message
    assert (stored.context, stored.files) == (CONTEXT, (file,))
    assert [attachment.file for attachment in assistant.attached] == [file]


@pytest.mark.parametrize("lacking", [True, False])
def test_what_a_message_comes_with_is_completed_where_it_lacks_something(start: Start, *, lacking: bool) -> None:
    process = start()
    process.platform.lacking = lacking
    process.platform.contexts.append(CONTEXT)
    known = ChatContext("Ann")
    turn = process.inbox.accept(replace(process.platform.message("Why?"), context=known)).turn
    process.platform.wait_for(1)
    assert process.stored(turn.id).message.context == (CONTEXT if lacking else known)


def test_a_retry_asks_the_same(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    process.platform.contexts += [CONTEXT, ChatContext("Somebody else")]
    assistant.script(RunStarted(RunId("run_1")), AssistantUnavailable("lost"))
    assistant.script(AssistantUnavailable("lost"))
    turn = process.say("Why?")
    process.platform.wait_for(1)
    assert process.stored(turn).message.context == CONTEXT
    assert len(process.platform.contexts) == 1


def test_nothing_is_run_for_a_reply_that_nobody_would_see(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    process.platform.contexts.append(DeliveryError("the app is not installed"))
    turn = process.say("Why?")
    process.platform.wait_for(1)
    process.stop()
    stored = process.stored(turn)
    assert stored.state is TurnState.FAILED
    assert stored.failure is not None
    assert (stored.failure.code, stored.failure.detail) == ("undeliverable", "the app is not installed")
    assert assistant.threads == {}


def test_a_message_that_is_not_for_us_ends_without_a_word(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    process.platform.contexts.append(NotForUs())
    turn = process.say("my own words")
    (shown,) = process.platform.wait_for(1)
    assert (shown.state, shown.reply, shown.failure) == (TurnState.CANCELLED, "", None)
    process.stop()
    assert process.stored(turn).state is TurnState.CANCELLED
    assert assistant.threads == {}


def test_a_context_that_cannot_be_read_does_not_cost_the_reply(start: Start, assistant: FakeAssistant) -> None:
    process = start()
    process.platform.contexts += [DeliveryError("away", retry_after=1.0), GatewayError("a fault")]
    for text in ("one", "two"):
        process.say(text)
    assert [turn.reply for turn in process.platform.wait_for(2)] == ["You said: one", "You said: two"]
