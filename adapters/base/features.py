"""What a bot offers people besides replies: it decides the commands that are registered, and how the bot speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.languages import ENGLISH_ONLY, Languages


@dataclass(frozen=True, slots=True)
class BotFeatures:
    """What the operator has set up that is not the platform's."""

    languages: Languages = ENGLISH_ONLY
    """Of the bot's own sentences."""
    hands_over: bool = False
    """Whether people may ask for a person."""
    has_several_assistants: Callable[[], bool] = lambda: False
    """Returns whether there is a choice of assistants, as the configuration is now."""


PLAIN = BotFeatures()
