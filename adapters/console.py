"""The platform adapter of the console: a person at a terminal, or a program behind a pipe, talks with the assistant."""

from __future__ import annotations

import asyncio
import getpass
import math
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper

import click
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from adapters.base import markdown, text_input
from adapters.base.approvals import readable, told
from adapters.base.background_task import RunCoroutine
from adapters.base.language import in_language
from adapters.console_markdown import RenderedMarkdown, printable
from gateway.domain.approvals import Decider, Verdict
from gateway.domain.errors import Conflict, GatewayError, MalformedRequest, ThreadNotFound, TurnNotFound
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId, TurnState
from gateway.domain.run_events import PreviewEvent, TextDelta, ToolCall
from gateway.domain.sentences import sentence
from gateway.domain.visible_text import is_visible
from gateway.languages import ENGLISH, LanguageSettings, say
from gateway.ports.check import CheckResult
from gateway.ports.inbox import Inbox
from gateway.ports.platform import DeliveryContext, ParsedUpdate, Request
from gateway.settings import terminal_locales
from gateway.web.api.waiting import DeltaBatcher, WaiterRegistry

NAME = "console"
PROMPT = "> "
ENDINGS = frozenset({"exit", "quit"})
YES = frozenset({"y", "yes"})
EMPTY = sentence("There is nothing in this message. Write something, or press Enter alone to end.")
SECONDS_BETWEEN_DELTAS = 0.03
REFRESHES_PER_SECOND = 10
LIVE_CHARACTERS = 10_000
"""How much of an unfinished block is redrawn. A complete block is printed whole."""
TOOL_LINES, TOOL_CHARACTERS = 40, 4000
"""How much is shown of a tool's input, and of its output."""

ReadLine = Callable[[], str]
"""Returns the next line that the person typed, without its end. Raises EOFError at the end of the input."""
OpenInbox = Callable[["ConsoleAdapter"], AbstractContextManager[tuple[Inbox, str]]]
"""Starts a gateway with this adapter; yields its inbox and a description of its backend."""


class ConsoleAdapter:
    """A typed line is the body of a request; its headers name the thread, the author and the message."""

    name = NAME
    names_assistants = True

    def __init__(self, console: Console, *, streaming: bool, language: str = ENGLISH) -> None:
        """``streaming``: whether a reply is shown while it is written. ``language``: of what the bot itself says."""
        self.language = language
        self.console = console
        self.streaming = streaming
        self.waiters = WaiterRegistry(1)

    def receive(self, request: Request) -> ParsedUpdate:
        try:
            text = request.body.decode()
            thread, message_id = request.headers["thread"], request.headers["message-id"]
        except (UnicodeDecodeError, KeyError) as exc:
            raise MalformedRequest("The line cannot be read: it is not UTF-8, or names no thread.") from exc
        if "\0" in text:
            raise MalformedRequest("A message must not hold NUL characters.")
        if not text.strip():
            raise MalformedRequest(EMPTY, code="empty_message")
        author = request.headers.get("author", "")
        kind = _kind_of(text.strip())
        key, context = ConversationKey(self.name, channel=thread), in_language(None, self.language)
        return ParsedUpdate((Message(key, message_id, text, author, kind=kind, context=context),))

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        pace = DeltaBatcher(partial(self.waiters.publish_preview, turn.id), SECONDS_BETWEEN_DELTAS)
        try:
            async for event in events:
                if self.waiters.has_preview_waiter(turn.id):
                    pace.add(event)
        finally:
            pace.close()

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:  # noqa: ARG002  # no progress to save
        """Tells the caller that waits, if any."""
        self.waiters.resolve(turn)

    def notify_resolved(self, turn_id: TurnId) -> None:
        self.waiters.notify(turn_id)

    def drain(self, grace_seconds: float) -> None:
        """Does nothing: whoever waits here ends the process."""

    async def check(self) -> Sequence[CheckResult]:
        return (CheckResult(self.name, ok=True, detail="python -m gateway chat"),)


