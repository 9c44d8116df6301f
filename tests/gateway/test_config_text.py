"""What ``config`` prints: the example and the schema fit each other, and no secret is shown."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway import logs
from gateway.cli.config import command
from gateway.config_file import text
from gateway.config_file.schema import schema
from gateway.settings import Settings
from gateway.wiring import loading
from tests.gateway.settings.test_settings_file import folder, write
from tests.gateway.test_config_file import EXAMPLE, VARIABLES

__all__ = ["folder"]

OF_EXAMPLE = {
    "OPENAI_API_KEY": "sk-of-example",
    "ORDERS_TOKEN": "t-of-example",
    "SALES_TELEGRAM_TOKEN": "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "SHOP_KEY": "key-of-example",
}
DEFAULT_LINE = re.compile(r"^# (?=\w+ = )", re.MULTILINE)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    made = schema(loading.SETTINGS, loading.PLATFORM_SETTINGS)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    # The log is shared with other tests in the process, so only its masks are configured.
    monkeypatch.setattr(logs, "configure", lambda _level, _format, *masked: logs._masker.configure(*masked))
    result = CliRunner().invoke(command(), options)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_example_is_read_and_fits_the_schema(
    folder: Path, monkeypatch: pytest.MonkeyPatch, validator: jsonschema.Draft202012Validator
) -> None:
    printed = run(monkeypatch, "--example")
    validator.validate(tomllib.loads(printed))
    write(folder, printed)
    for name, value in OF_EXAMPLE.items():
        monkeypatch.setenv(name, value)
    found = loading.load_configuration(Settings.load())
    assert list(found.assistants) == ["default", "support", "local"]
    assert found.assistants["local"].settings.openai_api_key is None
    assert Settings.load() == Settings(openai_api_key="sk-of-example")  # type: ignore[call-arg,arg-type]  # pydantic's


def test_the_defaults_in_the_example_are_the_defaults(folder: Path, validator: jsonschema.Draft202012Validator) -> None:
    _, settings = DEFAULT_LINE.sub("", text.example(loading.SETTINGS)).split("[settings]\n")
    validator.validate(tomllib.loads(f"[settings]\n{settings}"))
    defaults = [each() for each in loading.SETTINGS]
    write(folder, f"[settings]\n{settings}")
    assert [each.load() for each in loading.SETTINGS] == defaults


@pytest.mark.parametrize(
    "wrong",
    [
        "port = 1",
        "[settings]\nprot = 1",
        "[settings]\nport = 99999",
        "[settings]\nlog_level = 'loud'",
        "[settings]\nopenai_model = ['a']",
        "[settings]\ngateway_config = 'x'",
        "[assistants.a]\nmodle = 'x'",
        "[assistants.a]\ntemperature = 3",
        "[assistants.'a b']",
        "[[routes]]\nassistant = 'a'",
        "[[bots]]\nplatform = 'telegram'\nname = 'a'\ntokn = 'x'",
        "[[keys]]\nname = 'a'\nkey = 'k'\nassistants = []",
    ],
)
def test_the_schema_refuses_what_the_gateway_refuses(wrong: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(tomllib.loads(wrong))


def test_the_schema_takes_what_the_gateway_takes(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(tomllib.loads(EXAMPLE.replace("LOW", "low")))
    validator.validate(tomllib.loads('[settings]\nport = "${PORT}"\ntelegram_allowed_chats = [1, 2]\nmax_runs = ""'))
    json.dumps(validator.schema)


def test_what_is_in_force_is_shown_without_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "You are {{assistant}}.", "support.md")
    write(folder, EXAMPLE.replace("orders.example/mcp", "orders.example/mcp?k=${ORDERS_TOKEN}"))
    secret = {"DATABASE_URL": "postgresql+psycopg://me:pass-word@db/x", "ADMIN_PASSWORD": "correct horse"}
    for name, value in {**VARIABLES, **secret, "MAX_RUNS": "7"}.items():
        monkeypatch.setenv(name, value)
    printed = run(monkeypatch)
    shown: Any = tomllib.loads(printed)
    assert shown["settings"]["database_url"] == "postgresql+psycopg://me:***@db/x"
    assert shown["settings"]["admin_password"] == shown["bots"][0]["token"] == shown["keys"][0]["key"] == "***"
    assert shown["mcp"]["orders"]["url"] == "https://orders.example/mcp?k=***"
    assert shown["assistants"]["support"]["temperature"] == 0.2
    assert shown["assistants"]["support"]["tools"] == ["web_search", "file_search", "current_time", "mcp:orders"]
    assert "\nmax_runs = 7  # the environment\n" in printed
    assert '\nassistant_time_zone = "Europe/Berlin"  # gateway.toml, line 4\n' in printed
    assert "\n# port = 8080\n" in printed
    for value in (*VARIABLES.values(), "pass-word", "correct horse", "sk-shared", "key-of-shop"):
        assert value not in printed


@given(st.recursive(st.text() | st.integers() | st.booleans(), lambda each: st.lists(each, max_size=3), max_leaves=5))
def test_any_value_is_written_so_that_it_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"a = {text.toml(value)}") == {"a": value}
