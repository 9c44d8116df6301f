"""Formats replies for Slack: as the Markdown that it renders, in pieces that it accepts, without mentions.

What Slack makes of Markdown: docs.slack.dev/reference/block-kit/blocks/markdown-block. Headings, emphasis, lists,
tasks, quotations, tables, rules and fences are rendered, so they go as they are. An image becomes a link. There is no
HTML: Slack reads control sequences in angle brackets, ``<!here>``, and shows ``&lt;`` as the bracket without reading
one (measured in github.com/PostHog/posthog/pull/95054).
"""

from __future__ import annotations

import re
from typing import Any

from adapters.base.markdown import FENCE, LINE, cut, utf8_bytes
from adapters.slack.mrkdwn import escaped, mrkdwn, words
from gateway.domain.models import TurnId

MAX_PIECE_BYTES = 9_000
"""UTF-8. Slack accepts 12,000 characters of Markdown, but in a streamed message only some 10,600 bytes in all
(github.com/CopilotKit/CopilotKit/issues/6063); the rest is for fences that are closed and opened again."""
MAX_PLAIN_CHARACTERS = 3_900
"""In ``text``; docs.slack.dev/reference/methods/chat.update says 4,000."""
MAX_FALLBACK_CHARACTERS = 300

FEEDBACK_ACTION = "gateway_feedback"
GOOD, BAD = "good", "bad"

WORD_JOINER = "\u2060"
"""Has no width, and breaks a control sequence of Slack in which it stands."""
SPAN = re.compile(r"(?<!`)(`++)(?!`).*?(?<!`)\1(?!`)")
"""Code within a line."""
BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
BRACKET = re.compile(r"(?<!\\)(\\*+)<(?!https?://[^\s<>|]++(?:\|[^<>\n]*+)?>)")
"""An angle bracket with the backslashes before it; not that of a linked URL."""
MENTION = re.compile(r"<(?=!(?:channel|here|everyone|group|subteam\^)|[@#][A-Z0-9]{2,})")
"""What notifies people, or shows a name, in text that Slack reads."""
PLAIN_MENTION = re.compile(r"(?<![\w@.])@(?=(?:channel|here|everyone|group)\b)")
NAMELESS = re.compile(r"!\[\](?=\()")


def pieces(markdown: str) -> list[str]:
    """Returns the reply in parts, each valid Markdown of its own for one message; none for white space."""
    return cut(adapted(markdown), MAX_PIECE_BYTES, utf8_bytes)


def adapted(markdown: str) -> str:
    """Returns the Markdown in Slack's dialect, without mentions.

    Works line by line: the result for complete lines stays the same when more lines follow.
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
    """Returns the turn and the feedback, ``good`` or ``bad``; None if the value is none of ours."""
    verdict, _, turn = value.partition(":")
    return (TurnId(turn), verdict) if verdict in (GOOD, BAD) and turn else None


def fallback(piece: str) -> str:
    """Returns what a notification shows of a message with blocks: its first words, escaped for ``text``."""
    start = piece[: 2 * MAX_FALLBACK_CHARACTERS]
    text = escaped(words(start) or " ".join(start.split()))
    if len(text) <= MAX_FALLBACK_CHARACTERS:
        return text
    room = text[: MAX_FALLBACK_CHARACTERS - 1]
    whole, _, rest = room.rpartition(" ")
    return re.sub(r"&[a-z]*$", "", whole if len(whole) > len(rest) else room) + "…"


def plain(piece: str) -> list[str]:
    """Returns a piece in Slack's own markup, for ``text``, if blocks are refused: one part for each message."""
    parts = (mrkdwn(part) for part in cut(piece, MAX_PLAIN_CHARACTERS, _escaped_length))
    return [part for long in parts for part in cut(long, MAX_PLAIN_CHARACTERS)]  # a table may have become longer


def _escaped_length(text: str) -> int:
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def _prose(line: str) -> str:
    """Adapts a line, but not the code in it."""
    done, at = [], 0
    for span in SPAN.finditer(line):
        done += [_words(line[at : span.start()], line), _code(span.group())]
        at = span.end()
    return "".join([*done, _words(line[at:], line)])


def _words(text: str, line: str) -> str:
    text = BREAK.sub(" " if "|" in line else "\n", text) if "<" in text else text
    text = BRACKET.sub(_escape_bracket, text)
    return NAMELESS.sub("![image]", PLAIN_MENTION.sub(f"@{WORD_JOINER}", text))


def _escape_bracket(bracket: re.Match[str]) -> str:
    """Escapes a bracket. Removes a backslash that escapes it, which would escape the replacement."""
    slashes = len(bracket[1])
    return "\\" * (slashes - slashes % 2) + "&lt;"


def _code(text: str) -> str:
    """Breaks mentions in code, where escapes would be shown literally, by something invisible."""
    return MENTION.sub(f"<{WORD_JOINER}", text)
