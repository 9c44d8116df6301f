"""Settings: what people write in the environment, ``.env`` and ``gateway.toml``, read and checked."""

from gateway.settings.base import (
    ENV_FILE,
    EnvironmentSettings,
    SetupGuide,
    TokenPattern,
    config_file,
    describe,
    environment_variables,
    given_variables,
    terminal_locales,
    wrong_values,
)
from gateway.settings.core import OPENAI_HOST, Settings

__all__ = [
    "ENV_FILE",
    "OPENAI_HOST",
    "EnvironmentSettings",
    "Settings",
    "SetupGuide",
    "TokenPattern",
    "config_file",
    "describe",
    "environment_variables",
    "given_variables",
    "terminal_locales",
    "wrong_values",
]
