"""What an edited message asks for besides a change of its text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.domain.models import Message, MessageKind


def stops_by_edit(edited: Iterable[Message]) -> tuple[Message, ...]:
    """Returns edits to a command to stop as messages of their own, as the original has a turn: that which they stop."""
    stops = (one for one in edited if one.kind is MessageKind.STOP and not one.only_if_running)
    return tuple(
        replace(stop, message_id=f"{stop.message_id}:stop", may_start_conversation=False, stops_channel=False)
        for stop in stops
    )
