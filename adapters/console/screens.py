"""What shows text to the person: plain output to a file or a program, formatted output to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from adapters.base.markdown.splitting import finished
from adapters.console.markdown import RenderedMarkdown
from gateway.domain.sentences import sentence
from gateway.languages import ENGLISH, say

REFRESHES_PER_SECOND = 10
LIVE_CHARACTERS = 10_000
"""How much of an unfinished block is redrawn. A complete block is printed whole."""


class PlainOutput:
    """Output to a file or a program: plain text without control sequences."""

    def __init__(self, console: Console, language: str = ENGLISH) -> None:
        self.language = language
        self._file = console.file
        self._within_line = False

    def line(self, text: str, _style: str = "") -> None:
        self.end()
        self.text(text + "\n")

    def reply(self, text: str) -> None:
        self.text(text)
        self.end()

    def watching(self) -> AbstractContextManager[None]:
        return nullcontext()

    def text(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
        if text:
            self._within_line = not text.endswith("\n")

    def end(self) -> None:
        if self._within_line:
            self.text("\n")


class TerminalOutput:
    """Formatted Markdown. Complete blocks of a reply are printed once; only its last block is redrawn."""

    def __init__(self, console: Console, language: str = ENGLISH) -> None:
        self.language = language
        self._console = console
        self._open = ""  # the block that is not complete
        self._above = False  # whether there is a block of the same reply above it
        self._live: Live | None = None
        self._waiting = Spinner(
            "dots", Text(say(sentence("waiting for the assistant; Ctrl-C cancels"), language), "dim")
        )

    def line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def reply(self, text: str) -> None:
        self._console.print(RenderedMarkdown(text), end="")

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._live = Live(self._waiting, console=self._console, transient=True, refresh_per_second=REFRESHES_PER_SECOND)
        try:
            with _without_echo() if sys.stdin.isatty() else nullcontext(), self._live:
                yield
        finally:
            self._live = None
            self.end()

    def text(self, text: str) -> None:
        self._open += text
        end = finished(self._open)
        complete, self._open = self._open[:end], self._open[end:]
        self._draw()
        self._print(complete)

    def end(self) -> None:
        rest, self._open = self._open, ""
        self._draw()
        self._print(rest)
        self._above = False

    def _draw(self) -> None:
        if self._live:
            tail = RenderedMarkdown(self._open[-LIVE_CHARACTERS:], most=max(1, self._console.size.height - 2))
            self._live.update(tail if self._open.strip() else self._waiting)

    def _print(self, text: str) -> None:
        if text.strip():
            self._console.print(*[Text("")] * self._above, RenderedMarkdown(text), end="")
            self._above = True


@contextmanager
def _without_echo() -> Iterator[None]:
    """Keeps what is typed meanwhile out of the reply on the screen, and pending output when Ctrl-C is pressed."""
    try:
        import termios  # noqa: PLC0415  # Windows has none
    except ImportError:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    flags = before[3] & ~termios.ECHO | termios.NOFLSH
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, [*before[:3], flags, *before[4:]])
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


Screen = PlainOutput | TerminalOutput
