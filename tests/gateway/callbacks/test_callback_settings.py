"""Settings of callbacks, and the headers that their keys sign."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.callbacks import signing
from gateway.callbacks.settings import CallbackSettings

KEY, NEXT_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def settings(keys: str | None = KEY, **more: Any) -> CallbackSettings:
    return CallbackSettings(callback_signing_keys=SecretStr(keys) if keys else None, **more)


def test_receivers_accept_either_key_while_one_is_replaced_by_the_other() -> None:
    body = '{"text":"Grüße"}'
    made = settings(f"{NEXT_KEY}, {KEY}")
    headers = dict(signing.headers(made.keys, "msg_1", int(time.time()), body.encode()))
    for key in (KEY, NEXT_KEY):
        assert Webhook(key).verify(body, headers) == {"text": "Grüße"}
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(body.replace("G", "g"), headers)
    assert set(made.secrets()) >= {KEY, NEXT_KEY}


@pytest.mark.parametrize("keys", ["secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", f"{KEY},{KEY},{KEY}", ","])
def test_what_is_no_key_is_refused(keys: str) -> None:
    with pytest.raises(ValidationError, match=r"openssl|one key"):
        settings(keys)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"callback_events_url": "https://example.com/"}, ""),
        ({"callback_events_url": "http://example.com/"}, "CALLBACK_EVENTS_URL: must begin with https://."),
        ({"callback_events_url": "https://example.com/", "keys": None}, "CALLBACK_EVENTS_URL: needs"),
        ({}, ""),
    ],
)
def test_what_does_not_fit_together_is_named(more: dict[str, Any], problem: str) -> None:
    problems = settings(**more).problems()
    assert problems == () if not problem else problems[0].startswith(problem)


def test_events_are_those_that_exist() -> None:
    assert settings().events == frozenset()
    url = "https://example.com/"
    assert settings(callback_events_url=url, callback_events="turn.failed").events == {"turn.failed"}
    with pytest.raises(ValidationError, match=r"turn\.answered"):
        settings(callback_events="turn.started")
    with pytest.raises(ValidationError, match="cannot be read"):
        settings(callback_private_networks="10.0.0.1/8")
