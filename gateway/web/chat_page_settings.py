"""Settings of the web chat. They are read at every start; the page is loaded when somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from gateway.domain.sentences import sentence
from gateway.settings import EnvironmentSettings

MAX_SUGGESTIONS = 4
SUGGESTIONS = (
    sentence("What can you help me with?"),
    sentence("Explain something to me in simple words"),
    sentence("Help me to write a message"),
)


class ChatPageSettings(EnvironmentSettings):
    """Settings of the web chat. The default texts are in the language of each visitor."""

    prefixes = ("WEB_CHAT_",)
    lists: ClassVar[Mapping[str, str]] = {"web_chat_suggestions": "|"}

    web_chat: bool = True
    """Whether the chat page at ``/`` is served."""
    web_chat_title: str = Field(sentence("Chat"), max_length=60)
    """The title of the page at ``/``."""
    web_chat_greeting: str = Field(sentence("How can I help you?"), max_length=200)
    """Text that an empty conversation shows."""
    web_chat_suggestions: str = " | ".join(SUGGESTIONS)
    """Up to four suggested messages for an empty conversation, separated by ``|``."""

    @field_validator("web_chat_suggestions")
    @classmethod
    def _check_count(cls, suggestions: str) -> str:
        if len(_listed(suggestions)) > MAX_SUGGESTIONS:
            raise ValueError(f"has more than {MAX_SUGGESTIONS} suggestions")
        return suggestions

    @property
    def suggestions(self) -> tuple[str, ...]:
        return _listed(self.web_chat_suggestions)


def _listed(suggestions: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in suggestions.split("|") if part.strip())
