"""Parses Markdown such that Telegram can show every word of it, and returns tokens as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.base.markdown.links import beside
from adapters.base.markdown.reading import parser, read

TASK = re.compile(r"\[([ xX])\][ \t]+")
BOX = "box"
"""The key in a list item's ``meta`` for a checkbox."""
OPEN_TASK, DONE_TASK = "☐ ", "☑ "


def parse(markdown: str) -> list[Token] | None:
    """Returns the tokens; None if the text is nested too deeply."""
    tokens = read(_parser(), markdown)
    for at, token in enumerate(tokens or ()):
        if tokens and token.type == "list_item_open":
            _mark_task(token, tokens[at + 1 : at + 3])
    return tokens


def _mark_task(item: Token, following: Sequence[Token]) -> None:
    """Gives a task a checkbox."""
    inline = following[-1].children
    found = TASK.match(inline[0].content) if inline and following[0].type == "paragraph_open" else None
    if inline and found:
        inline[0].content = inline[0].content[found.end() :]
        item.meta[BOX] = OPEN_TASK if found[1] == " " else DONE_TASK


@cache
def _parser() -> MarkdownIt:
    return parser(addresses_as_written=True)  # which of them may be links, is_link decides


def plain_text(tokens: Sequence[Token]) -> str:
    """Returns the text of a line without markup; a link's URL follows its text."""
    return "".join(_words(tokens))


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
