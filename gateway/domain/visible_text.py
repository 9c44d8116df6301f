"""Tells whether a text shows a reader anything, the one rule for an empty message or reply; adds notes to it."""

from __future__ import annotations

import re

INVISIBLE_CHARACTERS = (
    "\x00-\x20\x7f-\xa0\xad\u030a\u0333\u033f\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180e\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufffc\U000e0000-\U000e0fff"
)
"""White space, what has no glyph (Unicode's Default_Ignorable_Code_Point), and what Telegram removes from a text or
regards as empty: github.com/tdlib/td, td/telegram/misc.cpp. Ranges of a regular expression, of any flavour."""
INVISIBLE = re.compile(f"[{INVISIBLE_CHARACTERS}]*+")


def is_visible(text: str) -> bool:
    return INVISIBLE.fullmatch(text) is None


def with_note(text: str, note: str) -> str:
    """Returns a text that was cut somewhere, with a line below that says so. Closes the code block that it cut."""
    fence = "\n```" if text.count("```") % 2 else ""
    return f"{text.rstrip()}{fence}\n\n{note}"
