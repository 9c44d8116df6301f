"""What an operator is warned of: open doors, and secrets that can be guessed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from gateway.settings import Settings
from gateway.web.exposure import warnings
from tests.settings import settings_of

LONG = "0123456789abcdef"


def told(
    *, host: str = "0.0.0.0", key: str | None = None, password: str | None = None, token: str | None = LONG, **more: Any
) -> list[str]:
    settings = settings_of(Settings, host=host, openai_api_key=SecretStr("sk-1"), **more)
    passwords = {"ADMIN_PASSWORD": password} if password else {}
    return list(warnings(settings, key.split(", ") if key else (), "*", passwords, token))


def test_an_open_gateway_says_who_can_spend_and_how_to_close_it() -> None:
    (line,) = told(port=8099)
    assert "everybody who reaches port 8099 of 0.0.0.0" in line
    assert all(name in line for name in ("GATEWAY_API_KEYS", "HOST=127.0.0.1", "CORS_ORIGINS=*", "any web page"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_a_gateway_that_only_this_machine_reaches_is_not_open(host: str) -> None:
    assert told(host=host, token=None) == []


def test_a_gateway_without_a_model_spends_nothing() -> None:
    assert told(assistant_backend="offline", token=None) == []


def test_metrics_without_a_token_are_warned_of() -> None:
    (line,) = told(key=LONG, token=None)
    assert "METRICS_TOKEN" in line


def test_secrets_that_can_be_guessed_are_warned_of_without_showing_them() -> None:
    lines = told(key=f"{LONG}, {LONG[1:]}", password=LONG[1:])
    assert [line.split()[0] for line in lines] == ["GATEWAY_API_KEYS", "ADMIN_PASSWORD"]
    assert not any(LONG[1:] in line for line in lines)
    assert told(key=LONG, password=LONG) == []
