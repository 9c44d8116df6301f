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
from tests.contracts.assistant_session import AssistantSession
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.raw_server import KEY as RAW_KEY
from tests.fakes.shared_values import MemorySharedValues
from tests.settings import settings_of

KEY = SecretStr("sk-secret")
AZURE = {
    "azure_openai_api_key": KEY,
    "azure_openai_endpoint": "https://example.openai.azure.com",
    "azure_openai_api_version": "2024-10-21",
    "openai_model": "mine",
}


def settings(**values: Any) -> Settings:
    return settings_of(Settings, **values)


def build_backend(**values: Any) -> Assistant:
    assistant = build(settings(**values), ToolBox([]), MemorySharedValues())
    asyncio.run(assistant.close())
    return assistant


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "offline"),
        ({"openai_api_key": KEY}, "responses"),
        ({"openai_api_key": KEY, "assistant_id": "asst_1"}, "responses"),
        ({"openai_api_key": KEY, "assistant_id": "asst_1", "openai_base_url": "http://localhost/v1"}, "threads"),
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


SPOKEN = {"openai_temperature": 0.2, "openai_top_p": 0.9, "openai_reasoning_effort": "low"}
SHORT = {"openai_verbosity": "low"}
PLAIN = {"temperature": 0.2, "top_p": 0.9, "reasoning_effort": "low"}
NESTED = {"temperature": 0.2, "top_p": 0.9, "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}}


@pytest.mark.parametrize(
    ("backend", "given", "path", "sent"),
    [
        ("responses", {**SPOKEN, **SHORT}, "/responses", NESTED),
        ("chat", {**SPOKEN, **SHORT}, "/chat/completions", {**PLAIN, "verbosity": "low"}),
        ("chat", {**SPOKEN, "assistant_mode": "poll"}, "/chat/completions", PLAIN),
        ("threads", SPOKEN, "/runs", PLAIN),
    ],
)
async def test_how_a_model_answers_is_sent(
    backend: str, given: dict[str, Any], path: str, sent: dict[str, Any]
) -> None:
    with FakeOpenAI() as fake:
        where = {"openai_api_key": SecretStr(RAW_KEY), "openai_base_url": fake.base_url, "openai_model": "gpt-5"}
        assistant = build(settings(assistant_backend=backend, **where, **given), ToolBox([]), MemorySharedValues())
        await AssistantSession(assistant).say("Hello")
        await assistant.close()
    (body,) = [seen.body for seen in fake.requests if seen.method == "POST" and seen.path.endswith(path)]
    assert {name: body[name] for name in NESTED | PLAIN | {"verbosity": 0} if name in body} == sent


ELSEWHERE = {**SHORT, "openai_api_key": KEY, "openai_base_url": "http://localhost/v1"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"openai_temperature": 0.0}, "The backend offline takes no OPENAI_TEMPERATURE."),
        (
            {**ELSEWHERE, "assistant_id": "a"},
            "The backend threads takes no OPENAI_VERBOSITY.",
        ),
    ],
)
def test_what_a_backend_does_not_take_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        build_backend(**given)
