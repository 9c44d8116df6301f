"""The command ``chat``: opens a thread, or goes on in one, until the person ends it."""

from __future__ import annotations

import getpass
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from io import TextIOWrapper

import click
from rich.console import Console

from adapters.base.background_task import RunCoroutine
from adapters.console.adapter import ConsoleAdapter
from adapters.console.dialogue import PROMPT, Dialogue, ReadLine
from adapters.console.markdown import printable
from adapters.console.screens import PlainOutput, Screen, TerminalOutput
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import ThreadNotFound
from gateway.domain.sentences import sentence
from gateway.languages import LanguageSettings, say
from gateway.ports.inbox import Inbox
from gateway.settings import terminal_locales

ENDINGS = frozenset({"exit", "quit"})

OpenInbox = Callable[[ConsoleAdapter], AbstractContextManager[tuple[Inbox, str]]]
"""Starts a gateway with this adapter; yields its inbox and a description of its backend."""


def command(open_inbox: OpenInbox, run: RunCoroutine) -> click.Command:
    """Returns the command ``chat``. ``run``: runs a coroutine to its end, on a loop of its own."""

    @click.command("chat")
    @click.option("--thread", metavar="ID", help="Go on in this thread, after its earlier messages.")
    @click.option("--no-stream", is_flag=True, help="Show each reply when it is complete.")
    @click.option("--user", metavar="NAME", help="Who is talking; without it, your login name.")
    def chat(thread: str | None, user: str | None, *, no_stream: bool) -> None:
        """Talk with the assistant here."""
        for stream in (sys.stdin, sys.stdout):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # unknown characters must not end the program
        language = LanguageSettings.load().languages.best(*terminal_locales())
        console = Console(markup=False, emoji=False, highlight=False)
        adapter = ConsoleAdapter(console, streaming=not no_stream, language=language)
        with open_inbox(adapter) as (inbox, backend):
            status = talk(run, inbox, adapter, thread=thread, user=user or _login_name(), backend=backend)
        sys.exit(status)

    return chat


def talk(
    run: RunCoroutine,
    inbox: Inbox,
    adapter: ConsoleAdapter,
    *,
    thread: str | None,
    user: str,
    backend: str,
    read_line: ReadLine | None = None,
) -> int:
    """Holds a conversation, in a new thread or in ``thread``, until the person ends it. Returns the exit status.

    That is 1 for a thread that is not there, and where a program reads: for a message that got no reply.
    Raises StoreUnavailable, AssistantError before the first prompt only.
    """
    console = adapter.console
    kind = TerminalOutput if console.is_terminal and not console.is_dumb_terminal else PlainOutput
    screen, tell = kind(console, adapter.language), partial(say, language=adapter.language)
    read_line = read_line or _reader(screen)
    thread_id = thread or f"thr_{secrets.token_hex(12)}"
    dialogue = Dialogue(run, inbox, adapter, screen, thread_id, printable(user), read_line)
    screen.line(tell(sentence("Talking to {backend}.", backend=backend)), "bold")
    try:
        past = dialogue.resume() if thread else ()
    except ThreadNotFound:
        missing = sentence(
            "There is no thread {thread} here. Leave out --thread to open a new one.", thread=printable(thread or "")
        )
        screen.line(tell(missing), "red")
        return 1
    back = gateway_command(f"chat --thread {shlex.quote(printable(dialogue.thread))}")
    screen.line(tell(sentence("To come back to this thread: {command}", command=back)), "dim")
    screen.line(tell(sentence('"exit", "quit" or an empty line ends.')) + "\n", "dim")
    for turn in past:
        dialogue.recall(turn)
    for line in _lines(read_line):
        dialogue.say(line)
    return int(dialogue.has_failed and isinstance(screen, PlainOutput))


def _lines(read_line: ReadLine) -> Iterator[str]:
    """Yields what the person types, until they end the conversation."""
    with suppress(EOFError, KeyboardInterrupt):
        while (line := read_line()) and line.strip().lower() not in ENDINGS:
            yield line


def _reader(screen: Screen) -> ReadLine:
    if isinstance(screen, PlainOutput) or not sys.stdin.isatty():
        return input
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415  # its import adds a history to the prompt; some systems lack it
    return partial(input, PROMPT)


def _login_name() -> str:
    with suppress(KeyError, OSError, ImportError):  # a container may run as a user without a name
        return getpass.getuser()
    return "somebody"
