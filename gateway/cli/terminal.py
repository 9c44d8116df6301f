"""Tells whether a terminal is attached to this process, and what of a text it may be shown."""

from __future__ import annotations

import os

from gateway import logs

CONTROL_CHARACTERS = {code: " " for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\n")}
"""Characters that a terminal interprets instead of showing them."""


def has_terminal() -> bool:
    """Returns whether this process has a terminal, whose end SIGHUP tells."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except (OSError, AttributeError):  # Windows has neither, and no SIGHUP
        return False
    return True


def sanitized(text: str) -> str:
    """Returns text of unknown origin without control characters and secrets, for a terminal."""
    return logs.mask(text.translate(CONTROL_CHARACTERS))


def one_line(text: str) -> str:
    """Returns the same on one line, so that nothing in it passes for another line of the output."""
    return " ".join(sanitized(text).splitlines())
