"""Markdown, read with markdown-it such that no word is lost, and what is said in it where there is no markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.telegram.table_renderer import widened

DEEPEST = 40
"""Levels of blocks in blocks, of which a list takes two. What lies deeper the parser would drop."""
BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
TASK = re.compile(r"\[([ xX])\][ \t]+")
BOX = "box"
"""What an item of a list has in its ``meta`` instead of a number."""
OPEN_TASK, DONE_TASK = "☐ ", "☑ "


def read(markdown: str) -> list[Token] | None:
    """The tokens of it; None where it is too deep to be read."""
    tokens = _parser().parse(markdown)
    wide = widened(markdown, tokens)
    if wide != markdown:
        tokens = _parser().parse(wide)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return None
    for at, token in enumerate(tokens):
        if token.type == "list_item_open":
            _note_task(token, tokens[at + 1 : at + 3])
    return tokens


def _note_task(item: Token, following: Sequence[Token]) -> None:
    """What is to be ticked off has a box instead of its number."""
    inline = following[-1].children
    found = TASK.match(inline[0].content) if inline and following[0].type == "paragraph_open" else None
    if inline and found:
        inline[0].content = inline[0].content[found.end() :]
        item.meta[BOX] = OPEN_TASK if found[1] == " " else DONE_TASK


@cache
def _parser() -> MarkdownIt:
    # Definitions of links would vanish where nothing refers to them. A line of dashes is a rule, also under a text.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST}).enable(["table", "strikethrough"])
    parser.disable(["reference", "lheading"])
    parser.normalizeLink = _as_written  # type: ignore[method-assign]  # markdown-it means it to be replaced
    parser.validateLink = _any_address  # type: ignore[method-assign]  # likewise
    return parser


def _as_written(url: str) -> str:
    return url


def _any_address(url: str) -> bool:  # noqa: ARG001  # markdown-it asks so; what becomes of it is_link decides
    return True


def bare(tokens: Sequence[Token]) -> str:
    """What is said in a line, where there is no markup; an address stands behind its text."""
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
            words = bare(token.children or ())
            words += beside(words, str(token.attrs.get("src", "")))
        for _, said in links:
            said.append(words)
        yield words


def beside(label: str, address: str) -> str:
    """What has to be said of an address beside the text that stands for it."""
    shown = address.removeprefix("mailto:")
    if not shown or label in {shown, address}:
        return ""
    return f" ({shown})" if label.strip() else shown
