"""Values of settings that were copied wrongly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters.discord.settings import DiscordSettings
from adapters.http.settings import HttpSettings
from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway.admin.settings import AdminSettings
from gateway.domain.errors import SettingsError
from gateway.observability.tracing import TracingSettings
from gateway.policy.prices import PriceSettings
from gateway.settings import EnvironmentSettings, Settings
from gateway.web.chat_page_settings import ChatPageSettings
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.wiring.loading import SETTINGS

ISSUED: list[tuple[type[EnvironmentSettings], str]] = [
    (Settings, "OPENAI_API_KEY"),
    (Settings, "AZURE_OPENAI_API_KEY"),
    (SlackSettings, "SLACK_BOT_TOKEN"),
    (SlackSettings, "SLACK_APP_TOKEN"),
    (SlackSettings, "SLACK_SIGNING_SECRET"),
    (SlackSettings, "SLACK_CLIENT_SECRET"),
    (TelegramSettings, "TELEGRAM_BOT_TOKEN"),
]
OWN: list[tuple[type[EnvironmentSettings], str]] = [
    (HttpSettings, "GATEWAY_API_KEYS"),
    (MetricsSettings, "METRICS_TOKEN"),
]

Refused = Callable[[type[EnvironmentSettings], str, str], str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Returns a function that sets a variable and returns what is said of it."""

    def say(cls: type[EnvironmentSettings], name: str, value: str) -> str:
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            cls.load()
        assert value not in str(caught.value)
        return str(caught.value)

    return say


@pytest.mark.parametrize("cls", SETTINGS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"any value"', "stands in quotes"),
        ("'any value'", "stands in quotes"),
        ("any\x1bvalue", "contains U+001B, a control character"),
        ("any\udcffvalue", "is not UTF-8 text"),
    ],
)
def test_what_no_setting_can_mean_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, cls: type[EnvironmentSettings], value: str, reason: str
) -> None:
    for name in sorted(cls.variables() - {"GATEWAY_CONFIG"}):
        assert refused(cls, name, value).startswith(f"{name}: {reason}")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (Settings, "DATABASE_URL", "sqlite:///a.db"),
        (Settings, "ASSISTANT_TIME_ZONE", "Europe/Berlin"),
        (Settings, "ASSISTANT_SHOW_REASONING", "true"),
        (MetricsSettings, "METRICS_TOKEN", "secret"),
        (PriceSettings, "PRICE_CURRENCY", "EUR"),
    ],
)
def test_space_around_a_value_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, cls: type[EnvironmentSettings], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    written = cls.load()
    monkeypatch.setenv(name, f" \t{value} \r\n")
    assert cls.load() == written


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Settings, "OPENAI_API_KEY"),
        (Settings, "TOOLS_PATH"),
        (Settings, "OPENAI_MODEL"),
        (MetricsSettings, "METRICS_TOKEN"),
    ],
)
def test_what_is_blank_is_refused_where_it_would_switch_something_off(
    refused: Refused, cls: type[EnvironmentSettings], name: str
) -> None:
    assert refused(cls, name, "\t \n").startswith(f"{name}: is blank")


@pytest.mark.parametrize(
    ("cls", "name", "most"),
    [
        (AdminSettings, "ADMIN_HOURS", 2_777_777),
        (Settings, "RETENTION_DAYS", 115_740),
        (Settings, "APPROVAL_MINUTES", 166_666_666),
    ],
)
def test_a_time_after_which_there_is_no_date_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, cls: type[EnvironmentSettings], name: str, most: int
) -> None:
    assert refused(cls, name, str(most + 1)) == f"{name}: is too large; it can be {most:,} at most."
    monkeypatch.setenv(name, str(most))
    assert getattr(cls.load(), name.lower()) == most


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (TelegramSettings, "TELEGRAM_ALLOWED_CHATS", "-100123, @alice"),
        (TelegramSettings, "TELEGRAM_ALLOWED_CHATS", "123; 456"),
        (DiscordSettings, "DISCORD_ALLOWED_GUILDS", "My server"),
        (DiscordSettings, "DISCORD_ALLOWED_CHANNELS", "#general"),
        (DiscordSettings, "DISCORD_ALLOWED_BOTS", "helper"),
        (SlackSettings, "SLACK_ALLOWED_BOTS", "@helper"),
    ],
)
def test_what_is_no_id_of_a_platform_is_refused(
    refused: Refused, cls: type[EnvironmentSettings], name: str, value: str
) -> None:
    assert refused(cls, name, value).startswith(f"{name}: has an item that is no id")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (" , ", "lists nothing"),
        ('"ann","bob"', "has quotes or brackets around what it lists"),
        ("ann, 'bob'", "has quotes or brackets around what it lists"),
        ("[ann, bob]", "has quotes or brackets around what it lists"),
    ],
)
def test_what_no_list_can_mean_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    listing = [(cls, name) for cls in SETTINGS for name, separator in cls.lists.items() if separator == ","]
    assert (HttpSettings, "gateway_api_keys") in listing
    for cls, name in listing:
        assert refused(cls, name.upper(), value).startswith(f"{name.upper()}: {reason}")
        monkeypatch.delenv(name.upper())


