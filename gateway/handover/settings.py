"""Settings of conversations that a person takes over."""

from __future__ import annotations

import re

from pydantic import NonNegativeFloat, field_validator

from gateway.domain.models import ConversationKey
from gateway.settings import EnvironmentSettings

HOUR = 3600.0
PLACE = re.compile(r"(?P<platform>\S+):(?P<workspace>[^\s:/]*)/(?P<channel>[^\s:/]+)")


class HandoverSettings(EnvironmentSettings):
    """Settings of conversations that a person takes over."""

    prefixes = ("HANDOVER_",)

    handover_command: bool | None = None
    """Whether people may ask for a person: by ``/human`` in chats, and at ``/chat``. Unset: yes if ADMIN_PASSWORD or
    HANDOVER_CHANNEL is set, so that somebody can answer them."""
    handover_tool: bool = False
    """Whether every assistant may hand a conversation over by itself, with the tool ``hand_over``; if not, those may
    that list it in ``tools`` in ``gateway.toml``."""
    handover_hours: NonNegativeFloat = 0.0
    """Hours after which a conversation goes back to its assistant, counted from the person's last answer; 0: never by
    itself."""

    handover_channel: str | None = None
    """A channel of the staff in which each conversation that is handed over is a thread: what people write comes there,
    and what is written in the thread is the answer. ``platform:workspace/channel``, such as ``slack:T0123/C0123``; the
    bot must be a member."""

    @field_validator("handover_channel")
    @classmethod
    def _is_place(cls, place: str | None) -> str | None:
        if place is not None and not PLACE.fullmatch(place):
            raise ValueError("must be written as platform:workspace/channel, such as slack:T0123/C0123")
        return place

    @property
    def place(self) -> ConversationKey | None:
        """The channel of the staff."""
        found = PLACE.fullmatch(self.handover_channel or "")
        return None if found is None else ConversationKey(found["platform"], found["workspace"], found["channel"])

    def place_on(self, platform: str) -> ConversationKey | None:
        """Returns the channel of the staff if it is on a platform."""
        return self.place if self.place and self.place.platform == platform else None

    @property
    def seconds(self) -> float:
        """For which a person keeps a conversation without answering; 0: without a limit."""
        return self.handover_hours * HOUR

    def allows_command(self, *, has_staff: bool) -> bool:
        """Returns whether people may ask for a person. ``has_staff``: whether anybody can answer them."""
        return has_staff or self.place is not None if self.handover_command is None else self.handover_command
