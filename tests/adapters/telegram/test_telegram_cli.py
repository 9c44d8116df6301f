"""``python -m gateway telegram``: what it does at Telegram, what it tells, and what it says no to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.telegram.cli import command
from adapters.telegram.registration import CONNECTIONS, PATH, UPDATES, webhook_url
from adapters.telegram.settings import TELEGRAM, TelegramSettings
from gateway.domain.errors import DeliveryError, SettingsError
from gateway.worker.worker import run_once
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import BOT_ID, BOT_NAME, SECRET, TOKEN

OWN = "http://127.0.0.1:8081"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in TelegramSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTelegram]:
    with FakeTelegram() as telegram:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("TELEGRAM_API_URL", telegram.url)
        yield telegram


def run(*words: str) -> Result:
    return CliRunner().invoke(command(run_once, lambda bot: TelegramSettings.load().for_bot(bot)), words)


def told(*words: str) -> str:
    result = run(*words)
    assert result.exception is None, result.exception
    assert TOKEN not in result.output
    assert SECRET not in result.output
    return result.output


# ---------------------------------------------------------------- what it does


def test_a_webhook_is_set_where_we_listen_and_told_as_telegram_has_it(telegram: FakeTelegram) -> None:
    output = told("set-webhook", "bot.example.com/")
    assert telegram.webhook is not None
    assert (telegram.webhook.url, telegram.webhook.secret) == (f"https://bot.example.com{PATH}", SECRET)
    assert telegram.webhook.max_connections == CONNECTIONS
    assert telegram.allowed_updates == set(UPDATES)
    assert output.splitlines() == [f"Webhook: https://bot.example.com{PATH}", "Waiting updates: 0"]


def test_a_bot_with_a_name_has_a_webhook_of_its_own(telegram: FakeTelegram) -> None:
    assert "https://bot.example.com/telegram/sales/webhook" in told("set-webhook", "bot.example.com", "--bot", "sales")


def test_a_webhook_is_deleted_and_what_waits_is_kept_unless_told_otherwise(
    telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    told("set-webhook", "http://127.0.0.1:9")
    telegram.user_says("hello")
    output = told("delete-webhook")
    assert telegram.webhook is None
    assert "Waiting updates: 1" in output
    assert "TELEGRAM_WEBHOOK_SECRET" in output
    monkeypatch.delenv("TELEGRAM_WEBHOOK_SECRET")
    output = told("delete-webhook", "--drop-pending")
    assert output.splitlines() == ["Webhook: none; updates are kept until they are fetched", "Waiting updates: 0"]


def test_it_tells_who_the_bot_is_and_how_updates_come(telegram: FakeTelegram) -> None:
    told("set-webhook", "http://127.0.0.1:9")
    telegram.user_says("hello")
    telegram.wait_until(lambda: telegram.deliveries)
    output = told("info")
    assert output.startswith(f"Bot: @{BOT_NAME} (Gateway), id {BOT_ID}\n")
    assert "privacy mode is on" in output
    assert f"Webhook: http://127.0.0.1:9{PATH}\n" in output
    assert "Waiting updates: 1\n" in output
    assert "Last failure: Wrong response from the webhook" in output
    assert "UTC)" in output


# ---------------------------------------------------------------- what it says no to


def test_without_a_secret_there_is_no_webhook(telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEGRAM_WEBHOOK_SECRET")
    result = run("set-webhook", "https://bot.example.com")
    assert isinstance(result.exception, SettingsError)
    assert "TELEGRAM_WEBHOOK_SECRET is missing" in str(result.exception)
    assert telegram.calls() == []


@pytest.mark.parametrize("words", [("set-webhook", "https://bot.example.com"), ("delete-webhook",), ("info",)])
def test_without_a_token_it_says_what_is_missing(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert isinstance(result.exception, SettingsError)
    assert "TELEGRAM_BOT_TOKEN" in str(result.exception)


@pytest.mark.parametrize("words", [("set-webhook", "https://bot.example.com"), ("delete-webhook",), ("info",)])
def test_what_telegram_refuses_is_one_line_without_the_token(telegram: FakeTelegram, words: tuple[str, ...]) -> None:
    telegram.revoke_token()
    result = run(*words)
    assert isinstance(result.exception, DeliveryError)
    assert len(str(result.exception).splitlines()) == 1
    assert TOKEN not in str(result.exception)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://bot.example.com", "https://bot.example.com/telegram/webhook"),
        (" bot.example.com/ ", "https://bot.example.com/telegram/webhook"),
        ("HTTPS://Bot.Example.com:8443/a/", "https://bot.example.com:8443/a/telegram/webhook"),
        ("https://bot.example.com/telegram/webhook", "https://bot.example.com/telegram/webhook"),
        ("https://bot.example.com/telegram/webhook/", "https://bot.example.com/telegram/webhook"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]/telegram/webhook"),
    ],
)
def test_an_address_is_put_as_telegram_needs_it(given: str, expected: str) -> None:
    assert webhook_url(given, TELEGRAM) == expected


@pytest.mark.parametrize(
    "given",
    [
        "http://bot.example.com",
        "https://bot.example.com:8080",
        "ftp://bot.example.com",
        "https://",
        "https://a:b@bot.example.com",
        "https://bot.example.com/?a=1",
        "https://bot.example.com/#a",
        "https://bot example.com",
        "https://bot.example.com:port",
        "https://[bot",
        "",
    ],
)
def test_an_address_that_telegram_would_not_call_is_refused(given: str) -> None:
    with pytest.raises(SettingsError):
        webhook_url(given, TELEGRAM)


def test_a_server_of_ones_own_calls_any_address() -> None:
    assert webhook_url("http://gateway:8080", OWN) == "http://gateway:8080/telegram/webhook"
