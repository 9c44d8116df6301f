"""What people say, change, press and command in Slack is read as what it means."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.base.text_input import MENTIONED_ONLY, UNREADABLE
from adapters.slack import replies
from adapters.slack.formatter import FEEDBACK_ACTION, feedback_value
from gateway.domain.models import ConversationKey, MessageKind, TurnId
from gateway.domain.platform_events import Feedback, MessageDeleted, MessageEdited
from gateway.ports.platform import ParsedUpdate
from tests.adapters.slack.parsing import (
    CALL,
    NOTHING,
    ROOT,
    SCOPES,
    TS,
    form,
    in_channel,
    one,
    parser,
    read,
)
from tests.fakes.slack_events import (
    BOT_USER,
    TEAM,
    USER,
    agent_session_stopped,
    app_mention,
    block_action,
    message_changed,
    message_deleted,
    message_event,
    rich_text_block,
    slash_command,
)
from tests.fakes.slack_message_subtypes import FILE

# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize("event", [app_mention(""), in_channel(CALL), in_channel(f" {CALL} {CALL}")])
def test_a_mention_alone_says_that_it_is_one(event: dict[str, Any]) -> None:
    assert one(event).text == MENTIONED_ONLY


def test_what_cannot_be_read_says_so() -> None:
    said = one({**message_event(""), "blocks": [{"type": "video"}]})
    assert (said.text, said.kind) == (UNREADABLE, MessageKind.PROMPT)


def test_a_text_in_blocks_alone_is_read_and_calls_us() -> None:
    event = {**in_channel(""), "blocks": [rich_text_block(f"{CALL} hello")]}
    assert one(event).text == "hello"


@pytest.mark.parametrize(
    ("event", "kind", "opens"),
    [
        (message_event("reset"), MessageKind.RESET, True),
        (message_event("Stop."), MessageKind.STOP, True),
        (message_event("stop", thread_ts=ROOT), MessageKind.STOP, False),
        (app_mention("reset"), MessageKind.RESET, True),
        (app_mention("new", thread_ts=ROOT), MessageKind.PROMPT, True),
        (message_event("New", thread_ts=ROOT), MessageKind.PROMPT, True),
        (app_mention("stop"), MessageKind.STOP, True),
        (app_mention("cancel", thread_ts=ROOT), MessageKind.STOP, True),
        (in_channel("cancel", thread_ts=ROOT), MessageKind.STOP, False),
        (in_channel("stop", thread_ts=ROOT), MessageKind.STOP, False),
        (in_channel("new", thread_ts=ROOT), MessageKind.PROMPT, False),
        (app_mention("human"), MessageKind.HAND_OVER, True),
        (app_mention("human", thread_ts=ROOT), MessageKind.HAND_OVER, True),
        (in_channel("human", thread_ts=ROOT), MessageKind.PROMPT, False),
        (app_mention("human error"), MessageKind.PROMPT, True),
        (message_event("resume", thread_ts=ROOT), MessageKind.RESUME, True),
        (in_channel("Resume.", thread_ts=ROOT), MessageKind.RESUME, False),
        (message_event("help"), MessageKind.PROMPT, True),
        (message_event("stop", files=[FILE]), MessageKind.PROMPT, True),
    ],
)
def test_a_word_alone_may_be_a_command(event: dict[str, Any], kind: MessageKind, *, opens: bool) -> None:
    said = one(event)
    assert (said.kind, said.may_start_conversation) == (kind, opens)
    assert said.text


@pytest.mark.parametrize("word", ["cancel", "Cancel!", "/cancel"])
def test_cancel_may_answer_a_question_and_stop_may_not(word: str) -> None:
    assert one(message_event(word, thread_ts=ROOT)).only_if_running
    assert not one(message_event("stop", thread_ts=ROOT)).only_if_running
    assert one(message_event("resume", thread_ts=ROOT)).only_if_running


@pytest.mark.parametrize("scope", SCOPES)
def test_a_stop_outside_of_threads_is_for_all_threads_of_its_author(scope: str) -> None:
    for event in (message_event("STOP!!!"), app_mention("cancel")):
        assert one(event, slack_scope=scope).stops_channel is (scope == "topic")
    assert not one(message_event("stop", thread_ts=ROOT), slack_scope=scope).stops_channel
    assert not one(message_event("hello"), slack_scope=scope).stops_channel


def test_files_come_with_where_they_are_to_be_had() -> None:
    event = message_event("look", subtype="file_share", files=[FILE])
    (file,) = one(event).files
    assert (file.name, file.media_type, file.size) == ("notes.txt", "text/plain", 5)
    assert json.loads(file.reference) == {"id": FILE["id"], "url": FILE["url_private_download"]}


def test_a_file_of_another_company_is_known_by_its_id() -> None:
    foreign = {"id": "F1", "file_access": "check_file_info", "mode": "file_access"}
    said = one(message_event("", subtype="file_share", files=[foreign, {"name": "no id"}, "F2"]))
    (file,) = said.files
    assert (said.text, file.name, json.loads(file.reference)) == ("", "F1", {"id": "F1", "url": ""})


@pytest.mark.parametrize(("mode", "why"), [("tombstone", "was deleted"), ("hidden_by_limit", "too old")])
@pytest.mark.parametrize("text", ["look at this", ""])
def test_of_a_file_that_is_gone_the_assistant_is_told(text: str, mode: str, why: str) -> None:
    said = one(message_event(text, subtype="file_share", files=[{"id": "F1", "mode": mode}]))
    assert not said.files
    assert said.text.startswith(text)
    assert why in said.text


@pytest.mark.parametrize("size", [None, -1, "5", 1.5, 2**60, True, [], 10**400])
def test_a_size_that_cannot_be_is_unknown(size: object) -> None:
    assert one(message_event("", files=[{**FILE, "size": size}])).files[0].size in {0, 1}


def test_a_forwarded_message_comes_with_its_files() -> None:
    share = {"is_share": True, "author_name": "Bob", "text": "the plan", "files": [FILE]}
    said = one({**message_event(""), "blocks": [], "attachments": [share]})
    assert said.text == "Forwarded message from Bob:\nthe plan"
    assert [file.name for file in said.files] == ["notes.txt"]


# ---------------------------------------------------------------- changes


def test_an_edit_changes_the_message_it_is_about() -> None:
    original = one(app_mention("hello", ts=TS))
    event = message_changed(f"{CALL} goodbye &amp; thanks", before=f"{CALL} hello", channel="C0CHAN", ts=TS)
    assert read(event).events == (MessageEdited("slack", original.message_id, "goodbye & thanks"),)


@pytest.mark.parametrize(
    "event",
    [
        message_changed("the same", before="the same"),
        {**message_changed("other"), "message": {**message_changed("other")["message"], "edited": None}},
        message_changed("other", user=BOT_USER),
        message_changed("other", user="USLACKBOT"),
        {**message_changed("other"), "message": {**message_changed("other")["message"], "bot_id": "B0OTHER"}},
        {**message_changed("other"), "message": None},
        {**message_changed("other"), "channel": ""},
        {**message_deleted(), "deleted_ts": 5},
    ],
)
def test_a_change_that_no_person_made_to_the_text_is_none(event: dict[str, Any]) -> None:
    assert read(event) == NOTHING


@pytest.mark.parametrize("kind", ["mpim", "channel", "group"])
def test_an_edit_that_mentions_us_for_the_first_time_is_a_message_with_the_id_of_the_first(kind: str) -> None:
    event = message_changed(f"{CALL} what is new?", before="what is new?", channel="C0CHAN", ts=TS)
    (said,) = read({**event, "channel_type": kind}).messages
    assert said == replace(one(app_mention("what is new?", ts=TS)), debounce_seconds=0.0)
    for known in (f"{CALL} what is new?", "hello"):
        assert not read(message_changed("again", before=known, channel="C0CHAN", ts=TS)).messages
    assert not read(message_changed(f"{CALL} b", before=f"{CALL} a", channel="C0CHAN", ts=TS)).messages
    assert not read(message_changed("hello", before="hallo")).messages


@pytest.mark.parametrize("thread_ts", [None, ROOT])
def test_an_edit_to_a_command_to_stop_stops(thread_ts: str | None) -> None:
    (said,) = read(message_changed("stop", ts=TS, thread_ts=thread_ts)).messages
    assert (said.kind, said.may_start_conversation, said.stops_channel) == (MessageKind.STOP, False, False)
    assert said.key == one(message_event("why?", ts=TS, thread_ts=thread_ts)).key
    assert said.message_id != f"{TEAM}:D0DM:{TS}"
    assert not read(message_changed("cancel", ts=TS, thread_ts=thread_ts)).messages, "it may answer a question"


@pytest.mark.parametrize(
    ("text", "thread_ts", "is_withdrawn"),
    [("what is new?", None, True), ("what is new?", ROOT, False), ("<@U0BOB> what is new?", ROOT, True)],
)
def test_an_edit_that_no_longer_mentions_the_bot_withdraws_the_message(
    text: str, thread_ts: str | None, *, is_withdrawn: bool
) -> None:
    """In a thread of the bot's the message may be for it still."""
    event = message_changed(text, before=f"{CALL} hello", channel="C0CHAN", ts=TS, thread_ts=thread_ts)
    changed = read(event)
    assert changed.messages == ()
    message_id = f"{TEAM}:C0CHAN:{TS}"
    withdrawn, edited = MessageDeleted("slack", message_id), MessageEdited("slack", message_id, text)
    assert changed.events == ((withdrawn if is_withdrawn else edited),)


