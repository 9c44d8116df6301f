"""Markdown and how every platform must read it; the chat page too, whose rules are in another language."""

from __future__ import annotations

import json
from pathlib import Path

_CASES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

LITERAL: list[str] = _CASES["literal"]
"""What stands exactly as it was written."""
STYLED: list[tuple[str, str]] = [(markdown, html) for markdown, html in _CASES["styled"]]
"""Markdown, and what it is as HTML."""
