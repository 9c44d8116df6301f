"""The reply as it stands in the end: once, whole, in order, in its place; and what is done when Telegram refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from adapters.telegram import stream, text
from adapters.telegram.delivery import SENT_AGAIN, STOPPED
from adapters.telegram.errors import Declined, Reason
from adapters.telegram.pen import draft_id
from adapters.telegram.standing import Doubt, Standing
from gateway.errors import AssistantError, DeliveryError, LeaseLost, StoreUnavailable
from gateway.messages import File, TextDelta, TurnId
from tests.adapters.telegram.bringing import TOPIC, MakeScene, Scene, scenes, shown_of
from tests.fakes.telegram_messages import group
from tests.fakes.telegram_server import Error, FakeTelegram, Lost, RateLimit

SEND, EDIT, DELETE = "sendMessage", "editMessageText", "deleteMessage"
PLACES = ["private", "group", "topic", "business"]
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(12))
"""Three messages."""
CHART = File("chart.png", "file-1", "image/png")
NOTES = File("notes.txt", "file-2", "text/plain")
FILES = {"file-1": b"\x89PNG\r\n\x1a\nchart", "file-2": b"notes"}


@pytest.fixture(scope="module")
def running() -> Iterator[FakeTelegram]:
    with FakeTelegram() as telegram:
        yield telegram


@pytest.fixture
def telegram(running: FakeTelegram) -> Iterator[FakeTelegram]:
    yield running
    running.faults.clear()


@pytest.fixture
async def make(telegram: FakeTelegram) -> AsyncIterator[MakeScene]:
    async with scenes(telegram) as make:
        yield make


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRIVATE_SECONDS", "GROUP_SECONDS", "THINKING_SECONDS"):
        monkeypatch.setattr(stream, name, 0.002)


async def previewed(scene: Scene, words: str = "Some words ") -> None:
    """Let a message stand that shows how the reply begins."""
    await scene.follow(TextDelta(words), scene.texts)


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


async def test_a_cancelled_turn_has_no_words(make: MakeScene) -> None:
    scene = make("group")
    await scene.deliver(scene.cancelled())
    assert scene.said() == []


async def test_the_preview_becomes_the_reply(make: MakeScene) -> None:
    scene = make("group")
    await previewed(scene)
    await scene.deliver(scene.answered(f"Some words and more.\n\n{LONG}"))
    scene.assert_stands(f"Some words and more.\n\n{LONG}")


async def test_a_change_of_the_preview_that_nobody_is_sure_of_is_set_right(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(EDIT, Lost())
    await scene.follow(TextDelta("Some"), scene.texts, TextDelta(" words"), lambda: scene.texts() == ["Some words"])
    await scene.deliver(scene.answered("Some"))
    scene.assert_stands("Some")


async def test_a_preview_that_shows_the_whole_reply_is_left_alone(make: MakeScene) -> None:
    scene = make("group")
    await previewed(scene, "All of it.")
    edits = scene.count(EDIT)
    await scene.deliver(scene.answered("All of it."))
    scene.assert_stands("All of it.")
    assert scene.count(EDIT) == edits


async def test_the_preview_becomes_the_sentence_of_the_failure(make: MakeScene) -> None:
    scene = make("group")
    await scene.follow(TextDelta(LONG), lambda: len(scene.said()) == 3)
    await scene.deliver(scene.failed("That did not work."))
    scene.assert_stands("That did not work.")


async def test_the_preview_of_a_cancelled_turn_says_that_it_was_stopped_and_says_it_once(make: MakeScene) -> None:
    scene = make("group")
    await previewed(scene)
    for _ in range(2):
        await scene.deliver(scene.cancelled())
    assert scene.texts() == [f"Some words\n\n{STOPPED}"]


@pytest.mark.parametrize("why", ["message to edit not found", "something new"])
async def test_a_preview_that_cannot_be_marked_as_stopped_stays(
    telegram: FakeTelegram, make: MakeScene, why: str
) -> None:
    scene = make("group")
    await previewed(scene)
    telegram.faults.add(EDIT, Error(400, why))
    await scene.deliver(scene.cancelled())
    assert scene.texts() == ["Some words"]


async def test_what_a_dead_process_showed_of_a_cancelled_turn_stays_as_it_is(make: MakeScene) -> None:
    scene = make("group")
    await previewed(scene)
    await scene.restart()
    await scene.deliver(scene.cancelled())
    assert scene.texts() == ["Some words"]


async def test_to_bring_it_again_changes_nothing(make: MakeScene) -> None:
    scene = make("group")
    await scene.deliver(scene.answered(LONG))
    sent = scene.count(SEND)
    await scene.deliver(scene.answered(LONG))
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)
    assert scene.count(SEND) == sent
    assert not any(shown.edited for shown in scene.said())


async def test_every_message_is_announced_and_then_named(make: MakeScene) -> None:
    scene = make()
    await scene.deliver(scene.answered(LONG))
    one, two, three = scene.outbox.parts
    announced = Doubt.ONCE.value
    assert [notes for notes in scene.outbox.notes if notes] == [
        (announced,),
        (one,),
        (one, announced),
        (one, two),
        (one, two, announced),
        (one, two, three),
    ]


async def test_nothing_is_announced_while_there_is_no_place(make: MakeScene) -> None:
    scene = make()
    scene.outbox.full.add(f"telegram:{scene.calls.bot_id}")
    with pytest.raises(DeliveryError) as raised:
        await scene.replies.deliver(scene.answered("Words."), scene.outbox)
    assert raised.value.retry_after is not None
    assert not any(scene.outbox.notes)


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
    telegram.faults.add(SEND, Error(400, why))
    await scene.deliver(scene.answered("Very **bold** [link](https://example.org/)"))
    assert scene.texts() == ["Very **bold** [link](https://example.org/)"]
    assert scene.again() == 0


@pytest.mark.parametrize("refused", [0, 1, 2])
async def test_one_part_that_is_refused_leaves_the_others_as_they_are(
    telegram: FakeTelegram, make: MakeScene, refused: int
) -> None:
    scene = make("group")
    reply = LONG.replace("Paragraph", "**Paragraph**")
    telegram.faults.add(SEND, Error(400, "can't parse entities", skip=refused))
    await scene.deliver(scene.answered(reply))
    parts = text.parts(reply)
    expected = [part.markdown if number == refused else part.text for number, part in enumerate(parts)]
    assert scene.texts() == [words.strip() for words in expected]


async def test_a_preview_whose_last_change_is_refused_is_changed_to_plain_text(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    await previewed(scene)
    telegram.faults.add(EDIT, Error(400, "can't parse entities"))
    await scene.deliver(scene.answered("Very **bold**."))
    assert scene.texts() == ["Very **bold**."]
    assert scene.count(SEND) == 1


async def test_what_telegram_finds_empty_twice_is_left_out(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, Error(400, "text must be non-empty", times=1))
    telegram.faults.add(SEND, Error(400, "message text is empty", times=1))
    await scene.deliver(scene.answered("**odd**"))
    assert scene.texts() == []


async def test_what_is_refused_without_markup_as_well_is_told_to_the_operator(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    telegram.faults.add(SEND, Error(400, "something new", times=None))
    with pytest.raises(Declined, match="Something new") as raised:
        await scene.deliver(scene.answered("**Words.**"))
    assert raised.value.retry_after is None
    assert scene.count(SEND) == 2
    assert scene.outbox.parts == ()


async def test_who_blocked_the_bot_gets_nothing_and_the_operator_a_reason(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    telegram.block(scene.chat, told=False)
    with pytest.raises(Declined, match="blocked") as raised:
        await scene.deliver(scene.answered("Words."))
    assert raised.value.reason is Reason.BLOCKED
    assert raised.value.retry_after is None
    assert scene.count(SEND) == 1


async def test_a_group_without_the_bot_is_no_place_to_speak(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    telegram.remove(scene.chat, told=False)
    with pytest.raises(Declined, match="kicked"):
        await scene.deliver(scene.answered("Words."))


async def test_a_chat_that_is_not_there_is_told_to_the_operator(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add("*", Error(400, "chat not found", times=None))
    with pytest.raises(Declined, match="Chat not found") as raised:
        await scene.deliver(scene.answered("Words."))
    assert raised.value.reason is Reason.CHAT_GONE


async def test_a_message_that_is_gone_is_answered_all_the_same(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    telegram.erase(scene.asked, chat_id=scene.chat)
    await scene.deliver(scene.answered("Words."))
    scene.assert_stands("Words.")
    assert scene.count(SEND) == 1


async def test_a_server_that_insists_on_the_message_gets_the_reply_without_it(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, Error(400, "message to be replied not found"))
    await scene.deliver(scene.answered("Words."))
    scene.assert_stands("Words.")
    assert scene.said()[0].reply_to is None


async def test_without_its_topic_the_reply_goes_to_the_chat(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("topic")
    telegram.delete_topic(scene.chat, TOPIC)
    await scene.deliver(scene.answered(LONG))
    assert scene.texts() == shown_of(LONG)
    assert {shown.thread for shown in scene.said()} == {None}


async def test_throttling_puts_off_this_chat_alone_and_announces_nothing(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, RateLimit(7))
    with pytest.raises(DeliveryError) as raised:
        await scene.replies.deliver(scene.answered("Words."), scene.outbox)
    assert raised.value.retry_after == 7
    assert scene.outbox.held_off == [(f"telegram:{scene.calls.bot_id}:chat:{scene.chat}", 7.0)]
    assert scene.outbox.parts == ()
    await scene.deliver(scene.answered("Words."))
    scene.assert_stands("Words.")


# ---------------------------------------------------------------- what people do meanwhile


async def test_a_preview_that_somebody_deleted_is_said_anew(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    await previewed(scene)
    telegram.erase(scene.said()[0].message_id, chat_id=scene.chat)
    await scene.deliver(scene.answered("Some words more."))
    scene.assert_stands("Some words more.")


async def test_what_stood_below_a_deleted_message_is_said_anew_below_it(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    await scene.follow(TextDelta(LONG), lambda: len(scene.said()) == 3)
    telegram.erase(scene.said()[0].message_id, chat_id=scene.chat)
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)


async def test_a_message_that_cannot_be_deleted_stays(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    await scene.follow(TextDelta(LONG), lambda: len(scene.said()) == 3)
    telegram.faults.add(DELETE, Error(400, "message can't be deleted for everyone"), Error(403, "no rights"))
    await scene.deliver(scene.answered("Short."))
    assert scene.texts()[0] == "Short."
    assert len(scene.outbox.parts) == 1


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_group_that_moves_gets_the_rest_where_it_is_now(
    telegram: FakeTelegram, make: MakeScene, after: int
) -> None:
    scene = make("group")
    old, new = scene.chat, scene.chat - 7_000_000

    def move(*_: Any) -> None:
        if len(telegram.answers(old)) == after:
            telegram.migrate(old, new, told=False)

    telegram.faults.before(SEND, move)
    await scene.deliver(scene.answered(LONG))
    said = [shown.text for chat in (old, new) for shown in telegram.answers(chat)]
    assert said == shown_of(LONG)
    assert len(telegram.answers(old)) == after
    assert f"chat:{new}" in scene.outbox.parts
    await scene.restart()
    await scene.deliver(scene.answered(LONG))
    assert [shown.text for chat in (old, new) for shown in telegram.answers(chat)] == said
    assert scene.again() == 0


@pytest.mark.parametrize("where", ["group", "topic"])
async def test_where_a_group_is_now_the_reply_answers_no_message_and_no_topic_of_before(
    telegram: FakeTelegram, make: MakeScene, where: str
) -> None:
    scene = make(where)
    new = scene.chat - 9_000_000
    telegram.add_chat(group(new, forum=True))
    telegram.add_topic(new, TOPIC)
    assert telegram.say("Another with the same number.", chat_id=new) == scene.asked
    telegram.migrate(scene.chat, new, told=False)
    await scene.deliver(scene.answered("Words."))
    assert [(shown.text, shown.reply_to, shown.thread) for shown in telegram.answers(new)] == [("Words.", None, None)]


async def test_a_preview_in_a_group_that_moved_stays_and_the_reply_is_said_where_the_group_is(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    await previewed(scene)
    new = scene.chat - 8_000_000
    telegram.migrate(scene.chat, new, told=False)
    await scene.deliver(scene.answered("Some words more."))
    assert [shown.text for shown in telegram.answers(new)] == ["Some words more."]


# ---------------------------------------------------------------- the core


async def test_who_lost_the_lease_says_nothing_more(make: MakeScene) -> None:
    scene = make()
    scene.outbox.lost = True
    with pytest.raises(LeaseLost):
        await scene.deliver(scene.answered("Words."))
    assert scene.said() == []


async def test_without_a_database_nothing_is_sent_that_could_not_be_announced(make: MakeScene) -> None:
    scene = make()

    async def away() -> None:
        raise StoreUnavailable

    scene.outbox.before_note = away
    with pytest.raises(DeliveryError) as raised:
        await scene.replies.deliver(scene.answered("Words."), scene.outbox)
    assert raised.value.retry_after is not None
    assert scene.said() == []
    scene.outbox.before_note = None
    await scene.deliver(scene.answered("Words."))
    scene.assert_stands("Words.")
    assert scene.again() == 0


@pytest.mark.parametrize("reply", ["Words.", LONG], ids=["short", "long"])
async def test_a_message_that_could_not_be_named_is_named_later_and_not_repeated(make: MakeScene, reply: str) -> None:
    scene = make()
    left = iter([StoreUnavailable, StoreUnavailable])

    async def away_after_the_first() -> None:
        if scene.said() and (problem := next(left, None)):
            raise problem

    scene.outbox.before_note = away_after_the_first
    assert await scene.deliver(scene.answered(reply)) == 2
    scene.assert_stands(reply)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("where", PLACES)
async def test_files_come_after_the_text_and_are_noted(make: MakeScene, where: str) -> None:
    scene = make(where)
    scene.outbox.files = FILES
    await scene.deliver(scene.answered("Here.", CHART, NOTES))
    assert [(shown.text, [file.kind for file in shown.files]) for shown in scene.said()] == [
        ("Here.", []),
        ("", ["photo"]),
        ("", ["document"]),
    ]
    first, *files = [str(shown.message_id) for shown in scene.said()]
    assert scene.outbox.parts == (first, *(f"file:{message}" for message in files))
    assert {shown.thread for shown in scene.said()} == {scene.thread}


async def test_a_reply_may_be_nothing_but_a_file(make: MakeScene) -> None:
    scene = make()
    scene.outbox.files = FILES
    await scene.deliver(scene.answered("", NOTES))
    assert (scene.texts(), scene.files()) == ([], ["notes.txt"])


@pytest.mark.parametrize("left", [{"file-2": b"notes"}, {**FILES, "file-1": b""}], ids=["gone", "empty"])
async def test_a_file_that_cannot_be_had_is_named_and_costs_nothing_else(
    make: MakeScene, left: dict[str, bytes]
) -> None:
    scene = make()
    scene.outbox.files = left
    await scene.deliver(scene.answered("Here.", CHART, NOTES))
    assert scene.texts() == ["Here.", "The file chart.png could not be brought here."]
    assert scene.files() == ["notes.txt"]
    await scene.restart()
    await scene.deliver(scene.answered("Here.", CHART, NOTES))
    assert len(scene.said()) == 3


async def test_a_backend_that_is_away_is_asked_for_a_file_some_times(make: MakeScene) -> None:
    scene = make()
    asked: list[str] = []

    async def away(file: File) -> bytes:
        asked.append(file.name)
        raise AssistantError(retry_after=1.0)

    scene.outbox.file = away  # type: ignore[method-assign]  # a fake that fails
    assert await scene.deliver(scene.answered("Here.", NOTES)) == 2
    assert asked == ["notes.txt"] * 3
    assert scene.texts() == ["Here.", "The file notes.txt could not be brought here."]


async def test_a_file_for_a_topic_that_is_gone_goes_to_the_chat(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("topic")
    scene.outbox.files = FILES
    await scene.deliver(scene.answered("Here."))
    telegram.delete_topic(scene.chat, TOPIC)
    await scene.deliver(scene.answered("Here.", NOTES))
    assert scene.files() == ["notes.txt"]


# ---------------------------------------------------------------- what nobody can know


async def test_a_message_without_an_answer_is_sent_once_more_and_says_so(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    telegram.faults.add(SEND, Lost())
    assert await scene.deliver(scene.answered("Words.")) == 1
    assert scene.texts() == ["Words.", f"{SENT_AGAIN}\n\nWords."]
    assert scene.outbox.parts == (f"again:{scene.said()[1].message_id}",)


async def test_it_is_sent_again_only_when_telegram_answers(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, Lost())
    telegram.faults.add("sendChatAction", Lost(times=3))
    assert await scene.deliver(scene.answered("Words.")) == 4
    assert scene.count(SEND) == 2


async def test_a_message_without_an_answer_twice_is_let_go_and_the_rest_comes(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, Lost(skip=1, times=2))
    with pytest.raises(DeliveryError, match="all but 1") as raised:
        await scene.deliver(scene.answered(LONG))
    assert raised.value.retry_after is None
    one, two, three = shown_of(LONG)
    assert scene.texts() == [one, two, f"{SENT_AGAIN}\n\n{two}", three]
    assert scene.outbox.parts[1] == "again:?"


async def test_a_message_that_leaves_no_room_for_the_line_becomes_two(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    full = "word " * 818 + "end"
    assert len(text.parts(full)) == 1
    telegram.faults.add(SEND, Lost())
    await scene.deliver(scene.answered(full))
    assert len(scene.said()) == 3
    scene.assert_came(full)
    before = scene.texts()
    await scene.restart()
    await scene.deliver(scene.answered(full))
    assert scene.texts() == before


async def test_what_is_sent_again_and_refused_comes_without_markup(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, Lost(), Error(400, "can't parse entities"))
    await scene.deliver(scene.answered("Very **bold**."))
    assert scene.texts() == ["Very bold.", f"{SENT_AGAIN}\n\nVery **bold**."]


async def test_a_failure_that_is_told_again_stays_plain(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, Lost())
    await scene.deliver(scene.failed("It is *not* to be had."))
    assert scene.texts()[1] == f"{SENT_AGAIN}\n\nIt is *not* to be had."


async def test_a_preview_that_was_lost_sight_of_is_no_reply(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    telegram.faults.add(SEND, Lost())
    await previewed(scene)
    await scene.deliver(scene.answered("Some words more."))
    assert scene.texts() == ["Some words", f"{SENT_AGAIN}\n\nSome words more."]


async def test_a_preview_that_was_lost_sight_of_stays_when_the_turn_is_cancelled(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, Lost())
    await previewed(scene)
    await scene.deliver(scene.cancelled())
    assert scene.texts() == ["Some words"]


async def test_a_file_without_an_answer_is_sent_once_more_and_its_name_says_so(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    scene.outbox.files = FILES
    telegram.faults.add("sendPhoto", Lost())
    await scene.deliver(scene.answered("Here.", CHART, NOTES))
    assert scene.files() == ["chart.png", "sent again - chart.png", "notes.txt"]
    assert scene.again() == 0


async def test_a_file_without_an_answer_twice_is_let_go(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    scene.outbox.files = FILES
    telegram.faults.add("sendDocument", Lost(times=2))
    with pytest.raises(DeliveryError, match="all but 1"):
        await scene.deliver(scene.answered("Here.", NOTES, CHART))
    assert scene.files() == ["notes.txt", "sent again - notes.txt", "chart.png"]


# ---------------------------------------------------------------- the notes


@pytest.mark.parametrize(
    "notes",
    [
        [],
        ["17"],
        ["17", "again:18", "sending"],
        ["again:?", "19", "sending again"],
        ["17", "chat:-1002", "5", "sending", "file:6", "file:sending again"],
        ["chat:-1002", "file:?", "file:7"],
    ],
)
def test_notes_mean_what_they_meant(notes: list[str]) -> None:
    standing = Standing.of("-1", notes)
    assert standing.notes("-1") == notes


def test_a_draft_has_a_number_of_its_turn() -> None:
    numbers = {draft_id(TurnId(f"turn_{number}")) for number in range(100)}
    assert len(numbers) == 100
    assert all(0 < number < 2**31 for number in numbers)
    assert draft_id(TurnId("turn_1")) == draft_id(TurnId("turn_1"))