def test_an_edit_that_leaves_nothing_is_read_as_the_message_would_be() -> None:
    assert read(message_changed(CALL)).events == (MessageEdited("slack", f"{TEAM}:D0DM:{TS}", MENTIONED_ONLY),)


def test_a_deleted_message_is_withdrawn_also_if_a_thread_hangs_on_it() -> None:
    withdrawn = (MessageDeleted("slack", f"{TEAM}:D0DM:{TS}"),)
    assert read(message_deleted(ts=TS)).events == withdrawn
    stone = {"type": "message", "subtype": "tombstone", "user": "USLACKBOT", "ts": TS, "thread_ts": TS, "hidden": True}
    assert read({**message_changed("This message was deleted.", ts=TS), "message": stone}).events == withdrawn


@pytest.mark.parametrize(("scope", "topic", "user"), [("topic", ROOT, ""), ("channel", "", ""), ("user", "", USER)])
def test_the_stop_button_stops_the_conversation_it_stands_in(scope: str, topic: str, user: str) -> None:
    said = one(agent_session_stopped("C0CHAN", ROOT, streaming=[TS]), slack_scope=scope)
    assert said.key == ConversationKey("slack", TEAM, "C0CHAN", topic, user)
    assert (said.message_id, said.kind, said.may_start_conversation) == (f"{TEAM}:stop:Ev1", MessageKind.STOP, False)
    assert (said.address["thread_ts"], said.address["kind"], "ts" in said.address) == (ROOT, "stop", False)


