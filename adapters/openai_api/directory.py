"""The assistants that a caller sees: those of the configuration, by their names and aliases, and its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.errors import InvalidRequest, NoSuchObject
from adapters.openai_api.ids import OBJECT_ID
from adapters.openai_api.stored_objects import find_own
from gateway.ports.api_objects import ApiObject, ApiObjects

ASSISTANT = "assistant"
ANY_MODEL, OWN_MODEL = "*", "default"

DEFAULTS: Mapping[str, Any] = {
    "name": None,
    "description": None,
    "instructions": None,
    "tools": [],
    "tool_resources": None,
    "metadata": {},
    "temperature": None,
    "top_p": None,
    "response_format": "auto",
    "reasoning_effort": None,
}
"""What an assistant is without the fields that its maker gives, or the configuration."""


@dataclass(frozen=True, slots=True)
class ConfiguredAssistant:
    """An assistant of the configuration."""

    name: str
    aliases: tuple[str, ...]
    """Ids that programs know it by."""
    title: str
    """Its name for people."""
    model: str
    hosted_tools: frozenset[str]
    """Those of ``code_interpreter`` and ``file_search`` that its backend's server can run."""
    run_limits: frozenset[str] = frozenset()
    """The fields of a run that its backend heeds, of those that limit what is remembered."""


@dataclass(frozen=True, slots=True)
class KnownAssistant:
    """An assistant as a run uses it."""

    id: str
    """As the caller named it."""
    body: Mapping[str, Any]
    """As the API shows it, without ``id``, ``object`` and ``created_at``."""
    configured: ConfiguredAssistant
    """The assistant of the configuration that answers."""
    is_own: bool = False
    """Whether the caller made it."""
    created_at: float = 0.0


class AssistantDirectory:
    """Finds assistants. Its coroutines do I/O unless the assistant is one of the configuration."""

    def __init__(
        self,
        configured: Callable[[], Sequence[ConfiguredAssistant]],
        objects: ApiObjects,
        models: Sequence[str],
        counts: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """``configured``: returns those that there are now, the default one first. ``models``: see ``V1_MODELS``.

        ``counts``: returns whether what is asked of a model counts in the budgets, if there are any.
        """
        self._configured = configured
        self._objects = objects
        self._models = models
        self._counts = counts

    def default(self, caller: Caller) -> ConfiguredAssistant:
        """Returns the assistant that answers where a caller names none of the configuration."""
        return self.configured(caller)[0]

    def configured(self, caller: Caller) -> Sequence[ConfiguredAssistant]:
        """Returns the assistants of the configuration that a caller may use, that of its default first."""
        known = self._configured()
        if not caller.assistants:
            return known
        by_name = {each.name: each for each in known}
        return [by_name[name] for name in caller.assistants if name in by_name]

    def named(self, caller: Caller, name: str) -> ConfiguredAssistant | None:
        """Returns the assistant of the configuration with this name or alias, if the caller may use it."""
        found = (each for each in self.configured(caller) if name in (each.name, *each.aliases))
        return next(found, None)

    async def find(self, caller: Caller, name: str) -> KnownAssistant:
        """Returns the assistant that a caller names. Raises NoSuchObject."""
        configured = self.named(caller, name)
        if configured is not None:
            return _of_configuration(name, configured)
        found = await find_own(self._objects, caller, ASSISTANT, name) if OBJECT_ID.fullmatch(name) else None
        if found is None:
            raise NoSuchObject(_unknown(name))
        return self.own(caller, found)

    async def all(self, caller: Caller) -> Sequence[KnownAssistant]:
        """Returns all that a caller sees, oldest first."""
        made = await asyncio.to_thread(self._objects.list_of_owner, caller.owner, ASSISTANT)
        configured = (_of_configuration(each.name, each) for each in self.configured(caller))
        return [*configured, *(self.own(caller, each) for each in made)]

    def own(self, caller: Caller, stored: ApiObject) -> KnownAssistant:
        """Returns an assistant that a caller made."""
        return KnownAssistant(stored.id, stored.body, self.default(caller), is_own=True, created_at=stored.created_at)

    def model_for(self, asked: str) -> str:
        """Returns the model to ask, "" for that of the default assistant. Raises InvalidRequest for one not allowed."""
        if OWN_MODEL in self._models:
            return ""
        if ANY_MODEL not in self._models and asked not in self._models:
            allowed = ", ".join(self._models) or "none"
            raise InvalidRequest(
                f"The model {asked[:64]!r} may not be chosen here. The operator's setting V1_MODELS allows: {allowed}.",
                param="model",
                code="model_not_found",
            )
        if asked not in (*self._models, *(each.model for each in self._configured())) and not self._counts(asked):
            explanation = (
                f"The model {asked[:64]!r} may not be chosen here: no price is known for it, so it would be free "
                "within every budget. The operator can give it one by the setting PRICES, or name it in V1_MODELS."
            )
            raise InvalidRequest(explanation, param="model", code="model_not_found")
        return asked


def _of_configuration(name: str, configured: ConfiguredAssistant) -> KnownAssistant:
    body: Mapping[str, Any] = {**DEFAULTS, "name": configured.title, "model": configured.model}
    return KnownAssistant(name, body, configured)


def _unknown(name: str) -> str:
    return (
        f"No assistant found with id '{name[:128]}'. Assistants of the gateway's configuration have their names "
        "('default') and aliases as ids: the setting ASSISTANT_ID (or ASST_ID) makes an old id one of the default "
        "assistant's."
    )
