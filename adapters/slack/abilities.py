"""What a workspace turned out not to have, so that it is not asked for with every turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from adapters.slack.errors import Declined

FORGET_SECONDS = 3600.0
"""Then it is tried again: plans and settings change."""
LACKING = frozenset(
    {
        "deprecated_endpoint",
        "feature_disabled",
        "feature_not_enabled",
        "method_deprecated",
        "missing_scope",
        "not_agent_app",
        "not_allowed_token_type",
        "not_authorized",
        "not_subscribed_to_message_stream_stopped",
        "unknown_method",
    }
)
"""Slack's answers that count for a whole workspace, not for one message."""


class Ability(StrEnum):
    STREAM = "stream"
    """chat.startStream and what belongs to it."""
    STATUS = "status"
    """assistant.threads.setStatus."""
    SESSION = "session"
    """agents.sessions.setStatus: the app is an agent."""


class Abilities:
    """One per adapter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lacking: dict[tuple[str, Ability], float] = {}

    def has(self, team: str, ability: Ability) -> bool:
        """Whether it is worth trying."""
        until = self._lacking.get((team, ability))
        if until is not None and until <= self._clock():
            del self._lacking[team, ability]
            return True
        return until is None

    def learn(self, team: str, ability: Ability, refusal: Declined) -> None:
        """Remember a refusal, if it is one that counts for the whole workspace."""
        if refusal.slack_error in LACKING:
            self._lacking[team, ability] = self._clock() + FORGET_SECONDS