def test_a_press_that_tells_nothing_stops_nothing() -> None:
    assert read({"type": "agent_session_stopped"}) == NOTHING


@pytest.mark.parametrize("good", [True, False])
def test_a_click_is_a_verdict_of_whoever_clicked(*, good: bool) -> None:
    click = block_action(FEEDBACK_ACTION, feedback_value("turn_1", good=good))
    assert parser().parse(click).events == (Feedback(TurnId("turn_1"), USER, "good" if good else "bad"),)


@pytest.mark.parametrize(
    "click",
    [
        block_action("another", "good:turn_1"),
        block_action(FEEDBACK_ACTION, "splendid:turn_1"),
        block_action(FEEDBACK_ACTION, ""),
        block_action(FEEDBACK_ACTION, "good:turn_1", user=""),
        {**block_action(FEEDBACK_ACTION, "good:turn_1"), "actions": {"action_id": FEEDBACK_ACTION}},
    ],
)
def test_other_clicks_mean_nothing(click: dict[str, Any]) -> None:
    assert parser().parse(click) == NOTHING


# ---------------------------------------------------------------- commands


def whispered(receipt: ParsedUpdate) -> str:
    assert receipt == replace(NOTHING, response_body=receipt.response_body)
    told = json.loads(receipt.response_body)
    assert told.pop("response_type") == "ephemeral"
    return str(told.pop("text"))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ["/help", "/ada-help", "/never-heard-of", "/", "help"])
