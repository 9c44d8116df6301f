"""The conversation of one person in one thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from adapters.base.approvals import told
from adapters.base.background_task import RunCoroutine
from adapters.console.adapter import NAME, ConsoleAdapter
from adapters.console.markdown import printable
from adapters.console.screens import Screen
from adapters.console.turn_printer import TurnPrinter
from gateway.domain.approvals import Decider, Verdict
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Conflict, GatewayError, TurnNotFound
from gateway.domain.models import ConversationKey, MessageKind, Turn, TurnId, TurnState
from gateway.domain.run_events import TextDelta, ToolCall
from gateway.domain.sentences import sentence
from gateway.domain.shown_arguments import readable
from gateway.languages import say
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Request

PROMPT = "> "
YES = frozenset({"y", "yes"})

ReadLine = Callable[[], str]
"""Returns the next line that the person typed, without its end. Raises EOFError at the end of the input."""


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

    last_shown: int = 0
    """The seq of the newest turn that was shown."""
    is_held: bool = False
    """Whether the last message was left to a person."""
    has_failed: bool = False
    """Whether a message got no reply."""
    not_ours: set[str] = field(default_factory=set)
    """Questions that somebody else has to answer."""

    def resume(self) -> Sequence[Turn]:
        """Returns the earlier turns of the thread. Raises ThreadNotFound."""
        conversation = self._conversation()
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
            self.has_failed = True
            self.screen.line(printable(say(exc.message, self.screen.language)), "red")

    def _show_answers(self) -> None:
        """Shows what a person has answered since the last turn, if one has taken the conversation over."""
        if not self.is_held:
            return
        turns = self.inbox.transcript(self._conversation())
        for turn in turns:
            if turn.is_pushed_text and turn.seq > self.last_shown:
                TurnPrinter(self.screen).outcome(turn)
        self.last_shown = turns[-1].seq if turns else 0

    def _conversation(self) -> Conversation:
        """Raises ThreadNotFound."""
        return self.inbox.resolve_conversation(ConversationKey(NAME, channel=self.thread))

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
        self.has_failed |= outcome.state is TurnState.FAILED
        self.last_shown, self.is_held = outcome.seq, outcome.is_held or outcome.message.kind is MessageKind.HAND_OVER

    def _watched(self, turn: TurnId, begin: Callable[[], bool], printer: TurnPrinter) -> Turn:
        with self.screen.watching():
            return self.run(self._follow(turn, begin, printer))

    def _ask(self, turn: TurnId) -> None:
        """Asks about each call that waits. Any other answer than yes is no, and so is the end of the input."""
        language = self.screen.language
        tell = partial(say, language=language)
        for asked in self.inbox.approvals_of(turn):
            if not asked.is_open or asked.id in self.not_ours:
                continue
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
                self.not_ours.add(asked.id)
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
