"""Formats long texts beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Formatted = TypeVar("Formatted")

LONG_CHARS = 4_000
"""Longer texts take more than some ten milliseconds; one made of nothing but markup, seconds."""


async def formatted_apart(text: str, formatted: Callable[[], Formatted]) -> Formatted:
    """Returns what ``formatted`` makes of a text. A long one is formatted in a thread, so that nobody waits for it."""
    return await asyncio.to_thread(formatted) if len(text) > LONG_CHARS else formatted()
