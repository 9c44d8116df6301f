"""Shows a turn on a screen: its previews, the calls of tools, its outcome."""

from __future__ import annotations

from functools import partial

from adapters.console.markdown import printable
from adapters.console.screens import Screen
from gateway.domain.models import Turn, TurnState
from gateway.domain.run_events import PreviewEvent, ToolCall
from gateway.domain.sentences import sentence
from gateway.domain.visible_text import is_visible
from gateway.languages import say

TOOL_LINES, TOOL_CHARACTERS = 40, 4000
"""How much is shown of a tool's input, and of its output."""


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
