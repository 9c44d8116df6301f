"""Checks the names by which a program addresses a channel, a topic or a workspace."""

from __future__ import annotations

import re

from gateway.domain.errors import MalformedRequest


def checked(field: str, name: str, pattern: re.Pattern[str], meaning: str) -> str:
    """Returns a name that the pattern matches as a whole. Raises MalformedRequest, which says what the field means."""
    if not pattern.fullmatch(name):
        raise MalformedRequest(f"`{field}` must be {meaning}.", code="invalid_field")
    return name
