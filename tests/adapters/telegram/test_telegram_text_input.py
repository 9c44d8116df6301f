"""What people send in Telegram is read as they meant it, and nothing that stands in a message is too odd to be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base.json_fields import storable
from adapters.base.text_input import LONGEST_QUOTE, MENTIONED_ONLY, UNREADABLE
from adapters.telegram import message_entities, text_input
from adapters.telegram.attachments import files_of
from adapters.telegram.message_entities import BotIdentity
from gateway.domain.models import MessageKind
from tests.adapters.telegram.parsing import CALL, ME, one
from tests.fakes.telegram_updates import (
    GROUP,
    Json,
    bot_message,
    channel_chat,
    document,
    entity,
    group_chat,
    human_user,
    message_json,
    photo,
    private_chat,
    reply_to_other_chat,
    reply_with_quote,
    text_mention,
    utf16_length,
)


def readable(told: Json, me: BotIdentity = ME) -> str:
    return message_entities.readable(*message_entities.written(told), me)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"{CALL} hello", "hello"),
        (f"{CALL}, hello", "hello"),
        (f"{CALL}: hello", "hello"),
        (f"{CALL} {CALL} hello", "hello"),
        (f"{CALL.upper()} hello", "hello"),
        (f"hello {CALL}", "hello"),
        (f"is that so, {CALL}?", "is that so?"),
        (f"{CALL} hello {CALL} {CALL}", "hello"),
        (f"  {CALL}  ", ""),
        (f"I asked {CALL} already", "I asked @you already"),
        (f"👋🏽 {CALL} 世界 {CALL}!", "👋🏽 @you 世界!"),
        (f"tell {CALL}x and @ann", f"tell {CALL}x and @ann"),
        (f"{CALL} - one\n- two", "- one\n- two"),
    ],
)
def test_a_mention_that_addresses_us_is_taken_out_and_another_one_is_you(text: str, read: str) -> None:
    assert readable(message_json(text)) == read
    assert readable({"caption": text, "caption_entities": message_json(text).get("entities")}) == read


def test_a_name_that_is_no_username_is_a_mention_too() -> None:
    text = "👋 Gate, tell Ann"
    told = message_json(text, entities=[text_mention(text, "Ann", human_user(7)), text_mention(text, "Gate")])
    assert readable(told) == "👋 @you, tell @Ann"
    assert message_entities.calls_bot(told, ME)
    assert not message_entities.calls_bot(told, BotIdentity(5))


def test_without_a_username_nobody_is_mentioned_by_it() -> None:
    assert readable(message_json("@ hello", entities=[entity("mention", "@ hello", "@")]), BotIdentity(5)) == "@ hello"


@pytest.mark.parametrize(
    ("label", "url", "read"),
    [
        ("this", "https://example.com/a?b=1", "see this (https://example.com/a?b=1) 👋"),
        ("example.com", "https://example.com/", "see example.com 👋"),
        ("http://example.com", "http://example.com", "see http://example.com 👋"),
        ("https://example.com", "https://evil.example", "see https://example.com (https://evil.example) 👋"),
    ],
)
def test_what_a_link_hides_is_shown(label: str, url: str, read: str) -> None:
    text = f"see {label} 👋"
    assert readable(message_json(text, entities=[entity("text_link", text, label, url=url)])) == read


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 3), (0, 0), (0, -1), (1, 1), (0, 1), (2, 99), (99, 1), (None, 1), ("0", 1), (True, 1), (2**70, 1)],
)
def test_an_entity_that_is_not_within_the_text_is_none(offset: object, length: object) -> None:
    link = {"type": "text_link", "offset": offset, "length": length, "url": "https://example.com"}
    assert readable(message_json("👋 hello", entities=[link])) == "👋 hello"


def test_of_entities_within_each_other_the_outer_one_counts() -> None:
    text = f"see {CALL} there"
    outer = entity("text_link", text, text[4:], url="https://example.com")
    found = readable(message_json(text, entities=[entity("mention", text, CALL), outer]))
    assert found == f"see {CALL} there (https://example.com)"


@pytest.mark.parametrize(
    ("text", "marked", "read"),
    [
        ("it is five six", [("strikethrough", "five", {})], "it is ~~five~~ six"),
        ("who did it: Ann", [("spoiler", "Ann", {})], "who did it: ||Ann||"),
        ("call f(`x`) now", [("code", "f(`x`)", {})], "call ``f(`x`)`` now"),
        (
            "👋 this:\nx = 1\nfails",
            [("pre", "x = 1", {"language": "python"})],
            "👋 this:\n```python\nx = 1\n```\nfails",
        ),
        ("so x = 1 fails", [("pre", "x = 1", {})], "so \n```\nx = 1\n```\n fails"),
        ("a\nb\nyes", [("blockquote", "a\nb", {})], "> a\n> b\nyes"),
        ("at noon", [("date_time", "noon", {"unix_time": 1_700_000_000})], "at noon (2023-11-14 22:13 UTC)"),
        ("a b\nno", [("expandable_blockquote", "a b", {}), ("strikethrough", "b", {})], "> a ~~b~~\nno"),
        ("one two", [("strikethrough", "one two", {}), ("code", "two", {})], "~~one `two`~~"),
    ],
)
def test_formatting_that_says_something_is_kept(text: str, marked: list[tuple[str, str, Json]], read: str) -> None:
    entities = [entity(kind, text, part, **more) for kind, part, more in marked]
    assert readable(message_json(text, entities=entities)) == read


def test_entities_within_each_other_without_end_are_read() -> None:
    deep = [{"type": "strikethrough", "offset": 0, "length": 2000 - level} for level in range(1500)]
    assert "x" * 2000 in readable(message_json("x" * 2000, entities=deep)).replace("~", "")


PIECES = st.lists(st.tuples(st.text(max_size=6), st.text(min_size=1, max_size=6), st.booleans()), max_size=6)


@given(PIECES)
def test_links_stand_behind_their_labels_whatever_the_characters(pieces: list[tuple[str, str, bool]]) -> None:
    text, read, entities = "", "", []
    for plain, label, linked in pieces:
        text += plain
        url = "https://a.example/x" if linked else ""
        read += plain + label + (f" ({url})" if linked else "")
        entities.append({"type": "text_link", "offset": utf16_length(text), "length": utf16_length(label), "url": url})
        text += label
    assert readable(message_json(text, entities=entities)) == storable(read).strip()


@given(st.text(st.characters(), max_size=20))
def test_what_can_be_stored_is_as_long_as_it_was(text: str) -> None:
    stored = storable(text)
    assert utf16_length(stored) == utf16_length(text)
    assert "\0" not in stored
    stored.encode()


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/new", ("new", "", "")),
        ("/New@Gateway_Bot  a\nb ", ("new", "Gateway_Bot", "a\nb")),
        ("/start ref-42", ("start", "", "ref-42")),
        ("/usr/bin is full", None),
        ("/new@a@b", None),
        ("/", None),
        ("/ new", None),
        ("see /new", None),
        ("/neu-anfang", None),
    ],
)
def test_a_command_is_a_slash_and_a_word_at_the_beginning(text: str, found: tuple[str, str, str] | None) -> None:
    command = text_input.command_of(text)
    assert (command and (command.name, command.to, command.rest)) == found


@pytest.mark.parametrize(
    ("text", "kind"), [("stop", MessageKind.STOP), ("Reset!", MessageKind.RESET), ("new", MessageKind.PROMPT)]
)
def test_some_words_are_commands_alone(text: str, kind: MessageKind) -> None:
    assert text_input.kind_of(text) is kind


def test_cancel_may_answer_a_question() -> None:
    for text, answers in [("Cancel.", True), ("/cancel", False), ("stop", False)]:
        said = one(message_json(text))
        assert (said.kind, said.only_if_running) == (MessageKind.STOP, answers)
        assert said.may_start_conversation is answers


# ---------------------------------------------------------------- what it is about


def test_what_is_replied_to_stands_before_the_reply() -> None:
    told = message_json("why?", reply_to=message_json("one\ntwo", user=human_user(7, first_name="Bo\nb", last_name="")))
    assert one(told).text == "In reply to a message of Bo b:\n> one\n> two\n\nwhy?"
    assert one(message_json("why?", reply_to=bot_message("one"))).text == "In reply to a message of you:\n> one\n\nwhy?"
    bare = message_json("why?", reply_to={"message_id": 7})
    assert one(bare).text == "In reply to a message of somebody.\n\nwhy?"


def test_a_mention_alone_in_a_reply_asks_about_what_is_replied_to() -> None:
    told = message_json(CALL, chat=GROUP, reply_to=photo("sunset", chat=GROUP))
    expected = f"In reply to a message of Ann 1001 Lee:\n> sunset\n> [attached: photo.jpg]\n\n{MENTIONED_ONLY}"
    assert one(told).text == expected


def test_what_is_quoted_is_told_besides() -> None:
    assert one(reply_with_quote("why?", "two", message_json("one two", user=human_user(7)))).text == (
        "In reply to a message of Ann 7 Lee:\n> one two\n\nAbout this part of it:\n> two\n\nwhy?"
    )
    assert one(reply_to_other_chat("why?", "two")).text == (
        "In reply to a message of Ann 4004 Lee, in another chat.\n\nAbout this part of it:\n> two\n\nwhy?"
    )


def test_a_reply_to_another_chat_is_one_in_a_topic_too() -> None:
    told = message_json("why?", chat=GROUP, thread=44)
    told |= {
        name: part for name, part in reply_to_other_chat("why?", "two").items() if name in ("external_reply", "quote")
    }
    assert told["reply_to_message"]["message_id"] == 44
    assert "In reply to a message of Ann 4004 Lee, in another chat." in one(told, telegram_groups="always").text


def test_a_task_or_an_option_that_is_replied_to_is_told_besides() -> None:
    tasks = {"message_id": 7, "checklist": {"title": "Trip", "tasks": [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]}}
    told = {**message_json("done?", reply_to=tasks), "reply_to_checklist_task_id": 2}
    assert one(told).text.endswith("\n> - [ ] b\n\nAbout this part of it:\n> b\n\ndone?")
    options = [{"text": "a", "persistent_id": "0"}, {"text": "b", "persistent_id": "1"}]
    poll = {"message_id": 7, "poll": {"question": "Lunch?", "options": options}}
    told = {**message_json("this?", reply_to=poll), "reply_to_poll_option_id": "1"}
    assert one(told).text.endswith("\n> - b\n\nAbout this part of it:\n> b\n\nthis?")
    assert "About" not in one(message_json("this?", reply_to=poll)).text


def test_the_files_of_paid_media_that_may_be_seen_are_files() -> None:
    sizes = [{"file_id": "P", "width": 1, "height": 1}]
    media = [{"type": "preview"}, {"type": "photo", "photo": sizes}, {"type": "video", "video": {"file_id": "V"}}]
    said = one({**message_json("look"), "paid_media": {"star_count": 5, "paid_media": media}})
    assert [(file.name, file.reference) for file in said.files] == [("photo.jpg", "P"), ("video.mp4", "V")]


def test_what_is_replied_to_is_quoted_whole_unless_it_is_very_long() -> None:
    assert "x" * 4096 in one(message_json("why?", reply_to=message_json("x" * 4096))).text
    text = one(message_json("why?", reply_to=message_json(rich_message={"text": "x" * 30_000}))).text
    assert text.count("x") == LONGEST_QUOTE
    assert text_input.CUT in text


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ({"type": "user", "sender_user": human_user(7)}, "Ann 7 Lee"),
        ({"type": "hidden_user", "sender_user_name": "Bob"}, "Bob"),
        ({"type": "chat", "sender_chat": group_chat()}, "Builders"),
        ({"type": "channel", "chat": channel_chat()}, "News"),
        ({"type": "user"}, "somebody"),
    ],
)
def test_what_is_forwarded_is_said_to_be_so(origin: Json, name: str) -> None:
    assert one(message_json("hello", forward_origin=origin)).text == f"Forwarded message from {name}:\nhello"
    assert one(photo(forward_origin=origin)).text == f"Forwarded message from {name}:"


def test_a_reply_to_a_story_is_one() -> None:
    assert one(message_json("nice", reply_to_story={"id": 1})).text == "(replies to a story)\n\nnice"


def test_a_name_has_an_end() -> None:
    assert len(text_input.name_of({"first_name": "x" * 5000})) <= text_input.LONGEST_NAME + len(text_input.CUT)
    assert text_input.name_of({"title": "Builders", "username": "b"}) == "Builders"
    assert text_input.name_of({"username": "b"}) == "b"
    assert text_input.name_of({}) == ""


# ---------------------------------------------------------------- what has no text


PLACE = {"latitude": 52.52, "longitude": 13.405}
TASKS = [{"id": 1, "text": "milk", "completion_date": 5}, {"id": 2, "text": "bread"}]
CELLS = [[{"text": "a"}, {"text": ["b", {"type": "bold", "text": "c"}]}], [{"text": "d"}, {}]]
ITEM = {"label": "1", "blocks": [{"type": "paragraph", "text": "one"}, {"type": "divider"}]}
LINK = {"type": "url", "text": "here", "url": "https://example.com"}


@pytest.mark.parametrize(
    ("carried", "read"),
    [
        ({"contact": {"first_name": "Bob", "phone_number": "+49 1"}}, "(shares a contact: Bob, +49 1)"),
        ({"location": PLACE}, "(shares a location: 52.520000, 13.405000)"),
        (
            {"location": {**PLACE, "live_period": 60}},
            "(shares where they are, for a while: 52.520000, 13.405000)",
        ),
        (
            {"location": PLACE, "venue": {"title": "Café", "address": "A 1", "location": PLACE}},
            "(shares a place: Café, A 1, 52.520000, 13.405000)",
        ),
        ({"poll": {"question": "So?", "options": [{"text": "yes"}, {"text": "no"}]}}, "(poll) So?\n- yes\n- no"),
        ({"checklist": {"title": "Buy", "tasks": TASKS}}, "(checklist) Buy\n- [x] milk\n- [ ] bread"),
        ({"dice": {"emoji": "🎲", "value": 4}}, "(throws 🎲 and gets 4)"),
        ({"sticker": {"is_video": True, "emoji": "👍"}}, "(sends a sticker: 👍)"),
        ({"story": {"chat": private_chat(7), "id": 1}}, "(shares a story of Ann 7)"),
        ({"game": {"title": "Chess", "description": "for two"}}, "(shares a game: Chess, for two)"),
        ({"invoice": {"title": "Tea"}}, "(shares an invoice: Tea)"),
        ({"rich_message": {"blocks": [{"type": "heading", "text": ["A ", LINK]}]}}, "A here (https://example.com)"),
        ({"rich_message": {"blocks": [{"type": "list", "items": [ITEM, ITEM]}]}}, "one\none"),
        ({"rich_message": {"blocks": [{"type": "table", "cells": CELLS}]}}, "a | bc\nd"),
        ({"giveaway": {}}, UNREADABLE),
        ({"paid_media": {}}, UNREADABLE),
    ],
)
def test_what_has_no_text_is_told_in_words(carried: Json, read: str) -> None:
    assert one(message_json(**carried)).text == read


def test_a_caption_and_what_it_is_about_are_both_told() -> None:
    assert one({**document("look"), "dice": {"emoji": "🎲", "value": 4}}).text == "look\n(throws 🎲 and gets 4)"


# ---------------------------------------------------------------- whatever comes

NAMES = st.sampled_from([
    *text_input.CONTENT,
    *text_input.RICH,
    *("text", "caption", "entities", "caption_entities", "quote", "reply_to_message", "external_reply", "origin"),
    *("forward_origin", "from", "sender_user", "title", "options", "tasks", "latitude", "photo", "document", "file_id"),
])  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(NAMES, ODD, max_size=6))
def test_whatever_a_message_is_made_of_it_is_read(told: dict[str, Any]) -> None:
    names = [file.name for file in files_of(told)]
    for text in (text_input.own(told, ME), text_input.context(told, names, ME), text_input.forwarded(told, "")):
        assert "\0" not in text
        text.encode()


def test_a_rich_message_without_a_bottom_has_one() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = {"blocks": [deep]}
    assert text_input.own({"rich_message": deep}, ME) == ""
