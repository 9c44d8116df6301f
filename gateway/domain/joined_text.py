"""Puts the texts of several messages together that become one."""

from __future__ import annotations

SEPARATOR = "\n"


def appended(text: str, more: str) -> tuple[int, str]:
    """Returns where a text begins that is appended to another one, and the whole."""
    begins = len(text) + (len(SEPARATOR) if text and more else 0)
    return begins, SEPARATOR.join(filter(None, (text, more)))
