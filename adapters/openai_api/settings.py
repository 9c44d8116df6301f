"""Settings of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from gateway.settings import EnvironmentSettings

NAME = "openai"
PREFIX = "/v1"
AZURE_PREFIXES = ("/openai/v1", "/openai")
"""Where Azure's clients call the same routes: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle"""


class OpenAiApiSettings(EnvironmentSettings):
    """Settings of OpenAI's API at /v1."""

    prefixes = ("V1_",)
    lists: ClassVar[Mapping[str, str]] = {"v1_models": ","}

    v1_models: str = "*"
    """The models that a caller's own assistants and runs may name, comma-separated; ``*``: all, but with
    budgets only those that have a price. ``default``: whatever they name, the model of the default assistant
    answers."""
    v1_unknown_threads: Literal["refuse", "open"] = "refuse"
    """What happens with the id of a thread that nobody here has: 404, or it is opened, empty, for the first API key
    that names it. For programs that kept the ids of threads which are gone."""
