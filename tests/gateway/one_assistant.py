"""The assistants of a process, for tests that need one or two in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from gateway.configuration import AssistantDefinition, Configuration, CurrentConfiguration, RouteRule
from gateway.domain.models import DEFAULT_ASSISTANT
from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.answering.assistants import Assistants, RunningAssistant
from tests.settings import settings_of

SETTINGS = settings_of(Settings)


def one_assistant(backend: Assistant, runner: AssistantRunner) -> Assistants:
    """Returns the default assistant alone."""
    current = CurrentConfiguration(configuration())
    return Assistants(current, lambda *_: RunningAssistant(DEFAULT_ASSISTANT, backend, runner))


def configuration(
    *names: str,
    routes: Sequence[RouteRule] = (),
    fallback: Mapping[str, Collection[str]] = MappingProxyType({}),
    aliases: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Configuration:
    """Returns one with the default assistant and those named."""
    assistants = {
        name: AssistantDefinition(
            name, SETTINGS, fallback=tuple(fallback.get(name, ())), aliases=tuple(aliases.get(name, ()))
        )
        for name in (DEFAULT_ASSISTANT, *names)
    }
    return Configuration(assistants, routes)
