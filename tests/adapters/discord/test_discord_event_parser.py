"""What a message in Discord becomes, and what is not answered."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base.features import PLAIN, BotFeatures
from adapters.base.inbound import BOT_TURNS
from adapters.base.text_input import LONGEST_QUOTE, MENTIONED_ONLY
from adapters.discord import commands
from adapters.discord.api_client import DiscordClient
from adapters.discord.channels import Channels
from adapters.discord.event_parser import DiscordParser
from adapters.discord.places import NO_ROLE, DiscordPlace, DiscordRole
from adapters.discord.reply_target import YES, DiscordTarget
from adapters.discord.roles import Roles
from adapters.discord.settings import DiscordSettings
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from tests.adapters.any_payload import altered, anything, check_text
from tests.fakes.discord_state import BOT, CHANNEL, DIRECT, GUILD, TOKEN, USER

BOT_USER = {"id": BOT, "username": "gateway"}
TEXT_CHANNEL, THREAD, DM = DiscordPlace(CHANNEL, GUILD), DiscordPlace("77", GUILD, CHANNEL), DiscordPlace(DIRECT)


def parser(**given: Any) -> DiscordParser:
    made = DiscordParser(DiscordSettings.model_validate(given))
    made.names.bot = BOT
    return made


def event(content: str = "hello", *, mentions: bool = True, **more: Any) -> dict[str, Any]:
    known = {"id": "5", "type": 0, "author": {"id": USER, "username": "ann", "global_name": "Ann"}, "content": content}
    return {**known, "mentions": [BOT_USER] if mentions else [], **more}


def messages(content: dict[str, Any], place: DiscordPlace = TEXT_CHANNEL, **given: Any) -> tuple[Message, ...]:
    return parser(**given).parse("MESSAGE_CREATE", content, place).messages


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f"<@{BOT}> what is new?", "what is new?"),
        (f"hey <@!{BOT}>, and you", "hey @you, and you"),
        ("<@3002> said <#2001> at <@&9>", "@Bob Ray said #2001 at @9"),
        ("<:wave:123> <a:party:5> </ask:77>", ":wave: :party: /ask"),
        ("a < b and c > d, <t:0>", "a < b and c > d, 1970-01-01 00:00 UTC"),
        ("until <t:1700000000:R>, not <t:soon>", "until 2023-11-14 22:13 UTC, not <t:soon>"),
    ],
)
def test_marks_of_discord_become_text(content: str, text: str) -> None:
    bob = {"id": "3002", "username": "bob", "global_name": "Bob\nRay"}
    (message,) = messages(event(content) | {"mentions": [BOT_USER, bob]})
    assert message.text_with_attachments == f"Ann: {text}"
    (nameless,) = messages(event(content) | {"mentions": [BOT_USER, bob]}, discord_names="false")
    assert nameless.text_with_attachments == text.replace("@Bob Ray", "@3002")


def test_a_channel_is_called_by_its_name_where_that_is_known() -> None:
    made, answered = parser(), {"id": "4", "author": {"id": "3002", "username": "bob"}, "content": "in <#2002>"}
    said = event("<#2001> or <#2003>?", referenced_message=answered)
    made.names.channel = lambda channel: {"2001": "general", "2002": "ops"}.get(channel, "")
    (message,) = made.parse("MESSAGE_CREATE", said, TEXT_CHANNEL).messages
    assert message.text_with_attachments == "Ann: In reply to a message of bob:\n> in #ops\n\n#general or #2003?"


ROLES = {"9": DiscordRole("On Duty"), "10": DiscordRole("Gateway", bot=BOT), "11": DiscordRole("Other", bot="3009")}


def knowing_roles() -> DiscordParser:
    made = parser()
    made.names.role = lambda role: ROLES.get(role, NO_ROLE)
    return made


def test_a_mention_of_the_bots_own_role_is_one_of_the_bot() -> None:
    for place in (TEXT_CHANNEL, THREAD):
        (message,) = knowing_roles().parse("MESSAGE_CREATE", event("<@&10> who?", mentions=False), place).messages
        assert (message.text, message.may_start_conversation) == ("who?", True)
        assert not knowing_roles().parse("MESSAGE_CREATE", event("<@&11> who?", mentions=False), place).messages
    edited = event("<@&10> who?", mentions=False, edited_timestamp="2026-01-01T00:00:00Z")
    assert len(knowing_roles().parse("MESSAGE_UPDATE", edited, TEXT_CHANNEL).messages) == 1


def test_who_is_mentioned_is_known_by_name_in_what_is_replied_to_and_forwarded_too() -> None:
    bob, eve = {"id": "3002", "username": "bob"}, {"id": "3003", "username": "eve"}
    answered = {"id": "4", "author": bob, "content": "ask <@3003> or <@&9>", "mentions": [eve]}
    said = event("why?", referenced_message=answered)
    (message,) = knowing_roles().parse("MESSAGE_CREATE", said, TEXT_CHANNEL).messages
    assert message.text_with_attachments == "Ann: In reply to a message of bob:\n> ask @eve or @On Duty\n\nwhy?"
    snapshot = {"message": {"content": "ask <@3003>", "mentions": [eve]}}
    (forwarding,) = messages(event("so?", message_snapshots=[snapshot]))
    assert "ask @eve" in forwarding.text_with_attachments


def test_in_a_thread_it_is_known_that_the_bot_is_called() -> None:
    answered = {"id": "4", "author": BOT_USER, "content": "Hello."}
    about = {"id": "7", "type": 2, "channel": {"id": "77", "type": 11, "parent_id": CHANNEL}, "guild_id": GUILD}
    (command,) = parser().interaction({**about, "user": {"id": USER}, "data": {"name": "ask"}}).messages
    (reply,) = messages(event("why?", mentions=False, referenced_message=answered), THREAD)
    (mention,), (elsewhere,), (went_on,) = (
        *(messages(event(), place) for place in (THREAD, TEXT_CHANNEL)),
        messages(event(mentions=False), THREAD),
    )
    called = [DiscordTarget.of(each.address).mentions for each in (command, reply, mention, elsewhere, went_on)]
    assert called == [YES, YES, YES, "", ""]


def test_who_is_mentioned_has_the_name_that_they_have_in_the_server() -> None:
    bob = {"id": "3002", "username": "bob", "global_name": "Bob", "member": {"nick": "Bobby"}}
    (message,) = messages(event("ask <@3002>") | {"mentions": [BOT_USER, bob]})
    assert message.text_with_attachments == "Ann: ask @Bobby"


def test_an_edit_can_take_the_text_of_a_file_away() -> None:
    picture = {"url": "https://cdn.discordapp.com/b.png", "filename": "b.png"}
    about = event("", mentions=False, edited_timestamp="2026-01-01T00:00:00Z")
    (edit,) = parser().parse("MESSAGE_UPDATE", {**about, "attachments": [picture]}, DM).events
    assert edit == MessageEdited("discord", "5", "")
    assert parser().parse("MESSAGE_UPDATE", about, DM).events == ()


def test_an_edit_of_a_program_may_change_embeds_alone() -> None:
    program = {"id": "3009", "username": "monitor", "bot": True}
    about = event("", mentions=False, author=program, edited_timestamp="2026-01-01T00:00:00Z", embeds=[ALERT])
    assert parser().parse("MESSAGE_UPDATE", about, TEXT_CHANNEL).events == (MessageEdited("discord", "5", ALERT_TEXT),)


def test_a_reply_brings_what_it_replies_to() -> None:
    answered = {"id": "4", "author": {"id": "3002", "username": "bob"}, "content": "We ship\non Monday."}
    (message,) = messages(event("is that so?", referenced_message=answered, type=19))
    assert message.text == "In reply to a message of bob:\n> We ship\n> on Monday.\n\nis that so?"


def test_a_quoted_message_is_whole_unless_it_is_very_long() -> None:
    for length, quoted in ((4000, "x" * 4000), (LONGEST_QUOTE + 9, "x" * LONGEST_QUOTE + " […]")):
        answered = {"id": "4", "author": {"id": "3002", "username": "bob"}, "content": "x" * length}
        (message,) = messages(event("why?", referenced_message=answered))
        assert message.text == f"In reply to a message of bob:\n> {quoted}\n\nwhy?"


def test_a_forwarded_message_brings_its_text() -> None:
    log = {"url": "https://cdn.discordapp.com/log.txt", "filename": "log.txt"}
    snapshot = {"message": {"content": "The build is red.", "attachments": [log]}}
    (message,) = messages(event("", mentions=False, message_snapshots=[snapshot]), DM)
    assert message.text == "Forwarded message from somebody:\nThe build is red."
    assert [file.name for file in message.files] == ["log.txt"]


ALERT = {
    "type": "rich",
    "author": {"name": "Monitor"},
    "title": "Disk full",
    "url": "https://monitor.example/7",
    "description": "on <#2001>",
    "fields": [{"name": "Used", "value": "98 %"}],
    "footer": {"text": "just now"},
}
ALERT_TEXT = "Monitor\nDisk full (https://monitor.example/7)\non #2001\nUsed: 98 %\njust now"
PREVIEW = {"type": "link", "title": "A page"}


def test_of_a_program_the_embeds_are_read_and_of_a_person_no_preview() -> None:
    embeds = [ALERT, PREVIEW]
    (message,) = messages(event(author={"id": "3009", "bot": True}, embeds=embeds), discord_allowed_bots="*")
    assert message.text == f"hello\n{ALERT_TEXT}"
    assert messages(event(embeds=embeds))[0].text == "hello"
    (forwarding,) = messages(event("", message_snapshots=[{"message": {"content": "", "embeds": [ALERT]}}]), DM)
    assert forwarding.text == f"Forwarded message from somebody:\n{ALERT_TEXT}"
    answered = {"id": "4", "author": {"id": "3009", "username": "monitor"}, "webhook_id": "1", "embeds": [ALERT]}
    (reply,) = messages(event("why?", referenced_message=answered))
    quoted = "\n".join(f"> {line}" for line in ALERT_TEXT.split("\n"))
    assert reply.text == f"In reply to a message of monitor:\n{quoted}\n\nwhy?"


COMPONENTS = [
    {"type": 10, "content": "# Build failed"},
    {
        "type": 17,
        "components": [
            {
                "type": 9,
                "components": [{"type": 10, "content": "of <#2001>"}],
                "accessory": {"type": 11, "media": {"url": "https://x.org/b.png"}, "description": "a red cross"},
            },
        ],
    },
    {"type": 12, "items": [{"media": {"url": "https://x.org/a.png"}, "description": "a graph"}]},
    {"type": 1, "components": [{"type": 2, "label": "Retry"}]},
]
COMPONENTS_TEXT = "# Build failed\na red cross\nof #2001\na graph"


def test_of_a_program_the_components_are_read() -> None:
    (message,) = messages(event(author={"id": "3009", "bot": True}, components=COMPONENTS), discord_allowed_bots="*")
    assert message.text == f"hello\n{COMPONENTS_TEXT}"
    (forwarding,) = messages(event("", message_snapshots=[{"message": {"components": COMPONENTS}}]), DM)
    assert forwarding.text == f"Forwarded message from somebody:\n{COMPONENTS_TEXT}"
    answered = {"id": "4", "author": {"id": "3009", "username": "ci", "bot": True}, "components": COMPONENTS}
    (reply,) = messages(event("why?", referenced_message=answered))
    assert "> # Build failed\n> a red cross\n> of #2001\n> a graph\n\nwhy?" in reply.text


def test_a_sticker_and_a_poll_stand_beside_the_text() -> None:
    answers = [{"text": "yes"}, {"emoji": {"name": "👎"}}, {"text": "later", "emoji": {"id": "7", "name": "clock"}}]
    poll = {"question": {"text": "So?"}, "answers": [{"poll_media": each} for each in answers]}
    (message,) = messages(event("what is this?", sticker_items=[{"name": "Wave"}], poll=poll))
    assert message.text == "what is this?\n(sends a sticker: Wave)\n(poll) So?\n- yes\n- 👎\n- clock later"


def test_a_forwarded_sticker_is_described() -> None:
    (message,) = messages(event("", message_snapshots=[{"message": {"sticker_items": [{"name": "wave"}]}}]), DM)
    assert message.text == "Forwarded message from somebody:\n(sends a sticker: wave)"


def test_the_files_of_what_is_replied_to_are_seen_unless_the_bot_posted_them() -> None:
    shot = {"url": "https://cdn.discordapp.com/shot.png", "filename": "shot.png", "content_type": "image/png"}
    answered = {"id": "4", "author": {"id": "3002", "username": "bob"}, "content": "", "attachments": [shot]}
    (message,) = messages(event(f"<@{BOT}> human", referenced_message=answered))
    assert [file.name for file in message.files] == ["shot.png"]
    assert message.text == "In reply to a message of bob:\n> [attached: shot.png]\n\nhuman"
    assert message.kind is MessageKind.HAND_OVER
    (about_ours,) = messages(event("why?", referenced_message=answered | {"author": BOT_USER}))
    assert about_ours.files == ()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"sticker_items": [{"name": "Wave"}]}, "(sends a sticker: Wave)"),
        (
            {"poll": {"question": {"text": "So?"}, "answers": [{"poll_media": {"text": "yes"}}]}},
            "(poll) So?\n- yes",
        ),
        ({"mentions": [BOT_USER]}, "(mentioned you without saying anything)"),
        ({}, "(sent something that cannot be shown to you as text)"),
    ],
)
def test_what_has_no_text_is_told_in_words(more: dict[str, Any], text: str) -> None:
    (message,) = messages({**event("", mentions=False), **more}, DM)
    assert message.text == text


@pytest.mark.parametrize(
    ("content", "is_answered"),
    [
        ("can you check?", True),
        ("what did <@3002> say?", True),
        ("<@3002> can you check?", False),
        ("hey <@!3002>, can you check?", False),
        ("<@&9> who is on duty?", False),
        ("can you check, <@3002>?", False),
    ],
)
def test_in_a_thread_what_calls_upon_somebody_else_is_for_them(content: str, *, is_answered: bool) -> None:
    assert bool(messages(event(content, mentions=False), THREAD)) is is_answered
    assert messages(event(f"{content} <@{BOT}>"), THREAD)


@pytest.mark.parametrize(("author", "is_answered"), [("3002", False), ("3001", True), (BOT, True)])
def test_in_a_thread_a_reply_is_for_whom_it_answers(author: str, *, is_answered: bool) -> None:
    answered = {"id": "4", "author": {"id": author, "username": "x"}, "content": "I would."}
    assert bool(messages(event("why?", mentions=False, type=19, referenced_message=answered), THREAD)) is is_answered
    assert messages(event(f"<@{BOT}> why?", type=19, referenced_message=answered), THREAD)


def test_an_edit_may_be_what_mentions_the_bot() -> None:
    edited = event(f"<@{BOT}> what is new?", edited_timestamp="2026-01-01T00:00:00Z")
    update = parser().parse("MESSAGE_UPDATE", edited, TEXT_CHANNEL)
    assert [message.message_id for message in update.messages] == ["5"]
    assert len(update.events) == 1
    assert parser().parse("MESSAGE_UPDATE", edited, DM).messages == ()


ANSWERED = {"message_reference": {"message_id": "4"}}


@pytest.mark.parametrize(
    ("place", "more", "is_withdrawn"),
    [(TEXT_CHANNEL, {}, True), (TEXT_CHANNEL, ANSWERED, False), (THREAD, {}, False), (DM, {}, False)],
)
def test_an_edit_that_no_longer_mentions_the_bot_withdraws_the_message(
    place: DiscordPlace, more: dict[str, Any], *, is_withdrawn: bool
) -> None:
    edited = event("what is new?", mentions=False, edited_timestamp="2026-01-01T00:00:00Z", **more)
    update = parser().parse("MESSAGE_UPDATE", edited, place)
    assert update.messages == ()
    withdrawn, changed = MessageDeleted("discord", "5"), MessageEdited("discord", "5", "what is new?")
    assert update.events == ((withdrawn if is_withdrawn else changed),)


@pytest.mark.parametrize("pings", [True, False])
def test_a_reply_to_the_bot_is_for_it_unless_it_calls_upon_somebody_else(*, pings: bool) -> None:
    answered = {"id": "4", "author": BOT_USER, "content": "Hello."}
    (message,) = messages(event("thanks", mentions=pings, referenced_message=answered))
    assert message.text.startswith("In reply to a message of you:")
    for place in (TEXT_CHANNEL, THREAD):
        assert not messages(event("<@3002> look at this", mentions=pings, referenced_message=answered), place)
    assert messages(event(f"<@3002> look, <@{BOT}> said so", referenced_message=answered))


def test_files_are_attached_and_a_voice_message_is_one() -> None:
    voice = {"url": "https://cdn.discordapp.com/a.ogg", "filename": "voice-message.ogg", "content_type": "audio/ogg"}
    picture = {"url": "https://cdn.discordapp.com/b.png", "filename": "b.png", "content_type": "image/png", "size": 9}
    (message,) = messages(event("", attachments=[voice, picture]), DM)
    assert [(file.name, file.media_type, file.size) for file in message.files] == [
        ("voice-message.ogg", "audio/ogg", 0),
        ("b.png", "image/png", 9),
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"mentions": []}, TEXT_CHANNEL),
        ({"author": BOT_USER}, DM),
        ({"author": {"id": "3009", "bot": True}}, DM),
        ({"webhook_id": "8"}, TEXT_CHANNEL),
        ({"type": 7}, DM),
        ({"author": {}}, DM),
    ],
)
def test_what_is_not_answered(change: dict[str, Any], place: DiscordPlace) -> None:
    assert messages(event() | change, place) == ()


def test_a_bot_that_is_allowed_is_answered_when_it_mentions_us() -> None:
    bot = {"id": "3009", "bot": True}
    (message,) = messages(event(author=bot), THREAD, discord_allowed_bots="3009")
    assert message.max_from_author == BOT_TURNS
    assert messages(event(), THREAD)[0].max_from_author == 0
    assert not messages(event(mentions=False, author=bot), THREAD, discord_allowed_bots="3009")


@pytest.mark.parametrize(
    ("given", "place", "is_answered"),
    [
        ({"discord_allowed_guilds": GUILD}, TEXT_CHANNEL, True),
        ({"discord_allowed_guilds": "1"}, TEXT_CHANNEL, False),
        ({"discord_allowed_guilds": "1"}, DM, True),
        ({"discord_allowed_channels": CHANNEL}, THREAD, True),
        ({"discord_allowed_channels": "1"}, THREAD, False),
    ],
)
def test_places_may_be_limited(given: dict[str, str], place: DiscordPlace, *, is_answered: bool) -> None:
    assert bool(messages(event(), place, **given)) is is_answered


@pytest.mark.parametrize(
    ("given", "place", "key"),
    [
        ({}, TEXT_CHANNEL, (GUILD, CHANNEL, "5", "")),
        ({}, THREAD, (GUILD, CHANNEL, "77", "")),
        ({}, DM, ("", DIRECT, "", "")),
        ({"discord_replies": "channel"}, TEXT_CHANNEL, (GUILD, CHANNEL, "", "")),
        ({"discord_scope": "channel"}, THREAD, (GUILD, CHANNEL, "", "")),
        ({"discord_scope": "user"}, TEXT_CHANNEL, (GUILD, CHANNEL, "", USER)),
    ],
)
def test_the_scope_says_what_a_conversation_is(
    given: dict[str, str], place: DiscordPlace, key: tuple[str, ...]
) -> None:
    (message,) = messages(event(), place, **given)
    assert (message.key.workspace, message.key.channel, message.key.topic, message.key.user) == key


@pytest.mark.parametrize(("kind", "opens"), [(0, True), (5, True), (2, False), (13, False)])
def test_in_the_chat_of_a_voice_channel_no_thread_is_opened(kind: int, *, opens: bool) -> None:
    (message,) = messages(event(), DiscordPlace.of({"id": CHANNEL, "guild_id": GUILD, "type": kind}))
    assert (bool(message.key.topic), "thread_name" in message.address) == (opens, opens)


def test_a_post_of_a_forum_begins_with_its_title() -> None:
    told = {"id": "5", "guild_id": GUILD, "type": 11, "parent_id": CHANNEL, "name": "[Mac] no sound: why?"}
    post = DiscordPlace.of(told)
    (message,) = messages(event(f"<@{BOT}> see above"), post)
    assert message.text == "(begins a post: [Mac] no sound: why?)\n\nsee above"
    (command,) = messages(event(f"<@{BOT}> human"), post)
    assert command.kind is MessageKind.HAND_OVER
    (later,) = messages(event(f"<@{BOT}> and now?", id="6"), post)
    assert later.text == "and now?"


def test_a_slash_command_says_what_is_mentioned_in_words() -> None:
    made = parser()
    made.names.channel = lambda channel: {"2001": "general"}.get(channel, "")
    about = {"id": "7", "type": 2, "channel_id": CHANNEL, "guild_id": GUILD, "token": "t", "user": {"id": USER}}
    texts = {f"<@{BOT}> what is in <#2001>, <:wave:1>?": "what is in #general, :wave:?", f"<@{BOT}>": MENTIONED_ONLY}
    for said, text in texts.items():
        data = {"name": "ask", "options": [{"name": "text", "value": said}]}
        (message,) = made.interaction({**about, "data": data}).messages
        assert message.text_with_attachments == f"somebody: {text}"


# ---------------------------------------------------------------- whatever comes

LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\0", "\ud800", "9" * 30, "<@&10>", f"<@{BOT}>", "/human"])
)
SHOT = {"url": "https://cdn.discordapp.com/s.png", "filename": "s.png", "title": "a", "content_type": "image/png"}
QUESTION = {"question": {"text": "So?"}, "answers": [{"poll_media": {"text": "yes"}}]}
FORWARDED = {"message": {"content": "x", "attachments": [SHOT], "embeds": [ALERT], "components": COMPONENTS}}
REPLY = {"id": "4", "author": {"id": "3002", "username": "bob"}, "content": "ask <@3003>", "attachments": [SHOT]}
COMMAND = {"name": "ask", "options": [{"name": "text", "value": "why?"}]}
PRESS = {
    "id": "7",
    "type": 3,
    "token": "t",
    "channel_id": DIRECT,
    "user": {"id": USER},
    "data": {"custom_id": "stop:1"},
}
GENUINE: list[tuple[str, dict[str, Any]]] = [
    ("MESSAGE_CREATE", event("<@&9> <#2001> <t:0>", member={"nick": "Annie"}, referenced_message=REPLY)),
    ("MESSAGE_CREATE", event("", message_snapshots=[FORWARDED], sticker_items=[{"name": "Wave"}], poll=QUESTION)),
    ("MESSAGE_UPDATE", event("why?", edited_timestamp="2026-01-01T00:00:00Z", attachments=[SHOT])),
    ("MESSAGE_DELETE_BULK", {"ids": ["5", "6"], "channel_id": CHANNEL}),
    ("INTERACTION_CREATE", {**PRESS, "type": 2, "channel": {"id": "77", "type": 11}, "data": COMMAND}),
    ("INTERACTION_CREATE", PRESS),
    ("GUILD_CREATE", {"id": GUILD, "threads": [{"id": "77", "type": 11}], "roles": [{"id": "9", "tags": {}}]}),
]


CLIENT = DiscordClient(DiscordSettings.model_validate({"discord_bot_token": TOKEN}))
"""Of learning it makes no use."""


@given(st.data(), st.sampled_from([TEXT_CHANNEL, THREAD, DM]))
def test_an_event_with_anything_in_any_place_is_read_or_refused_by_name(
    data: st.DataObject, place: DiscordPlace
) -> None:
    kind, genuine = data.draw(st.sampled_from(GENUINE))
    told = data.draw(altered([genuine], anything(LEAF)).filter(lambda told: isinstance(told, dict)))
    Channels(CLIENT).learn(kind, told)
    Roles(CLIENT).learn(kind, told)
    with suppress(MalformedRequest):
        update = parser(discord_allowed_bots="*").parse(kind, told, place)
        for said in update.messages:
            assert said.text or said.files
            key, files = said.key, [part for file in said.files for part in (file.name, file.reference)]
            stored = [said.message_id, said.author, said.text, key.channel, key.topic, key.user, *files]
            check_text(*stored, *said.address.values())
        check_text(*(change.text for change in update.events if isinstance(change, MessageEdited)))


def test_a_thread_is_named_after_the_question() -> None:
    (message,) = messages(event(f"<@{BOT}> what\nis " + "long " * 40))
    name = message.address["thread_name"]
    assert name.startswith("what is long")
    assert len(name) <= 100


@pytest.mark.parametrize("content", [f"<@{BOT}>", "  "])
def test_a_thread_is_not_named_after_what_only_the_assistant_is_told(content: str) -> None:
    (message,) = messages(event(content))
    assert message.address["thread_name"] == "Conversation"


def test_a_thread_is_named_with_the_names_of_who_is_mentioned() -> None:
    mentions = [BOT_USER, {"id": "3002", "username": "bob"}]
    (message,) = messages(event(f"<@{BOT}> what did <@3002> say?") | {"mentions": mentions})
    assert message.address["thread_name"] == "what did @bob say?"


@pytest.mark.parametrize(
    ("filename", "title", "name"),
    [
        ("_.pdf", "отчёт за май", "отчёт за май.pdf"),
        (".tar.gz", "資料.tar", "資料.tar.gz"),
        ("_.PDF", "отчёт.pdf", "отчёт.pdf"),
        (".txt", "заметки", "заметки.txt"),
        ("a.txt", "", "a.txt"),
        ("", "", "file"),
    ],
)
def test_a_file_has_the_name_that_a_person_gave_it(filename: str, title: str, name: str) -> None:
    file = {"url": "https://cdn.discordapp.com/1", "filename": filename, "title": title}
    (message,) = messages(event("", attachments=[file]), DM)
    assert [each.name for each in message.files] == [name]


def test_a_file_is_named_in_one_line() -> None:
    odd = {"url": "https://cdn.discordapp.com/1", "filename": "a\n[attached: b]\u202egpj.exe"}
    (message,) = messages(event("", attachments=[odd]), DM)
    assert message.text_with_attachments == "[attached: a [attached: b] gpj.exe]"


def test_an_update_without_an_edit_is_no_edit() -> None:
    assert parser().parse("MESSAGE_UPDATE", event(edited_timestamp=None), DM).events == ()


def test_a_slash_command_brings_its_file_along() -> None:
    options = [{"name": "text", "type": 3, "value": "what is this?"}, {"name": "file", "type": 11, "value": "44"}]
    resolved = {
        "attachments": {"44": {"id": "44", **SHOT}, "45": {"id": "45", "filename": "b.png", "url": "https://b"}}
    }
    about = {"id": "7", "type": 2, "channel_id": CHANNEL, "user": {"id": USER}, "token": "t"}
    (message,) = (
        parser().interaction({**about, "data": {"name": "ask", "options": options, "resolved": resolved}}).messages
    )
    assert (message.text, [file.reference for file in message.files]) == ("what is this?", [SHOT["url"]])
    (ask, *_) = commands.described(PLAIN)
    assert [(each["name"], each["required"]) for each in ask["options"]] == [("text", True), ("file", False)]
    gone = {"name": "ask", "options": options}
    assert parser().interaction({**about, "data": gone}).messages[0].files == ()


def test_operators_know_authors_and_channels_by_name() -> None:
    told = {"id": CHANNEL, "guild_id": GUILD, "type": 0, "name": "general"}
    thread = {"id": "77", "guild_id": GUILD, "type": 11, "parent_id": CHANNEL, "name": "a question"}
    for place, member, names in (
        (DiscordPlace.of(told), {"nick": "Annie"}, ("Annie", "#general")),
        (DiscordPlace.of(thread), {}, ("Ann", "")),
        (DM, {}, ("Ann", "")),
    ):
        (said,) = messages(event(f"<@{BOT}> hi", member=member), place)
        assert (said.author_name, said.channel_name) == names
    (unnamed,) = messages(event(f"<@{BOT}> hi"), DiscordPlace.of(told), discord_names=False)
    assert (unnamed.author_name, unnamed.channel_name) == ("", "#general")
    about = {"id": "7", "type": 2, "channel": told, "guild_id": GUILD, "token": "t", "data": {"name": "new"}}
    who = {"member": {"nick": "Annie", "user": {"id": USER, "username": "ann"}}}
    (command,) = parser().interaction({**about, **who}).messages
    assert (command.author_name, command.channel_name) == ("Annie", "#general")


def test_a_server_has_a_share_of_its_own_and_a_direct_message_is_in_none() -> None:
    (said,), (direct,) = messages(event()), messages(event(), DiscordPlace("9"))
    assert said.share.workspace == f"discord {TEXT_CHANNEL.guild}"
    assert direct.share.workspace == ""


@pytest.mark.parametrize("content", ["assistant support", "/assistants", "/assistant Support"])
def test_an_assistant_is_chosen_by_a_mention_with_a_command(content: str) -> None:
    (message,) = messages(event(f"<@{BOT}> {content}"))
    assert (message.kind, message.text) == (MessageKind.CHOOSE, content)


def test_a_slash_command_chooses_an_assistant() -> None:
    options = [{"name": "name", "value": "support"}]
    about = {"id": "7", "type": 2, "channel_id": CHANNEL, "user": {"id": USER}, "token": "t"}
    (message,) = parser().interaction({**about, "data": {"name": "assistant", "options": options}}).messages
    assert (message.kind, message.text) == (MessageKind.CHOOSE, "/assistant support")
    (listed,) = parser().interaction({**about, "data": {"name": "assistants"}}).messages
    assert (listed.kind, listed.text) == (MessageKind.CHOOSE, "/assistants")


def test_the_commands_that_choose_are_there_where_there_are_several_assistants() -> None:
    assert [each["name"] for each in commands.described(PLAIN)] == ["ask", "new", "stop", "help"]
    several = commands.described(BotFeatures(has_several_assistants=lambda: True))
    names = {each["name"]: each["options"] for each in several}
    assert [option["name"] for option in names["assistant"]] == ["name"]
    assert names["assistants"] == []


@pytest.mark.parametrize(("content", "kind"), [("human", "hand_over"), ("/human", "hand_over"), ("Resume!", "resume")])
def test_a_mention_asks_for_a_person_and_for_the_assistant_again(content: str, kind: str) -> None:
    (message,) = messages(event(f"<@{BOT}> {content}"))
    assert (message.kind, message.only_if_running) == (kind, kind == "resume")


COMMANDS = [
    ("stop", MessageKind.STOP),
    ("/stop", MessageKind.STOP),
    ("*Cancel*.", MessageKind.STOP),
    ("reset", MessageKind.RESET),
    ("/new", MessageKind.RESET),
    ("new", MessageKind.PROMPT),
    ("stop that", MessageKind.PROMPT),
]


@pytest.mark.parametrize(("content", "kind"), COMMANDS)
def test_a_mention_with_a_command_is_one_and_needs_no_thread(content: str, kind: MessageKind) -> None:
    (message,) = messages(event(f"<@{BOT}> {content}"))
    (direct,) = messages(event(content, mentions=False), DM)
    assert {message.kind, direct.kind} == {kind}
    may_answer = "Cancel" in content  # as the answer to a question it gets a thread
    assert ("thread_name" in message.address) is (kind is MessageKind.PROMPT or may_answer)
    assert {message.only_if_running, direct.only_if_running} == {may_answer}
    assert messages(event(f"<@{BOT}> {content}", attachments=[SHOT]))[0].kind is MessageKind.PROMPT


@pytest.mark.parametrize(("content", "kind"), COMMANDS)
def test_in_a_thread_of_the_bot_a_word_alone_can_stop_and_nothing_else(content: str, kind: MessageKind) -> None:
    (message,) = messages(event(content, mentions=False), THREAD)
    assert message.kind is (kind if kind is MessageKind.STOP else MessageKind.PROMPT)
    assert not message.may_start_conversation


def test_a_stop_in_a_channel_is_also_for_its_threads() -> None:
    for place, scope, stops in ((TEXT_CHANNEL, "topic", True), (THREAD, "topic", False), (TEXT_CHANNEL, "user", False)):
        (message,) = messages(event(f"<@{BOT}> stop"), place, discord_scope=scope)
        channel = {"id": place.id, "type": 11 if place.parent else 0, "parent_id": place.parent}
        about = {"id": "7", "type": 2, "channel": channel, "guild_id": GUILD, "user": {"id": USER}, "token": "t"}
        for name in ("stop", "new"):
            (command,) = parser(discord_scope=scope).interaction({**about, "data": {"name": name}}).messages
            assert command.stops_channel is (stops and name == "stop")
        assert message.stops_channel is stops
        assert not messages(event(f"<@{BOT}> reset"), place, discord_scope=scope)[0].stops_channel


@pytest.mark.parametrize(("content", "stops"), [("stop", 1), ("cancel", 0)])
def test_an_edit_to_a_command_to_stop_is_a_message_of_its_own(content: str, stops: int) -> None:
    edited = event(content, mentions=False, edited_timestamp="2026-01-01T00:00:00Z")
    for place in (DM, THREAD):
        update = parser().parse("MESSAGE_UPDATE", edited, place)
        assert [each.message_id for each in update.messages] == ["5:stop"] * stops
        assert not any(each.may_start_conversation or each.stops_channel for each in update.messages)


def test_slash_commands_ask_for_a_person_where_one_may_be_asked_for() -> None:
    about = {"id": "7", "type": 2, "channel_id": CHANNEL, "user": {"id": USER}, "token": "t"}
    kinds = [parser().interaction({**about, "data": {"name": name}}).messages[0].kind for name in ("human", "resume")]
    assert kinds == [MessageKind.HAND_OVER, MessageKind.RESUME]
    offered = [each["name"] for each in commands.described(BotFeatures(hands_over=True))]
    assert offered == ["ask", "new", "stop", "help", "human", "resume"]
