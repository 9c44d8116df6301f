"""Replies as Slack takes them: the Markdown that it renders, in pieces that it accepts, and nothing that pings anybody.

What Slack makes of Markdown: docs.slack.dev/reference/block-kit/blocks/markdown-block. Headings, emphasis, lists,
tasks, quotations, tables, rules and fences are rendered, so they go as they are. An image becomes a link. There is no
HTML: Slack reads marks of its own in angle brackets, ``<!here>``, and shows ``&lt;`` as the bracket without reading a
mark in it (measured in github.com/PostHog/posthog/pull/95054).
"""

from __future__ import annotations

import re
from typing import Any

from adapters.base.markdown import FENCE, LINE, cut, utf8_bytes
from adapters.slack.mrkdwn import escaped, mrkdwn, words
from gateway.messages import TurnId

PIECE_BYTES = 9_000
"""UTF-8. Slack takes 12,000 characters of Markdown, but of a streamed message no more than some 10,600 bytes in all
(github.com/CopilotKit/CopilotKit/issues/6063); the rest is for fences that are closed and opened again."""
PLAIN_CHARACTERS = 3_900
"""Of ``text``: 4,000, says docs.slack.dev/reference/methods/chat.update."""
FALLBACK_CHARACTERS = 300

FEEDBACK_ACTION = "gateway_feedback"
GOOD, BAD = "good", "bad"

JOINER = "\u2060"
"""A word joiner: it has no width, and what it stands in is no mark of Slack's any more."""
SPAN = re.compile(r"(?<!`)(`++)(?!`).*?(?<!`)\1(?!`)")
"""Code within a line."""
BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
BRACKET = re.compile(r"(?<!\\)(\\*+)<(?!https?://[^\s<>|]++(?:\|[^<>\n]*+)?>)")
"""With the backslashes before it; none of an address that is linked."""
MARK = re.compile(r"<(?=!(?:channel|here|everyone|group|subteam\^)|[@#][A-Z0-9]{2,})")
"""What calls somebody, or would show a name, where Slack reads it."""
CALL = re.compile(r"(?<![\w@.])@(?=(?:channel|here|everyone|group)\b)")
NAMELESS = re.compile(r"!\[\](?=\()")


def pieces(markdown: str) -> list[str]:
    """The reply in parts, each a message and whole in itself. None for a reply that is all white space."""
    return cut(adapted(markdown), PIECE_BYTES, utf8_bytes)


def adapted(markdown: str) -> str:
    """The Markdown as Slack renders it, with nothing in it that calls anybody.

    Line by line: what was made of whole lines stays the same when more of them follow.
    """
    lines: list[str] = []
    mark = ""
    for line in LINE.findall(markdown):
        fence = FENCE.match(line)
        if mark:
            bare = line.lstrip(" \t>").rstrip()
            mark = "" if len(bare) >= len(mark) and not bare.strip(mark[0]) else mark
            lines.append(_code(line))
        else:
            mark = fence["mark"] if fence else ""
            lines.append(_code(line) if fence else _prose(line))
    return "".join(lines)


def feedback_block(turn_id: str) -> dict[str, Any]:
    """docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element"""
    buttons = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK_ACTION,
        "positive_button": _button("Good response", feedback_value(turn_id, good=True)),
        "negative_button": _button("Bad response", feedback_value(turn_id, good=False)),
    }
    return {"type": "context_actions", "elements": [buttons]}


def _button(label: str, value: str) -> dict[str, Any]:
    return {"text": {"type": "plain_text", "text": label}, "accessibility_label": label, "value": value}


def feedback_value(turn_id: str, *, good: bool) -> str:
    return f"{GOOD if good else BAD}:{turn_id}"


def read_feedback(value: str) -> tuple[TurnId, str] | None:
    """The turn that was judged, and how: ``good`` or ``bad``. None: it is no value of ours."""
    verdict, _, turn = value.partition(":")
    return (TurnId(turn), verdict) if verdict in (GOOD, BAD) and turn else None


def fallback(piece: str) -> str:
    """What a notification shows of a message with blocks: its first words, ready for ``text``."""
    start = piece[: 2 * FALLBACK_CHARACTERS]
    text = escaped(words(start) or " ".join(start.split()))
    if len(text) <= FALLBACK_CHARACTERS:
        return text
    room = text[: FALLBACK_CHARACTERS - 1]
    whole, _, rest = room.rpartition(" ")
    return re.sub(r"&[a-z]*$", "", whole if len(whole) > len(rest) else room) + "…"


def plain(piece: str) -> list[str]:
    """A piece in Slack's own markup, for ``text``, where blocks are refused: in parts that are messages each."""
    parts = (mrkdwn(part) for part in cut(piece, PLAIN_CHARACTERS, _escaped_length))
    return [part for long in parts for part in cut(long, PLAIN_CHARACTERS)]  # a table may have become longer


def _escaped_length(text: str) -> int:
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def _prose(line: str) -> str:
    """A line with its code left as it is."""
    done, at = [], 0
    for span in SPAN.finditer(line):
        done += [_words(line[at : span.start()], line), _code(span.group())]
        at = span.end()
    return "".join([*done, _words(line[at:], line)])


def _words(text: str, line: str) -> str:
    text = BREAK.sub(" " if "|" in line else "\n", text) if "<" in text else text
    text = BRACKET.sub(_spelled_out, text)
    return NAMELESS.sub("![image]", CALL.sub(f"@{JOINER}", text))


def _spelled_out(bracket: re.Match[str]) -> str:
    """A backslash that escapes the bracket goes: it would escape what stands instead."""
    slashes = len(bracket[1])
    return "\\" * (slashes - slashes % 2) + "&lt;"


def _code(text: str) -> str:
    """In code nothing is spelled out, so only what is a mark gets something invisible in it."""
    return MARK.sub(f"<{JOINER}", text)
