"""What stands in blocks, attachments and links beside the text of a message is read too, and nothing is read twice."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base.text_input import LONGEST_QUOTE
from adapters.slack import message_text, text_input
from gateway.domain.platform_events import MessageEdited
from tests.adapters.slack.parsing import TS, one, read
from tests.fakes.slack_events import BOT_USER, app_mention, message_changed, message_event, rich_text_block
from tests.fakes.slack_message_subtypes import FILE

Json = dict[str, Any]
CALL = f"<@{BOT_USER}>"
APP = {"bot_id": "B0ALARM", "username": "alerts"}


def raw(text: str) -> Json:
    return {"type": "raw_text", "text": text}


def table(*rows: Any) -> Json:
    return {"type": "table", "rows": list(rows)}


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


PLANS = table([rich_text_block("Plan"), rich_text_block("Seats")], [rich_text_block("Starter"), raw("17")])
SHOWN = "| Plan | Seats |\n| --- | --- |\n| Starter | 17 |"
LINKED = {
    "is_msg_unfurl": True,
    "from_url": "https://t.slack.com/archives/C0OPS/p1",
    "author_name": "Bob Ray",
    "channel_name": "ops",
    "text": "The gateway was restarted.\nAt 04:10.",
    "fallback": "[November 28th] bob: The gateway was restarted.",
    "message_blocks": [{"message": {"blocks": [rich_text_block("The gateway was restarted.\nAt 04:10.")]}}],
    "files": [{**FILE, "name": "shot.png"}],
}
QUOTED = (
    "The link leads to a message of Bob Ray in #ops:\n> The gateway was restarted.\n> At 04:10.\n> [attached: shot.png]"
)


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    "message",
    [
        {"text": "Which?", "blocks": [rich_text_block("Which?"), PLANS], "user": "U0ANN"},
        {"text": "Which?", "user": "U0ANN", "attachments": [{"fallback": "[no preview available]", "blocks": [PLANS]}]},
    ],
    ids=["block", "attachment"],
)
def test_a_pasted_table_is_read_row_by_row(message: Json) -> None:
    assert (
        message_text.whole(message, BOT_USER).split("\n", 1) == ["Which?", SHOWN]
        or message_text.whole(message, BOT_USER) == f"Which?\n\n{SHOWN}"
    )


def test_cells_may_be_empty_odd_numbers_or_hold_links_and_bars() -> None:
    link = {"type": "link", "url": "https://x.org/a", "text": "x"}
    linked = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [link]}]}
    odd = table([raw("a|b"), None], [linked, {"type": "raw_number", "value": 5}], "no row", [raw("1\n2"), {}])
    assert message_text.whole({"blocks": [odd]}, BOT_USER) == (
        "| a\\|b |  |\n| --- | --- |\n| x (https://x.org/a) | 5 |\n| 1 2 |  |"
    )
    assert message_text.whole({"blocks": [table()]}, BOT_USER) == ""


def test_what_cannot_be_described_is_not_described() -> None:
    assert message_text.whole({"text": "a", "attachments": [{"fallback": "[no preview available]"}]}, BOT_USER) == "a"


# ---------------------------------------------------------------- blocks beside a text


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {"text": "New alert", "blocks": [section("New alert: error rate *12%*")], **APP},
            "New alert: error rate *12%*",
        ),
        ({"text": "New alert", "blocks": [section("error rate 12%")], **APP}, "New alert\nerror rate 12%"),
        ({"text": "All of it, said", "blocks": [section("*all* of it"), section("said")], **APP}, "All of it, said"),
        ({"text": "a *b*", "blocks": [rich_text_block("a b")], "user": "U0ANN"}, "a *b*"),
        ({"text": "It is 5", "blocks": [section("It is 50")], **APP}, "It is 5\nIt is 50"),
        ({"text": "", "blocks": [section("only here")], "user": "U0ANN"}, "only here"),
        ({"text": "!", "blocks": [{"type": "divider"}], **APP}, "!"),
    ],
)
def test_an_app_is_read_whole_and_a_person_once(message: Json, expected: str) -> None:
    assert message_text.whole(message, BOT_USER) == expected


def test_an_alert_that_calls_us_in_its_blocks_is_read_with_them() -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "New alert: checkout"}},
        section(f"{CALL} look into it: error rate *12%* since deploy `abc123`"),
    ]
    event = {**app_mention(""), **APP, "text": "New alert: checkout", "blocks": blocks}
    said = one(event, slack_allowed_bots="*")
    assert said.text == "New alert: checkout\n@you look into it: error rate *12%* since deploy `abc123`"


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def items(style: str, *texts: str, **more: Any) -> Json:
    sections = [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]} for text in texts]
    return {"type": "rich_text_list", "style": style, "elements": sections, **more}


TASK = {"task_id": "1", "title": "Looked", "details": rich_text_block("into it"), "output": rich_text_block("3 found")}
POINTS = [{"label": "May", "value": 3}, {"label": "June", "value": 0}]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "image", "title": plain("Sales"), "alt_text": "bars"}, "Sales\nbars"),
        (
            {"type": "video", "title": plain("How to"), "title_url": "https://v.org", "description": plain("do it")},
            "How to\nhttps://v.org\ndo it",
        ),
        ({"type": "alert", "text": plain("Disk full"), "level": "error"}, "Disk full"),
        ({"type": "card", "title": plain("One"), "subtitle": plain("two"), "body": plain("three")}, "One\ntwo\nthree"),
        (
            {"type": "carousel", "elements": [{"type": "card", "body": plain(text)} for text in ("one", "two")]},
            "one\ntwo",
        ),
        ({"type": "container", "title": plain("Box"), "child_blocks": [section("within")]}, "Box\nwithin"),
        ({"type": "input", "label": plain("Your name")}, "Your name"),
        ({"type": "call", "call": {"v1": {"name": "Standup", "join_url": "https://c.org"}}}, "Standup\nhttps://c.org"),
        ({"type": "task_card", **TASK}, "Looked\ninto it\n3 found"),
        (
            {
                "type": "plan",
                "title": "Done",
                "tasks": [{**TASK, "sources": [{"type": "url", "url": "https://s.org"}]}],
            },
            "Done\nLooked\ninto it\n3 found\nhttps://s.org",
        ),
        (
            {"type": "data_table", "caption": "Seats", "rows": [[raw("Plan")], [{"type": "raw_number", "value": 0}]]},
            "Seats\n| Plan |\n| --- |\n| 0 |",
        ),
        (
            {"type": "data_visualization", "title": "By month", "chart": {"type": "pie", "segments": POINTS}},
            "By month\nMay: 3\nJune: 0",
        ),
        (
            {"type": "data_visualization", "chart": {"type": "bar", "series": [{"name": "2026", "data": POINTS}]}},
            "2026\nMay: 3\nJune: 0",
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_every_block_that_says_something_is_read(block: Json, expected: str) -> None:
    assert message_text.whole({"blocks": [block], **APP}, BOT_USER) == expected


def test_a_list_keeps_its_numbers_and_its_levels() -> None:
    lists = [items("ordered", "a", "b"), items("bullet", "c", indent=1), items("ordered", "d", offset=2)]
    said = message_text.whole({"blocks": [{"type": "rich_text", "elements": lists}], **APP}, BOT_USER)
    assert said == "1. a\n2. b\n    • c\n3. d"


def test_times_colours_and_emoji_are_read() -> None:
    elements = [
        {"type": "date", "timestamp": 1700000000, "format": "{date}"},
        {"type": "color", "value": "#F405B3"},
        {"type": "emoji", "name": "wave", "skin_tone": 3},
    ]
    blocks = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}]
    assert message_text.whole({"blocks": blocks, **APP}, BOT_USER) == "2023-11-14 22:13 UTC#F405B3:wave::skin-tone-3:"
    assert text_input.readable("at <!date^1700000000^{date}>") == "at 2023-11-14 22:13 UTC"


def test_what_a_forwarded_message_forwards_is_read_with_its_files() -> None:
    alert = {"author_name": "CI", "text": "Build 5 failed", "files": [FILE]}
    forward = {"is_share": True, "author_name": "Bob", "text": "why?", "attachments": [alert]}
    again = {"is_share": True, "author_name": "Ann", "text": "", "attachments": [forward]}
    said = one(message_event("see", attachments=[again]))
    assert said.text == ("see\n\nForwarded message from Ann:\nForwarded message from Bob:\nwhy?\nCI\nBuild 5 failed")
    assert len(said.files) == 1
    for _ in range(100):
        again = {"is_share": True, "text": "+", "attachments": [again]}
    assert message_text.whole({"attachments": [again]}, BOT_USER).count("+") == message_text.DEEPEST_FORWARD + 1


def test_a_forwarded_message_of_an_app_is_read_with_its_blocks() -> None:
    quote = [{"message": {"blocks": [rich_text_block("Build 5 failed in step 3")]}}]
    share = {"is_share": True, "author_name": "CI", "text": "Build 5 failed", "message_blocks": quote}
    assert message_text.attachment_text(share) == "Forwarded message from CI:\nBuild 5 failed in step 3"
    channel = [{"message": {"blocks": [rich_text_block("see #C1")]}}]
    share = {"is_share": True, "author_id": "U0BOB", "text": "see <#C1|ops>", "message_blocks": channel}
    assert message_text.attachment_text(share) == "Forwarded message from somebody:\nsee #ops"


def test_what_an_app_links_and_who_it_is_about_are_read() -> None:
    card = {"author_name": "ann", "title": "Fix it", "title_link": "https://g.org/1", "text": "for good"}
    assert message_text.attachment_text(card) == "ann\nFix it (https://g.org/1)\nfor good"


# ---------------------------------------------------------------- links to messages


def test_the_message_that_a_link_leads_to_is_quoted() -> None:
    said = one({**message_event("what happened?"), "attachments": [LINKED]})
    assert said.text == f"what happened?\n\n{QUOTED}"
    assert said.files == ()  # they are not this person's, and may not be ours to read


def test_a_link_is_quoted_by_its_blocks_and_without_a_name() -> None:
    bare = {name: LINKED[name] for name in ("is_msg_unfurl", "from_url", "message_blocks")}
    assert message_text.whole({"attachments": [bare]}, BOT_USER) == (
        "The link leads to a message of somebody:\n> The gateway was restarted.\n> At 04:10."
    )
    assert message_text.whole({"attachments": [{"is_msg_unfurl": True, "from_url": "https://x"}]}, BOT_USER) == ""


def test_a_long_quotation_is_cut() -> None:
    long = {**LINKED, "text": "word " * 5000}
    said = message_text.whole({"attachments": [long]}, BOT_USER)
    assert said.endswith(" […]")
    assert len(said) < LONGEST_QUOTE + 200


def test_what_slack_unfurls_a_moment_later_changes_the_message() -> None:
    event = message_changed("see the link", before="see the link", ts=TS)
    event["message"] = {**event["message"], "attachments": [LINKED], "edited": None}
    (changed,) = read(event).events
    assert isinstance(changed, MessageEdited)
    assert changed.text == f"see the link\n\n{QUOTED}"
    preview = {"from_url": "https://example.com", "title": "Example", "text": "A page."}
    assert not read({**event, "message": {**event["message"], "attachments": [preview]}}).events
