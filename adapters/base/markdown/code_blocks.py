"""Blocks of code, for platforms whose markup ends them at the first three backticks."""

from __future__ import annotations

import re

WORD_JOINER = "\u2060"
"""Has no width, and is neither white space nor punctuation: a mark beside it is none for Slack."""
INNER_FENCE = re.compile("(?<=`)(?=``)")


def fenced(code: str, language: str = "") -> str:
    """Returns code as a block. Backticks in it are kept apart, so that no three of them end it."""
    return f"```{language}\n{INNER_FENCE.sub(WORD_JOINER, code)}\n```"
