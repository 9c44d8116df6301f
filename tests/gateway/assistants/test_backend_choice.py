"""The backend is created from the settings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.assistants import build
from gateway.assistants.api_client import AssistantConfig
from gateway.assistants.factory import assistant_config
from gateway.domain.errors import SettingsError
from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.tools import ToolBox
from tests.fakes.shared_values import MemorySharedValues

KEY = SecretStr("sk-secret")
AZURE = {
    "azure_openai_api_key": KEY,
    "azure_openai_endpoint": "https://example.openai.azure.com",
    "azure_openai_api_version": "2024-10-21",
    "openai_model": "mine",
}


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]  # pydantic-settings' own


def build_backend(**values: Any) -> Assistant:
    assistant = build(settings(**values), ToolBox([]), MemorySharedValues())
    asyncio.run(assistant.close())
    return assistant


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "offline"),
        ({"openai_api_key": KEY}, "responses"),
        ({"openai_api_key": KEY, "assistant_id": "asst_1"}, "threads"),
        ({"openai_base_url": "http://localhost:11434/v1", "openai_model": "llama"}, "chat"),
        ({"openai_api_key": KEY, "assistant_backend": "chat"}, "chat"),
        (AZURE, "chat"),
        ({**AZURE, "assistant_backend": "threads"}, "threads"),
        ({**AZURE, "assistant_backend": "responses"}, "responses"),
    ],
)
def test_settings_choose_the_backend(values: dict[str, Any], name: str) -> None:
    assert build_backend(**values).name == name


def test_missing_settings_are_named() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        build_backend(assistant_backend="responses")


def test_hosted_tools_have_the_format_of_the_api() -> None:
    setup = assistant_config(
        settings(
            openai_tools="web_search, code_interpreter,file_search,image_generation",
            openai_vector_store_ids="vs_1, vs_2",
        )
    )
    assert setup.hosted_tools == (
        {"type": "web_search"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "file_search", "vector_store_ids": ["vs_1", "vs_2"]},
        {"type": "image_generation"},
    )


def test_other_settings_configure_the_assistant() -> None:
    setup = assistant_config(
        settings(
            assistant_mode="poll",
            assistant_poll_seconds=2,
            assistant_instructions="Hi",
            openai_model="m",
            openai_transcription_model="whisper-1",
            assistant_name="Robin",
            assistant_time_zone="Asia/Tokyo",
        )
    )
    assert setup == AssistantConfig(
        "m",
        "Hi",
        stream=False,
        poll_seconds=2,
        transcription_model="whisper-1",
        name="Robin",
        time_zone="Asia/Tokyo",
    )
    assert assistant_config(settings()).stream


def test_an_unknown_hosted_tool_is_named() -> None:
    with pytest.raises(SettingsError, match=r"OPENAI_TOOLS.*'telepathy'"):
        assistant_config(settings(openai_tools="telepathy"))


def test_file_search_needs_vector_stores() -> None:
    with pytest.raises(SettingsError, match="OPENAI_VECTOR_STORE_IDS"):
        assistant_config(settings(openai_tools="file_search"))
