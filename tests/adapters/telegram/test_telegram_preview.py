"""A reply while it is written: what is shown of it where, what that costs, and what a refusal makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.telegram import preview
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.message_writer import draft_id
from gateway.domain.run_events import TextDelta, ToolCall
from tests.adapters.telegram.reply_scene import TOPIC, MakeScene, scenes, shown_of
from tests.contracts.reply_scene import Told, a_while, deltas
from tests.fakes.telegram_server import (
    ConnectionRefused,
    FakeTelegram,
    HttpStatus,
    RateLimit,
    ResponseLost,
    TelegramErrorFault,
)

SEND, EDIT, DRAFT, ACTION = "sendMessage", "editMessageText", "sendMessageDraft", "sendChatAction"
PLACES = ["private", "group", "topic", "business"]
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(12))
"""Three messages."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRIVATE_SECONDS", "GROUP_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(preview, name, 0.002)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft comes before the first word."""
    monkeypatch.setattr(preview, "THINKING_SECONDS", 0.002)


# ---------------------------------------------------------------- typing


@pytest.mark.parametrize("where", [where for where in PLACES if where != "private"])
async def test_the_bot_types_where_it_was_asked(telegram: FakeTelegram, make: MakeScene, where: str) -> None:
    scene = make(where)
    await scene.follow(lambda: telegram.is_typing(scene.chat, scene.thread, business=scene.business))
    assert {action.thread for action in telegram.actions(scene.chat, business=scene.business)} == {scene.thread}


@pytest.mark.usefixtures("at_once")
async def test_a_draft_takes_the_place_of_typing(make: MakeScene) -> None:
    scene = make()
    await scene.follow(lambda: scene.drafts() == [""], a_while(), TextDelta("Words"), scene.drafts, a_while())
    assert scene.count(ACTION) == 0


@pytest.mark.usefixtures("at_once")
async def test_where_there_are_no_drafts_it_types(telegram: FakeTelegram, make: MakeScene) -> None:
    telegram.faults.add(DRAFT, TelegramErrorFault(404, "method not found"))
    scene = make()
    await scene.follow(lambda: scene.count(ACTION))


