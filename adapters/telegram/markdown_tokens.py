"""Parses Markdown with markdown-it such that no word is lost, and returns tokens as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.telegram.table_renderer import widen

MAX_DEPTH = 40
"""Nested blocks, of which a list counts twice. The parser would drop what is deeper."""
BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
TASK = re.compile(r"\[([ xX])\][ \t]+")
BOX = "box"
"""The key in a list item's ``meta`` for a checkbox instead of a number."""
OPEN_TASK, DONE_TASK = "☐ ", "☑ "


def parse(markdown: str) -> list[Token] | None:
    """Returns the tokens; None if the text is nested too deeply."""
    tokens = _parser().parse(markdown)
    wide = widen(markdown, tokens)
    if wide != markdown:
        tokens = _parser().parse(wide)
    if any(token.level >= MAX_DEPTH - 1 for token in tokens):
        return None
    for at, token in enumerate(tokens):
        if token.type == "list_item_open":
            _mark_task(token, tokens[at + 1 : at + 3])
    return tokens


def _mark_task(item: Token, following: Sequence[Token]) -> None:
    """Gives a task a checkbox instead of its number."""
    inline = following[-1].children
    found = TASK.match(inline[0].content) if inline and following[0].type == "paragraph_open" else None
    if inline and found:
        inline[0].content = inline[0].content[found.end() :]
        item.meta[BOX] = OPEN_TASK if found[1] == " " else DONE_TASK


@cache
def _parser() -> MarkdownIt:
    # Link definitions would be lost if nothing refers to them. A line of dashes is a rule, also under a text.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_DEPTH}).enable(["table", "strikethrough"])
    parser.disable(["reference", "lheading"])
    parser.normalizeLink = _as_written  # type: ignore[method-assign]  # markdown-it documents that it may be replaced
    parser.validateLink = _any_address  # type: ignore[method-assign]  # likewise
    return parser


def _as_written(url: str) -> str:
    return url


def _any_address(url: str) -> bool:  # noqa: ARG001  # markdown-it's signature; is_link decides later
    return True


def plain_text(tokens: Sequence[Token]) -> str:
    """Returns the text of a line without markup; a link's URL follows its text."""
    return BREAK.sub(" ", "".join(_words(tokens)))


def _words(tokens: Sequence[Token]) -> Iterator[str]:
    links: list[tuple[str, list[str]]] = []
    for token in tokens:
        words = " " if token.type in {"softbreak", "hardbreak"} else token.content
        if token.type == "link_open":
            links.append((str(token.attrs.get("href", "")), []))
        elif token.type == "link_close":
            address, said = links.pop()
            words = beside("".join(said), address)
        elif token.type == "image":
            words = plain_text(token.children or ())
            words += beside(words, str(token.attrs.get("src", "")))
        for _, said in links:
            said.append(words)
        yield words


def beside(label: str, address: str) -> str:
    """Returns what to show of a URL beside its link text; empty if the text says it."""
    shown = address.removeprefix("mailto:")
    if not shown or label in {shown, address}:
        return ""
    return f" ({shown})" if label.strip() else shown
