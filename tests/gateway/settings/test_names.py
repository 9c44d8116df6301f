"""Variables that look like settings and are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.console.adapter import ConsoleAdapter
from gateway.domain.errors import SettingsError
from gateway.settings import Settings, given_variables
from gateway.settings.names import UnknownNames, unknown_names
from gateway.wiring import loading
from gateway.wiring.platforms import enabled_platforms
from storage.store import SqlStore
from tests.fakes.discord_state import TOKEN as DISCORD_TOKEN

CLEAN = UnknownNames({}, ())


def found(*given: str) -> UnknownNames:
    return unknown_names(loading.SETTINGS, given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("OPENAI_APIKEY", ("OPENAI_API_KEY",)),
        ("OPENAI_KEY", ("OPENAI_API_KEY",)),
        ("openai_api_keys", ("OPENAI_API_KEY",)),
        ("AZURE_OPENAI_KEY", ("AZURE_OPENAI_API_KEY",)),
        ("TELEGRAM_TOKEN", ("TELEGRAM_BOT_TOKEN",)),
        ("TELEGRAM_TOKEN_FILE", ("TELEGRAM_BOT_TOKEN_FILE",)),
        ("SLACK_TOKEN", ("SLACK_APP_TOKEN", "SLACK_BOT_TOKEN")),
        ("GATEWAY_API_KEY", ("GATEWAY_API_KEYS",)),
        ("DATABSE_URL", ("DATABASE_URL",)),
        ("ALOWED", ("ALLOWED",)),
    ],
)
def test_a_name_near_a_setting_is_taken_for_it(given: str, meant: tuple[str, ...]) -> None:
    assert found(given) == UnknownNames({given.upper(): meant}, ())


def test_a_name_near_a_setting_that_is_set_is_only_unused() -> None:
    assert found("OPENAI_APIKEY", "OPENAI_API_KEY_FILE") == UnknownNames({}, ("OPENAI_APIKEY",))


@pytest.mark.parametrize(
    "given",
    [
        *("OPENAI_API_KEY", "openai_api_key", "OPENAI_API_KEY_FILE", "WEB_THREADS", "ASST_ID"),  # ours
        *("OPENAI_ORG_ID", "SLACK_SCOPES", "AZURE_OPENAI_AD_TOKEN"),  # the vendors'
        *("GATEWAY_SERVICE_HOST", "GATEWAY_PORT_8080_TCP_ADDR", "GATEWAY_PORT"),  # of Kubernetes
        *("PATH", "HOSTNAME", "USER", "POSTGRES_PASSWORD", "WEB_CONCURRENCY", "GITHUB_TOKEN"),
        *("AZURE_CLIENT_ID", "OTEL_SERVICE_NAME", "LOGNAME"),
    ],
)
def test_names_of_others_are_left_alone(given: str) -> None:
    assert found(given) == CLEAN


def test_names_that_begin_as_settings_do_are_unused() -> None:
    assert found("SLACK_WEBHOOK_URL", "CHAT_COLOUR", "PATH") == UnknownNames({}, ("CHAT_COLOUR", "SLACK_WEBHOOK_URL"))


def test_empty_variables_are_not_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEGRAM_TOKEN", "")
    (tmp_path / ".env").write_text("SLACK_TOKEN=\nOPENAI_KEY=1\n")
    given = {name.upper() for name in given_variables().names}
    assert given & {"TELEGRAM_TOKEN", "SLACK_TOKEN", "OPENAI_KEY"} == {"OPENAI_KEY"}


def test_a_misspelt_setting_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TELEGRAM_TOKEN=1:secret\n")
    with pytest.raises(SettingsError, match=r"TELEGRAM_TOKEN is no setting. If you mean TELEGRAM_BOT_TOKEN"):
        loading.load_settings()


def test_unused_names_are_one_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_COLOUR", "red")
    monkeypatch.setenv("CHAT_COLOUR", "blue")
    (line,) = loading.start_warnings(Settings.load())
    assert line == "set, but no settings of the gateway: CHAT_COLOUR, SLACK_COLOUR"


def test_an_assistant_that_openai_cannot_run_any_more_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"OPENAI_API_KEY": "sk-1", "ASST_ID": "asst_1", "HOST": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    (line,) = loading.start_warnings(Settings.load())
    assert line.startswith("ASST_ID: OpenAI and Azure removed the Assistants API on 2026-08-26. The backend responses")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert loading.start_warnings(Settings.load()) == ()


def test_every_platform_may_be_named_in_rules(sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:abc")
    monkeypatch.setenv("DISCORD_BOT_TOKEN", DISCORD_TOKEN)
    names = [adapter.name for adapter in enabled_platforms(Settings.load(), sqlite_store)]
    assert {*names, ConsoleAdapter.name} == set(loading.platform_settings())


def test_a_rule_for_no_platform_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED", "htpt:nobody")
    with pytest.raises(SettingsError, match="ALLOWED: there is no platform 'htpt'"):
        loading.load_settings()
