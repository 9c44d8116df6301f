"""Reads the Markdown of an assistant: the one parser for all platforms, so that a reply says the same everywhere.

It is markdown-it with CommonMark, tables and ``~~strikethrough~~``. HTML is text. Link definitions and underlined
headings are not read: an assistant does not mean them, and a definition that nothing refers to would be lost. What
was written but not meant as markup stands as it was written: formulas, URLs, names like ``__init__``, operators, globs,
and backslashes that escape nothing. ``gateway/pages/chat/reading.js`` reads the same for the page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import autolink, backtick
from markdown_it.token import Token

from adapters.base.markdown.formulas import take_formula
from adapters.base.markdown.inline_rules import take_break, take_image, take_link, take_marks
from adapters.base.markdown.reading_notes import noted
from adapters.base.markdown.standing_text import take_escape, take_literal
from adapters.base.markdown.tables import with_whole_rows

MAX_DEPTH = 40
"""Nested blocks, of which a list counts twice. The parser drops what is deeper."""
MARKS_OF_TEXT = re.compile(r"[*_`\[\]<#~$]|&(?=#?\w{1,32};)")
"""Of a line of text, what may be markup anywhere in it."""

MARKUP = re.compile(r"[\n$&*<\[\\\]_`~]|!(?=\[)|:(?=//)")
"""Where plain text ends. markdown-it's own set is wider, for the markup of its plugins."""

NUMBER = "number"
"""The key in the ``meta`` of an ordered list's item for its number, an int."""


def literal(line: str) -> str:
    """Returns Markdown that says a line of text as it is, such as a name. A backslash stands, and escapes nothing."""
    return MARKS_OF_TEXT.sub(r"\\\g<0>", line)


def read(parser: MarkdownIt, markdown: str) -> list[Token] | None:
    """Returns the tokens, with every cell of every table; None if the text is nested too deeply to be read."""
    tokens = parser.parse(markdown)
    whole = with_whole_rows(markdown, tokens)
    if whole != markdown:
        tokens = parser.parse(whole)
    return None if any(token.level >= MAX_DEPTH - 1 for token in tokens) else tokens


def commonmark() -> MarkdownIt:
    """Returns a new parser without the rules about what stands as it was written."""
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_DEPTH}).enable(["table", "strikethrough"])
    made.disable(["reference", "lheading"])
    made.core.ruler.push("numbers", _number)
    return made


def parser(*, addresses_as_written: bool = False) -> MarkdownIt:
    """Returns a new parser. ``addresses_as_written``: keeps every destination of a link, and does not encode it."""
    made = commonmark()
    made.inline.ruler.before("escape", "literal", take_literal)
    made.inline.ruler.before("autolink", "break", take_break)
    rules = {"escape": take_escape, "emphasis": take_marks, "link": take_link, "image": take_image}
    for name, rule in {**rules, "backticks": noted(backtick), "autolink": noted(autolink)}.items():
        made.inline.ruler.at(name, rule)
    made.inline.ruler.disable("strikethrough")
    made.inline.terminator_re = MARKUP
    made.block.ruler.before("fence", "formula", take_formula, {"alt": ["paragraph", "blockquote", "list"]})
    if addresses_as_written:
        made.normalizeLink = _as_written  # type: ignore[method-assign]  # markdown-it documents that it may be replaced
        made.validateLink = _any_address  # type: ignore[method-assign]  # likewise
    return made


def _as_written(url: str) -> str:
    return url


def _any_address(url: str) -> bool:  # noqa: ARG001  # markdown-it's signature
    return True


def _number(state: StateCore) -> None:
    """Gives each item of an ordered list its number: as written, but counted on where all are written the same."""
    lists: list[_Numbers] = []
    for token in state.tokens:
        if token.type in {"ordered_list_open", "bullet_list_open"}:
            lists.append(_Numbers())
        elif token.type in {"ordered_list_close", "bullet_list_close"}:
            lists.pop()
        elif token.type == "list_item_open" and token.info:
            token.meta[NUMBER] = lists[-1].next(int(token.info))


@dataclass(slots=True)
class _Numbers:
    first: int = -1
    count: int = 0
    same: bool = True

    def next(self, written: int) -> int:
        self.first = written if self.count == 0 else self.first
        self.same = self.same and written == self.first
        self.count += 1
        return written + self.count - 1 if self.same else written
