"""What people write in Slack is read as they meant it, and nothing that stands in a payload is too odd to be read."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base.json_fields import storable
from adapters.base.text_input import written_kind
from adapters.slack import blocks, message_text, replies, text_input
from gateway.domain.models import MessageKind
from tests.fakes.slack_events import BOT_USER, rich_text_block

CALL = f"<@{BOT_USER}>"
NAMES = st.sampled_from(
    ["type", "text", "blocks", "elements", "fields", "attachments", "message_blocks", "message", "url", "is_share"]
)
KINDS = st.sampled_from([*blocks.LEAVES, *blocks.STYLES, "section"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (f"{CALL} hello", "hello"),
        (f"{CALL}, hello", "hello"),
        (f"{CALL}: hello", "hello"),
        (f"{CALL}{CALL} hello", "hello"),
        (f"<@{BOT_USER}|gateway> hello", "hello"),
        (f"hello {CALL}", "hello"),
        (f"is that so, {CALL}?", "is that so?"),
        (f"{CALL} hello {CALL}", "hello"),
        (f"  {CALL}  ", ""),
        (f"I asked {CALL} already", "I asked @you already"),
        (f"tell <@{BOT_USER}X>", f"tell @{BOT_USER}X"),
        (f"{CALL} - one\n- two", "- one\n- two"),
    ],
)
def test_a_mention_that_addresses_us_is_taken_out_and_another_one_is_you(written: str, read: str) -> None:
    assert text_input.readable(written, BOT_USER) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<@U1|ann> and <@U2>", "@ann and @U2"),
        ("<#C1|general> and <#C2|>", "#general and #C2"),
        ("<!here> <!channel> <!everyone> <!here|here>", "@here @channel @everyone @here"),
        ("<!subteam^S1|@team> <!subteam^S2>", "@team @S2"),
        ("<!date^1392734382^{date}|18 February 2014>", "18 February 2014"),
        ("<https://example.com/a?b=1&amp;c=2>", "https://example.com/a?b=1&c=2"),
        ("<https://example.com|https://example.com>", "https://example.com"),
        ("<http://example.com|example.com>", "example.com"),
        ("<http://example.com/|example.com>", "example.com"),
        ("<https://example.com|our &amp; page>", "our & page (https://example.com)"),
        ("<mailto:ann@example.com|ann@example.com>", "ann@example.com"),
        ("<mailto:ann@example.com|Ann>", "Ann (ann@example.com)"),
        ("<tel:+491234|+49 1234>", "+49 1234 (+491234)"),
        ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
        ("&amp;lt;", "&lt;"),
        ("&lt;@U1&gt;", "<@U1>"),
        ("1 < 2 > 0 & <nothing>", "1 < 2 > 0 & <nothing>"),
    ],
)
def test_marks_of_slack_become_plain_words(written: str, read: str) -> None:
    assert text_input.readable(written, BOT_USER) == read


@given(st.text().map(storable))
def test_what_was_typed_is_read_word_for_word(text: str) -> None:
    assert text_input.readable(escaped(text), BOT_USER) == text.strip()


@given(st.lists(st.sampled_from([*"<>@#!|&:^ ,\n", CALL, BOT_USER, "amp;", "https://x"]), max_size=40))
def test_no_mention_of_ours_is_left_as_it_was(parts: list[str]) -> None:
    assert CALL not in text_input.readable("".join(parts), BOT_USER)


@pytest.mark.parametrize("pieces", ["<@", " ", "<", f"<@{BOT_USER}", f"{CALL},", "&amp;", f" {CALL}"])
def test_a_long_message_is_read_in_no_more_steps_than_it_has_characters(pieces: str) -> None:
    assert text_input.readable(pieces * 40_000 + "x", BOT_USER).endswith("x")  # the time limit of the suite is the test


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("reset", MessageKind.RESET),
        ("Reset.", MessageKind.RESET),
        ("/reset", MessageKind.RESET),
        ("NEW", MessageKind.PROMPT),
        ("/new", MessageKind.PROMPT),
        ("STOP!!!", MessageKind.STOP),
        ("stop", MessageKind.STOP),
        ("Stop!", MessageKind.STOP),
        ("cancel", MessageKind.STOP),
        ("stop it", MessageKind.PROMPT),
        ("reset my password", MessageKind.PROMPT),
        ("help", MessageKind.PROMPT),
        ("", MessageKind.PROMPT),
    ],
)
def test_a_command_is_a_word_that_stands_alone(text: str, kind: MessageKind) -> None:
    assert written_kind(text) is kind


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("<@U0BOB> can you check this out?", True),
        (" <@U0BOB> <@U0CAT> please look", True),
        ("Hey <@U0BOB|bob>, can you?", True),
        ("fyi <@U0BOB>", True),
        ("<!subteam^S1> who is on duty?", True),
        ("can you check, <@U0BOB>?", True),
        ("Looks wrong. <@U0BOB>", True),
        ("what did <@U0BOB> say?", False),
        ("please ask <@U0BOB>", False),
        ("can you check?", False),
        ("<!here> look", False),
        ("<#C1> is down", False),
        ("heyday <@U0BOB>", False),
        ("", False),
    ],
)
def test_who_is_called_upon_at_the_start_or_the_end_is_meant(text: str, *, calls: bool) -> None:
    assert text_input.calls_others(text) is calls


def test_a_text_that_stands_in_blocks_alone_is_not_lost() -> None:
    assert (
        message_text.written({"text": "", "blocks": [rich_text_block(f"{CALL} is 1 < 2?")]}) == f"{CALL} is 1 &lt; 2?"
    )


def test_rich_text_reads_as_it_looks() -> None:
    def section(*elements: dict[str, Any]) -> dict[str, Any]:
        return {"type": "rich_text_section", "elements": list(elements)}

    def plain(text: str) -> dict[str, Any]:
        return {"type": "text", "text": text}

    elements = [
        section(
            plain("see "),
            {"type": "link", "url": "https://x.org/?a&b", "text": "this"},
            plain(", "),
            {"type": "user", "user_id": "U1"},
            {"type": "emoji", "name": "wave"},
        ),
        {"type": "rich_text_list", "style": "bullet", "elements": [section(plain("one")), section(plain("two"))]},
        {"type": "rich_text_quote", "elements": [plain("said\nonce")]},
        {"type": "rich_text_preformatted", "elements": [plain("if a < b:\n  pass")]},
        section({"type": "broadcast", "range": "here"}, {"type": "channel", "channel_id": "C1"}),
    ]
    read = text_input.readable(message_text.written({"blocks": [{"type": "rich_text", "elements": elements}]}))
    assert read == (
        "see this (https://x.org/?a&b), @U1:wave:\n• one\n• two\n> said\n> once\n```\nif a < b:\n  pass\n```\n@here#C1"
    )


def test_code_and_what_is_struck_out_stay_so() -> None:
    texts = [
        {"type": "text", "text": "five", "style": {"strike": True}},
        {"type": "text", "text": " f(x)", "style": {"code": True}},
    ]
    block = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": texts}]}
    assert message_text.written({"blocks": [block]}) == "~five~` f(x)`"


def test_other_blocks_give_their_text() -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "Build & test"}},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*failed*"},
            "fields": [{"type": "mrkdwn", "text": "a"}],
        },
        {"type": "divider"},
        {"type": "markdown", "text": "1 < 2"},
        {"type": "context", "elements": [{"type": "image", "alt_text": "a graph"}]},
    ]
    assert text_input.readable(message_text.written({"blocks": blocks})) == "Build & test\n*failed*\na\n1 < 2\na graph"


def test_a_forwarded_message_is_part_of_what_was_said_and_a_preview_of_a_link_is_not() -> None:
    share = {
        "is_share": True,
        "is_msg_unfurl": True,
        "from_url": "https://acme.slack.com/archives/C1/p1",
        "author_name": "Bob",
        "text": "we are &lt;late&gt;",
    }
    preview = {"from_url": "https://example.com", "title": "Example", "text": "A page."}
    message = {"text": f"{CALL} what is this?", "attachments": [share, preview]}
    assert message_text.whole(message, BOT_USER) == "what is this?\n\nForwarded message from Bob:\nwe are <late>"


def test_a_forwarded_message_may_have_its_text_in_blocks() -> None:
    quote = {"team": "T1", "channel": "C1", "ts": "1.2", "message": {"blocks": [rich_text_block("in blocks")]}}
    message = {"text": "", "attachments": [{"is_share": True, "message_blocks": [quote]}]}
    assert message_text.whole(message, BOT_USER) == "Forwarded message from somebody:\nin blocks"


def test_an_alarm_of_an_app_is_read_from_its_attachments() -> None:
    alarm = {"pretext": "Alarm", "title": "disk full", "text": "on db1", "fields": [{"title": "free", "value": "1 %"}]}
    alarm["footer"] = "Monitor of <https://x.org|prod>"
    said = "Alarm\ndisk full\non db1\nfree: 1 %\nMonitor of prod (https://x.org)"
    assert message_text.whole({"text": "", "attachments": [alarm]}, BOT_USER) == said
    assert message_text.whole({"attachments": [{"footer": "Monitor"}]}, BOT_USER) == ""
    assert message_text.whole({"attachments": [{"fallback": "disk full"}]}, BOT_USER) == "disk full"


@given(st.dictionaries(NAMES, ODD, max_size=6))
def test_everything_that_is_read_can_be_stored(message: dict[str, Any]) -> None:
    text = message_text.whole(message, BOT_USER)
    text.encode()
    assert "\0" not in text


@given(st.integers(min_value=1, max_value=3000))
def test_blocks_within_blocks_are_read_down_to_some_depth(depth: int) -> None:
    block: dict[str, Any] = {"type": "text", "text": "deep"}
    for _ in range(depth):
        block = {"type": "rich_text_section", "elements": [block]}
    assert message_text.written({"blocks": [block]}) == ("deep" if depth <= blocks.DEEPEST else "")


def test_the_help_is_complete_for_every_scope() -> None:
    for scope, remembered in replies.REMEMBERED.items():
        assert remembered in replies.help_text(scope)


def test_blanks_behind_a_mention_are_read_once() -> None:
    started = time.process_time()
    assert text_input.CALLS_OTHERS.search(f"so,{CALL}" + " " * 40_000 + "x") is None
    assert text_input.CALLS_OTHERS.search(f"so,{CALL}" + " " * 40_000 + "?! ") is not None
    assert time.process_time() - started < 2, "seconds; it took a minute when each blank had all behind it read"
