"""What Slack tells becomes what the core understands, or nothing: decided from one payload, whatever stands in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from adapters.base.inbound import BOT_TURNS
from adapters.base.text_input import UNREADABLE
from adapters.slack.event_context import BotIds
from adapters.slack.event_parser import EventParser
from adapters.slack.formatter import FEEDBACK_ACTION, feedback_value
from adapters.slack.reply_target import SlackTarget, Workspace
from gateway.domain.errors import InputError, MalformedRequest, Unauthenticated
from gateway.domain.models import ConversationKey, Join, Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from gateway.ports.platform import Request
from tests.adapters.any_payload import altered, anything, check_storable
from tests.adapters.slack.parsing import (
    CALL,
    FORM,
    NOTHING,
    ROOT,
    SCOPES,
    TS,
    form,
    in_channel,
    one,
    parser,
    parser_settings,
    read,
    request,
)
from tests.fakes.slack_events import (
    APP,
    BOT_ID,
    BOT_USER,
    MESSAGE_SUBTYPES,
    TEAM,
    USER,
    agent_session_stopped,
    app_home_opened,
    app_mention,
    block_action,
    event_envelope,
    message_changed,
    message_deleted,
    message_event,
    signed_headers,
    slash_command,
)
from tests.fakes.slack_message_subtypes import FILE

# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed_headers(b"{}", secret="another"),
        signed_headers(b"{ }"),
        signed_headers(b"{}", at=1_700_000_000),
        signed_headers(b"{}", at=99_999_999_999),
        {**signed_headers(b"{}"), "x-slack-signature": "v0=ä"},
        {**signed_headers(b"{}"), "x-slack-request-timestamp": "-1"},
        {**signed_headers(b"{}"), "x-slack-request-timestamp": "9" * 5000},
        {**signed_headers(b"{}"), "x-slack-request-timestamp": "\ud800"},
    ],
)
def test_who_does_not_prove_to_be_slack_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        parser().receive(Request(headers, b"{}"))


@pytest.mark.parametrize("secret", [None, SecretStr(""), SecretStr(" ")])
def test_without_a_signing_secret_nobody_can_prove_anything(secret: SecretStr | None) -> None:
    given = {"slack_app_token": SecretStr("xapp-fake"), "slack_signing_secret": secret}
    for sent in (signed_headers(b"{}"), signed_headers(b"{}", secret=" "), signed_headers(b"{}", secret="")):
        with pytest.raises(Unauthenticated):
            parser(**given).receive(Request(sent, b"{}"))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b'{"a":' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parser().receive(Request(signed_headers(body), body))


@pytest.mark.parametrize(
    "body", [b"command", b"text=%ff", b"payload=", b"payload=%5B%5D", b"payload={", b"&".join([b"a=b"] * 101)]
)
def test_what_is_no_form_is_unreadable(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parser().receive(Request(signed_headers(body, content_type=FORM), body))


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=utf-8", FORM.title()])
def test_a_form_is_known_by_its_content_type(content_type: str) -> None:
    body = urlencode(slash_command("/help")).encode()
    headers = signed_headers(body, content_type=content_type)
    assert parser().receive(Request(headers, body)).response_body


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "app_rate_limited", "team_id": TEAM, "minute_rate_limited": 1, "api_app_id": APP},
        {"type": "view_submission", "view": {}},
        {"type": "event_callback"},
        {"type": ["event_callback"]},
        {},
        event_envelope(app_home_opened()),
        event_envelope({"type": "tokens_revoked", "tokens": {"bot": [BOT_USER]}}),
        event_envelope({"type": "reaction_added", "user": USER}),
    ],
)
def test_what_is_not_a_message_gives_an_empty_receipt(payload: dict[str, Any]) -> None:
    assert parser().receive(request(payload)) == NOTHING


def test_a_check_of_the_certificate_is_nothing_to_the_reader() -> None:
    assert parser().receive(form({"ssl_check": "1", "token": "t"})) == NOTHING


def test_http_and_socket_mode_read_the_same() -> None:
    payload = event_envelope(app_mention("hello"))
    assert parser().receive(request(payload)) == parser().parse(payload)
    click = block_action(FEEDBACK_ACTION, feedback_value("turn_1", good=True))
    assert parser().receive(form({"payload": json.dumps(click)})) == parser().parse(click)


# ---------------------------------------------------------------- where it is answered


def test_a_direct_message_is_always_answered_in_a_thread_of_its_own() -> None:
    said = one(message_event("hello", ts=TS))
    assert said == Message(
        ConversationKey("slack", TEAM, "D0DM", TS),
        f"{TEAM}:D0DM:{TS}",
        "hello",
        USER,
        {
            "team": TEAM,
            "channel": "D0DM",
            "channel_type": "im",
            "thread_ts": TS,
            "ts": TS,
            "user": USER,
            "user_team": TEAM,
            "typed": "yes",
        },
    )


@pytest.mark.parametrize(("channel", "kind"), [("C0CHAN", "im"), ("D0DM", "app_home"), ("D0DM", None)])
def test_what_is_direct_is_what_slack_calls_so(channel: str, kind: str | None) -> None:
    event = {**message_event("hello", channel=channel), "channel_type": kind}
    assert one(event).address["channel_type"] == "im"


def test_an_address_leads_to_a_place() -> None:
    workspace = Workspace(TEAM, "xoxb-fake")
    said = one(in_channel(f"{CALL} hello", ts=TS, thread_ts=ROOT))
    assert SlackTarget.of(said.address, workspace) == SlackTarget(workspace, "C0CHAN", ROOT, TS, USER, TEAM)


@pytest.mark.parametrize("event", [app_mention("hello"), in_channel(f"{CALL} hello"), in_channel(f"hello, {CALL}")])
def test_a_mention_opens_a_conversation(event: dict[str, Any]) -> None:
    said = one(event)
    assert (said.text, said.may_start_conversation, said.kind) == ("hello", True, MessageKind.PROMPT)
    assert said.key == ConversationKey("slack", TEAM, "C0CHAN", TS)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("thread_ts", [None, TS, ROOT])
def test_the_two_events_of_one_mention_are_the_same_message(scope: str, thread_ts: str | None) -> None:
    for channel_type in ("channel", "group", "mpim"):
        pair = (
            app_mention("hello", thread_ts=thread_ts, user_team="E0ORG", files=[FILE]),
            in_channel(
                f"{CALL} hello",
                thread_ts=thread_ts,
                subtype="file_share",
                channel_type=channel_type,
                source_team=TEAM,
                files=[FILE],
            ),
        )
        first, second = (one(event, slack_scope=scope) for event in pair)
        assert first == second


def test_a_mention_counts_though_its_text_does_not_show_it() -> None:
    event = {**app_mention("hello"), "text": "hello"}
    assert one(event, {"authorizations": []}).may_start_conversation


@pytest.mark.parametrize("kind", ["channel", "group", "mpim"])
def test_a_message_in_a_channel_that_calls_nobody_is_not_for_us(kind: str) -> None:
    assert read(in_channel("hello", channel_type=kind)) == NOTHING
    assert read(in_channel("hello <@U0BOB>", channel_type=kind)) == NOTHING
    assert read(in_channel("hello", channel_type=kind, thread_ts=TS)) == NOTHING  # the root of a thread by now


def test_a_reply_in_a_thread_counts_where_there_is_a_conversation_already() -> None:
    said = one(in_channel("and then?", ts=TS, thread_ts=ROOT))
    assert not said.may_start_conversation
    assert said.key.topic == said.address["thread_ts"] == ROOT
    assert said.key == one(in_channel(f"{CALL} hello", ts=ROOT)).key
    assert read(in_channel("and then?", thread_ts=ROOT), slack_replies="mention") == NOTHING


def test_a_reply_that_is_shown_in_the_channel_too_belongs_to_its_thread() -> None:
    said = one(in_channel("so", ts=TS, thread_ts=ROOT, subtype="thread_broadcast", root={"ts": ROOT}))
    assert said.key.topic == ROOT


@pytest.mark.parametrize(("scope", "user"), [("channel", ""), ("user", USER)])
def test_a_conversation_of_a_channel_is_one_whatever_the_thread(scope: str, user: str) -> None:
    expected = ConversationKey("slack", TEAM, "C0CHAN", "", user)
    for event in (app_mention("a", ts=TS), app_mention("b", ts=TS, thread_ts=ROOT)):
        said = one(event, slack_scope=scope)
        assert said.key == expected
        assert said.address["thread_ts"] == event.get("thread_ts", TS)


@pytest.mark.parametrize("scope", ["channel", "user"])
def test_where_the_channel_is_the_conversation_only_replies_to_us_count_without_a_mention(scope: str) -> None:
    reply = in_channel("and then?", ts=TS, thread_ts=ROOT)
    assert read(reply, slack_scope=scope) == NOTHING
    assert read({**reply, "parent_user_id": ""}, {"authorizations": []}, slack_scope=scope) == NOTHING
    assert not one({**reply, "parent_user_id": BOT_USER}, slack_scope=scope).may_start_conversation


@pytest.mark.parametrize("scope", ["channel", "user"])
def test_where_a_direct_message_needs_no_thread_the_reply_stands_beside_it(scope: str) -> None:
    assert "thread_ts" not in one(message_event("hello"), slack_scope=scope).address
    assert one(message_event("hello", thread_ts=ROOT), slack_scope=scope).address["thread_ts"] == ROOT


def test_in_a_shared_channel_the_conversation_is_of_our_workspace_and_the_author_of_theirs() -> None:
    envelope = {
        "team_id": "T0THEIRS",
        "enterprise_id": "E0THEIRS",
        "is_ext_shared_channel": True,
        "authorizations": [{"team_id": TEAM, "enterprise_id": "E0OURS", "user_id": BOT_USER}],
    }
    said = one(app_mention("hello", user_team="T0THEIRS"), envelope)
    assert (said.key.workspace, said.message_id) == (TEAM, f"{TEAM}:C0CHAN:{TS}")
    assert (said.address["team"], said.address["enterprise"]) == (TEAM, "E0OURS")
    assert said.address["user_team"] == said.author_workspace == "T0THEIRS"


def test_a_payload_without_authorizations_is_of_the_workspace_it_names() -> None:
    assert one(message_event("hello"), {"authorizations": None}).key.workspace == TEAM


# ---------------------------------------------------------------- who is answered


@pytest.mark.parametrize(
    "event",
    [
        message_event("hello", user=BOT_USER),
        message_event("hello", user=BOT_USER, bot_id=BOT_ID),
        message_event("hello", user="U0OTHER", bot_id=BOT_ID, app_id=APP),
        message_event("hello", user="U0OTHER", bot_id=BOT_ID, bot_profile={"app_id": APP}),
        app_mention("hello", user=BOT_USER),
        message_event("hello", user="USLACKBOT"),
        message_event("hello", user="USLACK"),
        message_event("hello", hidden=True),
        message_event("hello", user=""),
    ],
)
def test_nobody_answers_themselves_or_slack_even_if_all_bots_are_allowed(event: dict[str, Any]) -> None:
    assert read(event, slack_allowed_bots="*") == NOTHING


@pytest.mark.parametrize(
    ("allowed", "answered"),
    [("", False), ("B0ELSE", False), ("B0OTHER", True), ("U0OTHER", True), ("U1, B0OTHER", True), ("*", True)],
)
def test_another_bot_is_answered_only_if_it_is_allowed(allowed: str, *, answered: bool) -> None:
    event = app_mention("hello", user="U0OTHER", bot_id="B0OTHER", app_id="A0OTHER")
    assert bool(read(event, slack_allowed_bots=allowed).messages) is answered


def test_in_threads_another_bot_has_to_mention_us_and_is_answered_so_often() -> None:
    bot = {"user": "U0OTHER", "bot_id": "B0OTHER", "app_id": "A0OTHER"}
    standing_by = in_channel("Standing by.", thread_ts=ROOT, **bot)
    assert read(standing_by, slack_allowed_bots="*") == NOTHING
    assert read({**standing_by, "parent_user_id": BOT_USER}, slack_allowed_bots="*", slack_scope="user") == NOTHING
    calls = app_mention("your turn", thread_ts=ROOT, **bot)
    assert one(calls, slack_allowed_bots="*").max_from_author == BOT_TURNS
    assert one(app_mention("hello")).max_from_author == 0


@pytest.mark.parametrize("text", ["<@U0BOB> can you check this out?", "can you look, <@U0BOB>?"])
def test_in_a_thread_of_ours_what_calls_somebody_else_is_for_them(text: str) -> None:
    assert read(in_channel(text, thread_ts=ROOT)) == NOTHING
    assert one(in_channel(f"{text} {CALL}", thread_ts=ROOT)).may_start_conversation
    assert one(message_event(text, thread_ts=ROOT)).text
    assert one(in_channel("what did <@U0BOB> say?", thread_ts=ROOT)).text


def test_a_bot_without_a_user_is_known_by_its_own_id() -> None:
    event = {**MESSAGE_SUBTYPES["bot_message"], "text": f"{CALL} a build has failed"}
    assert one(event, slack_allowed_bots="B0OTHER").author == "B0OTHER"
    assert read({**event, "bot_id": None}, slack_allowed_bots="*") == NOTHING


@pytest.mark.parametrize("subtype", sorted(MESSAGE_SUBTYPES))
def test_of_all_subtypes_only_what_people_say_is_a_message(subtype: str) -> None:
    receipt = read(MESSAGE_SUBTYPES[subtype])
    direct = read({**MESSAGE_SUBTYPES[subtype], "channel": "D0DM", "channel_type": "im"})
    assert bool(receipt.messages) is (subtype == "thread_broadcast")
    assert bool(direct.messages) is (subtype in {"thread_broadcast", "file_share", "me_message"})
    assert {type(change) for change in receipt.events} == {
        "message_changed": {MessageEdited},
        "message_deleted": {MessageDeleted},
    }.get(subtype, set())


@pytest.mark.parametrize("subtype", ["never_heard_of", 5, ["file_share"], {}, ""])
def test_a_subtype_that_nobody_knows_is_ignored(subtype: object) -> None:
    assert read(message_event("hello", subtype=subtype)) == NOTHING


# ---------------------------------------------------------------- whatever comes

LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from(["\0", "\ud800", "x" * 500, "U:1:2", CALL])
)
ANYTHING = anything(LEAF)
GENUINE = [
    event_envelope(message_event("hello")),
    event_envelope(app_mention("hello", thread_ts=ROOT, files=[FILE])),
    event_envelope(in_channel("hello", thread_ts=ROOT)),
    event_envelope(message_changed("hello")),
    event_envelope(message_deleted()),
    event_envelope(agent_session_stopped("C0CHAN", ROOT)),
    *(event_envelope(event) for event in MESSAGE_SUBTYPES.values()),
    dict(slash_command("/reset")),
    block_action(FEEDBACK_ACTION, feedback_value("turn_1", good=True)),
]


@given(altered(GENUINE, ANYTHING), st.sampled_from(SCOPES))
def test_a_payload_with_anything_in_any_place_is_read_or_refused_by_name(payload: Any, scope: str) -> None:
    with suppress(InputError):
        received = parser(slack_scope=scope, slack_allowed_bots="*").receive(request(payload))
        check_storable(received)


@given(st.text(), st.sampled_from([None, ROOT]))
def test_what_people_write_is_handed_on_word_for_word(text: str, thread_ts: str | None) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    said = one(message_event(escaped, thread_ts=thread_ts))
    assert said.text == (text.replace("\0", "\ufffd").strip() or UNREADABLE)


@given(st.text(), st.sampled_from(["command", "text", "team_id", "trigger_id"]), st.sampled_from(SCOPES))
def test_a_command_with_anything_in_it_is_read_or_refused_by_name(text: str, field: str, scope: str) -> None:
    body = "&".join(
        f"{name}={quote_plus(value)}" for name, value in {**slash_command("/reset"), field: text}.items()
    ).encode()
    receipt = parser(slack_scope=scope).receive(Request(signed_headers(body, content_type=FORM), body))
    check_storable(receipt)


# ---------------------------------------------------------------- who the bot is

PERSONS = {"authorizations": [{"team_id": TEAM, "user_id": USER, "is_bot": False}]}
NOWHERE: dict[str, Any] = {"authorizations": []}


def knowing(user: str, bot_id: str = "") -> EventParser:
    return EventParser(parser_settings(), lambda _, __: BotIds(user, bot_id))


def said_to(reader: EventParser, event: Mapping[str, Any], envelope: Mapping[str, Any]) -> list[str]:
    return [said.text for said in reader.parse(event_envelope(dict(event), **envelope)).messages]


@pytest.mark.parametrize("envelope", [PERSONS, NOWHERE])
def test_a_person_whose_installation_is_named_is_not_the_bot(envelope: Mapping[str, Any]) -> None:
    reader = knowing(BOT_USER)
    assert said_to(reader, message_event("hello"), envelope) == ["hello"]
    assert said_to(reader, in_channel(f"<@{USER}> can you check?"), envelope) == []
    assert said_to(reader, in_channel(f"{CALL} can you check?"), envelope) == ["can you check?"]


@pytest.mark.parametrize("envelope", [PERSONS, NOWHERE, {}])
@pytest.mark.parametrize("fields", [{"user": BOT_USER}, {"user": "U0WHO", "bot_id": BOT_ID}])
def test_our_own_messages_are_known_by_either_id(envelope: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    reader = EventParser(parser_settings(slack_allowed_bots="*"), lambda _, __: BotIds(BOT_USER, BOT_ID))
    assert said_to(reader, message_event("hello", **fields), envelope) == []


def test_a_message_that_only_a_person_may_see_is_marked() -> None:
    assert one(message_event("hi"), PERSONS).address["seen_by"] == "user"
    assert "seen_by" not in one(message_event("hi"), NOWHERE).address
    assert "seen_by" not in one(message_event("hi")).address


# ---------------------------------------------------------------- the channel of the staff

STAFF = ConversationKey("slack", TEAM, "C0STAFF")


@pytest.mark.parametrize("replies", ["thread", "mention"])
@pytest.mark.parametrize("scope", SCOPES)
def test_in_the_channel_of_the_staff_a_thread_is_a_conversation_without_mentions(scope: str, replies: str) -> None:
    reader = EventParser(parser_settings(slack_scope=scope, slack_replies=replies), staff=STAFF)
    written = message_event("It comes tomorrow", channel=STAFF.channel, ts=TS, thread_ts=ROOT)
    (said,) = reader.parse(event_envelope(written)).messages
    assert said.key == replace(STAFF, topic=ROOT)
    assert not said.may_start_conversation
    assert reader.parse(event_envelope({**written, "text": "<@U0BOB> what do you think?"})) == NOTHING
    elsewhere = {**written, "channel": "C0CHAN"}
    assert reader.parse(event_envelope(elsewhere)) == read(elsewhere, slack_scope=scope, slack_replies=replies)


# ---------------------------------------------------------------- two events about one message


def test_a_mention_without_files_waits_for_its_message_event() -> None:
    file = {"id": "F1", "name": "a.png"}
    assert one(app_mention("look")).debounce_seconds > 0
    assert one(app_mention("look", files=[file])).debounce_seconds == 0
    assert one(in_channel(f"{CALL} look", files=[file], subtype="file_share")).debounce_seconds == 0
    assert one(app_mention("stop", thread_ts=ROOT)).debounce_seconds == 0


def test_messages_of_one_author_join_where_that_is_switched_on() -> None:
    assert one(message_event("hi")).join is None
    said = one(message_event("hi"), slack_join_seconds=2.0)
    assert (said.join, said.debounce_seconds) == (Join(2.0), 2.0)
    assert one(app_mention("stop", thread_ts=ROOT), slack_join_seconds=2.0).join is None


def test_a_workspace_has_a_share_of_its_own_where_several_can_install_the_app() -> None:
    installable: dict[str, Any] = {"slack_bot_token": None, "slack_client_id": "1.2"}
    assert one(message_event("hi"), **installable).share.workspace == f"slack {TEAM}"
    assert one(message_event("hi")).share.workspace == ""
