"""What people say, attach, change and press in Telegram is parsed."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.telegram import replies
from adapters.telegram.message_parser import ALBUM_SECONDS, FORWARD_SECONDS, SPLIT_SECONDS, SPLIT_UNITS
from gateway.domain.models import ConversationKey, Join, MessageKind
from gateway.domain.platform_events import ChannelMigrated, MessageDeleted, MessageEdited
from gateway.ports.platform import ParsedUpdate
from tests.adapters.telegram.parsing import (
    AUTHOR,
    BOT,
    CALL,
    CONNECTION,
    GROUP_MODES,
    NOTHING,
    SCOPES,
    heard,
    one,
    read,
)
from tests.fakes.telegram_updates import (
    GROUP,
    USER,
    Json,
    album,
    bot_message,
    bot_user,
    channel_chat,
    document,
    generation_stopped,
    human_user,
    mention,
    message_json,
    migrated_from,
    migrated_to,
    photo,
    private_chat,
    reply_to_other_chat,
    voice,
)

# ---------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("told", "kind", "opens"),
    [
        (message_json("/new"), MessageKind.RESET, True),
        (message_json("/RESET"), MessageKind.RESET, True),
        (message_json("reset."), MessageKind.RESET, True),
        (message_json("/stop"), MessageKind.STOP, False),
        (message_json("/cancel that"), MessageKind.STOP, False),
        (message_json("Stop!"), MessageKind.STOP, False),
        (message_json("/new", chat=GROUP), MessageKind.RESET, False),
        (message_json(f"/new{CALL}", chat=GROUP), MessageKind.RESET, True),
        (message_json("/new", chat=GROUP, reply_to=bot_message(chat=GROUP)), MessageKind.RESET, True),
        (mention("/reset"), MessageKind.RESET, True),
        (mention("stop"), MessageKind.STOP, False),
        (message_json("/stop", chat=GROUP), MessageKind.STOP, False),
        (message_json("new"), MessageKind.PROMPT, True),
        (message_json("/newer"), MessageKind.PROMPT, True),
        (message_json("/new/stop"), MessageKind.PROMPT, True),
        (message_json("do stop"), MessageKind.PROMPT, True),
        (message_json("stop", chat=GROUP, reply_to=bot_message(chat=GROUP)), MessageKind.PROMPT, True),
        (photo("/new"), MessageKind.PROMPT, True),
        (message_json("/new", forward_origin={"type": "user", "sender_user": human_user(7)}), MessageKind.PROMPT, True),
    ],
)
def test_a_command_is_one_where_it_is_meant_so(told: Json, kind: MessageKind, *, opens: bool) -> None:
    said = one(told)
    assert (said.kind, said.may_start_conversation) == (kind, opens)
    assert said.text
    assert said.album_item_id == ""
    assert kind is MessageKind.PROMPT or (said.join, said.debounce_seconds) == (None, 0.0)


def test_an_order_to_a_business_is_no_command() -> None:
    (said,) = read("business_message", message_json("cancel", business=CONNECTION)).messages
    assert said.kind is MessageKind.PROMPT


def test_a_question_behind_the_command_to_begin_anew_is_asked_then() -> None:
    first, then = heard(message_json("/new  what is\nnew?", message_id=5)).messages
    assert (first.kind, first.message_id) == (MessageKind.RESET, f"{BOT}:{USER}:5")
    assert (then.kind, then.message_id, then.text) == (MessageKind.PROMPT, f"{BOT}:{USER}:5:asked", "what is\nnew?")
    assert (then.key, then.address, then.may_start_conversation) == (first.key, first.address, True)


def test_what_a_start_and_a_call_for_help_mean_is_said_to_the_assistant() -> None:
    assert one(message_json("/start")).text == replies.STARTED
    assert one(message_json(f"/start{CALL} ref-42", chat=GROUP)).text == replies.STARTED_WITH.format(payload="ref-42")
    for scope in SCOPES:
        for groups in GROUP_MODES:
            text = one(message_json("/help"), telegram_scope=scope, telegram_groups=groups).text
            assert all(part in text for part in (replies.REMEMBERED[scope], replies.ANSWERED[groups], "/new", "/stop"))
    assert one(message_json("/help with taxes")).text.endswith("\n\nwith taxes")


def test_a_command_in_a_caption_calls_upon_the_bot_that_it_names() -> None:
    said = one(photo(f"/describe{CALL} the sky", chat=GROUP))
    assert (said.kind, said.text, said.may_start_conversation) == (MessageKind.PROMPT, "/describe the sky", True)
    assert not heard(photo("/describe@weather_bot the sky", chat=GROUP)).messages
    assert not heard(photo("/help", chat=GROUP)).messages


@pytest.mark.parametrize("text", [f"please /describe{CALL} it", f"look /x{CALL.upper()}", f"now\n/new{CALL.upper()}"])
def test_a_command_calls_upon_the_bot_that_it_names_wherever_it_stands(text: str) -> None:
    said = one(message_json(text, chat=GROUP))
    assert (said.kind, said.may_start_conversation, said.must_join) == (MessageKind.PROMPT, True, False)


@pytest.mark.parametrize("text", ["/new@weather_bot", "/help@weather_bot", "/assistants@weather_bot"])
def test_a_command_to_another_bot_is_none_of_ours(text: str) -> None:
    said = one(message_json(text))
    assert (said.kind, said.text) == (MessageKind.PROMPT, text)
    assert heard(message_json(text, chat=GROUP), telegram_groups="always") == NOTHING


def test_a_command_of_nobodys_is_handed_on_without_our_name() -> None:
    assert one(message_json("/model gpt")).text == "/model gpt"
    assert one(message_json(f"/model{CALL} gpt", chat=GROUP)).text == "/model gpt"


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("told", "name", "media_type", "size"),
    [
        (photo("look", file_id="F1"), "photo.jpg", "image/jpeg", 90_000),
        (document("look", file_id="F1"), "notes.pdf", "application/pdf", 1_000),
        (voice(file_id="F1"), "voice.ogg", "audio/ogg", 9_000),
        (message_json(audio={"file_id": "F1", "file_name": "a.mp3"}), "a.mp3", "audio/mpeg", 0),
        (message_json(video={"file_id": "F1", "mime_type": "video/x"}), "video.mp4", "video/x", 0),
        (message_json(video_note={"file_id": "F1"}), "video_note.mp4", "video/mp4", 0),
        (message_json(animation={"file_id": "F1"}, document={"file_id": "F1"}), "animation.mp4", "video/mp4", 0),
        (message_json(sticker={"file_id": "F1", "emoji": "👍"}), "sticker.webp", "image/webp", 0),
        (message_json(document={"file_id": "F1"}), "document", "", 0),
    ],
)
def test_files_come_with_where_they_are_to_be_had(told: Json, name: str, media_type: str, size: int) -> None:
    (file,) = one(told).files
    assert (file.name, file.reference, file.media_type, file.size) == (name, "F1", media_type, size)


@pytest.mark.parametrize("size", [None, -1, "5", 1.5, 2**60, True, [], 10**400])
def test_a_size_that_cannot_be_is_unknown(size: object) -> None:
    (file,) = one(message_json(document={"file_id": "F1", "file_size": size})).files
    assert file.size == 0


@pytest.mark.parametrize("more", [{"is_animated": True}, {"is_video": True}, {"file_id": "../etc"}])
def test_of_what_cannot_be_looked_at_the_words_remain(more: Json) -> None:
    said = one(message_json(sticker={"file_id": "F1", "emoji": "👍", **more}))
    assert (said.files, said.text) == ((), "(sends a sticker: 👍)")


def test_a_file_without_a_caption_needs_no_words() -> None:
    assert one(photo()).text == ""


def test_the_files_of_what_is_replied_to_come_along_but_not_our_own() -> None:
    asked = one(mention("what is this?", reply_to=photo("sunset", file_id="F2", chat=GROUP)))
    assert [file.reference for file in asked.files] == ["F2"]
    elsewhere = reply_to_other_chat("and this?", "part")
    elsewhere["external_reply"]["document"] = {"file_id": "F3", "file_name": "a.txt"}
    assert [file.reference for file in one(elsewhere).files] == ["F3"]
    assert one(message_json("thanks", reply_to=photo("here", user=bot_user()))).files == ()


@pytest.mark.parametrize("business", ["", CONNECTION])
def test_an_album_is_one_message_in_pieces(business: str) -> None:
    pieces = album(("", "Look", ""), group_id="135", business=business)
    said = [read("business_message" if business else "message", told).messages[0] for told in pieces]
    channel_part = f"biz:{business}:{USER}" if business else AUTHOR
    assert {message.message_id for message in said} == {f"{BOT}:{channel_part}:album:135"}
    assert [message.album_item_id for message in said] == [str(told["message_id"]) for told in pieces]
    assert {message.debounce_seconds for message in said} == {ALBUM_SECONDS}
    assert [message.text for message in said] == ["", "Look", ""]
    assert all(len(message.files) == 1 for message in said)


def test_of_an_album_in_a_group_the_pictures_that_do_not_mention_us_join_the_one_that_does() -> None:
    said = [one(told) for told in album((f"{CALL} look", "", ""), chat=GROUP)]
    assert [message.may_start_conversation for message in said] == [True, False, False]
    assert len({message.message_id for message in said}) == 1
    for told in album(("", "", ""), chat=GROUP):
        assert not heard(told, telegram_groups="never").messages


# ---------------------------------------------------------------- changes


@pytest.mark.parametrize(
    "told", [message_json("hello", message_id=5), photo("hello", message_id=5, media_group_id="135")]
)
def test_an_edit_changes_the_message_it_is_about(told: Json) -> None:
    name = "caption" if "caption" in told else "text"
    edit = read("edited_message", {**told, name: "goodbye", "edit_date": 1})
    assert edit == ParsedUpdate(events=(MessageEdited("telegram", one(told).own_id, "goodbye"),))


def test_an_edit_can_take_a_caption_away() -> None:
    (edit,) = read("edited_message", photo(message_id=5)).events
    assert edit == MessageEdited("telegram", f"{BOT}:{USER}:5", "")


def test_an_edit_of_a_checklist_is_one() -> None:
    checklist = {"title": "Shop", "tasks": [{"id": 1, "text": "milk", "completion_date": 1}]}
    (edit,) = read("edited_message", message_json(message_id=5, checklist=checklist)).events
    assert edit == MessageEdited("telegram", f"{BOT}:{USER}:5", "(checklist) Shop\n- [x] milk")


def test_an_edit_of_a_command_to_begin_anew_changes_the_question_behind_it() -> None:
    _, question = heard(message_json("/new what is new?", message_id=5)).messages
    edits = read("edited_message", message_json("/new and old?", message_id=5)).events
    assert MessageEdited("telegram", question.message_id, "and old?") in edits


def test_an_edit_is_read_as_the_message_would_be() -> None:
    told = mention("what is that?", reply_to=message_json("a word", chat=GROUP))
    (edit,) = read("edited_message", told).events
    assert isinstance(edit, MessageEdited)
    assert edit.text == one(told).text


def test_an_edit_of_a_business_chat_is_of_that_chat() -> None:
    told = message_json("hello", message_id=5, business=CONNECTION)
    (edit,) = read("edited_business_message", told).events
    assert edit == MessageEdited("telegram", read("business_message", told).messages[0].message_id, "hello")


@pytest.mark.parametrize("told", [message_json(location={"latitude": 1.5, "longitude": 2}), message_json()])
def test_a_change_to_something_else_than_text_is_none(told: Json) -> None:
    assert read("edited_message", told) == NOTHING


def test_what_is_deleted_in_a_business_chat_is_withdrawn() -> None:
    told = {"business_connection_id": CONNECTION, "chat": private_chat(), "message_ids": [5, "6", None, 7]}
    within = f"{BOT}:biz:{CONNECTION}:{USER}"
    changes = tuple(MessageDeleted("telegram", f"{within}:{number}") for number in (5, 7))
    assert read("deleted_business_messages", told) == ParsedUpdate(events=changes)


@pytest.mark.parametrize("told", [migrated_to(-2002, to=GROUP), migrated_from(GROUP, old=-2002)])
def test_a_group_that_became_a_supergroup_has_moved(told: Json) -> None:
    assert heard(told, telegram_groups="never") == ParsedUpdate(
        events=(ChannelMigrated("telegram", BOT, "-2002", str(GROUP)),)
    )


@pytest.mark.parametrize(("scope", "topic", "user"), [("topic", "44", ""), ("chat", "", ""), ("user", "", AUTHOR)])
def test_the_stop_button_stops_the_conversation_it_stands_in(scope: str, topic: str, user: str) -> None:
    (said,) = read("stopped_message_generation", generation_stopped(USER, 9, thread=44), telegram_scope=scope).messages
    assert said.key == ConversationKey("telegram", BOT, AUTHOR, topic, user)
    assert said.key == one(message_json("hello", thread=44), telegram_scope=scope).key
    assert (said.message_id, said.kind, said.may_start_conversation) == (
        f"{BOT}:{USER}:stop:9",
        MessageKind.STOP,
        False,
    )
    assert said.address == {"chat": AUTHOR, "topic": "44", "user": AUTHOR, "type": "private"}


# ---------------------------------------------------------------- messages of one act

ORIGIN = {"type": "user", "sender_user": human_user(7)}
PRICE = 0.07


def test_a_message_that_may_be_a_comment_waits_for_less_than_a_tenth_of_a_second() -> None:
    comment = one(message_json("what is this?"))
    assert comment.debounce_seconds == PRICE
    assert comment.join == Join(SPLIT_SECONDS, SPLIT_UNITS)


@pytest.mark.parametrize("told", [photo("look"), voice(), message_json("/help"), message_json("/model gpt")])
def test_what_is_no_comment_and_no_piece_of_a_text_waits_for_nothing(told: Json) -> None:
    assert (one(told).debounce_seconds, one(told).join) == (0.0, None)


@pytest.mark.parametrize(("text", "seconds"), [("x" * 3499, PRICE), ("x" * 3500, 1.5), ("🕊" * 1750, 1.5)])
def test_a_text_that_a_client_may_have_split_waits_for_its_rest(text: str, seconds: float) -> None:
    assert one(message_json(text)).debounce_seconds == seconds


def test_forwards_wait_for_each_other_and_join_what_was_said_before() -> None:
    for told in (message_json("news", forward_origin=ORIGIN), photo(forward_origin=ORIGIN)):
        said = one(told)
        assert (said.join, said.debounce_seconds) == (Join(FORWARD_SECONDS), FORWARD_SECONDS)
    items = [{**told, "forward_origin": ORIGIN} for told in album(("", "Look"))]
    assert {(item.join, item.debounce_seconds) for item in map(one, items)} == {(Join(FORWARD_SECONDS), ALBUM_SECONDS)}
    assert one(message_json("news", forward_origin=ORIGIN), telegram_join_seconds=2.0).join == Join(2.0)


def test_where_the_bot_has_to_be_mentioned_only_a_text_that_may_be_split_waits() -> None:
    assert one(mention("look")).debounce_seconds == 0.0
    assert one(mention("x" * 4000)).debounce_seconds == 1.5
    assert one({**mention("news"), "forward_origin": ORIGIN}).join is None
    everything = one(message_json("look", chat=GROUP), telegram_groups="always")
    assert everything.debounce_seconds == PRICE


def test_where_the_bot_has_to_be_mentioned_the_rest_of_a_split_text_can_only_join() -> None:
    rest, long = (one(message_json(text, chat=GROUP)) for text in ("the rest", "x" * 4096))
    for piece in (rest, long):
        assert piece.join == Join(SPLIT_SECONDS, SPLIT_UNITS, required=True)
        assert not piece.may_start_conversation
    assert (rest.debounce_seconds, long.debounce_seconds) == (0.0, 1.5)
    assert not one(mention("x" * 4000)).must_join


@pytest.mark.parametrize(
    ("told", "how"),
    [
        (message_json("a", chat=GROUP), {"telegram_groups": "never"}),
        (message_json("a", chat=GROUP), {"telegram_join_seconds": 0.0}),
        (message_json("/model", chat=GROUP), {}),
        (message_json("a", chat=GROUP, forward_origin=ORIGIN), {}),
        (photo("a", chat=GROUP), {}),
        (message_json("a", chat=channel_chat()), {}),
    ],
)
def test_nothing_else_that_is_not_for_the_bot_is_looked_at(told: Json, how: dict[str, Any]) -> None:
    assert heard(told, **how) == NOTHING


@pytest.mark.parametrize("told", [message_json("x" * 4096), message_json("news", forward_origin=ORIGIN)])
def test_joining_can_be_switched_off(told: Json) -> None:
    said = one(told, telegram_join_seconds=0.0)
    assert (said.debounce_seconds, said.join) == (0.0, None)
