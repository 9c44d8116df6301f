"""A person who answers in a conversation in place of its assistant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Handover:
    """That a person answers in a conversation, as whoever claims it knows."""

    seq: int
    """The seq of the newest turn that handed it over. Only a turn behind it gives the conversation back."""
    since: float
    """When it was handed over, in seconds since the epoch by the database's clock."""


class HandoverPart(StrEnum):
    """What a turn is in the handover of its conversation. Stored by its value."""

    NONE = ""
    HELD = "held"
    """Its message was left to the person: no assistant answers it, and it has no reply."""
    RESUMED = "resumed"
    """It has given the conversation back, and asks the assistant what the person had not answered."""
