"""Formats replies for Slack: as the Markdown that it renders, in pieces that it accepts, without mentions.

What Slack makes of Markdown: docs.slack.dev/reference/block-kit/blocks/markdown-block. Headings, emphasis, lists,
tasks, quotations, tables, rules and fences are rendered, so they go as they are. An image becomes a link. There is no
HTML: Slack reads control sequences in angle brackets, ``<!here>``, and shows ``&lt;`` as the bracket without reading
one (measured in github.com/PostHog/posthog/pull/95054).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapters.base.approvals import APPROVE, DENY, labels
from adapters.base.markdown import FENCE, LINE, LIST_MARK, cut, utf8_bytes
from adapters.base.reading import BREAK
from adapters.slack.commonmark import Line
from adapters.slack.mrkdwn import PROSE, WORD_JOINER, escaped, mrkdwn, words
from gateway.domain.models import TurnId
from gateway.domain.sentences import sentence
from gateway.domain.visible_text import is_visible
from gateway.languages import say

MAX_PIECE_BYTES = 9_000
"""UTF-8. Slack accepts 12,000 characters of Markdown, but in a streamed message only some 10,600 bytes in all
(github.com/CopilotKit/CopilotKit/issues/6063); the rest is for fences that are closed and opened again."""
MAX_PLAIN_CHARACTERS = 3_900
"""In ``text``; docs.slack.dev/reference/methods/chat.update says 4,000."""
MAX_FALLBACK_CHARACTERS = 300

FEEDBACK_ACTION = "gateway_feedback"
APPROVAL_ACTION = "gateway_approval"
"""How the ids of the actions of both buttons begin."""
GOOD, BAD = "good", "bad"

BRACKET = re.compile(r"(?<!\\)(\\*+)<")
"""An angle bracket with the backslashes before it."""
FORMULAS = {"$$": "$$", "\\[": "\\]"}
"""The lines that begin and end a formula of several lines."""
FORMULA_MARKUP = re.compile(r"[\\`*_\[\]~]|(?:(?<=\A)|(?<=[ >]))[-+>#=](?= )")
ITEM = re.compile(rf"[ \t>]*+{LIST_MARK.pattern}")
MENTION = re.compile(r"<(?=!(?:channel|here|everyone|group|subteam\^)|[@#][A-Z0-9]{2,})")
"""What notifies people, or shows a name, in text that Slack reads."""
PLAIN_MENTION = re.compile(r"(?<![\w@./])@(?=(?:channel|here|everyone|group)\b(?![/.-]\w))")
"""Not of a package or a domain: @here/harp.gl"""
NAMELESS = re.compile(r"!\[\]\Z")


def pieces(markdown: str) -> list[str]:
    """Returns the reply in parts, each valid Markdown of its own for one message; none where nothing is visible."""
    return [piece for piece in cut(adapted(markdown), MAX_PIECE_BYTES, utf8_bytes) if is_visible(piece)]


def adapted(markdown: str) -> str:
    """Returns the Markdown in Slack's dialect, without mentions.

    The result for complete lines stays the same when more lines follow.
    """
    return markdown if PROSE.fullmatch(markdown) else by_line(markdown)


def by_line(markdown: str) -> str:
    """Returns what ``adapted`` does, whatever is in the text."""
    return "".join(map(_Block().take, LINE.findall(markdown)))


@dataclass(slots=True)
class _Block:
    """What the current line is in."""

    fence: str = ""
    """The mark that began it."""
    formula: str = ""
    """The line that ends it."""
    gap: bool = True
    """Whether the line before was empty, or indented code."""
    listed: bool = False
    """Whether an indented line may belong to an item of a list."""

    def take(self, line: str) -> str:
        if self.fence:
            bare = line.lstrip(" \t>").rstrip()
            self.fence = "" if len(bare) >= len(self.fence) and not bare.strip(self.fence[0]) else self.fence
            return _code(line)
        if found := FENCE.match(line):
            self.fence = found["mark"]
            return _code(line)
        return self._formula(line) or self._text(line)

    def _formula(self, line: str) -> str:
        """Returns a line of a formula of several lines, escaped; "" for any other line."""
        bare = line.lstrip(" \t>").rstrip()
        if not self.formula:
            self.formula = FORMULAS.get(bare, "")
            return FORMULA_MARKUP.sub(r"\\\g<0>", line) if self.formula else ""
        self.formula = self.formula if bare and bare != self.formula else ""
        return BRACKET.sub(_escape_bracket, FORMULA_MARKUP.sub(r"\\\g<0>", line))

    def _text(self, line: str) -> str:
        blank, indented = not line.strip(), line.startswith(("    ", "\t"))
        code = indented and self.gap and not self.listed
        if not indented and not blank:
            self.listed = ITEM.match(line) is not None or (self.listed and not self.gap) or line[0] == " "
        self.gap = blank or code
        return _code(line) if code else _prose(line)


def feedback_block(turn_id: str, language: str) -> dict[str, Any]:
    """docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element"""
    buttons = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK_ACTION,
        "positive_button": _button(say(sentence("Good response"), language), feedback_value(turn_id, good=True)),
        "negative_button": _button(say(sentence("Bad response"), language), feedback_value(turn_id, good=False)),
    }
    return {"type": "context_actions", "elements": [buttons]}


def approval_block(asked: str, language: str) -> dict[str, Any]:
    """Returns the buttons below a question. docs.slack.dev/reference/block-kit/blocks/actions-block"""
    styles = {APPROVE: "primary", DENY: "danger"}
    buttons = [
        {
            "type": "button",
            "action_id": f"{APPROVAL_ACTION}_{action}",
            "text": {"type": "plain_text", "text": label},
            "style": styles[action],
            "value": f"{action}:{asked}",
        }
        for action, label in labels(language)
    ]
    return {"type": "actions", "elements": buttons}


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


def plain(markdown: str) -> list[str]:
    """Returns Markdown in Slack's own markup, for ``text``: one part for each message."""
    return _plain(markdown, adapted=False)


def plainer(piece: str) -> list[str]:
    """Returns a piece in Slack's own markup, if blocks are refused."""
    return _plain(piece, adapted=True)


def _plain(markdown: str, *, adapted: bool) -> list[str]:
    parts = (mrkdwn(part, adapted=adapted) for part in cut(markdown, MAX_PLAIN_CHARACTERS, _escaped_length))
    return [part for long in parts for part in cut(long, MAX_PLAIN_CHARACTERS)]  # a table may have become longer


def _escaped_length(text: str) -> int:
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


@lru_cache(maxsize=1024)
def _prose(line: str) -> str:
    """Adapts a line, but not the code, the URLs and the destinations of links in it."""
    return "".join(_code(part) if kept else _words(part, line) for part, kept in Line(line).parts())


def _words(text: str, line: str) -> str:
    text = BREAK.sub(" " if "|" in line else "\n", text) if "<" in text else text
    text = BRACKET.sub(_escape_bracket, text)
    return PLAIN_MENTION.sub(f"@{WORD_JOINER}", NAMELESS.sub("![image]", text))


def _escape_bracket(bracket: re.Match[str]) -> str:
    """Escapes a bracket. Removes a backslash that escapes it, which would escape the replacement."""
    slashes = len(bracket[1])
    return "\\" * (slashes - slashes % 2) + "&lt;"


def _code(text: str) -> str:
    """Breaks what calls people by something invisible, where an escape would be shown; leaves all else as it is."""
    return MENTION.sub(f"<{WORD_JOINER}", text)
