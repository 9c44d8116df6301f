"""The buttons below our messages: docs.discord.com/developers/components/reference#button"""

from __future__ import annotations

from typing import Any

from adapters.base.approvals import APPROVE, DENY
from adapters.base.approvals import LABELS as LABELS_OF_APPROVAL
from adapters.discord.posted_reply import Buttons
from gateway.domain.models import TurnId
from gateway.domain.sentences import sentence
from gateway.languages import say

ACTION_ROW, BUTTON = 1, 2
SECONDARY, SUCCESS, DANGER = 2, 3, 4
STYLES = {APPROVE: SUCCESS, DENY: DANGER}
"""Of buttons that are not gray."""
STOP, GOOD, BAD = "stop", "good", "bad"
LABELS = {
    Buttons.NONE: (),
    Buttons.STOP: ((STOP, sentence("Stop")),),
    Buttons.APPROVAL: tuple(LABELS_OF_APPROVAL.items()),
    Buttons.FEEDBACK: ((GOOD, "\N{THUMBS UP SIGN}"), (BAD, "\N{THUMBS DOWN SIGN}")),
}


def components(buttons: Buttons, turn: TurnId, language: str) -> list[dict[str, Any]]:
    """Returns the buttons as Discord takes them; none to remove those that are there.

    ``turn``: what they are about; for APPROVAL the question.
    """
    row = [
        {
            "type": BUTTON,
            "style": STYLES.get(action, SECONDARY),
            "label": say(label, language),
            "custom_id": f"{action}:{turn}",
        }
        for action, label in LABELS[buttons]
    ]
    return [{"type": ACTION_ROW, "components": row}] if row else []


def pressed(custom_id: str) -> tuple[str, TurnId] | None:
    """Returns the action and the turn of a button; None if it is none of ours."""
    action, _, turn = custom_id.partition(":")
    return (action, TurnId(turn)) if action in {STOP, GOOD, BAD} and turn else None
