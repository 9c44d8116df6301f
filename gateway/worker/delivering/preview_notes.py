"""Notes for whoever looks at a turn when its first words came, and when its tools were called."""

from __future__ import annotations

from collections.abc import Callable

from gateway import logs
from gateway.domain.models import TurnId
from gateway.domain.run_events import REASONING, PreviewEvent, TextDelta
from gateway.ports.turn_log import FIRST_WORDS, TOOL_CALLED, TOOL_RETURNED


def noted(turn_id: TurnId, show: Callable[[PreviewEvent], None]) -> Callable[[PreviewEvent], None]:
    """Returns ``show``, which also notes what it shows if somebody might look: the names of tools, and no words."""
    return _Notes(turn_id, show).show if logs.has_tap() else show


class _Notes:
    def __init__(self, turn_id: TurnId, show: Callable[[PreviewEvent], None]) -> None:
        self._turn_id = turn_id
        self._show = show
        self._has_words = False

    def show(self, event: PreviewEvent) -> None:
        if not isinstance(event, TextDelta):
            if event.name != REASONING:
                what = TOOL_RETURNED if event.done else TOOL_CALLED
                logs.note(__name__, what, self._turn_id, tool=event.name, call=event.call_id)
        elif not self._has_words:
            self._has_words = True
            logs.note(__name__, FIRST_WORDS, self._turn_id)
        self._show(event)
