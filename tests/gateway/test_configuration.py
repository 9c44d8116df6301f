"""What the environment and the file describe together, without reading either."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from gateway.configuration import ApiKey, AssistantDefinition, Configuration, CurrentConfiguration
from gateway.settings import Settings

SETTINGS = Settings.model_construct(assistant_backend="offline")
TWO = Configuration(
    {
        "default": AssistantDefinition("default", SETTINGS),
        "support": AssistantDefinition("support", SETTINGS, aliases=("help", "Hilfe")),
    },
    keys=(ApiKey("shop", SecretStr("k-1"), ("support",)),),
)


def test_the_environment_alone_describes_one_assistant() -> None:
    configuration = Configuration.of(SETTINGS)
    assert dict(configuration.assistants) == {"default": AssistantDefinition("default", SETTINGS)}
    assert configuration.default.function_tools is None


@pytest.mark.parametrize(
    ("name", "found"),
    [("", "default"), ("SUPPORT", "support"), ("hilfe", "support"), ("help", "support"), ("sup", None)],
)
def test_an_assistant_is_found_by_name_and_alias(name: str, found: str | None) -> None:
    definition = TWO.find(name)
    assert (definition and definition.name) == found


def test_a_bound_key_is_found_by_its_value() -> None:
    assert TWO.key("k-1") is TWO.keys[0]
    assert TWO.key("k-2") is None
    assert TWO.key("clé") is None


def test_what_is_in_force_is_replaced_as_a_whole() -> None:
    current = CurrentConfiguration(Configuration.of(SETTINGS))
    current.replace(TWO)
    assert current.get() is TWO
