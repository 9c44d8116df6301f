"""Tells whether a terminal is attached to this process."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Returns whether this process has a terminal, whose end SIGHUP tells."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except (OSError, AttributeError):  # Windows has neither, and no SIGHUP
        return False
    return True
