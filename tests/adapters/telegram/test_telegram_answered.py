"""Whom the bot answers in Telegram, where, and in which conversation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from adapters.telegram.api_client import BotProfile
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.reply_target import TelegramTarget
from gateway.domain.models import ConversationKey, Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from tests.adapters.telegram.parsing import (
    AUTHOR,
    BOT,
    CALL,
    CONNECTION,
    GROUP_MODES,
    NOTHING,
    calls_bot,
    heard,
    one,
    parser,
    read,
    without,
)
from tests.fakes.telegram_updates import (
    BOT_ID,
    BOT_NAME,
    GENERAL_TOPIC,
    GROUP,
    USER,
    Json,
    bot_message,
    bot_user,
    channel_chat,
    group_chat,
    human_user,
    mention,
    message_json,
    migrated_to,
    photo,
    text_mention,
    update,
)

# ---------------------------------------------------------------- where it is answered


def test_a_private_message_is_always_answered() -> None:
    said = one(message_json("hello", message_id=5), telegram_groups="never", telegram_join_seconds=0.0)
    assert said == Message(
        ConversationKey("telegram", BOT, AUTHOR),
        f"{BOT}:{USER}:5",
        "hello",
        AUTHOR,
        {"chat": AUTHOR, "message": "5", "user": AUTHOR, "type": "private"},
    )


def test_operators_know_authors_and_groups_by_name() -> None:
    group = group_chat(title="Book\u202e club")
    for told, names, author, chat in (
        (message_json("hi"), True, f"Ann {USER} Lee", ""),
        (message_json("hi", chat=group, user=USER), True, f"Ann {USER} Lee", "Book club"),
        (message_json("hi", chat=group, user=USER), False, "", "Book club"),
    ):
        said = one(told, telegram_groups="always", telegram_names=names)
        assert (said.author_name, said.channel_name) == (author, chat)


def test_an_address_leads_to_a_place() -> None:
    place = TelegramTarget.of(one(mention(message_id=5, thread=44)).address)
    assert place == TelegramTarget(str(GROUP), "44", "5", AUTHOR, "", "supergroup")
    place = TelegramTarget.of(
        read("business_message", message_json("hi", message_id=6, business=CONNECTION)).messages[0].address
    )
    assert place == TelegramTarget(AUTHOR, "", "6", AUTHOR, CONNECTION, "private")


@pytest.mark.parametrize(
    "told",
    [
        mention("hello"),
        message_json(f"hello {CALL.upper()}", chat=GROUP),
        message_json(f"👋👋 {CALL} hello", chat=-4004),
        photo(f"{CALL} hello", chat=GROUP),
        message_json("Gate, hello", chat=GROUP, entities=[text_mention("Gate, hello", "Gate")]),
        message_json("hello", chat=GROUP, reply_to=bot_message(chat=GROUP)),
        message_json("hello", chat=GROUP, thread=44, reply_to=bot_message(chat=group_chat(forum=True), thread=44)),
        message_json(f"/never_heard_of{CALL} hello", chat=GROUP),
        message_json(f"/help{CALL.upper()}", chat=GROUP),
        message_json("/help", chat=GROUP),
        message_json("/start", chat=GROUP),
    ],
)
def test_in_groups_whoever_calls_us_is_answered(told: Json) -> None:
    said = one(told)
    assert (said.may_start_conversation, said.kind) == (True, MessageKind.PROMPT)
    assert heard(told, telegram_groups="never") == NOTHING


NOT_FOR_US = [
    message_json("hello", chat=GROUP),
    message_json(f"{CALL} hello", chat=GROUP, entities=[]),
    message_json(f"{CALL}x hello", chat=GROUP),
    message_json("hello", chat=GROUP, reply_to=message_json("hi", chat=GROUP)),
    message_json("Ann", chat=GROUP, entities=[text_mention("Ann", "Ann", human_user(7))]),
]
FOR_OTHERS = [
    message_json("/never_heard_of", chat=GROUP),
    message_json("/never_heard_of", chat=GROUP, reply_to=bot_message(chat=GROUP)),
    message_json("/new@another_bot", chat=GROUP),
    message_json("/new@another_bot", chat=GROUP, reply_to=bot_message(chat=GROUP)),
    mention("hello", chat=group_chat(is_direct_messages=True)),
    mention("hello", chat=channel_chat()),
]


@pytest.mark.parametrize("told", NOT_FOR_US)
def test_in_groups_who_calls_nobody_is_answered_only_where_all_are(told: Json) -> None:
    assert not calls_bot(heard(told))
    assert one(told, telegram_groups="always").may_start_conversation


@pytest.mark.parametrize("told", FOR_OTHERS)
@pytest.mark.parametrize("groups", GROUP_MODES)
def test_what_is_for_others_is_never_answered(told: Json, groups: str) -> None:
    assert heard(told, telegram_groups=groups) == NOTHING


def test_in_a_topic_that_we_opened_not_everything_is_a_reply_to_us() -> None:
    told = message_json("hello", chat=GROUP, thread=44)
    told["reply_to_message"]["from"] = bot_user()
    assert not calls_bot(heard(told))
    assert "In reply" not in one(told, telegram_groups="always").text


def test_a_reply_to_the_message_at_the_root_of_replies_is_one() -> None:
    root = bot_message(chat=GROUP, message_id=44)
    assert one({**message_json("and then?", chat=GROUP, reply_to=root), "message_thread_id": 44}).key.topic == ""


def test_a_name_is_heard_as_soon_as_it_is_known() -> None:
    nameless = parser(BotIdentity(BOT_ID))
    told = update(message=mention("hello"))
    assert not calls_bot(nameless.parse(told))
    nameless.learn(BotProfile(BOT, BOT_NAME, "Gateway", reads_groups=False, has_topics=False))
    assert nameless.parse(told) == parser().parse(told)
    assert calls_bot(parser().parse(told))
    assert nameless.bot_id == BOT


@pytest.mark.parametrize(
    ("allowed", "answered"),
    [("", True), (AUTHOR, True), (f"5, {GROUP}", True), ("5", False), (BOT, False)],
)
def test_only_chats_and_people_that_are_allowed_are_answered(allowed: str, *, answered: bool) -> None:
    assert bool(heard(mention(), telegram_allowed_chats=allowed).messages) is answered


# ---------------------------------------------------------------- which conversation it belongs to


@pytest.mark.parametrize(("scope", "topic", "user"), [("topic", "44", ""), ("chat", "", ""), ("user", "", AUTHOR)])
@pytest.mark.parametrize("chat", [GROUP, USER])
def test_a_conversation_is_a_topic_or_a_chat_or_one_person(scope: str, topic: str, user: str, chat: int) -> None:
    said = one(message_json(f"{CALL} hello", chat=chat, thread=44), telegram_scope=scope)
    assert said.key == ConversationKey("telegram", BOT, str(chat), topic, user)
    assert said.address["topic"] == "44"


def test_outside_of_topics_there_is_none() -> None:
    plain = {**mention("hello"), "message_thread_id": 44}
    for told in (plain, mention("hello", thread=GENERAL_TOPIC, chat=group_chat(forum=True))):
        said = one(told)
        assert (said.key.topic, "topic" in said.address) == ("", False)


@pytest.mark.parametrize(("scope", "user"), [("topic", ""), ("chat", ""), ("user", AUTHOR)])
def test_a_business_chat_is_another_than_the_bots_own(scope: str, user: str) -> None:
    told = message_json("hello", message_id=5, business=CONNECTION)
    (said,) = read("business_message", told, telegram_scope=scope).messages
    assert said.key == ConversationKey("telegram", BOT, f"biz:{CONNECTION}:{USER}", "", user)
    assert said.message_id == f"{BOT}:biz:{CONNECTION}:{USER}:5"


@pytest.mark.parametrize("more", [{"user": human_user(2002)}, {"sender_business_bot": bot_user()}])
def test_what_the_owner_of_a_business_says_is_not_for_us(more: Json) -> None:
    for kind in ("business_message", "edited_business_message"):
        assert read(kind, message_json("hello", business=CONNECTION, **more)) == NOTHING


# ---------------------------------------------------------------- who is answered


@pytest.mark.parametrize(
    "told",
    [
        message_json("hello", user=bot_user()),
        message_json("hello", user=bot_user(id=4321)),
        message_json("hello", via_bot=bot_user()),
        without(message_json("hello"), "from"),
        message_json(
            "hello", chat=GROUP, user=human_user(777000), sender_chat=channel_chat(), is_automatic_forward=True
        ),
        message_json("hello", user=bot_user(id=4321), reply_to=bot_message()),
    ],
)
def test_nobody_answers_themselves_or_other_bots(told: Json) -> None:
    assert heard(told, telegram_groups="always") == NOTHING
    assert read("edited_message", told) == NOTHING


def test_who_speaks_as_a_chat_is_answered() -> None:
    anonymous = bot_user(id=1087968824, username="GroupAnonymousBot")
    said = one(mention("hello", user=anonymous, sender_chat=group_chat()), telegram_scope="user")
    assert said.author == said.key.user == str(GROUP)


def test_what_somebody_sends_by_way_of_another_bot_is_their_own() -> None:
    assert one(message_json("hello", via_bot=bot_user(id=4321))).text == "hello"


# ---------------------------------------------------------------- who is meant


def named(text: str, *names: str, **more: object) -> Json:
    """A message in the group with mentions."""
    marked = [{"type": "mention", "offset": text.index(name), "length": len(name)} for name in names]
    return {**message_json(text, chat=GROUP, **more), "entities": marked}  # type: ignore[arg-type]  # a test's own


@pytest.mark.parametrize(
    ("told", "ours"),
    [
        (named("@bob_ray can you check?", "@bob_ray"), False),
        (named("and now @weather_bot", "@weather_bot"), False),
        (named("hey @bob_ray, @carl look", "@bob_ray", "@carl"), False),
        (named("can you check, @bob_ray?", "@bob_ray"), False),
        (named("what did @bob_ray say?", "@bob_ray"), True),
        (named(f"@bob_ray and {CALL}, look", "@bob_ray", CALL), True),
        (message_json("and now?", chat=GROUP), True),
    ],
)
def test_what_calls_somebody_else_is_for_them_though_it_replies_to_us(told: Json, *, ours: bool) -> None:
    reply = {**told, "reply_to_message": bot_message("yes", chat=GROUP)}
    assert calls_bot(heard(reply)) is ours
    assert heard(told, telegram_groups="always").messages


@pytest.mark.parametrize(("is_bot", "ours"), [(True, False), (False, True)])
def test_a_person_whose_name_ends_like_that_of_a_bot_is_none(*, is_bot: bool, ours: bool) -> None:
    reply = message_json("what did Mr Abbot say?", chat=GROUP, reply_to=bot_message("yes", chat=GROUP))
    reply["entities"] = [text_mention(reply["text"], "Mr Abbot", human_user(7, is_bot=is_bot))]
    assert calls_bot(heard(reply)) is ours


@pytest.mark.parametrize("told", [message_json("/stop"), message_json("stop", message_id=7), mention("/stop")])
def test_an_edit_that_stops_is_a_message_of_its_own(told: Json) -> None:
    edited = {**told, "edit_date": 1}
    (said,) = read("edited_message", edited).messages
    assert (said.kind, said.may_start_conversation) == (MessageKind.STOP, False)
    assert said.message_id == f"{one(told).message_id}:stop"
    assert not read("edited_message", edited, telegram_allowed_chats="1").messages
    assert not read("edited_message", told).messages  # somebody put a reaction below it


def test_the_operator_is_told_of_a_group_that_is_not_answered_any_more_since_it_has_another_id() -> None:
    for allowed, told in (("-2002", 1), (f"-2002,{GROUP}", 0), ("", 0), ("5", 0)):
        with capture_logs() as logs:
            heard(migrated_to(-2002, to=GROUP), telegram_allowed_chats=allowed)
        assert [entry["id"] for entry in logs] == [str(GROUP)] * told


def test_an_edit_that_mentions_us_is_a_message_with_the_id_of_the_first() -> None:
    told = mention("what is new?", message_id=7)
    (said,) = read("edited_message", told).messages
    assert said == replace(one(told), join=None)
    assert not read("edited_message", message_json("what is new?", chat=GROUP)).messages
    assert not read("edited_message", message_json(f"{CALL} hello")).messages
    assert not read("edited_message", told, telegram_groups="never").messages
    assert not read("edited_message", told, telegram_allowed_chats="1").messages


@pytest.mark.parametrize(
    ("told", "more", "is_withdrawn"),
    [
        (message_json("what is new?", message_id=7, chat=GROUP), {}, True),
        (named("@bob_ray what is new?", "@bob_ray"), {}, True),
        (message_json("/ask@other_bot what?", chat=GROUP), {}, True),
        (photo("look", chat=GROUP), {}, True),
        (mention("what is new?"), {}, False),
        (message_json("and now?", chat=GROUP, reply_to=bot_message("yes", chat=GROUP)), {}, False),
        (message_json("what is new?"), {}, False),
        ({**photo("look", chat=GROUP), "media_group_id": "13"}, {}, False),  # another picture may have the mention
        (message_json("what is new?", chat=GROUP), {"telegram_groups": "always"}, False),
    ],
)
def test_an_edit_that_no_longer_mentions_us_withdraws_the_message(
    told: Json, more: dict[str, str], *, is_withdrawn: bool
) -> None:
    update = read("edited_message", {**told, "edit_date": 1}, **more)
    gone = MessageDeleted("telegram", f"{BOT}:{told['chat']['id']}:{told['message_id']}", as_part=False)
    assert (gone in update.events) is is_withdrawn
    assert isinstance(update.events[0], MessageEdited)  # of a split text, another part may have the mention
    assert gone not in read("edited_message", told, **more).events  # nobody has edited it


def test_an_edit_of_an_album_that_mentions_us_is_a_message_with_the_id_of_its_item() -> None:
    told = {**photo(f"{CALL} look", chat=GROUP), "media_group_id": "13"}
    told["caption_entities"] = [{"type": "mention", "offset": 0, "length": len(CALL)}]
    assert one(told).album_item_id
    (said,) = read("edited_message", told).messages
    assert (said.album_item_id, said.debounce_seconds, said.message_id) == ("", 0.0, one(told).own_id)