def test_a_text_may_be_blank_and_may_have_quotes_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CHAT_GREETING", "  ")
    monkeypatch.setenv("WEB_CHAT_TITLE", '"Ann" & "Bob"')
    settings = ChatPageSettings.load()
    assert (settings.web_chat_greeting, settings.web_chat_title) == ("", '"Ann" & "Bob"')


@pytest.mark.parametrize(("cls", "name"), ISSUED + OWN)
@pytest.mark.parametrize(
    ("value", "named"),
    [("“sk-1”", "“ (U+201C"), ("sk-abc…", "… (U+2026"), ("sk\u200b1", "U+200B"), ("sk-ß", "ß (U+00DF")],
)
def test_a_character_that_no_key_has_is_named(
    refused: Refused, cls: type[EnvironmentSettings], name: str, value: str, named: str
) -> None:
    said = refused(cls, name, value)
    assert said.startswith(f"{name}: contains {named}")


@pytest.mark.parametrize(("cls", "name"), ISSUED)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("sk-1 sk-2", "contains a space"),
        ("sk-1\nsk-2", "contains a line break"),
        ("`sk-1`", "stands in quotes"),
        ("sk-...", "is shortened or a placeholder"),
        ("<your-key>", "is shortened or a placeholder"),
    ],
)
def test_what_is_no_key_is_refused(
    refused: Refused, cls: type[EnvironmentSettings], name: str, value: str, reason: str
) -> None:
    assert refused(cls, name, value).startswith(f"{name}: {reason}")


def test_space_around_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-1\r\n")
    assert Settings.load().secrets() == ("sk-1",)


def test_a_key_of_ones_own_may_be_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", "two words, <1>...")
    assert HttpSettings.load().keys == ("two words", "<1>...")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("SLACK_BOT_TOKEN", "xapp-1-A", "belongs into SLACK_APP_TOKEN"),
        ("SLACK_APP_TOKEN", "xoxb-1-A", "belongs into SLACK_BOT_TOKEN"),
        ("SLACK_APP_TOKEN", "xoxe.xoxb-1-A", "no app-level token"),
    ],
)
def test_swapped_tokens_are_named(refused: Refused, name: str, value: str, advice: str) -> None:
    said = refused(SlackSettings, name, value)
    assert said.startswith(f"{name}: begins with {value[:3]}")
    assert advice in said


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Settings, "OPENAI_BASE_URL"),
        (Settings, "AZURE_OPENAI_ENDPOINT"),
        (SlackSettings, "SLACK_API_URL"),
        (TelegramSettings, "TELEGRAM_API_URL"),
        (DiscordSettings, "DISCORD_API_URL"),
        (TracingSettings, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        *("localhost:11434/v1", "ftp://localhost/v1", "https:///v1", "http://[::1", "http://local host/v1"),
        *("http://localhost:port/v1", "http://localhost:99999/v1", "http://localhost:0", "`http://localhost/v1`"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused(
    refused: Refused, cls: type[EnvironmentSettings], name: str, value: str
) -> None:
    assert refused(cls, name, value).startswith(f"{name}: must be the address of a server that begins with http://")


@pytest.mark.parametrize("name", ["ADMIN_URL", "ADMIN_OIDC_ISSUER"])
def test_what_is_no_address_of_a_sign_in_is_refused(refused: Refused, name: str) -> None:
    assert refused(AdminSettings, name, "https://[::1").startswith(f"{name}: must be an address that begins with")


@pytest.mark.parametrize(
    "value", ["http://ann:pw@localhost/v1", "http://localhost/v1?version=1", "http://localhost/#a"]
)
def test_the_address_of_an_api_has_no_user_and_no_query(refused: Refused, value: str) -> None:
    assert refused(Settings, "OPENAI_BASE_URL", value).startswith("OPENAI_BASE_URL: has a user, or a query")


@pytest.mark.parametrize("end", ["/chat/completions", "/responses/", "/models", "/chat/completions?api-version=1"])
@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"])
def test_the_address_of_one_request_is_none_of_an_api(refused: Refused, name: str, end: str) -> None:
    said = refused(Settings, name, f"http://localhost:11434/v1{end}")
    assert said.startswith(f"{name}: ends with {end.rstrip('/').partition('?')[0]}")


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [("LOG_LEVEL", "debug", "DEBUG"), ("LOG_FORMAT", "JSON", "json"), ("ASSISTANT_BACKEND", "Chat", "chat")],
)
def test_choices_may_be_written_in_any_case(monkeypatch: pytest.MonkeyPatch, name: str, value: str, meant: str) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(Settings.load(), name.lower()) == meant


def test_what_is_right_is_read_beside_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("WEB_THREADS", "none")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "nowhere")
    monkeypatch.setenv("OPENAI_MODEL", "m")
    settings, wrong = Settings.load_valid()
    assert (settings.port, settings.max_waiting_callers, settings.openai_model) == (8080, 10_000, "m")
    assert sorted(line.partition(":")[0] for line in wrong) == ["OPENAI_API_KEY", "PORT", "WEB_THREADS"]
