"""Previews as messages that grow, where there are no drafts; and what stood there before."""

from __future__ import annotations

import pytest

from adapters.telegram import formatter, preview
from adapters.telegram.posted_reply import SendState
from gateway.domain.run_events import TextDelta, ToolCall
from gateway.domain.stream_buffer import TextBuffer
from tests.adapters.telegram.reply_scene import MakeScene
from tests.contracts.reply_scene import a_while
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.telegram_server import FakeTelegram, TelegramErrorFault

SEND, EDIT, DRAFT, ACTION = "sendMessage", "editMessageText", "sendMessageDraft", "sendChatAction"
PLACES = ["private", "group", "topic", "business"]
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(12))
"""Three messages."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRIVATE_SECONDS", "GROUP_SECONDS"):
        monkeypatch.setattr(preview, name, 0.002)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft comes before the first word."""
    monkeypatch.setattr(preview, "THINKING_SECONDS", 0.002)


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("where", ["group", "topic", "business"])
async def test_elsewhere_a_message_grows_and_is_noted_at_once(make: MakeScene, where: str) -> None:
    scene = make(where)
    await scene.follow(
        TextDelta("One **two**"),
        lambda: scene.texts() == ["One two"],
        lambda: scene.delivery.posted_messages == (str(scene.said()[0].message_id),),
        TextDelta(" three"),
        lambda: scene.texts() == ["One two three"],
    )
    assert (scene.count(SEND), scene.count(DRAFT)) == (1, 0)
    assert scene.delivery.saved_progress[0] == (SendState.SENDING.value,)
    await scene.deliver(scene.answered("One **two** three four"))
    scene.assert_stands("One **two** three four")
    assert scene.count(SEND) == 1


@pytest.mark.parametrize(("where", "other"), [("group", "PRIVATE_SECONDS"), ("business", "GROUP_SECONDS")])
async def test_a_group_and_a_person_have_paces_of_their_own(
    make: MakeScene, where: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, other, 60)
    scene = make(where)
    await scene.follow(TextDelta("One"), scene.texts, TextDelta(" two"), lambda: scene.texts() == ["One two"])


async def test_in_a_group_the_message_answers_the_one_who_asked(make: MakeScene) -> None:
    scene = make("group")
    await scene.follow(TextDelta("Words"), scene.texts)
    assert scene.said()[0].reply_to == scene.asked


async def test_nothing_is_posted_for_what_cannot_be_seen(make: MakeScene) -> None:
    scene = make("group")
    await scene.follow(TextDelta(" \n\u200b"), a_while())
    assert scene.count(SEND) == 0


@pytest.mark.parametrize(
    "fault",
    [
        TelegramErrorFault(403, "bot was kicked from the supergroup chat"),
        TelegramErrorFault(400, "can't parse entities"),
    ],
    ids=str,
)
async def test_a_refused_preview_ends_and_notes_nothing(
    telegram: FakeTelegram, make: MakeScene, fault: TelegramErrorFault
) -> None:
    telegram.faults.add(SEND, fault)
    scene = make("group")
    await scene.follow(TextDelta("Words"), lambda: scene.count(SEND), a_while(), TextDelta(" more"), a_while())
    assert scene.count(SEND) == 1
    assert scene.delivery.posted_messages == ()
    await scene.deliver(scene.answered("Words more."))
    scene.assert_stands("Words more.")


async def test_who_lost_the_lease_shows_nothing_more(make: MakeScene) -> None:
    scene = make("group")
    scene.delivery.lease_lost = True
    await scene.follow(TextDelta("Words"), lambda: scene.delivery.acquired, a_while())
    assert scene.said() == []


# ---------------------------------------------------------------- what was there before


async def test_another_process_goes_on_with_the_message_of_a_dead_one(make: MakeScene) -> None:
    scene = make("group")
    await scene.follow(TextDelta("Some words"), scene.texts)
    await scene.restart()
    await scene.follow(TextDelta("Other words"), lambda: scene.texts() == ["Other words"])
    await scene.deliver(scene.answered("Other words."))
    scene.assert_stands("Other words.")


async def test_beside_a_message_that_was_lost_sight_of_none_is_begun(make: MakeScene) -> None:
    delivery = FakeDeliveryContext(first_attempt=False, posted_messages=(SendState.SENDING.value,))
    scene = make("group", delivery=delivery)
    await scene.follow(TextDelta("Words"), lambda: scene.count(ACTION), a_while())
    assert scene.said() == []
    await scene.deliver(scene.answered("Words."))
    assert scene.again() == 1


# ---------------------------------------------------------------- what was written


async def test_news_come_once_and_the_end_comes_always() -> None:
    written = TextBuffer()
    assert not await written.wait_for_change(0.001)
    assert not await written.wait_for_first_text(0.001)
    written.put(TextDelta("One "))
    written.put(ToolCall("c", "search"))
    written.put(TextDelta("two"))
    assert await written.wait_for_first_text(0.001)
    assert await written.wait_for_change(0.001)
    assert not await written.wait_for_change(0.001)
    assert written.text == "One two"
    written.close()
    assert await written.wait_for_change()
    assert await written.wait_for_change()
    await written.wait_until_closed(60)
    assert written.closed


def test_a_long_reply_is_three_messages() -> None:
    assert len(formatter.parts(LONG)) == 3