def test_a_command_for_help_is_answered_at_once(scope: str, name: str) -> None:
    assert replies.REMEMBERED[scope] in whispered(parser(slack_scope=scope).receive(form(slash_command(name))))


@pytest.mark.parametrize(("name", "text"), [("/reset", ""), ("/ada-reset", "now"), ("/ada", " Reset ")])
def test_where_threads_are_conversations_a_command_to_reset_says_what_to_do(name: str, text: str) -> None:
    assert whispered(parser().parse(slash_command(name, text))) == replies.RESET_IN_THREADS


@pytest.mark.parametrize(("scope", "user"), [("channel", ""), ("user", USER)])
@pytest.mark.parametrize("channel", ["C0CHAN", "D0DM"])
def test_a_command_resets_the_conversation_of_a_channel(scope: str, user: str, channel: str) -> None:
    given = slash_command("/reset", channel=channel, trigger_id="13.1.abc", enterprise_id="E0ORG")
    receipt = parser(slack_scope=scope).receive(form(given))
    (said,) = receipt.messages
    assert said.key == ConversationKey("slack", TEAM, channel, "", user)
    assert (said.kind, said.message_id, said.may_start_conversation) == (
        MessageKind.RESET,
        f"{TEAM}:command:13.1.abc",
        True,
    )
    assert said.address == {
        "team": TEAM,
        "enterprise": "E0ORG",
        "channel": channel,
        "channel_type": "im" if channel == "D0DM" else "channel",
        "user": USER,
        "kind": "command",
    }
    assert receipt.response_body == ""


@pytest.mark.parametrize("missing", ["team_id", "channel_id", "user_id", "trigger_id"])
def test_a_command_that_lacks_something_does_nothing(missing: str) -> None:
    assert parser(slack_scope="user").parse({**slash_command("/reset"), missing: ""}) == NOTHING


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/assistant support", MessageKind.CHOOSE),
        ("assistant Support.", MessageKind.CHOOSE),
        ("/assistants", MessageKind.CHOOSE),
        ("/assistant", MessageKind.CHOOSE),
        ("assistants", MessageKind.CHOOSE),
        ("assistant", MessageKind.PROMPT),
        ("assistants of the sales team, listen to this", MessageKind.PROMPT),
        ("assistant support\nand more", MessageKind.PROMPT),
    ],
)
def test_an_assistant_is_chosen_by_a_mention_with_a_command(text: str, kind: MessageKind) -> None:
    said = one(in_channel(f"{CALL} {text}"))
    assert (said.kind, said.text) == (kind, text)


def test_a_choice_in_a_thread_without_a_mention_may_be_meant_for_others() -> None:
    assert one(in_channel("assistant support", thread_ts=ROOT)).kind is MessageKind.PROMPT


def test_a_slash_command_chooses_where_a_conversation_is_not_a_thread() -> None:
    given = slash_command("/gateway", "assistant support", channel="C0CHAN", trigger_id="13.1.abc")
    (message,) = parser(slack_scope="channel").parse(given).messages
    assert (message.kind, message.text) == (MessageKind.CHOOSE, "/assistant support")
    assert whispered(parser().parse(given)) == replies.CHOOSE_IN_THREADS


@pytest.mark.parametrize(
    ("name", "text", "kind", "command"),
    [
        ("/human", "", MessageKind.HAND_OVER, "/human"),
        ("/human", "I need a refund", MessageKind.HAND_OVER, "/human"),
        ("/resume", "human", MessageKind.RESUME, "/resume"),
        ("/ada", "human", MessageKind.HAND_OVER, "/human"),
        ("/ada", "Resume", MessageKind.RESUME, "/resume"),
    ],
)
def test_a_slash_command_asks_for_a_person_where_a_conversation_is_not_a_thread(
    name: str, text: str, kind: MessageKind, command: str
) -> None:
    given = slash_command(name, text, channel="C0CHAN", trigger_id="13.1.abc")
    (message,) = parser(slack_scope="channel").parse(given).messages
    assert (message.kind, message.text) == (kind, command)
    assert whispered(parser().parse(given)) == replies.HANDOVER_IN_THREADS
