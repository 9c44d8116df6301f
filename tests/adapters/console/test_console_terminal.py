"""The console at a terminal: Markdown is formatted while it is written, and nothing that is shown is obeyed."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adapters.console.markdown import RenderedMarkdown, printable
from adapters.console.screens import TerminalOutput
from gateway.domain.run_events import RunCompleted, TextDelta, ToolCall
from tests.adapters.talk import Talk, answering
from tests.waiting import until

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture
def terminal() -> Iterator[Talk]:
    terminal = Talk(terminal=True)
    yield terminal
    terminal.close()


@pytest.fixture
def piped() -> Iterator[Talk]:
    piped = Talk()
    yield piped
    piped.close()


def plain(shown: str) -> str:
    return SEQUENCE.sub("", shown)


def test_a_terminal_shows_markdown_formatted(terminal: Talk) -> None:
    terminal.inbox.script = answering(RunCompleted("# Title\n\nSome **bold** [link](https://example.org) List<int>."))
    shown = terminal.says("hello")
    assert "**" not in plain(shown)
    assert "Some bold link (https://example.org) List<int>." in plain(shown)
    assert "\x1b[1m" in shown


def test_a_reply_longer_than_the_screen_is_printed_whole(terminal: Talk) -> None:
    code = "".join(f"line_{number} = {number}\n" for number in range(100))
    reply = f"First.\n\n```python\n{code}```\n\nLast."
    steps = [TextDelta(reply[at : at + 50]) for at in range(0, len(reply), 50)]
    terminal.inbox.script = answering(*steps, RunCompleted(reply))
    shown = plain(terminal.says("hello"))
    places = [shown.rindex(f"line_{number} = {number} ".rstrip()) for number in range(100)]
    assert places == sorted(places)
    assert shown.rindex("First.") < places[0]
    assert places[-1] < shown.rindex("Last.")


def test_a_pipe_gets_nothing_that_steers_a_terminal(piped: Talk) -> None:
    piped.inbox.script = answering(
        TextDelta("\x1b[2J[bold]red[/] :smile:\r\x9b"),
        ToolCall("1", "\x1bevil", "\x1b]0;x\x07", "\x00"),
        RunCompleted("\x1bx"),
    )
    shown = piped.says("hello")
    assert not CONTROL.search(shown)
    assert "[2J[bold]red[/] :smile:\n" in shown


def test_a_terminal_obeys_nothing_that_the_model_or_a_tool_says(terminal: Talk) -> None:
    evil = "\x1b]0;owned\x07 &#27;]0;owned&#7; [red]x[/red] :smile: \x9b31m"
    terminal.inbox.script = answering(
        TextDelta(evil), ToolCall("1", evil, evil, evil, done=True), TextDelta(evil), RunCompleted(evil)
    )
    shown = terminal.says(evil)
    assert "\x1b]" not in shown
    assert not CONTROL.search(plain(shown))
    assert "[red]x[/red] :smile:" in plain(shown)


@given(st.text() | st.text("ab *_`#>-|[](){}<>!&;:\n\t0123456789\x1b\x9b\u202e").map(lambda text: text * 3))
def test_whatever_the_model_writes_it_can_be_shown(text: str) -> None:
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=40).print(RenderedMarkdown(printable(text)))
    assert not CONTROL.search(plain(file.getvalue()))


@given(
    st.lists(
        st.sampled_from(["word ", "\n", "\n\n", "```\n", "- item\n", "| a | b |\n", "|---|---|\n", "# h\n"]),
        max_size=40,
    )
)
def test_a_reply_is_printed_whole_however_it_comes(pieces: list[str]) -> None:
    file = io.StringIO()
    terminal = TerminalOutput(Console(file=file, force_terminal=False, width=1000))
    for piece in pieces:
        terminal.text(piece)
    terminal.end()
    for word in ("word", "item"):
        assert file.getvalue().count(word) == "".join(pieces).count(word)


# ---------------------------------------------------------------- a real terminal

PROGRAM = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)

from contextlib import contextmanager
from adapters.console.chat_command import command
from gateway.domain.run_events import RunCompleted, TextDelta
from gateway.worker.worker import run_once
from tests.fakes.inbox import FakeInbox, ScriptGate

def script(turn):
    if turn.message.text == "wait":
        return TextDelta("**Wai**ting"), ScriptGate(), RunCompleted("never")
    return RunCompleted(f"Echo _{turn.message.text}_"),

@contextmanager
def open_inbox(adapter):
    yield FakeInbox(adapter, script), "the fake"

command(open_inbox, run_once)(["--user", "ann"])
"""


class Pty:
    """A person at a terminal in which the console runs."""

    def __init__(self) -> None:
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={"TERM": "xterm", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        os.close(theirs)
        self._output = ""
        self._seen = 0

    def types(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def interrupts_the_prompt(self) -> None:
        """Presses Ctrl-C, and again if it was missed: Python's prompt does not hear one between its text and its wait.

        It has the terminal in a mode of its own until it hears one.
        """
        for _ in range(4):
            self.types("\x03")
            with suppress(AssertionError):
                until(lambda: self.process.poll() is not None or termios.tcgetattr(self.fd)[3] & termios.ICANON, 5)
                return

    def sees(self, text: str) -> None:
        """Wait until something is written behind what was last waited for."""
        deadline = time.monotonic() + 20
        while (at := plain(self._output).find(text, self._seen)) < 0:
            assert select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))[0], self._output
            self._output += os.read(self.fd, 4096).decode(errors="replace")
        self._seen = at + len(text)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


@pytest.fixture
def person() -> Iterator[Pty]:
    person = Pty()
    yield person
    person.close()


def test_a_person_at_a_real_terminal_is_prompted_answered_and_heard(person: Pty) -> None:
    person.sees("> ")
    person.types("hello\n")
    person.sees("Echo hello")
    person.sees("> ")
    person.types("wait\n")
    person.sees("Waiting")
    person.types("\x03")
    person.sees("Cancelled.")
    person.sees("> ")
    assert termios.tcgetattr(person.fd)[3] & termios.ISIG
    person.interrupts_the_prompt()
    assert person.process.wait(20) == 0
