"""What each backend takes: settings of how a model answers, with the field that each is sent in, and hosted tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.domain.run_events import PROMPT_LIMIT
from gateway.settings import Settings

FIELDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "responses": {
        "openai_temperature": ("temperature",),
        "openai_top_p": ("top_p",),
        "openai_reasoning_effort": ("reasoning", "effort"),
        "openai_verbosity": ("text", "verbosity"),
    },
    "chat": {
        "openai_temperature": ("temperature",),
        "openai_top_p": ("top_p",),
        "openai_reasoning_effort": ("reasoning_effort",),
        "openai_verbosity": ("verbosity",),
    },
    "threads": {
        "openai_temperature": ("temperature",),
        "openai_top_p": ("top_p",),
        "openai_reasoning_effort": ("reasoning_effort",),
    },
    "offline": {},
}
"""By backend and setting, the path of the field in a request.

developers.openai.com/api/reference: responses/create, chat/create, beta/threads/runs/create"""
PARAMETERS = frozenset(name for fields in FIELDS.values() for name in fields)
"""The settings of this kind."""

HOSTED_TOOLS: Mapping[str, tuple[str, ...]] = {
    "web_search": ("responses",),
    "file_search": ("responses", "threads"),
    "code_interpreter": ("responses", "threads"),
    "image_generation": ("responses",),
}
"""Tools that run at the server, with the backends that have them."""

TRUNCATION = "truncation_strategy"
RUN_LIMITS: Mapping[str, tuple[str, ...]] = {"chat": (TRUNCATION,), "threads": (TRUNCATION, PROMPT_LIMIT)}
"""How a run of the Assistants API may limit what it remembers, by backend. A conversation of ``responses`` is sent
whole by its server, and no backend of ours counts tokens before the server does."""


def refused(settings: Settings) -> Sequence[str]:
    """Returns the settings that are set, and that the backend does not take."""
    if (taken := FIELDS.get(settings.backend)) is None:
        return ()  # a package's backend says so itself
    return [name for name in sorted(PARAMETERS - taken.keys()) if getattr(settings, name) is not None]


def request_fields(settings: Settings) -> dict[str, Any]:
    """Returns the fields of a request for those that are set."""
    fields: dict[str, Any] = {}
    for name, path in FIELDS[settings.backend].items():
        if (value := getattr(settings, name)) is not None:
            fields[path[0]] = {path[1]: value} if path[1:] else value
    return fields
