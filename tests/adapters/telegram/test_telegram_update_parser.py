"""What Telegram tells becomes what the core understands, or nothing: decided from one update, whatever stands in it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base.text_input import UNREADABLE
from adapters.telegram import text_input
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.update_parser import SECRET_HEADER
from gateway.domain.errors import InputError, MalformedRequest, Unauthenticated
from gateway.domain.models import Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from gateway.ports.platform import Request
from tests.adapters.any_payload import altered, anything, check_storable
from tests.adapters.telegram.parsing import (
    BOT,
    CALL,
    CONNECTION,
    GROUP_MODES,
    NOTHING,
    SCOPES,
    heard,
    one,
    parser,
    read,
    request,
    without,
)
from tests.fakes.telegram_updates import (
    BOT_NAME,
    GROUP,
    SECRET,
    UPDATE_KINDS,
    USER,
    Json,
    album,
    channel_chat,
    document,
    group_chat,
    mention,
    message_json,
    migrated_to,
    photo,
    private_chat,
    reply_to_other_chat,
    reply_with_quote,
    update,
    voice,
)

# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {SECRET_HEADER: ""},
        {SECRET_HEADER: "another"},
        {SECRET_HEADER: SECRET.upper()},
        {SECRET_HEADER: SECRET + " "},
        {SECRET_HEADER: "s\ud800ä"},
        {"authorization": SECRET},
    ],
)
def test_who_does_not_show_the_secret_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        parser().receive(Request(headers, b"{}"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("shown", ["", "None", SECRET])
def test_without_a_secret_nobody_can_prove_anything(shown: str) -> None:
    with pytest.raises(Unauthenticated):
        parser(telegram_webhook_secret=None).receive(request(update(message=message_json("hello")), shown))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"update_id":' + b"9" * 5000 + b"}",
        b'{"update_id":"1"}',
        b'{"update_id":true}',
        b'{"update_id":1e3}',
        "{'update_id': 1}".encode("utf-16"),
    ],
)
def test_what_is_no_update_is_unreadable(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parser().receive(Request({SECRET_HEADER: SECRET}, body))


def test_the_webhook_and_long_polling_read_the_same() -> None:
    told = update(message=mention())
    assert parser().receive(request(told)) == parser().parse(told) != NOTHING


@pytest.mark.parametrize(
    "told",
    [
        {"message": None},
        {"message": {}},
        {"message": without(message_json("hello"), "chat")},
        {"message": without(message_json("hello"), "message_id")},
        {"message": {**message_json("hello"), "chat": {"id": "7", "type": "private"}}},
        {"edited_message": []},
        {"stopped_message_generation": {"chat": private_chat()}},
        {"deleted_business_messages": {"chat": private_chat(), "message_ids": [1]}},
    ],
)
def test_an_update_of_a_known_kind_that_is_broken_is_unreadable(told: Json) -> None:
    with pytest.raises(MalformedRequest):
        parser().parse(update(**told))


# ---------------------------------------------------------------- every kind


MEANT = {
    "message": Message,
    "business_message": Message,
    "edited_message": MessageEdited,
    "edited_business_message": MessageEdited,
    "deleted_business_messages": MessageDeleted,
    "stopped_message_generation": Message,
}


@pytest.mark.parametrize("kind", sorted(UPDATE_KINDS))
@pytest.mark.parametrize("groups", GROUP_MODES)
def test_of_all_kinds_of_updates_only_what_people_say_and_change_counts(kind: str, groups: str) -> None:
    receipt = read(kind, UPDATE_KINDS[kind], telegram_groups=groups)
    found = {type(item) for item in (*receipt.messages, *receipt.events)}
    assert found == ({MEANT[kind]} if kind in MEANT else set())


@pytest.mark.parametrize("told", [{}, {"never_heard_of": {"chat": private_chat()}}])
def test_a_kind_that_nobody_knows_is_ignored(told: Json) -> None:
    assert parser().parse(update(**told)) == NOTHING


SERVICE_FIELDS = [
    *("pinned_message", "new_chat_members", "left_chat_member", "forum_topic_created", "gift", "video_chat_started"),
    *("message_auto_delete_timer_changed", "web_app_data", "checklist_tasks_done", "a_service_of_next_year"),
]


@pytest.mark.parametrize("name", SERVICE_FIELDS)
def test_what_nobody_said_is_no_message(name: str) -> None:
    for chat in (private_chat(), group_chat()):
        assert heard({**message_json(chat=chat), name: {"name": "x"}}, telegram_groups="always") == NOTHING


# ---------------------------------------------------------------- whatever comes

LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from(["\0", "\ud800", "x" * 500, "1:2:3", CALL, "/new", "private", "supergroup"])
)
ANYTHING = anything(LEAF)
RICH = {"blocks": [{"type": "list", "items": [{"label": "1", "blocks": [{"type": "paragraph", "text": ["a", "b"]}]}]}]}
GENUINE = [
    *({kind: told} for kind, told in UPDATE_KINDS.items()),
    *(
        {"message": told}
        for told in (
            mention("hello", thread=44),
            message_json(f"👋 {CALL} /new", chat=GROUP, reply_to=photo("sunset", chat=GROUP)),
            message_json("/start x"),
            *album(business=CONNECTION),
            document("look"),
            voice(),
            reply_with_quote("why?", "sun", photo("sunset")),
            reply_to_other_chat("why?", "sun"),
            migrated_to(),
            message_json(poll={"question": "Shall we?", "options": [{"text": "yes"}]}),
            message_json(venue={"title": "Here", "location": {"latitude": 1.5, "longitude": 2}}),
            message_json(rich_message=RICH),
            message_json("hi", forward_origin={"type": "channel", "chat": channel_chat()}),
            message_json(
                "see", entities=[{"type": "text_link", "offset": 0, "length": 3, "url": "https://example.com"}]
            ),
        )
    ),
]


@given(
    altered([{"update_id": 1, **one} for one in GENUINE], ANYTHING),
    st.sampled_from(SCOPES),
    st.sampled_from(GROUP_MODES),
)
def test_an_update_with_anything_in_any_place_is_read_or_refused_by_name(told: Any, scope: str, groups: str) -> None:
    with suppress(InputError):
        read = parser(telegram_scope=scope, telegram_groups=groups).receive(request(told))
        check_storable(read)
        for said in read.messages:
            assert said.key.workspace == BOT
            assert TelegramTarget.of(said.address).args is not None
            assert said.text or said.files


@given(
    st.text(min_size=1).filter(lambda text: text_input.kind_of(text) is MessageKind.PROMPT), st.sampled_from([None, 44])
)
def test_what_people_write_is_handed_on_word_for_word(text: str, thread: int | None) -> None:
    said = one(message_json(text, thread=thread, entities=[]))
    if text_input.command_of(text.strip()) is None:
        assert said.text == (text.replace("\0", "\ufffd").strip() or UNREADABLE)


def test_the_general_topic_of_a_group_is_none() -> None:
    """However it is named: nothing is posted to it by a number."""
    forum = group_chat(forum=True)
    numbered = {**mention("hello", chat=forum), "is_topic_message": True, "message_thread_id": 1}
    said = one(numbered)
    assert (said.key.topic, TelegramTarget.of(said.address).args) == ("", {})
    assert one({**message_json("hello"), "is_topic_message": True, "message_thread_id": 1}).key.topic == "1"


@given(st.text(), st.text())
def test_a_mention_is_heard_wherever_it_stands(before: str, after: str) -> None:
    text = f"{before}{CALL}{after}"
    offset = len(before.encode("utf-16-le")) // 2
    entity = {"type": "mention", "offset": offset, "length": len(CALL)}
    (said, *_) = heard(message_json(text, chat=GROUP, entities=[entity])).messages
    assert said.may_start_conversation is (said.kind is not MessageKind.STOP)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_same_update_is_read_the_same(scope: str) -> None:
    for told in GENUINE:
        whole = update(**told)
        assert parser(telegram_scope=scope).parse(whole) == parser(telegram_scope=scope).parse(whole)


# ---------------------------------------------------------------- who speaks


def test_in_a_group_a_message_says_who_speaks() -> None:
    assert one(mention("I like red")).text_with_attachments == f"Ann {USER} Lee: I like red"
    assert one(message_json("I like red")).context is None
    assert one(mention("hi"), telegram_names=False).context is None
    assert one(mention("hi"), telegram_scope="user").context is None


def test_in_the_name_of_a_group_the_group_speaks() -> None:
    anonymous = mention("hi") | {"sender_chat": {"id": GROUP, "type": "supergroup", "title": "The: board"}}
    assert one(anonymous).text_with_attachments == "The board: hi"


def test_a_name_that_nobody_can_read_is_somebody() -> None:
    hidden = mention("hi", user={"id": 5, "is_bot": False, "first_name": "\u200b"})
    assert one(hidden).text_with_attachments == "somebody: hi"


def test_a_mention_of_somebody_without_a_username_reads_as_their_name() -> None:
    bob = {"type": "text_mention", "offset": 4, "length": 7, "user": {"id": 5, "first_name": "Bob"}}
    assert one(message_json("ask Bob Ray", entities=[bob])).text == "ask @Bob Ray"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("/assistant support", MessageKind.CHOOSE, "/assistant support"),
        (f"/assistant@{BOT_NAME} support", MessageKind.CHOOSE, "/assistant support"),
        ("/assistants", MessageKind.CHOOSE, "/assistants"),
        ("assistant support", MessageKind.CHOOSE, "assistant support"),
        ("/assistant_list", MessageKind.PROMPT, "/assistant_list"),
    ],
)
def test_an_assistant_is_chosen_by_a_command(text: str, kind: MessageKind, said: str) -> None:
    message = one(message_json(text, entities=[]))
    assert (message.kind, message.text) == (kind, said)


@pytest.mark.parametrize(("text", "kind"), [("/human", MessageKind.HAND_OVER), ("/resume", MessageKind.RESUME)])
def test_a_person_is_asked_for_by_a_command(text: str, kind: MessageKind) -> None:
    for said in (message_json(text, entities=[]), message_json(text, chat=GROUP, entities=[])):
        message = one(said)
        assert (message.kind, message.may_start_conversation) == (kind, kind is MessageKind.HAND_OVER)
    assert one(message_json("human", entities=[])).kind is MessageKind.PROMPT


@pytest.mark.parametrize("groups", ["mention", "always"])
def test_in_a_group_the_bot_need_not_be_named_where_there_is_a_choice(groups: str) -> None:
    told = message_json("/assistant support", chat=GROUP, entities=[])
    message = one(told, several_assistants=lambda: True, telegram_groups=groups)
    assert (message.kind, message.text) == (MessageKind.CHOOSE, "/assistant support")
    assert heard(told, telegram_groups=groups) == NOTHING
    named = one(message_json(f"/assistant@{BOT_NAME} support", chat=GROUP, entities=[]), telegram_groups=groups)
    assert (named.kind, named.text) == (MessageKind.CHOOSE, "/assistant support")
