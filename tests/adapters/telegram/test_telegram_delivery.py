"""The reply as it stands in the end: once, whole, in order, in its place; and what is done when Telegram refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.base.errors import Rejected
from adapters.telegram import formatter, preview
from adapters.telegram.errors import Reason
from adapters.telegram.posted_reply import SendState
from gateway.domain.run_events import TextDelta
from tests.adapters.telegram.reply_scene import LONG, TOPIC, MakeScene, shown_of
from tests.fakes.telegram_messages import group_chat
from tests.fakes.telegram_server import FakeTelegram, ResponseLost, TelegramErrorFault

SEND, EDIT, DELETE = "sendMessage", "editMessageText", "deleteMessage"
PLACES = ["private", "group", "topic", "business"]


@pytest.fixture
def telegram(running: FakeTelegram) -> Iterator[FakeTelegram]:
    yield running
    running.faults.clear()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRIVATE_SECONDS", "GROUP_SECONDS", "THINKING_SECONDS"):
        monkeypatch.setattr(preview, name, 0.002)


# ---------------------------------------------------------------- as it should be


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("reply", ["A **short** one.", LONG], ids=["short", "long"])
async def test_a_reply_stands_where_it_was_asked_for(make: MakeScene, where: str, reply: str) -> None:
    scene = make(where)
    assert await scene.deliver(scene.answered(reply)) == 0
    scene.assert_stands(reply)
    assert scene.again() == 0


@pytest.mark.parametrize("where", PLACES)
async def test_in_groups_its_first_message_answers_the_one_who_asked(make: MakeScene, where: str) -> None:
    scene = make(where)
    await scene.deliver(scene.answered(LONG))
    first = scene.asked if where in {"group", "topic"} else None
    assert [shown.reply_to for shown in scene.said()] == [first, None, None]


async def test_markdown_is_shown_as_what_it_means(make: MakeScene) -> None:
    scene = make()
    await scene.deliver(scene.answered("Very **bold** [link](https://example.org/)"))
    (shown,) = scene.said()
    assert shown.text == "Very bold link"
    assert [entity["type"] for entity in shown.entities] == ["bold", "text_link"]


async def test_the_sentence_of_a_failure_is_shown_as_it_is_written(make: MakeScene) -> None:
    scene = make()
    await scene.deliver(scene.failed("It was *not* to_be_had."))
    assert scene.texts() == ["It was *not* to_be_had."]
    assert scene.said()[0].entities == ()


async def test_a_change_of_the_preview_that_nobody_is_sure_of_is_set_right(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(EDIT, ResponseLost())
    await scene.follow(TextDelta("Some"), scene.texts, TextDelta(" words"), lambda: scene.texts() == ["Some words"])
    await scene.deliver(scene.answered("Some"))
    scene.assert_stands("Some")


async def test_a_preview_that_shows_the_whole_reply_is_left_alone(make: MakeScene) -> None:
    scene = make("group")
    await scene.previewed("All of it.")
    edits = scene.count(EDIT)
    await scene.deliver(scene.answered("All of it."))
    scene.assert_stands("All of it.")
    assert scene.count(EDIT) == edits


@pytest.mark.parametrize("why", ["message to edit not found", "something new"])
async def test_a_preview_that_cannot_be_marked_as_stopped_stays(
    telegram: FakeTelegram, make: MakeScene, why: str
) -> None:
    scene = make("group")
    await scene.previewed()
    telegram.faults.add(EDIT, TelegramErrorFault(400, why))
    await scene.deliver(scene.cancelled())
    assert scene.texts() == ["Some words"]


async def test_every_message_is_announced_and_then_named(make: MakeScene) -> None:
    scene = make()
    await scene.deliver(scene.answered(LONG))
    one, two, three = scene.delivery.posted_messages
    announced = SendState.SENDING.value
    assert [notes for notes in scene.delivery.saved_progress if notes] == [
        (announced,),
        (one,),
        (one, announced),
        (one, two),
        (one, two, announced),
        (one, two, three),
    ]


# ---------------------------------------------------------------- what Telegram refuses


@pytest.mark.parametrize(
    "why",
    [
        "can't parse entities: something about byte offset 3",
        "Entity URL 'http://a' is invalid: Wrong HTTP URL",
        "message is too long",
        "something that nobody has heard of",
    ],
)
async def test_what_telegram_does_not_take_is_said_without_markup(
    telegram: FakeTelegram, make: MakeScene, why: str
) -> None:
    scene = make()
    telegram.faults.add(SEND, TelegramErrorFault(400, why))
    await scene.deliver(scene.answered("Very **bold** [link](https://example.org/)"))
    assert scene.texts() == ["Very **bold** [link](https://example.org/)"]
    assert scene.again() == 0


@pytest.mark.parametrize("refused", [0, 1, 2])
async def test_one_part_that_is_refused_leaves_the_others_as_they_are(
    telegram: FakeTelegram, make: MakeScene, refused: int
) -> None:
    scene = make("group")
    reply = LONG.replace("Paragraph", "**Paragraph**")
    telegram.faults.add(SEND, TelegramErrorFault(400, "can't parse entities", skip=refused))
    await scene.deliver(scene.answered(reply))
    parts = formatter.parts(reply)
    expected = [part.markdown if number == refused else part.text for number, part in enumerate(parts)]
    assert scene.texts() == [words.strip() for words in expected]


async def test_what_telegram_finds_empty_twice_is_left_out(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, TelegramErrorFault(400, "text must be non-empty", times=1))
    telegram.faults.add(SEND, TelegramErrorFault(400, "message text is empty", times=1))
    await scene.deliver(scene.answered("**odd**"))
    assert scene.texts() == []


async def test_what_is_refused_without_markup_as_well_is_told_to_the_operator(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    telegram.faults.add(SEND, TelegramErrorFault(400, "something new", times=None))
    with pytest.raises(Rejected, match="Something new") as raised:
        await scene.deliver(scene.answered("**Words.**"))
    assert raised.value.retry_after is None
    assert scene.count(SEND) == 2
    assert scene.delivery.posted_messages == ()


async def test_who_blocked_the_bot_gets_nothing_and_the_operator_a_reason(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    telegram.block(scene.chat, notify_bot=False)
    with pytest.raises(Rejected, match="blocked") as raised:
        await scene.deliver(scene.answered("Words."))
    assert raised.value.reason is Reason.BLOCKED
    assert raised.value.retry_after is None
    assert scene.count(SEND) == 1


async def test_a_group_without_the_bot_is_no_place_to_speak(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    telegram.remove_bot(scene.chat, notify_bot=False)
    with pytest.raises(Rejected, match="kicked"):
        await scene.deliver(scene.answered("Words."))


async def test_a_chat_that_is_not_there_is_told_to_the_operator(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add("*", TelegramErrorFault(400, "chat not found", times=None))
    with pytest.raises(Rejected, match="Chat not found") as raised:
        await scene.deliver(scene.answered("Words."))
    assert raised.value.reason is Reason.CHAT_GONE


async def test_a_message_that_is_gone_is_answered_all_the_same(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    telegram.user_deletes(scene.asked, chat_id=scene.chat)
    await scene.deliver(scene.answered("Words."))
    scene.assert_stands("Words.")
    assert scene.count(SEND) == 1


async def test_a_server_that_insists_on_the_message_gets_the_reply_without_it(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, TelegramErrorFault(400, "message to be replied not found"))
    await scene.deliver(scene.answered("Words."))
    scene.assert_stands("Words.")
    assert scene.said()[0].reply_to is None


async def test_without_its_topic_the_reply_goes_to_the_chat(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("topic")
    telegram.delete_topic(scene.chat, TOPIC)
    await scene.deliver(scene.answered(LONG))
    assert scene.texts() == shown_of(LONG)
    assert {shown.thread for shown in scene.said()} == {None}


# ---------------------------------------------------------------- what people do meanwhile


async def test_what_stood_below_a_deleted_message_is_said_anew_below_it(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    await scene.follow(TextDelta(LONG), lambda: len(scene.said()) == 3)
    telegram.user_deletes(scene.said()[0].message_id, chat_id=scene.chat)
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)


async def test_a_message_that_cannot_be_deleted_stays(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    await scene.follow(TextDelta(LONG), lambda: len(scene.said()) == 3)
    telegram.faults.add(
        DELETE, TelegramErrorFault(400, "message can't be deleted for everyone"), TelegramErrorFault(403, "no rights")
    )
    await scene.deliver(scene.answered("Short."))
    assert scene.texts()[0] == "Short."
    assert len(scene.delivery.posted_messages) == 1


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_group_that_moves_gets_the_rest_where_it_is_now(
    telegram: FakeTelegram, make: MakeScene, after: int
) -> None:
    scene = make("group")
    old, new = scene.chat, scene.chat - 7_000_000

    def move(*_: Any) -> None:
        if len(telegram.bot_messages(old)) == after:
            telegram.migrate(old, new, notify_bot=False)

    telegram.faults.before(SEND, move)
    await scene.deliver(scene.answered(LONG))
    said = [shown.text for chat in (old, new) for shown in telegram.bot_messages(chat)]
    assert said == shown_of(LONG)
    assert len(telegram.bot_messages(old)) == after
    assert f"chat:{new}" in scene.delivery.posted_messages
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    assert [shown.text for chat in (old, new) for shown in telegram.bot_messages(chat)] == said
    assert scene.again() == 0


@pytest.mark.parametrize("where", ["group", "topic"])
async def test_where_a_group_is_now_the_reply_answers_no_message_and_no_topic_of_before(
    telegram: FakeTelegram, make: MakeScene, where: str
) -> None:
    scene = make(where)
    new = scene.chat - 9_000_000
    telegram.add_chat(group_chat(new, forum=True))
    telegram.add_topic(new, TOPIC)
    assert telegram.user_says("Another with the same number.", chat_id=new) == scene.asked
    telegram.migrate(scene.chat, new, notify_bot=False)
    await scene.deliver(scene.answered("Words."))
    assert [(shown.text, shown.reply_to, shown.thread) for shown in telegram.bot_messages(new)] == [
        ("Words.", None, None)
    ]


async def test_a_preview_in_a_group_that_moved_stays_and_the_reply_is_said_where_the_group_is(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    await scene.previewed()
    new = scene.chat - 8_000_000
    telegram.migrate(scene.chat, new, notify_bot=False)
    await scene.deliver(scene.answered("Some words more."))
    assert [shown.text for shown in telegram.bot_messages(new)] == ["Some words more."]
