"""Shows Markdown on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from adapters.base.markdown.reading import NUMBER, parser, read

CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in {0x09, 0x0A}}


def printable(text: str) -> str:
    """Removes the control characters that a terminal would execute."""
    return text.translate(CONTROLS).encode(errors="replace").decode()


class RenderedMarkdown:
    """Markdown as a terminal shows it, without blank lines around it, cut to the last ``most`` lines."""

    def __init__(self, text: str, most: int = sys.maxsize) -> None:
        self._text = text
        self._most = most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        try:
            segments = list(console.render(self._formatted(), options))
        except Exception:  # noqa: BLE001  # show the text even if it cannot be formatted
            segments = list(console.render(Text(self._text), options))
        shown = (Segment(printable(segment.text), segment.style) for segment in segments if not segment.control)
        lines = list(Segment.split_lines(shown))
        filled = [at for at, line in enumerate(lines) if any(segment.text.strip() for segment in line)] or [0]
        for line in lines[filled[0] : filled[-1] + 1][-self._most :]:
            yield from (*line, Segment.line())

    def _formatted(self) -> Markdown | Text:
        # Rich's own parser drops HTML, and with it text in angle brackets that people and models write: List<int>.
        tokens = read(_parser(), self._text)
        if tokens is None:
            return Text(self._text)
        formatted = Markdown("", code_theme="ansi_dark", hyperlinks=False)
        formatted.parsed = _adapted(tokens)
        return formatted


_parser: Callable[[], MarkdownIt] = cache(parser)


def _adapted(tokens: Sequence[Token]) -> list[Token]:
    """Returns the tokens with links for images, and a new list where numbers jump: Rich counts on from the first."""
    adapted: list[Token] = []
    following: list[int] = []
    for token in tokens:
        token.children = [part for child in token.children or () for part in _shown(child)]
        if token.type == "ordered_list_open":
            following.append(int(token.attrs.get("start", 1)))
        elif token.type == "ordered_list_close":
            following.pop()
        elif NUMBER in token.meta:
            number = int(token.meta[NUMBER])
            if number != following[-1]:
                adapted += [
                    Token("ordered_list_close", "ol", -1),
                    Token("ordered_list_open", "ol", 1, attrs={"start": number}),
                ]
            following[-1] = number + 1
        adapted.append(token)
    return adapted


def _shown(token: Token) -> list[Token]:
    """Returns a token; an image as a link, of which Rich shows the address."""
    if token.type != "image":
        return [token]
    words = Token("text", "", 0, content=token.content or "image")
    return [Token("link_open", "a", 1, attrs={"href": token.attrs.get("src", "")}), words, Token("link_close", "a", -1)]
