"""What the streams of several of OpenAI's APIs share."""

from __future__ import annotations

from gateway.domain.models import Turn
from gateway.web.api.event_stream import TurnUpdates

DONE = "data: [DONE]\n\n"


async def resolved_turn(updates: TurnUpdates) -> Turn | None:
    """Waits; returns the turn with its outcome, or None if there was none in time."""
    found = None
    async for item in updates:
        found = item if isinstance(item, Turn) else found
    return found
