"""Files, and what nobody can know: what is said again, and how; and what the notes tell of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.telegram import formatter, preview
from adapters.telegram.message_writer import draft_id
from adapters.telegram.posted_reply import TelegramReply
from adapters.telegram.reconciler import SENT_AGAIN
from gateway.domain.errors import DeliveryError, LeaseLost, StoreUnavailable
from gateway.domain.models import TurnId
from tests.adapters.telegram.reply_scene import CHART, FILES, LONG, NOTES, TOPIC, MakeScene, shown_of
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


# ---------------------------------------------------------------- the core


async def test_who_lost_the_lease_says_nothing_more(make: MakeScene) -> None:
    scene = make()
    scene.delivery.lease_lost = True
    with pytest.raises(LeaseLost):
        await scene.deliver(scene.answered("Words."))
    assert scene.said() == []


async def test_without_a_database_nothing_is_sent_that_could_not_be_announced(make: MakeScene) -> None:
    scene = make()

    async def away() -> None:
        raise StoreUnavailable

    scene.delivery.before_save = away
    with pytest.raises(DeliveryError) as raised:
        await scene.replies.deliver(scene.answered("Words."), scene.delivery)
    assert raised.value.retry_after is not None
    assert scene.said() == []
    scene.delivery.before_save = None
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

    scene.delivery.before_save = away_after_the_first
    assert await scene.deliver(scene.answered(reply)) == 2
    scene.assert_stands(reply)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("where", PLACES)
async def test_files_come_after_the_text_and_are_noted(make: MakeScene, where: str) -> None:
    scene = make(where)
    scene.delivery.files = FILES
    await scene.deliver(scene.answered("Here.", CHART, NOTES))
    assert [(shown.text, [file.kind for file in shown.files]) for shown in scene.said()] == [
        ("Here.", []),
        ("", ["photo"]),
        ("", ["document"]),
    ]
    first, *files = [str(shown.message_id) for shown in scene.said()]
    assert scene.delivery.posted_messages == (first, *(f"file:{message}" for message in files))
    assert {shown.thread for shown in scene.said()} == {scene.thread}


async def test_a_file_for_a_topic_that_is_gone_goes_to_the_chat(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("topic")
    scene.delivery.files = FILES
    await scene.deliver(scene.answered("Here."))
    telegram.delete_topic(scene.chat, TOPIC)
    await scene.deliver(scene.answered("Here.", NOTES))
    assert scene.files() == ["notes.txt"]


# ---------------------------------------------------------------- what nobody can know


async def test_a_message_without_an_answer_is_sent_once_more_and_says_so(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    telegram.faults.add(SEND, ResponseLost())
    assert await scene.deliver(scene.answered("Words.")) == 1
    assert scene.texts() == ["Words.", f"{SENT_AGAIN}\n\nWords."]
    assert scene.delivery.posted_messages == (f"again:{scene.said()[1].message_id}",)


async def test_it_is_sent_again_only_when_telegram_answers(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, ResponseLost())
    telegram.faults.add("sendChatAction", ResponseLost(times=3))
    assert await scene.deliver(scene.answered("Words.")) == 4
    assert scene.count(SEND) == 2


async def test_a_message_without_an_answer_twice_is_let_go_and_the_rest_comes(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, ResponseLost(skip=1, times=2))
    with pytest.raises(DeliveryError, match="all but 1") as raised:
        await scene.deliver(scene.answered(LONG))
    assert raised.value.retry_after is None
    one, two, three = shown_of(LONG)
    assert scene.texts() == [one, two, f"{SENT_AGAIN}\n\n{two}", three]
    assert scene.delivery.posted_messages[1] == "again:?"


async def test_a_message_that_leaves_no_room_for_the_line_becomes_two(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    full = "word " * 818 + "end"
    assert len(formatter.parts(full)) == 1
    telegram.faults.add(SEND, ResponseLost())
    await scene.deliver(scene.answered(full))
    assert len(scene.said()) == 3
    scene.assert_came(full)
    before = scene.texts()
    await scene.restart()
    await scene.deliver(scene.answered(full))
    assert scene.texts() == before


async def test_what_is_sent_again_and_refused_comes_without_markup(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, ResponseLost(), TelegramErrorFault(400, "can't parse entities"))
    await scene.deliver(scene.answered("Very **bold**."))
    assert scene.texts() == ["Very bold.", f"{SENT_AGAIN}\n\nVery **bold**."]


async def test_a_failure_that_is_told_again_stays_plain(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.faults.add(SEND, ResponseLost())
    await scene.deliver(scene.failed("It is *not* to be had."))
    assert scene.texts()[1] == f"{SENT_AGAIN}\n\nIt is *not* to be had."


async def test_a_preview_that_was_lost_sight_of_is_no_reply(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make("group")
    telegram.faults.add(SEND, ResponseLost())
    await scene.previewed()
    await scene.deliver(scene.answered("Some words more."))
    assert scene.texts() == ["Some words", f"{SENT_AGAIN}\n\nSome words more."]


async def test_a_preview_that_was_lost_sight_of_stays_when_the_turn_is_cancelled(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make("group")
    telegram.faults.add(SEND, ResponseLost())
    await scene.previewed()
    await scene.deliver(scene.cancelled())
    assert scene.texts() == ["Some words"]


async def test_a_file_without_an_answer_is_sent_once_more_and_its_name_says_so(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    scene.delivery.files = FILES
    telegram.faults.add("sendPhoto", ResponseLost())
    await scene.deliver(scene.answered("Here.", CHART, NOTES))
    assert scene.files() == ["chart.png", "sent again - chart.png", "notes.txt"]
    assert scene.again() == 0


async def test_a_file_without_an_answer_twice_is_let_go(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    scene.delivery.files = FILES
    telegram.faults.add("sendDocument", ResponseLost(times=2))
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
    reply = TelegramReply(first_chat="-1")
    reply.restore(notes)
    assert reply.entries() == notes


def test_a_draft_has_a_number_of_its_turn() -> None:
    numbers = {draft_id(TurnId(f"turn_{number}")) for number in range(100)}
    assert len(numbers) == 100
    assert all(0 < number < 2**31 for number in numbers)
    assert draft_id(TurnId("turn_1")) == draft_id(TurnId("turn_1"))
