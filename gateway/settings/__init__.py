"""Settings: what people write in the environment, ``.env`` and ``gateway.toml``, read and checked."""

from gateway.settings.base import (
    ENV_FILE,
    AnySettings,
    EnvironmentSettings,
    Load,
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
    "AnySettings",
    "EnvironmentSettings",
    "Load",
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
