"""Settings of conversations that a person takes over."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from gateway.settings import EnvironmentSettings

HOUR = 3600.0


class HandoverSettings(EnvironmentSettings):
    """Settings of conversations that a person takes over."""

    prefixes = ("HANDOVER_",)

    handover_command: bool | None = None
    """Whether people may ask for a person: by ``/human`` in chats, and at ``/chat``. Unset: yes if ADMIN_PASSWORD is
    set, so that somebody can answer them."""
    handover_tool: bool = False
    """Whether every assistant may hand a conversation over by itself, with the tool ``hand_over``; if not, those may
    that list it in ``tools`` in ``gateway.toml``."""
    handover_hours: NonNegativeFloat = 0.0
    """Hours after which a conversation goes back to its assistant, counted from the person's last answer; 0: never by
    itself."""

    @property
    def seconds(self) -> float:
        """For which a person keeps a conversation without answering; 0: without a limit."""
        return self.handover_hours * HOUR

    def allows_command(self, *, has_staff: bool) -> bool:
        """Returns whether people may ask for a person. ``has_staff``: whether anybody can answer them."""
        return has_staff if self.handover_command is None else self.handover_command