def _kind_of(text: str) -> MessageKind:
    """Returns what a line asks for; but for choices, commands have a slash here."""
    if text_input.CHOICE.fullmatch(text):
        return MessageKind.CHOOSE
    word = text_input.bare_word(text)
    is_handover = word.startswith("/") and word[1:] in text_input.HANDOVER_WORDS
    return text_input.kind_of(word[1:]) if is_handover else MessageKind.PROMPT


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
        end = markdown.finished(self._open)
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


class TurnPrinter:
    """Shows what happens to one turn."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._say = partial(say, language=screen.language)
        self._said: list[str] = []
        self._told: set[tuple[str, str]] = set()

    def show(self, shown: PreviewEvent) -> None:
        if isinstance(shown, ToolCall):
            self._call(shown)
            return
        self._said.append(printable(shown.text))
        self._screen.text(self._said[-1])

    def outcome(self, turn: Turn) -> None:
        """Shows the outcome. What was shown before is a preview: a reply that differs from it is printed again."""
        self._screen.end()
        reply = printable(turn.reply).strip()
        if turn.state is TurnState.CANCELLED:
            self._screen.line(self._say(sentence("Cancelled.")), "yellow")
        elif turn.state is TurnState.FAILED and turn.failure:
            self._screen.line(printable(self._say(turn.failure.user_message)), "red")
        elif turn.is_held:
            self._screen.line(
                self._say(sentence("A person will answer this. Their answers come with your next message.")), "dim"
            )
        elif not is_visible(reply):
            self._screen.line(self._say(sentence("The reply is empty.")), "dim")
        elif not "".join(self._said).strip().endswith(reply):
            self._screen.reply(reply)
        self._screen.line("")

    def _call(self, call: ToolCall) -> None:
        self._screen.end()
        name = printable(call.name)
        self._once(call, "name", self._say(sentence("[tool] {name}", name=name)), "bold cyan")
        if call.input:
            self._once(call, "input", _excerpt(call.input), "dim")
        if call.done:
            done = self._say(sentence("[tool] {name} is done", name=name))
            self._once(call, "end", done + (":" if call.output else ""), "cyan")
        if call.output:
            self._once(call, "output", _excerpt(call.output), "dim")

    def _once(self, call: ToolCall, what: str, text: str, style: str) -> None:
        if (call.call_id, what) not in self._told:
            self._told.add((call.call_id, what))
            self._screen.line(text, style)


def _excerpt(text: str) -> str:
    lines = printable(text[:TOOL_CHARACTERS]).strip("\n").splitlines()
    cut = len(text) > TOOL_CHARACTERS or len(lines) > TOOL_LINES
    return "\n".join(f"  | {line}" for line in [*lines[:TOOL_LINES], *(["..."] if cut else [])])


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
    command = f"python -m gateway chat --thread {printable(dialogue.thread)}"
    screen.line(tell(sentence("To come back to this thread: {command}", command=command)), "dim")
    screen.line(tell(sentence('"exit", "quit" or an empty line ends.')) + "\n", "dim")
    for turn in past:
        dialogue.recall(turn)
    for line in _lines(read_line):
        dialogue.say(line)
    return 0


@dataclass
class Dialogue:
    """The conversation of one person in one thread. ``run``: runs a coroutine to its end, on a loop of its own."""

    run: RunCoroutine
    inbox: Inbox
    adapter: ConsoleAdapter
    screen: Screen
    thread: str
    user: str
    read_line: ReadLine = input

    def __post_init__(self) -> None:
        self._not_ours: set[str] = set()
        """Questions that somebody else has to answer."""

    last_shown: int = 0
    """The seq of the newest turn that was shown."""
    is_held: bool = False
    """Whether the last message was left to a person."""

    def resume(self) -> Sequence[Turn]:
        """Returns the earlier turns of the thread. Raises ThreadNotFound."""
        conversation = self.inbox.resolve_conversation(ConversationKey(NAME, channel=self.thread))
        self.thread = conversation.key.channel
        return self.inbox.transcript(conversation)

    def recall(self, turn: Turn) -> None:
        """Shows an earlier turn; one that is still running as it goes on."""
        self.screen.line(f"{PROMPT}{printable(turn.message.text)}", "bold")
        if turn.state.is_resolved:
            TurnPrinter(self.screen).outcome(turn)
        else:
            self._watch(turn.id, lambda: False)

    def say(self, line: str) -> None:
        self._show_answers()
        turn = self.inbox.new_turn_id()
        headers = {"thread": self.thread, "message-id": turn, "author": self.user}
        try:
            (message,) = self.adapter.receive(Request(headers, line.encode(errors="replace"))).messages
            self._watch(turn, lambda: self.inbox.accept(message, turn).claimed_here)
        except TurnNotFound:
            self.screen.line(say(sentence("Cancelled, before it was sent."), self.screen.language), "yellow")
        except GatewayError as exc:
            self.screen.line(printable(say(exc.message, self.screen.language)), "red")

    def _show_answers(self) -> None:
        """Shows what a person has answered since the last turn, if one has taken the conversation over."""
        if not self.is_held:
            return
        turns = self.inbox.transcript(self.inbox.resolve_conversation(ConversationKey(NAME, channel=self.thread)))
        for turn in turns:
            if turn.is_pushed_text and turn.seq > self.last_shown:
                TurnPrinter(self.screen).outcome(turn)
        self.last_shown = turns[-1].seq if turns else 0

    def _watch(self, turn: TurnId, begin: Callable[[], bool]) -> None:
        """Shows a turn until its outcome. ``begin`` submits it, and returns whether it runs in this process.

        The person is asked about calls of tools that they have to approve.
        """
        printer = TurnPrinter(self.screen)
        try:
            outcome = self._watched(turn, begin, printer)
            while outcome.awaits_approval:
                self._ask(turn)
                outcome = self._watched(turn, lambda: True, printer)
        except KeyboardInterrupt:
            outcome = self._cancel(turn)
        printer.outcome(outcome)
        self.last_shown, self.is_held = outcome.seq, outcome.is_held or outcome.message.kind is MessageKind.HAND_OVER

    def _watched(self, turn: TurnId, begin: Callable[[], bool], printer: TurnPrinter) -> Turn:
        with self.screen.watching():
            return self.run(self._follow(turn, begin, printer))

    def _ask(self, turn: TurnId) -> None:
        """Asks about each call that waits. Any other answer than yes is no, and so is the end of the input."""
        language = self.screen.language
        for asked in self.inbox.approvals_of(turn):
            if not asked.is_open or asked.id in self._not_ours:
                continue
            tell = partial(say, language=language)
            self.screen.line(tell(sentence("May the assistant call {tool} with this?", tool=asked.tool)), "bold yellow")
            self.screen.line(readable(asked.arguments))
            self.screen.line(tell(sentence('Type "y" to approve, anything else to deny.')), "dim")
            try:
                approves = self.read_line().strip().casefold() in YES
            except EOFError:
                approves = False
            decider = Decider(NAME, user=self.user, name=self.user)
            result = self.inbox.decide(Verdict(asked.id, asked.digest, approves, decider))
            if refusal := told(result, language):
                self._not_ours.add(asked.id)
                self.screen.line(refusal, "red")

    async def _follow(self, turn: TurnId, begin: Callable[[], bool], printer: TurnPrinter) -> Turn:
        """Shows the previews of a turn; returns its outcome."""
        waiter = self.adapter.waiters.register(turn, wants_previews=self.adapter.streaming)
        try:
            is_local = await asyncio.to_thread(begin)
            load_turn = partial(asyncio.to_thread, self.inbox.get_turn, turn)
            updates = waiter.updates(
                load_turn, is_local=is_local, max_silence=math.inf, idle_interval=math.inf, with_approvals=True
            )
            async for update in updates:
                if isinstance(update, Turn):
                    return update
                if isinstance(update, TextDelta | ToolCall):
                    printer.show(update)
        finally:
            waiter.close()
        raise AssertionError("a wait without limit ends with the outcome")

    def _cancel(self, turn: TurnId) -> Turn:
        try:
            return self.inbox.cancel_turn(turn)
        except Conflict:  # it finished first
            return self.inbox.get_turn(turn)


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


def _login_name() -> str:
    with suppress(KeyError, OSError, ImportError):  # a container may run as a user without a name
        return getpass.getuser()
    return "somebody"
