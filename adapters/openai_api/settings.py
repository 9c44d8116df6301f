"""Settings of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from gateway.settings import EnvironmentSettings

NAME = "openai"
PREFIX = "/v1"
AZURE_PREFIXES = ("/openai/v1", "/openai")
"""Where Azure's clients call the same routes: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle"""


MAX_MESSAGE_CHARS = 256_000
"""developers.openai.com/api/reference: of a message of a thread. Programs put whole documents into one."""


class OpenAiApiSettings(EnvironmentSettings):
    """Settings of OpenAI's API at /v1."""

    prefixes = ("V1_",)
    lists: ClassVar[Mapping[str, str]] = {"v1_models": ","}

    v1_models: str = "*"
    """The models that a caller's own assistants and runs may name, comma-separated; ``*``: all, but with
    budgets only those that have a price. ``default``: whatever they name, the model of the default assistant
    answers."""
    v1_max_message_chars: PositiveInt | None = None
    """The longest message of a program, in characters. Unset: 256000, as at OpenAI, or ``MAX_MESSAGE_CHARS`` if that is
    more."""
    v1_wait_seconds: PositiveFloat = 600.0
    """How long a program waits for an answer without hearing anything of it, in seconds; then it gets 504. OpenAI's
    SDKs wait as long."""
    v1_unknown_threads: Literal["refuse", "open"] = "refuse"
    """What happens with the id of a thread that nobody here has: 404, or it is opened, empty, for the first API key
    that names it. For programs that kept the ids of threads which are gone."""

    def max_message_chars(self, of_chat: int) -> int:
        """Returns the limit. ``of_chat``: that of ``/chat``."""
        return self.v1_max_message_chars or max(of_chat, MAX_MESSAGE_CHARS)
