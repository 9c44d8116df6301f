"""Formats replies for Slack: as the Markdown that it renders, in pieces that it accepts, without mentions.

What Slack makes of Markdown: docs.slack.dev/reference/block-kit/blocks/markdown-block. Headings, emphasis, lists,
tasks, quotations, tables, rules and fences are rendered, so they go as they are. An image becomes a link. There is no
HTML: Slack reads control sequences in angle brackets, ``<!here>``, and shows ``&lt;`` as the bracket without reading
one (measured in github.com/PostHog/posthog/pull/95054).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from adapters.base.approvals import APPROVE, DENY, labels
from adapters.base.markdown.code_blocks import WORD_JOINER
from adapters.base.markdown.formulas import closing_mark
from adapters.base.markdown.inline_rules import BREAK
from adapters.base.markdown.splitting import (
    CONTAINERS,
    DELIMITERS,
    FENCE,
    HEADING,
    LINE,
    LIST_MARK,
    cut,
    leaves_quotation,
    utf8_bytes,
)
from adapters.base.markdown.tables import cells, fitted
from adapters.slack.commonmark import Line
from adapters.slack.mrkdwn import PROSE, escaped, first_words, mrkdwn
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
GOOD_RESPONSE, BAD_RESPONSE = sentence("Good response"), sentence("Bad response")

BRACKET = re.compile(r"(?<!\\)(\\*+)<")
"""An angle bracket with the backslashes before it."""
FORMULA = re.compile(
    rf"(?P<before>{CONTAINERS})(?P<mark>\$\$(?=\s*+\Z|.*[\\^_={{])|\\\[(?=[\s\\]|\Z)|\\begin\{{[A-Za-z]+\*?\}})"
)
"""What begins a formula of several lines. Two dollars alone may be a price."""
FORMULA_MARKUP = re.compile(r"[\\`*_\[\]~]|(?:(?<=\A)|(?<=[ >]))[-+>#=](?= )")
NUMBERED = re.compile(r"(?P<before>[ \t>]*+)(?:(?P<number>[0-9]{1,9})[.)]|[-*+])[ \t]")
ITEM = re.compile(rf"[ \t>]*+{LIST_MARK.pattern}")
INDENTED = ("    ", "\t")
MENTION = re.compile(r"<(?=!(?:channel|here|everyone|group|subteam\^)|[@#][A-Z0-9]{2,})")
"""What notifies people, or shows a name, in text that Slack reads."""
PLAIN_MENTION = re.compile(r"(?<![\w@./])@(?=(?:channel|here|everyone|group)\b(?![/.-]\w))")
"""Not of a package or a domain: @here/harp.gl"""
DEFINITION = re.compile(
    r"""\A([ ]{0,3})\[(?=[^\[\]\n]+\]:[ \t]+(?!https?://|<|/|\#|mailto:)\S+
    (?:[ \t]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*\Z)""",
    re.VERBOSE,
)
"""What CommonMark takes for the definition of a link and does not show, without an address: "[ERROR]: timeout"."""
UNDERLINE = re.compile(r"[ ]{0,3}(?:(-{3,})|-{2}|=+)[ \t]*\n?")
"""What makes a heading of the line before it, for CommonMark; the group: what is a rule."""


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
    before_fence: str = ""
    """What precedes that on its line."""
    formula: str = ""
    """The mark that ends it."""
    quotations: int = 0
    """How many quotations the formula is in."""
    dollars: bool = False
    """Whether a line of the paragraph ended with two dollars, which two others may close."""
    columns: int = 0
    """Of the table; 0 outside of one."""
    before: str = ""
    """The line before."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Of the newest items of the list, by what precedes them on their lines."""
    gap: bool = True
    """Whether the line before was empty, or indented code."""
    listed: bool = False
    """Whether an indented line may belong to an item of a list."""

    def take(self, line: str) -> str:
        if self.fence and not leaves_quotation(line, self.before_fence):
            bare = line.lstrip(" \t>").rstrip()
            self.fence = "" if len(bare) >= len(self.fence) and not bare.strip(self.fence[0]) else self.fence
            return _code(line)
        self.fence = ""
        if found := FENCE.match(line):
            self.fence, self.before_fence, self.formula, self.columns = found["mark"], found["before"], "", 0
            return _code(line)
        return ("" if self._is_code(line) else self._formula(line)) or self._text(line)

    def _formula(self, line: str) -> str:
        """Returns a line of a formula of several lines, escaped, and what is beside it; "" for any other line."""
        if self.formula:
            return self._rest_of_formula(line)
        found = FORMULA.match(line)
        mark = closing_mark(found["mark"]) if found else ""
        if not found or mark in line[found.end() :] or (self.dollars and mark == "$$"):
            self.dollars = bool(line.strip()) and not found and (self.dollars or _ends_with_dollars(line))
            return ""
        self.formula, self.quotations, self.gap = mark, found["before"].count(">"), False
        return found["before"] + _in_formula(line[found.start("mark") :])

    def _rest_of_formula(self, line: str) -> str:
        start = _within_quotations(line, self.quotations)
        mark = line.find(self.formula, start)
        end = len(line) if mark < 0 else mark + len(self.formula)
        self.formula = self.formula if mark < 0 and line[start:].strip() else ""
        return line[:start] + _in_formula(line[start:end]) + _prose(line[end:])

    def _is_code(self, line: str) -> bool:
        return line.startswith(INDENTED) and self.gap and not self.listed

    def _text(self, line: str) -> str:
        blank, code = not line.strip(), self._is_code(line)
        if not blank and not line.startswith(INDENTED):
            self.listed = ITEM.match(line) is not None or (self.listed and not self.gap) or line[0] == " "
        before, self.before, self.gap = self.before, line, blank or code
        self.columns = self._columns(line, before) if "|" in line else 0
        if code:
            return _code(line)
        if self.columns or line.lstrip(" \t>").startswith("|"):
            return _prose(fitted(line, self.columns) if self.columns else line, in_table=True)
        return _apart(line, before) or self._numbered(line) or _prose(DEFINITION.sub(r"\1\\[", line))

    def _numbered(self, line: str) -> str:
        """Returns an item whose number is not the next one as text, as Slack counts on; "" for any other line."""
        found = NUMBERED.match(line)
        if not found:
            ends = HEADING.match(line) or (line.strip() and not self.listed)
            self.numbers = {} if ends else self.numbers
            return ""
        before, last = found["before"], self.numbers.get(found["before"])
        self.numbers = {outer: known for outer, known in self.numbers.items() if len(outer) < len(before)}
        if not found["number"]:
            return ""
        number, end = int(found["number"]), found.end("number")
        self.numbers[before] = number
        return "" if last is None or number in (last, last + 1) else f"{line[:end]}\\{_prose(line[end:])}"

    def _columns(self, line: str, before: str) -> int:
        """Returns how many columns the table has that a line is in; 0 if it is in none."""
        if self.columns or "|" not in before or not DELIMITERS.fullmatch(line):
            return self.columns
        return cells(line) if cells(line) == cells(before) else 0


def _apart(line: str, before: str) -> str:
    """Returns a line that would make a heading of the one before it, such that it is a rule or text; "" for others."""
    found = UNDERLINE.fullmatch(line) if before.strip() and "|" not in before else None
    if not found:
        return ""
    return f"\n{line}" if found[1] else f"\\{line.lstrip()}"


def _within_quotations(line: str, depth: int) -> int:
    """Returns where the text of a line begins that is in quotations."""
    start = 0
    while depth and line[start:].lstrip(" \t").startswith(">"):
        start, depth = line.index(">", start) + 1, depth - 1
    return start


def _ends_with_dollars(line: str) -> bool:
    return line.rstrip().endswith("$$") and line.count("$$") % 2 == 1


def _in_formula(text: str) -> str:
    return BRACKET.sub(_escape_bracket, FORMULA_MARKUP.sub(r"\\\g<0>", text))


def feedback_block(turn_id: str, language: str) -> dict[str, Any]:
    """docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element"""
    buttons = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK_ACTION,
        "positive_button": _button(say(GOOD_RESPONSE, language), feedback_value(turn_id, good=True)),
        "negative_button": _button(say(BAD_RESPONSE, language), feedback_value(turn_id, good=False)),
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
    text = escaped(first_words(start, MAX_FALLBACK_CHARACTERS + 1) or " ".join(start.split()))
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
def _prose(line: str, *, in_table: bool = False) -> str:
    """Adapts a line, but not the code, the URLs and the destinations of links in it."""
    parts = Line(line, in_table=in_table).parts()
    return "".join(_code(part) if kept else _words(part, line) for part, kept in parts)


def _words(text: str, line: str) -> str:
    text = BREAK.sub(" " if "|" in line else "\n", text) if "<" in text else text
    text = BRACKET.sub(_escape_bracket, text)
    return PLAIN_MENTION.sub(f"@{WORD_JOINER}", text)


def _escape_bracket(bracket: re.Match[str]) -> str:
    """Escapes a bracket. Removes a backslash that escapes it, which would escape the replacement."""
    slashes = len(bracket[1])
    return "\\" * (slashes - slashes % 2) + "&lt;"


def _code(text: str) -> str:
    """Breaks what calls people by something invisible, where an escape would be shown; leaves all else as it is."""
    return MENTION.sub(f"<{WORD_JOINER}", text)
