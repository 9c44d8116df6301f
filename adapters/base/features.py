"""What a bot offers people besides replies: it decides the commands that are registered, and how the bot speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.domain.sentences import Sentence, sentence
from gateway.languages import ENGLISH_ONLY, Languages

CHOICE_COMMANDS = {
    "assistant": sentence("Have another assistant answer here"),
    "assistants": sentence("Which assistants can answer here"),
}
HANDOVER_COMMANDS = {
    "human": sentence("Have a person answer here"),
    "resume": sentence("Have the assistant answer here again"),
}


@dataclass(frozen=True, slots=True)
class BotFeatures:
    """What the operator has set up that is not the platform's."""

    languages: Languages = ENGLISH_ONLY
    """Of the bot's own sentences."""
    hands_over: bool = False
    """Whether people may ask for a person."""
    has_several_assistants: Callable[[], bool] = lambda: False
    """Returns whether there is a choice of assistants, as the configuration is now."""

    def with_commands(self, always: Mapping[str, Sentence]) -> dict[str, Sentence]:
        """Returns a platform's commands, and behind them those of what the operator has set up, with what they do."""
        choices = CHOICE_COMMANDS if self.has_several_assistants() else {}
        return {**always, **choices, **(HANDOVER_COMMANDS if self.hands_over else {})}


PLAIN = BotFeatures()
