"""Puts into a message in which language its author is spoken to by the bot itself."""

from __future__ import annotations

from gateway.domain.context import ChatContext
from gateway.languages import ENGLISH


def in_language(context: ChatContext | None, language: str) -> ChatContext | None:
    """Returns the context of a message with its author's language. English needs none, as the sentences are English."""
    return context if language == ENGLISH else (context or ChatContext()).in_language(language)