async def test_a_reply_that_is_over_at_once_is_one_call(make: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make("private", settings={"telegram_draft_seconds": 60})
    await scene.follow(*deltas("A short one."))
    await scene.deliver(scene.answered("A short one."))
    scene.assert_stands("A short one.")
    assert (scene.count(SEND), scene.count(DRAFT), scene.count(ACTION)) == (1, 0, 0)


async def test_it_types_as_long_as_the_turn_lasts(make: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "TYPING_SECONDS", 0.002)
    scene = make("group")
    await scene.follow(lambda: scene.count(ACTION) > 3, TextDelta("Words"), lambda: scene.count(ACTION) > 6)
    after = scene.count(ACTION)
    await scene.deliver(scene.answered("Words"))
    assert scene.count(ACTION) == after


class Timed(TelegramClient):
    """Writes down when it began to type, and when a change was over."""

    typed: list[float]
    changed: list[float]

    async def call(self, method: str, *where: Any, **args: Any) -> Any:
        clock = asyncio.get_running_loop().time
        if method == "send_chat_action":
            self.typed.append(clock())
        answer = await super().call(method, *where, **args)
        if method != "send_chat_action":
            self.changed.append(clock())
        return answer


async def test_it_does_not_type_while_a_message_grows(make: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = 0.02
    monkeypatch.setattr(preview, "TYPING_SECONDS", pause)
    scene = make("group")
    calls = Timed(scene.made)
    calls.typed, calls.changed = [], []
    scene.start(calls)

    def changed(number: int) -> Told:
        return lambda: len(calls.changed) > number

    told = [one for number in range(40) for one in (TextDelta(f"{number} "), changed(number))]
    await scene.follow(*told, lambda: calls.typed[-1] > calls.changed[-1])
    assert len(calls.changed) == 40
    assert not [(typed, changed) for typed in calls.typed for changed in calls.changed if 0 < typed - changed < pause]


@pytest.mark.parametrize(
    "fault",
    [TelegramErrorFault(403, "bot was blocked by the user"), HttpStatus(500), ResponseLost(), RateLimit(3)],
    ids=str,
)
async def test_that_it_cannot_type_keeps_nothing_up(
    telegram: FakeTelegram, make: MakeScene, fault: TelegramErrorFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "TYPING_SECONDS", 0.002)
    telegram.faults.add(ACTION, fault)
    scene = make("group")
    await scene.follow(TextDelta("Some words"), scene.texts, lambda: scene.count(ACTION) > 2)
    assert scene.texts() == ["Some words"]


async def test_where_nothing_is_to_be_shown_it_only_types(make: MakeScene) -> None:
    scene = make("private", settings={"telegram_streaming": False})
    await scene.follow(*deltas(LONG), lambda: scene.count(ACTION), a_while())
    assert (scene.count(SEND), scene.count(DRAFT)) == (0, 0)


# ---------------------------------------------------------------- drafts


async def test_in_private_a_draft_grows_and_gives_way_to_the_reply(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    await scene.follow(
        TextDelta("One **two**"),
        lambda: scene.drafts() == ["One two"],
        TextDelta(" three"),
        lambda: scene.drafts() == ["One two three"],
    )
    (draft,) = telegram.drafts(scene.chat)
    assert draft.draft_id == draft_id(scene.turn.id)
    assert [entity["type"] for entity in draft.entities] == ["bold"]
    assert draft.can_stop
    assert scene.delivery.saved_progress == []
    await scene.deliver(scene.answered("One **two** three four"))
    scene.assert_stands("One **two** three four")
    assert scene.drafts() == []
    assert (scene.count(SEND), scene.count(EDIT)) == (1, 0)


@pytest.mark.usefixtures("at_once")
async def test_before_the_first_word_there_is_a_draft_that_can_be_stopped(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    scene = make()
    await scene.follow(
        ToolCall("c", "search"),
        lambda: scene.drafts() == [""],
        TextDelta("Words"),
        lambda: scene.drafts() == ["Words"],
    )
    telegram.press_stop(scene.chat, draft_id(scene.turn.id))
    await scene.deliver(scene.cancelled())
    assert scene.said() == []


async def test_a_reply_that_is_over_at_once_has_no_draft(make: MakeScene) -> None:
    scene = make(settings={"telegram_draft_seconds": 60})
    await scene.follow(*deltas("A short one."))
    await scene.deliver(scene.answered("A short one."))
    scene.assert_stands("A short one.")
    assert (scene.count(DRAFT), scene.count(SEND)) == (0, 1)


async def test_a_draft_is_kept_alive_while_nothing_new_comes(make: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "DRAFT_SECONDS", 0.002)
    scene = make()
    await scene.follow(TextDelta("Words"), lambda: scene.count(DRAFT) > 3)
    assert scene.drafts() == ["Words"]


@pytest.mark.usefixtures("at_once")
async def test_a_draft_without_words_is_kept_alive(make: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "DRAFT_SECONDS", 0.002)
    scene = make()
    await scene.follow(lambda: scene.count(DRAFT) > 3)
    assert scene.drafts() == [""]


async def test_a_draft_that_says_the_same_is_not_sent_again(make: MakeScene) -> None:
    scene = make()
    await scene.follow(TextDelta("Words"), lambda: scene.count(DRAFT) == 1, TextDelta(" "), a_while())
    assert scene.count(DRAFT) == 1


async def test_what_is_longer_than_a_message_becomes_one_and_the_draft_goes_on(make: MakeScene) -> None:
    scene = make()
    first, second, third = shown_of(LONG)
    await scene.follow(
        TextDelta(LONG[: len(LONG) // 2]),
        lambda: scene.texts() == [first] and scene.drafts(),
        TextDelta(LONG[len(LONG) // 2 :]),
        lambda: scene.texts() == [first, second] and scene.drafts() == [third],
    )
    await scene.deliver(scene.answered(LONG))
    scene.assert_stands(LONG)
    assert (scene.count(SEND), scene.count(EDIT)) == (3, 0)


async def test_a_topic_of_a_private_chat_has_drafts_of_its_own(telegram: FakeTelegram, make: MakeScene) -> None:
    scene = make()
    telegram.add_topic(scene.chat, TOPIC)
    address = {**scene.turn.message.address, "topic": str(TOPIC)}
    object.__setattr__(scene.turn.message, "address", address)
    await scene.follow(TextDelta("Words"), lambda: scene.drafts() == ["Words"])
    assert [draft.thread for draft in telegram.drafts(scene.chat)] == [TOPIC]


@pytest.mark.usefixtures("at_once")
async def test_a_server_without_drafts_is_asked_once_for_all_turns() -> None:
    with FakeTelegram(drafts=False) as telegram:
        async with scenes(telegram) as make:
            scene, other = make(), make()
            other.replies = scene.replies
            for each in (scene, other):
                await each.follow(TextDelta("Some words"), each.texts)
                await each.deliver(each.answered("Some words more."))
                each.assert_stands("Some words more.")
            assert len(telegram.calls(DRAFT)) == 1


@pytest.mark.usefixtures("at_once")
async def test_a_server_whose_drafts_need_words_gets_them(telegram: FakeTelegram, make: MakeScene) -> None:
    telegram.faults.add(DRAFT, TelegramErrorFault(400, "message text is empty"))
    scene, other = make(), make()
    other.replies = scene.replies
    await scene.follow(lambda: scene.count(DRAFT), a_while(), TextDelta("Words"), lambda: scene.drafts() == ["Words"])
    await other.follow(a_while(), TextDelta("Words"), lambda: other.drafts() == ["Words"])
    assert [call.args.get("text") for call in telegram.calls(DRAFT)] == ["", "Words", "Words"]


async def test_a_chat_that_takes_no_drafts_gets_messages_and_others_keep_theirs(
    telegram: FakeTelegram, make: MakeScene
) -> None:
    telegram.faults.add(DRAFT, TelegramErrorFault(400, "TEXTDRAFT_PEER_INVALID"))
    scene, other = make(), make()
    other.replies = scene.replies
    await scene.follow(TextDelta("Some words"), lambda: scene.texts() == ["Some words"])
    await other.follow(TextDelta("Some words"), lambda: other.drafts() == ["Some words"])
    await scene.deliver(scene.answered("Some words more."))
    scene.assert_stands("Some words more.")


async def test_a_draft_whose_entities_are_refused_is_shown_without(telegram: FakeTelegram, make: MakeScene) -> None:
    telegram.faults.add(DRAFT, TelegramErrorFault(400, "can't parse entities: oh"))
    scene = make()
    await scene.follow(TextDelta("Some **words**"), lambda: scene.drafts() == ["Some words"])
    assert telegram.drafts(scene.chat)[0].entities == ()
    assert scene.texts() == []


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("fault", [HttpStatus(500), ResponseLost(), ConnectionRefused(), RateLimit(0)], ids=str)
async def test_a_draft_that_fails_is_shown_with_what_follows(
    telegram: FakeTelegram, make: MakeScene, fault: HttpStatus
) -> None:
    telegram.faults.add(DRAFT, fault, fault)
    scene = make()
    await scene.follow(lambda: scene.count(DRAFT), TextDelta("Words"), lambda: scene.drafts() == ["Words"])
    assert scene.texts() == []
