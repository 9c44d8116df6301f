"""A console with a core in memory behind it, and somebody who types."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from adapters.console.adapter import ConsoleAdapter
from adapters.console.chat_command import talk
from gateway.domain.models import Turn
from gateway.worker.worker import run_once
from tests.fakes.inbox import FakeInbox, InboxStep, Script


class Paper(io.StringIO):
    """Where a console writes."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Condition()

    def write(self, text: str) -> int:
        with self._news:
            self._news.notify_all()
            return super().write(text)

    def wait_for(self, ending: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.getvalue().endswith(ending), 20)


class Talk:
    """A console on a core in memory. ``terminal``: as if a person looked at it, 60 by 12."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.file = Paper()
        console = Console(file=self.file, force_terminal=terminal, width=60, height=12, _environ={})
        self.adapter = ConsoleAdapter(console, streaming=True)
        self.inbox = FakeInbox(self.adapter)

    def says(self, *lines: str, thread: str | None = None) -> str:
        """What there is to see after somebody typed these lines."""
        typed = iter(lines)

        def read() -> str:
            try:
                return next(typed)
            except StopIteration:
                raise EOFError from None

        self.status = talk(
            run_once, self.inbox, self.adapter, thread=thread, user="ann", backend="the fake", read_line=read
        )
        self.left = list(typed)
        return self.file.getvalue()

    def close(self) -> None:
        self.inbox.close()

    def turns(self) -> list[Turn]:
        return list(self.inbox._turns.values())


def answering(*steps: InboxStep) -> Script:
    return lambda _: steps
