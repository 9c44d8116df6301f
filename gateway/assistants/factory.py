"""Creates the backends that use a server, from the settings."""

from __future__ import annotations

from gateway import logs
from gateway.assistants import SharedValues
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig, connect
from gateway.assistants.chat.backend import ChatBackend
from gateway.assistants.requests.parameters import HOSTED_TOOLS, request_fields
from gateway.assistants.responses.backend import DEFAULT_MODEL, ResponsesBackend
from gateway.assistants.sse import Json
from gateway.assistants.threads.backend import BETA_HEADERS, ThreadsBackend
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import SettingsError
from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.settings.values import split_list
from gateway.tools import ToolBox

log = logs.get_logger(__name__)


def build_online(settings: Settings, toolbox: ToolBox, shared_values: SharedValues) -> Assistant:
    """Returns the backend that the settings choose, if it uses a server. No I/O. Raises SettingsError."""
    config = assistant_config(settings)
    client = connect(settings)
    if settings.backend == "threads":
        api = AssistantApiClient(client, BETA_HEADERS)
        return ThreadsBackend(
            api, config, toolbox, ServerAssistant(api, config, toolbox, shared_values, settings.assistant_id)
        )
    if settings.backend == "responses":
        return ResponsesBackend(AssistantApiClient(client), config, toolbox, history_chars=settings.history_chars)
    if config.hosted_tools:
        log.warning("OPENAI_TOOLS is ignored: chat completions have no hosted tools", tools=settings.openai_tools)
    return ChatBackend(AssistantApiClient(client), config, toolbox, history_chars=settings.history_chars)


def assistant_config(settings: Settings) -> AssistantConfig:
    """Returns the assistant's configuration from the settings. Raises SettingsError."""
    return AssistantConfig(
        model=settings.openai_model or DEFAULT_MODEL,
        instructions=settings.assistant_instructions,
        hosted_tools=tuple(_hosted_tool(name, settings) for name in split_list(settings.openai_tools)),
        stream=settings.assistant_mode == "stream",
        poll_seconds=settings.assistant_poll_seconds,
        transcription_model=settings.transcription_model,
        max_turn_tokens=settings.max_turn_tokens,
        show_reasoning=settings.assistant_show_reasoning,
        name=settings.assistant_name,
        time_zone=settings.assistant_time_zone,
        parameters=request_fields(settings),
    )


def _hosted_tool(name: str, settings: Settings) -> Json:
    if name == "code_interpreter":
        return {"type": name, "container": {"type": "auto"}}
    if name == "file_search":
        stores = list(split_list(settings.openai_vector_store_ids))
        if not stores:
            raise SettingsError(
                "OPENAI_TOOLS contains file_search, so OPENAI_VECTOR_STORE_IDS must name the vector stores to search."
            )
        return {"type": name, "vector_store_ids": stores}
    if name not in HOSTED_TOOLS:
        raise SettingsError(
            f"OPENAI_TOOLS: unknown tool {name[:40]!r}. The hosted tools are: {', '.join(HOSTED_TOOLS)}."
        )
    return {"type": name}
